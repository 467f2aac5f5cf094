"""Points that share their place laid one over another, so that a law is computed once for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from flopline.solvers.problem import Bools, Floats, Ints

_OF_LAW: Final = 7.0
"""What the law and its derivatives cost at a place, in the cost of the score of one loss."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Points in `layers`, each of which has the same places in the same order.

    `points` (layers times places,) are their numbers, layer by layer; where a place has no more
    points its first one stands, and `there` is false. `first` (places,) is one point of each. A
    place with more points than there are layers stands there several times.
    """

    layers: int
    points: Ints
    there: Bools
    first: Ints

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Fold | None:
        """The fold of points at (x, y) that takes the least work; None for a single layer."""
        order = np.lexsort((y, x))
        new = np.ones(x.size, dtype=bool)
        new[1:] = (np.diff(x[order]) != 0) | (np.diff(y[order]) != 0)
        begin = np.flatnonzero(new)
        count = np.diff(begin, append=x.size)
        if count.max(initial=1) < 2:
            return None
        depths = np.arange(1, count.max() + 1)
        places = -(-count // depths[:, None]).sum(axis=1)
        layers = int(depths[(places * (_OF_LAW + depths)).argmin()])
        if layers == 1:
            return None
        # One column for every `layers` points of a place.
        columns = -(-count // layers)
        within = np.arange(columns.sum()) - np.repeat(np.cumsum(columns) - columns, columns)
        start = np.repeat(begin, columns) + layers * within
        stop = np.repeat(begin + count, columns)
        place = start + np.arange(layers)[:, None]
        there = place < stop
        points = order[np.where(there, place, start)]
        return cls(layers, points.ravel(), there.ravel(), order[start])

    def laid(self, weights: Floats) -> Floats:
        """Weights (rows, points) in layers, 0 where there is no point."""
        return np.asarray(weights[:, self.points] * self.there)
