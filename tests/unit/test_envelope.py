"""Envelope: smoothing, the frontier of any subset of runs, the bootstrap, the tables."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.spatial import ConvexHull

from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import run_weights
from flopline.laws.common.curvature import curvature, slopes_by_thirds
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING, Estimate, FitResult, Target
from flopline.laws.common.inputs import size_classes
from flopline.laws.common.lack_of_fit import LackOfFit, by_cells, lack_of_fit, widened
from flopline.laws.common.loss_compute import fit_loss_compute
from flopline.laws.envelope import envelope_reading
from flopline.laws.envelope.frontier import ABSENT, RULES, Curves, interpolate
from flopline.laws.envelope.hull import Hull
from flopline.laws.envelope.smoothing import SIGMAS_PER_WINDOW, smoothed
from flopline.laws.spec import spec_of
from flopline.schema import target_column
from tests.builders import fits
from tests.builders.curves import curves_of, schedule_runs
from tests.builders.refusals import refused
from tests.builders.surfaces import HOFFMANN_PRINTED

EXPONENT = float(HOFFMANN_PRINTED.a)
TARGETS = [1e22, 1e23]


def training_curves(
    sizes: int = 12, horizons: int = 4, points: int = 200, noise: float = 0.003
) -> pd.DataFrame:
    """Curves with schedules of 1/4 to 4 times the optimal tokens.

    A run that is not finished lies above the surface, by 0.3 nats times the share still to go.
    """
    runs = schedule_runs(HOFFMANN_PRINTED, sizes, horizons)
    return curves_of(runs, HOFFMANN_PRINTED, points, steps=points, late=0.3, noise=noise)


def fit(curves: pd.DataFrame, **options: Any) -> FitResult:
    return fits.fit("envelope", curves, TARGETS, **{"draws": 50, "seed": 1, **options})


def flattered() -> pd.DataFrame:
    """Curves whose loss in mid-schedule is too low, the more so the larger the model.

    Whole curves then favour large models, ever more with compute; schedule ends do not.
    """
    curves = training_curves(sizes=16, horizons=12)
    left = 1 - curves["tokens"] / curves["horizon_tokens"]
    return curves.assign(loss=curves["loss"] - 0.1 * left * np.log(curves["params"] / 5e7))


CURVES = training_curves()
FLATTERED = flattered()


def random_curves(runs: int, points: int, seed: int) -> Curves:
    """Noisy curves of different length with overlapping compute."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(runs), points)
    x = np.sort(rng.uniform(0, 4, size=(runs, points)), axis=1) + rng.uniform(0, 3, size=(runs, 1))
    loss = 2 + np.exp(-0.5 * x) * rng.uniform(0.8, 1.2, size=(runs, 1))
    loss *= 1 + 0.01 * rng.standard_normal(x.shape)
    return Curves(run, x.ravel(), x.ravel() + 1.0, loss.ravel(), rng.integers(0, 6, size=runs))


# smoothing


def smooth(loss: list[float], step: list[float], window: float) -> np.ndarray:
    run = np.zeros(len(loss), dtype=np.int64)
    return smoothed(np.array(loss), np.array(step, dtype=float), run, window)[0]


def test_smoothing_is_a_normalised_gaussian_of_the_steps() -> None:
    rng = np.random.default_rng(0)
    loss, step = rng.normal(size=40), np.sort(rng.choice(200, 40, replace=False)).astype(float)
    sigma = 30.0 / SIGMAS_PER_WINDOW
    expected = []
    for s in step:
        behind, ahead = step <= s, (step > s) & (step - s <= s - step[0])
        near = (behind | ahead) & (np.abs(step - s) <= 15.0)
        kernel = np.exp(-0.5 * ((step - s) / sigma) ** 2) * near
        expected.append((kernel * loss).sum() / kernel.sum())
    np.testing.assert_allclose(smooth(loss.tolist(), step.tolist(), 30.0), expected, rtol=1e-12)


