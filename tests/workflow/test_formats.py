"""Logs that are folders and facts in sidecars: real Snakemake knows what they are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.builders.studies import FAMILIES, study_of, write_study_file
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

SOURCE = {
    "kind": "logs",
    "paths": "mlruns/0/*",
    "shards": 2,
    "columns": {"loss": {"val": "val/loss"}, "tokens": "tokens"},
    "runs": {
        "from_name": "(?P<family>ash)-(?P<budget_flops>[^-]+)",
        "from_log": {"params": "n_params"},
        "sidecar": {"path": "../planned/{run}.yaml", "columns": {"horizon_tokens": "tokens"}},
    },
}


def write_runs(folder: Path) -> None:
    """A file store as MLflow writes it (synthetic), and sidecars beside it."""
    (folder / "mlruns/planned").mkdir(parents=True)
    for budget in (1e15, 1e16):
        for size in (0.5, 1, 2):
            params = round(size * (budget / 600) ** 0.5)
            tokens = np.round(budget / 6 / params * np.linspace(0.1, 1, 10))
            run = folder / f"mlruns/0/ash-{budget:.0e}-{size}"
            for part in ("metrics/val", "params"):
                (run / part).mkdir(parents=True)
            (run / "meta.yaml").write_text("status: 3\n")
            (run / "params/n_params").write_text(str(params))
            losses = FAMILIES["ash"].loss(params, tokens)
            for name, values in (("tokens", tokens), ("val/loss", losses)):
                lines = [f"{1000 * i} {value:.17g} {i}\n" for i, value in enumerate(values)]
                (run / "metrics" / name).write_text("".join(lines))
            sidecar = folder / f"mlruns/planned/{run.name}.yaml"
            sidecar.write_text(f"tokens: {tokens[-1]:.0f}\n")


def test_folders_and_sidecars_are_read_and_watched(tmp_path: Path) -> None:
    checkout = Checkout.fresh(tmp_path / "repo")
    write_study_file(checkout.folder, "folders", study_of(SOURCE))
    write_runs(checkout.folder)
    done = checkout.snakemake("results/folders/clean/runs.parquet", study="folders")
    assert done.returncode == 0, done.stderr
    runs = pd.read_parquet(checkout.folder / "results/folders/clean/runs.parquet")
    assert runs["status"].tolist() == 6 * ["kept"]
    assert runs["rows_in"].tolist() == 6 * [10]
    assert runs["flops"].to_numpy() == pytest.approx(runs["budget_flops"].to_numpy(), rel=1e-3)
    assert "ingest" not in checkout.planned("folders")

    metric = next(checkout.folder.glob("mlruns/0/*/metrics/val/loss"))
    before = metric.read_text()
    metric.write_text(before.replace("9000 ", "9001 "))
    assert checkout.planned("folders")["ingest"] == 1
    metric.write_text(before)
    assert "ingest" not in checkout.planned("folders")

    sidecar = next(checkout.folder.glob("mlruns/planned/*.yaml"))
    sidecar.write_text("tokens: 5e20\n")
    assert checkout.planned("folders")["ingest"] == 1
    sidecar.unlink()
    done = checkout.snakemake("--dry-run", study="folders")
    assert done.returncode == 1
    assert "source.runs.sidecar names mlruns/planned/ash" in done.stderr
