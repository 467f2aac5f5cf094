"""Forecasts of every line of a ladder, and of all lines together.

A forecast made at a step knows what its lines have missed at the steps before, at budgets that had
been reached by then, and the prior. So the same code forecasts a study's target, which is one more
step, and says of every earlier step what it would have forecast there: the backtest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

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
HISTORY: Final = ("drifts", "drifts_mean", "drifts_squares")
"""Number, mean and squares about it of a line's drifts that are known at a step."""
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
    number, lines = pd.factorize(predictions["line"])
    order = np.argsort(number, kind="stable")
    order = order[number[order] >= 0]
    table = predictions.iloc[order].reset_index(drop=True)
    table = table.assign(distance=distance(table["flops"], table["step"]))
    rows = _Rows.of(table)
    ends = np.searchsorted(number[order], np.arange(len(lines) + 1))
    parts = []
    for line, begin, end in zip(lines, ends[:-1], ends[1:], strict=True):
        mine = rows.some(slice(begin, end))
        history = mine.history()
        prior = priors.get(str(line), priors[OTHER])
        parts.append({**history, **mine.forecast(history, prior)})
    names = parts[0] if parts else {}
    return table.assign(**{name: np.concatenate([part[name] for part in parts]) for name in names})


def with_history(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of one line with number, mean and squares of the drifts that are known at each step."""
    return table.assign(**_Rows.of(table).history()).reset_index(drop=True)


def forecast_of(table: pd.DataFrame, prior: Prior) -> pd.DataFrame:
    """Rows of `with_history` with their forecast under `prior`."""
    history = {name: table[name].to_numpy(dtype=float) for name in HISTORY}
    return table.assign(**_Rows.of(table).forecast(history, prior))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one line as arrays: those columns of `ladder_errors` that forecasts rest on."""

    step: Floats
    flops: Floats
    distance: Floats
    told_ln: Floats
    seen_ln: Floats
    draws_ln: Floats
    noise_ln: Floats

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Rows:
        return cls(*(table[f.name].to_numpy(dtype=float) for f in fields(cls)))

    def some(self, which: slice) -> _Rows:
        return _Rows(*(getattr(self, f.name)[which] for f in fields(self)))

    def history(self) -> dict[str, NDArray[Any]]:
        """Number, mean and squares of the drifts that are known at the step of each row."""
        error = self.told_ln - self.seen_ln
        seen = (self.distance > NEAREST) & ~np.isnan(self.seen_ln)
        steps, place = np.unique(self.step, return_inverse=True)
        gathered = []
        for number, step in enumerate(steps):
            known = seen & (self.flops <= step * REACHED)
            of_steps = [known & (place == before) for before in range(number)]
            drifts = np.array(
                [drift_of(error[rows], self.distance[rows]) for rows in of_steps if rows.any()]
            )
            mean = float(drifts.mean()) if drifts.size else 0.0
            gathered.append((drifts.size, mean, float(((drifts - mean) ** 2).sum())))
        columns = zip(*gathered, strict=True) if gathered else ((), (), ())
        return {name: np.array(c)[place] for name, c in zip(HISTORY, columns, strict=True)}

    def forecast(self, history: Mapping[str, NDArray[Any]], prior: Prior) -> dict[str, Floats]:
        """The columns that `forecasts` adds, under `prior`."""
        errors = from_sums(prior, *(np.asarray(history[name], dtype=float) for name in HISTORY))
        x = self.distance
        # Within the runs no drift speaks in place of draws, nor did any study weigh lines there.
        inside = x <= NEAREST
        draws = self.draws_ln * np.where(inside, 1.0, prior.spread)
        return {
            "centre": self.told_ln - errors.mean * x,
            "scale": np.sqrt((errors.scale * x) ** 2 + draws**2 + self.noise_ln**2),
            "df": errors.df,
            "mean": errors.mean,
            "drift": errors.scale,
            "prior_weight": np.where(inside, 1.0, prior.weight),
        }


def combined(single: pd.DataFrame) -> pd.DataFrame:
    """The predictions of all lines together, each target's by `weights`.

    What lines lie apart stands in `draws_ln` beside their own draws, which all come from the same
    runs and so do not average out.
    """
    table = single.assign(weight=weights(single))

    target = _targets(table)

    def mean(values: pd.Series | Floats) -> pd.Series:
        return (table["weight"] * values).groupby(target).transform("sum")

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
    steps, at_step = np.unique(table["step"].to_numpy(dtype=float), return_inverse=True)
    line, lines = pd.factorize(table["line"])
    flops, score = table["flops"].to_numpy(dtype=float), log_scores(table)
    earned = np.full(len(table), np.nan)
    for number, step in enumerate(steps):
        here = at_step == number
        known = (at_step < number) & (flops <= step * REACHED) & ~np.isnan(score)
        of_step = np.full((number, len(lines)), np.nan)
        means = pd.Series(score[known]).groupby(at_step[known] * len(lines) + line[known]).mean()
        of_step.flat[means.index.to_numpy()] = means.to_numpy()
        earned[here] = _scores_before(of_step, line[here])
    scale, prior = (table[name].to_numpy(dtype=float) for name in ("scale", "prior_weight"))
    weight = pd.Series(earned - 2 * np.log(scale) + np.log(prior))
    target = _targets(table)
    share = np.exp(weight - weight.groupby(target).transform("max"))
    return np.asarray(share / share.groupby(target).transform("sum"), dtype=float)


def _targets(table: pd.DataFrame) -> NDArray[np.intp]:
    """The number of each row's target among all that are forecast."""
    return np.asarray(table.groupby(TARGET, sort=False).ngroup(), dtype=np.intp)


def _scores_before(of_step: Floats, lines: NDArray[np.intp]) -> Floats:
    """What each of `lines` has scored over the steps of `of_step` (steps, lines), NaN if silent."""
    mine = np.unique(lines)
    scores = of_step[:, mine]
    scores = scores[~np.isnan(scores).all(axis=1)]
    filled = np.where(np.isnan(scores), np.fmin.reduce(scores, axis=1)[:, None], scores)
    sums = STEP_WEIGHT * np.ascontiguousarray(filled.T).sum(axis=1)
    return np.asarray(sums[np.searchsorted(mine, lines)])
