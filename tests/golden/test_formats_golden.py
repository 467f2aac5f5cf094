"""Every reader on real logs: published final losses, and no row lost."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.clean import clean
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.logs.readers import read_log
from flopline.logs.reading import Reading
from flopline.study import read_yaml
from tests.conftest import ROOT

CLEANING = read_yaml(ROOT / "config/config.yaml")["cleaning"]
LOSS = "eval/c4_en-validation/CrossEntropyLoss"
OLMO: dict[str, Any] = {
    "step": "_step",
    "tokens": "throughput/total_tokens",
    "flops": {"column": "throughput/total_training_Gflops", "times": 1e9},
    "lr": "optim/learning_rate_group0",
    "loss": LOSS,
}


def lines_like(path: Path, pattern: str) -> int:
    text = path.read_bytes().decode("utf-8", errors="replace")
    return len(re.findall(pattern, text, re.MULTILINE))


def last(reading: Reading, split: str) -> pd.Series:
    return reading.rows[reading.rows["split"] == split].iloc[-1]


@pytest.mark.parametrize(
    ("name", "step", "loss", "start"),
    [
        ("2024-10-13_main.log", 19560, 3.2722, 11.0092),
        ("2024-06-06_adamw.log", 9536, 3.275959, 10.968871),
    ],
)
def test_llmc_ends_at_the_published_loss(
    real_data: Path, name: str, step: int, loss: float, start: float
) -> None:
    path = real_data / "raw_logs/llmc" / name
    reading = read_log(path)
    assert (last(reading, "val")["step"], last(reading, "val")["loss"]) == (step, loss)
    assert reading.rows["loss"][0] == start
    assert reading.rows_in == len(path.read_text().splitlines()) == len(reading.rows)
    assert reading.rows["line"].tolist() == list(range(1, reading.rows_in + 1))


def test_llmc_new_form_has_the_learning_rate(real_data: Path) -> None:
    rows = read_log(real_data / "raw_logs/llmc/2024-10-13_main.log").rows
    train = rows[rows["split"] == "train"].set_index("step")
    assert train["lr"][0] == 1e-6
    assert train["lr"].notna().all()
    assert rows["lr"][rows["split"] == "val"].isna().all()


@pytest.mark.parametrize(
    ("name", "step", "loss"),
    [
        ("2024-12-04_valueembed/00008ea0-21dd-442a-82ee-d12799249d0f.txt", 1530, 3.2751),
        ("2024-12-04_valueembed/123ac41a-8f7b-42a1-853c-5a791dcaa7ae.txt", 1530, 3.2796),
        ("2024-10-29_optimizers/8bfe4e35-c3fc-4b70-a984-3be937b71ff3.txt", 5100, 3.2858),
        ("2024-10-20_scaleup1b/c0078066-c8c9-49c8-868a-ff4d4f32e615.txt", 15258, 2.7672),
    ],
)
def test_modded_nanogpt_ends_at_its_loss(
    real_data: Path, name: str, step: int, loss: float
) -> None:
    path = real_data / "raw_logs/nanogpt_speedrun" / name
    reading = read_log(path)
    assert (last(reading, "val")["step"], last(reading, "val")["loss"]) == (step, loss)
    assert reading.facts.known[""] == {"horizon_steps": step}
    assert reading.rows_in == len(reading.rows) == lines_like(path, r"^step:\d+/\d+ ")


def test_modded_nanogpt_clock_is_as_logged(real_data: Path) -> None:
    folder = real_data / "raw_logs/nanogpt_speedrun/2024-12-04_valueembed"
    rows = read_log(folder / "00008ea0-21dd-442a-82ee-d12799249d0f.txt").rows
    train = rows[rows["split"] == "train"].set_index("step")["wall_s"]
    assert train[1530] == 264.554
    assert train[11] < train[10]  # it starts again after ten steps


MEGATRON = {
    # name: (rows in, rows without a loss, skipped, NaN iterations)
    "megatron_deepspeed/blowup-1-1793404": (4, 0, 0, 0),
    "megatron_deepspeed/blowup-4-adam-alibi-fp32-1796300": (57, 0, 0, 0),
    "megatron_deepspeed/blowup-4-alibi-fp32-1796300": (57, 0, 0, 0),
    "megatron_deepspeed/blowup-4-alibi-bf16-1796229": (118, 0, 0, 0),
    "megatron_deepspeed/blowup-4-alibi-bf16-nods-1814592": (113, 0, 0, 0),
    "megatron_deepspeed/blowup-4-alibi-gpu1-1813779": (21, 4, 0, 0),
    "megatron_deepspeed/blowup-4-alibi-nods-1814186": (39, 0, 98, 81),
    "megatron/meg_gpt2_base_n4_dp1_tp4_pp4-1809579": (22, 1, 19, 0),
    "megatron/meg_gpt2_perf_n16": (3, 3, 3, 0),
}


@pytest.mark.parametrize("name", MEGATRON)
def test_megatron_keeps_or_names_every_row(real_data: Path, name: str) -> None:
    path = real_data / "raw_logs" / f"{name}.out"
    reading = read_log(path)
    rows_in, no_loss, skipped, nan = MEGATRON[name]
    evaluations = lines_like(path, r"valid(?:ation)? loss at ")
    iterations = lines_like(path, r"iteration +\d+/ +\d+ \|")
    assert reading.rows_in == rows_in == iterations + evaluations
    assert reading.dropped["reason"].tolist() == ["no_loss"] * no_loss
    said = reading.facts.logged[""]
    assert (said["skipped_iterations"], said["nan_iterations"]) == (skipped, nan)
    assert reading.rows.get("tokens", pd.Series(dtype=float)).notna().all()


def test_megatron_tokens_are_samples_times_length_through_the_batch_ramp(real_data: Path) -> None:
    path = real_data / "raw_logs/megatron_deepspeed/blowup-4-alibi-bf16-1796229.out"
    rows = read_log(path).rows
    train = rows[rows["split"] == "train"].set_index("step")["tokens"]
    val = rows[rows["split"] == "val"].set_index("step")["tokens"]
    # The log prints consumed tokens too: the same up to the ramp, and where validations fall on it.
    assert train[200] == 128 * 200 * 2048
    assert (val.reindex(train.index) == train).all()
    # Batches of 128 up to two thirds of a million samples, then 256, then 384.
    batch = np.diff(val.sort_index().to_numpy()) / (100 * 2048)
    assert set(batch[:50]) == {128.0}
    assert 256.0 in batch
    assert 256 < batch[-1] < 384
    assert (np.diff(batch) >= 0).all()


def test_megatron_sizes_of_the_model_are_facts(real_data: Path) -> None:
    folder = real_data / "raw_logs/megatron_deepspeed"
    known = read_log(folder / "blowup-1-1793404.out").facts.known[""]
    assert known["params_total"] == 355_919_872
    assert known["params_nonembedding"] == 302_311_424
    assert known["horizon_tokens"] == 73_242_187 * 2048


def test_two_megatron_logs_are_the_same_file(real_data: Path) -> None:
    folder = real_data / "raw_logs/megatron_deepspeed"
    names = ("blowup-4-adam-alibi-fp32-1796300.out", "blowup-4-alibi-fp32-1796300.out")
    one, two = (folder / name for name in names)
    digest = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, two)}
    assert len(digest) == 1
    pd.testing.assert_frame_equal(read_log(one).rows, read_log(two).rows)


def megatron_study(columns: dict[str, Any] | None = None, **runs: Any) -> dict[str, Any]:
    source = {"kind": "logs", "paths": "*.out", "runs": runs}
    if columns is not None:
        source["columns"] = columns
    return {
        "file": "study.yaml",
        "source": source,
        "families": {"dense": "Dense"},
        "params_convention": "non_embedding",
        "flops_convention": "six_nd",
        "loss_split": "train",
        "exclude": [],
        "held_out": [],
        "cleaning": dict(CLEANING),
    }


def test_megatron_logs_need_no_run_table_but_where_they_do_not_say_their_size(
    real_data: Path,
) -> None:
    folder = real_data / "raw_logs"
    names = [f"{name}.out" for name in MEGATRON]
    files = [{"run": Path(n).stem, "path": n, "sha256": n} for n in names]
    study = megatron_study()
    study["cleaning"]["unfinished"] = 0
    study["source"]["runs"] = {"table": "runs.csv", "columns": {"run": "run"}}
    facts = pd.DataFrame({"run": ["meg_gpt2_perf_n16"], "params": [5e10]}).astype({"run": "string"})
    cleaned = clean(ingest(study, files, folder), facts, study)
    runs = cleaned.runs.set_index("run")
    assert (runs["rows_in"] == runs["rows_kept"] + runs["rows_dropped"]).all()
    assert runs["rows_in"].to_dict() == {Path(n).name: row[0] for n, row in MEGATRON.items()}
    bf16 = runs.loc["blowup-4-alibi-bf16-nods-1814592"]
    assert bf16["params"] == 302_313_472
    assert "diverged: its final loss 6.943 is far above its own lowest, 3.556" in bf16["reason"]
    assert bf16["loss"] == pytest.approx(6.943269)
    silent = runs.loc["meg_gpt2_perf_n16"]
    assert (silent["status"], silent["rows_kept"]) == ("quarantined", 0)
    assert "row" in silent["reason"]
    base = runs.loc["meg_gpt2_base_n4_dp1_tp4_pp4-1809579"]
    assert "run table has no row for it" in base["reason"]
    # From step 601 of 1,400 on all its steps were skipped, none logs a loss.
    skipped = runs.loc["blowup-4-alibi-gpu1-1813779"]
    assert skipped["status"] == "quarantined"
    assert "loss" in skipped["reason"]
    kept = ["blowup-1-1793404"]
    assert runs.index[runs["status"] == "kept"].tolist() == kept


def test_stdout_without_any_metric_is_told(real_data: Path) -> None:
    path = real_data / "raw_logs/megatron/hf_ds_gpt2_perf_n16_bs4-mbs8.out"
    with pytest.raises(FloplineError, match=r"n16_bs4-mbs8\.out: no known log format .*no metric"):
        read_log(path)


def test_trainer_state_has_a_split_for_each_evaluation_set(real_data: Path) -> None:
    path = real_data / "raw_logs/hf_trainer/trainer_state.json"
    reading = read_log(path)
    document = json.loads(path.read_text())
    assert reading.rows_in == len(document["log_history"]) == 216
    counts = reading.rows["split"].value_counts().to_dict()
    assert counts == {"train": 30, **{f"g{i}": 31 for i in range(6)}}
    first = reading.rows[reading.rows["split"] == "g0"].iloc[0]
    assert (first["step"], first["loss"]) == (0, 5.741583347320557)
    lines = path.read_text().splitlines()
    for row in reading.rows.itertuples():
        entry = "\n".join(lines[row.line - 1 : row.line + 9]).split("}")[0] + "}"
        key = "loss" if row.split == "train" else f"eval_{row.split}_loss"
        assert json.loads(entry)[key] == row.loss
    assert reading.facts.known[""] == {"horizon_steps": 12030}


def test_trainer_state_takes_a_column_map_too(real_data: Path) -> None:
    path = real_data / "raw_logs/hf_trainer/trainer_state.json"
    columns = {"step": "step", "loss": {"train": "loss", "val": "eval_g1_loss"}}
    reading = read_log(path, columns)
    assert reading.rows["split"].value_counts().to_dict() == {"val": 31, "train": 30}
    assert reading.rows_in == 216


def test_every_wandb_history_export_is_read_whole(real_data: Path) -> None:
    files = sorted((real_data / "olmo_ladder/ladder-runs").glob("*.csv"))
    assert len(files) == 41
    for path in files:
        with path.open(newline="") as stream:
            header, *rows = list(csv.reader(stream))
        columns = {k: v for k, v in OLMO.items() if k == "loss" or _column(v) in header}
        reading = read_log(path, columns)
        assert reading.rows_in == len(rows) == len(reading.rows)
        losses = [float(row[header.index(LOSS)]) for row in rows]
        assert reading.rows["loss"].tolist() == losses
    start = read_log(real_data / "olmo_ladder/ladder-runs/peteish13_eval_full.csv", {"loss": LOSS})
    assert start.rows["loss"][0] == pytest.approx(12.578, abs=5e-4)


def _column(spec: Any) -> str:
    name: str = spec["column"] if isinstance(spec, dict) else spec
    return name


@pytest.mark.parametrize(
    ("name", "params", "ratio"), [("190M-1xC", 190354176, 1.67), ("3B-1xC", 3169537280, 1.21)]
)
def test_a_factor_turns_logged_gflops_into_flops(
    real_data: Path, name: str, params: float, ratio: float
) -> None:
    # Ratios as stated in the notes of the data set, to their digits.
    end = read_log(real_data / f"olmo_ladder/ladder-runs/{name}.csv", OLMO).rows.iloc[-1]
    assert end["flops"] / (6 * params * end["tokens"]) == pytest.approx(ratio, abs=0.005)


def test_an_export_without_steps_says_which_column_is_missing(real_data: Path) -> None:
    path = real_data / "olmo_ladder/ladder-runs/peteish7_eval_anneal.csv"
    with pytest.raises(FloplineError, match=r"anneal\.csv has no column '_step'.*total_tokens"):
        read_log(path, {"step": "_step", "loss": LOSS})


def test_a_compressed_log_reads_as_the_plain_one(real_data: Path, tmp_path: Path) -> None:
    plain = real_data / "raw_logs/llmc/2024-06-06_adamw.log"
    packed = tmp_path / "main.log.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    pd.testing.assert_frame_equal(read_log(packed).rows, read_log(plain).rows)
