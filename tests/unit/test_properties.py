"""What must hold for every law, whatever the data: units, order, repetition, recovery.

Laws of runs: the parametric, isoFLOP and envelope fits. Forms: every surface of `laws/` through the
generic fit. All data here are simulated on a known law.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from flopline.laws.common.fit_result import FitResult
from flopline.laws.envelope import envelope_fit
from flopline.laws.registry import LAWS
from flopline.laws.spec import spec_of
from flopline.solvers import generic, objectives
from flopline.surfaces import published
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.repeated import RepeatedSurface
from flopline.surfaces.skaling import SkalingSurface
from flopline.surfaces.surface import Law, parameters
from flopline.surfaces.tied import TiedSurface
from tests.builders.curves import curves_of, schedule_runs
from tests.builders.designs import GRID, isoflop_runs, with_budgets
from tests.builders.fits import taken
from tests.builders.surfaces import BESIROGLU, FORMS, SYMMETRIC, values_of

EXPONENT = float(BESIROGLU.a)
TARGET = 1e23
QUANTITIES = ("params", "tokens", "loss")


def profiles(law: LossSurface = BESIROGLU, noise: float = 0.003, seed: int = 1) -> pd.DataFrame:
    """Final losses of 6 budgets with 9 sizes each, N from 1/6 to 6 times the optimum."""
    budgets = np.geomspace(1e19, 3e21, 6)
    return with_budgets(isoflop_runs(law, budgets, 9, width=6.0, noise=noise, seed=seed))


def curves(noise: float = 0.002, seed: int = 1) -> pd.DataFrame:
    """Training curves of 10 sizes with 4 schedules each; before its end a run lies higher."""
    runs = schedule_runs(BESIROGLU, 10, 4)
    return curves_of(runs, BESIROGLU, 80, steps=80, late=0.2, noise=noise, seed=seed)


READINGS: dict[str, tuple[str, dict[str, Any]]] = {law: (law, {}) for law in LAWS} | {
    "envelope": ("envelope", {"bins": 300}),
    "envelope hull": ("envelope", {"frontier": "hull"}),
}
"""Every law, and options that make it quick or another one."""
every_law = pytest.mark.parametrize("name", READINGS)


def made(name: str, noise: float | None = None, seed: int = 1) -> pd.DataFrame:
    """What a law is fitted to; `noise` is the sd of ln loss, by default of a run 0.3 %."""
    law = READINGS[name][0]
    runs = profiles(noise=0.003 if noise is None else noise, seed=seed)
    return taken(law, runs, curves(noise=0.002 if noise is None else noise, seed=seed))


def fit(name: str, table: pd.DataFrame, target: float = TARGET, draws: int = 20) -> FitResult:
    law, options = READINGS[name]
    return spec_of(law).fitted(table, [target], draws=draws, seed=3, **options)


def in_units(table: pd.DataFrame, unit_n: float, unit_d: float) -> pd.DataFrame:
    """The same runs with params and tokens counted in other units, and C = 6ND with them."""
    factor = {
        "params": unit_n,
        "tokens": unit_d,
        "horizon_tokens": unit_d,
        "flops": unit_n * unit_d,
        "budget_flops": unit_n * unit_d,
    }
    return table.assign(**{c: table[c] * f for c, f in factor.items() if c in table})


def everything(result: FitResult) -> list[str]:
    """All that a fit says, to the last bit."""
    tables = {"draws": result.draws, **result.tables}
    texts = [json.dumps(result.to_json())]
    return texts + [
        f"{name} {table.to_csv(float_format='%.17g')}" for name, table in tables.items()
    ]


units = st.floats(-9, 3).map(lambda power: 10.0**power)


# Laws of runs


@every_law
@settings(max_examples=3)
@given(unit_n=units, unit_d=units)
def test_units_of_params_and_tokens_change_amplitudes_and_nothing_else(
    name: str, unit_n: float, unit_d: float
) -> None:
    # Vertex errors, the weights of isoFLOP, come from resamples that are seeded by the budget.
    draws = 0 if name == "isoflop" else 20
    table = made(name)
    one = fit(name, table, draws=draws)
    two = fit(name, in_units(table, unit_n, unit_d), TARGET * unit_n * unit_d, draws=draws)
    factor = {"params": unit_n, "tokens": unit_d, "loss": 1.0}
    for quantity, by in factor.items():
        for end in ("point", "lo95", "hi80"):
            before = getattr(one.targets[0].values[quantity], end)
            after = getattr(two.targets[0].values[quantity], end)
            assert_allclose(after, before * by, rtol=1e-6, err_msg=f"{quantity} {end}")
    same = {"E", "alpha", "beta", "a", "b", "L_E", "L_c"} & set(one.parameters)
    assert len(same) >= 4
    for parameter in same:
        before, after = one.parameters[parameter], two.parameters[parameter]
        assert_allclose(after.point, before.point, rtol=1e-6, atol=1e-9, err_msg=parameter)
        assert_allclose(after.hi95, before.hi95, rtol=1e-6, atol=1e-9, err_msg=parameter)
    if name == "parametric":
        p = {k: e.point for k, e in one.parameters.items()}
        assert_allclose(two.parameters["A"].point, p["A"] * unit_n ** p["alpha"], rtol=1e-5)
        assert_allclose(two.parameters["B"].point, p["B"] * unit_d ** p["beta"], rtol=1e-5)


def test_units_that_keep_the_budget_keep_the_intervals_of_isoflop() -> None:
    table = profiles()
    one = fit("isoflop", table)
    moved = table.assign(params=table["params"] / 1e6, tokens=table["tokens"] * 1e6)
    two = fit("isoflop", moved)
    for end in ("point", "lo95", "hi95"):
        for parameter in ("a", "b", "L_E", "L_c"):
            before, after = (getattr(r.parameters[parameter], end) for r in (one, two))
            assert_allclose(after, before, rtol=1e-6, atol=1e-9)
        before, after = (getattr(r.targets[0].values["params"], end) for r in (one, two))
        assert_allclose(after, before / 1e6, rtol=1e-6)


@every_law
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_no_byte(name: str, seed: int) -> None:
    table = made(name)
    shuffled = table.sample(frac=1.0, random_state=seed)
    assert everything(fit(name, table)) == everything(fit(name, shuffled))


@every_law
def test_a_twin_of_every_run_changes_no_point_estimate(name: str) -> None:
    """These fits take no weights: a twin of every run weighs the same as half of each twice."""
    table = made(name)
    twins = pd.concat([table, table.assign(run=table["run"] + "-twin")])
    one, two = fit(name, table, draws=0), fit(name, twins, draws=0)
    # Least squares know an exponent to the root of the rounding error, 1e-8; extrapolated to
    # compute 1, over ln C of 50, that is 1e-6 of an amplitude.
    amplitudes = {"A", "B", "G", "N_coef", "D_coef", "L_K"}
    for parameter, estimate in one.parameters.items():
        close = 1e-5 if parameter in amplitudes else 1e-7
        assert_allclose(two.parameters[parameter].point, estimate.point, rtol=close, atol=1e-12)
    for quantity in QUANTITIES:
        before, after = (r.targets[0].values[quantity].point for r in (one, two))
        assert_allclose(after, before, rtol=1e-8)


# Recovery of a known law


def test_parametric_recovers_the_law_of_its_own_losses() -> None:
    parameters = fit("parametric", profiles(noise=0.0)).parameters
    for name in ("E", "A", "B", "alpha", "beta"):
        assert_allclose(parameters[name].point, getattr(BESIROGLU, name), rtol=1e-6)


def test_isoflop_recovers_a_symmetric_law_and_the_exponent_of_any() -> None:
    """The bias of the parabola is the same factor at every budget: it leaves exponents alone."""
    exact = fit("isoflop", profiles(SYMMETRIC, noise=0.0))
    at = {quantity: exact.targets[0].values[quantity].point for quantity in ("params", "tokens")}
    assert_allclose(at["params"], float(SYMMETRIC.params_opt(TARGET)), rtol=1e-6)
    assert_allclose(at["tokens"], float(SYMMETRIC.tokens_opt(TARGET)), rtol=1e-6)
    assert_allclose(exact.parameters["a"].point, 0.5, rtol=1e-6)
    skewed = fit("isoflop", profiles(noise=0.0)).parameters
    assert_allclose(skewed["a"].point, EXPONENT, rtol=1e-6)
    assert_allclose(skewed["b"].point, 1 - EXPONENT, rtol=1e-6)


def test_envelope_recovers_the_law_that_its_curves_touch() -> None:
    """Each curve touches E + K C^-c at one compute, where N = 0.1 C^a, and lies above elsewhere.

    The first curve begins and the last one ends where it touches, so the hull is these points.
    """
    e, k, c, a = 1.7, 60.0, 0.09, 0.47
    parts = []
    for i, flops in enumerate(np.geomspace(1e18, 1e22, 15)):
        x = np.linspace(0 if i == 0 else -0.6, 0 if i == 14 else 0.6, 9)
        params, budget = 0.1 * flops**a, flops * np.exp(x)
        touched = e + k * flops**-c
        slope = -c * k * flops**-c / touched
        parts.append(
            pd.DataFrame(
                {
                    "run": f"{i:02d}",
                    "params": params,
                    "step": np.arange(1, 10),
                    "tokens": budget / (6 * params),
                    "flops": budget,
                    "loss": touched * np.exp(slope * x + 0.2 * x**2),
                }
            )
        )
    table = pd.concat(parts)
    p = envelope_fit.fit(
        table, [TARGET], frontier="hull", smoothing_steps=0, draws=0, seed=1
    ).parameters
    expected = {"a": a, "b": 1 - a, "N_coef": 0.1, "D_coef": 1 / 0.6, "L_E": e, "L_K": k, "L_c": c}
    for name, value in expected.items():
        assert_allclose(p[name].point, value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", [name for name in READINGS if name != "envelope hull"])
def test_a_noisy_law_lies_in_its_interval(name: str) -> None:
    """A hull of whole curves is left out: end sizes flatten it, as test_envelope.py shows."""
    result = fit(name, made(name, noise=0.002, seed=11), draws=200)
    a = result.parameters["a"]
    assert a.lo95 < EXPONENT < a.hi95
    params = result.targets[0].values["params"]
    assert params.lo95 < float(BESIROGLU.params_opt(TARGET)) < params.hi95
    assert abs(a.point - EXPONENT) < 0.05


# Forms of `laws/` through the generic fit

UNIQUE = np.tile([3e9, 1e10, 4e10, 1e11, 3e11], 7)
FREE = {"repeated": ("R_D", "R_N")}
"""Its authors hold the base constants; with them free a start decides which optimum is found."""
every_form = pytest.mark.parametrize("form", FORMS)


def points_of(form: str) -> dict[str, np.ndarray]:
    points = {"params": GRID[0], "tokens": GRID[1]}
    return points | ({"unique_tokens": UNIQUE} if form == "repeated" else {})


def losses(form: str, noise: float = 0.0) -> np.ndarray:
    scatter = np.random.default_rng(7).standard_normal(GRID.shape[1])
    return FORMS[form].loss(**points_of(form)) * np.exp(noise * scatter)


def fitted(
    form: str, points: dict[str, np.ndarray], loss: np.ndarray, near: Law | None = None
) -> generic.PointFit[Law]:
    """The fit from one start: `near`, else the truth, with free parameters 10 % off."""
    start = FORMS[form] if near is None else near
    free = FREE.get(form, parameters(start))
    start = replace(start, **{name: 1.1 * getattr(start, name) for name in free})
    return generic.fit([start], points, loss, objectives.log_huber(0.01), free=free)


def law_in_units(law: Law, unit_n: float, unit_d: float) -> Law:
    """The same law of N and D counted in other units: amplitudes alone change."""
    match law:
        case KaplanSurface():
            return replace(law, N_c=law.N_c * unit_n, D_c=law.D_c * unit_d)
        case TiedSurface():
            power = law.alpha
            return replace(law, A=law.A * unit_n**power, B=law.B * unit_d**power)
        case LossSurface() | SkalingSurface() | RepeatedSurface():
            return replace(law, A=law.A * unit_n**law.alpha, B=law.B * unit_d**law.beta)
    raise AssertionError(f"say how units change {type(law).__name__}")


@every_form
@settings(max_examples=3)
@given(unit_n=units, unit_d=units)
def test_units_change_the_amplitudes_of_a_form_and_nothing_else(
    form: str, unit_n: float, unit_d: float
) -> None:
    points, loss = points_of(form), losses(form, 0.003)
    one = fitted(form, points, loss)
    factor = {"params": unit_n, "tokens": unit_d, "unique_tokens": unit_d}
    moved = {name: values * factor[name] for name, values in points.items()}
    two = fitted(form, moved, loss, law_in_units(FORMS[form], unit_n, unit_d))
    assert one.converged
    assert two.converged
    expected = law_in_units(one.law, unit_n, unit_d)
    assert_allclose(values_of(two.law), values_of(expected), rtol=1e-5)
    assert_allclose(two.value, one.value, rtol=1e-9)


def test_every_form_of_the_registry_is_held_to_these_properties() -> None:
    assert set(FORMS) == set(published.SURFACES)


@every_form
def test_the_order_of_points_changes_no_bit_of_a_form(form: str) -> None:
    points, loss = points_of(form), losses(form, 0.003)
    order = np.random.default_rng(5).permutation(loss.size)
    one = fitted(form, points, loss)
    two = fitted(form, {name: v[order] for name, v in points.items()}, loss[order])
    assert values_of(one.law).tolist() == values_of(two.law).tolist()
    assert one.residual[order].tolist() == two.residual.tolist()


@every_form
def test_a_twin_of_every_point_changes_no_form(form: str) -> None:
    points, loss = points_of(form), losses(form, 0.003)
    one = fitted(form, points, loss)
    two = fitted(form, {name: np.tile(v, 2) for name, v in points.items()}, np.tile(loss, 2))
    assert_allclose(values_of(two.law), values_of(one.law), rtol=1e-6)
    assert_allclose(two.value, 2 * one.value, rtol=1e-9)


@every_form
def test_a_form_is_recovered_from_its_own_losses_and_from_noisy_ones(form: str) -> None:
    truth, points = FORMS[form], points_of(form)
    exact = fitted(form, points, losses(form))
    assert_allclose(values_of(exact.law), values_of(truth), rtol=1e-6)
    noisy = fitted(form, points, losses(form, 0.003))
    free = FREE.get(form, parameters(truth))
    index = [parameters(truth).index(name) for name in free]
    columns = (truth.log_loss_gradient(**points) * values_of(truth))[:, index]
    errors = 0.003 * np.sqrt(np.diag(np.linalg.inv(columns.T @ columns)))
    off = np.log(values_of(noisy.law) / values_of(truth))[index]
    # A parameter known to 30 % or worse is no longer Gaussian in its logarithm.
    sharp = errors < 0.3
    assert (np.abs(off) < 4 * errors)[sharp].all()
    rms = np.sqrt(np.mean(noisy.residual**2))
    assert rms < 0.003 * 1.5
