"""How the bottom of a valley is read: near the bottom, by a rule, and never above it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike, NDArray

from flopline.errors import FloplineError
from flopline.laws.common.fit_result import CONVERGED, FAILED, FitResult
from flopline.laws.common.inputs import size_classes
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.isoflop.profiles import interpolated
from flopline.laws.isoflop.valley_window import is_wide, near_bottom
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import PROFILE_BUDGETS as BUDGETS
from tests.builders.designs import profiles
from tests.builders.fits import fit_isoflop as fit
from tests.builders.surfaces import BESIROGLU, THREEFOLD


class Bent(LossSurface):
    """A loss that is no sum of two power laws: the reducible part to the power of 1.5."""

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
        """Loss at `params` and `tokens`; the optimum is where it was."""
        return np.asarray(self.E + (super().loss(params, tokens) - self.E) ** 1.5)


SURFACES = {
    "alpha three times beta": replace(THREEFOLD, E=0.5),
    "beta three times alpha": LossSurface(0.5, 410.7, 300.0, 0.155, 0.465),
    "like Chinchilla's, low floor": replace(BESIROGLU, E=1.0),
    "bent": Bent(1.5, 20.0, 30.0, 0.25, 0.14),
    "steep": LossSurface(1.0, 6000.0, 2000.0, 0.5, 0.25),
}
"""Surfaces whose valleys are lopsided far from the bottom, and whose losses double there."""


def grids(
    surface: LossSurface, width: float, sizes: int, budgets: int, noise: float, seed: int
) -> pd.DataFrame:
    """Budgets from 1e17 FLOPs, each with the same sizes over a factor of `width`.

    The optima take what `width` leaves when a factor of 5 to both sides of each is kept; narrow
    grids are centred on each.
    """
    rng = np.random.default_rng(seed)
    parts = []
    most = (width / 25.0) ** (1.0 / float(surface.a)) if width > 50 else np.inf
    flops = np.geomspace(1e17, 1e17 * min(most, 1e3), budgets)
    middle = np.exp(np.log(surface.params_opt(flops)).mean())
    for c in flops:
        centre = middle if width > 50 else float(surface.params_opt(c))
        n = centre * np.geomspace(width**-0.5, width**0.5, sizes)
        d = c / 6 / n
        loss = surface.loss(n, d) * np.exp(noise * rng.standard_normal(sizes))
        names = [f"{c:.3g}-{j:02d}" for j in range(sizes)]
        parts.append(
            pd.DataFrame({"run": names, "params": n, "tokens": d, "flops": c, "loss": loss})
        )
    return pd.concat(parts, ignore_index=True)


def local_exponent(points: pd.DataFrame) -> float:
    """a by a parabola through the runs within a factor of 5 of the best of each budget."""
    ln_c, ln_n = [], []
    for c, rows in points.groupby("flops"):
        x = np.log(rows["params"].to_numpy())
        best = x[rows["loss"].to_numpy().argmin()]
        near = np.abs(x - best) <= np.log(5.0)
        c2, c1, _ = np.polyfit(x[near] - best, rows["loss"].to_numpy()[near], 2)
        ln_c.append(np.log(c))
        ln_n.append(best - c1 / 2 / c2)
    return float(np.polyfit(ln_c, ln_n, 1)[0])


def row_of(result: FitResult, name: str) -> pd.Series:
    table = result.tables["estimators"]
    return table[table["estimator"] == name].iloc[0]


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize(
    ("width", "sizes", "budgets"), [(6, 9, 5), (100, 12, 5), (300, 13, 6), (1000, 15, 7)]
)
def test_exponents_of_wide_grids_are_those_of_a_local_reading(
    name: str, width: float, sizes: int, budgets: int
) -> None:
    # Parabolas through all runs are up to .07 off here, cubics up to .065.
    surface = SURFACES[name]
    points = grids(surface, width, sizes, budgets, 0.001, seed=3)
    result = isoflop_fit.fit(points, [1e22], draws=0)
    a = result.parameters["a"].point
    assert a == pytest.approx(local_exponent(points), abs=0.02)
    assert a == pytest.approx(float(surface.a), abs=0.02)
    # No reading has its vertex where the runs lie above the bottom by more than noise.
    for column in ("params", "params_parabola", "params_window", "params_cubic", "params_akima"):
        used = "used" if column == "params" else column.replace("params", "usable")
        for row in result.tables["vertices"].to_dict("records"):
            runs = points[np.isclose(points["flops"], row["budget_flops"])]
            x, y = np.log(runs["params"].to_numpy()), runs["loss"].to_numpy()
            if row[used]:
                there = interpolated(x, y, np.log([row[column]]))[0]
                assert there < 1.005 * y.min()


def test_a_parabola_that_does_not_fit_its_runs_is_given_up_and_the_rule_told() -> None:
    surface = SURFACES["beta three times alpha"]
    result = isoflop_fit.fit(grids(surface, 300, 13, 6, 0.001, 3), [1e22], draws=40, seed=1)
    assert result.certificate["reading"] == "window"
    assert result.tables["estimators"]["estimator"].iloc[0] == "window"
    assert result.tables["estimators"].query("main")["estimator"].unique().tolist() == ["window"]
    assert "valleys are read by the parabola through the runs near the bottom: " in result.message
    assert "do not fit all runs of their budgets (lack of fit p = " in result.message
    known = result.certificate["readings"]
    assert known["parabola"]["lack_of_fit_p"] < 1e-20 < known["window"]["lack_of_fit_p"]
    assert known["parabola"]["largest_move_ln_params"] > 0.05
    raw, main = row_of(result, "parabola"), row_of(result, "window")
    assert abs(raw["a"] - surface.a) > 0.03 > 0.01 > abs(main["a"] - surface.a)


def test_parabolas_that_fit_their_runs_remain_the_main_reading() -> None:
    chosen = [fit(profiles(noise=0.003, seed=s), draws=0).certificate["reading"] for s in range(12)]
    assert chosen == ["parabola"] * 12


def test_a_reading_that_wastes_more_at_held_out_budgets_is_given_up() -> None:
    # A valley whose walls differ: a parabola fits seven noisy runs, but its vertices drift.
    surface = SURFACES["alpha three times beta"]
    points = grids(surface, 16, 9, 6, 0.0, 0)
    drift = np.repeat(np.geomspace(1 / 3, 3, 6), 9)
    moved = points.assign(params=points["params"] * drift, tokens=points["tokens"] / drift)
    moved["loss"] = surface.loss(moved["params"].to_numpy(), moved["tokens"].to_numpy())
    known = isoflop_fit.fit(moved, [1e22], draws=0).certificate["readings"]
    assert known["akima"]["held_out_excess_percent"] < known["parabola"]["held_out_excess_percent"]


@pytest.mark.parametrize("reading", ["parabola", "window", "cubic", "akima"])
def test_any_reading_may_be_asked_for(reading: str) -> None:
    result = fit(profiles(noise=0.001), reading=reading, draws=50, weights="equal")
    auto = fit(profiles(noise=0.001), draws=50, weights="equal")
    assert result.certificate["reading"] == reading
    main = result.tables["estimators"].query("main").iloc[0]
    assert main["estimator"] == reading
    assert main["params"] == row_of(auto, reading)["params"]
    v = result.tables["vertices"]
    np.testing.assert_allclose(v["params"], v[f"params_{reading}"])
    assert (v["params_lo95"] < v["params"]).all()
    assert "valleys are read by" not in result.message


def test_a_budget_that_one_reading_cannot_use_is_kept_for_the_others() -> None:
    points = profiles(sizes=17, noise=0.0005, width=8.0)
    first = points["flops"] < 2e18
    # Walls that rise on one side only: the parabola's vertex leaves the grid, the bottom does not.
    x = np.log(points["params"] / points.loc[first, "params"].iloc[4])
    wall = np.where(first & (x > 2.7), 30.0, 0.0)
    points = points.assign(loss=points["loss"] + wall)
    result = fit(points, budgets=BUDGETS, reading="parabola")
    v = result.tables["vertices"]
    assert not v.loc[0, "used"]
    assert v.loc[0, ["usable_parabola", "usable_window", "usable_akima"]].tolist() == [
        False,
        True,
        True,
    ]
    assert row_of(result, "window")["status"] == CONVERGED
    five, four = (row_of(result, name)["params"] for name in ("window", "parabola"))
    without = row_of(fit(points[~first], budgets=BUDGETS), "window")["params"]
    assert five != without
    assert np.isfinite(four)


def test_a_vertex_above_the_bottom_is_refused_and_says_by_how_much() -> None:
    surface = SURFACES["beta three times alpha"]
    points = grids(surface, 1000, 15, 7, 0.001, 3)
    result = isoflop_fit.fit(points, [1e22], draws=0, reading="parabola")
    vertices = result.tables["vertices"]
    assert not vertices["used"].all()
    assert "% above the lowest loss" in "; ".join(vertices["reason"])


def test_the_correction_is_refused_where_its_surface_misses_the_runs() -> None:
    points = profiles(noise=0.001, width=4.0)
    flops = points["flops"].to_numpy()
    # Losses that bend with compute as no sum of two power laws does.
    bent = points["loss"] + 0.08 * np.sin(np.log(flops / 1e18) * 2.0)
    result = fit(points.assign(loss=bent), draws=50)
    row = row_of(result, "corrected")
    assert row["status"] == FAILED
    assert row["message"].startswith("the surface misses the runs by ")
    assert "which scatter by 0.1" in row["message"]


def test_the_correction_is_refused_where_it_is_large() -> None:
    # A high floor, so that far from the bottom the loss is still nearly the lowest.
    surface = replace(THREEFOLD, E=20.0)
    points = grids(surface, 2048.0, 15, 5, 0.0, 0)
    drift = np.repeat(np.geomspace(1 / 2, 2, 5), 15)
    n, d = points["params"] * drift, points["tokens"] / drift
    moved = points.assign(params=n, tokens=d, loss=surface.loss(n.to_numpy(), d.to_numpy()))
    row = row_of(isoflop_fit.fit(moved, [1e22], draws=0, reading="parabola"), "corrected")
    assert row["status"] == FAILED
    assert "is too large to be taken off on trust" in row["message"]


def test_one_loss_too_low_makes_no_valley() -> None:
    x = np.linspace(-3.0, 3.0, 13)
    y = 2.0 + 0.1 * x**2
    low = y.copy()
    low[0] = 1.5
    sizes = size_classes(np.exp(x))
    np.testing.assert_array_equal(near_bottom(x, low, sizes), near_bottom(x, y, sizes))
    assert near_bottom(x, y, sizes).sum() == 7
    assert is_wide(x)
    assert not is_wide(x / 2)


def test_five_sizes_are_near_the_bottom_on_the_sparsest_grid() -> None:
    x = np.linspace(-8.0, 8.0, 9)
    assert near_bottom(x, x**2, size_classes(np.exp(x))).sum() == 5


@pytest.mark.parametrize(("compute", "mean"), [("arithmetic", np.mean), ("nominal", None)])
def test_the_compute_of_a_budget_is_what_is_asked_for(compute: str, mean: object) -> None:
    points = profiles()
    vertices = fit(points, budgets=BUDGETS, budget_compute=compute).tables["vertices"]
    for budget, row in zip(BUDGETS, vertices.itertuples(), strict=True):
        flops = points.loc[points["run"].str.startswith(f"{budget:.0e}"), "flops"]
        expected = budget if mean is None else flops.mean()
        assert row.budget_flops == pytest.approx(expected, rel=1e-12)


def test_nominal_compute_needs_nominal_budgets() -> None:
    with pytest.raises(FloplineError, match=r"have no nominal budgets: name them in `isoflop\.b"):
        fit(profiles(), budget_compute="nominal")


def test_published_digits_are_those_of_equal_weights_and_arithmetic_means() -> None:
    points = profiles(noise=0.004)
    result = fit(points, budgets=BUDGETS, weights="equal", budget_compute="arithmetic")
    ln_c, ln_n = [], []
    for budget in BUDGETS:
        rows = points[points["run"].str.startswith(f"{budget:.0e}")]
        c2, c1, _ = np.polyfit(np.log(rows["params"]) - 18.0, rows["loss"], 2)
        ln_n.append(18.0 - c1 / (2 * c2))
        ln_c.append(np.log(rows["flops"].mean()))
    assert result.parameters["a"].point == pytest.approx(np.polyfit(ln_c, ln_n, 1)[0], rel=1e-9)


def test_an_interpolant_is_that_of_scipy() -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(1)
    x, y = np.sort(rng.uniform(0, 5, 9)), rng.standard_normal(9)
    at = np.linspace(x[0], x[-1], 50)
    expected = interpolate.Akima1DInterpolator(x, y)(at)
    np.testing.assert_allclose(interpolated(x, y, at), expected, atol=1e-12)
    three = interpolated(x[:3], y[:3], at[:9])
    inside = at[:9] <= x[2]
    np.testing.assert_allclose(three[inside], np.interp(at[:9][inside], x[:3], y[:3]), atol=1e-12)
    beyond = interpolated(x, y, np.array([x[-1] + 1.0]))[0]
    assert beyond == pytest.approx(y[-1] + (y[-1] - y[-2]) / (x[-1] - x[-2]))
