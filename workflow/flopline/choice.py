"""Which line to follow: candidates, what held-out budgets say of them, and why one is chosen."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.audit.evidence import FEWEST_STEPS, TIE_LOSS_PERCENT, TIE_PERCENT, difference
from flopline.audit.evidence import tied as tied_in
from flopline.documents import FindingJson
from flopline.laws.common.fit_result import CONVERGED, FAILED
from flopline.laws.spec import Says, Uses, ranked, spec_of
from flopline.numbers import count, significant
from flopline.verdict_scale import Verdict

BASELINE: Final = ("baseline", "best_run")
"""The ladder's baseline that says a size: tokens per param as in the best run so far."""

CAVEAT: Final = (
    "Two things to bear in mind: the optimum seen at a larger budget is the bottom of that "
    "budget's own valley, which is also what isoFLOP fits, so the test leans its way; and on "
    "centred grids that reach a factor of 4 to both sides, with alpha near beta, isoFLOP is about "
    "as good as the parametric law, so a tie between them is then to be expected."
)

BESIDE: Final = (
    "The forecast of all lines together stands beside the recommended line and is not recommended "
    "itself: on each public study of the backtest that shows a best size some single line wastes "
    "less compute than all together, not the same one on all, so the study's own "
    "ladder chooses (what each wastes and scores: docs/uncertainty.md, Backtest)."
)
"""Why the combined line does not get the headline."""

Findings = Mapping[str, FindingJson]
"""What the audits of one family found, by audit."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One family and target: rows of the table (None where there is none) and why, in words.

    `basis` is what decided against the runner-up: held_out (the compute that its N wastes at larger
    budgets), held_out_loss (a tie in that, told apart by the lowest losses there), tie (held out,
    but within noise), order (nothing held out), only (no other candidate) or none.
    `steps` are the steps [largest FLOPs] that were shared.
    """

    line: Any
    runner_up: Any
    basis: str
    why: str
    steps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Judged:
    """Waste [percent] of the candidates (by row) on the steps that they share.

    `loss` are the errors [percent] of their lowest losses there, of those that are tied in waste;
    without rows where one of these says none. `tied` are those that neither tells apart.
    """

    waste: pd.DataFrame
    loss: pd.DataFrame
    tied: list[Any]

    @property
    def mean(self) -> pd.Series:
        return self.waste.mean(axis=0)


def rule(laws: Collection[str]) -> str:
    """How a line is chosen among those of `laws`, in words."""
    order = " before ".join(f"the {spec_of(law).label} law" for law in ranked(laws))
    last = f", then to {order}" if len(laws) > 1 else ""
    surfaces = " and ".join(
        spec_of(law).label for law in ranked(laws) if spec_of(law).says is Says.SURFACE
    )
    refusal = (
        f"; where the runs do not pin down the best size the {surfaces} line is refused"
        if surfaces
        else ""
    )
    return (
        "Candidates are the main line of every law that did not fail, variants that mend a known "
        "bias, and other forms and readings where they were held out "
        f"{FEWEST_STEPS} times or more{refusal}; none that the runs cannot bear (no interval, or "
        "one too wide; an optimum far outside the runs' tokens per param; refuted by runs held "
        "out). The held-out ladder decides: on the steps that the candidates "
        "share, the line whose N wastes least compute at the optima seen at larger budgets, on "
        "average over the steps. Lines that differ by less than the standard error of their "
        f"difference over those steps, or by less than {TIE_PERCENT:.0f} % of compute, are tied; "
        "among these the line wins that predicted the lowest losses there best, by more than the "
        f"standard error and {TIE_LOSS_PERCENT:g} % of the loss. What is still tied "
        "goes, where the target lies beyond the runs, to a line that has a forecast, then to one "
        f"without a warning, then to the one that rests on most runs{last}. "
        f"With fewer than {FEWEST_STEPS} shared steps nothing was held out that could tell lines "
        "apart: then the same order as in a tie holds. Between families whose losses the study "
        "calls comparable the lowest loss wins, by a line that all of them have; others stand "
        "side by side."
    )


def refused(findings: Findings) -> bool:
    """Whether N_opt of the surface is refused: the runs do not tell its terms apart."""
    return (
        "identifiability" in findings and findings["identifiability"]["verdict"] == Verdict.REFUTED
    )


def held_out(findings: Findings) -> pd.DataFrame:
    """Waste at held-out optima: law, estimator, largest_flops (of the step), wasted_percent.

    Where the ladder scored the lowest losses of larger budgets too, loss_error_percent is their
    mean error, else missing. Steps without a waste are left out; no row at all without a ladder.
    """
    columns = ["law", "estimator", "largest_flops", "wasted_percent", "loss_error_percent"]
    steps = findings["ladder"]["tables"].get("steps") if "ladder" in findings else None
    if steps is None or not len(steps):
        return pd.DataFrame(columns=columns)
    if "estimator" not in steps:
        steps = steps.assign(estimator="")
    steps = steps.assign(loss_error_percent=steps.get("bottom_error_percent", math.nan))
    kept = steps[np.isfinite(steps["wasted_percent"].astype(float))]
    # Every line asks for its rows: names are compared much faster as plain objects.
    return kept[columns].reset_index(drop=True).astype({"law": object, "estimator": object})


