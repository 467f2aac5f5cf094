"""Batched Newton descent of any objective for the family E + (h_N^(1/k) + h_D^(1/k))^k (`family`).

Many rows, each with weights and a start of its own, descend at once; finished rows are dropped.

With u = ln h_N, v = ln h_D, S = L - E and w = (h_N / S)^(1/k), the share of size in S,

    d ln S = w du + (1 - w) dv + H(w) dk,    H the entropy of (w, 1 - w),

and the second derivative of ln S in (u, v, k) is w (1 - w) / k times the square of (1, -1, l),
l = (v - u) / k. Both are exact here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flopline import progress
from flopline.solvers.descent import ROUNDING, TINY, Model, descended
from flopline.solvers.engine import agree
from flopline.solvers.newton import (
    CHUNK_ELEMENTS,
    GRADIENT_TOLERANCE,
    PERFECT_FIT,
    WIDE,
    Bools,
    Floats,
    Ints,
    Problem,
)
from flopline.solvers.objectives import Objective
from flopline.solvers.surface_family import FULL, Form, starting_points

LAD_DELTA: Final = PERFECT_FIT
"""Huber's delta whose optimum stands for LAD: no log writes losses more precisely, and a hundredth
of it would drown the gradient of many resamples in rounding."""

_ROWS_AGAIN = 64
_LARGEST_STEP = 2.0
_FIRST = 0.9
"""Share of the time, about, before the rows that have not converged are tried again."""


@dataclass(frozen=True, slots=True)
class Found:
    """Minimisers under several weight vectors; every array is over the rows.

    `free` has shape (rows, free), in the frame of the problem; `objective` is in the units of the
    losses; `scaled_gradient` is that of `newton.Optimum`.
    """

    free: Floats
    objective: Floats
    scaled_gradient: Floats
    iterations: Ints

    @property
    def converged(self) -> Bools:
        """Rows whose scaled gradient lies within `newton.GRADIENT_TOLERANCE`."""
        return np.asarray(self.scaled_gradient <= GRADIENT_TOLERANCE)

    def take(self, rows: Ints) -> Found:
        """The minimisers of some rows."""
        return Found(*(getattr(self, f.name)[rows] for f in fields(self)))

    def put(self, rows: Ints | Bools, other: Found) -> None:
        """Overwrite some rows."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(other, f.name)


def minimise(
    problem: Problem, form: Form, objective: Objective, weights: Floats, begin: Floats
) -> tuple[Found, int]:
    """The lowest of the local minima that `begin` (starts, free) lead to, and how many reach it.

    `weights` has shape (points,).
    """
    found = descend(
        problem, form, objective, np.broadcast_to(weights, (len(begin), weights.size)), begin
    )
    best = found.take(np.array([found.objective.argmin()]))
    return best, int(agree(found.objective, best.objective, weights.sum()).sum())


def minimise_resamples(
    problem: Problem, form: Form, objective: Objective, weights: Floats, near: Floats
) -> Found:
    """Minima under each row of `weights` (draws, points), from `near` (free,).

    All rows of a rugged form are tried from every second of the `starting_points` too, rows that
    have not converged from all of them, and the lowest end is kept.
    """
    begin = starting_points(problem, form)
    tried = begin[1::2] if form.rugged else begin[:0]
    with progress.part(_FIRST / (1 + len(tried))):
        best = descend(
            problem, form, objective, weights, np.broadcast_to(near, (len(weights), near.size))
        )
    if form.rugged:
        everyone = np.arange(len(weights))
        with progress.part(_FIRST):
            _try_again(problem, form, objective, weights, best, everyone, tried)
    unconverged = np.flatnonzero(~best.converged)
    _try_again(problem, form, objective, weights, best, unconverged, begin)
    return best


