"""The literal fitting procedure of Hoffmann et al. 2022, for comparison only.

arXiv 2203.15556v1, App. D.2: L-BFGS on the summed Huber loss of log residuals, in the logarithms
of the amplitudes, from each of 4,500 starts. The paper states no tolerances: SciPy's stand.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from flopline import progress
from flopline.solvers.damped_steps import agree
from flopline.solvers.descent import Optimum, assess
from flopline.solvers.problem import Floats, Problem
from flopline.solvers.surface_family import CHINCHILLA, unknowns_of
from flopline.surfaces.chinchilla import LossSurface

EXPONENT_STARTS = (0.0, 0.5, 1.0, 1.5, 2.0)
LOG_E_STARTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
LOG_AMPLITUDE_STARTS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)


def grid() -> Floats:
    """The 4,500 starts of App. D.2 as rows of ln E, ln A, ln B, alpha, beta."""
    amplitudes = (LOG_E_STARTS, LOG_AMPLITUDE_STARTS, LOG_AMPLITUDE_STARTS)
    return np.array(list(itertools.product(*amplitudes, EXPONENT_STARTS, EXPONENT_STARTS)))


def minimise(problem: Problem, weights: Floats, starts: Floats) -> tuple[Optimum, int, int]:
    """The best end of L-BFGS from `starts` (rows of `grid`), their number, how many reach it.

    `weights` has shape (points,). Some minutes for all 4,500 starts on a few hundred points.
    """
    ends = [_descend(problem, weights, start) for start in progress.over(starts, "starts")]
    values = np.array([value for value, _, _ in ends])
    best = int(values.argmin())
    _, unknowns, iterations = ends[best]
    optimum = _assessed(problem, weights[None], [unknowns], [iterations])
    return optimum, len(ends), int(agree(values, values[best], weights.sum()).sum())


def minimise_resamples(problem: Problem, weights: Floats, near: Floats) -> Optimum:
    """L-BFGS under each row of `weights` (draws, points), started from `near` (6,) only."""
    surface = CHINCHILLA.law(problem, near)
    with np.errstate(divide="ignore"):
        amplitudes = np.log([float(getattr(surface, name)) for name in ("E", "A", "B")])
    start = np.concatenate([amplitudes, near[3:5]])
    rows = enumerate(progress.over(weights, "resamples"))
    ends = [_descend(problem.of_rows(i), row, start) for i, row in rows]
    return _assessed(problem, weights, [unknowns for _, unknowns, _ in ends], [n for *_, n in ends])


def _assessed(
    problem: Problem, weights: Floats, ends: list[Floats], iterations: list[int]
) -> Optimum:
    unknowns = np.stack([unknowns_of(problem, _surface(end)) for end in ends])
    optimum = assess(problem, CHINCHILLA, weights, unknowns)
    return replace(optimum, iterations=np.array(iterations, dtype=np.int64))


def _surface(unknowns: Floats) -> LossSurface:
    return LossSurface(*np.exp(unknowns[:3]), *unknowns[3:])


def _descend(problem: Problem, weights: Floats, start: Floats) -> tuple[float, Floats, int]:
    log_n, log_d, log_l = problem.centre
    params, tokens = np.exp(problem.x + log_n), np.exp(problem.y + log_d)
    log_loss = problem.target + log_l

    def objective(unknowns: Floats) -> tuple[float, Floats]:
        surface = _surface(unknowns)
        residual = np.log(surface.loss(params, tokens)) - log_loss
        score = np.clip(residual, -problem.delta, problem.delta)
        gradient = (weights * score) @ surface.log_loss_gradient(params, tokens)
        gradient[:3] *= np.exp(unknowns[:3])
        return float((weights * score) @ (residual - 0.5 * score)), gradient

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        end = minimize(objective, start, jac=True, method="L-BFGS-B")
    return float(end.fun), end.x, int(end.nit)
