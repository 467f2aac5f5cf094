"""The training curves that an envelope reads: checked, numbered, smoothed, cut to schedule ends."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.laws.common.inputs import checked, in_order, named, size_classes
from flopline.laws.envelope.envelope_report import at_schedule_end
from flopline.laws.envelope.smoothing import smoothed

LAW: Final = "envelope"
MIN_RUNS: Final = 3


def prepared(curves: pd.DataFrame, family: str) -> tuple[pd.DataFrame, int]:
    """Checked rows sorted by run and FLOPs with a run number, and how many had zero FLOPs."""
    columns = ("params", "tokens", "flops", "loss")
    begun = curves
    if "flops" in curves:
        begun = curves[~(curves["flops"].astype("float64") == 0.0)]
    table = checked(begun, columns, ("step",), LAW, family)
    if "horizon_tokens" not in table:
        table = table.assign(horizon_tokens=np.nan)
    table = table.astype({"horizon_tokens": "float64", "step": "float64"})
    table = in_order(table, ["run", "flops", "step", "tokens", "loss"]).reset_index(drop=True)
    number = np.asarray(pd.factorize(table["run"])[0], dtype=np.int64)
    _demand_runs(table, number, family)
    if number[-1] + 1 == len(number):
        raise FloplineError(
            "The envelope follows training curves, so a run needs more than one row, but no run "
            f"of {named(family)} has: log losses on the way, or take envelope out of `laws` in the "
            "study file."
        )
    table["run_number"] = number
    return table, len(curves) - len(begun)


def ends(table: pd.DataFrame, last_fraction: float, family: str) -> pd.DataFrame:
    """The rows in the last share of their schedule, or FloplineError where that leaves too few."""
    unknown = table.loc[table["horizon_tokens"].isna(), "run"]
    if not unknown.empty:
        raise FloplineError(
            f"The envelope can not keep schedule ends only, since run '{min(unknown)}' of "
            f"{named(family)} states no horizon_tokens: add it or drop only_schedule_end."
        )
    position = (table["tokens"] / table["horizon_tokens"]).to_numpy()
    table = table[at_schedule_end(position, last_fraction)].reset_index(drop=True)
    number = np.unique(table["run_number"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    _demand_runs(table, number, family)
    table["run_number"] = number
    return table


def _demand_runs(table: pd.DataFrame, number: NDArray[np.int64], family: str) -> None:
    first = np.flatnonzero(np.diff(number, prepend=-1))
    n_runs, n_sizes = first.size, 0
    if n_runs:
        n_sizes = int(size_classes(table["params"].to_numpy()[first]).max()) + 1
    if n_runs < MIN_RUNS or n_sizes < 2:
        raise FloplineError(
            f"The envelope needs training curves of at least {MIN_RUNS} runs and 2 sizes, but "
            f"{named(family)} has {n_runs} run{'s' if n_runs != 1 else ''} of {n_sizes} "
            f"size{'s' if n_sizes != 1 else ''}: add runs, or take envelope out of `laws` in the "
            "study file."
        )


def smooth(table: pd.DataFrame, window_steps: float) -> tuple[pd.DataFrame, float]:
    """`table` with its loss smoothed, and the median number of points in a window."""
    loss, per_window = smoothed(
        table["loss"].to_numpy(),
        table["step"].to_numpy(),
        table["run_number"].to_numpy(),
        window_steps,
    )
    return table.assign(loss=loss), per_window