def test_smoothing_leaves_checkpoints_and_a_zero_window_alone() -> None:
    loss = [4.0, 3.0, 2.5, 2.4]
    assert smooth(loss, [477, 954, 1431, 1908], 10.0).tolist() == loss
    assert smooth(loss, [1, 2, 3, 4], 0.0).tolist() == loss


def test_smoothing_does_not_flatter_the_start_of_a_run() -> None:
    step = np.arange(1.0, 200.0)
    loss = 2.0 + 8.0 * step**-0.5
    assert (smooth(loss.tolist(), step.tolist(), 10.0) >= loss - 1e-12).all()


def test_smoothing_keeps_runs_apart_and_quietens_noise() -> None:
    rng = np.random.default_rng(1)
    loss = np.r_[np.full(100, 5.0), np.full(100, 1.0)] + 0.1 * rng.standard_normal(200)
    run, step = np.repeat([0, 1], 100), np.tile(np.arange(100.0), 2)
    quiet, per_window = smoothed(loss, step, run, 10.0)
    assert abs(quiet[:100].mean() - 5.0) < 0.05
    assert abs(quiet[100:].mean() - 1.0) < 0.05
    assert quiet[10:90].std() < 0.5 * loss[10:90].std()
    assert per_window == 11.0


# frontiers of subsets


def test_bins_select_the_lowest_loss_of_the_runs_present() -> None:
    curves = random_curves(runs=12, points=9, seed=2)
    grid = interpolate(curves, 80)
    assert grid is not None
    present = np.random.default_rng(3).random((30, 12)) < 0.4
    for rule in RULES:
        chosen = grid.select(present, rule)
        for i in range(30):
            masked = np.where(present[i][:, None], grid.loss, np.inf)
            reached = np.isfinite(masked).any(axis=0)
            assert (chosen.run[i] != ABSENT).tolist() == reached.tolist()
            best = masked.argmin(axis=0)[reached]
            assert chosen.run[i, reached].tolist() == best.tolist()
            for b in np.flatnonzero(reached):
                rivals = grid.size[np.isfinite(masked[:, b])]
                mine = grid.size[chosen.run[i, b]]
                ends = grid.size[present[i]] if rule == "inner" else rivals
                competing = rivals.min() < rivals.max()
                inside = rule == "contested" or ends.min() < mine < ends.max()
                assert chosen.used[i, b] == (competing and inside)


def test_bins_interpolate_inside_a_run_and_nowhere_else() -> None:
    curves = random_curves(runs=5, points=9, seed=4)
    grid = interpolate(curves, 300)
    assert grid is not None
    for r in range(5):
        x, y = curves.ln_flops[curves.run == r], curves.loss[curves.run == r]
        inside = (grid.ln_flops >= x[0]) & (grid.ln_flops <= x[-1])
        assert np.isinf(grid.loss[r, ~inside]).all()
        np.testing.assert_allclose(
            grid.loss[r, inside], np.interp(grid.ln_flops[inside], x, y), rtol=1e-14
        )


@pytest.mark.parametrize("seed", range(6))
def test_hull_equals_the_published_recipe_on_every_subset(seed: int) -> None:
    """McLeish et al. 2025: convex hull with a vantage point, strictly falling points kept."""
    curves = random_curves(runs=10, points=25, seed=seed)
    present = np.random.default_rng(seed).random((20, 10)) < 0.5
    present[:, seed] = True
    chosen = Hull(curves).select(present)
    for i in range(20):
        rows = np.flatnonzero(present[i][curves.run])
        x, y = curves.ln_flops[rows], np.log(curves.loss[rows])
        vantage = [x.max() + np.log(2), y.max() + np.log(2)]
        corners = ConvexHull(np.r_[np.c_[x, y], [vantage]]).vertices
        corners = corners[corners < rows.size]
        corners = corners[np.argsort(x[corners])]
        kept = corners[np.r_[True, np.diff(y[corners]) < 0]]
        n = int(chosen.used[i].sum())
        assert chosen.used[i, :n].all()
        np.testing.assert_allclose(chosen.ln_flops[i, :n], x[kept], rtol=0)
        assert chosen.run[i, :n].tolist() == curves.run[rows][kept].tolist()


