"""Runs held out: what the laws predict of them, and how that is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flopline.audit import held_out
from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FitResult
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.results import LawResults
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.audited_family import points
from tests.builders.designs import runs_at
from tests.builders.surfaces import BESIROGLU

TARGETS = [1e23]


@pytest.fixture(scope="module")
def fitted() -> FitResult:
    return parametric_fit.fit(points(), TARGETS, draws=200, seed=1, variant_draws=5)


def held(factor: float = 1.0, n: int = 2) -> pd.DataFrame:
    """Runs far above all that are fitted (synthetic), `factor` times the loss of the law."""
    params = np.geomspace(5e9, 2e10, n)
    runs = runs_at(BESIROGLU, params, 40 * params)
    return runs.assign(run="large-" + runs["run"], loss=factor * runs["loss"])


def audited(runs: pd.DataFrame, *fits: FitResult) -> Finding:
    return held_out.audit(runs, points(), {fit.law: LawResults.of(fit) for fit in fits})


def test_runs_of_the_law_itself_lie_inside(fitted: FitResult) -> None:
    finding = audited(held(), fitted)
    table = finding.tables["predictions"].query("estimator == 'log_huber'")
    assert table["inside95"].tolist() == ["yes", "yes"]
    assert finding.verdict == "good"
    assert table["error_percent"].abs().max() < 1
    assert (table["lo95"] < table["lo80"]).all()
    assert (table["hi80"] < table["hi95"]).all()
    assert table["error"].tolist() == (table["predicted"] - table["seen"]).tolist()


def test_runs_of_another_recipe_that_all_lie_outside_refute(fitted: FitResult) -> None:
    finding = audited(held(factor=1.1), fitted)
    assert finding.verdict == "refuted"
    assert finding.numbers["inside95"] == 0
    assert "0 of 2 lie in the 95 % prediction of one new run" in finding.sentence
    assert finding.numbers["mean_error_percent"] == pytest.approx(100 * (1 / 1.1 - 1), abs=1)


def test_one_run_outside_of_several_is_warned_of(fitted: FitResult) -> None:
    runs = held()
    finding = audited(runs.assign(loss=runs["loss"] * [1.1, 1.0]), fitted)
    assert finding.numbers["inside95"] == 1
    assert finding.verdict == "warned"


def test_without_draws_nothing_is_judged(fitted: FitResult) -> None:
    finding = audited(held(), replace(fitted, draws=fitted.draws.iloc[:0]))
    assert set(finding.tables["predictions"]["inside95"]) == {"not judged"}
    assert finding.verdict == "not checked"


def test_every_objective_and_form_predicts_by_its_own_parameters(fitted: FitResult) -> None:
    variants = fitted.tables["variants"]
    table = audited(held(), fitted).tables["predictions"]
    assert set(table["estimator"]) == {"log_huber", *variants["estimator"]}
    rows = variants[variants["estimator"] == "log_lad"].set_index("parameter")["point"]
    law = LossSurface(*(rows[name] for name in ("E", "A", "B", "alpha", "beta")))
    own = table[table["estimator"] == "log_lad"]
    assert own["predicted"].tolist() == law.loss(own["params"], own["tokens"]).tolist()


def test_a_law_of_compute_alone_predicts_the_best_run_only(fitted: FitResult) -> None:
    fit = isoflop_fit.fit(points(), TARGETS, draws=200, seed=1)
    finding = audited(held(), fit, fitted)
    rows = finding.tables["predictions"].query("law == 'isoflop'")
    assert set(rows["of"]) == {"the best run of its compute"}
    assert set(rows["inside95"]) == {"not judged"}
    best = [fit.parameters[name].point for name in ("L_E", "L_K", "L_c")]
    assert rows["predicted"].tolist() == pytest.approx(
        (best[0] + best[1] * rows["flops"] ** -best[2]).tolist()
    )
    # Twice the tokens of the optimum cost little, but some.
    assert "0 of 2 lie above what was seen" in finding.sentence


def test_the_order_of_runs_does_not_matter(fitted: FitResult) -> None:
    runs = held(n=5)
    made = [audited(table, fitted) for table in (runs, runs[::-1])]
    pd.testing.assert_frame_equal(*(f.tables["predictions"] for f in made))
    assert made[0].sentence == made[1].sentence
    assert "(the 3 largest errors of 5)" in made[0].sentence


def test_without_a_surface_nothing_can_be_said() -> None:
    fit = isoflop_fit.fit(points(), TARGETS, draws=0)
    with pytest.raises(FloplineError, match="keep parametric in `laws`"):
        audited(held(), fit)
