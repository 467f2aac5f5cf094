"""IsoFLOP: budgets, verdicts on vertices, the bootstrap, the tables."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import run_weights
from flopline.laws.common.fit_result import CONVERGED, WARNING, FitResult
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.isoflop.vertex_laws import SE_FLOOR, vertex_weights
from flopline.laws.spec import spec_of
from tests.builders.designs import GOPHER, profiles
from tests.builders.designs import PROFILE_BUDGETS as BUDGETS
from tests.builders.fits import fit_isoflop as fit
from tests.builders.refusals import refused
from tests.builders.surfaces import UNTIED


def test_gaps_given_and_nominal_budgets_agree() -> None:
    points = profiles()
    nominal = points.assign(budget_flops=[b for b in BUDGETS for _ in range(9)])
    by_gaps, by_given, by_nominal = fit(points), fit(points, budgets=BUDGETS), fit(nominal)
    pd.testing.assert_frame_equal(by_given.draws, by_nominal.draws, check_exact=True)
    for result in (by_given, by_nominal):
        assert result.certificate["equal_weights"] == by_gaps.certificate["equal_weights"]
        assert list(result.tables["vertices"]["nominal_flops"]) == list(BUDGETS)
    rules = [r.certificate["budgets_found_by"] for r in (by_gaps, by_given, by_nominal)]
    assert rules == ["gaps", "given", "nominal"]
    assert by_gaps.tables["vertices"]["nominal_flops"].isna().all()
    assert by_gaps.status == CONVERGED


def test_the_compute_of_a_budget_is_the_geometric_mean_of_its_runs() -> None:
    points = profiles()
    vertices = fit(points, budgets=BUDGETS).tables["vertices"]
    for budget, row in zip(BUDGETS, vertices.itertuples(), strict=True):
        flops = points.loc[points["run"].str.startswith(f"{budget:.0e}"), "flops"]
        assert row.budget_flops == pytest.approx(np.exp(np.log(flops).mean()), rel=1e-12)
        assert (row.flops_min, row.flops_max) == pytest.approx((flops.min(), flops.max()))
        assert row.ln_flops_sd == pytest.approx(np.log(flops).std(ddof=0), rel=1e-9)


def test_a_run_near_no_budget_is_listed_and_counted() -> None:
    stray = profiles(budgets=(5e18,), sizes=1)
    result = fit(pd.concat([profiles(), stray]), budgets=BUDGETS)
    listed = result.tables["profiles"]
    assert len(listed) == 46
    left = listed[listed["budget_flops"].isna()]
    assert list(left["run"]) == list(stray["run"])
    assert "no budget within 0.15" in left["reason"].iloc[0]
    assert result.status == WARNING
    assert "1 run near no budget" in result.message
    assert result.n_points == 45


def test_seed_repeats_enter_the_fit() -> None:
    points = profiles()
    repeat = points.iloc[[4]].assign(run="again", loss=lambda t: t["loss"] + 0.05)
    result = fit(pd.concat([points, repeat]))
    first = result.tables["vertices"].iloc[0]
    assert (first["n_runs"], first["n_sizes"]) == (10, 9)
    assert first["loss"] > fit(points).tables["vertices"].iloc[0]["loss"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p[:3], "only 3 distinct sizes, needs 4"),
        (lambda p: p.assign(loss=5.0 - p["loss"]), "no valley"),
        (lambda p: p[p["params"] > 1.1 * UNTIED.params_opt(1e18)], "outside the sizes trained"),
        (
            lambda p: p[p["params"] > 0.99 * UNTIED.params_opt(1e18)],
            "at the edge of the sizes trained",
        ),
    ],
)
def test_a_poor_budget_is_not_used_and_says_why(spoil: object, reason: str) -> None:
    points = profiles(sizes=17, noise=0.0)
    first = points["flops"] < 2e18
    poor = spoil(points[first])  # type: ignore[operator]
    result = fit(pd.concat([poor, points[~first]]), budgets=BUDGETS)
    vertex = result.tables["vertices"].iloc[0]
    assert not vertex["used"]
    assert reason in vertex["reason"]
    assert result.status == WARNING
    assert "not used" in result.message
    assert result.certificate["budgets_used"] == 4
    rest = fit(points[~first], budgets=BUDGETS)
    assert result.parameters["a"].point == pytest.approx(rest.parameters["a"].point, rel=1e-12)


@pytest.mark.parametrize("bend", [1e-6, -1e-6])
@pytest.mark.parametrize(("sign", "way", "sizes"), [(1, "rise", "smaller"), (-1, "fall", "larger")])
def test_losses_that_rise_or_fall_with_size_at_every_budget_are_said_to(
    sign, way, sizes, bend
) -> None:
    points = profiles()
    ln_n = np.log(points["params"] / points["params"].min())
    points = points.assign(loss=3.0 * np.exp(sign * 0.001 * ln_n + bend * ln_n**2))
    why = "so its vertex is outside" if bend > 0 else "so there is no valley"
    words = (f"its losses {way} with size", why, f"check the losses, or add {sizes} sizes")
    refused(lambda: fit(points), *words)


def test_runs_without_gaps_are_no_budget() -> None:
    points = profiles(noise=0.0)
    cloud = points["flops"] < 2e18
    points.loc[cloud, "flops"] *= np.geomspace(0.7, 1.4, int(cloud.sum()))
    vertex = fit(points).tables["vertices"].iloc[0]
    assert "not one budget" in vertex["reason"]
    assert not vertex["used"]


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (profiles().iloc[:1], "single run ('1e+18-0')"),
        (profiles(budgets=(1e18,)), "has 1 (1e+18 FLOPs)"),
        (profiles(budgets=(1e18, 1e19)), "has 2 (1e+18 and 1e+19 FLOPs)"),
        (profiles(sizes=3), "only 3 distinct sizes, needs 4"),
        (profiles().iloc[:0], "no runs for family 'oak'"),
        (profiles().drop(columns="tokens"), "needs the column tokens"),
        (pd.concat([profiles(), profiles()]), "'1e+18-0' of family 'oak' has several rows"),
        (profiles().assign(loss=np.nan), "loss = nan"),
        (profiles().assign(params=0.0), "params = 0"),
    ],
)
def test_mistakes_are_told_in_one_sentence(points: pd.DataFrame, sentence: str) -> None:
    refused(lambda: fit(points, family="oak"), sentence, "family 'oak'")


def test_budgets_that_match_nothing_are_told() -> None:
    with pytest.raises(FloplineError, match="none of the 45 runs"):
        fit(profiles(), budgets=[1e10])


def test_params_and_tokens_are_fitted_separately() -> None:
    points = profiles(noise=0.0).assign(tokens=lambda t: t["tokens"] ** 1.05)
    result = fit(points)
    honest = fit(profiles(noise=0.0))
    assert result.parameters["a"].point == pytest.approx(honest.parameters["a"].point, rel=1e-9)
    assert result.parameters["b"].point == pytest.approx(
        1.05 * honest.parameters["b"].point, rel=1e-9
    )
    assert honest.certificate["median_flops_ratio"] == pytest.approx(1.0, abs=2e-3)
    assert result.certificate["median_flops_ratio"] > 2.0
    assert result.targets[0].values["flops_ratio"].point > 2.0


def test_a_draw_is_the_fit_of_the_resampled_runs() -> None:
    points = profiles(noise=0.004)
    result = fit(points, draws=25, budgets=BUDGETS, method="pairs", weights="variance")
    ordered = result.tables["profiles"].reset_index(drop=True)
    w = vertex_weights_of(result)
    for draw in (0, 7, 24):
        ln_c, ln_n = [], []
        for budget, (_, rows) in zip(BUDGETS, ordered.groupby("budget_flops"), strict=True):
            label = f"{budget:.12g}"
            weights = run_weights(list(rows["run"]), 25, 1, strata=[label] * len(rows))[draw]
            again = rows.loc[rows.index.repeat(weights.astype(int))]
            c2, c1, _ = np.polyfit(np.log(again["params"]) - 18.0, again["loss"], 2)
            ln_n.append(18.0 - c1 / (2 * c2))
            ln_c.append(np.log(again["flops"]).mean())
        a, _ = np.polyfit(ln_c, ln_n, 1, w=np.sqrt(w))
        assert result.draws["a"][draw] == pytest.approx(a, rel=1e-7)


def vertex_weights_of(result: FitResult) -> np.ndarray:
    """Weights of the vertices by their own variance and, where it counts, that between budgets."""
    se = result.tables["vertices"]["params_se_ln"].to_numpy()
    between = result.certificate["between_budgets"]["params"]["sd"]
    return 1.0 / (np.maximum(se, SE_FLOOR * np.median(se)) ** 2 + between**2)


@pytest.mark.parametrize("weights", ["random", "variance"])
def test_the_law_weights_vertices_by_their_error(weights: str) -> None:
    points = profiles(noise=0.004)
    result = fit(points, budgets=BUDGETS, weights=weights)
    v = result.tables["vertices"]
    a, ln_k = np.polyfit(
        np.log(v["budget_flops"]), np.log(v["params"]), 1, w=np.sqrt(vertex_weights_of(result))
    )
    assert result.parameters["a"].point == pytest.approx(a, rel=1e-9)
    assert np.log(result.parameters["N_coef"].point) == pytest.approx(ln_k, rel=1e-9)
    equal, _ = np.polyfit(np.log(v["budget_flops"]), np.log(v["params"]), 1)
    assert result.certificate["equal_weights"]["a"] == pytest.approx(equal, rel=1e-9)
    assert abs(equal - a) > 1e-6
    np.testing.assert_allclose(v["params_weight"], vertex_weights_of(result), rtol=1e-12)
    assert (result.certificate["between_budgets"]["params"]["sd"] > 0) == (weights == "random")


def test_no_vertex_weighs_more_than_the_floor_allows() -> None:
    spread = np.array([1e-9, 0.02, 0.02, 0.02, 0.4])
    draws = spread * np.random.default_rng(0).standard_normal((4000, 5))
    weights = vertex_weights(draws)
    assert weights[0] / weights[2] == pytest.approx(1 / SE_FLOOR**2, rel=0.1)
    assert weights[4] / weights[2] == pytest.approx(1 / 400, rel=0.1)
    assert vertex_weights(np.empty((0, 3))) == pytest.approx(np.ones(3))


@pytest.mark.slow
def test_bootstrap_error_matches_repeated_experiments() -> None:
    fits = [fit(profiles(sizes=13, noise=0.003, seed=s), draws=100) for s in range(40)]
    vertices = [f.tables["vertices"] for f in fits]
    truth = np.log(np.array([v["params"] for v in vertices])).std(axis=0, ddof=1)
    stated = np.array([v["params_se_ln"] for v in vertices]).mean(axis=0)
    # 40 repetitions know one standard deviation to 11 %, and the mean over 5 budgets to 5 %.
    assert (stated / truth).mean() == pytest.approx(1.0, abs=0.15)
    a = np.array([f.parameters["a"].point for f in fits])
    exact = float(UNTIED.a)
    assert a.mean() == pytest.approx(exact, abs=4 * a.std() / np.sqrt(40))
    covered = [f.parameters["a"].lo95 < exact < f.parameters["a"].hi95 for f in fits]
    assert np.mean(covered) > 0.85


def test_row_order_and_repetition_change_nothing() -> None:
    points = profiles()
    shuffled = points.sample(frac=1.0, random_state=3)
    one, two = fit(points), fit(shuffled)
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())
    pd.testing.assert_frame_equal(one.draws, two.draws, check_exact=True)
    for name in spec_of("isoflop").tables:
        pd.testing.assert_frame_equal(one.tables[name], two.tables[name], check_exact=True)


def test_a_run_more_in_one_budget_leaves_the_draws_of_the_others() -> None:
    points = profiles()
    more = points.iloc[[4]].assign(run="extra")
    se = fit(points, method="pairs").tables["vertices"]["params_se_ln"]
    se_more = fit(pd.concat([points, more]), method="pairs").tables["vertices"]["params_se_ln"]
    assert se_more[1:].tolist() == se[1:].tolist()
    assert se_more[0] != se[0]


def test_another_seed_moves_the_draws_only() -> None:
    one, two = fit(profiles(noise=0.0)), fit(profiles(noise=0.0), seed=2)
    assert not one.draws["a"].equals(two.draws["a"])
    same = ["c0", "c1", "c2", "params", "tokens", "loss"]
    pd.testing.assert_frame_equal(one.tables["vertices"][same], two.tables["vertices"][same])


def test_a_budget_absent_from_a_draw_is_counted() -> None:
    thin = profiles(sizes=4, noise=0.0)
    result = fit(thin, draws=500, method="pairs")
    vertices = result.tables["vertices"]
    assert (vertices["draws_present"] < 500).all()
    assert (vertices["draws_present"] > 250).all()
    failed = result.draws["a"].isna()
    assert result.certificate["draws_failed"] == int(failed.sum())
    assert result.draws.loc[failed, "params@1e+21"].isna().all()


def test_without_draws_there_are_points_and_no_intervals() -> None:
    result = fit(profiles(), draws=0)
    assert np.isnan(result.parameters["a"].lo95)
    assert np.isfinite(result.parameters["a"].point)
    assert result.draws.empty
    assert result.parameters["a"].point == result.certificate["equal_weights"]["a"]


def test_the_loss_at_the_target_comes_from_the_loss_law() -> None:
    result = fit(profiles(noise=0.0))
    p = {k: e.point for k, e in result.parameters.items()}
    assert list(p) == ["a", "b", "N_coef", "D_coef", "L_E", "L_K", "L_c"]
    for target in result.targets:
        expected = p["L_E"] + p["L_K"] * target.budget_flops ** -p["L_c"]
        assert target.values["loss"].point == pytest.approx(expected, rel=1e-9)
    truth = float(UNTIED.loss_opt(GOPHER))
    assert result.targets[1].values["loss"].point == pytest.approx(truth, rel=2e-3)


def test_vertices_describe_their_parabola() -> None:
    result = fit(profiles())
    v = result.tables["vertices"]
    ln_vertex = v["centre_ln_params"] - v["c1"] / (2 * v["c2"])
    np.testing.assert_allclose(np.log(v["params"]), ln_vertex, rtol=1e-12)
    np.testing.assert_allclose(v["loss"], v["c0"] - v["c1"] ** 2 / (4 * v["c2"]), rtol=1e-12)
    for name in ("params", "tokens", "loss"):
        columns = [f"{name}_lo95", f"{name}_lo80", f"{name}_hi80", f"{name}_hi95"]
        assert (v[columns].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert (v["curvature_t"] > 2).all()
    points = result.tables["profiles"].merge(v, on="budget_flops", suffixes=("", "_v"))
    u = np.log(points["params"]) - points["centre_ln_params"]
    np.testing.assert_allclose(
        points["fitted"], points["c0"] + points["c1"] * u + points["c2"] * u**2, rtol=1e-12
    )


def test_curvature_t_is_the_least_squares_t() -> None:
    points = profiles(noise=0.004)
    first = points[points["flops"] < 2e18]
    _, cov = np.polyfit(np.log(first["params"]) - 18.0, first["loss"], 2, cov=True)
    vertex = fit(points).tables["vertices"].iloc[0]
    assert vertex["curvature_t"] == pytest.approx(vertex["c2"] / np.sqrt(cov[0, 0]), rel=1e-7)


def test_sizes_that_share_token_counts_are_no_valley():
    points = pd.DataFrame(
        {
            "run": [f"r{i}" for i in range(12)],
            "params": np.tile([1e8, 2e8, 4e8, 8e8], 3),
            "tokens": np.repeat([1e9, 1e10, 1e11], 4),
            "loss": 3.0 + 0.01 * np.arange(12),
        }
    )
    points["flops"] = 6 * points["params"] * points["tokens"]
    points["budget_flops"] = np.repeat([1e18, 1e19, 1e20], 4)
    with pytest.raises(FloplineError, match="share fewer than 3 token counts"):
        isoflop_fit.fit(points, [1e22], draws=20, seed=1)
