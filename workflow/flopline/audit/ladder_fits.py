"""The laws and the baselines that the held-out ladder fits to the runs below a step.

Each becomes a `Rung`, one form for all: N and loss of the best run at any budget, and the same by
bootstrap draw where the law has draws. Every estimator that a fit leaves in its table climbs
along, and so do the forms of L(N, D) in CLIMBING; any other law or baseline joins by a line in
`fitters`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import progress
from flopline.audit.baselines import best_run, loss_compute
from flopline.audit.finding import draws_of, surface_of
from flopline.audit.ladder_fit import BASELINE, MAIN, Fitter, Opt, Options, Rung, Runs
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING, FitResult
from flopline.laws.common.power_law import PowerLaw
from flopline.laws.envelope import envelope_fit
from flopline.laws.envelope.envelope_options import FRONTIERS
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.form_variants import OTHERS
from flopline.solvers.damped_steps import GRADIENT_TOLERANCE
from flopline.solvers.form_fits import Resamples, solve
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import FORMS
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.surface import Law

Floats = NDArray[np.float64]

ENVELOPE_OPTIONS: Final = (
    "bins",
    "smoothing_steps",
    "frontier",
    "only_schedule_end",
    "loss_floor",
)
"""What `envelope.fit` takes from the group `envelope` of the config."""


CLIMBING: Final = tuple(form.name for form in OTHERS if form.climbs)
"""Forms that climb beside the parametric law's own."""


def fitters(with_curves: bool, options: Options) -> dict[tuple[str, str], Fitter]:
    """The rungs of a ladder by law and estimator, the parametric law first, baselines last.

    Their names are those of the estimators that the fits themselves leave.
    """
    frontier = options.envelope.get("frontier", FRONTIERS[0])
    forms = {("parametric", name): _form(name) for name in CLIMBING}
    of_curves = {("envelope", frontier): _envelope} if with_curves else {}
    return {
        MAIN: _parametric,
        **forms,
        ("isoflop", "parabola"): _isoflop,
        **of_curves,
        (BASELINE, "best_run"): best_run,
        (BASELINE, "loss_compute"): loss_compute,
    }


def climbed(runs: Runs, options: Options, number: int) -> dict[tuple[str, str], Rung]:
    """The rungs of `runs` by law and estimator; one that fails says why.

    `number` tells the step, and sets the seeds of its draws apart from those of others.
    """
    rungs: dict[tuple[str, str], Rung] = {}
    for which in progress.over(fitters(runs.curves is not None, options)):
        if which in rungs:
            continue  # the fit of the law has left it already
        rungs[which] = climb(which, replace(runs, main=rungs.get(MAIN)), options, number)
        rungs |= {(r.law, r.estimator): r for r in _other_estimators(rungs[which])}
    return rungs


def climb(which: tuple[str, str], runs: Runs, options: Options, number: int) -> Rung:
    """One rung, by law and estimator."""
    try:
        return fitters(runs.curves is not None, options)[which](runs, options, number)
    except FloplineError as error:
        return Rung(*which, len(runs.points), FAILED, str(error))


def _other_estimators(rung: Rung) -> list[Rung]:
    """A rung for every estimator beside the main one that a fit has left, read off its table."""
    if rung.fit is None or "estimators" not in rung.fit.tables:
        return []
    table = rung.fit.tables["estimators"]
    out = []
    for name, rows in table[~table["main"]].groupby("estimator", sort=False):
        status, message = str(rows["status"].iloc[0]), str(rows["message"].iloc[0])
        if status == FAILED:
            out.append(Rung(rung.law, str(name), rung.n_fitted, status, message))
            continue
        at = {column: _looked_up(rows, column) for column in ("params", "loss")}
        names = (rung.law, str(name), rung.n_fitted, status, message)
        out.append(Rung(*names, at["params"], at["loss"]))
    return out


def _looked_up(rows: pd.DataFrame, column: str) -> Opt:
    """What one estimator states in `column` at the budgets of its table; NaN at any other."""
    budgets, values = (rows[c].to_numpy(dtype=float) for c in ("budget_flops", column))

    def at(flops: Floats) -> Floats:
        asked = np.asarray(flops, dtype=float)
        nearest = np.abs(np.log(asked[:, None] / budgets)).argmin(axis=1)
        return np.where(np.isclose(budgets[nearest], asked, rtol=1e-9), values[nearest], np.nan)

    return at


