"""The ladder judges the lines that a study recommends: its fits are those of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from flopline.audit import ladder
from flopline.audit.audit_options import AuditOptions
from flopline.audit.ladder_fit import BASELINE, Options, Runs
from flopline.audit.ladder_fits import ladder_fits
from flopline.audit.prepared_runs import prepared
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.envelope.envelope_options import EnvelopeOptions
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.registry import LAWS
from flopline.laws.spec import ESTIMATORS, Points, spec_of
from flopline.options import StudyOptions
from flopline.results import LawResults
from flopline.solvers.surface_family import CHINCHILLA, FORMS
from tests.builders import audited_family as family
from tests.builders.curves import curves_of
from tests.builders.designs import BUDGETS, isoflop_runs
from tests.builders.surfaces import BESIROGLU

TARGET = 1e24
DRAWS = 12


def choices(model: type, option: str) -> tuple[str, ...]:
    return get_args(model.model_fields[option].annotation)


def fitted_to(points: pd.DataFrame, laws: Sequence[str]) -> dict[str, pd.DataFrame]:
    curves = curves_of(points, BESIROGLU, np.geomspace(0.05, 1.0, 20))
    of_curves = {law: spec_of(law).points is Points.CURVES for law in laws}
    return {law: curves if of_curves[law] else points for law in laws}


def fits_of(study: StudyOptions, taken: Mapping[str, pd.DataFrame]) -> dict[str, LawResults | str]:
    """What the study's fits of all laws leave; of one that is refused, why."""
    fits: dict[str, LawResults | str] = {}
    for law, table in taken.items():
        options = study.of(spec_of(law).model)
        bootstrap = study.of(BootstrapOptions)
        try:
            fit = spec_of(law).fitted(table, [TARGET], options, bootstrap=bootstrap)
            fits[law] = LawResults.of(fit)
        except FloplineError as refusal:
            fits[law] = str(refusal)
    return fits


def compare(
    study: StudyOptions, points: pd.DataFrame, laws: Sequence[str] = LAWS
) -> dict[str, list[str]]:
    """The estimators of each law in the ladder, all of whose N are those of the study's fits."""
    taken = fitted_to(points, laws)
    fits = fits_of(study, taken)
    table = prepared(points, study.of(IsoflopOptions), "", "")
    made = ladder_fits(Runs(table, table, taken), Options(TARGET, study, DRAWS, ""), 0)
    judged: dict[str, list[str]] = {law: [] for law in laws}
    for (law, estimator), ladder_fit in made.items():
        if law == BASELINE:
            continue
        judged[law].append(estimator)
        fit = fits[law]
        if isinstance(fit, str):
            assert (ladder_fit.status, ladder_fit.message) == ("failed", fit)
            continue
        stated = fit.tables[ESTIMATORS].set_index("estimator")["params"]
        assert ladder_fit.params_opt is not None
        assert ladder_fit.params_opt(np.array([TARGET]))[0] == stated[estimator], (law, estimator)
    return judged


@pytest.mark.parametrize("method", choices(BootstrapOptions, "method"))
@pytest.mark.parametrize("objective", choices(ParametricOptions, "objective"))
def test_the_ladder_fits_all_runs_as_the_study_does(objective: str, method: str) -> None:
    """Under every objective and bootstrap, in every form."""
    study = StudyOptions(
        BootstrapOptions(draws=DRAWS, seed=5, method=method),
        ParametricOptions(objective=objective, huber_delta="auto", variant_draws=0),
    )
    points = isoflop_runs(budgets=BUDGETS[:5], noise=0.005, seed=3)
    judged = compare(study, points, ["parametric"])["parametric"]
    forms = [form.name for form in FORMS.values() if form.on_ladder and form is not CHINCHILLA]
    wild_on_loss = method == "wild" and objective.startswith("linear")
    assert judged == (["main"] if wild_on_loss else [objective, *forms])


@pytest.mark.parametrize("method", choices(BootstrapOptions, "method"))
def test_so_it_does_by_every_other_law(method: str) -> None:
    """With options that are no defaults."""
    study = StudyOptions(
        BootstrapOptions(draws=DRAWS, seed=5, method=method),
        IsoflopOptions(min_sizes=5, quality="exclude"),
        EnvelopeOptions(frontier="hull", smoothing_steps=0, only_schedule_end=True),
    )
    points = isoflop_runs(budgets=BUDGETS[:5], noise=0.005, seed=3)
    judged = compare(study, points, [law for law in LAWS if law != "parametric"])
    assert judged["envelope"] == ["hull"]
    assert judged["isoflop"][0] == "parabola"
    assert len(judged["isoflop"]) > 5


def test_runs_near_no_budget_inform_the_ladder_as_they_do_the_study() -> None:
    points = isoflop_runs(budgets=BUDGETS[:5], noise=0.005, seed=3)
    between = points.iloc[[3, 10, 17]].assign(run=["x", "y", "z"])
    between = between.assign(tokens=2 * between["tokens"], flops=2 * between["flops"])
    between["loss"] = BESIROGLU.loss(between["params"].to_numpy(), between["tokens"].to_numpy())
    points = pd.concat([points, between], ignore_index=True)
    budgets = tuple(float(c) for c in BUDGETS[:5])
    study = StudyOptions(BootstrapOptions(draws=DRAWS), IsoflopOptions(budgets=budgets))
    assert "corrected" in compare(study, points, ["isoflop"])["isoflop"]


def test_n_with_all_runs_is_that_of_the_fit_whether_it_is_handed_over_or_not() -> None:
    points = isoflop_runs(budgets=BUDGETS[:5], noise=0.005, seed=3)
    options = ParametricOptions(objective="linear_squares", variant_draws=0)
    study = StudyOptions(BootstrapOptions(draws=DRAWS), options, AuditOptions(ladder_draws=DRAWS))
    fit = fits_of(study, {"parametric": points})["parametric"]
    assert isinstance(fit, LawResults)
    for fits in ({}, {"parametric": fit}):
        finding = ladder.audit(points, TARGET, study, fits=fits)
        stated = fit.content["targets"][0]["params"]["point"]
        assert finding.numbers["target_params_of_all"] == stated
        rows = finding.tables["steps"]
        assert rows["estimator"].iloc[0] == "linear_squares"
        assert rows["n_held_out"].iloc[1:4].gt(0).all()


def test_every_audit_of_a_study_speaks_of_its_own_line() -> None:
    own = ParametricOptions(objective="linear_squares", variant_draws=None)
    options = family.OPTIONS.but(own)
    runs, results = family.evidence(laws=("parametric",), options=options)
    made = {finding.audit: finding for finding in family.audited(runs, results, options)}
    (target,) = results.fits["parametric"]["targets"]
    stated = target["params"]["point"]
    assert made["ladder"].numbers["target_params_of_all"] == stated
    assert made["sensitivity"].numbers["params"] == stated
    changes = set(made["sensitivity"].tables["changes"]["change"])
    assert "least squares on the loss" not in changes
    assert {"Huber delta 0.001", "least squares on log loss"} <= changes
    assert made["held_out"].tables["predictions"]["estimator"].iloc[0] == "linear_squares"
