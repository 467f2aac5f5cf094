"""What a page is made of, made up and labelled synthetic: runs, fits, decision, verdict, audits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from flopline.documents import NO_ESTIMATE
from flopline.laws.common.fit_result import (
    CONVERGED,
    FAILED,
    WARNING,
    Estimate,
    FitResult,
    Target,
    targets_of,
)
from flopline.laws.registry import LAWS
from flopline.reach import Reach
from flopline.report.page import ReportInputs
from flopline.schema import DROPPED, KEPT, QUANTITIES, QUARANTINED, RUNS, conform
from flopline.surfaces.surface import optimum
from tests.builders.designs import GOPHER, HOFFMANN_BUDGETS
from tests.builders.surfaces import BESIROGLU, constants_of
from tests.conftest import ROOT

TARGETS = (1e22, GOPHER)
"""What the made-up study predicts [FLOPs]."""
TEMPLATES = ROOT / "workflow" / "report"
"""The page's template and style."""
REASON = "No finite isoFLOP valley: needs at least 3 budgets with 3 or more sizes each."
"""What a law that failed says."""
VARIANT = "cubic"
"""The estimator that stands beside the isoFLOP law's main one."""
WHY = "On 4 shared steps of the held-out ladder the parametric line wastes least."
"""Why the recommended line is."""
FAMILIES = "At 1e22 FLOPs Dense transformer reaches the lowest loss."
"""How families compare."""
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 40" width="90pt" height="40pt">'
    '<path id="p1" d="M5 5 Q40 55 85 8" fill="none" stroke="#357aa2"/></svg>'
)
"""A figure of no particular content."""


