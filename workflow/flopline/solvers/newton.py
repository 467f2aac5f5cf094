"""Batched Newton descent on sum_i w_i Huber_delta(ln(E + A N_i^-alpha + B D_i^-beta) - ln L_i).

The objective is that of Hoffmann et al. 2022 (arXiv 2203.15556v1), App. D.2, with its exact
gradient and generalised Hessian (Huber's second derivative jumps at delta). Many rows, each with
weights and a start of its own, descend at once; finished rows are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from flopline import progress
from flopline.solvers.descent import ROUNDING, TINY, Model, descended
from flopline.surfaces.chinchilla import LossSurface

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

EXPONENT_BOUNDS = (0.01, 5.0)
"""Box of alpha and beta: below it a power law cannot be told from a constant, above it a term
touches the smallest runs only. The amplitudes E, A and B are bounded below by zero."""
LOWER = np.array([0.0, 0.0, 0.0, EXPONENT_BOUNDS[0], EXPONENT_BOUNDS[0]])
UPPER = np.array([np.inf, np.inf, np.inf, EXPONENT_BOUNDS[1], EXPONENT_BOUNDS[1]])

GRADIENT_TOLERANCE = 1e-8
"""Largest scaled gradient of a fit that may be called converged."""
PERFECT_FIT = 1e-7
"""Root mean square of log residuals below which a gradient is measured against this value: no
log writes losses more precisely, and rounding alone would keep noise-free data from converging."""
WIDE = 1e-3
"""Huber's delta of Hoffmann et al. 2022, from which the descent needs no help."""
CHUNK_ELEMENTS = 16_384
"""Elements of one block of work: about twenty such arrays stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Points in centred logarithms, so that the five unknowns are of order one.

    `x`, `y` and `target` are ln N, ln D and ln L less their means (`centre`), shape (points,);
    `target` may have a row of its own for every row of weights, shape (rows, points), as the wild
    bootstrap needs. `delta` is Huber's. The unknowns theta = (E, A, B, alpha, beta) of this frame
    stand for f = E + A exp(-alpha x) + B exp(-beta y), to be compared with exp(target).
    """

    x: Floats
    y: Floats
    target: Floats
    centre: Floats
    delta: float

    @classmethod
    def of(cls, params: Floats, tokens: Floats, loss: Floats, delta: float) -> Problem:
        """The problem of points with `params` [weights], `tokens` [tokens], `loss` [nats]."""
        logs = np.log(np.stack([params, tokens, loss]).astype(float))
        centre = logs.mean(axis=1)
        x, y, target = logs - centre[:, None]
        return cls(x, y, target, centre, delta)

    def of_rows(self, rows: Ints | Bools | slice | int) -> Problem:
        """The problem of some rows of weights: the same one if all rows share their target."""
        return self if self.target.ndim == 1 else replace(self, target=self.target[rows])

    def with_losses(self, loss: Floats) -> Problem:
        """The same points with other losses [nats], one set or one for each row of weights."""
        return replace(self, target=np.log(loss) - self.centre[2])

    def surface(self, theta: Floats) -> LossSurface:
        """Unknowns of this frame, shape (rows, 5) or (5,), in the units of the points."""
        log_n, log_d, log_l = self.centre
        e, a, b, alpha, beta = np.moveaxis(theta, -1, 0)
        return LossSurface(
            e * np.exp(log_l),
            a * np.exp(alpha * log_n + log_l),
            b * np.exp(beta * log_d + log_l),
            alpha,
            beta,
        )

    def unknowns(self, surface: LossSurface) -> Floats:
        """The inverse of `surface`."""
        log_n, log_d, log_l = self.centre
        e, a, b, alpha, beta = (
            np.asarray(getattr(surface, f.name), float) for f in fields(surface)
        )
        shrunk = (e * np.exp(-log_l), a * np.exp(-alpha * log_n - log_l))
        return np.stack([*shrunk, b * np.exp(-beta * log_d - log_l), alpha, beta], axis=-1)


