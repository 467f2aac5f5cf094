"""Tables of finished runs or of run facts: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flopline.errors import FloplineError
from flopline.facts import TEXT_FACTS, parse_number
from flopline.logs.formats import FORMATS, table_format
from flopline.logs.opening import read_bytes
from flopline.logs.reading import plain_columns, scaled

_ABSENT = ("", "nan", "none", "null", "na", "n/a", "-")


def read_table(path: Path, format_name: str | None = None) -> tuple[pd.DataFrame, list[int]]:
    """A table as it stands plus its column `line`, and the numbers of lines that did not parse.

    Text tables come as text (an empty cell is missing), so that nothing is guessed. Raises
    FloplineError when the file is missing, broken or of an unknown ending.
    """
    entry = FORMATS[format_name] if format_name else table_format(path)
    table: tuple[pd.DataFrame, list[int]] = entry.load().read_runs(path, read_bytes(path))
    return table


def column_map(
    table: pd.DataFrame, columns: Mapping[str, Any], path: Path, place: str
) -> pd.DataFrame:
    """`table` under our names: text facts as text, all others as numbers (NaN where no number).

    Raises FloplineError for a column that does not exist; `place` says where it was named.
    """
    out: dict[str, Any] = {"line": table["line"].to_numpy()}
    for name, column in columns.items():
        if column not in table:
            has = ", ".join(str(c) for c in table.columns if c != "line")
            raise FloplineError(
                f"{path} has no column '{column}' ({place}.{name} in the study file); "
                f"it has: {has}."
            )
        values = table[column]
        out[name] = (
            values.astype("string").str.strip()
            if name in TEXT_FACTS
            else pd.to_numeric(values, errors="coerce").astype("float64")
        )
    return pd.DataFrame(out)


def run_facts(source: Mapping[str, Any], root: Path) -> pd.DataFrame:
    """The run table of a study's source under our names, one row per run.

    Numbers may be written as people do (1.3B). Raises FloplineError when it is missing, lacks a
    mapped column, has a row without a run or text where a number belongs.
    """
    runs = source["runs"]
    path = Path(runs["table"])
    table, _ = read_table(root / path)
    if table.empty:
        raise FloplineError(f"{path} holds no row: a run table has one row per run.")
    columns, factors = plain_columns({k: v for k, v in runs["columns"].items() if k != "log"})
    named = column_map(table, columns, path, "source.runs.columns")
    for name, column in columns.items():
        if name not in TEXT_FACTS:
            named[name] = _numbers(table, column, named[name], path)
    facts = scaled(named, factors)
    nameless = facts["line"][facts["run"].isna()]
    if len(nameless):
        raise FloplineError(f"{path}, line {nameless.iloc[0]}: the row names no run: name it.")
    return facts.drop(columns="line")


def _numbers(table: pd.DataFrame, column: str, parsed: pd.Series, path: Path) -> pd.Series:
    """`parsed` with what people write for numbers added; anything else is an error."""
    text = table[column].astype("string").str.strip()
    absent = (text.isna() | text.str.lower().isin(_ABSENT)).to_numpy(bool)
    out = parsed.copy()
    for place in np.flatnonzero(~np.isfinite(parsed.to_numpy()) & ~absent):
        out.iloc[place] = parse_number(text.iloc[place])
        if not np.isfinite(out.iloc[place]):
            raise FloplineError(
                f"{path}, line {table['line'].iloc[place]}: {column} is "
                f"{text.iloc[place][:60]!r}, which is no number: correct it or leave it empty."
            )
    return out
