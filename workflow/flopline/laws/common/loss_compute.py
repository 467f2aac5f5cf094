"""The loss on the compute-optimal frontier, L(C) = E + K C^-c.

The isoFLOP and envelope laws give sizes and tokens but no loss beyond their data; this law
carries their own frontier losses to the target. Residuals are relative, (fitted - seen) / seen,
so that a percent counts the same at every budget. For a fixed c the best E >= 0 and K >= 0 are
linear (variable projection, Golub and Pereyra 1973), which leaves a search in one number. E may
be pinned at a value known from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.remembered import remembered

Floats = NDArray[np.float64]

EXPONENTS: Final[Floats] = np.geomspace(1e-3, 3.0, 60)
"""Where c is looked for: published loss-compute exponents lie between 0.03 and 0.2."""

STRIDE: Final = 3  # every third exponent is tried first, then those beside the best
MOST_STEPS: Final = 40  # of the search between two exponents; 7 are common
CLOSE: Final = 1e-9  # ends of ln c between which that stops; its zero is nearer
GOLDEN: Final = (np.sqrt(5.0) - 1.0) / 2.0
REFINEMENTS: Final = 44  # shrinks the bracket of two grid steps (0.27 in ln c) to 2e-10
BLOCK_ELEMENTS: Final = 8_192  # numbers of one block of work
GRID_ELEMENTS: Final = 32_768  # numbers of a block that is tried at all exponents at once
POINTS_FOR_FLOOR: Final = 4  # one more than E, K and c


NO_FLOOR: Final = (
    "these losses show no floor yet (E = 0), so the loss at a target is a bare power law"
)
TOO_LOW: Final = "far beyond the data it is more likely too low than its interval says"
"""What follows of a law without a floor, unless forecasts that were held out say otherwise."""


@dataclass(frozen=True, slots=True)
class LossLaw:
    """L = E + exp(ln_K) C^-c, one law per row; NaN where the loss does not fall with compute.

    `few` and `unidentified` mark rows fitted without a floor (E = 0): the first for having fewer
    than 4 points, the second because with a floor c ran to an end of its range. `pinned` is the E
    that was given and not fitted.
    """

    E: Floats
    ln_K: Floats
    c: Floats
    few: NDArray[np.bool_]
    unidentified: NDArray[np.bool_]
    pinned: float | None = None

    def rows(self, which: slice) -> LossLaw:
        """Some of the laws."""
        return LossLaw(
            self.E[which],
            self.ln_K[which],
            self.c[which],
            self.few[which],
            self.unidentified[which],
            self.pinned,
        )

    def at(self, ln_flops: ArrayLike) -> Floats:
        """Loss at `ln_flops` of shape (m,); shape (rows, m)."""
        x = np.asarray(ln_flops, dtype=float)
        falling = np.exp(self.ln_K[:, None] - self.c[:, None] * x)
        return np.asarray(self.E[:, None] + falling, dtype=float)

    def form(self, row: int = 0) -> str:
        """The formula of one row; if it has no floor, the reason too."""
        if not np.isfinite(self.c[row]):
            return "none: the loss on the frontier does not fall with compute"
        if self.pinned is not None:
            return f"E + K C^-c with E pinned at {self.pinned:g}"
        if self.few[row]:
            return f"K C^-c (no floor E: fewer than {POINTS_FOR_FLOOR} points)"
        if self.unidentified[row]:
            return "K C^-c (no floor E: the points do not identify one)"
        return "E + K C^-c" + (" with E at its bound 0" if self.E[row] == 0 else "")

    def note(self) -> str:
        """What to watch for in the first row's forecasts, such as a lack of a floor; else empty."""
        if not np.isfinite(self.c[0]):
            return ""
        if self.pinned is not None:
            return (
                f"the floor E = {self.pinned:g} of the loss law was given, so the interval of the "
                "loss holds none of its error"
            )
        if self.E[0] > 0:
            return ""
        return f"{NO_FLOOR}: {TOO_LOW}"

    def free_floor(self, row: int = 0) -> bool:
        """Whether E of this row was fitted and lies inside its range."""
        return self.pinned is None and bool(self.E[row] > 0)


