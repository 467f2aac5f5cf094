"""Rows out of order: what is a restart, what came late, what is several runs in one log."""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopline.clean import Cleaned
from flopline.logs.readers import read_log
from tests.builders.raw_rows import cleaned, steps

SOUND = [{**row, "run": "sound"} for row in steps(1, 2)]


def falling(*at: float, above: float = 0.0, **more: Any) -> list[dict[str, Any]]:
    """Rows at these steps, on one falling curve."""
    return [{"step": s, "loss": 2 + 10 / (s + 10) + above, **more} for s in at]


def result_of(*rows: dict[str, Any]) -> Cleaned:
    """Rows of run `a`, cleaned beside a sound run."""
    return cleaned([*rows, *SOUND])


def run_of(result: Cleaned) -> Any:
    return result.runs.set_index("run").loc["a"]


def kept(result: Cleaned, split: str = "val") -> list[int]:
    curves = result.curves
    mine = curves[(curves["run"] == "a") & (curves["split"] == split)]
    assert mine["step"].is_monotonic_increasing
    assert mine["segment"].is_monotonic_increasing
    return mine["step"].tolist()


def reasons(result: Cleaned) -> list[str]:
    return result.dropped["reason"].tolist()


HUNDREDS = [100 * i for i in range(1, 11)]


def test_a_late_evaluation_takes_its_place() -> None:
    late = [*(s for s in HUNDREDS if s != 600), 600]
    result = result_of(*falling(*late))
    assert kept(result) == HUNDREDS
    assert reasons(result) == []
    assert run_of(result)["status"] == "kept"
    assert run_of(result)["tokens"] == 1000 * 100
    (note,) = (note for note in result.notes if "after later steps" in note)
    assert "x.jsonl, line 10 (step 600 after step 1,000)" in note


@settings(max_examples=40)
@given(st.permutations(HUNDREDS).filter(lambda order: order[0] <= 300))
def test_evaluations_that_come_in_any_order_within_two_places_keep_all(order: list[int]) -> None:
    """Workers that evaluate side by side: each result at most two places from its own."""
    near = sorted(HUNDREDS, key=lambda s: s + 250 * (order.index(s) / 10))
    result = result_of(*falling(*near))
    assert kept(result) == HUNDREDS
    assert run_of(result)["status"] == "kept"


def test_two_passes_of_evaluation_are_one_curve() -> None:
    result = result_of(*falling(*HUNDREDS[1::2], *HUNDREDS[::2]))
    assert kept(result) == HUNDREDS
    assert run_of(result)["status"] == "kept"


def test_the_best_checkpoint_once_more_is_no_restart() -> None:
    result = result_of(*falling(*HUNDREDS, 700))
    assert kept(result) == HUNDREDS
    assert reasons(result) == ["duplicate_step"]
    assert result.dropped["line"].tolist() == [11]
    assert run_of(result)["status"] == "kept"


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("lag", [1, 2])
def test_ranks_that_write_into_one_file_are_no_restarts(ranks: int, lag: int) -> None:
    order = sorted(
        (step + rank * lag * 100 + rank, step) for step in HUNDREDS for rank in range(ranks)
    )
    result = result_of(*falling(*(step for _, step in order)))
    assert kept(result) == HUNDREDS
    assert set(reasons(result)) == {"duplicate_step"}
    assert run_of(result)["status"] == "kept"
    assert (result.curves["segment"] == 0).all()


@pytest.mark.parametrize("at", [0, 50])
def test_a_value_without_its_step_is_set_aside_with_both_steps(at: int) -> None:
    last = falling(*HUNDREDS)[-1]
    result = result_of(*falling(*HUNDREDS), {**last, "step": at})
    assert kept(result) == HUNDREDS
    assert reasons(result) == ["out_of_place"]
    (note,) = (note for note in result.notes if "after later steps" in note)
    assert f"(step {at} after step 1,000)" in note


def test_a_value_of_another_curve_does_not_fit_between_its_neighbours() -> None:
    wrong = falling(600, above=1.0)
    result = result_of(*falling(*(s for s in HUNDREDS if s != 600)), *wrong)
    assert 600 not in kept(result)
    assert reasons(result) == ["out_of_place"]


def test_a_restart_that_goes_on_replaces_what_was_there() -> None:
    result = result_of(*falling(*HUNDREDS[:7], *HUNDREDS[4:]))
    assert kept(result) == HUNDREDS
    assert reasons(result) == ["superseded_by_restart"] * 3
    assert run_of(result)["status"] == "kept"


