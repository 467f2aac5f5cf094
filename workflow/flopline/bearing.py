"""Which lines the runs can bear at a target, and what to say where they bear none.

A line is a law or a variant of one, with N, D and loss at a target. Each test below names one way
in which a number came out of a fit that converged and was still worth no bet.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import bdtrc, stdtrit

from flopline.audit.held_out import REFUTED_PERCENT
from flopline.audit.held_out_kinds import THIS_RUN
from flopline.clean.standing_out import sentence as standing_out_sentence
from flopline.clean.standing_out import standing_out
from flopline.documents import FindingJson, SilenceJson
from flopline.forecast.ladder_errors import LOSS
from flopline.forecast.record import failures
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric.stated_form import PUBLISHED
from flopline.laws.spec import ESTIMATORS, Says, spec_of
from flopline.numbers import flops_label, has_no_width, humanise, significant
from flopline.reach import EXTREME, SHORT, Reach, out_of_reach
from flopline.results import FamilyResults

OUTSIDE_FACTOR: Final = 3.0
"""How far the optimum's tokens per param may lie outside those of the runs. A fitted surface has
seen no trade of N against D there; a factor of 3 in tokens per param is one of 1.7 in N."""
WIDEST_FACTOR: Final = 10.0
"""Ends of a 95 % interval of N, as it is stated, that are farther apart say no size."""
BOUND_FACTOR: Final = 3.0
"""Where a parameter sits on its bound, ends of a 95 % interval of N that are farther apart say that
the size depends on that parameter."""
APART_FACTOR: Final = 3.0
"""Lines that nothing tells apart may differ by this factor in N."""
UNTESTED_EXTRAPOLATION: Final = SHORT.most
"""Times the largest run's compute up to which lines that nothing was held out for are followed."""
RISE: Final = 0.02
"""Share by which the lowest loss of the larger runs, or what a line states for more compute, must
lie above that of smaller ones to say that losses do not fall with compute."""
MOST_RUNS_SHARE: Final = 1.0 / 3.0
"""The runs of most compute, whose lowest loss is held against that of all others."""
FEWEST_LARGEST: Final = 4
"""Fewer runs than these are no frontier."""
REFUTED_FORM: Final = 1e-3
"""Chance at which the runs refute a form beside the one that fits them best."""
NEAR_TARGET: Final = 10.0
"""Runs held out within this factor of the target's compute speak of the target."""
ALIKE: Final = 1.5
"""Runs of a line's own N and compute within this factor have the loss that the line predicts, but
for some tenths of a percent that the wrong size costs."""
FAILED_FORECASTS: Final = 0.01
"""Chance below which forecasts that hold what they say would fail so many steps of a ladder: of a
step whose 95 % intervals hold less than half of what was seen it is one in twenty. So one step says
nothing; two of two or three say that they fail, three of four to nine."""
ALL_THE_SAME: Final = "the losses of all runs are the same"
"""Of losses that say nothing at any compute."""
WITHOUT_WIDTH: Final = (
    "has no width, since the runs lie on the law to the last digits, as no trained runs do"
)
"""Why an interval of a law says nothing of how sure it is."""
FURTHEST: Final = 100.0
"""Times the largest run's compute up to which forecasts were tried on public studies
(docs/uncertainty.md)."""

USUAL_EPOCHS: Final = 4.0
"""Passes over the same data up to which they are worth about as much as new ones (Muennighoff et
al. 2023, arXiv 2305.16264)."""


@dataclass(frozen=True, slots=True)
class Span:
    """What the runs of one family span: tokens per param, and compute [FLOPs].

    `rise` is a sentence where the lowest loss does not fall with compute, else empty; `lowest` is
    the lowest loss of any run, infinite where it is not known; `odd` names the runs that stand out
    from all others, empty without any; `corpus` is how many different tokens the largest corpus of
    the runs has, infinite where it is not known.
    """

    tokens_per_param: tuple[float, float]
    largest_flops: float
    rise: str = ""
    smallest_flops: float = 0.0
    lowest: float = math.inf
    odd: str = ""
    corpus: float = math.inf

    def reach(self, flops: float) -> Reach:
        """How far a budget [FLOPs] lies from the runs."""
        return Reach.of(flops, self.smallest_flops, self.largest_flops)