def make_runs(family: str, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """`n` runs as the table of cleaned runs holds them; every fortieth is set aside."""
    flops = np.resize(np.repeat(HOFFMANN_BUDGETS, 12), n)
    params = BESIROGLU.params_opt(flops) * np.exp(np.resize(np.linspace(-1.4, 1.4, 12), n))
    tokens = flops / (6 * params)
    rows_in = rng.integers(180, 220, n)
    lost = np.where(np.arange(n) % 7 == 3, 3, 0)
    status = np.where(np.arange(n) % 40 == 13, QUARANTINED, KEPT)
    table = pd.DataFrame(
        {
            "run": [f"{family}-{i:04d}" for i in range(n)],
            "family": family,
            "params": params,
            "tokens": tokens,
            "flops": flops,
            "flops_convention": "six_nd",
            "budget_flops": flops,
            "loss": BESIROGLU.loss(params, tokens) * np.exp(rng.normal(0, 0.005, n)),
            "loss_source": "last logged",
            "status": status,
            "reason": [
                "diverged: the last loss is 2.3 times the lowest" if s == QUARANTINED else ""
                for s in status
            ],
            "rows_in": rows_in,
            "rows_kept": rows_in - lost,
            "rows_dropped": lost,
            "source": [f"data/demo/{family}-{i:04d}.jsonl" for i in range(n)],
            "sha256": "0" * 64,
        }
    )
    return conform(table, RUNS)


def make_dropped(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows that `runs` count as dropped, for two reasons."""
    reasons = ("loss is not a finite number", "step logged twice: the later row wins")
    rows = [
        {"run": r.run, "step": 10 * k, "reason": reasons[k % 2], "source": r.source, "line": k + 2}
        for r in runs.itertuples()
        for k in range(int(r.rows_dropped))
    ]
    return conform(pd.DataFrame(rows, columns=list(DROPPED)), DROPPED)


ESTIMATORS = {"parametric": "log_huber", "isoflop": "parabola", "envelope": "hull"}
"""The main estimators of laws; of any other it is called main."""
SHIFTS = {"envelope": (0.92, 0.06), "isoflop": (0.88, 0.12), "parametric": (1.0, 0.09)}
"""By how much laws miss the best N, and the spread of their draws in ln N; others as SHIFT."""
SHIFT = (1.05, 0.1)


def make_fit(law: str, runs: int, failed: bool = False) -> FitResult:
    """A fit of `runs` runs that misses the surface's best N a little."""
    shift, spread = SHIFTS.get(law, SHIFT)
    rng = np.random.default_rng([LAWS.index(law), runs])
    best = optimum(BESIROGLU, TARGETS)
    noise = np.exp(rng.normal(0, spread, (400, 1)) * np.array([1.0, 2.0]))
    point = {"params": best["params"] * shift, "tokens": best["tokens"] / shift}
    draws = {"params": point["params"] * noise, "tokens": point["tokens"] / noise}
    for values in (point, draws):
        values["loss"] = BESIROGLU.loss(values["params"], values["tokens"])
    targets, _ = targets_of(TARGETS, point, draws)
    names = {"a": 0.5126, "b": 0.4874} | (constants_of(BESIROGLU) if law == "parametric" else {})
    parameters = {
        name: Estimate.of(v, v * np.exp(rng.normal(0, 0.03, 400)), at_bound=name == "E")
        for name, v in names.items()
    }
    certificate: dict[str, Any] = {"draws_failed": 0, "regression": {"points": 9, "r2": 0.99871}}
    if law == "parametric":
        certificate = {
            "objective": 0.00101827402,
            "scaled_gradient_norm": 3.1e-12,
            "starts_agreeing": 412,
            "starts": 450,
            "draws_failed": 0,
        }
    if law == "isoflop":
        best_sizes = BESIROGLU.params_opt(HOFFMANN_BUDGETS)
        certificate["valleys"] = [
            {"budget_flops": b, "n_runs": 12, "params": float(n), "inside": True}
            for b, n in zip(HOFFMANN_BUDGETS, best_sizes, strict=True)
        ]
    message = "E sits at its lower bound: the data do not bound the loss from below."
    return FitResult(
        law=law,
        estimator=ESTIMATORS.get(law, "main"),
        status=FAILED if failed else WARNING if law == "parametric" else CONVERGED,
        message=REASON if failed else message if law == "parametric" else "",
        n_runs=runs,
        n_points=runs,
        settings={"draws": 400, "seed": 7, "delta": 1e-3, "starts": {"alpha": [0.0, 0.5, 1.0]}},
        parameters=parameters,
        targets=targets,
        certificate=certificate,
        draws=pd.DataFrame(),
    )


def decision_rows(family: str, fits: dict[str, FitResult]) -> list[dict[str, Any]]:
    """The lines of the decision that the fits of a family leave, the isoFLOP law's variant too."""
    rows = []
    for law, fit in fits.items():
        for target in fit.targets:
            rows.append(decision_row(family, law, fit, target, fit.estimator))
            if law == "isoflop":
                rows.append(decision_row(family, law, fit, target, VARIANT))
    return rows


def decision_row(
    family: str, law: str, fit: FitResult, target: Target, estimator: str
) -> dict[str, Any]:
    """One line of the decision; the parametric line is the recommended one."""
    main = estimator == fit.estimator
    row: dict[str, Any] = {
        "family": family,
        "law": law,
        "estimator": estimator,
        "label": f"{estimator} in words",
        "main": main,
        "budget_flops": target.budget_flops,
        "status": fit.status,
        "message": fit.message,
        "recommended": law == "parametric",
        "barred": "",
        "refused": False,
        "extrapolation": target.budget_flops / max(HOFFMANN_BUDGETS),
        "below_data": min(HOFFMANN_BUDGETS) / target.budget_flops,
        "held_out_steps": 4 if main and law != "envelope" else 0,
        "held_out_wasted_percent": 5.22 if main and law != "envelope" else np.nan,
        "held_out_loss_error_percent": 0.93 if main and law != "envelope" else np.nan,
        "cost_percent": 1.553 if main else 0.0004,
        "cost_flops": 0.01553 * target.budget_flops,
        "cost_money": 12.3e6,
    }
    values = {"a": fit.parameters["a"], **target.values}
    for q in ("a", *QUANTITIES):
        e = Estimate(np.nan) if fit.status == FAILED else values[q]
        row[q] = e.point
        row |= {f"{q}_{end}": getattr(e, end) for end in ("lo80", "hi80", "lo95", "hi95")}
    return row


def make_inputs(
    families: dict[str, str] | None = None, runs_each: int = 240, fail: str = ""
) -> ReportInputs:
    """Made-up inputs of a study with the given families; the law `fail` has no result."""
    families = families or {"dense": "Dense transformer"}
    rng = np.random.default_rng(0)
    runs = pd.concat([make_runs(f, runs_each, rng) for f in families], ignore_index=True)
    fits = {
        f: {law: make_fit(law, runs_each, failed=law == fail) for law in LAWS} for f in families
    }
    decision = pd.DataFrame([row for f in families for row in decision_rows(f, fits[f])])
    first = next(iter(families))
    head = fits[first]["parametric"].targets[-1]
    captions = {
        "Loss against params at each budget": "Nine valleys, one per training budget, whose "
        "bottoms move to larger models as compute grows.",
        "Decision at every target": "The three laws overlap at both targets.",
    }
    return ReportInputs(
        study={
            "title": "Compute-optimal scaling of a dense transformer",
            "name": "demo",
            "synthetic": True,
            "families": families,
            "params_convention": "total",
            "flops_convention": "six_nd",
            "loss_split": "val/c4",
            "points": "final",
            "targets": list(TARGETS),
            "source": {"kind": "simulate", "law": "besiroglu_2024", "noise": 0.005},
            "description": "Nine budgets of twelve sizes each, drawn from a published surface.",
            "notes": ["tokens derived as C/(6N)"],
        },
        decision=decision,
        verdict={
            "headline": {
                "family": first,
                "law": "parametric",
                "estimator": "log_huber",
                "label": "",
                "brackets": "if the law holds",
                "if_the_law_holds": {
                    q: e.to_json() for q, e in head.values.items() if q != "flops_ratio"
                },
                "budget_flops": head.budget_flops,
                "loss_split": "val/c4",
                **{q: e.to_json() for q, e in head.values.items() if q != "flops_ratio"},
                "reach": Reach.of(
                    head.budget_flops, min(HOFFMANN_BUDGETS), max(HOFFMANN_BUDGETS)
                ).json(),
                "warnings": "",
            },
            "silent": [],
            "all_lines_together": [],
            "not_fitted": [],
            "rule": "The law with the narrowest 80 % interval of N among those that converged.",
            "caveat": "The test leans towards isoFLOP.",
            "choices": [
                {"family": f, "budget_flops": c, "basis": "held_out", "short": WHY, "sentence": WHY}
                for f in families
                for c in TARGETS
            ],
            "families": []
            if len(families) == 1
            else [
                {
                    "budget_flops": c,
                    "winner": first,
                    "others": [
                        {
                            "family": list(families)[1],
                            "overlap": True,
                            "multiplier": NO_ESTIMATE,
                            "forecast": None,
                        }
                    ],
                    "laws_agreeing": 3,
                    "laws_compared": 3,
                    "short": FAMILIES,
                    "sentence": FAMILIES,
                }
                for c in TARGETS
            ],
            "agreement": [
                {
                    "family": f,
                    "budget_flops": c,
                    "params_ratio": 1.14,
                    "overlap": True,
                    "agree": True,
                    "short": "The 80 % intervals of N overlap.",
                    "sentence": "The 80 % intervals of N overlap; the largest is 1.14 times the "
                    "smallest.",
                }
                for f in families
                for c in TARGETS
            ],
        },
        fits={f: {law: fit.to_json() for law, fit in laws.items()} for f, laws in fits.items()},
        runs=runs,
        dropped=make_dropped(runs),
        figures=[
            {
                "name": "isoflop",
                "family": families[f],
                "title": t,
                "caption": c,
                "alt": f"What is seen in {t}.",
                "svg": SVG,
            }
            for f in families
            for t, c in captions.items()
        ],
        provenance={
            "files": [
                {"path": f"data/demo/{i}.jsonl", "sha256": f"{i:064x}", "bytes": 1000 + i}
                for i in range(3)
            ],
            "versions": {"flopline": "0.1.0", "numpy": np.__version__},
            "seeds": {"bootstrap": 7},
            "config": "study: demo\ntargets: [1e22, 5.76e23]  # FLOPs <budget>\n",
            "command": "snakemake --configfile config/config.yaml",
            "code": "3f" * 32,
        },
    )


def audits_of(*families: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Findings of each family: one is fine, one refuses, the others are warned about."""
    tables = {
        "ladder": {"scores": pd.DataFrame({"law": ["isoflop"], "wasted_percent": [1 / 3]})},
        "identifiability": {"ratios": pd.DataFrame({"law": ["isoflop"], "beyond": [2.5]})},
        "hygiene": {"checks": pd.DataFrame({"check": ["warmup"], "value": [0.1]})},
        "sensitivity": {},
    }
    verdicts = {"ladder": "good", "identifiability": "refuted"}
    return {
        family: {
            name: {
                "audit": name,
                "verdict": verdicts.get(name, "warned"),
                "sentence": f"What {name} found of {family}. More of it.",
                "tables": tables_of,
            }
            for name, tables_of in tables.items()
        }
        for family in families
    }
