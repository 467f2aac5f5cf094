"""Kinds of lines and names that trainers print and no format was made for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from flopline.clean.gathering import stop_at_mistakes
from flopline.clean.reasons import NO_STEP
from flopline.drafting.columns import row_columns
from flopline.drafting.survey import OF_RUNS, alike_left, columns_of, likest_row, survey
from flopline.drafting.writing import draft
from flopline.errors import FloplineError
from flopline.logs.key_values import FIRST, parsed, records
from flopline.logs.readers import read_log, sniffed
from flopline.logs.reading import reach
from flopline.numbers import size_in_words


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
        ("Epoch [1/3], Step [50/2400], Loss: 5.9", None),
    ],
)
def test_a_number_alone_in_brackets_is_the_position_if_nothing_else_is(
    line: str, step: str | None
) -> None:
    assert parsed(1, line).values.get(FIRST) == step


@pytest.mark.parametrize(
    ("line", "step", "total"),
    [
        ("Epoch [1/3], Step [50/2400], Loss: 5.9", "50", "2400"),
        ("Iter [50/2,400] lr 0.1 loss 5.9", None, None),
        ("Eval Batch [3/10] loss: 5.9", None, None),
        ("step=[50/2400] loss: 5.9", "50", "2400"),
    ],
)
def test_a_word_for_the_position_may_stand_before_brackets(
    line: str, step: str | None, total: str | None
) -> None:
    record = parsed(1, line)
    assert record.values.get("step") == step
    assert record.totals.get("step") == total
    if step is None:
        assert record.values.get("iter") == ("50" if "Iter" in line else None)


def test_bits_per_character_are_a_loss_whose_unit_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text("step,tokens,val_bpc\n1,100,5\n2,200,4\n")
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    assert "loss_unit: TODO" in made.study
    assert any(line.startswith("loss_unit: bits per what") for line in made.missing)


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


def test_a_row_for_each_value_of_a_metric_is_put_side_by_side(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text(
        "run_id,metric,step,timestamp,value\na,loss,1,7,5.0\na,loss,2,8,4.0\na,loss,2,9,3.9\nb,loss,1,7,6.0\n"
        "a,tokens,1,7,100\na,tokens,2,8,200\na,tokens,2,9,201\nb,tokens,1,7,\nb,loss\n"
    )
    assert sniffed(log) == "long_table"
    reading = read_log(log, {"loss": "loss", "tokens": "tokens"})
    rows = reading.rows[["run", "step", "tokens", "loss", "line"]].astype(object)
    assert rows.where(rows.notna(), None).to_numpy().tolist() == [
        ["a", 1, 100, 5.0, 2],
        ["a", 2, 200, 4.0, 3],
        ["a", 2, 201, 3.9, 4],
        ["b", 1, None, 6.0, 5],
    ]
    assert reading.dropped[["line", "reason"]].to_numpy().tolist() == [[10, "not_parsed"]]


@pytest.mark.parametrize("second_name", ["y", "x"])
def test_runs_of_a_long_table_are_told_by_names_only_if_these_are_of_one_id(
    tmp_path: Path, second_name: str
) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text(
        f"run.hash,run.name,metric.name,step,value\n1,x,loss,1,5\n2,{second_name},loss,1,4\n"
    )
    runs = read_log(log, {"loss": "loss"}).rows["run"].tolist()
    assert runs == (["x", "y"] if second_name == "y" else ["1", "2"])


def test_a_table_with_a_loss_of_its_own_is_no_long_table(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("key,step,value,loss\na,1,2,3\n")
    assert sniffed(log) == "csv"


def test_a_chart_over_time_is_refused(tmp_path: Path) -> None:
    chart = tmp_path / "chart.csv"
    chart.write_text('"Relative Time (Wall)","a - loss","a - loss__MIN","a - loss__MAX"\n7,5,5,5\n')
    with pytest.raises(FloplineError, match="x axis of the chart is 'Relative Time"):
        read_log(chart, {"loss": "loss"})


def test_a_draft_names_the_runs_within_a_log_and_leaves_losses_without_numbers(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "chart.csv").write_text(
        "Step,a - loss,a - loss__MIN,a - loss__MAX,b - loss,b - loss__MIN,b - loss__MAX\n"
        "1,5,5,5,4,4,4\n2,4,4,4,3,3,3\n"
    )
    made = draft(survey(folder, tmp_path), "s", {}, "config/studies/s.runs.csv", tmp_path)
    assert (made.run_table or "").splitlines()[1:] == ["a,,,", "b,,,"]
    (folder / "chart.csv").unlink()
    (folder / "a.log").write_text(
        "step=1 loss/en=5.0 loss/cn=nan\nstep=2 loss/en=4.0 loss/cn=nan\n"
    )
    made = draft(survey(folder, tmp_path), "s", {}, "config/studies/s.runs.csv", tmp_path)
    assert "cn:" not in made.study
    assert "loss/cn is NaN or infinite in every row and left out." in made.notes


def test_a_log_of_perplexities_alone_is_drafted_by_them(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = [f"| step {step} | lr 0.1 | ppl {20 - step} | valid ppl {21 - step}" for step in (1, 2)]
    (folder / "a.log").write_text("\n".join(lines) + "\n")
    made = draft(survey(folder, tmp_path), "s", {}, "config/studies/s.runs.csv", tmp_path)
    assert 'val: "valid ppl"' in made.study
    assert "valid ppl is in perplexity, as its name says." in made.notes


def refused(folder: Path) -> str:
    with pytest.raises(FloplineError) as refusal:
        draft(survey(folder, folder.parent), "s", {}, "runs.csv", folder.parent)
    return str(refusal.value)


def test_files_that_are_no_logs_for_one_reason_are_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for run in ("a", "b", "c"):
        (folder / f"run-{run}-tag-loss.csv").write_text("Wall time,Step,Value\n1,1,5\n2,2,4\n")
    sentence = refused(folder)
    assert sentence.count("TensorBoard's export of one metric: give the folder") == 1
    assert "(and 2 more like it)" in sentence


def test_the_manifest_of_a_snapshot_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "snap/logs").mkdir(parents=True)
    (tmp_path / "snap/fetched.json").write_text("{}")
    (tmp_path / "snap/logs/a.csv").write_text("step,loss\n1,5\n2,4\n")
    assert survey(tmp_path / "snap", tmp_path).left == []


def test_utf16_is_left_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a b.txt").write_text("step\tloss\n1\t5\n", encoding="utf-16")
    assert "iconv -f UTF-16 -t UTF-8" in refused(folder)
    (folder / "a.csv").write_text("step,val_loss\n1,5\n2,4\n")
    (left,) = survey(folder, tmp_path).left
    assert "iconv -f UTF-16 -t UTF-8" in left[1]


def test_the_line_most_like_a_row_is_one_with_a_loss(tmp_path: Path) -> None:
    log = tmp_path / "a.txt"
    log.write_text("x: a=1 b=2 c=3 d=4 e=5 f=6\nx: loss=3.0 rate=2 mfu=3\n")
    assert likest_row(log)[1] == ["loss", "rate", "mfu"]


def test_a_run_without_any_step_is_not_told_to_drop_its_rows() -> None:
    dropped = pd.DataFrame(
        {"run": ["a", "a"], "reason": [NO_STEP, NO_STEP], "source": ["x", "x"], "line": [1, 2]}
    )
    tallied = pd.DataFrame(
        {"run": ["a"], "rows_kept": [0], "not_finite": [None], "misread": [None]}
    )
    study: Any = {"cleaning": {"bad_rows": "fail"}, "exclude": []}
    with pytest.raises(FloplineError, match="no row of run 'a' has one: name the column"):
        stop_at_mistakes(dropped, tallied, study)


@pytest.mark.parametrize(
    ("size", "words"), [(1, "1 byte"), (950, "950 bytes"), (4_321, "4.3 kB"), (3.1e6, "3.1 MB")]
)
def test_sizes_are_told_in_units_that_leave_a_digit(size: float, words: str) -> None:
    assert size_in_words(int(size)) == words


def written(folder: Path, name: str, first: int, last: int, offset: float = 0.0) -> None:
    rows = [
        {"step": step, "tokens": step * 100, "loss": 6 - step / 1000 + offset}
        for step in range(first, last + 1, 50)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def drafted_runs(folder: Path) -> tuple[list[str], str]:
    made = draft(survey(folder, folder.parent), "s", {}, "s.runs.csv", folder.parent)
    return [row.split(",")[0] for row in (made.run_table or "").splitlines()[1:]], " ".join(
        made.notes
    )


def test_logs_that_go_on_under_another_job_number_are_pieces_of_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    written(folder, "1.3B_job48211", 50, 600)
    written(folder, "1.3B_job48288", 550, 900)
    written(folder, "1.3B_job48301", 950, 1200)
    written(folder, "125M_job48212", 50, 600, offset=1.0)
    runs, notes = drafted_runs(folder)
    assert runs == ["1.3B", "1.3B", "1.3B", "125M_job48212"]
    assert "are taken for pieces of one run, '1.3B'" in notes


@pytest.mark.parametrize("suffix", ["_resume", "-continued", "_restart2", "_resumed"])
def test_a_log_named_as_resumed_is_a_piece_of_the_run_of_its_name(
    tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "logs"
    for run in ("gpt_r0", "gpt_r1"):  # two runs that no loss tells apart
        written(folder, run, 50, 600)
        written(folder, f"{run}{suffix}", 550, 1000)
    assert drafted_runs(folder)[0] == ["gpt_r0", "gpt_r0", "gpt_r1", "gpt_r1"]


@pytest.mark.parametrize(
    ("name", "offset"),
    # another size, another loss, and two that go on from one, as branches of a trunk
    [("350M_job48288", 0.0), ("1.3B_job48288", 1.0), ("1.3B_job48288", 0.0)],
)
def test_logs_that_may_go_on_from_others_are_asked_about(
    tmp_path: Path, name: str, offset: float
) -> None:
    folder = tmp_path / "logs"
    written(folder, "1.3B_job48211", 50, 600)
    written(folder, name, 550, 1200, offset)
    if not offset and name.startswith("1.3B"):
        written(folder, "1.3B_job48289", 600, 1300)
        runs, notes = drafted_runs(folder)
        assert runs == ["1.3B", "1.3B", "1.3B_job48289"]
        name = "1.3B_job48289"
    else:
        runs, notes = drafted_runs(folder)
        assert runs == sorted(["1.3B_job48211", name])
    assert f"{name}.jsonl begins at" in notes
    assert "under one run" in notes


@pytest.mark.parametrize(("power", "unit"), [(math.e, None), (2, "bits_per_token"), (3, None)])
def test_the_unit_of_a_loss_is_told_by_the_perplexity_beside_it(
    tmp_path: Path, power: float, unit: str | None
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    rows = [
        {"step": n, "loss": 5 - n, "ppl": power ** (5 - n), "val_loss": 5.0 - n} for n in (1, 2)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    source = yaml.safe_load(made.study)["source"]
    assert source.get("loss_unit") == ({"train": unit} if unit else None)


def test_losses_that_a_known_trainer_does_not_print_are_named_in_a_draft(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    line = "iteration: {0} / 9 | consumed_tokens: {0}K | lm_loss: 5.0 | c4_eval_loss: 5.1\n"
    (folder / "a.log").write_text("".join(line.format(n) for n in (1, 2)))
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    assert any("losses that are not read so: c4_eval_loss; if one" in note for note in made.notes)


def test_evaluations_of_metaseq_are_splits_in_bits(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    lines = [
        '03-01 | INFO | train_inner | {"loss": "8.0", "ppl": "256", "num_updates": "50"}',
        '03-01 | INFO | valid | {"valid/Books_loss": "7.0", "valid/num_updates": "50"}',
    ]
    log.write_text("\n".join(lines) + "\n")
    reading = read_log(log)
    assert reading.rows[["split", "step", "loss"]].to_numpy().tolist() == [
        ["train", 50, 8.0],
        ["Books", 50, 7.0],
    ]
    assert reading.facts.units[""] == "bits_per_token"


@pytest.mark.parametrize(
    ("text", "format_name"),
    [
        ("step\tval loss\n1\t5,5\n", "tsv"),
        ("step,val_loss,note\n1,5.5,\n", "csv"),
        ("step,val_loss\n1,see below\n", None),
        ("1,2\n3,4\n", None),
        ("Of step, loss\nand more\n", None),
    ],
)
def test_a_table_is_told_by_its_first_lines_whatever_it_is_called(
    tmp_path: Path, text: str, format_name: str | None
) -> None:
    log = tmp_path / "a.txt"
    log.write_text(text)
    if format_name is None:
        with pytest.raises(FloplineError, match="no known log format"):
            sniffed(log)
    else:
        assert sniffed(log) == format_name


def test_decimal_commas_are_told_by_the_losses(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    # read with decimal points, 26,214 million tokens would be a thousand times as many
    (folder / "a.txt").write_text("step\ttokens (M)\tloss\n1\t26,214\t5,94\n2\t52,428\t5,33\n")
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    source = yaml.safe_load(made.study)["source"]
    assert source["decimal"] == ","
    rows = read_log(folder / "a.txt", source["columns"], "tsv", decimal=",").rows
    assert rows["tokens"].tolist() == pytest.approx([26.214e6, 52.428e6])
    assert rows["loss"].tolist() == [5.94, 5.33]


@pytest.mark.parametrize(
    ("names", "loss"),
    [
        (["loss_mean", "loss_max", "loss_std"], "loss_mean"),
        (["loss", "loss_median", "loss_diff", "loss_stderr"], "loss"),
        # of training the loss of a step is the plain one, of an evaluation that of all its batches
        (
            ["loss_step", "loss_epoch", "val_loss_epoch", "val_loss_step"],
            {"train": "loss_step", "val": "val_loss_epoch"},
        ),
        (["loss (EMA)", "loss (raw)"], "loss (raw)"),
    ],
)
def test_the_plain_loss_is_told_from_what_is_made_of_it(names: list[str], loss: Any) -> None:
    assert row_columns(["step", *names])["loss"] == loss


def test_a_smoothed_loss_that_is_the_only_one_is_named_in_a_draft(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text("step,train_loss_ema\n1,5\n2,4\n")
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    sentence = "train_loss_ema seems to be derived from others, and no plain loss of its split"
    assert any(sentence in note for note in made.notes)


@pytest.mark.parametrize(
    ("names", "step"),
    [
        (["_step", "optim/step", "loss"], "optim/step"),
        (["_step", "iteration", "loss"], "iteration"),
        (["_step", "loss"], "_step"),
    ],
)
def test_the_counter_of_a_tracker_is_the_last_choice_for_the_step(
    names: list[str], step: str
) -> None:
    assert row_columns(names)["step"] == step


def test_a_step_that_a_tracker_counts_is_named_where_tokens_follow_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text("_step,loss\n1,5\n2,4\n")
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    assert any("_step counts what was logged by the tracker" in note for note in made.notes)


def test_the_number_of_a_process_in_brackets_is_no_step(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text("".join(f"[0] loss: {9 - n} | tokens: {n}00\n" for n in range(5)))
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    assert "step:" not in made.study


def test_a_table_that_begins_with_a_comment_is_left_with_the_mend(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text("# model=x\nstep,loss\n1,5\n")
    assert "take the lines that begin with # out of it, as by grep -v '^#'" in refused(folder)


def without_bar(every: int, steps: int, upto: int, digits: int = 2) -> str:
    """What Hugging Face's Trainer prints without its progress bar, of one epoch."""

    def row(step: int, loss: str) -> str:
        epoch = round(step / steps, digits)
        return f"{{'{loss}': {9 - step / steps}, 'learning_rate': 1e-4, 'epoch': {epoch}}}\n"

    at = range(every, upto + 1, every)
    rows = "".join(row(step, "loss") + row(step, "eval_loss") * (step % 1000 == 0) for step in at)
    ends = "" if upto < steps or steps % 1000 == 0 else row(steps, "eval_loss")
    begin = f"***** Running *****\n  Num Epochs = 1\n  Total optimization steps = {steps:,}\n"
    return begin + rows + ends


