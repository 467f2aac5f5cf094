"""The straight line in logs, y = k x^p, for many weightings at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """y = exp(ln_k) x^p; both fields have the shape of the batch, NaN where nothing was fitted."""

    ln_k: NDArray[np.float64]
    p: NDArray[np.float64]

    def ln_at(self, ln_x: ArrayLike) -> NDArray[np.float64]:
        """ln y at `ln_x` of shape (m,); shape (batch, m)."""
        x = np.asarray(ln_x, dtype=float)
        return np.asarray(self.ln_k[..., None] + self.p[..., None] * x, dtype=float)


def fit_power_law(ln_x: ArrayLike, ln_y: ArrayLike, weights: ArrayLike) -> PowerLaw:
    """Weighted least squares of ln y on ln x, in closed form, one line per row.

    The three arguments broadcast to (batch, n). A point whose weight is zero or NaN, or whose
    value is not finite, is absent from its row; a row with fewer than two distinct x is NaN.
    """
    return fit_power_laws(ln_x, (ln_y,), weights)[0]


def fit_power_laws(
    ln_x: ArrayLike, ln_ys: Sequence[ArrayLike], weights: ArrayLike
) -> list[PowerLaw]:
    """`fit_power_law` of each of `ln_ys` on the same ln x, under the same weights."""
    x, given, *ys = np.broadcast_arrays(
        *(np.asarray(v, dtype=float) for v in (ln_x, weights, *ln_ys)), subok=False
    )
    possible = np.isfinite(x) & (given > 0)
    laws: list[PowerLaw] = []
    points: _Points | None = None
    for y in ys:
        here = possible & np.isfinite(y)
        if points is None or not np.array_equal(here, points.here):
            points = _Points.of(x, given, here)
        laws.append(points.law(y))
    return laws


@dataclass(frozen=True, slots=True)
class _Points:
    """The points that are `here` (batch, n), with what of the least squares hangs on x alone."""

    here: NDArray[np.bool_]
    w: NDArray[np.float64]
    total: NDArray[np.float64]
    mean_x: NDArray[np.float64]
    pull: NDArray[np.float64]
    square: NDArray[np.float64]
    spread: NDArray[np.bool_]

    @classmethod
    def of(
        cls, x: NDArray[np.float64], given: NDArray[np.float64], here: NDArray[np.bool_]
    ) -> _Points:
        w = np.where(here, given, 0.0)
        total = w.sum(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_x = np.where(here, w * x, 0.0).sum(axis=-1, keepdims=True) / total
            dx = np.where(here, x - mean_x, 0.0)
            pull = w * dx
        lowest = np.where(here, x, np.inf).min(axis=-1, initial=np.inf)
        highest = np.where(here, x, -np.inf).max(axis=-1, initial=-np.inf)
        return cls(here, w, total, mean_x, pull, (pull * dx).sum(axis=-1), highest > lowest)

    def law(self, y: NDArray[np.float64]) -> PowerLaw:
        """The line through `y` (batch, n)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_y = np.where(self.here, self.w * y, 0.0).sum(axis=-1, keepdims=True) / self.total
            dy = np.where(self.here, y - mean_y, 0.0)
            p = (self.pull * dy).sum(axis=-1) / self.square
        p = np.where(self.spread, p, np.nan)
        return PowerLaw(np.asarray(mean_y[..., 0] - p * self.mean_x[..., 0]), p)
