"""The answer of a page: claim, three numbers, cost, how sure each is, what if it is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.audit.finding import surface_of
from flopline.audit.ladder_fit import BASELINE
from flopline.audit.waste import nearly_best, wasted_at
from flopline.bearing import corpus_of, many_epochs, predictions
from flopline.choice import refused
from flopline.clean.standing_out import standing_out
from flopline.decision_lines import AGREE_FACTOR, order_turns
from flopline.documents import (
    AgreementJson,
    EstimateJson,
    FindingJson,
    FitsJson,
    SilenceJson,
    VerdictJson,
    number_in,
)
from flopline.doubtful_losses import (
    FEWEST_FORECASTS,
    doubts_of_loss,
    doubts_of_training,
    errors_of_forecasts,
    misfit_clause,
    one_sided,
)
from flopline.errors import FloplineError
from flopline.family_comparison import wins_clearly
from flopline.laws.spec import spec_of, surface_law
from flopline.loss_units import NATS, words
from flopline.next_step import BUDGET, next_step
from flopline.numbers import count, factor, flops_label, humanise, interval, significant
from flopline.planner import MFU_PERCENT, SECONDS_PER_HOUR, USUAL, accelerators, device_time
from flopline.reach import LONG, SHORT, Reach, farther
from flopline.report.decision_view import Headline
from flopline.report.formatting import as_float, formatted, sentence
from flopline.schema import HELD_OUT, KEPT
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import Verdict

LITTLE_PERCENT: Final = 3.0
"""Compute that a size may waste and still be called nearly as good as the best."""
SURE_LOSS_PERCENT: Final = 3.0
"""Half width of the 95 % forecast of a loss up to which it counts as known: by a law that falls as
C^-.05 this much of the loss is a factor of two in compute."""
LEAST_PERCENT: Final = 0.01
"""Waste below this share of compute is not written out."""

ALL_PERCENT: Final = 99.5
"""Waste that is written as all of the compute."""


@dataclass(frozen=True, slots=True)
class Link:
    """A sentence, and the place that holds its evidence."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class BigNumber:
    """One of the three numbers: what it is, its value, a line below it, and its intervals.

    With intervals `note` says of what kind they are; `aside` is one more line.
    """

    name: str
    point: str
    unit: str
    note: str
    ci80: str = ""
    ci95: str = ""
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure one number is: a verdict in a few words, one reason for it and one against.

    `reason_for` is None where nothing speaks for the number.
    """

    of: str
    verdict: Verdict
    finding: str
    reason_for: Link | None
    reason_against: Link


@dataclass(frozen=True, slots=True)
class UnseenRuns:
    """What runs that no fit has seen showed of the line that is followed."""

    verdict: Verdict
    sentence: Link


@dataclass(frozen=True, slots=True)
class OtherLaw:
    """What another law says, and what the recommended size wastes if that law is right."""

    law: str
    params: str
    tokens: str
    loss: str
    wasted: str
    split: str


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the first screen says; without `numbers` where the runs say no size."""

    title: str
    why: str
    numbers: Sequence[BigNumber]
    cost: str
    sureness: Sequence[Sureness]
    warnings: Sequence[str]
    others: Sequence[OtherLaw]
    more: Sequence[str]
    unseen: UnseenRuns | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the answer rests on: the rows of the family at the target, its fits and findings.

    `places` are the anchors of evidence by what it shows, `splits` those of `other_splits`,
    `grouped` those of `grouped_runs` for the law that is followed.
    """

    lines: pd.DataFrame
    fits: FitsJson
    findings: Mapping[str, FindingJson]
    runs: pd.DataFrame
    places: Mapping[str, str]
    splits: Mapping[str, str]
    grouped: pd.DataFrame | None = None

    @property
    def surface(self) -> LossSurface | None:
        """The surface that prices a wrong size; None where there is none to trust."""
        law = surface_law(self.fits)
        if law is None or refused(self.findings):
            return None
        try:
            return surface_of(self.fits[law])
        except FloplineError:
            return None


def answered(
    head: Headline, verdict: VerdictJson, evidence: Evidence, study: Mapping[str, Any]
) -> Answer:
    """The first screen of a study whose runs say a size; `head` is its headline."""
    line = _line_of(head, verdict, evidence.lines)
    surface, budget = evidence.surface, head.budget_flops
    params = as_float(line["params"])
    unit = words(str(verdict.get("loss_unit") or NATS))
    stated = _stated(verdict)
    loss = formatted(stated["loss"], significant)
    size = _size_number(surface, budget, params, verdict)
    tokens = as_float(line["tokens"])
    data = BigNumber("Data", humanise(tokens), "tokens", _of_data(tokens, params, evidence.runs))
    ends = (loss.ci80, loss.ci95) if loss.has_interval else ("", "")
    kind = _kind_of_interval(verdict) if loss.has_interval else "no interval"
    of_law = significant(as_float(line["loss"]))
    aside = f"{of_law} by the law alone" if of_law != loss.point else ""
    expected = BigNumber("Loss", loss.point, unit, kind, *ends, aside)
    return Answer(
        title=(
            f"With {head.budget} FLOPs, train {head.family}: {humanise(params)} params on "
            f"{humanise(tokens)} tokens"
        ),
        why="",
        numbers=[size, data, expected],
        cost=cost_of(budget, study),
        sureness=doubted(
            [
                _of_size(line, stated["params"], surface, verdict, evidence),
                _of_loss(line, stated["loss"], verdict, evidence),
            ],
            evidence.runs,
            evidence.places["fit"],
            tokens,
        ),
        warnings=[*map(sentence, _warnings(verdict)), *_doubtful_winner(verdict, study)],
        others=_others(line, surface, evidence.lines, evidence.splits),
        more=[],
        unseen=_unseen(line, evidence),
    )


def unanswered(
    silences: Sequence[SilenceJson], labels: Mapping[str, str], study: Mapping[str, Any]
) -> Answer:
    """The first screen of a study whose runs say no size at its first target."""
    budget = flops_label(float(study["targets"][0]))
    if not silences:
        return Answer(
            f"No law could be used at {budget} FLOPs",
            "Each law failed; the appendix states the reason beside each fit.",
            [], "", [], [], [], [],
        )  # fmt: skip
    by_reason: dict[str, list[str]] = {}
    for silence in silences:
        by_reason.setdefault(silence["why"], []).append(
            labels.get(silence["family"], silence["family"])
        )
    alone = len(labels) == 1
    reasons = [
        sentence(why) if alone else f"{' and '.join(names)}: {why}."
        for why, names in by_reason.items()
    ]
    several = len({s["up_to_flops"] for s in silences}) > 1
    reach = [
        BigNumber(
            labels.get(s["family"], s["family"]) if several else "Reach",
            f"up to {flops_label(s['up_to_flops'])}",
            "FLOPs",
            "is what they do say",
        )
        for s in (silences if several else silences[:1])
        if s["up_to_flops"] > 0
    ]
    return Answer(
        title=(
            f"These runs do not say what to train with {budget} FLOPs"
            f" ({' and '.join(name for names in by_reason.values() for name in names)})"
        ),
        why=reasons[0],
        numbers=reach,
        cost="",
        sureness=[],
        warnings=reasons[1:],
        others=[],
        more=list(dict.fromkeys(s["needed"] for s in silences)),
    )


def cost_of(flops: float, study: Mapping[str, Any]) -> str:
    """What `flops` cost on the usual accelerator, and in money where the study has a price."""
    usual = next(a for a in accelerators() if a.name == USUAL)
    time = device_time(flops / (usual.peak_flops * MFU_PERCENT / 100) / SECONDS_PER_HOUR)
    price = (study.get("audit") or {}).get("price_per_flop")
    money = f", {humanise(price * flops)} in money" if price else ""
    return f"{time} of {USUAL} at {MFU_PERCENT} % utilisation{money}"


def percent(value: float) -> str:
    """Waste in percent of compute, as it stands in a sentence."""
    if value < LEAST_PERCENT:
        return f"less than {LEAST_PERCENT} %"
    return f"{significant(value, 2)} %" if value < ALL_PERCENT else "100 %"


def _line_of(head: Headline, verdict: VerdictJson, lines: pd.DataFrame) -> pd.Series:
    stated = verdict["headline"]
    assert stated is not None
    same = (lines["law"] == stated["law"]) & (lines["estimator"] == stated["estimator"])
    if same.any():
        return lines[same].iloc[0]
    by_law = stated["if_the_law_holds"]
    numbers = {q: number_in(by_law[q]) for q in ("params", "tokens", "loss")}
    bare = {"law": stated["law"], "estimator": stated["estimator"], "main": True}
    known = {"extrapolation": math.nan, "below_data": math.nan, "held_out_steps": 0}
    return pd.Series({**bare, **numbers, **known, "budget_flops": head.budget_flops})


def _stated(verdict: VerdictJson) -> Mapping[str, EstimateJson]:
    head = verdict["headline"]
    assert head is not None
    return {"params": head["params"], "loss": head["loss"]}


def _kind_of_interval(verdict: VerdictJson) -> str:
    head = verdict["headline"]
    assert head is not None
    return head["brackets"]


def _warnings(verdict: VerdictJson) -> Iterator[str]:
    head = verdict["headline"]
    yield from filter(None, str(head.get("warnings") or "").split("; ") if head else ())


def _doubtful_winner(verdict: VerdictJson, study: Mapping[str, Any]) -> Iterator[str]:
    """That the family of the headline is the best by a margin that may be chance, or here alone."""
    yield from filter(None, [order_turns(verdict, study["families"])])
    head = verdict["headline"]
    for entry in verdict.get("families") or ():
        at_target = head is not None and math.isclose(entry["budget_flops"], head["budget_flops"])
        if at_target and entry["winner"] and entry["others"] and not wins_clearly(entry):
            yield "No family wins clearly: by these runs another may be the better one."


def _size_number(
    surface: LossSurface | None, budget: float, params: float, verdict: VerdictJson
) -> BigNumber:
    """The size with its intervals, and below them the sizes that waste little if it is the best.

    These stood there alone, and were read as the interval of the size, which may be far wider.
    """
    written = formatted(_stated(verdict)["params"], humanise)
    nearly = ""
    if surface is not None:
        low, high = (params * x for x in nearly_best(surface, budget, LITTLE_PERCENT / 100))
        nearly = (
            f"{interval(low, high)} waste at most {LITTLE_PERCENT:g} % of compute if it is the best"
        )
    if not written.has_interval:
        return BigNumber("Size", humanise(params), "params", nearly or "no interval")
    kind = _kind_of_interval(verdict)
    return BigNumber("Size", humanise(params), "params", kind, written.ci80, written.ci95, nearly)


def doubted(
    sureness: Sequence[Sureness], runs: pd.DataFrame, place: str, tokens: float = 0.0
) -> list[Sureness]:
    """How sure numbers are where runs that the fits use may be written down wrong: not before.

    Nor are they where the `tokens` of the answer are many epochs of the runs' corpus.
    """
    kept = runs[runs["status"] == KEPT]
    odd = standing_out(kept)
    repeated = many_epochs(tokens, corpus_of(kept))
    if repeated and not odd:
        doubt = Link(sentence(repeated.partition(",")[0]), place)
        return [
            replace(
                sure,
                verdict=Verdict.WARNED,
                finding="Only as far as repeated tokens are worth new ones",
                reason_against=doubt,
            )
            for sure in sureness
        ]
    if not odd:
        return [*sureness]
    several = len(odd) > 1
    reason = (
        f"{count(len(odd), 'run')} that {'stand' if several else 'stands'} out from all others may "
        "move it."
    )
    finding = f"Not before {'those runs are' if several else 'that run is'} looked at"
    doubt = Link(reason, place)
    return [
        replace(sure, verdict=Verdict.WARNED, finding=finding, reason_against=doubt)
        for sure in sureness
    ]


def _of_data(tokens: float, params: float, runs: pd.DataFrame) -> str:
    """Tokens per param, and epochs of the corpus where every run names the same, or repeats one."""
    note = f"{humanise(tokens / params)} per param"
    sizes = runs["unique_tokens"].dropna().unique() if "unique_tokens" in runs else []
    corpus = float(sizes[0]) if len(sizes) == 1 else corpus_of(runs[runs["status"] == KEPT])
    if 0 < corpus < math.inf:
        note += f", {humanise(tokens / corpus, 2)} epochs of {humanise(corpus)}"
    return note


def _of_size(
    line: pd.Series,
    stated: EstimateJson,
    surface: LossSurface | None,
    verdict: VerdictJson,
    evidence: Evidence,
) -> Sureness:
    """How sure the size is: by what it wastes if the truth is an end of its 95 % interval.

    Where no surface prices that, by how far the ends lie from it. At an extreme extrapolation it is
    never called sure: what a law does so far beyond the runs no run has shown (docs/report.md). Nor
    is it where its law has wasted more than a little on the study's own larger budgets, or where
    its interval beyond the runs holds only if the law holds, or its form is not that of the runs.
    """
    span, narrow = _span(line, stated, surface, verdict, evidence)
    beyond = max(as_float(line["extrapolation"]), as_float(line["below_data"]))
    bare = _kind_of_interval(verdict) != "forecast" and beyond > 1
    steps, waste = int(line["held_out_steps"]), as_float(line.get("held_out_wasted_percent"))
    held = (
        Link(
            f"Fitted to smaller budgets only, the {_name(line)} law wasted {percent(waste)} of "
            f"compute at the larger ones ({count(steps, 'test')}).",
            evidence.places["ladder"],
        )
        if steps and math.isfinite(waste)
        else None
    )
    poor = held is not None and waste > LITTLE_PERCENT
    naive = _naive_waste(line, evidence.findings)
    passed_better = held is not None and not poor and naive is not None
    misfit = misfit_clause(line, evidence.fits) if beyond > 1 else ""
    trained = doubts_of_training(evidence.findings)
    if narrow is None:
        made, finding = Verdict.NOT_CHECKED, "Not known"
    elif narrow and not (poor or bare or misfit or trained or farther(beyond, LONG.most)):
        made, finding = Verdict.GOOD, "Sure enough to train"
    else:
        made, finding = Verdict.WARNED, "Roughly known"
    if narrow:
        doubt = _only_by_law(beyond, evidence) if bare else None
        if misfit:
            doubt = doubt or Link(sentence(misfit), evidence.places["fit"])
        doubt = doubt or _disagreement(verdict, evidence) or _reach(line, evidence)
        untested = Link("No test on larger budgets was possible.", evidence.places["ladder"])
        against = doubt or (untested if held is None else span)
        if passed_better and doubt is None:
            text = (
                f"At larger budgets extrapolating the best runs wasted {percent(naive or 0.0)} of "
                f"compute, the {_name(line)} law {percent(waste)}."
            )
            against = Link(text, evidence.places["ladder"])
    else:
        against = span
    if poor and narrow is not None:
        against = held or against
    if trained:
        against = Link(sentence(trained[0].partition(": ")[0]), evidence.places["hygiene"])
    if held is None or poor or passed_better:
        held = span if narrow else _support(line, verdict, evidence)
    return Sureness("Size", made, finding, held, against)


def _naive_waste(line: pd.Series, findings: Mapping[str, FindingJson]) -> float | None:
    """What the best runs, extrapolated, waste at larger budgets [percent of compute], if less.

    None where a line does better, or nothing was held out to compare them by: a test that needs
    no law is no reason for one.
    """
    tables = findings["ladder"].get("tables", {}) if "ladder" in findings else {}
    scores = tables.get("scores")
    if scores is None or not {"law", "estimator", "wasted_percent"} <= set(scores):
        return None
    wasted = scores["wasted_percent"].astype(float)
    mine = (scores["law"] == line["law"]) & (scores["estimator"] == line["estimator"])
    least = float(wasted[scores["law"] == BASELINE].min())
    own = float(wasted[mine].min())
    return least if least < own else None


def _span(
    line: pd.Series,
    stated: EstimateJson,
    surface: LossSurface | None,
    verdict: VerdictJson,
    evidence: Evidence,
) -> tuple[Link, bool | None]:
    """What the ends of the 95 % interval of the size cost, and whether that is little.

    None instead where the size has no interval.
    """
    low, high = number_in(stated, "lo95"), number_in(stated, "hi95")
    kind = "forecast" if _kind_of_interval(verdict) == "forecast" else "interval"
    place = evidence.places["size"]
    if not 0 < low <= high < math.inf:
        return Link("It has no interval.", place), None
    params = as_float(line["params"])
    if surface is None:
        sentence = f"Its 95 % {kind} spans a factor of {significant(high / low)}."
        return Link(sentence, place), max(high / params, params / low) <= AGREE_FACTOR
    ratio = np.log(params / np.array([low, high]))
    worst = 100 * float(wasted_at(surface, float(line["budget_flops"]), ratio).max())
    sentence = (
        f"If the best size lies at an end of the 95 % {kind}, this one wastes {percent(worst)} of "
        "compute."
    )
    return Link(sentence, place), worst <= LITTLE_PERCENT


def _only_by_law(beyond: float, evidence: Evidence) -> Link:
    return Link(
        f"Its interval holds only if the law holds, {factor(beyond)} beyond the largest run.",
        evidence.places["methods"],
    )


def _support(line: pd.Series, verdict: VerdictJson, evidence: Evidence) -> Link | None:
    """What speaks for a size whose law and interval do not; None where nothing does."""
    entry = _agreement_of(verdict)
    if entry is not None and entry["agree"] and entry["params_ratio"] is not None:
        sentence = f"The laws put it within a factor of {entry['params_ratio']:.2f}."
        return Link(sentence, evidence.places["laws"])
    beyond, below = as_float(line["extrapolation"]), as_float(line["below_data"])
    if beyond <= 1 and below <= 1:
        return Link("The target lies within the compute of the runs.", evidence.places["chart"])
    return None


def _of_loss(
    line: pd.Series, stated: EstimateJson, verdict: VerdictJson, evidence: Evidence
) -> Sureness:
    """How sure the loss is: by the width of its forecast, and the errors of earlier ones."""
    point, low, high = (number_in(stated, end) for end in ("point", "lo95", "hi95"))
    half = 100 * max(high - point, point - low) / point
    forecast = _kind_of_interval(verdict) == "forecast"
    steps = int(line["held_out_steps"])
    error = as_float(line.get("held_out_loss_error_percent"))
    tested = bool(steps) and math.isfinite(error)
    doubts = doubts_of_loss(line, evidence.fits, evidence.findings)
    poor = tested and (error > SURE_LOSS_PERCENT or error > half)
    if math.isnan(half):
        made, finding = Verdict.NOT_CHECKED, "Not known"
    elif not forecast:
        made, finding = Verdict.WARNED, f"±{significant(half, 2)} % if the law holds"
    else:
        sure = half <= SURE_LOSS_PERCENT and not poor
        made = Verdict.GOOD if sure else Verdict.WARNED
        finding = f"{'Known' if sure else 'Roughly known,'} to ±{significant(half, 2)} %"
    missed = Link(
        f"At larger budgets than it was fitted to, the {_name(line)} law missed the lowest "
        f"loss by {_on_average(line, error, evidence.findings)}.",
        evidence.places["ladder"],
    )
    if tested and not poor and not doubts:
        reason = missed
    elif forecast:
        reason = Link(
            "The interval holds what laws have missed when carried this far.",
            evidence.places["methods"],
        )
    else:
        reason = Link("The law fits the runs that it has seen.", evidence.places["fit"])
    side = _side(line, evidence.findings)
    untested = Link("No run of the target's compute was held out.", evidence.places["ladder"])
    if doubts:
        against = Link(sentence(doubts[0].partition(": ")[0]), evidence.places["ladder"])
    elif side:
        against = Link(side, evidence.places["ladder"])
    else:
        reach = _reach(line, evidence)
        against = reach or untested
        if poor:
            text = " ".join([missed.text, *([reach.text] if reach else [])])
            against = Link(text, missed.href)
    if (side or doubts) and made is Verdict.GOOD:
        made, finding = Verdict.WARNED, f"Roughly known, to ±{significant(half, 2)} %"
    below = as_float(line["below_data"])
    beyond = max(as_float(line["extrapolation"]), below)
    proviso = "losses go on as they did" if forecast and not below > 1 else "the law holds there"
    if farther(beyond, LONG.most) and not math.isnan(half):
        made = Verdict.WARNED
        finding = f"Nothing to bet on: ±{significant(half, 2)} % if {proviso}"
    elif farther(beyond, SHORT.most) and made is Verdict.GOOD:
        # A floor or a bend that begins beyond the runs shows in none of them.
        finding += f" if {proviso}"
    return Sureness("Loss", made, finding, reason, against)


def _on_average(line: pd.Series, error: float, findings: Mapping[str, FindingJson]) -> str:
    """The mean `error` [percent] of a line's held-out forecasts of the loss, and the largest."""
    mean = significant(error, 2)
    errors = errors_of_forecasts(str(line["law"]), findings, str(line["estimator"]))
    if len(errors) < FEWEST_FORECASTS:
        return f"{mean} %"
    return f"{mean} % on average, {significant(float(errors.abs().max()), 2)} % at most"


