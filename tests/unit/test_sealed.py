"""Sealed forecasts: what is written before a run is made, and what is said of it afterwards."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.audit import ladder
from flopline.audit.audit_options import AuditOptions
from flopline.errors import FloplineError
from flopline.forecast.line_forecasts import COMBINED
from flopline.forecast.one_run import SCORES, RunForecast, at_target, of_runs
from flopline.forecast.target import at_targets
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.spec import spec_of
from flopline.options import StudyOptions
from flopline.places import to_run
from flopline.results import FamilyResults
from flopline.schema import KEPT
from flopline.sealed.document import (
    Sealed,
    SealedRun,
    code_digest,
    document_text,
    read_sealed,
    run_digests,
    sealed_document,
    write_sealed,
)
from flopline.sealed.future_runs import FutureRun, named_runs, recommended_runs
from flopline.sealed.gates import refusal, to_mind
from flopline.sealed.judging import SCORED, changed_inputs, judged, pooled, runs_forecast
from flopline.sealed.sealing_command import _entry, main
from flopline.sealed.study_evidence import of_this_version, results_table
from flopline.storage import write_json, write_parquet
from tests.builders import fits
from tests.builders.designs import isoflop_runs, with_budgets
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT

TARGET = 1e22
NOISE = 0.003
STUDY = {
    "name": "ash",
    "title": "Ash",
    "loss_split": "val",
    "loss_label": "Validation loss",
    "params_convention": "total",
    "flops_convention": "six_nd",
    "reporting": {"tokenizer": "bytes"},
}


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    budgets = np.geomspace(1e19, 1e21, 4)
    return with_budgets(isoflop_runs(BESIROGLU, budgets, 6, width=5.0, noise=NOISE, seed=3))


@pytest.fixture(scope="module")
def known(points: pd.DataFrame) -> FamilyResults:
    laws = {
        law: fits.fit(law, points, [TARGET], draws=30, seed=1, **spec_of(law).judged)
        for law in ("isoflop", "parametric")
    }
    results = FamilyResults.of(laws)
    options = StudyOptions(BootstrapOptions(draws=40, seed=1), AuditOptions(ladder_draws=20))
    made = ladder.audit(
        points, TARGET, options, fits={n: results.of_law(n) for n in laws}, steps_flops=[5e19, 3e20]
    )
    return replace(results, findings={"ladder": {**made.to_json(), "tables": made.tables}})


@pytest.fixture(scope="module")
def runs(points: pd.DataFrame) -> pd.DataFrame:
    return points.assign(family="ash", status=KEPT, reason="")


def at(ratio: float = 20.0, name: str = "big", flops: float = 1e22) -> FutureRun:
    params = math.sqrt(flops / 6 / ratio)
    return FutureRun(name, "ash", params, ratio * params)


def forecast_of(run: FutureRun, known: FamilyResults) -> RunForecast:
    wanted = pd.DataFrame({"run": [run.name], "params": [run.params], "tokens": [run.tokens]})
    return of_runs(wanted, known)[0]


def sealed_of(
    run: FutureRun, forecast: RunForecast, runs: Mapping[str, str], **more: str
) -> Sealed:
    about = {"path": "a.json", "date": "2026-01-01", **more}
    return Sealed(**about, holds={}, runs=runs, sealed_runs=[SealedRun(run, forecast, [])])


def test_a_new_run_is_predicted_where_the_truth_puts_it(known, points):
    for ratio in (10.0, 20.0, 60.0):
        run = at(ratio)
        forecast = forecast_of(run, known)
        truth = float(BESIROGLU.loss(run.params, run.tokens))
        loss = forecast.loss()
        assert loss.lo95 < truth < loss.hi95
        assert loss.point == pytest.approx(truth, rel=0.02)
        assert loss.lo95 < loss.lo80 < loss.point < loss.hi80 < loss.hi95
        assert forecast.reach == pytest.approx(1e22 / points["flops"].max())
        assert forecast.scale > NOISE / 2  # the run's own noise is in it
    near, far = (forecast_of(at(flops=c), known) for c in (2e21, 1e23))
    assert near.scale < far.scale


def test_runs_do_not_change_the_forecast_of_one_another(known):
    several = pd.DataFrame({"run": ["a", "b"], "params": [1e10, 2e10], "tokens": [2e11, 3e11]})
    assert of_runs(several, known)[1] == of_runs(several.iloc[1:], known)[0]


def test_the_run_of_a_target_has_the_forecast_of_the_decision(known):
    tables, numbers = (known.findings["ladder"][part] for part in ("tables", "numbers"))
    (target,) = at_targets(tables, numbers)
    stated = target.lines.set_index("line")
    for line in ("isoflop", "parametric", COMBINED):
        loss = at_target(known, TARGET, ["nothing", line]).loss()
        for name, value in {"": loss.point, "_lo80": loss.lo80, "_hi95": loss.hi95}.items():
            assert value == pytest.approx(stated.loc[line, f"loss_new_run{name}"])
    assert at_target(known, TARGET, ["envelope"]) is None


def test_without_a_ladder_or_a_surface_there_is_no_forecast(known):
    with pytest.raises(FloplineError, match="no held-out ladder"):
        forecast_of(at(), replace(known, findings={}))
    only = replace(known, fits={"isoflop": known.fits["isoflop"]})
    with pytest.raises(FloplineError, match="keep parametric in `laws`"):
        forecast_of(at(), only)


def test_gates_refuse_what_the_runs_do_not_bear(known, runs):
    run = at()
    forecast = forecast_of(run, known)
    assert refusal(run, forecast, runs, known) == ""
    thin = at(ratio=1e5)
    assert "tokens per param lie more than 3 times" in refusal(thin, forecast, runs, known)
    wide = replace(forecast, scale=0.5)
    assert "which says nothing" in refusal(run, wide, runs, known)
    largest = runs["flops"] > runs["flops"].median()
    rising = runs.assign(loss=runs["loss"].where(~largest, 9.0))
    assert "do not fall with compute" in refusal(run, forecast, rising, known)
    names, unseen = [f"held {k}" for k in range(3)], runs.tail(3)
    for off, refuted in ((1.0, False), (1.2, True)):
        held = unseen.assign(run=names, status="held_out", flops=5e21, params=7e9, tokens=1.2e11)
        held["loss"] = off * BESIROGLU.loss(held["params"], held["tokens"])
        clause = refusal(run, forecast, pd.concat([runs, held]), known)
        assert ("held out near it 0 lie in" in clause) == refuted
        assert ("too low on average" in clause) == refuted


def test_what_lies_outside_the_runs_is_said(known, runs):
    clauses = to_mind(at(), forecast_of(at(), known), runs)
    assert any("compute is 10× that of the largest run" in clause for clause in clauses)
    long = at(ratio=400.0)
    assert any("tokens lie outside" in c for c in to_mind(long, forecast_of(long, known), runs))
    inside = at(flops=1e20)
    assert to_mind(inside, forecast_of(inside, known), runs) == []
    far = at(flops=1e25)
    assert "farther than the 100×" in to_mind(far, forecast_of(far, known), runs)[0]


def test_runs_to_forecast_are_named_once_and_with_their_family():
    entry = {"name": "a", "params": 1e9, "tokens": 2e10}
    assert named_runs([entry], ["ash"])[0].family == "ash"
    with pytest.raises(FloplineError, match="under the name 'a'"):
        named_runs([entry, entry], ["ash"])
    with pytest.raises(FloplineError, match="says no family: add one of ash, oak"):
        named_runs([entry], ["ash", "oak"])
    with pytest.raises(FloplineError, match="of the family 'elm'"):
        named_runs([{**entry, "family": "elm"}], ["ash"])
    row = {"family": "ash", "budget_flops": 1e22, "law": "isoflop", "estimator": "window"}
    row |= {"main": False, "recommended": True, "params": 1e9, "tokens": 2e10}
    lines = pd.DataFrame([row])
    (run,) = recommended_runs(lines, ["ash"])
    assert (run.name, run.lines, run.target_flops) == ("1e22", ("isoflop/window",), 1e22)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("\x7fELF\x02\x01" + "\udcd0" * 300, r"cannot be printed \('\\x7fELF\\x02\\x01"),
        ("a\x1b[31mb", "cannot be printed"),
        ("  ", "is blank"),
        ("n" * 101, "has 101 letters"),
    ],
)
def test_a_name_that_no_log_has_is_refused_in_few_words(name: str, words: str) -> None:
    """The bytes of a program, given as a name, went to the terminal, or ended in a traceback."""
    with pytest.raises(FloplineError, match=words) as raised:
        named_runs([{"name": name, "params": 1e9, "tokens": 1e10}], ["ash"])
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


def test_the_same_inputs_give_the_same_bytes_and_come_back(known, runs, tmp_path):
    run = at()
    item = SealedRun(run, forecast_of(run, known), ["far"])
    made = [
        sealed_document(STUDY, [item], table, {"b": "2", "a": "1"}, "2026-11-29")
        for table in (runs, runs.sample(frac=1, random_state=1))
    ]
    assert document_text(made[0]) == document_text(made[1])
    other = sealed_document(STUDY, [item], runs, {"a": "1", "b": "2"}, "2026-11-30")
    assert {key for key in other if other[key] != made[0][key]} == {"date", "seal"}
    path = tmp_path / "deep" / "f.json"
    write_sealed(made[0], path)
    read = read_sealed(path)
    assert read.sealed_runs[0].forecast == item.forecast
    assert read.runs == run_digests(runs)
    assert read.holds["tokenizer"] == "bytes"
    assert made[0]["flopline"]["code"] == code_digest()
    before = path.read_bytes()
    with pytest.raises(FloplineError, match="never written over"):
        write_sealed(other, path)
    assert path.read_bytes() == before


def test_what_was_changed_after_it_was_sealed_is_refused(known, runs, tmp_path):
    run = at()
    document = sealed_document(STUDY, [SealedRun(run, forecast_of(run, known), [])], runs, {}, "d")
    path = tmp_path / "f.json"
    document["forecasts"][0]["params"] *= 2
    path.write_text(json.dumps(document))
    with pytest.raises(FloplineError, match="changed after it was sealed"):
        read_sealed(path)
    path.write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(FloplineError, match="has version 99"):
        read_sealed(path)
    for text in ("{}", "[]", "no"):
        path.write_text(text)
        with pytest.raises(FloplineError, match="is no sealed forecast"):
            read_sealed(path)


def test_scores_are_those_of_students_t():
    forecast = RunForecast(COMBINED, 1e22, 1e21, math.log(2.0), 0.01, 8.0)
    hit, miss = forecast.scored(2.0), forecast.scored(2.0 * math.exp(0.05))
    assert (hit["error_percent"], hit["z"], hit["inside80"], hit["inside95"]) == (0, 0, 1, 1)
    assert miss["z"] == pytest.approx(5.0)
    assert miss["error_percent"] == pytest.approx(100 * math.expm1(-0.05))
    assert (miss["inside80"], miss["inside95"]) == (0, 0)
    assert miss["crps_percent"] > hit["crps_percent"]
    assert set(hit) == set(SCORES)


def test_forecasts_are_judged_pooled_and_set_apart_for_what_is_wrong(runs):
    forecast = RunForecast(COMBINED, 1e22, 1e21, math.log(2.0), 0.01, 8.0)
    names = ("good", "bad", "late", "fitted", "other", "lost")
    sealed = [sealed_of(at(name=n), forecast, {"fitted": "x"}, path=f"{n}.json") for n in names]
    sealed.append(sealed_of(at(name="good"), forecast, {}, date="2026-02-01", path="again.json"))
    table = pd.DataFrame(
        {
            "run": ["good", "bad", "fitted", "other", "lost"],
            "loss": [2.01, 2.2, 2.0, 2.0, math.nan],
            "params": [at().params] * 3 + [at().params * 1.1, at().params],
            "status": [KEPT] * 4 + ["quarantined"],
            "reason": [""] * 4 + ["diverged"],
        }
    )
    verdicts = judged(sealed, table)
    status = verdicts.groupby("file")["status"].first()
    assert status["good.json"] == status["bad.json"] == SCORED
    assert status["late.json"] == "not there yet"
    assert status["fitted.json"].startswith("part of the fit")
    assert status["other.json"].startswith("trained with")
    assert status["lost.json"] == "set aside: diverged"
    assert status["again.json"].startswith("sealed before")
    assert pooled(verdicts).startswith("2 forecasts: 1 of 2 inside 80 %, 1 of 2 inside 95 %")
    assert pooled(verdicts[verdicts["status"] != SCORED]) == "No forecast can be scored yet."


def test_a_loss_of_another_kind_is_not_scored(runs):
    forecast = RunForecast(COMBINED, 1e22, 1e21, math.log(2.0), 0.01, 8.0)
    sealed = replace(sealed_of(at(), forecast, {}), holds={"loss_split": "val"})
    table = pd.DataFrame({"run": ["big"], "loss": [2.0]})
    assert judged([sealed], table)["status"].tolist() == [SCORED]
    now = judged([sealed], table, {"loss_split": "train"})["status"].tolist()
    assert now == ["forecast for loss_split val, which the study no longer has"]


def test_a_row_of_results_that_no_forecast_awaits_is_refused():
    forecast = RunForecast(COMBINED, 1e22, 1e21, math.log(2.0), 0.01, 8.0)
    sealed = [sealed_of(at(), forecast, {})]
    table = pd.DataFrame({"run": ["big "], "loss": [2.0], "line": [2]})
    runs, notes = runs_forecast(table, sealed, "r.csv")
    assert judged(sealed, runs)["status"].tolist() == [SCORED]
    assert notes == ["row 2 of r.csv: 'big ' was read as the run 'big'."]
    with pytest.raises(
        FloplineError, match=r"row 2 of r\.csv: 'Big ' is no run of a\.json; it holds: big"
    ):
        runs_forecast(table.assign(run="Big "), sealed, "r.csv")
    twice = pd.concat([table, table.assign(run="big", line=3)])
    with pytest.raises(FloplineError, match="'big' twice"):
        runs_forecast(twice, sealed, "r.csv")


def test_it_is_said_whether_the_inputs_changed(runs):
    forecast = RunForecast(COMBINED, 1e22, 1e21, math.log(2.0), 0.01, 8.0)
    sealed = sealed_of(at(), forecast, run_digests(runs))
    more = pd.concat([runs, runs.head(1).assign(run="new")])
    assert changed_inputs(sealed, more).endswith("are as they were.")
    name = str(runs["run"].iloc[0])
    moved = runs.assign(loss=runs["loss"].where(runs["run"] != name, 9.0))
    assert f"1 run changed since ({name})" in changed_inputs(sealed, moved)
    assert "2 runs gone since" in changed_inputs(sealed, runs.iloc[2:])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("run,los\na,2\n", "has no column `loss`"),
        ("run,loss\na,2\na,3\n", "'a' twice"),
        ("run,loss\na,x\n", "line 2: `loss` is 'x'"),
    ],
)
def test_a_table_of_results_that_is_wrong_is_refused(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "r.csv"
    path.write_text(text)
    with pytest.raises(FloplineError, match=sentence):
        results_table(path)


def test_from_the_command_line_to_the_score(known, runs, tmp_path: Path, capsys):
    """On a study's folder of results, with the run's loss in a table of its own."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    source = "{kind: table, paths: data.csv, columns: {run: run, params: n, tokens: d, loss: l}}"
    study = tmp_path / "config/studies/ash.yaml"
    study.write_text(
        f"title: Ash\nsource: {source}\nfamilies: {{ash: Ash}}\nparams_convention: total\n"
        "flops_convention: six_nd\nlaws: [isoflop, parametric]\ntargets: [1e22]\n"
        "future_runs: [{name: big, params: 1e10, tokens: 1.6e11}]\n"
    )
    assert main(["forecast", "ash"], tmp_path) == 1
    assert f"run the study first, with {to_run('ash')}" in capsys.readouterr().err
    folder = tmp_path / "results/ash"
    for part in ("clean", "fits/ash", "audit/ash/tables"):
        (folder / part).mkdir(parents=True)
    write_parquet(runs, folder / "clean/runs.parquet")
    write_json({"silent": []}, folder / "decision.json")
    write_parquet(pd.DataFrame({"recommended": [False]}), folder / "decision.parquet")
    for law in known.fits:
        result = known.of_law(law)
        write_json(result.content, folder / f"fits/ash/{law}.json")
        for name, table in {"draws": result.draws, **result.tables}.items():
            write_parquet(table, folder / f"fits/ash/{law}.{name}.parquet")
    finding = known.findings["ladder"]
    tables = finding["tables"]
    write_json([{**finding, "tables": sorted(tables)}], folder / "audit/ash/findings.json")
    for name, table in tables.items():
        write_parquet(table, folder / f"audit/ash/tables/ladder.{name}.parquet")
    assert main(["forecast", "ash", "--date", "2026-11-29"], tmp_path) == 0
    made = capsys.readouterr().out
    assert "big (ash): 10B params on 160B tokens, 9.6e21 FLOPs: loss" in made
    assert "this exact name: 'big'." in made
    assert "(by combined). Warning: its compute is 9.6× that of the largest run" in made
    sealed = tmp_path / "forecasts/ash/2026-11-29.json"
    assert json.loads(sealed.read_text())["inputs"]["runs"]["number"] == len(runs)
    assert main(["forecast", "ash", "--date", "2026-11-29"], tmp_path) == 1
    assert "never written over" in capsys.readouterr().err
    more = ["--run", "thin", "1e7", "1e15", "--run", "mid", "7B", "140B", "--file", "two.json"]
    assert main(["forecast", "ash", *more], tmp_path) == 0
    assert "thin: not forecast, since its" in capsys.readouterr().out
    assert main(["judge", "ash"], tmp_path) == 0
    assert "No forecast can be scored yet." in capsys.readouterr().out
    loss = float(BESIROGLU.loss(1e10, 1.6e11))
    (tmp_path / "seen.csv").write_text(f"run,loss\nbig,{loss}\n")
    assert main(["judge", "ash", "--results", "seen.csv"], tmp_path) == 0
    made = capsys.readouterr().out
    assert "inside 80 % and inside 95 %" in made
    assert "1 forecast: 1 of 1 inside 80 %, 1 of 1 inside 95 %" in made
    scores = pd.read_csv(folder / "judged.csv")
    assert scores["seen"].tolist() == [loss]
    for changed in ("params_convention: non_embedding", "loss_unit: bits_per_token"):
        key = changed.split(":")[0]
        lines = [line for line in study.read_text().splitlines() if not line.startswith(key)]
        study.write_text("\n".join([*lines, changed, ""]))
        assert main(["judge", "ash", "--results", "seen.csv"], tmp_path) == 0
        made = capsys.readouterr().out
        assert key in made
        assert "which the study no longer has" in made
        assert "No forecast can be scored yet." in made


@pytest.mark.parametrize("row", ['a,"3,565",1000', 'a,3.5,"1,3e9"'])
def test_a_comma_in_a_table_of_results_is_told_with_a_mend_for_that_table(
    tmp_path: Path, row: str
) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"run,loss,params\n{row}\n")
    with pytest.raises(FloplineError, match="write it with a decimal point and without commas"):
        results_table(path)


def test_a_sealed_file_that_is_there_names_the_option_for_another(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(FloplineError, match="name another file with --file path/to/file"):
        write_sealed({}, path)


def test_results_of_another_version_are_told_with_the_mend() -> None:
    left: dict[str, Any] = {}
    study: Any = {"name": "x"}
    with pytest.raises(FloplineError) as refusal, of_this_version(study):
        left["silent"]
    assert f"wrote no 'silent': run the study again with {to_run('x')}" in str(refusal.value)


def test_a_run_to_forecast_may_be_one_word_or_several() -> None:
    one, several = _entry(["big 7e9 1.4e11"]), _entry(["big", "7e9", "1.4e11"])
    assert one == several == {"name": "big", "params": 7e9, "tokens": 1.4e11}
