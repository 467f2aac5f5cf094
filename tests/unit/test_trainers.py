"""Logs of keys and values: what a line says, rows of known trainers, rows by the study's names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from flopline.errors import FloplineError
from flopline.logs.key_values import is_loss, parsed
from flopline.logs.opening import in_lines
from flopline.logs.readers import read_log, sniffed
from flopline.logs.trainers import trainer_of, trainers
from tests.conftest import ROOT

LOGS = ROOT / "tests/fixtures/logs"
T, V = "train", "val"

ROWS: dict[str, list[tuple[str, float, float]]] = {
    "nemo.log": [
        (T, 0, 10.9), (T, 1, 10.4), (T, 20, 7.2), (V, 20, 7.4), (T, 39, 6.1), (V, 39, 7.4),
    ],
    "nanotron.log": [(T, 10, 9.87), (T, 20, 8.12), (T, 30, 7.4), (T, 40, 7.01)],
    "gpt_neox.log": [(T, 10, 9.812), (T, 20, 7.934), (V, 20, 7.901), (T, 30, 7.102)],
    "megatron_sister.log": [(T, 100, 8.901), (T, 200, 7.402), (V, 200, 7.301), (T, 300, 6.803)],
    "maxtext.log": [(T, 0, 10.801), (T, 20, 8.101), (V, 20, 8.052), (T, 39, 7.202)],
    "autoresearch.log": [(T, 0, 9.1), (T, 100, 6.2), (T, 200, 4.3), (V, 290, 1.345678)],
    "nanochat.log": [(V, 0, 3.2001), (T, 0, 11.090112), (T, 150, 5.808123), (V, 300, 1.4012)],
    "build_nanogpt.out": [
        (V, 0, 10.9012), (T, 0, 10.912345), (T, 249, 6.512345), (V, 250, 6.4901),
        (T, 250, 6.501234), (V, 400, 5.1234), (T, 400, 5.101234),
    ],
    "build_nanogpt_log.txt": [
        (V, 0, 10.9012), (T, 0, 10.912345), (T, 249, 6.512345), (V, 250, 6.4901),
        (T, 250, 6.501234),
    ],
    "olmo.log": [(T, 1, 11.21), (T, 1000, 3.912), ("c4-validation", 1000, 3.901), (T, 2000, 3.512)],
    "olmo_core.log": [
        (T, 1, 11.1), (T, 100, 6.31), ("c4_en-validation", 100, 6.29),
        ("pile-validation", 100, 6.05), (T, 200, 5.42),
    ],
    "composer.log": [(T, 1, 11.9), ("eval", 150, 6.2), (T, 150, 6.3), (T, 300, 5.2)],
    "composer_epochs.log": [(T, 4, 9.4), (T, 9, 8.1), (T, 14, 7.3), ("eval", 14, 7.2)],
    "hf_stdout.log": [(T, 50, 5.21), (T, 100, 4.31), (V, 100, 4.25), (T, 200, 3.91)],
    "fairseq.log": [(T, 1, 15.475), (T, 100, 12.903), (V, 150, 11.953), (T, 200, 11.203)],
    "fairseq_simple.log": [(T, 100, 13.147), (T, 200, 9.153), (V, 282, 8.501), (T, 300, 8.303)],
    "mlperf.log": [(T, 1, 11.846), (T, 100, 7.846), (V, 100, 7.711), (T, 200, 6.846)],
    "rwkv_train_log.txt": [(T, 0, 6.123456), (T, 1, 5.234567), (T, 2, 4.812345), (T, 3, 4.612345)],
    "lingua.log": [(T, 10, 10.1234), (T, 20, 8.4321), (T, 30, 7.2109), (T, 40, 6.8765)],
    "torchtitan_fork.log": [(T, 1, 10.4001), (T, 100, 7.2001), (V, 100, 7.1001), (T, 200, 6.5001)],
    "torchtune.txt": [(T, 1, 4.812), (T, 2, 4.401), (T, 3, 4.012), (T, 4, 3.801)],
    "litgpt.log": [(T, 16, 10.801), (T, 32, 9.702), (V, 32, 9.65), (T, 48, 8.603)],
    "maxtext_packed.log": [
        (T, 0, 12.038), (T, 4, 11.038), (V, 4, 9.855), (T, 9, 8.689), (V, 9, 9.42), (T, 39, 7.689),
    ],
    "levanter_job.log": [(T, 1, 9.8), (T, 19, 8.7), (V, 19, 8.85), (T, 1200, 7.5)],
    "cerebras.log": [(T, 100, 8.4375), (T, 200, 8.125), (V, 200, 7.93174), (T, 300, 7.625)],
    "levanter.log": [(T, 10, 9.8), (T, 20, 8.9), (V, 20, 8.85), (T, 30, 8.1)],
}  # fmt: skip
"""What the fixture of each trainer says: split, step and loss of every row."""

TOKENS = {
    "nemo.log": 640 * 2048,
    "nanotron.log": 2.62e6,
    "olmo.log": 2_097_152_000,
    "olmo_core.log": 104_857_600,
    "mlperf.log": 6400 * 1024,
}
"""Tokens of the last row, of trainers that log them or samples."""

FACTS = {
    "nemo.log": {"batch_tokens": 16 * 2048},
    "gpt_neox.log": {"batch_tokens": 64 * 1024, "horizon_steps": 30},
    "megatron_sister.log": {"batch_tokens": 32 * 512, "horizon_steps": 300},
    "maxtext.log": {"batch_tokens": 262_144, "horizon_steps": 40},
    "maxtext_packed.log": {"batch_tokens": 192 * 1024, "horizon_steps": 40},
    "nanochat.log": {
        "params_total": 12_345_678, "batch_tokens": 32_768, "horizon_tokens": 9_830_400,
        "horizon_steps": 300,
    },
    "autoresearch.log": {"params_total": 40.5e6, "horizon_tokens": 152e6},
    "build_nanogpt.out": {"params_total": 1_203_456, "batch_tokens": 65_536},
    "fairseq.log": {"params_total": 123_456},
    "torchtitan_fork.log": {"params_total": 3_456_789},
    "hf_stdout.log": {"horizon_steps": 200},
}  # fmt: skip


def rows(path: Path, columns: dict[str, Any] | None = None) -> list[tuple[str, float, float]]:
    read = read_log(path, columns).rows
    return list(zip(read["split"], read["step"], read["loss"], strict=True))


def test_counts_of_so_many_with_units_are_numbers() -> None:
    # as picotron writes them
    record = parsed(1, "[rank 0] Step: 2 | Loss: 9.9012 | Tokens/s: 100.2K | Tokens: 2.10M/10.00B")
    assert record.values["Tokens"] == "2.10M"
    assert record.totals == {"Tokens": "10.00B"}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_trainer(name: str) -> None:
    path = LOGS / "trainer" / name
    assert sorted(rows(path), key=str) == sorted(ROWS[name], key=str)
    read = read_log(path)
    assert set(read.dropped["reason"]) <= {"no_loss"}
    if name in TOKENS:
        assert read.rows["tokens"].iloc[-1] == TOKENS[name]
    known = read.facts.known.get("", {})
    for fact, value in FACTS.get(name, {}).items():
        assert known[fact] == value, fact


def test_every_trainer_has_a_fixture_that_is_told_as_its_own() -> None:
    recognised = [trainer_of(in_lines(path.read_bytes())) for path in (LOGS / "trainer").iterdir()]
    assert {one.name for one in recognised if one} == {one.name for one in trainers()}
    assert all(one.title and "/" in one.source for one in trainers())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("step 10 | loss: 3.25 | lr 1e-4", {"step": "10", "loss": "3.25", "lr": "1e-4"}),
        ("iter=7, loss=3.5, tok/s=12,345", {"iter": "7", "loss": "3.5", "tok/s": "12,345"}),
        ("it 3\tloss 2.5\tppl 12.1", {"it": "3", "loss": "2.5", "ppl": "12.1"}),
        (
            "[2026-01-05 10:00:00,123][rank-0/1][INFO] step: 4  val loss: nan  acc: None  lr: 0.1",
            {"step": "4", "val loss": "nan", "lr": "0.1"},
        ),
        ("valid: step 10 loss 3.1", {"step": "10", "valid/loss": "3.1"}),
        ("eval loss at step 20: 3.1", {"step": "20", "eval loss": "3.1"}),
        ('INFO {"step": 3, "train": {"loss": NaN}}', {"step": 3, "train.loss": "NaN"}),
        ("12:01 {'loss': nan, 'epoch': 0.5}", {"loss": "nan", "epoch": 0.5}),
        ("Eval batch=3/10 loss=4.5", {"Eval batch": "3", "eval/loss": "4.5"}),
        ("step 5 loss 5,4M", {"step": "5", "loss": "5,4M"}),
        ("c4_en loss=3.0 at v2.1", {"c4_en loss": "3.0"}),
        ("number of nan iterations: 0 |", {"number of nan iterations": "0"}),
    ],
)
def test_a_line_says_its_keys_and_values(text: str, values: dict[str, Any]) -> None:
    assert parsed(1, text).values == values


def test_names_of_losses_are_told_from_what_is_beside_them() -> None:
    for name in ("loss", "train/loss", "lm-loss", "val_bpb", "Train loss/train/total", "nll_loss"):
        assert is_loss(name), name
    for name in ("loss scale", "loss_mask", "glossary", "lr", "accuracy", "closs_time"):
        assert not is_loss(name), name


def log(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_unknown_lines_are_read_by_the_names_that_the_study_gives(tmp_path: Path) -> None:
    text = "".join(
        f"10:0{i} me: pass {i} seen 4,096,{i}00 train_nll={5 - i} held_nll={5.5 - i}\n"
        for i in range(4)
    )  # fmt: skip
    path = log(tmp_path / "a.log", text.replace("pass", "step"))
    assert sniffed(path) == "lines"
    with pytest.raises(FloplineError, match="does not say which column is the loss"):
        read_log(path)
    read = read_log(
        path, {"step": "step", "tokens": "seen", "loss": {T: "train_nll", V: "held_nll"}}
    ).rows
    assert read["tokens"].tolist()[:2] == [4_096_000, 4_096_000]
    assert read["loss"].tolist() == [5, 5.5, 4, 4.5, 3, 3.5, 2, 2.5]
    with pytest.raises(FloplineError, match="it has: step, seen, train_nll, held_nll"):
        read_log(path, {"step": "step", "loss": "validation"})


def test_evaluations_without_a_step_belong_where_the_log_shows_or_to_none(tmp_path: Path) -> None:
    def line(step: int) -> str:
        return f"step {step} loss {9 - step / 100}\n"

    columns = {"step": "step", "loss": {T: "loss", V: "val_loss"}}
    first = log(
        tmp_path / "a.log", "val_loss 9.1\n" + line(0) + line(99) + "val_loss 8\n" + line(100)
    )
    last = log(
        tmp_path / "b.log", line(0) + line(100) + "val_loss 8\n" + line(200) + "val_loss 7\n"
    )
    inside = "".join(
        line(s) + ("val_loss 8\n" if s in (100, 200) else "")
        for s in (1, 99, 100, 101, 199, 200, 201)
    )  # fmt: skip
    middle = log(tmp_path / "c.log", inside)
    unclear = log(tmp_path / "d.log", line(100) + "val_loss 8\n" + line(200))

    def steps(path: Path) -> list[float]:
        return [step for split, step, _ in rows(path, columns) if split == V]

    assert steps(first) == [0, 100]
    assert steps(last) == [100, 200]
    assert steps(middle) == [100, 200]
    assert all(math.isnan(step) for step in steps(unclear))


def test_what_cannot_be_read_of_a_line_is_counted(tmp_path: Path) -> None:
    path = log(
        tmp_path / "a.log",
        "step 1 | loss: 3.5 | lr 0.1\nstep 2 | loss: <cut> | lr 0.1\nstep 3 | lr 0.1\n"
        "step 4 | loss: 3.2 | lr 0.1 step 5 | loss: 3.1 | lr 0.1\nstep 6 | lr 0.1 | loss: 2",
    )
    read = read_log(path, {"step": "step", "loss": "loss"}, "lines")
    assert read.rows["loss"].tolist() == [3.5, 3.2]
    assert len(read.dropped) == 4
    assert dict(zip(read.dropped["line"], read.dropped["reason"], strict=True)) == {
        2: "not_parsed", 3: "no_loss", 4: "second_in_line", 5: "not_parsed",
    }  # fmt: skip


def test_facts_are_taken_by_the_same_words_and_must_not_change(tmp_path: Path) -> None:
    head = "Number of weights: 1,234,567\n"
    body = "".join(f"step {i}/9 loss {9 - i}\n" for i in range(4))
    columns = {"step": "step", "loss": "loss"}
    read = read_log(
        log(tmp_path / "a.log", head + body), columns, wanted_facts=["Number of weights"]
    )
    assert read.facts.logged[""]["Number of weights"] == "1,234,567"
    assert read.facts.known[""]["horizon_steps"] == 9
    changed = log(tmp_path / "b.log", head + body + head.replace("1,", "2,") + body)
    with pytest.raises(FloplineError, match=r"is 1,234,567 in line 1 and 2,234,567 in line 6"):
        read_log(changed, columns, wanted_facts=["Number of weights"])


def test_programs_and_prose_that_quote_a_line_are_no_logs(tmp_path: Path) -> None:
    quoted = "step 1 | loss: 3.5\n"
    for text in (f"#!/bin/bash\n# output:\n# {quoted}", f"Our runs end at, e.g.\n{quoted}"):
        with pytest.raises(FloplineError, match="no known log format"):
            sniffed(log(tmp_path / "a.txt", text))


def test_a_progress_bar_that_lags_gives_no_step(tmp_path: Path) -> None:
    bars = "".join(
        f"\r{at}%|#  | {at}/100 [00:01<00:09, 1.0it/s]\n"
        f"{{'loss': {loss}, 'grad_norm': 1.0, 'learning_rate': 0.1, 'epoch': {epoch}}}\n"
        for at, loss, epoch in ((10, 4.0, 1.0), (13, 3.5, 2.0), (30, 3.2, 3.0), (40, 3.0, 4.0))
    )
    curve = rows(log(tmp_path / "a.log", bars))
    assert [loss for _, _, loss in curve] == [4.0, 3.5, 3.2, 3.0]
    assert [step for _, step, _ in curve if not math.isnan(step)] == [10, 30, 40]
