"""A title and a sentence for each figure, which says what it shows and what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flopline.numbers import flops_label, humanise, significant

Fit = Mapping[str, Any]


def isoflop(fit: Fit) -> tuple[str, str]:
    """Title and caption of the isoFLOP figure, from the JSON of an isoFLOP fit."""
    certificate = fit["certificate"]
    used, total = certificate["budgets_used"], certificate["budgets"]
    flagged = certificate.get("budgets_flagged", 0)
    doubt = f", {flagged} of them flagged by a check (half filled)" if flagged else ""
    return "IsoFLOP curves", (
        "Left: final loss against parameters at fixed training compute; dashed, the parabola of "
        f"each budget; {used} of {total} budgets give a valley{doubt}. Centre and right: "
        "parameters and tokens at the valleys against compute, with the fitted laws "
        f"{_laws(fit)} (dashed) and, in green, {_at_target(fit)}.{_corrected(certificate)}"
    )


def _corrected(certificate: Mapping[str, Any]) -> str:
    """What the crosses and the second line are, empty where the bias could not be had."""
    bias = certificate.get("largest_bias_ln_params")
    if bias is None:
        return ""
    return (
        " Crosses and dash-dotted lines: the same less the parabola's bias on these grids, up to "
        f"{significant(100 * math.expm1(bias), 2)} % in N."
    )


def envelope(fit: Fit) -> tuple[str, str]:
    """Title and caption of the envelope figure, from the JSON of an envelope fit."""
    return "Training-curve envelope", (
        f"Left: the loss curves of {fit['n_runs']} runs, coloured by parameters, with the lowest "
        "loss reached at each amount of compute. Centre and right: parameters and tokens of the "
        f"run that reaches it, with the fitted laws {_laws(fit)} (dashed) and, in green, "
        f"{_at_target(fit)}. Orange, green and blue: the same laws for the first, middle and last "
        f"third of the points.{_curvature(fit)}{_mid_schedule(fit)}"
    )


def _curvature(fit: Fit) -> str:
    """Slopes of params in the outer thirds, and how sure their difference is."""
    test = fit["certificate"].get("curvature") or {}
    if test.get("p_value") is None:
        return ""
    slopes = fit["certificate"]["a_by_thirds"]
    return (
        f" Params grow as C^{slopes[0]:.2f} in the first third and C^{slopes[-1]:.2f} in the last "
        f"(difference {test['difference']:+.2f}, 95 % interval {test['lo95']:+.2f} to "
        f"{test['hi95']:+.2f})."
    )


def _mid_schedule(fit: Fit) -> str:
    share = fit["certificate"].get("share_mid_schedule")
    if not share:
        return ""
    return f" {share:.0%} of the fitted points lie in the middle of a learning-rate schedule."


def surface(fits: Mapping[str, Fit], labels: Mapping[str, str]) -> tuple[str, str]:
    """Title and caption of the loss surfaces, from each family's parametric fit JSON."""
    said = "; ".join(
        f"{labels[family]}: alpha {_interval(fit, 'alpha')}, beta {_interval(fit, 'beta')}"
        for family, fit in fits.items()
    )
    return "Loss surfaces", (
        "Loss of every run over its tokens and parameters, coloured by training FLOPs; above each "
        f"panel the fitted law. Its exponents: {said}."
    )


def _laws(fit: Fit) -> str:
    return f"N ~ C^{_interval(fit, 'a')} and D ~ C^{_interval(fit, 'b')}"


def _interval(fit: Fit, name: str) -> str:
    """An exponent with the interval that the figures' own brackets and bands show."""
    e = fit["parameters"][name]
    if e["point"] is None:
        return "(none)"
    if e["lo80"] is None:
        return f"{e['point']:.3f}"
    return f"{e['point']:.3f} (80 % interval {e['lo80']:.3f} to {e['hi80']:.3f})"


def _at_target(fit: Fit) -> str:
    target = fit["targets"][0]
    n, d = target["params"]["point"], target["tokens"]["point"]
    if n is None or d is None:
        return "nothing, since the fit gives no optimum"
    return f"{humanise(n)} and {humanise(d)} at {flops_label(target['budget_flops'])} FLOPs"


def captioned(
    svgs: Iterable[Path], fits: Mapping[str, Mapping[str, Fit]], labels: Mapping[str, str]
) -> list[dict[str, str]]:
    """The figure files as the report wants them: name, family, title, caption and SVG text.

    A figure is told by its file name; one that stands in a folder of its own is of that family.
    """
    by_name = {"isoflop": isoflop, "envelope": envelope}
    out = []
    for svg in svgs:
        name, family = svg.stem, svg.parent.name
        if name in by_name:
            title, caption = by_name[name](fits[family][name])
            label = labels[family]
        else:
            title, caption = surface({f: laws["parametric"] for f, laws in fits.items()}, labels)
            label = ""
        text = svg.read_text(encoding="utf-8")
        out.append({"name": name, "family": label, "title": title, "caption": caption, "svg": text})
    return out
