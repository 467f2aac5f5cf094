"""Does the frontier bend? Slopes by thirds, and whether the last differs from the first."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flopline.documents import CurvatureJson

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

THIRDS: Final = 3
LEVEL: Final = 0.05
"""Below this p-value the frontier is said to bend."""
NARROW: Final = 1 / 60
"""Standard deviation of ln C in a third, as a share of the whole range, below which its points are
all but one: a slope through two neighbours of a hull says nothing. Even spread makes it 1/10."""
FEW_DRAWS: Final = 40
"""Fewer resamples than this tell no 95 % interval."""


def slopes_by_thirds(ln_flops: Floats, ln_y: Floats, used: Bools) -> Floats:
    """Least-squares slope of each third of the `used` points of every row, cheapest first.

    Arguments of shape (rows, points), points ordered by compute; result (rows, 3), NaN where a
    third spans next to no compute (NARROW). Thirds hold equal numbers of points. After
    Hoffmann et al. 2022 (arXiv 2203.15556), appendix E, Fig. A5.
    """
    rank = np.cumsum(used, axis=1, dtype=np.int64)
    total = used.sum(axis=1, keepdims=True, dtype=np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        # One centre for a whole row keeps the sums of squares from cancelling.
        x = np.where(used, ln_flops, 0.0)
        x = np.where(used, ln_flops - x.sum(axis=1, keepdims=True) / total, 0.0)
        y = np.where(used, ln_y, 0.0)
        y = np.where(used, ln_y - y.sum(axis=1, keepdims=True) / total, 0.0)
    borders = -(-total * np.arange(THIRDS + 1) // THIRDS)
    at = np.stack([(rank < border[:, None]).sum(axis=1) for border in borders.T], axis=1)
    sums = [_up_to(v, at, borders) for v in (x, y, x * x, x * y)]
    n = np.diff(borders.astype(float), axis=1)
    sx, sy, sxx, sxy = (np.diff(s, axis=1) for s in sums)
    length = x.max(axis=1, initial=0.0) - x.min(axis=1, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = sxx - sx * sx / n
        slope = (sxy - sx * sy / n) / spread
        narrow = ~(spread / n > (NARROW * length[:, None]) ** 2)
    return np.where(narrow | (n < 2), np.nan, slope)


def curvature(point: Floats, draws: Floats) -> CurvatureJson:
    """Slope of the last third less that of the first, with a 95 % interval and a p-value.

    `point` has shape (3,), `draws` (draws, 3), resampled by run. The interval is symmetric and
    holds 95 % of the resamples' deviations from the point, their shift included; the p-value is
    the share of deviations as large as the point's own from 0, so that the two agree. None where
    a third has no slope or fewer than 40 resamples have one.
    """
    difference = float(point[-1] - point[0])
    off = np.abs(draws[:, -1] - draws[:, 0] - difference)
    off = off[np.isfinite(off)]
    if off.size < FEW_DRAWS:
        return {"difference": difference, "lo95": None, "hi95": None, "p_value": None}
    half = float(np.percentile(off, 95.0))
    p = (1 + int((off >= abs(difference)).sum())) / (1 + off.size)
    low, high = difference - half, difference + half
    return {"difference": difference, "lo95": low, "hi95": high, "p_value": p}


def sentence(slopes: list[float], test: CurvatureJson) -> str:
    """The finding in words, empty where it could not be tested."""
    if test["p_value"] is None:
        return ""
    first, last = slopes[0], slopes[-1]
    verdict = "bends" if test["p_value"] < LEVEL else "shows no bend"
    return (
        f"the frontier {verdict}: params grow as C^{first:.2f} in its first third and "
        f"C^{last:.2f} in its last, difference {test['difference']:+.2f} "
        f"(95 % {test['lo95']:+.2f} to {test['hi95']:+.2f}, p = {test['p_value']:.2g})"
    )


def _up_to(values: Floats, at: NDArray[np.int64], borders: NDArray[np.int64]) -> Floats:
    """Sums of `values` up to the points `at`, the last before each border; shape (rows, 4)."""
    running = np.cumsum(values, axis=1)
    return np.where(borders > 0, np.take_along_axis(running, at, axis=1), 0.0)
