"""Global minimisation of the parametric objective, for all points and for many resamples.

Starts come from variable projection: for given exponents the amplitudes E, A, B are linear
(Golub & Pereyra 1973, doi 10.1137/0710036), so a grid of exponents costs a few matrix products,
for all resamples at once. `newton.descend` takes each start to its local minimum.
"""

from __future__ import annotations

import numpy as np

from flopline import progress
from flopline.solvers.newton import (
    CHUNK_ELEMENTS,
    Bools,
    Floats,
    Ints,
    Optimum,
    Problem,
    descend,
    jacobian,
)

AGREEMENT = 1e-9
"""Two starts agree when their objectives differ by no more than this, relative to the lower."""
ONCE = 0.1
"""Share of a fit's time, about, that all points take, before their resamples."""

_GRID = np.geomspace(0.05, 2.0, 9)
"""Exponents at which starts are sought; Hoffmann et al. 2022 start from 0 to 2."""
_CELLS = np.stack([np.repeat(_GRID, _GRID.size), np.tile(_GRID, _GRID.size)], axis=1)
_NINTHS = np.arange(81).reshape(3, 3, 3, 3).swapaxes(1, 2).reshape(9, 9)
"""The cells of the grid in nine square blocks, one a row."""
_SUPPORTS = ((0, 1, 2), (1, 2), (0, 1), (0, 2))
"""Sets of amplitudes that are left free of zero; at least two terms are needed to be a start."""
_BOTH = 0.9
"""Share of the time, about, before the resamples that are solved again, of what follows the first
start."""
_ROWS_AGAIN = 64
"""Resamples that are solved from all ninths at a time: nine copies of their weights are held."""
_SINGULAR = 1e-13
"""Determinant of the Gram matrix of unit columns below which rounding decides its sign."""
_EXACT = 1e-20
"""Mean squared log residual below which two objectives are both rounding noise."""


def minimise(problem: Problem, weights: Floats) -> tuple[Optimum, int, int]:
    """The optimum under one weight vector (points,), the number of starts, how many reach it.

    Starts are the best exponents of each ninth of the grid; if only one of them reaches the
    lowest objective, every cell of the grid is tried.
    """
    amplitudes, error = _project(problem, weights[None])
    best, starts, agreeing = _best_from(problem, weights, amplitudes, _best_of_ninths(error))
    if agreeing > 1:
        return best, starts, agreeing
    return _best_from(problem, weights, amplitudes, np.arange(_CELLS.shape[0])[None])


