"""The size to train when no line is sure: the one that is expected to waste least compute.

Every line is in turn the truth, by its weight, and its size scatters as it is forecast to. The
waste of another size is exact on a surface with the exponents alpha and beta (`audit.waste`); it
is dear to miss by much and nearly free to miss by little, so the best size is no mean of logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.waste import wasted_share
from flopline.forecast.line_forecasts import COMBINED, weights
from flopline.forecast.student import StudentT

Floats = NDArray[np.float64]

NODES: Final = 101
"""Evenly likely sizes that stand for the forecast of a line."""
GRID: Final = 1201
"""Sizes among which the best is sought, evenly spaced in logs over all that lines hold likely and a
little more."""
LIKELY: Final = 0.98
"""Share of a line's forecast that the grid covers."""
SMALL_WASTE: Final = (1.0, 5.0)
"""Percent of compute: the range of sizes that are expected to waste less is stated for each."""


@dataclass(frozen=True, slots=True)
class BestSize:
    """A size [weights], the compute that it is expected to waste, and the sizes nearly as good.

    `ranges` maps a percentage to the smallest and largest size expected to waste less, NaN where
    even the best wastes more.
    """

    params: float
    wasted_percent: float
    ranges: dict[float, tuple[float, float]]

    def tokens(self, flops: float) -> float:
        """What `flops`, spent as C = 6ND, trains it on."""
        return flops / (6 * self.params)


def best_sizes(
    made: pd.DataFrame, alpha: float, beta: float
) -> list[tuple[float, float, BestSize]]:
    """Step, target [FLOPs] and best size of every target of `lines.forecasts` of sizes."""
    single = made[made["line"] != COMBINED]
    weighed = single.assign(weight=weights(single))
    return [
        (float(step), float(flops), best_size(mine, alpha, beta))
        for (step, flops), mine in weighed.groupby(["step", "flops"])
    ]


def best_size(mine: pd.DataFrame, alpha: float, beta: float) -> BestSize:
    """The best size for the rows of one target, with their `weight`."""
    own = np.sqrt(np.maximum(mine["scale"] ** 2 - mine["noise_ln"] ** 2, 0.0))
    t = StudentT.of(mine["centre"], own, mine["df"])
    low, high = t.interval(100 * LIKELY)
    # Past the ends by twice what costs the largest of SMALL_WASTE, to second order.
    past = 2 * np.sqrt(2 * max(SMALL_WASTE) / 100 / (alpha + beta))
    grid = np.linspace(low.min() - past, high.max() + past, GRID)
    share = (np.arange(NODES) + 0.5) / NODES
    # (lines, nodes): all that the size may be at the target
    truths = StudentT(t.centre[:, None], t.scale[:, None], t.df[:, None]).quantile(share)
    weight = mine["weight"].to_numpy(dtype=float)
    percent = np.zeros(grid.size)
    for at, of_line in zip(weight, truths, strict=True):
        percent += 100 * at * wasted_share(alpha, beta, grid[:, None] - of_line).mean(axis=1)
    best = int(percent.argmin())
    ranges = {}
    for most in SMALL_WASTE:
        within = np.exp(grid[percent < most])
        ends = (float(within[0]), float(within[-1])) if within.size else (np.nan, np.nan)
        ranges[most] = ends
    return BestSize(float(np.exp(grid[best])), float(percent[best]), ranges)
