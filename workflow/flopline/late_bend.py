"""Do losses leave their law at the largest budgets? What the ladder and the fit say of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.choice import steps_of
from flopline.documents import FindingJson, FitsJson
from flopline.laws.spec import spec_of
from flopline.numbers import flops_label, significant

LATEST: Final = 2
"""The largest budgets, which are held against what the law of the others says of them: one that is
off may be a bad run."""
LEAST_PERCENT: Final = 1.0
"""Error of the loss at the largest budget below which a bend is not told of: forecasts hold it."""
BEYOND_ERRORS: Final = 2.0
"""Standard errors by which a bend must lie off, those of the law and of the loss that was seen."""


def late_bend(
    line: Mapping[Any, Any] | pd.Series, fits: FitsJson, findings: Mapping[str, FindingJson]
) -> str:
    """A clause where the losses of the largest budgets leave the law of a line, empty where not.

    `line` has a target beyond the runs, else nothing is said; `fits` and `findings` are of its
    family. From the held-out ladder: fitted to the others alone, the line misses the lowest losses
    of the LATEST largest budgets to one side, the larger by more. Else from the fit of a surface:
    its runs of largest compute lie off it otherwise than by chance.
    """
    if not float(line["extrapolation"]) > 1:
        return ""
    return _on_the_ladder(line, findings) or _of_the_fit(str(line["law"]), fits)


def _on_the_ladder(line: Mapping[str, Any] | pd.Series, findings: Mapping[str, FindingJson]) -> str:
    tables = findings["ladder"].get("tables", {}) if "ladder" in findings else {}
    optima = tables.get("optima")
    if optima is None or optima.empty:
        return ""
    budgets = np.sort(optima["budget_flops"].astype(float).unique())[-LATEST:]
    mine = steps_of(line, optima)
    # The last step that has seen none of them.
    mine = mine[mine["largest_flops"].astype(float) < budgets[0] * (1 - 1e-9)]
    if mine.empty or len(budgets) < LATEST:
        return ""
    mine = mine[mine["largest_flops"] == mine["largest_flops"].max()].sort_values("budget_flops")
    if len(mine) != LATEST:
        return ""
    columns = ("loss_predicted", "loss_seen", "loss_sd_ln", "loss_seen_se_ln")
    predicted, seen, sd, se = (mine[c].to_numpy(dtype=float) for c in columns)
    off = np.log(seen / predicted)
    error = np.hypot(np.nan_to_num(sd), np.nan_to_num(se))
    percent = 100 * np.abs(np.expm1(-off))
    if not (
        (np.sign(off) == np.sign(off[-1])).all()
        and (np.diff(np.abs(off)) > 0).all()
        and abs(off[-1]) > BEYOND_ERRORS * error[-1]
        and percent[-1] >= LEAST_PERCENT
    ):
        return ""
    side, end = ("low", "higher") if off[-1] > 0 else ("high", "lower")
    return (
        f"the losses bend at the largest budgets: fitted up to "
        f"{flops_label(float(mine['largest_flops'].iloc[0]))} FLOPs, the "
        f"{spec_of(str(line['law'])).label} law puts the lowest losses at "
        f"{' and '.join(flops_label(float(b)) for b in mine['budget_flops'])} FLOPs "
        f"{' and '.join(significant(float(p), 2) for p in percent)} % too {side}, so that the loss "
        f"at the target may come out {end} than stated"
    )


def _of_the_fit(law: str, fits: FitsJson) -> str:
    misfit = fits[law].get("certificate", {}).get("misfit") if law in fits else None
    return str(misfit.get("at_the_top", "")) if misfit else ""
