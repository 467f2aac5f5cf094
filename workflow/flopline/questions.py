"""What to train for a loss to reach, or where a size, a ratio or a limit is given.

A question asks for a run: either of a budget or of a loss to reach, with N free, given, or kept to
a ratio or a limit. Each of these makes N a function of C, and a loss to reach is then the least C
whose loss is low enough. Answers are those of one line of the planner, draw by draw; the report's
page does the same in the browser (workflow/report/planner_laws.js).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.waste import excess, wasted_share
from flopline.bearing import OUTSIDE_FACTOR, Span
from flopline.choice import refused
from flopline.documents import AnswerJson, ChoiceJson, EstimateJson, SilenceJson
from flopline.errors import FloplineError
from flopline.laws.common.allocation import Allocation
from flopline.laws.common.fit_result import ENDS, FEWEST_DRAWS, Estimate
from flopline.laws.common.lack_of_fit import relative_sd
from flopline.laws.spec import surface_law
from flopline.numbers import flops_label, humanise, number
from flopline.planner import Line, read_line
from flopline.question_options import QuestionOptions
from flopline.results import FamilyResults
from flopline.schema import LEVELS
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.surfaces.count import Count, tokens_for

Floats = NDArray[np.float64]

FREE: Final = "free"
PARAMS: Final = "params"
TOKENS_PER_PARAM: Final = "tokens_per_param"
MOST_TOKENS: Final = "most_tokens"
MOST_PARAMS: Final = "most_params"
LIMITS: Final = (FREE, PARAMS, TOKENS_PER_PARAM, MOST_TOKENS, MOST_PARAMS)
"""What may be given of a run beside its budget or its loss."""
LEAST_FLOPS, MOST_FLOPS = 1.0, 1e40
"""Where compute for a loss is looked for; what takes more is never reached."""
PER_DECADE: Final = 2
"""Points per factor of ten in C between which a loss is first crossed."""
HALVINGS: Final = 50
"""Steps that then narrow a crossing to a part in 1e15."""
QUANTITIES: Final = (
    *("flops", "params", "tokens", "tokens_per_param", "loss", "wasted_percent", "wasted_flops"),
)
"""What an answer states, each with its intervals."""


@dataclass(frozen=True, slots=True)
class Question:
    """A run of `flops`, or one that reaches `loss`: one of the two is given, the other None.

    `limit` is one of LIMITS and `value` its number: the size, the tokens per param, or the most
    tokens or params that there may be.
    """

    flops: float | None = None
    loss: float | None = None
    limit: str = FREE
    value: float | None = None

    def words(self) -> str:
        """The question in words."""
        goal = (
            f"Loss {number(self.loss)}"
            if self.loss is not None
            else f"{flops_label(self.flops or math.nan)} FLOPs"
        )
        value = math.nan if self.value is None else self.value
        given = {
            FREE: "",
            PARAMS: f", {humanise(value)} params",
            TOKENS_PER_PARAM: f", {number(value, 3)} tokens per param",
            MOST_TOKENS: f", at most {humanise(value)} tokens",
            MOST_PARAMS: f", at most {humanise(value)} params",
        }
        return goal + given[self.limit]


@dataclass(frozen=True, slots=True)
class Answer:
    """The run that a question asks for, with intervals over the draws of its line.

    `wasted_percent` and `wasted_flops` are what the best run would have saved: of the same budget
    (as planner.deviation has it), or for the same loss. A number that no compute reaches is
    infinite, and so may be the end of an interval; `never_percent` of the draws have it so.
    """

    question: Question
    flops: Estimate
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    loss: Estimate
    wasted_percent: Estimate
    wasted_flops: Estimate
    never_percent: float

    @property
    def never(self) -> bool:
        """Whether no compute reaches the loss."""
        return math.isinf(self.flops.point)


def asked(options: QuestionOptions, flops: float) -> list[Question]:
    """The questions of a study whose first target is `flops`."""
    limits = [(limit, v) for limit in LIMITS[1:] for v in getattr(options, limit)]
    goals: list[dict[str, Any]] = [{"flops": flops}, *({"loss": v} for v in options.losses)]
    return [
        Question(**goal, limit=limit, value=value)
        for goal in goals
        for limit, value in ([] if "flops" in goal else [(FREE, None)]) + limits
    ]


def answer(line: Line, surface: Line | None, question: Question) -> Answer:
    """The answer of `line`, how fast the loss rises beside its best size taken from `surface`.

    `surface` is the line of a surface of the same family, or `line` itself; None where there is
    none, and then only the best run is known. Raises FloplineError for a question that gives not
    one of a budget and a loss, or a number that is not positive and finite.
    """
    _demand_sound(question)
    if question.limit != FREE and surface is None:
        raise FloplineError(
            "what a run beside the best one reaches is asked of a surface: keep parametric in "
            "`laws` in the study file."
        )
    point, draws = (_solved(_laws(line, surface, drawn), question) for drawn in (False, True))
    estimates = {name: _estimate(float(point[name][0]), draws[name]) for name in QUANTITIES}
    flops = draws["flops"]
    known = flops[~np.isnan(flops)]
    never = 100 * float(np.isinf(known).mean()) if known.size else 0.0
    return Answer(question, **estimates, never_percent=never)


def answer_rows(
    questions: Sequence[Question], line: Line, surface: Line | None, span: Span
) -> pd.DataFrame:
    """One row per question: the answer's numbers with their intervals, and a note on it.

    `span` is what the family's runs span.
    """
    rows = []
    for question in questions:
        row = _asked(question)
        try:
            made = answer(line, surface, question)
        except FloplineError as refusal:
            rows.append({**row, "never": False, "borne": False, "note": f"{refusal}"})
            continue
        row |= {"never": made.never, "never_percent": made.never_percent}
        row["borne"] = not made.never and _borne(made, span)
        for name in QUANTITIES:
            estimate: Estimate = getattr(made, name)
            row |= {name: estimate.point, **{f"{name}_{e}": getattr(estimate, e) for e in ENDS}}
        rows.append({**row, "note": "; ".join(_notes(made, span))})
    return pd.DataFrame(rows)


def _asked(question: Question) -> dict[str, Any]:
    return {
        "question": question.words(),
        "target_flops": question.flops,
        "target_loss": question.loss,
        "limit": question.limit,
        "value": question.value,
    }


def study_answers(
    results: Mapping[str, FamilyResults],
    choices: Sequence[ChoiceJson],
    silent: Sequence[SilenceJson],
    spans: Mapping[str, Span],
    questions: Sequence[Question],
) -> pd.DataFrame:
    """The answers of every family by the law that the decision follows at the first target.

    `results` and `spans` are by family, `choices` and `silent` those of the verdict. One row per
    family and question: family, law, and the columns of `answer_rows`. Where the decision follows
    a variant it is the main line of that law that answers: variants keep no draws.

    Returns:
        One row per family and question: family, law, and the columns of `answer_rows`.
    """
    parts = []
    for family, known in results.items():
        choice = next((c for c in choices if c["family"] == family), None)
        law = choice["law"] if choice else None
        if law is None or law not in known.fits:
            reason = next((s["sentence"] for s in silent if s["family"] == family), "")
            rows = pd.DataFrame(
                [{**_asked(question), "never": False, "borne": False} for question in questions]
            )
            rows["note"] = reason or "no line is followed, so that none can answer"
        else:
            line = read_line(known.fits[law], known.draws[law])
            surface = line if isinstance(line.point, LossSurface) else _surface_line(known)
            rows = answer_rows(questions, line, surface, spans[family])
        rows.insert(0, "family", family)
        rows.insert(1, "law", law or "")
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def answers_json(answers: pd.DataFrame) -> list[AnswerJson]:
    """The rows of `study_answers`, ready for JSON; QUANTITIES of an answer are `stated`."""

    def number_of(row: Mapping[Any, Any], name: str) -> float | None:
        value = row.get(name)
        return None if value is None or not math.isfinite(value) else float(value)

    def estimate_in(row: Mapping[Any, Any], name: str) -> EstimateJson:
        return {
            "point": number_of(row, name),
            "lo80": number_of(row, f"{name}_lo80"),
            "hi80": number_of(row, f"{name}_hi80"),
            "lo95": number_of(row, f"{name}_lo95"),
            "hi95": number_of(row, f"{name}_hi95"),
        }

    return [
        {
            "family": str(row["family"]),
            "law": str(row["law"]),
            "question": str(row["question"]),
            "target_flops": number_of(row, "target_flops"),
            "target_loss": number_of(row, "target_loss"),
            "limit": str(row["limit"]),
            "value": number_of(row, "value"),
            "never": bool(row["never"]),
            "borne": bool(row["borne"]),
            "note": str(row["note"]),
            "never_percent": number_of(row, "never_percent"),
            "forecast_loss": estimate_in(row, "forecast_loss"),
            "stated": {name: estimate_in(row, name) for name in QUANTITIES},
        }
        for row in answers.to_dict("records")
    ]


def _surface_line(known: FamilyResults) -> Line | None:
    """The line of a family's surface, None where there is none to trust."""
    law = surface_law(known.fits)
    if law is None or refused(known.findings):
        return None
    try:
        return read_line(known.fits[law], known.draws[law])
    except FloplineError:
        return None


