"""Runs of a project in Trackio's local store, by the SQLite file that holds them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from flopline.decoders import Undecodable, decoding, json_of
from flopline.errors import FloplineError
from flopline.fetching.snapshots import Fetched, Snapshot, Source
from flopline.fetching.tracked_runs import (
    LeftOut,
    TrackedRun,
    write_history,
    write_run_table,
)


def source(project: str) -> Source:
    """The source `trackio:PROJECT`."""
    if not project or "/" in project:
        raise FloplineError(
            f"trackio:{project} names no project: write trackio:PROJECT; of a Space fetch its data "
            "set, as hf://datasets/OWNER/NAME."
        )
    return Source("trackio", f"trackio:{project}")


def store_folder() -> Path:
    """Where Trackio keeps its projects, as its own package looks for them."""
    if own := os.environ.get("TRACKIO_DIR"):
        return Path(own)
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path("~/.cache/huggingface").expanduser()) / "trackio"


def fill(place: Path, before: Snapshot | None, of: Source, folder: Path) -> Fetched:
    """Write all runs of the project; the store may be written to meanwhile."""
    project = of.address.removeprefix("trackio:")
    path = folder / f"{project}.db"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.db"))[:5])
        raise FloplineError(
            f"{folder} has no project {project!r} of Trackio (it has {there or 'none'}): correct "
            "the name, or set TRACKIO_DIR to the folder of its store."
        )
    left = LeftOut()
    try:
        with (
            decoding(),
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store,
        ):
            # One transaction: what is logged from here on belongs to the next fetch.
            store.execute("BEGIN")
            runs = _runs(store)
            for run in runs:
                write_history(place, run.id, _history(store, run), left)
    except Undecodable as error:
        raise FloplineError(
            f"{path} cannot be read as a store of Trackio ({error}): copy it again with its -wal "
            "file."
        ) from None
    if not runs:
        raise FloplineError(f"{of.address} holds no run in {folder}: name another project.")
    write_run_table(place, runs, left)
    return Fetched([of], notes=left.sentences())


def _runs(store: sqlite3.Connection) -> list[TrackedRun]:
    """The runs with their configs; older stores know them by name alone."""
    key = "run_id" if _has_column(store, "metrics", "run_id") else "run_name"
    named = store.execute(f"SELECT DISTINCT {key}, run_name FROM metrics").fetchall()  # noqa: S608
    configs: dict[str, Any] = {}
    if store.execute("SELECT name FROM sqlite_master WHERE name = 'configs'").fetchone():
        known = key if _has_column(store, "configs", key) else "run_name"
        configs = dict(store.execute(f"SELECT {known}, config FROM configs"))  # noqa: S608
    runs = []
    for run, name in sorted(named):
        config = json_of(configs[run]) if run in configs else {}
        own = {key: value for key, value in config.items() if not key.startswith("_")}
        runs.append(TrackedRun(str(run), str(name), "", own))
    return runs


def _history(store: sqlite3.Connection, run: TrackedRun) -> Iterator[dict[str, Any]]:
    key = "run_id" if _has_column(store, "metrics", "run_id") else "run_name"
    rows = store.execute(
        f"SELECT step, timestamp, metrics FROM metrics WHERE {key} = ? ORDER BY id",  # noqa: S608
        (run.id,),
    )
    for step, timestamp, metrics in rows:
        yield {**json_of(metrics), "step": step, "timestamp": timestamp}


def _has_column(store: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in store.execute(f"PRAGMA table_info({table})"))
