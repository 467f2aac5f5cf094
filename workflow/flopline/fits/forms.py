"""Other objectives and other forms of the parametric law, fitted to the same runs.

What the size at a budget hangs on besides the runs: Chinchilla's form under every objective of
`objectives`, and under the main objective one exponent for both terms (Gadre et al. 2024, arXiv
2403.08540), Skaling's bend (Videau et al. 2026, arXiv 2608.07222), Kaplan's joint law (2020, arXiv
2001.08361) and, where the runs say how many of their tokens are unique, repeated data (Muennighoff
et al. 2023, arXiv 2305.16264).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from flopline.errors import FloplineError
from flopline.fits import bent, objectives
from flopline.fits.family import (
    CHINCHILLA,
    FULL,
    KAPLAN,
    SKALING,
    TIED,
    Form,
    law_of,
    starting_points,
    unknowns_of,
)
from flopline.fits.newton import GRADIENT_TOLERANCE, PERFECT_FIT, Bools, Floats, Problem
from flopline.fits.objectives import Objective
from flopline.fits.result import CONVERGED, FAILED, WARNING, Estimate, Estimator, targets_of
from flopline.laws.chinchilla import LossSurface
from flopline.laws.law import Law, exponent, optimum, parameters

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
FORMS: Final[dict[str, tuple[Form, str]]] = {
    "tied": (TIED, "one exponent for both terms"),
    "skaling": (SKALING, "reducible loss to a power k"),
    "kaplan": (KAPLAN, "Kaplan's joint law, no floor"),
}
"""Forms other than Chinchilla's, with their labels."""
MAX_LEFT_OUT: Final = 0.01
"""Share of resamples without a result above which the intervals are said to lack them."""

COLUMNS: Final = (
    *("estimator", "form", "objective", "delta", "value", "against_main", "scaled_gradient"),
    *("starts", "starts_agree", "draws", "draws_left_out", "parameter"),
    *("point", "lo80", "hi80", "lo95", "hi95", "at_bound"),
)
"""Columns of the table of variants: one row per estimator and parameter of its form."""


@dataclass(frozen=True, slots=True)
class Resamples:
    """Bootstrap weights (draws, points), and the draws that keep enough points to be fitted."""

    weights: Floats
    usable: Bools


@dataclass(frozen=True, slots=True)
class Variant:
    """One other way to fit the same runs: what the optimiser found, and what it foretells."""

    estimator: Estimator
    rows: list[dict[str, Any]]


def choose(name: str, delta: float | Literal["auto"] | str, problem: Problem) -> Objective:
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
        delta = _data_delta(problem, _least_absolute(problem), linear=name == "linear_huber")
    return hubers[name](delta)


def variants(
    problem: Problem,
    targets_flops: Sequence[float],
    main: Objective,
    surface: LossSurface,
    resamples: Resamples,
    mind: Callable[[Floats], list[str]],
) -> list[Variant]:
    """Every other objective and form, with intervals from `resamples`.

    `surface` is the optimum of Chinchilla's form under the `main` objective; `targets_flops` are
    budgets [FLOPs]; `mind` says what is to be minded of the runs and of their log residuals
    (points,), seen less fitted. A variant without an optimum says so and holds what was found.
    """
    task = _Task(problem, targets_flops, main, surface, resamples, mind)
    out = []
    for name, objective in _other_objectives(problem, main):
        label = OBJECTIVES[objective.name]
        if objective.name in ("log_huber", "linear_huber"):
            label += f", delta {objective.delta:.3g}"
            label += " from the data" if name.endswith(AUTO) else ""
        out.append(_variant(task, name, label, CHINCHILLA, objective))
    for name, (form, label) in FORMS.items():
        out.append(_variant(task, name, label, form, main))
    return out


def variant_table(made: Sequence[Variant]) -> pd.DataFrame:
    """One row per variant and parameter of its form, in the units of the points."""
    rows = [row for variant in made for row in variant.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True, slots=True)