def _notes(made: Answer, span: Span) -> Iterator[str]:
    if made.never:
        yield "no compute reaches this loss by this law"
        return
    reach = span.reach(made.flops.point)
    if reach.side != "within":
        yield reach.words
    if not _of_like_shape(made, span):
        least, most = (humanise(ratio) for ratio in span.tokens_per_param)
        yield (
            f"its {humanise(made.tokens_per_param.point)} tokens per param lie more than "
            f"{OUTSIDE_FACTOR:g} times outside those of the runs, {least} to {most}, which do not "
            "bear it"
        )


def _borne(made: Answer, span: Span) -> bool:
    """Whether the runs can speak of a run of this compute and of these tokens per param."""
    return span.reach(made.flops.point).grade.recommends and _of_like_shape(made, span)


def _of_like_shape(made: Answer, span: Span) -> bool:
    """Whether the tokens per param of a run lie where the runs can speak of them."""
    least, most = span.tokens_per_param
    ratio = made.tokens_per_param.point
    return least / OUTSIDE_FACTOR <= ratio <= most * OUTSIDE_FACTOR


@dataclass(frozen=True, slots=True)
class _Laws:
    """A line as a law of C and N in rows: its point in one, or one a draw.

    `flops` of the methods are of shape (k,) or (rows, k), results of shape (rows, k). `weighs` is
    the surface that says what a run beside the best one loses; `stray` (flops) the factor by which
    each row's loss lies off its law.
    """

    law: Allocation | LossSurface
    weighs: LossSurface | None
    stray: Callable[[Floats], Floats]

    @property
    def count(self) -> Count | None:
        return self.law.count

    def params_opt(self, flops: Floats) -> Floats:
        if isinstance(self.law, Allocation):
            return np.asarray(np.exp(self.law.params.ln_at(np.log(flops))))
        return self.law.params_opt(flops)

    def loss(self, flops: Floats, params: Floats | None) -> Floats:
        """Loss of `params` at `flops`, of the best size without."""
        if isinstance(self.law, LossSurface):
            if params is None:
                return self.law.loss_opt(flops)
            return self.law.loss(params, self.law.tokens_for(flops, params))
        best = self.law.loss.at(np.log(flops)) * self.stray(flops)
        if params is None:
            return np.asarray(best)
        assert self.weighs is not None
        alpha, beta, p = _terms(self.weighs, flops)
        x = p * np.log(params / self.params_opt(flops))
        reducible = self.weighs.loss_opt(flops) - np.asarray(self.weighs.E, float)[..., None]
        power = np.asarray(self.weighs.k, float)[..., None]
        extra = np.expm1(power * np.log1p(excess(alpha, beta, x)))
        return np.asarray(best + extra * reducible)

    def wasted(self, flops: Floats, params: Floats) -> Floats:
        """Share of `flops` that the best size would save, as planner.deviation has it."""
        surface = self.weighs if isinstance(self.law, Allocation) else self.law
        assert surface is not None
        alpha, beta, p = _terms(surface, flops)
        return wasted_share(alpha, beta, p * np.log(params / self.params_opt(flops)))