def span_of(runs: pd.DataFrame) -> Span:
    """The span of `runs`, with columns params, tokens, flops [FLOPs] and loss; one row at least."""
    odd = standing_out(runs)
    # Counts that have slipped are no reach.
    slipped = {run.run for run in odd if run.slip != 1}
    sound = runs[~runs["run"].astype(str).isin(slipped)] if slipped else runs
    ratio = (sound["tokens"] / sound["params"]).to_numpy(dtype=float)
    flops = sound["flops"].to_numpy(dtype=float)
    return Span(
        (float(ratio.min()), float(ratio.max())),
        float(flops.max()),
        _rise(runs),
        float(flops.min()),
        float(np.fmin.reduce(runs["loss"].to_numpy(dtype=float), initial=math.inf)),
        standing_out_sentence(odd),
        corpus_of(runs),
    )


def corpus_of(runs: pd.DataFrame) -> float:
    """The different tokens of the largest corpus, infinite where some run does not say its own.

    What a run says is no more than it has trained on, so that without repeats it says no corpus.
    """
    if "unique_tokens" not in runs:
        return math.inf
    unique, tokens = (runs[c].to_numpy(dtype=float) for c in ("unique_tokens", "tokens"))
    repeated = np.isfinite(unique).all() and (unique < tokens).any()
    return float(unique.max()) if repeated else math.inf


def many_epochs(tokens: float, corpus: float) -> str:
    """That `tokens` are many epochs of a corpus [tokens], empty where they are not."""
    epochs = tokens / corpus
    if not epochs > USUAL_EPOCHS:
        return ""
    return (
        f"its {humanise(tokens)} tokens are {humanise(epochs, 2)} epochs of the {humanise(corpus)} "
        "different ones that the runs had, and the law counts each as new: after "
        f"{USUAL_EPOCHS:g} epochs they are worth less"
    )


def _rise(runs: pd.DataFrame) -> str:
    table = runs[np.isfinite(runs["loss"].astype(float))].sort_values("flops", kind="stable")
    if len(table) > 1 and has_no_width(float(table["loss"].min()), float(table["loss"].max())):
        return f"{ALL_THE_SAME}, {significant(float(table['loss'].iloc[0]))}"
    most = int(len(table) * MOST_RUNS_SHARE)
    if most < FEWEST_LARGEST:
        return ""
    small, large = table.iloc[:-most], table.iloc[-most:]
    lowest, seen = float(small["loss"].min()), float(large["loss"].min())
    if seen <= lowest * (1 + RISE):
        return ""
    return (
        f"the losses do not fall with compute: the lowest of the {most} largest runs is "
        f"{significant(seen)}, that of the smaller ones {significant(lowest)}"
    )


def barred(
    lines: pd.DataFrame,
    span: Span,
    bounds: Mapping[tuple[str, str], Sequence[str]],
    held: pd.DataFrame | None = None,
    failing: Mapping[str, str] | None = None,
    loss_split: str = "",
) -> pd.Series:
    """Why each of `lines` cannot be followed, one clause each; empty where it can.

    `lines` are the rows of one family and target in the table of decisions; `bounds` are the
    parameters that sit on their bounds, by law and estimator; `held` are the predictions of runs
    held out (audit `held_out`), None without any; `failing` is what `failing_forecasts` says,
    `loss_split` the split of the losses of the runs. A
    line that failed has no clause of its own.
    """
    out = {}
    for index, line in lines.iterrows():
        out[index] = "" if line["status"] == FAILED else _fault(line, span, bounds, held)
        if not out[index] and line["status"] != FAILED and line.get("loss_split", "") == loss_split:
            out[index] = _above_what_is_seen(line, span)
        if failing and not out[index] and line["status"] != FAILED:
            out[index] = _forecasts_fail(line, failing)
    return pd.Series(out, dtype=object)


def failing_forecasts(findings: Mapping[str, FindingJson]) -> dict[str, str]:
    """A clause for each line whose forecasts fail on the study's own ladder, else empty, by line.

    Each step is forecast from what was known there; FAILED_FORECASTS says when too many fail.
    """
    ladder = findings.get("ladder")
    tables = {} if ladder is None else ladder.get("tables", {})
    if "optima" not in tables or not len(tables["optima"]):
        return {}
    out: dict[str, str] = {}
    for row in failures(tables).itertuples():
        line, steps, failed = str(row.line), int(row.steps), int(row.failed)
        out.setdefault(line, "")
        if failed and not out[line] and bdtrc(failed - 1, steps, 0.05) < FAILED_FORECASTS:
            what = "the lowest losses" if row.quantity == LOSS else "the best sizes"
            out[line] = (
                f"at {failed} of {steps} steps of the held-out ladder most of {what} seen at "
                "larger budgets lie outside its own 95 % forecast"
            )
    return out


