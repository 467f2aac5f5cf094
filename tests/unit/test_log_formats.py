"""Each log format on small texts and on fixtures that the packages wrote: rows, splits, facts."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS
from flopline.logs.readers import read_log, sniffed
from flopline.logs.reading import BATCH, Reading
from flopline.logs.samples import Logged, Ramp, samples_at
from tests.conftest import ROOT

FIXTURES = ROOT / "tests/fixtures/logs"
SCALARS: dict[str, Any] = {
    "loss": {"train": "train/loss", "val": "val/loss"},
    "tokens": "tokens",
    "lr": "lr",
}


def read(folder: Path, text: str, name: str = "run.log", **wish: Any) -> Reading:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_log(path, **wish)


def kept(reading: Reading, *columns: str) -> list[list[Any]]:
    rows = reading.rows[list(columns)].astype(object)
    return rows.where(rows.notna(), None).to_numpy().tolist()


def dropped(reading: Reading) -> list[list[Any]]:
    return reading.dropped[["line", "reason"]].to_numpy().tolist()


def test_llmc_skips_accuracies_and_names_cut_lines(tmp_path: Path) -> None:
    text = "s:0 tel:11.0\ns:0 trl:10.5 lr:1e-3 norm:2\ns:1 eval:0.25\ns:2 trl\ns:2 trl:9.2"
    reading = read(tmp_path, text)
    assert kept(reading, "step", "split", "loss", "lr") == [
        [0, "val", 11.0, None],
        [0, "train", 10.5, 1e-3],
    ]
    # The last number may have lost its end with the line.
    assert dropped(reading) == [[3, "no_loss"], [4, "not_parsed"], [5, "not_parsed"]]


def test_llmc_nan_is_left_to_cleaning(tmp_path: Path) -> None:
    reading = read(tmp_path, "s:0 trl:2.0\ns:1 trl:-nan\ns:2 trl:inf\ns:3 trl:oops\n")
    assert reading.rows["loss"].isna().tolist() == [False, True, False]
    assert dropped(reading) == [[4, "not_a_number"]]


def test_a_column_map_cannot_mix_the_splits_of_a_format(tmp_path: Path) -> None:
    text = "s:0 tel:11.0\ns:0 trl:10.5\n"
    reading = read(tmp_path, text, columns={"step": "step", "loss": "loss"})
    assert kept(reading, "split", "loss") == [["val", 11.0], ["train", 10.5]]
    with pytest.raises(FloplineError, match="format llmc, whose rows say their own split"):
        read(tmp_path, text, columns={"loss": {"val": "loss"}})
    with pytest.raises(FloplineError, match=r"no column 'norm'.*it has: step, split, loss, lr"):
        read(tmp_path, text, columns={"lr": "norm"})


def test_modded_nanogpt_skips_the_source_dump(tmp_path: Path) -> None:
    text = (
        'print(f"step:{step}/{steps} val_loss:{loss}")\n'
        "step:0/10 val_loss:10.8 train_time:0ms step_avg:nanms\n"
        "step:1/10 train_loss:9.5 train_time:250ms step_avg:nanms\n"
        "step:2/10 train_time:300ms step_avg:150.00ms\n"
        "step:3/10 train_loss:9.1 train_ti\n"
    )
    reading = read(tmp_path, text)
    assert kept(reading, "step", "split", "loss", "wall_s", "line") == [
        [0, "val", 10.8, 0.0, 2],
        [1, "train", 9.5, 0.25, 3],
    ]
    assert dropped(reading) == [[4, "no_loss"], [5, "not_parsed"]]
    assert reading.facts.known == {"": {"horizon_steps": 10}}


def test_nanogpt_has_losses_of_steps_and_of_evaluations(tmp_path: Path) -> None:
    text = (
        "tokens per iteration will be: 491,520\n"
        "number of parameters: 123.59M\n"
        "step 0: train loss 10.9898, val loss 10.9899\n"
        "iter 0: loss 10.9886, time 28046.44ms, mfu -100.00%\n"
        "saving checkpoint to out\n"
        "iter 10: loss 9.7, ti\n"
    )
    reading = read(tmp_path, text)
    assert kept(reading, "step", "split", "loss") == [
        [0, "train_eval", 10.9898],
        [0, "val", 10.9899],
        [0, "train", 10.9886],
    ]
    assert dropped(reading) == [[6, "not_parsed"]]
    assert reading.facts.known == {"": {"batch_tokens": 491520}}
    assert reading.facts.logged == {"": {"number of parameters": "123590000"}}


def test_flame_says_its_batch_steps_and_size() -> None:
    reading = read_log(FIXTURES / "torchtitan/flame.log")
    losses = {1: 10.4001, 100: 7.2001, 200: 6.5001, 300: 6.1001}
    assert kept(reading, "step", "split", "loss") == [[s, "train", y] for s, y in losses.items()]
    assert reading.facts.known == {
        "": {"params_total": 341_456_789, "batch_tokens": 524_288, "horizon_steps": 20_480}
    }


def test_torchtitan_reads_through_colours_and_ranks(tmp_path: Path) -> None:
    start = "[rank0]:[titan] 2025-05-01 12:00:00,123 - root - INFO - "
    text = (
        f"{start}Model llama3 8B \x1b[31msize: 8,030,261,248 total parameters\x1b[39m\n"
        f"{start}Trainer is initialized with local batch size 8, global batch size 64, gradient "
        "accumulation steps 1, sequence length 2048, total steps 1000 (warmup 200)\n"
        f"{start}\x1b[31mstep:  1  \x1b[32mloss: 12.2  \x1b[33mgrad_norm:  1.5  "
        "\x1b[36mmemory: 30.00GiB(37.9%)  \x1b[34mtps: 1,234  tflops: 9.1  mfu: 2.9%\x1b[39m\n"
        f"{start}\x1b[33mvalidate step:  1  \x1b[32mloss: 12.1  \x1b[36mmemory: 1GiB(2%)  tps: 5\n"
        f"{start}step: 10  lo\n"
    )
    reading = read(tmp_path, text)
    assert kept(reading, "step", "split", "loss") == [[1, "train", 12.2], [1, "val", 12.1]]
    assert dropped(reading) == [[5, "not_parsed"]]
    assert reading.facts.known[""] == {
        "params_total": 8_030_261_248,
        "batch_tokens": 64 * 2048,
        "horizon_steps": 1000,
    }


def iteration(step: int, samples: int, batch: int, loss: str | None = "3.0E+00") -> str:
    return (
        f" [2025-01-01 00:00:00] iteration {step:8d}/ 1000 | consumed samples: {samples:12d} | "
        f"elapsed time per iteration (ms): 500.0 | learning rate: 1.0E-04 | "
        f"global batch size: {batch:5d} | {f'lm loss: {loss} | ' if loss else ''}loss scale: 1.0 | "
        "number of skipped iterations:   1 | number of nan iterations:   2 |\n"
    )


HEADER = (
    "  seq_length ...................................... 1024\n"
    "  global_batch_size ............................... 64\n"
    "  train_iters ..................................... 1000\n"
    "  tensor_model_parallel_size ...................... 1\n"
    "  pipeline_model_parallel_size .................... 1\n"
    " > number of parameters on (tensor, pipeline) model parallel rank (0, 0): 124475904\n"
)


def test_megatron_lm_rows_and_facts(tmp_path: Path) -> None:
    text = (
        HEADER
        + "[default7]:"
        + iteration(10, 640, 64)
        + " validation loss at iteration 10 on validation set | lm loss value: 2.5E+00 | "
        "lm loss PPL: 1.2E+01 | \n"
        + iteration(20, 1280, 64, None)
        + iteration(30, 1920, 64, "NAN")
        + "iteration       40/ 1000 | consumed samples:   2560 | lm loss: 2.0E+0"
    )
    reading = read(tmp_path, text)
    assert kept(reading, "step", "tokens", "split", "loss", "lr", "wall_s") == [
        [10, 640 * 1024, "train", 3.0, 1e-4, 5.0],
        [10, 640 * 1024, "val", 2.5, None, None],
        [30, 1920 * 1024, "train", None, 1e-4, 15.0],
    ]
    assert [row[1] for row in dropped(reading)] == ["no_loss", "not_parsed"]
    known = {"params_total": 124475904, "horizon_tokens": 1000 * 64 * 1024}
    assert reading.facts.known[""] == known
    assert reading.facts.logged[""]["nan_iterations"] == 6


def test_megatron_test_losses_are_a_split_of_their_own(tmp_path: Path) -> None:
    end = "validation loss at iteration 10 on test set | lm loss value: 2.6E+00 | \n"
    reading = read(tmp_path, HEADER + iteration(10, 640, 64) + end)
    assert kept(reading, "step", "split", "loss")[1] == [10, "test", 2.6]


def test_megatron_leaves_tokens_open_where_the_log_does(tmp_path: Path) -> None:
    between = "valid loss at iteration 15 | lm loss value: 2.5E+00 | \n"
    # 320 more samples than the batches account for: the batch changed unseen.
    text = HEADER + iteration(10, 640, 64) + between + iteration(20, 1600, 64)
    rows = read(tmp_path, text).rows
    assert rows["tokens"].isna().tolist() == [False, True, False]


def test_megatron_sets_of_other_names_are_splits_of_that_name(tmp_path: Path) -> None:
    wiki = "1: wiki loss at iteration 10 | lm loss value: 2.6E+00 | lm loss PPL: 1E+01 | \n"
    reading = read(tmp_path, HEADER + iteration(10, 640, 64) + wiki)
    assert kept(reading, "step", "tokens", "split")[1] == [10, 640 * 1024, "wiki"]


def test_megatron_tokens_of_samples_of_changing_length_are_those_printed(tmp_path: Path) -> None:
    shorter = iteration(10, 640, 64).replace("| elapsed", "| consumed tokens: 40960 | elapsed")
    both = [f"valid loss at iteration {i} | lm loss value: 2.6E+00 | \n" for i in (10, 15)]
    reading = read(tmp_path, HEADER + shorter + "".join(both) + iteration(20, 1280, 64))
    assert kept(reading, "step", "tokens")[:3] == [[10, 40960], [10, 40960], [15, None]]


ramps = st.builds(
    lambda start, increment, increments, samples: Ramp(
        start, increment, samples, start + increment * increments
    ),
    st.integers(1, 64), st.integers(1, 64), st.integers(1, 5), st.integers(0, 20_000),
)  # fmt: skip


@given(
    ramps, st.integers(1, 40), st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True)
)
def test_samples_between_logged_iterations_are_exact(
    ramp: Ramp, every: int, evaluated: list[int]
) -> None:
    consumed, batches = [0], [0]
    for _ in range(320):
        batches.append(ramp.batch(consumed[-1]))
        consumed.append(consumed[-1] + batches[-1])
    for step in evaluated:
        low, high = step // every * every, (step // every + 1) * every
        before = Logged(low, consumed[low], batches[low]) if low else None
        after = Logged(high, consumed[high], batches[high]) if high <= 320 else None
        kept_rows = samples_at(step, before, after, ramp)
        assert kept_rows == (None if before is None and after is None else consumed[step])
        # Without the ramp's rule a change of the batch is seen and no number is made up.
        assert samples_at(step, before, after, None) in (consumed[step], None) or after is None


def test_trainer_state_without_any_loss_is_counted(tmp_path: Path) -> None:
    state = {"log_history": [{"step": 5, "train_runtime": 3.1}], "max_steps": 5, "total_flos": 1.5}
    reading = read(tmp_path, json.dumps(state), "trainer_state.json")
    assert dropped(reading) == [[1, "no_loss"]]
    assert reading.facts.logged[""]["total_flos"] == 1.5


def test_trainer_state_reads_tokens_and_the_default_evaluation(tmp_path: Path) -> None:
    logged = [
        {"step": 5, "loss": 3.0, "learning_rate": 1e-4, "num_input_tokens_seen": 100},
        {"step": 5, "eval_loss": 3.1, "num_input_tokens_seen": 100},
    ]
    reading = read(tmp_path, json.dumps({"log_history": logged}, indent=1), "trainer_state.json")
    assert kept(reading, "step", "tokens", "split", "loss", "lr", "line") == [
        [5, 100, "train", 3.0, 1e-4, 3],
        [5, 100, "val", 3.1, None, 9],
    ]


@pytest.mark.parametrize("text", ['{"log_history": [{"step": 1, "lo', '{"log_history": 3}'])
def test_broken_trainer_state_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(FloplineError, match=r"trainer_state\.json.*(copy it again|take the file)"):
        read(tmp_path, text, "trainer_state.json")


def test_csv_with_quoted_numbers_empty_columns_and_ragged_rows(tmp_path: Path) -> None:
    text = (
        '\ufeff"_step","train/loss","empty","a, b"\n'
        '"1","3.5","","x"\n\n'
        '"2","","","two\nlines"\n'
        "3,2.5,\n"
        '"4"," 2.25 ","",""\n'
        "5,NaN,,\n"
    )
    columns = {"step": "_step", "loss": "train/loss", "lr": "empty"}
    reading = read(tmp_path, text, "h.csv", columns=columns)
    assert kept(reading, "step", "loss", "line") == [[1, 3.5, 2], [4, 2.25, 7], [5, None, 8]]
    assert dropped(reading) == [[5, "no_loss"], [6, "not_parsed"]]


def test_csv_with_an_open_quotation_mark_is_told(tmp_path: Path) -> None:
    text = 'step,loss\n1,2.5\n2,"2.0\n' + "2,3.0\n" * 40_000
    with pytest.raises(FloplineError, match=r"h\.csv, line \d+: .*close the quotation mark"):
        read(tmp_path, text, "h.csv", columns={"loss": "loss"})


def test_tables_as_logs_agree_in_all_formats(tmp_path: Path) -> None:
    table = pd.DataFrame({"s": [1, 2, 3], "y": [3.0, None, 2.5], "d": [10, 20, 30]})
    columns = {"step": "s", "loss": "y", "tokens": {"column": "d", "times": 1000}}
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "a.parquet")
    table.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    table.to_json(tmp_path / "a.json", orient="records")
    tables = [name for name, entry in FORMATS.items() if entry.is_table]
    # A document is told by the names of its losses, of which y is none.
    readings = {
        end: read_log(tmp_path / f"a.{end}", columns, end if end == "json" else None)
        for end in tables
    }
    for reading in readings.values():
        assert kept(reading, "step", "loss", "tokens") == [[1, 3.0, 1e4], [3, 2.5, 3e4]]
        assert reading.dropped["reason"].tolist() == ["no_loss"]
    assert readings["csv"].rows["line"].tolist() == [2, 4]
    assert readings["parquet"].rows["line"].tolist() == [1, 3]


def test_a_table_with_a_run_column_holds_several_runs(tmp_path: Path) -> None:
    text = "name,n,step,loss\na,5,1,3.0\nb,7,1,4.0\n,7,2,3.0\nb,7,3,3.5\n"
    columns = {"run": "name", "step": "step", "loss": "loss"}
    reading = read(tmp_path, text, "all.csv", columns=columns, wanted_facts=["n"])
    assert kept(reading, "run", "step", "loss") == [["a", 1, 3.0], ["b", 1, 4.0], ["b", 3, 3.5]]
    assert dropped(reading) == [[4, "no_run_name"]]
    assert reading.facts.logged == {"a": {"n": "5"}, "b": {"n": "7"}}


def test_a_fact_that_changes_within_a_run_is_refused(tmp_path: Path) -> None:
    text = "n,step,loss\n5,1,3.0\n6,2,2.0\n"
    with pytest.raises(FloplineError, match=r"'n' .* is 5 in one row and 6 in another"):
        read(tmp_path, text, "a.csv", columns={"loss": "loss"}, wanted_facts=["n"])


def test_wandb_chart_exports_hold_a_run_per_column(tmp_path: Path) -> None:
    names = [f"{run} - loss{end}" for run in ("a - 1", "b") for end in ("", "__MIN", "__MAX")]
    header = ",".join(f'"{name}"' for name in ["Step", *names])
    text = f'{header}\n"1","3.0","2.9","3.1","","",""\n"2","2.0","","","4.0","3.9","4.1"\n"3",1\n'
    reading = read(tmp_path, text, "chart.csv", columns={"loss": "loss"})
    assert kept(reading, "run", "step", "loss", "line") == [
        ["a - 1", 1, 3.0, 2],
        ["a - 1", 2, 2.0, 3],
        ["b", 2, 4.0, 3],
    ]
    assert dropped(reading) == [[4, "not_parsed"]]


def test_wandb_charts_name_the_metrics_that_there_are(tmp_path: Path) -> None:
    text = "Step,a - loss,a - loss__MIN,a - loss__MAX\n1,2,2,2\n"
    with pytest.raises(FloplineError, match=r"no column 'val'.*it has: Step, loss\."):
        read(tmp_path, text, "chart.csv", columns={"loss": "val"})


EXPECTED = {int(k): v for k, v in json.loads((FIXTURES / "expected.json").read_text()).items()}


@pytest.mark.parametrize(
    "name",
    [
        "tensorboard/simple",
        "tensorboard/tensor",
        "tensorboard/simple/events.out.tfevents.1000.host",
        "wandb_offline",
        "wandb_offline/run-toy1.wandb",
        "mlflow",
    ],
)
def test_scalars_of_real_files_are_what_was_logged(name: str) -> None:
    path = FIXTURES / name if name != "mlflow" else next((FIXTURES / "mlflow/mlruns/0").glob("*/"))
    reading = read_log(path, SCALARS)
    rows = reading.rows.sort_values(["split", "step"])
    wanted = [
        [split, step, logged[f"{split}/loss"], logged["tokens"], logged["lr"]]
        for split in ("train", "val")
        for step, logged in EXPECTED.items()
        if f"{split}/loss" in logged
    ]
    kept_rows = rows[["split", "step", "loss", "tokens", "lr"]].to_numpy().tolist()
    assert [row[:2] for row in kept_rows] == [row[:2] for row in wanted]
    # TensorBoard keeps single precision.
    assert [row[2:] for row in kept_rows] == [pytest.approx(row[2:], rel=1e-6) for row in wanted]
    assert reading.rows_in == 15
    assert reading.rows["wall_s"].is_monotonic_increasing or name == "mlflow"


def test_configs_of_wandb_and_mlflow_are_facts() -> None:
    offline = read_log(FIXTURES / "wandb_offline", SCALARS).facts.logged[""]
    assert offline["n_params"] == 123456
    assert offline["model.width"] == 64
    assert offline["display_name"] == "toy run"
    store = read_log(next((FIXTURES / "mlflow/mlruns/0").glob("*/")), SCALARS).facts.logged[""]
    assert store["n_params"] == "123456"
    assert store["mlflow.runName"] == "toy run"


def test_a_scalar_that_is_not_there_is_told_with_those_that_are() -> None:
    words = r"tensorboard/simple has no column 'nope' .*it has: lr, tokens, train/loss, val/loss"
    with pytest.raises(FloplineError, match=words):
        read_log(FIXTURES / "tensorboard/simple", {"loss": "nope"})


@pytest.mark.parametrize("cut", [5, 17, 700])
def test_a_cut_event_file_names_its_last_event(tmp_path: Path, cut: int) -> None:
    source = FIXTURES / "tensorboard/simple/events.out.tfevents.1000.host"
    (tmp_path / source.name).write_bytes(source.read_bytes()[:-cut])
    reading = read_log(tmp_path, {"loss": "train/loss"})
    assert reading.dropped["reason"].tolist() == ["not_parsed"]
    assert 0 < len(reading.rows) <= 10


def test_event_files_of_a_restart_follow_each_other(tmp_path: Path) -> None:
    source = FIXTURES / "tensorboard/simple/events.out.tfevents.1000.host"
    for time in (1000, 2000):
        (tmp_path / f"events.out.tfevents.{time}.host").write_bytes(source.read_bytes())
    rows = read_log(tmp_path, SCALARS).rows
    train = rows[rows["split"] == "train"]
    assert train["step"].tolist() == 2 * list(EXPECTED)
    assert train["line"].is_monotonic_increasing
    assert train["tokens"].tolist() == 2 * [logged["tokens"] for logged in EXPECTED.values()]


@pytest.mark.parametrize("place", [300, 1000, 1600, 2500, 3500])
def test_damaged_wandb_records_are_counted_and_change_no_number(tmp_path: Path, place: int) -> None:
    data = bytearray((FIXTURES / "wandb_offline/run-toy1.wandb").read_bytes())
    undamaged = kept(
        read_log(FIXTURES / "wandb_offline", SCALARS), "split", "step", "loss", "tokens"
    )
    data[place] ^= 0xFF
    (tmp_path / "run-x.wandb").write_bytes(data)
    reading = read_log(tmp_path, SCALARS)
    kept_rows = kept(reading, "split", "step", "loss", "tokens")
    assert [row for row in kept_rows if row not in undamaged] == []
    assert "not_parsed" in reading.dropped["reason"].tolist()


def test_a_cut_wandb_file_keeps_what_came_before(tmp_path: Path) -> None:
    data = (FIXTURES / "wandb_offline/run-toy1.wandb").read_bytes()
    (tmp_path / "run-x.wandb").write_bytes(data[:2500])
    reading = read_log(tmp_path, {"loss": "train/loss"})
    assert 0 < len(reading.rows) < 10
    assert reading.dropped["reason"].tolist() == ["not_parsed"]


def message(*fields: tuple[int, float | int | str | bytes]) -> bytes:
    """Protocol Buffers with short fields: doubles, small integers, text and messages."""
    out = b""
    for number, value in fields:
        if isinstance(value, float):
            out += bytes([number << 3 | 1]) + struct.pack("<d", value)
        elif isinstance(value, int):
            out += bytes([number << 3, value])
        else:
            content = value.encode() if isinstance(value, str) else value
            out += bytes([number << 3 | 2, len(content)]) + content
    return out


def test_typed_values_of_newer_wandb_files(tmp_path: Path) -> None:
    # wandb_internal.proto, HistoryItem: 4 boolean, 5 integer, 6 number, 7 text, 8 json.
    values = {"loss": (6, 2.5), "tokens": (5, 7), "flag": (4, 1), "name": (7, "x"), "l": (8, "3")}
    items = [(1, message((1, key), (2, key), value)) for key, value in values.items()]
    record = message((2, message(*items, (2, message((1, 9))))))
    piece = b"\x01" + record
    checked = struct.pack("<IH", zlib.crc32(piece), len(record)) + piece
    (tmp_path / "run-x.wandb").write_bytes(b":W&B\xe1\xbe\x00" + checked)
    reading = read_log(tmp_path, {"loss": "loss", "tokens": "tokens", "lr": "l"})
    assert kept(reading, "step", "loss", "tokens", "lr") == [[9, 2.5, 7, 3]]


def test_wandb_records_across_blocks_are_put_together(tmp_path: Path) -> None:
    items = [message((1, "loss"), (8, f"{i}.5")) for i in range(3000)]
    rows = [message((2, message((1, item), (2, message((1, 5)))))) for item in items]
    data = bytearray(b":W&B\xe1\xbe\x00")
    for record in rows:
        rest, kind = record, None
        while rest or kind is None:
            left = 32768 - len(data) % 32768
            if left < 7:
                data += bytes(left)
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            first, last = kind is None, not rest
            kind = 1 if first and last else 2 if first else 4 if last else 3
            piece = bytes([kind]) + part
            data += struct.pack("<IH", zlib.crc32(piece), len(part)) + piece
    (tmp_path / "run-x.wandb").write_bytes(data)
    reading = read_log(tmp_path, {"loss": "loss"})
    assert len(data) > 2 * 32768
    assert reading.rows["loss"].tolist() == [i + 0.5 for i in range(3000)]
    assert reading.dropped.empty


def test_pattern_lines_become_rows_and_others_do_not(tmp_path: Path) -> None:
    text = "hello\nepoch 1 it 5 L=3.25\nepoch 1 it 6 L=oops\neval 5: 3.5 (seed 3)\n"
    patterns = [
        {"pattern": r"it (?P<step>\d+) L=(?P<loss>\S+)", "split": "train"},
        {"pattern": r"eval (?P<step>\d+): (?P<loss>\S+) \(seed (?P<s>\d+)\)", "split": "val"},
    ]
    wish = {"format_name": "pattern", "patterns": patterns, "wanted_facts": ["s"]}
    reading = read(tmp_path, text, **wish)
    assert kept(reading, "step", "split", "loss", "line") == [
        [5, "train", 3.25, 2],
        [5, "val", 3.5, 4],
    ]
    assert dropped(reading) == [[3, "not_a_number"]]
    assert reading.facts.logged == {"": {"s": "3"}}


def test_pattern_groups_may_have_names_of_their_own(tmp_path: Path) -> None:
    columns = {"step": "i", "loss": {"train": "a", "val": "b"}}
    patterns = [{"pattern": r"(?P<i>\d+) (?P<a>\S+)(?: (?P<b>\S+))?"}]
    wish = {"format_name": "pattern", "patterns": patterns, "columns": columns}
    reading = read(tmp_path, "1 3.0 3.1\n2 2.5\n", **wish)
    assert kept(reading, "step", "split", "loss") == [
        [1, "train", 3.0],
        [1, "val", 3.1],
        [2, "train", 2.5],
    ]


def test_a_factor_may_belong_to_one_split(tmp_path: Path) -> None:
    columns = {"loss": {"train": "a", "val": {"column": "b", "times": 0.5}}}
    reading = read(tmp_path, '{"a": 1.0, "b": 4.0}\n', "x.jsonl", columns=columns)
    assert kept(reading, "split", "loss") == [["train", 1.0], ["val", 2.0]]


def test_long_logs_are_read_in_batches_without_a_seam(tmp_path: Path) -> None:
    steps = 2 * BATCH + 7
    reading = read(tmp_path, "".join(f"s:{i} trl:2.5\n" for i in range(steps)))
    assert reading.rows["step"].tolist() == list(range(steps))
    assert reading.rows["line"].tolist() == list(range(1, steps + 1))


BEGUN = " | number of nan iterations: 0 |"
MORE_CELLS: dict[str, tuple[str, list[list[Any]]]] = {
    "llmc": (
        "s:0 tel:11.0 mfu:0.4\ns:5 trl:9.0 lr:1e-3 new:x\n",
        [[0, "val", 11.0], [5, "train", 9.0]],
    ),
    "nanogpt": (
        "iter 0: loss 10.0, lr 1e-3, time 1.2s, mfu -100.00%\n"
        "step 5: train loss 8.0, val loss 8.1, lr 0.001, time 3s\n",
        [[0, "train", 10.0], [5, "train_eval", 8.0], [5, "val", 8.1]],
    ),
    "modded_nanogpt": (
        "step:0/10 val_loss:10.8 val_bpb:4.1 train_time:0ms step_avg:nanms\n"
        "step:5/10 lr:0.1 train_loss:9.0 val_loss:9.1 train_time:2.500s step_avg:500.00ms new:1\n",
        [[0, "val", 10.8], [5, "train", 9.0], [5, "val", 9.1]],
    ),
    "torchtitan": (
        "x - INFO - step:  1  lr: 0.1  loss: 12.2  grad_norm: 1.0  new: 2  tps: 5\n",
        [[1, "train", 12.2]],
    ),
    "megatron": (
        "  seq_length ...................................... 1024\n"
        f" iteration 1/ 10 | new: 3 | consumed samples: 8 | lm-loss: 9.5{BEGUN}\n"
        f" iteration 2/ 10 | consumed samples: 16 | lm_loss: 9.0{BEGUN} x: 1 |\n"
        "validation loss at iteration 2 | lm_loss value: 9.1 | new: 3 |\n",
        [[1, "train", 9.5], [2, "train", 9.0], [2, "val", 9.1]],
    ),
}
"""Lines of each format with cells that their first trainer does not write, and their rows."""


@pytest.mark.parametrize("name", MORE_CELLS)
def test_a_known_line_with_one_more_cell_keeps_its_row(tmp_path: Path, name: str) -> None:
    text, rows = MORE_CELLS[name]
    reading = read(tmp_path, text, format_name=name)
    assert kept(reading, "step", "split", "loss") == rows
    assert dropped(reading) == []


@pytest.mark.parametrize("name", [name for name in MORE_CELLS if name != "megatron"])
def test_a_format_is_told_by_lines_with_more_cells(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.log").write_text(MORE_CELLS[name][0])
    assert sniffed(tmp_path / "run.log") == name


TWO_IN_ONE = {
    "llmc": "s:0 tel:11.0\ns:5 trl:9.0 trl:8.0\n",
    "modded_nanogpt": "step:0/9 val_loss:9.8 train_time:0ms\n"
    "step:5/9 val_loss:9.0 train_time:1ms step:6/9 val_loss:8.9 train_time:2ms\n",
    "torchtitan": "x - INFO - step: 1 loss: 12.2 tps: 5\n"
    "x - INFO - step: 2 loss: 12.1 tps: 5 step: 3 loss: 12.0 tps: 5\n",
    "megatron": f" iteration 1/ 10 | consumed samples: 8 | lm loss: 9.5{BEGUN}\n"
    " iteration 2/ 10 | consumed samples: 16 | lm loss: 9.4 | iteration 3/ 10 | consumed samples: "
    f"24 | lm loss: 9.3{BEGUN}\n",
    "nanogpt": "iter 0: loss 10.0, time 1.0ms\n"
    "iter 1: loss 9.0, time 1.0msiter 2: loss 8.9, time 1ms\n",
}


@pytest.mark.parametrize("name", TWO_IN_ONE)
def test_two_records_in_a_line_are_never_mixed_into_one(tmp_path: Path, name: str) -> None:
    reading = read(tmp_path, TWO_IN_ONE[name], format_name=name)
    assert len(reading.rows) == 1
    assert reading.dropped["reason"].tolist() in (["twice_in_line"], ["not_parsed"])


def test_facts_before_the_first_step_of_a_fork_are_known(tmp_path: Path) -> None:
    text = (
        "model_params:23146944\ntrain_batch_tokens:524,288 iterations:19074\n"
        "step:0/19074 val_loss:6.9 val_bpb:4.1 train_time:0ms step_avg:0.14ms\n"
    )
    assert read(tmp_path, text).facts.known[""] == {
        "params_total": 23_146_944,
        "batch_tokens": 524_288,
        "horizon_steps": 19_074,
    }


def test_clocks_are_read_in_the_unit_that_stands_there(tmp_path: Path) -> None:
    text = "".join(
        f"step:{s}/9 val_loss:9.{s} train_time:{t} step_avg:1ms\n"
        for s, t in enumerate(["250ms", "2.5s", "2.5", "3us"])
    )
    assert kept(read(tmp_path, text), "wall_s") == [[0.25], [2.5], [None], [3e-6]]


def test_a_damaged_foot_of_parquet_is_told(tmp_path: Path) -> None:
    """Arrow answers to some damages with an error of the system."""
    source = next((FIXTURES / "parquet").glob("*.parquet")).read_bytes()
    for place in range(len(source) - 60, len(source) - 8):
        for damage in (0, 0x7F, 0xFF):
            damaged = bytearray(source)
            damaged[place] = damage
            (tmp_path / "a.parquet").write_bytes(damaged)
            with contextlib.suppress(FloplineError):
                read_log(tmp_path / "a.parquet", {"loss": "loss"})


def test_what_pandas_wrote_beside_the_columns_of_parquet_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pd.DataFrame({"step": [1, 2, 5], "loss": [3.0, 2.0, 1.5]}).set_index("step")
    table.to_parquet(path)
    assert read_log(path, {"step": "step", "loss": "loss"}).rows["step"].tolist() == [1, 2, 5]
    damaged = path.read_bytes().replace(b'{"index_columns"', b'[\x01index_columns"')
    path.write_bytes(damaged)
    assert read_log(path, {"step": "step", "loss": "loss"}).rows["loss"].tolist() == [3.0, 2.0, 1.5]