def _laws(line: Line, surface: Line | None, drawn: bool) -> _Laws:
    law = line.draws if drawn else line.point
    weighs = None
    if surface is not None:
        assert isinstance(surface.point, LossSurface)
        weighs = _in_rows(surface.point)
    if isinstance(law, LossSurface):
        law = _in_rows(law)

    def stray(flops: Floats) -> Floats:
        misfit = line.misfit
        if misfit is None or not drawn:
            return np.ones(1)
        assert isinstance(line.point, Allocation)
        args = line.point.loss, misfit.share, misfit.runs, misfit.spread
        sd = relative_sd(*args, np.ravel(flops)).reshape(np.shape(flops))
        return np.asarray(1.0 + sd * misfit.errors[:, None])

    return _Laws(law, weighs, stray)


def _in_rows(surface: LossSurface) -> LossSurface:
    """A surface whose fields are arrays: of one row where they are numbers."""
    fields = (np.atleast_1d(np.asarray(getattr(surface, n), float)) for n in PARAMETERS)
    count = surface.count
    if count is not None:
        count = Count(*(np.atleast_1d(np.asarray(v, float)) for v in count.parameters().values()))
    return LossSurface(*fields, k=np.atleast_1d(np.asarray(surface.k, float)), count=count)


def _terms(surface: LossSurface, flops: Floats) -> tuple[Floats, Floats, Floats]:
    """waste.terms_at at many budgets."""
    alpha, beta = (np.asarray(v, float)[..., None] for v in (surface.alpha, surface.beta))
    if surface.count is None:
        return alpha, beta, np.ones(1)
    p, q = surface.count.slopes(surface.params_opt(flops), surface.tokens_opt(flops))
    return alpha / p, beta / q, p


