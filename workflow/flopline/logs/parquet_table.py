"""Parquet: one row for each logged step."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flopline.decoders import Undecodable, decoding
from flopline.errors import FloplineError
from flopline.logs.delimited import say_constants
from flopline.logs.opening import head_of, read_bytes, refuse_bomb
from flopline.logs.reading import BATCH, LogFacts, Raw, Wish
from flopline.twins import demand_once

_NULLABLE_INTEGERS: Final = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}
"""Types that hold an absent whole number, where NumPy's would become floating-point."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first bytes are those of Parquet."""
    return head.startswith(b"PAR1")


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The wanted columns in batches; `line` counts the rows from 1.

    Raises FloplineError when the file is not Parquet.
    """
    packed = path.suffix.lower() in (".gz", ".xz", ".bz2", ".zst")
    if not head_of(path, 4):
        return
    try:
        with decoding():
            yield from _batches(
                pa.BufferReader(read_bytes(path)) if packed else path, path, wish, facts
            )
    except Undecodable as error:
        raise FloplineError(
            f"{path} is not a whole Parquet file ({error}): copy it again, or correct "
            "source.format."
        ) from None


def _batches(
    source: Path | pa.BufferReader, path: Path, wish: Wish, facts: LogFacts
) -> Iterator[Raw]:
    file = pq.ParquetFile(source)
    names = file.schema_arrow.names
    demand_once(names, wish.names, path)
    wanted = [name for name in wish.names if name in names]
    refuse_bomb(path, 8 * file.metadata.num_rows * max(len(wanted), 1))
    line = 0
    for batch in file.iter_batches(BATCH, columns=wanted):
        table = _frame(pa.Table.from_batches([batch]))
        table["line"] = np.arange(line + 1, line + len(table) + 1)
        line += len(table)
        say_constants(table, wish, facts, path)
        yield Raw(table, names=names)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Columns of a file: whole numbers stay whole beside absent ones, and NaN is no absent one."""
    gaps = any(pa.types.is_integer(c.type) and c.null_count for c in table.columns)
    # What pandas once wrote beside the columns makes indices of some and may be damaged.
    plain = table.replace_schema_metadata(None)
    frame: pd.DataFrame = plain.to_pandas(types_mapper=_NULLABLE_INTEGERS.get if gaps else None)
    for place, column in enumerate(table.columns):
        if not pa.types.is_floating(column.type):
            continue
        absent = np.isnan(frame.iloc[:, place].to_numpy())
        if np.count_nonzero(absent) > column.null_count:
            is_nan = absent & column.is_valid().to_numpy()
            frame.isetitem(place, frame.iloc[:, place].astype(object).mask(is_nan, "nan"))
    return frame


def read_runs(path: Path, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    """A table of runs, see `tables.read_table`."""
    try:
        with decoding():
            metadata = pq.read_metadata(io.BytesIO(data))
            refuse_bomb(path, 8 * metadata.num_rows * metadata.num_columns)
            table = _frame(pq.ParquetFile(io.BytesIO(data)).read())
    except Undecodable as error:
        raise FloplineError(
            f"{path} is not a Parquet file, or is cut off ({error}): copy it again."
        ) from None
    table["line"] = np.arange(1, len(table) + 1)
    return table, []
