"""Estimates, settings and table cells as the text that stands on the page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from flopline import loss_units
from flopline.documents import EstimateJson
from flopline.loss_units import NATS
from flopline.numbers import MISSING, count, flops_label, humanise, interval, number, significant

_LONGEST_LIST = 12
_LONGEST_GIST = 150
_LEAST_CLAUSE = 4

_LABELS = {
    "params": humanise,
    "tokens": humanise,
    "flops": flops_label,
    "budget_flops": flops_label,
    "budgets": flops_label,
}


@dataclass(frozen=True, slots=True)
class FormattedEstimate:
    """An estimate in words: the point and its two intervals; `sort` is the point in full."""

    point: str
    ci80: str
    ci95: str
    sort: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval to show beside the point."""
        return (self.ci80, self.ci95) != (MISSING, MISSING)

    @property
    def fixed(self) -> bool:
        """Whether both intervals are the point itself, at the digits that are shown."""
        same = f"{self.point} to {self.point}"
        return (self.ci80, self.ci95) == (same, same)


@dataclass(frozen=True, slots=True)
class QuantityView:
    """How one of schema.QUANTITIES is headed and written."""

    name: str
    header: str
    unit: str
    label: Callable[[float], str]


QUANTITY_VIEWS = (
    QuantityView("params", "Params N", "weights", humanise),
    QuantityView("tokens", "Tokens D", "tokens", humanise),
    QuantityView("tokens_per_param", "D/N", "tokens per param", humanise),
    QuantityView("loss", "Loss", loss_units.words(NATS), significant),
    QuantityView("loss_new_run", "Loss of one run", "law and scatter of runs", significant),
    QuantityView("flops_ratio", "6ND/C", "1 where N and D spend C", lambda x: significant(x, 3)),
)

LOSSES = {"loss": "{}", "loss_new_run": "{}, one run"}
"""The quantities that are losses, and how they are headed by the study's name for its loss."""


def in_unit(loss_unit: str) -> list[QuantityView]:
    """The quantities, the loss in the unit of the study."""
    return [
        replace(q, unit=loss_units.words(loss_unit)) if q.name == "loss" else q
        for q in QUANTITY_VIEWS
    ]


def quantity_views(
    loss_label: str, spends_budget: bool, loss_unit: str = NATS
) -> list[QuantityView]:
    """The quantities that are worth a column, losses headed by the study's own name of them.

    `spends_budget` says that 6ND/C is 1 in every line, which then takes a sentence, not a column.
    """
    return [
        replace(q, header=LOSSES[q.name].format(loss_label)) if q.name in LOSSES else q
        for q in in_unit(loss_unit)
        if not (q.name == "flops_ratio" and spends_budget)
    ]


def as_float(value: Any) -> float:
    """`value` as a float, NaN where it is missing (None or pandas' NA)."""
    return math.nan if value is None or pd.isna(value) else float(value)


def formatted(
    estimate: EstimateJson,
    label: Callable[[float], str],
    label_ends: Callable[[float], str] | None = None,
) -> FormattedEstimate:
    """An estimate in the form of Estimate.to_json, its numbers written by `label`.

    `label_ends` writes the ends of the intervals where they deserve fewer digits than the point.
    """
    ends = label_ends or label
    point, lo80, hi80, lo95, hi95 = (
        as_float(estimate.get(key)) for key in ("point", "lo80", "hi80", "lo95", "hi95")
    )
    sort = "" if math.isnan(point) else repr(point)
    return FormattedEstimate(
        label(point), interval(lo80, hi80, ends), interval(lo95, hi95, ends), sort
    )


def row_estimate(row: Mapping[Any, Any], quantity: str) -> EstimateJson:
    """The estimate of `quantity` in one row of the decision table."""
    return {
        "point": row[quantity],
        "lo80": row[f"{quantity}_lo80"],
        "hi80": row[f"{quantity}_hi80"],
        "lo95": row[f"{quantity}_lo95"],
        "hi95": row[f"{quantity}_hi95"],
    }


def value_text(value: object, key: str = "") -> str:
    """A setting or diagnostic in one line; the key tells FLOPs and counts from other numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return MISSING
    if isinstance(value, float):
        return _LABELS.get(key, number)(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{words(k)} {value_text(v, str(k))}" for k, v in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _list_text(value, key)
    return str(value)


def flat(mapping: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str, object]]:
    """(label, key, value) of every leaf of nested mappings, in their own order."""
    for key, value in mapping.items():
        label = f"{prefix}, {words(key)}" if prefix else words(key)
        if isinstance(value, Mapping) and value:
            yield from flat(value, label)
        else:
            yield label, str(key), value


def words(key: object) -> str:
    """A key as words: starts_agreeing becomes "starts agreeing"."""
    return str(key).replace("_", " ")


def sentence(text: str) -> str:
    """A message as a sentence: with a capital and a full stop."""
    words = text.strip()
    return words[:1].upper() + words[1:] + ("" if not words or words[-1] in ".!?" else ".")


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; a full stop before a capital ends one."""
    return [part for part in re.split(r"(?<=[.!?]) (?=[A-Z])", text.strip()) if part]


def gist(text: str) -> str:
    """The first sentence, and of a long one the clauses that fit into 150 characters."""
    first = next(iter(sentences_of(text)), "")
    if len(first) <= _LONGEST_GIST:
        return first
    ends = [match.start() for match in re.finditer(r"; |: |, (?:while|and|so) ", first)]
    # A name before a colon is no sentence.
    fits = [e for e in ends if e <= _LONGEST_GIST and (first[e] != ":" or _is_clause(first[:e]))]
    return f"{first[: fits[-1]]}." if fits else first


def head_and_rest(text: str) -> tuple[str, str]:
    """A sentence parted at the first colon behind a whole clause, in two sentences.

    The second is empty where there is no such colon.
    """
    for colon in re.finditer(": ", text):
        if _is_clause(text[: colon.start()]):
            return sentence(text[: colon.start()]), sentence(text[colon.end() :])
    return text, ""


def _is_clause(text: str) -> bool:
    """Whether a text ends with more than a name, as one before a colon may be."""
    last = re.split(r"[.!?:;] ", text)[-1]
    return len(last.split()) >= _LEAST_CLAUSE


def _list_text(values: Sequence[Any], key: str) -> str:
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if numeric and len(values) > _LONGEST_LIST:
        ends = " to ".join(value_text(v, key) for v in (min(values), max(values)))
        return f"{count(len(values), 'value')} from {ends}"
    return ", ".join(value_text(v, key) for v in values) or "none"
