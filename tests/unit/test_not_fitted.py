"""A law that cannot be fitted: its files stand, without a number, and the others go on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.decision import demand_a_fit, unfitted
from flopline.errors import FloplineError, clause_of
from flopline.laws.common.fit_result import FAILED, FitResult
from flopline.laws.common.not_fitted import example, not_fitted
from flopline.laws.envelope import envelope_fit
from flopline.laws.registry import LAWS
from flopline.laws.spec import ESTIMATORS, spec_of

TARGETS = [1e21, 1e22]
WHY = "isoFLOP needs 3 budgets, but the table has 2 (1e18: too few): add budgets."


def failed(law: str) -> FitResult:
    return not_fitted(spec_of(law), TARGETS, WHY, points=example(rows=1), draws=7)


@pytest.mark.parametrize("law", LAWS)
def test_all_that_a_fit_leaves_is_there_without_a_number(law: str) -> None:
    result = failed(law)
    assert (result.status, result.message, result.n_points) == (FAILED, WHY, 0)
    assert set(result.tables) == set(spec_of(law).tables)
    assert result.draws.drop(columns="draw").isna().all(axis=None)
    assert len(result.draws) == 7
    for quantity in ("a", "params", "params_lo95"):
        assert result.tables[ESTIMATORS][quantity].isna().all()
    assert result.tables[ESTIMATORS]["budget_flops"].tolist() == TARGETS
    assert all(e.point != e.point for e in result.parameters.values())


def test_the_points_of_a_surface_stay_to_be_drawn() -> None:
    points = failed("parametric").tables["points"]
    assert len(points) == 35
    assert points["predicted"].isna().all()
    assert np.isfinite(points["loss"]).all()


def test_an_envelope_of_finished_runs_says_that_a_run_needs_more_than_one_row() -> None:
    with pytest.raises(FloplineError, match="a run needs more than one row"):
        envelope_fit.fit(example(rows=1), TARGETS, draws=5)


def test_a_law_that_is_not_fitted_is_said_in_one_clause() -> None:
    fits = {
        "ash": {"isoflop": {"status": FAILED, "message": WHY}, "parametric": {"status": "warning"}}
    }
    assert unfitted(fits, {"ash": "Ash"}) == [
        "The isoFLOP law is not fitted: isoFLOP needs 3 budgets, but the table has 2 "
        "(1e18: too few)."
    ]
    demand_a_fit(fits)


def test_where_nothing_can_be_fitted_one_sentence_says_so() -> None:
    fits = {"ash": {"isoflop": {"status": FAILED, "message": WHY}}}
    with pytest.raises(FloplineError, match=r"no law could be fitted.*has 2.*: add runs, or"):
        demand_a_fit(fits)


@pytest.mark.parametrize(
    ("params", "tokens", "mend"),
    [
        (
            [1e8] * 4,
            [1e9, 2e9, 4e9, 8e9],
            "every run has 100M params, .*at 3 or more of these",
        ),
        ([1e8, 2e8, 4e8, 8e8], [1e9] * 4, "every run has 1B tokens, .*at 3 or more of these"),
        ([1e8, 2e8, 4e8], [2e9, 4e9, 8e9], "every run has 20 tokens per param, .*half, twice"),
        (
            [1e8, 2e8, 4e8],
            [2e9, 8e9, 32e9],
            "the tokens of every run follow from its params, .*half, twice",
        ),
        ([1e8, 2e8, 4e8], [2e9, 9e9, 3e9], "add runs, or choose other `laws`"),
    ],
)
def test_where_n_and_d_are_one_variable_the_mend_names_the_runs_that_part_them(
    params: list[float], tokens: list[float], mend: str
) -> None:
    fits = {"ash": {"isoflop": {"status": FAILED, "message": WHY}}}
    runs = pd.DataFrame({"family": "ash", "params": params, "tokens": tokens}).assign(
        run=[f"r{i}" for i in range(len(params))],
        flops=lambda table: 6 * table["params"] * table["tokens"],
        loss=lambda table: 20 * table["flops"] ** -0.05,
    )
    with pytest.raises(FloplineError, match=mend):
        demand_a_fit(fits, runs)


def test_a_metric_that_rises_with_compute_is_taken_for_an_accuracy() -> None:
    """Of accuracies the mend was to add runs."""
    flops = np.geomspace(1e18, 1e20, 12)
    runs = pd.DataFrame(
        {"run": [f"r{i}" for i in range(12)], "family": "ash", "params": (flops / 120) ** 0.5}
    ).assign(tokens=lambda t: 20 * t["params"], flops=flops, loss=np.linspace(0.4, 0.7, 12))
    fits = {"ash": {"isoflop": {"status": FAILED, "message": WHY}}}
    with pytest.raises(FloplineError, match=r"do not fall with compute.*and not an accuracy"):
        demand_a_fit(fits, runs)


def test_a_clause_is_a_message_without_its_mend() -> None:
    assert clause_of("A is B: do C.") == "A is B"
    assert clause_of("A is 0.") == "A is 0"
