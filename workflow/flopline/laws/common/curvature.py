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
ROUNDING: Final = 1e-9
"""Share by which deviations that are equal may differ: many times what sums of points round."""


def slopes_by_thirds(ln_flops: Floats, ln_y: Floats, used: Bools) -> Floats:
    """Least-squares slope of each third of the `used` points of every row, cheapest first.

    Arguments of shape (rows, points), points ordered by compute; result (rows, 3), NaN where a
    third spans next to no compute (NARROW). Thirds hold equal numbers of points. After
    Hoffmann et al. 2022 (arXiv 2203.15556), appendix E, Fig. A5.
    """
    total = used.sum(axis=1, dtype=np.int64)
    slopes = np.full((len(total), THIRDS), np.nan)
    enough = total >= THIRDS  # fewer leave no third two points
    if not enough.all():
        if enough.any():
            some = (ln_flops[enough], ln_y[enough], used[enough])
            slopes[enough] = slopes_by_thirds(*some)
        return slopes
    # One centre for a whole row keeps the sums of squares from cancelling.
    x, y = (_centred(v, used, total[:, None]) for v in (ln_flops, ln_y))
    borders = -(-total[:, None] * np.arange(THIRDS + 1) // THIRDS)
    begins = np.cumsum(total) - total
    # Where each third begins among all points: those beside the used ones are 0 and add nothing.
    first = np.flatnonzero(used)[begins[:, None] + borders[:, :-1]].ravel()
    sx, sy, sxx, sxy = (
        np.add.reduceat(v.ravel(), first).reshape(-1, THIRDS) for v in (x, y, x * x, x * y)
    )
    n = np.diff(borders.astype(float), axis=1)
    length = x.max(axis=1) - x.min(axis=1)
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
    # Where both thirds of a resample are flat its deviation is the point's own but for rounding.
    p = (1 + int((off >= abs(difference) * (1 - ROUNDING)).sum())) / (1 + off.size)
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


def _centred(values: Floats, used: Bools, total: NDArray[np.int64]) -> Floats:
    """`values` less the mean of those `used` in their row, 0 where they are not."""
    mean = np.where(used, values, 0.0).sum(axis=1, keepdims=True) / total
    return np.where(used, values - mean, 0.0)
