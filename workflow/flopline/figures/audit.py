"""All figures of one family's audit, from its findings and its fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from flopline.audit.identifiability import ALLOWED_RISE
from flopline.figures.identifiability_figure import identifiability
from flopline.figures.ladder_figure import ladder
from flopline.figures.layout import PAGE
from flopline.figures.stakes_figure import stakes
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.spec import surface_law

FIGURES: Final = ("ladder", "identifiability", "stakes")
NOT_MADE: Final = "this audit was not made"


def audit_figures(
    findings: Sequence[Mapping[str, Any]],
    fits: Mapping[str, Mapping[str, Any]],
    draws: Mapping[str, pd.DataFrame],
    runs: pd.DataFrame,
    residuals: pd.DataFrame | None,
    verdict: Mapping[str, Any],
    *,
    family: str,
    family_label: str,
    target_flops: float,
    loss_label: str = "Validation loss",
    width: str = PAGE,
    synthetic: bool = False,
    names: Sequence[str] = FIGURES,
) -> dict[str, Figure]:
    """The figures ladder, identifiability and stakes, or those of `names`, by name.

    `findings` hold their tables, `fits` and `draws` are by law, `runs` are the family's (run,
    params, tokens, flops), `residuals` the points of the parametric fit with its log_residual,
    None without that law; `verdict` is that of the decision. Where an audit was not made its
    panels say why.
    """
    by_name = {f["audit"]: f for f in findings}

    def table(audit: str, name: str) -> pd.DataFrame | None:
        return by_name[audit]["tables"].get(name) if audit in by_name else None

    def why(audit: str) -> str:
        return str(by_name[audit]["sentence"]) if audit in by_name else NOT_MADE

    surface, absent = _surface(fits)
    common: dict[str, Any] = {
        "target_flops": target_flops,
        "family_label": family_label,
        "width": width,
        "synthetic": synthetic,
    }
    makers: dict[str, Callable[[], Figure]] = {
        "ladder": lambda: ladder(
            table("ladder", "steps"),
            table("ladder", "predictions"),
            table("ladder", "optima"),
            {law: _at(fit, target_flops) for law, fit in fits.items()},
            largest_flops=float(runs["flops"].max()),
            loss_label=loss_label,
            absent=why("ladder"),
            **common,
        ),
        "identifiability": lambda: identifiability(
            table("identifiability", "profile"),
            residuals if surface else None,
            table("next_run", "runs"),
            runs,
            best_floor=surface.get("E"),
            allowed_rise=ALLOWED_RISE,
            absent={
                "profile": why("identifiability"),
                "residuals": absent,
                "next_run": why("next_run"),
            },
            **common,
        ),
        "stakes": lambda: stakes(
            table("sensitivity", "changes"),
            fits,
            draws,
            exponents=(surface["alpha"], surface["beta"]) if surface else None,
            reference=_reference(verdict, family, target_flops),
            absent={"sensitivity": why("sensitivity"), "regret": absent or why("regret")},
            **common,
        ),
    }
    return {name: makers[name]() for name in names}


def _surface(fits: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, float], str]:
    """E, alpha and beta of the fitted surface; empty, with the reason, where there is none."""
    law = surface_law(fits)
    if law is None:
        return {}, f"the {PARAMETRIC.label} law is not among the study's laws"
    found = {name: fits[law]["parameters"][name]["point"] for name in ("E", "alpha", "beta")}
    if fits[law]["status"] == FAILED or None in found.values():
        return {}, str(fits[law]["message"])
    return {name: float(value) for name, value in found.items()}, ""


def _at(fit: Mapping[str, Any], target_flops: float) -> Mapping[str, Any]:
    """The estimate of N of a fit at the target; without a number where it failed."""
    nothing = dict.fromkeys(("point", "lo80", "hi80"))
    if fit["status"] == FAILED:
        return nothing
    rows = [t for t in fit["targets"] if abs(t["budget_flops"] / target_flops - 1) < 1e-9]
    return rows[0]["params"] if rows else nothing


def _reference(verdict: Mapping[str, Any], family: str, target_flops: float) -> str:
    """The law that is recommended at the target, whose N a wrong one is held against."""
    for choice in verdict["choices"]:
        same = abs(choice["budget_flops"] / target_flops - 1) < 1e-9
        if choice["family"] == family and same and choice["law"]:
            return str(choice["law"])
    return PARAMETRIC.name
