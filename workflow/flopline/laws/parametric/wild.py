"""Wild bootstrap: losses are resampled about a fit, and every run stays in every resample.

A pairs bootstrap of a few runs often loses those that a fit hangs on, the ends of a valley above
all, and its intervals are too wide; docs/uncertainty.md measures by how much. Here residuals are
first made as large as those of runs that the fit has not seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from flopline.laws.common.bootstrap import run_signs
from flopline.solvers.newton import LOWER, UPPER, Floats, Problem, jacobian

MAX_LEVERAGE: Final = 0.98
"""Leverage is cut here: a run that alone fixes a parameter would get an endless residual."""


def resampled_losses(
    problem: Problem, theta: Floats, runs: list[str], draws: int, seed: int
) -> Problem:
    """`problem` with a row of targets for each draw of a wild cluster bootstrap by run.

    `theta` (5,) is the optimum of `problem`, `runs` names the run of each point. A draw flips the
    signs of the residuals at random, those of one run together. Signs alone (Rademacher weights)
    are valid for least absolute deviations too, which a small Huber delta comes close to (Feng, He
    and Hu 2011, doi 10.1093/biomet/asr052).
    """
    fitted = problem.target + residuals_of(problem, theta)
    unseen = unseen_residuals(problem, theta, runs)
    signs = run_signs(runs, draws, seed)
    return replace(problem, target=fitted - unseen * signs)


def residuals_of(problem: Problem, theta: Floats) -> Floats:
    """Residuals ln f - ln L at `theta` (5,), shape (points,)."""
    e, a, b, alpha, beta = theta
    f = e + a * np.exp(-alpha * problem.x) + b * np.exp(-beta * problem.y)
    return np.asarray(np.log(f) - problem.target)


def unseen_residuals(problem: Problem, theta: Floats, runs: list[str]) -> Floats:
    """Residuals of each run from the fit to all other runs, to first order, shape (points,).

    For the rows g of a run r_g + (I - H_gg)^-1 H_gg psi(r_g) / s, with H the projection on the
    columns of the Jacobian, psi the score of Huber's loss and s its mean slope. For least squares
    this is exact in a linear model, (I - H_gg)^-1 r_g, the correction CR3 of Bell and McCaffrey
    2002; for one row per run it is HC3. For Huber's loss it follows El Karoui et al. 2013 (doi
    10.1073/pnas.1307842110).
    """
    residual = residuals_of(problem, theta)
    free = (theta > LOWER) & (theta < UPPER)
    columns = jacobian(problem, theta[None])[0][free].T
    q, _ = np.linalg.qr(columns / np.linalg.norm(columns, axis=0))
    score = np.clip(residual, -problem.delta, problem.delta)
    number = np.unique(runs, return_inverse=True)[1].ravel()
    pull = np.zeros((number.max() + 1, q.shape[1]))
    np.add.at(pull, number, q * score[:, None])
    hat = np.zeros((*pull.shape, q.shape[1]))
    np.add.at(hat, number, q[:, :, None] * q[:, None, :])
    # (I - QQ')^-1 Q = Q (I - Q'Q)^-1 turns each run's solve into one of the parameters' size.
    share, axes = np.linalg.eigh(hat)
    spread = 1.0 / (1.0 - np.minimum(share, MAX_LEVERAGE))
    moved = np.einsum("gij,gj,gkj,gk->gi", axes, spread, axes, pull)
    return np.asarray(
        residual + (q * moved[number]).sum(axis=1) / _mean_slope(problem, residual, q)
    )


def _mean_slope(problem: Problem, residual: Floats, q: Floats) -> float:
    """Share of residuals within Huber's delta, without those there because the fit meets them."""
    points, unknowns = q.shape
    inside = float((np.abs(residual) <= problem.delta).sum())
    return max(inside - float(unknowns), 1.0) / max(float(points - unknowns), 1.0)
