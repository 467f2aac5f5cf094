"""Runs that stand out are named: a unit that slipped in one row, a loss that no run beside has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.clean.standing_out import sentence, standing_out
from tests.builders.designs import isoflop_runs
from tests.builders.surfaces import BESIROGLU

AT = 20


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return isoflop_runs(BESIROGLU, np.geomspace(1e18, 1e20, 6), 7, width=4.0, noise=0.003, seed=5)


def changed(runs: pd.DataFrame, **factors: float) -> pd.DataFrame:
    out = runs.copy()
    for name, factor in factors.items():
        out[name] = out[name].astype(float)
        out.loc[out.index[AT], name] *= factor
    return out


def test_no_run_of_a_sound_sweep_stands_out(runs: pd.DataFrame) -> None:
    assert sentence(standing_out(runs)) == ""
    assert standing_out(runs.head(8)) == []


@pytest.mark.parametrize(
    ("factors", "of", "slip"),
    [
        ({"params": 1e-3}, "params", 1e3),
        ({"params": 1e3}, "params", 1e-3),
        ({"tokens": 1e-3}, "tokens", 1e3),
        ({"tokens": 1e6}, "tokens", 1e-6),
    ],
)
def test_a_unit_that_slipped_in_one_row_is_named_with_the_mend(
    runs: pd.DataFrame, factors: dict[str, float], of: str, slip: float
) -> None:
    """One row in thousands made a target ten times beyond the runs lie within them, unsaid."""
    (odd,) = standing_out(changed(runs, **factors))
    name = runs["run"].iloc[AT]
    assert (odd.run, odd.of, odd.slip) == (name, of, slip)
    words = sentence([odd])
    assert words.startswith(f"1 run stands out (run '{name}' has ")
    assert f"`exclude: [{{runs: [{name}], reason: ...}}]`" in words


def test_where_tokens_follow_from_compute_they_move_with_the_size(runs: pd.DataFrame) -> None:
    slipped = changed(runs, params=1e-3, tokens=1e3).assign(tokens_from="flops")
    (odd,) = standing_out(slipped)
    assert (odd.of, odd.slip) == ("params", 1e3)


def test_a_loss_that_no_run_beside_it_has_is_named(runs: pd.DataFrame) -> None:
    (odd,) = standing_out(changed(runs, loss=2.0))
    assert odd.slip == 1
    assert odd.expected == pytest.approx(float(runs["loss"].iloc[AT]), rel=0.02)
    assert "where the others say" in sentence([odd])


def test_two_runs_do_not_hide_each_other(runs: pd.DataFrame) -> None:
    both: Any = changed(runs, params=1e-3)
    both.loc[both.index[-1], "params"] *= 1e-3
    assert {odd.run for odd in standing_out(both)} == {runs["run"].iloc[AT], runs["run"].iloc[-1]}


def test_runs_of_one_ratio_say_nothing(runs: pd.DataFrame) -> None:
    tied = runs.assign(tokens=20 * runs["params"])
    assert standing_out(tied) == []
