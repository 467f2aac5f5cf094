"""A name that stands twice is a mistake that is told with both places, in every kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flopline.clean import Cleaned, clean
from flopline.errors import FloplineError
from flopline.facts import read_sidecar
from flopline.ingesting import ingest
from flopline.logs.readers import read_log
from flopline.tables import column_map, read_table
from running.log_search import log_files
from tests.builders.raw_rows import cleaned, study

COLUMNS = {"step": "step", "loss": "loss"}
TEXTS = {
    "csv": "step,loss,other,loss\n1,3.0,x,2.0\n2,2.5,x,1.9\n",
    "tsv": "step\tloss\tother\tloss\n1\t3.0\tx\t2.0\n",
    "jsonl": '{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 3.0, "other": 1, "loss": 2.0}\n',
}
PLACES = "column 2 and as column 4"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("ending", TEXTS)
def test_a_column_of_a_log(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, f"a.{ending}", TEXTS[ending])
    wanted = r"line 2: the key 'loss' .* as 3\.0 and as 2\.0" if ending == "jsonl" else PLACES
    with pytest.raises(FloplineError, match=wanted):
        read_log(path, COLUMNS)
    path.write_text(TEXTS[ending].replace("loss", "mean", 1) if ending != "jsonl" else
                    TEXTS[ending].replace('"loss": 2.0', '"mean": 2.0'))  # fmt: skip
    assert len(read_log(path, COLUMNS).rows) >= 1


@pytest.mark.parametrize("ending", TEXTS)
def test_a_column_that_nobody_reads_may_stand_twice(tmp_path: Path, ending: str) -> None:
    text = TEXTS[ending].replace("loss", "x").replace("other", "loss").replace('": 1,', '": 2.5,')
    path = write(tmp_path, f"a.{ending}", text)
    assert read_log(path, {"loss": "loss"}, optional=["step"]).rows_in >= 1


@pytest.mark.parametrize("ending", TEXTS)
def test_a_column_of_a_table_of_runs(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, f"a.{ending}", TEXTS[ending])
    with pytest.raises(FloplineError, match="'loss' stands"):
        column_map(read_table(path)[0], {"loss": "loss"}, path, "source.columns")


def test_a_column_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    arrays = [pa.array([1, 2]), pa.array([3.0, 2.0]), pa.array([0, 0]), pa.array([2.5, 1.5])]
    pq.write_table(pa.Table.from_arrays(arrays, names=["step", "loss", "x", "loss"]), path)
    with pytest.raises(FloplineError, match=PLACES):
        read_log(path, COLUMNS)
    with pytest.raises(FloplineError, match=PLACES):
        column_map(read_table(path)[0], {"loss": "loss"}, path, "source.columns")


def test_a_run_of_a_chart(tmp_path: Path) -> None:
    names = [f"a - loss{end}" for end in ("", "__MIN", "__MAX")]
    text = ",".join(["Step", *names, *names]) + "\n1,3,3,3,2,2,2\n"
    path = write(tmp_path, "chart.csv", text)
    for name in (None, "wandb_chart"):
        with pytest.raises(FloplineError, match=r"run 'a' .* column 2 and as column 5 of loss"):
            read_log(path, {"loss": "loss"}, name)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", '{"x": {"n": 5, "n": 6}}'), ("a.yaml", "x:\n  n: 5\n  n: 6\n")],
)
def test_a_key_of_a_sidecar(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(FloplineError, match="the key 'n' stands"):
        read_sidecar(path)
    path.write_text(text.replace("n: 6", "m: 6").replace('"n": 6', '"m": 6'))
    assert read_sidecar(path) == {"x": {"n": 5, "m": 6}}


def test_a_column_of_the_run_table_that_names_the_logs(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", json.dumps({"step": 1, "loss": 3.0}) + "\n")
    write(tmp_path, "runs.csv", "run,log,log\na,a.jsonl,b.jsonl\n")
    runs = {"table": "runs.csv", "columns": {"run": "run", "log": "log"}}
    full_source: dict[str, Any] = {
        "file": "s.yaml",
        "source": {"kind": "logs", "paths": "*.jsonl", "columns": COLUMNS, "runs": runs},
    }
    with pytest.raises(FloplineError, match="'log' stands there twice"):
        log_files(full_source, tmp_path)


def facts_of(folder: Path, lines: list[dict[str, Any]], **columns: str) -> dict[str, Any]:
    path = write(folder, "all.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return read_log(path, {**COLUMNS, **columns}, wanted_facts=["size.n"]).facts.logged


def test_facts_belong_to_their_run(tmp_path: Path) -> None:
    lines = [
        {"run": run, "step": step, "loss": 3.0, "size": {"n": n}}
        for run, n in (("a", 5), ("b", 7))
        for step in (1, 2)
    ]
    assert facts_of(tmp_path, lines, run="run") == {"a": {"size.n": 5}, "b": {"size.n": 7}}
    lines[-1]["size"]["n"] = 8
    with pytest.raises(FloplineError, match=r"'size.n' .* is 7 .* and 8 .* of run b"):
        facts_of(tmp_path, lines, run="run")


@pytest.mark.parametrize("late", [1, 500])
def test_a_fact_of_a_file_must_not_change_however_late(tmp_path: Path, late: int) -> None:
    lines: list[dict[str, Any]] = [{"step": s, "loss": 3.0} for s in range(late)]
    lines.append({"size": {"n": 5}, "n": 1})
    assert facts_of(tmp_path, lines) == {"": {"size.n": 5}}
    lines.append({"size": {"n": 5}, "n": 2})
    assert facts_of(tmp_path, lines) == {"": {"size.n": 5}}
    lines.append({"size": {"n": 6}})
    with pytest.raises(FloplineError, match="is 5 in one row and 6 in another"):
        facts_of(tmp_path, lines)


def test_facts_of_a_pattern_belong_to_their_run(tmp_path: Path) -> None:
    path = write(tmp_path, "a.out", "a n=5 1: 3.0\nb n=7 1: 4.0\nb n=7 2: 3.5\n")
    pattern = [{"pattern": r"(?P<run>\w) n=(?P<n>\d) (?P<step>\d): (?P<loss>\S+)"}]
    columns = {**COLUMNS, "run": "run"}
    reading = read_log(path, columns, "pattern", pattern, ["n"])
    assert reading.facts.logged == {"a": {"n": "5"}, "b": {"n": "7"}}
    path.write_text(path.read_text().replace("n=7 2", "n=8 2"))
    with pytest.raises(FloplineError, match="is 7 in one row and 8 in another of run b"):
        read_log(path, columns, "pattern", pattern, ["n"])


def sweep(folder: Path, rows: list[tuple[Any, ...]], columns: dict[str, Any]) -> Cleaned:
    """A table of runs (size, lr, seed, tokens, loss) as it is cleaned."""
    lines = ["size,lr,seed,tokens,loss", *(",".join(map(str, row)) for row in rows)]
    write(folder, "sweep.csv", "\n".join(lines) + "\n")
    sizes = {"params": {"column": "size", "times": 1e6}, "tokens": "tokens", "loss": "loss"}
    source = {"kind": "table", "paths": "sweep.csv", "columns": {**columns, **sizes}}
    options = study(source=source)
    raw = ingest(options, [{"run": "", "path": "sweep.csv", "sha256": "x"}], folder)
    return clean(raw, None, options)


SEEDS = [
    (size, lr, seed, tokens, 3 + 0.1 * seed + 30 * lr + 1e9 / tokens)
    for size in (10, 20, 40) for lr in (0.01, 0.02) for seed in (1, 2) for tokens in (1e9, 2e9)
]  # fmt: skip


def test_a_name_that_does_not_tell_runs_apart_offers_the_columns_that_do(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"`run: \[size, \w+\]`") as error:
        sweep(tmp_path, [row for row in SEEDS if row[1] == 0.01], {"run": "size"})
    assert "it could be seed)" in str(error.value)
    rows = [row for row in SEEDS if row[1] == 0.01]
    runs = sweep(tmp_path, rows, {"run": ["size", "seed"]}).runs
    assert runs["run"].tolist() == ["10/1", "10/2", "20/1", "20/2", "40/1", "40/2"]
    assert (runs["status"] == "kept").all()


def test_where_no_column_tells_runs_apart_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="give each run a name of its own"):
        sweep(tmp_path, SEEDS, {"run": "size"})
    assert len(sweep(tmp_path, SEEDS, {"run": ["size", "lr", "seed"]}).runs) == 12


@pytest.mark.parametrize("order", [1, -1])
def test_one_run_that_stands_twice_and_disagrees_is_set_aside(tmp_path: Path, order: int) -> None:
    """Before, the first of its losses counted, and with it the order of the rows."""
    rows = [(size, 0.01, 1, 1e9, 3.0 - size / 100) for size in (10, 20, 40)]
    twice = [*rows, (20, 0.01, 1, 1e9, 4.2)][::order]
    runs = sweep(tmp_path, twice, {"run": "size"}).runs.set_index("run")
    assert runs["status"].tolist() == ["kept", "quarantined", "kept"]
    assert "It says two things of 1 step" in runs.loc["20", "reason"]
    near = [*rows, (20, 0.01, 1, 1e9, 2.801)]
    assert (sweep(tmp_path, near, {"run": "size"}).runs["status"] == "kept").all()


def test_a_log_with_two_losses_at_most_steps_is_set_aside() -> None:
    rows = [{"step": s, "loss": loss + 1 / s} for s in range(1, 30) for loss in (2.0, 3.0)]
    other = [{"run": "b", "step": s, "loss": 2 + 1 / s} for s in range(1, 30)]
    runs = cleaned([*rows, *other]).runs.set_index("run")
    assert runs.loc["b", "status"] == "kept"
    assert "It says two things of 29 steps" in runs.loc["a", "reason"]
    assert "name the column that tells them apart in source.columns" in runs.loc["a", "reason"]
