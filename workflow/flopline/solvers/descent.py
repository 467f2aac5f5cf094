"""Newton's descent, many rows at once, of any objective for E + (h_N^(1/k) + h_D^(1/k))^k.

For k = 1 and Huber's loss on log residuals this is the objective of Hoffmann et al. 2022 (arXiv
2203.15556v1), App. D.2. Gradient and generalised Hessian are exact (Huber's second derivative jumps
at delta). With u = ln h_N, v = ln h_D, S = L - E and w = (h_N / S)^(1/k), the share of size in S,

    d ln S = w du + (1 - w) dv + H dk,    H the entropy of (w, 1 - w),

and the second derivative of ln S in (u, v, k) is w (1 - w) / k times the square of (1, -1, l),
l = (v - u) / k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from flopline.solvers.curved_steps import bent
from flopline.solvers.damped_steps import (
    FINISH,
    FROM_AFAR,
    GRADIENT_TOLERANCE,
    ROUNDING,
    TINY,
    WIDE,
    QuadraticModel,
    RowArrays,
    Stages,
    descended,
    widths_down_to,
)
from flopline.solvers.family_terms import Moments, Terms
from flopline.solvers.fold import Fold
from flopline.solvers.problem import PERFECT_FIT, Bools, Floats, Ints, Problem
from flopline.solvers.surface_family import Form

CHUNK_ELEMENTS = 8_192
"""Elements of one block of work: about twenty such arrays stay in a core's cache, and the allocator
keeps each, where larger ones are given back to the system and cleared anew."""
KINKED_GROWTH: Final = 4.0
"""Factor by which the first refused step raises the damping: with 2, two of five steps were refused
at the kinks of Huber's loss, and 5 % more were made."""
LAYERS_LIKE_ONE = 4
"""Layers of losses that take as much room as the law and its derivatives at their places."""
ROUGH_WIDTH: Final = 10 * WIDE
"""Huber's delta under which a descent from afar begins: at a narrower one most residuals lie
outside, so that each step sees the curvature of few points and turns at the next."""
ROUGH: Final = 1e-3
"""Scaled gradient that is near enough to an optimum to go on under the delta that is asked for."""


@dataclass(frozen=True, slots=True)
class Optimum(RowArrays):
    """Minimisers under several weight vectors; every array is over the rows.

    `unknowns` has shape (rows, 6): those of the family, in the frame of the problem. `objective`
    is in the units of the problem's objective. `scaled_gradient` is the largest cosine between the
    vector of residual scores and a column of the Jacobian, bounds respected: free of units, 0 at an
    optimum.
    """

    unknowns: Floats
    objective: Floats
    scaled_gradient: Floats
    iterations: Ints

    @property
    def converged(self) -> Bools:
        """Rows whose scaled gradient lies within GRADIENT_TOLERANCE."""
        return np.asarray(self.scaled_gradient <= GRADIENT_TOLERANCE)


def descend(
    problem: Problem,
    form: Form[Any],
    weights: Floats,
    starts: Floats,
    widths: list[float] | None = None,
    *,
    rough: bool | Bools = True,
    damping: float = FROM_AFAR,
) -> Optimum:
    """The local minimum that each row of `starts` (rows, 6) leads to.

    `weights` has shape (rows, points). A small delta is approached from above, through `widths`
    (`damped_steps.widths_down_to` unless given), and the first of them, where `rough`, through
    ROUGH_WIDTH. Steps begin with `damping`. Ask `converged` of the result.

    Returns the optima by row, with objective and scaled gradient.
    """
    free, first = form.reduce(starts), np.zeros(starts.shape[0], dtype=np.int64)
    stages = [(width, FINISH) for width in widths or widths_down_to(problem.delta)]
    if np.any(rough) and stages[0][0] < ROUGH_WIDTH:
        stages.insert(0, (ROUGH_WIDTH, ROUGH))
        first += ~np.broadcast_to(rough, first.shape)
    deltas, finishes = np.array(stages).T
    task = _Task.of(problem, form, weights, deltas[first], starts)
    by_width = Stages(deltas, finishes, first)
    free, objective, gradient, iterations = descended(task, free, by_width, damping, KINKED_GROWTH)
    return Optimum(
        task.full(slice(None), free), objective * problem.value_unit, gradient, iterations
    )


def assess(problem: Problem, form: Form[Any], weights: Floats, unknowns: Floats) -> Optimum:
    """Unknowns (rows, 6) that another method found, with objective and scaled gradient."""
    free, everyone = form.reduce(unknowns), slice(None)
    task = _Task.of(problem, form, weights, np.full(len(unknowns), problem.delta), unknowns)
    model = task.evaluate(everyone, free)
    gradient = task.scaled_gradient(everyone, free, model)
    none = np.zeros(unknowns.shape[0], dtype=np.int64)
    return Optimum(unknowns, model.objective * problem.value_unit, gradient, none)


