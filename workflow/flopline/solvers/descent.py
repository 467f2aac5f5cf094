"""Newton's descent, many rows at once, of any objective for E + (h_N^(1/k) + h_D^(1/k))^k.

For k = 1 and Huber's loss on log residuals this is the objective of Hoffmann et al. 2022 (arXiv
2203.15556v1), App. D.2. Gradient and generalised Hessian are exact (Huber's second derivative jumps
at delta). With u = ln h_N, v = ln h_D, S = L - E and w = (h_N / S)^(1/k), the share of size in S,

    d ln S = w du + (1 - w) dv + H dk,    H the entropy of (w, 1 - w),

and the second derivative of ln S in (u, v, k) is w (1 - w) / k times the square of (1, -1, l),
l = (v - u) / k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
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
from flopline.solvers.problem import PERFECT_FIT, Bools, Floats, Ints, Problem
from flopline.solvers.surface_family import UNKNOWNS, Form

CHUNK_ELEMENTS = 8_192
"""Elements of one block of work: about twenty such arrays stay in a core's cache, and the allocator
keeps each, where larger ones are given back to the system and cleared anew."""
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
    task = _Task(problem, form, weights, deltas[first], starts)
    by_width = Stages(deltas, finishes, first)
    free, objective, gradient, iterations = descended(task, free, by_width, damping)
    return Optimum(
        task.full(slice(None), free), objective * problem.value_unit, gradient, iterations
    )


def assess(problem: Problem, form: Form[Any], weights: Floats, unknowns: Floats) -> Optimum:
    """Unknowns (rows, 6) that another method found, with objective and scaled gradient."""
    free, everyone = form.reduce(unknowns), slice(None)
    task = _Task(problem, form, weights, np.full(len(unknowns), problem.delta), unknowns)
    model = task.evaluate(everyone, free)
    gradient = task.scaled_gradient(everyone, free, model)
    none = np.zeros(unknowns.shape[0], dtype=np.int64)
    return Optimum(unknowns, model.objective * problem.value_unit, gradient, none)


def jacobian(problem: Problem, form: Form[Any], unknowns: Floats) -> Floats:
    """Derivatives of ln f at `unknowns` (rows, 6) with respect to the free ones.

    The result has shape (rows, free, points).
    """
    return form.gather(_Terms.of(problem, form, unknowns, log=True).slopes)


def fitted(problem: Problem, form: Form[Any], unknowns: Floats) -> Floats:
    """f at `unknowns` (rows, 6) in the frame of the problem, shape (rows, points)."""
    return _Terms.of(problem, form, unknowns, log=False).total


def log_residuals(problem: Problem, form: Form[Any], unknowns: Floats) -> Floats:
    """Residuals ln f - ln L at `unknowns` (rows, 6), shape (rows, points)."""
    return np.log(fitted(problem, form, unknowns)) - problem.target


_PLACES: Final = (
    (((1, 1), (1, 3), (3, 3)), "u"),
    (((2, 2), (2, 4), (4, 4)), "v"),
    (((1, 2), (3, 2), (1, 4), (3, 4)), "uv"),
    (((1, 5), (3, 5)), "u"),
    (((2, 5), (4, 5)), "v"),
    (((5, 5),), "k"),
)
"""Where the second derivatives with respect to u, v and k count among those of the unknowns, and by
which products of -x and -y: u = ln_A - a x and v = ln_B - b y."""


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
    problem: Problem
    form: Form[Any]
    weights: Floats
    delta: Floats
    starts: Floats

    @property
    def box(self) -> tuple[Floats, Floats]:
        return self.form.box

    @cached_property
    def total(self) -> Floats:
        """The sum of weights of each row."""
        return np.asarray(self.weights.sum(axis=1))

    @property
    def floor(self) -> Floats:
        """Least sum of squared scores that gradients are measured against, one per row."""
        return np.asarray(np.minimum(PERFECT_FIT, self.delta) ** 2 * self.total)

    def of_rows(self, rows: Ints) -> _Task:
        """The task of some rows."""
        problem, weights = self.problem.of_rows(rows), self.weights[rows]
        some = _Task(problem, self.form, weights, self.delta[rows], self.starts[rows])
        # What is known of all need not be made again.
        some.__dict__.update(total=self.total[rows], moments=self.moments)
        return some

    def at_width(self, delta: Floats) -> _Task:
        """The task under another delta, one for each row."""
        task = _Task(self.problem, self.form, self.weights, delta, self.starts)
        task.__dict__.update(total=self.total, moments=self.moments)
        return task

    @cached_property
    def moments(self) -> dict[str, Floats]:
        """Products of -x and -y, one column each, for the second derivatives of _PLACES."""
        x, y = -self.problem.x, -self.problem.y
        one = np.ones_like(x)
        columns = {"u": (one, x, x * x), "v": (one, y, y * y), "uv": (one, x, y, x * y)}
        return {name: np.stack(c, axis=1) for name, c in columns.items()} | {"k": one[:, None]}

    def full(self, rows: Ints | slice, theta: Floats) -> Floats:
        """All six unknowns of some rows."""
        full, carried = self.form.expand(theta), self.form.carried
        if carried:
            full[:, carried] = self.starts[rows][:, carried]
        return full

    def evaluate(self, rows: Ints | slice, theta: Floats) -> _ScaledModel:
        """The objective and its derivatives, computed in blocks that fit the cache."""
        problem, weights = self.problem.of_rows(rows), self.weights[rows]
        full = self.full(rows, theta)
        size = max(1, CHUNK_ELEMENTS // weights.shape[1])
        with np.errstate(all="ignore"):  # a step may try E = A = B = 0 or overflow: it is refused
            if len(theta) <= size:
                return self._block(problem, weights, full, theta, self.delta[rows])
            blocks = [slice(i, i + size) for i in range(0, len(theta), size)]
            delta = self.delta[rows]
            return _ScaledModel.joined(
                [
                    self._block(problem.of_rows(b), weights[b], full[b], theta[b], delta[b])
                    for b in blocks
                ]
            )

    def _block(
        self, problem: Problem, weights: Floats, full: Floats, theta: Floats, delta: Floats
    ) -> _ScaledModel:
        form, log = self.form, problem.objective.scale == "log"
        terms = _Terms.of(problem, form, full, log=log)
        slopes = form.gather(terms.slopes)
        if log:
            residual = np.log(terms.total) - problem.target
        else:
            residual = terms.total - np.exp(problem.target)
        widest = delta[:, None]
        score = np.minimum(np.maximum(residual, -widest), widest)
        weighted = weights * score
        # Huber(r) = score (r - score / 2) on both of its branches.
        objective = np.einsum("ri,ri->r", weighted, residual - 0.5 * score)
        score_square = np.einsum("ri,ri->r", weighted, score)
        gradient = np.matmul(slopes, weighted[:, :, None])[:, :, 0]
        column_square = np.einsum("rji,rji,ri->rj", slopes, slopes, weights)

        curvature = weights * (score == residual)
        if log:  # the second derivative of ln f is f''/f - (f'/f)(f'/f)'
            curvature -= weighted
        hessian = np.matmul(slopes * curvature[:, None, :], slopes.transpose(0, 2, 1))
        hessian += terms.curvature(weighted, self.moments, form)
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
        size = range(step.shape[1])
        matrix[:, size, size] += damping[:, None] + blocked

        # Rows come last, so that every operation runs over all of them at once.
        left, out = np.ascontiguousarray(matrix.transpose(1, 2, 0)), np.ascontiguousarray(step.T)
        pivots = np.empty_like(out)
        # A row whose damping has run off to infinity gets a step of NaN, which is never taken.
        with np.errstate(invalid="ignore", over="ignore"):
            for j in size:
                np.maximum(np.abs(left[j, j]), ROUNDING, out=pivots[j])
                column = left[j + 1 :, j] / pivots[j]
                left[j + 1 :, j + 1 :] -= column[:, None] * left[j + 1 :, j]
                left[j + 1 :, j] = column
                out[j + 1 :] -= column * out[j]
            promised = 0.5 * (out * out / pivots).sum(axis=0)
            out /= pivots
            for j in reversed(size):
                out[:j] -= left[j, :j] * out[j]
        step = out.T * scale
        return bent(self.form, theta, step), promised


def softplus(x: Floats) -> Floats:
    """ln(1 + e^x), in a tenth of the time of NumPy's logaddexp."""
    return np.asarray(np.maximum(x, 0.0) + np.log(1.0 + np.exp(-np.abs(x))))