@remembered(LossLaw)
def fit_loss_compute(
    ln_flops: ArrayLike, loss: ArrayLike, weights: ArrayLike, floor: float | None = None
) -> LossLaw:
    """Least squares on relative error, one law per row; arguments broadcast to (rows, n).

    A point whose weight is zero or NaN, or whose value is not finite, is absent from its row.
    `floor` pins E [nats per token] in every row; None fits it.
    """
    x, y, w = np.broadcast_arrays(
        *(np.atleast_2d(np.asarray(v, dtype=float)) for v in (ln_flops, loss, weights)),
        subok=False,
    )
    here = np.isfinite(x) & np.isfinite(y) & (w > 0)
    count = here.sum(axis=1)
    with np.errstate(invalid="ignore"):
        centre = np.where(here, x, 0.0).sum(axis=1, keepdims=True) / count[:, None]
    x = np.where(here, x - centre, 0.0)
    y = np.where(here, y, 1.0)
    w = np.where(here, w, 0.0)

    held = 0.0 if floor is None else float(floor)
    few = (count < POINTS_FOR_FLOOR) & (floor is None)
    free = ~few & (floor is None)
    points = _Points.of(x, y, w)
    c, inner = _least(points, free, held)
    unidentified = free & ~inner
    floored = free & inner
    pure = ~floored & (floor is None)
    if pure.any():
        rows = np.flatnonzero(pure)
        none, alone = np.zeros(rows.size, dtype=bool), _Points.of(x[rows], y[rows], w[rows])
        c[rows], inner[rows] = _least(alone, none, 0.0)
    e_, k, _ = points.projected(c, floored, held)
    bad = ~inner | (count < 2) | ~(k > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_k = np.where(bad, np.nan, np.log(k) + c * centre[:, 0])
    return LossLaw(
        np.where(bad, np.nan, e_), ln_k, np.where(bad, np.nan, c), few, unidentified & ~bad, floor
    )


@dataclass(frozen=True, slots=True)
class _Points:
    """Points of every row (rows, n), with what of the least squares does not hang on c."""

    x: Floats
    w: Floats
    f: Floats
    wf: Floats
    ff: Floats
    f1: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats, w: Floats) -> _Points:
        """The points of `y` [nats per token] at centred ln C `x`, which weigh `w`."""
        f = 1.0 / y
        wf = w * f
        return cls(x, w, f, wf, np.einsum("ij,ij->i", wf, f), wf.sum(1))

    def some(self, rows: slice | NDArray[np.intp]) -> _Points:
        """Some of the rows."""
        return _Points(*(getattr(self, field.name)[rows] for field in fields(self)))

    def projected(
        self, c: Floats, floor: NDArray[np.bool_], held: float
    ) -> tuple[Floats, Floats, Floats]:
        """Best E >= 0 (`held` where not `floor`) and K >= 0 for given c, and the sum of squares.

        Returns:
            E, K and the sum of squares, each (rows,).
        """
        e, k, _, r = self._residuals(c, floor, held)
        return e, k, np.asarray(np.einsum("ij,ij,ij->i", self.w, r, r))

    def slope(
        self, c: Floats, floor: NDArray[np.bool_], held: float, *, bounded: bool = True
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Half the derivative by ln c of the least sum of squares for given c, and where E > 0."""
        e, k, g, r = self._residuals(c, floor, held, bounded=bounded)
        r *= self.x
        return -c * k * np.einsum("ij,ij,ij->i", self.w, r, g), e > 0

    def _residuals(
        self, c: Floats, floor: NDArray[np.bool_], held: float, *, bounded: bool = True
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """E and K as `projected` has them, C^-c over the loss, and the residuals.

        Without `bounded` E and K may be below 0 where `floor`.
        """
        f, ff, f1 = self.f, self.ff, self.f1
        g = -c[:, None] * self.x
        np.exp(g, out=g)
        g *= f
        wg = self.w * g
        gg, fg, g1 = np.einsum("ij,ij->i", wg, g), np.einsum("ij,ij->i", self.wf, g), wg.sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            det = ff * gg - fg * fg
            e = (gg * f1 - fg * g1) / det
            k = (ff * g1 - fg * f1) / det
            free = floor & (e > 0) & (k > 0) if bounded else floor
            e = np.where(free, e, np.where(floor & ~(k > 0), f1 / ff, held))
            k = np.where(free, k, np.where(floor & ~(k > 0), 0.0, (g1 - e * fg) / gg))
        r = e[:, None] * f
        r += k[:, None] * g
        r -= 1.0
        return e, k, g, r


def _least(
    points: _Points, floor: NDArray[np.bool_], held: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """`_search` of the least sum of squares of every row, by blocks that fit a core's cache."""
    rows, n = points.x.shape
    size = max(1, BLOCK_ELEMENTS // max(n, 1))
    c, inner = np.empty(rows), np.empty(rows, dtype=bool)
    for block in (slice(i, i + size) for i in range(0, rows, size)):
        c[block], inner[block] = _search(points.some(block), floor[block], held)
    return c, inner


def _best_on_grid(points: _Points, floor: NDArray[np.bool_], held: float) -> NDArray[np.intp]:
    """Which of EXPONENTS has the least sum of squares, (rows,)."""
    rows, n = points.x.shape
    last = EXPONENTS.size - 1
    if rows * n * EXPONENTS.size > GRID_ELEMENTS:
        # The sum changes little from one exponent to the next: most need not be tried.
        tried = [*range(0, last, STRIDE), last]
        squares = [points.projected(np.full(rows, EXPONENTS[i]), floor, held)[2] for i in tried]
        best = first = np.array(tried)[np.argmin(squares, axis=0)]
        least = np.min(squares, axis=0)
        for off in (*range(1 - STRIDE, 0), *range(1, STRIDE)):
            beside = np.clip(first + off, 0, last)
            trial = points.projected(EXPONENTS[beside], floor, held)[2]
            better = trial < least
            best, least = np.where(better, beside, best), np.where(better, trial, least)
        return np.asarray(best)
    # Of a few points all exponents are tried together.
    again = np.repeat(np.arange(rows), EXPONENTS.size)
    c = np.tile(EXPONENTS, rows)
    by_row = points.some(again).projected(c, floor[again], held)[2].reshape(rows, EXPONENTS.size)
    return np.asarray(by_row.argmin(axis=1))


def _search(
    points: _Points, floor: NDArray[np.bool_], held: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """The c of least sum of squares per row, and whether it lies inside the range searched.

    Grid in ln c, then the zero of the derivative between the best grid point and the neighbour to
    which the sum falls; `_beside_the_bound` where the floor reaches 0 in between, so that there may
    be two. Golden section where neither finds one.
    """
    best = _best_on_grid(points, floor, held)
    inner = (best > 0) & (best < EXPONENTS.size - 1)
    ln_c = np.log(EXPONENTS)
    below, above = (ln_c[np.clip(best + i, 0, EXPONENTS.size - 1)] for i in (-1, 1))
    middle = ln_c[best]
    slope, free = points.slope(np.exp(middle), floor, held)
    old = np.where(slope > 0, below, above)
    at_old, free_there = points.slope(np.exp(old), floor, held)
    smooth = (free == free_there) & (at_old * slope < 0) & inner
    found = middle
    rows = np.flatnonzero(smooth)
    found[rows] = _zero_of_slope(
        points.some(rows), floor[rows], held, (middle[rows], slope[rows]), (old[rows], at_old[rows])
    )
    rows = np.flatnonzero(~smooth & inner)
    if rows.size:
        bent, ends = points.some(rows), (below[rows], above[rows])
        found[rows] = _beside_the_bound(bent, floor[rows], held, *ends)
        rows = rows[np.isnan(found[rows])]
    if rows.size:
        bent, ends = points.some(rows), (below[rows], above[rows])
        found[rows] = _golden(bent, floor[rows], held, *ends)
    return np.exp(found), inner


def _zero_of_slope(
    points: _Points,
    floor: NDArray[np.bool_],
    held: float,
    one: tuple[Floats, Floats],
    other: tuple[Floats, Floats],
    *,
    bounded: bool = True,
) -> Floats:
    """ln c (rows,) where the slope is 0, between two of them with slopes of opposite signs.

    Regula falsi in the Illinois variant: the slope at an end that stays counts half.
    """
    (new, at_new), (old, at_old), zero = one, other, one[0]
    for _ in range(MOST_STEPS):
        apart = old - new
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(at_new == 0, 0.0, apart * at_new / (at_new - at_old))
        zero = new + step
        if ((np.abs(apart) <= CLOSE) | (at_new == 0)).all():
            break
        # A least step closes the other end in, too.
        step = np.where(np.abs(step) < CLOSE / 2, np.copysign(CLOSE / 2, apart), step)
        new, before, was = new + step, new, at_new
        at_new, _ = points.slope(np.exp(new), floor, held, bounded=bounded)
        across = at_new * was < 0
        old, at_old = np.where(across, before, old), np.where(across, was, 0.5 * at_old)
    return zero


def _beside_the_bound(
    points: _Points, floor: NDArray[np.bool_], held: float, lo: Floats, hi: Floats
) -> Floats:
    """ln c (rows,) of least sum of squares between two of them, where E is 0 on one side.

    With E = 0, and with any E, the sum is smooth: of the leasts of both that which holds, the lower
    one where both do. NaN where none does.
    """
    found, least = np.full(len(lo), np.nan), np.full(len(lo), np.inf)
    for with_floor in (False, True):
        free = floor & with_floor
        at_lo, at_hi = (points.slope(np.exp(end), free, held, bounded=False)[0] for end in (lo, hi))
        rows = np.flatnonzero((at_lo < 0) & (at_hi > 0))
        some, free = points.some(rows), free[rows]
        ends = ((lo[rows], at_lo[rows]), (hi[rows], at_hi[rows]))
        zero = _zero_of_slope(some, free, held, *ends, bounded=False)
        e, k, squares = some.projected(np.exp(zero), floor[rows], held)
        better = ((e > 0) == free) & (k > 0) & (squares < least[rows])
        found[rows[better]], least[rows[better]] = zero[better], squares[better]
    return found


def _golden(
    points: _Points, floor: NDArray[np.bool_], held: float, lo: Floats, hi: Floats
) -> Floats:
    """ln c (rows,) of least sum of squares between two of them, by golden section."""

    def objective(ln_c: Floats) -> Floats:
        return points.projected(np.exp(ln_c), floor, held)[2]

    left, right = hi - GOLDEN * (hi - lo), lo + GOLDEN * (hi - lo)
    f_left, f_right = objective(left), objective(right)
    for _ in range(REFINEMENTS):
        down = f_left <= f_right
        lo, hi = np.where(down, lo, left), np.where(down, right, hi)
        probe = np.where(down, hi - GOLDEN * (hi - lo), lo + GOLDEN * (hi - lo))
        f_probe = objective(probe)
        left, right, f_left, f_right = (
            np.where(down, probe, right),
            np.where(down, left, probe),
            np.where(down, f_probe, f_right),
            np.where(down, f_left, f_probe),
        )
    return np.asarray((lo + hi) / 2.0)