def test_a_subset_without_runs_has_no_frontier() -> None:
    curves = random_curves(runs=4, points=9, seed=0)
    nobody = np.zeros((2, 4), dtype=bool)
    nobody[1] = True
    assert not Hull(curves).select(nobody).used[0].any()
    grid = interpolate(curves, 50)
    assert grid is not None
    assert (grid.select(nobody, "contested").run[0] == ABSENT).all()


def test_sizes_closer_than_two_per_cent_are_one() -> None:
    assert size_classes([1.01e8, 2e8, 1e8, 1.03e9, 1e9]).tolist() == [0, 1, 0, 3, 2]


# the law


def test_the_exponent_of_a_known_surface_is_recovered() -> None:
    """Ten steps of a staircase flatten a line by 1/100 and its ends by as much: 0.02 in all."""
    for noise in (0.0, 0.003):
        result = fit(training_curves(noise=noise))
        assert result.parameters["a"].point == pytest.approx(EXPONENT, abs=0.02)
        assert result.parameters["b"].point == pytest.approx(1 - EXPONENT, abs=0.02)
        assert result.certificate["rule"] == RULES["bracketed"]


def test_finished_runs_carry_the_frontier_when_horizons_are_dense() -> None:
    result = fit(training_curves(horizons=40, noise=0.0))
    assert result.certificate["share_in_last_fraction"] == 1.0
    assert result.parameters["a"].point == pytest.approx(EXPONENT, abs=0.01)
    assert result.status == CONVERGED
    n = result.targets[1].values["params"].point
    truth = float(HOFFMANN_PRINTED.loss(n, 1e23 / 6 / n))
    assert result.targets[1].values["loss"].point == pytest.approx(truth, rel=0.01)


def test_end_sizes_would_flatten_the_law() -> None:
    curves = training_curves(noise=0.0)
    runs = curves.drop_duplicates("run")
    number = curves.groupby("run").ngroup().to_numpy()
    grid = interpolate(
        Curves(
            number,
            np.log(curves["flops"].to_numpy()),
            np.log(curves["tokens"].to_numpy()),
            curves["loss"].to_numpy(),
            size_classes(runs["params"]),
        ),
        1500,
    )
    assert grid is not None
    slopes = {}
    for rule in RULES:
        chosen = grid.select(np.ones((1, len(runs)), dtype=bool), rule)
        ln_n = np.log(runs["params"].to_numpy())[chosen.run[0]]
        slopes[rule] = np.polyfit(chosen.ln_flops[0, chosen.used[0]], ln_n[chosen.used[0]], 1)[0]
    assert slopes["bracketed"] > EXPONENT - 0.02
    assert slopes["contested"] < EXPONENT - 0.1


def test_only_schedule_end_keeps_the_ends() -> None:
    result = fit(training_curves(horizons=12), only_schedule_end=True)
    frontier = result.tables["frontier"]
    assert frontier["in_last_fraction"].all()
    assert (frontier["position"] >= 0.85 - 1e-9).all()
    assert result.n_points == 12 * 12 * 31


def test_only_schedule_end_needs_a_horizon() -> None:
    curves = CURVES.assign(horizon_tokens=CURVES["horizon_tokens"].where(CURVES["run"] != "03-01"))
    with pytest.raises(FloplineError, match=r"run '03-01' .*states no horizon_tokens"):
        fit(curves, only_schedule_end=True)


