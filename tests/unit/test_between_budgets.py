"""Scatter of optima between budgets: found, estimated, in every interval, and absent where none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from flopline.errors import FloplineError
from flopline.laws.isoflop.between_budgets import BetweenBudgets, Chances, between_budgets
from flopline.laws.isoflop.valley import Vertices
from flopline.laws.isoflop.vertex_laws import laws_through
from tests.builders.designs import PROFILE_BUDGETS as BUDGETS
from tests.builders.designs import profiles
from tests.builders.fits import TARGETS
from tests.builders.fits import fit_isoflop as fit
from tests.builders.surfaces import UNTIED

RNG = np.random.default_rng
EVEN = (np.arange(4000) + 0.5) / 4000


def scatter_of(y: np.ndarray, se: np.ndarray) -> BetweenBudgets:
    x = np.arange(y.size, dtype=float)
    design = np.stack([np.ones_like(x), x - x.mean()], axis=1)
    return between_budgets("params", design, y, se, EVEN)


def shifted(sd: float, seed: int, sizes: int = 7) -> pd.DataFrame:
    """Runs whose valleys are moved in ln N, one by one, at the compute and loss that they have."""
    points = profiles(sizes=sizes, noise=0.003, seed=seed)
    move = np.repeat(np.exp(sd * RNG(seed).standard_normal(len(BUDGETS))), sizes)
    n, d = points["params"] / move, points["tokens"] * move
    noise = points["loss"] / UNTIED.loss(points["params"], points["tokens"])
    return points.assign(loss=UNTIED.loss(n, d) * noise)


def test_chi_square_and_reml_are_the_closed_form_of_equal_errors() -> None:
    y = np.array([0.0, 0.3, -0.1, 0.2, 0.1, -0.2, 0.25])
    se = np.full(7, 0.05)
    left = np.polyfit(np.arange(7.0), y, 1, full=True)[1][0]
    scatter = scatter_of(y, se)
    assert scatter.freedom == 5
    assert scatter.chi_square == pytest.approx(left / 0.05**2, rel=1e-9)
    assert scatter.p_value == pytest.approx(chi2.sf(left / 0.05**2, 5), rel=1e-6)
    # The grid of standard deviations has steps of 6 %.
    assert scatter.reml == pytest.approx(np.sqrt(left / 5 - 0.05**2), rel=0.04)
    assert scatter.significant


def test_the_standard_deviation_is_open_by_as_much_as_few_budgets_leave_it() -> None:
    rng = RNG(2)
    few, many = (
        scatter_of(0.12 * rng.standard_normal(k), np.full(k, 0.02)).to_json() for k in (5, 60)
    )
    assert few["sd_hi95"] / max(few["sd_lo95"], 0.01) > 3
    assert many["sd_hi95"] / many["sd_lo95"] < 1.7
    assert many["sd_lo95"] < 0.12 < many["sd_hi95"]


def test_sound_budgets_are_drawn_towards_no_scatter() -> None:
    rng = RNG(0)
    se = np.full(5, 0.03)
    scatters = [scatter_of(se * rng.standard_normal(5), se) for _ in range(200)]
    assert np.mean([f.significant for f in scatters]) == pytest.approx(0.05, abs=0.04)
    assert np.mean([np.mean(f.drawn == 0) for f in scatters]) > 0.5
    assert np.median([f.sd for f in scatters]) < 0.03


@pytest.mark.parametrize(
    ("y", "se"),
    [
        (np.zeros(5), np.zeros(5)),
        (np.arange(5.0), np.full(5, 1e-13)),
        (np.array([0.0, 1.0]), np.full(2, 0.1)),
        (np.arange(5.0) ** 2, np.full(5, np.nan)),
    ],
)
def test_there_is_no_scatter_where_none_can_be_told(y: np.ndarray, se: np.ndarray) -> None:
    scatter = scatter_of(y, se)
    assert scatter.sd == 0
    assert not scatter.significant
    assert (scatter.drawn == 0).all()


def test_an_error_unknown_is_the_largest_known() -> None:
    y = np.array([0.0, 0.3, -0.1, 0.2, 0.1])
    some, all_of_them = np.array([0.02, np.nan, 0.05, 0.03, np.nan]), [0.02, 0.05, 0.05, 0.03, 0.05]
    assert scatter_of(y, some).sd == scatter_of(y, np.array(all_of_them)).sd


def test_scatter_moves_params_and_tokens_against_each_other() -> None:
    result = fit(shifted(0.25, 4), draws=400)
    target = f"@{TARGETS[0]:.6g}"
    n, d = (np.log(result.draws[f"{q}{target}"]) for q in ("params", "tokens"))
    assert np.corrcoef(n, d)[0, 1] < -0.95
    assert np.std(n + d) < 0.1 * np.std(n)


@pytest.mark.slow
@pytest.mark.parametrize(("sd", "budgets"), [(0.0, 5), (0.12, 5), (0.25, 9)])
def test_intervals_hold_the_law_of_shifted_valleys(sd: float, budgets: int) -> None:
    # 120 vertex sets of known error; without the scatter between budgets, 1/se^2 alone, 95 %
    # intervals hold the exponent in 40 % of those shifted by .12 and 20 % of those by .25.
    rng, se, draws = RNG(7), 0.027, 200
    x = np.linspace(0.0, 4.6, budgets)
    held = np.zeros((120, 2))
    for k in range(120):
        ln_n = 0.5 * x + sd * rng.standard_normal(budgets) + se * rng.standard_normal(budgets)
        again = ln_n + se * rng.standard_normal((draws, budgets))
        loss = 1.7 + np.exp(-0.2 * x)
        point, drawn = (
            Vertices(n, x - n, *np.broadcast_arrays(loss, x, n)[:2]) for n in (ln_n[None], again)
        )
        chances = Chances.of([str(c) for c in range(budgets)], draws, k)
        for which, weights in enumerate(("random", "variance")):
            p = laws_through(point, drawn, drawn, weights, chances).drawn.params.p
            low, high = np.percentile(p, [2.5, 97.5])
            held[k, which] = low < 0.5 < high
    share = held.mean(axis=0)
    assert share[0] > 0.88
    assert sd == 0 or share[1] < 0.6


def test_vertices_off_their_law_are_told_and_widen_every_interval() -> None:
    result, sound = fit(shifted(0.25, 3)), fit(shifted(0.0, 3))
    between = result.certificate["between_budgets"]["params"]
    assert between["p_value"] < 1e-6
    assert between["sd_lo95"] > 0.05
    assert "the vertices of the budgets lie off their law by more than their own errors" in (
        result.message
    )
    assert "lie off their law" not in sound.message
    # The lowest losses are where they were.
    assert result.certificate["between_budgets"]["loss"]["p_value"] > 0.05
    own = fit(shifted(0.25, 3), weights="variance")
    for quantity in ("params", "tokens"):
        wide, narrow = (r.targets[0].values[quantity] for r in (result, own))
        assert np.log(wide.hi95 / wide.lo95) > 2 * np.log(narrow.hi95 / narrow.lo95)
    wide, narrow = (r.parameters["a"] for r in (result, own))
    assert wide.hi95 - wide.lo95 > 2 * (narrow.hi95 - narrow.lo95)


def test_bottoms_off_their_law_widen_the_loss() -> None:
    points = profiles(budgets=(*BUDGETS, 3e20, 1e21), noise=0.0005)
    bump = np.repeat(0.01 * RNG(5).standard_normal(7), 9)
    one, off = fit(points), fit(points.assign(loss=points["loss"] * np.exp(bump)))
    assert "the lowest losses of the budgets lie off their law" in off.message
    for quantity in ("loss", "loss_new_run"):
        here, there = (r.targets[0].values[quantity] for r in (one, off))
        assert there.hi95 - there.lo95 > 4 * (here.hi95 - here.lo95)


def test_a_budget_more_leaves_the_chances_of_the_others_be() -> None:
    few, more = (Chances.of(labels, 50, 1) for labels in (["a", "c"], ["a", "b", "c"]))
    np.testing.assert_array_equal(few.shift, more.shift[:, [0, 2]])
    np.testing.assert_array_equal(few.of_sd, more.of_sd)


def test_weights_that_there_are_not_are_refused() -> None:
    with pytest.raises(FloplineError, match="'heavy' but must be 'random', 'variance' or 'equal'"):
        fit(profiles(), weights="heavy")
