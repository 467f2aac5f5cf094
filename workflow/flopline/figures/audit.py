"""All figures of one family's audit, from its findings and its fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from flopline.audit.identifiability import ALLOWED_RISE
from flopline.figures.identifiability import identifiability
from flopline.figures.ladder import ladder
from flopline.figures.stakes import stakes
from flopline.fits.result import FAILED

NOT_MADE: Final = "this audit was not made"


def audit_figures(
    findings: Sequence[Mapping[str, Any]],
    fits: Mapping[str, Mapping[str, Any]],
    draws: Mapping[str, pd.DataFrame],
    points: pd.DataFrame,
    verdict: Mapping[str, Any],
    *,
    family: str,
    family_label: str,
    target_flops: float,
    loss_label: str = "Validation loss",
    synthetic: bool = False,
) -> dict[str, Figure]:
    """The figures ladder, identifiability and stakes, by name.

    `findings` hold their tables, `fits` and `draws` are by law, `points` those of the parametric
    fit, `verdict` is that of the decision. Where an audit was not made its panels say why.
    """
    by_name = {f["audit"]: f for f in findings}

    def table(audit: str, name: str) -> pd.DataFrame | None:
        return by_name[audit]["tables"].get(name) if audit in by_name else None

    def why(audit: str) -> str:
        return str(by_name[audit]["sentence"]) if audit in by_name else NOT_MADE

    parametric = fits["parametric"]
    usable = (
        parametric["status"] != FAILED and parametric["parameters"]["alpha"]["point"] is not None
    )
    common: dict[str, Any] = {
        "target_flops": target_flops,
        "family_label": family_label,
        "synthetic": synthetic,
    }
    return {
        "ladder": ladder(
            table("ladder", "steps"),
            table("ladder", "predictions"),
            {law: _at(fit, target_flops) for law, fit in fits.items()},
            largest_flops=float(points["flops"].max()),
            loss_label=loss_label,
            absent=why("ladder"),
            **common,
        ),
        "identifiability": identifiability(
            table("identifiability", "profile"),
            points if usable else None,
            table("next_run", "runs"),
            best_floor=float(parametric["parameters"]["E"]["point"] or 0.0),
            allowed_rise=ALLOWED_RISE,
            absent={
                "profile": why("identifiability"),
                "residuals": str(parametric["message"]),
                "next_run": why("next_run"),
            },
            **common,
        ),
        "stakes": stakes(
            table("sensitivity", "changes"),
            fits,
            draws,
            exponents=_exponents(parametric) if usable else None,
            reference=_reference(verdict, family, target_flops),
            absent={"sensitivity": why("sensitivity"), "regret": why("regret")},
            **common,
        ),
    }


def _at(fit: Mapping[str, Any], target_flops: float) -> Mapping[str, Any]:
    """The estimate of N of a fit at the target; without a number where it failed."""
    nothing = dict.fromkeys(("point", "lo80", "hi80"))
    if fit["status"] == FAILED:
        return nothing
    rows = [t for t in fit["targets"] if abs(t["budget_flops"] / target_flops - 1) < 1e-9]
    return rows[0]["params"] if rows else nothing


def _exponents(parametric: Mapping[str, Any]) -> tuple[float, float]:
    alpha, beta = (float(parametric["parameters"][n]["point"]) for n in ("alpha", "beta"))
    return alpha, beta


def _reference(verdict: Mapping[str, Any], family: str, target_flops: float) -> str:
    """The law that is recommended at the target, whose N a wrong one is held against."""
    for choice in verdict["choices"]:
        same = abs(choice["budget_flops"] / target_flops - 1) < 1e-9
        if choice["family"] == family and same and choice["law"]:
            return str(choice["law"])
    return "parametric"