def steps_of(line: Mapping[str, Any] | pd.Series, steps: pd.DataFrame) -> pd.DataFrame:
    """The rows of `held_out` that are those of a line of the decision table.

    The ladder may call a law's main line by another name, and then lists it first.
    """
    of_law = steps["law"].to_numpy(dtype=object) == line["law"]
    names = steps["estimator"].to_numpy(dtype=object)
    same = of_law & (names == line["estimator"])
    if of_law.any() and not same.any() and line["main"]:
        same = of_law & (names == names[of_law.argmax()])
    return steps[same]


def candidates(
    lines: pd.DataFrame, findings: Findings, barred: Mapping[Any, str] | None = None
) -> pd.DataFrame:
    """The rows of `lines` (one family, one target) that may be recommended, best prior first.

    `barred` says by row why a line cannot be followed, empty where it can. A line without an
    interval never may be: nothing says how far off it is.
    """
    unpinned, steps, reasons = refused(findings), held_out(findings), barred or {}

    def may_be(line: Any) -> bool:
        spec = spec_of(line.law)
        of_surface = spec.says is Says.SURFACE or line.estimator in spec.of_surface
        # Among the forms of the surface the audits have chosen already.
        settled = spec.says is Says.SURFACE and "form" in findings
        rival = (
            not settled
            and line.estimator in spec.rivals
            and (
                len(steps_of({"law": line.law, "estimator": line.estimator, "main": False}, steps))
                >= FEWEST_STEPS
            )
        )
        offered = line.main or line.estimator in spec.recommendable or rival
        return bool(offered) and not (unpinned and of_surface) and not reasons.get(line.Index)

    usable = (lines["status"] != FAILED) & lines["params"].notna() & lines["params_lo95"].notna()
    kept = lines[usable & np.array([may_be(line) for line in lines.itertuples()], dtype=bool)]
    return kept.loc[sorted(kept.index, key=lambda i: (*_merit(kept.loc[i]), i))]


def choose(
    lines: pd.DataFrame, findings: Findings, barred: Mapping[Any, str] | None = None
) -> Choice:
    """The recommended line of one family and target by `rule`.

    `lines` has columns law, estimator, main, status, params, runs; `findings` are the family's;
    `barred` says by row why a line cannot be followed, empty where it can.
    """
    pool = candidates(lines, findings, barred)
    surfaces = [law for law in lines["law"].unique() if spec_of(law).says is Says.SURFACE]
    unpinned = " and ".join(spec_of(law).label for law in surfaces if refused(findings))
    note = f" The {unpinned} line is refused: the runs do not pin down the best size."
    note = note * bool(unpinned) + _set_aside(lines, barred or {})
    if pool.empty:
        return Choice(None, None, "none", f"No law gives a number that may be used.{note}")
    if len(pool) == 1:
        only = pool.iloc[0]
        sentence = f"The {line_name(only)} line is the only candidate.{note}"
        return Choice(pool.index[0], None, "only", sentence)
    steps = held_out(findings)
    judged = _judge(pool, steps)
    if judged is None:
        other = _other_law(pool, list(pool.index))
        first, second = pool.iloc[0], pool.loc[other]
        sentence = (
            f"No two candidates were held out on {FEWEST_STEPS} or more common steps, so evidence "
            f"cannot choose; the {line_name(first)} line goes before the {line_name(second)} line "
            f"because {_tie_reason(first, second)}."
        )
        return Choice(pool.index[0], other, "order", sentence + note)
    rest = judged.mean.drop(judged.tied).sort_values(kind="stable").index
    ranked = [*judged.tied, *rest]
    second = _other_law(pool, ranked)
    if second in judged.tied:
        basis = "tie"
    else:
        basis = "held_out_loss" if second in judged.loss else "held_out"
    shared = tuple(float(c) for c in judged.waste.index)
    why = _why(pool, judged, ranked[0], second) + _beaten(judged, ranked[0], steps)
    return Choice(ranked[0], second, basis, why + note, shared)


def _set_aside(lines: pd.DataFrame, barred: Mapping[Any, str]) -> str:
    """A sentence for each law's main line that is not followed, and why."""
    reasons = [(line_name(line), barred.get(i)) for i, line in lines[lines["main"]].iterrows()]
    return "".join(f" The {name} line is not followed: {why}." for name, why in reasons if why)


def line_name(line: Mapping[str, Any] | pd.Series) -> str:
    """What a line is called in a sentence: its law, and its variant if it is not the main one."""
    law = spec_of(line["law"]).label
    return law if line["main"] else f"{law} ({line['label']})"


