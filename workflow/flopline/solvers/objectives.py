"""What a fit minimises: a sum over points of rho(residual), on losses or on their logarithms.

Every objective here is a Huber loss (Huber 1964, doi 10.1214/aoms/1177703732),

    rho(r) = r^2 / 2 up to |r| = delta,  delta (|r| - delta / 2) beyond,

or one of its ends: least squares (delta = infinity) and least absolute deviations, LAD (rho / delta
as delta goes to 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.errors import FloplineError

Floats = NDArray[np.float64]

EFFICIENT: Final = 1.345
"""delta over sigma at which Huber's estimate keeps 95 % of the efficiency of least squares when
errors are Gaussian (Holland and Welsch 1977, doi 10.1080/03610927708827533)."""

MAD_TO_SIGMA: Final = float(1.0 / NormalDist().inv_cdf(0.75))
"""Standard deviation of a Gaussian over its median absolute deviation: 1.4826."""


@dataclass(frozen=True, slots=True)
class Objective:
    """sum_i rho(r_i); r = ln f - ln L on the log `scale`, f - L [nats] on the linear one.

    `delta` is in the units of r. 0 stands for LAD, where rho(r) = |r|.
    """

    name: str
    scale: Literal["log", "linear"]
    delta: float

    def residual(self, fitted: ArrayLike, seen: ArrayLike) -> Floats:
        """r of losses `fitted` and `seen` [nats per token], shapes that broadcast."""
        f, y = np.asarray(fitted, float), np.asarray(seen, float)
        return np.asarray(np.log(f) - np.log(y) if self.scale == "log" else f - y)

    def slope(self, fitted: ArrayLike) -> Floats:
        """dr / d ln f, which turns the gradient of a law's log loss into that of r."""
        f = np.asarray(fitted, float)
        return np.ones_like(f) if self.scale == "log" else f

    def value(self, residual: Floats) -> float:
        """The sum over points; `residual` has shape (points,)."""
        return float(np.sum(self.rho(residual)))

    def rho(self, residual: Floats) -> Floats:
        """rho, point by point."""
        if self.delta == 0:
            return np.abs(residual)
        score = self.score(residual)
        # score (r - score / 2) on both branches of Huber's loss.
        return np.asarray(score * (residual - 0.5 * score))

    def score(self, residual: Floats) -> Floats:
        """rho', point by point; for LAD the sign of r, 0 at 0."""
        if self.delta == 0:
            return np.sign(residual)
        return np.clip(residual, -self.delta, self.delta)

    def curvature(self, residual: Floats) -> Floats:
        """rho'' where it exists: 1 within delta, 0 beyond; for LAD 0."""
        return np.asarray(np.abs(residual) <= self.delta, float) * (self.delta > 0)


def log_huber(delta: float = 1e-3) -> Objective:
    """Huber on log loss; delta = 1e-3 is that of Hoffmann et al. 2022 (2203.15556), App. D.2.

    Raises FloplineError unless delta is positive and finite.
    """
    return Objective("log_huber", "log", _positive(delta))


def linear_huber(delta: float) -> Objective:
    """Huber on the loss itself, delta in nats per token.

    Raises FloplineError unless delta is positive and finite.
    """
    return Objective("linear_huber", "linear", _positive(delta))


def log_squares() -> Objective:
    """Half the sum of squared log residuals."""
    return Objective("log_squares", "log", math.inf)


def linear_squares() -> Objective:
    """Half the sum of squared residuals of the loss ("MSE"), as Gadre et al. 2024 minimise it."""
    return Objective("linear_squares", "linear", math.inf)


def log_lad() -> Objective:
    """Sum of absolute log residuals."""
    return Objective("log_lad", "log", 0.0)


def robust_sigma(residual: Floats) -> float:
    """Standard deviation of the bulk of `residual`: 1.4826 times its median absolute deviation.

    The deviation is taken from the median (Hampel 1974, doi 10.1080/01621459.1974.10482962).
    """
    return float(MAD_TO_SIGMA * np.median(np.abs(residual - np.median(residual))))


def delta_from(residual: Floats) -> float:
    """Huber's delta for data whose `residual` come from a robust fit, say LAD: 1.345 sigma.

    Raises FloplineError if more than half of the residuals are equal, so that sigma is 0.
    """
    delta = EFFICIENT * robust_sigma(residual)
    if not delta > 0:
        raise FloplineError(
            "huber_delta cannot be chosen from these losses, because the median absolute residual "
            "is 0: give a number."
        )
    return delta


def _positive(delta: float) -> float:
    if not 0 < delta < math.inf:
        raise FloplineError(f"huber_delta must be positive and finite, not {delta}.")
    return float(delta)
