"""All audits of one family, from what its fits left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

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
from flopline.audit.finding import MIND, Finding, draws_of, surface_of
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.options import StudyOptions
from flopline.schema import HELD_OUT
from flopline.surfaces.chinchilla import LossSurface

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
class Evidence:
    """All that is known of one family; what a study does not have is None or empty.

    `points` are what the parametric law is fitted to: run, params, tokens, flops, loss, and
    budget_flops, params_total, params_nonembedding where known. `runs` are all runs of the family
    and `curves` the logged rows of the kept ones, as clean/ holds them; `envelope_curves` what
    `envelope.fit` takes, if that law is fitted. `parametric` is that fit's JSON with its `draws`;
    `variants` is its table; `vertices` and `profiles` are of the isoFLOP fit; `estimators` maps
    laws to their tables, and `of_budgets` those that are no L(N, D) to their fit's JSON and draws.
    """

    family: str
    points: pd.DataFrame
    runs: pd.DataFrame | None = None
    curves: pd.DataFrame | None = None
    envelope_curves: pd.DataFrame | None = None
    parametric: Mapping[str, Any] | None = None
    draws: pd.DataFrame | None = None
    variants: pd.DataFrame | None = None
    vertices: pd.DataFrame | None = None
    profiles: pd.DataFrame | None = None
    estimators: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    of_budgets: Mapping[str, tuple[Mapping[str, Any], pd.DataFrame]] = field(default_factory=dict)


def audit_family(
    evidence: Evidence,
    study: StudyOptions,
    targets_flops: Sequence[float],
    *,
    params_convention: str,
    flops_convention: str,
) -> list[Finding]:
    """Every audit that the family's data supports; one that cannot be made says why.

    `study` holds all groups of options; the conventions are the study's. Where the parametric law
    is none of the study's laws the audits fit it for themselves, with as many draws as a step of
    the ladder has.
    """
    target, family, points = targets_flops[0], evidence.family, evidence.points
    fitted = _fitted(evidence, study, targets_flops)
    if fitted.content is not None:
        # What the fit itself used, where the data chose it.
        delta = fitted.content["certificate"]["huber_delta"]
        study = study.but(study.of(ParametricOptions).but(huber_delta=delta))
    common: dict[str, Any] = {"estimators": evidence.estimators, "family": family}

    def of_surface() -> LossSurface:
        return surface_of(fitted.json())

    def if_any() -> LossSurface | None:
        try:
            return of_surface()
        except FloplineError:
            return None

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: ladder.audit(
            points, target, study, curves=evidence.envelope_curves, family=family
        ),
        "identifiability": lambda: identifiability.audit(points, if_any(), target, study, **common),
        "regret": lambda: regret.audit(
            of_surface(),
            draws_of(fitted.draws()),
            targets_flops,
            study,
            estimators=evidence.estimators,
        ),
        "sensitivity": lambda: sensitivity.audit(points, target, study, **common),
        "next_run": lambda: next_run.audit(
            points,
            of_surface(),
            fitted.json()["certificate"]["residual_sd"],
            target,
            study,
            draws=draws_of(fitted.draws()),
            family=family,
        ),
        "published": lambda: published_comparison.audit(
            points,
            of_surface(),
            targets_flops,
            study,
            params_convention=params_convention,
            flops_convention=flops_convention,
        ),
    }
    if evidence.vertices is not None and evidence.profiles is not None:
        vertices, profiles = evidence.vertices, evidence.profiles
        makers["bias"] = lambda: bias.audit(of_surface(), vertices, profiles, targets_flops)
    if study.of(AuditOptions).inference_tokens:
        makers["inference"] = lambda: inference.audit(of_surface(), target, study)
    held = None if evidence.runs is None else evidence.runs[evidence.runs["status"] == HELD_OUT]
    if held is not None and len(held):
        makers["held_out"] = lambda: held_out.audit(
            held,
            points,
            of_surface(),
            _draws_if_any(fitted),
            study,
            variants=evidence.variants,
            others=evidence.of_budgets,
        )
    if evidence.runs is not None and evidence.curves is not None:
        runs, curves = evidence.runs, evidence.curves
        makers["hygiene"] = lambda: hygiene.audit(runs, curves, if_any(), study)
    there = [name for name in AUDITS if name in makers]
    return [_made(name, makers[name]) for name in progress.named(there, WORK)]


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The parametric fit that the audits ask, or the reason why there is none."""

    content: Mapping[str, Any] | None
    table: pd.DataFrame | None
    refusal: str = ""

    def json(self) -> Mapping[str, Any]:
        if self.content is None:
            raise FloplineError(self.refusal)
        return self.content

    def draws(self) -> pd.DataFrame:
        if self.table is None:
            raise FloplineError(self.refusal)
        return self.table


def _fitted(evidence: Evidence, study: StudyOptions, targets_flops: Sequence[float]) -> _Fitted:
    if evidence.parametric is not None:
        return _Fitted(evidence.parametric, evidence.draws)
    try:
        with progress.part(OWN_FIT):
            fit = parametric_fit.fit(
                evidence.points,
                targets_flops,
                study.of(ParametricOptions).but(variant_draws=None),
                bootstrap=study.of(BootstrapOptions).but(draws=study.of(AuditOptions).ladder_draws),
                family=evidence.family,
            )
    except FloplineError as error:
        return _Fitted(None, None, str(error))
    if fit.status == FAILED:
        return _Fitted(None, None, fit.message)
    return _Fitted(fit.to_json(), fit.draws)


def _draws_if_any(fitted: _Fitted) -> LossSurface | None:
    try:
        return draws_of(fitted.draws())
    except FloplineError:
        return None


def _made(name: str, make: Callable[[], Finding]) -> Finding:
    try:
        return make()
    except FloplineError as refusal:
        return Finding(name, MIND, f"Not made: {refusal}", {})