def jacobian(problem: Problem, form: Form[Any], unknowns: Floats) -> Floats:
    """Derivatives of ln f at `unknowns` (rows, 6) with respect to the free ones.

    The result has shape (rows, free, points).
    """
    slopes = Terms.of(problem, form, unknowns, log=True).along_unknowns(problem)
    return form.gather(slopes)


def fitted(problem: Problem, form: Form[Any], unknowns: Floats) -> Floats:
    """f at `unknowns` (rows, 6) in the frame of the problem, shape (rows, points)."""
    return Terms.of(problem, form, unknowns, log=False).total


def log_residuals(problem: Problem, form: Form[Any], unknowns: Floats) -> Floats:
    """Residuals ln f - ln L at `unknowns` (rows, 6), shape (rows, points)."""
    return np.log(fitted(problem, form, unknowns)) - problem.target


@dataclass(frozen=True, slots=True)
class _ScaledModel(QuadraticModel):
    """With the squared lengths that scale the gradient: of Jacobian columns and of the scores.

    `blocked` are the unknowns on a bound that descent would push through it.
    """

    column_square: Floats
    score_square: Floats
    blocked: Bools


@dataclass(frozen=True)
class _Task:
    """Rows of weights over points, which lie in `layers` of as many points each.

    The points of a layer have the places (x, y) of the `problem`, those of another have the same:
    runs that differ in nothing but their seeds share all of the work but that on their losses.
    """

    problem: Problem
    form: Form[Any]
    weights: Floats
    delta: Floats
    starts: Floats
    layers: int = 1

    @classmethod
    def of(
        cls, problem: Problem, form: Form[Any], weights: Floats, delta: Floats, starts: Floats
    ) -> _Task:
        """The task of `weights` (rows, points) in as many layers as take the least work."""
        fold = Fold.of(problem.x, problem.y)
        if fold is None:
            return cls(problem, form, weights, delta, starts)
        laid = replace(
            problem,
            x=problem.x[fold.first],
            y=problem.y[fold.first],
            target=problem.target[..., fold.points],
        )
        return cls(laid, form, fold.laid(weights), delta, starts, fold.layers)

    @property
    def box(self) -> tuple[Floats, Floats]:
        return self.form.box

    @cached_property
    def total(self) -> Floats:
        """The sum of weights of each row."""
        return np.asarray(self.weights.sum(axis=1))

    @cached_property
    def by_place(self) -> Floats:
        """The weights of all points at a place, (rows, places)."""
        return _over_layers(self.weights, self.layers)

    @cached_property
    def floor(self) -> Floats:
        """Least sum of squared scores that gradients are measured against, one per row."""
        return np.asarray(np.minimum(PERFECT_FIT, self.delta) ** 2 * self.total)

    def of_rows(self, rows: Ints) -> _Task:
        """The task of some rows."""
        problem, weights = self.problem.of_rows(rows), self.weights[rows]
        some = replace(
            self,
            problem=problem,
            weights=weights,
            delta=self.delta[rows],
            starts=self.starts[rows],
        )
        # What is known of all need not be made again.
        some.__dict__.update(total=self.total[rows], moments=self.moments)
        some.__dict__.update(by_place=weights if self.layers == 1 else self.by_place[rows])
        return some

    def at_width(self, delta: Floats) -> _Task:
        """The task under another delta, one for each row."""
        task = replace(self, delta=delta)
        task.__dict__.update(total=self.total, moments=self.moments, by_place=self.by_place)
        return task

    @cached_property
    def moments(self) -> Moments:
        """What sums over points are made of."""
        return Moments.of(self.problem, self.form)

    def full(self, rows: Ints | slice, theta: Floats) -> Floats:
        """All six unknowns of some rows."""
        full, carried = self.form.expand(theta), self.form.carried
        if carried:
            full[:, carried] = self.starts[rows][:, carried]
        return full

    def evaluate(self, rows: Ints | slice, theta: Floats) -> _ScaledModel:
        """The objective and its derivatives, computed in blocks that fit the cache."""
        if not isinstance(rows, slice):
            return self.of_rows(rows).evaluate(slice(None), theta)
        width = max(self.problem.x.size, self.weights.shape[1] // LAYERS_LIKE_ONE)
        size, (begin, end, _) = max(1, CHUNK_ELEMENTS // width), rows.indices(len(self.weights))
        with np.errstate(all="ignore"):  # a step may try E = A = B = 0 or overflow: it is refused
            if end - begin <= size:
                return self._block(rows, theta)
            blocks = [slice(i, min(i + size, end)) for i in range(begin, end, size)]
            return _ScaledModel.joined(
                [self._block(b, theta[b.start - begin : b.stop - begin]) for b in blocks]
            )

    def _block(self, rows: slice, theta: Floats) -> _ScaledModel:
        problem, full = self.problem.of_rows(rows), self.full(rows, theta)
        weights, by_place, delta = self.weights[rows], self.by_place[rows], self.delta[rows]
        form, log = self.form, problem.objective.scale == "log"
        terms, moments = Terms.of(problem, form, full, log=log), self.moments
        fitted = np.log(terms.total) if log else terms.total
        seen = problem.target if log else np.exp(problem.target)
        widest, layers = delta[:, None], self.layers
        if layers > 1:
            weights = weights.reshape(len(theta), layers, problem.x.size)
            seen = seen.reshape(*seen.shape[:-1], layers, problem.x.size)
            fitted, widest = fitted[:, None], delta[:, None, None]
        residual = fitted - seen
        score = np.minimum(np.maximum(residual, -widest), widest)
        weighted = weights * score
        # Huber(r) = score (r - score / 2) on both of its branches.
        score_square = _row_products(weighted, score)
        objective = _row_products(weighted, residual) - 0.5 * score_square
        inside = weights * (score == residual)
        if layers > 1:
            weighted, inside = weighted.sum(axis=1), inside.sum(axis=1)

        gradient = moments.gradient(weighted * terms.slopes)
        column_square = moments.squares(by_place, terms.slopes)
        # The second derivative of ln f is f''/f - (f'/f)(f'/f)'.
        curvature = inside - weighted if log else inside
        hessian = moments.hessian(curvature * terms.slopes, terms.slopes, weighted * terms.bends)
        lower, upper = form.box
        blocked = ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))
        return _ScaledModel(objective, gradient, hessian, column_square, score_square, blocked)

    def scaled_gradient(self, rows: Ints | slice, theta: Floats, model: _ScaledModel) -> Floats:
        score = np.sqrt(np.maximum(model.score_square, self.floor[rows]))
        length = np.sqrt(model.column_square) * score[:, None]
        with np.errstate(invalid="ignore"):
            cosine = np.abs(model.gradient) / np.maximum(length, TINY)
        cosine = np.where(model.blocked, 0.0, cosine).max(axis=1)
        return np.asarray(np.where(np.isnan(cosine), np.inf, cosine))

    def step(self, theta: Floats, model: _ScaledModel, damping: Floats) -> tuple[Floats, Floats]:
        """Damped Newton steps (rows, free), and the decrease that their quadratic model promises.

        Unknowns are scaled by the length of their Jacobian column. The LDL' factorisation takes
        pivots by absolute value and not below a floor, so that every step descends, even where the
        Hessian is indefinite.
        """
        blocked = model.blocked
        scale = np.where(blocked, 0.0, 1.0 / np.sqrt(np.maximum(model.column_square, TINY)))
        step = -model.gradient * scale
        matrix = model.hessian * scale[:, :, None] * scale[:, None, :]
        np.einsum("rii->ri", matrix)[:] += damping[:, None] + blocked

        # Rows come last, so that every operation runs over all of them at once; the right side is
        # one more row of the matrix.
        free = step.shape[1]
        left = np.empty((free + 1, free, step.shape[0]))
        left[:free], left[free] = matrix.transpose(1, 2, 0), step.T
        promised = np.zeros(step.shape[0])
        # A row whose damping has run off to infinity gets a step of NaN, which is never taken.
        with np.errstate(invalid="ignore", over="ignore"):
            for j in range(free):
                pivot = np.maximum(np.abs(left[j, j]), ROUNDING)
                below = left[j + 1 :, j]
                column = below / pivot
                promised += below[-1] * column[-1]
                if j + 1 < free:
                    left[j + 1 :, j + 1 :] -= column[:, None] * below[:-1]
                left[j + 1 :, j] = column
            promised *= 0.5
            out = left[free]
            for j in range(free - 1, 0, -1):
                out[:j] -= left[j, :j] * out[j]
        step = out.T * scale
        return bent(self.form, theta, step), promised


def _row_products(left: Floats, right: Floats) -> Floats:
    """Sums over all points of a row of products of two numbers each."""
    shape = (left.shape[0], math.prod(left.shape[1:]))
    return np.asarray(np.einsum("ri,ri->r", left.reshape(shape), right.reshape(shape)))


def _over_layers(weights: Floats, layers: int) -> Floats:
    """Weights (rows, layers times places) added up over the layers, (rows, places)."""
    if layers == 1:
        return weights
    rows, points = weights.shape
    return np.asarray(weights.reshape(rows, layers, points // layers).sum(axis=1))
