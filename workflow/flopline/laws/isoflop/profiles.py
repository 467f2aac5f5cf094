"""Where a loss profile is lowest, read in several ways, for many weightings at once.

A parabola (Hoffmann et al. 2022, arXiv 2203.15556, section 3.2) has no room for a lopsided valley,
a cubic has; Akima's interpolant (Akima 1970, doi 10.1145/321607.321609) assumes no form, but runs
through the noise of every size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flopline.laws.isoflop.parabola import fit_parabolas, fit_polynomials, weighted_sums

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PARABOLA: Final = "parabola"
WINDOW: Final = "window"
CUBIC_TERMS: Final = 4
AKIMA_NODES: Final = 4
"""Least distinct sizes of the interpolant: its slope at a node takes two neighbours on each side,
of which the ends have to make up two."""
EVEN_SLOPES: Final = 1e-9
"""Weights of Akima's two slopes below this share of the largest in the profile count as zero, where
their ratio is rounding; the slope is then the mean of its outer neighbours, as in SciPy."""


@dataclass(frozen=True, slots=True)
class Minima:
    """Place and depth of the minimum, one per weighting, shape (rows,); NaN where there is none."""

    at: Floats
    value: Floats


Reader = Callable[[Floats, Floats, Ints, Floats], Minima]
"""(x, y, sizes, weights) -> Minima, with the shapes of parabola.fit_parabolas."""


def parabola(x: Floats, y: Floats, sizes: Ints, weights: Floats) -> Minima:
    """Vertices of weighted least-squares parabolas, wherever they lie."""
    parabolas = fit_parabolas(x, y, sizes, weights)
    return Minima(parabolas.vertex, parabolas.minimum)


def cubic(x: Floats, y: Floats, sizes: Ints, weights: Floats) -> Minima:
    """Local minima of weighted least-squares cubics inside the grid: beyond it they turn over."""
    centre, c = fit_polynomials(x, y, sizes, weights, CUBIC_TERMS)
    c0, c1, c2, c3 = c.T
    u = _lowest(c1, c2, c3)
    u = np.where((centre + u >= x.min()) & (centre + u <= x.max()), u, np.nan)
    return Minima(centre + u, c0 + u * (c1 + u * (c2 + u * c3)))


def akima(x: Floats, y: Floats, sizes: Ints, weights: Floats) -> Minima:
    """Minima of Akima's interpolant through the weighted mean of every size.

    There is none where an end of the profile lies lower than all between the ends, or where fewer
    than AKIMA_NODES sizes carry weight.
    """
    member = np.equal.outer(sizes, np.unique(sizes)).astype(float)
    mass = weights @ member
    with np.errstate(invalid="ignore"):
        node_x, node_y = (weighted_sums(weights, v, member) / mass for v in (x, y))
    mass, node_x, node_y = np.broadcast_arrays(mass, node_x, node_y)
    # Sizes that carry weight move to the front of their row, smallest first.
    order = np.argsort(mass <= 0, axis=1, kind="stable")
    node_x, node_y = (np.take_along_axis(v, order, axis=1) for v in (node_x, node_y))
    count = (mass > 0).sum(axis=1)
    at, value = (np.full(len(mass), np.nan) for _ in range(2))
    for nodes in range(AKIMA_NODES, mass.shape[1] + 1):
        rows = np.flatnonzero(count == nodes)
        if rows.size:
            at[rows], value[rows] = _interpolated(node_x[rows, :nodes], node_y[rows, :nodes])
    return Minima(at, value)


READERS: Final[dict[str, Reader]] = {
    PARABOLA: parabola,
    WINDOW: parabola,
    "cubic": cubic,
    "akima": akima,
}
"""How each reading finds a minimum; WINDOW sees the runs near the bottom only."""


def interpolated(x: Floats, y: Floats, at: Floats) -> Floats:
    """Values at `at` (m,) of Akima's interpolant through (x, y), both (nodes,), x ascending.

    Straight lines where there are fewer than AKIMA_NODES, and beyond the ends.
    """
    if x.size < 2:
        return np.full(at.shape, float(y[0]))
    step = np.diff(x)
    secant = np.diff(y) / step
    if x.size < AKIMA_NODES:
        slope = np.append(secant, secant[-1])
        ends = secant
    else:
        slope = akima_slopes(secant[None])[0]
        ends = slope[1:]
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, x.size - 2)
    start = slope[piece]
    u = np.clip(at, x[0], x[-1]) - x[piece]
    c2 = (3.0 * secant[piece] - 2.0 * start - ends[piece]) / step[piece]
    c3 = (start + ends[piece] - 2.0 * secant[piece]) / step[piece] ** 2
    inner = y[piece] + u * (start + u * (c2 + u * c3))
    beyond = np.minimum(at - x[0], 0.0) * secant[0] + np.maximum(at - x[-1], 0.0) * secant[-1]
    return np.asarray(inner + beyond)


def _lowest(c1: Floats, c2: Floats, c3: Floats) -> Floats:
    """u of the local minimum of c1 u + c2 u^2 + c3 u^3; NaN without one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(c2 * c2 - 3.0 * c1 * c3)
        # Of the two forms of the root the one that does not cancel.
        u = np.where(c2 > 0, -c1 / (c2 + root), (root - c2) / (3.0 * c3))
    return np.where((root > 0) & np.isfinite(u), u, np.nan)


def _interpolated(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Minima inside the interpolants through (x, y), each (rows, nodes) with x ascending."""
    step = np.diff(x, axis=1)
    secant = np.diff(y, axis=1) / step
    slope = akima_slopes(secant)
    left, right = slope[:, :-1], slope[:, 1:]
    c2 = (3.0 * secant - 2.0 * left - right) / step
    c3 = (left + right - 2.0 * secant) / step**2
    u = _lowest(left, c2, c3)
    # A minimum on a node belongs to both of its pieces, and rounding must not push it out of each.
    u = np.where((u >= -1e-9 * step) & (u <= (1 + 1e-9) * step), u, np.nan)
    depth = y[:, :-1] + u * (left + u * (c2 + u * c3))
    depth = np.where(np.isfinite(depth), depth, np.inf)
    best = depth.argmin(axis=1)[:, None]
    at, value = (np.take_along_axis(v, best, axis=1)[:, 0] for v in (x[:, :-1] + u, depth))
    inside = value <= np.minimum(y[:, 0], y[:, -1])
    return np.where(inside, at, np.nan), np.where(inside, value, np.nan)


def akima_slopes(secant: Floats) -> Floats:
    """Slopes at the nodes, (rows, nodes), from those between them, (rows, nodes - 1).

    Beyond the ends the slopes go on in a straight line. Akima 1970, eq. 1 and 8 to 11.
    """
    first, last = secant[:, :1], secant[:, -1:]
    before, after = 2.0 * first - secant[:, 1:2], 2.0 * last - secant[:, -2:-1]
    m = np.concatenate([2.0 * before - first, before, secant, after, 2.0 * after - last], axis=1)
    right, left = np.abs(m[:, 3:] - m[:, 2:-1]), np.abs(m[:, 1:-2] - m[:, :-3])
    total = left + right
    uneven = total > EVEN_SLOPES * total.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mixed = (right * m[:, 1:-2] + left * m[:, 2:-1]) / total
    return np.asarray(np.where(uneven, mixed, (m[:, 3:] + m[:, :-3]) / 2.0))
