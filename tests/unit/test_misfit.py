"""Lack of fit of a surface, judged where it shows and against the runs' own scatter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.misfit import holm, misfit, stretches, top
from flopline.solvers.surface_family import SKALING
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import isoflop_runs
from tests.builders.surfaces import BESIROGLU

TARGET = 1e22
BENT = LossSurface(1.2, 60.0, 200.0, 0.5, 0.45, k=0.5)
BUDGETS = np.geomspace(1e18, 1e21, 7)


def runs(surface: LossSurface = BESIROGLU, seed: int = 1, noise: float = 0.003) -> pd.DataFrame:
    return isoflop_runs(surface, BUDGETS, 8, noise=noise, seed=seed)


def s_shaped(table: pd.DataFrame, size: float = 0.01) -> pd.DataFrame:
    """Losses that lie above, below and above a sum of power laws, by budget."""
    x = np.log(table["flops"])
    u = (x - x.min()) / np.ptp(x)
    return table.assign(loss=table["loss"] * np.exp(size * np.sin(2 * np.pi * u)))


def fitted(table: pd.DataFrame, **more):
    return parametric_fit.fit(table, [TARGET], draws=0, **more)


def test_sound_runs_have_no_lack_of_fit() -> None:
    for seed in range(4):
        fit = fitted(runs(seed=seed))
        assert fit.status == "converged", fit.message
        assert not fit.certificate["misfit"]["found"]
        assert set(fit.certificate["misfit"]["p_values"]) >= {"stretches", "largest_run"}


def test_an_s_over_budgets_reaches_status_sentence_and_intervals() -> None:
    sound, bent = runs(), s_shaped(runs())
    fit = fitted(bent)
    assert fit.status == "warning"
    assert fit.certificate["misfit"]["p_values"]["stretches"] < 1e-6
    assert "forecasts beyond are biased" in fit.message
    sd = fit.certificate["misfit"]["between_sd"]
    assert 0.002 < sd < 0.02
    fits = [parametric_fit.fit(table, [TARGET], draws=60) for table in (sound, bent)]
    spread = [float(np.log(fit.draws.filter(like="loss_").iloc[:, 0]).std()) for fit in fits]
    assert spread[1] > 1.5 * spread[0]


def test_the_single_largest_run_is_found() -> None:
    table = runs()
    last = table["flops"].idxmax()
    table.loc[last, "loss"] *= 1.05
    fit = fitted(table)
    assert fit.status == "warning"
    assert f"the run '{table.loc[last, 'run']}' of largest compute lies 5" in fit.message


@pytest.mark.parametrize("column", ["largest_sizes", "most_tokens_per_param"])
def test_the_largest_sizes_and_ratios_are_found(column: str) -> None:
    table = runs()
    value = table["params"] if column == "largest_sizes" else table["tokens"] / table["params"]
    here = top(value.to_numpy())
    fit = fitted(table.assign(loss=table["loss"] * np.where(here, 1.01, 1.0)))
    assert fit.certificate["misfit"]["p_values"][column] < 0.001
    assert fit.status == "warning"


def test_a_power_off_one_is_lack_of_fit_of_the_plain_form_only() -> None:
    table = runs(BENT, noise=0.001)
    plain, bent = fitted(table), fitted(table, form=SKALING)
    assert plain.certificate["misfit"]["p_values"]["wider_form"] < 0.001
    assert plain.status == "warning"
    assert not bent.certificate["misfit"]["found"]


@pytest.mark.filterwarnings("error")
def test_a_surface_with_nothing_above_its_floor_is_tested_without_a_warning() -> None:
    table = runs().assign(log_residual=np.random.default_rng(0).normal(0, 0.003, len(runs())))
    flat = replace(BESIROGLU, A=0.0, B=0.0)
    tests = misfit(flat, table, held=("A", "B")).p_values
    assert np.isfinite(tests["stretches"])
    slopes = replace(flat, k=2.0).log_loss_gradient(table["params"], table["tokens"])
    assert (slopes[..., -1] == 0).all()


def test_rows_of_one_run_count_as_one_and_few_runs_are_not_tested() -> None:
    table = runs().assign(log_residual=np.random.default_rng(0).normal(0, 0.003, len(runs())))
    twice = pd.concat([table, table], ignore_index=True)
    once, again = misfit(BESIROGLU, table), misfit(BESIROGLU, twice)
    assert again.p_value == pytest.approx(once.p_value)
    few = misfit(BESIROGLU, table.head(7))
    assert not few.significant


def test_stretches_are_budgets_or_equal_parts_and_holm_adjusts_for_their_number() -> None:
    assert len(set(stretches(runs()["flops"].to_numpy()))) == len(BUDGETS)
    spread = stretches(np.geomspace(1e18, 1e22, 40))
    assert np.bincount(spread).tolist() == [4] * 10
    assert holm({"a": 0.01, "b": 0.04, "c": np.nan, "d": 0.5}) == {"a": 0.03, "b": 0.08, "d": 0.5}


def test_estimators_of_valleys_inherit_what_their_budgets_are_warned_of() -> None:
    table = isoflop_runs(BESIROGLU, BUDGETS[:3], 8, noise=0.003, seed=1)
    fit = isoflop_fit.fit(table, [TARGET], draws=0)
    assert "only 3 budgets carry the laws" in fit.message
    rows = fit.tables["estimators"].set_index("estimator")
    for name in ("corrected", "unweighted"):
        assert rows.loc[name, "status"] == "warning"
        assert "only 3 budgets carry the laws" in rows.loc[name, "message"]