@pytest.mark.parametrize("frontier", ["bins", "hull"])
def test_a_draw_is_the_fit_of_the_resampled_runs(frontier: str) -> None:
    result = fit(CURVES, frontier=frontier, draws=40)
    names = sorted(CURVES["run"].unique())
    weights = run_weights(names, 40, 1)
    for draw in (0, 11, 39):
        present = [n for n, w in zip(names, weights[draw], strict=True) if w > 0]
        alone = fit(CURVES[CURVES["run"].isin(present)], frontier=frontier, draws=0)
        # The grid of bins follows the runs; on another grid the same staircase is sampled anew.
        close = 1e-9 if frontier == "hull" else 0.02
        for name in ("a", "b"):
            assert result.draws[name][draw] == pytest.approx(
                alone.parameters[name].point, abs=close
            )


def test_memory_bound_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    once = fit(CURVES, draws=30, bins=200)
    monkeypatch.setattr(envelope_reading, "CELLS_AT_ONCE", 700)
    pd.testing.assert_frame_equal(once.draws, fit(CURVES, draws=30, bins=200).draws)


@pytest.mark.parametrize("frontier", ["bins", "hull"])
def test_row_order_and_repetition_change_nothing(frontier: str) -> None:
    one = fit(CURVES, frontier=frontier)
    two = fit(CURVES.sample(frac=1.0, random_state=5), frontier=frontier)
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())
    pd.testing.assert_frame_equal(one.draws, two.draws, check_exact=True)
    for name in spec_of("envelope").tables:
        pd.testing.assert_frame_equal(one.tables[name], two.tables[name], check_exact=True)


def test_the_frontier_table_says_where_each_point_comes_from() -> None:
    frontier = fit(CURVES).tables["frontier"]
    runs = CURVES.drop_duplicates("run").set_index("run")
    assert len(frontier) == 1500
    assert frontier["flops"].is_monotonic_increasing
    np.testing.assert_allclose(frontier["params"], runs.loc[frontier["run"], "params"])
    np.testing.assert_allclose(
        frontier["tokens"] * 6 * frontier["params"], frontier["flops"], rtol=1e-9
    )
    horizon = runs.loc[frontier["run"], "horizon_tokens"].to_numpy()
    np.testing.assert_allclose(frontier["position"], frontier["tokens"] / horizon)
    assert ((frontier["third"] > 0) == frontier["used"]).all()
    counts = frontier.loc[frontier["used"], "third"].value_counts()
    assert counts.max() - counts.min() <= 1


def test_thirds_are_lines_through_each_third() -> None:
    result = fit(CURVES)
    frontier = result.tables["frontier"]
    for third in (1, 2, 3):
        part = frontier[frontier["third"] == third]
        a = np.polyfit(np.log(part["flops"]), np.log(part["params"]), 1)[0]
        assert result.certificate["a_by_thirds"][third - 1] == pytest.approx(a, rel=1e-9)


def test_thirds_of_subsets_are_lines_through_each_third() -> None:
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(20, 40, size=(5, 60)), axis=1)
    y, used = 0.5 * x + rng.normal(size=x.shape), rng.random(x.shape) < 0.7
    slopes = slopes_by_thirds(x, y, used)
    for row in range(5):
        parts = 3 * np.arange(used[row].sum()) // used[row].sum()
        for third in range(3):
            here = np.flatnonzero(used[row])[parts == third]
            expected = np.polyfit(x[row, here], y[row, here], 1)[0]
            assert slopes[row, third] == pytest.approx(expected, rel=1e-9)


def test_a_third_of_next_to_no_compute_has_no_slope() -> None:
    x = np.array([[1.0, 1.0001, 2.0, 3.0, 4.0, 5.0]])
    slopes = slopes_by_thirds(x, np.array([[9.0, 1.0, 2.0, 3.0, 4.0, 5.0]]), np.full((1, 6), True))
    assert np.isnan(slopes[0, 0])
    assert slopes[0, 1:].tolist() == pytest.approx([1.0, 1.0])
    assert curvature(slopes[0], np.ones((50, 3)))["p_value"] is None


