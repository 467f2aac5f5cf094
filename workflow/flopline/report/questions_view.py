"""What a study asks beside its targets, answered in words for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flopline.documents import Facts
from flopline.laws.spec import spec_of
from flopline.numbers import MISSING, flops_label, humanise, significant
from flopline.report.formatting import Quantity, Shown, as_float

LEAST_PERCENT: Final = 0.01
"""Waste below this share of compute is not written out."""
NEVER: Final = "never"


def _percent(value: float) -> str:
    return f"< {LEAST_PERCENT}" if abs(value) < LEAST_PERCENT else significant(value, 2)


COLUMNS: Final = (
    Quantity("flops", "Compute C", "FLOPs", flops_label),
    Quantity("params", "Params N", "weights", humanise),
    Quantity("tokens", "Tokens D", "tokens", humanise),
    Quantity("tokens_per_param", "D/N", "tokens per param", humanise),
    Quantity("loss", "Loss", "nats per token", significant),
    Quantity("wasted_percent", "Wasted", "% of compute", _percent),
)


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One question: its cells by COLUMNS, none where there is no answer, and what to mind."""

    question: str
    cells: Sequence[Shown]
    mind: str


@dataclass(frozen=True, slots=True)
class FamilyAnswers:
    """The questions of one family, by the law that answers them."""

    family: str
    law: str
    rows: Sequence[AnswerRow]


def questions_view(answers: Sequence[Facts], families: Mapping[str, str]) -> list[FamilyAnswers]:
    """The answers of the verdict by family, each labelled as in `families`."""
    by_family: dict[str, list[Facts]] = {}
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


def _row(answer: Facts) -> AnswerRow:
    cells = [] if not answer["borne"] else [_shown(answer, column) for column in COLUMNS]
    mind = str(answer["mind"])
    return AnswerRow(str(answer["question"]), cells, mind[:1].upper() + mind[1:])


def _shown(answer: Mapping[str, Any], column: Quantity) -> Shown:
    point = as_float(answer[column.name])

    def interval(level: int) -> str:
        ends = (as_float(answer.get(f"{column.name}_{side}{level}")) for side in ("lo", "hi"))
        low, high = ends
        if math.isnan(low):
            return MISSING
        # JSON has no infinity: what is left out above a number that is there is no number.
        return f"{column.label(low)} to {NEVER if math.isnan(high) else column.label(high)}"

    return Shown(column.label(point), interval(80), interval(95), repr(point))
