"""The decision: the headline and the laws side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flopline.fits.result import FAILED
from flopline.numbers import factor, flops_label
from flopline.report.shown import (
    QUANTITY_VIEWS,
    Quantity,
    Shown,
    as_float,
    law_name,
    row_estimate,
    shown,
)
from flopline.schema import LAWS


@dataclass(frozen=True, slots=True)
class Headline:
    """The recommended line at the headline budget, in words."""

    budget: str
    family: str
    law: str
    status: str
    message: str
    extrapolation: str
    quantities: Sequence[tuple[Quantity, Shown]]

    def point(self, name: str) -> str:
        """The point estimate of the quantity called `name`, as it is written on the page."""
        return next(s.point for q, s in self.quantities if q.name == name)


@dataclass(frozen=True, slots=True)
class LawRow:
    """One law at one target; `cells` is empty where the law failed."""

    family: str
    budget: str
    law: str
    estimator: str
    status: str
    message: str
    recommended: bool
    extrapolation: str
    fit_id: str
    cells: Sequence[Shown]


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """All laws at one target budget, and what is said of their agreement."""

    budget: str
    extrapolation: str
    agreement: str
    rows: Sequence[LawRow]


@dataclass(frozen=True, slots=True)
class FamilyLaws:
    """The side-by-side table of one family."""

    id: str
    label: str
    targets: Sequence[TargetGroup]


def ordered(decision: pd.DataFrame, families: Mapping[str, str]) -> pd.DataFrame:
    """The decision table by family (in the study's order), budget and law, whatever came in."""
    family_rank = {family: i for i, family in enumerate(families)}
    law_rank = {law: i for i, law in enumerate(LAWS)}
    ranks = pd.DataFrame(
        {
            "f": [family_rank.get(f, len(family_rank)) for f in decision["family"]],
            "family": decision["family"].astype(str).to_numpy(),
            "c": decision["budget_flops"].to_numpy(dtype=float),
            "l": [law_rank.get(law, len(law_rank)) for law in decision["law"]],
            "law": decision["law"].astype(str).to_numpy(),
        }
    )
    order = ranks.sort_values(["f", "family", "c", "l", "law"]).index
    return decision.iloc[order].reset_index(drop=True)


def headline(
    verdict: Mapping[str, Any], decision: pd.DataFrame, families: Mapping[str, str]
) -> Headline | None:
    """The headline in words, or None where no law could be used."""
    head = verdict.get("headline")
    if not head:
        return None
    budget = float(head["budget_flops"])
    row = _row_of(decision, head["family"], head["law"], budget)
    return Headline(
        budget=flops_label(budget),
        family=families.get(head["family"], head["family"]),
        law=law_name(head["law"]),
        status=str(row["status"]) if row else "",
        message=str(row["message"]) if row else "",
        extrapolation=_reach(budget, as_float(row["extrapolation"])) if row else "",
        quantities=[(q, shown(head[q.name], q.label)) for q in QUANTITY_VIEWS if q.name in head],
    )


def law_tables(
    decision: pd.DataFrame,
    families: Mapping[str, str],
    agreement: Sequence[Mapping[str, Any]],
    fit_ids: Mapping[tuple[str, str], str],
) -> list[FamilyLaws]:
    """One table per family: every law at every target, grouped by target."""
    tables: list[FamilyLaws] = []
    for family, rows in decision.groupby("family", sort=False):
        label = families.get(str(family), str(family))
        groups = [
            TargetGroup(
                budget=flops_label(budget),
                extrapolation=_reach_short(as_float(at["extrapolation"].iloc[0])),
                agreement=_agreement(agreement, str(family), budget),
                rows=[_law_row(row, label, fit_ids) for row in at.to_dict("records")],
            )
            for budget, at in _by_budget(rows)
        ]
        tables.append(FamilyLaws(f"laws-{len(tables) + 1}", label, groups))
    return tables


def recommended(tables: Sequence[FamilyLaws]) -> list[LawRow]:
    """The recommended line of every family and target, in the order of the tables."""
    return [
        row for family in tables for target in family.targets for row in target.rows
        if row.recommended
    ]  # fmt: skip


def _by_budget(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    return [(float(str(b)), at) for b, at in rows.groupby("budget_flops", sort=False)]


def _law_row(row: Mapping[Any, Any], label: str, fit_ids: Mapping[tuple[str, str], str]) -> LawRow:
    failed = row["status"] == FAILED
    cells = [] if failed else [shown(row_estimate(row, q.name), q.label) for q in QUANTITY_VIEWS]
    return LawRow(
        family=label,
        budget=flops_label(float(row["budget_flops"])),
        law=law_name(row["law"]),
        estimator=str(row["estimator"]),
        status=str(row["status"]),
        message=str(row["message"]),
        recommended=bool(row["recommended"]),
        extrapolation=_reach_short(as_float(row["extrapolation"])),
        fit_id=fit_ids.get((row["family"], row["law"]), ""),
        cells=cells,
    )


def _row_of(
    decision: pd.DataFrame, family: str, law: str, budget: float
) -> Mapping[Any, Any] | None:
    rows: list[dict[Any, Any]] = decision.to_dict("records")
    for row in rows:
        same = row["family"] == family and row["law"] == law
        if same and math.isclose(row["budget_flops"], budget, rel_tol=1e-9):
            return row
    return None


def _agreement(agreement: Sequence[Mapping[str, Any]], family: str, budget: float) -> str:
    for entry in agreement:
        if entry["family"] == family and math.isclose(entry["budget_flops"], budget):
            return str(entry["sentence"])
    return ""


def _reach(budget: float, extrapolation: float) -> str:
    if math.isnan(extrapolation):
        return "How far the target lies beyond the data is not known."
    largest = flops_label(budget / extrapolation)
    if extrapolation <= 1:
        return f"The target lies within the data, whose largest budget is {largest} FLOPs."
    return f"The target is {factor(extrapolation)} the largest budget in the data, {largest} FLOPs."


def _reach_short(extrapolation: float) -> str:
    if math.isnan(extrapolation):
        return "reach unknown"
    if extrapolation <= 1:
        return "within the data"
    return f"{factor(extrapolation)} the largest budget"
