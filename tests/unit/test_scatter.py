"""Scatter of runs about their valleys: its size by budget, its shape, the draws made from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import ArrayLike
from scipy.special import polygamma

from flopline.laws.isoflop import isoflop_fit, scatter
from flopline.laws.isoflop.scatter import Profile, RunScatter, wild_losses
from flopline.schema import target_column
from tests.builders.designs import isoflop_runs, with_budgets
from tests.builders.surfaces import BESIROGLU

BUDGETS = np.geomspace(1e18, 1e20, 5)


def study(seed: int = 0, sizes: int = 7, sd: ArrayLike = 0.003) -> pd.DataFrame:
    """Five valleys of `sizes` runs; `sd` is the noise, one number or one per budget."""
    return with_budgets(isoflop_runs(BESIROGLU, BUDGETS, sizes, noise=sd, seed=seed))


def scatter_of(table: pd.DataFrame) -> RunScatter:
    return RunScatter.of(
        [
            Profile.of(np.log(rows["params"].to_numpy()), rows["loss"].to_numpy())
            for _, rows in table.groupby("budget_flops")
        ]
    )


def drawn(table: pd.DataFrame, draws: int, seed: int = 1) -> tuple[np.ndarray, RunScatter]:
    losses, scatter = wild_losses(
        np.log(table["params"].to_numpy()),
        table["loss"].to_numpy(),
        table["run"].tolist(),
        [f"{c:.4g}" for c in table["budget_flops"]],
        draws,
        seed,
    )
    return losses.of(), scatter


def test_scatter_is_that_of_the_noise():
    scatters = [scatter_of(study(seed)) for seed in range(40)]
    pooled = np.sqrt(np.mean([(f.sd**2).mean() for f in scatters]))
    assert pooled == pytest.approx(0.003, rel=0.1)
    # Budgets of equal noise are mostly told to be alike, and then share one scale.
    alike = [f for f in scatters if f.alike]
    assert len(alike) >= 20
    assert all(np.ptp(f.sd) == 0 and (f.freedom == 20).all() for f in alike)


def test_budgets_of_unequal_noise_keep_their_own_scale():
    sd = np.array([0.012, 0.006, 0.003, 0.0015, 0.00075])
    scatters = [scatter_of(study(seed, sizes=12, sd=sd)) for seed in range(20)]
    assert not any(f.alike for f in scatters)
    typical = np.median([f.sd for f in scatters], axis=0)
    assert_allclose(typical, sd, rtol=0.35)


def test_draws_lie_about_what_parabola_and_cubic_see():
    table = study()
    losses, _ = drawn(table, 4000)
    x = np.log(table["params"].to_numpy()[:7])
    for degree in (2, 3):
        own = np.polyfit(x - x.mean(), table["loss"].to_numpy()[:7], degree)
        mean = np.polyfit(x - x.mean(), losses[:, :7].mean(axis=0), degree)
        error = 4 * 0.003 * 2 / np.sqrt(4000)
        assert_allclose(mean, own, atol=2 * error)


def test_draws_scatter_as_the_losses_do():
    losses, scatter = drawn(study(), 4000)
    relative = losses[:, :7].std(axis=0) / losses[:, :7].mean(axis=0)
    # Student's t of d degrees of freedom has variance d / (d - 2).
    wider = np.sqrt(scatter.freedom[0] / (scatter.freedom[0] - 2))
    assert_allclose(relative, scatter.sd[0] * wider, rtol=0.1)


def test_losses_without_noise_are_drawn_as_they_are():
    parabola = study().assign(loss=lambda t: 3 + 0.1 * (np.log(t["params"]) - 19) ** 2)
    losses, _ = drawn(parabola, 5)
    assert_allclose(losses, np.tile(parabola["loss"], (5, 1)), rtol=1e-9)


def test_valleys_without_a_spare_run_have_no_draws():
    losses, scatter = drawn(study(sizes=3), 5)
    assert np.isnan(losses).all()
    assert np.isnan(scatter.of_new_run(5, 1)).all()
    result = isoflop_fit.fit(study(sizes=3), [1e22], min_sizes=3, draws=20, method="wild")
    at = result.targets[0].values["params"]
    assert np.isfinite(at.point)
    assert np.isnan([at.lo95, at.hi95]).all()


def test_a_valley_without_a_spare_run_borrows_the_scatter_of_the_others():
    table = study()
    few = table.drop(index=[1, 2, 4, 5])  # the first budget keeps three runs
    losses, scatter = drawn(few, 2000)
    assert np.isfinite(losses).all()
    assert scatter.sd[0] == pytest.approx(np.median(scatter.sd[1:]), rel=0.5)


def test_order_of_rows_changes_nothing():
    table = study()
    order = np.random.default_rng(2).permutation(len(table))
    assert_allclose(drawn(table.iloc[order], 10)[0], drawn(table, 10)[0][:, order], rtol=1e-12)


def test_wild_intervals_of_few_sizes_are_narrower_than_those_of_pairs():
    ratios = []
    for seed in range(3):
        at = {
            m: isoflop_fit.fit(study(seed), [1e22], draws=200, seed=1, method=m).parameters["a"]
            for m in ("pairs", "wild")
        }
        ratios.append((at["pairs"].hi95 - at["pairs"].lo95) / (at["wild"].hi95 - at["wild"].lo95))
    assert np.median(ratios) > 1.4


def test_isoflop_draws_runs_wildly_by_itself():
    result = isoflop_fit.fit(study(), [1e22], draws=50, seed=1)
    assert result.settings["method"] == "wild"
    pd.testing.assert_frame_equal(
        result.draws, isoflop_fit.fit(study(), [1e22], draws=50, seed=1, method="wild").draws
    )


def test_every_estimator_of_valleys_states_the_loss_of_a_new_run():
    result = isoflop_fit.fit(study(), [1e22], draws=500, seed=1, weights="variance")
    table = result.tables["estimators"]
    assert (table["loss_new_run"] == table["loss"]).all()
    assert np.isfinite(table[["loss_new_run_lo95", "loss_new_run_hi95"]]).all(axis=None)
    of_law, of_run = (result.draws[target_column(q, 1e22)] for q in ("loss", "loss_new_run"))
    assert np.log(of_run / of_law).std() == pytest.approx(scatter_of(study()).sd[0], rel=0.15)


@pytest.mark.parametrize("y", [0.3, 1.0, 7.5, 400.0])
def test_inverse_of_the_trigamma_function(y):
    assert scatter._inverse_trigamma(float(polygamma(1, y))) == pytest.approx(y, rel=1e-8)


def test_same_seed_gives_the_same_draws():
    assert_array_equal(drawn(study(), 10)[0], drawn(study(), 10)[0])
    assert not np.array_equal(drawn(study(), 10)[0], drawn(study(), 10, seed=2)[0])
