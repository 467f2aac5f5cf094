"""The prior over discrepancies: the one under which public studies' ladders were likeliest.

Every study weighs the same, and in it every family, step and budget. The weights in steps are
common to all lines, since few studies could tell them apart by line. The drift is each line's own,
but what all lines show counts beside it: where a line's ladders cannot tell a drift from none (as
their draws are wide where a step has few runs), the likeliest is none, and nobody would bet on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from flopline.forecast.discrepancy import Prior, distance
from flopline.forecast.line_forecasts import (
    OTHER,
    TARGET,
    Floats,
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
SPREADS: Final = (0.35, 0.5, 0.7, 1.0)
"""Shares of the draws of all lines together that are tried."""
ROUNDS: Final = 300
"""Rounds of expectation and maximisation; the weights then move by less than a thousandth."""
EVEN: Final = 1.0
"""What even weights count in stacking [studies]."""
COMMON: Final = 1.0
"""What all lines together count beside a line's own ladders in its drift [studies]."""
FEWEST: Final = 3
"""Studies that a line needs for a drift of its own; one with fewer takes that of all lines."""

Predictions = Mapping[tuple[str, str], pd.DataFrame]
"""Predictions by study and family."""


def likelihoods(predictions: Predictions, spreads: Sequence[float] = (1.0,)) -> pd.DataFrame:
    """Mean log score of each line's forecasts in each study under every prior that is tried.

    `predictions` holds what `ladder_errors` makes of each ladder, `spreads` what is tried of a
    prior's. Rows are (line, study), columns (spread, centre_steps, steps, drift).
    """
    seen = {key: rows[rows["seen_ln"].notna()] for key, rows in predictions.items()}
    table = pd.concat([_weighed(rows, *key) for key, rows in seen.items() if len(rows)])
    keys = [table["line"], table["study"]]
    tried = {
        (spread, centre, steps, drift): _mean_score(
            table, Prior(drift, steps, centre, spread), keys
        )
        for spread, centre, steps, drift in product(spreads, CENTRE_STEPS, STEPS, DRIFTS.tolist())
    }
    return pd.DataFrame(tried)


def chosen(of_priors: pd.DataFrame, without: str = "") -> dict[str, Prior]:
    """The likeliest priors by line and for OTHER, from all studies of `likelihoods` but one."""
    used = of_priors[of_priors.index.get_level_values(1) != without]
    by_line = used.groupby(level=0).sum()
    studies = used.groupby(level=0).size()
    pooled = used.groupby(level=1).mean().mean()
    total = by_line.T.groupby(level=[0, 1, 2]).max().T.sum()
    spread, centre, steps = total.idxmax()
    common = (spread, centre, steps)
    priors = {OTHER: Prior(float(pooled[common].idxmax()), steps, centre, spread)}
    for line in by_line.index[studies >= FEWEST]:
        drift = float((by_line.loc[line, common] + COMMON * pooled[common]).idxmax())
        priors[str(line)] = Prior(drift, steps, centre, spread)
    return priors


def stacked(forecasts: pd.DataFrame, without: str = "") -> pd.Series:
    """The weight of each line under which the mixture of all forecast best what was seen.

    Stacking of predictive distributions (Yao et al. 2018): the mean log score of the mixture over
    all studies but one, each study, family, step and target weighing the same among its like, is
    the largest; by expectation and maximisation, since the weights are those of a mixture. Even
    weights count as much as one study. `forecasts` are those of `of_lines` with their study and
    family. A line that does not forecast a target is taken to do as well there as the mixture.
    """
    rows = forecasts[forecasts["seen_ln"].notna() & (forecasts["study"] != without)]
    likelihood = rows.assign(density=np.exp(log_scores(rows))).pivot_table(
        "density", ["study", "family", "step", *TARGET[1:]], "line"
    )
    density = likelihood.to_numpy(dtype=float)
    counts = _shares(likelihood.index.to_frame(index=False))
    known, lines = ~np.isnan(density), density.shape[1]
    weight = np.full(lines, 1.0 / lines)
    for _ in range(ROUNDS):
        mixture = np.where(known, density, 0.0) @ weight / (known @ weight)
        shares = np.where(known, density, mixture[:, None]) * weight
        shares /= shares.sum(axis=1, keepdims=True)
        weight = counts @ shares + EVEN / lines
        weight /= weight.sum()
    return pd.Series(weight * lines, likelihood.columns)


def _shares(targets: pd.DataFrame) -> Floats:
    """What each target counts where studies weigh the same, in them families, in these steps."""
    in_step = targets.groupby(["study", "family", "step"])["flops"].transform("size")
    steps = targets.groupby(["study", "family"])["step"].transform("nunique")
    families = targets.groupby("study")["family"].transform("nunique")
    return np.asarray(1.0 / (in_step * steps * families), dtype=float)


def with_weights(priors: Priors, weights: pd.Series) -> dict[str, Prior]:
    """The priors with the weights of `stacked`; one that they lack weighs 1, the mean."""
    weight = weights.to_dict()
    return {line: replace(prior, weight=weight.get(line, 1.0)) for line, prior in priors.items()}


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
