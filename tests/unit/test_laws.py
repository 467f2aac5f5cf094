"""Every loss surface against finite differences and a search along its budget."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from flopline.errors import FloplineError
from flopline.surfaces import published
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.compute_laws import ComputePowerLaw
from flopline.surfaces.repeated import RepeatedSurface
from flopline.surfaces.surface import Law, amplitudes, optimum, parameters
from flopline.surfaces.tied import TiedSurface
from tests.builders.surfaces import FORMS, MUENNIGHOFF_REPEATED, per_draw, starts_of, values_of
from tests.conftest import ROOT

LAWS = FORMS | {"repeated": replace(MUENNIGHOFF_REPEATED, beta=0.41)}
N = np.array([1e7, 1e8, 3e9, 4e11])
D = np.array([3e12, 4e10, 2e9, 7e10])


def slopes(law: Law, **where) -> np.ndarray:
    """d ln L / d ln parameter by central differences, on the last axis."""
    out, step = [], 1e-5
    for name in parameters(law):
        up, down = (
            replace(law, **{name: getattr(law, name) * np.exp(s)}).loss(**where)
            for s in (step, -step)
        )
        out.append((np.log(up) - np.log(down)) / (2 * step))
    return np.stack(out, axis=-1)


def scaled(law: Law, **where) -> np.ndarray:
    return law.log_loss_gradient(**where) * values_of(law)


@pytest.mark.parametrize("name", LAWS)
def test_gradient_is_the_slope_of_log_loss(name):
    law = LAWS[name]
    assert_allclose(
        scaled(law, params=N, tokens=D), slopes(law, params=N, tokens=D), rtol=1e-6, atol=1e-9
    )


# From half to 100 epochs, for sizes far below and far above what the unique tokens merit.
@pytest.mark.parametrize("epochs", [0.5, 1.5, 8.0, 100.0])
def test_gradient_of_repeated_tokens(epochs):
    law = LAWS["repeated"]
    where = {"params": N, "tokens": D, "unique_tokens": D / epochs}
    wide = scaled(law, **where)
    assert_allclose(wide, slopes(law, **where), rtol=1e-6, atol=1e-9)
    assert (np.abs(wide[:, 5]) > 0).all() == (epochs > 1)
    assert (wide[:, 6] != 0).any()
    assert (wide[:, 6] == 0).any()


@pytest.mark.parametrize("name", LAWS)
def test_law_per_draw_broadcasts_against_points(name):
    law = LAWS[name]
    many = per_draw(law, 3)
    width = len(parameters(law))
    for method, args in (("loss", (N, D)), ("params_opt", (D,)), ("loss_opt", (D,))):
        one = getattr(law, method)(*args)
        assert one.shape == N.shape
        assert_allclose(getattr(many, method)(*args), np.tile(one, (3, 1)), rtol=1e-14)
    gradient = law.log_loss_gradient(N, D)
    assert gradient.shape == (4, width)
    assert_allclose(many.log_loss_gradient(N, D), np.tile(gradient, (3, 1, 1)), rtol=1e-14)
    assert law.loss(1e9, 2e10).shape == law.params_opt(1e21).shape == ()
    assert law.log_loss_gradient(1e9, 2e10).shape == (width,)


@pytest.mark.parametrize("name", LAWS)
def test_no_split_of_the_budget_beats_the_optimum(name):
    law = LAWS[name]
    for flops in (1e18, 5.76e23, 1e27):
        best = optimum(law, flops)
        assert_allclose(6 * best["params"] * best["tokens"], flops, rtol=1e-12)
        splits = best["params"] * np.geomspace(0.01, 100, 4001)
        losses = law.loss(splits, flops / 6 / splits)
        assert (losses >= best["loss"] * (1 - 1e-14)).all()
        assert np.argmin(losses) == 2000


@given(
    beta=st.floats(0.1, 3.0),
    r_d=st.floats(0.5, 100),
    r_n=st.floats(0.5, 100),
    epochs=st.floats(0.2, 1e3),
    flops=st.floats(1e18, 1e26),
)
def test_no_split_beats_the_optimum_when_data_are_short(beta, r_d, r_n, epochs, flops):
    law = RepeatedSurface(1.9, 500.0, 1500.0, 0.35, beta, r_d, r_n)
    unique = float(law.base.tokens_opt(flops)) / epochs
    best = float(law.params_opt(flops, unique))
    lowest = float(law.loss_opt(flops, unique))
    splits = np.concatenate([best * np.geomspace(0.999, 1.001, 101), np.geomspace(1e3, 1e17, 5000)])
    losses = law.loss(splits, flops / 6 / splits, unique)
    assert (losses >= lowest * (1 - 1e-14)).all()
    assert_allclose(6 * best * law.tokens_opt(flops, unique), flops, rtol=1e-12)


def test_one_budget_with_many_amounts_of_unique_tokens():
    law = LAWS["repeated"]
    unique = np.array([1e8, 1e9, 1e10, 1e14])
    draws = per_draw(law, 3)
    one = [float(law.loss_opt(1e21, u)) for u in unique]
    assert_allclose(law.loss_opt(1e21, unique), one, rtol=1e-14)
    assert_allclose(draws.loss_opt(1e21, unique), np.tile(one, (3, 1)), rtol=1e-14)
    assert (np.diff(one) < 0).all()


def test_enough_fresh_tokens_give_the_base_law():
    law = LAWS["repeated"]
    budgets = np.array([1e20, 1e24])
    enough = law.base.tokens_opt(budgets) * 1.01
    for method in ("params_opt", "tokens_opt", "loss_opt"):
        base = getattr(law.base, method)(budgets)
        assert_allclose(getattr(law, method)(budgets, enough), base, rtol=1e-12)
        assert_allclose(getattr(law, method)(budgets), base, rtol=1e-12)
    assert (law.loss_opt(budgets, enough / 10) > law.loss_opt(budgets)).all()


def test_repeats_beyond_all_measure_are_worth_the_paper_s_limit():
    law = LAWS["repeated"]
    limit = law.base.loss(1e6, 1e9 * (1 + law.R_D))
    assert_allclose(law.loss(1e6, 1e15, 1e9), limit, rtol=1e-12)
    assert law.loss(1e6, 1e10, 1e9) > law.loss(1e6, 1e10)


def test_vanished_term_has_no_optimum():
    law = replace(LAWS["repeated"], B=0.0)
    assert np.isnan(law.params_opt(1e21, 1e9))
    assert np.isnan(replace(LAWS["tied"], A=0.0).loss_opt(1e21))


def test_k_moves_the_loss_but_not_the_split():
    law = LAWS["skaling"]
    for k in (0.3, 1.0, 1.5):
        bent = replace(law, k=k)
        assert_allclose(bent.params_opt(1e22), law.params_opt(1e22), rtol=1e-15)
        assert bent.loss_opt(1e22) != law.loss_opt(1e22)
    straight = replace(law, k=1.0)
    untied = LossSurface(law.E, law.A, law.B, law.alpha, law.beta)
    assert_allclose(straight.loss(N, D), untied.loss(N, D), rtol=1e-15)


def test_tied_law_is_that_of_gadre_in_their_own_words():
    law = LAWS["tied"]
    flops, ratio, eta = 6 * N * D, D / N, law.alpha / 2
    a, b = law.A * 6**eta, law.B * 6**eta
    theirs = law.E + (a * ratio**eta + b * ratio**-eta) * flops**-eta
    assert_allclose(law.loss(N, D), theirs, rtol=1e-13)


def test_kaplan_law_is_eq_1_5():
    a_n, a_d, n_c, d_c = values_of(LAWS["kaplan"])
    theirs = ((n_c / N) ** (a_n / a_d) + d_c / D) ** a_d
    assert_allclose(LAWS["kaplan"].loss(N, D), theirs, rtol=1e-13)
    ratio = LAWS["kaplan"].params_opt(1e24) / LAWS["kaplan"].params_opt(1e22)
    assert math.log(ratio, 100) == pytest.approx(a_d / (a_n + a_d), rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_starts_give_the_losses_seen(form):
    """At the centre of the points every start is within a factor of two of the mean loss."""
    loss = np.array([3.5, 3.0, 2.6, 2.4])
    made = starts_of(form, N, D, loss)
    assert len(made) >= 3
    assert len({tuple(np.ravel([getattr(s, p) for p in parameters(s)])) for s in made}) == len(made)
    n, d = (float(np.exp(np.log(v).mean())) for v in (N, D))
    if form == "repeated":
        n = 1e6  # below N_opt(D), where nothing decays
        assert all(s.loss(n, d) == s.base.loss(n, d) for s in made)
        return
    for start in made:
        assert_allclose(start.loss(n, d), loss.mean(), rtol=1e-9)


def test_amplitudes_balance_the_terms_at_the_centre():
    a, b = amplitudes(0.7, 0.3, 0.5, N, D)
    n, d = (float(np.exp(np.log(v).mean())) for v in (N, D))
    assert_allclose([a / n**0.3, b / d**0.5], 0.7, rtol=1e-12)


# The registry.


def test_every_published_law_loads_with_its_meaning():
    assert len(published.names()) >= 15
    assert list(published.names()) == sorted(published.names())
    for name in published.names():
        law = published.load(name)
        assert law.name == name
        assert "arXiv" in law.source
        assert law.closure in ("", "6ND")
        assert all((law.title, law.params, law.tokens, law.loss_unit, law.flops))
        assert law.evidence in ("primary", "secondary")
        assert 2019 < law.year < 2027
        assert not law.fitted_flops[0] >= law.fitted_flops[1]
        if law.form == "power_law":
            assert math.isfinite(law.law.a) or math.isfinite(law.law.b)
            with pytest.raises(FloplineError, match="gives no loss"):
                law.surface()
        else:
            assert 0 < law.surface().loss_opt(1e22) < 10


def test_unknown_law_names_those_there_are():
    with pytest.raises(FloplineError, match=r"no published law 'chinchila'.*besiroglu_2024"):
        published.load("chinchila")


def test_printed_logarithms_are_undone():
    law = published.load("hoffmann_2022_parametric").law
    assert_allclose(np.log([law.E, law.A, law.B]), [0.5267228, 6.0073404, 6.0179186], rtol=1e-14)
    line = published.load("hoffmann_2022_isoflop").law
    assert_allclose(np.log10(line.params_opt(1e20)), 20 * 0.48994 - 0.8390, rtol=1e-14)


def test_petaflop_days():
    law = published.load("kaplan_2020_compute").law
    assert_allclose(law.params_opt(8.64e19), 1.3e9, rtol=1e-12)
    assert_allclose(law.params_opt(8.64e21), 1.3e9 * 100**0.73, rtol=1e-12)


def test_law_without_coefficient_refuses_to_name_a_size():
    with pytest.raises(FloplineError, match="no coefficient of optimal params"):
        published.load("nmm_2025_early").law.params_opt(1e21)
    assert published.load("nmm_2025_early").law.a == 0.5262


def test_closure_and_anchor():
    law = published.load("hoffmann_2022_envelope").law
    assert_allclose(6 * law.params_opt(3e22) * law.tokens_opt(3e22), 3e22, rtol=1e-12)
    assert law.b == 1 - 0.4981
    assert_allclose(published.load("porian_2024_tuned").law.params_opt(5.88e23), 77e9, rtol=1e-12)


ENTRY = {
    "form": "tied",
    "title": "t",
    "year": 2020,
    "source": "arXiv 0000.00000",
    "evidence": "primary",
    "params": "p",
    "tokens": "t",
    "loss_unit": "nats",
    "flops": "6ND",
    "params_convention": "total",
    "flops_convention": "six_nd",
    "parameters": {"E": 1.0, "A": 1, "B": 1.0, "alpha": 0.3},
}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"evidence": "rumour"}, "evidence = 'rumour': choose one of 'primary', 'secondary'"),
        ({"form": "spline"}, "form = 'spline'"),
        ({"params_convention": "most"}, "params_convention = 'most': choose one of 'total'"),
        ({"flops_convention": None}, "lacks the key 'flops_convention'"),
        ({"fitted_flops": [2e20, 1e19]}, "give the smallest and the largest"),
        ({"closure": "none"}, "closure = 'none'"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"source": None}, "lacks the key 'source'"),
        ({"parameters": {"E": 1.0, "A": 1.0}}, "its form needs E, A, B, alpha"),
        ({"parameters": {"E": -1.0}}, "E = -1.0: give a positive number"),
        ({"parameters": {"E": "one"}}, "E = one: give a positive number"),
        ({"form": "power_law"}, "a power law is stated by"),
        ({"form": "power_law", "parameters": {"a": 0.5, "N_at": 1e9}}, "N_at and anchor_flops"),
        ({"form": "power_law", "parameters": {"a": 0.5}, "closure": "6ND"}, "where closure gives"),
        ({"form": "power_law", "parameters": {"a": 0.5, "unit": "yard"}}, "unit = 'yard'"),
        ({"form": "power_law", "parameters": {"unit": "FLOP"}}, "a power law is stated by"),
    ],
)
def test_bad_entries_are_refused_in_a_sentence(changes, complaint):
    entry = {k: v for k, v in (copy.deepcopy(ENTRY) | changes).items() if v is not None}
    with pytest.raises(FloplineError, match=complaint):
        published.read("new", entry)


def test_good_entries_load():
    assert published.read("new", ENTRY).law == TiedSurface(1.0, 1.0, 1.0, 0.3)
    power = ENTRY | {"form": "power_law", "parameters": {"a": 0.5, "K_N": 2.0, "b": 0.4}}
    assert published.read("new", power).law.params_opt(1e20) == pytest.approx(2e10)
    assert isinstance(published.read("new", power).law, ComputePowerLaw)


def test_the_page_on_laws_names_every_published_law_and_form():
    page = (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")
    for name in (*published.names(), *published.SURFACES, published.POWER_LAW):
        assert f"`{name}`" in page
