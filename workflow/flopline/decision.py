"""The decision: every law side by side at every target budget, and one recommended line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from flopline.fits.result import CONVERGED, FAILED
from flopline.numbers import flops_label, humanise, significant
from flopline.schema import LEVELS, QUANTITIES

ORDER = ("parametric", "isoflop", "envelope")
RULE = (
    "The parametric law is recommended where its fit converged without a warning, since it uses "
    "every run and is free of the parabola's bias; else the isoFLOP law, else the envelope. Where "
    "none is without a warning, the first of these that did not fail. The headline is the family "
    "with the lowest loss there."
)

COMPARED = {"params": "N", "tokens": "D", "loss": "the loss"}
"""What the laws must agree on, as it is called in a sentence."""

Fits = Mapping[str, Mapping[str, Mapping[str, Any]]]


def decide(
    fits: Fits, targets: Sequence[float], largest_flops: Mapping[str, float]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The decision table and its verdict.

    `fits` maps family and law to fit JSON (see FitResult.to_json), `largest_flops` each family to
    the compute of its largest run [FLOPs]. The table has one row per family, target and law; the
    verdict holds the headline at the first target, the rule, and how far the laws agree.
    """
    rows = [
        _row(family, law, fit, target, largest_flops[family])
        for family, laws in fits.items()
        for target in range(len(targets))
        for law, fit in laws.items()
    ]
    table = pd.DataFrame(rows)
    chosen = table.groupby(["family", "budget_flops"], sort=False).apply(
        _recommended, include_groups=False
    )
    table["recommended"] = table.index.isin(chosen.dropna().astype(int))
    verdict = {
        "headline": _headline(table, fits, targets),
        "rule": RULE,
        "agreement": [
            _agreement(family, budget, group)
            for (family, budget), group in table.groupby(["family", "budget_flops"], sort=False)
        ],
    }
    return table, verdict


def headline_lines(verdict: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """The decision in three lines for a terminal: params, tokens and loss at the first target."""
    head = verdict["headline"]
    if head is None:
        return ["No law could be fitted: the report says why."]
    budget = flops_label(head["budget_flops"])
    return [
        f"At {budget} FLOPs ({labels[head['family']]}, {head['law']} law) train "
        f"{_said(head['params'])} parameters",
        f"on {_said(head['tokens'])} tokens ({_said(head['tokens_per_param'])} per parameter)",
        f"and expect a loss of {_said(head['loss'], significant)}; brackets are 95 % intervals.",
    ]


def _said(estimate: Mapping[str, float], show: Callable[[float], str] = humanise) -> str:
    if estimate["lo95"] is None:
        return f"{show(estimate['point'])} (no interval)"
    return f"{show(estimate['point'])} [{show(estimate['lo95'])}, {show(estimate['hi95'])}]"


def _row(
    family: str, law: str, fit: Mapping[str, Any], target: int, largest: float
) -> dict[str, Any]:
    at = fit["targets"][target]
    row = {
        "family": family,
        "law": law,
        "estimator": fit["estimator"],
        "budget_flops": at["budget_flops"],
        "status": fit["status"],
        "message": fit["message"],
        "recommended": False,
        "extrapolation": at["budget_flops"] / largest,
    }
    bounds = [f"{side}{level}" for level in LEVELS for side in ("lo", "hi")]
    for q in QUANTITIES:
        usable = fit["status"] != FAILED
        row[q] = _number(at[q]["point"]) if usable else math.nan
        row |= {f"{q}_{b}": _number(at[q][b]) if usable else math.nan for b in bounds}
    return row


def _recommended(group: pd.DataFrame) -> int | None:
    usable = group[group["params"].notna()]
    for candidates in (usable[usable["status"] == CONVERGED], usable):
        for law in ORDER:
            found = candidates.index[candidates["law"] == law]
            if len(found):
                return int(found[0])
    return None


def _headline(table: pd.DataFrame, fits: Fits, targets: Sequence[float]) -> dict[str, Any] | None:
    lines = table[table["recommended"] & (table["budget_flops"] == targets[0])]
    if lines.empty:
        return None
    best = lines.sort_values("loss", kind="stable").iloc[0]
    family, law = str(best["family"]), str(best["law"])
    at = fits[family][law]["targets"][0]
    quantities = {q: dict(at[q]) for q in ("params", "tokens", "loss", "tokens_per_param")}
    return {"family": family, "law": law, "budget_flops": at["budget_flops"], **quantities}


def _agreement(family: str, budget: float, group: pd.DataFrame) -> dict[str, Any]:
    """How far the laws agree on N, D and loss at one target, told by their 95 % intervals."""
    usable = group[group["params"].notna()]
    out: dict[str, Any] = {"family": family, "budget_flops": float(budget)}
    if len(usable) < 2:
        number = "Only one law gives a number" if len(usable) else "No law gives a number"
        sentence = f"{number} here, so nothing can be compared."
        return out | {"params_ratio": None, "overlap": None, "sentence": sentence}
    low, high = usable["params"].min(), usable["params"].max()
    apart = [said for q, said in COMPARED.items() if not _overlap(usable, q)]
    sentence = (
        f"{len(usable)} laws put N between {humanise(low)} and {humanise(high)}, a factor of "
        f"{high / low:.2f}, and the loss between {significant(usable['loss'].min())} and "
        f"{significant(usable['loss'].max())}; "
    )
    sentence += (
        f"not all of their 95 % intervals of {' and '.join(apart)} overlap."
        if apart
        else "their 95 % intervals overlap."
    )
    return out | {"params_ratio": float(high / low), "overlap": not apart, "sentence": sentence}


def _overlap(lines: pd.DataFrame, quantity: str) -> bool:
    """Whether the 95 % intervals of every two lines have a point in common."""
    return bool(lines[f"{quantity}_lo95"].max() <= lines[f"{quantity}_hi95"].min())


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
