"""All audits of one family, from what its fits left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from flopline.audit import (
    bias,
    identifiability,
    inference,
    ladder,
    next_run,
    published,
    regret,
    sensitivity,
)
from flopline.audit.finding import MIND, Finding, draws_of, surface_of
from flopline.errors import FloplineError
from flopline.laws.chinchilla import LossSurface

AUDITS: Final = (
    "ladder",
    "identifiability",
    "regret",
    "bias",
    "sensitivity",
    "next_run",
    "inference",
    "published",
)
"""The audits in the order in which a reader wants them."""


def audit_family(
    parametric: Mapping[str, Any],
    draws: pd.DataFrame,
    points: pd.DataFrame,
    isoflop: tuple[pd.DataFrame, pd.DataFrame] | None,
    settings: Mapping[str, Any],
    targets_flops: Sequence[float],
    family: str,
) -> list[Finding]:
    """Every audit that the family's data supports; one that cannot be made says why.

    `parametric` is the fit's JSON with its `draws` and `points` (run, params, tokens, flops, loss,
    budget_flops); `isoflop` holds the vertices and profiles of that fit, if there is one.
    `settings` has the groups bootstrap, isoflop, parametric and audit of the config and the
    study's params_convention and flops_convention.
    """
    target = targets_flops[0]
    grouping = {key: settings["isoflop"][key] for key in ("budgets", "budget_tolerance")}
    # The delta of the fit itself: the option may leave it to the data.
    common = {"huber_delta": parametric["certificate"]["huber_delta"], "family": family}
    options = settings["audit"]
    cap = options["next_run_cap"] or float(points["flops"].max())

    def of_surface() -> LossSurface:
        return surface_of(parametric)

    def identified() -> Finding:
        try:
            surface = of_surface()
        except FloplineError:
            return identifiability.audit(points, None, target, **common)
        return identifiability.audit(points, surface, target, **common)

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: ladder.audit(
            points,
            target,
            draws=options["ladder_draws"],
            seed=settings["bootstrap"]["seed"],
            **grouping,
            **common,
        ),
        "identifiability": identified,
        "regret": lambda: regret.audit(
            of_surface(), draws_of(draws), targets_flops, price_per_flop=options["price_per_flop"]
        ),
        "sensitivity": lambda: sensitivity.audit(points, target, **grouping, **common),
        "next_run": lambda: next_run.audit(
            points,
            of_surface(),
            parametric["certificate"]["residual_sd"],
            target,
            cap_flops=cap,
            draws=draws_of(draws),
            family=family,
        ),
        "published": lambda: published.audit(
            points,
            of_surface(),
            targets_flops,
            names=options["compare"],
            params_convention=settings["params_convention"],
            flops_convention=settings["flops_convention"],
        ),
    }
    if isoflop is not None:
        vertices, profiles = isoflop
        makers["bias"] = lambda: bias.audit(of_surface(), vertices, profiles, targets_flops)
    if options["inference_tokens"]:
        makers["inference"] = lambda: inference.audit(
            of_surface(), target, options["inference_tokens"]
        )
    return [_made(name, makers[name]) for name in AUDITS if name in makers]


def _made(name: str, make: Callable[[], Finding]) -> Finding:
    try:
        return make()
    except FloplineError as refusal:
        return Finding(name, MIND, f"Not made: {refusal}", {})