def minimise_resamples(problem: Problem, weights: Floats, near: Floats) -> tuple[Optimum, Bools]:
    """Optima under each row of `weights` (draws, points), and the rows where two starts differed.

    The losses are the same in every row, or those of its own row of `problem.target`.
    Each row is started from `near` (5,), usually the optimum of all points, and independently
    from its own variable projection. Rows where the two end at different objectives are solved
    again from the best exponents of each ninth of the grid.
    """
    with progress.part(0.5):
        best = descend(problem, weights, np.broadcast_to(near, (weights.shape[0], 5)))
    with progress.part(_BOTH):
        other = descend(problem, weights, _projected(problem, weights, ninths=False)[:, 0])
    low, high = np.sort([best.objective, other.objective], axis=0)
    disagreed = ~agree(high, low, weights.sum(axis=1))
    _keep_better(best, np.arange(weights.shape[0]), other)
    again = np.flatnonzero(disagreed)
    for rows in progress.over(np.array_split(again, 1 + again.size // _ROWS_AGAIN)):
        starts = _projected(problem.of_rows(rows), weights[rows], ninths=True)
        nine = np.repeat(rows, 9)
        found = descend(problem.of_rows(nine), weights[nine], starts.reshape(-1, 5))
        lowest = found.objective.reshape(-1, 9).argmin(axis=1)
        _keep_better(best, rows, found.take(lowest + 9 * np.arange(rows.size)))
    return best, disagreed


def condition_number(problem: Problem, weights: Floats, theta: Floats) -> float:
    """Condition number of J'WJ at `theta` (5,) with the columns of J scaled to unit length.

    J is the Jacobian of ln f in the centred frame; inf where an unknown moves nothing.
    """
    columns = jacobian(problem, theta[None])[0] * np.sqrt(weights)
    length = np.linalg.norm(columns, axis=1)
    if not length.all():
        return float("inf")
    return float(np.linalg.cond(columns / length[:, None]) ** 2)


def agree(objective: Floats, lowest: Floats | float, total: Floats | float) -> Bools:
    """Where objectives equal the lowest one within AGREEMENT; `total` is the sum of weights."""
    return np.asarray(objective - lowest <= AGREEMENT * lowest + _EXACT * total)


def _best_from(
    problem: Problem, weights: Floats, amplitudes: Floats, cells: Ints
) -> tuple[Optimum, int, int]:
    starts = _starts(amplitudes, cells)[0]
    found = descend(problem, np.broadcast_to(weights, (starts.shape[0], weights.size)), starts)
    best = found.take(np.array([found.objective.argmin()]))
    agreeing = agree(found.objective, best.objective, weights.sum())
    return best, starts.shape[0], int(agreeing.sum())


def _keep_better(best: Optimum, rows: Ints, other: Optimum) -> None:
    """Overwrite those `rows` of `best` for which `other` (one row each) has a lower objective."""
    better = other.objective < best.objective[rows]
    best.put(rows[better], other.take(np.flatnonzero(better)))


def _best_of_ninths(error: Floats) -> Ints:
    """The cell of least error in each ninth of the grid, (rows, 9), from `error` (rows, cells)."""
    return np.asarray(_NINTHS[np.arange(9), error[:, _NINTHS].argmin(axis=2)])


def _starts(amplitudes: Floats, cells: Ints) -> Floats:
    """Unknowns (rows, starts, 5) at `cells` (rows, starts), `amplitudes` (rows, all cells, 3)."""
    chosen = np.take_along_axis(amplitudes, cells[:, :, None], axis=1)
    return np.concatenate([chosen, _CELLS[cells]], axis=2)


def _projected(problem: Problem, weights: Floats, *, ninths: bool) -> Floats:
    """Starts (rows, starts, 5) by variable projection: the best cell, or that of every ninth."""
    size = max(1, 2 * CHUNK_ELEMENTS // _CELLS.shape[0])
    blocks = [np.empty((0, 9 if ninths else 1, 5))]
    for i in range(0, weights.shape[0], size):
        rows = slice(i, i + size)
        amplitudes, error = _project(problem.of_rows(rows), weights[rows])
        cells = _best_of_ninths(error) if ninths else error.argmin(axis=1)[:, None]
        blocks.append(_starts(amplitudes, cells))
    return np.concatenate(blocks)


def _project(problem: Problem, weights: Floats) -> tuple[Floats, Floats]:
    """Amplitudes >= 0 (rows, cells, 3) of least squared relative error of the loss, and that error.

    The error (rows, cells) lacks the constant sum of weights. Negative amplitudes are clipped in
    each support and the best support kept: near enough to the constrained optimum for a start.
    """
    inverse, of_gram, of_moment = np.exp(-problem.target), weights, weights
    if inverse.ndim == 2:  # each row has losses of its own: they go with its weights
        of_gram, of_moment = weights * inverse**2, weights * inverse
        inverse = np.ones(problem.x.size)
    of_n = np.exp(-np.multiply.outer(_GRID, problem.x)) * inverse
    of_d = np.exp(-np.multiply.outer(_GRID, problem.y)) * inverse
    shape = (weights.shape[0], _GRID.size, _GRID.size)

    def total(values: Floats, axis: int, weights: Floats = of_gram) -> Floats:
        """Weighted sums of `values` (grid, points), laid along the N (1) or the D (2) exponents."""
        return np.broadcast_to(np.expand_dims(weights @ values.T, 3 - axis), shape)

    ones = np.broadcast_to(inverse, of_n.shape)
    cross = (of_n[:, None, :] * of_d).reshape(-1, inverse.size)
    gram = {
        (0, 0): total(ones * inverse, 1),
        (0, 1): total(of_n * inverse, 1),
        (0, 2): total(of_d * inverse, 2),
        (1, 1): total(of_n * of_n, 1),
        (1, 2): (of_gram @ cross.T).reshape(shape),
        (2, 2): total(of_d * of_d, 2),
    }
    moment = (total(ones, 1, of_moment), total(of_n, 1, of_moment), total(of_d, 2, of_moment))
    amplitudes = np.zeros((3, *shape))
    error = np.full(shape, np.inf)
    for support in _SUPPORTS:
        trial = _nonnegative_solution(gram, moment, support)
        trial_error = sum(
            (1 if i == j else 2) * trial[i] * trial[j] * g for (i, j), g in gram.items()
        ) - 2 * sum(t * m for t, m in zip(trial, moment, strict=True))
        better = trial_error < error
        error = np.where(better, trial_error, error)
        amplitudes = np.where(better, trial, amplitudes)
    rows = weights.shape[0]
    return np.moveaxis(amplitudes, 0, -1).reshape(rows, -1, 3), error.reshape(rows, -1)


def _nonnegative_solution(
    gram: dict[tuple[int, int], Floats], moment: tuple[Floats, ...], support: tuple[int, ...]
) -> Floats:
    """Normal equations solved by Cramer's rule for the amplitudes in `support`, then clipped.

    Zero where the terms of the support cannot be told apart.
    """
    out = np.zeros((3, *moment[0].shape))
    if len(support) == 2:
        i, j = support
        det = gram[i, i] * gram[j, j] - gram[i, j] ** 2
        out[i] = gram[j, j] * moment[i] - gram[i, j] * moment[j]
        out[j] = gram[i, i] * moment[j] - gram[i, j] * moment[i]
    else:
        ee, ea, eb = gram[0, 0], gram[0, 1], gram[0, 2]
        aa, ab, bb = gram[1, 1], gram[1, 2], gram[2, 2]
        h_e, h_a, h_b = moment
        co_ee, co_ea, co_eb = aa * bb - ab * ab, eb * ab - ea * bb, ea * ab - eb * aa
        co_aa, co_ab, co_bb = ee * bb - eb * eb, eb * ea - ee * ab, ee * aa - ea * ea
        det = ee * co_ee + ea * co_ea + eb * co_eb
        out[0] = co_ee * h_e + co_ea * h_a + co_eb * h_b
        out[1] = co_ea * h_e + co_aa * h_a + co_ab * h_b
        out[2] = co_eb * h_e + co_ab * h_a + co_bb * h_b
    regular = det > _SINGULAR * np.prod([gram[i, i] for i in support], axis=0)
    return np.asarray(np.where(regular, np.maximum(out, 0.0) / np.where(regular, det, 1.0), 0.0))
