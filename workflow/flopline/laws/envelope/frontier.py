"""The lower envelope of many loss-compute curves, for many subsets of the runs at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ABSENT: Final = -1

RULES: Final = {
    "bracketed": "bins where a smaller and a larger size than the winner compete",
    "inner": "bins where sizes compete and the winner is not an end size of the family",
    "contested": "bins where at least two sizes compete",
}
"""Which bins of an envelope enter the regression, from strict to lenient.

A winner with no competitor on one side may win only because nothing smaller or larger reaches
that compute, which flattens the law: on simulated families (exponent 0.45, 8 to 38 sizes, four
horizons over 16x) the strict rule is off by -0.04 to +0.00, the lenient one by -0.14 to -0.17.
"""


@dataclass(frozen=True, slots=True)
class Curves:
    """Smoothed training curves, sorted by run and FLOPs; every array has shape (points,).

    `run` counts runs from 0; `size` (runs,) numbers the distinct sizes, 0 for the smallest.
    """

    run: Ints
    ln_flops: Floats
    ln_tokens: Floats
    loss: Floats
    size: Ints


@dataclass(frozen=True, slots=True)
class Frontier:
    """Frontier points of every subset, each array of shape (subsets, points).

    `run` is ABSENT where there is no point; `used` says which points enter the regression.
    """

    run: Ints
    ln_flops: Floats
    ln_tokens: Floats
    loss: Floats
    used: Bools

    def some(self, subsets: slice) -> Frontier:
        """The points of some subsets."""
        return Frontier(*(getattr(self, field.name)[subsets] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Bins:
    """All curves interpolated onto one FLOPs grid, shapes (bins,) and (runs, bins).

    The three orders list, bin by bin, the runs that reach it: by loss, by size upward and by size
    downward, ABSENT at the end. They are what makes a resample cheap: its winner is the first run
    of the list that the resample holds.
    """

    ln_flops: Floats
    loss: Floats
    ln_tokens: Floats
    size: Ints
    by_loss: Ints
    by_size: Ints
    by_size_down: Ints

    def select(self, present: Bools, rule: str) -> Frontier:
        """Lowest loss per bin among the runs that are `present` (subsets, runs).

        `rule`, a key of RULES, says which bins are used.
        """
        subsets, bins = len(present), self.ln_flops.size
        runs = np.arange(present.shape[1])
        winner = _first_present(self.by_loss, present, runs)
        smallest = _first_present(self.by_size, present, self.size)
        largest = _first_present(self.by_size_down, present, self.size)
        mine = np.take(self.size, winner)
        used = (winner != ABSENT) & (smallest < largest)
        if rule == "inner":
            family = self.size.max() + 1
            smallest = np.where(present, self.size, family).min(axis=1)[:, None]
            largest = np.where(present, self.size, ABSENT).max(axis=1)[:, None]
        if rule != "contested":
            used &= (smallest < mine) & (mine < largest)
        cell = winner * bins + np.arange(bins)
        return Frontier(
            run=winner,
            ln_flops=np.broadcast_to(self.ln_flops, (subsets, bins)),
            ln_tokens=np.take(self.ln_tokens, cell),
            loss=np.take(self.loss, cell),
            used=used,
        )


def interpolate(curves: Curves, bins: int) -> Bins | None:
    """Loss and tokens of every run at `bins` log-spaced FLOPs, absent outside its own range.

    The grid spans the compute at which at least two sizes have been trained: nothing competes
    outside it. None where there is no such compute. Source: Hoffmann et al. 2022, section 3.1
    (1500 values; the range is not stated there).
    """
    runs = curves.size.size
    starts = np.searchsorted(curves.run, np.arange(runs + 1))
    first, last = curves.ln_flops[starts[:-1]], curves.ln_flops[starts[1:] - 1]
    span = _contested(first, last, curves.size)
    if span is None:
        return None
    grid = np.linspace(*span, bins)
    loss, ln_tokens = np.full((runs, bins), np.inf), np.full((runs, bins), np.nan)
    for r in range(runs):
        rows = slice(starts[r], starts[r + 1])
        reach = (grid >= first[r]) & (grid <= last[r])
        x = curves.ln_flops[rows]
        loss[r, reach] = np.interp(grid[reach], x, curves.loss[rows])
        ln_tokens[r, reach] = np.interp(grid[reach], x, curves.ln_tokens[rows])
    here = np.isfinite(loss)
    size = curves.size.astype(float)[:, None]
    return Bins(
        grid,
        loss,
        ln_tokens,
        curves.size,
        by_loss=_order(loss, here),
        by_size=_order(np.broadcast_to(size, loss.shape), here),
        by_size_down=_order(np.broadcast_to(-size, loss.shape), here),
    )


def _contested(first: Floats, last: Floats, size: Ints) -> tuple[float, float] | None:
    """Lowest and highest ln C that runs of at least two sizes reach."""
    ends = np.unique(np.concatenate([first, last]))
    reach = (first[:, None] <= ends) & (ends <= last[:, None])
    low = np.where(reach, size[:, None], size.max() + 1).min(axis=0)
    high = np.where(reach, size[:, None], -1).max(axis=0)
    contested = ends[low < high]
    if contested.size < 2:
        return None
    return float(contested[0]), float(contested[-1])


def _order(key: Floats, here: Bools) -> Ints:
    """Runs that reach each bin in ascending `key` (runs, bins), as (bins, runs)."""
    order = np.argsort(np.where(here, key, np.inf), axis=0, kind="stable")
    listed = np.take_along_axis(here, order, axis=0)
    return np.ascontiguousarray(np.where(listed, order, ABSENT).T).astype(np.int64)


def _first_present(order: Ints, present: Bools, of_runs: Ints) -> Ints:
    """What `of_runs` (runs,) says of the first run in each row of `order` (bins, runs) that is
    present, ABSENT where none is; shape (subsets, bins).

    Neighbouring bins mostly list the same runs, so that they are searched once.
    """
    subsets, runs = present.shape
    new = np.append(True, (order[1:] != order[:-1]).any(axis=1))
    # A run more, which is always present, ends every list.
    held = np.concatenate([present, np.ones((subsets, 1), dtype=bool)], axis=1)
    listed = np.pad(order[new], ((0, 0), (0, 1)), constant_values=ABSENT) % (runs + 1)
    lists, width = listed.shape
    out = np.tile(listed[:, 0], (subsets, 1))
    todo = np.flatnonzero(~np.take(held, listed[:, 0], axis=1))
    subset, column = np.divmod(todo, lists)
    here, at = subset * (runs + 1), column * width
    for rank in range(1, width):
        run = np.take(listed, at + rank)
        hit = np.take(held, here + run)
        np.put(out, todo[hit], run[hit])
        open_ = np.flatnonzero(~hit)
        todo, here, at = todo[open_], here[open_], at[open_]
        if todo.size == 0:
            break
    return np.take(np.take(np.append(of_runs, ABSENT), out), np.cumsum(new) - 1, axis=1)