def _solved(laws: _Laws, question: Question) -> dict[str, Floats]:
    """QUANTITIES of the answer, each of shape (rows,)."""
    wanted = question.loss or math.nan
    with np.errstate(all="ignore"):
        if question.flops is not None:
            flops = np.full((1, 1), question.flops)
        else:
            flops = _least(lambda c: laws.loss(c, _params(laws, question, c)), wanted)
        params = _params(laws, question, flops)
        best = laws.params_opt(flops)
        params = best if params is None else params
        tokens = tokens_for(laws.count, flops, params)
        if isinstance(laws.law, Allocation) and laws.count is None and question.limit == FREE:
            tokens = np.exp(laws.law.tokens.ln_at(np.log(flops)))  # a law of its own
        loss = laws.loss(flops, None if question.limit == FREE else params)
        if question.limit == FREE:
            share = np.zeros_like(loss)
        elif question.flops is not None:
            share = laws.wasted(flops, params)
        else:
            share = 1.0 - _least(lambda c: laws.loss(c, None), wanted) / flops
        never = np.isinf(flops)
        share = np.where(never, np.nan, share)
        loss = np.where(never, np.nan, loss)
        return {
            name: np.broadcast_to(values, loss.shape)[:, 0]
            for name, values in (
                ("flops", np.where(np.isnan(best), np.nan, flops)),
                ("params", _at_end(params, never, question, PARAMS, MOST_PARAMS)),
                ("tokens", _at_end(tokens, never, question, MOST_TOKENS)),
                ("tokens_per_param", np.where(never, np.nan, tokens / params)),
                ("loss", loss),
                ("wasted_percent", 100 * share),
                ("wasted_flops", share * flops),
            )
        }


