"""What each figure shows, in words for those who cannot see it: its finding, not its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flopline.laws.common.fit_result import FAILED
from flopline.numbers import flops_label, humanise, significant
from flopline.report.formatting import as_float

Fits = Mapping[str, Mapping[str, Mapping[str, Any]]]

SYNTHETIC: Final = "Synthetic data. "
"""What every figure of simulated runs begins with."""

AUDITS: Final = {
    "ladder": "ladder",
    "identifiability": "identifiability",
    "stakes": "sensitivity",
}
"""The audit that a figure is about, by the figure's name."""
LAWS: Final = {"isoflop": "isoflop", "envelope": "envelope", "contours": "parametric"}
"""The law that a figure is about, by the figure's name."""


def findings_of_figures(
    figures: Sequence[Mapping[str, str]],
    fits: Fits,
    audits: Mapping[str, Sequence[Mapping[str, Any]]],
    families: Mapping[str, str],
    synthetic: bool,
) -> list[dict[str, str]]:
    """The figures with `alt`, the finding of each; the caption where nothing else is known."""
    ids = {label: family for family, label in families.items()}
    told = [
        figure.get("alt")
        or _finding(figure["name"], ids.get(figure["family"], ""), fits, audits, families)
        or figure["caption"].removeprefix(SYNTHETIC)
        for figure in figures
    ]
    before = SYNTHETIC if synthetic else ""
    return [{**figure, "alt": f"{before}{alt}"} for figure, alt in zip(figures, told, strict=True)]


def _finding(
    name: str,
    family: str,
    fits: Fits,
    audits: Mapping[str, Sequence[Mapping[str, Any]]],
    families: Mapping[str, str],
) -> str:
    if name in LAWS:
        return _of_law(fits.get(family, {}).get(LAWS[name]))
    if name in AUDITS:
        found = (f["sentence"] for f in audits.get(family, ()) if f["audit"] == AUDITS[name])
        return str(next(found, ""))
    if name == "surface":
        said = (
            f"{families[f]}: {_of_surface(laws['parametric'])}"
            for f, laws in fits.items()
            if f in families and "parametric" in laws
        )
        return " ".join(said)
    return ""


def _of_law(fit: Mapping[str, Any] | None) -> str:
    """The exponents of a law and what it says at the first target."""
    if fit is None:
        return ""
    if fit["status"] == FAILED:
        return f"The law gives no result: {fit['message']}"
    a, b = (as_float(fit["parameters"][name]["point"]) for name in ("a", "b"))
    target = fit["targets"][0]
    n, d, loss = (as_float(target[q]["point"]) for q in ("params", "tokens", "loss"))
    said = f"The best params grow as C^{a:.3f}, the best tokens as C^{b:.3f}"
    if math.isnan(n) or math.isnan(d):
        return f"{said}."
    foretold = "" if math.isnan(loss) else f", with a loss of {significant(loss)}"
    return (
        f"{said}; at {flops_label(target['budget_flops'])} FLOPs {humanise(n)} params on "
        f"{humanise(d)} tokens{foretold}."
    )


def _of_surface(fit: Mapping[str, Any]) -> str:
    if fit["status"] == FAILED:
        return f"no surface was fitted: {fit['message']}"
    e, alpha, beta = (as_float(fit["parameters"][name]["point"]) for name in ("E", "alpha", "beta"))
    return (
        f"the loss falls to {significant(e)} nats per token in the limit, with exponents "
        f"{alpha:.3f} in params and {beta:.3f} in tokens."
    )
