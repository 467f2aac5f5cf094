"""The generic fit where a law contains a smaller one, and the losses are those of the smaller."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopline.errors import FloplineError
from flopline.solvers import generic, objectives
from flopline.solvers.damped_steps import GRADIENT_TOLERANCE
from flopline.solvers.objectives import Objective
from flopline.solvers.surface_family import FORMS, REPEATED, Form
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.repeated import NO_DECAY, RepeatedSurface
from flopline.surfaces.surface import Law, parameters
from tests.builders.designs import GRID
from tests.builders.surfaces import BESIROGLU, constants_of, starts_of

EVERY = {**FORMS, REPEATED.name: REPEATED}
LIMITS = {
    "E": (0.0,),
    "ln_A": (-np.inf,),
    "ln_B": (-np.inf,),
    "a": (0.01, 2.0),
    "b": (0.01, 2.0),
    "k": (0.06, 1.0, 3.0),
}
"""Values of the unknowns of the family at which a form becomes a smaller one, or nearly."""
VANISHING = [
    (name, unknown, value)
    for name, form in EVERY.items()
    for unknown in form.free
    for value in LIMITS[unknown]
    # Without a term of size or an exponent there is no size that unique tokens merit.
    if name != "repeated" or (unknown != "ln_A" and value != 0.01)
]
BESIROGLU_REPEATED = RepeatedSurface(**constants_of(BESIROGLU), R_D=8.0, R_N=NO_DECAY)
UNIQUE = GRID[1] / np.tile([1, 3, 10, 40, 200], 7)


def law_of(form: Form, **changed: float) -> Law:
    """A law of `form` whose terms are 0.8 and 0.6 nats at the centre of GRID, but for changes."""
    values = {"E": 1.7, "ln_A": np.log(0.8), "ln_B": np.log(0.6), "a": 0.35, "b": 0.42, "k": 0.8}
    values |= dict(form.fixed) | changed
    values |= {name: values[source] for name, source in form.tied}
    e, ln_a, ln_b, a, b, k = values.values()
    log_n, log_d = np.log(GRID).mean(axis=1)
    numbers = (np.float64(v) for v in (e, ln_a + a * log_n, ln_b + b * log_d, a, b, k))
    return form.surface.of_terms(*numbers)


def points_of(form: str) -> dict[str, np.ndarray]:
    points = {"params": GRID[0], "tokens": GRID[1]}
    return points | ({"unique_tokens": UNIQUE} if form == "repeated" else {})


def noisy(loss: np.ndarray, sd: float, seed: int = 3) -> np.ndarray:
    return loss * np.exp(sd * np.random.default_rng(seed).standard_t(3, loss.size))


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def fitted(
    form: str, loss: np.ndarray, objective: Objective, count: int = 3
) -> generic.PointFit[Law]:
    """The fit from at most `count` starts, which must neither warn nor break.

    That of repeated data is the one of the studies, without decay of excess params.
    """
    begin = starts_of(form, *GRID, loss)
    names = parameters(begin[0])
    if form == "repeated":
        begin = [replace(start, R_N=NO_DECAY) for start in begin]
        names = names[:-1]
    some = begin[:: -(-len(begin) // count)]
    with no_warning():
        return generic.fit(some, points_of(form), loss, objective, free=names)


def value_of(law: Law, form: str, loss: np.ndarray, objective: Objective) -> float:
    with np.errstate(all="ignore"):
        return objective.value(objective.residual(law.loss(**points_of(form)), loss))


@pytest.mark.parametrize("sd", [0.0, 0.004])
@pytest.mark.parametrize(("form", "unknown", "value"), VANISHING)
def test_a_form_that_nearly_is_a_smaller_one_is_fitted(form, unknown, value, sd):
    truth = law_of(EVERY[form], **{unknown: value})
    loss = noisy(truth.loss(**points_of(form)), sd)
    objective = objectives.log_huber()
    fit = fitted(form, loss, objective)
    assert fit.converged, fit.message
    assert fit.value <= value_of(truth, form, loss, objective) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize(("form", "unknown", "value"), [v for v in VANISHING if v[0] != "skaling"])
def test_so_it_is_by_least_absolute_errors(form, unknown, value):
    truth = law_of(EVERY[form], **{unknown: value})
    loss = noisy(truth.loss(**points_of(form)), 0.004)
    objective = objectives.log_lad()
    fit = fitted(form, loss, objective)
    assert fit.converged, fit.message
    assert fit.value <= value_of(truth, form, loss, objective) * (1 + 1e-9)


def test_a_fit_that_does_not_settle_says_so():
    """k, the exponent and the amplitude of the only term trade freely, and LAD has no curvature."""
    # Rounding alone may let one of them settle.
    for sd in (0.002, 0.003, 0.006):
        loss = noisy(law_of(FORMS["skaling"], ln_A=-np.inf).loss(*GRID), sd)
        fit = fitted("skaling", loss, objectives.log_lad(), count=1)
        if not fit.converged:
            break
    assert not fit.converged
    assert fit.scaled_gradient > GRADIENT_TOLERANCE
    assert fit.message.startswith("the fit ends before its gradient is zero (scaled gradient ")
    assert value_of(fit.law, "skaling", loss, objectives.log_lad()) == fit.value


@pytest.mark.parametrize("name", ["E", "A", "B"])
def test_an_amplitude_that_the_losses_deny_is_said_to_tend_to_zero(name):
    """Losses that rise where a term of the law can only fall, or that fall below any floor."""
    n, d = GRID
    loss = {
        "E": LossSurface(0.0, 60.0, 150.0, 0.17, 0.18).loss(n, d) - 0.1,
        "A": law_of(FORMS["chinchilla"], ln_A=-np.inf).loss(n, d) * n**0.001,
        "B": law_of(FORMS["chinchilla"], ln_B=-np.inf).loss(n, d) * d**0.001,
    }[name]
    fit = fitted("chinchilla", loss, objectives.log_squares())
    assert fit.converged
    assert name in fit.vanished
    assert fit.limits[name] == 0.0
    assert f"{name} tends to 0" in fit.message


@pytest.mark.parametrize(("constant", "word"), [(1e-14, "0"), (1e18, "infinity")])
def test_a_decay_without_end_or_at_once_is_said_to_be_one(constant, word):
    law = replace(BESIROGLU_REPEATED, R_D=constant)
    points = points_of("repeated")
    with no_warning():
        fit = generic.fit(
            [replace(law, R_D=r_d) for r_d in (2.0, 32.0)],
            points,
            law.loss(**points),
            objectives.log_huber(),
            free=("E", "A", "B", "alpha", "beta", "R_D"),
        )
    assert fit.converged
    assert f"R_D tends to {word}" in fit.message


def test_an_exponent_on_its_bound_is_said_to_be_there():
    loss = law_of(FORMS["chinchilla"], a=0.002).loss(*GRID)
    fit = fitted("chinchilla", loss, objectives.log_huber())
    assert fit.converged
    assert fit.limits == {"alpha": 0.01}
    assert "alpha lies on the bound of its search, 0.01" in fit.message


def test_starts_at_zero_are_left_out_and_said_to_be_of_no_use_alone():
    loss = BESIROGLU.loss(*GRID)
    none = replace(BESIROGLU, A=0.0)
    points = points_of("chinchilla")
    with no_warning():
        fit = generic.fit([none, BESIROGLU], points, loss, objectives.log_huber())
        assert fit.law == generic.fit([BESIROGLU], points, loss, objectives.log_huber()).law
        with pytest.raises(FloplineError, match="no start gives finite losses with positive"):
            generic.fit([none], points, loss, objectives.log_huber())


@settings(max_examples=15)
@given(
    st.sampled_from(VANISHING),
    st.integers(0, 10_000),
    st.integers(3, 40),
    st.sampled_from([0.0, 0.003, 0.05]),
    st.sampled_from([objectives.log_huber(), objectives.log_lad(), objectives.linear_squares()]),
)
def test_whatever_the_design_there_is_a_fit_or_a_sentence(case, seed, count, sd, objective):
    form, unknown, value = case
    rng = np.random.default_rng(seed)
    n, d = 10 ** rng.uniform(7, 9.5, count), 10 ** rng.uniform(8, 11.5, count)
    points = {"params": n, "tokens": d}
    if form == "repeated":
        points["unique_tokens"] = d / rng.choice([1.0, 4.0, 30.0], count)
    loss = noisy(law_of(EVERY[form], **{unknown: value}).loss(**points), sd, seed)
    begin = starts_of(form, n, d, loss)[:2]
    with no_warning():
        try:
            fit = generic.fit(begin, points, loss, objective)
        except FloplineError as error:
            assert "points cannot determine" in str(error)
            return
    assert np.isfinite(fit.value)
    assert fit.message.endswith(".")
    assert fit.converged == (not fit.message.startswith("the fit ends before"))