@dataclass(frozen=True, slots=True)
class Optimum:
    """Minimisers under several weight vectors; every array is over the rows.

    `theta` has shape (rows, 5), in the frame of the problem. `scaled_gradient` is the largest
    cosine between the vector of residual scores and a column of the Jacobian, bounds respected:
    free of units, 0 at an optimum.
    """

    theta: Floats
    objective: Floats
    scaled_gradient: Floats
    iterations: Ints

    @property
    def converged(self) -> Bools:
        """Rows whose scaled gradient lies within GRADIENT_TOLERANCE."""
        return np.asarray(self.scaled_gradient <= GRADIENT_TOLERANCE)

    def take(self, rows: Ints) -> Optimum:
        """The optima of some rows."""
        return Optimum(*(getattr(self, f.name)[rows] for f in fields(self)))

    def put(self, rows: Ints | Bools, other: Optimum) -> None:
        """Overwrite some rows."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(other, f.name)


def descend(problem: Problem, weights: Floats, starts: Floats) -> Optimum:
    """The local minimum that each row of `starts` (rows, 5) leads to, narrowing Huber's delta.

    `weights` has shape (rows, points). Newton steps cover little ground where few residuals lie
    within delta, so a delta below WIDE is approached from there by decades.
    """
    widths = [problem.delta]
    while widths[0] * 10 <= WIDE * (1 + ROUNDING):
        widths.insert(0, widths[0] * 10)
    iterations = np.zeros(starts.shape[0], dtype=np.int64)
    for width in progress.over(widths):
        found = polish(replace(problem, delta=width), weights, starts)
        starts, iterations = found.theta, iterations + found.iterations
    return replace(found, iterations=iterations)


def polish(problem: Problem, weights: Floats, starts: Floats) -> Optimum:
    """The local minimum that each row of `starts` (rows, 5) leads to.

    `weights` has shape (rows, points). A row ends when its scaled gradient is far inside
    GRADIENT_TOLERANCE or when no step lowers its objective; ask `converged` of the result.
    """
    floor = _score_floor(problem, weights)
    return Optimum(
        *descended(
            starts,
            (LOWER, UPPER),
            lambda rows, theta: _evaluate(problem.of_rows(rows), weights[rows], theta),
            lambda rows, theta, model: _scaled_gradient(theta, model, floor[rows]),
            _descent_step,
        )
    )


def assess(problem: Problem, weights: Floats, theta: Floats, iterations: Ints) -> Optimum:
    """Unknowns (rows, 5) that another method found, with objective and scaled gradient."""
    model = _evaluate(problem, weights, theta)
    cosine = _scaled_gradient(theta, model, _score_floor(problem, weights))
    return Optimum(theta, model.objective, cosine, iterations)


def jacobian(problem: Problem, theta: Floats) -> Floats:
    """Derivatives of ln f with respect to theta (rows, 5), shape (rows, 5, points)."""
    return _log_model(problem, theta)[1]


def _log_model(problem: Problem, theta: Floats) -> tuple[Floats, Floats]:
    e, a, b, alpha, beta = (theta[:, i, None] for i in range(5))
    slopes = np.empty((theta.shape[0], 5, problem.x.size))
    of_e, of_a, of_b, of_alpha, of_beta = (slopes[:, i] for i in range(5))
    np.exp(-alpha * problem.x, out=of_a)
    np.exp(-beta * problem.y, out=of_b)
    f = e + a * of_a
    f += b * of_b
    np.maximum(f, TINY, out=f)
    np.divide(1.0, f, out=of_e)
    of_a *= of_e
    of_b *= of_e
    np.multiply(of_a, problem.x, out=of_alpha)
    of_alpha *= -a
    np.multiply(of_b, problem.y, out=of_beta)
    of_beta *= -b
    return np.log(f, out=f), slopes


def _evaluate(problem: Problem, weights: Floats, theta: Floats) -> Model:
    """The objective and its derivatives, computed in blocks that fit the cache."""
    size = max(1, CHUNK_ELEMENTS // weights.shape[1])
    with np.errstate(all="ignore"):  # a step may try E = A = B = 0 or overflow: it is refused
        blocks = [
            _evaluate_block(problem.of_rows(rows), weights[rows], theta[rows])
            for rows in (slice(i, i + size) for i in range(0, max(1, theta.shape[0]), size))
        ]
    return Model(
        *(np.concatenate([getattr(block, f.name) for block in blocks]) for f in fields(Model))
    )


def _evaluate_block(problem: Problem, weights: Floats, theta: Floats) -> Model:
    log_f, slopes = _log_model(problem, theta)
    residual = log_f - problem.target
    score = np.clip(residual, -problem.delta, problem.delta)
    weighted = weights * score
    # Huber(r) = score (r - score / 2) on both of its branches.
    objective = np.einsum("ri,ri->r", weighted, residual - 0.5 * score)
    score_square = np.einsum("ri,ri->r", weighted, score)
    gradient = np.matmul(slopes, weighted[:, :, None])[:, :, 0]
    column_square = np.einsum("rji,rji,ri->rj", slopes, slopes, weights)

    # The second derivative of ln f is f''/f - (f'/f)(f'/f)'.
    curvature = weights * (score == residual)
    curvature -= weighted
    hessian = np.matmul(slopes * curvature[:, None, :], slopes.transpose(0, 2, 1))
    for term, z in ((1, problem.x), (2, problem.y)):
        moments = (weighted * slopes[:, term]) @ np.stack([z, z * z], axis=1)
        hessian[:, term, term + 2] -= moments[:, 0]
        hessian[:, term + 2, term] -= moments[:, 0]
        hessian[:, term + 2, term + 2] += theta[:, term] * moments[:, 1]
    return Model(objective, gradient, hessian, column_square, score_square)


def _blocked(theta: Floats, gradient: Floats) -> Bools:
    """Unknowns on a bound that descent would push through it."""
    return ((theta <= LOWER) & (gradient > 0)) | ((theta >= UPPER) & (gradient < 0))


def _score_floor(problem: Problem, weights: Floats) -> Floats:
    """Least sum of squared scores that gradients are measured against, one per row."""
    return np.asarray(min(PERFECT_FIT, problem.delta) ** 2 * weights.sum(axis=1))


def _scaled_gradient(theta: Floats, model: Model, floor: Floats) -> Floats:
    score = np.sqrt(np.maximum(model.score_square, floor))
    length = np.sqrt(model.column_square) * score[:, None]
    with np.errstate(invalid="ignore"):
        cosine = np.abs(model.gradient) / np.maximum(length, TINY)
    return np.asarray(np.where(_blocked(theta, model.gradient), 0.0, cosine).max(axis=1))


def _descent_step(theta: Floats, model: Model, damping: Floats) -> tuple[Floats, Floats]:
    """Damped Newton steps (rows, 5), and the decrease that their quadratic model promises.

    Unknowns are scaled by the length of their Jacobian column. The LDL' factorisation takes
    pivots by absolute value and not below a floor, so that every step descends, even where the
    Hessian is indefinite.
    """
    blocked = _blocked(theta, model.gradient)
    scale = np.where(blocked, 0.0, 1.0 / np.sqrt(np.maximum(model.column_square, TINY)))
    step = -model.gradient * scale
    matrix = model.hessian * scale[:, :, None] * scale[:, None, :]
    matrix[:, range(5), range(5)] += damping[:, None] + blocked

    lower = np.zeros_like(matrix)
    pivots = np.empty_like(step)
    # A row whose damping has run off to infinity gets a step of NaN, which is never taken.
    with np.errstate(invalid="ignore"):
        for j in range(5):
            row = lower[:, j, :j] * pivots[:, :j]
            column = matrix[:, j:, j] - np.einsum("rik,rk->ri", lower[:, j:, :j], row)
            pivots[:, j] = np.maximum(np.abs(column[:, 0]), ROUNDING)
            lower[:, j + 1 :, j] = column[:, 1:] / pivots[:, j, None]
            step[:, j + 1 :] -= lower[:, j + 1 :, j] * step[:, j, None]
    promised = 0.5 * np.einsum("rj,rj->r", step, step / pivots)
    step /= pivots
    for j in reversed(range(5)):
        step[:, :j] -= lower[:, j, :j] * step[:, j, None]
    return step * scale, promised
