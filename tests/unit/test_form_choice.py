"""Which form of the surface is the law of a study, and what is handed on as that law."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import form_choice, ladder
from flopline.audit.audit_options import AuditOptions
from flopline.audit.law_of_study import law_of_study
from flopline.forecast.ladder_errors import admitted
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.parametric.stated_form import estimator_of, form_of
from flopline.options import StudyOptions
from flopline.results import LawResults
from flopline.solvers.surface_family import CHINCHILLA, SKALING
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import isoflop_runs

BENT = LossSurface(1.2, 60.0, 200.0, 0.5, 0.45, k=0.5)
TARGET = 1e22
FEW = BootstrapOptions(draws=20)


def fitted(status: dict[str, str], *, misfit: bool = False) -> LawResults:
    names = ["log_huber", "log_lad", "tied", "skaling", "kaplan"]
    table = pd.DataFrame(
        {"estimator": names, "status": [status.get(n, "converged") for n in names]}
    )
    content = {"certificate": {"misfit": {"found": misfit}}, "message": "no optimum."}
    return LawResults(content, pd.DataFrame(), {"estimators": table})


def steps(waste: dict[str, list[float]], losses: dict[str, list[float]]) -> pd.DataFrame:
    """Steps of 1, 2, ... FLOPs, by estimator."""
    return pd.DataFrame(
        {
            "law": "parametric",
            "estimator": name,
            "status": "converged",
            "largest_flops": float(number + 1),
            "wasted_percent": waste[name][number],
            "loss_error_percent": losses[name][number],
        }
        for name in waste
        for number in range(len(waste[name]))
    )


FLAT = {name: [2.0, 2.1, 1.9] for name in ("log_huber", "tied", "skaling")}
UNKNOWN = {name: [np.nan] * 3 for name in FLAT}
BETTER = {**FLAT, "skaling": [0.2, 0.3, 0.2]}


@pytest.mark.parametrize(
    ("waste", "losses", "form", "basis"),
    [
        ({**FLAT, "tied": [0.3, 0.2, 0.4]}, BETTER, "tied", "held_out"),
        (FLAT, BETTER, "skaling", "held_out"),
        (UNKNOWN, BETTER, "skaling", "held_out"),
        (FLAT, FLAT, "chinchilla", "tie"),
        (UNKNOWN, UNKNOWN, "chinchilla", "order"),
    ],
)
def test_the_size_decides_then_the_losses_then_the_published_form(
    waste, losses, form, basis
) -> None:
    chosen = form_choice.choose(fitted({}), steps(waste, losses))
    assert (chosen.form.name, chosen.basis) == (form, basis)
    assert chosen.form.title in chosen.sentence
    assert chosen.table.loc[chosen.table["chosen"], "form"].tolist() == [form]


def test_a_tie_leaves_the_published_form_only_where_it_does_not_fit() -> None:
    table = steps(FLAT, FLAT)
    warned = {"log_huber": "warning", "tied": "warning"}
    assert form_choice.choose(fitted(warned), table).form is CHINCHILLA
    chosen = form_choice.choose(fitted(warned, misfit=True), table)
    assert chosen.form is SKALING
    assert "does not fit these runs" in chosen.sentence


def test_nothing_held_out_and_no_other_form_are_said() -> None:
    assert "nothing was held out" in form_choice.choose(fitted({}), None).sentence
    alone = {"tied": "failed", "skaling": "failed"}
    assert form_choice.choose(fitted(alone), None).basis == "only"


def test_the_law_of_a_study_is_of_its_form_and_keeps_the_published_one_beside_it() -> None:
    runs = isoflop_runs(BENT, np.geomspace(1e18, 1e20, 4), 6, noise=0.002)
    options = ParametricOptions(variant_draws=0)
    published = LawResults.of(parametric_fit.fit(runs, [TARGET], options, bootstrap=FEW))
    same = law_of_study(published, CHINCHILLA, runs, [TARGET], options, FEW)
    assert same is published
    law = law_of_study(published, SKALING, runs, [TARGET], options, FEW)
    assert (form_of(law.content), estimator_of(law.content)) == (SKALING, "skaling")
    table = law.tables["estimators"]
    assert table.loc[table["main"], "estimator"].tolist() == ["skaling"]
    assert table["estimator"].is_unique
    was = published.tables["estimators"].iloc[0]
    kept = table[table["estimator"] == "chinchilla"].iloc[0]
    assert kept["params"] == was["params"]
    assert "as published" in kept["label"]
    variants = law.tables["variants"]
    assert {"chinchilla", "tied"} <= set(variants["estimator"])
    assert "skaling" not in set(variants["estimator"])


def test_the_ladder_is_of_the_form_that_was_chosen() -> None:
    runs = isoflop_runs(BENT, np.geomspace(1e18, 1e20, 5), 6, noise=0.002)
    groups = (BootstrapOptions, AuditOptions, ParametricOptions)
    options = StudyOptions.read({"audit": {"ladder_draws": 10}, "bootstrap": {"draws": 10}}, groups)
    step = np.sort(runs["flops"].unique())[3]
    built = ladder.build(runs, TARGET, options, steps_flops=[step])
    again = built.of_form(SKALING)
    mine = again.tables["steps"]
    names = list(dict.fromkeys(mine.loc[mine["law"] == "parametric", "estimator"]))
    assert names[0] == "skaling"
    assert {"chinchilla", "tied"} <= set(names)
    first = mine[mine["estimator"] == "skaling"]
    assert first["coverage95"].notna().all()
    before = built.tables["steps"]
    same = before[before["estimator"] == "skaling"]
    assert first["target_params"].tolist() == pytest.approx(
        same["target_params"].tolist(), rel=1e-3
    )
    lines = admitted(mine)
    assert lines["parametric", "chinchilla"] == "parametric"
    assert lines["parametric", "skaling"] == "parametric/skaling"
    assert again.finding().numbers["target_params_of_all"] == pytest.approx(
        float(BENT.params_opt([TARGET])[0]), rel=0.3
    )
