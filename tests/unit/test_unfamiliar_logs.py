"""Kinds of lines and names that trainers print and no format was made for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flopline.drafting.columns import row_columns
from flopline.drafting.survey import columns_of
from flopline.logs.key_values import FIRST, parsed, records
from flopline.logs.readers import read_log
from flopline.logs.reading import reach


def test_an_object_over_several_lines_is_one_row(tmp_path: Path) -> None:
    # as EasyLM prints it, with pprint, below a progress bar
    log = tmp_path / "out.log"
    log.write_text(
        "".join(
            f" 50%|###   | {step}/100 [10:02<20:11,  1.2it/s]\n"
            f"{{'eval/loss': {5 - step / 50},\n 'step': {step},\n 'train/accuracy': 0.4,\n"
            f" 'train/loss': {4.9 - step / 50}}}\n"
            for step in (0, 50, 100)
        )
    )
    columns = {"step": "step", "loss": {"train": "train/loss", "val": "eval/loss"}}
    rows = read_log(log, columns).rows
    val = rows[rows["split"] == "val"]
    assert val["step"].tolist() == [0, 50, 100]
    assert val["loss"].tolist() == [5, 4, 3]
    train = rows[rows["split"] == "train"]
    assert train["loss"].tolist() == pytest.approx([4.9, 3.9, 2.9])


def test_an_object_without_a_loss_stays_lines() -> None:
    lines = ["config = {", "  'layers': 12,", "  'width': 768}", "step 1 loss 3.0"]
    read = list(records((n, line, True) for n, line in enumerate(lines, 1)))
    assert read[-1].values == {"step": "1", "loss": "3.0"}
    assert {"layers", "width"} <= {name for record in read for name in record.values}


def test_pairs_around_an_object_are_read() -> None:
    # as InternLM logs the norms of its groups between other pairs
    line = "step=19 loss=5.25 lr=1e-05 grad_norm={'0_default': 0.5} num_consumed_tokens=10485760"
    values = parsed(1, line).values
    assert values["step"] == "19"
    assert values["loss"] == "5.25"
    assert values["num_consumed_tokens"] == "10485760"
    assert "grad_norm" not in values


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("I1127 10:22:26.1 1399388 logging_writer.py:48] [50] learning_rate=0.1, loss=5.5", "50"),
        ("[50/2,400] tokens: 26,214,400 loss: 5.5", "50"),
        ("- mmengine - INFO - Iter(train) [ 10/1000]  lr: 1.0e-04  loss: 2.3", "10"),
        ("- mmengine - INFO - Iter(val) [ 10/50]  loss: 2.3", None),
        ("Train Epoch: 0 [ 12800/256000 (5%)] Loss: 5.9", None),
        ("[0] [1] loss: 5.9", None),
        ("[3] step 7 loss: 5.9", None),
    ],
)
def test_a_number_alone_in_brackets_is_the_position_if_nothing_else_is(
    line: str, step: str | None
) -> None:
    assert parsed(1, line).values.get(FIRST) == step


def test_a_comma_behind_a_total_is_none_of_it() -> None:
    assert parsed(1, "Epoch 1/4, Step 50/1,250, Loss: 3.2").totals == {
        "epoch": "4",
        "step": "1,250",
    }


def test_several_validation_sets_of_megatron_are_splits(tmp_path: Path) -> None:
    log = tmp_path / "log.out"
    train = (
        " iteration {0}/ 20 | consumed samples: {0} | global batch size: 1 | lm loss: 5.0E+00 |"
        " number of nan iterations: 0 |\n"
    )
    values = {
        "on c4 validation set": "c4",
        "[wiki]": "wiki",
        "on validation set": "val",
        "on test set": "test",
        "on c4 test set": "test_c4",
    }
    log.write_text(
        train.format(10)
        + "".join(
            f" validation loss at iteration 10 {at} | lm loss value: {n}.5E+00 | lm loss PPL: 9 |\n"
            for n, at in enumerate(values)
        )
        + " validation loss at the end of training for val data | lm loss value: 9.0E+00 |\n"
    )
    rows = read_log(log).rows
    of_split = dict(zip(rows["split"][1:-1], rows["loss"][1:-1], strict=True))
    assert of_split == {split: n + 0.5 for n, split in enumerate(values.values())}
    assert rows["split"].iloc[-1] == "val"


def test_names_within_objects_of_json_lines_are_columns(tmp_path: Path) -> None:
    # as Levanter's JSON tracker writes them, with points and slashes in its names
    log = tmp_path / "a.jsonl"
    log.write_text(
        "".join(
            json.dumps({"event": "log", "step": step, "metrics": {"train/v1.5/loss": 5 - step}})
            + "\n"
            for step in (1, 2)
        )
    )
    columns = row_columns(columns_of(log, "jsonl"))
    assert columns == {"step": "step", "loss": "metrics.train/v1.5/loss"}
    assert read_log(log, columns).rows["loss"].tolist() == [4, 3]
    assert reach({"a.b": {"c": 1}, "a": {"d": 2}}, "a.b.c") == 1


@pytest.mark.parametrize(
    ("names", "tokens"),
    [
        # LitGPT's logger counts `tokens` on each device
        (["tokens", "total_tokens"], "total_tokens"),
        (["num_consumed_tokens", "tokens/en"], "num_consumed_tokens"),
        (["train/global_tokens"], "train/global_tokens"),
        (["tokens_per_step", "max_tokens", "tokens/en"], None),
    ],
)
def test_tokens_so_far_are_told_from_other_tokens(names: list[str], tokens: str | None) -> None:
    assert row_columns(names).get("tokens") == tokens
