"""The prior over discrepancies: the one under which public studies' ladders were likeliest.

Every study weighs the same, and in it every family, step and budget. The weights in steps are
common to all lines, since few studies could tell them apart by line; the drift is each line's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from flopline.forecast.discrepancy import Prior, distance
from flopline.forecast.line_forecasts import (
    OTHER,
    Priors,
    combined,
    forecast_of,
    log_scores,
    of_lines,
    with_history,
)

STEPS: Final = (2.0, 3.0, 5.0, 8.0, 16.0, 32.0)
"""Weights of a prior drift [steps] that are tried."""
CENTRE_STEPS: Final = (0.5, 1.0, 2.0, 4.0, 16.0)
"""Weights of a prior mean of zero."""
DRIFTS: Final = np.geomspace(1e-3, 0.5, 26)
"""Drifts that are tried [log error per unit of ln C]."""
FEWEST: Final = 3
"""Studies that a line needs for a drift of its own; one with fewer takes that of all lines."""

Predictions = Mapping[tuple[str, str], pd.DataFrame]
"""Predictions by study and family."""


def likelihoods(predictions: Predictions) -> pd.DataFrame:
    """Mean log score of each line's forecasts in each study under every prior that is tried.

    `predictions` holds what `ladder_errors` makes of each ladder. Rows are (line, study), columns
    (centre_steps, steps, drift).
    """
    seen = {key: rows[rows["seen_ln"].notna()] for key, rows in predictions.items()}
    table = pd.concat([_weighed(rows, *key) for key, rows in seen.items() if len(rows)])
    keys = [table["line"], table["study"]]
    tried = {
        (centre, steps, drift): _mean_score(table, Prior(drift, steps, centre), keys)
        for centre, steps, drift in product(CENTRE_STEPS, STEPS, DRIFTS.tolist())
    }
    return pd.DataFrame(tried)


def chosen(of_priors: pd.DataFrame, without: str = "") -> dict[str, Prior]:
    """The likeliest priors by line and for OTHER, from all studies of `likelihoods` but one."""
    used = of_priors[of_priors.index.get_level_values(1) != without]
    by_line = used.groupby(level=0).sum()
    studies = used.groupby(level=0).size()
    pooled = used.groupby(level=1).mean().sum()
    total = by_line.T.groupby(level=[0, 1]).max().T.sum()
    centre, steps = total.idxmax()
    priors = {OTHER: Prior(float(pooled[centre, steps].idxmax()), steps, centre)}
    for line in by_line.index[studies >= FEWEST]:
        drift = float(by_line.loc[line, (centre, steps)].idxmax())
        priors[str(line)] = Prior(drift, steps, centre)
    return priors


def combined_of(
    predictions: Predictions, priors: Mapping[str, Priors]
) -> dict[tuple[str, str], pd.DataFrame]:
    """Predictions of all lines together in every ladder, by the priors of each study."""
    return {
        (study, family): combined(of_lines(rows, priors[study]))
        for (study, family), rows in predictions.items()
        if len(rows)
    }


def _weighed(rows: pd.DataFrame, study: str, family: str) -> pd.DataFrame:
    """The rows of one ladder with their history, and their weight within the family and line."""
    parts = []
    for _, mine in rows.groupby("line", sort=False):
        known = with_history(mine.assign(distance=distance(mine["flops"], mine["step"])))
        in_step = known.groupby("step")["step"].transform("size")
        parts.append(known.assign(weight=1 / in_step / known["step"].nunique()))
    return pd.concat(parts).assign(study=study, family=family)


def _mean_score(table: pd.DataFrame, prior: Prior, keys: list[pd.Series]) -> pd.Series:
    """By line and study; families of a study weigh the same."""
    weighed = log_scores(forecast_of(table, prior)) * table["weight"]
    by_family = weighed.groupby([*keys, table["family"]]).sum()
    return by_family.groupby(level=[0, 1]).mean()
