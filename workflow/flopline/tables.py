"""Tables of finished runs or of run facts: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.facts import TEXT_FACTS
from flopline.logs.formats import FORMATS, table_format
from flopline.logs.key_values import object_in
from flopline.logs.opening import read_bytes
from flopline.logs.reading import (
    Cells,
    PlainColumn,
    PlainMap,
    column_names,
    columns_in,
    faulty,
    names_in,
    other_separator,
    plain_columns,
    reach,
    read_cells,
    scaled,
    worst,
)
from flopline.study_document import SourceDocument
from flopline.twins import demand_once
from flopline.written_numbers import why_no_number

_ABSENT = ("", "nan", "none", "null", "na", "n/a", "-")


def read_table(path: Path, format_name: str | None = None) -> tuple[pd.DataFrame, list[int]]:
    """A table as it stands plus its column `line`, and the numbers of lines that did not parse.

    Text tables come as text (an empty cell is missing), so that nothing is guessed. Raises
    FloplineError when the file is missing, broken or of an unknown ending.
    """
    entry = FORMATS[format_name] if format_name else table_format(path)
    table: tuple[pd.DataFrame, list[int]] = entry.load().read_runs(path, read_bytes(path))
    return table


@dataclass(frozen=True, slots=True)
class Mapped:
    """A table under our names with `line`: text facts as text, all others as numbers or NaN.

    `given` are the cells as they stand. `fault` is for each row the reason why a cell in it is no
    number, or empty; `rounded` marks rows with a count written with K, M, B or T. `misread` is the
    line of the first such cell, and that cell.
    """

    rows: pd.DataFrame
    given: Mapping[str, pd.Series]
    fault: NDArray[np.object_]
    rounded: NDArray[np.bool_]
    misread: tuple[int, str] | None


def column_map(
    table: pd.DataFrame, columns: PlainMap, path: Path, place: str, decimal: str = "."
) -> Mapped:
    """`table` under our names; `decimal` is what parts the whole of a number from its fraction.

    A name may be dotted, to reach into records that stand in a cell. Raises FloplineError for a
    column that does not exist; `place` says where it was named.
    """
    if "line" in column_names(columns):
        raise FloplineError(
            f"{path}: a column 'line' cannot be told from the numbers of the lines: rename it."
        )
    demand_once([str(name) for name in table.columns], column_names(columns), path)
    line = table["line"].to_numpy()
    out: dict[str, object] = {"line": line}
    given: dict[str, pd.Series] = {}
    cells: list[Cells] = []
    bad: list[tuple[int, str]] = []
    for name, column in columns.items():
        series = {one: column_of(table, one) for one in columns_in(column)}
        for wanted, values in series.items():
            if values is None:
                there = [str(c) for c in table.columns if c != "line"]
                raise FloplineError(
                    f"{path} has no column '{wanted}' ({place}.{name} in the study file); "
                    f"it has: {', '.join(there)}{other_separator(there)}."
                )
        if name in TEXT_FACTS:
            out[name] = names_in(pd.DataFrame(series), column, path)
        else:
            given[name] = series[str(column)]
            cells.append(read_cells(given[name], name, decimal))
            out[name] = cells[-1].numbers
            bad += faulty(cells[-1], column, given[name], line)
    frame = pd.DataFrame(out, index=table.index)
    return Mapped(frame, given, *worst(cells, len(table)), min(bad, default=None))


def column_of(table: pd.DataFrame, name: str) -> pd.Series | None:
    """The column of a table that is called `name`, or what its dots reach; None without one."""
    for known in (name, name.strip()):
        if known in table:
            return table[known]
    parts = name.split(".")
    for depth in range(1, len(parts)):
        outer, inner = ".".join(parts[:depth]), ".".join(parts[depth:])
        if outer in table:
            reached = [reach(record_of(cell), inner) for cell in table[outer]]
            if any(value is not None for value in reached):
                return pd.Series(reached, index=table.index, dtype=object)
    return None


def record_of(cell: object) -> Any:
    """A record that stands in a cell, also as the text of one in JSON or Python; else the cell.

    So `str(run.config)` is written, as in the export that Weights & Biases documents.
    """
    if not isinstance(cell, str) or not cell.startswith("{"):
        return cell
    within = object_in(cell)
    return within[1] if within is not None and not within[0] else cell


def run_facts(source: SourceDocument, root: Path) -> pd.DataFrame:
    """The run table of a study's source under our names, one row per run.

    Numbers may be written as people do (1.3B). Raises FloplineError when it is missing, lacks a
    mapped column, has a row without a run or text where a number belongs.
    """
    runs = source["runs"]
    decimal = runs.get("decimal", ".")
    path = Path(runs["table"])
    table, unparsed = read_table(root / path)
    if unparsed:
        raise FloplineError(
            f"{path}, line {unparsed[0]}: the line is no complete record, so that a run would lack "
            "its facts: mend it or take it out."
        )
    if table.empty:
        raise FloplineError(f"{path} holds no row: a run table has one row per run.")
    columns, factors = plain_columns({k: v for k, v in runs["columns"].items() if k != "log"})
    mapped = column_map(table, columns, path, "source.runs.columns", decimal)
    for name, cells in mapped.given.items():
        _demand_numbers(cells, mapped.rows[name], table["line"], columns[name], path, decimal)
    facts = scaled(mapped.rows, factors)
    nameless = facts["line"][facts["run"].isna()]
    if len(nameless):
        raise FloplineError(f"{path}, line {nameless.iloc[0]}: the row names no run: name it.")
    return facts.drop(columns="line")


def _demand_numbers(
    cells: pd.Series,
    parsed: pd.Series,
    lines: pd.Series,
    column: PlainColumn,
    path: Path,
    decimal: str,
) -> None:
    """Raise FloplineError at the first of a column's cells that is neither a number nor empty.

    Raises:
        FloplineError: with the file, line, column and cell, and a mend.
    """
    text = cells.astype("string").str.strip()
    absent = (text.isna() | text.str.lower().isin(_ABSENT)).to_numpy(bool)
    for place in np.flatnonzero(~np.isfinite(parsed.to_numpy()) & ~absent):
        cell = text.iloc[place]
        raise FloplineError(
            f"{path}, line {lines.iloc[place]}: {column} is {cell[:60]!r}, "
            f"{why_no_number(cell, decimal)} or leave it empty."
        )
