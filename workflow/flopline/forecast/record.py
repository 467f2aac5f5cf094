"""What the forecasts of a study's own ladder scored: how far each line is to be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from flopline.forecast.ladder_errors import LOSS, PARAMS, QUANTITIES, of_ladder
from flopline.forecast.line_forecasts import Priors, forecasts
from flopline.forecast.priors import stored
from flopline.forecast.student import StudentT
from flopline.schema import LEVELS

SCORED: Final = ("error_percent", "crps_percent", "log_score", *(f"inside{n}" for n in LEVELS))
"""Columns of `record` that are means over budgets or runs within a step, then over steps."""


def record(
    tables: Mapping[str, pd.DataFrame], priors: Mapping[str, Priors] | None = None
) -> pd.DataFrame:
    """One row per quantity and line, COMBINED among them: what their forecasts scored at each step.

    `tables` are those of the ladder's finding, `priors` as in `target.at_targets`. Columns:
    quantity, line, `steps`, and the means SCORED: error of the forecast's centre and CRPS in
    percent, log score of the log, share of what was seen inside the intervals. Lines are to be
    compared where `steps` agree.
    """
    known = priors or stored()
    parts = []
    for quantity in QUANTITIES:
        predictions = of_ladder(tables, quantity)
        predictions = predictions[predictions["seen_ln"].notna()]
        if len(predictions):
            made = _scored(forecasts(predictions, known[quantity]))
            by_step = made.groupby(["line", "step"])[list(SCORED)].mean()
            means = by_step.groupby(level="line").mean()
            means.insert(0, "steps", by_step.groupby(level="line").size())
            means.insert(0, "quantity", quantity)
            parts.append(means.reset_index())
    columns = ["quantity", "line", "steps", *SCORED]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def failures(
    tables: Mapping[str, pd.DataFrame], priors: Mapping[str, Priors] | None = None
) -> pd.DataFrame:
    """One row per line: the `steps` of the ladder that were forecast, and how many `failed`.

    `tables` and `priors` are as above. Of the losses and the sizes at larger budgets, a step fails
    that quantity where more than half of what was seen lies outside its 95 % forecast interval;
    columns quantity, line, steps, failed.
    """
    known = priors or stored()
    past = {name: table for name, table in tables.items() if name != "ahead"}
    parts = []
    for quantity in (LOSS, PARAMS):
        predictions = of_ladder(past, quantity)
        predictions = predictions[predictions["seen_ln"].notna()]
        if predictions.empty:
            continue
        made = forecasts(predictions, known[quantity])
        low, high = StudentT.of(made["centre"], made["scale"], made["df"]).interval(95)
        outside = ~((low <= made["seen_ln"]) & (made["seen_ln"] <= high))
        by_step = (outside.groupby([made["line"], made["step"]]).mean() > 0.5).groupby(level=0)
        table = pd.DataFrame({"steps": by_step.size(), "failed": by_step.sum()}).reset_index()
        table.insert(0, "quantity", quantity)
        parts.append(table)
    columns = ["quantity", "line", "steps", "failed"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _scored(made: pd.DataFrame) -> pd.DataFrame:
    t, seen = StudentT.of(made["centre"], made["scale"], made["df"]), made["seen_ln"]
    out = made.assign(
        error_percent=100 * np.abs(np.expm1(made["centre"] - seen)),
        crps_percent=100 * t.crps(seen),
        log_score=t.log_density(seen),
    )
    for level in LEVELS:
        low, high = t.interval(level)
        out[f"inside{level}"] = ((low <= seen) & (seen <= high)).astype(float)
    return out
