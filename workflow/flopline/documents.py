"""What the JSON documents of a study's results hold, as their readers may count on it.

The law, the audit and the decision each write theirs in the order of these keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    import pandas as pd

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


class SettingsJson(TypedDict, total=False):
    """The settings of a fit that others than its law read; there are more, each an option's."""

    draws: int
    seed: int
    split: str
    method: str
    objective: str
    smoothing_steps: float


class CurvatureJson(TypedDict):
    """Whether a frontier bends; see curvature.curvature. None where that could not be tested."""

    difference: float
    lo95: float | None
    hi95: float | None
    p_value: float | None


class LackOfFitJson(TypedDict):
    """How far a loss law misses its own frontier; see lack_of_fit.LackOfFit.

    Shares are None where there is no law or too few resamples; `spread` is empty then.
    """

    p_value: float | None
    rms_seen: float | None
    rms_of_runs: float | None
    misfit: float
    relative_sd_at_targets: list[float]
    runs: int
    spread: list[float]


class MisfitJson(TypedDict):
    """Whether the runs lie about a surface as they would by chance; see parametric.misfit.

    `p_values` are those of each test alone, None where it could not be made, `p_value` that of all
    together; `between_sd` is how far stretches of compute lie off beyond chance [ln loss].
    """

    found: bool
    p_value: float | None
    p_values: Mapping[str, float | None]
    between_sd: float


class BetweenBudgetsJson(TypedDict):
    """How optima scatter between budgets; see between_budgets.BetweenBudgets."""

    chi_square: float | None
    freedom: int
    p_value: float | None
    reml_sd: float | None
    sd: float
    sd_lo95: float | None
    sd_hi95: float | None


class CertificateJson(TypedDict, total=False):
    """What certifies a fit, as far as others than its law read it; each law writes its own part."""

    count: str
    lack_of_fit: LackOfFitJson
    misfit: MisfitJson
    curvature: CurvatureJson
    a_by_thirds: list[float]
    share_mid_schedule: float | None
    rule: str
    between_budgets: Mapping[str, BetweenBudgetsJson]
    budgets: int
    budgets_used: int
    budgets_flagged: int
    budgets_found_by: str
    largest_bias_ln_params: float | None
    bounds: list[str]
    condition: float | None
    huber_delta: float
    residual_sd: float
    top_runs_residual: float | None
    top_runs_residual_z: float | None


class NumbersJson(TypedDict, total=False):
    """The numbers of a finding that others than its audit read: exponents, of the ladder."""

    alpha: float
    beta: float


class InputFileJson(TypedDict):
    """One input of a study with its digest and size."""

    path: str
    sha256: str
    bytes: int


class ProvenanceJson(TypedDict, total=False):
    """Where the numbers of a report come from; see report.provenance."""

    files: list[InputFileJson]
    versions: Mapping[str, str]
    seeds: Mapping[str, int]
    config: str
    command: str
    code: str
    newest_log: str
    commit: str


class RangeJson(TypedDict):
    """Sizes between which no more than so much compute is wasted."""

    wasted_percent: float
    params_lo: float
    params_hi: float


class BestSizeJson(TypedDict):
    """The best size at a budget, and what it is expected to waste."""

    params: float
    tokens: float
    tokens_per_param: float
    wasted_percent: float
    ranges: list[RangeJson]


class LineWeightJson(TypedDict):
    """What one line weighs in a forecast of the loss and of the size."""

    line: str
    loss_weight: float | None
    params_weight: float | None


class TargetForecastJson(TypedDict):
    """What all lines of a family together forecast at one budget; see forecast.stated.to_json."""

    budget_flops: float
    size: BestSizeJson | None
    params: EstimateJson | None
    loss: EstimateJson
    loss_new_run: EstimateJson
    lines: list[LineWeightJson]


class FamilyForecastJson(TargetForecastJson):
    """The same with the family that it is of."""

    family: str


