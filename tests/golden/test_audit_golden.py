"""The audits against published numbers and against the digitised Chinchilla points.

Reference values without a named paper were computed with NumPy and SciPy apart from this code, on
the points that Epoch AI digitised from Hoffmann et al. 2022 (arXiv 2203.15556v1), figure 4, less
the five largest losses, or on simulated designs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import (
    bias,
    hygiene,
    identifiability,
    inference,
    ladder,
    next_run,
    regret,
    sensitivity,
)
from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.audit.next_run import Design
from flopline.audit.waste import quadratic_share, wasted_share
from flopline.laws.common.fit_result import FitResult
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric import parametric_fit
from flopline.options import StudyOptions
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Problem
from flopline.surfaces import published
from tests.builders.designs import GOPHER, HOFFMANN_BUDGETS, isoflop_runs, runs_at
from tests.builders.options import auditing, ladder_options
from tests.builders.surfaces import BESIROGLU, HOFFMANN, HOFFMANN_PRINTED
from tests.conftest import ROOT

LLAMA_3 = 3.8e25


@pytest.fixture(scope="module")
def fitted(without_outliers: pd.DataFrame) -> FitResult:
    return parametric_fit.fit(without_outliers, [GOPHER, LLAMA_3], draws=4000, seed=0)


@pytest.fixture(scope="module")
def chinchilla_ladder(without_outliers: pd.DataFrame) -> Finding:
    return ladder.audit(
        without_outliers,
        GOPHER,
        ladder_options(400).but(IsoflopOptions(budgets=HOFFMANN_BUDGETS)),
        steps_flops=(3e19, 1e20, 3e20, 6e20, 1e21, 2e21),
    )


def test_the_advice_drifts_while_the_loss_is_predicted(chinchilla_ladder: Finding) -> None:
    steps = chinchilla_ladder.tables["steps"].query("estimator == 'log_huber'")
    billions = steps["target_params"] / 1e9
    # Reference values, printed to a billion; the first two lie 0.54 above and 0.52 below.
    np.testing.assert_allclose(billions, [385, 193, 148, 131, 106, 86], atol=0.55)
    # What this code finds; tight L-BFGS-B ends at the same objectives to 1e-14.
    np.testing.assert_allclose(
        billions, [385.541, 192.478, 147.538, 131.183, 105.735, 85.840], rtol=1e-4
    )
    # "0.9 to 1.0 %" in the reference.
    assert steps["loss_error_percent"].between(0.88, 1.06).all()
    assert chinchilla_ladder.numbers["target_params_of_all"] == pytest.approx(73.2e9, rel=1e-3)
    assert steps["target_wasted_percent"].is_monotonic_decreasing


def test_stated_predictions_of_the_ladder_cover_too_little(chinchilla_ladder: Finding) -> None:
    steps = chinchilla_ladder.tables["steps"].query("estimator == 'log_huber'")
    # Measured: the scatter of the digitised losses is not the same at every budget.
    assert steps["coverage80"].between(0.20, 0.70).all()
    assert steps["coverage95"].between(0.50, 0.95).all()
    assert chinchilla_ladder.verdict == "warned"


def test_smaller_runs_advise_models_too_large(chinchilla_ladder: Finding) -> None:
    optima = chinchilla_ladder.tables["optima"]
    optima = optima[optima["estimator"].isin(["log_huber", "parabola"])]
    assert (optima["ln_ratio"] > 0).all()
    largest = optima.groupby(["law", "largest_flops"])["budget_flops"].max()
    assert (largest > 2.8e21).all()


def test_one_exponent_for_both_terms_predicts_the_size_best(chinchilla_ladder: Finding) -> None:
    # Measured: what no published analysis of these points states, and the reason to read scores.
    table = chinchilla_ladder.tables["scores"].set_index(["law", "estimator"])
    assert (table["n_steps"] == 6).all()
    wasted = table["wasted_percent"]
    assert wasted["parametric", "log_huber"] == pytest.approx(5.24, abs=0.01)
    assert wasted["parametric", "tied"] == pytest.approx(0.387, abs=0.001)
    assert wasted["isoflop", "parabola"] == pytest.approx(5.81, abs=0.05)  # weights from draws
    assert wasted["baseline", "best_run"] == pytest.approx(1.656, abs=0.001)
    errors = table["loss_error_percent"]
    assert errors["parametric", "log_huber"] == pytest.approx(0.768, abs=0.001)
    assert errors["baseline", "best_run"] == pytest.approx(1.393, abs=0.001)
    assert errors["baseline", "loss_compute"] == pytest.approx(1.514, abs=0.001)
    beating = chinchilla_ladder.numbers["beats_baselines"]
    assert beating == {"loss": ["parametric", "isoFLOP"], "size": []}


def test_regret_on_three_published_surfaces() -> None:
    early = published.load("nmm_2025_early").reported
    alpha, beta = np.array(
        [*((s.alpha, s.beta) for s in (HOFFMANN, BESIROGLU)), (early["alpha"], early["beta"])]
    ).T
    # N too small by each factor. The reference says 14-16, 6.3-7.1, 1.5-1.8 and 44-48 %; its low
    # end at 1.58 is 6.35 here.
    for factor, low, high, unit in (
        (2.0, 14, 16, 1),
        (1.58, 6.3, 7.1, 0.1),
        (1.25, 1.5, 1.8, 0.1),
        (4.0, 44, 48, 1),
    ):
        wasted_percent = 100 * wasted_share(alpha, beta, -np.log(factor))
        assert wasted_percent.min() == pytest.approx(low, abs=0.6 * unit)
        assert wasted_percent.max() == pytest.approx(high, abs=0.6 * unit)
        if factor <= 2:
            quadratic = 100 * quadratic_share(alpha, beta, np.log(factor))
            np.testing.assert_allclose(quadratic, wasted_percent, rtol=0.11)


def test_expected_waste_of_the_bootstrap(fitted: FitResult) -> None:
    finding = regret.audit(surface_of(fitted.to_json()), draws_of(fitted.draws), [GOPHER, LLAMA_3])
    expected = finding.tables["expected"]
    # The reference rests on 400 resamples, (alpha + beta)/2 var ln N: its variance is known to
    # 7 %, more with these tails.
    np.testing.assert_allclose(expected["expected_percent"], [1.4, 2.6], rtol=0.1)
    np.testing.assert_allclose(expected["sd_ln_params"], [0.195, 0.272], rtol=0.06)


def test_the_floor_is_weakly_identified(without_outliers: pd.DataFrame, fitted: FitResult) -> None:
    surface = surface_of(fitted.to_json())
    columns = (without_outliers[c].to_numpy() for c in ("params", "tokens", "loss"))
    problem = Problem.of(*columns, log_huber())
    profile = identifiability.profile_of_floor(problem, surface, GOPHER, reach=0.05, steps=201)
    held = profile[profile["E"].between(1.75, 1.90)]
    assert held["converged"].all()
    assert 0.06 < held["rise"].max() < 0.08
    assert (round(held["alpha"].min(), 2), round(held["alpha"].max(), 2)) == (0.31, 0.38)
    billions = held["params"] / 1e9
    assert (round(billions.min()), round(billions.max())) == (71, 84)


def test_amplitudes_trade_with_exponents(without_outliers: pd.DataFrame, fitted: FitResult) -> None:
    finding = identifiability.audit(without_outliers, surface_of(fitted.to_json()), GOPHER)
    published = finding.tables["directions"].query("frame == 'published'")
    assert list(published["words"][:2]) == ["B trades with beta", "A trades with alpha"]
    assert finding.numbers["condition"] == pytest.approx(fitted.certificate["condition"], rel=1e-6)
    assert finding.verdict == "good"
    assert finding.numbers["profile_closed"]
    # Measured, on a grid of E in steps of 0.011.
    assert [round(e, 2) for e in finding.numbers["profile_E"]] == [1.72, 1.90]
    assert [round(n / 1e9) for n in finding.numbers["profile_params"]] == [71, 86]


def test_a_ray_of_twenty_tokens_per_param_is_refused() -> None:
    n = np.geomspace(5e7, 1.6e10, 40)
    finding = identifiability.audit(runs_at(BESIROGLU, n, 20 * n), None, GOPHER)
    assert finding.verdict == "refuted"
    law = finding.tables["ray"].iloc[0]
    # alpha and beta nearly agree, so that one power law serves; the floor stays.
    assert BESIROGLU.alpha < law["alpha"] < BESIROGLU.beta
    assert law["E"] == pytest.approx(BESIROGLU.E, rel=2e-3)
    assert law["rms_relative_loss"] < 1e-4


def grid_design(width: float) -> pd.DataFrame:
    """Nine Chinchilla budgets of twelve sizes within a factor `width` of the optimum."""
    return isoflop_runs(BESIROGLU, HOFFMANN_BUDGETS, 12, width)


@pytest.mark.parametrize(("width", "sd"), [(2, 0.155), (3, 0.099), (4, 0.079), (8, 0.054)])
def test_the_error_of_a_design_is_known_beforehand(width: float, sd: float) -> None:
    points = grid_design(width)
    design = Design.of(BESIROGLU, points["params"], points["tokens"], sigma=0.005)
    assert round(float(np.sqrt(design.variance(GOPHER))), 3) == sd


def test_the_next_run_is_not_at_the_optimum() -> None:
    points = grid_design(4.0)
    design = Design.of(BESIROGLU, points["params"], points["tokens"], sigma=0.005)
    for cap, low, high in ((1e21, 5, 6), (1e22, 8.5, 9.1)):
        finding = next_run.audit(points, BESIROGLU, 0.005, GOPHER, auditing(next_run_cap=cap))
        table = finding.tables["runs"]
        at_cap = table[np.isclose(table["flops"], cap)].set_index("params_over_optimum")
        assert at_cap.loc[1.0, "removed_percent"] < 0.002
        # 5-9 % between 1e21 and 1e22 in the reference, which are farther from the optimum than the
        # runs reach and so are not offered.
        far = np.array([0.125, 8.0]) * BESIROGLU.params_opt(np.array([cap]))
        removed = 100 * design.reduction(GOPHER, far, BESIROGLU.tokens_for(cap, far))
        assert ((removed > low) & (removed < high)).all()
        assert not at_cap.index.isin([0.125, 8.0]).any()


@pytest.mark.parametrize(
    ("width", "known"), [(2.0, 1.0033), (4.0, 1.0132), (8.0, 1.0299), (16.0, 1.0537)]
)
def test_the_parabola_bias_is_removed(width: float, known: float) -> None:
    # Czech et al. 2026 (arXiv 2603.22339): five budgets of 15 sizes, no noise.
    points = isoflop_runs(HOFFMANN_PRINTED, np.geomspace(1e17, 1e21, 5), 15, width)
    fit = isoflop_fit.fit(points, [GOPHER], draws=0)
    surface = surface_of(parametric_fit.fit(points, [GOPHER], draws=0, seed=0).to_json())
    finding = bias.audit(surface, fit.tables["vertices"], fit.tables["profiles"], [GOPHER])
    table = finding.tables["vertices"]
    best = HOFFMANN_PRINTED.params_opt(table["budget_flops"])
    np.testing.assert_allclose(table["params"] / best, known, atol=5e-5)
    np.testing.assert_allclose(table["params_corrected"] / best, 1.0, atol=1e-6)
    np.testing.assert_allclose(table["bias_ln_params"], table["leading_order"], atol=0.01)


def test_the_corrected_isoflop_law_moves_toward_the_parametric_one(
    without_outliers: pd.DataFrame, fitted: FitResult
) -> None:
    fit = isoflop_fit.fit(
        without_outliers,
        [GOPHER],
        budgets=HOFFMANN_BUDGETS,
        draws=500,
        seed=1,
        method="pairs",
        weights="variance",
    )
    finding = bias.audit(
        surface_of(fitted.to_json()), fit.tables["vertices"], fit.tables["profiles"], [GOPHER]
    )
    laws = finding.tables["laws"].set_index("vertices")
    parametric_n = fitted.targets[0].values["params"].point
    distance = np.abs(np.log(laws["params"] / parametric_n))
    assert round(laws["params"]["raw"] / 1e9, 1) == 89.7
    assert round(laws["params"]["corrected"] / 1e9, 1) == 78.5
    assert distance["corrected"] < 0.5 * distance["raw"]


def test_the_design_alone_is_too_sure_of_the_chinchilla_fit(
    without_outliers: pd.DataFrame, fitted: FitResult
) -> None:
    finding = next_run.audit(
        without_outliers,
        surface_of(fitted.to_json()),
        fitted.certificate["residual_sd"],
        GOPHER,
        auditing(next_run_cap=1e22),
        draws=draws_of(fitted.draws),
    )
    assert round(finding.numbers["sd_ln_params"], 2) == 0.07
    assert finding.numbers["bootstrap_sd_ln_params"] == pytest.approx(0.20, abs=0.01)


def test_serving_ten_trillion_tokens_halves_the_model(fitted: FitResult) -> None:
    finding = inference.audit(
        surface_of(fitted.to_json()), GOPHER, auditing(inference_tokens=[1e13])
    )
    row = finding.tables["lifetime"].iloc[0]
    # Measured here; the condition itself is held in tests/unit/test_audit_inference.py.
    assert row["params"] == pytest.approx(34.43e9, rel=1e-3)
    assert row["tokens"] == pytest.approx(3.698e12, rel=1e-3)
    assert row["saved_percent"] == pytest.approx(28.79, rel=1e-3)


def test_one_budget_matters_most_to_the_chinchilla_fit(without_outliers: pd.DataFrame) -> None:
    finding = sensitivity.audit(
        without_outliers, GOPHER, StudyOptions(IsoflopOptions(budgets=HOFFMANN_BUDGETS))
    )
    table = finding.tables["changes"].set_index("change")
    # Reference: delta 1e-4, 1e-2 and 1e-1 give 72, 75 and 82B.
    billions = table["params"] / 1e9
    for delta, known in (("0.0001", 72), ("0.01", 75), ("0.1", 82)):
        assert round(billions[f"Huber delta {delta}"]) == known
    # Least squares on the loss, by variable projection: a = 0.545, 96B.
    assert round(billions["least squares on the loss"]) == 96
    assert table.loc["least squares on the loss", "a"] == pytest.approx(0.545, abs=5e-4)
    assert finding.tables["changes"]["kind"].iloc[0] == "budget"
    assert billions.min() == pytest.approx(50.19, rel=1e-3)
    assert round(finding.numbers["worst_wasted_percent"], 1) == 4.9


@pytest.fixture(scope="module")
def mingru() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and curves of the recurrent family of data/tinylm, straight from its raw logs."""
    folder = ROOT / "data" / "tinylm"
    runs = pd.read_csv(folder / "runs.csv").query("family == 'mingru'")
    logs = [pd.read_json(folder / path, lines=True) for path in runs["log"]]
    curves = pd.concat(logs, ignore_index=True)
    ends = curves[curves["split"] == "val"].sort_values("step").groupby("run")["loss"].last()
    facts = {"loss": runs["run"].map(ends), "status": "kept", "reason": ""}
    return runs.assign(**facts), curves


