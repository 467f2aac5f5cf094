"""A family of runs with its curves and fits, as the audit stage is handed it (synthetic)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from flopline.audit.family_audits import Evidence, audit_family
from flopline.audit.finding import Finding
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.laws.registry import LAWS
from tests.builders.curves import curves_of, finished, with_rates
from tests.builders.designs import GOPHER, isoflop_runs, runs_at, with_budgets
from tests.builders.surfaces import BESIROGLU

TARGETS = [GOPHER]
"""What the family's laws predict [FLOPs]."""
SETTINGS: dict[str, Any] = {
    "bootstrap": {"draws": 200, "seed": 1},
    "cleaning": {"unfinished": 0.98},
    "envelope": {"bins": 200, "smoothing_steps": 0, "frontier": "bins"},
    "isoflop": {"budgets": None, "budget_tolerance": 0.15, "min_sizes": 4, "quality": "flag"},
    "parametric": {"huber_delta": 1e-3},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "audit": {
        "compare": [],
        "ladder_draws": 50,
        "next_run_cap": None,
        "price_per_flop": None,
        "inference_tokens": [1e13],
        "warmup_share": 0.2,
        "final_lr": 0.2,
    },
}
"""A study as the audit stage is handed it, with few draws."""
BUDGETS = np.geomspace(1e19, 1e21, 5)
"""Budgets of its runs [FLOPs]."""


def points(on_a_ray: bool = False) -> pd.DataFrame:
    """Forty runs of five budgets, or at 20 tokens per param of the same sizes."""
    runs = isoflop_runs(BESIROGLU, BUDGETS, 8, width=5.0, noise=0.003, seed=3)
    if on_a_ray:
        return runs_at(BESIROGLU, runs["params"], 20 * runs["params"], noise=0.003, seed=3)
    return with_budgets(runs)


def logs(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and curves as clean/ holds them: rates that rise over 5 % of a run, then fall to 1 %."""
    curves = curves_of(table, BESIROGLU, np.linspace(0.05, 1, 20))
    return finished(table), with_rates(curves, final=0.01)


def evidence(on_a_ray: bool = False, laws: Sequence[str] = LAWS) -> Evidence:
    """All that the audits take of a family to which `laws` were fitted; one run is held out."""
    table = points(on_a_ray)
    runs, curves = logs(table)
    unseen = runs.tail(1).assign(run="large", flops=1e22, params=1e10, tokens=1e22 / 6e10)
    loss = BESIROGLU.loss(unseen["params"], unseen["tokens"])
    unseen = unseen.assign(loss=loss, status="held_out")
    runs = pd.concat([runs, unseen], ignore_index=True)
    known: dict[str, Any] = {"runs": runs, "curves": curves, "estimators": {}}
    if "parametric" in laws:
        fit = parametric_fit.fit(table, TARGETS, draws=200, seed=1)
        known |= {"parametric": fit.to_json(), "draws": fit.draws}
        known["estimators"]["parametric"] = fit.tables["estimators"]
    if "isoflop" in laws:
        tables = isoflop_fit.fit(table, TARGETS, draws=200, seed=1).tables
        known |= {name: tables[name] for name in ("vertices", "profiles")}
        known["estimators"]["isoflop"] = tables["estimators"]
    if "envelope" in laws:
        known["envelope_curves"] = curves
    return Evidence("ash", table, **known)


def findings(on_a_ray: bool = False, laws: Sequence[str] = LAWS) -> list[Finding]:
    """All audits of that family, in order."""
    return audit_family(evidence(on_a_ray, laws), SETTINGS, TARGETS)
