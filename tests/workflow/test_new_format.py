"""A log format is one file and one entry: docs/extending.md followed to the letter in a copy."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.builders.checklists import templates
from tests.builders.studies import FAMILIES
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

NAME = "toytrainer"
MODULE, TABLE = f"workflow/flopline/logs/{NAME}.py", "workflow/flopline/logs/formats.py"
STEPS = 20
STUDY = {
    "title": "A new format (synthetic)",
    "source": {
        "kind": "logs",
        "format": NAME,
        "paths": "logs/*.out",
        "runs": {"from_name": "N(?P<params>[^_.]+)"},
    },
    "families": {"ash": "Ash"},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "loss_split": "train",
    "targets": [1e18],
}


def add_format(folder: Path) -> None:
    module, entry = templates("a log format")[:2]
    (folder / MODULE).write_text(module)
    text = (folder / TABLE).read_text()
    first = text.index("        Format(\n")
    (folder / TABLE).write_text(
        text[:first] + textwrap.indent(entry.rstrip() + ",\n", 8 * " ") + text[first:]
    )


def write_logs(folder: Path) -> None:
    (folder / "logs").mkdir()
    for params in (1_000_000, 2_000_000, 4_000_000):
        tokens = 4096 * np.arange(1, STEPS + 1)
        losses = FAMILIES["ash"].loss(params, tokens)
        rows = [
            f"[toy] {i + 1}/{STEPS} loss={losses[i]:.9f} seen={tokens[i]}\n" for i in range(STEPS)
        ]
        (folder / f"logs/N{params}.out").write_text("hello\n" + "".join(rows))


def test_a_new_format_is_one_file_and_one_entry(tmp_path: Path) -> None:
    checkout = Checkout.fresh(tmp_path / "repo")
    add_format(checkout.folder)
    assert checkout.touched() == [TABLE, MODULE]
    write_logs(checkout.folder)

    # It is drafted: the survey knows its logs, what they say and what is missing.
    drafted = subprocess.run(
        [sys.executable, "-m", "flopline.drafting", "logs", "--name", "drafted"],
        cwd=checkout.folder,
        env={**os.environ, "PYTHONPATH": str(checkout.folder / "workflow")},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"3 {NAME} logs" in drafted
    assert "its own columns; losses of train" in drafted
    assert "params of every run" in drafted
    assert "batch_tokens" not in drafted

    # It runs through ingest and clean, whether it is named or told by its content.
    for number, source in enumerate((STUDY["source"], {**STUDY["source"], "format": None})):
        study = {**STUDY, "source": {k: v for k, v in source.items() if v is not None}}
        name = f"new{number}"
        (checkout.folder / f"config/studies/{name}.yaml").write_text(yaml.safe_dump(study))
        done = checkout.snakemake(f"results/{name}/clean/runs.parquet", study=name)
        assert done.returncode == 0, done.stderr
        runs = pd.read_parquet(checkout.folder / f"results/{name}/clean/runs.parquet")
        assert runs["status"].tolist() == 3 * ["kept"]
        assert runs["tokens"].tolist() == 3 * [4096.0 * STEPS]
        assert runs["rows_kept"].tolist() == 3 * [STEPS]

    # Its reader counts for caching.
    checkout.edit(MODULE, "_ROW", "_LINE")
    for number in range(2):
        assert checkout.planned(f"new{number}")["ingest"] == 1
    assert "clean" in checkout.planned("new0")
