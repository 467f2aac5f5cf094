"""Logs that are one document a run, and stores and histories as trackers write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.decoders import Undecodable, json_of
from flopline.errors import FloplineError
from flopline.logs.readers import read_log, sniffed
from flopline.tables import read_table
from tests.conftest import ROOT

NESTED = ROOT / "tests/fixtures/logs/json/nested.json"
BOTH = {
    "step": "iter",
    "loss": {"train": "history.train.train_loss", "val": "history.val.val_loss"},
}


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_objects_of_lists_are_read_with_their_own_steps() -> None:
    read = read_log(NESTED, BOTH, wanted_facts=["summary.parameters", "config.n_layer"])
    rows = read.rows
    assert rows["split"].tolist() == ["train"] * 4 + ["val"] * 2
    assert rows["step"].tolist() == [10, 20, 30, 40, 20, 40]
    assert rows["loss"].tolist() == [6.0, 5.0, 4.5, 4.2, 5.1, 4.3]
    assert rows["line"].tolist() == [1, 2, 3, 4, 5, 6]
    assert read.facts.logged[""] == {"summary.parameters": 1_234_567, "config.n_layer": 2}


def test_lists_of_different_lengths_are_never_put_side_by_side() -> None:
    with pytest.raises(FloplineError, match=r"val_acc has 1.*leave one out"):
        read_log(NESTED, {**BOTH, "lr": "history.val.val_acc"})


@pytest.mark.parametrize("form", ["pandas", "lists", "records", "nested records"])
def test_histories_of_trackers_are_read_in_every_form(form: str, tmp_path: Path) -> None:
    records = [
        {"_step": 10 * i, "train/loss": 6 - i / 2, "val/loss": None if i % 2 else 6.1 - i / 2}
        for i in range(4)
    ]
    lists = {name: [record[name] for record in records] for name in records[0]}
    content: Any = {
        "pandas": {name: {str(i): v for i, v in enumerate(lists[name])} for name in lists},
        "lists": lists,
        "records": records,
        "nested records": {"history": records, "config": {"a": 1}},
    }[form]
    at = "history." if form == "nested records" else ""
    path = written(tmp_path / "a.json", content)
    assert sniffed(path) == "json"
    loss = {"train": f"{at}train/loss", "val": f"{at}val/loss"}
    rows = read_log(path, {"step": f"{at}_step", "loss": loss}).rows
    assert rows["loss"].tolist() == [6.0, 6.1, 5.5, 5.0, 5.1, 4.5]
    assert rows["step"].tolist() == [0, 0, 10, 20, 20, 30]


def test_a_document_without_losses_or_of_lines_is_none(tmp_path: Path) -> None:
    lines = tmp_path / "lines.log"
    lines.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n')
    assert sniffed(lines) == "jsonl"
    config = written(tmp_path / "config.json", {"betas": [0.9, 0.95], "loss": "ce", "layers": 2})
    assert sniffed(config) != "json"


def test_nan_in_a_document_is_a_loss_that_went_wrong(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"step": [1, 2], "loss": [3.0, float("nan")]})
    rows = read_log(path, {"step": "step", "loss": "loss"}).rows
    assert np.isnan(rows["loss"].iloc[1])
    assert rows["step"].tolist() == [1, 2]


def test_a_cut_document_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(NESTED.read_text()[:200])
    with pytest.raises(FloplineError, match="is no complete JSON"):
        read_log(path, BOTH, "json")


def test_runs_of_a_trackio_project_keep_their_facts() -> None:
    path = ROOT / "tests/fixtures/logs/trackio/scaling.db"
    read = read_log(
        path, {"tokens": "tokens", "loss": {"train": "train/loss", "val": "val/loss"}},
        wanted_facts=["model.n_params"],
    )  # fmt: skip
    small = read.rows[read.rows["run"] == "small"]
    assert small["loss"].tolist() == [6.0, 5.0, 5.1, 4.0, 4.1]
    assert small["step"].tolist() == [0, 10, 10, 20, 20]
    assert read.facts.logged == {
        "small": {"model.n_params": 1_000_000}, "large": {"model.n_params": 4_000_000},
    }  # fmt: skip
    with pytest.raises(FloplineError, match="it has: step, run_name, train/loss"):
        read_log(path, {"loss": "eval/loss"})


def test_a_database_that_is_cut_is_told(tmp_path: Path) -> None:
    undamaged = (ROOT / "tests/fixtures/logs/trackio/scaling.db").read_bytes()
    path = tmp_path / "a.db"
    path.write_bytes(undamaged[: len(undamaged) // 2])
    with pytest.raises(FloplineError, match="cannot be read as a store of Trackio"):
        read_log(path, {"loss": "train/loss"}, "trackio")


def test_a_history_artefact_of_wandb_is_read_as_parquet(tmp_path: Path) -> None:
    path = tmp_path / "0000.parquet"
    history = {"_step": [0, 1, 2], "train/loss": [4.0, 3.5, 3.0], "val/loss": [None, None, 3.1]}
    pd.DataFrame(history).to_parquet(path)
    rows = read_log(
        path, {"step": "_step", "loss": {"train": "train/loss", "val": "val/loss"}}
    ).rows
    assert rows["loss"].tolist() == [4.0, 3.5, 3.0, 3.1]


def test_all_runs_of_haegele_are_read_without_a_converter(real_data: Path) -> None:
    paths = sorted((real_data / "haegele/runs").glob("*.json"))
    assert len(paths) == 55
    for path in paths:
        assert sniffed(path) == "json"
        history = json.loads(path.read_text())["history"]
        rows = read_log(path, BOTH).rows
        for split in ("train", "val"):
            of_split = rows[rows["split"] == split]
            assert of_split["loss"].tolist() == history[split][f"{split}_loss"]
            assert of_split["step"].tolist() == history[split]["iter"]


@pytest.mark.parametrize("deep", ['{"a": %s}', "[%s]"])
def test_what_is_nested_deeper_than_recursion_goes_is_no_json_on_any_python(deep: str) -> None:
    """Since Python 3.12 the decoder itself stops at no such depth."""

    def nested(levels: int) -> str:
        before, after = deep.split("%s")
        return before * levels + "1" + after * levels

    for text in (nested(2_000), nested(600).encode(), nested(600).replace("a", "\\ud800")):
        with pytest.raises(Undecodable, match="nested too deeply"):
            json_of(text)
    assert json_of(nested(150)) is not None
    assert json_of("[" + "[1], " * 1_000 + "[1]]")[-1] == [1]


def rows_of(path: Path, loss: Any, **columns: Any) -> list[list[Any]]:
    rows = read_log(path, {"step": "step", "loss": loss, **columns}).rows
    there = [name for name in ("run", "split", "step", "loss") if name in rows]
    names = [name for name in there if rows[name].notna().all()]
    return rows[names].to_numpy().tolist()


def test_pairs_and_points_are_steps_and_losses(tmp_path: Path) -> None:
    pairs = written(
        tmp_path / "pairs.json",
        {
            "n_params": 10,
            "train_losses": [[9, 5.0], [19, 4.5], [29, 4.0]],
            "val_losses": [[19, 4.6], [29, 4.1]],
            "lr_history": [[0, 0.1], [1, 0.2]],
        },
    )
    assert sniffed(pairs) == "json"
    assert rows_of(pairs, {"train": "train_losses", "val": "val_losses"}) == [
        ["train", 9, 5.0], ["train", 19, 4.5], ["train", 29, 4.0],
        ["val", 19, 4.6], ["val", 29, 4.1],
    ]  # fmt: skip
    points = written(
        tmp_path / "points.json",
        {
            "loss": {"val": {"name": "val", "x": [1, 2], "y": [5.0, 4.0]}},
            "lr": {"x": [1], "y": [2]},
        },
    )
    assert rows_of(points, "loss.val.loss") == [[1, 5.0], [2, 4.0]]


@pytest.mark.parametrize("form", ["object", "list", "within"])
def test_runs_of_one_document_are_runs(tmp_path: Path, form: str) -> None:
    runs = {
        name: {
            "name": name,
            "n_params": size,
            "log": [{"step": s, "loss": 6.0 - s} for s in (1, 2)],
        }
        for name, size in (("small", 10), ("large", 20))
    }
    content = {"object": runs, "list": list(runs.values()), "within": {"runs": runs, "seed": 1}}[
        form
    ]
    path = written(tmp_path / "sweep.json", content)
    assert sniffed(path) == "json_runs"
    assert rows_of(path, "log.loss", step="log.step") == [
        ["small", 1, 5.0], ["small", 2, 4.0], ["large", 1, 5.0], ["large", 2, 4.0],
    ]  # fmt: skip
    reading = read_log(path, {"loss": "log.loss"}, wanted_facts=["n_params"])
    assert [reading.facts.logged[name]["n_params"] for name in runs] == [10, 20]
    assert reading.rows["line"].tolist() == [1, 2, 3, 4]


def test_objects_with_curves_alone_are_no_runs(tmp_path: Path) -> None:
    content = {name: {"step": [1, 2], "loss": [5.0, 4.0]} for name in ("c4", "wiki")}
    assert sniffed(written(tmp_path / "a.json", content)) == "json"


@pytest.mark.parametrize("form", ["list", "object", "within"])
def test_records_of_finished_runs_are_a_table(tmp_path: Path, form: str) -> None:
    runs = {f"r{i}": {"model": {"n_params": i}, "val_loss": 6.0 - i} for i in (1, 2)}
    named = [{"run": name, **content} for name, content in runs.items()]
    content = {"list": named, "object": runs, "within": {"results": named}}[form]
    table, unparsed = read_table(written(tmp_path / "a.json", content))
    assert unparsed == []
    assert table[["run", "model.n_params", "val_loss", "line"]].to_numpy().tolist() == [
        ["r1", 1, 5.0, 1], ["r2", 2, 4.0, 2],
    ]  # fmt: skip


def test_a_column_that_stays_the_same_is_a_fact(tmp_path: Path) -> None:
    rows = [{"iter": s, "val_loss": 6.0 - s, "params": 7} for s in (1, 2)]
    path = written(tmp_path / "a.json", rows)
    reading = read_log(path, {"step": "iter", "loss": "val_loss"}, wanted_facts=["params"])
    assert reading.facts.logged[""] == {"params": 7}


def test_the_place_in_a_list_may_be_the_step(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"losses": [5.0, 4.0], "n_params": 3})
    assert rows_of(path, "losses", step="place") == [[1, 5.0], [2, 4.0]]


def test_records_of_one_metric_each_are_put_side_by_side(tmp_path: Path) -> None:
    # as Comet exports the metrics of an experiment
    records = [
        {"metricName": name, "metricValue": str(value), "timestamp": 1, "step": step, "epoch": None}
        for step, value in ((1, 5.0), (2, 4.0))
        for name in ("train_loss", "val_loss", "lr")
    ]
    path = written(tmp_path / "a.json", records)
    assert sniffed(path) == "json"
    assert rows_of(path, {"train": "train_loss", "val": "val_loss"}) == [
        ["train", 1, 5.0], ["train", 2, 4.0], ["val", 1, 5.0], ["val", 2, 4.0],
    ]  # fmt: skip