def _forecasts_fail(line: pd.Series, failing: Mapping[str, str]) -> str:
    own = f"{line['law']}/{line['estimator']}"
    # A law's main line goes by the law's name alone: of a surface its published form.
    first = bool(line["main"]) or line["estimator"] == PUBLISHED
    return failing.get(own, failing.get(str(line["law"]), "") if first else "")


def _fault(
    line: pd.Series,
    span: Span,
    bounds: Mapping[tuple[str, str], Sequence[str]],
    held: pd.DataFrame | None,
) -> str:
    everywhere = span.rise or out_of_reach(span.reach(float(line["budget_flops"])))
    if everywhere:
        return everywhere
    low, high = float(line["params_lo95"]), float(line["params_hi95"])
    if not (math.isfinite(low) and math.isfinite(high)):
        return "it has no interval, so that nothing says how far off it is"
    if has_no_width(low, high) and not math.isfinite(float(line.get("forecast_params", math.nan))):
        return f"its 95 % interval of N {WITHOUT_WIDTH}, and nothing was held out to try it"
    wide, what, ends = high / low, "interval", (low, high)
    ahead_low, ahead_high = (
        float(line.get(f"forecast_params_{end}", math.nan)) for end in ("lo95", "hi95")
    )
    if math.isfinite(ahead_high / ahead_low):
        # What is stated of the size, and no narrower.
        what, ends = "forecast", (ahead_low, ahead_high)
    if ends[1] / ends[0] > WIDEST_FACTOR:
        return (
            f"its 95 % {what} of N goes from {humanise(ends[0])} to {humanise(ends[1])}, a factor "
            f"of {significant(ends[1] / ends[0], 2)}"
        )
    on = bounds.get((str(line["law"]), str(line["estimator"])), ())
    if on and wide > BOUND_FACTOR:
        return (
            f"{' and '.join(on)} {'sits' if len(on) == 1 else 'sit'} on the bound of the search "
            f"and N depends on it: its 95 % interval goes from {humanise(low)} to {humanise(high)}"
        )
    ratio = float(line["tokens_per_param"])
    least, most = span.tokens_per_param
    if not least / OUTSIDE_FACTOR <= ratio <= most * OUTSIDE_FACTOR:
        return (
            f"its {humanise(ratio)} tokens per param lie more than {OUTSIDE_FACTOR:g} times "
            f"outside those of the runs, {humanise(least)} to {humanise(most)}"
        )
    return refuted(line, held)


def _above_what_is_seen(line: pd.Series, span: Span) -> str:
    """That a line promises a loss for more compute that a run has already undercut."""
    if float(line["budget_flops"]) < span.largest_flops or math.isinf(span.lowest):
        return ""
    stated = float(line["loss"])
    if not stated > span.lowest * (1 + RISE):
        return ""
    return (
        f"its loss there, {significant(stated)}, lies above {significant(span.lowest)}, which one "
        "of the runs has reached with less compute"
    )


def refuted(line: Mapping[str, Any] | pd.Series, held: pd.DataFrame | None) -> str:
    """Why runs held out near the target refute a line, empty where they do not.

    Half of them lie outside what the line says, and its mean error is not small. A line that says
    no interval for them is refuted where each is off to the same side by more than the error that
    is let pass. A law of compute says what the best run of its compute has: runs above that say
    nothing of it, but one that lies below its interval refutes it, and whatever reads it. So do
    runs of about the N and compute that the line would train, most of which lie outside the
    forecast of one new run (columns forecast_loss_new_run_lo95 and _hi95 of `line`, where known).
    """
    if held is None or held.empty:
        return ""
    far = np.abs(np.log(held["flops"].astype(float) / float(line["budget_flops"])))
    near = held[(held["law"] == line["law"]) & (far <= math.log(NEAR_TARGET))]
    of_run = near["of"] == THIS_RUN
    mine = near[of_run & (near["estimator"] == line["estimator"])]
    if mine.empty:
        return _beaten(near[~of_run]) or _missed(line, near[~of_run])
    error = mine["error_percent"].astype(float)
    judged = mine[mine["inside95"] != "not judged"]
    outside = int((judged["inside95"] == "no").sum())
    if len(judged):
        wrong = outside * 2 > len(judged)
    else:
        wrong = bool((error > REFUTED_PERCENT).all() or (error < -REFUTED_PERCENT).all())
    if not wrong or abs(error.mean()) < REFUTED_PERCENT:
        return ""
    side = "too high" if error.mean() > 0 else "too low"
    of = f"{len(judged) - outside} of {len(judged)} inside its 95 %, " if len(judged) else ""
    average = " on average" if len(mine) > 1 else ""
    return (
        f"{_held_out(len(mine))} it: {of}{significant(abs(float(error.mean())), 2)} % {side}"
        f"{average}"
    )