def _unseen(line: pd.Series, evidence: Evidence) -> UnseenRuns | None:
    """What the runs held out say of the line; None where none is, or it predicts none of them."""
    finding = evidence.findings.get(HELD_OUT)
    table = predictions(evidence.findings)
    if finding is None or table is None:
        return None
    mine = table[table["law"] == line["law"]]
    if (mine["estimator"] == line["estimator"]).any():
        mine = mine[mine["estimator"] == line["estimator"]]
    else:
        mine = mine.drop_duplicates("run")
    errors = mine["error_percent"].dropna().astype(float)
    if errors.empty:
        return None
    span = " to ".join(
        f"{significant(x, 2)} %" for x in dict.fromkeys([errors.min(), errors.max()])
    )
    judged = mine[mine["inside95"].isin(["yes", "no"])]
    inside = int((judged["inside95"] == "yes").sum())
    share = (
        f"{inside} of {len(judged)} lie in the 95 % interval of one run; " if len(judged) else ""
    )
    text = (
        f"Of {count(len(errors), 'run')} held out {share}the {_name(line)} law's losses are off by "
        f"{span}."
    )
    return UnseenRuns(Verdict(finding["verdict"]), Link(text, evidence.places["unseen"]))


def _name(line: pd.Series) -> str:
    return spec_of(str(line["law"])).label


