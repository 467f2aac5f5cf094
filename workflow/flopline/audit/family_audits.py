"""All audits of one family, from what its fits left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from flopline import progress
from flopline.audit import (
    bias,
    held_out,
    hygiene,
    identifiability,
    inference,
    ladder,
    next_run,
    published_comparison,
    regret,
    sensitivity,
)
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.audit.judges import SURFACE, VALLEYS
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import ESTIMATORS, surface_law
from flopline.loss_units import NATS
from flopline.options import StudyOptions
from flopline.results import FamilyResults, LawResults
from flopline.schema import HELD_OUT
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import Verdict

AUDITS: Final = (
    "ladder",
    "held_out",
    "identifiability",
    "regret",
    "bias",
    "sensitivity",
    "next_run",
    "inference",
    "hygiene",
    "published",
)
"""The audits in the order in which a reader wants them."""
WORK: Final = {"ladder": 80.0, "sensitivity": 5.0}
"""Time of the audits that take longer than the others, in that of one of these: for 64 runs the
ladder takes 0.9 of all, for 2,500 more."""
OWN_FIT: Final = 0.05
"""Share of the time, about, of the parametric fit that the audits make where the study has none."""


@dataclass(frozen=True, slots=True)
class FamilyRuns:
    """What is audited of one family beside its fits; what a study does not have is None or empty.

    `points` are the study's: run, params, tokens, flops, loss, and budget_flops, params_total,
    params_nonembedding where known. `runs` are all runs of the family and `curves` the logged rows
    of the kept ones, as clean/ holds them. `fitted_to` is what the laws were fitted to, and the
    JUDGES would be, where that is not `points`.
    """

    family: str
    points: pd.DataFrame
    runs: pd.DataFrame | None = None
    curves: pd.DataFrame | None = None
    fitted_to: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def audit_family(
    family_runs: FamilyRuns,
    results: FamilyResults,
    study: StudyOptions,
    targets_flops: Sequence[float],
    *,
    params_convention: str,
    flops_convention: str,
    loss_unit: str = NATS,
) -> list[Finding]:
    """Every audit that the family's data supports; one that cannot be made says why.

    `results` are the fits of the study's laws, and `study` holds all groups of options, those of
    the laws among them; the conventions are the study's.

    Where no law of the study says a surface the audits fit one for themselves, with as
    many draws as a step of the ladder has.

    Returns one finding for each of AUDITS that the data allow, in that order; one that raised
    FloplineError has the verdict `not checked` and its sentence.
    """
    target, family, points = targets_flops[0], family_runs.family, family_runs.points
    fits = {law: results.of_law(law) for law in results.fits}
    estimators = results.of_each(ESTIMATORS)
    fitted = _fitted(family_runs, fits, study, targets_flops)

    def of_surface() -> LossSurface:
        return surface_of(fitted.fit().content)

    def if_any() -> LossSurface | None:
        try:
            return of_surface()
        except FloplineError:
            return None

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: ladder.audit(
            points,
            target,
            study,
            fitted_to=family_runs.fitted_to,
            fits=fits,
            more_targets=targets_flops[1:],
            family=family,
        ),
        "identifiability": lambda: identifiability.audit(
            points,
            if_any(),
            target,
            study,
            estimators=estimators,
            family=family,
            loss_unit=loss_unit,
        ),
        "regret": lambda: regret.audit(
            of_surface(),
            draws_of(fitted.fit().draws),
            targets_flops,
            study,
            estimators=estimators,
        ),
        "sensitivity": lambda: sensitivity.audit(
            points,
            target,
            study,
            vertices=results.table(VALLEYS.name, "vertices"),
            estimators=estimators,
            family=family,
        ),
        "next_run": lambda: next_run.audit(
            points,
            of_surface(),
            fitted.fit().content["certificate"]["residual_sd"],
            target,
            study,
            draws=draws_of(fitted.fit().draws),
            family=family,
        ),
        "published": lambda: published_comparison.audit(
            points,
            of_surface(),
            targets_flops,
            study,
            params_convention=params_convention,
            flops_convention=flops_convention,
            loss_unit=loss_unit,
        ),
    }
    if VALLEYS.name in fits:
        tables = fits[VALLEYS.name].tables
        makers["bias"] = lambda: bias.audit(
            of_surface(), tables["vertices"], tables["profiles"], targets_flops
        )
    if study.of(AuditOptions).inference_tokens:
        makers["inference"] = lambda: inference.audit(of_surface(), target, study)
    runs, curves = family_runs.runs, family_runs.curves
    held = None if runs is None else runs[runs["status"] == HELD_OUT]
    if held is not None and len(held):
        makers["held_out"] = lambda: held_out.audit(
            held, points, {SURFACE.name: fitted.fit(), **fits}, study
        )
    if runs is not None and curves is not None:
        makers["hygiene"] = lambda: hygiene.audit(
            runs, curves, if_any(), study, loss_unit=loss_unit
        )
    there = [name for name in AUDITS if name in makers]
    return [_made(name, makers[name]) for name in progress.named(there, WORK)]


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The fit of a surface that the audits ask, or the reason why there is none."""

    known: LawResults | None
    refusal: str = ""

    def fit(self) -> LawResults:
        if self.known is None:
            raise FloplineError(self.refusal)
        return self.known


def _fitted(
    family_runs: FamilyRuns,
    fits: Mapping[str, LawResults],
    study: StudyOptions,
    targets_flops: Sequence[float],
) -> _Fitted:
    law = surface_law(fits)
    if law is not None:
        return _Fitted(fits[law])
    draws = study.of(AuditOptions).ladder_draws
    try:
        with progress.part(OWN_FIT):
            fit = parametric_fit.fit(
                family_runs.points,
                targets_flops,
                study.of(ParametricOptions).but(variant_draws=None),
                bootstrap=study.of(BootstrapOptions).but(draws=draws),
                family=family_runs.family,
            )
    except FloplineError as error:
        return _Fitted(None, str(error))
    return _Fitted(None, fit.message) if fit.status == FAILED else _Fitted(LawResults.of(fit))


def _made(name: str, make: Callable[[], Finding]) -> Finding:
    try:
        return make()
    except FloplineError as refusal:
        return Finding(name, Verdict.NOT_CHECKED, f"Not made: {refusal}", {})
