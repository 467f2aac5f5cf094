"""Trackio's local store: one SQLite file a project, of all its runs.

`metrics` has a row for each logged step with its metrics as JSON, `configs` the config of each run
(https://huggingface.co/docs/trackio/storage_schema).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from flopline.decoders import Undecodable, decoding, json_of
from flopline.errors import FloplineError
from flopline.logs.reading import (
    BATCH,
    NOT_PARSED,
    LogFacts,
    PlainColumn,
    PlainMap,
    Raw,
    Wish,
    as_cell,
    column_names,
    columns_in,
    reach,
)

_MAGIC = b"SQLite format 3\0"


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is an SQLite file with the tables of Trackio."""
    return head.startswith(_MAGIC) and b"run_name" in head and b"metrics" in head


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The logged steps of all runs, by run and in the order of logging; `line` is their number.

    What stands in the config of a run are facts of it. Raises FloplineError where it is no whole
    database of Trackio.
    """
    columns: dict[str, PlainColumn] = {"step": "step", **(wish.columns or {}), "run": "run_name"}
    wanted = [name for name in column_names(columns) if name not in ("step", "run_name")]
    if not path.stat().st_size:
        return
    try:
        with decoding(), closing(sqlite3.connect(_read_only(path), uri=True)) as store:
            yield from _metrics(path, store, columns, wanted)
            _say(store, wish, facts)
    except Undecodable as error:
        raise FloplineError(
            f"{path} cannot be read as a store of Trackio ({error}): copy it again with its "
            "-wal file, or correct source.format."
        ) from None


def _read_only(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro"


def _metrics(
    path: Path, store: sqlite3.Connection, columns: PlainMap, wanted: list[str]
) -> Iterator[Raw]:
    names: dict[str, None] = {"step": None, "run_name": None}
    logged_rows = store.execute(
        "SELECT id, run_name, step, metrics FROM metrics ORDER BY run_name, id"
    )
    losses = columns_in(columns.get("loss", []))
    batches = []
    while batch := list(islice(logged_rows, BATCH)):
        rows, unparsed = [], []
        for number, run, step, text in batch:
            try:
                logged = json_of(text, parse_constant=str)
            except Undecodable:
                logged = None
            if not isinstance(logged, dict):
                unparsed.append((number, NOT_PARSED))
                continue
            names.update(dict.fromkeys(logged))
            cells = {name: as_cell(reach(logged, name)) for name in wanted}
            rows.append({"step": step, "run_name": run, **cells, "line": number})
        batches.append((rows, unparsed))
    # A metric that no run logs is missing, one that some batch lacks is not.
    there = ["step", "run_name", *(name for name in wanted if _is_there(name, names, batches))]
    if not any(name in there for name in losses):
        batches = [([], [])]
    for rows, unparsed in batches:
        yield Raw(
            pd.DataFrame(rows, columns=[*there, "line"], dtype=object), unparsed, [*names], columns
        )


def _is_there(name: str, names: dict[str, None], batches: list[Any]) -> bool:
    return name in names or any(row[name] is not None for rows, _ in batches for row in rows)


def _say(store: sqlite3.Connection, wish: Wish, facts: LogFacts) -> None:
    tables = store.execute("SELECT name FROM sqlite_master WHERE name = 'configs'").fetchall()
    for run, text in store.execute("SELECT run_name, config FROM configs") if tables else ():
        try:
            config = json_of(text)
        except Undecodable:
            continue
        for name in wish.facts:
            value = reach(config, name)
            if value is not None and not isinstance(value, list | dict):
                facts.say(str(run), name, value)
