"""Public kinds of logs in the folder of cases, where it is there: the rows that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flopline.drafting.survey import survey
from flopline.logs.readers import read_log, sniffed

T, V = "train", "val"

LAST: dict[str, tuple[str, dict[str, list[tuple[float, float]]]]] = {
    "build_nanogpt_log.txt": ("trainer", {
        T: [(0, 10.89043), (1, 10.881298), (2, 10.865767), (250, 6.498172), (19072, 3.567126)],
        V: [(0, 10.8906), (250, 6.5193), (19072, 3.5576)],
    }),
    "build_nanogpt_stdout.out": ("trainer", {
        T: [(0, 10.89043), (1, 10.881298), (249, 6.466522), (250, 6.498172), (19072, 3.567126)],
        V: [(0, 10.8906), (250, 6.5193), (19072, 3.5576)],
    }),
    "fairseq_json_after_prefix.log": ("trainer", {
        T: [(1, 16.475), (10, 17.903)], V: [(10, 17.953)],
    }),
    "hf_trainer_stdout.log": ("trainer", {
        T: [(5, 2.2818), (10, 2.2647), (15, 2.3045)], V: [(15, 2.3011)],
    }),
    "json_config_then_megatron.out": ("megatron", {T: [(10, 9.1), (20, 8.1)]}),
    "megatron_lm_hyphen_loss.out": ("megatron", {
        T: [(1, 12.44238), (2, 12.44502), (3, 41.03157), (48, 7.790527), (49, 7.747273)],
    }),
    "nanotron_suffixes.log": ("trainer", {T: [(1, 11.2), (91, 9.2), (191, 9.18)]}),
    "nemo2_stdout.log": ("trainer", {
        T: [(0, 11.03), (1, 11.01), (28, 2.778), (29, 2.782)], V: [(28, 2.861), (29, 2.861)],
    }),
    "olmo_multiline.log": ("trainer", {T: [(1, 11.25), (2, 10.73), (8, 9.381), (10, 9.331)]}),
    "parameter_golf.txt": ("modded_nanogpt", {
        T: [(1, 6.932), (2, 6.8646), (19000, 1.9853)],
        V: [(0, 6.9319), (1000, 2.3261), (2000, 2.2367), (19000, 2.063), (19074, 2.0619)],
    }),
    "carriage_returns.log": ("trainer", {
        T: [(0, 9.0), (50, 8.5), (100, 8.0), (150, 7.5), (200, 7.0), (250, 6.5)],
        V: [(300, 1.234567)],
    }),
}  # fmt: skip

FACTS = {
    "build_nanogpt_stdout.out": {"batch_tokens": 524_288, "params_total": 30_357_504},
    "hf_trainer_stdout.log": {"horizon_steps": 17_000},
    "nanotron_suffixes.log": {"horizon_steps": 200},
    "olmo_multiline.log": {"horizon_steps": 739_328},
    "parameter_golf.txt": {
        "params_total": 23_146_944, "batch_tokens": 524_288, "horizon_steps": 19_074,
    },
    "megatron_lm_hyphen_loss.out": {"horizon_tokens": 838_860_800},
    "carriage_returns.log": {"params_total": 50.3e6, "horizon_tokens": 154.7e6},
}  # fmt: skip


@pytest.fixture
def cases(real_data: Path) -> Path:
    """The folder of cases, beside the data."""
    folder = real_data.parent / "cases/logs"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.mark.parametrize("name", LAST)
def test_rows_are_those_that_are_right(cases: Path, name: str) -> None:
    format_name, splits = LAST[name]
    assert sniffed(cases / name) == format_name
    read = read_log(cases / name)
    for split, expected in splits.items():
        of_split = read.rows[read.rows["split"] == split]
        points = list(zip(of_split["step"], of_split["loss"], strict=True))
        assert points == expected
    assert len(read.rows) == sum(map(len, splits.values()))
    known = read.facts.known.get("", {})
    assert {name: known[name] for name in FACTS.get(name, {})} == FACTS.get(name, {})


def test_the_base_phase_of_nanochat_is_read_by_itself(cases: Path) -> None:
    read = read_log(cases / "nanochat_three_phases.log", phase={"to": "^midtraining"})
    val = read.rows[read.rows["split"] == V]
    train = read.rows[read.rows["split"] == T]
    assert list(zip(val["step"], val["loss"], strict=True)) == [
        (0, 3.3013), (250, 1.2016), (21_400, 0.8118),
    ]  # fmt: skip
    assert list(zip(train["step"], train["loss"], strict=True)) == [
        (0, 11.090355), (1, 10.808654), (4354, 3.036728), (21_399, 2.719005),
    ]  # fmt: skip
    known = read.facts.known[""]
    assert (known["params_total"], known["batch_tokens"]) == (560_988_160, 524_288)
    assert known["horizon_steps"] == 21_400


@pytest.mark.parametrize(
    ("name", "format_name", "loss"),
    [
        ("lightning_metrics.csv", "csv", {T: "train_loss_step", V: "val_loss"}),
        ("llamafactory_trainer_log.jsonl", "jsonl", "loss"),
        ("rows_with_thousands_commas.log", "lines", "loss"),
        ("tb_keras_splits", "tensorboard", {T: "train/epoch_loss", V: "validation/epoch_loss"}),
        ("tb_loss_slash_train", "tensorboard", {T: "Loss/train", "test": "Loss/test"}),
    ],
)
def test_drafts_find_the_losses(
    cases: Path, tmp_path: Path, name: str, format_name: str, loss: Any
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / name).symlink_to(cases / name)
    folder = cases / name if (cases / name).is_dir() else tmp_path / "here"
    (group,) = survey(folder, tmp_path).groups
    assert (group.format, (group.columns or {})["loss"]) == (format_name, loss)


def test_a_job_script_that_quotes_a_line_is_no_log(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "job.slurm").symlink_to(cases / "slurm_script_with_example.slurm")
    surveyed = survey(tmp_path, tmp_path)
    assert not surveyed.groups
    assert "quotes rows" in surveyed.left[0][1]


def test_a_table_with_names_of_nanochat_is_a_table(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "results.csv").symlink_to(cases / "nanochat_results.csv")
    (table,) = survey(tmp_path, tmp_path).tables
    assert table.holds_losses
    assert table.columns["params_total"] == "params_total"
    assert table.columns["budget_flops"] == "flops_budget"
