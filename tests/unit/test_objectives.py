"""Objectives as mathematics, and the generic fit on losses whose law is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog, minimize

from flopline.errors import FloplineError
from flopline.laws.parametric import parametric_fit
from flopline.solvers import generic, objectives
from flopline.solvers.objectives import Objective
from flopline.surfaces import repeated
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.surface import parameters, surface_starts
from tests.builders.designs import GRID
from tests.builders.surfaces import BESIROGLU, FORMS, MUENNIGHOFF_REPEATED, starts_of, values_of

ALL = [
    objectives.log_huber(),
    objectives.log_huber(0.05),
    objectives.linear_huber(0.02),
    objectives.log_squares(),
    objectives.linear_squares(),
    objectives.log_lad(),
]
names = [f"{o.name}-{o.delta:g}" for o in ALL]
every_objective = pytest.mark.parametrize("objective", ALL, ids=names)

SEEN = np.array([2.0, 2.5, 3.0, 3.5])
# Log residuals of either sign inside and outside of all the deltas above, and none on an edge.
FITTED = SEEN * np.exp([-0.3, 4e-4, 0.013, 0.7])


def noisy(law=BESIROGLU, sd=0.004, seed=3) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_t(3, GRID.shape[1])
    return law.loss(*GRID) * np.exp(sd * noise)


def covariates(order=slice(None)) -> dict[str, np.ndarray]:
    return {"params": GRID[0][order], "tokens": GRID[1][order]}


@every_objective
def test_score_and_curvature_are_the_slopes_of_rho(objective):
    r, h = objective.residual(FITTED, SEEN), 1e-7
    slope = (objective.rho(r + h) - objective.rho(r - h)) / (2 * h)
    assert_allclose(objective.score(r), slope, rtol=1e-6, atol=1e-10)
    bend = (objective.score(r + h) - objective.score(r - h)) / (2 * h)
    assert_allclose(objective.curvature(r), bend, atol=1e-6)
    assert objective.value(r) == pytest.approx(objective.rho(r).sum(), rel=1e-15)


@every_objective
def test_slope_turns_a_log_gradient_into_that_of_the_residual(objective):
    h = 1e-6
    up, down = (objective.residual(FITTED * np.exp(s), SEEN) for s in (h, -h))
    assert_allclose(objective.slope(FITTED), (up - down) / (2 * h), rtol=1e-8)


def test_residuals_are_fitted_less_seen():
    assert objectives.log_lad().residual(3.0, 2.0) == pytest.approx(math.log(1.5))
    assert objectives.linear_squares().residual(3.0, 2.0) == 1.0


def test_huber_lies_between_squares_and_lad():
    r = objectives.log_lad().residual(FITTED, SEEN)
    wide = objectives.log_huber(10.0).rho(r)
    assert_array_equal(wide, objectives.log_squares().rho(r))
    assert_allclose(objectives.log_squares().rho(r), r**2 / 2, rtol=1e-15)
    delta = 1e-8
    gap = objectives.log_lad().rho(r) - objectives.log_huber(delta).rho(r) / delta
    assert_allclose(gap, delta / 2, atol=1e-15)


def test_delta_of_gaussian_residuals_is_1_345_sigma_whatever_the_outliers():
    r = 0.01 * np.random.default_rng(0).standard_normal(200_000) + 0.3
    spoilt = np.concatenate([r, np.full(1000, 50.0)])
    # The median absolute deviation of n Gaussians has a standard error of 1.17 sigma / sqrt(n);
    # half a percent of outliers shift its quantile by a quarter percent of the points: 0.6 %.
    assert objectives.delta_from(r) == pytest.approx(0.01345, rel=3 * 1.17 / math.sqrt(200_000))
    assert objectives.delta_from(spoilt) == pytest.approx(0.01345, rel=0.01 + 0.006)
    assert pytest.approx(1.482602218505602, rel=1e-15) == objectives.MAD_TO_SIGMA


def test_bad_deltas_are_refused():
    for make in (objectives.log_huber, objectives.linear_huber):
        for delta in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(FloplineError, match="huber_delta must be positive and finite"):
                make(delta)
    with pytest.raises(FloplineError, match="median absolute residual is 0: give a number"):
        objectives.delta_from(np.array([0.0, 0.0, 0.0, 1.0]))


# The fit.


# A repeated law needs unique tokens: the next test.
@pytest.mark.parametrize("form", [form for form in FORMS if form != "repeated"])
@every_objective
def test_law_is_recovered_from_its_own_losses(form, objective):
    truth = FORMS[form]
    loss = truth.loss(*GRID)
    fit = generic.fit(starts_of(form, *GRID, loss), covariates(), loss, objective)
    assert fit.converged
    assert_allclose(values_of(fit.law), values_of(truth), rtol=1e-6)
    assert np.abs(fit.residual).max() < 1e-10


def test_repeated_law_is_recovered_with_its_base_held():
    truth = MUENNIGHOFF_REPEATED
    points = covariates() | {"unique_tokens": GRID[1] / np.tile([1, 3, 10, 40, 200], 7)}
    loss = truth.loss(**points)
    fit = generic.fit(
        repeated.starts(truth.base), points, loss, objectives.log_huber(), free=("R_D", "R_N")
    )
    assert fit.converged
    assert_allclose(values_of(fit.law), values_of(truth), rtol=1e-8)
    assert_array_equal(values_of(fit.law)[:5], values_of(truth)[:5])


@pytest.mark.parametrize("delta", [1e-3, 1e-2])
def test_generic_fit_is_that_of_the_parametric_law(delta):
    loss = noisy()
    fit = generic.fit(surface_starts(*GRID, loss), covariates(), loss, objectives.log_huber(delta))
    table = pd.DataFrame(covariates()).assign(loss=loss, flops=6 * GRID[0] * GRID[1])
    table["run"] = [f"{i:03d}" for i in table.index]
    theirs = parametric_fit.fit(table, [1e21], huber_delta=delta, draws=0, seed=0)
    assert fit.value == pytest.approx(theirs.certificate["objective"], rel=1e-10)
    for name in parameters(BESIROGLU):
        assert getattr(fit.law, name) == pytest.approx(theirs.parameters[name].point, rel=1e-5)
    assert fit.converged
    assert fit.starts_agree >= 2


@every_objective
def test_no_simplex_search_finds_less(objective):
    loss = noisy()
    fit = generic.fit(surface_starts(*GRID, loss), covariates(), loss, objective)

    def value(logs):
        law = LossSurface(*(values_of(fit.law) * np.exp(logs)))
        return objective.value(objective.residual(law.loss(*GRID), loss))

    near = np.random.default_rng(1).normal(0, 0.01, (3, 5))
    lowest = min(minimize(value, start, method="Nelder-Mead").fun for start in near)
    assert fit.converged
    assert fit.value <= lowest * (1 + 1e-9)


def test_lad_is_a_vertex_that_no_linear_step_improves():
    loss = noisy()
    fit = generic.fit(surface_starts(*GRID, loss), covariates(), loss, objectives.log_lad())
    residual = np.log(fit.law.loss(*GRID)) - np.log(loss)
    assert_allclose(residual, fit.residual, atol=1e-15)
    assert (np.abs(residual) < 1e-12).sum() >= 5
    slopes = fit.law.log_loss_gradient(*GRID) * values_of(fit.law)
    n = loss.size
    rows = np.block([[slopes, -np.eye(n)], [-slopes, -np.eye(n)]])
    best = linprog(
        np.r_[np.zeros(5), np.ones(n)],
        A_ub=rows,
        b_ub=np.r_[-residual, residual],
        bounds=[(-1e-3, 1e-3)] * 5 + [(0, None)] * n,
    )
    assert fit.value - best.fun <= 1e-12 * n


def test_order_of_the_points_does_not_matter():
    loss = noisy()
    order = np.random.default_rng(5).permutation(loss.size)
    start = surface_starts(*GRID, loss)
    one = generic.fit(start, covariates(), loss, objectives.log_huber())
    other = generic.fit(start, covariates(order), loss[order], objectives.log_huber())
    assert one.law == other.law
    assert one.scaled_gradient == other.scaled_gradient
    assert_array_equal(one.residual[order], other.residual)


def test_delta_of_the_data():
    loss = noisy()
    starts = surface_starts(*GRID, loss)
    fit = generic.fit_log_huber(starts, covariates(), loss)
    pilot = generic.fit(starts, covariates(), loss, objectives.log_lad())
    assert fit.objective.delta == 1.345 * objectives.robust_sigma(pilot.residual)
    assert fit.converged
    again = generic.fit(starts, covariates(), loss, fit.objective)
    assert fit.value == pytest.approx(again.value, rel=1e-9)


def test_floor_that_the_losses_deny_is_said_to_vanish():
    truth = replace(BESIROGLU, E=0.0)
    loss = truth.loss(*GRID) * (1 - 0.01 * np.log(GRID[0] / 1e8) ** 2 / 10)
    fit = generic.fit(surface_starts(*GRID, loss), covariates(), loss, objectives.log_squares())
    assert fit.vanished == ("E",)
    assert fit.converged
    table = pd.DataFrame(covariates()).assign(loss=loss, flops=6 * GRID[0] * GRID[1])
    table["run"] = [f"{i:03d}" for i in table.index]
    theirs = parametric_fit.fit(table, [1e21], huber_delta=1.0, draws=0, seed=0)
    assert "E" in theirs.certificate["bounds"]
    assert fit.value == pytest.approx(theirs.certificate["objective"], rel=1e-7)


def test_start_without_finite_losses_does_not_spoil_the_others():
    loss, huber = noisy(), objectives.log_huber()
    lost = LossSurface(1.0, 1.0, math.inf, 0.3, 0.3)
    good = surface_starts(*GRID, loss)
    fit = generic.fit([lost, *good], covariates(), loss, huber)
    assert fit.law == generic.fit(good, covariates(), loss, huber).law
    assert fit.starts == len(good) + 1
    assert fit.starts_agree <= len(good)
    with pytest.raises(FloplineError, match="no start gives finite losses"):
        generic.fit([lost], covariates(), loss, huber)


def test_unusable_input_is_refused_in_a_sentence():
    loss = noisy()
    starts, huber = surface_starts(*GRID, loss), objectives.log_huber()
    with pytest.raises(FloplineError, match="LossSurface has no parameter 'k'"):
        generic.fit(starts, covariates(), loss, huber, free=("k",))
    with pytest.raises(FloplineError, match="4 points cannot determine 5 parameters"):
        generic.fit(starts, {k: v[:4] for k, v in covariates().items()}, loss[:4], huber)
    for bad in (-1.0, math.nan, math.inf, 0.0):
        with pytest.raises(FloplineError, match="loss must hold one positive, finite number"):
            generic.fit(starts, covariates(), np.where(loss == loss[0], bad, loss), huber)
    with pytest.raises(FloplineError, match="tokens must hold"):
        generic.fit(starts, covariates() | {"tokens": GRID[1][:3]}, loss, huber)
    with pytest.raises(FloplineError, match="needs at least one start"):
        generic.fit([], covariates(), loss, huber)


def test_objectives_are_values():
    assert objectives.log_huber(1e-3) == Objective("log_huber", "log", 1e-3)
    assert objectives.log_huber(1e-3) != objectives.linear_huber(1e-3)
