"""The lower convex hull of many loss-compute curves, for many subsets of the runs at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flopline import progress
from flopline.laws.envelope.frontier import ABSENT, Bools, Curves, Floats, Frontier, Ints


class Hull:
    """Falling part of the lower convex hull of (ln C, ln L) of any subset of the runs.

    Equal to McLeish et al. 2025 (plotters/approach_1.py of mcleish7/gemstone-scaling-laws), where
    a vantage point above and to the right closes the hull and only strictly falling points stay.
    Gift wrapping from the cheapest point: the next vertex is the one of steepest fall. From a
    given vertex the runs are ranked by it once, and a subset goes to the first run that it holds.
    """

    def __init__(self, curves: Curves) -> None:
        rows = _candidates(curves)
        self._curves = Curves(
            curves.run[rows],
            curves.ln_flops[rows],
            curves.ln_tokens[rows],
            curves.loss[rows],
            curves.size,
        )
        self._y = np.log(self._curves.loss)
        self._start = np.searchsorted(self._curves.run, np.arange(curves.size.size))

    def select(self, present: Bools) -> Frontier:
        """Hull vertices of the runs that are `present` (subsets, runs); all of them are used."""
        c = self._curves
        cheapest = np.lexsort((self._y[self._start], c.ln_flops[self._start]))
        waiting: dict[int, list[Ints]] = {}
        self._send(present, np.flatnonzero(present.any(axis=1)), cheapest, self._start, waiting)
        none = np.empty(0, dtype=np.int64)
        pairs: list[tuple[Ints, int]] = [(none, 0)]
        reached = progress.gauge()
        for place, row in enumerate(np.lexsort((c.run, self._y, c.ln_flops))):
            if int(row) not in waiting:
                continue
            reached(place / self._y.size)
            here = np.concatenate(waiting.pop(int(row)))
            pairs.append((here, int(row)))
            slope, best = self._steepest(int(row))
            order = np.argsort(slope, kind="stable")
            falling = order[slope[order] < 0]
            self._send(present, here, falling, best, waiting)
        return self._listed(pairs, present.shape[0])

    def _send(
        self, present: Bools, subsets: Ints, ranked: Ints, row_of: Ints, to: dict[int, list[Ints]]
    ) -> None:
        """Move `subsets` to the row of the first run in `ranked` that each of them holds."""
        if ranked.size == 0:
            return
        held = present[np.ix_(subsets, ranked)]
        first = held.argmax(axis=1)
        moving = held[np.arange(subsets.size), first]
        for rank in np.unique(first[moving]):
            to.setdefault(int(row_of[ranked[rank]]), []).append(subsets[moving & (first == rank)])

    def _steepest(self, row: int) -> tuple[Floats, Ints]:
        """Per run the steepest slope from `row` to a dearer point, and the row of that point."""
        c = self._curves
        dx = c.ln_flops - c.ln_flops[row]
        slope = np.full(dx.size, np.inf)
        ahead = dx > 0
        slope[ahead] = (self._y[ahead] - self._y[row]) / dx[ahead]
        least = np.minimum.reduceat(slope, self._start)
        where = np.flatnonzero(slope == least[c.run])
        best = np.empty(least.size, dtype=np.int64)
        best[c.run[where][::-1]] = where[::-1]
        return least, best

    def _listed(self, pairs: list[tuple[Ints, int]], subsets: int) -> Frontier:
        """The vertices of every subset from cheap to dear, padded to a common length."""
        c = self._curves
        who = np.concatenate([here for here, _ in pairs])
        rows = np.concatenate([np.full(here.size, row) for here, row in pairs])
        order = np.argsort(who, kind="stable")
        who, rows = who[order], rows[order]
        place = np.arange(who.size) - np.searchsorted(who, who)
        at = np.full((subsets, int(place.max(initial=0)) + 1), ABSENT, dtype=np.int64)
        at[who, place] = rows
        there = at != ABSENT
        return Frontier(
            run=np.where(there, c.run[at], ABSENT),
            ln_flops=c.ln_flops[at],
            ln_tokens=c.ln_tokens[at],
            loss=c.loss[at],
            used=there,
        )


def _candidates(curves: Curves) -> NDArray[np.int64]:
    """Rows, sorted by run and FLOPs, that can lie on the lower hull of some subset of the runs.

    A point above the chord of its neighbours in its own run can not; such points are dropped
    until none is left.
    """
    order = np.lexsort((curves.loss, curves.ln_flops, curves.run))
    run, x, y = curves.run[order], curves.ln_flops[order], np.log(curves.loss[order])
    keep = np.flatnonzero(np.r_[True, (run[1:] != run[:-1]) | (x[1:] > x[:-1])])
    while keep.size > 2:
        left, mid, right = keep[:-2], keep[1:-1], keep[2:]
        same = (run[left] == run[mid]) & (run[mid] == run[right])
        width = np.where(same, x[right] - x[left], 1.0)
        chord = y[left] + (y[right] - y[left]) * (x[mid] - x[left]) / width
        above = np.r_[False, same & (y[mid] >= chord), False]
        if not above.any():
            break
        keep = keep[~above]
    return np.asarray(order[keep], dtype=np.int64)
