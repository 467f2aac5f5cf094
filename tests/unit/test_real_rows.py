"""Real run tables and logs: every row of every file is kept or dropped with a reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flopline.clean import REASONS, Cleaned, clean
from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.ingesting import FACTS, FILES, RAW_CURVES, Ingested, ingest
from flopline.logs.readers import read_log
from flopline.schema import DROPPED, conform
from tests.builders.raw_rows import study
from tests.conftest import ROOT

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
    # Pieces of a curve that end where the whole one does are copies of it, though not by bytes.
    aside = status[status != ""]
    assert len(aside) == 3
    assert aside.str.contains("are those of run .* to the last digit").all()


def test_raw_logs_of_every_trainer(real_data: Path) -> None:
    folder = real_data / "raw_logs"
    endings = (".log", ".txt", ".out", ".json")
    logs = sorted(path for path in folder.rglob("*") if path.suffix in endings)
    # Stdout without a metric is told, not read as an empty run.
    silent = folder / "megatron/hf_ds_gpt2_perf_n16_bs4-mbs8.out"
    with pytest.raises(FloplineError, match=r"no known log format .*no metric"):
        read_log(silent)
    logs.remove(silent)
    files = [{"run": p.stem, "path": str(p), "sha256": hash_file(p)} for p in logs]
    options = study(
        loss_split="train",
        params_convention="total",
        source={"runs": {"table": "runs.csv", "columns": {"run": "run"}, "from_log": False}},
        # Runs of many trainers under one size are no peers of each other.
        cleaning={"unfinished": 0, "untrained": 10},
    )
    raw = ingest(options, files, Path("/"))
    rows_in = sum(read_log(path).rows_in for path in logs)
    facts = {"run": [f["run"] for f in files], "family": "ash", "params": 1e9, "batch_tokens": 1e5}
    result = clean(raw, pd.DataFrame(facts), options)
    check(result, rows_in)
    runs = result.runs.set_index("run")
    # Each line of these is a row.
    for name in ("2024-06-06_adamw", "2024-10-13_main"):
        text = (folder / f"llmc/{name}.log").read_text()
        assert runs.loc[name, "rows_in"] == len(text.splitlines())
    aside = runs["reason"][runs["status"] == "quarantined"].to_dict()
    copy = aside.pop("blowup-4-alibi-fp32-1796300")
    assert "byte for byte that of run 'blowup-4-adam-alibi-fp32-1796300'" in copy
    assert "found under another name" in copy
    assert aside.pop("meg_gpt2_perf_n16") == "It logs no loss in any of its 3 rows."
    # It skips every step from 700 on, which Megatron logs without a loss.
    assert "logs rows without one up to step 1,400" in aside.pop("blowup-4-alibi-gpu1-1813779")
    # Single batches of the last one scatter by a nat: a training loss is a poor loss_split.
    assert sorted(aside) == [
        "blowup-4-adam-alibi-fp32-1796300",
        "blowup-4-alibi-bf16-1796229",
        "blowup-4-alibi-bf16-nods-1814592",
        "blowup-4-alibi-nods-1814186",
        "c0078066-c8c9-49c8-868a-ff4d4f32e615",
    ]
    assert all(reason.startswith("It diverged") for reason in aside.values())


def test_json_documents_are_told_and_their_results_are_a_table(
    real_data: Path, tmp_path: Path
) -> None:
    documents = sorted((real_data / "gadre_overtraining/exp_data/models").glob("*.json"))
    assert len(documents) == 104
    for path in documents:
        with pytest.raises(FloplineError, match="no known log format"):
            read_log(path)
    # One line per result, as docs/formats.md advises for documents of finished runs.
    table = tmp_path / "gadre.jsonl"
    lines = []
    for path in documents:
        document = json.loads(path.read_text())
        sizes = {key: document["hyperparameters"][key] for key in ("params", "tokens")}
        for result in document["results"]:
            of = {"run": document["name"], "set": result["val_data"][0]}
            lines.append({**of, **sizes, "loss": result["loss"]})
    table.write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {key: key for key in ("run", "params", "tokens", "loss")}
    options = study(source={"kind": "table", "columns": columns})
    # Losses of many sets under one name are no loss of the run.
    with pytest.raises(FloplineError, match="could be set") as error:
        ingest(options, [{"run": "", "path": str(table), "sha256": "x"}], Path("/"))
    assert "`run: [run, set]`" in str(error.value)
    columns["split"] = "set"
    options = study(source={"kind": "table", "columns": columns}, loss_split=lines[0]["set"])
    raw = ingest(options, [{"run": "", "path": str(table), "sha256": "x"}], Path("/"))
    result = clean(raw, None, options)
    check(result, len(lines))
    assert len(result.runs) == 104


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