class FitProvenanceJson(TypedDict):
    """What a fit was made from; the script of the fit writes it."""

    inputs: Mapping[str, str]
    code: str
    seed: int


class FitJson(TypedDict):
    """A law fitted to a family; see fit_result.FitResult. The file names its family, too."""

    family: NotRequired[str]
    law: str
    estimator: str
    status: str
    message: str
    n_runs: int
    n_points: int
    settings: SettingsJson
    parameters: Mapping[str, EstimateJson]
    targets: list[TargetJson]
    certificate: CertificateJson
    provenance: NotRequired[FitProvenanceJson]


class FindingJson(TypedDict):
    """What one audit found; see audit.finding.Finding. As it is read it has its tables by name."""

    audit: str
    verdict: str
    sentence: str
    numbers: NumbersJson
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
    """A family beside the winner: the compute that it needs over the budget for the same loss.

    `multiplier` holds if the laws hold; `forecast` also what they have missed when carried so far,
    None where a family has no forecast.
    """

    family: str
    overlap: bool
    multiplier: EstimateJson
    forecast: EstimateJson | None


class ComparisonJson(TypedDict):
    """How the families compare at one target.

    `winner` is None where they are not ranked, `law` where they have none in common; `estimator`
    is the form of the law that they are compared by, empty for its main line.
    """

    budget_flops: float
    winner: str | None
    law: str | None
    estimator: str
    laws_agreeing: int
    laws_compared: int
    others: list[OtherFamilyJson]
    short: str
    sentence: str


class FewRunsJson(TypedDict):
    """A family of too few runs for a law, set beside the loss law of another family.

    `multiplier` is the compute that this law needs for their losses over what they took, on
    average; `saved_percent` the share of it that they save.
    """

    family: str
    beside: str
    law: str
    runs: int
    multiplier: EstimateJson
    saved_percent: EstimateJson
    sentence: str


class ForecastJson(TypedDict):
    """What is forecast by a line: its intervals hold what laws have missed when carried so far."""

    params: EstimateJson
    tokens: EstimateJson
    tokens_per_param: EstimateJson
    loss: EstimateJson


class ReachJson(TypedDict):
    """How far a target lies from the runs of a family; see reach.Reach."""

    side: Literal["within", "beyond", "below"]
    times: float
    grade: str
    words: str


class HeadlineJson(TypedDict):
    """The recommended line of one family at the first target.

    `label` says which variant of its law it is, empty for the main line; `warnings` what must be
    read beside it, empty where there is nothing of that kind.
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
    reach: ReachJson
    warnings: str


class SilenceJson(TypedDict):
    """That no line can be followed for a family at a target [FLOPs], and why."""

    family: str
    budget_flops: float
    why: str
    up_to_flops: float
    needed: str
    sentence: str


class AnswerJson(TypedDict):
    """What a law answers to a question of the study; without numbers where `borne` is not so.

    An end of an interval that is None above one that is there is infinite: in `never_percent` of
    the draws no compute reaches the loss.
    """

    family: str
    law: str
    question: str
    target_flops: float | None
    target_loss: float | None
    limit: str
    value: float | None
    never: bool
    borne: bool
    note: str
    never_percent: float | None
    stated: Mapping[str, EstimateJson]


class VerdictJson(TypedDict):
    """The decision of a study beside its table; see decision.decide.

    `others` are the lines of the families beside that of the headline where none is ranked;
    `combined` is why the forecast of all lines together is not recommended, empty without one.
    """

    headline: HeadlineJson | None
    silent: list[SilenceJson]
    forecasts: list[FamilyForecastJson]
    combined: NotRequired[str]
    rule: str
    caveat: str
    choices: list[ChoiceJson]
    agreement: list[AgreementJson]
    families: list[ComparisonJson]
    others: NotRequired[list[HeadlineJson]]
    few_runs: NotRequired[list[FewRunsJson]]
    not_fitted: list[str]
    synthetic: NotRequired[bool]
    loss_unit: NotRequired[str]
    questions: NotRequired[list[AnswerJson]]


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
