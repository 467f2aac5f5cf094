"""Other objectives and other forms of the parametric law, fitted to the same runs.

What the size at a budget depends on besides the runs: Chinchilla's form under every objective of
`objectives`, and under the main objective one exponent for both terms (Gadre et al. 2024, arXiv
2403.08540), Skaling's bend (Videau et al. 2026, arXiv 2608.07222), Kaplan's joint law (2020, arXiv
2001.08361) and, where the runs say how many of their tokens are unique, repeated data (Muennighoff
et al. 2023, arXiv 2305.16264).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline import progress
from flopline.laws.common.counting import Counted
from flopline.laws.common.fit_result import (
    CONVERGED,
    FAILED,
    WARNING,
    Estimate,
    Estimator,
    targets_of,
)
from flopline.solvers import objectives
from flopline.solvers.damped_steps import GRADIENT_TOLERANCE
from flopline.solvers.form_fits import ResampleWeights, Solved, solve, solve_repeated
from flopline.solvers.objective_choice import AUTO, OBJECTIVES, choose, data_delta, least_absolute
from flopline.solvers.objectives import Objective
from flopline.solvers.problem import Floats, Problem
from flopline.solvers.surface_family import CHINCHILLA, FORMS, REPEATED, Form
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.surface import Law, exponents_of, optimum, parameters

OTHERS: Final = tuple(form for form in FORMS.values() if form is not CHINCHILLA)
"""The forms that stand beside Chinchilla's, by the name of which their estimators are called."""
MAX_LEFT_OUT: Final = 0.01
"""Share of resamples without a result above which the intervals are said to lack them."""
PILOTS: Final = 0.03
"""Share of the time, about, before the first variant."""
SLOW: Final = 10.0
"""Time of a variant with least absolute errors, with many starts for each resample or with a grid,
in that of another, about."""

COLUMNS: Final = (
    *("estimator", "form", "objective", "delta", "value", "against_main", "scaled_gradient"),
    *("starts", "starts_agree", "draws", "draws_left_out", "parameter"),
    *("point", "lo80", "hi80", "lo95", "hi95", "at_bound"),
)
"""Columns of the table of variants: one row per estimator and parameter of its form."""


Cautions = Callable[[Law, Floats, Sequence[str], Mapping[str, Floats]], list[str]]
"""What to watch for in the runs about a law: of its log residuals (points,), seen less fitted, the
parameters that sit on bounds, and what else than params and tokens it takes."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One other way to fit the same runs: what the optimiser found, and what it predicts."""

    estimator: Estimator
    rows: list[dict[str, object]]


def variants(
    problem: Problem,
    targets_flops: Sequence[float],
    surface: LossSurface,
    resamples: ResampleWeights,
    cautions: Cautions,
    unique_tokens: Floats | None = None,
    *,
    count: Counted | None = None,
    judged: bool = False,
) -> list[Variant]:
    """Every other objective and form, with intervals from `resamples`; if `judged` the forms that
    are on the held-out ladder alone.

    `surface` is the optimum of Chinchilla's form, `problem` with the main objective;
    `targets_flops` are budgets [FLOPs]; `cautions` says what to watch for in the runs and their
    log residuals (points,), seen less fitted; with `unique_tokens` [tokens] (points,), fewer than
    the tokens of some run, the law of repeated data is among them; budgets are spent by `count`,
    which has a draw a resample. A variant without an optimum
    says so and holds what was found.

    Returns the variants, objectives first, then forms.
    """
    task, main = (
        _MainFit(problem, targets_flops, surface, resamples, cautions, count),
        problem.objective,
    )
    tried: list[_Trial] = []
    if not judged:
        with progress.part(PILOTS, "variants"):
            others = _other_objectives(problem)
        tried += [_under(task, name, objective) for name, objective in others]
    for form in (form for form in OTHERS if form.on_ladder or not judged):
        tried.append(_Trial(form.name, form, main, partial(solve, problem, form, resamples)))
    repeats = unique_tokens is not None and (unique_tokens < problem.points["tokens"] * 0.999).any()
    if unique_tokens is not None and repeats and not judged:
        solved = partial(solve_repeated, problem, surface, resamples, unique_tokens)
        tried.append(_Trial(REPEATED.name, REPEATED, main, solved))
    return [
        _stated(task, trial, trial.solved())
        for trial in progress.over(tried, "variants", lambda trial: trial.work)
    ]


def variant_table(made: Sequence[Variant]) -> pd.DataFrame:
    """One row per variant and parameter of its form, in the units of the points."""
    rows = [row for variant in made for row in variant.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True, slots=True)
