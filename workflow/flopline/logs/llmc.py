"""llm.c `main.log`: `s:` step, `trl:` training loss, `tel:` evaluation loss, in both forms.

The old form has losses alone, the new one also `lr:` and `norm:`; `eval:` is an accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopline.logs.opening import begins_a_line, text_lines
from flopline.logs.reading import TWICE, LogFacts, Raw, Unparsed, Wish, batched

COLUMNS: Final = {"step": "step", "split": "split", "loss": "loss", "lr": "lr"}

_LIKE: Final = re.compile(rb"^s:\d+ (trl|tel):", re.MULTILINE)
_USUAL: Final = re.compile(r"s:(\d+) (trl|tel):(\S+)(?: lr:(\S+) norm:\S+)?\s*")
"""The lines that llm.c itself prints, which are read in half the time."""
_ROW: Final = re.compile(r"s:(\d+)((?: \w+:\S+)+)\s*")
_SPLITS: Final = {"trl": "train", "tel": "val"}


def sniff(path: Path, head: bytes) -> bool:
    """Whether a line near the start is a step with a loss."""
    return begins_a_line(head, b"s:") and bool(_LIKE.search(head))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches; a step line without a whole set of `key:value` cannot be read."""
    yield from batched(_rows(path, wish), list(COLUMNS))


def _rows(path: Path, wish: Wish) -> Iterator[dict[str, object] | Unparsed]:
    for number, text, complete in text_lines(path, wish.phase):
        if not text.startswith("s:") or not text[2:3].isdigit():
            continue
        if complete and (usual := _USUAL.fullmatch(text)):
            step, key, loss, lr = usual.groups()
            yield {"step": step, "split": _SPLITS[key], "loss": loss, "lr": lr, "line": number}
            continue
        row = _ROW.fullmatch(text)
        # A line without its end may hold a number without its end.
        if row is None or not complete:
            yield Unparsed(number)
            continue
        pairs = row[2].split()
        values = dict(pair.split(":", 1) for pair in pairs)
        if len(values) < len(pairs):
            yield Unparsed(number, TWICE)
            continue
        losses: list[tuple[str, str | None]]
        losses = [(split, values[key]) for key, split in _SPLITS.items() if key in values]
        for split, loss in losses or [("val", None)]:
            yield {
                "step": row[1],
                "split": split,
                "loss": loss,
                "lr": values.get("lr"),
                "line": number,
            }