@pytest.mark.parametrize("begin", [650, 620])
def test_a_restart_may_log_at_other_steps(begin: int) -> None:
    later = [begin + 100 * i for i in range(6)]
    result = result_of(*falling(*HUNDREDS[:9], *later))
    assert kept(result) == [*HUNDREDS[:6], *later]
    assert set(reasons(result)) == {"superseded_by_restart"}


def test_a_restart_that_ends_before_what_it_replaced_is_never_finished() -> None:
    result = result_of(*falling(*HUNDREDS, 500, 600, 700))
    run = run_of(result)
    assert run["status"] == "quarantined"
    assert (
        "last val loss stands at step 700, before step 1,000, which it had logged" in run["reason"]
    )
    assert "x.jsonl, line 10" in run["reason"]


def test_a_last_row_that_cannot_be_used_leaves_no_finished_run() -> None:
    rows = falling(*HUNDREDS)
    rows[-1] |= {"loss": -1.0}
    run = run_of(result_of(*rows))
    assert run["status"] == "quarantined"
    assert "stands at step 900, before step 1,000" in run["reason"]


def test_a_restart_of_training_purges_evaluations_that_it_has_not_made_again() -> None:
    train = falling(*HUNDREDS, split="train")
    again = falling(*HUNDREDS[4:], 1100, split="train")
    run = run_of(result_of(*train, *falling(1000), *falling(400), *again))
    assert run["status"] == "quarantined"
    assert "last val loss stands at step 400, before step 1,000" in run["reason"]


@pytest.mark.parametrize("runs", [2, 5])
def test_runs_one_after_another_in_a_log_are_refused(runs: int) -> None:
    every = [falling(0, *HUNDREDS, above=0.001 * i) for i in range(runs)]
    run = run_of(result_of(*itertools.chain(*every)))
    assert run["status"] == "quarantined"
    assert (
        f"holds {runs} attempts from the first step to the same last one (step 1,000)"
        in (run["reason"])
    )


def test_an_attempt_that_broke_off_is_no_run_of_its_own() -> None:
    result = result_of(*falling(*HUNDREDS[:4]), *falling(*HUNDREDS, above=0.001))
    assert kept(result) == HUNDREDS
    assert run_of(result)["status"] == "kept"


def test_a_log_twice_over_is_one_run() -> None:
    result = result_of(*falling(*HUNDREDS), *falling(*HUNDREDS))
    assert kept(result) == HUNDREDS
    assert run_of(result)["status"] == "kept"


def record(wall_s: float, step: int, loss: float) -> bytes:
    """A TensorBoard event with a scalar `loss`."""
    content = b"\x0a\x04loss\x15" + struct.pack("<f", loss)
    summary = b"\x0a" + bytes([len(content)]) + content
    event = b"\x09" + struct.pack("<d", wall_s) + b"\x10" + bytes([step])
    event += b"\x2a" + bytes([len(summary)]) + summary
    return struct.pack("<QI", len(event), 0) + event + struct.pack("<I", 0)


def test_event_files_are_in_the_order_of_their_events_not_of_their_names(tmp_path: Path) -> None:
    first = b"".join(record(1000.0 + s, s, 5.0 - s) for s in range(3))
    second = b"".join(record(2000.0 + s, s, 4.9 - s) for s in range(1, 4))
    (tmp_path / "events.out.tfevents.9.z").write_bytes(first)
    (tmp_path / "events.out.tfevents.9.a").write_bytes(second)
    rows = read_log(tmp_path, {"loss": "loss"}).rows
    assert rows["step"].tolist() == [0, 1, 2, 1, 2, 3]
    assert math.isclose(rows["loss"][0], 5.0)
    assert rows["line"].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("rows", [8, 1000])
def test_rows_in_any_order_are_those_of_their_steps(rows: int) -> None:
    in_order = steps(*range(10, 10 * rows + 1, 10))
    expected = cleaned(in_order).curves
    for seed in range(4):
        rng = np.random.default_rng(seed)
        mixed = [in_order[place] for place in rng.permutation(rows)]
        swapped = list(in_order)
        at, other = rng.choice(rows, 2, replace=False)
        swapped[at], swapped[other] = swapped[other], swapped[at]
        for order in (mixed, swapped, in_order[::-1]):
            result = cleaned(order)
            assert result.dropped.empty
            told = ["step", "tokens", "loss"]
            assert result.curves[told].equals(expected[told])
