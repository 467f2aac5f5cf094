"""The held-out ladder in one row per law, and whether the laws beat the baselines."""

from __future__ import annotations

from typing import Final

import pandas as pd

from flopline.audit.ladder_fit import BASELINE
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.percentiles import known_mean
from flopline.laws.spec import spec_of
from flopline.numbers import significant
from flopline.schema import LEVELS

BASELINES: Final = {
    "best_run": "extrapolating the best runs",
    "loss_compute": "a law of loss and compute alone",
}
"""How a sentence calls the baselines."""

MEANS: Final = {
    "loss_error_percent": "bottom_error_percent",
    "loss_bias_percent": "bottom_bias_percent",
    "wasted_percent": "wasted_percent",
    "target_wasted_percent": "target_wasted_percent",
    **{f"coverage{level}": f"bottom_coverage{level}" for level in LEVELS},
    **{f"params_coverage{level}": f"params_coverage{level}" for level in LEVELS},
    "runs_error_percent": "loss_error_percent",
}
"""Columns of the scores and the columns of the steps that they are means of."""


def ladder_scores(steps: pd.DataFrame) -> pd.DataFrame:
    """Means over the steps at which every law is fitted, each step weighing the same.

    A step's own numbers are means over the larger budgets. A step counts only if all laws that
    have any were fitted there, since the first steps are the hardest and a law that skips them
    would look better; where no step is common to all, each law keeps its own (`common` is false).
    Losses are those of the best run at a budget, so that laws with and without a surface compare;
    `runs_error_percent` is the error over all larger runs, for surfaces. Columns: law, estimator,
    n_steps, common, and those of MEANS.
    """
    used = ((steps["status"] != FAILED) & (steps["n_bottoms"] > 0)).to_numpy(bool)
    of_law: dict[tuple[str, str], list[int]] = {}
    for place, name in enumerate(_names(steps)):
        of_law.setdefault(name, []).extend([place] if used[place] else [])
    flops = steps["largest_flops"].to_numpy()
    steps_of_each = [set(flops[mine]) for mine in of_law.values() if mine]
    shared = set.intersection(*steps_of_each) if steps_of_each else set()
    columns = {old: steps[old].to_numpy(dtype=float) for old in MEANS.values()}
    rows = []
    for (law, estimator), mine in of_law.items():
        if shared:
            mine = [place for place in mine if flops[place] in shared]
        means = {new: known_mean(columns[old][mine]) for new, old in MEANS.items()}
        rows.append(
            {
                "law": law,
                "estimator": estimator,
                "n_steps": len(mine),
                "common": bool(shared) and len(mine) > 0,
                **means,
            }
        )
    return pd.DataFrame(rows)


def compared(table: pd.DataFrame) -> tuple[str, dict[str, list[str]]]:
    """A sentence that sets the laws beside the baselines, and which laws beat them in what.

    `table` is that of `scores`. The mapping has the keys loss and size, as far as they can be
    compared, each with the names of the laws whose mean error (or waste) is below that of every
    baseline. The sentence is empty where nothing can be compared.
    """
    # Other estimators than the main one, which comes first, stand in the table only.
    spoken = (table["law"] == BASELINE) | ~table["law"].duplicated()
    rows = table[spoken & (table["n_steps"] > 0)]
    is_base = rows["law"] == BASELINE
    parts, beating = [], {}
    for what, column, words in (
        ("loss", "loss_error_percent", "the best loss is off by"),
        ("size", "wasted_percent", "the size wastes"),
    ):
        known = rows[column].notna()
        laws, bases = rows[known & ~is_base], rows[known & is_base]
        if laws.empty or bases.empty:
            continue
        better = laws[laws[column] < bases[column].min()]
        beating[what] = [_called(*name) for name in _names(better)]
        who = " and ".join(beating[what]) or "no law"
        verb = "beat" if len(better) > 1 else "beats"
        numbers = f"{_listed(laws, column)} against {_listed(bases, column)}"
        parts.append(f"{words} {numbers}, so in the {what} {who} {verb} the baselines")
    if not parts:
        return "", {}
    n = int(rows["n_steps"].max())
    over = (
        "the one step at which all were fitted"
        if n == 1
        else f"the {n} steps at which all were fitted"
    )
    where = f"Over {over}" if rows["common"].all() else "Each over its own steps"
    return f"{where}, at larger budgets {'; '.join(parts)}.", beating


def _listed(rows: pd.DataFrame, column: str) -> str:
    values = zip(_names(rows), rows[column], strict=True)
    return ", ".join(f"{significant(value, 2)} % ({_called(*name)})" for name, value in values)


def _called(law: str, estimator: str) -> str:
    return BASELINES[estimator] if law == BASELINE else spec_of(law).label


def _names(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["law"], rows["estimator"], strict=True))
