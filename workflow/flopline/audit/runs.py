"""The table of runs as the audits that refit parts of it want it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from flopline.fits.budgets import group_runs
from flopline.fits.inputs import checked


def prepared(
    points: pd.DataFrame,
    budgets: Sequence[float] | None,
    tolerance: float,
    audit: str,
    family: str,
) -> pd.DataFrame:
    """Checked rows in their fixed order, with the budget that each belongs to.

    `points` has columns run, params, tokens, flops, loss and maybe budget_flops. The result's
    budget_flops is the geometric mean of the FLOPs of a budget's runs, NaN outside of budgets;
    runs are grouped as in `isoflop.fit`, where groups by gaps that span more than twice
    `tolerance` [ln C] are chains of runs and no budgets. Raises FloplineError for unusable points.
    """
    table = checked(points, ("params", "tokens", "flops", "loss"), (), audit, family)
    table = table.sort_values(["run", "tokens", "params", "loss"], ignore_index=True)
    flops = table["flops"].to_numpy()
    nominal = table.get("budget_flops", pd.Series(np.nan, index=table.index)).astype("float64")
    grouping = group_runs(flops, nominal.to_numpy(), budgets, tolerance)
    label = np.full(flops.size, np.nan)
    for number in np.unique(grouping.group[grouping.group >= 0]):
        members = grouping.group == number
        if grouping.how != "gaps" or np.ptp(np.log(flops[members])) <= 2 * tolerance:
            label[members] = np.exp(np.log(flops[members]).mean())
    return table.assign(budget_flops=label)
