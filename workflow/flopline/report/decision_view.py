"""The decision: the headline, the laws and their estimators side by side, the families."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import pandas as pd

from flopline.decision import forecast_of
from flopline.documents import AgreementJson, ChoiceJson, EstimateJson, HeadlineJson, VerdictJson
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered as ordered_laws
from flopline.laws.spec import spec_of
from flopline.loss_units import NATS
from flopline.numbers import MISSING, count, factor, flops_label, humanise, significant
from flopline.report.decision_csv import decision_csv
from flopline.report.formatting import (
    QUANTITY_VIEWS,
    FormattedEstimate,
    QuantityView,
    as_float,
    formatted,
    in_unit,
    row_estimate,
)
from flopline.report.html_tables import Csv

LEAST_PERCENT = 0.01
"""Waste below this share of compute is not written out."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The recommended line at the headline budget, in words."""

    budget: str
    family: str
    law: str
    estimator: str
    status: str
    message: str
    extrapolation: str
    why: str
    family_id: str
    budget_flops: float
    intervals: str
    quantities: Sequence[tuple[QuantityView, FormattedEstimate]]

    def point(self, name: str) -> str:
        """The point estimate of the quantity called `name`, as it is written on the page."""
        return next(s.point for q, s in self.quantities if q.name == name)


@dataclass(frozen=True, slots=True)
class LawRow:
    """One law or variant at one target; `cells` is empty where it has no number.

    `held_out` and `cost` are (number, what it rests on): the waste on the held-out ladder, and
    the waste of following this line if the recommended one is right. `forecast` are the cells with
    what laws have missed when carried so far, those of `cells` where there is none; `split` is
    that of the law's losses where it is another than the study's.
    """

    family: str
    budget: str
    law: str
    estimator: str
    main: bool
    status: str
    message: str
    recommended: bool
    refused: bool
    extrapolation: str
    fit_id: str
    cells: Mapping[str, FormattedEstimate]
    exponent: FormattedEstimate | None
    held_out: tuple[str, str]
    cost: tuple[str, str]
    forecast: Mapping[str, FormattedEstimate]
    split: str


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """All laws at one target budget, how far they agree, and why one of them is recommended."""

    id: str
    budget: str
    extrapolation: str
    agreement: str
    choice: str
    rows: Sequence[LawRow]


@dataclass(frozen=True, slots=True)
class Variants:
    """All estimators of one law, its main line first, at every target."""

    id: str
    law: str
    count: str
    targets: Sequence[TargetGroup]
    csv: Csv


@dataclass(frozen=True, slots=True)
class FamilyLaws:
    """The side-by-side table of one family: main lines, and variants of each law apart."""

    id: str
    family: str
    label: str
    targets: Sequence[TargetGroup]
    variants: Sequence[Variants]
    csv: Csv

    def target(self, budget_flops: float) -> str:
        """The anchor of the lines at one budget, of this table if there is none."""
        label = flops_label(budget_flops)
        return next((t.id for t in self.targets if t.budget == label), self.id)


def ordered(decision: pd.DataFrame, families: Mapping[str, str]) -> pd.DataFrame:
    """The decision table by family (in the study's order), budget, law and estimator."""
    family_rank = {family: i for i, family in enumerate(families)}
    law_rank = {law: i for i, law in enumerate(ordered_laws(decision["law"].unique()))}
    ranks = pd.DataFrame(
        {
            "f": [family_rank.get(f, len(family_rank)) for f in decision["family"]],
            "family": decision["family"].astype(str).to_numpy(),
            "c": decision["budget_flops"].to_numpy(dtype=float),
            "l": [law_rank[law] for law in decision["law"]],
            "variant": ~decision["main"].to_numpy(dtype=bool),
            "name": decision["estimator"].astype(str).to_numpy(),
        }
    )
    order = ranks.sort_values(["f", "family", "c", "l", "variant", "name"]).index
    return decision.iloc[order].reset_index(drop=True)


def headline(
    verdict: VerdictJson, decision: pd.DataFrame, families: Mapping[str, str]
) -> Headline | None:
    """The headline in words, or None where no law could be used."""
    head = verdict.get("headline")
    if not head:
        return None
    budget = float(head["budget_flops"])
    stated = cast("Mapping[str, EstimateJson]", head)
    row = _row_of(decision, head, budget)
    return Headline(
        budget=flops_label(budget),
        family=families.get(head["family"], head["family"]),
        law=spec_of(head["law"]).title,
        estimator=str(row["label"]) if row and not row["main"] else "",
        status=str(row["status"]) if row else "",
        message=str(row["message"]) if row else "",
        extrapolation=_beside(head, row) if row else "",
        why=_sentence_of(verdict.get("choices", ()), head["family"], budget),
        family_id=str(head["family"]),
        budget_flops=budget,
        intervals=_intervals(head) if head["brackets"] == "forecast" else IF_THE_LAW_HOLDS,
        quantities=[
            (q, formatted(stated[q.name], q.label))
            for q in in_unit(str(verdict.get("loss_unit") or NATS))
            if q.name in head
        ],
    )


