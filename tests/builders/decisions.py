"""What a decision rests on: lines of laws, waste on the held-out ladder, a family's evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from flopline.audit.audit_options import AuditOptions
from flopline.bearing import Span
from flopline.decision import decide
from flopline.documents import VerdictJson
from flopline.laws.common.fit_result import Estimate, Estimator, Target, estimator_table
from flopline.results import FamilyResults
from tests.builders.fit_json import surface_json
from tests.builders.surfaces import BESIROGLU

TARGETS = [1e20, 1e21]
"""What the made-up study predicts [FLOPs]."""
ANYTHING = Span((1e-9, 1e15), 1e19)
"""Runs of every shape, the largest of 1e19 FLOPs."""
MAIN = {"parametric": "log_huber", "isoflop": "parabola", "envelope": "bins"}
"""The main estimators of laws; of any other it is called main."""


def about(x: float) -> Estimate:
    """A point with 10 % to either side at 80 %, 20 % at 95 %."""
    return Estimate(x, x * 0.9, x * 1.1, x * 0.8, x * 1.2)


def line(
    params: float, loss: float = 2.0, status: str = "converged", name: str = "", flops: float = 1.0
) -> Estimator:
    """An estimator that says the same params and loss at every target."""
    targets = [
        Target(
            c,
            {
                "params": about(params),
                "tokens": about(flops * c / 6 / params),
                "tokens_per_param": about(c / 6 / params**2),
                "loss": about(loss),
                "loss_new_run": about(loss),
                "flops_ratio": about(flops),
            },
        )
        for c in TARGETS
    ]
    half = about(0.5)
    return Estimator(name, name or "main", status, "", {"a": half, "b": half}, targets)


def steps(**waste: list[float]) -> dict[str, Any]:
    """A ladder's finding: waste [percent] per law on successive steps; NaN where a step failed.

    A name is a law, or law__estimator.
    """
    rows = [
        {
            "law": name.split("__")[0],
            "estimator": name.partition("__")[2],
            "largest_flops": 1e17 * 2**i,
            "wasted_percent": w,
        }
        for name, values in waste.items()
        for i, w in enumerate(values)
    ]
    return {"audit": "ladder", "verdict": "good", "tables": {"steps": pd.DataFrame(rows)}}


REFUSAL = {"audit": "identifiability", "verdict": "refuted", "tables": {}}
"""The finding that bars the line of a surface."""


def family(
    *findings: dict[str, Any], runs: dict[str, int] | None = None, **laws: Any
) -> FamilyResults:
    """Results of one family: by law an estimator, or a list of them, the main one first."""
    fits, tables = {}, {}
    for law, given in laws.items():
        lines = given if isinstance(given, list) else [given]
        named = [replace(e, name=e.name or MAIN.get(law, "main")) for e in lines]
        tables[law] = {"estimators": estimator_table(named)}
        used = (runs or {}).get(law, 100)
        parameters = surface_json(BESIROGLU)["parameters"] if law == "parametric" else {}
        fits[law] = {
            "law": law,
            "status": named[0].status,
            "message": "",
            "n_runs": used,
            "n_points": used,
            "parameters": parameters,
            "targets": [
                {"budget_flops": t.budget_flops, **{q: e.to_json() for q, e in t.values.items()}}
                for t in named[0].targets
            ],
        }
    draws = {law: pd.DataFrame() for law in fits}
    return FamilyResults(fits, draws, tables, {finding["audit"]: finding for finding in findings})


def decided(
    results: Mapping[str, FamilyResults],
    targets: Sequence[float],
    labels: Mapping[str, str],
    options: AuditOptions | None = None,
) -> tuple[pd.DataFrame, VerdictJson]:
    """The decision where the largest run of each family took 1e19 FLOPs, losses comparable."""
    spans = dict.fromkeys(results, ANYTHING)
    return decide(results, targets, labels, spans, options, comparable=True)
