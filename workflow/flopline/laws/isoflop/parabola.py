"""Weighted parabolas through one valley, for many weightings at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CORNERS: Final = 3  # distinct sizes that fix a parabola


@dataclass(frozen=True, slots=True)
class Parabolas:
    """loss = c0 + c1 u + c2 u^2 with u = x - centre; c0, c1, c2 of shape (rows,).

    A row is NaN where fewer than three distinct sizes carried weight.
    """

    centre: float
    c0: Floats
    c1: Floats
    c2: Floats

    @property
    def vertex(self) -> Floats:
        """x of the minimum; NaN where the curvature is not positive."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.c2 > 0, self.centre - self.c1 / (2.0 * self.c2), np.nan)

    @property
    def minimum(self) -> Floats:
        """Loss at the minimum; NaN where the curvature is not positive."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.c2 > 0, self.c0 - self.c1**2 / (4.0 * self.c2), np.nan)

    def at(self, x: Floats) -> Floats:
        """Loss of the first row's parabola at `x`."""
        u = x - self.centre
        return np.asarray(self.c0[0] + u * (self.c1[0] + u * self.c2[0]), dtype=float)


def fit_parabolas(x: Floats, y: Floats, sizes: NDArray[np.int64], weights: Floats) -> Parabolas:
    """Weighted least-squares parabolas of y on x for `weights` (rows, n), or (1, n) for all rows.

    x has shape (n,), y (n,) or one set a row, (rows, n); `sizes` numbers the distinct sizes.
    """
    centre, c = fit_polynomials(x, y, sizes, weights, CORNERS)
    return Parabolas(centre, *c.T)


def fit_polynomials(
    x: Floats, y: Floats, sizes: NDArray[np.int64], weights: Floats, terms: int
) -> tuple[float, Floats]:
    """Centre of x and weighted least-squares coefficients (rows, terms) of powers of x - centre.

    Shapes as in fit_parabolas; a row with fewer distinct sizes than terms is NaN. x is centred on
    its mean and scaled to its half-range, so the normal equations stay well conditioned however
    narrow the profile.

    Returns the centre, one for all rows, and the coefficients.
    """
    centre = float(x.mean())
    scale = float(np.ptp(x)) / 2.0 or 1.0
    z = (x - centre) / scale
    level = float(y.mean()) if y.size else 0.0  # no draws, no losses
    powers = z[:, None] ** np.arange(2 * terms - 1)
    moments = weights @ powers
    right = weighted_sums(weights, y - level, powers[:, :terms])
    gram = moments[:, np.arange(terms)[:, None] + np.arange(terms)]
    enough = distinct_sizes(sizes, weights) >= terms
    gram = np.where(enough[:, None, None], gram, np.eye(terms))
    solved: Floats = np.linalg.solve(gram, right[:, :, None])[:, :, 0].astype(np.float64)
    c = np.where(enough[:, None], solved, np.nan) / scale ** np.arange(terms)
    c[:, 0] += level
    return centre, c


def weighted_sums(weights: Floats, y: Floats, columns: Floats) -> Floats:
    """Sums over points of weight times y times each of the `columns` (n, k), shape (rows, k).

    Weights are (rows, n), or (1, n) for all rows; y is (n,) or (rows, n).
    """
    if len(weights) == 1 and y.ndim == 2:
        return np.asarray(y @ (weights[0][:, None] * columns))
    return np.asarray((weights * y) @ columns)


def distinct_sizes(sizes: NDArray[np.int64], weights: Floats) -> NDArray[np.int64]:
    """How many distinct sizes carry weight in each row of `weights` (rows, n)."""
    member = np.equal.outer(sizes, np.unique(sizes)).astype(float)
    return np.asarray(((weights @ member) > 0).sum(axis=1), dtype=np.int64)


def curvature_t(x: Floats, y: Floats, parabola: Parabolas) -> float:
    """t statistic of the curvature of an unweighted parabola; NaN without spare points."""
    spare = x.size - 3
    if spare < 1 or not np.isfinite(parabola.c2[0]):
        return float("nan")
    residual = y - parabola.at(x)
    u = x - parabola.centre
    design = np.stack([np.ones_like(u), u, u * u], axis=1)
    unit = np.abs(design).max(axis=0)
    covariance = np.linalg.inv((design / unit).T @ (design / unit))[2, 2] / unit[2] ** 2
    variance = float(residual @ residual) / spare * covariance
    return float(parabola.c2[0] / np.sqrt(variance)) if variance > 0 else float("inf")
