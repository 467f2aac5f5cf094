"""Records of a text log as rows: losses without a position take that of the line beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.logs.key_values import POSITIONS, PROGRESS, Record
from flopline.logs.reading import NOT_PARSED, SECOND, LogFacts, Unparsed
from flopline.written_numbers import parse_number

BEFORE: Final = "before"
AFTER: Final = "after"
"""Which line a loss without a position belongs to: the one before it or the one after it."""

_A_NUMBER: Final = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:[\s,|;)\]}]|$)"
"""A whole number behind a name, which then is the name of something else, as a batch's loss."""

LONGEST_CELL: Final = 200
"""Letters before a name that tell whether a cell begins with it."""


@dataclass(slots=True)
class _Waiting:
    """A loss without a position, and the records with one on both sides of it."""

    record: Record
    before: Record | None
    after: Record | None = None


def placed(
    records: Iterable[Record],
    losses: Collection[str],
    positions: Sequence[str],
    beside: str = "",
    wanted: Collection[str] = (),
) -> list[Record]:
    """The records that are rows, in the order of their lines, with their `wanted` values alone.

    A row holds one of `losses`, which may grow as records come, or logs anything else at one of
    `positions`. `beside` says to which line a loss without a position belongs; where it says
    nothing, the log does, or none.

    Returns the same objects, changed: each with a position where one is known.
    """
    keep = {*wanted, *positions}
    rows: list[Record] = []
    waiting: list[_Waiting] = []
    last: Record | None = None
    open_from = 0
    bar = ""
    for record in records:
        if PROGRESS in record.totals:
            # Bars of evaluations count to another number than that of the training.
            bar = bar or record.totals[PROGRESS]
            if record.totals[PROGRESS] != bar:
                record.values.pop(PROGRESS, None)
        has_loss = any(name in record.values for name in losses)
        if any(name in record.values for name in positions):
            for one in waiting[open_from:]:
                one.after = record
            open_from = len(waiting)
            last = record
            others = len(record.values) - sum(n in record.values for n in (*POSITIONS, PROGRESS))
            if has_loss or (others and record.values.keys() - set(positions)):
                rows.append(_trimmed(record, keep, losses))
        elif has_loss:
            waiting.append(_Waiting(record, last))
            rows.append(_trimmed(record, keep, losses))
    side = beside or _side(waiting, positions)
    for one in waiting:
        neighbour = {BEFORE: one.before, AFTER: one.after}.get(side)
        if neighbour is not None:
            one.record.beside = True
            for name in positions:
                if name in neighbour.values:
                    one.record.values[name] = neighbour.values[name]
    return rows


def _trimmed(record: Record, keep: Collection[str], losses: Collection[str]) -> Record:
    """A record without what no one asks for, since all rows of a log are held at once."""
    kept = {n: value for n, value in record.values.items() if n in keep or n in losses}
    record.values = kept
    if any(name in kept for name in losses):
        record.text = ""
    return record


def _side(waiting: Sequence[_Waiting], positions: Sequence[str]) -> str:
    """Which line the losses without a position belong to, as far as the log shows it.

    One before all steps belongs to the next, one after all steps to the last. Else evaluations come
    at round intervals: the side on which they do is it.
    """
    if not waiting:
        return ""
    if waiting[0].before is None:
        return AFTER
    if waiting[-1].after is None:
        return BEFORE
    rounds = []
    for side in ("before", "after"):
        steps = [_step(getattr(one, side), positions) for one in waiting]
        rounds.append(math.gcd(*(int(step) for step in steps if math.isfinite(step))))
    if len(waiting) > 1 and rounds[0] != rounds[1]:
        return BEFORE if rounds[0] > rounds[1] else AFTER
    return ""


def _step(record: Record | None, positions: Sequence[str]) -> float:
    if record is None:
        return math.nan
    return next((parse_number(record.values[n]) for n in positions if n in record.values), math.nan)


def faults(record: Record, wanted: Collection[str], *, complete: bool) -> Iterator[Unparsed]:
    """What of a row cannot be read: a key that stands twice, a loss that may lack its end.

    `complete` says whether its last line ends in a line break.
    """
    again = max(
        (record.repeated.count(name) for name in set(record.repeated) & set(wanted)), default=0
    )
    yield from [Unparsed(record.line, SECOND)] * again
    if not complete and record.ends in wanted:
        yield Unparsed(record.line, NOT_PARSED)


def unread(record: Record, losses: Collection[str]) -> bool:
    """Whether a row names one of its losses without a number behind it."""
    if not record.text or any(name in record.values for name in losses):
        return False
    plain = "|".join(re.escape(name.rpartition("/")[2]) for name in losses)
    named = re.finditer(rf"(?:{plain})['\"]?\s*[:=](?!{_A_NUMBER})", record.text)
    return any(_begins_cell(record.text[: match.start()][-LONGEST_CELL:]) for match in named)


def _begins_cell(before: str) -> bool:
    """Whether a new cell begins behind this text: behind a sign, blanks, or a word with a digit."""
    if before.endswith(("'", '"')):
        before = before[:-1]
    rest = before.rstrip()
    blanks = before[len(rest) :]
    if not rest or rest[-1] in "|,;{([" or len(blanks) > 1 or "\t" in blanks:
        return True
    return bool(blanks) and any(letter.isdigit() for letter in rest.split()[-1])


@dataclass(slots=True)
class AskedFacts:
    """The facts that a log is asked for, as its records say them; they must not change."""

    path: Path
    names: Sequence[str]
    values: dict[str, tuple[Any, int]] = field(default_factory=dict)

    def hear(self, record: Record) -> None:
        """Note what a record says. Raises FloplineError where it contradicts an earlier one."""
        for name in self.names:
            if name not in record.values:
                continue
            value = record.values[name]
            before, line = self.values.setdefault(name, (value, record.line))
            if str(before) != str(value):
                raise FloplineError(
                    f"{self.path}: the fact '{name}' (source.runs.from_log) is {before} in line "
                    f"{line} and {value} in line {record.line}: name a key that stays the same, or "
                    "say in source.phase which part of the log counts."
                )

    def say(self, facts: LogFacts) -> None:
        """Hand on what was heard."""
        for name, (value, _) in self.values.items():
            facts.say("", name, value)
