"""Which runs share a budget, for audits that refit parts of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import ladder
from flopline.audit.prepared_runs import prepared
from flopline.errors import FloplineError
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from tests.builders.designs import BUDGETS, isoflop_runs
from tests.builders.options import ladder_options
from tests.builders.surfaces import BESIROGLU


def budgets_of(points: pd.DataFrame, budgets: list[float] | None = None) -> np.ndarray:
    options = IsoflopOptions().but(budgets=budgets)
    return prepared(points, options, "test", "")["budget_flops"].to_numpy()


def test_nominal_given_and_found_budgets_agree() -> None:
    points = isoflop_runs(sizes=5)
    expected = np.repeat(BUDGETS, 5)
    np.testing.assert_allclose(budgets_of(points), expected)
    np.testing.assert_allclose(budgets_of(points, [*BUDGETS, 1e30]), expected)
    nominal = points.assign(budget_flops=np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 5))
    np.testing.assert_allclose(budgets_of(nominal), expected)
    only_two = budgets_of(points, [1e18, 1e21])
    np.testing.assert_array_equal(np.isnan(only_two), ~np.isin(np.arange(25) // 5, [0, 4]))


def test_chains_of_runs_and_lone_token_counts_are_no_budgets() -> None:
    points = isoflop_runs(sizes=5)
    chain = points.assign(flops=1e18 * np.exp(0.1 * np.arange(25)))
    assert np.isnan(budgets_of(chain)).all()
    # Three sizes of nearly the same FLOPs on one token count.
    lone = points.iloc[:3].assign(tokens=1e9, flops=[1e18, 1.05e18, 1.1e18])
    assert np.isnan(budgets_of(lone)).all()


def test_checkpoints_of_runs_are_no_profiles_and_have_a_ladder_all_the_same() -> None:
    params = np.repeat(np.geomspace(5e7, 2e9, 8), 10)
    tokens = np.tile(np.geomspace(2e9, 2e11, 10), 8)
    points = pd.DataFrame(
        {
            "run": [f"r{i // 10}" for i in range(80)],
            "params": params,
            "tokens": tokens,
            "flops": 6 * params * tokens,
            "loss": BESIROGLU.loss(params, tokens),
        }
    )
    assert np.isnan(budgets_of(points)).all()
    finding = ladder.audit(points, 1e23, ladder_options(0))
    steps = finding.tables["steps"].query("estimator == 'log_huber'")
    assert (steps["loss_error_percent"] < 1e-4).all()


def test_unusable_points_are_refused() -> None:
    points = isoflop_runs()
    points.loc[2, "loss"] = -1.0
    with pytest.raises(FloplineError, match="test needs loss above zero, but run 'r002'"):
        budgets_of(points)