def _disagreement(verdict: VerdictJson, evidence: Evidence) -> Link | None:
    """That the laws put the size elsewhere; None where they agree, or there is but one."""
    entry = _agreement_of(verdict)
    usable = evidence.lines[evidence.lines["main"].astype(bool)]["params"].dropna()
    if entry is None or entry["params_ratio"] is None or entry["agree"]:
        return None
    return Link(
        f"The {len(usable)} laws put it between {humanise(usable.min())} and "
        f"{humanise(usable.max())}.",
        evidence.places["laws"],
    )


def _agreement_of(verdict: VerdictJson) -> AgreementJson | None:
    head = verdict["headline"]
    for entry in verdict["agreement"] if head else ():
        same = math.isclose(entry["budget_flops"], head["budget_flops"]) if head else False
        if head and entry["family"] == head["family"] and same:
            return entry
    return None


def _reach(line: pd.Series, evidence: Evidence) -> Link | None:
    """That the target lies outside the data; None where it lies within."""
    budget, beyond, below = (
        as_float(line[name]) for name in ("budget_flops", "extrapolation", "below_data")
    )
    if math.isnan(beyond):
        return None
    smallest = 0.0 if math.isnan(below) else below * budget
    reach = Reach.of(budget, smallest, budget / beyond)
    if reach.side == "within":
        return None
    text = (
        f"The target takes {factor(reach.times)} the compute of the largest run"
        if reach.side == "beyond"
        else f"The target lies {factor(reach.times)} below the smallest run"
    )
    return Link(f"{text}: {reach.grade.name}.", evidence.places["chart"])


