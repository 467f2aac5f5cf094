"""Forecasts of every line of a ladder, and of all lines together.

A forecast made at a step knows what its lines have missed at the steps before, at budgets that had
been reached by then, and the prior. So the same code forecasts a study's target, which is one more
step, and says of every earlier step what it would have forecast there: the backtest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.forecast.discrepancy import NEAREST, Prior, distance, drift_of, from_sums
from flopline.forecast.ladder_errors import COLUMNS
from flopline.forecast.student import StudentT

Floats = NDArray[np.float64]
Priors = Mapping[str, Prior]

COMBINED: Final = "combined"
"""The line of all lines."""
OTHER: Final = "other"
"""The prior of a line that has none of its own."""
REACHED: Final = 1.17
"""A budget counts as reached at a step of up to this factor less: runs of one budget scatter."""
STEP_WEIGHT: Final = 0.5
"""What a step's score counts: steps are nested and share most of their runs and budgets."""
TARGET: Final = ["step", "flops", "what"]


def forecasts(predictions: pd.DataFrame, priors: Priors) -> pd.DataFrame:
    """Every row of `predictions` (see `ladder_errors`) with a forecast of the log of what is seen.

    Adds `distance`, and `centre`, `scale`, `df` of a Student t that holds draws, discrepancy and
    the noise of what is seen; `mean` and `drift` are mean and scale of the next drift, and
    `prior_weight` is the line's weight before any step. Rows whose
    `seen_ln` is missing are forecast all the same. Those of COMBINED come last.
    """
    single = of_lines(predictions, priors)
    together = of_lines(combined(single), priors)
    return pd.concat([single, together], ignore_index=True)


def of_lines(predictions: pd.DataFrame, priors: Priors) -> pd.DataFrame:
    """The same for the lines that stand in `predictions` alone."""
    table = predictions.assign(distance=distance(predictions["flops"], predictions["step"]))
    parts = [
        _of_line(rows, priors.get(str(line), priors[OTHER]))
        for line, rows in table.groupby("line", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def with_history(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of one line with number, mean and squares of the drifts that are known at each step."""
    gathered = []
    for step in sorted(table["step"].unique()):
        known = table[
            (table["step"] < step)
            & (table["flops"] <= step * REACHED)
            & (table["distance"] > NEAREST)
            & table["seen_ln"].notna()
        ]
        drifts = np.array(
            [
                drift_of(rows["told_ln"] - rows["seen_ln"], rows["distance"])
                for _, rows in known.groupby("step")
            ]
        )
        mean = float(drifts.mean()) if drifts.size else 0.0
        gathered.append((step, drifts.size, mean, float(((drifts - mean) ** 2).sum())))
    columns = ["step", "drifts", "drifts_mean", "drifts_squares"]
    return table.merge(pd.DataFrame(gathered, columns=columns), on="step", how="left")


def forecast_of(table: pd.DataFrame, prior: Prior) -> pd.DataFrame:
    """Rows of `with_history` with their forecast under `prior`."""
    sums = (table[name].to_numpy(float) for name in ("drifts", "drifts_mean", "drifts_squares"))
    errors = from_sums(prior, *sums)
    x = table["distance"].to_numpy(dtype=float)
    # Within the runs no drift speaks in place of draws, nor did any study weigh lines there.
    inside = x <= NEAREST
    draws = table["draws_ln"].to_numpy(dtype=float) * np.where(inside, 1.0, prior.spread)
    noise = table["noise_ln"].to_numpy(dtype=float)
    return table.assign(
        centre=table["told_ln"] - errors.mean * x,
        scale=np.sqrt((errors.scale * x) ** 2 + draws**2 + noise**2),
        df=errors.df,
        mean=errors.mean,
        drift=errors.scale,
        prior_weight=np.where(inside, 1.0, prior.weight),
    )


def combined(single: pd.DataFrame) -> pd.DataFrame:
    """The predictions of all lines together, each target's by `weights`.

    What lines lie apart stands in `draws_ln` beside their own draws, which all come from the same
    runs and so do not average out.
    """
    table = single.assign(weight=weights(single))

    def mean(values: pd.Series | Floats) -> pd.Series:
        weighted = table.assign(value=table["weight"] * values)
        return weighted.groupby(TARGET)["value"].transform("sum")

    centre = mean(table["centre"])
    apart = mean((table["centre"] - centre) ** 2)
    out = table.assign(
        line=COMBINED,
        told_ln=centre,
        draws_ln=np.sqrt(apart + mean(table["draws_ln"]) ** 2),
        noise_ln=mean(table["noise_ln"]),
    )
    return out.drop_duplicates(TARGET).sort_values(TARGET, ignore_index=True)[list(COLUMNS)]


def log_scores(table: pd.DataFrame) -> Floats:
    """The logarithmic score of each forecast; NaN where nothing was seen yet."""
    t = StudentT.of(table["centre"], table["scale"], table["df"])
    return t.log_density(table["seen_ln"])


def weights(table: pd.DataFrame) -> Floats:
    """The weight of each forecast of `of_lines` among those of the same target.

    A line weighs as exp(STEP_WEIGHT times the sum of its mean log scores over the steps before), a
    step counting the same however many budgets it predicted; before any step as 1 / scale^2 of its
    forecast times the line's weight in the prior. A line that could not speak at a step has the
    lowest score that a line got there.
    """
    scored = table.assign(score=log_scores(table))
    so_far = pd.concat([_scores_before(scored, step) for step in sorted(table["step"].unique())])
    earned = so_far.reindex(pd.MultiIndex.from_frame(table[["step", "line"]])).to_numpy()
    scale, prior = (table[name].to_numpy(dtype=float) for name in ("scale", "prior_weight"))
    weight = table.assign(weight=earned - 2 * np.log(scale) + np.log(prior))
    by_target = weight.groupby(TARGET)["weight"]
    share = np.exp(weight["weight"] - by_target.transform("max"))
    total = share.groupby([table[name] for name in TARGET]).transform("sum")
    return np.asarray(share / total, dtype=float)


def _scores_before(scored: pd.DataFrame, step: float) -> pd.Series:
    """What each line's forecasts had scored by `step`, indexed by step and line."""
    lines = scored.loc[scored["step"] == step, "line"].unique()
    known = scored[
        (scored["step"] < step) & (scored["flops"] <= step * REACHED) & scored["score"].notna()
    ]
    by_step = known.pivot_table("score", "step", "line").reindex(columns=lines)
    lowest = by_step.min(axis=1)
    filled = by_step.apply(lambda of_line: of_line.fillna(lowest)).dropna(how="all")
    index = pd.MultiIndex.from_product([[step], lines], names=["step", "line"])
    return pd.Series(STEP_WEIGHT * filled.sum().to_numpy(dtype=float), index=index)


def _of_line(table: pd.DataFrame, prior: Prior) -> pd.DataFrame:
    return forecast_of(with_history(table), prior)
