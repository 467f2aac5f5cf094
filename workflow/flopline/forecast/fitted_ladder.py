"""The held-out ladder of a family as its forecasts read it, beside the fits that are stated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from flopline.audit.ladder_fits import drawn
from flopline.audit.ladder_predictions import spread_of
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ESTIMATORS, spec_of
from flopline.results import FamilyResults


def ladder_tables(known: FamilyResults) -> Mapping[str, pd.DataFrame] | None:
    """The tables of a family's ladder, None without one that says anything of its targets.

    In `ahead` the spreads of draws are those of the fits that the study states: a ladder may have
    fitted a form of the surface with fewer draws, and at no budget do two spreads stand for one.
    """
    ladder = known.findings.get("ladder")
    tables: Mapping[str, pd.DataFrame] = {} if ladder is None else ladder.get("tables", {})
    if not {"steps", "ahead"} <= set(tables) or tables["ahead"].empty:
        return None
    ahead = tables["ahead"].copy()
    budgets = ahead["budget_flops"].to_numpy(dtype=float)
    for law, fit in known.fits.items():
        estimators = known.table(law, ESTIMATORS)
        draws = known.draws.get(law)
        if fit["status"] == FAILED or estimators is None or draws is None or draws.empty:
            continue
        main = estimators.loc[estimators["main"].astype(bool), "estimator"].iloc[0]
        rows = ((ahead["law"] == law) & (ahead["estimator"] == main)).to_numpy()
        if not rows.any():
            continue
        of_draws = drawn(spec_of(law), draws)
        for name, at_budgets in zip(("params", "loss"), of_draws, strict=True):
            if at_budgets is not None:
                ahead.loc[rows, f"{name}_sd_ln"] = spread_of(np.log(at_budgets(budgets[rows])))
    return {**{name: tables[name] for name in tables}, "ahead": ahead}
