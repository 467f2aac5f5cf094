"""The parametric fit as a FitResult: what it says, when it refuses, how it resamples."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from flopline.errors import FloplineError
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.outlying import Outlying
from flopline.laws.spec import spec_of
from flopline.points import checkpoint_points
from flopline.schema import QUANTITIES, target_column
from flopline.solvers import hoffmann_grid
from flopline.surfaces.chinchilla import LossSurface
from tests.builders import fits
from tests.builders.designs import checkpoint_runs, ray_runs
from tests.builders.designs import scattered_runs as runs
from tests.builders.surfaces import BESIROGLU

TARGETS = [1e21, 5.76e23]


def fitted(points: pd.DataFrame, draws: int = 50, **options):
    return fits.fit("parametric", points, TARGETS, draws=draws, seed=1, **options)


def test_noise_free_losses_give_the_surface_and_its_optimum_back():
    result = fitted(runs(noise=0.0), draws=20)
    assert result.status == CONVERGED
    assert list(result.parameters) == ["E", "A", "B", "alpha", "beta", "a", "b", "G"]
    for name in result.parameters:
        truth = float(np.asarray(getattr(BESIROGLU, name)))
        assert_allclose(result.parameters[name].point, truth, rtol=1e-6)
        assert_allclose(result.draws[name], truth, rtol=1e-4)
    for target, n, d, loss in zip(
        result.targets,
        BESIROGLU.params_opt(TARGETS),
        BESIROGLU.tokens_opt(TARGETS),
        BESIROGLU.loss_opt(TARGETS),
        strict=True,
    ):
        assert_allclose(target.values["params"].point, n, rtol=1e-6)
        assert_allclose(target.values["tokens"].point, d, rtol=1e-6)
        assert_allclose(target.values["loss"].point, loss, rtol=1e-6)
        assert_allclose(target.values["flops_ratio"].point, 1.0, rtol=1e-12)


def test_result_keeps_the_contract():
    result = fitted(runs())
    columns = [target_column(q, c) for c in TARGETS for q in QUANTITIES]
    assert result.law == "parametric"
    assert list(result.draws) == ["draw", *result.parameters, *columns]
    assert result.draws["draw"].tolist() == list(range(50))
    assert tuple(result.tables) == spec_of("parametric").tables
    points = result.tables["points"]
    assert_allclose(
        points["log_residual"], np.log(points["loss"]) - np.log(points["predicted"]), rtol=1e-12
    )
    certificate = result.certificate
    assert certificate["converged"]
    assert certificate["scaled_gradient"] <= 1e-8
    assert certificate["bounds"] == []
    assert certificate["draws"] == 50
    assert certificate["draws_left_out"] == 0
    assert certificate["flops_over_6nd"] == pytest.approx(1.0)
    json.dumps(result.to_json(), allow_nan=False)


def test_residual_sd_is_that_of_the_noise():
    certificate = fitted(runs(400, noise=0.004), draws=2).certificate
    assert certificate["residual_sd"] == pytest.approx(0.004, rel=0.15)


def test_intervals_hold_the_truth_at_about_their_level():
    inside = []
    for seed in range(40):
        result = parametric_fit.fit(runs(60, noise=0.003, seed=seed), TARGETS, draws=100, seed=seed)
        estimate = result.parameters["a"]
        inside.append(estimate.lo80 <= float(BESIROGLU.a) <= estimate.hi80)
    # 80 % of 40 is 32; 24 and 39 are its 0.5 % and 99.9 % binomial quantiles.
    assert 24 <= sum(inside) <= 39


def test_same_bytes_again_and_in_any_order_of_rows():
    points = runs()
    one = fitted(points)
    other = fitted(points.sample(frac=1.0, random_state=3))
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())
    pd.testing.assert_frame_equal(one.draws, other.draws, check_exact=True)
    pd.testing.assert_frame_equal(one.tables["points"], other.tables["points"], check_exact=True)


def test_checkpoints_are_resampled_with_their_run():
    points = runs(count=20)
    later = points.assign(tokens=points["tokens"] * 1.5, flops=points["flops"] * 1.5)
    later["loss"] = BESIROGLU.loss(later["params"], later["tokens"])
    # Repeating every row of a run repeats its weight, so nothing moves.
    one = fitted(pd.concat([points, later]))
    twice = fitted(pd.concat([points, later, points, later]))
    assert one.n_runs == twice.n_runs == 20
    assert (one.n_points, twice.n_points) == (40, 80)
    assert_allclose(twice.draws["a"], one.draws["a"], rtol=1e-5)


def test_few_runs_leave_out_resamples_with_too_few_points():
    result = fitted(runs(10, noise=0.001), draws=100)
    left_out = int(result.draws["a"].isna().sum())
    assert 0 < left_out < 50
    assert result.settings["method"] == "pairs"
    assert result.certificate["draws_left_out"] == left_out
    assert result.status == WARNING
    assert f"{left_out} of 100 resamples" in result.message


@pytest.mark.parametrize("count", [6, 7])
def test_where_most_resamples_fail_every_run_is_kept(count: int):
    """Two of 300 resamples of six runs had all six: an interval of no width, far from the truth."""
    result = fitted(runs(count, noise=0.003), draws=300)
    assert result.settings["method"] == "wild"
    assert result.certificate["draws_left_out"] < 150
    params = result.targets[0].values["params"]
    assert params.hi95 > 1.2 * params.lo95
    assert "so every run is kept and residuals are resampled instead" in result.message


def test_where_most_resamples_fail_and_residuals_are_not_logs_there_is_no_interval():
    result = fitted(runs(6, noise=0.003), draws=100, objective="linear_squares")
    assert np.isnan(result.parameters["a"].lo95)
    assert np.isnan(result.targets[0].values["params"].lo80)
    assert "so there are no intervals" in result.message


def test_runs_far_off_the_surface_are_named_with_what_n_is_without_them():
    points = runs(noise=0.002)
    sound = fitted(points)
    assert "far_off" not in sound.certificate
    bad = points["tokens"].div(points["params"]).nsmallest(3).index
    loss = points["loss"].where(~points.index.isin(bad), points["loss"] * 1.1)
    result = fitted(points.assign(loss=loss))
    far_off = result.certificate["far_off"]
    assert set(far_off["runs"]) == set(points.loc[bad, "run"])
    assert far_off["params_without"] == pytest.approx(
        sound.targets[0].values["params"].point, rel=0.15
    )


def test_runs_far_off_are_to_be_minded_where_n_hangs_on_them():
    outlying = Outlying(["a", "b"], 34.0, 5.76e23, 119e9, 74.4e9)
    assert outlying.matters
    assert outlying.sentence() == (
        "'a', 'b' lie far off the fitted surface (up to 34 robust standard deviations): N at "
        "5.76e23 FLOPs is 119B with and 74.4B without them"
    )
    assert not Outlying(["a"], 6.0, 5.76e23, 73.2e9, 71.9e9).matters


def test_no_draws_gives_points_without_intervals():
    result = fitted(runs(), draws=0)
    assert result.status == CONVERGED
    assert np.isnan(result.parameters["a"].lo80)
    assert len(result.draws) == 0


def test_ray_is_refused():
    result = fitted(ray_runs(count=40, spread=0.0, noise=0.003, seed=7))
    assert result.status == FAILED
    assert "Tokens follow from params" in result.message
    assert result.draws["a"].isna().all()


def test_near_ray_is_warned_of_and_a_spread_design_is_not():
    near = fitted(ray_runs(count=40, spread=0.15, noise=0.003, seed=7))
    assert near.status == WARNING
    assert "N_opt is poorly identified" in near.message
    assert near.certificate["token_spread"] == pytest.approx(0.15, rel=0.3)
    wide = fitted(ray_runs(count=40, spread=1.0, noise=0.003, seed=7))
    assert wide.status == CONVERGED
    assert wide.certificate["condition"] < near.certificate["condition"] / 5


def test_single_budget_is_refused():
    points = runs().assign(flops=1e20)
    result = fitted(points.assign(tokens=points["flops"] / (6 * points["params"])))
    assert result.status == FAILED
    assert "N_opt is not identified" in result.message


@pytest.mark.filterwarnings("error")
def test_losses_that_rise_with_size_at_every_budget_have_no_optimum():
    points = runs(noise=0.0)
    rising = LossSurface(1.5, 0.0, 900.0, 0.33, 0.3).loss(points["params"], points["tokens"])
    result = fitted(points.assign(loss=rising * points["params"] ** 0.001))
    assert result.status == FAILED
    assert "A is 0" in result.message
    assert "the loss rises with size" in result.message


def test_losses_that_ignore_tokens_have_no_optimum():
    points = runs(noise=0.0)
    flat = LossSurface(1.5, 400.0, 0.0, 0.33, 0.3).loss(points["params"], points["tokens"])
    result = fitted(points.assign(loss=flat * points["tokens"] ** 0.001))
    assert result.status == FAILED
    assert result.message.startswith("B is 0: these losses do not fall with tokens")
    assert "loss falls with size" in result.message
    assert result.parameters["B"].at_bound
    json.dumps(result.to_json(), allow_nan=False)


def test_irreducible_loss_of_zero_is_warned_of():
    points = runs(noise=0.0)
    loss = LossSurface(0.0, 60.0, 150.0, 0.17, 0.18).loss(points["params"], points["tokens"])
    result = fitted(points.assign(loss=loss - 0.1))
    assert result.status == WARNING
    assert "E on the bound" in result.message
    assert result.parameters["E"].at_bound
    assert not result.parameters["A"].at_bound


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (runs(5), r"'x' needs at least 6 runs .* has 5 runs at 5"),
        (pd.concat([runs(5)] * 3), r"needs at least 6 runs .* has 5 runs at 5"),
        (runs().assign(params=1e9), r"needs at least 3 different values of params, but has 1 \(1e"),
        (runs().assign(tokens=[1e9, 2e9] * 20), r"3 different values of tokens, but has 2 \(1e"),
        (runs().assign(loss=[2.0] * 39 + [np.nan]), r"'r039' has loss = nan"),
        (runs().assign(tokens=[0.0] + [1e9] * 39), r"'r000' has tokens = 0\.0"),
        (runs().assign(flops=[-1.0] + [1e18] * 39), r"'r000' has flops = -1\.0"),
        (runs().assign(params=[np.inf] + [1e9] * 39), r"'r000' has params = inf"),
    ],
)
def test_unusable_points_are_told_in_a_sentence(points, sentence):
    with pytest.raises(FloplineError, match=sentence):
        fitted(points, family="x")


def test_unusable_settings_are_told_in_a_sentence():
    with pytest.raises(FloplineError, match="solver` is 'sgd' but must be 'varpro_newton'"):
        fitted(runs(), solver="sgd")
    with pytest.raises(
        FloplineError, match="huber_delta` is 0 but must be greater than 0 or 'auto'"
    ):
        fitted(runs(), huber_delta=0.0)


def test_hoffmann_solver_says_that_it_stopped_short(monkeypatch):
    starts = hoffmann_grid.grid()[::50]
    monkeypatch.setattr(hoffmann_grid, "grid", lambda: starts)
    ours = fitted(runs(), draws=3)
    theirs = parametric_fit.fit(runs(), TARGETS, draws=3, seed=1, solver="hoffmann_grid")
    assert "4,500 starts of Hoffmann et al. 2022" in theirs.estimator
    assert theirs.certificate["starts"] == 90
    assert theirs.certificate["objective"] >= ours.certificate["objective"]
    assert theirs.status == WARNING
    assert "L-BFGS stopped short of the optimum" in theirs.message
    assert theirs.draws["a"].notna().all()


def test_a_form_that_misses_the_largest_runs_is_said_to():
    points = runs(60)
    largest = points["flops"] > points["flops"].quantile(5 / 6)
    result = fitted(points.assign(loss=points["loss"] * np.where(largest, 0.97, 1.0)))
    assert result.status == WARNING
    assert "runs of largest compute lie" in result.message
    assert "does not hold up to there" in result.message
    true = fitted(points)
    assert true.status == CONVERGED
    assert abs(true.certificate["top_runs_residual_z"]) < 3


def warming(points: pd.DataFrame) -> pd.DataFrame:
    """The same checkpoints, whose losses still come down in the first fifth of their run."""
    share = points["tokens"] / points.groupby("run")["tokens"].transform("max")
    return points.assign(loss=points["loss"] * np.where(share < 0.2, 1 + 0.6 * (0.2 - share), 1.0))


def test_early_losses_are_named_and_can_be_left_out() -> None:
    sound = checkpoint_runs(rows=12, noise=0.0, row_noise=0.0005)
    early = warming(sound)
    result = fitted(early, draws=0, variant_draws=None)
    assert "checkpoints_from: 0.2" in result.message
    assert result.certificate["early_residual_z"] > 3
    assert "checkpoints_from" not in fitted(sound, draws=0, variant_draws=None).message
    ends = early.groupby("run", as_index=False).last()
    assert "early_residual" not in fitted(ends, draws=0, variant_draws=None).certificate
    family = ends.assign(family="ash", status="kept", horizon_tokens=np.nan)
    curves = early.assign(split="val")[["run", "split", "tokens", "flops", "loss"]]
    kept = checkpoint_points(family, curves, "ash", "val", 0.2)
    assert 0 < len(kept) < len(early)
    assert_allclose(kept.groupby("run")["tokens"].max(), ends.set_index("run")["tokens"])
    truth = float(BESIROGLU.params_opt([TARGETS[0]])[0])
    found = fitted(kept, draws=0, variant_draws=None).targets[0].values["params"].point
    assert_allclose(found, truth, rtol=0.03)
