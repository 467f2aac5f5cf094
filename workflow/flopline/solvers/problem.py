"""The points of a fit in centred logarithms, and the objective that it minimises over them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flopline.solvers.objectives import Objective

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

PERFECT_FIT: Final = 1e-7
"""Root mean square of residuals below which a gradient is measured against this value: no log
writes losses more precisely, and rounding alone would keep noise-free data from converging."""
LAD_DELTA: Final = PERFECT_FIT
"""Huber's delta whose optimum stands for LAD where many resamples are solved at once: a hundredth
of it would drown their gradients in rounding."""
BLOCK_ELEMENTS: Final = 262_144
"""Numbers of a block of rows by points that is worked on at a time, so that memory does not grow
with the rows."""


def blocks_of(rows: int, points: int) -> list[slice]:
    """Slices of the rows that take BLOCK_ELEMENTS numbers each, one after another."""
    size = max(1, BLOCK_ELEMENTS // max(points, 1))
    return [slice(i, min(i + size, rows)) for i in range(0, rows, size)]


@dataclass(frozen=True, slots=True)
class Problem:
    """Points in centred logarithms, so that the unknowns of a fit are of order one.

    `x`, `y` and `target` are ln N, ln D and ln L less their means (`centre`), shape (points,);
    `target` may have a row of its own for every row of weights, shape (rows, points), as the wild
    bootstrap needs. `objective` is what is minimised.
    """

    x: Floats
    y: Floats
    target: Floats
    centre: Floats
    objective: Objective

    @classmethod
    def of(cls, params: Floats, tokens: Floats, loss: Floats, objective: Objective) -> Problem:
        """The problem of points with `params` [weights], `tokens` [tokens], `loss` [nats]."""
        logs = np.log(np.stack([params, tokens, loss]).astype(float))
        # An exact sum is the same in whatever order the points stand.
        centre = np.array([math.fsum(values) for values in logs]) / logs.shape[1]
        x, y, target = logs - centre[:, None]
        return cls(x, y, target, centre, objective)

    def of_rows(self, rows: Ints | Bools | slice | int) -> Problem:
        """The problem of some rows of weights: the same one if all rows share their target."""
        return self if self.target.ndim == 1 else replace(self, target=self.target[rows])

    def with_losses(self, loss: Floats) -> Problem:
        """The same points with other losses [nats], one set or one for each row of weights.

        A loss below zero, which a residual of another sign may draw, has no logarithm: NaN.
        """
        with np.errstate(invalid="ignore"):
            return replace(self, target=np.log(loss) - self.centre[2])

    @property
    def points(self) -> dict[str, Floats]:
        """params [weights], tokens and loss [nats per token] of the points."""
        logs = np.stack([self.x, self.y, self.target]) + self.centre[:, None]
        return dict(zip(("params", "tokens", "loss"), np.exp(logs), strict=True))

    @property
    def unit(self) -> float:
        """What a residual of 1 in the centred frame is in the units of the objective."""
        return float(np.exp(self.centre[2])) if self.objective.scale == "linear" else 1.0

    @property
    def delta(self) -> float:
        """Huber's delta on residuals of the centred frame; a small one stands for LAD."""
        return (self.objective.delta or LAD_DELTA) / self.unit

    @property
    def value_unit(self) -> float:
        """What a sum of Huber's losses in the centred frame is worth in the objective's units."""
        return self.unit**2 / (1.0 if self.objective.delta else LAD_DELTA)
