"""torchtitan stdout: `step: 10  loss: 4.1  …`, `validate step: 10  loss: 4.0`, rank prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopline.logs.opening import text_lines
from flopline.logs.reading import TWICE, LogFacts, Raw, Unparsed, Wish, batched
from flopline.written_numbers import parse_number

COLUMNS: Final = {"step": "step", "split": "split", "loss": "loss"}

_COLOUR: Final = re.compile(r"\x1b\[[\d;]*m")
_ROW: Final = re.compile(r" - (validate )?step:\s*(\d+)(\s.*)?$")
_USUAL: Final = re.compile(
    r" step:\s*(\d+)\s+loss:\s*(\S+)(?:\s+grad_norm:\s*\S+)?\s+memory:\s*\S+\s+tps:\s*\S+"
    r"(?:\s+tflops:\s*\S+\s+mfu:\s*\S+)?\s*"
)
"""The end of a line that torchtitan itself prints, which is read in half the time."""
_CELL: Final = re.compile(r"\s(\w+):\s*(\S+)")
_SIZE: Final = re.compile(r"size: (\d[\d,]*) total parameters")
_DESIGN: Final = re.compile(
    r"global batch size (\d+),.*? sequence length (\d+), total steps (\d+)\b"
)

_OF_FLAME: Final = re.compile(
    r"- +(?:Number of parameters = (?P<params_total>[\d,]+)"
    r"|Global batch size .*= [\d,]+ \((?P<batch_tokens>[\d,]+) tokens\)"
    r"|Total optimization steps = (?P<horizon_steps>[\d,]+) )"
)
"""What flame, a fork, prints before its first step (fla-org/flame flame/train.py)."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether a line of a logger holds a step, its loss and torchtitan's tokens per second.

    Lingua's lines, which tell acc (accumulation steps) before the loss, are of `trainer`.
    """
    plain = re.sub(rb"\x1b\[[\d;]*m", b"", head)
    return bool(
        re.search(rb" - (validate )?step:\s*\d+\s(?!\s*acc:)(.*\s)?loss:.*\b(tps|wps):", plain)
    )


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches; the model's size and the batch, length and steps become facts."""
    yield from batched(_rows(path, wish, facts), list(COLUMNS))


def _rows(path: Path, wish: Wish, facts: LogFacts) -> Iterator[dict[str, object] | Unparsed]:
    for number, coloured, _ in text_lines(path, wish.phase):
        text = _COLOUR.sub("", coloured) if "\x1b" in coloured else coloured
        at = text.find(" step:")
        split = _split_before(text, at)
        if split and (usual := _USUAL.fullmatch(text, at)):
            yield {"step": usual[1], "split": split, "loss": usual[2], "line": number}
            continue
        row = _ROW.search(text)
        if row is None:
            _say(text, facts)
            continue
        cells = _CELL.findall(row[3] or "")
        values = dict(cells)
        # A loss at the very end of a line may have lost its last digits.
        if "loss" not in values or cells[-1][0] == "loss":
            yield Unparsed(number)
        elif len(values) < len(cells):
            yield Unparsed(number, TWICE)
        else:
            split = "val" if row[1] else "train"
            yield {"step": row[2], "split": split, "loss": values["loss"], "line": number}


def _split_before(text: str, at: int) -> str:
    """Which split the words before a step name; none where it is no step of a logger."""
    if text.endswith(" -", 0, max(at, 0)):
        return "train"
    return "val" if text.endswith(" - validate", 0, max(at, 0)) else ""


def _say(text: str, facts: LogFacts) -> None:
    if match := _SIZE.search(text):
        facts.know(params_total=float(match[1].replace(",", "")))
    elif match := _OF_FLAME.search(text):
        facts.know("", **{n: parse_number(cell) for n, cell in match.groupdict().items()})
    elif match := _DESIGN.search(text):
        batch, length, steps = (float(part) for part in match.groups())
        facts.know(batch_tokens=batch * length, horizon_steps=steps)
