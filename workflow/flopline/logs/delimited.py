"""Logs as CSV or TSV tables, such as exported W&B histories: wide, quoted, with empty columns."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

import pandas as pd

from flopline.errors import FloplineError
from flopline.logs.key_values import is_loss
from flopline.logs.opening import open_binary, reading
from flopline.logs.reading import (
    BATCH,
    NOT_PARSED,
    LogFacts,
    Raw,
    Wish,
    columns_in,
    names_in,
    other_separator,
)
from flopline.twins import demand_once
from flopline.written_numbers import DECIMALS, parse_number


def header_of(head: bytes, separator: str) -> list[str]:
    """The cells of the first line of a file's head, if it is a table's; else nothing."""
    if head[:1] == b"{":
        return []  # JSON, of which megabytes need not be decoded to tell
    try:
        text = head.decode("utf-8-sig")
        lines = list(islice(csv.reader(io.StringIO(text), delimiter=separator), 2))
    except (UnicodeDecodeError, csv.Error):
        return []
    if not lines or len(lines[0]) < 2 or any(not cell.strip() for cell in lines[0][1:]):
        return []
    ragged = len(lines) > 1 and len(lines[1]) != len(lines[0])
    return [] if ragged else lines[0]


SEMICOLON: Final = ";"
"""What parts cells where the comma parts fractions, as in much of Europe."""


def separator_of(head: bytes, usual: str) -> str:
    """What parts the cells of a table: semicolons where nothing else parts those of its header."""
    first = head.lstrip(b"\r\n").split(b"\n", 1)[0].split(b"\r", 1)[0]
    text = first.decode("utf-8-sig", errors="replace")
    if usual in text or SEMICOLON not in text:
        return usual
    return SEMICOLON if len(header_of(first, SEMICOLON)) > 1 else usual


def looks_like_a_table(head: bytes, separator: str) -> bool:
    """Whether a header with a loss stands above a row with a number for it, the cells parted so.

    Other cells may hold text, as names of runs.
    """
    first_lines = b"\n".join(head.split(b"\n", 2)[:2])
    header = header_of(first_lines, separator)
    if not any(map(is_loss, header)) or any(map(_is_cell, header)):
        return False
    text = io.StringIO(first_lines.decode("utf-8-sig"))
    row = next(islice(csv.reader(text, delimiter=separator), 1, 2), [])
    if len(row) != len(header):
        return False
    losses = [cell for name, cell in zip(header, row, strict=True) if is_loss(name)]
    return (all(map(_is_cell, row)) and any(row)) or all(map(_is_number, losses))


def _is_cell(text: str) -> bool:
    """Whether a cell is empty or a number, whatever parts its decimals."""
    return not text.strip() or _is_number(text)


def _is_number(text: str) -> bool:
    return any(not math.isnan(parse_number(text, one)) for one in DECIMALS)


def read_cells(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table with the line at which each ends; blank lines are none.

    Raises FloplineError where a quotation mark is never closed.
    """
    with reading(path), open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        yield from _rows(path, text, separator)


def _rows(path: Path, text: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text, delimiter=separator)
    try:
        for cells in reader:
            # The first cell of most rows says enough.
            if cells and (cells[0].strip() or any(cell.strip() for cell in cells)):
                yield reader.line_num, cells
    except csv.Error as error:
        raise FloplineError(
            f"{path}, line {reader.line_num}: the table cannot be read on from here "
            f"({error}): close the quotation mark or mend the line."
        ) from None


def read_table_log(path: Path, separator: str, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The wanted columns in batches; a row with more or fewer cells than the header is not read."""
    rows = read_cells(path, separator)
    header = [name.strip() for name in next(rows, (0, []))[1]]
    demand_once(header, wish.names, path)
    wanted = {name: header.index(name) for name in wish.names if name in header}
    places = list(wanted.values())
    # Of wide rows only the wanted cells are held.
    picked = (
        (line, [cells[p].strip() or None for p in places] if len(cells) == len(header) else None)
        for line, cells in rows
    )
    while batch := list(islice(picked, BATCH)):
        fitting = [(*cells, line) for line, cells in batch if cells is not None]
        unparsed = [(line, NOT_PARSED) for line, cells in batch if cells is None]
        table = pd.DataFrame(fitting, columns=[*wanted, "line"], dtype=object)
        say_constants(table, wish, facts, path)
        yield Raw(table, unparsed, header)


def read_text_table(path: Path, data: bytes, separator: str) -> tuple[pd.DataFrame, list[int]]:
    """A table as text with `line`, an empty cell being missing, and no line that did not parse.

    Raises FloplineError for a row with more cells than the header.
    """
    text = io.StringIO(data.decode("utf-8-sig", errors="replace"), newline="")
    rows = _rows(path, text, separator)
    header = [name.strip() for name in next(rows, (0, []))[1]]
    records: list[list[str | int | None]] = []
    for line, cells in rows:
        if len(cells) > len(header):
            if mend := other_separator(header):
                raise FloplineError(f"{path} has one column, {header[0]}{mend}.")
            raise FloplineError(
                f"{path}, line {line}: the row that begins with {', '.join(cells[:3])} has "
                f"{len(cells)} cells, but the header names {len(header)}: mend or quote it."
            )
        absent = [None] * (len(header) - len(cells))
        records.append([*(cell if cell.strip() else None for cell in cells), *absent, line])
    table = pd.DataFrame(records, columns=[*header, "line"], dtype=object)
    # A column of that name in the file would be a second one, and cannot be asked for.
    line = table.iloc[:, -1].astype("int64")
    return table.loc[:, table.columns != "line"].assign(line=line), []


def say_constants(table: pd.DataFrame, wish: Wish, facts: LogFacts, path: Path) -> None:
    """Note wanted facts that stand in rows of a run; they must not change within it.

    Raises FloplineError when they do.
    """
    wanted = [name for name in wish.facts if name in table]
    of_run = (wish.columns or {}).get("run")
    if not wanted:
        return
    # A run column that is not there is reported where the rows are made.
    groups: Iterable[tuple[Any, pd.DataFrame]] = [("", table)]
    if of_run is not None and set(columns_in(of_run)) <= set(table):
        groups = table.groupby(names_in(table, of_run, path), sort=False)
    for run, rows in groups:
        for name in wanted:
            before: object = None
            for value in rows[name].dropna():
                if value != before:
                    facts.say_once(str(run), name, value, path)
                before = value
