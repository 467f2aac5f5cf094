"""Runs that never trained are found beside their peers, several at once; sound ones are kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.clean.untrained import untrained
from tests.builders.designs import isoflop_runs
from tests.builders.surfaces import BESIROGLU

ABOVE = 0.5


def study(bad: dict[int, float], seed: int = 0) -> pd.DataFrame:
    """Three budgets of 14 sizes, of which some runs have a loss so many times theirs."""
    rng = np.random.default_rng(seed)
    flops = np.repeat([1e18, 1e19, 1e20], 14)
    params = BESIROGLU.params_opt(flops) * np.tile(np.geomspace(0.2, 5.0, 14), 3)
    tokens = flops / 6 / params
    loss = BESIROGLU.loss(params, tokens) * np.exp(0.003 * rng.standard_normal(flops.size))
    for place, times in bad.items():
        loss[place] *= times
    table = {"params": params, "tokens": tokens, "loss": loss, "unique_tokens": np.nan}
    return pd.DataFrame({"family": "ash", **table})


@pytest.mark.parametrize("bad", [{}, {40: 2.5}, {40: 2.5, 36: 3.2}, {40: 2.5, 36: 3.2, 22: 4.0},
                                 {5: 2.5, 6: 2.5, 7: 3.0}])  # fmt: skip
def test_runs_that_never_trained_do_not_hide_each_other(bad: dict[int, float]) -> None:
    found = untrained(study(bad), ABOVE)
    assert sorted(found.index) == sorted(bad)
    assert all(said.startswith("It hardly trained: its final loss ") for said in found)


def test_sound_runs_of_every_width_are_kept() -> None:
    points = isoflop_runs(seed=4).assign(family="ash", unique_tokens=np.nan)
    assert untrained(points, ABOVE).empty


def test_passes_over_the_same_data_are_no_fault() -> None:
    table = study({40: 2.5}).assign(unique_tokens=lambda t: t["tokens"] / 8)
    assert untrained(table, ABOVE).empty


def test_families_are_held_apart() -> None:
    table = study({})
    other = table.assign(family="elm", loss=3 * table["loss"])
    assert untrained(pd.concat([table, other], ignore_index=True), ABOVE).empty


def test_too_few_peers_say_nothing() -> None:
    assert untrained(study({1: 3.0}).iloc[:3], ABOVE).empty
