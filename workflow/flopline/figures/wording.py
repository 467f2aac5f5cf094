"""Words that the captions and alternative texts of several figures share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from flopline.documents import (
    NO_ESTIMATE,
    EstimateJson,
    FindingJson,
    FitJson,
    FitsJson,
    VerdictJson,
    number_in,
)
from flopline.figures.lawpanel import number
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered, spec_of
from flopline.numbers import flops_label, humanise, interval, significant

Fit = FitJson


def exponent(fit: Fit, name: str) -> str:
    """An exponent with the interval that the figures' own brackets and bands show."""
    e = fit["parameters"][name]
    if e["point"] is None:
        return "(none)"
    if e["lo95"] is None:
        return f"{e['point']:.3f}"
    return f"{e['point']:.3f} (95 % interval {e['lo95']:.3f} to {e['hi95']:.3f})"


def power_laws(fit: Fit) -> str:
    """How the best params and tokens grow with compute."""
    return f"N ~ C^{exponent(fit, 'a')} and D ~ C^{exponent(fit, 'b')}"


def at_target(fit: Fit) -> str:
    """The params and tokens that a fit states at the first target."""
    target = fit["targets"][0]
    n, d = target["params"]["point"], target["tokens"]["point"]
    if n is None or d is None:
        return "nothing, since the fit gives no optimum"
    return f"{humanise(n)} and {humanise(d)} at {flops_label(target['budget_flops'])} FLOPs"


def reach(estimate: EstimateJson, label: Callable[[float], str]) -> str:
    """The 95 % interval of an estimate in brackets, empty where there is none."""
    low, high = number_in(estimate, "lo95"), number_in(estimate, "hi95")
    return "" if math.isnan(low) else f" (95 % interval {interval(low, high, label)})"


def finding(findings: Mapping[str, FindingJson], audit: str) -> str:
    """What an audit found, in its own words; empty where it was not made."""
    return str(findings[audit]["sentence"]) if audit in findings else ""


def recommended_law(decision: VerdictJson, family: str, target_flops: float) -> str:
    """The law that is recommended for `family` at the target; empty where none is."""
    for choice in decision.get("choices", ()):
        same = abs(choice["budget_flops"] / target_flops - 1) < 1e-9
        if choice["family"] == family and same and choice["law"]:
            return str(choice["law"])
    return ""


def at_the_floor(fits: FitsJson) -> str:
    """The floor E that each law falls to, and which laws show none."""
    known = {
        spec_of(law).label: estimate
        for law in ordered(fits)
        if fits[law]["status"] != FAILED
        and (estimate := fits[law]["parameters"].get(spec_of(law).says.floor, NO_ESTIMATE))["point"]
        is not None
    }
    floors = [
        f"{label} {significant(number(e))}{reach(e, significant)}"
        for label, e in known.items()
        if e["point"]
    ]
    none = [label for label, e in known.items() if not e["point"]]
    sentences = [
        f"The loss falls to a floor of {', '.join(floors)}." if floors else "",
        f"These runs show no floor of the loss by {', '.join(none)}." if none else "",
    ]
    return " ".join(filter(None, sentences)) or "No law has a floor."


def law_in_words(fit: Fit) -> str:
    """The exponents of a law and what it says at the first target."""
    if fit["status"] == FAILED:
        return f"The law gives no result: {fit['message']}"
    a, b = (number(fit["parameters"][name]) for name in ("a", "b"))
    target = fit["targets"][0]
    n, d, loss = (number(target[quantity]) for quantity in ("params", "tokens", "loss"))
    growth = f"The best params grow as C^{a:.3f}, the best tokens as C^{b:.3f}"
    if math.isnan(n) or math.isnan(d):
        return f"{growth}."
    with_loss = "" if math.isnan(loss) else f", with a loss of {significant(loss)}"
    return (
        f"{growth}; at {flops_label(target['budget_flops'])} FLOPs {humanise(n)} params on "
        f"{humanise(d)} tokens{with_loss}."
    )
