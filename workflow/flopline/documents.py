"""What the JSON documents of a study's results hold, as their readers may count on it.

The law, the audit and the decision each write theirs in the order of these keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    import pandas as pd

Stated = Literal["params", "tokens", "tokens_per_param", "loss", "loss_new_run", "flops_ratio"]
"""What a fit states at each target."""
End = Literal["point", "lo80", "hi80", "lo95", "hi95"]
"""The number of an estimate, or an end of an interval."""


class EstimateJson(TypedDict):
    """A number with its 80 and 95 % intervals, None where there is none."""

    point: float | None
    """The estimate."""
    lo80: float | None
    """Lower end of the 80 % interval."""
    hi80: float | None
    """Its upper end."""
    lo95: float | None
    """Lower end of the 95 % interval."""
    hi95: float | None
    """Its upper end."""
    at_bound: NotRequired[bool]
    """Whether the estimate sits on the bound of its search."""


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
    together; `between_sd` is how far stretches of compute lie off beyond chance [ln loss];
    `clause` says where they do, of the largest runs first, empty where nothing was found;
    `off_percent` is how far off that is [percent of the loss], where it is a distance.
    """

    found: bool
    p_value: float | None
    p_values: Mapping[str, float | None]
    between_sd: float
    clause: NotRequired[str]
    off_percent: NotRequired[float]


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
    commit: str


class RangeJson(TypedDict):
    """Sizes between which no more than so much compute is wasted."""

    wasted_percent: float
    """The most compute that a size in the range is expected to waste, in percent."""
    params_lo: float
    """The smallest such N."""
    params_hi: float
    """The largest such N."""


class BestSizeJson(TypedDict):
    """The best size at a budget, and what it is expected to waste."""

    params: float
    """N that is expected to waste least."""
    tokens: float
    """Its D."""
    tokens_per_param: float
    """Its D/N."""
    wasted_percent: float
    """Compute that it is expected to waste, in percent."""
    ranges: list[RangeJson]
    """Sizes that waste little more."""


class LineWeightJson(TypedDict):
    """What one line weighs in a forecast of the loss and of the size."""

    line: str
    """Law and estimator, as in decision.csv."""
    loss_weight: float | None
    """Its share in the forecast of the loss."""
    params_weight: float | None
    """Its share in the forecast of N."""


class TargetForecastJson(TypedDict):
    """What all lines of a family together forecast at one budget; see forecast.stated.to_json."""

    budget_flops: float
    """The target in FLOPs."""
    size: BestSizeJson | None
    """The best size, null where no line has one."""
    params: EstimateJson | None
    """Forecast N, null where none is held out."""
    loss: EstimateJson
    """Forecast loss of the best run."""
    loss_new_run: EstimateJson
    """Forecast loss of one more run, with its own scatter."""
    lines: list[LineWeightJson]
    """What each line weighs."""


class FamilyForecastJson(TargetForecastJson):
    """The same with the family that it is of."""

    family: str
    """Its name in the study file."""


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
    """Its name in the study file."""
    budget_flops: float
    """The target in FLOPs."""
    law: str | None
    """The law that is followed."""
    estimator: str | None
    """Its estimator."""
    basis: str
    """What chose it: held_out, held_out_loss, tie, order, only or none."""
    short: str
    """Why, in a sentence."""
    sentence: str
    """The same with what the runner-up says."""
    forecast: NotRequired[ForecastJson | None]
    """What is forecast by the line that is followed; at the first target the headline states it."""


class AgreementJson(TypedDict):
    """How far the laws agree for one family and target; None where fewer than two can be told."""

    family: str
    """Its name in the study file."""
    budget_flops: float
    """The target in FLOPs."""
    params_ratio: float | None
    """The largest N of a law over the smallest."""
    loss_ratio: float | None
    """The largest loss of a law over the smallest."""
    overlap: bool | None
    """Whether all 95 % intervals overlap."""
    agree: bool | None
    """Whether the laws agree."""
    short: str
    """The same in few words."""
    sentence: str
    """The same with what the wrong one would waste."""


class OtherFamilyJson(TypedDict):
    """A family beside the winner: the compute that it needs over the budget for the same loss.

    `multiplier` holds if the laws hold; `forecast` also what they have missed when carried so far,
    None where a family has no forecast.
    """

    family: str
    """Its name in the study file."""
    overlap: bool
    """Whether the 95 % intervals of the two losses overlap."""
    multiplier: EstimateJson
    """Compute that it needs over the winner's for the same loss, if the laws hold."""
    forecast: EstimateJson | None
    """The same with what laws have missed when carried so far."""


class ComparisonJson(TypedDict):
    """How the families compare at one target.

    `winner` is None where they are not ranked, `law` where they have none in common; `estimator`
    is the form of the law that they are compared by, empty for its main line.
    """

    budget_flops: float
    """The target in FLOPs."""
    winner: str | None
    """The family of lowest loss."""
    law: str | None
    """The law by which they are compared."""
    estimator: str
    """Its form, empty for the main line."""
    laws_agreeing: int
    """Laws that name the same winner."""
    laws_compared: int
    """Laws that all families have."""
    others: list[OtherFamilyJson]
    """The other families."""
    short: str
    """The same in few words."""
    sentence: str
    """The same in full."""


