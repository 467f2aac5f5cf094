"""The line in logs and the loss-compute law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from flopline.laws.common.loss_compute import POINTS_FOR_FLOOR, fit_loss_compute
from flopline.laws.common.power_law import fit_power_law

LN_C = np.log(np.geomspace(1e18, 1e24, 9))


def test_exact_line_is_recovered_far_from_the_origin() -> None:
    law = fit_power_law(LN_C, np.log(0.1) + 0.49 * LN_C, 1.0)
    assert float(law.p) == pytest.approx(0.49, rel=1e-13)
    assert float(law.ln_k) == pytest.approx(np.log(0.1), abs=1e-11)
    assert law.ln_at([60.0]) == pytest.approx([np.log(0.1) + 0.49 * 60.0], rel=1e-13)


def test_every_row_equals_weighted_polyfit() -> None:
    rng = np.random.default_rng(3)
    y, w = rng.normal(size=(20, 9)), rng.uniform(0.1, 3.0, size=(20, 9))
    law = fit_power_law(LN_C, y, w)
    for i in range(20):
        p, ln_k = np.polyfit(LN_C, y[i], 1, w=np.sqrt(w[i]))
        assert law.p[i] == pytest.approx(p, abs=1e-11)
        assert law.ln_k[i] == pytest.approx(ln_k, abs=1e-9)


@pytest.mark.parametrize("absent", ["zero weight", "NaN weight", "NaN value"])
def test_an_absent_point_is_a_dropped_point(absent: str) -> None:
    y, w = np.sin(LN_C), np.linspace(1.0, 2.0, 9)
    without = fit_power_law(np.delete(LN_C, 4), np.delete(y, 4), np.delete(w, 4))
    if absent == "NaN value":
        y[4] = np.nan
    else:
        w[4] = 0.0 if absent == "zero weight" else np.nan
    law = fit_power_law(LN_C, y, w)
    assert float(law.p) == pytest.approx(float(without.p), rel=1e-12)
    assert float(law.ln_k) == pytest.approx(float(without.ln_k), rel=1e-12)


@pytest.mark.parametrize("ln_x", [[40.0, 40.0, 40.0], [40.0, np.nan, np.nan], [np.nan] * 3])
def test_no_line_without_two_distinct_x(ln_x: list[float]) -> None:
    law = fit_power_law(ln_x, [1.0, 2.0, 3.0], 1.0)
    assert np.isnan(law.p)
    assert np.isnan(law.ln_k)


@pytest.mark.parametrize(("floor", "exponent"), [(1.69, 0.1536), (0.5, 0.05), (2.2, 0.3)])
def test_loss_law_is_recovered_without_noise(floor: float, exponent: float) -> None:
    ln_k = np.log(1000.0)
    law = fit_loss_compute(LN_C, floor + np.exp(ln_k - exponent * LN_C), 1.0)
    assert law.E[0] == pytest.approx(floor, rel=1e-6)
    assert law.c[0] == pytest.approx(exponent, rel=1e-6)
    assert law.ln_K[0] == pytest.approx(ln_k, rel=1e-6)
    assert law.form() == "E + K C^-c"


def test_loss_law_minimises_relative_error() -> None:
    rng = np.random.default_rng(5)
    weights = rng.integers(0, 3, size=9).astype(float)
    loss = (1.7 + np.exp(7.0 - 0.155 * LN_C)) * (1 + 0.003 * rng.standard_normal(9))
    law = fit_loss_compute(LN_C, loss, weights)

    def residuals(v: np.ndarray) -> np.ndarray:
        fitted = v[0] + np.exp(v[1] - v[2] * (LN_C - LN_C.mean()))
        return np.sqrt(weights) * (fitted / loss - 1.0)

    free = least_squares(residuals, [1.5, -0.5, 0.2], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    ours = residuals(np.array([law.E[0], law.ln_K[0] - law.c[0] * LN_C.mean(), law.c[0]]))
    assert float(ours @ ours) == pytest.approx(2 * free.cost, rel=1e-9)
    assert law.E[0] == pytest.approx(free.x[0], rel=1e-4)


def test_a_pure_power_law_puts_the_floor_at_its_bound() -> None:
    bent = np.exp(3.0 - 0.05 * LN_C - 0.002 * (LN_C - LN_C.mean()) ** 2)
    law = fit_loss_compute(LN_C, bent, 1.0)
    assert law.E[0] == 0.0
    assert law.form() == "E + K C^-c with E at its bound 0"


def test_few_points_get_no_floor_and_say_so() -> None:
    n = POINTS_FOR_FLOOR - 1
    law = fit_loss_compute(LN_C[:n], np.exp(3.0 - 0.05 * LN_C[:n]), 1.0)
    assert law.E[0] == 0.0
    assert law.c[0] == pytest.approx(0.05, rel=1e-6)
    assert "no floor" in law.form()
    assert "fewer than 4" in law.form()


def test_a_step_does_not_identify_a_floor() -> None:
    law = fit_loss_compute(LN_C, np.r_[3.0, np.full(8, 2.0)], 1.0)
    assert law.unidentified[0]
    assert "do not identify" in law.form()
    assert law.E[0] == 0.0


def test_a_loss_that_does_not_fall_has_no_law() -> None:
    law = fit_loss_compute(LN_C, np.linspace(2.0, 3.0, 9), 1.0)
    assert np.isnan([law.E[0], law.ln_K[0], law.c[0]]).all()
    assert law.form().startswith("none")


def test_rows_of_the_loss_law_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(11)
    loss = (1.7 + np.exp(7.0 - 0.155 * LN_C)) * (1 + 0.01 * rng.standard_normal((30, 9)))
    weights = rng.integers(0, 2, size=(30, 9)).astype(float)
    batch = fit_loss_compute(LN_C, loss, weights)
    for i in range(30):
        present = weights[i] > 0
        alone = fit_loss_compute(LN_C[present], loss[i, present], 1.0)
        assert batch.at([50.0])[i] == pytest.approx(alone.at([50.0])[0], rel=1e-7, nan_ok=True)
        assert batch.few[i] == alone.few[0]


def test_a_loss_without_a_floor_is_said_to_have_none():
    ln_c = np.log(np.geomspace(1e18, 1e21, 6))
    bare = fit_loss_compute(ln_c, 3.0 - 0.1 * (ln_c - ln_c[0]), 1.0)
    assert bare.E[0] == 0
    assert "show no floor yet" in bare.note()
    floored = fit_loss_compute(ln_c, 1.7 + 1000 * np.exp(-0.16 * ln_c), 1.0)
    assert floored.E[0] > 1
    assert floored.note() == ""


@pytest.mark.parametrize("floor", [0.0, 0.02, 1.5])
def test_no_exponent_leaves_a_smaller_sum_of_squares(floor):
    """By a dense search, also where E reaches 0 within the range searched."""
    rng = np.random.default_rng(0)
    x, rows = np.linspace(30.0, 45.0, 12), 60
    loss = (floor + 40 * np.exp(-0.08 * x)) * np.exp(0.01 * rng.standard_normal((rows, x.size)))
    weights = rng.integers(0, 3, loss.shape).astype(float)
    law = fit_loss_compute(x, loss, weights)

    def squares(c, free):
        """The least sum for every row, with a floor E >= 0 where `free`, by normal equations."""
        g, f, w = np.exp(-c * (x - x.mean())) / loss, 1 / loss, weights
        gg, fg, ff = (w * g * g).sum(1), (w * f * g).sum(1), (w * f * f).sum(1)
        g1, f1 = (w * g).sum(1), (w * f).sum(1)
        e = np.where(free, (gg * f1 - fg * g1) / (ff * gg - fg * fg), 0.0).clip(0.0)
        k = (g1 - e * fg) / gg
        return (w * (e[:, None] * f + k[:, None] * g - 1) ** 2).sum(1)

    found = (weights * (law.at(x) / loss - 1) ** 2).sum(1)
    free = ~law.few & ~law.unidentified
    least = np.min([squares(c, free) for c in np.geomspace(1e-3, 3.0, 1000)], axis=0)
    assert (found <= least * (1 + 1e-9)).all()  # NaN, where nothing was found, is not
