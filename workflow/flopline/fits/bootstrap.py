"""Resampling by run: weights instead of copied arrays."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def run_weights(
    runs: Sequence[str], draws: int, seed: int, strata: Sequence[object] | None = None
) -> NDArray[np.float64]:
    """Multinomial weights of a pairs bootstrap over runs, shape (draws, len(runs)).

    Repeated names in `runs` (several rows of one run) share one weight, so a run is resampled
    whole. With `strata` (same length; all rows of a run in one stratum) every stratum keeps its
    number of runs. The weight of a run depends on the seed, on its own stratum and on the sorted
    names in it, never on the order of rows.
    """
    names = np.asarray([str(r) for r in runs], dtype=object)
    groups = np.asarray(
        ["" if strata is None else repr(s) for s in (names if strata is None else strata)],
        dtype=object,
    )
    out = np.empty((draws, names.size))
    for group in sorted(set(groups)):
        rows = np.flatnonzero(groups == group)
        unique, inverse = np.unique(names[rows], return_inverse=True)
        rng = np.random.default_rng([seed, zlib.crc32(str(group).encode())])
        n = unique.size
        counts = rng.multinomial(n, np.full(n, 1.0 / n), size=draws)
        out[:, rows] = counts[:, inverse]
    return out
