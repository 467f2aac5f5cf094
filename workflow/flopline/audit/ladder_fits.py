"""The laws and the baselines that the held-out ladder fits to the runs below a step.

Each becomes a `LadderFit`, one form for all: N and loss of the best run at the budgets asked
for, and by bootstrap draw at any. A law is fitted with the study's own options; every estimator
that its fit leaves is judged, too, and states what the fit states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import progress
from flopline.audit.baselines import best_run, loss_compute
from flopline.audit.finding import draws_of, surface_of
from flopline.audit.judges import SURFACE
from flopline.audit.ladder_fit import BASELINE, MAIN, Fitter, LadderFit, Opt, Options, Runs
from flopline.audit.other_surfaces import other_surfaces
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.power_law import PowerLaw
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import ESTIMATORS, LawSpec, Says, ranked, spec_of
from flopline.options import OptionGroup
from flopline.remembered import remembered
from flopline.results import LawResults
from flopline.solvers.surface_family import Form
from flopline.surfaces.surface import Law

Floats = NDArray[np.float64]
LadderFits = dict[tuple[str, str], LadderFit]

BASELINES: Final[dict[str, Fitter]] = {"best_run": best_run, "loss_compute": loss_compute}


def ladder_fits(
    runs: Runs, options: Options, number: int, known: Mapping[str, LawResults] | None = None
) -> LadderFits:
    """The fits of `runs` by law and estimator; one that fails says why.

    Laws come by how much of the runs they rest on, the most first, each with its main line first;
    baselines come last. `number` tells the step, and sets the seeds of its draws apart from those
    of others. Laws that are `known` are not fitted again.
    """
    fits: list[LadderFit] = []
    for name in progress.over([*ranked(runs.by_law), *BASELINES]):
        if name in BASELINES:
            fits.append(_baseline(name, runs, options, number))
        else:
            fits += _of_law(spec_of(name), runs, options, number, (known or {}).get(name))
    return {(fit.law, fit.estimator): fit for fit in fits}


def fitted(spec: LawSpec, runs: Runs, options: Options, number: int) -> LawResults:
    """A law fitted to the runs below a step as the study fits it to all of them."""
    return _fitted(
        spec.name,
        runs.by_law[spec.name],
        options.targets,
        options.study.of(spec.model),
        options.bootstrap(number),
        options.family,
    )


@remembered(LawResults, with_parts=True)
def _fitted(
    law: str,
    points: pd.DataFrame,
    targets_flops: Sequence[float],
    options: OptionGroup,
    bootstrap: BootstrapOptions,
    family: str,
) -> LawResults:
    spec = spec_of(law)
    result = spec.fitted(
        points, targets_flops, options, bootstrap=bootstrap, family=family, **spec.judged
    )
    return LawResults.of(result)


def of_form(form: Form[Any], runs: Runs, options: Options, number: int) -> LadderFit:
    """One form of the surface fitted to the runs below a step, with draws as a main line has."""
    try:
        result = parametric_fit.fit(
            runs.by_law[SURFACE.name],
            options.targets,
            options.study.of(ParametricOptions),
            bootstrap=options.bootstrap(number),
            family=options.family,
            judged=True,
            form=form,
        )
        if result.status == FAILED:
            raise FloplineError(result.message)
        fit = LawResults.of(result)
        surfaces = {MAIN: surface_of(fit.content)}
        return _of_estimator(SURFACE, form.name, fit.tables[ESTIMATORS], fit, surfaces)
    except FloplineError as error:
        return LadderFit(SURFACE.name, form.name, len(runs.points), FAILED, str(error))


def _baseline(name: str, runs: Runs, options: Options, number: int) -> LadderFit:
    try:
        return BASELINES[name](runs, options, number)
    except FloplineError as error:
        return LadderFit(BASELINE, name, len(runs.points), FAILED, str(error))


def _of_law(
    spec: LawSpec, runs: Runs, options: Options, number: int, known: LawResults | None
) -> list[LadderFit]:
    """The main line of a law and every other estimator that its fit has left, in their order.

    Returns one fit that carries the reason where the law cannot be fitted.
    """
    try:
        fit = known or fitted(spec, runs, options, number)
        if fit.content["status"] == FAILED:
            raise FloplineError(fit.content["message"])
        surfaces: dict[str, Law] = {}
        if spec.says is Says.SURFACE:
            surfaces = {**dict(other_surfaces(fit)), MAIN: surface_of(fit.content)}
        groups = fit.tables[ESTIMATORS].groupby("estimator", sort=False)
        return [_of_estimator(spec, str(name), rows, fit, surfaces) for name, rows in groups]
    except FloplineError as error:
        name = options.mains.get(spec.name, MAIN)
        return [LadderFit(spec.name, name, len(runs.points), FAILED, str(error))]


def _of_estimator(
    spec: LawSpec, name: str, rows: pd.DataFrame, fit: LawResults, surfaces: Mapping[str, Law]
) -> LadderFit:
    """What one estimator states at the budgets of its table; the main line has draws, too.

    Returns a fit without numbers where the estimator failed.
    """
    main, status = bool(rows["main"].iloc[0]), str(rows["status"].iloc[0])
    n_fitted = fit.content["n_points" if spec.says is Says.SURFACE else "n_runs"]
    about = (spec.name, name, n_fitted, status, str(rows["message"].iloc[0]))
    if status == FAILED:
        return LadderFit(*about)
    at = (_looked_up(rows, "params"), _looked_up(rows, "loss"))
    if not main:
        return LadderFit(*about, *at, surface=surfaces.get(name))
    return LadderFit(*about, *at, *drawn(spec, fit.draws), surfaces.get(MAIN), fit)


def drawn(spec: LawSpec, draws: pd.DataFrame) -> tuple[Opt | None, Opt | None]:
    """N and loss of the best run by every draw of a fit, None where there are too few."""
    return (_surface_draws if spec.says is Says.SURFACE else _compute_draws)(draws)


def _surface_draws(draws: pd.DataFrame) -> tuple[Opt | None, Opt | None]:
    """N and loss of every draw of L(N, D), None where too few can be used."""
    try:
        surfaces = draws_of(draws)
    except FloplineError:
        return None, None
    return surfaces.params_opt, surfaces.loss_opt


def _compute_draws(draws: pd.DataFrame) -> tuple[Opt | None, Opt | None]:
    """N = N_coef C^a and L = L_E + L_K C^-L_c of every draw, None where there are too few."""
    names = ["N_coef", "a", "L_E", "L_K", "L_c"]
    drawn = draws[names].dropna()
    if len(drawn) < 2:
        return None, None
    coef, a, floor, scale, power = drawn.to_numpy(dtype=float).T

    def params(flops: Floats) -> Floats:
        return np.exp(PowerLaw(np.log(coef), a).ln_at(np.log(flops)))

    def loss(flops: Floats) -> Floats:
        return np.asarray(floor[:, None] + scale[:, None] * flops ** -power[:, None])

    return params, loss


def _looked_up(rows: pd.DataFrame, column: str) -> Opt:
    """What one estimator states in `column` at the budgets of its table; NaN at any other."""
    budgets, values = (rows[c].to_numpy(dtype=float) for c in ("budget_flops", column))

    def at(flops: Floats) -> Floats:
        asked = np.asarray(flops, dtype=float)
        nearest = np.abs(np.log(asked[:, None] / budgets)).argmin(axis=1)
        return np.where(np.isclose(budgets[nearest], asked, rtol=1e-9), values[nearest], np.nan)

    return at
