"""The batched solver: derivatives, optimality, invariances, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from flopline.solvers import descent, hoffmann_grid, minimisation
from flopline.solvers.curved_steps import bent
from flopline.solvers.damped_steps import GRADIENT_TOLERANCE
from flopline.solvers.family_terms import softplus
from flopline.solvers.minimisation import minimise, minimise_held, minimise_resamples
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA, KAPLAN, NO_TERM, SKALING, unknowns_of
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import GRID, scattered_runs
from tests.builders.reference_solver import lbfgs
from tests.builders.surfaces import BESIROGLU, values_of

DELTA = 1e-3


def design(seed: int, points: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Params, tokens and losses scattered over two decades each, with log-normal noise."""
    runs = scattered_runs(points, noise=noise, seed=seed)
    params, tokens, loss = (runs[name].to_numpy() for name in ("params", "tokens", "loss"))
    return params, tokens, loss


def solved(params, tokens, loss, weights=None, delta=DELTA):
    """The best optimum of the points and its surface."""
    problem = Problem.of(params, tokens, loss, log_huber(delta))
    weights = np.ones(params.size) if weights is None else weights
    best, _, _ = minimise(problem, CHINCHILLA, weights)
    return best, CHINCHILLA.law(problem, best.unknowns[0])


def test_derivatives_are_those_of_the_objective():
    problem = Problem.of(*design(0, 40, 0.01), log_huber(2e-3))
    weights = np.random.default_rng(1).integers(0, 3, (1, 40)).astype(float)
    theta = np.array([0.6, -1.6, -1.6, 0.4, 0.3])
    delta = np.array([problem.delta])
    task = descent._Task(problem, CHINCHILLA, weights, delta, np.zeros((1, 6)))

    def model(z):
        return task.evaluate(slice(None), z[None])

    gradient = check_grad(
        lambda z: model(z).objective[0], lambda z: model(z).gradient[0], theta, epsilon=1e-7
    )
    assert gradient < 1e-6 * np.linalg.norm(model(theta).gradient)
    step = 1e-7
    for j in range(5):
        up, down = theta.copy(), theta.copy()
        up[j] += step
        down[j] -= step
        slope = (model(up).gradient - model(down).gradient)[0] / (2 * step)
        hessian = model(theta).hessian[0, j]
        np.testing.assert_allclose(slope, hessian, atol=1e-5 * np.abs(hessian).max())


def test_objective_is_the_sum_of_huber_losses():
    params, tokens, loss = design(0, 30, 0.01)
    problem = Problem.of(params, tokens, loss, log_huber(DELTA))
    residual = np.abs(np.log(BESIROGLU.loss(params, tokens)) - np.log(loss))
    huber = np.where(residual <= DELTA, residual**2 / 2, DELTA * (residual - DELTA / 2))
    unknowns = unknowns_of(problem, BESIROGLU)[None]
    assessed = descent.assess(problem, CHINCHILLA, np.ones((1, 30)), unknowns)
    assert assessed.objective[0] == pytest.approx(huber.sum(), rel=1e-12)


def test_frame_of_the_problem_and_back():
    problem = Problem.of(*design(0, 10, 0.0), log_huber(DELTA))
    np.testing.assert_allclose(
        values_of(CHINCHILLA.law(problem, unknowns_of(problem, BESIROGLU))),
        values_of(BESIROGLU),
        rtol=1e-13,
    )


