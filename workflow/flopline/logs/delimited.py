"""Logs as CSV or TSV tables, such as exported W&B histories: wide, quoted, with empty columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from flopline.errors import FloplineError
from flopline.logs.opening import open_binary, reading
from flopline.logs.reading import BATCH, NOT_PARSED, Facts, Raw, Wish


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
    return [] if ragged or len(set(lines[0])) < len(lines[0]) else lines[0]


def read_cells(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table with the line at which each ends; blank lines are none.

    Raises FloplineError where a quotation mark is never closed.
    """
    with reading(path), open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        reader = csv.reader(text, delimiter=separator)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise FloplineError(
                f"{path}, line {reader.line_num}: the table cannot be read on from here "
                f"({error}): close the quotation mark or mend the line."
            ) from None


def read_table_log(path: Path, separator: str, wish: Wish, facts: Facts) -> Iterator[Raw]:
    """The wanted columns in batches; a row with more or fewer cells than the header is not read."""
    rows = read_cells(path, separator)
    header = [name.strip() for name in next(rows, (0, []))[1]]
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
    bad: list[list[str]] = []
    text = data.decode("utf-8-sig", errors="replace")
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            engine="python",
            on_bad_lines=lambda cells: bad.append(cells),
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame({"line": []}), []
    if bad:
        raise FloplineError(
            f"{path}: the row that begins with {', '.join(bad[0][:3])} has {len(bad[0])} cells, "
            f"but the header names {len(table.columns)}: mend or quote it."
        )
    if not isinstance(table.index, pd.RangeIndex):
        # pandas takes the first cells for names of rows where the first row has too many.
        cells = len(table.columns) + table.index.nlevels
        raise FloplineError(
            f"{path}, line 2: the row has {cells} cells, but the header names "
            f"{len(table.columns)}: mend or quote it."
        )
    table["line"] = np.arange(2, len(table) + 2)
    return table.dropna(how="all", subset=[c for c in table if c != "line"]), []


def say_constants(table: pd.DataFrame, wish: Wish, facts: Facts, path: Path) -> None:
    """Note wanted facts that stand in every row of a run; they must not change within it.

    Raises FloplineError when they do.
    """
    of_run = wish.columns.get("run") if wish.columns else None
    groups = table.groupby(of_run, sort=False) if of_run in table else [("", table)]
    for run, rows in groups:
        for name in [n for n in wish.facts if n in table]:
            values = list(rows[name].dropna().unique())
            known = facts.said.get(str(run), {}).get(name)
            values = list(dict.fromkeys([*([] if known is None else [known]), *values]))
            if len(values) > 1:
                raise FloplineError(
                    f"{path}: the fact '{name}' (source.runs.from_log) is {values[0]} in one row "
                    f"and {values[1]} in another: name a column that stays the same."
                )
            if values:
                facts.say(str(run), name, values[0])