def _parametric(runs: Runs, options: Options, number: int) -> Rung:
    fit = parametric_fit.fit(
        runs.points,
        options.targets,
        huber_delta=options.huber_delta,
        draws=options.draws,
        seed=options.seed + number,
        family=options.family,
    )
    if fit.status == FAILED:
        raise FloplineError(fit.message)
    surface = surface_of(fit.to_json())
    try:
        draws = draws_of(fit.draws)
    except FloplineError:
        return _of_surface(MAIN, runs, fit.status, fit.message, surface, fit)
    return _of_surface(MAIN, runs, fit.status, fit.message, surface, fit, draws)


def _of_surface(
    which: tuple[str, str],
    runs: Runs,
    status: str,
    message: str,
    surface: Law,
    fit: FitResult | None = None,
    draws: LossSurface | None = None,
) -> Rung:
    return Rung(
        *which,
        len(runs.points),
        status,
        message,
        surface.params_opt,
        surface.loss_opt,
        draws.params_opt if draws else None,
        draws.loss_opt if draws else None,
        surface,
        fit,
    )


def _form(name: str) -> Fitter:
    """Another form of L(N, D), fitted as the parametric law's own variants are, without draws."""

    def fit(runs: Runs, options: Options, number: int) -> Rung:
        main = runs.main
        if main is None or not isinstance(main.surface, LossSurface):
            raise FloplineError(main.message if main else "the parametric fit is missing")
        n, d, y = (runs.points[c].to_numpy(dtype=float) for c in ("params", "tokens", "loss"))
        problem = Problem.of(n, d, y, log_huber(options.huber_delta))
        none = Resamples(np.empty((0, len(runs.points))), np.zeros(0, dtype=bool))
        found = solve(problem, FORMS[name], none)
        if not found.gradient <= GRADIENT_TOLERANCE:
            raise FloplineError("the optimiser did not reach an optimum")
        said = f"{' and '.join(found.bounds)} on the bound of the search" if found.bounds else ""
        status = WARNING if said else CONVERGED
        return _of_surface(("parametric", name), runs, status, said, found.law)

    return fit


def _isoflop(runs: Runs, options: Options, number: int) -> Rung:
    # Vertex weights need draws, so that the rung is the law that the study fits.
    fit = isoflop_fit.fit(
        runs.in_budgets,
        options.targets,
        min_sizes=options.min_sizes,
        quality=options.quality,
        draws=options.draws,
        seed=options.seed + number,
        family=options.family,
    )
    return _of_allocation(("isoflop", "parabola"), fit)


def _envelope(runs: Runs, options: Options, number: int) -> Rung:
    assert runs.curves is not None
    fit = envelope_fit.fit(
        runs.curves,
        options.targets,
        **{k: options.envelope[k] for k in ENVELOPE_OPTIONS if k in options.envelope},
        draws=options.draws,
        seed=options.seed + number,
        family=options.family,
        with_variants=False,
    )
    return _of_allocation(("envelope", str(fit.settings["frontier"])), fit)


def _of_allocation(which: tuple[str, str], fit: FitResult) -> Rung:
    """A rung from N = N_coef C^a and L = L_E + L_K C^-L_c, of the fit and of each of its draws."""
    names = ("N_coef", "a", "L_E", "L_K", "L_c")
    point = pd.DataFrame({name: [fit.parameters[name].point] for name in names})
    drawn = fit.draws[list(names)].dropna()

    def params(rows: pd.DataFrame, flops: Floats) -> Floats:
        scale, power = (rows[n].to_numpy(dtype=float) for n in ("N_coef", "a"))
        return np.exp(PowerLaw(np.log(scale), power).ln_at(np.log(flops)))

    def loss(rows: pd.DataFrame, flops: Floats) -> Floats:
        floor, scale, power = (rows[n].to_numpy(dtype=float)[:, None] for n in names[2:])
        return np.asarray(floor + scale * np.asarray(flops, dtype=float) ** -power)

    several = len(drawn) > 1
    return Rung(
        *which,
        fit.n_runs,
        fit.status,
        fit.message,
        lambda flops: params(point, flops)[0],
        lambda flops: loss(point, flops)[0],
        (lambda flops: params(drawn, flops)) if several else None,
        (lambda flops: loss(drawn, flops)) if several else None,
        fit=fit,
    )
