"""Tables of finished runs or of run facts: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from flopline.errors import FloplineError
from flopline.facts import TEXT_FACTS, parse_number
from flopline.logs import jsonl, read_bytes
from flopline.logs.opening import refuse_bomb
from flopline.logs.reading import NOT_PARSED, plain_columns, scaled

SEPARATORS = {"csv": ",", "tsv": "\t"}
_ABSENT = ("", "nan", "none", "null", "na", "n/a", "-")


def read_table(path: Path, format_name: str | None = None) -> tuple[pd.DataFrame, list[int]]:
    """A table as it stands plus its column `line`, and the numbers of lines that did not parse.

    Text tables come as text (an empty cell is missing), so that nothing is guessed. Raises
    FloplineError when the file is missing, broken or of an unknown ending.
    """
    name = format_name or _format_of(path)
    data = read_bytes(path)
    if name == "parquet":
        try:
            told = pq.read_metadata(io.BytesIO(data))
            refuse_bomb(path, 8 * told.num_rows * told.num_columns)
            table = pd.read_parquet(io.BytesIO(data))
        except FloplineError:
            raise
        except Exception as error:
            raise FloplineError(
                f"{path} is not a Parquet file, or is cut off ({str(error).rstrip('.')}): copy it "
                "again."
            ) from None
        table["line"] = np.arange(1, len(table) + 1)
        return table, []
    if name == "jsonl":
        table, unparsed = jsonl.parse(data, [])
        return table, [line for line, reason in unparsed if reason == NOT_PARSED]
    return _read_delimited(path, data, SEPARATORS[name])


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


def _format_of(path: Path) -> str:
    endings = [s.lstrip(".").lower() for s in path.suffixes]
    for known, name in {**{k: k for k in SEPARATORS}, "parquet": "parquet"}.items():
        if known in endings:
            return name
    if any(e in ("jsonl", "ndjson") for e in endings):
        return "jsonl"
    raise FloplineError(
        f"{path}: the ending does not tell what this table is; name source.format "
        "(csv, tsv, jsonl or parquet)."
    )


def _read_delimited(path: Path, data: bytes, separator: str) -> tuple[pd.DataFrame, list[int]]:
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
