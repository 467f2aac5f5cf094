"""The objective of a parametric fit by its name, with a delta that the data may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from flopline.errors import FloplineError
from flopline.solvers import objectives
from flopline.solvers.minimisation import minimise
from flopline.solvers.objectives import Objective
from flopline.solvers.problem import PERFECT_FIT, Problem
from flopline.solvers.surface_family import CHINCHILLA
from flopline.surfaces.surface import Law

AUTO: Final = "auto"
"""A delta that the data choose: 1.345 robust standard deviations of a LAD fit's residuals."""

OBJECTIVES: Final[dict[str, str]] = {
    "log_huber": "Huber on log loss",
    "linear_huber": "Huber on loss",
    "log_lad": "least absolute log residuals",
    "linear_squares": "least squares on loss",
    "log_squares": "least squares on log loss",
}
"""The objectives by name, with their labels."""


def choose(name: str, delta: float | str, problem: Problem) -> Objective:
    """The objective `name` of OBJECTIVES with `delta`, a number or AUTO; others have no delta.

    Huber's delta is in the units of its residuals: nats per token on the loss itself. Raises
    FloplineError for an unknown name or a delta that is not positive and finite.
    """
    plain: dict[str, Callable[[], Objective]] = {
        "log_lad": objectives.log_lad,
        "linear_squares": objectives.linear_squares,
        "log_squares": objectives.log_squares,
    }
    hubers = {"log_huber": objectives.log_huber, "linear_huber": objectives.linear_huber}
    if name in plain:
        return plain[name]()
    if name not in hubers:
        raise FloplineError(
            f"parametric.objective {name!r} is unknown: choose one of {', '.join(OBJECTIVES)}."
        )
    if isinstance(delta, str):
        if delta != AUTO:
            raise FloplineError(f"huber_delta must be a positive number or auto, not {delta!r}.")
        delta = data_delta(problem, least_absolute(problem), linear=name == "linear_huber")
    return hubers[name](delta)


def least_absolute(problem: Problem) -> Law:
    """Chinchilla's form at the least sum of absolute log residuals."""
    task = replace(problem, objective=objectives.log_lad())
    best, _, _ = minimise(task, CHINCHILLA, np.ones(problem.x.size))
    return CHINCHILLA.law(problem, best.unknowns[0])


def data_delta(problem: Problem, pilot: Law, *, linear: bool) -> float:
    """1.345 robust standard deviations of the residuals of the LAD fit `pilot`, never quite 0.

    In nats per token if `linear`, else of log loss.
    """
    points = problem.points
    seen = points.pop("loss")
    objective = objectives.linear_squares() if linear else objectives.log_squares()
    residual = objective.residual(pilot.loss(**points), seen)
    return max(objectives.EFFICIENT * objectives.robust_sigma(residual), PERFECT_FIT)