@dataclass(frozen=True, slots=True)
class _Terms:
    """f (rows, points) at some unknowns and its derivatives, divided by f for those of ln f.

    `slopes` (rows, 5 or 6, points) are those with respect to the unknowns of the family, without k
    where k = 1 for all: h_N and h_D then bend each by itself. `bends` are the second derivatives
    with respect to (u, u), (v, v), and without k = 1 to (u, v), (u, k), (v, k) and (k, k).
    """

    total: Floats
    slopes: Floats
    bends: tuple[Floats, ...]

    @classmethod
    def of(cls, problem: Problem, form: Form[Any], full: Floats, *, log: bool) -> _Terms:
        e, ln_a, ln_b, a, b, k = (full[:, i, None] for i in range(len(UNKNOWNS)))
        slopes = np.empty((full.shape[0], 5 if form.straight else 6, problem.x.size))
        of_e, of_n, of_d, of_a, of_b = (slopes[:, i] for i in range(5))
        u, v = ln_a - a * problem.x, ln_b - b * problem.y
        if form.straight:
            np.exp(u, out=of_n)
            np.exp(v, out=of_d)
            total = e + of_n
            total += of_d
        else:
            apart = (v - u) / k
            soft = softplus(apart)
            share = np.exp(-soft)
            rest = 1.0 - share
            entropy = soft - rest * apart
            reducible = np.exp(u + k * soft)
            total = e + reducible
            np.multiply(share, reducible, out=of_n)
            np.multiply(rest, reducible, out=of_d)
        np.maximum(total, TINY, out=total)
        if log:
            np.divide(1.0, total, out=of_e)
            of_n *= of_e
            of_d *= of_e
        else:
            of_e[:] = 1.0
        np.multiply(of_n, -problem.x, out=of_a)
        np.multiply(of_d, -problem.y, out=of_b)
        if form.straight:
            return cls(total, slopes, (of_n, of_d))
        shared = of_n * rest
        of_k, mixed = slopes[:, 5], shared / k
        np.multiply(of_n + of_d, entropy, out=of_k)
        moved = mixed * apart
        bends = (
            of_n * share + mixed,
            of_d * rest + mixed,
            shared - mixed,
            of_n * entropy + moved,
            of_d * entropy - moved,
            of_k * entropy + mixed * apart**2,
        )
        return cls(total, slopes, bends)

    def curvature(self, weighted: Floats, moments: Mapping[str, Floats], form: Form[Any]) -> Floats:
        """Sums over points of the `weighted` (rows, points) second derivatives, (rows, free, free)
        with respect to the free unknowns of the `form`."""
        sums = [
            (weighted * bend) @ moments[of][:, : len(places)]
            for bend, (places, of) in zip(self.bends, _PLACES, strict=False)
        ]
        rows, size = weighted.shape[0], len(form.free)
        flat = np.concatenate(sums, axis=1) @ _scatter(form)
        if not form.tied:
            return np.asarray(flat.reshape(rows, size, size))
        full = flat.reshape(rows, len(UNKNOWNS), len(UNKNOWNS))
        return np.asarray(form.spread.T @ full @ form.spread)


@cache
def _scatter(form: Form[Any]) -> Floats:
    """The matrix of 0 and 1 that takes the sums of _PLACES to a flat Hessian.

    It is that of the free unknowns; of all six where some are tied, whose sums are added up later.
    """
    count = 2 if form.straight else len(_PLACES)
    pairs = [place for places, _ in _PLACES[:count] for place in places]
    out = np.zeros((len(pairs), len(UNKNOWNS), len(UNKNOWNS)))
    for number, (i, j) in enumerate(pairs):
        out[number, i, j] = out[number, j, i] = 1.0
    if not form.tied:
        out = form.spread.T @ out @ form.spread
    return out.reshape(len(pairs), -1)
