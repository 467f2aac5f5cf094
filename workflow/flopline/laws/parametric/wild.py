"""Wild bootstrap: losses are resampled about a fit, and every run stays in every resample.

A pairs bootstrap of a few runs often loses those that a fit depends on, the ends of a valley above
all, and its intervals are too wide; docs/uncertainty.md measures by how much. Here residuals are
first made as large as those of runs that the fit has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flopline.laws.common.bootstrap import run_signs
from flopline.solvers.descent import jacobian, log_residuals
from flopline.solvers.problem import Floats, Ints, Problem
from flopline.solvers.surface_family import CHINCHILLA, Form

MAX_LEVERAGE: Final = 0.98
"""Leverage is cut here: a run that alone fixes a parameter would get an endless residual."""


@dataclass(frozen=True, slots=True)
class Flipped:
    """A problem whose residuals flip their `signs` (draws, points) from draw to draw.

    `fitted` and `unseen` (points,) are log losses of the optimum and the residuals about them.
    """

    problem: Problem
    fitted: Floats
    unseen: Floats
    signs: NDArray[np.int8]

    def of(self, draws: Ints | slice = slice(None)) -> Problem:
        """The problem with a row of targets for each of some draws, (draws, points)."""
        return replace(self.problem, target=self.fitted - self.unseen * self.signs[draws])


def resampled_losses(
    problem: Problem,
    unknowns: Floats,
    runs: list[str],
    draws: int,
    seed: int,
    form: Form[Any] = CHINCHILLA,
) -> Flipped:
    """`problem` with a row of targets for each draw of a wild cluster bootstrap by run.

    `unknowns` (6,) are the optimum of `form` on `problem`, `runs` names the run of each point. A
    draw flips the signs of the residuals at random, those of one run together. Signs alone
    (Rademacher weights) are valid for least absolute deviations too, which a small Huber delta
    comes close to (Feng, He and Hu 2011, doi 10.1093/biomet/asr052).

    Returns the same draws for the same `seed`.
    """
    fitted = problem.target + residuals_of(problem, unknowns, form)
    unseen = unseen_residuals(problem, unknowns, runs, form)
    return Flipped(problem, fitted, unseen, run_signs(runs, draws, seed))


def residuals_of(problem: Problem, unknowns: Floats, form: Form[Any] = CHINCHILLA) -> Floats:
    """Residuals ln f - ln L at `unknowns` (6,), shape (points,)."""
    return np.asarray(log_residuals(problem, form, unknowns[None])[0])


def unseen_residuals(
    problem: Problem, unknowns: Floats, runs: list[str], form: Form[Any] = CHINCHILLA
) -> Floats:
    """Residuals of each run from the fit to all other runs, to first order, shape (points,).

    For the rows g of a run r_g + (I - H_gg)^-1 H_gg psi(r_g) / s, with H the projection on the
    columns of the Jacobian, psi the score of Huber's loss and s its mean slope. For least squares
    this is exact in a linear model, (I - H_gg)^-1 r_g, the correction CR3 of Bell and McCaffrey
    2002; for one row per run it is HC3. For Huber's loss it follows El Karoui et al. 2013 (doi
    10.1073/pnas.1307842110).
    """
    residual = residuals_of(problem, unknowns, form)
    lower, upper = form.box
    reduced = form.reduce(unknowns[None])[0]
    inside = (reduced > lower) & (reduced < upper)
    columns = jacobian(problem, form, unknowns[None])[0][inside].T
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
