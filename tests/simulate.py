"""Simulated studies for tests: a known loss surface written out as raw logs (synthetic)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import yaml

BUDGETS = (1e15, 3e15, 1e16, 3e16, 1e17)
SURFACES = {
    "ash": {"E": 1.8, "A": 120.0, "B": 300.0, "alpha": 0.34, "beta": 0.33},
    "birch": {"E": 1.9, "A": 150.0, "B": 250.0, "alpha": 0.33, "beta": 0.32},
    "cedar": {"E": 1.7, "A": 110.0, "B": 280.0, "alpha": 0.35, "beta": 0.34},
    "dogwood": {"E": 2.0, "A": 130.0, "B": 320.0, "alpha": 0.34, "beta": 0.32},
}


def loss_of(law: dict[str, float], params: float, tokens: np.ndarray) -> np.ndarray:
    """Loss in nats per token on a Chinchilla surface."""
    return law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]


def write_study(
    folder: Path,
    *,
    families: tuple[str, ...] = ("ash", "birch"),
    budgets: tuple[float, ...] = BUDGETS,
    sizes: int = 7,
    rows: int = 20,
    noise: float = 0.002,
    shards: int = 2,
    **overrides: object,
) -> Path:
    """Logs, run table and study file `config/studies/toy.yaml` below `folder`; returns its path.

    Every budget has `sizes` models within a factor of 6 of its optimum; each run logs `rows`
    losses, the last at its horizon. `overrides` are laid over the study file.
    """
    logs = folder / "data" / "toy" / "logs"
    logs.mkdir(parents=True)
    rng = np.random.default_rng(7)
    table = []
    for family in families:
        law = SURFACES[family]
        for budget in budgets:
            centre = 0.6 * (budget / 6) ** 0.5 / 3
            for size, params in enumerate(np.round(centre * np.geomspace(1 / 6, 6, sizes))):
                run = f"{family}-{budget:.0e}-{size}"
                horizon = budget / (6 * params)
                tokens = np.round(horizon * np.linspace(1 / rows, 1, rows))
                loss = loss_of(law, params, tokens) * np.exp(noise * rng.standard_normal(rows))
                with (logs / f"{run}.jsonl").open("w") as stream:
                    for step, (t, y) in enumerate(zip(tokens, loss, strict=True), start=1):
                        record = {"step": step, "tokens": t, "loss": round(float(y), 6), "lr": 1e-3}
                        stream.write(json.dumps(record) + "\n")
                table.append(
                    {
                        "run": run,
                        "log": f"logs/{run}.jsonl",
                        "family": family,
                        "params": int(params),
                        "horizon_tokens": round(horizon),
                        "budget_flops": budget,
                    }
                )
    with (folder / "data" / "toy" / "runs.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(table[0]) if table else ["run", "log"])
        writer.writeheader()
        writer.writerows(table)
    study = {
        "title": "Toy study (synthetic)",
        "source": {
            "kind": "logs",
            "paths": "data/toy/logs/*.jsonl",
            "shards": shards,
            "columns": {"step": "step", "tokens": "tokens", "loss": "loss", "lr": "lr"},
            "runs": {
                "table": "data/toy/runs.csv",
                "columns": {
                    "run": "run",
                    "log": "log",
                    "family": "family",
                    "params": "params",
                    "horizon_tokens": "horizon_tokens",
                    "budget_flops": "budget_flops",
                },
            },
        },
        "families": {family: family.title() for family in families},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "targets": [1e18, 1e19],
        "bootstrap": {"draws": 100},
        "envelope": {"smoothing_steps": 0},
        **overrides,
    }
    path = folder / "config" / "studies" / "toy.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path
