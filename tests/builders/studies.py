"""Study files, and the toy study: known surfaces written out as raw logs (synthetic)."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from flopline.study import load_study
from flopline.surfaces.chinchilla import LossSurface
from tests.conftest import ROOT

SCHEMAS = ROOT / "workflow" / "schemas"
"""What a study file is checked against."""

FAMILIES = {
    "ash": LossSurface(1.8, 120.0, 300.0, 0.34, 0.33),
    "birch": LossSurface(1.9, 150.0, 250.0, 0.33, 0.32),
    "cedar": LossSurface(1.7, 110.0, 280.0, 0.35, 0.34),
    "dogwood": LossSurface(2.0, 130.0, 320.0, 0.34, 0.32),
}
"""The surfaces of the toy study's families, made up."""
BUDGETS = (1e15, 3e15, 1e16, 3e16, 1e17)
"""Its budgets [FLOPs]."""


def study_of(source: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The mapping of a study file with one family, `changes` laid over it."""
    study = {
        "title": "Made up (synthetic)",
        "source": dict(source),
        "families": {"ash": "Ash"},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "targets": [1e18],
    }
    return study | changes


def write_study_file(folder: Path, name: str, study: Mapping[str, Any]) -> Path:
    """Write `study` to config/studies/`name`.yaml below `folder`; returns its path."""
    path = folder / "config" / "studies" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(study), sort_keys=False), encoding="utf-8")
    return path


def loaded(folder: Path, name: str = "toy", **config: Any) -> dict[str, Any]:
    """The study `name` below `folder` as the workflow loads it."""
    return load_study({"study": name, **config}, folder, SCHEMAS)


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
        for budget in budgets:
            centre = 0.6 * (budget / 6) ** 0.5 / 3
            for size, params in enumerate(np.round(centre * np.geomspace(1 / 6, 6, sizes))):
                run = f"{family}-{budget:.0e}-{size}"
                horizon = budget / (6 * params)
                tokens = np.round(horizon * np.linspace(1 / rows, 1, rows))
                loss = FAMILIES[family].loss(params, tokens) * np.exp(
                    noise * rng.standard_normal(rows)
                )
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
    source = {
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
    }
    study = study_of(
        source,
        title="Toy study (synthetic)",
        families={family: family.title() for family in families},
        targets=[1e18, 1e19],
        bootstrap={"draws": 100},
        envelope={"smoothing_steps": 0},
        audit={"ladder_draws": 20},
    )
    return write_study_file(folder, "toy", study | overrides)
