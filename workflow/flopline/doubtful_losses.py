"""What makes the loss at a target doubtful: runs that leave the law, a law without a floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.audit.hygiene import SETTINGS, effect_percent, residuals_against
from flopline.choice import steps_of
from flopline.documents import FindingJson, FitsJson, number_in
from flopline.laws.spec import Says, spec_of
from flopline.numbers import flops_label, significant
from flopline.reach import SHORT
from flopline.verdict_scale import Verdict

LATEST: Final = 2
"""The largest budgets, which are held against what the law of the others says of them: one that is
off may be a bad run."""
LEAST_PERCENT: Final = 1.0
"""Error of the loss at the largest budget below which a bend is not told of: forecasts hold it."""
BEYOND_ERRORS: Final = 2.0
"""Standard errors by which a bend must lie off, those of the law and of the loss that was seen."""

SLIGHT_PERCENT: Final = 0.1
"""Share of the loss that changes neither size nor loss: by a law that falls as C^-.05 it is 2 % of
compute, what laws that agree on the size may differ by."""
SLIGHT_SHARE: Final = 0.1
"""Share of the half width of the loss's interval below which a misfit is lost in it."""
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
    bend = _on_the_ladder(line, findings) or misfit_clause(line, fits)
    return [clause for clause in (bend, _without_floor(line, fits, findings)) if clause]


def one_sided(
    law: str, findings: Mapping[str, FindingJson], estimator: str = ""
) -> tuple[str, int, float] | None:
    """Whether every held-out forecast of the loss by a line erred to one side.

    Without `estimator` the line is the first of the law's, which the ladder lists first.

    Returns the side (high or low), how many forecasts there were and how far off the farthest of
    them was [percent]; None where they lie on both sides, or there are too few.
    """
    errors = errors_of_forecasts(law, findings, estimator)
    if len(errors) < FEWEST_FORECASTS:
        return None
    for side, alike in (("high", errors > 0), ("low", errors < 0)):
        if alike.all():
            return side, len(errors), float(errors.abs().max())
    return None


def errors_of_forecasts(
    law: str, findings: Mapping[str, FindingJson], estimator: str = ""
) -> pd.Series:
    """The error [percent] of each held-out forecast of the loss by a line, named as `one_sided` has
    it; empty without any."""
    ladder = findings.get("ladder")
    tables = {} if ladder is None else ladder.get("tables", {})
    steps, optima = tables.get("steps"), tables.get("optima")
    if steps is None or optima is None:
        return pd.Series(dtype=float)
    names = steps.loc[steps["law"] == law, "estimator"]
    line = estimator or (names.iloc[0] if len(names) else "")
    mine = optima[(optima["law"] == law) & (optima["estimator"] == line)]
    predicted, seen = (mine[f"loss_{kind}"].astype(float) for kind in ("predicted", "seen"))
    return (100 * (predicted / seen - 1)).dropna()


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


def misfit_clause(line: Mapping[Any, Any] | pd.Series, fits: FitsJson) -> str:
    """That the runs lie off the surface of a line's law otherwise than by chance, empty where not.

    Nor is it said where they lie off by what changes neither size nor loss: less than
    SLIGHT_PERCENT, and little beside the interval of the loss. The fit's own message has it.
    """
    law = str(line["law"])
    misfit = fits[law].get("certificate", {}).get("misfit") if law in fits else None
    if not misfit:
        return ""
    off = float(misfit.get("off_percent", math.nan))
    return (
        ""
        if off < SLIGHT_PERCENT and not off > SLIGHT_SHARE * _half_width(line)
        else str(misfit.get("clause", ""))
    )


def doubts_of_training(findings: Mapping[str, FindingJson]) -> list[str]:
    """A clause for each setting of the training that the loss moves with at given N and D.

    Only where that is more than SLIGHT_PERCENT of the loss over the settings of these runs.
    """
    hygiene = findings.get("hygiene")
    tables = {} if hygiene is None else hygiene.get("tables", {})
    checks, moved = tables.get("checks"), tables.get("dependence")
    if checks is None or moved is None:
        return []
    warned = set(checks.loc[checks["verdict"] == Verdict.WARNED, "check"])
    clauses = []
    for row in moved.to_dict("records"):
        words = SETTINGS[row["setting"]]
        over_all = 100 * abs(math.expm1(float(row["slope"]) * float(row["spread"])))
        if residuals_against(words) in warned and over_all >= SLIGHT_PERCENT:
            clauses.append(
                f"at given N and D the loss moves by {effect_percent(float(row['slope']))} % per "
                f"doubling of {words}: the law takes what that costs for an effect of N or D, so "
                "that the best size may lie elsewhere"
            )
    return clauses


def _half_width(line: Mapping[Any, Any] | pd.Series) -> float:
    """Half the 95 % interval of the loss as it is stated [percent], NaN where it has none."""
    for name in ("forecast_loss", "loss"):
        low, high = (float(line.get(f"{name}_{end}", math.nan)) for end in ("lo95", "hi95"))
        if 0 < low <= high:
            return 50 * math.log(high / low)
    return math.nan


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
