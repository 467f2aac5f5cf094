"""One form of the parametric law under one objective: its optimum and those of its resamples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from flopline import progress
from flopline.solvers import generic
from flopline.solvers.descent import descend
from flopline.solvers.minimisation import ONCE, minimise, minimise_resamples
from flopline.solvers.problem import Bools, Floats, Problem
from flopline.solvers.surface_family import CHINCHILLA, REPEATED, UNKNOWNS, Form, unknowns_of
from flopline.surfaces import repeated
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.surfaces.repeated import NO_DECAY, RepeatedSurface
from flopline.surfaces.surface import Law, parameters

_STEPS: Final = np.linspace(-1.0, 1.0, 13)
R_D_GRID: Final = 4.0 ** (_STEPS * np.abs(_STEPS))
"""Multiples of R_D* among which every resample of the law of repeated data chooses, close to 1 in
small steps."""
SMALLEST: Final = 1e-6
"""Start of an amplitude that is 0 in the main fit: the generic fit seeks logarithms."""


@dataclass(frozen=True, slots=True)
class ResampleWeights:
    """Bootstrap weights (draws, points), and the draws that keep enough points to be fitted."""

    weights: Floats
    usable: Bools


@dataclass(frozen=True, slots=True)
class Solved:
    """The optimum of all points and of the resamples (NaN where there is none), and its proof."""

    law: Law
    draws: Law
    gradient: float
    starts: int
    starts_agree: int
    bounds: list[str]
    covariates: Mapping[str, Floats] = field(default_factory=dict)


def solve(problem: Problem, form: Form[Any], resamples: ResampleWeights) -> Solved:
    """`form` fitted to all points of `problem` and to its `resamples`."""
    with progress.part(ONCE):
        best, starts, agreeing = minimise(problem, form, np.ones(problem.x.size))
    unknowns = best.unknowns[0]
    draws = np.full((resamples.usable.size, len(UNKNOWNS)), np.nan)
    if resamples.usable.any():
        optima, _ = minimise_resamples(problem, form, resamples.weights[resamples.usable], unknowns)
        draws[resamples.usable] = np.where(optima.converged[:, None], optima.unknowns, np.nan)
    return Solved(
        form.law(problem, unknowns),
        form.law(problem, draws),
        float(best.scaled_gradient[0]),
        starts,
        agreeing,
        form.on_bounds(unknowns),
    )


def solve_repeated(
    problem: Problem, surface: LossSurface, resamples: ResampleWeights, unique_tokens: Floats
) -> Solved:
    """The law of repeated data, in which excess params count in full.

    `surface` is Chinchilla's optimum, `unique_tokens` [tokens] has shape (points,). Every resample
    takes the best R_D* of R_D_GRID times that of all points.
    """
    points = problem.points
    seen = points.pop("loss")
    e, a, b, alpha, beta = (max(float(getattr(surface, name)), SMALLEST) for name in PARAMETERS)
    fit = generic.fit(
        [RepeatedSurface(e, a, b, alpha, beta, r_d, NO_DECAY) for r_d in repeated.START_CONSTANTS],
        {**points, "unique_tokens": unique_tokens},
        seen,
        problem.objective,
        free=parameters(RepeatedSurface)[:-1],
    )
    weights = resamples.weights[resamples.usable]
    lowest = np.full(len(weights), np.inf)
    kept = np.full((len(weights), len(parameters(RepeatedSurface))), np.nan)
    near = unknowns_of(problem, surface)
    middle = R_D_GRID.size // 2
    for side in progress.over((R_D_GRID[middle:], R_D_GRID[middle - 1 :: -1])):
        begin = np.broadcast_to(near, (len(weights), near.size))
        for r_d in progress.over(np.asarray(fit.law.R_D) * side):
            data = repeated.effective_tokens(points["tokens"], unique_tokens, r_d)
            fresh = Problem.of(points["params"], data, seen, problem.objective)
            ends = descend(fresh, CHINCHILLA, weights, begin)
            begin = ends.unknowns  # the next R_D* is near, and so is its optimum
            law = replace(REPEATED.law(fresh, ends.unknowns), R_D=np.full(lowest.size, r_d))
            better = ends.converged & (ends.objective < lowest)
            kept[better] = np.stack([getattr(law, n) for n in parameters(law)], axis=1)[better]
            lowest[better] = ends.objective[better]
    draws = np.full((resamples.usable.size, kept.shape[1]), np.nan)
    draws[resamples.usable] = kept
    draws[:, -1] = NO_DECAY
    return Solved(
        fit.law,
        RepeatedSurface(*draws.T),
        fit.scaled_gradient,
        fit.starts,
        fit.starts_agree,
        list(dict.fromkeys((*fit.limits, *fit.vanished))),
        {"unique_tokens": unique_tokens},
    )
