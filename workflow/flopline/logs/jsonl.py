"""JSON lines: one object per line, columns named in the study file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.json

from flopline.logs.reading import NOT_PARSED, Facts, Reading, Wish, curve_rows, reach

NAME = "jsonl"
COLUMNS = None
TEXT_COLUMNS = ("split", "run")
FIRST_LINES = 64
"""Lines in which facts of a run are looked for, such as a header before the first loss."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the ending says JSON lines or the first line that holds anything is an object."""
    if path.name.lower().split(".")[-1] in ("jsonl", "ndjson"):
        return True
    first = next((line for line in head.splitlines() if line.strip()), b"")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def read(path: Path, data: bytes, columns: dict[str, Any]) -> Reading:
    """The rows of JSON lines; a line that is no JSON object is dropped with its number.

    Column names may be dotted to reach into nested objects. Raises FloplineError when no line has
    a mapped column.
    """
    table = _well_formed(data, columns)
    unparsed: list[tuple[int, str]] = []
    if table is None:
        table, unparsed = parse(data, [name for name in _names(columns) if "." in name])
    return curve_rows(table, columns, path, unparsed)


def parse(data: bytes, wanted: list[str]) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """The lines one by one as a table with `line`, and (line, reason) of what is no JSON object.

    Dotted names in `wanted` become columns of their own.
    """
    records: list[dict[str, Any]] = []
    unparsed: list[tuple[int, str]] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8", errors="replace"), parse_constant=str)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            unparsed.append((number, NOT_PARSED))
            continue
        reached = {name: value for name in wanted if (value := reach(record, name)) is not None}
        records.append({**record, **reached, "line": number})
    return pd.DataFrame(records), unparsed


def say_facts(data: bytes, wish: Wish, facts: Facts) -> None:
    """Note the wanted facts that stand in one of the first lines; names may be dotted."""
    for line in data.split(b"\n", FIRST_LINES)[:FIRST_LINES] if wish.facts else ():
        try:
            record = json.loads(line.decode("utf-8", errors="replace"))
        except (ValueError, RecursionError):
            continue
        for name in wish.facts:
            value = reach(record, name)
            if value is not None and name not in facts.said.get("", {}):
                facts.say("", name, value)


def _well_formed(data: bytes, columns: dict[str, Any]) -> pd.DataFrame | None:
    """The mapped columns as Arrow reads them, an order of magnitude faster; None where it cannot.

    That is where a line is blank or no object (which Arrow may answer with a crash), where a NaN
    is written (which it cannot tell from null), where a number is written as text, and where a
    column is nested or never there.
    """
    lines = data.rstrip(b"\n").count(b"\n") + 1
    names = _names(columns)
    every_line_opens = data[:1] == b"{" and data.count(b"\n{") == lines - 1
    if not every_line_opens or b"NaN" in data or any("." in name for name in names):
        return None
    text = {columns[name] for name in TEXT_COLUMNS if name in columns}
    types = {name: pa.string() if name in text else pa.float64() for name in sorted(names)}
    try:
        table = pa.json.read_json(
            io.BytesIO(data),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=max(1 << 20, len(data))),
            parse_options=pa.json.ParseOptions(
                explicit_schema=pa.schema(types), unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != lines or any(c.null_count == len(c) for c in table.columns):
        return None
    return table.to_pandas().assign(line=range(1, lines + 1))


def _names(columns: dict[str, Any]) -> list[str]:
    return [c for v in columns.values() for c in (v.values() if isinstance(v, dict) else [v])]