@pytest.mark.parametrize(("every", "steps", "digits"), [(100, 3000, 2), (100, 3_137, 4)])
def test_steps_follow_from_the_epochs_of_a_finished_run(
    tmp_path: Path, every: int, steps: int, digits: int
) -> None:
    log = tmp_path / "a.log"
    log.write_text(without_bar(every, steps, steps, digits))
    rows = read_log(log).rows
    assert rows["step"][rows["split"] == "train"].tolist() == [*range(every, steps + 1, every)]
    ends = [1000, 2000, 3000, steps]
    assert rows["step"][rows["split"] == "val"].tolist() == sorted(set(ends))


@pytest.mark.parametrize(
    ("every", "steps", "upto"), [(100, 3000, 2000), (1000, 100_000, 100_000), (900, 3000, 3000)]
)
def test_epochs_that_leave_the_steps_open_place_no_row(
    tmp_path: Path, every: int, steps: int, upto: int
) -> None:
    # unfinished; 999 or 1,000 steps between rows; a last row that is not the end
    log = tmp_path / "a.log"
    log.write_text(without_bar(every, steps, upto))
    assert read_log(log).rows["step"].isna().all()


def test_a_draft_says_how_epochs_without_steps_are_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text(without_bar(100, 3000, 2000))
    made = draft(survey(tmp_path / "logs", tmp_path), "s", {}, "s.runs.csv", tmp_path)
    (mend,) = [sentence for sentence in made.missing if sentence.startswith("step: ")]
    assert "`format: lines`" in mend
    assert "`tokens: {column: epoch, times: TOKENS_OF_AN_EPOCH}`" in mend
    columns: Any = {"tokens": {"column": "epoch", "times": 1e9}, "loss": {"train": "loss"}}
    rows = read_log(tmp_path / "logs/a.log", columns, "lines").rows
    assert rows["tokens"].iloc[0] == pytest.approx(0.03 * 1e9)