def refuted_beside(
    followed: pd.Series, lines: pd.DataFrame, held: pd.DataFrame | None
) -> Iterator[str]:
    """A clause for each law that runs held out near the target refute, while another is followed.

    `lines` are those of the family and target of the line that is `followed`, which a law of
    compute may be that such runs say little of, though it predicts the same loss.
    """
    for _, line in lines[lines["main"] & (lines["law"] != followed["law"])].iterrows():
        reason = "" if line["status"] == FAILED else refuted(line, held)
        if reason:
            law = f"the {spec_of(line['law']).label} law"
            yield (
                f"{reason.replace(' it: ', f' {law} (', 1)}), and do not bar this line, which "
                f"predicts a loss of {significant(float(followed['loss']))} where {law} predicts "
                f"{significant(float(line['loss']))}"
            )


def _beaten(best: pd.DataFrame) -> str:
    """The same of a law of compute, from what it says of the best runs at held-out compute."""
    if best.empty:
        return ""
    error = best["error_percent"].astype(float)
    below = best["seen"].astype(float) < best["lo95"].astype(float)
    wrong = error[below & (error > REFUTED_PERCENT)]
    if wrong.empty:
        return ""
    return (
        f"{_held_out(len(wrong))} it: below the 95 % interval of the best run of that compute, by "
        f"up to {significant(float(wrong.max()), 2)} % under its prediction"
    )


def _missed(line: Mapping[str, Any] | pd.Series, best: pd.DataFrame) -> str:
    """The same from what it says of runs of about the line's own size and compute."""
    low, high = (float(line.get(f"forecast_loss_new_run_{e}", math.nan)) for e in ("lo95", "hi95"))
    if best.empty or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    alike = np.ones(len(best), dtype=bool)
    for name, own in (("params", line["params"]), ("flops", line["budget_flops"])):
        alike &= np.abs(np.log(best[name].astype(float) / float(own))) <= math.log(ALIKE)
    mine = best[alike]
    # What is seen, moved along the law to the compute of the target.
    seen = mine["seen"] * float(line["loss"]) / mine["predicted"]
    outside, error = int((~seen.between(low, high)).sum()), float(mine["error_percent"].mean())
    if outside * 2 <= len(mine) or abs(error) < REFUTED_PERCENT:
        return ""
    return (
        f"{_held_out(len(mine))} it: {len(mine) - outside} of {len(mine)} of about its N inside "
        f"the 95 % forecast of its loss, {significant(abs(error), 2)} % too "
        f"{'high' if error > 0 else 'low'}{' on average' if len(mine) > 1 else ''}"
    )


def _held_out(runs: int) -> str:
    if runs == 1:
        return "the run held out near the target refutes"
    return f"the {runs} runs held out near the target refute"


def predictions(findings: Mapping[str, FindingJson]) -> pd.DataFrame | None:
    """What was predicted of runs held out, None where none were."""
    finding = findings.get("held_out")
    return None if finding is None else finding.get("tables", {}).get("predictions")


def bounds_of(known: FamilyResults) -> dict[tuple[str, str], list[str]]:
    """Parameters that sit on their bounds, by law and estimator, of a family's surfaces."""
    out: dict[tuple[str, str], list[str]] = {}
    for law, fit in known.fits.items():
        if spec_of(law).says is not Says.SURFACE:
            continue
        on = fit.get("certificate", {}).get("bounds") or []
        estimators = known.table(law, ESTIMATORS)
        if on and estimators is not None:
            for name in estimators.loc[estimators["main"].astype(bool), "estimator"].unique():
                out[law, str(name)] = [str(parameter) for parameter in on]
        table = known.table(law, "variants")
        if table is not None and len(table):
            for name, rows in table[table["at_bound"].astype(bool)].groupby("estimator"):
                out[law, str(name)] = [str(p) for p in rows["parameter"]]
    return out


