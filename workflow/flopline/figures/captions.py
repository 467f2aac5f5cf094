"""A title and a sentence for each figure, which says what it shows and what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flopline.numbers import flops_label, humanise, significant

Fit = Mapping[str, Any]
Findings = Sequence[Mapping[str, Any]]


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


def ladder(findings: Findings) -> tuple[str, str]:
    """Title and caption of the held-out ladder."""
    return "Held-out ladder", (
        "Above left: what the parametric law, fitted to the runs of at most the compute named, "
        "foretells of the loss of each larger run, less what was seen (bars: 95 % prediction). "
        "Above right: the same for the lowest loss at larger budgets, by every law. Below left: "
        "compute that the foretold sizes waste there, judged by the optima seen. Below right: N at "
        "the target by the runs below each budget, up to all runs (bars: 80 % "
        f"intervals). {_sentence(findings, 'ladder')}"
    )


def identifiability(findings: Findings) -> tuple[str, str]:
    """Title and caption of what the runs can tell."""
    return "What the runs can tell", (
        "Left: rise of the objective, and N at the target, where E is held and the rest refitted; "
        "shaded, every E that fits nearly as well as the best (line). Centre: observed loss over "
        "the fitted law; up where the run is worse than the law, down where it is better, larger "
        "where it is farther off. Right: share of the variance of ln N at the target that one "
        f"more run would remove, by its params and tokens. {_sentence(findings, 'identifiability')}"
    )


def stakes(findings: Findings) -> tuple[str, str]:
    """Title and caption of what N hangs on and what a wrong N costs."""
    return "What is at stake", (
        "Above: N at the target under one change at a time, in the colours of the laws, and the "
        "compute that a wrong N wastes, with the N of every law and its 95 % interval on the "
        "curve. "
        "Below: bootstrap draws of every law, its loss against its N at the target (the tokens "
        "above spend the budget) and its exponents, with 80 and 95 % intervals. "
        f"{_sentence(findings, 'sensitivity')}"
    )


OF_AUDIT = {"ladder": ladder, "identifiability": identifiability, "stakes": stakes}
"""The figures of an audit by file name, in the order in which a reader wants them."""


def _sentence(findings: Findings, audit: str) -> str:
    """What the audit found, in its own words."""
    return next((str(f["sentence"]) for f in findings if f["audit"] == audit), "")


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
    svgs: Iterable[Path],
    fits: Mapping[str, Mapping[str, Fit]],
    labels: Mapping[str, str],
    audits: Mapping[str, Findings] | None = None,
) -> list[dict[str, str]]:
    """The figure files as the report wants them: name, family, section, title, caption, SVG text.

    A figure is told by its file name; one that stands in a folder of its own is of that family.
    The section is audit for the figures of the findings in `audits`, by family, else laws.
    """
    by_name = {"isoflop": isoflop, "envelope": envelope}
    out = []
    for svg in svgs:
        name, family, section = svg.stem, svg.parent.name, "laws"
        label = labels.get(family, "")
        if name in by_name:
            title, caption = by_name[name](fits[family][name])
        elif name in OF_AUDIT:
            title, caption = OF_AUDIT[name]((audits or {}).get(family, []))
            section = "audit"
        else:
            title, caption = surface({f: laws["parametric"] for f, laws in fits.items()}, labels)
            label = ""
        text = svg.read_text(encoding="utf-8")
        about = {"name": name, "family": label, "section": section, "title": title}
        out.append({**about, "caption": caption, "svg": text})
    return out