def test_a_perplexity_of_evaluation_is_its_loss_where_no_other_is(tmp_path: Path) -> None:
    # as OpenNMT-py prints them
    (tmp_path / "logs").mkdir()
    head = "[2024-03-01 10:00:00,123 INFO] "
    (tmp_path / "logs/a.out").write_text(
        "".join(
            f"{head}Step {step}/ 3000; acc: 31.00; ppl: 20.09; xent: {4 - step / 1000}; lr: 0.1;\n"
            + f"{head}Train perplexity: 21.5\n{head}Validation perplexity: {9000 / step}\n"
            * (step % 1000 == 0)
            for step in range(200, 3001, 200)
        )
    )
    made = draft(survey(tmp_path / "logs", tmp_path), "s", {}, "s.runs.csv", tmp_path)
    source = yaml.safe_load(made.study)["source"]
    assert source["columns"]["loss"] == {"train": "xent", "val": "Validation perplexity"}
    assert "loss_split: val" in made.study
    rows = read_log(tmp_path / "logs/a.out", source["columns"], "lines").rows
    val = rows[rows["split"] == "val"]
    assert val["step"].tolist() == [1000, 2000, 3000]
    assert val["loss"].tolist() == [9, 4.5, 3]
    assert rows["loss"][rows["split"] == "train"].iloc[0] == pytest.approx(3.8)


