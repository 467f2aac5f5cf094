"""What a study asks beside its targets, answered in words for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flopline.documents import AnswerJson, number_in
from flopline.laws.spec import spec_of
from flopline.loss_units import NATS, words
from flopline.numbers import MISSING, flops_label, humanise, significant
from flopline.report.formatting import FormattedEstimate, QuantityView

LEAST_PERCENT: Final = 0.01
"""Waste below this share of compute is not written out."""
NEVER: Final = "never"


def _percent(value: float) -> str:
    return f"< {LEAST_PERCENT}" if abs(value) < LEAST_PERCENT else significant(value, 2)


COLUMNS: Final = (
    QuantityView("flops", "Compute C", "FLOPs", flops_label),
    QuantityView("params", "Params N", "weights", humanise),
    QuantityView("tokens", "Tokens D", "tokens", humanise),
    QuantityView("tokens_per_param", "D/N", "tokens per param", humanise),
    QuantityView("forecast_loss", "Loss, forecast", words(NATS), significant),
    QuantityView("loss", "Loss, by the law", words(NATS), significant),
    QuantityView("wasted_percent", "Wasted", "% of compute", _percent),
)


def question_columns(loss_unit: str) -> list[QuantityView]:
    """COLUMNS with losses in the unit of the study."""
    return [replace(c, unit=words(loss_unit)) if c.unit == words(NATS) else c for c in COLUMNS]


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One question: its cells by COLUMNS, none where there is no answer, and a note."""

    question: str
    cells: Sequence[FormattedEstimate]
    note: str


@dataclass(frozen=True, slots=True)
class FamilyAnswers:
    """The questions of one family, by the law that answers them."""

    family: str
    law: str
    rows: Sequence[AnswerRow]


def questions_view(
    answers: Sequence[AnswerJson], families: Mapping[str, str]
) -> list[FamilyAnswers]:
    """The answers of the verdict by family, each labelled as in `families`."""
    by_family: dict[str, list[AnswerJson]] = {}
    for answer in answers:
        by_family.setdefault(str(answer["family"]), []).append(answer)
    return [
        FamilyAnswers(
            families.get(family, family),
            spec_of(str(rows[0]["law"])).title if rows[0]["law"] else "",
            [_row(row) for row in rows],
        )
        for family, rows in by_family.items()
    ]


def _row(answer: AnswerJson) -> AnswerRow:
    cells = [] if not answer["borne"] else [_formatted(answer, column) for column in COLUMNS]
    note = str(answer["note"])
    return AnswerRow(str(answer["question"]), cells, note[:1].upper() + note[1:])


def _formatted(answer: AnswerJson, column: QuantityView) -> FormattedEstimate:
    forecast = column.name == "forecast_loss"
    estimate = answer.get("forecast_loss") if forecast else answer["stated"][column.name]
    point = number_in(estimate)
    if forecast and math.isnan(point):
        return FormattedEstimate(MISSING, MISSING, MISSING, "")

    def interval(low: float, high: float) -> str:
        if math.isnan(low):
            return MISSING
        return f"{column.label(low)} to {NEVER if math.isnan(high) else column.label(high)}"

    ends80 = interval(number_in(estimate, "lo80"), number_in(estimate, "hi80"))
    ends95 = interval(number_in(estimate, "lo95"), number_in(estimate, "hi95"))
    return FormattedEstimate(column.label(point), ends80, ends95, repr(point))
