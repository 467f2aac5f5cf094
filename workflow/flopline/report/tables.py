"""Long tables of the page: columns with a label, cells with a text and a sort key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from flopline.numbers import MISSING


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column of a frame and how it is shown; `label` is None for text."""

    name: str
    header: str
    label: Callable[[float], str] | None = None
    style: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shows; `sort` is the exact number behind a rounded one."""

    text: str
    sort: str = ""


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table that the reader may sort and filter."""

    id: str
    caption: str
    columns: Sequence[ColumnSpec]
    rows: Sequence[Sequence[Cell]]


def data_table(
    table_id: str, caption: str, frame: pd.DataFrame, specs: Sequence[ColumnSpec]
) -> DataTable:
    """`frame` as a table of the page, without the columns that hold nothing at all."""
    used = [s for s in specs if s.name in frame and (frame.empty or frame[s.name].notna().any())]
    columns = [[_cell(value, spec) for value in frame[spec.name]] for spec in used]
    return DataTable(table_id, caption, used, list(zip(*columns, strict=True)))


def _cell(value: object, spec: ColumnSpec) -> Cell:
    if pd.isna(value):
        return Cell(MISSING)
    if spec.label is None:
        return Cell(str(value))
    exact = float(value)  # type: ignore[arg-type]
    return Cell(spec.label(exact), repr(exact))