def test_the_step_is_one_that_moves_with_the_losses(tmp_path: Path) -> None:
    # as Estimators of TensorFlow print them
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text(
        "".join(
            f"INFO:tensorflow:loss = {9 - step / 1000}, step = {step} (12.1 sec)\n"
            + f"INFO:tensorflow:Saving dict for global step {step}: accuracy = 0.4, "
            f"global_step = {step}, loss = {9.1 - step / 1000}\n" * (step % 1000 == 0)
            for step in range(200, 3001, 200)
        )
    )
    made = draft(survey(tmp_path / "logs", tmp_path), "s", {}, "s.runs.csv", tmp_path)
    assert yaml.safe_load(made.study)["source"]["columns"]["step"] == "step"
    assert "step: step was chosen; global_step could be it, too." in made.notes


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rows_may_be_counted_where_epochs_begin_with_nought(tmp_path: Path, ending: str) -> None:
    # as Keras' CSVLogger writes them: read by the epoch, the last row lacks an epoch of tokens
    folder = tmp_path / "logs"
    folder.mkdir()
    rows = [{"epoch": epoch, "loss": 5.0 - epoch, "val_loss": 5.5 - epoch} for epoch in range(3)]
    table = pd.DataFrame(rows)
    path = folder / f"a.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    assert "which count from 0, place counts rows from 1" in " ".join(made.missing)
    columns = {"tokens": {"column": "place", "times": 1e6}, "loss": "val_loss"}
    assert read_log(path, columns).rows["tokens"].tolist() == [1e6, 2e6, 3e6]


