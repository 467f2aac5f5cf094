"""Where the runs of a study cannot bear a forecast, and what to warn of where they can."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from flopline.audit.held_out import REFUTED_PERCENT
from flopline.bearing import FURTHEST, NEAR_TARGET, OUTSIDE_FACTOR, span_of
from flopline.errors import FloplineError
from flopline.forecast.ladder_errors import RUN
from flopline.forecast.line_forecasts import COMBINED
from flopline.forecast.one_run import RunForecast, of_runs
from flopline.forecast.record import record
from flopline.numbers import factor, humanise, significant
from flopline.reach import farther
from flopline.results import FamilyResults
from flopline.schema import HELD_OUT, KEPT
from flopline.sealed.future_runs import FutureRun

WIDEST_FACTOR: Final = 2.0
"""Ends of a 95 % forecast of a loss that are farther apart say nothing of a run."""
FEWEST_STEPS: Final = 2
"""Steps of the ladder before its forecasts can be said to fail."""
FEWEST_INSIDE: Final = 0.5
"""Share of larger runs inside their 95 % forecasts below which these fail."""


def refusal(run: FutureRun, forecast: RunForecast, runs: pd.DataFrame, known: FamilyResults) -> str:
    """Why the runs do not bear the forecast of `run`, one clause; empty where they do.

    `runs` are all of its family (schema.RUNS), `known` what was found for it.
    """
    kept = runs[runs["status"] == KEPT]
    span = span_of(kept)
    if span.rise:
        return span.rise
    ratio, (least, most) = run.tokens / run.params, span.tokens_per_param
    if not least / OUTSIDE_FACTOR <= ratio <= most * OUTSIDE_FACTOR:
        return (
            f"its {significant(ratio, 3)} tokens per param lie more than {OUTSIDE_FACTOR:g} times "
            f"outside those of the runs, {significant(least, 3)} to {significant(most, 3)}"
        )
    loss = forecast.loss()
    if not loss.hi95 / loss.lo95 <= WIDEST_FACTOR:
        return (
            f"its 95 % forecast goes from {significant(loss.lo95)} to {significant(loss.hi95)}, "
            "which says nothing"
        )
    return _failing(known) or _refuted(forecast, runs[runs["status"] == HELD_OUT], known)


def to_mind(run: FutureRun, forecast: RunForecast, runs: pd.DataFrame) -> list[str]:
    """Clauses on how far the run lies outside what the family's kept `runs` span."""
    return list(_outside(run, forecast, runs[runs["status"] == KEPT]))


def _failing(known: FamilyResults) -> str:
    """Why the study's own ladder speaks against its forecasts of single runs."""
    made = record(known.findings["ladder"]["tables"])
    mine = made[(made["quantity"] == RUN) & (made["line"] == COMBINED)]
    if mine.empty or mine["steps"].iloc[0] < FEWEST_STEPS:
        return ""
    inside = float(mine["inside95"].iloc[0])
    if inside >= FEWEST_INSIDE:
        return ""
    return (
        f"of the larger runs of the study's own ladder only {100 * inside:.0f} % lay in their 95 % "
        "forecasts"
    )


def _refuted(forecast: RunForecast, held: pd.DataFrame, known: FamilyResults) -> str:
    """Why runs held out near the compute of the forecast refute it."""
    far = np.abs(np.log(held["flops"].to_numpy(dtype=float) / forecast.flops))
    near = held[far <= math.log(NEAR_TARGET)]
    if near.empty:
        return ""
    try:
        made = of_runs(near, known)
    except FloplineError:
        return ""
    scored = pd.DataFrame(
        [f.scored(float(seen)) for f, seen in zip(made, near["loss"], strict=True)]
    )
    inside, error = int(scored["inside95"].sum()), float(scored["error_percent"].mean())
    if inside * 2 >= len(near) or abs(error) < REFUTED_PERCENT:
        return ""
    return (
        f"of the {len(near)} runs held out near it {inside} lie in their 95 % forecasts, which are "
        f"{significant(abs(error), 2)} % too {'high' if error > 0 else 'low'} on average"
    )


def _outside(run: FutureRun, forecast: RunForecast, kept: pd.DataFrame) -> Iterator[str]:
    if farther(forecast.reach, FURTHEST):
        yield (
            f"its compute is {factor(forecast.reach)} that of the largest run, farther than the "
            f"{FURTHEST:g}× that forecasts were tried over"
        )
    elif forecast.reach > 1:
        yield f"its compute is {factor(forecast.reach)} that of the largest run"
    for name, value, unit in (
        ("params", run.params, "params"),
        ("tokens", run.tokens, "tokens"),
    ):
        seen = kept[name].to_numpy(dtype=float)
        if not seen.min() <= value <= seen.max():
            yield (
                f"its {humanise(value)} {unit} lie outside those of the runs, "
                f"{humanise(float(seen.min()))} to {humanise(float(seen.max()))}"
            )
    ratios = (kept["tokens"] / kept["params"]).to_numpy(dtype=float)
    ratio = run.tokens / run.params
    if not ratios.min() <= ratio <= ratios.max():
        yield (
            f"its {significant(ratio, 3)} tokens per param lie outside those of the runs, "
            f"{significant(float(ratios.min()), 3)} to {significant(float(ratios.max()), 3)}"
        )