def _merit(line: pd.Series) -> tuple[bool, bool, float, int, bool]:
    """Sort key of a tie: forecast beyond the runs, no warning, most runs, law, main line."""
    rank = int(spec_of(line["law"]).uses)
    beyond = float(line.get("extrapolation", math.nan)) > 1
    unknown = beyond and not all(
        math.isfinite(float(line.get(f"forecast_{name}", math.nan))) for name in ("params", "loss")
    )
    warned = line["status"] != CONVERGED
    return unknown, warned, -float(line["runs"]), rank, not line["main"]


def _judge(pool: pd.DataFrame, steps: pd.DataFrame) -> _Judged | None:
    """Waste of the candidates on common steps, None where fewer than two can be compared."""
    waste = {
        index: steps_of(line, steps).set_index("largest_flops")["wasted_percent"]
        for index, line in pool.iterrows()
    }
    known = {i: w for i, w in waste.items() if len(w) >= FEWEST_STEPS}
    while len(known) >= 2:
        shared = pd.DataFrame(known).dropna()
        if len(shared) >= FEWEST_STEPS:
            tied = tied_in(shared, list(pool.index), TIE_PERCENT)
            losses = _loss_errors(pool.loc[tied], steps, shared.index)
            if not losses.empty:
                tied = tied_in(losses, tied, TIE_LOSS_PERCENT)
            return _Judged(shared, losses, tied)
        # The line held out least often is the one that keeps the others from being compared.
        known.pop(min(reversed(list(known)), key=lambda i: len(known[i])))
    return None


def _loss_errors(pool: pd.DataFrame, steps: pd.DataFrame, shared: pd.Index) -> pd.DataFrame:
    """Errors [percent] of the lowest losses on the `shared` steps (steps, lines of `pool`).

    Without rows where some line of the pool says none on one of them.
    """
    errors = {
        i: steps_of(line, steps).set_index("largest_flops")["loss_error_percent"].reindex(shared)
        for i, line in pool.iterrows()
    }
    table = pd.DataFrame(errors).astype(float)
    return table if table.notna().all(axis=None) else table.iloc[:0]


def _other_law(pool: pd.DataFrame, ranked: list[Any]) -> Any:
    """The best line of another law than the first's; a variant of that law if there is no other."""
    law = pool.loc[ranked[0], "law"]
    return next((i for i in ranked if pool.loc[i, "law"] != law), ranked[1])


def _why(pool: pd.DataFrame, judged: _Judged, chosen: Any, other: Any) -> str:
    first, second = pool.loc[chosen], pool.loc[other]
    mean = judged.mean
    sentence = (
        f"On {count(len(judged.waste), 'shared step')} of the held-out ladder the N of the "
        f"{line_name(first)} line wastes {_percent(mean[chosen])} of compute on average at the "
        f"optima seen at larger budgets, that of the {line_name(second)} line "
        f"{_percent(mean[other])}"
    )
    if mean[other] > mean[chosen] and other not in judged.loss:
        return f"{sentence}."
    if other not in judged.tied:
        return sentence + _by_loss(judged, chosen, other)
    gap, noise = difference(judged.waste[chosen], judged.waste[other])
    return (
        f"{sentence}: a tie (they differ by {_percent(abs(gap))}, with a standard error of "
        f"{_percent(noise)}), which goes to the {line_name(first)} line because "
        f"{_tie_reason(first, second)}."
    )


def _by_loss(judged: _Judged, chosen: Any, other: Any) -> str:
    if other not in judged.loss:
        return "."
    mine, its = (_percent(float(judged.loss[i].mean())) for i in (chosen, other))
    return (
        f": a tie in the size. Of the losses it predicted the lowest ones there within {mine}, the "
        f"other within {its}."
    )


def _beaten(judged: _Judged, chosen: Any, steps: pd.DataFrame) -> str:
    """A sentence where the chosen line wastes more than extrapolating the best runs."""
    mine = steps[(steps["law"] == BASELINE[0]) & (steps["estimator"] == BASELINE[1])]
    waste = mine.set_index("largest_flops")["wasted_percent"].reindex(judged.waste.index)
    if waste.isna().any() or waste.mean() >= judged.mean[chosen]:
        return ""
    return (
        " To keep the tokens per param of the best run so far would have wasted less than any of "
        f"these lines did, {_percent(float(waste.mean()))}."
        if waste.mean() < judged.mean.min()
        else " To keep the tokens per param of the best run so far would have wasted less, "
        f"{_percent(float(waste.mean()))}."
    )


def _tie_reason(first: pd.Series, second: pd.Series) -> str:
    """Which part of the order puts `first` before `second`."""
    mine, other = _merit(first), _merit(second)
    if mine[0] != other[0]:
        return "it has a forecast beyond the runs"
    if mine[1] != other[1]:
        return "it has no warning"
    if mine[2] != other[2]:
        return f"it rests on more runs ({first['runs']:,.0f} against {second['runs']:,.0f})"
    if mine[3] != other[3]:
        share = "all" if mine[3] == Uses.ALL else "more"
        return f"with {first['runs']:,.0f} runs each it is the law that uses {share} of them"
    if mine[4] != other[4]:
        return "it is the main line of its law"
    return "nothing else tells them apart and it stands first"


def _percent(x: float) -> str:
    return f"{significant(x, 2)} %"