def test_a_batch_that_grows_is_told_since_tokens_do_not_follow_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for batches in ((8, 8, 16), (8, 8, 8)):
        rows = [f"{step},{batch},{5 - step}" for step, batch in enumerate(batches, start=1)]
        (folder / "a.csv").write_text("\n".join(["step,global_batch_size,val_loss", *rows, ""]))
        made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
        told = "('global_batch_size' is 8 and 16)" in " ".join(made.notes)
        assert told == (len(set(batches)) > 1)


def test_the_point_of_a_sentence_is_no_digit() -> None:
    # as minGPT prints it
    values = parsed(1, "epoch 1 iter 120: train loss 5.12345. lr 6.000000e-04").values
    assert values["train loss"] == "5.12345"


def test_pictures_in_names_are_written_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    line = "\U0001f680 Step {0} | \U0001f4c9 Loss: {1} | \U0001f3af Tokens: {0}00\n"
    (folder / "a.log").write_text("".join(line.format(n, 6 - n) for n in (1, 2)), encoding="utf-8")
    made = draft(survey(folder, tmp_path), "s", {}, "s.runs.csv", tmp_path)
    columns = yaml.safe_load(made.study)["source"]["columns"]
    assert read_log(folder / "a.log", columns).rows["tokens"].tolist() == [100, 200]


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("tflops", None),
        ("perf/TFLOPs", None),
        ("throughput/flops", None),
        ("timing/compute", None),
        ("flops", "flops"),
        ("train_flops", "train_flops"),
        ("throughput/total_training_Gflops",
         {"column": "throughput/total_training_Gflops", "times": 1e9}),
    ],
)  # fmt: skip
def test_the_speed_of_a_step_is_no_compute_so_far(name: str, flops: object) -> None:
    assert row_columns(["step", "loss", name]).get("flops") == flops