IF_THE_LAW_HOLDS: Final = (
    "The intervals hold if the law holds: nothing was held out that could say how far it strays "
    "when carried this far."
)


def _intervals(head: HeadlineJson) -> str:
    """What the intervals of a headline with a forecast hold, and what the law alone would say."""
    by_law = head["if_the_law_holds"]
    size, loss = formatted(by_law["params"], humanise), formatted(by_law["loss"], significant)
    return (
        "The intervals are forecasts: they hold what laws have missed when carried this far, on "
        "this study's own held-out ladder and on public ones. If the law holds, the 95 % intervals "
        f"are {size.ci95} for N and {loss.ci95} for the loss, which is then {loss.point}."
    )


def law_tables(
    decision: pd.DataFrame,
    families: Mapping[str, str],
    verdict: VerdictJson,
    fit_ids: Mapping[tuple[str, str], str],
    splits: Mapping[str, str],
) -> list[FamilyLaws]:
    """One table per family: every law at every target, grouped by target; variants by law.

    `splits` are those of `intervals.other_splits`.

    Returns the tables in the order of the families.
    """
    tables: list[FamilyLaws] = []
    for family, rows in decision.groupby("family", sort=False):
        label = families.get(str(family), str(family))
        main = rows["main"].astype(bool)
        shown_rows = rows[main | rows["recommended"].astype(bool)]
        table_id = f"laws-{len(tables) + 1}"

        def groups(
            lines: pd.DataFrame,
            with_reasons: bool,
            name: str,
            family: str = str(family),
            label: str = label,
        ) -> list[TargetGroup]:
            """Rows of one table by target.

            Returns one group for each budget, in the order of the rows.
            """
            return [
                TargetGroup(
                    id=f"{name}-target-{i}",
                    budget=flops_label(budget),
                    extrapolation=_reach_short(at.iloc[0]),
                    agreement=_sentence_of(verdict["agreement"], family, budget)
                    if with_reasons
                    else "",
                    choice=_sentence_of(verdict.get("choices", ()), family, budget)
                    if with_reasons
                    else "",
                    rows=[_law_row(row, label, fit_ids, splits) for row in at.to_dict("records")],
                )
                for i, (budget, at) in enumerate(_by_budget(lines), start=1)
            ]

        variants = [
            Variants(
                f"{table_id}-{law}",
                spec_of(str(law)).title,
                f"{at['estimator'].nunique()} side by side",
                groups(at, False, f"{table_id}-{law}"),
                decision_csv(at),
            )
            for law, at in rows.groupby("law", sort=False)
            if not at["main"].all()
        ]
        tables.append(
            FamilyLaws(
                table_id,
                str(family),
                label,
                groups(shown_rows, True, table_id),
                variants,
                decision_csv(shown_rows),
            )
        )
    return tables


def recommended(tables: Sequence[FamilyLaws]) -> list[LawRow]:
    """The recommended line of every family and target, in the order of the tables."""
    return [
        row for family in tables for target in family.targets for row in target.rows
        if row.recommended
    ]  # fmt: skip


