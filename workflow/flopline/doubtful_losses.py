"""What makes the loss at a target doubtful: runs that leave the law, a law without a floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.choice import steps_of
from flopline.documents import FindingJson, FitsJson, number_in
from flopline.laws.spec import Says, spec_of
from flopline.numbers import flops_label, significant
from flopline.reach import SHORT

LATEST: Final = 2
"""The largest budgets, which are held against what the law of the others says of them: one that is
off may be a bad run."""
LEAST_PERCENT: Final = 1.0
"""Error of the loss at the largest budget below which a bend is not told of: forecasts hold it."""
BEYOND_ERRORS: Final = 2.0
"""Standard errors by which a bend must lie off, those of the law and of the loss that was seen."""

FEWEST_FORECASTS: Final = 2
"""One forecast has no side."""


def doubts_of_loss(
    line: Mapping[Any, Any] | pd.Series, fits: FitsJson, findings: Mapping[str, FindingJson]
) -> list[str]:
    """A clause for each thing that makes the loss of a line doubtful at a target beyond the runs.

    `line` is a row of the decision's table, `fits` and `findings` are those of its family.
    """
    if not float(line["extrapolation"]) > 1:
        return []
    law = str(line["law"])
    bend = _on_the_ladder(line, findings) or misfit_clause(law, fits)
    return [clause for clause in (bend, _without_floor(line, fits, findings)) if clause]


def one_sided(
    law: str, findings: Mapping[str, FindingJson], estimator: str = ""
) -> tuple[str, int, float] | None:
    """Whether every held-out forecast of the loss by a line erred to one side.

    Without `estimator` the line is the first of the law's, which the ladder lists first.

    Returns the side (high or low), how many forecasts there were and how far off the farthest of
    them was [percent]; None where they lie on both sides, or there are too few.
    """
    ladder = findings.get("ladder")
    tables = {} if ladder is None else ladder.get("tables", {})
    steps, optima = tables.get("steps"), tables.get("optima")
    if steps is None or optima is None:
        return None
    names = steps.loc[steps["law"] == law, "estimator"]
    line = estimator or (names.iloc[0] if len(names) else "")
    mine = optima[(optima["law"] == law) & (optima["estimator"] == line)]
    predicted, seen = (mine[f"loss_{kind}"].astype(float) for kind in ("predicted", "seen"))
    errors = (100 * (predicted / seen - 1)).dropna()
    if len(errors) < FEWEST_FORECASTS:
        return None
    for side, alike in (("high", errors > 0), ("low", errors < 0)):
        if alike.all():
            return side, len(errors), float(errors.abs().max())
    return None


def _on_the_ladder(line: Mapping[str, Any] | pd.Series, findings: Mapping[str, FindingJson]) -> str:
    tables = findings["ladder"].get("tables", {}) if "ladder" in findings else {}
    optima = tables.get("optima")
    if optima is None or optima.empty:
        return ""
    budgets = np.sort(optima["budget_flops"].astype(float).unique())[-LATEST:]
    mine = steps_of(line, optima)
    seen_up_to = np.sort(mine["largest_flops"].astype(float).unique())
    # The last step that has seen none of them.
    blind = seen_up_to[seen_up_to < budgets[0] * (1 - 1e-9)]
    # By the first step a law of compute has too few budgets for a floor, and is too low for it.
    if len(budgets) < LATEST or len(blind) < (
        1 if spec_of(str(line["law"])).says is Says.SURFACE else 2
    ):
        return ""
    mine = mine[mine["largest_flops"] == blind[-1]].sort_values("budget_flops")
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
    ahead, by_law = (float(line.get(name, math.nan)) for name in ("forecast_loss", "loss"))
    if (ahead - by_law) * off[-1] > 0:
        # What is stated has been moved to that side already.
        follows = f"and so the forecast for the target is {end} than the law's own loss there"
    else:
        follows = f"so that the loss at the target may come out {end} than stated"
    return (
        f"the largest budgets leave the law: fitted up to "
        f"{flops_label(float(mine['largest_flops'].iloc[0]))} FLOPs, the "
        f"{spec_of(str(line['law'])).label} law puts the lowest losses at "
        f"{' and '.join(flops_label(float(b)) for b in mine['budget_flops'])} FLOPs "
        f"{' and '.join(significant(float(p), 2) for p in percent)} % too {side}, {follows}"
    )


def misfit_clause(law: str, fits: FitsJson) -> str:
    """That the runs lie off the surface of a law otherwise than by chance, empty where not."""
    misfit = fits[law].get("certificate", {}).get("misfit") if law in fits else None
    return str(misfit.get("clause", "")) if misfit else ""


def _without_floor(
    line: Mapping[Any, Any] | pd.Series, fits: FitsJson, findings: Mapping[str, FindingJson]
) -> str:
    """That a law has no floor, unless all its held-out forecasts of the loss came out too high."""
    law = str(line["law"])
    floors = {"L_E", "E"} & set(fits[law].get("parameters", {})) if law in fits else set()
    if not floors or float(line["extrapolation"]) <= SHORT.most:
        return ""
    if any(number_in(fits[law]["parameters"][name]) != 0 for name in floors):
        return ""
    sided = one_sided(law, findings, str(line["estimator"]))
    if sided is not None and sided[0] == "high":
        return ""
    return (
        f"the {spec_of(law).label} law has no floor of the loss, since these runs show none yet or "
        "are too few, so that its loss is more likely too low than its interval says"
    )