class _Task:
    problem: Problem
    targets_flops: Sequence[float]
    main: Objective
    surface: LossSurface
    resamples: Resamples
    mind: Callable[[Floats], list[str]]

    @property
    def main_value(self) -> float:
        """The main objective at Chinchilla's optimum."""
        return _value(self.problem, self.surface, self.main)


def _other_objectives(problem: Problem, main: Objective) -> list[tuple[str, Objective]]:
    pilot = _least_absolute(problem)
    tried = [
        ("log_huber_1e-3", objectives.log_huber()),
        (f"log_huber_{AUTO}", objectives.log_huber(_data_delta(problem, pilot, linear=False))),
        (f"linear_huber_{AUTO}", objectives.linear_huber(_data_delta(problem, pilot, linear=True))),
        *((name, choose(name, AUTO, problem)) for name in OBJECTIVES if "huber" not in name),
    ]
    return [(name, objective) for name, objective in tried if objective != main]


def _least_absolute(problem: Problem) -> Law:
    return law_of(problem, CHINCHILLA, _point(problem, CHINCHILLA, objectives.log_lad())[0])


def _data_delta(problem: Problem, pilot: Law, *, linear: bool) -> float:
    """1.345 robust standard deviations of the residuals of a LAD fit, and never quite 0."""
    points = _points(problem)
    seen = points.pop("loss")
    objective = objectives.linear_squares() if linear else objectives.log_squares()
    residual = objective.residual(pilot.loss(**points), seen)
    return max(objectives.EFFICIENT * objectives.robust_sigma(residual), PERFECT_FIT)


def _points(problem: Problem) -> dict[str, Floats]:
    """params [weights], tokens and loss [nats per token] of the problem's points."""
    logs = np.stack([problem.x, problem.y, problem.target]) + problem.centre[:, None]
    return dict(zip(("params", "tokens", "loss"), np.exp(logs), strict=True))


def _value(problem: Problem, law: Law, objective: Objective) -> float:
    points = _points(problem)
    seen = points.pop("loss")
    return objective.value(objective.residual(law.loss(**points), seen))


def _point(
    problem: Problem, form: Form, objective: Objective, near: Floats | None = None
) -> tuple[Floats, float, int, int]:
    """All six unknowns (6,) of the optimum, its scaled gradient, the starts, how many reach it."""
    begin = starting_points(problem, form)
    if near is not None:
        begin = np.concatenate([begin, form.reduce(near[None])])
    best, agreeing = bent.minimise(problem, form, objective, np.ones(problem.x.size), begin)
    return form.expand(best.free)[0], float(best.scaled_gradient[0]), len(begin), agreeing


def _variant(task: _Task, name: str, label: str, form: Form, objective: Objective) -> Variant:
    problem, resamples = task.problem, task.resamples
    near = unknowns_of(problem, task.surface)
    full, gradient, begun, agreeing = _point(problem, form, objective, near)
    draws = np.full((resamples.usable.size, len(FULL)), np.nan)
    if resamples.usable.any():
        found = bent.minimise_resamples(
            problem,
            form,
            objective,
            resamples.weights[resamples.usable],
            form.reduce(full[None])[0],
        )
        kept = np.where(found.converged[:, None], form.expand(found.free), np.nan)
        draws[resamples.usable] = kept
    solved = _Solved(
        law_of(problem, form, full),
        law_of(problem, form, draws),
        gradient,
        begun,
        agreeing,
        _bounds(form, full),
    )
    return _stated(task, name, label, form.name, objective, solved)


@dataclass(frozen=True, slots=True)
class _Solved:
    """The optimum of all points and of the resamples (NaN where there is none), and its proof."""

    law: Law
    draws: Law
    gradient: float
    starts: int
    starts_agree: int
    bounds: list[str]


