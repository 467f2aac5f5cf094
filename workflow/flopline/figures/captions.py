"""A title and a sentence for each figure, which says what it shows and what was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered, spec_of
from flopline.numbers import count, flops_label, humanise, interval, significant
from flopline.schema import KEPT

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
        "above spend the budget), its D against its N beside 6ND = C, and its exponents, with 80 "
        "and 95 % intervals. "
        f"{_sentence(findings, 'sensitivity')}"
    )


def contours(fit: Fit) -> tuple[str, str]:
    """Title and caption of the contours of the loss, from the JSON of a parametric fit."""
    if fit["status"] == FAILED:
        return "Contours of the loss", f"No surface was fitted: {fit['message']}"
    target = fit["targets"][0]
    reach = _reach(target["params"], humanise)
    return "Contours of the loss", (
        f"Left: contours of the fitted loss over compute and params, with the {fit['n_runs']} runs "
        "coloured by their own loss, the efficient frontier (blue, dashed beyond the runs, with 80 "
        "and 95 % bands) and the budgets of the slices (dashed, upright). Right: the loss along "
        "slices of fixed compute, with each run moved to the nearest one along the law, so that "
        "its distance from the curve is its residual; diamonds, the optima. The law says "
        f"{_at_target(fit)}{reach}, with a loss of {significant(target['loss']['point'])}"
        f"{_reach(target['loss'], significant)}; runs and slices stand at C = 6ND."
    )


def losscompute(fits: Mapping[str, Fit]) -> tuple[str, str]:
    """Title and caption of the loss over compute, from the JSON of every law of a family."""
    said = [
        f"{spec_of(law).label} {significant(loss['point'])}{_reach(loss, significant)}"
        for law in ordered(fits)
        if (loss := fits[law]["targets"][0]["loss"])["point"] is not None
        and fits[law]["status"] != FAILED
    ]
    found = (
        f" At {flops_label(next(iter(fits.values()))['targets'][0]['budget_flops'])} FLOPs the "
        f"laws say {', '.join(said)}."
        if said
        else " No law gives a loss."
    )
    return "Lowest loss for the compute", (
        "Left: the lowest loss that each law expects of a budget, with what it was fitted to "
        "(small dots: every run), 80 and 95 % bands, its floor E (dotted) where that is near, and "
        "at the target what it states; grey, the largest run. Right, above: the losses at each "
        "frontier over the law's own (bars: 95 %; for the surface, runs averaged over stretches of "
        "compute). A trend there means that the law bends away and its forecast is biased. Below: "
        f"E with 80 and 95 % intervals, and whether the law has lack of fit.{found}"
    )


def families(entries: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> tuple[str, str]:
    """Title and caption of the families side by side, from the decision's comparison of them."""
    if not entries:
        return "Families side by side", "Fewer than two families have a line to be compared."
    return "Families side by side", (
        f"Left: the lowest loss for the compute of {', '.join(labels.values())}, by the law that "
        "they have in common, with 95 % bands. Right: how many times the compute of the best "
        "family the others need for the same loss, with bands, and the decision's own numbers at "
        "the targets (bars: 80 and 95 %). Solid where both families have runs, dashed and hatched "
        f"beyond. {entries[0]['sentence']}"
    )


def cleaning(runs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Title and caption of the cleaning, from the rows of the table of runs."""
    read, kept, lost = (
        sum(int(r[n]) for r in runs) for n in ("rows_in", "rows_kept", "rows_dropped")
    )
    used = sum(r["status"] == KEPT for r in runs)
    return "What cleaning left out", (
        "Above: what became of the runs of each family, and why runs are not in the fits. Below: "
        "the rows of the logs, read = kept + dropped by reason, and where along training the "
        f"dropped rows stood. {used:,} of {count(len(runs), 'run')} are in the fits; "
        f"{count(read, 'row')} read = {kept:,} kept + {lost:,} dropped."
    )


def _reach(estimate: Mapping[str, Any], label: Callable[[float], str]) -> str:
    """The 95 % interval of an estimate in brackets, empty where there is none."""
    if estimate["lo95"] is None:
        return ""
    return f" (95 % interval {interval(estimate['lo95'], estimate['hi95'], label)})"


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
    entries: Sequence[Mapping[str, Any]] = (),
    runs: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, str]]:
    """The figure files as the report wants them: name, family, section, title, caption, SVG text.

    A figure is told by its file name; one that stands in a folder of its own is of that family.
    The section is audit for the figures of the findings in `audits`, by family, else laws.
    `entries` are the decision's comparisons of the families, `runs` the rows of the table of runs.
    """
    by_law = {"isoflop": isoflop, "envelope": envelope}
    out = []
    for svg in svgs:
        name, family, section = svg.stem, svg.parent.name, "laws"
        label = labels.get(family, "")
        if name in by_law:
            title, caption = by_law[name](fits[family][name])
        elif name == "contours":
            title, caption = contours(fits[family]["parametric"])
        elif name == "losscompute":
            title, caption = losscompute(fits[family])
        elif name in OF_AUDIT:
            title, caption = OF_AUDIT[name]((audits or {}).get(family, []))
            section = "audit"
        else:
            label = ""
            if name == "families":
                title, caption = families(entries, labels)
            elif name == "cleaning":
                title, caption = cleaning(runs)
            else:
                title, caption = surface({f: of["parametric"] for f, of in fits.items()}, labels)
        text = svg.read_text(encoding="utf-8")
        about = {"name": name, "family": label, "section": section, "title": title}
        out.append({**about, "caption": caption, "svg": text})
    return out