@pytest.mark.parametrize("delta", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("points", [8, 60])
def test_noise_free_points_give_the_surface_back(points, delta):
    best, surface = solved(*design(3, points, 0.0), delta=delta)
    assert best.converged.all()
    np.testing.assert_allclose(values_of(surface), values_of(BESIROGLU), rtol=1e-6)


@pytest.mark.parametrize("delta", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
def test_converges_from_every_cell_whatever_the_delta(delta):
    problem = Problem.of(*design(5, 120, 0.005), log_huber(delta))
    best, starts, agreeing = minimise(problem, CHINCHILLA, np.ones(120))
    assert best.scaled_gradient[0] <= GRADIENT_TOLERANCE
    assert agreeing >= 2
    assert starts == 9


@pytest.mark.parametrize(("seed", "points", "noise"), [(1, 30, 0.005), (2, 80, 0.02)])
def test_no_resample_is_worse_than_tight_lbfgs(seed, points, noise):
    problem = Problem.of(*design(seed, points, noise), log_huber(DELTA))
    weights = np.random.default_rng(seed).multinomial(points, np.full(points, 1 / points), 40)
    weights = weights.astype(float)
    near, _, _ = minimise(problem, CHINCHILLA, np.ones(points))
    optima, _ = minimise_resamples(problem, CHINCHILLA, weights, near.unknowns[0])
    assert optima.converged.all()
    fixed = unknowns_of(problem, LossSurface(1.5, 300.0, 300.0, 0.33, 0.3))
    for row, unknowns, ours in zip(weights, optima.unknowns, optima.objective, strict=True):
        theirs = min(lbfgs(problem, row, start) for start in (unknowns, near.unknowns[0], fixed))
        assert ours <= theirs * (1 + 1e-9)


def test_unweighted_resample_is_the_point_fit():
    problem = Problem.of(*design(4, 50, 0.005), log_huber(DELTA))
    best, _, _ = minimise(problem, CHINCHILLA, np.ones(50))
    rough = unknowns_of(problem, LossSurface(1.5, 300.0, 300.0, 0.33, 0.3))
    optima, disagreed = minimise_resamples(problem, CHINCHILLA, np.ones((3, 50)), rough)
    assert not disagreed.any()
    np.testing.assert_allclose(optima.objective, best.objective[0], rtol=1e-12)


def test_resamples_that_starts_dispute_are_solved_again():
    """Kaplan's form has several minima; from the optimum of all points some rows end too high."""
    noise = np.random.default_rng(1).standard_t(3, GRID.shape[1])
    problem = Problem.of(*GRID, BESIROGLU.loss(*GRID) * np.exp(0.01 * noise), log_huber(DELTA))
    count = GRID.shape[1]
    weights = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), 60)
    best, _, _ = minimise(problem, KAPLAN, np.ones(count))
    near = np.tile(best.unknowns, (60, 1))
    alone = descent.descend(problem, KAPLAN, weights.astype(float), near)
    optima, disagreed = minimise_resamples(problem, KAPLAN, weights.astype(float), near[0])
    higher = alone.objective > optima.objective * (1 + 1e-9)
    assert higher.any()
    assert disagreed[higher].all()
    assert not disagreed.all()


@pytest.mark.parametrize("delta", [1e-2, 1e-3, 1e-5])
def test_starts_lead_to_the_same_optima_together_and_one_after_another(monkeypatch, delta):
    problem = Problem.of(*design(3, 40, 0.01), log_huber(delta))
    near, _, _ = minimise(problem, SKALING, np.ones(40))
    weights = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=12).astype(float)
    together, alike = minimise_resamples(problem, SKALING, weights, near.unknowns[0])
    monkeypatch.setattr(minimisation, "_ELEMENTS_TOGETHER", 0)
    apart, too = minimise_resamples(problem, SKALING, weights, near.unknowns[0])
    assert (alike == too).all()
    assert (together.iterations == apart.iterations).mean() > 0.5
    assert together.objective == pytest.approx(apart.objective, rel=1e-12)
    assert together.unknowns == pytest.approx(apart.unknowns, rel=1e-6)


@pytest.mark.parametrize("exponents", [(5.0, 5.0), (0.01, 5.0), (0.01, 0.01)])
@pytest.mark.parametrize("terms", [(NO_TERM, NO_TERM), (-2.3, NO_TERM), (5.0, 5.0)])
def test_no_start_is_a_trap(exponents, terms):
    """Not even one from which a term has vanished, or that is at a bound of every exponent."""
    problem = Problem.of(*design(4, 50, 0.005), log_huber(DELTA))
    weights = np.ones((1, 50))
    best, _, _ = minimise(problem, CHINCHILLA, weights[0])
    start = np.array([[0.9, *terms, *exponents, 1.0]])
    optimum = descent.descend(problem, CHINCHILLA, weights, start)
    assert optimum.objective[0] == pytest.approx(best.objective[0], rel=1e-9)


def test_no_resamples_is_no_error():
    problem = Problem.of(*design(4, 20, 0.005), log_huber(DELTA))
    best, _, _ = minimise(problem, CHINCHILLA, np.ones(20))
    optima, disagreed = minimise_resamples(problem, CHINCHILLA, np.empty((0, 20)), best.unknowns[0])
    assert optima.unknowns.shape == (0, 6)
    assert disagreed.shape == (0,)


def test_irreducible_loss_at_its_bound():
    params, tokens, _ = design(6, 60, 0.0)
    loss = LossSurface(0.0, 60.0, 150.0, 0.17, 0.18).loss(params, tokens) - 0.1
    best, _ = solved(params, tokens, loss)
    assert best.unknowns[0, 0] == 0.0
    assert best.converged.all()


