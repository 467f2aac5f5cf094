"""Files that hold results: Parquet and JSON, byte-identical for identical content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flopline.errors import FloplineError


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """A table as Parquet: zstd, text dictionary-encoded, row groups small enough to stream."""
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    pq.write_table(arrow, path, compression="zstd", row_group_size=1 << 17)


def read_parquet(path: Path) -> pd.DataFrame:
    """A table that write_parquet wrote; raises FloplineError when the file is damaged."""
    try:
        table = pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise FloplineError(
            f"{path} is damaged ({error}): remove it and run again, it will be made anew."
        ) from None
    text = table.select_dtypes(include=["object", "str"]).columns
    return table.astype(dict.fromkeys(text, "string"))


def write_json(content: Any, path: Path) -> None:
    """JSON in the given key order; raises ValueError for NaN, which JSON does not have."""
    path.write_text(
        json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
