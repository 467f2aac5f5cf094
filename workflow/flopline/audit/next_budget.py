"""What one more budget would tell a law that is a line through the optima of budgets.

ln N_opt = ln K + a ln C by least squares knows its value at x0 = ln C of the target with a variance
proportional to 1/n + (x0 - mean)^2 / Sxx (Draper and Smith 1998, Applied Regression Analysis, sect.
3.1): another budget lowers it by its place alone, whatever is found there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

FEWEST_BUDGETS: Final = 3
"""Fewer are no line whose variance is known."""


@dataclass(frozen=True, slots=True)
class NextBudget:
    """A budget [FLOPs] one step above the largest, at as many sizes as the others have.

    `narrower_percent` is by how much it narrows the interval of ln N at the target, `total_flops`
    what all its runs take.
    """

    flops: float
    sizes: int
    total_flops: float
    narrower_percent: float


def next_budget(runs: pd.DataFrame, target_flops: float) -> NextBudget | None:
    """The worth of one more budget; `runs` has budget_flops, missing for runs of no budget.

    None with fewer than three budgets, and where the target lies below the largest.
    """
    sizes = runs["budget_flops"].dropna().groupby(runs["budget_flops"]).size()
    x = np.log(np.sort(sizes.index.to_numpy(dtype=float)))
    goal = float(np.log(target_flops))
    if x.size < FEWEST_BUDGETS or goal <= x[-1]:
        return None
    new = min(float(x[-1] + np.median(np.diff(x))), goal)
    after = variance_at(np.append(x, new), goal) / variance_at(x, goal)
    count = round(float(sizes.median()))
    flops = float(np.exp(new))
    return NextBudget(flops, count, count * flops, 100 * (1 - float(np.sqrt(after))))


def variance_at(x: ArrayLike, goal: float) -> float:
    """Variance of a fitted line at `goal` over that of one point, for points at `x`."""
    points = np.asarray(x, dtype=float)
    off = points - points.mean()
    return float(1 / points.size + (goal - points.mean()) ** 2 / (off @ off))
