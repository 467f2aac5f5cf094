"""Wild resamples: signs by run, residuals as of unseen runs, solved like any other losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import chosen, new_run_errors, run_signs
from flopline.laws.common.fit_result import targets_of
from flopline.laws.parametric import parametric_fit, wild
from flopline.solvers.descent import jacobian
from flopline.solvers.minimisation import minimise, minimise_resamples
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA
from flopline.solvers.variable_projection import project
from tests.builders.designs import checkpoint_runs
from tests.builders.surfaces import BESIROGLU

TARGET = [1e22]


def problem_of(table: pd.DataFrame, delta: float) -> tuple[Problem, np.ndarray]:
    """The problem of a study and its optimum."""
    problem = Problem.of(
        *(table[c].to_numpy() for c in ("params", "tokens", "loss")), log_huber(delta)
    )
    best, _, _ = minimise(problem, CHINCHILLA, np.ones(len(table)))
    return problem, best.unknowns[0]


def test_rows_of_a_run_share_their_sign():
    signs = run_signs(["a", "b", "a", "c"], 200, 3)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert_array_equal(signs[:, 0], signs[:, 2])
    assert abs(signs[:, 1].mean()) < 0.25
    assert abs((signs[:, 0] * signs[:, 1]).mean()) < 0.25


def test_signs_follow_the_runs_through_any_order_of_rows():
    assert_array_equal(
        run_signs(["a", "b", "c"], 50, 3), run_signs(["c", "a", "b"], 50, 3)[:, [1, 2, 0]]
    )


@pytest.mark.parametrize("rows", [1, 4])
def test_unseen_residuals_of_least_squares_are_those_of_the_linear_model(rows):
    table = checkpoint_runs(rows=rows)
    problem, unknowns = problem_of(table, delta=10.0)
    runs = table["run"].tolist()
    residuals = wild.unseen_residuals(problem, unknowns, runs)
    j = jacobian(problem, CHINCHILLA, unknowns[None])[0].T
    r = wild.residuals_of(problem, unknowns)
    for run in ("r000", "r017"):
        rest = np.flatnonzero(table["run"] != run)
        mine = np.flatnonzero(table["run"] == run)
        # In the model that is linear at unknowns the others move the parameters by this much.
        move = np.linalg.lstsq(j[rest], -r[rest], rcond=None)[0]
        assert_allclose(residuals[mine], r[mine] + j[mine] @ move, rtol=1e-5, atol=1e-9)


def test_unseen_residuals_of_huber_are_near_those_of_a_refit():
    table = checkpoint_runs(60, noise=0.003)
    problem, unknowns = problem_of(table, delta=1e-3)
    residuals = wild.unseen_residuals(problem, unknowns, table["run"].tolist())
    weights = 1.0 - np.eye(60)
    refitted, _ = minimise_resamples(problem, CHINCHILLA, weights, unknowns)
    truth = np.array(
        [wild.residuals_of(problem, refitted.unknowns[i])[i] for i in range(60)], dtype=float
    )
    seen = wild.residuals_of(problem, unknowns)
    # First-order, so it need not be exact, but it must make up most of what was missing.
    assert np.abs(residuals - truth).sum() < 0.6 * np.abs(seen - truth).sum()
    assert np.sqrt((residuals**2).mean()) == pytest.approx(np.sqrt((truth**2).mean()), rel=0.05)


def test_a_resample_flips_whole_runs_about_the_fit():
    table = checkpoint_runs(rows=3)
    problem, unknowns = problem_of(table, 1e-3)
    drawn = wild.resampled_losses(problem, unknowns, table["run"].tolist(), 20, 5).of()
    fitted = problem.target + wild.residuals_of(problem, unknowns)
    size = np.abs(wild.unseen_residuals(problem, unknowns, table["run"].tolist()))
    assert_allclose(np.abs(drawn.target - fitted), np.tile(size, (20, 1)), rtol=1e-9, atol=1e-15)


def test_losses_of_their_own_are_solved_like_losses_shared_by_all():
    table = checkpoint_runs(40)
    problem, unknowns = problem_of(table, 1e-3)
    drawn = wild.resampled_losses(problem, unknowns, table["run"].tolist(), 12, 5).of()
    equal = np.ones((12, 40))
    together, _ = minimise_resamples(drawn, CHINCHILLA, equal, unknowns)
    assert together.converged.all()
    for i in range(12):
        alone = replace(problem, target=drawn.target[i])
        best, _, _ = minimise(alone, CHINCHILLA, equal[0])
        assert together.objective[i] <= best.objective[0] * (1 + 1e-9)
        alone_optimum, _ = minimise_resamples(alone, CHINCHILLA, equal[:1], unknowns)
        assert together.objective[i] == pytest.approx(alone_optimum.objective[0], rel=1e-9)


def test_shared_losses_repeated_for_every_row_change_no_start():
    table = checkpoint_runs(40)
    problem, _ = problem_of(table, 1e-3)
    weights = np.random.default_rng(0).integers(0, 3, (7, 40)).astype(float)
    repeated = replace(problem, target=np.tile(problem.target, (7, 1)))
    for one, other in zip(
        project(problem, CHINCHILLA, weights), project(repeated, CHINCHILLA, weights), strict=True
    ):
        assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_wild_draws_of_losses_without_noise_are_the_law():
    result = parametric_fit.fit(checkpoint_runs(noise=0.0), TARGET, draws=20, seed=1, method="wild")
    assert_allclose(result.draws["alpha"], BESIROGLU.alpha, rtol=1e-5)


def test_wild_fit_is_the_same_in_any_order_of_rows():
    table = checkpoint_runs(rows=3)
    one = parametric_fit.fit(table, TARGET, draws=30, seed=1, method="wild")
    other = parametric_fit.fit(
        table.sample(frac=1, random_state=1), TARGET, draws=30, seed=1, method="wild"
    )
    pd.testing.assert_frame_equal(one.draws, other.draws)
    assert one.settings["method"] == "wild"
    assert one.certificate["draws_left_out"] == 0


def test_wild_intervals_know_that_rows_of_a_run_go_together():
    together = checkpoint_runs(20, rows=10, noise=0.003, row_noise=0.0005)
    apart = together.assign(run=[f"x{i}" for i in range(len(together))])
    widths = [
        e.hi95 - e.lo95
        for e in (
            parametric_fit.fit(t, TARGET, draws=200, seed=1, method="wild")
            .targets[0]
            .values["loss"]
            for t in (together, apart)
        )
    ]
    assert widths[0] > 1.5 * widths[1]


def test_method_of_the_bootstrap_is_checked():
    assert chosen("auto", "wild") == "wild"
    assert chosen("pairs", "wild") == "pairs"
    with pytest.raises(FloplineError, match="is 'jackknife' but must be 'auto', 'pairs' or 'wild'"):
        parametric_fit.fit(checkpoint_runs(), TARGET, draws=10, seed=1, method="jackknife")


def test_wild_draws_are_refused_for_residuals_that_are_not_of_log_loss():
    with pytest.raises(FloplineError, match="wild resamples log residuals"):
        parametric_fit.fit(
            checkpoint_runs(), TARGET, draws=10, seed=1, method="wild", objective="linear_squares"
        )


def test_errors_of_a_new_run_scatter_like_the_runs():
    residuals = np.random.default_rng(0).normal(0, 0.004, 40)
    errors = new_run_errors(residuals, 5, 20_000, 1)
    assert errors.std() == pytest.approx(residuals.std() * np.sqrt(40 / 35), rel=0.03)
    assert_array_equal(errors, new_run_errors(residuals[::-1], 5, 20_000, 1))


def test_a_law_that_knows_no_scatter_states_no_interval_of_a_new_run():
    point = {name: np.array([v]) for name, v in (("params", 1e9), ("tokens", 2e10), ("loss", 2.5))}
    draws = {name: v * np.linspace(0.9, 1.1, 20)[:, None] for name, v in point.items()}
    targets, columns = targets_of([1.2e20], point, draws)
    estimate = targets[0].values["loss_new_run"]
    assert estimate.point == 2.5
    assert np.isnan([estimate.lo80, estimate.hi80, estimate.lo95, estimate.hi95]).all()
    assert np.isnan(columns["loss_new_run@1.2e+20"]).all()


def test_interval_of_a_new_run_holds_its_scatter_besides_the_law():
    at = parametric_fit.fit(checkpoint_runs(60), TARGET, draws=500, seed=1).targets[0].values
    law, run = at["loss"], at["loss_new_run"]
    assert run.point == law.point
    assert run.hi95 - run.lo95 > 1.9 * 1.96 * 0.8 * 0.003 * run.point
    assert run.lo95 < law.lo95 < law.hi95 < run.hi95