def test_deviations_that_differ_by_rounding_alone_count_as_equal():
    # Resamples flat in both thirds deviate as the point does, by sums whose last digit is chance.
    flat = np.zeros((50, 3))
    flat[:, -1] = np.where(np.arange(50) % 2, 1e-16, -1e-16)
    assert curvature(np.array([0.4, 0.45, 0.5]), flat)["p_value"] == 1.0


def test_a_straight_frontier_shows_no_bend_and_a_bent_one_does() -> None:
    straight = fit(training_curves(horizons=20), draws=200)
    assert straight.certificate["curvature"]["p_value"] > 0.05
    assert "the frontier shows no bend: params grow as C^" in straight.message
    bent = fit(FLATTERED, draws=200)
    test = bent.certificate["curvature"]
    assert test["p_value"] < 0.05
    assert 0 < test["lo95"] < test["difference"] < test["hi95"]
    assert bent.status == WARNING
    assert "the frontier bends: params grow as C^" in bent.message


def test_curves_are_thinned_with_their_ends() -> None:
    curves = training_curves(sizes=4, points=2000)
    drawn = fit(curves).tables["curves"]
    counts = drawn.groupby("run").size()
    assert counts.max() <= 300
    assert counts.min() >= 100
    for end in ("min", "max"):
        np.testing.assert_array_equal(
            drawn.groupby("run")["step"].agg(end), curves.groupby("run")["step"].agg(end)
        )


def test_a_checkpoint_before_training_is_skipped_and_counted() -> None:
    start = CURVES.drop_duplicates("run").assign(step=0, tokens=0.0, flops=0.0, loss=10.8)
    result = fit(pd.concat([start, CURVES]))
    assert result.certificate["points_at_zero_flops"] == len(start)
    assert result.parameters["a"].point == fit(CURVES).parameters["a"].point


def test_unfinished_frontiers_and_few_sizes_are_warned_of() -> None:
    result = fit(training_curves(sizes=6))
    assert result.status == WARNING
    assert "of the frontier lies in the last 15% of its schedule" in result.message
    assert "only 4 sizes win" in result.message
    assert result.certificate["rule"] == RULES["inner"]


def test_a_hull_of_end_sizes_is_warned_of() -> None:
    result = fit(CURVES, frontier="hull")
    assert result.certificate["share_at_end_sizes"] > 0.25
    assert "smallest or largest size" in result.message


def test_without_horizons_nothing_is_claimed_about_schedules() -> None:
    result = fit(CURVES.drop(columns="horizon_tokens"))
    assert result.certificate["share_in_last_fraction"] is None
    assert not result.tables["frontier"]["in_last_fraction"].any()
    assert result.parameters["a"].point == fit(CURVES).parameters["a"].point


@pytest.mark.parametrize(
    ("curves", "sentence"),
    [
        (CURVES[CURVES["run"] < "00-02"], "has 2 runs of 1 size"),
        (CURVES[CURVES["params"] < 6e7], "has 4 runs of 1 size"),
        (CURVES.iloc[:0], "no runs for family 'oak'"),
        (CURVES.drop(columns=["step", "loss"]), "needs the columns loss, step"),
        (CURVES.assign(loss=-1.0), "loss = -1"),
        (CURVES.groupby("run").tail(1), "a run needs more than one row"),
        (
            CURVES.assign(flops=CURVES["params"] ** 2 * (1.0 + 1e-9 * CURVES["step"])),
            "reach the same FLOPs",
        ),
        (
            CURVES.assign(loss=CURVES["params"] / 1e9, flops=CURVES["step"] * 1e18),
            "one size (5e+07 params) that wins",
        ),
    ],
)
def test_mistakes_are_told_in_one_sentence(curves: pd.DataFrame, sentence: str) -> None:
    refused(lambda: fit(curves, family="oak"), sentence, "family 'oak'")


def test_an_unknown_frontier_is_told() -> None:
    with pytest.raises(FloplineError, match="is 'cone' but must be 'bins' or 'hull'"):
        fit(CURVES, frontier="cone")


# estimators side by side