def _at_end(values: Floats, never: NDArray[np.bool_], question: Question, *held: str) -> Floats:
    """Values where a loss is never reached: infinite, but for those that the question holds."""
    end = question.value if question.limit in held and question.value else math.inf
    return np.asarray(np.where(never, end, values))


def _params(laws: _Laws, question: Question, flops: Floats) -> Floats | None:
    """N at `flops` under the question's limit; None where it is free."""
    value = question.value or math.nan
    if question.limit == FREE:
        return None
    if question.limit == PARAMS:
        return np.full((1, 1), value)
    if question.limit == TOKENS_PER_PARAM:
        return _on_ray(laws.count, flops, math.log(value), 1.0)
    if question.limit == MOST_PARAMS:
        return np.minimum(laws.params_opt(flops), value)
    return np.maximum(laws.params_opt(flops), _on_ray(laws.count, flops, math.log(value), 0.0))


def _on_ray(count: Count | None, flops: Floats, ln_k: float, power: float) -> Floats:
    """N that `flops` buy with D = e^ln_k N^power."""
    if count is None:
        return np.asarray(np.exp((np.log(flops / 6.0) - ln_k) / (1.0 + power)))
    return count.params_along(flops, ln_k, power)


def _least(loss_at: Callable[[Floats], Floats], loss: float) -> Floats:
    """The least C (rows, 1) at which `loss_at` has come down to `loss`, infinite where it never is.

    A row without a law is NaN.
    """
    ends = np.log10(LEAST_FLOPS), np.log10(MOST_FLOPS)
    grid = np.log(10.0) * np.linspace(*ends, round(PER_DECADE * (ends[1] - ends[0])) + 1)
    values = np.atleast_2d(loss_at(np.exp(grid)))
    above = values > loss
    down = above[:, :-1] & (values[:, 1:] <= loss)
    crossed, known = (np.asarray(mask.any(axis=1)) for mask in (down, above))
    first = down.argmax(axis=1)
    low, high = grid[first][:, None], grid[first + 1][:, None]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        still = np.atleast_2d(loss_at(np.exp(middle))) > loss
        low, high = np.where(still, middle, low), np.where(still, high, middle)
    flops = np.where(crossed[:, None], np.exp(high), np.inf)
    return np.asarray(np.where(known[:, None], flops, np.nan))


def _estimate(point: float, draws: Floats) -> Estimate:
    """As Estimate.of, with infinite draws among the others."""
    known = np.sort(draws[~np.isnan(draws)])
    if known.size < max(2, FEWEST_DRAWS * draws.size):
        return Estimate(point)
    percents = (50 + side * level / 2 for level in LEVELS for side in (-1, 1))
    lo80, hi80, lo95, hi95 = (_percentile(known, percent) for percent in percents)
    return Estimate(point, lo80, hi80, lo95, hi95)


def _percentile(values: Floats, percent: float) -> float:
    """numpy.percentile of sorted values, infinite where one of its two neighbours is."""
    place = percent / 100 * (values.size - 1)
    low = int(place)
    high = min(low + 1, values.size - 1)
    if place == low or values[low] == values[high]:
        return float(values[low])
    return float(values[low] + (values[high] - values[low]) * (place - low))


def _demand_sound(question: Question) -> None:
    if (question.flops is None) == (question.loss is None):
        raise FloplineError("a question gives either a budget in FLOPs or a loss to reach.")
    if question.limit not in LIMITS:
        raise FloplineError(f"'{question.limit}' is no limit: there are {', '.join(LIMITS)}.")
    given = [
        ("a budget in FLOPs", question.flops),
        ("a loss to reach", question.loss),
        (f"the limit {question.limit}", question.value if question.limit != FREE else None),
    ]
    if question.limit != FREE and question.value is None:
        raise FloplineError(f"the limit {question.limit} wants a number.")
    for what, value in given:
        if value is not None and not 0 < value < math.inf:
            raise FloplineError(f"{what} is positive and finite, not {number(value)}.")
