"""Resamples of thousands of points are begun on cells of them, and end where all points lead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from flopline.laws.common.bootstrap import run_counts, run_signs
from flopline.solvers import minimisation, objectives, problem
from flopline.solvers.minimisation import minimise, minimise_resamples
from flopline.solvers.pooling import MANY_POINTS
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA, FORMS
from tests.builders.surfaces import BESIROGLU, SKALING

DRAWS = 6
NOISE = 0.002


def points_of(objective, points=MANY_POINTS, surface=BESIROGLU) -> Problem:
    """Runs scattered over sizes and tokens; one of fifty lies far off."""
    rng = np.random.default_rng(0)
    params, tokens = (
        np.exp(rng.uniform(*np.log(ends), points)) for ends in ((1e7, 1e10), (1e9, 1e12))
    )
    noise = NOISE * rng.standard_normal(points)
    noise[::50] += 0.05
    return Problem.of(params, tokens, surface.loss(params, tokens) * np.exp(noise), objective)


def by_pairs(points: int) -> np.ndarray:
    return (
        np.random.default_rng(1)
        .multinomial(points, np.full(points, 1 / points), DRAWS)
        .astype(float)
    )


@pytest.mark.parametrize(
    "objective",
    [
        objectives.log_huber(),
        objectives.log_lad(),
        objectives.log_squares(),
        objectives.linear_huber(0.01),
    ],
    ids=lambda o: o.name,
)
@pytest.mark.parametrize("form", ["chinchilla", "skaling"])
def test_cells_lead_to_the_same_optima_in_fewer_steps(objective, form, monkeypatch) -> None:
    form = FORMS[form]
    points = points_of(objective, surface=BESIROGLU if form is CHINCHILLA else SKALING)
    near = minimise(points, form, np.ones(MANY_POINTS))[0].unknowns[0]
    noise = NOISE * np.random.default_rng(2).standard_normal((DRAWS, MANY_POINTS))
    by_losses = replace(points, target=points.target + noise)
    for drawn, weights in ((points, by_pairs(MANY_POINTS)), (by_losses, np.ones_like(noise))):
        quick, apart = minimise_resamples(drawn, form, weights, near)
        with monkeypatch.context() as never:
            never.setattr(minimisation, "MANY_POINTS", MANY_POINTS + 1)
            plain, _ = minimise_resamples(drawn, form, weights, near)
        assert quick.converged.all()
        assert not apart.any()
        assert_allclose(quick.objective, plain.objective, rtol=1e-9)
        if objective.delta:
            assert_allclose(quick.unknowns, plain.unknowns, rtol=1e-5)


def test_counts_and_signs_do_not_hang_on_the_blocks_that_they_are_drawn_in(monkeypatch) -> None:
    names = [f"run-{n}" for n in range(40)]
    whole, signs = run_counts(names, 30, 1), run_signs(names, 30, 1)
    monkeypatch.setattr(problem, "BLOCK_ELEMENTS", 7 * len(names))
    assert len(problem.blocks_of(30, len(names))) == 5
    assert_array_equal(run_counts(names, 30, 1), whole)
    assert_array_equal(run_signs(names, 30, 1), signs)
    assert (whole.sum(axis=1) == len(names)).all()
