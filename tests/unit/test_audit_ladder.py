"""The held-out ladder on simulated runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.audit import ladder, ladder_scores
from flopline.audit.baselines import best_runs
from flopline.audit.finding import Finding
from flopline.audit.waste import wasted_share
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FitResult
from flopline.laws.envelope import envelope_fit
from flopline.laws.envelope.envelope_options import EnvelopeOptions
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.curves import curves_of
from tests.builders.decisions import MAIN
from tests.builders.designs import isoflop_runs
from tests.builders.options import ladder_options
from tests.builders.surfaces import BESIROGLU

TARGET = 1e24
BUDGETS = tuple(float(c) for c in np.geomspace(1e18, 1e22, 7))


COVERAGE = [f"{name}coverage{level}" for name in ("", "bottom_", "params_") for level in (80, 95)]


def steps_of(finding: Finding, law: str, estimator: str = "") -> pd.DataFrame:
    table = finding.tables["steps"]
    mine = (table["law"] == law) & (table["estimator"] == (estimator or MAIN[law]))
    return table[mine].reset_index(drop=True)


@pytest.fixture(scope="module")
def noise_free() -> Finding:
    """The ladder of runs that lie on the surface itself."""
    return ladder.audit(isoflop_runs(budgets=BUDGETS), TARGET, ladder_options(0))


def test_noise_free_runs_are_predicted_exactly(noise_free: Finding) -> None:
    rows = steps_of(noise_free, "parametric")
    assert len(rows) == len(BUDGETS) - 1
    fitted = rows[rows["status"] != "failed"]
    assert list(fitted["n_fitted"]) == [7 * k for k in range(1, 7)][-len(fitted) :]
    assert len(fitted) >= 5
    assert (fitted["loss_error_percent"] < 1e-5).all()
    np.testing.assert_allclose(fitted["target_params_over_all"], 1.0, atol=1e-4)
    assert noise_free.verdict == "good"
    assert rows["coverage95"].isna().all()
    assert "prediction" not in noise_free.sentence


def test_scores_are_those_of_the_fit_of_the_small_runs() -> None:
    points = isoflop_runs(budgets=BUDGETS, noise=0.004, seed=2)
    c = BUDGETS[3]
    finding = ladder.audit(points, TARGET, ladder_options(0), steps_flops=[c * 1.001])
    row = steps_of(finding, "parametric").iloc[0]
    small, large = points[points["flops"] <= c * 1.001], points[points["flops"] > c * 1.001]
    fit = parametric_fit.fit(small, [TARGET], draws=0, seed=0)
    surface = BESIROGLU.__class__(
        *(fit.parameters[n].point for n in ("E", "A", "B", "alpha", "beta"))
    )
    relative = surface.loss(large["params"], large["tokens"]) / large["loss"] - 1
    assert row["loss_error_percent"] == pytest.approx(100 * np.abs(relative).mean())
    assert row["loss_bias_percent"] == pytest.approx(100 * relative.mean())
    assert row["target_params"] == pytest.approx(fit.targets[0].values["params"].point)
    of_all_runs = parametric_fit.fit(points, [TARGET], draws=0, seed=0)
    best = of_all_runs.targets[0].values["params"].point
    share = wasted_share(
        of_all_runs.parameters["alpha"].point,
        of_all_runs.parameters["beta"].point,
        np.log(row["target_params"] / best),
    )
    assert row["target_wasted_percent"] == pytest.approx(100 * float(share))
    seen = finding.tables["optima"].query("estimator == 'log_huber'")
    vertices = isoflop_fit.fit(points, [TARGET], draws=0).tables["vertices"]
    np.testing.assert_allclose(seen["params_seen"], vertices["params"][-3:])
    np.testing.assert_allclose(seen["params_predicted"], surface.params_opt(BUDGETS[-3:]))
    np.testing.assert_allclose(
        seen["ln_ratio"], np.log(seen["params_predicted"] / seen["params_seen"])
    )


def test_the_isoflop_ladder_uses_the_budgets_below_the_step() -> None:
    points = isoflop_runs(budgets=BUDGETS, noise=0.002, seed=5)
    finding = ladder.audit(points, TARGET, ladder_options(0))
    rows = steps_of(finding, "isoflop")
    assert list(rows["status"][:2]) == ["failed", "failed"]
    assert "at least 3" in rows["message"][0]
    small = points[points["flops"] <= 1.01 * BUDGETS[3]]
    fit = isoflop_fit.fit(small, [TARGET], draws=0)
    row = rows.iloc[3]
    assert row["target_params"] == pytest.approx(fit.targets[0].values["params"].point, rel=1e-9)
    assert row["n_bottoms"] == 3


def test_predictions_cover_what_they_say_where_the_law_is_true() -> None:
    # The errors of one study's held-out runs are of one piece, so several studies are averaged.
    covered = []
    for seed in range(12):
        points = isoflop_runs(budgets=BUDGETS, sizes=9, noise=0.004, seed=seed)
        finding = ladder.audit(points, TARGET, ladder_options(100, seed), steps_flops=[BUDGETS[4]])
        covered.append(steps_of(finding, "parametric").iloc[0])
    mean = pd.DataFrame(covered)[COVERAGE].astype(float).mean()
    assert mean["coverage80"] == pytest.approx(0.80, abs=0.08)
    assert mean["coverage95"] == pytest.approx(0.95, abs=0.06)
    # Two bottoms a study: 24 of each, of which pairs err alike.
    for name in ("bottom", "params"):
        assert mean[f"{name}_coverage80"] == pytest.approx(0.80, abs=0.2)
        assert mean[f"{name}_coverage95"] == pytest.approx(0.95, abs=0.1)


def test_without_budgets_the_steps_are_shares_of_the_runs() -> None:
    points = isoflop_runs(budgets=BUDGETS, sizes=9, noise=0.003)
    spread = np.exp(np.random.default_rng(1).uniform(-0.7, 0.7, len(points)))
    tokens = points["tokens"] * spread
    points = points.assign(
        tokens=tokens,
        flops=points["flops"] * spread,
        loss=BESIROGLU.loss(points["params"], tokens),
    )
    finding = ladder.audit(points, TARGET, ladder_options(0))
    rows = steps_of(finding, "parametric")
    assert list(rows["n_fitted"]) == [25, 38, 50, 56]
    assert "isoFLOP" in finding.numbers["vertices_absent"]
    optima = finding.tables["optima"]
    assert set(optima["seen"]) == {"best run"}
    assert optima["loss_seen"].notna().all()
    assert optima["params_seen"].isna().all()
    assert rows["params_bias_percent"].isna().all()


def test_order_of_rows_does_not_matter() -> None:
    points = isoflop_runs(budgets=BUDGETS[:4], noise=0.003)
    one = ladder.audit(points, TARGET, ladder_options(20))
    other = ladder.audit(points.sample(frac=1, random_state=9), TARGET, ladder_options(20))
    assert one.to_json() == other.to_json()
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)


def test_steps_without_runs_on_both_sides_are_refused() -> None:
    with pytest.raises(FloplineError, match="a step with runs below and above"):
        ladder.audit(isoflop_runs(), TARGET, steps_flops=[1e10, 1e30])


def test_a_ladder_of_too_few_runs_says_that_nothing_was_predicted() -> None:
    finding = ladder.audit(isoflop_runs(), TARGET, ladder_options(0), steps_flops=[1e18])
    rows = steps_of(finding, "parametric")
    if rows["status"][0] != "failed":
        pytest.fail("one budget of seven sizes was fitted: the ray D = C/6N should have failed")
    assert finding.verdict == "not checked"
    assert "nothing was predicted" in finding.sentence
    assert finding.tables["predictions"].empty


# alpha = beta and no floor: N_opt ~ C^0.5 and L_opt ~ C^-0.17 exactly, so no baseline can err.
STRAIGHT = LossSurface(0.0, 400.0, 900.0, 0.34, 0.34)


def scores_of(finding: Finding) -> pd.DataFrame:
    return finding.tables["scores"].set_index(["law", "estimator"])


def test_the_best_run_baseline_is_exact_where_nothing_bends() -> None:
    finding = ladder.audit(isoflop_runs(STRAIGHT, budgets=BUDGETS), TARGET, ladder_options(0))
    row = scores_of(finding).loc[("baseline", "best_run")]
    assert row["loss_error_percent"] == pytest.approx(0.0, abs=0.05)  # the parabola's own bias
    assert row["wasted_percent"] == pytest.approx(0.0, abs=1e-9)
    assert row["target_wasted_percent"] == pytest.approx(0.0, abs=1e-9)


def test_the_loss_compute_baseline_knows_no_size_but_every_loss(noise_free: Finding) -> None:
    # Sizes at the optimum itself, and a floor.
    rows = steps_of(noise_free, "baseline", "loss_compute")  # from four points on they have a floor
    with_floor = rows[
        rows["largest_flops"] >= BUDGETS[3] * 0.99
    ]  # from four points on it has a floor
    assert (with_floor["bottom_error_percent"] < 0.1).all()  # the bottoms are those of parabolas
    assert rows["target_params"].isna().all()
    assert rows["wasted_percent"].isna().all()
    best_run = steps_of(noise_free, "baseline", "best_run").iloc[-1]
    assert best_run["bottom_error_percent"] > with_floor["bottom_error_percent"].iloc[-1]


def test_the_best_of_each_band_stands_in_for_budgets() -> None:
    table = pd.DataFrame(
        {
            "run": list("abcde"),
            "flops": [1.0, 3.5, 9.0, 9.5, 30.0],
            "loss": [3.0, 3.1, 2.5, 2.4, 2.0],
            "budget_flops": np.nan,
        }
    )
    # Bands down from 30 end at 10, 3.3 and 1.1; the best of 1.1 to 3.3 is none, a is below.
    assert list(best_runs(table)["run"]) == ["a", "d", "e"]
    # A band whose best is beaten by less compute has none.
    beaten = table.assign(loss=[2.2, 3.1, 2.5, 2.4, 2.0])
    assert list(best_runs(beaten)["run"]) == ["a", "e"]
    grouped = table.assign(budget_flops=[1.0, 1.0, 9.0, 9.0, 30.0])
    assert list(best_runs(grouped)["run"]) == ["a", "d", "e"]


def test_the_envelope_is_fitted_to_the_curves_of_the_small_runs_alone() -> None:
    points = isoflop_runs(budgets=BUDGETS, sizes=9)
    curves = curves_of(points, BESIROGLU, np.geomspace(0.05, 1.0, 30))
    options = EnvelopeOptions(bins=300, smoothing_steps=0)
    c = BUDGETS[3] * 1.001
    study, taken = ladder_options(0).but(options), {"envelope": curves}
    finding = ladder.audit(points, TARGET, study, fitted_to=taken, steps_flops=[c])
    small = curves[curves["run"].isin(points.loc[points["flops"] <= c, "run"])]
    fit = envelope_fit.fit(small, [TARGET], options, draws=0)
    row = steps_of(finding, "envelope").iloc[0]
    assert row["target_params"] == pytest.approx(fit.targets[0].values["params"].point)
    best = envelope_fit.fit(curves, [TARGET], options, draws=0).targets[0].values["params"].point
    assert row["target_params_over_all"] == pytest.approx(row["target_params"] / best)
    assert row["n_bottoms"] == 3
    assert row["estimator"] == fit.tables["estimators"]["estimator"].iloc[0]
    without = ladder.audit(points, TARGET, ladder_options(0), steps_flops=[c])
    assert "envelope" not in set(without.tables["scores"]["law"])
    for law in ("parametric", "isoflop"):
        pd.testing.assert_frame_equal(steps_of(finding, law), steps_of(without, law))


def test_other_forms_are_fitted_too_and_contain_the_truth() -> None:
    tied = LossSurface(1.7, 400.0, 900.0, 0.34, 0.34)
    finding = ladder.audit(isoflop_runs(tied, budgets=BUDGETS), TARGET, ladder_options(0))
    rows = scores_of(finding).loc["parametric"]
    assert list(rows.index) == ["log_huber", "tied", "skaling"]
    assert (rows["runs_error_percent"] < 1e-4).all()
    np.testing.assert_allclose(rows["target_wasted_percent"], 0.0, atol=1e-6)


def test_other_estimators_of_a_fit_are_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fit_alone = isoflop_fit.fit

    def fit(*arguments: Any, **options: Any) -> FitResult:
        result = fit_alone(*arguments, **options)
        table = result.tables["estimators"]
        main = table[table["main"]]
        large = main.assign(estimator="large", main=False, params=2 * main["params"])
        failed = main.assign(estimator="cubic", main=False, status="failed", message="no minimum")
        both = pd.concat([main, large, failed], ignore_index=True)
        return replace(result, tables={**result.tables, "estimators": both})

    monkeypatch.setattr(isoflop_fit, "fit", fit)
    points = isoflop_runs(budgets=BUDGETS, noise=0.002, seed=5)
    finding = ladder.audit(points, TARGET, ladder_options(0))
    optima = finding.tables["optima"].set_index("estimator")
    main, large = optima.loc["parabola"], optima.loc["large"]
    np.testing.assert_allclose(large["params_predicted"], 2 * main["params_predicted"])
    np.testing.assert_allclose(large["loss_predicted"], main["loss_predicted"])
    rows = steps_of(finding, "isoflop", "large")
    assert list(rows["status"] == "failed") == [False] * len(rows)  # it fails with its fit
    pd.testing.assert_series_equal(
        rows["target_params_over_all"].reset_index(drop=True),
        steps_of(finding, "isoflop")["target_params_over_all"].iloc[2:].reset_index(drop=True),
    )
    cubic = scores_of(finding).loc[("isoflop", "cubic")]
    assert cubic["n_steps"] == 0
    assert set(steps_of(finding, "isoflop", "cubic")["message"]) == {"no minimum"}
    names = list(finding.tables["scores"]["estimator"])
    assert names[3:6] == ["parabola", "large", "cubic"]


def step(law: str, estimator: str, c: float, status: str = "converged", **numbers: float) -> dict:
    row = dict.fromkeys(ladder_scores.MEANS.values(), np.nan)
    return row | {
        "law": law,
        "estimator": estimator,
        "largest_flops": c,
        "status": status,
        "n_bottoms": 2 if status != "failed" else 0,
        **numbers,
    }


def test_scores_are_means_over_the_steps_at_which_all_are_fitted() -> None:
    steps = pd.DataFrame(
        [
            step("parametric", "log_huber", 1.0, bottom_error_percent=9.0, wasted_percent=9.0),
            step("parametric", "log_huber", 2.0, bottom_error_percent=1.0, wasted_percent=4.0),
            step("parametric", "log_huber", 3.0, bottom_error_percent=2.0, wasted_percent=2.0),
            step("isoflop", "parabola", 1.0, "failed"),
            step("isoflop", "parabola", 2.0, bottom_error_percent=3.0, wasted_percent=1.0),
            step("isoflop", "parabola", 3.0, bottom_error_percent=5.0, wasted_percent=2.0),
            step("envelope", "bins", 1.0, "failed"),
            step("envelope", "bins", 2.0, "failed"),
            step("envelope", "bins", 3.0, "failed"),
            step("baseline", "best_run", 2.0, bottom_error_percent=2.0, wasted_percent=2.5),
            step("baseline", "best_run", 3.0, bottom_error_percent=2.0, wasted_percent=2.5),
            step("baseline", "loss_compute", 2.0, bottom_error_percent=4.0),
            step("baseline", "loss_compute", 3.0, bottom_error_percent=4.0),
        ]
    )
    table = ladder_scores.ladder_scores(steps)
    by = table.set_index("law")
    assert list(table["n_steps"]) == [2, 2, 0, 2, 2]
    assert by.loc["parametric", "loss_error_percent"] == 1.5
    assert by.loc["parametric", "wasted_percent"] == 3.0
    assert by.loc["isoflop", "wasted_percent"] == 1.5
    assert np.isnan(by.loc["envelope", "loss_error_percent"])
    assert not by.loc["envelope", "common"]
    sentence, beating = ladder_scores.compared(table)
    assert beating == {"loss": ["parametric"], "size": ["isoFLOP"]}
    assert "in the loss parametric beats the baselines" in sentence
    assert "in the size isoFLOP beats the baselines" in sentence
    assert "the 2 steps at which all were fitted" in sentence


def test_laws_that_do_not_beat_the_baselines_are_told_so() -> None:
    steps = pd.DataFrame(
        [
            step("parametric", "log_huber", 1.0, bottom_error_percent=3.0, wasted_percent=3.0),
            step("baseline", "best_run", 1.0, bottom_error_percent=2.0, wasted_percent=1.0),
        ]
    )
    sentence, beating = ladder_scores.compared(ladder_scores.ladder_scores(steps))
    assert beating == {"loss": [], "size": []}
    assert "in the loss no law beats the baselines" in sentence
    assert "the one step" in sentence
    assert ladder_scores.compared(ladder_scores.ladder_scores(steps.iloc[:1])) == ("", {})


def test_steps_without_a_common_one_are_scored_apart_and_say_so() -> None:
    steps = pd.DataFrame(
        [
            step("parametric", "log_huber", 1.0, bottom_error_percent=3.0),
            step("baseline", "best_run", 2.0, bottom_error_percent=2.0),
        ]
    )
    table = ladder_scores.ladder_scores(steps)
    assert list(table["n_steps"]) == [1, 1]
    assert not table["common"].any()
    assert "Each over its own steps" in ladder_scores.compared(table)[0]


def test_a_span_whose_ends_read_the_same_is_one_number() -> None:
    """A ladder of one step read: at most 6e18 to 6e18 FLOPs, within .66 to .66 %."""
    assert ladder._span(["6e18", "6e18"]) == "6e18"
    assert ladder._span(["0.66"]) == "0.66"
    assert ladder._span(["1", "2", "3"]) == "1 to 3"
