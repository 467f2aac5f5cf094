"""Tables of the page: cells with a text and a sort key, and the same numbers in full as CSV."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.numbers import MISSING, count
from flopline.report.formatting import value_text, words

MOST_ROWS: Final = 1000
"""More rows than this make a page slow to sort and to scroll; the CSV holds more."""

MOST_CSV_BYTES: Final = 1_400_000
"""Browsers save data links of up to 2 MiB; base64 takes a third more than the text itself."""

FORMULA: Final = ("=", "+", "-", "@")
"""A spreadsheet takes a text that begins with one of these for a formula."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column of a frame and how it is shown; `label` is None for text.

    `unit` stands in the header of the CSV, beside the column's name.
    """

    name: str
    header: str
    label: Callable[[float], str] | None = None
    style: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shows; `sort` is the exact number behind a rounded one."""

    text: str
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Csv:
    """A CSV file as a link that needs no script: how many rows it holds, of how many."""

    href: str
    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text that the reader may copy, and a link that saves it without a script."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table that the reader may sort, search and download; `cut` says what is not shown."""

    id: str
    caption: str
    columns: Sequence[ColumnSpec]
    rows: Sequence[Sequence[Cell]]
    csv: Csv
    cut: str


def data_table(
    table_id: str,
    caption: str,
    frame: pd.DataFrame,
    specs: Sequence[ColumnSpec],
    full_copy: str = "",
) -> DataTable:
    """`frame` as a table of the page, without the columns that hold nothing at all.

    `full_copy` is a file that holds every row, for the sentence that says what is cut.

    Returns the table with its CSV; both are cut where they would be too long.
    """
    used = [s for s in specs if s.name in frame and (frame.empty or frame[s.name].notna().any())]
    head = frame.head(MOST_ROWS)
    columns = [[_cell(value, spec) for value in head[spec.name]] for spec in used]
    file = csv_file(frame, {spec.name: spec.unit for spec in used})
    rows = list(zip(*columns, strict=True))
    return DataTable(table_id, caption, used, rows, file, _cut(len(frame), file, full_copy))


def records_table(
    table_id: str, caption: str, records: Sequence[Mapping[str, object]]
) -> DataTable:
    """Diagnostics that are records, such as one per budget, as a table of the page."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    columns = [ColumnSpec(key, words(key), style="num" if _numeric(records, key) else "")
               for key in keys]  # fmt: skip
    rows_of_cells = [
        [Cell(value_text(r.get(key), key), _exact(r.get(key))) for key in keys]
        for r in records[:MOST_ROWS]
    ]
    plain = [
        {k: value_text(v, k) if isinstance(v, (list, Mapping)) else v for k, v in r.items()}
        for r in records
    ]
    file = csv_file(pd.DataFrame(plain, columns=keys, dtype=object), dict.fromkeys(keys, ""))
    return DataTable(table_id, caption, columns, rows_of_cells, file, _cut(len(records), file, ""))


def csv_file(frame: pd.DataFrame, units: Mapping[str, str]) -> Csv:
    """The columns named by `units` {column: unit} as a CSV link, numbers in full precision.

    Texts that a spreadsheet would take for a formula are led by an apostrophe. Rows beyond
    MOST_CSV_BYTES are left out.
    """
    header = [f"{name} [{unit}]" if unit else name for name, unit in units.items()]
    parts = [_line(header)]
    size = len(parts[0].encode())
    for row in frame[list(units)].itertuples(index=False, name=None):
        line = _line([_field(value) for value in row])
        size += len(line.encode())
        if size > MOST_CSV_BYTES:
            break
        parts.append(line)
    return Csv(_link("".join(parts), "text/csv"), len(parts) - 1, len(frame))


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts are led by an apostrophe where a spreadsheet would run them."""
    texts = frame.select_dtypes(["object", "string", "category"])
    escaped = texts.astype(object).map(_no_formula, na_action="ignore")
    return frame.assign(**{str(name): escaped[name] for name in escaped})


def text_file(text: str) -> TextFile:
    """A text with a link that saves it."""
    return TextFile(text, _link(text, "text/plain"))


def _link(text: str, kind: str) -> str:
    encoded = base64.b64encode(text.encode()).decode("ascii")
    return f"data:{kind};charset=utf-8;base64,{encoded}"


def _line(fields: Sequence[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(fields)
    return stream.getvalue()


def _cut(total: int, file: Csv, full_copy: str) -> str:
    if total <= MOST_ROWS:
        return ""
    held = "all of them" if file.rows == total else f"the first {file.rows:,}"
    rest = f"; {full_copy} holds every row" if full_copy and file.rows < total else ""
    return (
        f"The first {MOST_ROWS:,} of {count(total, 'row')} stand here, and sorting and search go "
        f"over these alone. The CSV holds {held}{rest}."
    )


def _cell(value: object, spec: ColumnSpec) -> Cell:
    if pd.isna(value):
        return Cell(MISSING)
    if spec.label is None:
        return Cell(str(value))
    exact = float(value)  # type: ignore[arg-type]
    return Cell(spec.label(exact), repr(exact))


def _field(value: Any) -> str:
    """A value as it stands in a CSV: numbers in full, texts that no spreadsheet runs."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return "" if math.isnan(value) else repr(value)
    if value is None or pd.isna(value):
        return ""
    return _no_formula(str(value))


def _no_formula(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _exact(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    return ""


def _numeric(records: Sequence[Mapping[str, object]], key: str) -> bool:
    known = [r[key] for r in records if r.get(key) is not None]
    return bool(known) and all(_exact(value) for value in known)