ATTEMPTS = (range(50, 550, 50), range(100, 1100, 100))


@pytest.mark.parametrize("ending", ["jsonl", "log"])
@pytest.mark.parametrize(("ours", "key"), [("params", "n_params"), ("horizon_steps", "max_steps")])
def test_several_runs_in_one_log_are_asked_about(
    tmp_path: Path, ending: str, ours: str, key: str
) -> None:
    lines = []
    for number, steps in enumerate(ATTEMPTS, 1):
        rows = [{"step": step, "tokens": step * 4096, "loss": 9 - step / 200} for step in steps]
        for row in [{key: number * 12_345_678}, *rows]:
            pairs = " ".join(f"{name}: {value}" for name, value in row.items())
            lines.append(json.dumps(row) if ending == "jsonl" else pairs)
    (tmp_path / "logs").mkdir()
    (tmp_path / f"logs/a.{ending}").write_text("\n".join(lines))
    made = draft(survey(tmp_path / "logs", tmp_path), "s", {}, "s.csv", tmp_path)
    assert yaml.safe_load(made.study)["source"]["runs"]["from_log"][ours] == "TODO"
    asked = next(line for line in made.missing if line.startswith(ours))
    assert f"'{key}' is 12345678 and 24691356 in logs/a.{ending}" in asked


