"""Facts of runs from names, sidecars and logs; which files are logs; how contradictions read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.clean import clean
from flopline.errors import FloplineError
from flopline.facts import completed, disagree, own_facts, parse_number
from flopline.ingesting import FACTS, ingest
from flopline.logs.reading import LogFacts
from flopline.sources import parts_of
from flopline.study import read_yaml
from running.log_search import log_files, logs_among
from tests.conftest import ROOT

FIXTURES = ROOT / "tests/fixtures/logs"
CLEANING = read_yaml(ROOT / "config/config.yaml")["cleaning"]
FILE = {"run": "a", "path": "logs/N190M_C1e18.log", "sidecar": "logs/a.yaml"}
LOSSES = '{"step": 1, "tokens": 1e9, "loss": 3.0}\n{"step": 2, "tokens": 2e9, "loss": 2.5}\n'


def study_of(runs: dict[str, Any] | None = None, **source: Any) -> dict[str, Any]:
    columns = {"step": "step", "tokens": "tokens", "loss": "loss"}
    given = {"kind": "logs", "paths": "logs/*", "columns": columns, **source}
    return {
        "file": "study.yaml",
        "source": given | ({} if runs is None else {"runs": runs}),
        "families": {"dense": "Dense"},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "loss_split": "val",
        "exclude": [],
        "held_out": [],
        "cleaning": dict(CLEANING),
    }


def facts(
    tmp_path: Path, runs: dict[str, Any], log_facts: LogFacts | None = None
) -> dict[str, Any]:
    file = FILE if "sidecar" in runs else {k: v for k, v in FILE.items() if k != "sidecar"}
    return own_facts(
        study_of(runs)["source"], file, "a", log_facts or LogFacts(), tmp_path, "study.yaml"
    )


def sidecar(tmp_path: Path, text: str) -> dict[str, Any]:
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / "logs/a.yaml").write_text(text)
    columns = {"params": {"column": "model.n", "times": 1e6}, "family": "arch"}
    return {"sidecar": {"path": "{run}.yaml", "columns": columns}}


def test_the_schema_names_every_fact_wherever_facts_may_stand() -> None:
    schema = read_yaml(ROOT / "workflow/schemas/study.schema.yaml")
    runs = schema["properties"]["source"]["properties"]["runs"]["properties"]
    assert set(runs["columns"]["properties"]) == {*FACTS, "log"}
    assert set(schema["$defs"]["facts"]["properties"]) == set(FACTS) - {"run"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("190M", 190e6), ("1.3b", 1.3e9), ("1_000", 1e3), ("1,000", 1e3), ("5e8", 5e8), (".5", 0.5)],
)
def test_numbers_as_people_write_them(text: str, value: float) -> None:
    assert parse_number(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["", "M", "1.2.3", "12x", "many", None, True, "1 000"])
def test_what_is_no_number(text: Any) -> None:
    assert pd.isna(parse_number(text))


def test_file_names_give_facts(tmp_path: Path) -> None:
    pattern = r"N(?P<params>[^_]+)_C(?P<budget_flops>[^.]+)"
    assert facts(tmp_path, {"from_name": pattern}) == {"params": 190e6, "budget_flops": 1e18}


def test_a_name_that_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"study\.yaml: source\.runs\.from_name 'X.*N190M_C1e"):
        facts(tmp_path, {"from_name": "X(?P<params>.)"})


def test_a_name_whose_group_is_no_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        FloplineError, match=r"N190M_C1e18\.log says params is 'C1e18', which is no"
    ):
        facts(tmp_path, {"from_name": r"_(?P<params>[^.]+)"})


def test_sidecars_give_facts_with_dots_and_factors(tmp_path: Path) -> None:
    runs = sidecar(tmp_path, "model: {n: 190.35}\narch: dense\n")
    assert facts(tmp_path, runs) == {"params": pytest.approx(190.35e6), "family": "dense"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arch: dense\n", r"logs/a\.yaml has no 'model\.n' \(source\.runs\.sidecar\.columns\.par"),
        ("model: [", r"a\.yaml is neither JSON nor YAML"),
        ("model: {n: big}\narch: d\n", "says params is 'big', which is no number"),
    ],
)
def test_broken_sidecars_are_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(FloplineError, match=words):
        facts(tmp_path, sidecar(tmp_path, text))


def test_a_missing_sidecar_is_told(tmp_path: Path) -> None:
    runs = sidecar(tmp_path, "")
    (tmp_path / "logs/a.yaml").unlink()
    with pytest.raises(FloplineError, match=r"a\.yaml \(source\.runs\.sidecar\) does not exist"):
        facts(tmp_path, runs)


def test_what_a_log_says_is_a_fact_unless_it_is_not_to_be(tmp_path: Path) -> None:
    log_facts = LogFacts()
    log_facts.know("", batch_tokens=1024.0)
    log_facts.say("", "hidden_size", "64")
    assert facts(tmp_path, {"from_log": {"width": "hidden_size"}}, log_facts) == {
        "width": 64,
        "batch_tokens": 1024,
    }
    assert facts(tmp_path, {"from_log": False}, log_facts) == {}
    with pytest.raises(FloplineError, match=r"does not say 'layers' .*it says: hidden_size\."):
        facts(tmp_path, {"from_log": {"depth": "layers"}}, log_facts)


def test_a_contradiction_names_both_values_and_places(tmp_path: Path) -> None:
    runs = sidecar(tmp_path, "model: {n: 191}\narch: dense\n")
    runs["from_name"] = "N(?P<params>[^_]+)"
    words = r"params of run 'a' is 191000000 by the sidecar logs/a\.yaml and 190000000 by the file"
    with pytest.raises(FloplineError, match=words):
        facts(tmp_path, runs)


def test_what_differs_by_rounding_alone_agrees() -> None:
    assert not disagree(124.34e6, 124_337_664)
    assert disagree(190e6, 190_354_176)
    assert not disagree("dense", "dense")
    assert disagree("dense", "moe")


@given(st.floats(1, 1e20), st.integers(4, 12))
def test_a_rounded_number_agrees_with_itself(value: float, digits: int) -> None:
    assert not disagree(value, float(f"{value:.{digits - 1}e}"))
    assert disagree(value, value * 1.002)


def test_params_follow_the_declared_convention() -> None:
    runs = pd.DataFrame({"params": [None, 5.0], "params_total": [9.0, 9.0]}, dtype=float)
    runs["params_nonembedding"] = 7.0
    assert completed(runs, "total")["params"].tolist() == [9, 5]
    assert completed(runs, "non_embedding")["params"].tolist() == [7, 5]
    assert completed(runs, "active")["params"].isna().tolist() == [True, False]


def test_steps_times_batch_are_the_horizon() -> None:
    runs = pd.DataFrame({"horizon_steps": [10.0, 10.0], "batch_tokens": [64.0, 64.0]})
    runs["horizon_tokens"] = [float("nan"), 100.0]
    assert completed(runs, None)["horizon_tokens"].tolist() == [640, 100]


def write_logs(folder: Path, *names: str) -> list[dict[str, str]]:
    (folder / "logs").mkdir(exist_ok=True)
    for name in names:
        (folder / "logs" / name).write_text(LOSSES)
    return [{"run": n.split(".")[0], "path": f"logs/{n}", "sha256": n} for n in names]


def test_a_study_may_do_without_a_run_table(tmp_path: Path) -> None:
    write_logs(tmp_path, "dense-5e8.jsonl")
    study = study_of({"from_name": r"(?P<family>\w+)-(?P<params>[^.]+)"})
    files = [file | {"sha256": "x"} for file in log_files(study, tmp_path)]
    run = clean(ingest(study, files, tmp_path), None, study).runs.iloc[0]
    assert (run["run"], run["params"], run["status"]) == ("dense-5e8", 5e8, "kept")
    assert run["flops"] == 6 * 5e8 * 2e9


def test_the_run_table_and_the_log_may_not_contradict_each_other(tmp_path: Path) -> None:
    files = write_logs(tmp_path, "a-5e8.jsonl")
    runs = {"table": "runs.csv", "columns": {"run": "run"}, "from_name": "-(?P<params>[^.]+)"}
    study = study_of(runs)
    raw = ingest(study, files, tmp_path)
    table = pd.DataFrame({"run": ["a-5e8"], "params": [5.0001e8]}).astype({"run": "string"})
    assert clean(raw, table, study).runs["params"].tolist() == [5.0001e8]
    words = r"runs\.csv: params of run 'a-5e8' is 600000000, but its log .* says 500000000"
    with pytest.raises(FloplineError, match=words):
        clean(raw, table.assign(params=6e8), study)


def test_facts_of_a_header_line_of_json(tmp_path: Path) -> None:
    files = write_logs(tmp_path, "a.jsonl")
    log = tmp_path / "logs/a.jsonl"
    log.write_text('{"config": {"n": 5e8}}\n' + LOSSES)
    study = study_of({"from_log": {"params": "config.n"}})
    raw = ingest(study, files, tmp_path)
    assert raw.runs["params"].tolist() == [5e8]
    assert raw.dropped["reason"].tolist() == ["no_loss"]


def test_several_runs_of_a_file_are_several_runs(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = "name,n,t,y\na,1e8,1e9,3.0\nb,2e8,1e9,2.9\nb,2e8,2e9,2.5\n,,,1.0\n"
    (tmp_path / "logs/all.csv").write_text(text)
    columns = {"run": "name", "tokens": "t", "loss": "y"}
    study = study_of({"from_log": {"params": "n"}}, columns=columns)
    files = [file | {"sha256": "x"} for file in log_files(study, tmp_path)]
    raw = ingest(study, files, tmp_path)
    assert raw.runs[["run", "params", "rows_in"]].fillna(0).to_numpy().tolist() == [
        ["(no name)", 0, 1],
        ["a", 1e8, 1],
        ["b", 2e8, 2],
    ]
    assert raw.dropped[["run", "reason"]].to_numpy().tolist() == [["(no name)", "no_run_name"]]


def test_a_wandb_run_table_is_a_table_of_runs(tmp_path: Path) -> None:
    text = (
        '"Name","State","Notes","Sweep","n_params_millions","tokens","val/loss"\n'
        '"a","finished","-","","190.5","1e9","3.5"\n'
        '"b","crashed","a, ""b""\nc","","370","",""\n'
    )
    (tmp_path / "export.csv").write_text(text)
    columns = {
        "run": "Name",
        "params": {"column": "n_params_millions", "times": 1e6},
        "tokens": "tokens",
        "loss": "val/loss",
        "seed": "Sweep",
    }
    study = study_of(kind="table", paths="export.csv", columns=columns)
    files = [file | {"sha256": "x"} for file in log_files(study, tmp_path)]
    raw = ingest(study, files, tmp_path)
    assert raw.runs[["run", "params", "rows_in"]].to_numpy().tolist() == [
        ["a", 190.5e6, 1],
        ["b", 370e6, 1],
    ]
    assert raw.dropped["reason"].tolist() == ["no_loss"]
    assert clean(raw, None, study).runs["status"].tolist() == ["kept", "quarantined"]


def test_folders_of_event_files_are_one_run_each(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / "runs" / run / "checkpoints").mkdir(parents=True)
        for time in (1, 2):
            (tmp_path / f"runs/{run}/events.out.tfevents.{time}.host").write_bytes(b"")
    for paths in ("runs/*", "runs/**", "runs/**/*tfevents*"):
        files = log_files(study_of(paths=paths), tmp_path)
        assert files == [{"run": run, "path": f"runs/{run}"} for run in ("a", "b")], paths
    assert [p.name[-6:] for p in parts_of(tmp_path / "runs/a")] == ["1.host", "2.host"]


def test_runs_of_a_file_store_are_one_run_each() -> None:
    hits = [
        "mlflow/mlruns/0",
        "mlflow/mlruns/0/meta.yaml",
        *(f"mlflow/mlruns/0/{p.name}" for p in STORE_RUNS),
    ]
    logs = logs_among(hits, {"kind": "logs", "format": "mlflow"}, FIXTURES)
    assert [f"mlflow/mlruns/0/{p.name}" for p in STORE_RUNS] == [f for f in logs if "meta" not in f]
    assert len(parts_of(STORE_RUNS[0])) == 7


STORE_RUNS = sorted(p.parent for p in (FIXTURES / "mlflow/mlruns/0").glob("*/meta.yaml"))


def test_logs_of_one_name_are_told_apart_by_their_path(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / "out" / run).mkdir(parents=True)
        (tmp_path / "out" / run / "trainer_state.json").write_text("{}")
    study = study_of(paths="out/*/trainer_state.json")
    with pytest.raises(FloplineError, match=r"both hold run 'trainer_state'.*\(\?P<run>"):
        log_files(study, tmp_path)
    study["source"]["runs"] = {"from_name": "out/(?P<run>[^/]+)/"}
    assert [file["run"] for file in log_files(study, tmp_path)] == ["a", "b"]


def test_sidecars_lie_beside_their_logs(tmp_path: Path) -> None:
    write_logs(tmp_path, "a.jsonl")
    runs = {"sidecar": {"path": "../meta/{stem}.json", "columns": {"params": "n"}}}
    files = log_files(study_of(runs), tmp_path)
    assert files == [{"run": "a", "path": "logs/a.jsonl", "sidecar": "meta/a.json"}]
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/a.json").write_text(json.dumps({"n": 3e8}))
    raw = ingest(study_of(runs), [files[0] | {"sha256": "x"}], tmp_path)
    assert raw.runs["params"].tolist() == [3e8]