class _MainFit:
    problem: Problem
    targets_flops: Sequence[float]
    surface: LossSurface
    resamples: ResampleWeights
    cautions: Cautions
    count: Counted | None

    @property
    def main_value(self) -> float:
        """The main objective at Chinchilla's optimum."""
        return _value(self.problem, self.surface, self.problem.objective)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A variant that is still to be fitted."""

    name: str
    form: Form[Any]
    objective: Objective
    solved: Callable[[], Solved]
    label: str = ""

    @property
    def work(self) -> float:
        """About how many times the time of a plain variant it takes."""
        slow = self.form is REPEATED or self.form.own_starts > 1 or self.objective.delta == 0
        return SLOW if slow else 1.0


def _under(task: _MainFit, name: str, objective: Objective) -> _Trial:
    """Chinchilla's form under another objective."""
    label = OBJECTIVES[objective.name]
    if objective.name in ("log_huber", "linear_huber"):
        label += f", delta {objective.delta:.3g}"
        label += " from the data" if name.endswith(AUTO) else ""
    problem = replace(task.problem, objective=objective)
    solved = partial(solve, problem, CHINCHILLA, task.resamples)
    return _Trial(name, CHINCHILLA, objective, solved, label)


def _other_objectives(problem: Problem) -> list[tuple[str, Objective]]:
    pilot = least_absolute(problem)
    tried = [
        ("log_huber_1e-3", objectives.log_huber()),
        (f"log_huber_{AUTO}", objectives.log_huber(data_delta(problem, pilot, linear=False))),
        (f"linear_huber_{AUTO}", objectives.linear_huber(data_delta(problem, pilot, linear=True))),
        *((name, choose(name, AUTO, problem)) for name in OBJECTIVES if "huber" not in name),
    ]
    return [(name, objective) for name, objective in tried if objective != problem.objective]


def _value(problem: Problem, law: Law, objective: Objective, **more: Floats) -> float:
    points = problem.points | more
    seen = points.pop("loss")
    return objective.value(objective.residual(law.loss(**points), seen))


def _stated(task: _MainFit, trial: _Trial, solved: Solved) -> Variant:
    """The variant with its numbers at the targets and its message."""
    name, objective, label = trial.name, trial.objective, trial.label or trial.form.label
    law, drawn, budgets = solved.law, solved.draws, np.asarray(task.targets_flops, float)
    if task.count is not None:
        law, drawn = (
            replace(law, count=task.count.point),
            replace(drawn, count=task.count.drawn),
        )
    with np.errstate(all="ignore"):
        at, at_draws = optimum(law, budgets), optimum(drawn, budgets)
        (a, b), (a_draws, b_draws) = (exponents_of(s, budgets[0]) for s in (law, drawn))
    targets, _ = targets_of(task.targets_flops, at, at_draws)
    exponents = {"a": Estimate.of(float(a), a_draws), "b": Estimate.of(float(b), b_draws)}
    estimates = {
        p: Estimate.of(
            float(getattr(law, p)), np.ravel(getattr(solved.draws, p)), p in solved.bounds
        )
        for p in parameters(law)
    }
    value = _value(task.problem, law, objective, **solved.covariates)
    against = np.nan
    if objective == task.problem.objective and task.main_value > 0:
        against = value / task.main_value - 1.0
    points = task.problem.points | dict(solved.covariates)
    residual = np.log(points.pop("loss")) - np.log(law.loss(**points))
    cautions = task.cautions(law, residual, solved.bounds, solved.covariates)
    left_out = int(np.isnan(a_draws).sum())
    status, message = _verdict(
        solved, cautions, (left_out, a_draws.size), against, estimates.get("k")
    )
    common = {
        "estimator": name,
        "form": trial.form.name,
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
    rows = [{**common, "parameter": p, **e.to_json()} for p, e in estimates.items()]
    return Variant(Estimator(name, label, status, message, exponents, targets), rows)


def _verdict(
    solved: Solved,
    design: list[str],
    left_out: tuple[int, int],
    against: float,
    power: Estimate | None,
) -> tuple[str, str]:
    """Status and message: what forbids use, or warnings, then what the form changes.

    Returns:
        CONVERGED, WARNING or FAILED, and one message.
    """
    if not solved.gradient <= GRADIENT_TOLERANCE:
        return FAILED, (
            f"The optimiser did not reach an optimum (scaled gradient {solved.gradient:.1e})."
        )
    vanished = [name for name in ("A", "B", "N_c", "D_c") if name in solved.bounds]
    if vanished:
        return FAILED, f"{vanished[0]} is 0 here, so no budget has a best split."
    cautions = []
    if solved.starts_agree < 2:
        cautions.append(f"only one of {solved.starts} starts reached the lowest objective")
    if solved.bounds:
        cautions.append(f"{' and '.join(solved.bounds)} on the bound of the search")
    cautions += design
    lost, draws = left_out
    if lost > MAX_LEFT_OUT * draws:
        cautions.append(
            f"{lost} of {draws} resamples had too few points or no optimum and are left out of the "
            "intervals"
        )
    parts = [f"{solved.starts_agree} of {solved.starts} starts reach the same optimum."]
    if cautions:
        parts = [f"Warning: {'; '.join(cautions)}."]
    if np.isfinite(against):
        way = "below" if against < 0 else "above"
        parts.append(f"The objective lies {abs(against):.1%} {way} that of the main form.")
    if power is not None and np.isfinite(power.lo95):
        inside = power.lo95 <= 1.0 <= power.hi95
        parts.append(
            f"k is {power.point:.3f} [{power.lo95:.3f}, {power.hi95:.3f}] at 95 %: "
            + ("the runs do not tell it from 1." if inside else "1, the main form, lies outside.")
        )
    return WARNING if cautions else CONVERGED, " ".join(parts)
