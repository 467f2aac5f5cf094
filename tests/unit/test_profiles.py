"""Minima of loss profiles: the cubic and Akima's interpolant, against exact answers and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from flopline.laws.isoflop.profiles import akima, akima_slopes, cubic, parabola

Floats = NDArray[np.float64]


def profile(seed: int, sizes: int, noise: float = 0.03) -> tuple[Floats, Floats]:
    """A noisy lopsided valley over ln N around 18, with a minimum near the middle."""
    rng = np.random.default_rng(seed)
    x = 18.0 + np.sort(np.linspace(-1.5, 1.5, sizes) + rng.uniform(-0.1, 0.1, sizes))
    u = x - 18.0
    return x, 2.5 + 0.1 * u**2 + 0.02 * u**3 + noise * rng.standard_normal(sizes)


def scipy_minimum(x: Floats, y: Floats) -> tuple[float, float]:
    """Lowest point of SciPy's interpolant; NaN where that is an end."""
    curve = Akima1DInterpolator(x, y)
    roots = curve.derivative().roots(extrapolate=False)
    places = np.concatenate([roots[np.isfinite(roots)], x[1:-1]])
    best = places[curve(places).argmin()]
    if curve(best) > min(y[0], y[-1]):
        return np.nan, np.nan
    return float(best), float(curve(best))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 12))
def test_akima_is_that_of_scipy(seed: int, sizes: int) -> None:
    x, y = profile(seed, sizes)
    slopes = akima_slopes((np.diff(y) / np.diff(x))[None])[0]
    np.testing.assert_allclose(slopes, Akima1DInterpolator(x, y).derivative()(x), atol=1e-10)
    minimum = akima(x, y, np.arange(sizes), np.ones((1, sizes)))
    at, value = scipy_minimum(x, y)
    np.testing.assert_allclose(minimum.value[0], value, atol=1e-10)
    np.testing.assert_allclose(minimum.at[0], at, atol=1e-6)


def test_every_draw_is_interpolated_through_the_sizes_it_holds() -> None:
    x, y = profile(3, 9)
    weights = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=200).astype(float)
    minima = akima(x, y, np.arange(9), weights)
    assert np.isfinite(minima.at).mean() > 0.5
    for row, at in zip(weights, minima.at, strict=True):
        held = row > 0
        expected = scipy_minimum(x[held], y[held])[0] if held.sum() >= 4 else np.nan
        np.testing.assert_allclose(at, expected, atol=1e-6)


def test_runs_of_one_size_enter_the_interpolant_as_their_weighted_mean() -> None:
    x, y = profile(5, 8)
    again_x, again_y = np.append(x, x[3]), np.append(y, y[3] + 0.02)
    sizes = np.append(np.arange(8), 3)
    weights = np.array([[1.0] * 7 + [1.0, 3.0]])
    mean = y.copy()
    mean[3] += 0.015
    minimum, expected = akima(again_x, again_y, sizes, weights), scipy_minimum(x, mean)
    assert (minimum.at[0], minimum.value[0]) == pytest.approx(expected, abs=1e-8)


def test_flat_profiles_and_straight_ones_have_no_minimum_that_is_made_up() -> None:
    x = np.linspace(17.0, 19.0, 6)
    one = np.ones((1, 6))
    assert np.isnan(akima(x, 3.0 - 0.1 * x, np.arange(6), one).at[0])
    assert np.isnan(akima(x[:3], np.array([2.0, 1.0, 2.0]), np.arange(3), one[:, :3]).at[0])
    assert np.isnan(cubic(x[:3], np.array([2.0, 1.0, 2.0]), np.arange(3), one[:, :3]).at[0])


@pytest.mark.parametrize("third", [-0.03, 0.0, 0.03])
def test_a_cubic_finds_the_bottom_of_a_cubic_where_a_parabola_does_not(third: float) -> None:
    x = 18.3 + np.linspace(-1.2, 1.7, 11)
    u = x - 18.3
    y = 2.5 + 0.1 * u**2 + third * u**3
    weights = np.random.default_rng(1).integers(1, 4, size=(5, 11)).astype(float)
    minima = cubic(x, y, np.arange(11), weights)
    np.testing.assert_allclose(minima.at, 18.3, atol=1e-9)
    np.testing.assert_allclose(minima.value, 2.5, rtol=1e-12)
    missed = np.abs(parabola(x, y, np.arange(11), weights).at - 18.3)
    assert (missed > 0.01).all() if third else (missed < 1e-9).all()


def test_a_cubic_has_no_minimum_beyond_the_sizes() -> None:
    x = np.linspace(17.0, 19.0, 9)
    y = 2.5 + 0.1 * (x - 19.5) ** 2
    assert np.isnan(cubic(x, y, np.arange(9), np.ones((1, 9))).at[0])
    assert parabola(x, y, np.arange(9), np.ones((1, 9))).at[0] == pytest.approx(19.5)


@pytest.mark.parametrize("read", [parabola, cubic, akima])
def test_losses_may_differ_from_draw_to_draw(read: object) -> None:
    """What a bootstrap of residuals needs: as if each draw were a profile of its own."""
    x, y = profile(7, 8)
    losses = y + 0.01 * np.random.default_rng(2).standard_normal((6, 8))
    together = read(x, losses, np.arange(8), np.ones((6, 8)))  # type: ignore[operator]
    for loss, at in zip(losses, together.at, strict=True):
        alone = read(x, loss, np.arange(8), np.ones((1, 8)))  # type: ignore[operator]
        np.testing.assert_allclose(at, alone.at[0], rtol=1e-9)
