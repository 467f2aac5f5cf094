"""What the JSON documents of a study's results hold, as their readers may count on it.

The law, the audit and the decision each write theirs in the order of these keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    import pandas as pd

Facts = Mapping[str, Any]
"""Numbers and words under names that only their writer and what speaks of it know: the
certificate and the settings of a law's fit, the numbers of an audit."""
Stated = Literal["params", "tokens", "tokens_per_param", "loss", "loss_new_run", "flops_ratio"]
"""What a fit states at each target."""
End = Literal["point", "lo80", "hi80", "lo95", "hi95"]
"""The number of an estimate, or an end of an interval."""


class EstimateJson(TypedDict):
    """A number with its 80 and 95 % intervals, None where there is none."""

    point: float | None
    lo80: float | None
    hi80: float | None
    lo95: float | None
    hi95: float | None
    at_bound: NotRequired[bool]


class TargetJson(TypedDict):
    """What a fit states at one budget [FLOPs]."""

    budget_flops: float
    params: EstimateJson
    tokens: EstimateJson
    tokens_per_param: EstimateJson
    loss: EstimateJson
    loss_new_run: EstimateJson
    flops_ratio: EstimateJson


class FitJson(TypedDict):
    """A law fitted to a family; see fit_result.FitResult. The file names its family, too."""

    family: NotRequired[str]
    law: str
    estimator: str
    status: str
    message: str
    n_runs: int
    n_points: int
    settings: Facts
    parameters: Mapping[str, EstimateJson]
    targets: list[TargetJson]
    certificate: Facts
    provenance: NotRequired[Facts]


class FindingJson(TypedDict):
    """What one audit found; see audit.finding.Finding. As it is read it has its tables by name."""

    audit: str
    verdict: str
    sentence: str
    numbers: Facts
    tables: NotRequired[Mapping[str, pd.DataFrame]]


class ChoiceJson(TypedDict):
    """Which line is recommended for one family and target, None where none is, and why."""

    family: str
    budget_flops: float
    law: str | None
    estimator: str | None
    basis: str
    short: str
    sentence: str


class AgreementJson(TypedDict):
    """How far the laws agree for one family and target; None where fewer than two can be told."""

    family: str
    budget_flops: float
    params_ratio: float | None
    overlap: bool | None
    agree: bool | None
    short: str
    sentence: str


class OtherFamilyJson(TypedDict):
    """A family beside the winner: the compute that it needs over the budget for the same loss."""

    family: str
    overlap: bool
    multiplier: EstimateJson


class ComparisonJson(TypedDict):
    """How the families compare at one target; `law` is None where they have none in common."""

    budget_flops: float
    winner: str
    law: str | None
    laws_agreeing: int
    laws_compared: int
    others: list[OtherFamilyJson]
    short: str
    sentence: str


class ForecastJson(TypedDict):
    """What is forecast by a line: its intervals hold what laws have missed when carried so far."""

    params: EstimateJson
    tokens: EstimateJson
    tokens_per_param: EstimateJson
    loss: EstimateJson


class HeadlineJson(TypedDict):
    """The recommended line of the winning family at the first target.

    `label` says which variant of its law it is, empty for the main line; `mind` what must be read
    beside it, empty where there is nothing of that kind.
    """

    family: str
    law: str
    estimator: str
    label: str
    budget_flops: float
    params: EstimateJson
    tokens: EstimateJson
    loss: EstimateJson
    tokens_per_param: EstimateJson
    forecast: ForecastJson | None
    mind: str


class SilenceJson(TypedDict):
    """That no line can be followed for a family at a target [FLOPs], and why."""

    family: str
    budget_flops: float
    why: str
    up_to_flops: float
    needed: str
    sentence: str


class VerdictJson(TypedDict):
    """The decision of a study beside its table; see decision.decide."""

    headline: HeadlineJson | None
    silent: list[SilenceJson]
    forecasts: list[Facts]
    rule: str
    caveat: str
    choices: list[ChoiceJson]
    agreement: list[AgreementJson]
    families: list[ComparisonJson]
    not_fitted: list[str]
    synthetic: NotRequired[bool]
    questions: NotRequired[list[Facts]]


NO_ESTIMATE: EstimateJson = {
    "point": None,
    "lo80": None,
    "hi80": None,
    "lo95": None,
    "hi95": None,
}
"""What is stated where there is no number."""


def number_in(estimate: EstimateJson | None, end: End = "point") -> float:
    """A number of an estimate, NaN where there is none."""
    value = None if estimate is None else estimate[end]
    return math.nan if value is None else float(value)


FitsJson = Mapping[str, FitJson]
"""The fits of one family by law."""
