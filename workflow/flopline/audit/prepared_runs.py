"""The table of runs as the audits that refit parts of it want it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flopline.laws.common.budgets import group_runs
from flopline.laws.common.inputs import checked, in_order
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.isoflop.parabola import CORNERS


def prepared(
    points: pd.DataFrame, options: IsoflopOptions, audit: str, family: str
) -> pd.DataFrame:
    """Checked rows in their fixed order, with the budget that each belongs to.

    `points` has columns run, params, tokens, flops, loss and maybe budget_flops. The result's
    budget_flops is the geometric mean of the FLOPs of a budget's runs, NaN outside of budgets;
    runs are grouped as by `isoflop_fit.fit`. Groups by gaps are no budgets where they span more
    than twice the tolerance [ln C], which makes them chains of runs, or hold fewer than three token
    counts; nor has a table of several rows per run any. Raises FloplineError for unusable points.
    """
    table = checked(points, ("params", "tokens", "flops", "loss"), (), audit, family)
    table = in_order(table, ["run", "tokens", "params", "loss"]).reset_index(drop=True)
    flops = table["flops"].to_numpy()
    nominal = table.get("budget_flops", pd.Series(np.nan, index=table.index)).astype("float64")
    tolerance = options.budget_tolerance
    grouping = group_runs(flops, nominal.to_numpy(), options.budgets, tolerance)
    label = np.full(flops.size, np.nan)
    if table["run"].duplicated().any():
        return table.assign(budget_flops=label)
    for number in np.unique(grouping.group[grouping.group >= 0]):
        members = grouping.group == number
        chained = np.ptp(np.log(flops[members])) > 2 * tolerance
        few = table.loc[members, "tokens"].nunique() < CORNERS
        if grouping.how != "gaps" or not (chained or few):
            label[members] = np.exp(np.log(flops[members]).mean())
    return table.assign(budget_flops=label)
