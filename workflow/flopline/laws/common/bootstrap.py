"""Resampling by run: weights instead of copied arrays, and multipliers for the wild bootstrap."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flopline.solvers.problem import blocks_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.unsignedinteger[Any]]
"""How often a resample has taken each run, in small integers."""

AUTO: Final = "auto"
PAIRS: Final = "pairs"
WILD: Final = "wild"

_SIGNS: Final = 1
_UNIFORMS: Final = 2
"""Streams of random numbers beside that of `run_weights`, which has none of its own."""


def chosen(method: str, default: str) -> str:
    """`method`; for auto the law's `default`, which docs/uncertainty.md found best."""
    return default if method == AUTO else method


def run_counts(
    runs: Sequence[str], draws: int, seed: int, strata: Sequence[object] | None = None
) -> Counts:
    """Multinomial weights of a pairs bootstrap over runs, shape (draws, len(runs)), small integers.

    Repeated names in `runs` (several rows of one run) share one weight, so a run is resampled
    whole. With `strata` (same length; all rows of a run in one stratum) every stratum keeps its
    number of runs. The weight of a run depends on the seed, on its own stratum and on the sorted
    names in it, never on the order of rows.
    """
    out = np.empty((draws, len(runs)), dtype=np.min_scalar_type(max(len(runs), 256)))
    for rows, inverse, n, rng in _by_stratum(runs, strata, seed):
        for block in blocks_of(draws, n):
            counts = rng.multinomial(n, np.full(n, 1.0 / n), size=len(out[block]))
            out[block, rows] = counts[:, inverse]
    return out


def run_weights(
    runs: Sequence[str], draws: int, seed: int, strata: Sequence[object] | None = None
) -> Floats:
    """The same as floating-point numbers, which take four times as much memory."""
    return run_counts(runs, draws, seed, strata).astype(float)


def run_signs(
    runs: Sequence[str], draws: int, seed: int, strata: Sequence[object] | None = None
) -> NDArray[np.int8]:
    """Rademacher multipliers -1 and 1 of a wild bootstrap, shape (draws, len(runs)).

    One for all rows of a run, as Cameron, Gelbach and Miller 2008 (doi 10.1162/rest.90.3.414) ask
    for clusters; the rest is as in `run_weights`.
    """
    out = np.empty((draws, len(runs)), dtype=np.int8)
    for rows, inverse, n, rng in _by_stratum(runs, strata, seed, _SIGNS):
        for block in blocks_of(draws, n):
            out[block, rows] = (2 * rng.integers(0, 2, (len(out[block]), n)) - 1)[:, inverse]
    return out


def run_uniforms(
    runs: Sequence[str], draws: int, seed: int, strata: Sequence[object] | None = None
) -> Floats:
    """Numbers evenly distributed from 0 to 1, shape (draws, len(runs)); the rest as above."""
    out = np.empty((draws, len(runs)))
    for rows, inverse, n, rng in _by_stratum(runs, strata, seed, _UNIFORMS):
        out[:, rows] = rng.random((draws, n))[:, inverse]
    return out


def new_run_errors(residuals: Floats, unknowns: int, draws: int, seed: int) -> Floats:
    """Errors of ln L of one more run, (draws,), from the log residuals of the runs, (runs,).

    Residuals are resampled, made larger by the degrees of freedom that a fit of `unknowns`
    parameters has taken.
    """
    grown = residuals * np.sqrt(residuals.size / max(residuals.size - unknowns, 1))
    return np.asarray(named_generator(seed, "new run").choice(np.sort(grown), draws))


def named_generator(seed: int, *names: object) -> np.random.Generator:
    """A generator of its own for each seed and names."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def _by_stratum(
    runs: Sequence[str], strata: Sequence[object] | None, seed: int, *stream: int
) -> Iterator[tuple[Ints, Ints, int, np.random.Generator]]:
    """The rows of each stratum, the number of each row's run in it, its runs, its generator."""
    names = np.asarray([str(r) for r in runs], dtype=object)
    groups = np.asarray(
        ["" if strata is None else repr(s) for s in (names if strata is None else strata)],
        dtype=object,
    )
    for group in sorted(set(groups)):
        rows = np.flatnonzero(groups == group)
        unique, inverse = np.unique(names[rows], return_inverse=True)
        rng = np.random.default_rng([seed, zlib.crc32(str(group).encode()), *stream])
        yield rows, inverse, unique.size, rng
