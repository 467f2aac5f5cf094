"""Percentiles of bootstrap draws: those of NumPy to the last bit, with less work for each call."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def percentiles(values: Floats, percents: Sequence[float]) -> list[float]:
    """What `np.percentile` says of `values` (n,) without NaN; NaN where there are none."""
    if not values.size:
        return [math.nan] * len(percents)
    ordered, out = np.sort(values), []
    for percent in percents:
        place = (values.size - 1) * (percent / 100)
        below = math.floor(place)
        low, share = float(ordered[below]), place - below
        high = float(ordered[min(below + 1, values.size - 1)])
        # Interpolated from the nearer end, as NumPy does.
        near_high = share >= 0.5
        out.append(high - (high - low) * (1 - share) if near_high else low + (high - low) * share)
    return out


def known_percentiles(draws: Floats, percents: Sequence[float]) -> Floats:
    """What `np.nanpercentile` says of every column of `draws` (draws, k); shape (percents, k)."""
    known = ~np.isnan(draws)
    columns = [percentiles(draws[known[:, i], i], percents) for i in range(draws.shape[1])]
    return np.array(columns, dtype=float).reshape(-1, len(percents)).T


def known_mean(values: Floats) -> float:
    """The mean of those `values` (n,) that are not NaN; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
