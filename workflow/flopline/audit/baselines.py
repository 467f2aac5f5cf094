"""The baselines of the held-out ladder: what a lab could say without fitting a law of N and D."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd

from flopline.audit.ladder_fit import BASELINE, LadderFit, Opt, Options, Runs
from flopline.errors import FloplineError
from flopline.laws.common.counting import counted
from flopline.laws.common.fit_result import CONVERGED
from flopline.laws.common.inputs import named
from flopline.laws.common.loss_compute import LossLaw, fit_loss_compute

BAND: Final = 3.0
"""Width of a band of FLOPs where no budgets are known: near budgets are half a decade apart."""


def best_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The run of lowest loss per budget, by rising FLOPs; without budgets, per band of FLOPs.

    `table` is that of `audit.runs.prepared`. Bands are a factor BAND wide, down from the largest
    run; a band whose best is beaten by less compute has none.
    """
    known = table["budget_flops"].notna()
    if known.any():
        rows = table.loc[table[known].groupby("budget_flops")["loss"].idxmin()]
        return rows.sort_values("flops", ignore_index=True)
    down = np.log(table["flops"].max() / table["flops"]) / math.log(BAND)
    rows = table.sort_values(["flops", "loss", "run"], kind="stable")
    rows = rows.loc[rows.groupby(np.floor(down))["loss"].idxmin()].sort_values("flops")
    before = rows["loss"].cummin().shift(fill_value=math.inf)
    return rows[rows["loss"] < before].reset_index(drop=True)


def best_run(runs: Runs, options: Options, number: int) -> LadderFit:
    """Go on as before: the last best run's tokens per param, the last two best losses' line."""
    best = _at_least_two(runs, options)
    last = best.iloc[-1]
    ratio = float(last["tokens"] / last["params"])
    ln_c, ln_loss = (np.log(best[c].to_numpy(dtype=float)[-2:]) for c in ("flops", "loss"))
    slope = float(np.diff(ln_loss)[0] / np.diff(ln_c)[0])
    return LadderFit(
        BASELINE,
        "best_run",
        len(runs.points),
        CONVERGED,
        f"{ratio:.3g} tokens per param, loss as C^{slope:.3g}",
        _params_at(runs, options, ratio),
        lambda flops: np.exp(ln_loss[1] + slope * (np.log(flops) - ln_c[1])),
    )


def _params_at(runs: Runs, options: Options, ratio: float) -> Opt:
    """N [weights] that budgets buy at `ratio` tokens per param, as the runs' FLOPs are counted."""
    count = counted(runs.points, 0, 0, "the ladder", options.family)
    if count is None:
        return lambda flops: np.sqrt(np.asarray(flops, dtype=float) / (6 * ratio))
    return lambda flops: count.point.params_along(flops, math.log(ratio), 1.0)


def loss_compute(runs: Runs, options: Options, number: int) -> LadderFit:
    """L = E + K C^-c through the best losses; it says nothing of N."""
    best = _at_least_two(runs, options)
    law: LossLaw = fit_loss_compute(np.log(best["flops"].to_numpy()), best["loss"], 1.0)
    if not np.isfinite(law.c[0]):
        raise FloplineError("the best losses do not fall with compute")
    return LadderFit(
        BASELINE,
        "loss_compute",
        len(runs.points),
        CONVERGED,
        law.form(),
        loss_opt=lambda flops: law.at(np.log(flops))[0],
    )


def _at_least_two(runs: Runs, options: Options) -> pd.DataFrame:
    rows = runs.in_budgets if len(runs.in_budgets) else runs.points
    best = best_runs(rows)
    if len(best) < 2:
        raise FloplineError(
            f"a baseline needs the best runs of two budgets, but {named(options.family)} has "
            f"{len(best)} there."
        )
    return best
