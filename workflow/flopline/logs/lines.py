"""Any text log of keys and values, its columns being its keys: the study says what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pandas as pd

from flopline.logs.key_values import (
    FIRST,
    MOST_LINES,
    PROGRESS,
    Record,
    is_loss,
    opens_object,
    records,
)
from flopline.logs.opening import text_lines
from flopline.logs.placing import AskedFacts, faults, placed, unread
from flopline.logs.reading import (
    BATCH,
    SECOND,
    LogFacts,
    PlainMap,
    Raw,
    Unparsed,
    Wish,
    as_cell,
    column_names,
    columns_in,
)
from flopline.loss_units import PERPLEXITY, unit_of
from flopline.written_numbers import parse_number

ENOUGH: Final = 2
"""Lines with a loss that make a text a log; one may be quoted anywhere."""

LOOKED_AT: Final = 20_000
"""Lines that may hold a loss or a position, by which a file is told to be no log."""

NAMED_BY: Final = 4_000
"""Records of a log by which its columns are named, where nothing else is asked for."""

_OF_PROCESSES: Final = ("rank", "DP", "PP", "TP", "CP", "EP")

_SPLITS: Final = ("train", "val", "valid", "test", "eval")
_OF_LOSS: Final = (b"oss", b"OSS", b"bpb", b"nll", b"ntropy", b" val ", b"ppl", b"erplexity")
_WORTH: Final = re.compile(
    rb"loss|bpb|nll|ppl|perplexity|entropy|step|iter|epoch|batch|update|\d+/\d+ \[|^\d+ [a-z]+ \d",
    re.IGNORECASE,
)

_CODE: Final = (b"def ", b"import ", b"#SBATCH", b"#!/", b"return ", b"echo ", b"print(")
"""What stands in programs and job scripts, which may quote lines of a log."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether lines say a loss and the position it was logged at."""
    return is_log(head)


def is_log(head: bytes) -> bool:
    """Whether several lines hold a loss at a position of their own or of a line beside them."""
    if not may_hold_losses(head):
        return False
    losses = positions = 0
    for record in records(likely(head)):
        losses += any(map(_is_loss, record.values)) or is_split_row(record)
        positions += record.placed or FIRST in record.values or PROGRESS in record.values
        if losses >= ENOUGH and positions >= ENOUGH:
            return True
    return False


def _is_loss(name: str) -> bool:
    """Whether a key is named like a loss, or like a perplexity, whose logarithm is one."""
    return is_loss(name) or unit_of(name) == PERPLEXITY


def may_hold_losses(head: bytes) -> bool:
    """Whether it is text that holds a word for a loss."""
    return b"\0" not in head[:8192] and any(word in head for word in _OF_LOSS)


def is_split_row(record: Record) -> bool:
    """Whether it is a step, a split and a value, as `250 val 3.2`."""
    return len(record.values) == 2 and FIRST in record.values and record.ends in _SPLITS


def likely(head: bytes) -> Iterator[tuple[int, str, bool]]:
    """The lines of a head that may hold a loss or a position, as far as it is worth to look."""
    looked_at = depth = begun = 0
    for number, line in enumerate(head.split(b"\n"), start=1):
        part = line[:4096]
        # Of an object that goes over several lines each is needed to read it.
        opens = not depth and b"{" in part and opens_object(part)
        begun = number if opens else begun
        inside = opens or (depth > 0 and number - begun < MOST_LINES)
        depth = max(depth + part.count(b"{") - part.count(b"}"), 0) if inside else 0
        if (inside or _WORTH.search(part)) and not part.lstrip().startswith(_CODE):
            yield number, part.decode("utf-8", errors="replace"), True
            looked_at += 1
            if looked_at > LOOKED_AT:
                return


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows, with all keys of the log as the names of its columns."""
    columns = dict(wish.columns or {})
    losses = columns_in(columns.get("loss", []))
    positions = [
        name
        for ours in ("step", "tokens", "flops")
        if ours in columns
        for name in columns_in(columns[ours])
    ]
    log = _LineLog(path, wish)
    rows = placed(log.heard(), losses, positions, wanted=column_names(columns))
    names = list(log.names)
    if not names:
        return
    if not any(name in log.names for name in losses):
        yield Raw(pd.DataFrame(columns=[*names, "line"]), (), names)
        return
    log.asked.say(facts)
    _plan(rows, columns, facts)
    wanted = [name for name in column_names(columns) if name in log.names]
    unparsed: list[tuple[int, str]] = []
    cells = []
    for record in rows:
        wrong = list(faults(record, {*losses, *positions}, complete=record.line not in log.cut))
        wrong += [Unparsed(record.line)] * unread(record, losses)
        unparsed += [(fault.line, fault.reason) for fault in wrong]
        if all(fault.reason == SECOND for fault in wrong):
            cells.append([*(as_cell(record.values.get(name)) for name in wanted), record.line])
    for at in range(0, max(len(cells), 1), BATCH):
        table = pd.DataFrame(cells[at : at + BATCH], columns=[*wanted, "line"], dtype=object)
        yield Raw(table, unparsed if not at else (), names)


def run_facts(path: Path) -> dict[str, object]:
    """What a log says of its run, by its own keys: what stands outside of its rows, and once."""
    log = _LineLog(path, Wish())
    for _ in log.heard():
        pass
    return {name: next(iter(values)) for name, values in log.facts.items() if len(values) == 1}


def changing_facts(path: Path) -> dict[str, list[object]]:
    """What lines beside the rows say that changes within a log: by name the values, in order."""
    log = _LineLog(path, Wish())
    for _ in log.heard():
        pass
    return {name: list(values) for name, values in log.facts.items() if len(values) > 1}


class _LineLog:
    """A log as it is read: the names that it offers, what it says, and lines without their end."""

    def __init__(self, path: Path, wish: Wish) -> None:
        self.path, self.wish = path, wish
        self.names: dict[str, None] = {}
        self.cut: set[int] = set()
        self.asked = AskedFacts(path, wish.facts)
        self.facts: dict[str, dict[object, None]] = {}

    def heard(self) -> Iterator[Record]:
        """Its records; of one that is only asked for its names, some."""
        most = None if self.wish.rows is None else max(self.wish.rows, NAMED_BY)
        for record in islice(records(self._lines()), most):
            self.asked.hear(record)
            if record.placed or FIRST in record.values or any(map(_is_loss, record.values)):
                fresh = (name for name in record.values if name not in _OF_PROCESSES)
                self.names.update(dict.fromkeys(fresh))
            elif PROGRESS in record.values:
                self.names[PROGRESS] = None
            else:
                for name, value in record.values.items():
                    self.facts.setdefault(name, {})[value] = None
            yield record

    def _lines(self) -> Iterator[tuple[int, str, bool]]:
        for number, text, complete in text_lines(self.path, self.wish.phase):
            if not complete:
                self.cut.add(number)
            yield number, text, complete


def _plan(rows: list[Record], columns: PlainMap, facts: LogFacts) -> None:
    """How many steps are planned, where the log counts `step 10/100` and always to the same."""
    step = columns.get("step")
    of = {record.totals[step] for record in rows if step in record.totals}
    if len(of) == 1:
        facts.know(horizon_steps=parse_number(of.pop()))
