"""What a study's ladder lets one forecast at its targets: loss, one new run, size and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from flopline.documents import NumbersJson
from flopline.forecast.best_size import BestSize, best_size
from flopline.forecast.ladder_errors import LOSS, PARAMS, of_ladder
from flopline.forecast.line_forecasts import COMBINED, Priors, forecasts, weights
from flopline.forecast.priors import stored
from flopline.forecast.student import StudentT
from flopline.laws.common.fit_result import Estimate
from flopline.schema import LEVELS


@dataclass(frozen=True, slots=True)
class TargetForecast:
    """All lines together at one budget [FLOPs], beside each line for itself.

    `loss` is the lowest loss of the budget [nats per token], `loss_new_run` that of one run at it;
    their points are what laws say, moved by what they have missed so far. `size` is the best size
    and `params` the forecast of N_opt [weights]; both None where no line states a size. `lines` has
    a row per line: line, its `loss_weight` and `params_weight`, and of loss, loss_new_run and
    params the forecast with its intervals, `_lo80` and so on.
    """

    budget_flops: float
    loss: Estimate
    loss_new_run: Estimate
    params: Estimate | None
    size: BestSize | None
    lines: pd.DataFrame

    def tokens(self) -> float:
        """What is left for tokens beside the best size, C = 6ND; NaN without one."""
        return self.size.tokens(self.budget_flops) if self.size else np.nan


def at_targets(
    tables: Mapping[str, pd.DataFrame],
    numbers: NumbersJson,
    priors: Mapping[str, Priors] | None = None,
) -> list[TargetForecast]:
    """The forecasts at every target of the ladder's table `ahead`, in its order.

    `tables` and `numbers` are those of the ladder's finding, `priors` by quantity and line those of
    `priors.toml` if not given. Targets of which no line says a loss are left out.
    """
    known = priors or stored()
    ahead = tables["ahead"]
    scatter = float(np.nan_to_num(ahead["scatter_ln"].astype(float).max()))
    losses, sizes = (_unseen(tables, name, known[name]) for name in (LOSS, PARAMS))
    exponents = float(numbers["alpha"]), float(numbers["beta"])
    out = []
    for flops in dict.fromkeys(ahead["budget_flops"].astype(float)):
        loss, size = (rows[rows["flops"] == flops] for rows in (losses, sizes))
        if loss.empty:
            continue
        single = size[size["line"] != COMBINED]
        out.append(
            TargetForecast(
                flops,
                _estimate(loss),
                _estimate(loss, scatter),
                _estimate(size) if len(size) else None,
                best_size(single, *exponents) if len(single) else None,
                _of_each_line(loss, size, scatter),
            )
        )
    return out


def _unseen(tables: Mapping[str, pd.DataFrame], quantity: str, priors: Priors) -> pd.DataFrame:
    """The forecasts of what is not seen yet, with the `weight` of each line among the others."""
    made = forecasts(of_ladder(tables, quantity), priors)
    single = made[made["line"] != COMBINED]
    made = made.assign(weight=pd.Series(weights(single), index=single.index))
    return made[made["seen_ln"].isna()]


def _estimate(rows: pd.DataFrame, noise: float = 0.0) -> Estimate:
    """The forecast of the combined line, of one more thing that scatters by `noise`."""
    row = rows[rows["line"] == COMBINED].iloc[0]
    t = StudentT.of(row["centre"], np.hypot(row["scale"], noise), row["df"])
    (lo80, hi80), (lo95, hi95) = (np.exp(t.interval(level)).tolist() for level in LEVELS)
    return Estimate(float(np.exp(t.centre)), lo80, hi80, lo95, hi95)


def _of_each_line(loss: pd.DataFrame, size: pd.DataFrame, scatter: float) -> pd.DataFrame:
    new_run = loss.assign(scale=np.hypot(loss["scale"], scatter))
    out = _stated(loss, LOSS)
    for more in (_stated(new_run, "loss_new_run"), _stated(size, PARAMS)):
        out = out.merge(more, on="line", how="outer")
    return out.drop(columns="loss_new_run_weight")


def _stated(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    t = StudentT.of(rows["centre"], rows["scale"], rows["df"])
    out = rows[["line"]].assign(
        **{f"{quantity}_weight": rows["weight"], quantity: np.exp(rows["centre"])}
    )
    for level in LEVELS:
        low, high = t.interval(level)
        out[f"{quantity}_lo{level}"], out[f"{quantity}_hi{level}"] = np.exp(low), np.exp(high)
    return out.reset_index(drop=True)
