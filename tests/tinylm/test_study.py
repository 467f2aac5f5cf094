"""The shipped study is what the configuration describes; needs no PyTorch."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
STUDY = ROOT / "data" / "tinylm"


def read_log(name: str) -> list[dict[str, Any]]:
    """All lines of a log of the study."""
    return [json.loads(line) for line in gzip.decompress((STUDY / name).read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def designed() -> dict[str, dict[str, Any]]:
    """The runs of the sweep by name, from the configuration and the shipped learning-rate rule."""
    import design

    config = yaml.safe_load((ROOT / "workflow/tinylm/config.yaml").read_text())
    rules = json.loads((STUDY / "lr_search/rule.json").read_text())
    return {run["run"]: run for run in design.sweep(config, rules)}


@pytest.fixture(scope="module")
def table() -> list[dict[str, str]]:
    """The shipped run table."""
    with (STUDY / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_is_the_design(designed, table):
    """Every designed run was shipped, with the very values that it was designed with."""
    assert [row["run"] for row in table] == sorted(designed)
    for row in table:
        assert row == {key: str(value) for key, value in designed[row["run"]].items()}


def test_one_budget_one_epoch(designed):
    """C = 6 N D to within a step, at least 300 steps, and no token seen twice."""
    facts = json.loads((STUDY / "corpus.json").read_text())
    for run in designed.values():
        spent = 6 * run["params"] * run["tokens"]
        assert spent == pytest.approx(run["budget_flops"], rel=0.51 / run["steps"])
        assert run["steps"] >= 300
        assert (
            run["horizon_tokens"] == run["steps"] * run["batch_tokens"] <= facts["train"]["tokens"]
        )


def test_logs_run_to_their_horizon(table):
    """Each log belongs to its run, validates 20 times or more, and ends where the schedule ends."""
    for row in table:
        lines = read_log(row["log"])
        val = [line for line in lines if line["split"] == "val" and line["step"] > 0]
        assert {line["run"] for line in lines} == {row["run"]}
        assert len(val) >= 20
        assert val[-1]["tokens"] == int(row["horizon_tokens"])
        assert val[-1]["lr"] < 0.01 * float(row["lr_max"])


def test_five_valleys_have_their_bottom_inside(table):
    """At five budgets or more, no family's lowest loss is at the edge of its grid of sizes."""
    for family in ("transformer", "mingru"):
        grids: dict[str, list[tuple[int, float]]] = {}
        for row in table:
            if (row["family"], row["role"]) == (family, "isoflop"):
                loss = [line["loss"] for line in read_log(row["log"]) if line["split"] == "val"][-1]
                grids.setdefault(row["budget_flops"], []).append((int(row["params"]), loss))
        inside = 0
        for grid in grids.values():
            losses = [loss for _, loss in sorted(grid)]
            inside += 0 < losses.index(min(losses)) < len(losses) - 1
        assert inside >= 5


def test_search_gives_the_rule(tmp_path, monkeypatch):
    """The shipped learning-rate rule is what the search's logs give."""
    pytest.importorskip("numpy")
    import design
    import lr_rule

    config = yaml.safe_load((ROOT / "workflow/tinylm/config.yaml").read_text())
    search = {"runs": {run["run"]: run for run in design.lr_search(config)}}
    (tmp_path / "search.json").write_text(json.dumps(search))
    copy = tmp_path / "copy"
    (copy / "lr_search").mkdir(parents=True)
    (copy / "lr_search/logs").symlink_to(STUDY / "lr_search/logs")
    monkeypatch.setattr("sys.argv", ["lr_rule", str(tmp_path / "search.json"), str(copy)])
    lr_rule.main()
    for name in ("lr_search/rates.csv", "lr_search/best.csv", "lr_search/rule.json"):
        assert (copy / name).read_text() == (STUDY / name).read_text()
