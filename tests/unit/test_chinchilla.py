"""The Chinchilla loss surface against its closed form and published constants."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.skaling import SkalingSurface
from tests.builders.surfaces import BESIROGLU, HOFFMANN, MUENNIGHOFF_REPEATED, per_draw, values_of

BASE = MUENNIGHOFF_REPEATED.base
"""alpha = beta."""


@pytest.mark.parametrize(
    ("surface", "flops", "params", "tokens"),
    [
        (BESIROGLU, 1e21, 2.778e9, 59.99e9),
        (BESIROGLU, 5.76e23, 72.25e9, 1328.7e9),
        (BESIROGLU, 3.8e25, 618.7e9, 10.24e12),
        (HOFFMANN, 1e21, 2.217e9, 75.18e9),
        (HOFFMANN, 5.76e23, 40.36e9, 2378.5e9),
    ],
)
def test_published_constants_give_the_known_optima(surface, flops, params, tokens):
    assert_allclose(surface.params_opt(flops), params, rtol=5e-4)
    assert_allclose(surface.tokens_opt(flops), tokens, rtol=5e-4)


def test_published_constants_at_the_largest_budget():
    assert_allclose(HOFFMANN.params_opt(3.8e25), 273.2e9, rtol=5e-4)
    assert_allclose(BESIROGLU.loss_opt(5.76e23), 1.9744, atol=5e-5)


def test_tied_exponents_keep_tokens_per_param():
    budgets = np.geomspace(1e17, 1e26, 10)
    ratio = BASE.tokens_opt(budgets) / BASE.params_opt(budgets)
    assert_allclose(ratio, 19.61, atol=5e-3)
    assert_allclose(ratio, ratio[0], rtol=1e-12)


@pytest.mark.parametrize("surface", [BESIROGLU, HOFFMANN, BASE])
def test_optimum_spends_the_budget_and_no_split_beats_it(surface):
    budget = 3e22
    params, tokens = surface.params_opt(budget), surface.tokens_opt(budget)
    assert_allclose(6 * params * tokens, budget, rtol=1e-12)
    splits = params * np.geomspace(0.1, 10, 2001)
    losses = surface.loss(splits, budget / 6 / splits)
    assert np.argmin(losses) == 1000
    assert (losses >= surface.loss_opt(budget)).all()
    assert_allclose(surface.a + surface.b, 1.0, rtol=1e-15)


def test_gradient_is_the_slope_of_log_loss():
    n, d = np.array([1e8, 3e9]), np.array([4e10, 2e9])
    values = values_of(BESIROGLU)
    gradient = BESIROGLU.log_loss_gradient(n, d)
    for j, value in enumerate(values):
        step = np.zeros(5)
        step[j] = 1e-6 * value
        up, down = (np.log(LossSurface(*(values + s)).loss(n, d)) for s in (step, -step))
        assert_allclose(gradient[:, j], (up - down) / (2 * step[j]), rtol=1e-6)


def test_one_surface_per_draw_broadcasts_against_budgets():
    draws = per_draw(BESIROGLU, 3)
    budgets = np.array([1e21, 5.76e23])
    for method in ("params_opt", "tokens_opt", "loss_opt"):
        many = getattr(draws, method)(budgets)
        assert many.shape == (3, 2)
        assert_allclose(many, np.tile(getattr(BESIROGLU, method)(budgets), (3, 1)), rtol=1e-14)
    assert draws.log_loss_gradient(budgets / 1e12, budgets / 1e12).shape == (3, 2, 5)
    assert BESIROGLU.params_opt(1e21).shape == ()


def test_vanished_term_has_no_optimum():
    for surface in (LossSurface(1.8, 0.0, 400.0, 0.3, 0.3), LossSurface(1.8, 400.0, 0.0, 0.3, 0.3)):
        assert np.isnan(surface.G)
        assert np.isnan(surface.loss_opt(1e21))


@pytest.mark.parametrize("floor", [0.0, 1.5])
@pytest.mark.parametrize("kind", [LossSurface, SkalingSurface])
def test_slopes_of_a_law_without_terms_are_finite(kind, floor):
    n, d = np.array([1e8, 3e9]), np.array([4e10, 2e9])
    for k in (1.0, 0.5):
        slopes = kind(floor, 0.0, 0.0, 0.3, 0.4, k=k).log_loss_gradient(n, d)
        assert np.isfinite(slopes).all()
        assert_allclose(slopes[:, 0], 1.0 / floor if floor else 0.0, rtol=1e-12)
