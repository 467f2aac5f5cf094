"""The straight line in logs, y = k x^p, for many weightings at once."""

from __future__ import annotations

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
    x, y, w = np.broadcast_arrays(
        *(np.asarray(v, dtype=float) for v in (ln_x, ln_y, weights)), subok=False
    )
    here = np.isfinite(x) & np.isfinite(y) & (w > 0)
    w = np.where(here, w, 0.0)
    total = w.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x = np.where(here, w * x, 0.0).sum(axis=-1, keepdims=True) / total
        mean_y = np.where(here, w * y, 0.0).sum(axis=-1, keepdims=True) / total
        dx = np.where(here, x - mean_x, 0.0)
        dy = np.where(here, y - mean_y, 0.0)
        p = (w * dx * dy).sum(axis=-1) / (w * dx * dx).sum(axis=-1)
    lowest = np.where(here, x, np.inf).min(axis=-1, initial=np.inf)
    highest = np.where(here, x, -np.inf).max(axis=-1, initial=-np.inf)
    p = np.where(highest > lowest, p, np.nan)
    return PowerLaw(np.asarray(mean_y[..., 0] - p * mean_x[..., 0]), p)