def _by_budget(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    return [(float(str(b)), at) for b, at in rows.groupby("budget_flops", sort=False)]


def _law_row(
    row: Mapping[Any, Any],
    label: str,
    fit_ids: Mapping[tuple[str, str], str],
    splits: Mapping[str, str],
) -> LawRow:
    failed = row["status"] == FAILED
    views = () if failed else QUANTITY_VIEWS
    cells = {q.name: formatted(row_estimate(row, q.name), q.label) for q in views}
    has_exponent = not failed and "a" in row
    return LawRow(
        family=label,
        budget=flops_label(float(row["budget_flops"])),
        law=spec_of(row["law"]).title,
        estimator=str(row["label"]),
        main=bool(row["main"]),
        status=str(row["status"]),
        message=" ".join(filter(None, [_barred(row), str(row["message"])])),
        recommended=bool(row["recommended"]),
        refused=bool(row["refused"]) or bool(row["barred"]),
        extrapolation=_reach_short(row),
        fit_id=fit_ids.get((row["family"], row["law"]), ""),
        cells=cells,
        exponent=formatted(row_estimate(row, "a"), _three_decimals) if has_exponent else None,
        held_out=_held_out(row),
        cost=_cost(row),
        forecast=cells | _forecast_cells(row),
        split=splits.get(str(row["law"]), ""),
    )


def _forecast_cells(row: Mapping[Any, Any]) -> dict[str, FormattedEstimate]:
    """What is forecast by a line, by quantity; empty without a forecast."""
    if not row["recommended"] or "forecast_loss" not in row:
        return {}
    made = cast("Mapping[str, EstimateJson] | None", forecast_of(pd.Series(row)))
    if made is None:
        return {}
    return {q.name: formatted(made[q.name], q.label) for q in QUANTITY_VIEWS if q.name in made}


def _barred(row: Mapping[Any, Any]) -> str:
    """Why the line is not followed, empty where it may be."""
    return f"Not followed: {row['barred']}." if row["barred"] else ""


def _held_out(row: Mapping[Any, Any]) -> tuple[str, str]:
    steps, waste = int(row["held_out_steps"]), as_float(row["held_out_wasted_percent"])
    if not steps or math.isnan(waste):
        return MISSING, "not held out"
    steps_label = count(steps, "step")
    error = as_float(row.get("held_out_loss_error_percent"))
    if not math.isnan(error):
        steps_label += f", loss off by {significant(error, 2)}\u00a0%"
    return f"{significant(waste, 2)} %", steps_label


def _cost(row: Mapping[Any, Any]) -> tuple[str, str]:
    percent = as_float(row["cost_percent"])
    if row["recommended"] or math.isnan(percent):
        return MISSING, ""
    cost = f"{flops_label(as_float(row['cost_flops']))} FLOPs"
    money = as_float(row.get("cost_money"))
    if not math.isnan(money):
        cost += f", {humanise(money)} in money"
    return (
        f"{significant(percent, 2)} %" if percent >= LEAST_PERCENT else f"< {LEAST_PERCENT} %",
        cost,
    )


def _three_decimals(x: float) -> str:
    return f"{x:.3f}"


def _row_of(decision: pd.DataFrame, head: HeadlineJson, budget: float) -> Mapping[Any, Any] | None:
    """The row of the headline in the decision table."""
    rows: list[dict[Any, Any]] = decision.to_dict("records")
    for row in rows:
        same = row["family"] == head["family"] and row["law"] == head["law"]
        same = same and row["estimator"] == head["estimator"]
        if same and math.isclose(row["budget_flops"], budget, rel_tol=1e-9):
            return row
    return None


def _sentence_of(
    entries: Sequence[ChoiceJson] | Sequence[AgreementJson], family: str, budget: float
) -> str:
    """The sentence of one family and target."""
    for entry in entries:
        if entry["family"] == family and math.isclose(entry["budget_flops"], budget):
            return str(entry["sentence"])
    return ""


def _beside(head: HeadlineJson, row: Mapping[Any, Any]) -> str:
    """How far the target lies beyond the data, and what else must be read beside the headline."""
    warnings = str(head.get("warnings") or "")
    reach = _reach(float(head["budget_flops"]), as_float(row["extrapolation"]), _below(row))
    return f"{reach} {warnings[0].upper()}{warnings[1:]}." if warnings else reach


def _below(row: Mapping[str, Any] | pd.Series) -> float:
    """Compute of the smallest run over the target; NaN where it is not known."""
    return as_float(row.get("below_data"))


def _reach(budget: float, extrapolation: float, below: float) -> str:
    if math.isnan(extrapolation):
        return "How far the target lies beyond the data is not known."
    largest = flops_label(budget / extrapolation)
    if below > 1:
        return (
            f"The target lies below the data, whose smallest run has {flops_label(budget * below)} "
            f"FLOPs, {factor(below)} as many: it is extrapolated downwards."
        )
    if extrapolation <= 1:
        return f"The target lies within the data, whose largest budget is {largest} FLOPs."
    return f"The target is {factor(extrapolation)} the largest budget in the data, {largest} FLOPs."


def _reach_short(row: Mapping[str, Any] | pd.Series) -> str:
    extrapolation, below = as_float(row["extrapolation"]), _below(row)
    if below > 1:
        return f"downwards: the smallest run has {factor(below)} as much compute"
    if math.isnan(extrapolation):
        return "reach unknown"
    if extrapolation <= 1:
        return "within the data"
    return f"{factor(extrapolation)} the largest budget"
