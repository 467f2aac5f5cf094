"""Parquet: one row for each logged step."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
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
    file = _opened(source)
    names = file.schema_arrow.names
    demand_once(names, wish.names, path)
    wanted = [name for name in wish.names if name in names]
    refuse_bomb(path, 8 * _values(file.metadata, set(wanted)))
    line = letters = 0
    for batch in file.iter_batches(BATCH, columns=wanted):
        letters += _letters(batch)
        refuse_bomb(path, letters)
        table = _frame(pa.Table.from_batches([batch]))
        table["line"] = np.arange(line + 1, line + len(table) + 1)
        line += len(table)
        say_constants(table, wish, facts, path)
        yield Raw(table, names=names if wish.rows is None else list(_leaves(file.schema_arrow)))


def _leaves(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[str]:
    """The names of columns, those within records by dots."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def _opened(source: Any) -> pq.ParquetFile:
    """A file whose texts stay what they are in it, numbers of the words of a dictionary.

    A word of a megabyte may stand there once and be the name of every row.
    """
    schema = pq.read_schema(source)
    texts = [field.name for field in schema if _is_text(field.type)]
    if isinstance(source, io.BytesIO | pa.BufferReader):
        source.seek(0)
    return pq.ParquetFile(source, read_dictionary=texts)


def _values(metadata: pq.FileMetaData, wanted: AbstractSet[str] | None = None) -> int:
    """How many values the columns of a file hold, those of lists one by one."""
    columns = [
        place
        for place in range(metadata.num_columns)
        if wanted is None or metadata.schema.column(place).path.split(".")[0] in wanted
    ]
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    values = sum(int(group.column(place).num_values) for group in groups for place in columns)
    return max(values, int(metadata.num_rows))


def _letters(batch: pa.RecordBatch | pa.Table) -> int:
    """The bytes of its texts, each as often as it stands there."""
    letters = 0
    for column in batch.columns:
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            if pa.types.is_dictionary(chunk.type) and _is_text(chunk.type):
                lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
                letters += pc.sum(lengths.cast(pa.int64())).as_py() or 0
    return letters


def _is_text(kind: pa.DataType) -> bool:
    """Whether values are texts, or numbers of those in a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without a dictionary."""
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _frame(table: pa.Table) -> pd.DataFrame:
    """Columns of a file: whole numbers stay whole beside absent ones, and NaN is no absent one."""
    gaps = any(pa.types.is_integer(c.type) and c.null_count for c in table.columns)
    # What pandas once wrote beside the columns makes indices of some and may be damaged.
    plain = pa.table([_plain(column) for column in table.columns], names=table.column_names)
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
            file = _opened(io.BytesIO(data))
            refuse_bomb(path, 8 * _values(file.metadata))
            content = file.read()
            refuse_bomb(path, _letters(content))
            table = _frame(content)
    except Undecodable as error:
        raise FloplineError(
            f"{path} is not a Parquet file, or is cut off ({error}): copy it again."
        ) from None
    table["line"] = np.arange(1, len(table) + 1)
    return table, []
