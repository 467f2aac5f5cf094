"""Any other text log, by regular expressions with named groups from the study file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopline.logs.opening import text_lines
from flopline.logs.reading import (
    MEASURES,
    SECOND,
    LogFacts,
    PlainColumn,
    Raw,
    Unparsed,
    Wish,
    batched,
    column_names,
    columns_in,
)
from flopline.logs.time_limit import in_batches, limited

COLUMNS: Final = {name: name for name in ("split", "loss", *MEASURES)}
"""What groups may be called without `source.columns`."""


def sniff(path: Path, head: bytes) -> bool:
    """Never: the study file says when its pattern is meant."""
    return False


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The lines in which a pattern is found, by the first that is; other lines are no rows.

    What a line holds besides is a row that is not read, and counted so.
    """
    patterns = [(re.compile(p["pattern"]), p.get("split")) for p in wish.patterns]
    groups = list(dict.fromkeys(name for regex, _ in patterns for name in regex.groupindex))
    columns: dict[str, PlainColumn] = dict(wish.columns or {n: n for n in groups if n in COLUMNS})
    if any(split for _, split in patterns):
        columns.setdefault("split", "split")
    names = list(dict.fromkeys([*column_names(columns), *groups]))
    for raw in batched(_rows(path, patterns, wish, facts), names):
        yield Raw(raw.table, raw.unparsed, groups, columns)


def _rows(
    path: Path, patterns: list[tuple[re.Pattern[str], str | None]], wish: Wish, facts: LogFacts
) -> Iterator[dict[str, object] | Unparsed]:
    regexes = [regex for regex, _ in patterns]
    for batch in in_batches(text_lines(path, wish.phase)):
        rows: list[dict[str, object] | Unparsed] = []
        with limited("source.pattern", path) as at:
            for number, text, _ in batch:
                at[0] = number
                for regex, split in patterns:
                    if match := regex.search(text):
                        row = {**match.groupdict(), "line": number}
                        if split is not None:
                            row["split"] = split
                        for name in wish.facts:
                            if row.get(name) is not None:
                                facts.say_once(_run_of(row, wish), name, row[name], path)
                        rows.append(row)
                        if match.end() < len(text) or len(regexes) > 1:
                            rows += [Unparsed(number, SECOND)] * _further(match, text, regexes)
                        break
        yield from rows


def _run_of(row: dict[str, object], wish: Wish) -> str:
    """The run that a row belongs to; nothing where the whole file is one."""
    parts = [row.get(name) for name in columns_in((wish.columns or {}).get("run", []))]
    return "/".join(map(str, parts)) if all(part is not None for part in parts) else ""


def _further(first: re.Match[str], text: str, patterns: list[re.Pattern[str]]) -> int:
    """How many more matches a line holds before or behind the one that is read."""
    begin, end = first.span()
    if len(patterns) == 1 and not patterns[0].search(text, end):
        return 0
    spans = {match.span() for regex in patterns for match in regex.finditer(text) if match[0]}
    apart = sorted(span for span in spans if span[1] <= begin or span[0] >= end)
    # Those that overlap are one record that several patterns fit.
    count, reached = 0, -1
    for low, high in apart:
        if low >= reached:
            count, reached = count + 1, high
    return count
