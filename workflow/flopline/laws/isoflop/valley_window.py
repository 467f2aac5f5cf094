"""Which runs of a budget are near its valley's bottom, and how far the others reach.

A parabola is the shape of a valley near its bottom only. On a grid that is hundreds of times wide
the walls decide where it lies, so a reading beside it sees the runs near the best one alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REACH_IN_SIZE: Final = float(np.log(5.0))
"""A run within this factor of the best run's size is near the bottom [ln N]. On simulated grids
that are 6 to 1,000 times wide, on five surfaces, exponents of parabolas within it lie within .004
of the truth, those of parabolas through all runs up to .069 off."""
LEAST_NEAR: Final = 5
"""Sizes that are near the bottom anyhow, the nearest ones, so that a parabola has two to spare."""
SAME: Final = 1e-9
"""Slack of ln N for sizes on the very edge."""


def near_bottom(ln_params: Floats, loss: Floats, sizes: Ints) -> Bools:
    """Runs within REACH_IN_SIZE of the best size, or of its LEAST_NEAR nearest sizes, (runs,).

    The best size has the lowest median of its own mean loss and its two neighbours', so that one
    loss that is too low makes no valley; `sizes` numbers the sizes, smallest first.
    """
    at, mean = size_means(ln_params, loss, sizes)
    smooth = mean
    if mean.size > 2:
        inner = np.median(np.stack([mean[:-2], mean[1:-1], mean[2:]]), axis=0)
        smooth = inner[np.clip(np.arange(mean.size) - 1, 0, inner.size - 1)]
    best = np.lexsort((mean, smooth))[0]
    away = np.abs(at - at[best])
    reach = max(REACH_IN_SIZE, float(np.sort(away)[min(LEAST_NEAR, away.size) - 1]))
    return np.asarray((away <= reach + SAME)[sizes])


def is_wide(ln_params: Floats) -> bool:
    """Whether a grid could hold a valley's bottom with REACH_IN_SIZE to both sides, and more."""
    return bool(np.ptp(ln_params) > 2.0 * REACH_IN_SIZE + SAME)


def size_means(ln_params: Floats, loss: Floats, sizes: Ints) -> tuple[Floats, Floats]:
    """Mean ln N and mean loss of every size, smallest first, both (sizes,)."""
    count = np.bincount(sizes)
    return np.bincount(sizes, ln_params) / count, np.bincount(sizes, loss) / count
