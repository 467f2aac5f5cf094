"""What it costs that laws disagree: every estimator's N as compute wasted if another is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.audit.waste import wasted_at
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import spec_of
from flopline.numbers import flops_label, humanise, significant
from flopline.surfaces.chinchilla import LossSurface

DEAR: Final = 0.05
"""Waste between two laws from which their disagreement is warned about."""


def disagreements(
    surface: LossSurface,
    estimators: Mapping[str, pd.DataFrame],
    *,
    price_per_flop: float | None = None,
) -> pd.DataFrame:
    """One row per budget, law and estimator: its N, and the waste if the reference is right.

    `estimators` maps laws to tables of `fits.result.estimator_table`; `surface` is the parametric
    fit, whose N is the reference and whose exponents weigh all waste. `wasted_*` is what training
    the estimator's N costs if the reference is right; `worst_percent` the most that it wastes if
    the main estimator of any law is, so that its least value marks the choice that can go least
    wrong. Estimators that failed are left out. `price_per_flop` adds `wasted_money`.
    """
    rows = []
    for law, table in estimators.items():
        for row in table.to_dict("records"):
            if row["status"] != FAILED and np.isfinite(row["params"]):
                rows.append(_row(surface, law, row, price_per_flop))
    columns = ["budget_flops", "law", "estimator", "main", "params"]
    if not rows:
        return pd.DataFrame(columns=columns)
    out = pd.DataFrame(rows)
    out["worst_percent"] = [_worst(surface, out, row) for row in out.to_dict("records")]
    order = {law: k for k, law in enumerate(estimators)}
    return out.sort_values(
        ["budget_flops", "law"],
        key=lambda column: column.map(order) if column.name == "law" else column,
        kind="stable",
        ignore_index=True,
    )


def said_of(
    table: pd.DataFrame, headline_flops: float, price_per_flop: float | None = None
) -> tuple[str, float]:
    """A sentence on the main estimators at `headline_flops`, and the largest waste among them.

    The sentence is empty where fewer than two laws state an N there.
    """
    if table.empty:
        return "", 0.0
    main = table[table["main"] & np.isclose(table["budget_flops"], headline_flops)]
    if main["law"].nunique() < 2:
        return "", 0.0
    least, most = main.loc[main["params"].idxmin()], main.loc[main["params"].idxmax()]
    best = main.loc[main["worst_percent"].idxmin()]
    worst = float(main["worst_percent"].max())
    wasted = worst / 100 * headline_flops
    cost = f"{flops_label(wasted)} FLOPs"
    if price_per_flop:
        cost += f", {wasted * price_per_flop:,.0f} in money"
    return (
        f"The laws put N at {flops_label(headline_flops)} FLOPs between "
        f"{humanise(least['params'])} ({spec_of(least['law']).label}) and "
        f"{humanise(most['params'])} ({spec_of(most['law']).label}): to follow the wrong "
        f"one would waste up to {significant(worst, 2)} % ({cost}); to follow the "
        f"{spec_of(best['law']).label} law at most "
        f"{significant(best['worst_percent'], 2)} %."
    ), worst


def _row(
    surface: LossSurface, law: str, row: Mapping[Any, Any], price: float | None
) -> dict[str, object]:
    budget = float(row["budget_flops"])
    ratio = float(row["params"]) / float(surface.params_opt(budget))
    share = float(wasted_at(surface, budget, np.log(ratio)))
    money = {} if price is None else {"wasted_money": share * budget * price}
    return {
        "budget_flops": budget,
        "law": law,
        "estimator": row["estimator"],
        "label": row["label"],
        "main": bool(row["main"]),
        "status": row["status"],
        "params": float(row["params"]),
        "params_over_reference": ratio,
        "wasted_percent": 100 * share,
        "wasted_flops": share * budget,
        **money,
    }


def _worst(surface: LossSurface, table: pd.DataFrame, row: Mapping[Any, Any]) -> float:
    others = table[table["main"] & (table["budget_flops"] == row["budget_flops"])]
    if others.empty:
        return float(row["wasted_percent"])
    x = np.log(row["params"] / others["params"].to_numpy())
    return float(100 * wasted_at(surface, float(row["budget_flops"]), x).max())
