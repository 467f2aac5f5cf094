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
from flopline.audit.finding import MIND, Finding, draws_of, surface_of
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric import parametric_fit
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
    evidence: Evidence, settings: Mapping[str, Any], targets_flops: Sequence[float]
) -> list[Finding]:
    """Every audit that the family's data supports; one that cannot be made says why.

    `settings` has the groups bootstrap, cleaning, envelope, isoflop, parametric and audit of the
    config and the study's params_convention and flops_convention. Where the parametric law is none
    of the study's laws the audits fit it for themselves, with as many draws as a step of the
    ladder has.
    """
    target, family, points = targets_flops[0], evidence.family, evidence.points
    options, seed = settings["audit"], settings["bootstrap"]["seed"]
    grouping = {key: settings["isoflop"][key] for key in ("budgets", "budget_tolerance")}
    cap = options["next_run_cap"] or float(points["flops"].max())
    fitted = _fitted(evidence, settings, targets_flops)
    delta = settings["parametric"]["huber_delta"]
    if fitted.content is not None:
        delta = fitted.content["certificate"]["huber_delta"]  # what the fit itself used
    common = {"huber_delta": delta, "family": family}

    def of_surface() -> LossSurface:
        return surface_of(fitted.json())

    def if_any() -> LossSurface | None:
        try:
            return of_surface()
        except FloplineError:
            return None

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: ladder.audit(
            points,
            target,
            curves=evidence.envelope_curves,
            min_sizes=settings["isoflop"]["min_sizes"],
            quality=settings["isoflop"]["quality"],
            envelope=settings["envelope"],
            draws=options["ladder_draws"],
            seed=seed,
            **grouping,
            **common,
        ),
        "identifiability": lambda: identifiability.audit(
            points,
            if_any(),
            target,
            estimators=evidence.estimators,
            draws=settings["bootstrap"]["draws"],
            seed=seed,
            **common,
        ),
        "regret": lambda: regret.audit(
            of_surface(),
            draws_of(fitted.draws()),
            targets_flops,
            price_per_flop=options["price_per_flop"],
            estimators=evidence.estimators,
        ),
        "sensitivity": lambda: sensitivity.audit(
            points,
            target,
            estimators=evidence.estimators,
            **grouping,
            **common,
        ),
        "next_run": lambda: next_run.audit(
            points,
            of_surface(),
            fitted.json()["certificate"]["residual_sd"],
            target,
            cap_flops=cap,
            draws=draws_of(fitted.draws()),
            family=family,
        ),
        "published": lambda: published_comparison.audit(
            points,
            of_surface(),
            targets_flops,
            names=options["compare"],
            params_convention=settings["params_convention"],
            flops_convention=settings["flops_convention"],
        ),
    }
    if evidence.vertices is not None and evidence.profiles is not None:
        vertices, profiles = evidence.vertices, evidence.profiles
        makers["bias"] = lambda: bias.audit(of_surface(), vertices, profiles, targets_flops)
    if options["inference_tokens"]:
        makers["inference"] = lambda: inference.audit(
            of_surface(), target, options["inference_tokens"]
        )
    held = None if evidence.runs is None else evidence.runs[evidence.runs["status"] == HELD_OUT]
    if held is not None and len(held):
        makers["held_out"] = lambda: held_out.audit(
            held,
            points,
            of_surface(),
            _draws_if_any(fitted),
            objective=settings["parametric"].get("objective", "log_huber"),
            variants=evidence.variants,
            others=evidence.of_budgets,
            seed=seed,
        )
    if evidence.runs is not None and evidence.curves is not None:
        runs, curves = evidence.runs, evidence.curves
        makers["hygiene"] = lambda: hygiene.audit(
            runs,
            curves,
            if_any(),
            unfinished=settings["cleaning"]["unfinished"],
            warmup_share=options["warmup_share"],
            final_lr=options["final_lr"],
        )
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


def _fitted(
    evidence: Evidence, settings: Mapping[str, Any], targets_flops: Sequence[float]
) -> _Fitted:
    if evidence.parametric is not None:
        return _Fitted(evidence.parametric, evidence.draws)
    try:
        with progress.part(OWN_FIT):
            fit = parametric_fit.fit(
                evidence.points,
                targets_flops,
                huber_delta=settings["parametric"]["huber_delta"],
                draws=settings["audit"]["ladder_draws"],
                seed=settings["bootstrap"]["seed"],
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