def test_every_reading_stands_beside_the_main_one() -> None:
    curves = training_curves(horizons=12)
    result = fit(curves)
    table = result.tables["estimators"]
    assert table["estimator"].tolist() == [
        n for n in ("bins", "hull", "schedule_end") for _ in "ab"
    ]
    assert table["main"].tolist() == [True] * 2 + [False] * 4
    alone = {
        "bins": result,
        "hull": fit(curves, frontier="hull"),
        "schedule_end": fit(curves, only_schedule_end=True),
    }
    for name, rows in table.groupby("estimator"):
        for row, target in zip(rows.itertuples(), alone[name].targets, strict=True):
            assert row.a == alone[name].parameters["a"].point
            assert row.a_lo95 == alone[name].parameters["a"].lo95
            for quantity in ("params", "tokens", "loss"):
                assert getattr(row, quantity) == target.values[quantity].point
                assert getattr(row, f"{quantity}_lo80") == target.values[quantity].lo80
                assert getattr(row, f"{quantity}_hi95") == target.values[quantity].hi95


def test_a_reading_that_can_not_be_made_is_failed_and_says_why() -> None:
    table = fit(CURVES.drop(columns="horizon_tokens")).tables["estimators"]
    rows = table[table["estimator"] == "schedule_end"]
    assert (rows["status"] == FAILED).all()
    assert rows["message"].str.contains("states no horizon_tokens").all()
    assert rows["params"].isna().all()
    assert (table.loc[table["estimator"] != "schedule_end", "status"] != FAILED).all()


def test_a_fit_without_variants_says_the_same_of_itself() -> None:
    alone, beside = fit(CURVES, with_variants=False), fit(CURVES)
    assert alone.tables["estimators"]["estimator"].unique().tolist() == ["bins"]
    # As JSON, which says NaN in one way.
    assert alone.to_json()["targets"] == beside.to_json()["targets"]
    assert alone.certificate == beside.certificate


def test_schedule_ends_alone_stand_beside_whole_curves() -> None:
    table = fit(training_curves(horizons=12), only_schedule_end=True).tables["estimators"]
    assert table["estimator"].unique().tolist() == ["bins", "hull", "whole_curves"]


def test_schedule_ends_that_tell_another_size_are_warned_of() -> None:
    result = fit(FLATTERED, draws=200)
    table = result.tables["estimators"].groupby("estimator").first()
    assert table.loc["schedule_end", "params"] < 0.9 * table.loc["bins", "params_lo95"]
    assert result.message.startswith("schedule ends alone give N ~ C^")
    assert result.status == WARNING
    assert fit(FLATTERED, only_schedule_end=True).message.count("schedule ends alone") == 0


def test_points_in_mid_schedule_and_unfinished_runs_are_flagged() -> None:
    cut = CURVES["run"].eq("06-02") & (CURVES["tokens"] > 0.9 * CURVES["horizon_tokens"])
    result = fit(CURVES[~cut])
    frontier = result.tables["frontier"]
    assert (frontier["mid_schedule"] != frontier["in_last_fraction"]).all()
    used = frontier[frontier["used"]]
    c = result.certificate
    assert c["share_mid_schedule"] == pytest.approx(1 - c["share_in_last_fraction"])
    assert c["share_mid_schedule"] == pytest.approx(used["mid_schedule"].mean())
    assert c["runs_unfinished"] == 1
    assert frontier["run_unfinished"].eq(frontier["run"] == "06-02").all()
    assert "1 run ended before their schedule" in result.message
    assert fit(CURVES).certificate["runs_unfinished"] == 0


def test_points_at_curve_ends_are_flagged() -> None:
    frontier = fit(CURVES, frontier="hull").tables["frontier"]
    ends = CURVES.groupby("run")["flops"].max()
    expected = np.isclose(frontier["flops"], ends[frontier["run"]], rtol=1e-9)
    assert frontier["curve_end"].tolist() == expected.tolist()
    assert expected.any()
    assert not expected.all()


