"""modded-nanoGPT logs: `step:a/b train_loss:… train_time:…ms …`, after a dump of the source.

Training and validation losses have lines of their own. The clock stops while it validates and
starts again after the first ten steps, so that `wall_s` is as logged and no more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopline.logs.opening import begins_a_line, text_lines
from flopline.logs.reading import TWICE, LogFacts, Raw, Unparsed, Wish, batched
from flopline.written_numbers import parse_number, parse_seconds

COLUMNS: Final = {"step": "step", "split": "split", "loss": "loss", "wall_s": "wall_s"}

_LIKE: Final = re.compile(rb"^step:\d+/\d+ (?:\w+:\S+ )*(train|val)_loss:", re.MULTILINE)
_STEP: Final = re.compile(r"step:(\d+)/(\d+)\s(.*)")
_USUAL: Final = re.compile(
    r"step:(\d+)/(\d+) (?:(train|val)_loss:(\S+) )?train_time:(\d+\.?\d*)ms step_avg:\S+ms\s*"
)
"""The line of the first trainer, which is read in half the time."""
_CELL: Final = re.compile(r"(?<!\w)(\w+):(\S+)")
_LOSSES: Final = {"train_loss": "train", "val_loss": "val"}
_FACTS: Final = {"model_params": "params_total", "train_batch_tokens": "batch_tokens"}
"""What is said before the first step, as `name:value`, and how we call it."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether a line is a step of so many with a loss."""
    return begins_a_line(head, b"step:") and bool(_LIKE.search(head))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches; the number of steps becomes `horizon_steps`.

    Forks say the model's size and the tokens of a batch before the first step, and log more cells;
    those that are not known are left alone.
    """
    yield from batched(_rows(path, wish, facts), list(COLUMNS))


def _rows(path: Path, wish: Wish, facts: LogFacts) -> Iterator[dict[str, object] | Unparsed]:
    begun = False
    planned = ""
    for number, text, _ in text_lines(path, wish.phase):
        line = _STEP.match(text)
        if line is None:
            if not begun:
                _header(text, facts)
            continue
        begun = True
        if usual := _USUAL.fullmatch(text):
            step, steps, split, loss, milliseconds = usual.groups()
            if steps != planned:
                planned = steps
                facts.know(horizon_steps=float(steps))
            yield {
                "step": step,
                "split": split or "train",
                "loss": loss,
                "wall_s": float(milliseconds) / 1000,
                "line": number,
            }
            continue
        step, steps, rest = line.groups()
        cells = [_CELL.fullmatch(word) for word in rest.split()]
        pairs = [(cell[1], cell[2]) for cell in cells if cell]
        values = dict(pairs)
        # A loss at the very end of a line may have lost its last digits.
        if len(pairs) < len(cells) or not pairs or pairs[-1][0] in _LOSSES:
            yield Unparsed(number)
            continue
        if len(values) < len(pairs):
            yield Unparsed(number, TWICE)
            continue
        facts.know(horizon_steps=float(steps))
        losses = [(split, values[key]) for key, split in _LOSSES.items() if key in values]
        for split, loss in losses or [("train", None)]:
            yield {
                "step": step,
                "split": split,
                "loss": loss,
                "wall_s": _seconds(values.get("train_time", "")),
                "line": number,
            }


def _header(text: str, facts: LogFacts) -> None:
    for word in text.split():
        cell = _CELL.fullmatch(word)
        if cell and cell[1] in _FACTS and not math.isnan(value := parse_number(cell[2])):
            facts.know("", **{_FACTS[cell[1]]: value})


def _seconds(text: str) -> float | None:
    """A time that is written with its unit, in seconds; nothing where it has none."""
    return parse_seconds(text) if text.endswith("s") else None