def test_the_logs_of_tinylm_tell_how_it_was_trained(
    mingru: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    """data/tinylm/README.md states all of this: the rule of the rates, schedules, seeds."""
    runs, curves = mingru
    fit = parametric_fit.fit(
        runs[["run", "params", "tokens", "loss"]].assign(flops=6 * runs["params"] * runs["tokens"]),
        [1e14],
        draws=0,
        seed=0,
    )
    finding = hygiene.audit(runs, curves, surface_of(fit.to_json()))
    trends = finding.tables["trends"].set_index("setting")
    # lr = exp(-0.1500) N^-0.7136 C^0.1398, C = 6ND.
    rate = trends.loc["lr_peak"]
    assert rate["params"] == pytest.approx(-0.7136 + 0.1398, abs=2e-4)
    assert rate["tokens"] == pytest.approx(0.1398, abs=2e-4)
    facts = finding.tables["runs"]
    assert facts["warmup_share"].between(0.045, 0.055).all()  # 5 % of the steps
    assert (facts["lr_final_share"] < 0.01).all()  # to zero
    np.testing.assert_allclose(facts["horizon_share"], 1.0)
    seeds = finding.tables["seeds"]
    assert list(seeds["runs"]) == [4, 4, 4, 3]
    # Its table of seeds: standard deviations of the loss, in the order of size, then tokens.
    deviations = seeds["sd_ln_loss"] * seeds["mean_loss"]
    np.testing.assert_allclose(deviations, [0.0052, 0.0063, 0.0067, 0.0039], atol=6e-5)
    checks = finding.tables["checks"].set_index("check")
    assert list(checks.index[checks["verdict"] == "warned"]) == ["seeds"]
    assert checks.loc["seeds", "value"] == pytest.approx(5.25, abs=0.05)  # measured
