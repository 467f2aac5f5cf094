"""What the runs identify: the profile against SciPy, rays refused, hulls warned about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

from flopline.audit import identifiability
from flopline.audit.collinear import reduced_law
from flopline.audit.finding import surface_of
from flopline.audit.identifiability import in_words, token_spread
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.options import StudyOptions
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from tests.builders.designs import isoflop_runs, ray_runs, runs_at
from tests.builders.surfaces import BESIROGLU

TARGET = 1e23
LEAST_SQUARES = 1e3


def fitted(points: pd.DataFrame, delta: float = 1e-3) -> LossSurface:
    fit = parametric_fit.fit(points, [TARGET], huber_delta=delta, draws=0, seed=0)
    return surface_of(fit.to_json())


def test_the_profile_is_the_best_fit_for_each_floor() -> None:
    points = isoflop_runs(noise=0.003, seed=4)
    surface = fitted(points, LEAST_SQUARES)
    finding = identifiability.audit(
        points, surface, TARGET, StudyOptions(ParametricOptions(huber_delta=LEAST_SQUARES))
    )
    profile = finding.tables["profile"]
    assert profile["converged"].all()
    x, y = (np.log(points[c] / points[c].mean()) for c in ("params", "tokens"))
    for row in profile.iloc[[0, 10, 20, 30, 40]].itertuples():

        def residuals(theta: np.ndarray, floor: float = row.E) -> np.ndarray:
            a, b, alpha, beta = theta
            predicted = floor + np.exp(a - alpha * x) + np.exp(b - beta * y)
            return np.asarray(np.log(predicted) - np.log(points["loss"]))

        start = [np.log(0.4), np.log(0.4), 0.35, 0.35]
        best = least_squares(residuals, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        assert row.objective == pytest.approx(best.cost, rel=1e-6)
        assert row.alpha == pytest.approx(best.x[2], rel=1e-4)
        assert row.beta == pytest.approx(best.x[3], rel=1e-4)
    middle = profile.iloc[20]
    assert middle["E"] == pytest.approx(surface.E, rel=1e-12)
    assert middle["rise"] == pytest.approx(0.0, abs=1e-7)
    assert middle["params"] == pytest.approx(float(surface.params_opt(TARGET)), rel=1e-5)
    assert (profile["rise"] >= -1e-7).all()


def test_directions_are_eigenvectors_of_the_scaled_information() -> None:
    points = isoflop_runs(noise=0.003)
    surface = fitted(points)
    table = identifiability.audit(points, surface, TARGET).tables["directions"]
    rows = surface.log_loss_gradient(points["params"], points["tokens"])
    unit = rows / np.linalg.norm(rows, axis=0)
    published = table[table["frame"] == "published"]
    for row in published.to_dict("records"):
        vector = np.array([row[n] for n in PARAMETERS])
        np.testing.assert_allclose(unit.T @ unit @ vector, row["eigenvalue"] * vector, atol=1e-9)
    assert published["eigenvalue"].is_monotonic_increasing
    centred = table[table["frame"] == "centred"]
    fit = parametric_fit.fit(points, [TARGET], draws=0, seed=0)
    assert centred["condition"].iloc[0] == pytest.approx(fit.certificate["condition"], rel=1e-6)


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ((0.0, 0.7, 0.0, 0.7, 0.1), "A trades with alpha"),
        ((0.9, -0.3, 0.3, 0.0, 0.0), "E moves alone"),
        ((0.6, -0.6, 0.1, 0.5, 0.0), "E trades with A and alpha"),
        ((0.0, 0.5, -0.5, 0.5, 0.5), "A trades with B, alpha and beta"),
    ],
)
def test_directions_in_words(vector: tuple[float, ...], words: str) -> None:
    assert in_words(np.array(vector)) == words


def test_a_ray_is_refused_and_offered_the_law_it_can_tell() -> None:
    tied = LossSurface(1.8, 400.0, 900.0, 0.33, 0.33)
    points = ray_runs(tied, ratio=20.0)
    finding = identifiability.audit(points, None, TARGET)
    assert finding.verdict == "refuted"
    assert "N_opt is not identified" in finding.sentence
    law = finding.tables["ray"].iloc[0]
    # With alpha = beta the ray's law is exactly E + (A + B 20^-alpha) N^-alpha.
    assert law["E"] == pytest.approx(1.8, rel=1e-6)
    assert law["alpha"] == pytest.approx(0.33, rel=1e-5)
    assert law["psi"] == pytest.approx(400 + 900 * 20**-0.33, rel=1e-4)
    assert law["rms_relative_loss"] < 1e-8


def test_more_runs_on_a_ray_do_not_help_and_bent_rays_count() -> None:
    n = np.geomspace(1e8, 1e10, 200)
    assert token_spread(n, 20 * n) == pytest.approx(0.0, abs=1e-12)
    assert token_spread(n, 3 * n**0.7) == pytest.approx(0.0, abs=1e-12)
    jitter = np.exp(0.1 * np.where(np.arange(200) % 2, 1.0, -1.0))
    assert token_spread(n, 20 * n * jitter) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_ray_without_a_falling_loss_tells_nothing() -> None:
    n = np.geomspace(1e8, 1e10, 12)
    rising = 2.0 + 0.1 * np.log(n / 1e8)
    assert np.isnan(reduced_law(n, rising)["alpha"].iloc[0])
    points = ray_runs(BESIROGLU, count=12).assign(loss=rising)
    finding = identifiability.audit(points, None, TARGET, StudyOptions(BootstrapOptions(draws=9)))
    assert "not even a law of N" in finding.sentence


@pytest.mark.filterwarnings("error")
def test_runs_of_one_budget_forecast_nothing_at_another() -> None:
    n = np.geomspace(1e9, 4e9, 4)
    points = runs_at(BESIROGLU, n, 1e20 / 6 / n).assign(loss=[2.9, 2.8, 2.75, 2.73])
    finding = identifiability.audit(points, None, TARGET, StudyOptions(BootstrapOptions(draws=40)))
    law, curve = finding.tables["ray"].iloc[0], finding.tables["ray_curve"]
    assert np.isnan(law[["target_params", "target_tokens", "target_loss"]].astype(float)).all()
    assert "about one compute budget, and so nothing of 1e23 FLOPs" in finding.sentence
    assert curve["params"].iloc[-1] == pytest.approx(n[-1])
    assert np.isfinite(curve[["tokens", "loss"]]).all(axis=None)


def test_a_target_outside_of_the_ratios_trained_is_warned_of() -> None:
    surface = LossSurface(1.8, 400.0, 900.0, 0.34, 0.26)
    points = isoflop_runs(surface, width=2.0, noise=0.001)
    inside = identifiability.audit(points, surface, 1e22)
    outside = identifiability.audit(points, surface, 1e30)
    assert (inside.verdict, outside.verdict) == ("good", "warned")
    row = outside.tables["coverage"].iloc[0]
    optimum = float(surface.tokens_opt(1e30) / surface.params_opt(1e30))
    assert row["target_ratio"] == pytest.approx(optimum)
    assert not row["target_inside"]
    assert "tokens per param, outside the runs'" in outside.sentence
    ratio = points["tokens"] / points["params"]
    assert row["ratio_variance"] == pytest.approx(np.var(ratio**-0.26))
    assert row["params_beyond"] == pytest.approx(
        float(surface.params_opt(1e30)) / points["params"].max()
    )


def test_a_thin_design_is_warned_of() -> None:
    points = ray_runs(BESIROGLU, count=30)
    tokens = points["tokens"] * np.exp(0.1 * np.random.default_rng(0).standard_normal(30))
    points = points.assign(tokens=tokens, loss=BESIROGLU.loss(points["params"], tokens))
    finding = identifiability.audit(points, BESIROGLU, 1e21)
    assert finding.verdict == "warned"
    assert "tokens nearly follow from params" in finding.sentence


def test_a_floor_of_zero_is_profiled_upward() -> None:
    points = isoflop_runs(LossSurface(0.0, 20.0, 30.0, 0.1, 0.12), noise=0.002, seed=3)
    fit = parametric_fit.fit(points, [TARGET], draws=0, seed=0)
    surface = surface_of(fit.to_json())
    finding = identifiability.audit(points, LossSurface(0.0, *_rest(surface)), TARGET)
    profile = finding.tables["profile"]
    assert profile["E"].iloc[0] > 0
    assert profile["rise"].iloc[-1] > identifiability.ALLOWED_RISE
    assert finding.numbers["profile_closed"]
    assert finding.tables["profile"]["converged"].all()


def test_the_profile_widens_until_it_rises() -> None:
    # Noise that hides the floor; then so much that no floor is worse than another.
    for noise, closed in ((0.003, True), (0.05, False)):
        points = isoflop_runs(noise=noise, seed=4)
        finding = identifiability.audit(points, fitted(points), TARGET)
        rise = finding.tables["profile"]["rise"]
        assert finding.numbers["profile_closed"] is closed
        assert (rise.iloc[[0, -1]].min() > identifiability.ALLOWED_RISE) == closed
        assert ("A floor E at least from" in finding.sentence) is not closed


def _rest(surface: LossSurface) -> tuple[float, ...]:
    return tuple(float(np.asarray(getattr(surface, n))) for n in PARAMETERS[1:])


def test_order_of_rows_does_not_matter() -> None:
    points = isoflop_runs(noise=0.003)
    surface = fitted(points)
    one = identifiability.audit(points, surface, TARGET)
    other = identifiability.audit(points.sample(frac=1, random_state=2), surface, TARGET)
    assert one.to_json() == other.to_json()
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)


def test_a_missing_fit_is_refused() -> None:
    with pytest.raises(FloplineError, match="family 'ash' needs its parametric fit"):
        identifiability.audit(isoflop_runs(), None, TARGET, family="ash")


def test_the_law_on_the_ray_comes_with_intervals_and_a_forecast() -> None:
    tied = LossSurface(1.7, 400.0, 900.0, 0.34, 0.34)
    best = np.sqrt(TARGET / 120)
    truth = float(tied.loss(best, 20 * best))
    inside = 0
    for seed in range(20):
        noise = np.exp(0.002 * np.random.default_rng(seed).standard_normal(30))
        points = ray_runs(tied, ratio=20.0, count=30)
        points["loss"] *= noise
        finding = identifiability.audit(
            points, None, TARGET, StudyOptions(BootstrapOptions(draws=200, seed=seed))
        )
        law = finding.tables["ray"].iloc[0]
        assert law["target_params"] == pytest.approx(best)
        assert law["target_tokens"] == pytest.approx(20 * best)
        inside += law["target_loss_lo95"] <= truth <= law["target_loss_hi95"]
        assert law["E_lo95"] <= law["E_lo80"] <= law["E_hi80"] <= law["E_hi95"]
    # Pairs bootstraps of 30 points cover a little less than they say; 20 trials of 0.95.
    assert inside >= 16
    curve = finding.tables["ray_curve"]
    assert curve["params"].iloc[-1] == pytest.approx(best)
    np.testing.assert_allclose(curve["tokens"], 20 * curve["params"])
    assert (curve["loss_lo95"] <= curve["loss"]).mean() > 0.9
    assert "95 % interval" in finding.sentence


def test_laws_that_want_other_ratios_than_the_runs_are_flagged() -> None:
    points = isoflop_runs(noise=0.001)
    surface = fitted(points)
    ratio = points["tokens"] / points["params"]
    wanted = {"isoflop": 3 * ratio.max(), "envelope": float(ratio.median())}
    tables = {
        law: pd.DataFrame(
            {
                "estimator": ["first", "other", "broken"],
                "main": [True, False, False],
                "status": ["converged", "converged", "failed"],
                "budget_flops": TARGET,
                "tokens_per_param": [value, ratio.min() / 2, 1.0],
            }
        )
        for law, value in wanted.items()
    }
    finding = identifiability.audit(points, surface, TARGET, estimators=tables)
    rows = finding.tables["ratios"].set_index(["law", "estimator"])
    assert len(rows) == 4
    assert rows.loc[("isoflop", "first"), "beyond"] == pytest.approx(3.0)
    assert rows.loc[("isoflop", "other"), "beyond"] == pytest.approx(2.0)
    assert rows.loc[("envelope", "first"), "inside"]
    assert "the isoFLOP law wants" in finding.sentence
    assert "3 times beyond the runs" in finding.sentence
    assert "the envelope law wants" not in finding.sentence
    assert finding.verdict == "warned"


def test_what_trades_alike_in_two_directions_is_said_once() -> None:
    words = ["A trades with B", "A trades with B"]
    table = pd.DataFrame({"frame": "published", "eigenvalue": [1.0, 2.0], "words": words})
    said = "Least pinned down by these runs: A trades with B"
    assert identifiability._weakest(table) == said
    assert identifiability._weakest(table.assign(words=[words[0], "E moves alone"])) == (
        f"{said} and E moves alone"
    )
