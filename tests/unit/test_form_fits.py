"""Every form of the surface as the parametric law: fitted, stated and read by the same names."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from flopline.audit.finding import draws_of, surface_of
from flopline.audit.inference import best_for_lifetime, params_at_ratio
from flopline.audit.next_run import Design
from flopline.audit.waste import excess_at, wasted_at
from flopline.laws.parametric import parametric_fit
from flopline.planner import at_budget, deviation, read_line
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import FORMS, SKALING, unknowns_of
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.loss_of_compute import LossOfCompute
from tests.builders.designs import GRID, runs_at

BENT = LossSurface(1.2, 60.0, 200.0, 0.5, 0.45, k=0.6)
TARGET = 1e22


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_law_is_the_same_as_its_form_writes_it_and_as_a_fit_states_it(form) -> None:
    loss = BENT.loss(*GRID)
    problem = Problem.of(*GRID, loss, log_huber())
    unknowns = np.array([0.4, -1.1, -0.9, 0.31, 0.27, 0.7])
    full = form.expand(form.reduce(unknowns[None]))[0]
    own, stated = form.law(problem, full), form.as_stated(problem, full)
    assert_allclose(stated.loss(*GRID), own.loss(*GRID), rtol=1e-12)
    assert_allclose(stated.params_opt([1e20, 1e23]), own.params_opt([1e20, 1e23]), rtol=1e-12)
    assert_allclose(unknowns_of(problem, stated), full, rtol=1e-9)


def test_a_power_moves_losses_and_not_the_best_split() -> None:
    straight = LossSurface(1.2, 60.0, 200.0, 0.5, 0.45)
    budgets = np.array([1e20, 1e22])
    assert_allclose(BENT.params_opt(budgets), straight.params_opt(budgets))
    assert_allclose(BENT.loss(*GRID) - 1.2, (straight.loss(*GRID) - 1.2) ** 0.6)
    assert_allclose(LossOfCompute.frontier(BENT).loss(budgets), BENT.loss_opt(budgets))
    step = 1e-6
    names = ("E", "A", "B", "alpha", "beta", "k")
    for i, name in enumerate(names):
        values = {n: float(getattr(BENT, n)) for n in names}
        ends = [LossSurface(**{**values, name: values[name] * (1 + s)}) for s in (step, -step)]
        slope = (np.log(ends[0].loss(*GRID)) - np.log(ends[1].loss(*GRID))) / (2 * step)
        found = BENT.log_loss_gradient(*GRID)[..., i] * values[name]
        assert_allclose(found, slope, rtol=1e-4, atol=1e-9)


def test_what_a_wrong_size_costs_on_a_bent_surface_is_what_its_losses_say() -> None:
    best, off = float(BENT.params_opt([TARGET])[0]), np.log(2.0)
    loss = float(BENT.loss(2 * best, TARGET / 12 / best))
    lowest = float(BENT.loss_opt([TARGET])[0])
    assert float(excess_at(BENT, TARGET, off)) == pytest.approx((loss - lowest) / (lowest - 1.2))
    enough = float(LossOfCompute.frontier(BENT).flops_for(loss))
    assert float(wasted_at(BENT, TARGET, off)) == pytest.approx(1 - enough / TARGET)
    params = params_at_ratio(BENT, loss, 20.0)
    assert float(BENT.loss(params, 20 * params)) == pytest.approx(loss)
    params, tokens = best_for_lifetime(BENT, loss, 1e12)
    assert float(BENT.loss(params, tokens)) == pytest.approx(loss)


def test_the_derivatives_of_the_best_size_hold_for_a_power() -> None:
    design = Design.of(BENT, *GRID, 0.004, SKALING)
    found = design.gradient(TARGET)
    for i, step in enumerate(1e-6 * np.eye(6)):
        ends = [
            np.log(SKALING.as_stated(design.problem, design.unknowns + s).params_opt([TARGET])[0])
            for s in (step, -step)
        ]
        assert found[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-5)


def test_skaling_is_fitted_with_the_care_of_the_main_form() -> None:
    points = runs_at(BENT, *GRID, noise=0.002, seed=1)
    fit = parametric_fit.fit(points, [TARGET], draws=30, form=SKALING)
    assert fit.status == "converged", fit.message
    assert fit.settings["form"] == "skaling"
    assert list(fit.tables["estimators"]["estimator"]) == ["skaling"]
    stored = fit.to_json()
    surface, draws = surface_of(stored), draws_of(fit.draws)
    assert float(surface.k) == pytest.approx(0.6, abs=0.1)
    assert draws.loss_opt([TARGET]).shape == (30, 1)
    line = read_line(stored, fit.draws)
    target = at_budget(line, TARGET)
    assert target.values["loss"].lo95 == pytest.approx(stored["targets"][0]["loss"]["lo95"])
    best = target.values["params"].point
    cost = deviation(line, line, TARGET, 2 * best)
    assert cost.loss == pytest.approx(float(surface.loss(2 * best, TARGET / 12 / best)))
