"""The same runs, handed over in another way: what must be the same, and what may tell of the way.

docs/caching.md has the table; here each line of it is read and cleaned, as the workflow does it.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flopline.clean.gathering import gather
from flopline.clean.rows import clean_rows
from flopline.clean.run_facts import with_facts
from flopline.hashing import hash_file
from flopline.ingesting import ingest
from flopline.schema import CURVES, DROPPED, conform
from flopline.tables import run_facts
from running.log_search import log_files
from running.shards import by_shard, hold_several
from tests.builders.studies import loaded, study_of, write_study_file
from tests.conftest import ROOT

Record = dict[str, Any]
COLUMNS = {"step": "step", "tokens": "tokens", "loss": "loss"}
NAMES = ("ash", "birch", "cedar", "dogwood", "elm")


def records(run: str) -> list[Record]:
    """The rows of a run, whose loss is noisy."""
    number = NAMES.index(run)
    rng = np.random.default_rng(number)
    return [
        {"step": 10 * k, "tokens": 1000 * k * (number + 1),
         "loss": round(2 + 9 / k + rng.normal(0, 0.01), 4)}
        for k in range(1, 31)
    ]  # fmt: skip


def as_json(rows: Sequence[Record], number: Callable[[Any], str] = json.dumps) -> str:
    return "".join(
        "{" + ", ".join(f'"{k}": {number(v)}' for k, v in row.items()) + "}\n" for row in rows
    )


def as_table(rows: Sequence[Record], separator: str) -> str:
    cells = [[str(value) for value in row.values()] for row in rows]
    return "\n".join(separator.join(row) for row in [list(rows[0]), *cells]) + "\n"


def as_text(rows: Sequence[Record]) -> str:
    return "".join(" | ".join(f"{k}: {v}" for k, v in row.items()) + "\n" for row in rows)


def as_parquet(rows: Sequence[Record]) -> bytes:
    sink = pa.BufferOutputStream()
    pd.DataFrame(rows).to_parquet(sink)
    return sink.getvalue().to_pybytes()


def turned(rows: Sequence[Record]) -> list[Record]:
    return [dict(reversed(row.items())) for row in rows]


def shuffled(rows: Sequence[Record]) -> list[Record]:
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def logs(
    made_of: Callable[[list[Record]], str | bytes], ending: str = "jsonl", **source: Any
) -> Callable[[Path], Record]:
    """Writes a log for each run; what the study says beside its columns is `source`."""

    def written(folder: Path) -> Record:
        for run in NAMES:
            write(folder / f"logs/{run}.{ending}", made_of(records(run)))
        write_run_table(folder)
        return {"paths": f"logs/*.{ending}", **source}

    return written


def write_run_table(
    folder: Path, runs: Sequence[str] = NAMES, keys: Sequence[str] = ("run", "n")
) -> None:
    with (folder / "runs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(keys)
        for run in runs:
            row = {"run": run, "n": 10**6 * (1 + NAMES.index(run))}
            writer.writerow([row[key] for key in keys])


def in_one_file(folder: Path) -> Record:
    rows = [{"run": run, **row} for run in NAMES for row in records(run)]
    write(folder / "logs/all.jsonl", as_json(rows))
    write_run_table(folder)
    return {"paths": "logs/all.jsonl", "columns": {"run": "run", **COLUMNS}}


def in_pieces(folder: Path) -> Record:
    for run in NAMES:
        rows = records(run)
        write(folder / f"logs/{run}-part0.jsonl", as_json(rows[:12]))
        write(folder / f"logs/{run}-part1.jsonl", as_json(rows[12:]))
    write_run_table(folder)
    return {"paths": "logs/*", "pieces": "(.+)-part[0-9]"}


def with_run_table(**how: Any) -> Callable[[Path], Record]:
    def written(folder: Path) -> Record:
        source = logs(as_json)(folder)
        write_run_table(folder, **how)
        return source

    return written


def packed(pack: Callable[[bytes], bytes]) -> Callable[[list[Record]], bytes]:
    return lambda rows: pack(as_json(rows).encode())


BACKWARDS = [f"logs/{run}.jsonl" for run in reversed(NAMES)]
VARIANTS: Final[Mapping[str, Sequence[Callable[[Path], Record]]]] = {
    "files listed in another order": [logs(as_json, paths=BACKWARDS)],
    "another number of shards": [logs(as_json, shards=3)],
    "rows or columns of the run table in another order": [
        with_run_table(runs=NAMES[::-1]),
        with_run_table(keys=("n", "run")),
    ],
    "logs compressed, or otherwise so": [
        logs(packed(lambda data: gzip.compress(data, mtime=0)), "jsonl.gz"),
        logs(packed(lambda data: pa.compress(data, "zstd", asbytes=True)), "jsonl.zst"),
    ],
    "columns of logs in another order": [
        logs(lambda rows: as_json(turned(rows))),
    ],
    "the same numbers spelled otherwise": [logs(lambda rows: as_json(rows, "{:.12e}".format))],
    "the same numbers in another format": [
        logs(lambda rows: as_table(rows, ","), "csv"),
        logs(lambda rows: as_table(rows, "\t"), "tsv"),
        logs(as_text, "log"),
        logs(as_parquet, "parquet"),
    ],
    "all runs in one file": [in_one_file],
    "a run in several files": [in_pieces],
    "lines of logs in another order": [
        logs(lambda rows: as_json(rows[::-1])),
        logs(lambda rows: as_json(shuffled(rows))),
    ],
}
"""Ways to hand over the same runs, by their line in docs/caching.md."""


def read_and_cleaned(folder: Path, source: Record) -> dict[str, pd.DataFrame]:
    """The tables of runs, curves and dropped rows, and the notes, of a study with this source."""
    facts = {"table": "runs.csv", "columns": {"run": "run", "params": "n"}}
    full = {"kind": "logs", "columns": COLUMNS, "runs": facts, **source}
    write_study_file(folder, "toy", study_of(full) | {"loss_split": "val"})
    study = loaded(folder)
    files = log_files(study, folder)
    for file in files:
        file["sha256"] = hash_file(folder / file["path"])
    together = hold_several(study["source"], [file["path"] for file in files])
    table = run_facts(study["source"], folder)
    parts = []
    for shard in by_shard(files, study["source"]["shards"], together):
        raw = ingest(study, shard, folder)
        parts.append(clean_rows(raw, with_facts(raw.runs, table, study), study))
    curves, dropped, tallied = (
        pd.concat([getattr(part, name) for part in parts]) for name in ("curves", "dropped", "runs")
    )
    runs, notes = gather(tallied, table, study)
    return {
        "runs": runs,
        "curves": conform(curves, CURVES).sort_values(["run", "step"], ignore_index=True),
        "dropped": conform(dropped, DROPPED).sort_values(["run", "step"], ignore_index=True),
        "notes": pd.DataFrame({"notes": [" ".join(notes)]}),
    }


def differing(one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame]) -> set[str]:
    """The columns, as TABLE.COLUMN, in which two studies differ; the table where its rows do."""
    out = set()
    for name, table in one.items():
        if len(table) != len(other[name]):
            out.add(name)
            continue
        plain = [t.astype(object).where(t.notna(), None) for t in (table, other[name])]
        out |= {f"{name}.{c}" for c in table if not plain[0][c].equals(plain[1][c])}
    return out


def table_of_docs() -> dict[str, set[str]]:
    """Each way of docs/caching.md with the columns that may differ."""
    text = (ROOT / "docs/caching.md").read_text()
    lines = re.search(r"\| the same runs, with \|.*?\n\n", text, re.DOTALL)
    assert lines is not None
    rows = [line.strip("| ").split(" | ") for line in lines[0].strip().splitlines()[2:]]
    return {row[0]: set(re.findall(r"`(\w+\.\w+)`", row[1])) for row in rows}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("plain")
    tables = read_and_cleaned(folder, logs(as_json)(folder))
    assert set(tables["runs"]["status"]) == {"kept"}
    assert tables["dropped"].empty
    return tables


@pytest.mark.parametrize("way", VARIANTS)
def test_runs_handed_over_in_another_way_are_the_same(
    way: str, plain: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    seen = set()
    for number, written in enumerate(VARIANTS[way]):
        folder = tmp_path / str(number)
        folder.mkdir()
        seen |= differing(plain, read_and_cleaned(folder, written(folder)))
    assert seen == table_of_docs()[way]


def test_every_line_of_the_docs_is_tried() -> None:
    assert list(table_of_docs()) == list(VARIANTS)
