"""Runs of the same params and tokens lie in layers, and nothing but the work is less for it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from flopline.solvers import objectives
from flopline.solvers.descent import descend
from flopline.solvers.fold import Fold
from flopline.solvers.minimisation import minimise, minimise_resamples
from flopline.solvers.pooling import MANY_POINTS
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import FORMS
from tests.builders.surfaces import SKALING


def seeds(count: np.ndarray, objective=None) -> Problem:
    """As many runs with seeds of their own at each of some places (synthetic)."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(count.size), count)
    params, tokens = (
        np.exp(rng.uniform(*ends, count.size))[places] for ends in ((16, 23), (21, 27))
    )
    loss = SKALING.loss(params, tokens) * np.exp(0.003 * rng.standard_normal(places.size))
    order = rng.permutation(places.size)
    return Problem.of(
        params[order], tokens[order], loss[order], objective or objectives.log_huber()
    )


def test_points_apart_have_no_layers() -> None:
    assert Fold.of(np.arange(9.0), np.zeros(9)) is None
    assert Fold.of(np.zeros(0), np.zeros(0)) is None


def test_every_point_lies_at_its_place_once() -> None:
    problem = seeds(np.array([1, 9, 25, 25, 25, 24]))
    fold = Fold.of(problem.x, problem.y)
    assert fold is not None
    assert fold.layers > 1
    assert_array_equal(np.sort(fold.points[fold.there]), np.arange(problem.x.size))
    for values in (problem.x, problem.y):
        laid = values[fold.points].reshape(fold.layers, -1)
        assert_array_equal(laid, np.broadcast_to(values[fold.first], laid.shape))
    weights = np.arange(2.0 * problem.x.size).reshape(2, -1)
    assert_array_equal(fold.laid(weights).sum(axis=1), weights.sum(axis=1))


@pytest.mark.parametrize("form", list(FORMS.values()), ids=lambda form: form.name)
@pytest.mark.parametrize(
    "objective",
    [objectives.log_huber(), objectives.linear_huber(0.01)],
    ids=lambda objective: objective.name,
)
def test_layers_change_no_step(form, objective, monkeypatch) -> None:
    problem = seeds(np.array([20] * 9 + [3, 7, 1]), objective)
    rng = np.random.default_rng(1)
    weights = rng.multinomial(problem.x.size, np.full(problem.x.size, 1 / problem.x.size), 4) * 1.0
    near = minimise(problem, form, np.ones(problem.x.size))[0].unknowns
    rows = np.tile(problem.target, (4, 1)) + 1e-3 * rng.standard_normal((4, problem.x.size))
    for each in (problem, Problem(problem.x, problem.y, rows, problem.centre, objective)):
        laid = descend(each, form, weights, np.repeat(near, 4, axis=0))
        with monkeypatch.context() as patch:
            patch.setattr(Fold, "of", lambda x, y: None)
            plain = descend(each, form, weights, np.repeat(near, 4, axis=0))
        assert_allclose(laid.objective, plain.objective, rtol=1e-9)
        assert laid.converged.all()


def test_optima_do_not_hang_on_the_order_of_the_points() -> None:
    problem = seeds(np.array([3] * 12))
    order = np.random.default_rng(2).permutation(problem.x.size)
    moved = Problem.of(*(values[order] for values in problem.points.values()), problem.objective)
    mine, other = (
        minimise(p, FORMS["skaling"], np.ones(problem.x.size))[0] for p in (problem, moved)
    )
    assert_allclose(mine.unknowns, other.unknowns, rtol=1e-6)


def test_no_resamples_of_many_points_are_no_error() -> None:
    problem = seeds(np.array([100] * (MANY_POINTS // 100)))
    form = FORMS["chinchilla"]
    best, disagreed = minimise_resamples(problem, form, np.empty((0, MANY_POINTS)), np.zeros(6))
    assert len(best.objective) == len(disagreed) == 0
