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


@pytest.mark.parametrize("of", ["params", "tokens"])
def test_a_slip_upwards_is_named_wherever_the_run_lies(runs: pd.DataFrame, of: str) -> None:
    """A row 35 times beyond all others set how far the runs reach: none of them says much there."""
    names = []
    for at, run in enumerate(runs["run"]):
        slipped = runs.astype({of: float})
        slipped.loc[slipped.index[at], of] *= 1e3
        names += [odd.run == run and odd.slip == 1e-3 for odd in standing_out(slipped)]
    assert all(names)
    assert sum(names) > 0.9 * len(runs)


@pytest.mark.parametrize("of", ["params", "tokens"])
@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_a_slip_of_all_runs_of_one_budget_is_named(
    runs: pd.DataFrame, of: str, factor: float
) -> None:
    """Some upwards lie where too few others are to tell; what is named is never another run."""
    budgets, named = np.log10(runs["flops"]).round(1), 0
    for budget in budgets.unique():
        slipped = runs.astype({of: float})
        slipped.loc[budgets == budget, of] *= factor
        odd = standing_out(slipped)
        assert {run.run for run in odd} in (set(), set(runs.loc[budgets == budget, "run"]))
        assert {(run.of, run.slip) for run in odd} <= {(of, 1 / factor)}
        named += bool(odd)
    assert named == 6 if factor < 1 else named > 0


@pytest.mark.parametrize("heroes", [1, 3, 6])
@pytest.mark.parametrize("times", [5.0, 30.0, 300.0])
def test_sound_runs_far_beyond_the_others_do_not_stand_out(
    runs: pd.DataFrame, times: float, heroes: int
) -> None:
    flops = times * runs["flops"].max()
    sizes = BESIROGLU.params_opt(flops) * np.geomspace(0.5, 2, heroes)
    hero = pd.DataFrame({"run": [f"hero{n}" for n in range(heroes)], "params": sizes})
    hero["tokens"] = flops / 6 / hero["params"]
    hero["loss"] = BESIROGLU.loss(hero["params"], hero["tokens"])
    hero["flops"] = 6 * hero["params"] * hero["tokens"]
    assert standing_out(pd.concat([runs, hero], ignore_index=True)) == []


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