def test_amplitude_at_its_bound_where_loss_ignores_tokens():
    params, tokens, _ = design(6, 60, 0.0)
    loss = LossSurface(1.5, 400.0, 0.0, 0.33, 0.3).loss(params, tokens)
    # Losses that rise with tokens leave no room for a falling term.
    best, surface = solved(params, tokens, loss * tokens**0.001)
    assert best.converged.all()
    assert float(surface.B) == 0.0


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_units_of_params_and_tokens_change_only_their_amplitudes(seed, unit_n, unit_d):
    params, tokens, loss = design(seed, 40, 0.003)
    _, one = solved(params, tokens, loss)
    _, other = solved(params * unit_n, tokens * unit_d, loss)
    same = LossSurface(
        other.E,
        other.A * unit_n ** -np.asarray(other.alpha),
        other.B * unit_d ** -np.asarray(other.beta),
        other.alpha,
        other.beta,
    )
    np.testing.assert_allclose(values_of(same), values_of(one), rtol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_duplicates_at_half_weight_change_nothing(seed):
    params, tokens, loss = design(seed, 40, 0.003)
    best, one = solved(params, tokens, loss)
    twice = (np.tile(z, 2) for z in (params, tokens, loss))
    again, other = solved(*twice, weights=np.full(80, 0.5))
    np.testing.assert_allclose(again.objective, best.objective, rtol=1e-9)
    np.testing.assert_allclose(values_of(other), values_of(one), rtol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_order_of_points_changes_nothing(seed):
    points = design(seed, 40, 0.003)
    order = np.random.default_rng(seed).permutation(40)
    _, one = solved(*points)
    _, other = solved(*(z[order] for z in points))
    np.testing.assert_allclose(values_of(other), values_of(one), rtol=1e-5)


def test_hoffmann_grid_is_the_published_one():
    grid = hoffmann_grid.grid()
    assert grid.shape == (4500, 5)
    assert len(np.unique(grid, axis=0)) == 4500
    np.testing.assert_array_equal(grid.min(axis=0), [-1, 0, 0, 0, 0])
    np.testing.assert_array_equal(grid.max(axis=0), [1, 25, 25, 2, 2])


def test_hoffmann_grid_comes_near_the_optimum_and_never_below_it():
    problem = Problem.of(*design(1, 60, 0.005), log_huber(DELTA))
    weights = np.ones(60)
    best, _, _ = minimise(problem, CHINCHILLA, weights)
    theirs, starts, agreeing = hoffmann_grid.minimise(problem, weights, hoffmann_grid.grid()[::10])
    assert starts == 450
    assert 1 <= agreeing <= starts
    assert best.objective[0] <= theirs.objective[0] * (1 + 1e-12)
    assert theirs.objective[0] < best.objective[0] * 1.01
    assert theirs.scaled_gradient[0] > best.scaled_gradient[0]


def test_a_step_is_bent_along_the_valley_it_is_tangent_to():
    # Halfway to a law without a floor the level and the slopes at the centre hold.
    for form, start in (
        (CHINCHILLA, [0.5, -1.5, -1.2, 0.3, 0.4]),
        (SKALING, [0.5, -1.5, -1.2, 0.2, 0.25, 0.6]),
    ):
        theta = np.array([start])
        step = np.array([[-0.1, 0.08, 0.07, -0.02, -0.03, -0.05][: len(start)]])
        small = bent(form, theta, 1e-5 * step)
        np.testing.assert_allclose(small, 1e-5 * step, rtol=1e-3)
        at, powers = (form.expand(t) for t in (theta, theta + bent(form, theta, step)))
        assert powers[0, 0] != pytest.approx(at[0, 0] - 0.1)
        beyond = bent(form, theta, np.array([[-0.6, *[0.0] * (len(start) - 1)]]))
        assert beyond[0, 0] == -0.6, "a curve that leaves the laws with a floor is not followed"
        at_bound = np.array([[0.0, *start[1:]]])
        held = np.array([[0.0, *step[0, 1:]]])
        np.testing.assert_array_equal(bent(form, at_bound, held), held)


def test_softplus_is_that_of_numpy():
    x = np.linspace(-60.0, 60.0, 241)
    np.testing.assert_allclose(softplus(x), np.logaddexp(0.0, x), rtol=1e-15, atol=1e-15)


def test_a_held_floor_stays_and_the_rest_is_at_its_optimum():
    problem = Problem.of(*design(0, 40, 0.01), log_huber(1e-3))
    best = minimise(problem, CHINCHILLA, np.ones(40))[0]
    floors = best.unknowns[0, 0] * np.array([0.8, 1.0, 1.1])
    held = minimise_held(problem, CHINCHILLA, floors, best.unknowns[0])
    np.testing.assert_array_equal(held.unknowns[:, 0], floors)
    assert held.converged.all()
    np.testing.assert_allclose(held.objective[1], best.objective[0], rtol=1e-9)
    assert (held.objective[[0, 2]] > best.objective[0]).all()
    again = minimise(problem, CHINCHILLA, np.ones(40))[0]
    again.unknowns[:] = 0.0
    kept = minimise(problem, CHINCHILLA, np.ones(40))[0]
    np.testing.assert_array_equal(kept.unknowns, best.unknowns, "what is kept is never overwritten")
