"""The discrepancy of a law: how far it strays from the runs as it is carried beyond them.

The log error of what a line predicts at C grows with x = ln(C / C_largest), as that of an exponent
would: error = drift x. A step of the held-out ladder shows one drift, the least-squares slope of
its errors on x. Drifts of a line's steps scatter about a mean that is the line's own, since a form
that is wrong is wrong the same way at the next step; mean and scatter have the conjugate prior of a
normal sample, fitted to public studies: the scatter is `drift` with the weight of `steps` steps,
the mean is zero with the weight of `centre_steps`. The next drift then is Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

NEAREST: Final = 0.2
"""Least distance [ln C]; at it and below errors tell nothing of a drift."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of drifts before a study's own ladder, and its weight in steps.

    `spread` is the share of a line's draws that counts beside the drift: errors at the steps hold
    what draws hold, too, so that all of both would count it twice. `weight` is what the line weighs
    among the others before any step.
    """

    drift: float
    steps: float
    centre_steps: float
    spread: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """The next drift of a line: Student's t with `mean`, `scale` and `df`, per unit of ln C.

    `spread` is what drifts scatter by about their mean, after `seen` steps. Fields are numbers, or
    arrays of one shape.
    """

    mean: Floats
    scale: Floats
    df: Floats
    spread: Floats
    seen: Floats


def distance(flops: ArrayLike, largest_flops: ArrayLike) -> Floats:
    """ln(C / C_largest), at least NEAREST: within its runs, too, a law is off by something."""
    ratio = np.asarray(flops, dtype=float) / np.asarray(largest_flops, dtype=float)
    return np.asarray(np.maximum(np.log(ratio), NEAREST))


def drift_of(errors: ArrayLike, distances: ArrayLike) -> float:
    """The drift of one step: slope of its log errors (predicted less seen) on their distances."""
    e, x = np.asarray(errors, dtype=float), np.asarray(distances, dtype=float)
    return float((e * x).sum() / (x**2).sum())


def learned(prior: Prior, drifts: Sequence[float]) -> Discrepancy:
    """The discrepancy after the `drifts` of a study's own steps."""
    d = np.asarray(drifts, dtype=float)
    mean = float(d.mean()) if d.size else 0.0
    return from_sums(prior, np.array(d.size), np.array(mean), np.array(((d - mean) ** 2).sum()))


def from_sums(prior: Prior, seen: Floats, mean: Floats, squares: Floats) -> Discrepancy:
    """The same from the number of steps, the mean of drifts and the sum of squares about it.

    Normal with unknown mean and variance under its conjugate prior: Gelman et al. 2013, Bayesian
    Data Analysis, 3rd edition, section 3.3.
    """
    weight = prior.centre_steps + seen
    df = prior.steps + seen
    between = prior.centre_steps * seen / weight * mean**2
    variance = (prior.steps * prior.drift**2 + squares + between) / df
    scale = np.sqrt(variance * (1 + 1 / weight))
    return Discrepancy(seen * mean / weight, scale, df, np.sqrt(variance), seen)
