"""Other objectives and forms of the parametric law: exact derivatives, recovery, what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import run_weights
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING
from flopline.laws.parametric import form_variants, parametric_fit
from flopline.solvers import (
    descent,
    form_fits,
    generic,
    minimisation,
    objective_choice,
    objectives,
    surface_family,
)
from flopline.solvers.descent import Optimum
from flopline.solvers.minimisation import minimise, minimise_resamples
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA, KAPLAN, SKALING, TIED, UNKNOWNS
from flopline.solvers.variable_projection import cells_of, starts
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.repeated import NO_DECAY, RepeatedSurface
from flopline.surfaces.surface import Law, surface_starts
from tests.builders import fits
from tests.builders.designs import GRID, runs_at
from tests.builders.surfaces import BESIROGLU, FORMS, constants_of, starts_of, values_of

FAMILY = surface_family.FORMS
OBJECTIVES = (
    objectives.log_huber(),
    objectives.log_huber(0.007),
    objectives.linear_huber(0.02),
    objectives.log_lad(),
    objectives.linear_squares(),
    objectives.log_squares(),
)
TARGETS = [1e21, 5.76e23]


def noisy(law: Law, sd: float = 0.004, seed: int = 3) -> np.ndarray:
    return law.loss(*GRID) * np.exp(sd * np.random.default_rng(seed).standard_t(3, GRID.shape[1]))


def problem_of(loss: np.ndarray, objective=None) -> Problem:
    return Problem.of(*GRID, loss, objective or objectives.log_huber())


def solved(form: str, objective, loss: np.ndarray) -> tuple[Problem, Optimum, int]:
    problem = problem_of(loss, objective)
    best, _, agreeing = minimise(problem, FAMILY[form], np.ones(loss.size))
    return problem, best, agreeing


def some_starts(form: str, loss: np.ndarray) -> list[Law]:
    """At most three of the generic fit's starts, which takes its time."""
    made = starts_of(form, *GRID, loss)
    return made[:: -(-len(made) // 3)]


def table(loss: np.ndarray) -> pd.DataFrame:
    return runs_at(BESIROGLU, *GRID).assign(loss=loss)


@pytest.mark.parametrize("objective", [objectives.log_huber(0.05), objectives.linear_huber(0.2)])
@pytest.mark.parametrize("form", FAMILY)
def test_gradient_and_hessian_are_those_of_the_objective(form, objective):
    problem = problem_of(noisy(BESIROGLU, sd=0.1), objective)
    weights = np.random.default_rng(0).integers(0, 3, (1, GRID.shape[1])).astype(float)
    delta = np.array([problem.delta])
    task = descent._Task(problem, FAMILY[form], weights, delta, np.zeros((1, 6)))
    theta = FAMILY[form].reduce(np.array([[0.6, -1.7, -1.9, 0.35, 0.45, 0.8]]))

    def at(shift):
        return task.evaluate(slice(None), theta + shift)

    model, width, h = at(0.0), theta.shape[1], 1e-6
    for i in range(width):
        step = h * np.eye(width)[i]
        up, down = at(step), at(-step)
        assert_allclose((up.objective - down.objective) / (2 * h), model.gradient[:, i], rtol=1e-6)
        # Huber's slope has a kink, but no point lies within h of it here.
        bend = (up.gradient - down.gradient) / (2 * h)
        assert_allclose(bend, model.hessian[:, i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FAMILY)
def test_law_is_recovered_from_its_own_losses(form):
    truth = FORMS[form]
    for objective in OBJECTIVES:
        problem, best, agreeing = solved(form, objective, truth.loss(*GRID))
        law = FAMILY[form].law(problem, best.unknowns[0])
        assert type(law) is type(truth)
        assert_allclose(values_of(law), values_of(truth), rtol=1e-6)
        assert best.converged.all()
        assert agreeing >= 2


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.name}-{o.delta:g}")
@pytest.mark.parametrize("form", FAMILY)
def test_optimum_is_that_of_the_generic_fit(form, objective):
    loss = noisy(BESIROGLU)
    problem, best, agreeing = solved(form, objective, loss)
    points = {"params": GRID[0], "tokens": GRID[1]}
    theirs = generic.fit(some_starts(form, loss), points, loss, objective)
    assert best.converged.all()
    assert agreeing >= 2
    # LAD is approached by Huber's loss, here and there from different deltas.
    lad = objective.delta == 0
    assert best.objective[0] <= theirs.value * (1 + (1e-5 if lad else 1e-9))
    law = FAMILY[form].law(problem, best.unknowns[0])
    exact = objective.value(objective.residual(law.loss(*GRID), loss))
    assert best.objective[0] == pytest.approx(exact, rel=1e-4 if lad else 1e-9)


@pytest.mark.parametrize("form", FAMILY)
def test_no_resample_is_beaten_by_the_generic_fit(form):
    loss = noisy(BESIROGLU)
    objective = objectives.log_huber()
    problem, best, _ = solved(form, objective, loss)
    weights = run_weights([str(i) for i in range(loss.size)], 4, 4)
    optima, _ = minimise_resamples(problem, FAMILY[form], weights, best.unknowns[0])
    assert optima.converged.all()
    for row, ours in zip(weights, optima.objective, strict=True):
        rows = np.repeat(np.arange(loss.size), row.astype(int))
        points = {"params": GRID[0][rows], "tokens": GRID[1][rows]}
        theirs = generic.fit(some_starts(form, loss), points, loss[rows], objective)
        assert ours <= theirs.value * (1 + 1e-9)


def test_resamples_that_do_not_converge_are_solved_again(monkeypatch):
    """The first descent is made to fail; the rescue finds what an undisturbed one finds."""
    loss = noisy(BESIROGLU)
    problem, best, _ = solved("chinchilla", objectives.log_huber(), loss)
    weights = run_weights([str(i) for i in range(loss.size)], 6, 4)
    near = best.unknowns[0]
    undisturbed, _ = minimise_resamples(problem, CHINCHILLA, weights, near)
    honest, calls = descent.descend, []

    def lame(*args, **more):
        optima = honest(*args, **more)
        calls.append(len(optima.objective))
        if len(calls) == 1:  # both starts of every resample
            return replace(
                optima,
                unknowns=optima.unknowns + 0.1,
                objective=optima.objective + 1,
                scaled_gradient=optima.scaled_gradient + 1.0,
            )
        return optima

    monkeypatch.setattr(minimisation, "descend", lame)
    rescued, _ = minimise_resamples(problem, CHINCHILLA, weights, near)
    assert calls == [2 * 6, 6 * len(cells_of(CHINCHILLA).blocks)]
    assert_allclose(rescued.objective, undisturbed.objective, rtol=1e-9)
    assert_allclose(rescued.unknowns, undisturbed.unknowns, rtol=1e-5)


def test_a_small_delta_is_narrowed_to_once_the_starts_agree(monkeypatch):
    """Two starts go down to the widest delta together, one end goes on from there."""
    problem, best, _ = solved("chinchilla", objectives.log_lad(), noisy(BESIROGLU))
    weights = run_weights([str(i) for i in range(GRID.shape[1])], 20, 4)
    honest, calls = descent.descend, []

    def counted(*args, **more):
        calls.append((len(args[3]), *args[4:]))
        return honest(*args, **more)

    monkeypatch.setattr(minimisation, "descend", counted)
    optima, disagreed = minimise_resamples(problem, CHINCHILLA, weights, best.unknowns[0])
    assert not disagreed.any()
    assert optima.converged.all()
    assert [rows for rows, *_ in calls[:2]] == [2 * 20, 20]
    widths = np.concatenate([widths for _, widths in calls[:2]])
    assert_allclose(widths, [1e-3, 1e-4, 1e-5, 1e-6, 1e-7], rtol=1e-12)


def test_resamples_of_kaplan_s_form_end_in_the_lowest_of_their_minima():
    """From the optimum of all points alone 7 of these 60 end in a higher one."""
    loss = noisy(BESIROGLU, sd=0.01, seed=1)
    problem, best, _ = solved("kaplan", objectives.log_huber(), loss)
    weights = run_weights([str(i) for i in range(loss.size)], 60, 1)
    optima, disagreed = minimise_resamples(problem, KAPLAN, weights, best.unknowns[0])
    begin = starts(problem, KAPLAN, weights, len(cells_of(KAPLAN).blocks))
    many = np.repeat(weights, begin.shape[1], axis=0)
    ends = descent.descend(problem, KAPLAN, many, begin.reshape(-1, len(UNKNOWNS)))
    lowest = ends.objective.reshape(60, -1).min(axis=1)
    assert (optima.objective <= lowest * (1 + 1e-9)).all()
    assert disagreed.any()


@pytest.mark.parametrize("form", FAMILY)
def test_starts_come_near_the_losses_of_a_law_of_their_form(form):
    """Amplitudes are projected at exponents of a coarse grid, E and k being two or three values."""
    truth = FORMS[form]
    problem = problem_of(truth.loss(*GRID))
    equal = np.ones((1, GRID.shape[1]))
    begin = starts(problem, FAMILY[form], equal, 1)[0]
    rms = np.sqrt((descent.log_residuals(problem, FAMILY[form], begin) ** 2).mean())
    assert rms < 0.25 * problem.target.std()
    for made in (begin, starts(problem, FAMILY[form], equal)[0]):
        assert_allclose(FAMILY[form].expand(FAMILY[form].reduce(made)), made)
        lower, upper = FAMILY[form].box
        assert (FAMILY[form].reduce(made) >= lower).all()
        assert (FAMILY[form].reduce(made) <= upper).all()


def test_constraints_of_every_form_hold():
    rng = np.random.default_rng(0)
    for form in FAMILY.values():
        full = dict(
            zip(UNKNOWNS, form.expand(rng.uniform(0.1, 1, (3, len(form.free)))).T, strict=True)
        )
        if form is not SKALING and form is not KAPLAN:
            assert_allclose(full["k"], 1.0)
        if form is TIED:
            assert_allclose(full["a"], full["b"])
        if form is KAPLAN:
            assert_allclose(full["b"], full["k"])
            assert_allclose(full["E"], 0.0)


# As a part of the parametric fit.


def fitted(loss: np.ndarray, **options):
    settings = {"draws": 20, "seed": 1, "variant_draws": 20} | options
    return fits.fit("parametric", table(loss), TARGETS, **settings)


def test_estimators_are_the_main_fit_then_every_other_objective_and_form():
    result = fitted(noisy(BESIROGLU))
    rows = result.tables["estimators"]
    assert rows["estimator"].drop_duplicates().tolist() == [
        "log_huber",
        "log_huber_auto",
        "linear_huber_auto",
        "log_lad",
        "linear_squares",
        "log_squares",
        "tied",
        "skaling",
        "kaplan",
    ]
    assert rows["main"].tolist() == [True] * 2 + [False] * 16
    assert rows["budget_flops"].tolist() == TARGETS * 9
    assert set(rows["status"]) <= {CONVERGED, WARNING}
    for quantity in ("a", "params", "tokens_per_param", "loss"):
        assert (rows[f"{quantity}_lo95"] <= rows[f"{quantity}_hi95"]).all()
    assert_allclose(rows["a"] + rows["b"], 1.0)
    assert_allclose(6 * rows["params"] * rows["tokens"], rows["budget_flops"])
    tied_rows = rows[rows["estimator"] == "tied"]
    assert_allclose(tied_rows[["a", "a_lo95", "a_hi95"]], 0.5, rtol=1e-13)


def test_without_variant_draws_there_is_the_main_fit_alone():
    result = fitted(noisy(BESIROGLU), variant_draws=None)
    assert result.tables["estimators"]["estimator"].unique().tolist() == ["log_huber"]
    assert len(result.tables["variants"]) == 0
    assert list(result.tables["variants"]) == list(form_variants.COLUMNS)


def test_variants_change_nothing_of_the_main_fit():
    loss = noisy(BESIROGLU)
    alone, among = fitted(loss, variant_draws=None), fitted(loss)
    assert alone.parameters == among.parameters
    assert alone.certificate == among.certificate
    pd.testing.assert_frame_equal(alone.draws, among.draws, check_exact=True)


def test_variants_do_not_depend_on_the_order_of_rows():
    points = table(noisy(BESIROGLU))
    mixed = points.sample(frac=1.0, random_state=2)
    one, other = (
        parametric_fit.fit(p, TARGETS, draws=5, seed=1, variant_draws=5).tables
        for p in (points, mixed)
    )
    for name in ("estimators", "variants"):
        pd.testing.assert_frame_equal(one[name], other[name], check_exact=True)


def test_huber_of_the_paper_stands_beside_another_main_delta():
    result = fitted(noisy(BESIROGLU), huber_delta=0.01)
    assert result.settings["huber_delta"] == 0.01
    rows = result.tables["estimators"].set_index("estimator")
    plain = parametric_fit.fit(table(noisy(BESIROGLU)), TARGETS, draws=0, seed=1)
    for i, target in enumerate(plain.targets):
        n = rows.loc["log_huber_1e-3", "params"].iloc[i]
        assert n == pytest.approx(target.values["params"].point, rel=1e-6)


@pytest.mark.parametrize("objective", objective_choice.OBJECTIVES)
def test_main_fit_under_every_objective_is_the_variant_of_the_plain_one(objective):
    loss = noisy(BESIROGLU)
    plain = fitted(loss).tables["estimators"].set_index("estimator")
    result = fitted(loss, objective=objective, huber_delta="auto", variant_draws=None)
    name = f"{objective}_auto" if "huber" in objective else objective
    assert result.status == CONVERGED
    assert result.settings["objective"] == objective
    assert result.tables["estimators"]["estimator"].unique().tolist() == [objective]
    assert objective_choice.OBJECTIVES[objective] in result.estimator
    for i, target in enumerate(result.targets):
        row, n = plain.loc[name].iloc[i], target.values["params"]
        assert n.point == pytest.approx(row["params"], rel=1e-4)
        assert_allclose([n.lo95, n.hi95], row[["params_lo95", "params_hi95"]].to_list(), rtol=1e-3)
    # What the audits refit with: the objective itself on log loss, else its nearest there.
    delta = result.certificate["huber_delta"]
    again = parametric_fit.fit(table(loss), TARGETS, draws=0, seed=1, huber_delta=delta)
    nearest = {"linear_huber": "log_huber_auto", "linear_squares": "log_squares"}.get(objective)
    expected = plain.loc[nearest or name, "params"].to_list()
    params = [target.values["params"].point for target in again.targets]
    # Its delta is that of the loss over the mean loss, near to the one for log loss.
    assert_allclose(params, expected, rtol=0.1 if objective == "linear_huber" else 1e-4)


def test_delta_from_the_data_is_1_345_robust_sigma_of_a_lad_fit():
    loss = noisy(BESIROGLU)
    chosen = objective_choice.choose("log_huber", "auto", problem_of(loss))
    points = {"params": GRID[0], "tokens": GRID[1]}
    theirs = generic.fit_log_huber(surface_starts(*GRID, loss), points, loss)
    assert chosen.delta == pytest.approx(theirs.objective.delta, rel=1e-4)
    linear = objective_choice.choose("linear_huber", "auto", problem_of(loss))
    assert linear.delta == pytest.approx(chosen.delta * loss.mean(), rel=0.3)


def test_delta_from_losses_on_the_law_is_not_zero():
    problem = problem_of(BESIROGLU.loss(*GRID))
    assert objective_choice.choose("log_huber", "auto", problem).delta == 1e-7


def test_a_bend_is_found_and_its_absence_is_said():
    bend = fitted(noisy(FORMS["skaling"], sd=0.0005), variant_draws=100)
    straight = fitted(noisy(BESIROGLU, sd=0.004), variant_draws=100)
    messages = [r.tables["estimators"].set_index("estimator")["message"] for r in (bend, straight)]
    assert "1, the main form, lies outside." in messages[0]["skaling"].iloc[0]
    assert "the runs do not tell it from 1." in messages[1]["skaling"].iloc[0]
    rows = bend.tables["variants"].set_index(["estimator", "parameter"])
    k = rows.loc[("skaling", "k")]
    assert k["lo95"] < 0.774 < k["hi95"] < 1
    assert k["against_main"] < -0.1
    assert rows.loc[("tied", "alpha"), "against_main"] > 0
    assert np.isnan(rows.loc[("log_squares", "E"), "against_main"])


def test_a_variant_on_a_bound_says_so():
    """Losses that fall below any floor: every form with an E has it at 0."""
    loss = LossSurface(0.0, 60.0, 150.0, 0.17, 0.18).loss(*GRID) - 0.1
    result = fitted(loss)
    rows = result.tables["estimators"].drop_duplicates("estimator").set_index("estimator")
    made = result.tables["variants"].set_index(["estimator", "parameter"])
    for name in ("log_squares", "tied"):
        assert rows.loc[name, "status"] == WARNING
        assert rows.loc[name, "message"].startswith("Warning: E on the bound of the search")
        assert made.loc[(name, "E"), "at_bound"]
        assert not made.loc[(name, "A"), "at_bound"]
    assert "bound" not in rows.loc["kaplan", "message"]


def test_a_term_that_vanishes_fails_that_variant():
    """Losses that ignore tokens, but for outliers that only squares follow."""
    n, d = GRID
    flat = LossSurface(1.5, 400.0, 0.0, 0.33, 0.3).loss(n, d) * (d / d.min()) ** 0.001
    problem = problem_of(flat)
    surface = LossSurface(1.5, 400.0, 1e-3, 0.33, 0.3)
    weights = run_weights([str(i) for i in range(d.size)], 10, 0)
    resamples = form_fits.ResampleWeights(weights, np.ones(10, bool))
    made = form_variants.variants(problem, TARGETS, surface, resamples, lambda *about: [])
    by_name = {v.estimator.name: v.estimator for v in made}
    assert by_name["log_squares"].status == FAILED
    assert by_name["log_squares"].message.startswith("B is 0 here")
    assert np.isnan(by_name["log_squares"].targets[0].values["params"].point)


def test_repeated_data_are_told_from_fresh_ones():
    """With R_D* 8 known: the base is found again, while the plain form takes repeats for fresh."""
    n, d = GRID
    truth = RepeatedSurface(**constants_of(BESIROGLU), R_D=8.0, R_N=NO_DECAY)
    unique = d / np.tile([1, 2, 5, 20, 60], 7)
    noise = np.exp(3e-3 * np.random.default_rng(1).normal(size=35))
    points = table(truth.loss(n, d, unique) * noise).assign(unique_tokens=unique)
    result = parametric_fit.fit(points, TARGETS, draws=5, seed=1, variant_draws=40)
    rows = result.tables["estimators"].set_index("estimator")
    made = result.tables["variants"].set_index(["estimator", "parameter"])
    r_d = made.loc[("repeated", "R_D")]
    assert r_d["point"] == pytest.approx(8.0, rel=0.2)
    assert r_d["lo95"] < 8.0 < r_d["hi95"]
    assert r_d["against_main"] < -0.5
    assert (rows.loc["repeated", "status"] == CONVERGED).all()
    repeated = rows.loc["repeated"]
    optimum = truth.base.params_opt(TARGETS)
    assert_allclose(repeated["params"], optimum, rtol=0.2)
    assert (np.abs(np.log(repeated["params"] / optimum)) < np.abs(
        np.log(rows.loc["log_huber", "params"].to_numpy() / optimum)
    )).all()  # fmt: skip
    assert (repeated["params_lo95"] < optimum).all()
    assert (repeated["params_hi95"] > optimum).all()


def test_runs_without_repeats_have_no_law_of_them():
    points = table(noisy(BESIROGLU)).assign(unique_tokens=lambda t: t["tokens"])
    result = parametric_fit.fit(points, TARGETS, draws=5, seed=1, variant_draws=5)
    assert "repeated" not in set(result.tables["estimators"]["estimator"])
    with pytest.raises(FloplineError, match="unique_tokens = 0"):
        parametric_fit.fit(points.assign(unique_tokens=0.0), TARGETS, draws=5, seed=1)


def test_variants_mind_the_runs_as_the_main_fit_does():
    """The largest runs lie off every surface of this form; a near ray is poor for every form."""
    points = table(noisy(BESIROGLU, sd=0.001))
    largest = points["flops"] > points["flops"].quantile(5 / 6)
    points["loss"] *= np.where(largest, 0.95, 1.0)
    rows = parametric_fit.fit(points, TARGETS, draws=5, seed=1, variant_draws=5).tables[
        "estimators"
    ]
    assert "runs of largest compute lie" in rows.loc[rows["main"], "message"].iloc[0]
    warned = rows["message"].str.contains("runs of largest compute lie")
    assert warned[~rows["main"]].any()
    assert (rows.loc[warned, "status"] == WARNING).all()

    points = table(noisy(BESIROGLU))
    scatter = np.exp(0.15 * np.random.default_rng(7).normal(size=35))
    points["tokens"] = 20 * points["params"] * scatter
    points["loss"] = BESIROGLU.loss(points["params"], points["tokens"])
    points["flops"] = 6 * points["params"] * points["tokens"]
    rows = parametric_fit.fit(points, TARGETS, draws=5, seed=1, variant_draws=5).tables[
        "estimators"
    ]
    poor = rows["message"].str.contains("N_opt is poorly identified")
    assert poor[rows["status"] != FAILED].all()
    assert poor[rows["main"]].all()


def test_no_variants_of_a_fit_that_failed():
    points = table(noisy(BESIROGLU))
    points["tokens"] = 20 * points["params"] * np.exp(np.linspace(0, 1e-3, 35))
    result = parametric_fit.fit(points, TARGETS, draws=5, seed=1, variant_draws=5)
    assert result.status == FAILED
    assert result.tables["estimators"]["estimator"].unique().tolist() == ["log_huber"]


def test_unusable_objectives_are_told_in_a_sentence():
    loss = noisy(BESIROGLU)
    with pytest.raises(FloplineError, match="objective` is 'mse' but must be 'log_huber',"):
        fitted(loss, objective="mse")
    with pytest.raises(FloplineError, match="is 'best' but must be a number or 'auto'"):
        fitted(loss, huber_delta="best")
    with pytest.raises(FloplineError, match="hoffmann_grid minimises log_huber, not log_lad"):
        fitted(loss, objective="log_lad", solver="hoffmann_grid")