def misfits(known: FamilyResults) -> set[tuple[str, str]]:
    """The forms of a family's surfaces that its own runs refute, by law and estimator.

    Their objective exceeds that of the form that fits best, main line or other, by more than an F
    test of one parameter lets pass (REFUTED_FORM), each run counting once.
    """
    out: set[tuple[str, str]] = set()
    for law, fit in known.fits.items():
        table = known.table(law, "variants")
        if spec_of(law).says is not Says.SURFACE or table is None or table.empty:
            continue
        forms = table[table["against_main"].notna()].groupby("estimator")["against_main"].first()
        best = min(0.0, float(forms.min())) if len(forms) else 0.0
        free = fit["n_runs"] - len(fit["parameters"]) - 1
        if free < 1 or best <= -1:
            continue
        # The square of Student's t is F with one degree of freedom.
        most = 1 + float(stdtrit(free, REFUTED_FORM / 2)) ** 2 / free
        out |= {(law, str(name)) for name in forms.index[(1 + forms) / (1 + best) > most]}
    return out


def apart(lines: pd.DataFrame, span: Span, refuted_forms: Collection[tuple[str, str]] = ()) -> str:
    """Why lines that nothing was held out for say no size together, empty where they do.

    `lines` are those of one family and target that the runs bear; of these main lines, other forms
    and other readings count, but none of the `refuted_forms` of `misfits`.
    """
    offered = [
        line.main
        or (
            line.estimator in spec_of(line.law).rivals
            and (line.law, line.estimator) not in refuted_forms
        )
        for line in lines.itertuples()
    ]
    lines = lines[lines["params"].notna() & np.array(offered, dtype=bool)]
    extrapolation = float(lines["budget_flops"].max()) / span.largest_flops
    if len(lines) < 2 or extrapolation <= UNTESTED_EXTRAPOLATION:
        return ""
    low, high = float(lines["params"].min()), float(lines["params"].max())
    if high / low <= APART_FACTOR:
        return ""
    return (
        "nothing was held out that could tell the laws apart, and at "
        f"{significant(extrapolation, 2)} times the largest run's compute they put N between "
        f"{humanise(low)} and {humanise(high)}"
    )


def borne_up_to(line: Mapping[str, Any] | pd.Series, span: Span) -> float:
    """The compute [FLOPs] up to which a line's tokens per param stay within reach of the runs.

    The largest run's compute where they do throughout, 0 where they never do.
    """
    ratio, power = float(line["tokens_per_param"]), float(line["b"]) - float(line["a"])
    least, most = span.tokens_per_param
    if not (math.isfinite(ratio) and math.isfinite(power)):
        return span.largest_flops
    above, below = ratio > most * OUTSIDE_FACTOR, ratio < least / OUTSIDE_FACTOR
    if (above and power <= 0) or (below and power >= 0):
        return 0.0  # with less compute they lie farther out still
    if power == 0:
        return span.largest_flops
    edge = most * OUTSIDE_FACTOR if power > 0 else least / OUTSIDE_FACTOR
    with np.errstate(over="ignore"):
        reach = float(line["budget_flops"]) * float(np.exp(np.log(edge / ratio) / power))
    return min(max(reach, 0.0), float(line["budget_flops"]))


def silence(
    family: str,
    budget: float,
    lines: pd.DataFrame,
    reasons: pd.Series,
    span: Span,
    *,
    within: bool = True,
) -> SilenceJson:
    """What is said where no line can be followed: why, up to which compute, and what would help.

    `lines` and `reasons` are those of one family and target; `within` says whether some line could
    be followed at the compute of the largest run.

    Returns the sentence and its parts, as decision.json holds them.
    """
    main = lines[lines["main"]]
    # What bars several laws alike is said once.
    barred_by: dict[str, list[str]] = {}
    for index, line in main.iterrows():
        if reasons[index]:
            barred_by.setdefault(reasons[index], []).append(spec_of(line["law"]).label)
    reach = span.reach(budget)
    far = out_of_reach(reach)
    by_law = [
        f"the {' and '.join(laws)} line{'s are' if len(laws) > 1 else ' is'} not followed since "
        f"{reason}"
        for reason, laws in barred_by.items()
    ]
    why = span.rise or far or "; ".join(by_law)
    why = why or "no law gives a number that may be used"
    up_to = span.largest_flops
    if far and not span.rise:
        up_to *= EXTREME.most
    ratio = math.nan
    if "tokens per param" in why:
        first = main.loc[next(i for i in main.index if "tokens per param" in reasons[i])]
        up_to = min(budget, max(borne_up_to(first, span), 0.0))
        ratio = float(first["tokens_per_param"])
    needed = _needed(why, budget, span, ratio)
    if span.rise.startswith(ALL_THE_SAME) or not within:
        up_to = 0.0
    ends = f"ends at about {flops_label(min(up_to, budget))} FLOPs"
    if far and reach.side == "below":
        ends = f"begins at about {flops_label(span.smallest_flops / EXTREME.most)} FLOPs"
    reach_words = f" What they say {ends}." if up_to else ""
    sentence = f"{_no_answer(budget)}: {why}.{reach_words} {needed}"
    return {
        "family": family,
        "budget_flops": budget,
        "why": why,
        "up_to_flops": float(min(up_to, budget)),
        "largest_flops": span.largest_flops,
        "needed": needed,
        "sentence": sentence,
    }


