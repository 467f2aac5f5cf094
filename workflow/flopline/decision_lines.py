"""The decision in the words of a terminal.

Apart from what decides, since it is printed at the end of every run, also of one with nothing to
do, and loads next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Final

from flopline.documents import EstimateJson, HeadlineJson, VerdictJson, number_in
from flopline.laws.spec import spec_of
from flopline.loss_units import words
from flopline.numbers import flops_label, has_no_width, humanise, significant
from flopline.schema import split_label

AGREE_FACTOR: Final = 1.25
"""Largest factor in N up to which laws agree: there, following the wrong one costs 1.7 % of compute
(alpha + beta = 0.7, the quadratic form of audit.waste)."""
AGREE_LOSS: Final = 0.01
"""Largest relative difference of the loss up to which laws agree: several times the noise of a run,
and what a third more compute buys at an exponent of 0.05."""

SIZE: Final = "N"
LOWEST: Final = "the loss"
"""What laws agree or do not agree on, as it is called in a sentence."""


def headline_lines(verdict: VerdictJson, labels: Mapping[str, str]) -> list[str]:
    """The decision for a terminal: params, tokens and loss at the first target, a line each.

    Below them, as on the page: how far the target lies from the runs, how far the laws agree, and
    what must be read beside them. Where families are ranked, a line names the winner and what the
    others need for its loss. Families without a line to follow, and laws that could not be fitted,
    have a line each below.
    """
    head = verdict["headline"]
    if head is None:
        silent = silent_lines(verdict, labels)
        silent = silent or ["No law could be fitted: the report says why."]
        return [*silent, *verdict["not_fitted"]]
    budget = flops_label(head["budget_flops"])
    by_law, forecast = head["if_the_law_holds"], head["brackets"] == "forecast"
    unit = f" {words(verdict['loss_unit'])}" if "loss_unit" in verdict else ""
    loss = split_label(head["loss_split"]) if head["loss_split"] else "loss"
    brackets = "95 % forecasts" if forecast else "95 % intervals if the law holds"
    held = (
        f"If the law holds: N {_with_interval(by_law['params'])}, "
        f"loss {_with_interval(by_law['loss'], significant)}."
    )
    return [
        f"At {budget} FLOPs ({labels[head['family']]}, {_law_of(head)}) train "
        f"{_with_interval(head['params'])} parameters",
        f"on {_with_interval(head['tokens'])} tokens "
        f"({_with_interval(head['tokens_per_param'])} per parameter)",
        f"and expect a {loss[0].lower()}{loss[1:]} of "
        f"{_with_interval(head['loss'], significant)}{unit}; brackets are {brackets}.",
        *([held] if forecast else []),
        f"Reach: {head['reach']['words']}.",
        *_laws_apart(verdict, head),
        *([f"Warning: {head['warnings']}."] if head["warnings"] else []),
        *(entry["sentence"] for entry in verdict["families"][:1] if entry["winner"] is not None),
        *filter(None, [order_turns(verdict, labels)]),
        *family_lines(verdict, labels),
        *silent_lines(verdict, labels),
        *verdict["not_fitted"],
    ]


def _laws_apart(verdict: VerdictJson, head: HeadlineJson) -> Iterator[str]:
    """A short sentence on how far the laws agree where the headline stands."""
    for entry in verdict["agreement"]:
        if (entry["family"], entry["budget_flops"]) != (head["family"], head["budget_flops"]):
            continue
        ratio, loss_ratio = entry["params_ratio"], entry["loss_ratio"]
        if ratio is None or loss_ratio is None:
            yield f"Laws: {entry['short'][0].lower()}{entry['short'][1:]}"
            return
        apart = (
            f"N within a factor of {ratio:.2f} and the loss within "
            f"{significant(100 * (loss_ratio - 1), 2)} %"
        )
        if near(ratio, loss_ratio) and not entry["agree"]:
            yield f"Laws: {apart}, though not all of their 95 % intervals overlap."
        else:
            yield f"Laws: they {_agreed(ratio, loss_ratio)}, {apart}."


def _agreed(params_ratio: float, loss_ratio: float) -> str:
    """Whether laws so far apart agree, and on what they do not where they agree on the other."""
    off = disagreed(params_ratio, loss_ratio)
    if not off:
        return "agree"
    if len(off) == 1:
        agreed = next(name for name in (SIZE, LOWEST) if name not in off)
        return f"agree on {agreed} but not on {off[0]}"
    return "do not agree"


def family_lines(verdict: VerdictJson, labels: Mapping[str, str]) -> list[str]:
    """A sentence for each family beside the headline's: its own line, or what its few runs say.

    Before them stands why the families are not ranked, where they are not.
    """
    others = [_in_one_line(head, labels) for head in verdict.get("others", ())]
    why = [e["sentence"] for e in verdict["families"][:1] if e["winner"] is None]
    return [*why, *others, *(entry["sentence"] for entry in verdict.get("few_runs", ()))]


def order_turns(verdict: VerdictJson, labels: Mapping[str, str]) -> str:
    """Between which targets another family comes to lead, and who leads; empty where none does."""
    ranked = [e for e in verdict["families"] if e["winner"] is not None]
    ranked = sorted(ranked, key=lambda e: e["budget_flops"])
    turns = [(a, b) for a, b in pairwise(ranked) if a["winner"] != b["winner"]]
    if not turns:
        return ""
    label = [[flops_label(e["budget_flops"]) for e in pair] for pair in turns]
    where = " and ".join(f"between {low} and {high} FLOPs" for low, high in label)
    first = [*turns[0]]
    leads = [
        f"{labels[str(e['winner'])]} {'leads ' * (i == 0)}at {flops_label(e['budget_flops'])}"
        for i, e in enumerate([*first, *(b for _, b in turns[1:])])
    ]
    return f"The order of the families turns {where}: {', '.join(leads)}."


def _in_one_line(head: HeadlineJson, labels: Mapping[str, str]) -> str:
    params, tokens = (_with_interval(number) for number in (head["params"], head["tokens"]))
    return (
        f"{labels[head['family']]} ({_law_of(head)}): {params} parameters on {tokens} tokens, "
        f"loss {_with_interval(head['loss'], significant)}."
    )


def _law_of(head: HeadlineJson) -> str:
    return f"{spec_of(head['law']).label} law" + (f", {head['label']}" if head["label"] else "")


def silent_lines(
    verdict: VerdictJson, labels: Mapping[str, str], *, at_first: bool = True
) -> list[str]:
    """A sentence for each family that no line can be followed for at the first target.

    With `at_first` false those of all other targets.
    """
    first = next((c["budget_flops"] for c in verdict["choices"]), None)
    silences = [s for s in verdict["silent"] if (s["budget_flops"] == first) is at_first]
    alone = len(labels) < 2
    return [s["sentence"] if alone else f"{labels[s['family']]}: {s['sentence']}" for s in silences]


def _with_interval(estimate: EstimateJson, show: Callable[[float], str] = humanise) -> str:
    point, low, high = (number_in(estimate, end) for end in ("point", "lo95", "hi95"))
    if math.isnan(low):
        return f"{show(point)} (no interval)"
    if has_no_width(low, high):
        return f"{show(point)} [no width]"
    return f"{show(point)} [{show(low)}, {show(high)}]"


def near(params_ratio: float, loss_ratio: float) -> bool:
    """Whether laws that lie so far apart in N and in the loss agree, as far as points tell."""
    return not disagreed(params_ratio, loss_ratio)


def disagreed(params_ratio: float, loss_ratio: float) -> list[str]:
    """Which of SIZE and LOWEST laws do not agree on, that lie so far apart in N and in the loss."""
    size = [] if params_ratio <= AGREE_FACTOR else [SIZE]
    return size if loss_ratio - 1 <= AGREE_LOSS else [*size, LOWEST]