def _stated(
    task: _Task, name: str, label: str, form: str, objective: Objective, solved: _Solved
) -> Variant:
    """What was found, at the targets, in words and in numbers."""
    law, budgets = solved.law, np.asarray(task.targets_flops, float)
    with np.errstate(all="ignore"):
        at, at_draws = optimum(law, budgets), optimum(solved.draws, budgets)
        a, a_draws = float(exponent(law)), exponent(solved.draws)
    targets, _ = targets_of(task.targets_flops, at, at_draws)
    exponents = {"a": Estimate.of(a, a_draws), "b": Estimate.of(1.0 - a, 1.0 - a_draws)}
    said = {
        p: Estimate.of(
            float(getattr(law, p)), np.ravel(getattr(solved.draws, p)), p in solved.bounds
        )
        for p in parameters(law)
    }
    value = _value(task.problem, law, objective)
    against = np.nan
    if objective == task.main and task.main_value > 0:
        against = value / task.main_value - 1.0
    points = _points(task.problem)
    mind = task.mind(np.log(points.pop("loss")) - np.log(law.loss(**points)))
    left_out = int(np.isnan(a_draws).sum())
    status, message = _verdict(solved, mind, (left_out, a_draws.size), against, said.get("k"))
    common = {
        "estimator": name,
        "form": form,
        "objective": objective.name,
        "delta": objective.delta if np.isfinite(objective.delta) else np.nan,
        "value": value,
        "against_main": against,
        "scaled_gradient": solved.gradient,
        "starts": solved.starts,
        "starts_agree": solved.starts_agree,
        "draws": a_draws.size,
        "draws_left_out": left_out,
    }
    rows = [{**common, "parameter": p, **e.to_json()} for p, e in said.items()]
    return Variant(Estimator(name, label, status, message, exponents, targets), rows)


def _bounds(form: Form, full: Floats) -> list[str]:
    """Parameters of the law that lie on a bound of the search, or whose term has vanished."""
    lower, upper = form.box
    free = form.reduce(full[None])[0]
    called = {"ln_A": "A", "ln_B": "B", "a": "alpha", "b": "beta"}
    if form is KAPLAN:
        called = {"ln_A": "N_c", "ln_B": "D_c", "a": "alpha_N", "k": "alpha_D"}
    at = (free <= lower) | (free >= upper)
    return [called.get(n, n) for n, hit in zip(form.free, at, strict=True) if hit]


def _verdict(
    solved: _Solved,
    design: list[str],
    left_out: tuple[int, int],
    against: float,
    power: Estimate | None,
) -> tuple[str, str]:
    """Status and message: what forbids use, or what to mind, then what the form changes."""
    if not solved.gradient <= GRADIENT_TOLERANCE:
        return FAILED, (
            f"The optimiser did not reach an optimum (scaled gradient {solved.gradient:.1e})."
        )
    vanished = [name for name in ("A", "B", "N_c", "D_c") if name in solved.bounds]
    if vanished:
        return FAILED, f"{vanished[0]} is 0 here, so no budget has a best split."
    mind = []
    if solved.starts_agree < 2:
        mind.append(f"only one of {solved.starts} starts reached the lowest objective")
    if solved.bounds:
        mind.append(f"{' and '.join(solved.bounds)} on the bound of the search")
    mind += design
    lost, draws = left_out
    if lost > MAX_LEFT_OUT * draws:
        mind.append(
            f"{lost} of {draws} resamples had too few points or no optimum and are left out of the "
            "intervals"
        )
    parts = [f"{solved.starts_agree} of {solved.starts} starts reach the same optimum."]
    if mind:
        parts = [f"Mind: {'; '.join(mind)}."]
    if np.isfinite(against):
        way = "below" if against < 0 else "above"
        parts.append(f"The objective lies {abs(against):.1%} {way} that of the main form.")
    if power is not None and np.isfinite(power.lo95):
        inside = power.lo95 <= 1.0 <= power.hi95
        parts.append(
            f"k is {power.point:.3f} [{power.lo95:.3f}, {power.hi95:.3f}] at 95 %: "
            + ("the runs do not tell it from 1." if inside else "1, the main form, lies outside.")
        )
    return WARNING if mind else CONVERGED, " ".join(parts)
