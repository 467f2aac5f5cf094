"""Cleaning: what is dropped, what is set aside, and that no row is ever lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopline.clean import REASONS, clean
from flopline.clean.cleaning_notes import counting_gap, set_aside
from flopline.errors import FloplineError
from flopline.ingesting import Ingested
from flopline.schema import CURVES, DROPPED, RUNS, conform
from tests.builders.raw_rows import cleaned, raw, steps, study


def test_tables_follow_the_schema() -> None:
    result = cleaned(steps(1, 2, 3))
    assert {c: str(t) for c, t in result.runs.dtypes.items()} == RUNS
    assert {c: str(t) for c, t in result.curves.dtypes.items()} == CURVES
    assert {c: str(t) for c, t in result.dropped.dtypes.items()} == DROPPED
    run = result.runs.iloc[0]
    assert (run["tokens"], run["flops"], run["status"]) == (300.0, 6 * 1000 * 300.0, "kept")
    assert run["loss"] == pytest.approx(2 + 1 / 3)


def test_restart_purges_what_was_logged_before_it() -> None:
    result = cleaned(steps(1, 2, 3, 4, 3, 4, 5))
    assert result.curves["step"].tolist() == [1, 2, 3, 4, 5]
    assert result.curves["line"].tolist() == [1, 2, 5, 6, 7]
    assert result.curves["segment"].tolist() == [0, 0, 1, 1, 1]
    assert result.dropped[["line", "reason"]].to_numpy().tolist() == [
        [3, "superseded_by_restart"],
        [4, "superseded_by_restart"],
    ]


def test_two_restarts_the_second_from_further_back() -> None:
    sound = [{**row, "run": "b"} for row in steps(1, 2)]
    result = cleaned([*steps(1, 2, 3, 4, 3, 4, 5, 2, 3), *sound])
    assert result.curves["line"].tolist() == [1, 8, 9, 10, 11]
    run = result.runs.set_index("run").loc["a"]
    assert run["status"] == "quarantined"
    assert (
        "stands at step 3, before step 5, which it had logged too (x.jsonl, line 7)"
        in run["reason"]
    )


def test_splits_restart_each_on_its_own() -> None:
    rows = [
        {"step": 2, "loss": 3.0, "split": "train"},
        {"step": 1, "loss": 3.1, "split": "val"},
        {"step": 3, "loss": 2.9, "split": "train"},
        {"step": 2, "loss": 2.8, "split": "val"},
    ]
    result = cleaned(rows)
    assert len(result.curves) == 4
    assert (result.curves["segment"] == 0).all()


def test_duplicate_step_keeps_the_first() -> None:
    result = cleaned(steps(1, 2, 2, 3))
    assert result.curves["line"].tolist() == [1, 2, 4]
    assert result.dropped["reason"].tolist() == ["duplicate_step"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"step": 2, "loss": np.nan}, "loss_not_finite"),
        ({"step": 2, "loss": np.inf}, "loss_not_finite"),
        ({"step": 2, "loss": -1.0}, "loss_not_positive"),
        ({"step": 2, "loss": 0.0}, "loss_not_positive"),
        ({"step": np.nan, "tokens": 200.0, "loss": 2.0}, "no_step"),
    ],
)
def test_bad_rows_are_dropped_or_stop_the_run(row: dict[str, Any], reason: str) -> None:
    rows = [{"step": 1, "loss": 3.0, "tokens": 100.0}, {"tokens": 200.0, **row}]
    rows += [{"step": 3, "loss": 2.0, "tokens": 300.0}]
    result = cleaned(rows)
    assert result.dropped[["line", "reason"]].to_numpy().tolist() == [[2, reason]]
    with pytest.raises(FloplineError, match=r"x\.jsonl, line 2: .*bad_rows: drop"):
        cleaned(rows, cleaning={"bad_rows": "error"})


def test_bad_rows_of_an_excluded_run_do_not_stop() -> None:
    rows = [*steps(1, 2), {"step": 1, "loss": np.nan, "run": "b"}]
    rule = {"runs": ["b"], "reason": "known to be broken"}
    result = cleaned(rows, cleaning={"bad_rows": "error"}, exclude=[rule])
    assert result.runs.set_index("run").loc["b", "reason"] == (
        "Excluded in the study file: known to be broken"
    )


def test_runs_held_out_are_sound_and_apart() -> None:
    rows = [{**row, "run": run} for run in "abc" for row in steps(8, 9, 10)]
    ingested, table = raw(rows, horizon_tokens=[1000.0, 1000.0, 9000.0])
    table.loc[1, "params"] = 5000.0
    rules = [{"column": "params", "above": 4000.0}, {"runs": ["c"]}]
    runs = clean(ingested, table, study(held_out=rules)).runs
    # A run that is unfinished is set aside, whoever names it.
    assert runs["status"].tolist() == ["kept", "held_out", "quarantined"]
    assert runs["reason"][1] == "Held out in the study file: no fit sees it."
    assert (runs["rows_in"] == runs["rows_kept"]).all()
    with pytest.raises(FloplineError, match=r"held_out: the study file names run 'nobody'"):
        clean(ingested, table, study(held_out=[{"runs": ["nobody"]}]))
    with pytest.raises(FloplineError, match=r"none of the 3 runs can be used"):
        clean(ingested, table, study(held_out=[{"runs": ["a", "b", "c"]}]))


def test_a_run_without_any_step_goes_by_its_tokens() -> None:
    def row(tokens: float, **more: Any) -> dict[str, Any]:
        return {"step": np.nan, "tokens": tokens, "loss": 3.0 - tokens / 1e4, **more}

    tokens = [row(100.0), row(200.0), row(300.0)]
    mixed = [{**r, "run": "b"} for r in steps(1, 2)] + [row(300.0, run="b")]
    nothing = [row(np.nan, run="c", loss=2.0)]
    ingested, table = raw([*tokens, *mixed, *nothing])
    ingested.curves.loc[ingested.curves["run"] == "b", "tokens"] = [100.0, 200.0, 300.0]
    result = clean(ingested, table, study())
    kept = result.runs.set_index("run")
    assert kept["rows_kept"].to_dict() == {"a": 3, "b": 2, "c": 0}
    assert kept.loc["a", "tokens"] == 300.0
    assert result.dropped["reason"].tolist() == ["no_step", "no_step"]


QUARANTINES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"params": np.inf}, {}, "params are not a positive number"),
    ({"params": 0.0}, {}, "params are not a positive number"),
    ({"family": "oak"}, {}, "family 'oak' is not listed"),
    ({"horizon_tokens": 1000.0}, {}, "unfinished: its last val loss stands at 40.0 %"),
    ({}, {"loss_split": "test"}, "no loss of the split 'test'"),
    ({}, {"exclude": [{"column": "tokens_per_param", "below": 1, "reason": "short"}]}, "short"),
    ({}, {"flops_convention": "per_token"}, "FLOPs are unknown"),
]


@pytest.mark.parametrize(("facts", "changes", "words"), QUARANTINES)
def test_bad_runs_are_set_aside_with_a_sentence(
    facts: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    good = [{**row, "run": "good"} for row in steps(8, 9, 10)]
    ingested, table = raw([*steps(1, 2, 3, 4), *good])
    table["flops_per_token"] = 6000.0
    for name, value in facts.items():
        table[name] = table.get(name, np.nan)
        table.loc[table["run"] == "a", name] = value
    if changes.get("flops_convention") == "per_token":
        table.loc[table["run"] == "a", "flops_per_token"] = np.nan
    if "loss_split" in changes:
        ingested.curves.loc[ingested.curves["run"] == "good", "split"] = "test"
    result = clean(ingested, table, study(**changes)).runs.set_index("run")
    assert result.loc["good", "status"] == "kept"
    assert result.loc["a", "status"] == "quarantined"
    assert words in result.loc["a", "reason"]


def test_diverged_run_is_set_aside() -> None:
    rows = [{"step": s, "loss": x} for s, x in [(1, 5.0), (2, 3.0), (3, 6.9)]]
    good = [{**row, "run": "good"} for row in steps(1, 2)]
    run = cleaned([*rows, *good]).runs.set_index("run").loc["a"]
    assert "diverged: its final loss 6.9 is far above its own lowest, 3.0" in run["reason"]


def test_run_table_row_without_a_log_and_log_without_a_row() -> None:
    ingested, table = raw([*steps(1, 2), {"step": 1, "loss": 2.0, "run": "b"}])
    ghost = pd.DataFrame({"run": ["c"], "family": ["ash"], "params": [10.0]})
    table = pd.concat([table[table["run"] != "b"], ghost])
    result = clean(ingested, table, study()).runs.set_index("run")
    assert "no log holds a row" in result.loc["c", "reason"]
    assert "run table has no row for it" in result.loc["b", "reason"]
    assert result.loc["c", "rows_in"] == 0


def test_tokens_follow_from_the_batch() -> None:
    ingested, table = raw(steps(1, 2))
    ingested.curves["tokens"] = np.nan
    table["batch_tokens"] = 512.0
    result = clean(ingested, table, study())
    assert result.curves["tokens"].tolist() == [512.0, 1024.0]
    assert result.notes == ("tokens are step times the run's batch in tokens",)


def test_final_loss_may_be_averaged_over_the_end() -> None:
    rows = [{"step": s, "loss": x} for s, x in [(90, 9.0), (96, 2.0), (100, 3.0)]]
    result = cleaned(rows, cleaning={"final_window": 0.05, "diverged": 10})
    assert result.runs["loss"].tolist() == [2.5]


def test_no_run_left_is_an_error() -> None:
    with pytest.raises(FloplineError, match=r"toy\.yaml: none of the 1 runs can be used.*oak"):
        cleaned(steps(1, 2), facts={"family": "oak"})


def curve(*loss: float, **columns: Any) -> list[dict[str, Any]]:
    """A row per loss at steps 1, 2, ...; more columns as lists."""
    rows = [{"step": s, "loss": x} for s, x in enumerate(loss, start=1)]
    for name, values in columns.items():
        rows = [{**row, name: value} for row, value in zip(rows, values, strict=True)]
    return rows


def test_clock_that_resets_is_noted_and_kept() -> None:
    result = cleaned(curve(3.0, 2.9, 2.8, wall_s=[10.0, 20.0, 1.0]))
    assert result.curves["wall_s"].tolist() == [10.0, 20.0, 1.0]
    assert [note for note in result.notes if "wall_s" in note] == [
        "in 1 run the clock (wall_s) goes back, as after a restart, first at x.jsonl, line 3; it "
        "is kept as logged"
    ]


def test_tokens_that_go_down_set_the_run_aside() -> None:
    good = [{**row, "run": "good", "tokens": row["step"]} for row in steps(1, 2)]
    runs = cleaned([*curve(3.0, 2.9, 2.8, tokens=[1e9, 2e9, 5e8]), *good]).runs.set_index("run")
    assert runs.loc["a", "status"] == "quarantined"
    assert "tokens go down, from 2B to 500M at x.jsonl, line 3" in runs.loc["a", "reason"]


def test_negative_learning_rate_is_noted_and_kept() -> None:
    result = cleaned(curve(3.0, 2.9, lr=[1e-3, -1e-19]))
    assert result.curves["lr"].tolist() == [1e-3, -1e-19]
    assert any("learning rate is negative" in n and "line 2" in n for n in result.notes)


def test_counts_beyond_64_bits_are_floats_with_a_note() -> None:
    result = cleaned(curve(3.0, 2.9, tokens=[1e18, 2.0**64]))
    assert result.runs["tokens"].tolist() == [2.0**64]
    assert any("2^63 or more" in n and "line 2" in n for n in result.notes)
    too_far = cleaned([*curve(3.0, 2.9), {"step": 2.0**64, "loss": 2.8}])
    assert too_far.dropped[["line", "reason"]].to_numpy().tolist() == [[3, "no_step"]]


def test_steps_that_are_no_whole_numbers_are_dropped() -> None:
    rows = [*curve(3.0, 2.9), {"step": 2.5, "loss": 2.8}]
    assert cleaned(rows).dropped["reason"].tolist() == ["no_step"]


def test_spike_is_counted_or_dropped_by_the_stated_rule() -> None:
    rng = np.random.default_rng(1)
    loss = (2 + 5 / np.sqrt(np.arange(1, 201))) * np.exp(0.002 * rng.standard_normal(200))
    loss[120] *= 1.05
    kept = cleaned(curve(*loss))
    assert kept.runs["spikes"].tolist() == [1]
    assert len(kept.curves) == 200
    assert any("1 row in 1 run" in n and "more than 8 robust" in n for n in kept.notes)
    dropped = cleaned(curve(*loss), cleaning={"spikes": "drop"})
    assert dropped.dropped[["line", "reason"]].to_numpy().tolist() == [[121, "loss_spike"]]
    assert dropped.runs["spikes"].tolist() == [1]
    blind = cleaned(curve(*loss), cleaning={"spike_threshold": 100})
    assert blind.runs["spikes"].tolist() == [0]


@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.001, 0.05])
def test_a_steep_start_and_plain_noise_are_no_spikes(noise: float) -> None:
    rng = np.random.default_rng(2)
    loss = (2 + 9 / np.arange(1, 501)) * np.exp(noise * rng.standard_normal(500))
    assert cleaned(curve(*loss), cleaning={"diverged": 9}).runs["spikes"].tolist() == [0]


def test_run_without_any_loss_is_set_aside() -> None:
    ingested, table = raw([*steps(1, 2), {"step": 1, "loss": 2.0, "run": "b"}])
    lost = ingested.curves[ingested.curves["run"] == "b"].assign(reason="no_loss", source="x.jsonl")
    ingested = Ingested(ingested.curves[ingested.curves["run"] == "a"], conform(lost, DROPPED),
                        ingested.runs)  # fmt: skip
    run = clean(ingested, table, study()).runs.set_index("run").loc["b"]
    assert run["reason"] == "It logs no loss in any of its 1 rows."
    assert (run["status"], run["rows_in"], run["rows_dropped"]) == ("quarantined", 1, 1)


def test_a_count_that_is_off_for_one_family_names_both() -> None:
    kept = pd.DataFrame(
        {"family": ["ash", "ash", "elm"], "flops_over_six_nd": [1.2, 1.5, 1.0], "status": "kept"}
    )
    note = counting_gap(kept, "six_nd")
    assert "in 2 of 2 kept runs of ash and 0 of 1 kept run of elm" in note
    assert note.endswith("and so does the comparison of the families")


def test_six_nd_far_from_the_exact_count_is_noted() -> None:
    facts = {"flops_per_token": 7000.0}
    result = cleaned(steps(1, 2), facts=facts)
    assert result.runs["flops_over_six_nd"].tolist() == [pytest.approx(7 / 6)]
    assert any("differ by more than 10%" in n and "1.17 times" in n for n in result.notes)
    near = cleaned(steps(1, 2), facts={"flops_per_token": 6500.0})
    assert not any("differ by more" in n for n in near.notes)


number = st.one_of(st.integers(0, 6).map(float), st.just(np.nan))
row = st.fixed_dictionaries(
    {
        "run": st.sampled_from(["a", "b"]),
        "split": st.sampled_from(["train", "val"]),
        "step": number,
        "loss": st.one_of(st.floats(0.5, 9), st.sampled_from([np.nan, np.inf, -1.0, 0.0])),
    }
)


@settings(max_examples=50)
@given(st.lists(row, min_size=1, max_size=30))
def test_every_row_is_kept_or_dropped_once(rows: list[dict[str, Any]]) -> None:
    good = [{**r, "run": "good", "split": "val"} for r in steps(1, 2)]
    result = cleaned([*rows, *good])
    assert len(result.curves) + len(result.dropped) == len(rows) + 2
    lines = result.curves["line"].tolist() + result.dropped["line"].tolist()
    assert sorted(lines) == list(range(1, len(rows) + 3))
    assert set(result.dropped["reason"]) <= set(REASONS)
    runs = result.runs
    assert (runs["rows_in"] == runs["rows_kept"] + runs["rows_dropped"]).all()
    for _, curve in result.curves.groupby(["run", "split"]):
        assert curve["step"].is_monotonic_increasing
        assert curve["step"].is_unique


@settings(max_examples=12)
@given(st.permutations(["a", "b", "c", "d"]))
def test_order_of_runs_does_not_matter(order: list[str]) -> None:
    rows = {name: [{**r, "run": name} for r in steps(1, 2, 3, loss=float(i + 1))]
            for i, name in enumerate("abcd")}  # fmt: skip
    one = cleaned([r for name in "abcd" for r in rows[name]])
    other = cleaned([r for name in order for r in rows[name]])
    pd.testing.assert_frame_equal(one.runs, other.runs)
    pd.testing.assert_frame_equal(
        one.curves.drop(columns="line"), other.curves.drop(columns="line")
    )


@pytest.mark.parametrize(("times", "is_noted"), [(1.0, False), (1.2, False), (2.0, True)])
def test_logged_flops_that_contradict_params_and_tokens_are_noted(
    times: float, is_noted: bool
) -> None:
    rows = [{**row, "tokens": 1e6 * row["step"]} for row in steps(1, 2, 3)]
    params = float(cleaned(rows).runs["params"].iloc[0])
    logged = [{**row, "flops": times * 6 * params * row["tokens"]} for row in rows]
    notes = " ".join(cleaned(logged).notes)
    assert ("logged FLOPs are 2 times 6ND" in notes) == is_noted


def test_runs_that_are_set_aside_are_named_where_the_kept_are_counted() -> None:
    """A run whose last loss was NaN went without a word in what the terminal printed."""
    runs = pd.DataFrame(
        {"run": list("abcdef"), "status": ["kept"] + ["quarantined"] * 5, "reason": "it diverged"}
    )
    words = set_aside(runs)
    assert words == (
        ", set aside 'b' (it diverged), 'c' (it diverged), 'd' (it diverged) and 2 more"
    )
    assert set_aside(runs.head(1)) == ""
