"""A loss that is NaN: the same in every format, and a run that ends in it has diverged."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.logs.readers import read_log
from tests.builders.raw_rows import cleaned, steps

LOSSES = [4.0, math.nan, None, math.inf]
"""What is logged at steps 0 to 3; None is no loss at all, beside another value."""


def event(step: int, tag: str, value: float) -> bytes:
    """A TensorBoard record of one scalar."""
    name = tag.encode()
    content = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(content)]) + content
    record = b"\x09" + struct.pack("<d", 1e9 + step) + b"\x10" + bytes([step])
    record += b"\x2a" + bytes([len(summary)]) + summary
    return struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0)


def tensorboard(path: Path) -> None:
    pairs = [(i, "lr" if loss is None else "loss", loss or 0.0) for i, loss in enumerate(LOSSES)]
    path.write_bytes(b"".join(event(*pair) for pair in pairs))


def parquet(path: Path) -> None:
    loss = pa.array(LOSSES, pa.float64(), from_pandas=False)
    pq.write_table(pa.table({"step": list(range(len(LOSSES))), "loss": loss}), path)


def jsonl(path: Path) -> None:
    rows = [{"step": i, "loss": loss} for i, loss in enumerate(LOSSES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def csv(path: Path) -> None:
    cells = ["" if loss is None else str(loss) for loss in LOSSES]
    path.write_text("step,loss\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))


def hf_trainer(path: Path) -> None:
    history = [{"step": i, "loss": loss, "lr": 1.0} for i, loss in enumerate(LOSSES)]
    path.write_text(json.dumps({"log_history": history}))


def mlflow(path: Path) -> None:
    (path / "metrics").mkdir(parents=True)
    (path / "meta.yaml").write_text("status: 3\n")
    lines = [f"{i} {loss} {i}\n" for i, loss in enumerate(LOSSES) if loss is not None]
    (path / "metrics/loss").write_text("".join(lines))


def nanogpt(path: Path) -> None:
    lines = [f"iter {i}: loss {x}, time 1.0ms\n" for i, x in enumerate(LOSSES) if x is not None]
    path.write_text("".join(lines))


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "tensorboard": ("events.out.tfevents.1", tensorboard),
    "parquet": ("log.parquet", parquet),
    "jsonl": ("log.jsonl", jsonl),
    "csv": ("log.csv", csv),
    "hf_trainer": ("trainer_state.json", hf_trainer),
    "mlflow": ("run", mlflow),
    "nanogpt": ("log.out", nanogpt),
}


@pytest.mark.parametrize("name", WRITERS)
def test_nan_is_a_loss_in_every_format_and_nothing_is_none(tmp_path: Path, name: str) -> None:
    file, write = WRITERS[name]
    write(tmp_path / file)
    reading = read_log(tmp_path / file, {"step": "step", "loss": "loss"}, name)
    rows = reading.rows.sort_values("step")
    assert rows["step"].tolist() == [0, 1, 3]
    assert rows["loss"].iloc[0] == 4.0
    assert math.isnan(rows["loss"].iloc[1])
    assert rows["loss"].iloc[2] == math.inf
    assert set(reading.dropped["reason"]) <= {"no_loss"}


def test_nan_in_a_parquet_table_of_runs_is_no_missing_loss(tmp_path: Path) -> None:
    loss = pa.array([3.0, math.nan, None], pa.float64(), from_pandas=False)
    table = pa.table({"run": ["a", "b", "c"], "n": [1, 2, 3], "d": [4, 5, 6], "loss": loss})
    pq.write_table(table, tmp_path / "runs.parquet")
    columns = {"run": "run", "params": "n", "tokens": "d", "loss": "loss"}
    study = {
        "file": "s.yaml", "source": {"kind": "table", "columns": columns}, "loss_split": "val"
    }  # fmt: skip
    raw = ingest(study, [{"run": "", "path": "runs.parquet", "sha256": "x"}], tmp_path)
    assert raw.curves["run"].tolist() == ["a", "b"]
    assert math.isnan(raw.curves["loss"][1])
    assert raw.dropped[["run", "reason"]].to_numpy().tolist() == [["c", "no_loss"]]


def run_of(*losses: float, **more: Any) -> list[dict[str, Any]]:
    return [{"step": i + 1, "loss": loss, "run": "b", **more} for i, loss in enumerate(losses)]


NAN = math.nan
SOUND = [{**row, "run": "a"} for row in steps(1, 2, 3)]


@pytest.mark.parametrize("bad_rows", ["error", "drop"])
@pytest.mark.parametrize("losses", [(3.0, NAN), (3.0, 2.0, NAN, math.inf), (NAN, NAN)])
def test_a_run_that_ends_in_nan_diverged_whatever_bad_rows_says(
    losses: tuple[float, ...], bad_rows: str
) -> None:
    result = cleaned([*SOUND, *run_of(*losses)], cleaning={"bad_rows": bad_rows})
    runs = result.runs.set_index("run")
    first = losses.index(NAN) + 1
    assert runs["status"].tolist() == ["kept", "quarantined"]
    assert runs.loc["b", "reason"].startswith(
        f"It diverged: its val loss is NaN or infinite from step {first} ("
    )
    assert runs.loc["b", "rows_in"] == len(losses)
    assert set(result.dropped["reason"]) == {"loss_not_finite"}


def test_a_nan_before_a_finite_loss_is_a_fault_of_the_file() -> None:
    rows = [*SOUND, *run_of(3.0, NAN, 2.0)]
    assert cleaned(rows).runs["status"].tolist() == ["kept", "kept"]
    with pytest.raises(FloplineError, match="line 5: the loss is NaN or infinite"):
        cleaned(rows, cleaning={"bad_rows": "error"})


def test_a_nan_that_a_restart_logged_again_is_forgotten() -> None:
    rows = [*run_of(3.0, 2.5, NAN), *run_of(3.0, 2.5, 2.0)[1:]]
    result = cleaned(rows, cleaning={"bad_rows": "error"})
    assert result.runs["status"].tolist() == ["kept"]
    assert result.runs["loss"].tolist() == [2.0]


def test_another_split_tells_of_divergence_only_by_its_whole_end() -> None:
    train = [{**row, "split": "train"} for row in run_of(3.0, 2.5, NAN, NAN)]
    runs = cleaned([*SOUND, *run_of(3.1, 2.6), *train]).runs.set_index("run")
    assert "its train loss is NaN or infinite from step 3" in runs.loc["b", "reason"]
    # Trainers that write NaN where they did not evaluate.
    sparse = [{**row, "split": "other"} for row in run_of(NAN, 2.5, NAN)]
    assert cleaned([*SOUND, *run_of(3.1, 2.6, 2.5), *sparse]).runs["status"].tolist() == [
        "kept",
        "kept",
    ]