# the loss law


def test_a_pinned_floor_is_kept_and_its_law_is_recovered() -> None:
    ln_c = np.linspace(40, 50, 30)
    loss = 1.7 + np.exp(6.0 - 0.15 * ln_c)
    for floor in (1.7, None):
        law = fit_loss_compute(ln_c, loss, 1.0, floor=floor)
        fitted = (law.E[0], law.ln_K[0], law.c[0])
        assert fitted == pytest.approx((1.7, 6.0, 0.15), rel=1e-6)
    pinned = fit_loss_compute(ln_c, loss, 1.0, floor=1.5)
    assert pinned.E[0] == 1.5
    assert pinned.form() == "E + K C^-c with E pinned at 1.5"
    best = minimize(
        lambda z: np.sum(((1.5 + np.exp(z[0] - z[1] * (ln_c - 45))) / loss - 1) ** 2),
        (0.0, 0.1),
        method="Nelder-Mead",
        options={"xatol": 1e-12, "fatol": 1e-20, "maxiter": 10000},
    )
    assert pinned.c[0] == pytest.approx(best.x[1], rel=1e-6)


def test_the_floor_can_be_pinned_in_the_envelope() -> None:
    result = fit(CURVES, loss_floor=1.69)
    assert result.parameters["L_E"].point == result.parameters["L_E"].hi95 == 1.69
    assert result.certificate["loss_law"] == "E + K C^-c with E pinned at 1.69"
    assert "the floor E = 1.69 of the loss law was given" in result.message
    assert result.settings["loss_floor"] == 1.69
    assert fit(CURVES).settings["loss_floor"] == "fitted"
    with pytest.raises(FloplineError, match=r"loss_floor is 9, but the frontier of .* reaches 2\."):
        fit(CURVES, loss_floor=9.0)


def test_a_loss_law_that_misses_is_found_out_and_widens_the_loss() -> None:
    """A frontier with a step is no power law; a frontier of the surface itself is one."""
    curves = training_curves(sizes=16, horizons=20)
    fine = fit(curves, draws=200)
    assert fine.certificate["lack_of_fit"]["p_value"] > 0.05
    step = 0.15 / (1 + np.exp(-3 * (np.log(curves["flops"]) - np.log(3e20))))
    missed = fit(curves.assign(loss=curves["loss"] - step), draws=200)
    test = missed.certificate["lack_of_fit"]
    assert test["p_value"] < 0.05
    assert test["rms_seen"] > test["rms_of_runs"]
    assert "intervals of the loss are widened" in missed.message
    for target, narrow in zip(
        missed.targets, missed.certificate["loss_without_misfit"], strict=True
    ):
        wide = target.values["loss"]
        assert wide.lo95 < narrow["lo95"] < narrow["hi95"] < wide.hi95
        column = missed.draws[target_column("loss", target.budget_flops)]
        assert wide == Estimate.of(wide.point, column.to_numpy())


def test_lack_of_fit_is_judged_by_runs_not_by_points() -> None:
    """The same frontier in four times the bins is no more evidence against the law."""
    curves = training_curves(sizes=16, horizons=20)
    few, many = (
        fit(curves, bins=bins, draws=200).certificate["lack_of_fit"] for bins in (500, 2000)
    )
    assert many["p_value"] == pytest.approx(few["p_value"], abs=0.05)
    assert many["rms_of_runs"] == pytest.approx(few["rms_of_runs"], rel=0.2)


def test_residuals_are_averaged_by_stretch_of_compute() -> None:
    law = fit_loss_compute([1.0, 2.0, 3.0], [3.0, 2.5, 2.25], 1.0)
    x, weight = np.array([[0.0, 0.4, 0.6, 1.0, 7.0]]), np.array([[1.0, 3.0, 1.0, 0.0, 1.0]])
    off = np.array([0.01, 0.02, -0.01, 9.0, 9.0])
    loss = law.at(x[0]) * (1 + off)
    cells = by_cells(x, loss, weight, law, np.array([0.0, 0.5, 1.0, 1.5]))
    np.testing.assert_allclose(cells, [[(0.01 + 3 * 0.02) / 4, -0.01, np.nan]], atol=1e-12)


