"""What one more budget tells a law through the optima of budgets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit.next_budget import next_budget


def runs(budgets: list[float], sizes: int = 4) -> pd.DataFrame:
    return pd.DataFrame({"budget_flops": np.repeat(budgets, sizes)})


def test_the_interval_narrows_as_that_of_a_refitted_line() -> None:
    """The same from the covariance of least squares itself."""
    budgets, target = [1e18, 1e19, 1e20], 1e22
    more = next_budget(runs(budgets), target)
    assert more is not None
    assert (more.flops, more.sizes, more.total_flops) == (
        pytest.approx(1e21),
        4,
        pytest.approx(4e21),
    )

    def sd(at: list[float]) -> float:
        design = np.column_stack([np.ones(len(at)), np.log(at)])
        row = np.array([1.0, np.log(target)])
        return float(np.sqrt(row @ np.linalg.inv(design.T @ design) @ row))

    narrower = 100 * (1 - sd([*budgets, 1e21]) / sd(budgets))
    assert more.narrower_percent == pytest.approx(narrower)


def test_the_next_budget_never_exceeds_the_target() -> None:
    more = next_budget(runs([1e18, 1e19, 1e20]), 2e20)
    assert more is not None
    assert more.flops == pytest.approx(2e20)


@pytest.mark.parametrize(("budgets", "target"), [([1e18, 1e19], 1e22), ([1e18, 1e19, 1e20], 1e19)])
def test_too_few_budgets_or_a_target_within_them_say_nothing(
    budgets: list[float], target: float
) -> None:
    assert next_budget(runs(budgets), target) is None
