"""One form of the parametric law under one objective: its optimum and those of its resamples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from flopline import progress
from flopline.solvers import bent, generic
from flopline.solvers.engine import ONCE
from flopline.solvers.newton import Bools, Floats, Problem
from flopline.solvers.objective_choice import minimum
from flopline.solvers.objectives import Objective
from flopline.solvers.surface_family import (
    CHINCHILLA,
    FULL,
    Form,
    law_of,
    points_of,
    unknowns_of,
)
from flopline.surfaces import repeated
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.repeated import RepeatedSurface
from flopline.surfaces.surface import Law, parameters

NO_EXCESS: Final = 1e9
"""R_N* at which params beyond what the unique tokens merit lose nothing: with R_N* free few
designs tell it from infinity."""
_STEPS: Final = np.linspace(-1.0, 1.0, 13)
R_D_GRID: Final = 4.0 ** (_STEPS * np.abs(_STEPS))
"""Multiples of R_D* among which every resample of the law of repeated data chooses, close to 1 in
small steps."""
SMALLEST: Final = 1e-6
"""Start of a parameter that is 0 in the main fit: the generic fit seeks logarithms."""


@dataclass(frozen=True, slots=True)
class Resamples:
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


def solve(
    problem: Problem,
    form: Form,
    objective: Objective,
    surface: LossSurface,
    resamples: Resamples,
) -> Solved:
    """`form` under `objective`; `surface`, Chinchilla's optimum, is one of the starts."""
    near = unknowns_of(problem, surface)
    with progress.part(ONCE):
        full, gradient, begun, agreeing = minimum(problem, form, objective, near)
    draws = np.full((resamples.usable.size, len(FULL)), np.nan)
    if resamples.usable.any():
        weights, begin = resamples.weights[resamples.usable], form.reduce(full[None])[0]
        found = bent.minimise_resamples(problem, form, objective, weights, begin)
        kept = np.where(found.converged[:, None], form.expand(found.free), np.nan)
        draws[resamples.usable] = kept
    law, many = law_of(problem, form, full), law_of(problem, form, draws)
    return Solved(law, many, gradient, begun, agreeing, _bounds(form, full))


def solve_repeated(
    problem: Problem,
    objective: Objective,
    surface: LossSurface,
    resamples: Resamples,
    unique_tokens: Floats,
) -> Solved:
    """The law of repeated data, params beyond what the data merit being worth their full count.

    `unique_tokens` [tokens] has shape (points,). Every resample takes the best R_D* of R_D_GRID
    times that of all points.
    """
    points = points_of(problem)
    seen = points.pop("loss")
    e, a, b, alpha, beta = (
        max(float(getattr(surface, name)), SMALLEST) for name in parameters(surface)
    )
    found = generic.fit(
        [RepeatedSurface(e, a, b, alpha, beta, r_d, NO_EXCESS) for r_d in repeated.START_CONSTANTS],
        {**points, "unique_tokens": unique_tokens},
        seen,
        objective,
        free=parameters(RepeatedSurface)[:-1],
    )
    weights = resamples.weights[resamples.usable]
    lowest = np.full(len(weights), np.inf)
    kept = np.full((len(weights), 6), np.nan)
    near = CHINCHILLA.reduce(unknowns_of(problem, surface)[None])
    middle = R_D_GRID.size // 2
    for side in progress.over((R_D_GRID[middle:], R_D_GRID[middle - 1 :: -1])):
        begin = np.broadcast_to(near, (len(weights), near.size))
        for r_d in progress.over(np.asarray(found.law.R_D) * side):
            data = repeated.effective_tokens(points["tokens"], unique_tokens, r_d)
            fresh = Problem.of(points["params"], data, seen, problem.delta)
            ends = bent.descend(fresh, CHINCHILLA, objective, weights, begin)
            begin = ends.free  # the next R_D* is near, and so is its optimum
            law = law_of(fresh, CHINCHILLA, CHINCHILLA.expand(ends.free))
            values = [*(getattr(law, name) for name in parameters(law)), np.full(lowest.size, r_d)]
            better = ends.converged & (ends.objective < lowest)
            kept[better] = np.stack(values, axis=1)[better]
            lowest[better] = ends.objective[better]
    draws = np.full((resamples.usable.size, 7), np.nan)
    draws[resamples.usable, :6] = kept
    draws[:, 6] = NO_EXCESS
    names = parameters(RepeatedSurface)
    return Solved(
        found.law,
        RepeatedSurface(**dict(zip(names, draws.T, strict=True))),
        found.scaled_gradient,
        found.starts,
        found.starts_agree,
        list(found.vanished),
        {"unique_tokens": unique_tokens},
    )


def _bounds(form: Form, full: Floats) -> list[str]:
    """Parameters of the law that lie on a bound of the search, or whose term has vanished."""
    lower, upper = form.box
    free = form.reduce(full[None])[0]
    called = {"ln_A": "A", "ln_B": "B", "a": "alpha", "b": "beta"}
    if form.surface is KaplanSurface:
        called = {"ln_A": "N_c", "ln_B": "D_c", "a": "alpha_N", "k": "alpha_D"}
    at = (free <= lower) | (free >= upper)
    return [called.get(n, n) for n, hit in zip(form.free, at, strict=True) if hit]
