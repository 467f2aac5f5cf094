"""Spikes: losses that stand far above their neighbours, by a robust rule."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

HALF_WINDOW: Final = 10
"""Rows on either side of which the running median is taken."""

LEAST_RISE: Final = 0.01
"""A row less than this share above the running median is no spike, however quiet the curve."""

NORMAL_SD: Final = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def spikes(loss: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Which rows of one curve (positive losses in order of time) are spikes.

    A row is one when ln loss exceeds the running median of 21 rows by more than `threshold`
    robust standard deviations, 1.4826 x the median absolute deviation of all such differences,
    and by 1 % at least. At both ends the curve is continued by point reflection, so that a steep
    start is none. A curve of fewer than 21 rows has no spikes.
    """
    if loss.size < 2 * HALF_WINDOW + 1:
        return np.zeros(loss.size, dtype=bool)
    y = np.log(loss)
    before = 2 * y[0] - y[HALF_WINDOW:0:-1]
    after = 2 * y[-1] - y[-2 : -HALF_WINDOW - 2 : -1]
    middle = median_filter(np.concatenate([before, y, after]), size=2 * HALF_WINDOW + 1)
    above = y - middle[HALF_WINDOW:-HALF_WINDOW]
    spread = NORMAL_SD * np.median(np.abs(above - np.median(above)))
    high: NDArray[np.bool_] = above > max(threshold * spread, np.log1p(LEAST_RISE))
    return high
