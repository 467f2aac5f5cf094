"""Drafts of folders as people have them: runs in folders, configs beside logs, junk among them."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from flopline.drafting.columns import other_losses, row_columns
from flopline.drafting.drafting_command import main
from flopline.drafting.naming import last_of_checkpoints, name_pattern, path_globs, run_names
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.logs.readers import sniffed
from flopline.study import load_study, read_yaml
from running.log_search import log_files
from tests.conftest import ROOT

CONVENTIONS = ["--params-convention", "total", "--flops-convention", "six_nd", "--targets", "1e20"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def drafted(folder: str) -> dict[str, Any]:
    assert main([folder, "--name", "mine", "--force", *CONVENTIONS]) == 0
    return yaml.safe_load(Path("config/studies/mine.yaml").read_text())


def ingested(root: Path, of: str = "loss") -> dict[str, list[tuple[str, float, float]]]:
    """Split, step and loss, or what `of` says, of the drafted study's rows, by run."""
    study = load_study(
        read_yaml(ROOT / "config/config.yaml") | {"study": "mine"}, root, ROOT / "workflow/schemas"
    )
    files = [{**file, "sha256": ""} for file in log_files(study, root)]
    curves = ingest(study, files, root).curves
    return {
        str(run): list(zip(rows["split"], rows["step"], rows[of], strict=True))
        for run, rows in curves.groupby("run", observed=True)
    }


def in_splits(here: Path, at: str, train: str, validation: str) -> dict[str, Any]:
    """Two runs with a log for each split, drafted and with their params; `at` has their places."""
    for run, first in (("a", 8.5), ("b", 7.5)):
        for split, form in (("train", train), ("validation", validation)):
            loss = first + 0.25 * (split == "validation")
            steps = [form.format(s=s, t=1000 * s, loss=loss - s) for s in (1, 2, 3)]
            written(here / at.format(run=run, split=split), "".join(steps))
    study = drafted("logs")
    fill_params("config/studies/mine.runs.csv")
    return study


LINE = "step {s} tokens {t} loss {loss}\n"
BOTH = {
    run: [(split, s, first + shift - s) for split, shift in (("train", 0), ("val", 0.25))
          for s in (1, 2, 3)]
    for run, first in (("a", 8.5), ("b", 7.5))
}  # fmt: skip


