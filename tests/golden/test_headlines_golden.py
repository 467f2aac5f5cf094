"""Studies whose headline was wrong though their own tables knew better: what is said now.

Public runs are read as the backtest reads them. Few draws: what is asserted does not hang on more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import backtest_studies

from flopline.audit import form_choice, held_out, ladder
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding
from flopline.audit.law_of_study import law_of_study
from flopline.bearing import span_of
from flopline.clean.untrained import untrained
from flopline.decision import decide
from flopline.decision_lines import headline_lines
from flopline.documents import FindingJson, VerdictJson
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.options import StudyOptions
from flopline.results import FamilyResults, LawResults
from flopline.solvers.surface_family import CHINCHILLA, FORMS
from tests.builders.designs import isoflop_runs, runs_at
from tests.builders.surfaces import BESIROGLU

DRAWS = 20


def fitted(points: pd.DataFrame, target: float, form=CHINCHILLA) -> LawResults:
    fit = parametric_fit.fit(points, [target], draws=DRAWS, seed=0, variant_draws=0, form=form)
    return LawResults.of(fit)


def read_finding(finding: Finding) -> FindingJson:
    return {**finding.to_json(), "tables": finding.tables}


def decided(
    laws: Mapping[str, LawResults], target: float, runs: pd.DataFrame, *findings: Finding
) -> tuple[pd.DataFrame, VerdictJson]:
    results = FamilyResults(
        {name: law.content for name, law in laws.items()},
        {name: law.draws for name, law in laws.items()},
        {name: law.tables for name, law in laws.items()},
        {finding.audit: read_finding(finding) for finding in findings},
    )
    return decide({"ash": results}, [target], {"ash": "Ash"}, {"ash": span_of(runs)})


@pytest.mark.slow
def test_step_law_follows_the_form_that_its_ladder_prefers(real_data: Path) -> None:
    """Chinchilla's form, whose size is 65B at .39 tokens per param, had the headline."""
    target = 1e22
    (_, runs), *_ = backtest_studies.step_law(real_data)
    published = fitted(runs, target)
    steps = runs["flops"].quantile([0.6, 0.9])
    how = StudyOptions(AuditOptions(ladder_draws=0))
    rungs = ladder.audit(runs, target, how, steps_flops=steps.tolist())
    choice = form_choice.choose(published, rungs.tables["steps"])
    assert (choice.form.name, choice.basis) == ("skaling", "held_out")
    options = ParametricOptions(variant_draws=0), BootstrapOptions(draws=DRAWS, seed=0)
    law = law_of_study(published, choice.form, runs, [target], *options)
    table, verdict = decided({"parametric": law}, target, runs, rungs, choice.finding())
    assert verdict["headline"]["estimator"] == "skaling"
    assert verdict["headline"]["params"]["point"] == pytest.approx(12.1e9, abs=0.05e9)
    beside = table.set_index("estimator").loc["chinchilla"]
    assert beside["params"] == pytest.approx(65.3e9, abs=0.1e9)
    assert beside["barred"]


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_haegele_states_no_size_far_beyond_its_runs(real_data: Path, kind: str) -> None:
    target = 1e21
    runs = dict(backtest_studies.haegele(real_data))[kind]
    _, verdict = decided({"parametric": fitted(runs, target)}, target, runs)
    assert verdict["headline"] is None
    sentences = headline_lines(verdict, {"ash": "Ash"})
    assert sentences[0].startswith("These runs do not say what to train at 1e21 FLOPs")


def test_farseer_s_larger_runs_lie_inside_what_the_chosen_form_says(real_data: Path) -> None:
    (_, runs), *_ = backtest_studies.farseer(real_data)
    larger = runs["flops"] > 3.6e21
    assert larger.sum() == 7
    seen, held = runs[~larger], runs[larger]
    inside = {}
    for name in ("chinchilla", "skaling"):
        law = fitted(seen, 2e22, FORMS[name])
        told = held_out.audit(held, seen, {"parametric": law}).tables["predictions"]
        mine = told[told["estimator"] == told["estimator"].iloc[0]]
        inside[name] = (mine["inside95"] == "yes").sum(), mine["error_percent"].abs().max()
        if name == "skaling":
            loss = law.tables["estimators"]["loss"].iloc[0]
    assert loss == pytest.approx(0.4328, abs=5e-5)
    assert inside["skaling"][0] == 7
    assert inside["skaling"][1] == pytest.approx(0.6, abs=0.01)
    assert inside["chinchilla"][0] <= 2
    assert inside["chinchilla"][1] > 3


def test_a_run_held_out_at_the_budget_refutes_every_law_that_misses_it() -> None:
    """Beyond the runs the losses fell faster; six corpora had a headline without a word of it."""
    target = 1e22
    runs = isoflop_runs(noise=0.003, seed=1)
    laws = {"parametric": fitted(runs, target)}
    laws["isoflop"] = LawResults.of(isoflop_fit.fit(runs, [target], draws=DRAWS, seed=0))
    params = BESIROGLU.params_opt(target)
    held = runs_at(BESIROGLU, [params], [target / 6 / params])
    _, verdict = decided(laws, target, runs, held_out.audit(held, runs, laws))
    assert verdict["headline"] is not None
    held["loss"] *= 0.954
    table, verdict = decided(laws, target, runs, held_out.audit(held, runs, laws))
    main = table[table["main"]].set_index("law")["barred"]
    refuted = "the run held out near the target refutes it: "
    assert main["parametric"] == f"{refuted}0 of 1 inside its 95 %, 4.8 % too high"
    assert main["isoflop"].startswith(f"{refuted}below the 95 % interval of the best run")
    assert verdict["headline"] is None
    assert table.loc[table["law"] == "isoflop", "barred"].all()


@pytest.mark.parametrize("bad", [{}, {40: 2.5, 36: 3.2, 22: 4.0}])
def test_runs_that_never_trained_leave_no_headline_that_stands_on_them(
    bad: dict[int, float],
) -> None:
    """Three of them put a parabola's bottom half a nat below every run of its budget."""
    target, optimum = 1e21, BESIROGLU.params_opt(1e21)
    parts = []
    for number, family in enumerate(("ash", "elm")):
        part = isoflop_runs(BESIROGLU, (1e18, 1e19, 1e20), 14, 5.0, noise=0.003, seed=number)
        if family == "elm":
            part.loc[list(bad), "loss"] *= list(bad.values())
        parts.append(part.assign(family=family, unique_tokens=np.nan))
    table = pd.concat(parts, ignore_index=True)
    set_aside = untrained(table, 0.5)
    assert sorted(set_aside.index) == sorted(len(parts[0]) + place for place in bad)
    for kept in (table.drop(index=set_aside.index), table):
        runs = kept[kept["family"] == "elm"]
        fit = LawResults.of(isoflop_fit.fit(runs, [target], draws=DRAWS, seed=0))
        _, verdict = decided({"isoflop": fit}, target, runs)
        if kept is table and bad:
            assert verdict["headline"] is None
            continue
        head = verdict["headline"]
        assert head["params"]["point"] == pytest.approx(optimum, rel=0.25)
        lowest = runs.groupby("flops")["loss"].min().to_numpy()
        assert fit.tables["vertices"]["loss"].to_numpy() == pytest.approx(lowest, rel=0.01)
