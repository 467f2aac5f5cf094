"""What N of every law depends on besides its runs: the estimators that the fits leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from flopline.audit.changes import Change, Refit
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.power_law import fit_power_law
from flopline.laws.isoflop.isoflop_law import LAW as ISOFLOP
from flopline.laws.isoflop.vertex_laws import MIN_BUDGETS
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.spec import ranked
from flopline.numbers import flops_label
from flopline.solvers.surface_family import FORMS

Estimators = Mapping[str, pd.DataFrame]


def main_params(estimators: Estimators, law: str, target_flops: float) -> float:
    """N of the law's main estimator at `target_flops`; NaN where there is none."""
    rows = _at(estimators, law, target_flops)
    main = rows[rows["main"] & (rows["status"] != FAILED)] if len(rows) else rows
    return float(main["params"].iloc[0]) if len(main) else np.nan


def other_estimators(estimators: Estimators, target_flops: float) -> Iterator[Change]:
    """Every way of reading a law that is not its main one, as the fits have told it.

    Of the parametric law those that are forms, since its objectives are refitted together with
    everything else that is changed.
    """
    for law in ranked(estimators):
        for row in _at(estimators, law, target_flops).to_dict("records"):
            if law != PARAMETRIC.name and not row["main"]:
                yield _as_change(row, law, law)
            elif law == PARAMETRIC.name and row["estimator"] in FORMS:
                yield _as_change(row, "form", law)


def without_budgets(vertices: pd.DataFrame, target_flops: float) -> Iterator[Change]:
    """The isoFLOP law without each budget: its vertices and their weights, as the fit left them."""
    used = vertices[vertices["used"].astype(bool)]
    if len(used) <= MIN_BUDGETS:
        return
    ln_c, ln_n = (np.log(used[c].to_numpy(dtype=float)) for c in ("budget_flops", "params"))
    weights = used["params_weight"].to_numpy(dtype=float)
    for i, flops in enumerate(used["budget_flops"]):
        law = fit_power_law(ln_c, ln_n, np.where(np.arange(len(used)) == i, 0.0, weights))
        values: Refit = {
            "params": float(np.exp(law.ln_at(np.log([target_flops]))[0])),
            "a": float(law.p),
        }
        label = f"without {flops_label(float(flops))} FLOPs, {ISOFLOP.label}"
        yield Change(ISOFLOP.name, "budget", label, 0, lambda values=values: values)  # type: ignore[misc]


def _as_change(row: Mapping[Any, Any], kind: str, law: str) -> Change:
    values: Refit = {
        "params": row["params"],
        "a": row["a"],
        "status": row["status"],
        "message": row["message"],
    }
    return Change(law, kind, str(row["label"]), 0, lambda: values)


def _at(estimators: Estimators, law: str, target_flops: float) -> pd.DataFrame:
    table = estimators.get(law)
    if table is None or table.empty:
        return pd.DataFrame()
    return table[np.isclose(table["budget_flops"], target_flops)]
