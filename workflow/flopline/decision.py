"""The decision: every law and estimator side by side at every target, and one recommended line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from flopline.agreement import agreement, between, cost_percent, too_wide
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import surface_of
from flopline.choice import (
    CAVEAT,
    Choice,
    Findings,
    choose,
    held_out,
    line_name,
    refused,
    rule,
    steps_of,
)
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import ENDS, FAILED, plain
from flopline.laws.spec import Says, spec_of, surface_law
from flopline.numbers import factor, flops_label, humanise, significant
from flopline.schema import QUANTITIES
from flopline.surfaces.chinchilla import LossSurface

STATED: Final = ("a", "b", *QUANTITIES)
"""What every row says, each with the ends of its intervals."""
DEGENERATE: Final = 1e6
"""Condition number of the scaled J'J from which it is told beside the headline: ten times that from
which a fit warns (parametric_fit.ILL_CONDITIONED)."""


@dataclass(frozen=True, slots=True)
class FamilyEvidence:
    """What one family's fits and audits left: by law the fit's JSON, its estimators and draws.

    `findings` are mappings with audit, verdict and tables, empty where nothing was audited;
    `largest_flops` and `smallest_flops` are the compute of the family's largest and smallest run
    [FLOPs].
    """

    fits: Mapping[str, Mapping[str, Any]]
    estimators: Mapping[str, pd.DataFrame]
    largest_flops: float
    draws: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    findings: Findings = ()
    smallest_flops: float = math.nan


def decide(
    evidence: Mapping[str, FamilyEvidence],
    targets: Sequence[float],
    labels: Mapping[str, str],
    options: AuditOptions | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The decision table and its verdict, by `choice.rule`.

    `evidence` and `labels` are by family, `targets` budgets [FLOPs]; of the `options` of the audit
    the price counts. The table has one row per family, target, law and estimator; `main` marks a
    law's main line, held_out_* what the ladder says of it, cost_* what following it would waste if
    the recommended line is right. The verdict holds the headline at the first target, the rule, the
    choice of every family and target, how far the laws agree, and how the families compare.
    """
    table = pd.DataFrame([row for family in evidence for row in _rows(family, evidence, targets)])
    price_per_flop = (options or AuditOptions()).price_per_flop
    choices, agreements = [], []
    groups = list(table.groupby(["family", "budget_flops"], sort=False).groups.items())
    for (family, budget), rows in groups:
        known = evidence[family]
        surface = _surface(known)
        choice = choose(table.loc[rows], known.findings)
        _add_held_out(table, rows, held_out(known.findings), choice.steps)
        if choice.line is not None:
            table.loc[choice.line, "recommended"] = True
            right = float(table.loc[choice.line, "params"])
            wasted = cost_percent(table.loc[rows, "params"], right, surface, float(budget))
            table.loc[rows, "cost_percent"] = wasted
            table.loc[rows, "cost_flops"] = wasted / 100 * budget
        lines = table.loc[rows].assign(
            cost_money=table["cost_flops"] * (price_per_flop or math.nan)
        )
        choices.append(_choice(family, float(budget), lines, choice))
        counted = any(fit.get("certificate", {}).get("count") for fit in known.fits.values())
        told = agreement(family, float(budget), lines, choice.line, surface, counted)
        agreements.append(told)
    if price_per_flop is not None:
        table["cost_money"] = table["cost_flops"] * price_per_flop
    families = _families(table, targets, labels, evidence)
    verdict = {
        "headline": _headline(table, targets, families, evidence),
        "rule": rule(list(table["law"].unique()) if len(table) else []),
        "caveat": CAVEAT,
        "choices": choices,
        "agreement": agreements,
        "families": families,
    }
    return table, plain(verdict)