def descend(
    problem: Problem, form: Form, objective: Objective, weights: Floats, begin: Floats
) -> Found:
    """The local minimum that each row of `begin` (rows, free) leads to.

    `weights` has shape (rows, points). A small delta is approached from above by decades, as in
    `newton.descend`. `problem.delta` plays no part.
    """
    unit = float(np.exp(problem.centre[2])) if objective.scale == "linear" else 1.0
    delta = (objective.delta or LAD_DELTA) / unit
    widths = [delta]
    while widths[0] * 10 <= WIDE * (1 + ROUNDING):
        widths.insert(0, widths[0] * 10)
    iterations = np.zeros(begin.shape[0], dtype=np.int64)
    for width in progress.over(widths):
        task = _Task(replace(problem, delta=width), form, objective.scale == "log")
        found = _polish(task, weights, begin)
        begin, iterations = found.free, iterations + found.iterations
    value = found.objective * unit**2
    if objective.delta == 0:
        value = value / (LAD_DELTA * unit)
    return replace(found, objective=value, iterations=iterations)


def _try_again(
    problem: Problem,
    form: Form,
    objective: Objective,
    weights: Floats,
    best: Found,
    wanting: Ints,
    begin: Floats,
) -> None:
    """Descend from every start of `begin` for the rows `wanting`, and keep what ends lower."""
    for rows in progress.over(np.array_split(wanting, 1 + wanting.size // _ROWS_AGAIN)):
        many = np.repeat(weights[rows], len(begin), axis=0)
        found = descend(problem, form, objective, many, np.tile(begin, (rows.size, 1)))
        ends = found.objective.reshape(rows.size, len(begin))
        lowest = found.take(ends.argmin(axis=1) + len(begin) * np.arange(rows.size))
        lower = lowest.objective < best.objective[rows]
        better = np.where(best.converged[rows], lowest.converged & lower, lowest.converged | lower)
        best.put(rows[better], lowest.take(np.flatnonzero(better)))


@dataclass(frozen=True, slots=True)
class _Task:
    problem: Problem
    form: Form
    log: bool


def _polish(task: _Task, weights: Floats, begin: Floats) -> Found:
    """Damped Newton steps for every row until each has ended."""
    floor = min(PERFECT_FIT, task.problem.delta) ** 2 * weights.sum(axis=1)
    return Found(
        *descended(
            begin,
            task.form.box,
            lambda rows, theta: _evaluate(task, weights[rows], theta),
            lambda rows, theta, model: _scaled_gradient(task, theta, model, floor[rows]),
            lambda theta, model, damping: _step(task, theta, model, damping),
        )
    )


def _evaluate(task: _Task, weights: Floats, theta: Floats) -> Model:
    """The objective and its derivatives, computed in blocks that fit the cache."""
    size = max(1, CHUNK_ELEMENTS // weights.shape[1])
    full = task.form.expand(theta)
    with np.errstate(all="ignore"):  # a step may overflow: it is refused
        blocks = [
            _evaluate_block(task, weights[i : i + size], full[i : i + size])
            for i in range(0, max(1, theta.shape[0]), size)
        ]
    return Model(
        *(np.concatenate([getattr(block, f.name) for block in blocks]) for f in fields(Model))
    )


def _evaluate_block(task: _Task, weights: Floats, full: Floats) -> Model:
    problem = task.problem
    e, ln_a, ln_b, a, b, k = (full[:, i, None] for i in range(len(FULL)))
    u, v = ln_a - a * problem.x, ln_b - b * problem.y
    apart = (v - u) / k
    soft = np.logaddexp(0.0, apart)
    share = np.exp(-soft)
    reducible = np.exp(u + k * soft)
    total = np.maximum(e + reducible, TINY)
    seen = problem.target
    residual = np.log(total) - seen if task.log else total - np.exp(seen)
    under = total if task.log else np.ones_like(total)

    slopes = np.empty((full.shape[0], len(FULL), problem.x.size))
    slopes[:, 0] = 1.0 / under
    slopes[:, 1] = share * reducible / under
    slopes[:, 2] = (1.0 - share) * reducible / under
    slopes[:, 3] = -problem.x * slopes[:, 1]
    slopes[:, 4] = -problem.y * slopes[:, 2]
    slopes[:, 5] = (soft - (1.0 - share) * apart) * reducible / under

    score = np.clip(residual, -problem.delta, problem.delta)
    weighted = weights * score
    # Huber(r) = score (r - score / 2) on both of its branches.
    objective = np.einsum("ri,ri->r", weighted, residual - 0.5 * score)
    score_square = np.einsum("ri,ri->r", weighted, score)
    gradient = np.matmul(slopes, weighted[:, :, None])[:, :, 0]

    bend = weights * (score == residual)
    if task.log:  # the second derivative of ln f is f''/f - (f'/f)(f'/f)'
        bend = bend - weighted
    transposed = slopes.transpose(0, 2, 1)
    hessian = np.matmul(slopes * bend[:, None, :], transposed)
    of_terms = slopes[:, 1:]
    hessian[:, 1:, 1:] += np.matmul(
        of_terms * (weighted * under / reducible)[:, None, :], of_terms.transpose(0, 2, 1)
    )
    twist = np.empty_like(of_terms)
    twist[:, 0], twist[:, 1], twist[:, 4] = 1.0, -1.0, apart
    twist[:, 2], twist[:, 3] = -problem.x, problem.y
    curl = weighted * share * (1.0 - share) * reducible / under / k
    hessian[:, 1:, 1:] += np.matmul(twist * curl[:, None, :], twist.transpose(0, 2, 1))

    spread = task.form.spread
    gram = np.matmul(slopes * weights[:, None, :], transposed)
    return Model(
        objective,
        gradient @ spread,
        spread.T @ hessian @ spread,
        np.einsum("jm,rjk,km->rm", spread, gram, spread),
        score_square,
    )


def _blocked(task: _Task, theta: Floats, gradient: Floats) -> Bools:
    """Unknowns on a bound that descent would push through it."""
    lower, upper = task.form.box
    return ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))


def _scaled_gradient(task: _Task, theta: Floats, model: Model, floor: Floats) -> Floats:
    score = np.sqrt(np.maximum(model.score_square, floor))
    length = np.sqrt(model.column_square) * score[:, None]
    with np.errstate(invalid="ignore"):
        cosine = np.abs(model.gradient) / np.maximum(length, TINY)
    cosine = np.where(_blocked(task, theta, model.gradient), 0.0, cosine).max(axis=1)
    return np.asarray(np.where(np.isnan(cosine), np.inf, cosine))


def _step(
    task: _Task, theta: Floats, model: Model, damping: Floats
) -> tuple[Floats, NDArray[np.float64]]:
    """Damped Newton steps (rows, free), and the decrease that their quadratic model promises.

    Unknowns are scaled by the length of their Jacobian column; negative curvature is taken by
    absolute value, so that every step descends.
    """
    blocked = _blocked(task, theta, model.gradient)
    scale = np.where(blocked, 0.0, 1.0 / np.sqrt(np.maximum(model.column_square, TINY)))
    slope = model.gradient * scale
    matrix = model.hessian * scale[:, :, None] * scale[:, None, :]
    bad = ~np.isfinite(matrix).all(axis=(1, 2))
    matrix[bad] = np.eye(theta.shape[1])
    curvature, axes = np.linalg.eigh(matrix)
    along = np.einsum("rji,rj->ri", axes, slope)
    inverse = 1.0 / np.maximum(np.abs(curvature) + damping[:, None], ROUNDING)
    step = -np.einsum("rij,rj->ri", axes, along * inverse) * scale
    promised = 0.5 * np.einsum("ri,ri->r", along * inverse, along)
    longest = np.abs(step).max(axis=1)
    shrink = _LARGEST_STEP / np.maximum(longest, _LARGEST_STEP)
    return step * shrink[:, None], promised * shrink