def _side(line: pd.Series, findings: Mapping[str, FindingJson]) -> str:
    """That every held-out forecast of the loss by this law erred to one side; else empty."""
    sided = one_sided(str(line["law"]), findings, str(line["estimator"]))
    if sided is None:
        return ""
    side, made, error = sided
    return (
        f"All {made} forecasts of losses at larger budgets came out too {side}, by "
        f"{significant(error, 2)} % at most."
    )


def _others(
    line: pd.Series, surface: LossSurface | None, lines: pd.DataFrame, splits: Mapping[str, str]
) -> list[OtherLaw]:
    """The main lines of the other laws, and what the recommended size wastes if each is right."""
    beside = lines[lines["main"].astype(bool) & (lines["law"] != line["law"])]
    out = []
    for _, other in beside[beside["params"].notna()].iterrows():
        wasted = ""
        if surface is not None:
            ratio = math.log(as_float(line["params"]) / as_float(other["params"]))
            wasted = percent(100 * float(wasted_at(surface, float(line["budget_flops"]), ratio)))
        out.append(
            OtherLaw(
                spec_of(str(other["law"])).title,
                humanise(as_float(other["params"])),
                humanise(as_float(other["tokens"])),
                significant(as_float(other["loss"])),
                wasted,
                splits.get(str(other["law"]), ""),
            )
        )
    return out


def next_run(evidence: Evidence, law: str, target_flops: float) -> Link | None:
    """What to run next and by how much it narrows the size at the target; None where not known."""
    kept = evidence.runs[evidence.runs["status"] == KEPT]
    step = next_step(kept, evidence.findings, law, target_flops, evidence.grouped)
    if step is None:
        return None
    place = evidence.places["optima" if step.kind == BUDGET else "next_run"]
    return Link(step.sentence, place)