@pytest.mark.parametrize(("begin", "is_noted"), [(50, True), (450, False)])
def test_a_log_that_begins_again_may_hold_several_runs(
    tmp_path: Path, begin: int, is_noted: bool
) -> None:
    steps = [*range(50, 550, 50), *range(begin, 1050, 50)]
    rows = "".join(f"{step},{step * 4096},{9 - step / 200}\n" for step in steps)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.csv").write_text("step,tokens,loss\n" + rows)
    made = draft(survey(tmp_path / "logs", tmp_path), "s", {}, "s.csv", tmp_path)
    assert ("a.csv begins again" in " ".join(made.notes)) == is_noted


@pytest.mark.parametrize(
    ("name", "content", "mend"),
    [
        ("a.jsonl", b"{}\n{}\n", "it holds no names and no values"),
        ("a.npy", b"\x93NUMPY\x01\x00\x00\xff" + bytes(99), "save what it holds as CSV"),
        ("a.md", b"| run | val_loss |\n|---|:--:|\n| a | 3.1 |\n", "table of Markdown: save it"),
        ("a.csv", b"Lauf,Parameter,Verlust\na,1e8,3\nb,2e8,2\n", "rename its columns in its"),
        ("a.csv", b"Sweep 2024\nrun,params,val_loss\na,1e8,3\nb,2e8,2\n", "is a title and no"),
        ("a.csv", b"100,262144,7.2\n200,524288,6.1\n", "numbers and no names: write"),
        ("a.tsv", b"# n: 1\nstep\tval_loss\n1\t5\n2\t4\n", "a.tsv > uncommented/a.tsv"),
        ("a.csv", b"run,params,tokens,loglik\na,1e8,1e9,-3\nb,2e8,1e9,-2\n", "turn its sign"),
        ("a.log", b"x | {'samples': 256, 'loss': 7.2, 'mfu': 0.5}\n", "write a study file with"),
        ("a.txt", b"nothing of interest\n", "describe the lines of a text log in source.pattern"),
    ],
)  # fmt: skip
def test_a_folder_without_logs_ends_with_one_mend_that_fits(
    tmp_path: Path, name: str, content: bytes, mend: str
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / name).write_bytes(content)
    found = survey(folder, tmp_path)
    with pytest.raises(FloplineError, match=mend) as refusal:
        draft(found, "x", {}, "x.csv", tmp_path)
    assert ("source.pattern" in str(refusal.value)) == (name == "a.txt")


def test_files_left_for_one_reason_are_told_once(tmp_path: Path) -> None:
    for run in range(8):
        text = "".join(
            f"{step},{step * 262144},{9 - run / 9 - step / 900}\n" for step in (100, 200)
        )
        (tmp_path / f"run{run}.csv").write_text(text)
    (line,) = alike_left(survey(tmp_path, tmp_path).left)
    assert line.endswith("(and 7 more like it)")


@pytest.mark.parametrize(("split", "placed"), [("final_val_loss", True), ("loss", False)])
def test_a_loss_of_the_whole_run_stands_with_its_last_row(
    tmp_path: Path, split: str, placed: bool
) -> None:
    rows = [{"step": s, "tokens": s * 4096, "loss": 9 - s / 100} for s in (100, 200, 300)]
    log = tmp_path / "a.jsonl"
    log.write_text("\n".join(map(json.dumps, [*rows, {split: 5.5, "n_params": 7}])))
    columns: Any = {"step": "step", "tokens": "tokens", "loss": {"train": "loss", "val": split}}
    if not placed:  # one more row of a loss that is logged step by step may be a mean of all
        columns["loss"] = "loss"
    last = read_log(log, columns).rows.iloc[-1]
    assert last["loss"] == 5.5
    assert (last["step"] == 300 and last["tokens"] == 300 * 4096) == placed


def test_a_file_with_the_facts_of_a_run_is_not_told_as_an_unknown_log(tmp_path: Path) -> None:
    run = tmp_path / "exp0"
    run.mkdir()
    (run / "config.yaml").write_text("model:\n  n_params: 12345678\n")
    (run / "log.csv").write_text("step,val_loss\n1,5\n2,4\n")
    assert [reason for _, reason in survey(tmp_path, tmp_path).left] == [OF_RUNS]
