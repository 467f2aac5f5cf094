"""JSON lines: one object per line, columns named in the study file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.json

from flopline.logs.reading import NOT_PARSED, Reading, curve_rows

NAME = "jsonl"


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first line that holds anything is a JSON object."""
    first = next((line for line in head.splitlines() if line.strip()), b"")
    if path.name.lower().split(".")[-1] in ("jsonl", "ndjson"):
        return True
    try:
        return isinstance(json.loads(first), dict)
    except ValueError:
        return False


def read(path: Path, data: bytes, columns: dict[str, Any]) -> Reading:
    """The rows of JSON lines; a line that is no JSON object is dropped with its number.

    Column names may be dotted to reach into nested objects. Raises FloplineError when no line has
    a mapped column.
    """
    table, unparsed = parse(data, _wanted(columns))
    return curve_rows(table, columns, path, unparsed)


def parse(data: bytes, wanted: list[str]) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """The lines as a table with `line`, and (line, reason) of what is no JSON object.

    Arrow reads what is well formed. The lines are taken one by one where it refuses, where blank
    lines would put its count off, and where a NaN is written, which it cannot tell from null.
    """
    if not data.strip():
        return pd.DataFrame(), []
    if not any(mark in data for mark in (b"\n\n", b"\r", b"NaN")) and data[:1] != b"\n":
        try:
            table = _arrow(data)
        except pa.ArrowInvalid:
            pass
        else:
            table["line"] = range(1, len(table) + 1)
            return table, []
    return _line_by_line(data, wanted)


def _arrow(data: bytes) -> pd.DataFrame:
    block = max(1 << 20, min(len(data), 1 << 26))
    table = pa.json.read_json(
        io.BytesIO(data), read_options=pa.json.ReadOptions(use_threads=False, block_size=block)
    )
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    # Integers with gaps would turn into floats by themselves; text stays Python objects.
    return table.to_pandas(integer_object_nulls=False, date_as_object=True)


def _line_by_line(data: bytes, wanted: list[str]) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    records: list[dict[str, Any]] = []
    unparsed: list[tuple[int, str]] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8", errors="replace")
            record = json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            unparsed.append((number, NOT_PARSED))
            continue
        reached = {name: value for name in wanted if (value := _reach(record, name)) is not None}
        records.append({**record, **reached, "line": number})
    return pd.DataFrame(records), unparsed


def _wanted(columns: dict[str, Any]) -> list[str]:
    names = [c for v in columns.values() for c in (v.values() if isinstance(v, dict) else [v])]
    return [name for name in names if "." in name]


def _reach(record: Any, dotted: str) -> Any:
    if isinstance(record, dict) and dotted in record:
        return record[dotted]
    for part in dotted.split("."):
        if not isinstance(record, dict) or part not in record:
            return None
        record = record[part]
    return record
