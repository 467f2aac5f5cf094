"""What is wrong with a profile: every check flags its own fault, and sound budgets pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from flopline.errors import FloplineError
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING
from flopline.laws.common.inputs import SAME_SIZE, size_classes
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.isoflop.outliers import MOST_TRIPLES, outliers, triples_of
from flopline.laws.isoflop.parabola import fit_parabolas
from flopline.laws.isoflop.quality import SHIFT, deleted_residuals
from tests.builders.designs import PROFILE_BUDGETS as BUDGETS
from tests.builders.designs import off_centre, profiles
from tests.builders.fits import TARGETS
from tests.builders.fits import fit_isoflop as fit
from tests.builders.surfaces import UNTIED

VERDICTS = ["curved", "sizes_apart", "centred", "without_outlier", "flops_level"]


def relaid(points: pd.DataFrame, params: pd.Series, flops: pd.Series) -> pd.DataFrame:
    """The same runs at other sizes and budgets, noise-free."""
    tokens = flops / (6 * params)
    loss = UNTIED.loss(params, tokens)
    return points.assign(params=params, tokens=tokens, flops=flops, loss=loss)


def flat(points: pd.DataFrame) -> pd.DataFrame:
    noise = np.tile([0.0, 0.02, -0.02], 5)
    return points.assign(loss=points["loss"].mean() + 0.3 * (points["loss"] - 2.9) + 3 * noise)


def repeating(points: pd.DataFrame) -> pd.DataFrame:
    kept = points["params"].to_numpy().copy()
    kept[1:10:2] = kept[:9:2] * 1.01
    return relaid(points, pd.Series(kept, index=points.index), points["flops"])


def too_large(points: pd.DataFrame) -> pd.DataFrame:
    return off_centre(points, UNTIED, 3.0)


def outlying(points: pd.DataFrame) -> pd.DataFrame:
    loss = points["loss"].to_numpy().copy()
    loss[14] += 0.15
    return points.assign(loss=loss)


def drifting(points: pd.DataFrame) -> pd.DataFrame:
    ln_n = np.log(points["params"]) - np.log(points["params"]).mean()
    return relaid(points, points["params"], points["flops"] * np.exp(0.05 * ln_n))


@pytest.mark.parametrize(
    ("spoil", "check", "flag"),
    [
        (flat, "curved", "its curvature is not significant (t = "),
        (repeating, "sizes_apart", "5 of its 15 sizes nearly repeat another"),
        (too_large, "centred", "its grid is off-centre: the vertex lies "),
        (outlying, "without_outlier", "run '1e+18-14' (246M params) is an outlier (t = "),
        (drifting, "flops_level", "the FLOPs of its runs rise with size (slope 0.05"),
    ],
)
def test_a_fault_is_flagged_by_its_own_check_with_a_reason(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], check: str, flag: str
) -> None:
    points = profiles(sizes=15, noise=0.0005)
    first = points["flops"] < 2e18
    spoiled = pd.concat([spoil(points[first]), points[~first]])
    # Pairs: a budget left out then changes nothing about the others.
    result = fit(spoiled, budgets=BUDGETS, method="pairs")
    vertices = result.tables["vertices"]
    assert vertices.loc[0, VERDICTS].to_dict() == {name: name != check for name in VERDICTS}
    assert flag in vertices.loc[0, "flags"]
    assert "1e+18" in result.message
    assert flag in result.message
    assert list(vertices["flagged"]) == [True] + [False] * 4
    assert vertices.loc[1:, VERDICTS].all(axis=None)
    assert vertices["used"].all()
    table = result.tables["estimators"].set_index("estimator")
    without = fit(points[~first], budgets=BUDGETS, method="pairs")
    sound, main = without.targets[0].values["params"].point, result.targets[0].values["params"]
    assert table.loc["checked", "params"].iloc[0] == sound
    moves_much = not main.lo95 <= sound <= main.hi95
    assert result.status == (WARNING if check == "curved" or moves_much else CONVERGED)
    assert table.loc["parabola", "params"].iloc[0] == result.targets[0].values["params"].point


@pytest.mark.parametrize("bad", [(13, 14), (11, 12, 13)])
def test_bad_runs_do_not_hide_each_other(bad: tuple[int, ...]) -> None:
    """Each alone is no outlier against a parabola that the others have pulled its way."""
    points = profiles(sizes=15, noise=0.0005)
    loss = points["loss"].to_numpy().copy()
    loss[list(bad)] += 0.1
    vertices = fit(points.assign(loss=loss), budgets=BUDGETS).tables["vertices"]
    assert vertices.loc[0, "outlier_run"] == ", ".join(f"1e+18-{i:02d}" for i in bad)
    assert not vertices.loc[0, "without_outlier"]
    assert vertices.loc[1:, "without_outlier"].all()


@pytest.mark.parametrize("sizes", [7, 12])
def test_budgets_doubted_on_sound_data_are_a_minority(sizes: int) -> None:
    doubted = total = 0
    for seed in range(12):
        points = profiles(sizes=sizes, noise=0.003, seed=seed)
        vertices = fit(points, budgets=BUDGETS, draws=20).tables["vertices"]
        doubted, total = doubted + int(vertices["flagged"].sum()), total + len(vertices)
    assert doubted < 0.25 * total


def test_flagged_budgets_are_left_out_on_demand() -> None:
    points = profiles(sizes=15, noise=0.0005)
    first = points["flops"] < 2e18
    spoiled = pd.concat([too_large(points[first]), points[~first]])
    flagged, excluded = (
        fit(spoiled, budgets=BUDGETS, quality=word) for word in ("flag", "exclude")
    )
    tables = [r.tables["estimators"].set_index("estimator") for r in (flagged, excluded)]
    for a, b in (("checked", "parabola"), ("checked", "checked"), ("all_budgets", "all_budgets")):
        numbers = [t.loc[name].drop(columns=["label", "main", "status", "message"])
                   for t, name in zip(tables, (a, b), strict=True)]  # fmt: skip
        pd.testing.assert_frame_equal(*(n.reset_index(drop=True) for n in numbers))
    vertex = excluded.tables["vertices"].iloc[0]
    assert not vertex["used"]
    assert "off-centre" in vertex["reason"]
    assert excluded.status == WARNING
    assert excluded.certificate["budgets_used"] == 4
    assert "instead of" in flagged.message
    assert excluded.settings["quality"] == "exclude"


def test_a_word_for_quality_that_does_not_exist_is_told() -> None:
    with pytest.raises(FloplineError, match="is 'strict' but must be 'flag' or 'exclude'"):
        fit(profiles(), quality="strict")


def test_checks_that_leave_too_little_fail_that_estimate_alone() -> None:
    points = relaid(profiles(noise=0.0), 3 * profiles()["params"], profiles()["flops"])
    result = fit(points, budgets=BUDGETS)
    assert result.tables["vertices"]["flagged"].all()
    row = result.tables["estimators"].set_index("estimator").loc["checked"].iloc[0]
    assert row["status"] == FAILED
    assert "only 0 budgets" in row["message"]
    assert np.isnan(row["params"])
    assert np.isfinite(result.parameters["a"].point)
    with pytest.raises(FloplineError, match=r"has 0 of 5 \(1e\+18 FLOPs: its grid is off-centre"):
        fit(points, budgets=BUDGETS, quality="exclude")


def test_budgets_without_a_usable_vertex_come_back_among_all_budgets() -> None:
    points = profiles(sizes=17, noise=0.0)
    beyond = (points["flops"] < 2e18) & (points["params"] < 1.1 * UNTIED.params_opt(1e18))
    result = fit(points[~beyond], budgets=BUDGETS, weights="variance")
    assert list(result.tables["vertices"]["used"]) == [False] + [True] * 4
    table = result.tables["estimators"].set_index("estimator")
    a = table.loc[["parabola", "checked", "all_budgets"], "a"].unique()
    assert len(a) == 2
    v = result.tables["vertices"]
    weights = 1 / np.maximum(v["params_se_ln"], v["params_se_ln"].median()) ** 2
    expected = np.polyfit(np.log(v["budget_flops"]), np.log(v["params"]), 1, w=np.sqrt(weights))
    assert table.loc["all_budgets", "a"].iloc[0] == pytest.approx(expected[0], rel=1e-9)


def test_deleted_residuals_are_those_of_a_refit_without_the_run() -> None:
    rng = np.random.default_rng(4)
    x = np.linspace(17, 20, 9)
    y = 2.5 + 0.05 * (x - 18.4) ** 2 + 0.01 * rng.standard_normal(9)
    fitted = fit_parabolas(x, y, np.arange(9), np.ones((1, 9))).at(x)
    residuals = deleted_residuals(x, y, fitted)
    for i in range(9):
        rest = np.arange(9) != i
        design = np.vander(x - 18, 3)
        beta, left, *_ = np.linalg.lstsq(design[rest], y[rest], rcond=None)
        variance = left[0] / (8 - 3)
        apart = design[i] @ np.linalg.inv(design[rest].T @ design[rest]) @ design[i]
        expected = (y[i] - design[i] @ beta) / np.sqrt(variance * (1 + apart))
        assert residuals[i] == pytest.approx(expected, rel=1e-7)


def test_sound_noise_is_seldom_called_an_outlier() -> None:
    rng = np.random.default_rng(8)
    x = np.linspace(-1, 1, 8)
    called = 0
    for _ in range(1000):
        y = 2.5 + 0.1 * x**2 + 0.01 * rng.standard_normal(8)
        t = deleted_residuals(x, y, np.polyval(np.polyfit(x, y, 2), x))
        # Two-sided 5 % over 8 runs at 4 degrees of freedom: t of 1 - 0.05/16, from tables 5.06.
        called += np.abs(t).max() > 5.06
    assert 30 <= called <= 65  # Bonferroni is nearly exact here; binomial sd 7


@pytest.mark.parametrize("slope", [-0.1, -0.03, 0.03, 0.1])
def test_the_shift_by_drifting_flops_is_predicted(slope: float) -> None:
    points = profiles(sizes=15, noise=0.0, width=3.0)
    level = points.groupby(points["run"].str[:5])["flops"].transform("first")
    ln_n = np.log(points["params"] / UNTIED.params_opt(level))
    moved = [relaid(points, points["params"], level * np.exp(s * ln_n)) for s in (0.0, slope)]
    raw, drifted = (fit(p, budgets=BUDGETS, budget_tolerance=0.5).tables["vertices"] for p in moved)
    np.testing.assert_allclose(drifted["flops_slope"], slope, rtol=1e-9)
    true = np.log(drifted["params"] / raw["params"])
    # First order in the slope, at an average curvature: a tenth is close.
    np.testing.assert_allclose(drifted["flops_shift"], true, rtol=0.12)
    assert (drifted["flops_level"] == (drifted["flops_shift"].abs() <= SHIFT)).all()
    np.testing.assert_allclose(raw["flops_shift"], 0.0, atol=1e-12)


def test_grids_that_drift_against_their_vertices_are_told() -> None:
    points = profiles(noise=0.0)
    drift = (points["flops"] / 1e18) ** 0.25
    result = fit(relaid(points, points["params"] * drift, points["flops"]), budgets=BUDGETS)
    assert result.certificate["grid_offset_drift"] == pytest.approx(0.25, abs=0.03)
    assert result.certificate["grid_offset_drift_se"] < 0.03
    assert "the grids drift against their vertices by a factor of 3" in result.message
    assert result.status == WARNING
    sound = fit(points, budgets=BUDGETS)
    assert "drift" not in sound.message
    assert abs(sound.certificate["grid_offset_change"]) < 0.05


def test_the_spread_of_compute_inside_budgets_is_stated() -> None:
    result = fit(profiles(), budgets=BUDGETS)
    v = result.tables["vertices"]
    largest = (v["flops_max"] / v["flops_min"] - 1).max()
    assert result.certificate["largest_flops_spread"] == pytest.approx(largest)
    assert largest == pytest.approx(1.01 / 0.99 - 1)
    assert v["ln_flops_sd"].between(0.008, 0.009).all()


def test_three_sizes_leave_nothing_to_test_a_curvature_with() -> None:
    result = isoflop_fit.fit(profiles(sizes=3), TARGETS, min_sizes=3, draws=50, seed=1)
    v = result.tables["vertices"]
    assert v["curvature_p"].isna().all()
    assert not v["curved"].any()
    assert v["flags"].str.startswith("its curvature is not significant (t = –)").all()


def test_an_outlier_that_moves_no_vertex_is_listed_but_not_flagged() -> None:
    points = profiles(sizes=15, noise=0.0005)
    loss = points["loss"].to_numpy().copy()
    loss[8] += 0.05
    vertex = fit(points.assign(loss=loss), budgets=BUDGETS).tables["vertices"].iloc[0]
    assert vertex["outlier_p"] < 1e-4
    assert abs(vertex["outlier_shift"]) < 0.01
    assert not vertex["flagged"]


@pytest.mark.parametrize("n", [7, 13, 14, 40])
def test_some_of_all_triples_are_those_of_a_list_of_all(n: int) -> None:
    triples = np.array(list(combinations(range(n), 3)))
    if len(triples) > MOST_TRIPLES:
        triples = np.random.default_rng(0).choice(triples, MOST_TRIPLES, replace=False)
    np.testing.assert_array_equal(triples_of(n), triples)


def test_a_budget_of_thousands_of_runs_finds_its_outlier_in_little_memory() -> None:
    """All triples of them are ten thousand million."""
    x = np.linspace(-1, 1, 4_000)
    y = 2 + x**2 + 0.001 * np.random.default_rng(0).standard_normal(x.size)
    y[7] += 0.1
    begins = np.sort(triples_of(x.size).ravel())
    assert (begins[0] >= 0) & (begins[-1] < x.size)
    np.testing.assert_array_equal(np.flatnonzero(outliers(x[::4], y[::4], 1e-3).outlying), [])
    np.testing.assert_array_equal(np.flatnonzero(outliers(x[3::4], y[3::4], 1e-3).outlying), [1])


def test_sizes_that_go_on_without_a_gap_are_not_one_size() -> None:
    sweep = np.geomspace(1e7, 1e9, 1_000)
    classes = size_classes(sweep[::-1])[::-1]
    assert classes[0] == 0
    assert (np.diff(classes) >= 0).all()
    assert classes[-1] == pytest.approx(np.log(100) / SAME_SIZE, rel=0.2)
    # As before where sizes have gaps: near ones share a class.
    np.testing.assert_array_equal(size_classes([3e7, 1e7, 1.01e7, 3.05e7, 9e7]), [1, 0, 0, 1, 2])