class FewRunsJson(TypedDict):
    """A family of too few runs for a law, set beside the loss law of another family.

    `multiplier` is the compute that this law needs for their losses over what they took, on
    average; `saved_percent` the share of it that they save.
    """

    family: str
    """Its name in the study file."""
    beside: str
    """The family whose loss law it is set beside."""
    law: str
    """That law."""
    runs: int
    """How many runs it has."""
    multiplier: EstimateJson
    """Compute that the law needs for their losses over what they took."""
    saved_percent: EstimateJson
    """The share of it that they save."""
    sentence: str
    """The same in words."""


class ForecastJson(TypedDict):
    """N, D, D/N and loss of a line at a budget, all forecast or all as they are if the law holds.

    The intervals of a forecast hold what laws have missed when carried so far.
    """

    params: EstimateJson
    """N."""
    tokens: EstimateJson
    """D."""
    tokens_per_param: EstimateJson
    """D/N."""
    loss: EstimateJson
    """Loss of the best run."""


class ReachJson(TypedDict):
    """How far a target lies from the runs of a family; see reach.Reach."""

    side: Literal["within", "beyond", "below"]
    """On which side of the runs the target lies."""
    times: float
    """The target over the largest run, or the smallest run over it; 1 within the runs."""
    grade: str
    """The grade of the distance."""
    words: str
    """The same in words."""


class HeadlineJson(TypedDict):
    """The recommended line of one family at the first target, in the numbers of the page."""

    family: str
    """Its name in the study file."""
    law: str
    """The law that is followed."""
    estimator: str
    """Its estimator."""
    label: str
    """Which variant of the law it is, empty for the main line."""
    budget_flops: float
    """The first target in FLOPs."""
    loss_split: str
    """The split whose loss the law states, empty where the study names none."""
    params: EstimateJson
    """N to train."""
    tokens: EstimateJson
    """D."""
    loss: EstimateJson
    """The loss to expect, in loss_unit."""
    tokens_per_param: EstimateJson
    """D/N."""
    brackets: Literal["forecast", "if the law holds"]
    """What these four numbers are; without a held-out ladder nothing can be forecast."""
    if_the_law_holds: ForecastJson
    """The same four by the law alone: other intervals, and where it has missed another loss."""
    reach: ReachJson
    """How far the target lies from the runs."""
    warnings: str
    """What must be read beside it, clauses parted by semicolons; empty where there is nothing."""


class SilenceJson(TypedDict):
    """That no line can be followed for a family at a target [FLOPs], and why."""

    family: str
    """Its name in the study file."""
    budget_flops: float
    """The target in FLOPs."""
    why: str
    """Why no line is followed."""
    up_to_flops: float
    """The compute up to which the runs speak."""
    largest_flops: float
    """The compute of the largest run."""
    needed: str
    """Which runs would tell."""
    sentence: str
    """The same in full."""


class AnswerJson(TypedDict):
    """What a law answers to a question of the study; without numbers where `borne` is not so.

    An end of an interval that is None above one that is there is infinite: in `never_percent` of
    the draws no compute reaches the loss.
    """

    family: str
    """Its name in the study file."""
    law: str
    """The law that answers, empty where none is followed."""
    question: str
    """The question in words."""
    target_flops: float | None
    """The budget that is asked about."""
    target_loss: float | None
    """The loss to reach."""
    limit: str
    """One of free, params, tokens_per_param, most_tokens and most_params."""
    value: float | None
    """The number of the limit."""
    never: bool
    """Whether no compute reaches the loss."""
    borne: bool
    """Whether the runs can bear the answer."""
    note: str
    """What must be read beside it, or why there is no answer."""
    never_percent: float | None
    """Draws that never reach the loss, in percent."""
    forecast_loss: NotRequired[EstimateJson]
    """What is forecast of the loss of the run; without numbers where no ladder was held out."""
    stated: Mapping[str, EstimateJson]
    """Its numbers by the law: flops, params, tokens, tokens_per_param, loss and what it wastes."""


SCHEMA_VERSION: Final = 2
"""Version of decision.json: raised when a key is added or goes, or changes its meaning."""


class VerdictJson(TypedDict):
    """The decision of a study beside its table; see decision.decide."""

    schema_version: int
    """Version of this document."""
    headline: HeadlineJson | None
    """What to train at the first target; null where no line is followed."""
    silent: list[SilenceJson]
    """Families and targets at which no line is followed."""
    all_lines_together: list[FamilyForecastJson]
    """Another forecast, of all lines of a family weighed together: no number of the headline."""
    why_not_together: NotRequired[str]
    """Why that one is not recommended, empty without one."""
    rule: str
    """How a line is chosen."""
    caveat: str
    """What the rule does not settle."""
    choices: list[ChoiceJson]
    """The line of every family and target, and why."""
    agreement: list[AgreementJson]
    """How far the laws of each agree."""
    families: list[ComparisonJson]
    """How the families compare at each target; empty for one family."""
    others: NotRequired[list[HeadlineJson]]
    """The lines of the other families at the first target, where none is ranked."""
    few_runs: NotRequired[list[FewRunsJson]]
    """Families of too few runs for a law."""
    not_fitted: list[str]
    """A sentence for every law that could not be fitted."""
    synthetic: NotRequired[bool]
    """Whether the runs are simulated."""
    loss_unit: NotRequired[str]
    """The unit of every loss: nats_per_token, bits_per_byte and so on."""
    questions: NotRequired[list[AnswerJson]]
    """Answers to the questions of the study file."""


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
