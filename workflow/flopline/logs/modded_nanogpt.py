"""modded-nanoGPT logs: `step:a/b train_loss:… train_time:…ms`, after a dump of the source.

Training and validation losses have lines of their own. The clock stops while it validates and
starts again after the first ten steps, so that `wall_s` is as logged and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flopline.logs.opening import text_lines
from flopline.logs.reading import Facts, Raw, Unparsed, Wish, batched

COLUMNS: Final = {"step": "step", "split": "split", "loss": "loss", "wall_s": "wall_s"}

_START: Final = re.compile(r"step:\d+/\d+\s")
_ROW: Final = re.compile(
    r"step:(\d+)/(\d+) (?:(train|val)_loss:(\S+) )?train_time:([\d.]+)ms step_avg:\S+ms\s*"
)


def sniff(path: Path, head: bytes) -> bool:
    """Whether a line is a step of so many with a loss, and none is of a parameter-golf trainer."""
    of_golf = b"\ntrain_batch_tokens:" in head or b"\nmodel_params:" in head
    return not of_golf and bool(re.search(rb"^step:\d+/\d+ (train|val)_loss:", head, re.MULTILINE))


def read(path: Path, wish: Wish, facts: Facts) -> Iterator[Raw]:
    """The rows in batches; the number of steps becomes `horizon_steps`."""
    yield from batched(_rows(path, wish, facts), list(COLUMNS))


def _rows(path: Path, wish: Wish, facts: Facts) -> Iterator[dict[str, Any] | Unparsed]:
    for number, text, _ in text_lines(path, wish.phase):
        if not _START.match(text):
            continue
        row = _ROW.fullmatch(text)
        if row is None:
            yield Unparsed(number)
            continue
        step, steps, split, loss, milliseconds = row.groups()
        facts.know(horizon_steps=float(steps))
        yield {
            "step": step,
            "split": split or "train",
            "loss": loss,
            "wall_s": float(milliseconds) / 1000,
            "line": number,
        }
