"""What one more budget would tell a law that is a line through the optima of budgets.

ln N_opt = ln K + a ln C by least squares knows its value at x0 = ln C of the target with a variance
proportional to 1/n + (x0 - mean)^2 / Sxx (Draper and Smith 1998, Applied Regression Analysis, sect.
3.1): another budget lowers it by its place alone, whatever is found there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

FEWEST_BUDGETS: Final = 3
"""Fewer are no line whose variance is known."""
FEWEST_SIZES: Final = 5
"""Sizes of a budget whose optimum can be read: three for a parabola, and two that say how sure."""
LEAST_STEP: Final = 1.25
"""Factor above the largest budget below which another one is no budget of its own."""


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


def next_budget(
    runs: pd.DataFrame, target_flops: float, most_flops: float = math.inf
) -> NextBudget | None:
    """The worth of one more budget; `runs` has budget_flops, missing for runs of no budget.

    All its runs together take `most_flops` at most: then it lies nearer, or has fewer sizes. None
    with fewer than three budgets, where the target lies below the largest, and where so much
    compute buys no budget above the largest.
    """
    sizes = runs["budget_flops"].dropna().groupby(runs["budget_flops"]).size()
    x = np.log(np.sort(sizes.index.to_numpy(dtype=float)))
    goal = float(np.log(target_flops))
    if x.size < FEWEST_BUDGETS or goal <= x[-1]:
        return None
    new = min(float(x[-1] + np.median(np.diff(x))), goal)
    usual = round(float(sizes.median()))
    least = min(new, float(x[-1]) + math.log(LEAST_STEP))
    for count in dict.fromkeys((usual, min(usual, FEWEST_SIZES))):
        at = min(new, math.log(most_flops / count))
        if at >= least:
            after = variance_at(np.append(x, at), goal) / variance_at(x, goal)
            narrower = 100 * (1 - float(np.sqrt(after)))
            flops = float(np.exp(at))
            return NextBudget(flops, count, count * flops, narrower)
    return None


def variance_at(x: ArrayLike, goal: float) -> float:
    """Variance of a fitted line at `goal` over that of one point, for points at `x`."""
    points = np.asarray(x, dtype=float)
    off = points - points.mean()
    return float(1 / points.size + (goal - points.mean()) ** 2 / (off @ off))