def silence_at(
    family: str, flops: float, silent: Sequence[SilenceJson], followed: Sequence[float], span: Span
) -> str:
    """Why a family has no answer at a budget [FLOPs], of that budget; empty where it has one.

    `silent` are the family's targets without a line and `followed` its targets with one [FLOPs].
    The planner of the page does the same (workflow/report/planner.js).
    """
    for entry in silent:
        if math.isclose(entry["budget_flops"], flops):
            return entry["sentence"]
    if any(math.isclose(target, flops) for target in followed):
        return ""
    if span.rise or out_of_reach(span.reach(flops)):
        none = pd.DataFrame({"main": pd.Series(dtype=bool)})
        return silence(family, flops, none, pd.Series(dtype=object), span)["sentence"]

    def holds(entry: SilenceJson) -> bool:
        """Whether what bars a line at a target bars it here: not where one is followed beyond."""
        target = entry["budget_flops"]
        beyond = flops > target and any(other > target for other in followed)
        return flops > entry["up_to_flops"] and not beyond

    reasons = [
        (abs(math.log(flops / entry["budget_flops"])), reason)
        for entry in silent
        if (reason := beside_target(entry, span, followed)) and (not followed or holds(entry))
    ]
    return f"{_no_answer(flops)}: {min(reasons)[1]}" if reasons else ""


def beside_target(entry: SilenceJson, span: Span, followed: Sequence[float]) -> str:
    """What the silence of a target says of other budgets, empty where it is of its own reach."""
    why, target = entry["why"], f"{flops_label(entry['budget_flops'])} FLOPs"
    if span.rise:
        return f"{span.rise}. {entry['needed']}"
    if not followed:
        return (
            f"no target of the study has a line to follow (at {target} {why}). Add this budget to "
            "`targets` in the study file and run the study again."
        )
    if out_of_reach(span.reach(entry["budget_flops"])):
        return ""
    return (
        f"at {target}, a target of the study, {why}. What they say ends at about "
        f"{flops_label(entry['up_to_flops'])} FLOPs. {entry['needed']}"
    )


def _no_answer(flops: float) -> str:
    return f"These runs do not say what to train at {flops_label(flops)} FLOPs"


def _needed(why: str, budget: float, span: Span, ratio: float) -> str:
    """What would help; `ratio` are the tokens per param of a line that leaves those of the runs."""
    if math.isfinite(ratio):
        least, most = span.tokens_per_param
        outside = f"more than {humanise(most)}" if ratio > most else f"fewer than {humanise(least)}"
        return f"Runs of {outside} tokens per param, as far as about {humanise(ratio)}, would tell."
    if why.startswith(ALL_THE_SAME):
        return "See that the column of the loss holds what each run has reached."
    if "do not fall" in why:
        return "Look first at the largest runs: they did not train as the smaller ones did."
    reach = span.reach(budget)
    if out_of_reach(reach):
        beyond = reach.side == "beyond"
        nearest = budget / EXTREME.most if beyond else budget * EXTREME.most
        return (
            f"Runs of {flops_label(nearest)} FLOPs or {'more' if beyond else 'fewer'}, or a target "
            "nearer to the runs, would tell."
        )
    larger = flops_label(math.sqrt(span.largest_flops * budget))
    return (
        f"Several sizes at budgets up to about {larger} FLOPs, each budget with its optimum inside "
        "its grid, would tell."
    )
