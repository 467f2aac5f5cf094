"""Rows of logs before cleaning, the run table beside them, and what cleaning makes of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd

from flopline.clean import Cleaned, clean
from flopline.ingesting import FACTS, FILES, RAW_CURVES, Ingested
from flopline.schema import DROPPED, conform

STUDY: dict[str, Any] = {
    "file": "toy.yaml",
    "source": {"kind": "logs", "runs": {"table": "runs.csv", "columns": {}}},
    "families": ["ash"],
    "loss_split": "val",
    "flops_convention": "six_nd",
    "exclude": [],
    "held_out": [],
    "cleaning": {
        "bad_rows": "drop",
        "overlap_tolerance": 0.02,
        "spikes": "keep",
        "spike_threshold": 8,
        "unfinished": 0.98,
        "diverged": 0.2,
        "untrained": 0.5,
        "final_window": 0,
    },
}
"""What cleaning knows of a study: one family, whose losses are validation losses."""


def study(**changes: Any) -> dict[str, Any]:
    """STUDY with `changes` laid over it, group by group."""
    out = copy.deepcopy(STUDY)
    for key, value in changes.items():
        out[key] = {**out[key], **value} if isinstance(value, dict) else value
    return out


def raw(rows: list[dict[str, Any]], **facts: Any) -> tuple[Ingested, pd.DataFrame]:
    """Rows as ingest leaves them (run `a` unless said), and a run table that knows each run."""
    curves = pd.DataFrame(rows)
    curves["run"] = [row.get("run", "a") for row in rows]
    curves["split"] = [row.get("split", "val") for row in rows]
    curves["line"] = np.arange(1, len(curves) + 1)
    if "tokens" not in curves:
        curves["tokens"] = curves["step"] * 100.0
    names = sorted(curves["run"].unique())
    counts = curves["run"].value_counts()
    runs = pd.DataFrame({"run": names, "rows_in": [counts[n] for n in names], "source": "x.jsonl"})
    table = pd.DataFrame({"run": names, "family": "ash", "params": 1000.0, **facts})
    return (
        Ingested(
            conform(curves, RAW_CURVES), conform(pd.DataFrame(), DROPPED),
            conform(runs, FACTS | FILES),
        ),
        table,
    )  # fmt: skip


def cleaned(rows: list[dict[str, Any]], facts: Any = None, **changes: Any) -> Cleaned:
    """Rows cleaned, with `facts` of their runs and `changes` of the study."""
    ingested, table = raw(rows, **(facts or {}))
    return clean(ingested, table, study(**changes))


def steps(*values: float, loss: float = 2.0) -> list[dict[str, Any]]:
    """Rows at these steps, whose loss falls to `loss` [nats per token]."""
    return [{"step": s, "loss": loss + 1 / s} for s in values]