@pytest.mark.parametrize(
    "at",
    [
        "logs/{run}/{split}/log.txt",
        "logs/{split}/{run}.txt",
        "logs/x/{split}/{run}/y/log.txt",
        "logs/{run}/{split}.txt",
        "logs/{run}/{split}_log.txt",
        "logs/{run}_{split}.log",
        "logs/{split}-{run}.out",
    ],
)
def test_folders_of_splits_are_splits_of_one_run(here: Path, at: str) -> None:
    study = in_splits(here, at, LINE, LINE)
    assert study["loss_split"] == "val"
    rows = (here / "config/studies/mine.runs.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "a", "b"]
    assert ingested(here) == BOTH


def test_the_log_of_a_split_may_lack_what_that_of_another_says(here: Path) -> None:
    head, row = '{{"step": {s}, ', '"loss": {loss}}}\n'
    study = in_splits(
        here, "logs/{run}/{split}/m.jsonl", head + '"tokens": {t}, ' + row, head + row
    )
    assert study["source"]["optional"] == ["tokens"]
    assert "batch_tokens" not in (here / "config/studies/mine.runs.csv").read_text()
    assert ingested(here) == BOTH
    assert ingested(here, "tokens") == {
        run: [(split, s, 1000 * s) for split, s, _ in rows] for run, rows in BOTH.items()
    }


def test_losses_called_by_their_split_in_folders_of_splits_are_both_read(here: Path) -> None:
    head = '{{"step": {s}, "tokens": {t}, '
    study = in_splits(
        here, "logs/{run}/{split}/m.jsonl",
        head + '"train_loss": {loss}}}\n', head + '"val_loss": {loss}}}\n',
    )  # fmt: skip
    assert study["source"]["optional"] == ["loss"]
    assert ingested(here) == BOTH


def study_of(root: Path, **source: Any) -> tuple[Any, list[Any]]:
    study = load_study({"study": "mine"}, root, ROOT / "workflow/schemas")
    study["source"] |= source
    return study, [{**file, "sha256": ""} for file in log_files(study, root)]


def test_a_fact_may_stand_in_the_log_of_one_split(here: Path) -> None:
    in_splits(here, "logs/{run}/{split}/log.txt", LINE, LINE)
    for run in "ab":
        path = here / f"logs/{run}/train/log.txt"
        path.write_text("Number of parameters: 2000\n" + path.read_text())
    said = {"params": "Number of parameters"}
    study, files = study_of(here, runs={"from_name": r"logs/(?P<run>\w+)/", "from_log": said})
    assert ingest(study, files, here).runs["params"].dropna().tolist() == [2000, 2000]
    study["source"]["runs"]["from_log"] = {"seed": "seed"}
    with pytest.raises(FloplineError, match=r"None of logs/a/train/.* says 'seed'"):
        ingest(study, files, here)


def test_two_folders_of_one_split_are_refused_and_left_by_a_draft(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_splits(here, "logs/{run}/{split}/log.txt", LINE, LINE)
    written(here / "logs/a/eval/log.txt", (here / "logs/a/validation/log.txt").read_text())
    runs = {"from_name": r"logs/(?P<run>\w+)/"}
    with pytest.raises(FloplineError, match=r"a/eval/log.txt and logs/a/val.* both hold run 'a'"):
        study_of(here, paths="logs/*/*/log.txt", runs=runs)
    drafted("logs")
    assert "logs/a/validation/log.txt: it is of the same split, val" in capsys.readouterr().out


def test_what_a_trainer_calls_train_for_want_of_a_word_is_of_its_folder(here: Path) -> None:
    line = "iter {s}: loss {loss:.4f}, time 12.00ms, mfu 1.00%\n"
    in_splits(here, "logs/{run}/{split}/log.txt", line, line)
    assert ingested(here) == BOTH


def test_checkpoints_of_text_logs_are_beginnings_of_one_log(here: Path) -> None:
    lines = [f"step {s} tokens {1000 * s} loss {8.5 - s}\n" for s in range(1, 7)]
    for last in (2, 4, 6):
        written(here / f"logs/a/checkpoint-{last}/log.txt", "".join(lines[:last]))
    written(here / "logs/b/checkpoint-6/log.txt", "".join(lines))
    drafted("logs")
    fill_params("config/studies/mine.runs.csv")
    assert {run: len(rows) for run, rows in ingested(here).items()} == {"a": 6, "b": 6}


def test_a_store_of_aim_is_named_with_the_way_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(here / "logs/.aim/meta/chunks/0a/CURRENT", "MANIFEST-000001")
    (here / "logs/.aim/seqs").mkdir()
    assert main(["logs", "--name", "mine", *CONVENTIONS]) == 1
    assert "logs/.aim: is a store of Aim" in capsys.readouterr().out
    with pytest.raises(FloplineError, match="export its metrics with it"):
        sniffed(here / "logs/.aim")


def fill_params(table: str) -> None:
    path = Path(table)
    path.write_text(path.read_text().replace(",,", ",1000000,"))


def rows(shift: float = 0.0) -> str:
    return "".join(
        json.dumps({"step": s, "tokens": 100 * s, "val_loss": 9 - s + shift}) + "\n"
        for s in (1, 2, 3)
    )


def test_runs_of_one_file_name_are_named_by_their_folders_and_never_merged(here: Path) -> None:
    for seed in range(3):
        written(here / f"sweep/seed{seed}/metrics.jsonl", rows(seed / 10))
    study = drafted("sweep")
    assert study["source"]["paths"] == "sweep/*/metrics.jsonl"
    table = (here / "config/studies/mine.runs.csv").read_text()
    assert [line.split(",")[0] for line in table.splitlines()] == ["run", "seed0", "seed1", "seed2"]
    filled = table.replace(",,", ",1000,")
    (here / "config/studies/mine.runs.csv").write_text(filled)
    assert {run: curve[-1][2] for run, curve in ingested(here).items()} == {
        "seed0": 6.0, "seed1": 6.1, "seed2": 6.2,
    }  # fmt: skip


def test_a_multirun_with_configs_needs_only_what_nobody_can_know(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        run = here / f"multirun/2026-01-0{1 + number // 2}/{number}"
        written(run / ".hydra/config.yaml", f"model: {{n_params: {10**6 * (number + 1)}}}\nn: 3\n")
        lines = (f"[10:00:0{s}][main][INFO] - step {s} | seen {s}k | loss: {9 - s}" for s in (1, 2))
        written(run / "train.log", "\n".join([*lines, ""]))
    study = drafted("multirun")
    assert "params are 'model.n_params' of .hydra/config.yaml" in capsys.readouterr().out
    runs = study["source"]["runs"]
    assert runs["sidecar"] == {
        "path": ".hydra/config.yaml", "columns": {"params": "model.n_params"},
    }  # fmt: skip
    assert study["loss_split"] == "train"
    (here / "config/studies/mine.yaml").write_text(
        yaml.safe_dump(study | {"source": study["source"]})
    )


def test_what_the_logs_say_of_themselves_is_used(here: Path) -> None:
    for job in range(5):
        head = f"Number of parameters: {10**6 * (job + 1):,}\ntokens per step: 65,536\n"
        body = "".join(f"step {s}/30 | loss: {9 - s / 10} | lr: 1e-3\n" for s in (10, 20, 30))
        written(here / f"jobs/slurm-99_{job}.out", head + body)
    written(here / "jobs/job.slurm", "#!/bin/bash\n#SBATCH --nodes=1\n# step 1 | loss: 3\n")
    written(here / "jobs/core.txt", "Traceback\n")
    study = drafted("jobs")
    assert study["source"]["runs"] == {
        "from_log": {"params": "Number of parameters", "batch_tokens": "tokens per step"},
    }  # fmt: skip
    assert study["source"]["paths"] == "jobs/*.out"
    assert not (here / "config/studies/mine.runs.csv").exists()
    assert len(ingested(here)) == 5


def event(step: int, tag: str, value: float) -> bytes:
    """A record of an event file: a scalar, framed by its length and checksums."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    scalar = field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)
    body = b"\x09" + struct.pack("<d", 1e9 + step) + bytes([0x10, step])
    body += field(5, field(1, scalar))
    length = struct.pack("<Q", len(body))
    return length + checksum(length) + body + checksum(body)


def checksum(data: bytes) -> bytes:
    """The masked CRC-32C of TFRecord."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_folders_of_splits_are_one_run(here: Path) -> None:
    for run, shift in (("a", 0.0), ("b", 0.5)):
        for split, more in (("train", 0.0), ("validation", 0.25)):
            (here / f"tb/{run}/{split}").mkdir(parents=True)
            events = (event(step, "epoch_loss", 9 - step + shift + more) for step in range(3))
            (here / f"tb/{run}/{split}/events.out.tfevents.1.h").write_bytes(b"".join(events))
    study = drafted("tb")
    assert study["source"]["paths"] == "tb/*"
    assert study["source"]["columns"]["loss"] == {
        "train": "train/epoch_loss", "val": "validation/epoch_loss",
    }  # fmt: skip
    table = here / "config/studies/mine.runs.csv"
    table.write_text(table.read_text().replace(",,", ",1000,1"))
    for paths in ("tb/*", "tb/**"):
        text = yaml.safe_dump({**study, "source": {**study["source"], "paths": paths}})
        (here / "config/studies/mine.yaml").write_text(text)
        curves_of = ingested(here)
        assert set(curves_of) == {"a", "b"}
        assert sorted(curves_of["b"]) == [
            ("train", 0, 9.5), ("train", 1, 8.5), ("train", 2, 7.5),
            ("val", 0, 9.75), ("val", 1, 8.75), ("val", 2, 7.75),
        ]  # fmt: skip


def test_logs_of_earlier_checkpoints_are_left_to_the_last(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("a", "b"):
        history = []
        for step in (500, 1000):
            history += [{"step": step, "loss": 5.0 - step / 1000}]
            text = json.dumps({"log_history": history})
            written(here / f"hf/{run}/checkpoint-{step}/trainer_state.json", text)
    drafted("hf")
    assert "checkpoint-500/trainer_state.json: it is the beginning" in capsys.readouterr().out
    table = (here / "config/studies/mine.runs.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == ["a", "b"]
    kept, left = last_of_checkpoints(["r/checkpoint-5/x.json", "r/x.json", "s/step_9/x.json"])
    assert (kept, left) == (["r/x.json", "s/step_9/x.json"], ["r/checkpoint-5/x.json"])


def test_every_log_is_judged_and_its_share_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in range(5):
        written(here / f"logs/{run}.jsonl", rows())
    half = rows() + '{"step": 4, "tokens": 400}\n' * 3
    written(here / "logs/9.jsonl", half)
    written(here / "logs/cut.log", " iteration 7/ 10 | consumed samples: 28 | elapsed\n")
    drafted("logs")
    printed = capsys.readouterr().out
    assert "18 of 21 rows are read; of logs/9.jsonl 50%" in printed
    assert "logs/cut.log: it looks like megatron, but no whole row is in it" in printed


def test_the_line_most_like_a_row_is_quoted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here / "odd/a.txt", "hello 1\npass 3 err 2.5 speed 7\npass 4 err 2.4 speed 7\n")
    assert main(["odd", "--name", "mine"]) == 1
    assert "most like a row of one is 'pass 3 err 2.5 speed 7'" in capsys.readouterr().err


def test_binaries_cost_nothing(here: Path) -> None:
    written(here / "big/a.jsonl", rows())
    noise = os.urandom(1 << 20)
    for number in range(20):
        (here / f"big/{number}.bin").write_bytes(noise * 5)
    begin = time.perf_counter()
    drafted("big")
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("names", "loss"),
    [
        (["Loss/train", "Loss/test"], {"train": "Loss/train", "test": "Loss/test"}),
        (["train_loss_step", "train_loss_epoch", "val_loss"],
         {"train": "train_loss_step", "val": "val_loss"}),
        (["lm loss", "lm loss validation", "lm loss validation ppl", "lm loss vs samples"],
         {"train": "lm loss", "val": "lm loss validation"}),
        (["loss/train/total", "val_bpb"], {"train": "loss/train/total", "val": "val_bpb"}),
        (["loss", "eval_loss", "predict_loss"],
         {"train": "loss", "val": "eval_loss", "predict": "predict_loss"}),
        (["train/CrossEntropyLoss", "z_loss"], "train/CrossEntropyLoss"),
    ],
)  # fmt: skip
def test_losses_are_told_by_names_as_people_write_them(names: list[str], loss: Any) -> None:
    assert row_columns(names)["loss"] == loss


def test_columns_are_told_by_names_as_people_write_them() -> None:
    for step in ("num_updates", "current_steps", "trainer/global_step", "iter", "progress"):
        assert row_columns([step, "loss"])["step"] == step
    assert row_columns(["_step", "trainer/global_step", "loss"])["step"] == "trainer/global_step"
    assert row_columns(["tokens_trained", "loss"])["tokens"] == "tokens_trained"
    assert other_losses(["val_loss", "val_loss_ema"]) == ["val_loss_ema (val: derived from others)"]


def test_what_was_chosen_and_left_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(
        here / "logs/a.csv",
        "_step,trainer/global_step,train_loss_step,train_loss_epoch,val_loss\n"
        "0,10,5.0,,\n1,20,4.5,4.8,4.6\n",
    )
    drafted("logs")
    printed = capsys.readouterr().out
    assert "train_loss_step as train, val_loss as val were chosen and train_loss_epoch" in printed
    assert "step: trainer/global_step was chosen; _step could be it, too." in printed
    written(
        here / "final/all.csv", "N,tokens,train_loss,val_loss\n1e6,1e8,3.2,3.3\n2e6,1e8,3,3.1\n"
    )
    study = drafted("final")
    assert study["source"]["columns"]["loss"] == "val_loss"
    assert "loss: val_loss was chosen and train_loss left out." in capsys.readouterr().out


def test_names_and_patterns_of_runs(tmp_path: Path) -> None:
    paths = ["x/a/1/m.csv", "x/b/1/m.csv", "x/b/2/m.csv"]
    assert list(run_names(paths).values()) == ["a/1", "b/1", "b/2"]
    assert name_pattern(paths) == r"x/(?P<run>.+)/m\.csv$"
    assert name_pattern(["x/a.csv", "x/b.csv"]) is None
    for path in paths:
        written(tmp_path / path, "")
    assert path_globs(paths, tmp_path) == ["x/*/*/m.csv"]
    written(tmp_path / "x/c/3/m.csv", "")
    assert path_globs(paths, tmp_path) == ["x/a/1/m.csv", "x/b/*.csv"] or set(
        path_globs(paths, tmp_path)
    ) == set(paths)


def test_a_draft_of_documents_of_runs_asks_for_little(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(real_data / "haegele"), "--name", "mine", *CONVENTIONS]) == 0
    study = yaml.safe_load(Path("config/studies/mine.yaml").read_text())
    assert study["source"]["format"] == "json"
    assert study["source"]["runs"]["from_log"] == {
        "params": "summary.parameters",
        "horizon_steps": "config.iterations",
    }
    assert study["loss_split"] == "val"


def test_counted_tokens_of_a_trainer_state_say_the_batch_and_sidecars_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, seen in (("a", 4096), ("b", 8192), ("c", 8192)):
        folder = tmp_path / "runs" / run / "checkpoint-8"
        folder.mkdir(parents=True)
        (folder.parent / "config.json").write_text(json.dumps({"num_parameters": 7_000_000}))
        history = [{"step": step, "eval_loss": 4 - step / 9} for step in (4, 8)]
        state = {"log_history": history, "global_step": 8, "num_input_tokens_seen": seen}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    output = capsys.readouterr().out
    assert output.count("config.json") == 2  # the tables, and where params come from
    assert "table of 3 runs runs/a/config.json and 2 like it: params" in output
    assert "batch_tokens" not in output
