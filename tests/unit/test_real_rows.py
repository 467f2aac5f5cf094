"""Real run tables and logs: every row of every file is kept or dropped with a reason."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flopline.clean import REASONS, Cleaned, clean
from flopline.ingest import FACTS, FILES, RAW_CURVES, Ingested, ingest
from flopline.schema import DROPPED, conform
from tests.conftest import ROOT
from tests.unit.test_clean import study

TABLES: list[tuple[str, dict[str, str], str]] = [
    (
        "chinchilla/svg_extracted_data.csv",
        {"params": "Model Size", "flops": "Training FLOP", "loss": "loss"},
        "six_nd",
    ),
    (
        "datablations/points_*.csv",
        {"run": "name", "params": "params", "tokens": "tokens", "loss": "val_loss"},
        "six_nd",
    ),
    (
        "gemstones/wandb_dfs/*.jsonl",
        {
            "run": "run_name",
            "params": "params_active_precise",
            "tokens": "tokens",
            "step": "step",
            "loss": "final_loss",
            "width": "width",
            "depth": "depth",
        },
        "gemstones",
    ),
]
"""Tables by pattern, their columns and FLOPs convention."""


def check(result: Cleaned, rows_in: int) -> None:
    runs = result.runs
    assert runs["rows_in"].sum() == rows_in
    assert (runs["rows_in"] == runs["rows_kept"] + runs["rows_dropped"]).all()
    assert (len(result.curves), len(result.dropped)) == (
        runs["rows_kept"].sum(),
        runs["rows_dropped"].sum(),
    )
    assert set(result.dropped["reason"]) <= set(REASONS)


@pytest.mark.parametrize(("pattern", "columns", "convention"), TABLES, ids=[t[0] for t in TABLES])
def test_tables(real_data: Path, pattern: str, columns: dict[str, str], convention: str) -> None:
    files = sorted(real_data.glob(pattern))
    assert files
    for path in files:
        # Some files of a folder hold fewer columns than others.
        has = {name: c for name, c in columns.items() if c in path.read_text().split("\n")[0]}
        options = study(flops_convention=convention if has == columns else "six_nd")
        options["source"] = {"kind": "table", "columns": has}
        raw = ingest(options, [{"run": "", "path": str(path), "sha256": "x"}], Path("/"))
        lines = sum(1 for line in path.read_text().splitlines() if line.strip())
        check(clean(raw, None, options), lines - path.name.endswith(".csv"))


def test_histories_of_weights_and_biases(real_data: Path) -> None:
    files = sorted((real_data / "olmo_ladder/ladder-runs").glob("*.csv"))
    assert len(files) == 41
    rows_in = 0
    curves, runs = [], []
    for path in files:
        table = pd.read_csv(path)
        rows_in += len(table)
        # One file, of the end of an annealing, logs no step.
        step = table.get("_step", pd.Series(float("nan"), index=table.index))
        loss = table["eval/c4_en-validation/CrossEntropyLoss"]
        tokens = table.get("throughput/total_tokens", 4_194_304.0 * step)
        rows = {"run": path.stem, "split": "val", "step": step, "tokens": tokens, "loss": loss}
        curves.append(pd.DataFrame(rows).assign(line=range(2, len(table) + 2)))
        runs.append({"run": path.stem, "source": path.name, "rows_in": len(table)})
    ingested = Ingested(
        conform(pd.concat(curves), RAW_CURVES),
        conform(pd.DataFrame(), DROPPED),
        conform(pd.DataFrame(runs), FACTS | FILES),
    )
    facts = pd.DataFrame({"run": [r["run"] for r in runs], "family": "ash", "params": 1e9})
    result = clean(ingested, facts, study())
    check(result, rows_in)
    status = result.runs.set_index("run")["reason"]
    # It logs no step at all, so that its tokens are its clock.
    assert status["peteish7_eval_anneal"] == ""
    # The pieces and their full curve are other bytes, so nothing here is a copy.
    assert (result.runs["status"] == "kept").sum() == 41


def test_shipped_logs(tmp_path: Path) -> None:
    folder = ROOT / "data/tinylm/logs"
    files = [
        {"run": p.name.removesuffix(".jsonl.gz"), "path": str(p), "sha256": p.name}
        for p in sorted(folder.glob("*c4.00e10*.jsonl.gz"))
    ]
    columns: dict[str, Any] = {c: c for c in ("split", "step", "tokens", "loss", "lr", "wall_s")}
    options = study(source={"columns": columns})
    raw = ingest(options, files, Path("/"))
    facts = pd.DataFrame({"run": [f["run"] for f in files], "family": "ash", "params": 1e5})
    lines = sum(len(gzip.decompress(Path(f["path"]).read_bytes()).splitlines()) for f in files)
    check(clean(raw, facts, options), lines)
