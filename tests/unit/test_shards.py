"""Shards: whole runs, one piece of the work each, and the same result as all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.clean import clean
from flopline.clean.batches import clean_batches
from flopline.clean.gathering import gather
from flopline.clean.run_facts import with_facts
from flopline.errors import FloplineError
from flopline.ingesting import RAW_CURVES, ingest, ingest_runs
from flopline.points import CURVE, checkpoint_points, read_curves, thinned
from flopline.schema import CURVES, DROPPED, conform
from flopline.storage import RowGroups, read_parquet, row_groups
from running.log_search import log_files
from running.shards import by_shard, fact_digests, hold_several
from tests.builders.raw_rows import study

COLUMNS = {"step": "step", "tokens": "tokens", "loss": "loss"}


def write_log(path: Path, *steps: int, bad: bool = False) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"step": s, "tokens": 10_000 * s, "loss": 2 + 1 / s, "note": path.name} for s in steps]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text + ("{cut" if bad else ""))
    return path.name


def settings(folder: Path, **source: Any) -> dict[str, Any]:
    return {
        "file": "s.yaml",
        "source": {"kind": "logs", "paths": "logs/*.jsonl", "columns": COLUMNS, **source},
    }


def many(folder: Path) -> tuple[list[dict[str, str]], pd.DataFrame, dict[str, Any]]:
    """Nine runs, one of them in two files, one with a line cut off, one empty."""
    for number in range(7):
        write_log(folder / f"logs/r{number}.jsonl", *range(1, 9), bad=number == 3)
    write_log(folder / "logs/r7-a.jsonl", *range(1, 6))
    write_log(folder / "logs/r7-b.jsonl", *range(4, 9))
    write_log(folder / "logs/r8.jsonl")
    files = log_files(settings(folder, pieces="(r7)-[ab]"), folder)
    files = [{**file, "sha256": file["path"]} for file in files]
    facts = pd.DataFrame({"run": [f"r{n}" for n in range(9)], "family": "ash", "params": 1e3})
    return files, facts, study(source={"columns": COLUMNS})


def test_pattern_names_the_run_of_its_pieces(tmp_path: Path) -> None:
    files, _, _ = many(tmp_path)
    paths = [file["path"] for file in files if file["run"] == "r7"]
    assert paths == ["logs/r7-a.jsonl", "logs/r7-b.jsonl"]
    assert [file["run"] for file in files].count("r6") == 1


def test_files_of_several_runs_stand_in_one_shard(tmp_path: Path) -> None:
    """Two such files may hold rows of one run, which two jobs would take for two runs."""
    files = [{"run": name, "path": f"{name}.csv"} for name in "abcdef"]
    paths = [file["path"] for file in files]
    assert hold_several({"kind": "logs", "format": "wandb_chart"}, paths)
    assert hold_several({"kind": "logs", "columns": {"run": "id", "loss": "l"}}, ["a.jsonl"])
    assert hold_several({"kind": "logs", "columns": {"loss": "l"}}, paths)
    assert not hold_several({"kind": "logs", "format": "csv", "columns": {"loss": "l"}}, paths)
    assert not hold_several({"kind": "logs", "columns": {"loss": "l"}}, ["a.jsonl.gz"])
    assert [len(part) for part in by_shard(files, 4, together=True)] == [6, 0, 0, 0]
    assert max(len(part) for part in by_shard(files, 4)) < 6


def test_run_table_may_give_a_run_several_logs(tmp_path: Path) -> None:
    for part in "ab":
        write_log(tmp_path / f"logs/{part}.jsonl", 1)
    table = tmp_path / "runs.csv"
    runs = {"table": "runs.csv", "columns": {"run": "run", "log": "log", "params": "n"}}
    table.write_text("run,log,n\nx,logs/a.jsonl,1\nx,logs/b.jsonl,1\n")
    files = log_files(settings(tmp_path, runs=runs), tmp_path)
    assert files == [{"run": "x", "path": f"logs/{part}.jsonl"} for part in "ab"]
    table.write_text("run,log,n\nx,logs/a.jsonl,1\ny,logs/a.jsonl,1\n")
    with pytest.raises(FloplineError, match=r"logs/a\.jsonl stands there twice.*'x' and run 'y'"):
        log_files(settings(tmp_path, runs=runs), tmp_path)
    # Each of its runs needs a log of its own, or one of them would be the trunk alone.
    (tmp_path / "logs/c.jsonl").write_text("{}\n")
    table.write_text("run,log,n\nx,logs/a.jsonl,1\nx,logs/b.jsonl,1\ny,logs/a.jsonl,1\n")
    with pytest.raises(FloplineError, match="the beginning of several runs"):
        log_files(settings(tmp_path, runs=runs), tmp_path)
    table.write_text(table.read_text() + "y,logs/c.jsonl,1\n")
    files = log_files(settings(tmp_path, runs=runs), tmp_path)
    assert [(f["run"], f["path"][5], "shared" in f) for f in files] == [
        ("x", "a", True), ("x", "b", False), ("y", "a", True), ("y", "c", False),
    ]  # fmt: skip
    # A file that only its own name puts to the run is no piece.
    table.write_text("run,log,n\nb,logs/a.jsonl,1\n")
    with pytest.raises(FloplineError, match="both hold run 'b'"):
        log_files(settings(tmp_path, runs=runs), tmp_path)


def test_batches_give_what_all_at_once_gives(tmp_path: Path) -> None:
    files, facts, options = many(tmp_path)
    unsharded = clean(ingest(options, files, tmp_path), facts, options)
    runs, curves, dropped = [], [], []
    for number, shard in enumerate(by_shard(files, 3)):
        path = tmp_path / f"{number}.parquet"
        parts = list(ingest_runs(options, shard, tmp_path))
        with RowGroups(path, RAW_CURVES, least=20) as out:
            for part in parts:
                out.write(part.curves)
        raw_runs = pd.concat([part.runs for part in parts])
        unread = conform(pd.concat([part.dropped for part in parts]), DROPPED)
        known = with_facts(raw_runs, facts, options)
        for batch in clean_batches(row_groups(path), unread, raw_runs, known, options):
            assert len(batch.curves) <= 3 * 10
            runs.append(batch.runs)
            curves.append(conform(batch.curves, CURVES))
            dropped.append(conform(batch.dropped, DROPPED))
    gathered, notes = gather(pd.concat(runs), facts, options)
    pd.testing.assert_frame_equal(gathered, unsharded.runs)
    assert tuple(notes) == unsharded.notes
    for parts, table in ((curves, unsharded.curves), (dropped, unsharded.dropped)):
        together = pd.concat(parts).sort_values(["run", "source", "line"], ignore_index=True)
        wanted = table.sort_values(["run", "source", "line"], ignore_index=True)
        pd.testing.assert_frame_equal(together, wanted)
    assert unsharded.runs.set_index("run").loc["r7", "source"] == "logs/r7-a.jsonl\nlogs/r7-b.jsonl"


def test_all_files_of_a_run_share_a_shard(tmp_path: Path) -> None:
    files, _, _ = many(tmp_path)
    shards = by_shard(files, 5)
    assert sorted(f["path"] for s in shards for f in s) == sorted(f["path"] for f in files)
    assert [sum(f["run"] == "r7" for f in s) for s in shards].count(2) == 1


def test_a_row_of_the_run_table_touches_one_shard(tmp_path: Path) -> None:
    rows = [f"r{number},{number}" for number in range(40)]

    def digests(lines: list[str], name: str = "t.csv", digest: str = "x") -> list[str]:
        (tmp_path / name).write_text("\n".join(["run,n", *lines]) + "\n")
        return fact_digests(tmp_path / name, "run", digest, 8)

    before = digests(rows)
    assert len(set(before)) == 8
    for after in (digests([*rows, "new,1"]), digests([*rows[:5], "r5,6", *rows[6:]])):
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    # What cannot be told row by row counts as a whole.
    assert digests(rows, "t.jsonl", "y") == ["y"] * 8


def test_row_groups_hold_whole_tables_and_missing_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with RowGroups(path, CURVES, least=3) as out:
        for number in range(4):
            run = pd.DataFrame({"run": f"r{number}", "step": [1, None], "line": [1, 2]})
            out.write(run.assign(segment=np.int32(0), step=run["step"].astype("Int64")))
    groups = list(row_groups(path))
    assert [sorted(g["run"].unique()) for g in groups] == [["r0", "r1"], ["r2", "r3"]]
    table = read_parquet(path)
    assert table["run"].tolist() == [f"r{n}" for n in range(4) for _ in range(2)]
    assert str(table["run"].dtype) == "string"
    assert table["step"].isna().sum() == 4
    assert table["loss"].isna().all()


def test_row_groups_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with RowGroups(path, CURVES):
        pass
    assert list(row_groups(path)) == []
    assert list(read_parquet(path).columns) == list(CURVES)


def curves_in_two_files(folder: Path) -> tuple[list[Path], pd.DataFrame, pd.DataFrame]:
    tables = []
    for number, names in enumerate((["c", "a"], ["b", "other"])):
        rows = [{"run": n, "split": s, "step": i, "tokens": 10.0 * i, "flops": 60.0 * i,
                 "loss": 3 - i / 50, "line": i} for n in names for s in ("train", "val")
                for i in range(50)]  # fmt: skip
        table = conform(pd.DataFrame(rows), CURVES)
        with RowGroups(folder / f"{number}.parquet", CURVES) as out:
            out.write(table)
        tables.append(table)
    runs = pd.DataFrame({"run": ["a", "b", "c", "other"], "params": 10.0, "status": "kept",
                         "family": ["ash"] * 3 + ["oak"], "horizon_tokens": np.nan})  # fmt: skip
    return [folder / "1.parquet", folder / "0.parquet"], runs, pd.concat(tables)


def test_curves_are_read_back_by_family_and_split(tmp_path: Path) -> None:
    paths, runs, curves = curves_in_two_files(tmp_path)
    read = read_curves(paths, runs, "ash", "val")
    assert list(read.columns) == CURVE
    assert read["run"].unique().tolist() == ["a", "b", "c"]
    assert len(read) == 150
    one = checkpoint_points(runs, read, "ash", "val")
    other = checkpoint_points(runs, curves, "ash", "val")
    pd.testing.assert_frame_equal(one, other.sort_values(["run", "tokens"], ignore_index=True))


def test_thinning_keeps_first_and_last_and_spreads_evenly(tmp_path: Path) -> None:
    paths, runs, _ = curves_in_two_files(tmp_path)
    read = read_curves(paths, runs, "ash", "val", most_rows=33)
    for _, curve in read.groupby("run"):
        assert curve["step"].iloc[[0, -1]].tolist() == [0, 49]
        assert len(curve) == 11
        assert curve["step"].diff().dropna().between(4, 5).all()
    assert len(read_curves(paths, runs, "ash", "val", most_rows=150)) == 150
    assert thinned(read.iloc[:0], 5).empty