def test_the_misfit_is_what_runs_leave_and_widens_by_its_leverage() -> None:
    """Errors of the law's gradient, from differences, carry the misfit of n runs to the target."""
    x = np.linspace(40.0, 50.0, 20)
    law = fit_loss_compute(x, 1.7 + np.exp(6.0 - 0.15 * x), 1.0)
    rng = np.random.default_rng(2)
    draws, seen = 0.001 * rng.standard_normal((500, 20)), 0.01 * np.sign(np.sin(7 * x))
    misfit = lack_of_fit(x, np.ones(20), law, (seen, draws), 9, [np.exp(53.0)])
    noise = np.mean((draws - draws.mean(axis=0)) ** 2)
    assert misfit.rms_seen == pytest.approx(0.01)
    assert misfit.rms_of_runs == pytest.approx(noise**0.5)
    assert misfit.p_value == pytest.approx(1 / 501)
    assert misfit.misfit == pytest.approx(np.sqrt((0.01**2 - noise) * 9 / 6))

    def slopes(at: np.ndarray) -> np.ndarray:
        def ln_loss(e: float, ln_k: float, c: float) -> np.ndarray:
            return np.log(e + np.exp(ln_k - c * at))

        z, h = np.array([law.E[0], law.ln_K[0], law.c[0]]), 1e-6
        steps = h * np.eye(3)
        return np.stack([(ln_loss(*(z + s)) - ln_loss(*(z - s))) / (2 * h) for s in steps], 1)

    inside, target = slopes(x), slopes(np.array([53.0]))
    leverage = (target @ np.linalg.inv(inside.T @ inside / 20) @ target.T).item()
    assert misfit.sd[0] == pytest.approx(misfit.misfit * np.sqrt(1 + leverage / 9), rel=1e-4)
    quiet = lack_of_fit(x, np.ones(20), law, (0.0001 * seen, draws), 9, [np.exp(53.0)])
    assert (quiet.misfit, quiet.sd[0], quiet.significant) == (0.0, 0.0, False)


def test_widened_draws_have_the_spread_of_the_misfit() -> None:
    one = Estimate(2.0)
    targets = [Target(c, {"loss": one}) for c in (1e22, 1e23)]
    draws = pd.DataFrame(
        {target_column("loss", t.budget_flops): np.full(999, 2.0) for t in targets}
    )
    misfit = LackOfFit(0.01, 0.02, 0.01, 0.02, np.array([0.03, 0.05]))
    after, table = widened(targets, draws, misfit, seed=4)
    spread = table.to_numpy() / 2.0 - 1.0
    np.testing.assert_allclose(spread.std(axis=0), [0.03, 0.05], rtol=0.01)
    np.testing.assert_allclose(spread[:, 0] / 0.03, spread[:, 1] / 0.05, atol=1e-9)
    assert after[0].values["loss"].hi95 == pytest.approx(2.0 * (1 + 1.96 * 0.03), rel=1e-3)
    pd.testing.assert_frame_equal(table, widened(targets, draws, misfit, seed=4)[1])


def test_the_settings_state_how_curves_are_smoothed() -> None:
    settings = fit(CURVES, smoothing_steps=20.0).settings
    assert settings["smoothing_steps"] == 20.0
    assert settings["smoothing_kernel"] == "Gaussian, cut off at half a window"
    assert settings["smoothing_sigma_steps"] == 5.0


def test_without_draws_there_are_points_and_no_intervals() -> None:
    for frontier in ("bins", "hull"):
        result = fit(CURVES, frontier=frontier, draws=0)
        assert np.isnan(result.parameters["a"].lo95)
        assert np.isfinite(result.parameters["a"].point)
        assert result.draws.empty
