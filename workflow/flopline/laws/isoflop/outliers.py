"""Runs of one budget that leave the parabola of the others, several of which may hide each other.

A run is held against a parabola that bad runs have not pulled: the search begins with the half of
the runs that agree best (least trimmed squares: Rousseeuw 1984, doi 10.1080/01621459.1984.10477105)
and takes in one run after another, the nearest first, until the next lies farther off than chance
lets it (Hadi and Simonoff 1993, doi 10.1080/01621459.1993.10476407).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb, stdtr, stdtrit

from flopline.recent import Recent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNKNOWNS: Final = 3
MOST_TRIPLES: Final = 300
"""Starts of the search for the runs that agree best: all triples of 13 runs, some of those of more
(by a fixed seed), of which one without a bad run is enough."""
STEPS: Final = 10
"""Refits of each start to the runs that lie nearest to it; they settle within a few."""
MOST: Final = 1 / 3
"""Share of a budget's runs up to which they are outliers; of more the parabola does not fit."""
ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Outliers:
    """The runs that leave the parabola of the others, `outlying` (runs,), and how far they lie.

    `t` (runs,) are their distances from the parabola of the runs that are kept, in standard errors
    of such a distance, `p` the chance of one as large as the largest among as many sound runs.
    """

    outlying: Bools
    t: Floats
    p: float


_KNOWN: Final[Recent[Outliers]] = Recent(256)
"""What was found in the last budgets: the held-out ladder asks of each at every step above it."""


def outliers(x: Floats, y: Floats, level: float) -> Outliers:
    """The outliers of an unweighted parabola of `y` on `x`, both (runs,).

    `level` is the chance of any among sound runs. None where too few runs tell, where losses are
    those of a parabola but for rounding; never more than MOST of the runs. What was found of the
    same runs before is kept.
    """
    return _KNOWN.of((x.tobytes(), y.tobytes(), level), lambda: _outliers(x, y, level))


def _outliers(x: Floats, y: Floats, level: float) -> Outliers:
    n = x.size
    nothing = Outliers(np.zeros(n, dtype=bool), np.zeros(n), np.nan)
    if n < UNKNOWNS + 4:
        return nothing
    u = (x - x.mean()) / (np.ptp(x) or 1.0)
    design = np.stack([np.ones_like(u), u, u * u], axis=1)
    kept = _agreeing(design, y, (n + UNKNOWNS + 1) // 2)
    if kept is None:
        return nothing
    size, fewest = (n + UNKNOWNS - 1) // 2, n - int(MOST * n)
    order = kept[np.argsort(np.abs(_distances(design, y, kept)[kept]), kind="stable")][:size]
    while size < n:
        far = np.abs(_distances(design, y, order))
        ranked = np.argsort(far, kind="stable")
        # As many steps as there may be outliers ask, of runs chosen for how well they agree.
        limit = stdtrit(size - UNKNOWNS, 1.0 - level / 2.0 / (size + 1) / (n - fewest))
        if size >= fewest and far[ranked[size]] > limit:
            break
        size += 1
        order = ranked[:size]
    if size == n:
        return nothing
    outlying = np.ones(n, dtype=bool)
    outlying[order] = False
    t = _distances(design, y, order)
    worst = float(np.abs(t[outlying]).max())
    p = min(1.0, 2.0 * (size + 1) * float(stdtr(size - UNKNOWNS, -worst)))
    return Outliers(outlying, np.where(outlying, t, 0.0), p)


def _agreeing(design: Floats, y: Floats, count: int) -> Ints | None:
    """The `count` runs whose parabola has the least sum of squares, None where none has one."""
    n = y.size
    triples = triples_of(n)
    some = design[triples]
    sound = np.abs(np.linalg.det(some)) > ROUNDING
    if not sound.any():
        return None
    beta = np.linalg.solve(some[sound], y[triples[sound]][:, :, None])[:, :, 0]
    for _ in range(STEPS):
        squares = (y - beta @ design.T) ** 2
        nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
        chosen = design[nearest]
        gram = np.einsum("skp,skq->spq", chosen, chosen)
        fine = np.linalg.det(gram) > ROUNDING
        if not fine.any():
            return None
        nearest, chosen, gram = nearest[fine], chosen[fine], gram[fine]
        right = np.einsum("skp,sk->sp", chosen, y[nearest])
        beta = np.linalg.solve(gram, right[:, :, None])[:, :, 0]
    squares = np.sort((y - beta @ design.T) ** 2, axis=1)[:, :count].sum(axis=1)
    best = beta[squares.argmin()]
    return np.argsort((y - design @ best) ** 2, kind="stable")[:count].astype(np.int64)


def triples_of(n: int) -> Ints:
    """All triples of `n` runs in their order, or MOST_TRIPLES of them by chance, (triples, 3).

    A thousand runs have 166 million, so that each is made from its place and not looked up.
    """
    count = math.comb(n, UNKNOWNS)
    if count <= MOST_TRIPLES:
        places = np.arange(count)
    else:
        places = np.random.default_rng(0).choice(count, MOST_TRIPLES, replace=False)
    # Counted from the last triple, a place is C(a, 3) + C(b, 2) + c, with a > b > c.
    rest, runs = count - 1 - places, np.arange(n)
    columns = []
    for size in range(UNKNOWNS, 0, -1):
        below = comb(runs, size).astype(np.int64)
        place = np.searchsorted(below, rest, side="right") - 1
        rest = rest - below[place]
        columns.append(n - 1 - place)
    return np.stack(columns, axis=1)


def _distances(design: Floats, y: Floats, kept: Ints) -> Floats:
    """Distances of all runs from the parabola of those `kept`, in standard errors of each.

    A run that is kept has part in its parabola, so its distance varies less than its error does.
    """
    mine = design[kept]
    inverse = np.linalg.pinv(mine.T @ mine)
    rest = y - design @ (inverse @ (mine.T @ y[kept]))
    leverage = np.einsum("ip,pq,iq->i", design, inverse, design)
    inside = np.zeros(y.size, dtype=bool)
    inside[kept] = True
    variance = float(rest[kept] @ rest[kept]) / max(kept.size - UNKNOWNS, 1)
    share = np.where(inside, np.maximum(1.0 - leverage, 1e-9), 1.0 + leverage)
    sd = np.sqrt(variance) if variance > (ROUNDING * np.abs(y).max()) ** 2 else np.inf
    return np.asarray(rest / (sd * np.sqrt(share)))