def headline_lines(verdict: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """The decision in three lines for a terminal: params, tokens and loss at the first target."""
    head = verdict["headline"]
    if head is None:
        return ["No law could be fitted: the report says why."]
    budget = flops_label(head["budget_flops"])
    return [
        f"At {budget} FLOPs ({labels[head['family']]}, {spec_of(head['law']).label} law) train "
        f"{_said(head['params'])} parameters",
        f"on {_said(head['tokens'])} tokens ({_said(head['tokens_per_param'])} per parameter)",
        f"and expect a loss of {_said(head['loss'], significant)}; brackets are 95 % intervals.",
        *([f"Mind: {head['mind']}."] if head.get("mind") else []),
    ]


def _said(estimate: Mapping[str, float], show: Callable[[float], str] = humanise) -> str:
    if estimate["lo95"] is None:
        return f"{show(estimate['point'])} (no interval)"
    return f"{show(estimate['point'])} [{show(estimate['lo95'])}, {show(estimate['hi95'])}]"


def _rows(
    family: str, evidence: Mapping[str, FamilyEvidence], targets: Sequence[float]
) -> list[dict[str, Any]]:
    """One row per target, law and estimator of a family, targets in their order."""
    known = evidence[family]
    rows = []
    for budget in targets:
        for law, lines in known.estimators.items():
            same = [math.isclose(b, budget, rel_tol=1e-9) for b in lines["budget_flops"]]
            for line in lines[same].to_dict("records"):
                rows.append(_row(family, known, law, line, budget))
    return rows


def _row(
    family: str,
    known: FamilyEvidence,
    law: str,
    line: Mapping[Any, Any],
    budget: float,
) -> dict[str, Any]:
    fit = known.fits[law]
    row = {
        "family": family,
        "law": law,
        "estimator": line["estimator"],
        "label": line["label"],
        "main": bool(line["main"]),
        "budget_flops": float(budget),
        "status": line["status"],
        "message": line["message"],
        "recommended": False,
        "refused": spec_of(law).says is Says.SURFACE and refused(known.findings),
        "extrapolation": budget / known.largest_flops,
        "below_data": known.smallest_flops / budget,
        "runs": min(fit["n_runs"], fit["n_points"]),
        "held_out_steps": 0,
        "held_out_wasted_percent": math.nan,
        "held_out_loss_error_percent": math.nan,
        "cost_percent": math.nan,
        "cost_flops": math.nan,
    }
    usable = line["status"] != FAILED
    for name in STATED:
        for column in (name, *(f"{name}_{end}" for end in ENDS)):
            row[column] = float(line[column]) if usable else math.nan
    return row


def _add_held_out(
    table: pd.DataFrame, rows: Sequence[Any], steps: pd.DataFrame, shared: Sequence[float]
) -> None:
    """What the ladder says of each line, over the shared steps if it has them all, else its own."""
    for row in rows:
        mine = steps_of(table.loc[row], steps)
        same = mine[mine["largest_flops"].isin(shared)]
        mine = same if shared and len(same) == len(shared) else mine
        table.loc[row, "held_out_steps"] = len(mine)
        for name in ("wasted_percent", "loss_error_percent"):
            table.loc[row, f"held_out_{name}"] = float(mine[name].astype(float).mean())


def _surface(known: FamilyEvidence) -> LossSurface | None:
    """The surface whose exponents price a wrong size; None where there is none to trust."""
    law = surface_law(known.fits)
    if law is None or refused(known.findings):
        return None
    try:
        return surface_of(known.fits[law])
    except FloplineError:
        return None


def _choice(family: str, budget: float, lines: pd.DataFrame, choice: Choice) -> dict[str, Any]:
    """One choice for the verdict: names, the sentence, and what the runner-up would have said."""
    out: dict[str, Any] = {"family": family, "budget_flops": budget, "law": None, "estimator": None}
    sentence = choice.why
    if choice.line is not None:
        line = lines.loc[choice.line]
        out |= {"law": line["law"], "estimator": line["estimator"]}
    if choice.runner_up is not None:
        other = lines.loc[choice.runner_up]
        sentence += (
            f" The runner-up, the {line_name(other)} line, says {humanise(other['params'])} "
            f"params on {humanise(other['tokens'])} tokens and a loss of "
            f"{significant(other['loss'])}."
        )
    return out | {"basis": choice.basis, "short": choice.why, "sentence": sentence}


def _families(
    table: pd.DataFrame,
    targets: Sequence[float],
    labels: Mapping[str, str],
    evidence: Mapping[str, FamilyEvidence],
) -> list[dict[str, Any]]:
    fits = {family: known.fits for family, known in evidence.items()}
    draws = {family: known.draws for family, known in evidence.items()}
    found = [
        between(table[table["budget_flops"] == budget], float(budget), labels, fits, draws)
        for budget in targets
    ]
    return [entry for entry in found if entry is not None]


def _headline(
    table: pd.DataFrame,
    targets: Sequence[float],
    families: Sequence[Mapping[str, Any]],
    evidence: Mapping[str, FamilyEvidence],
) -> dict[str, Any] | None:
    """The recommended line of the winning family at the first target, with its intervals.

    `mind` is what must be read beside it: an interval or a condition number that is no answer, a
    target below all runs; empty where there is nothing of that kind.
    """
    lines = table[table["recommended"] & (table["budget_flops"] == targets[0])]
    if lines.empty:
        return None
    best = lines.sort_values("loss", kind="stable").iloc[0]
    if families and families[0]["budget_flops"] == targets[0]:
        best = lines[lines["family"] == families[0]["winner"]].iloc[0]
    names = ("family", "law", "estimator")
    quantities = {q: _estimate(best, q) for q in ("params", "tokens", "loss", "tokens_per_param")}
    fit = evidence[str(best["family"])].fits[str(best["law"])]
    return {
        **{n: str(best[n]) for n in names},
        "budget_flops": float(targets[0]),
        **quantities,
        "mind": "; ".join(_minded(best, fit.get("certificate", {}))),
    }


def _minded(line: pd.Series, certificate: Mapping[str, Any]) -> Iterator[str]:
    yield from filter(None, [too_wide(line)])
    condition = certificate.get("condition") or 0.0
    if condition > DEGENERATE:
        yield (
            f"the parameters trade off all but freely (condition number {condition:.1e}), so other "
            "sizes fit these runs as well"
        )
    if line["below_data"] > 1:
        yield f"the target lies {factor(line['below_data'])} below the smallest run"


def _estimate(line: pd.Series, quantity: str) -> dict[str, float | None]:
    values = {"point": line[quantity], **{end: line[f"{quantity}_{end}"] for end in ENDS}}
    return {k: float(v) if math.isfinite(v) else None for k, v in values.items()}
