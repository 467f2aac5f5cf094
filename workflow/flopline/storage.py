"""Files that hold results: Parquet and JSON, byte-identical for identical content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flopline.atomic import drop, part_of, replacing, seal, writing
from flopline.decoders import json_of
from flopline.errors import FloplineError

DAMAGED: Final = "remove it and start again: it is made anew"
"""What helps against a damaged result."""


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """A table as Parquet: zstd, text dictionary-encoded, row groups small enough to stream.

    Every page has its checksum. Raises FloplineError when the file cannot be written.
    """
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    with replacing(path) as part:
        pq.write_table(
            arrow, part, compression="zstd", row_group_size=1 << 17, write_page_checksum=True
        )


def read_parquet(path: Path, *, categories: bool = False) -> pd.DataFrame:
    """A table that this module wrote, its text as strings, or as `categories` where it was coded.

    Raises FloplineError when the file is damaged.
    """
    rows = read_arrow(path)
    with _undamaged(path):
        if categories:
            return rows.to_pandas()
        # Text is made a string by Arrow, which takes a tenth of the time.
        coded = [field for field in rows.schema if pa.types.is_dictionary(field.type)]
        for field in coded:
            place = rows.schema.get_field_index(field.name)
            rows = rows.set_column(place, field.name, rows[field.name].cast(field.type.value_type))
        strings = dict.fromkeys((pa.string(), pa.large_string()), pd.StringDtype())
        table = rows.to_pandas(types_mapper=strings.get)
    text = [name for name, dtype in table.dtypes.items() if pd.api.types.is_object_dtype(dtype)]
    return table.astype(dict.fromkeys(text, "string")) if text else table


def read_arrow(path: Path, *, again: bool = False) -> pa.Table:
    """The same as Arrow has it; raises FloplineError when the file is damaged.

    One that is to be read `again` is known then, within `reading_once`.
    """
    known = _known.get()
    if known is not None and path in known:
        return known[path] if again else known.pop(path)
    with _undamaged(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        table = file.read()
    if again and known is not None:
        known[path] = table
    return table


@contextmanager
def reading_once() -> Iterator[None]:
    """Within it, what is read of a table to be read again is kept for that: no file may change."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


_known: ContextVar[dict[Path, pa.Table] | None] = ContextVar("known tables", default=None)


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """What a damaged file does to its reader, turned into a FloplineError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise FloplineError(f"{path} is gone: start again, it is made anew.") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FloplineError(f"{path} is damaged ({reason}): {DAMAGED}.") from None


class RowGroups:
    """A Parquet file written row group by row group, so that no more than one is held.

    Leaves no file behind when its `with` block fails. Raises FloplineError when the file cannot
    be written.

    Small tables are gathered into one group of `least` rows or more; a table is never split, so
    that a group holds whole runs where each table does. Text is dictionary-encoded.
    """

    def __init__(self, path: Path, columns: Mapping[str, str], least: int = 1 << 19) -> None:
        self.schema = pa.schema([(name, _ARROW[dtype]) for name, dtype in columns.items()])
        text = [field.name for field in self.schema if field.type == _TEXT]
        self.path, self.part = path, part_of(path)
        with writing(path):
            self.writer = pq.ParquetWriter(
                self.part,
                self.schema,
                compression="zstd",
                use_dictionary=text or False,
                write_page_checksum=True,
            )
        self.least = least
        self.waiting: list[pa.Table] = []

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
                with writing(self.path):
                    self.writer.close()
                    seal(self.part, self.path)
            else:
                with suppress(OSError):
                    self.writer.close()
        finally:
            drop(self.part)

    def write(self, table: pd.DataFrame) -> None:
        """Add a table with at least the columns of the file; none are missing values then."""
        if table.empty:
            return
        self.waiting.append(_arrow(table, self.schema))
        if sum(t.num_rows for t in self.waiting) >= self.least:
            self._flush()

    def _flush(self) -> None:
        table = pa.concat_tables(self.waiting) if self.waiting else self.schema.empty_table()
        if table.num_rows:
            table = table.unify_dictionaries().combine_chunks()
            with writing(self.path):
                self.writer.write_table(table, row_group_size=table.num_rows)
        self.waiting = []


def row_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The row groups of a file of RowGroups one after another, text as categories.

    Raises FloplineError when the file is damaged.
    """
    with _undamaged(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    with file:
        for number in range(file.num_row_groups):
            with _undamaged(path):
                rows = file.read_row_group(number, columns=columns).to_pandas()
            yield rows


_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_ARROW: Final = {
    "string": _TEXT,
    "float64": pa.float64(),
    "Int64": pa.int64(),
    "int64": pa.int64(),
    "int32": pa.int32(),
}


def _arrow(table: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    return pa.table([_array(table, field) for field in schema], schema=schema)


def _array(table: pd.DataFrame, field: pa.Field) -> pa.Array:
    if field.name not in table:
        return pa.nulls(len(table), field.type)
    values = table[field.name]
    if field.type != _TEXT:
        return pa.array(values, type=field.type, from_pandas=field.type != pa.float64())
    category = values.astype("category").array
    codes = category.codes.astype("int32")
    words = pa.array(category.categories.tolist(), pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), words)


def write_json(content: Any, path: Path) -> None:
    """JSON in the given key order; raises ValueError for NaN, which JSON does not have."""
    write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Text as UTF-8. Raises FloplineError when the file cannot be written."""
    with replacing(path) as part:
        part.write_bytes(text.encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises FloplineError when the file is damaged."""
    with _undamaged(path):
        return json_of(path.read_text(encoding="utf-8"))
