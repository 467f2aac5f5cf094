"""All audits of a family together, and how the page shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.audit.family_audits import AUDITS, Evidence, audit_family
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.report.audit_views import audit_places, audit_views, held_out_sentence
from tests.builders.curves import curves_of, finished, with_rates
from tests.builders.designs import isoflop_runs, runs_at, with_budgets
from tests.builders.surfaces import BESIROGLU

TARGETS = [5.76e23]
SETTINGS: dict[str, Any] = {
    "bootstrap": {"draws": 200, "seed": 1},
    "cleaning": {"unfinished": 0.98},
    "envelope": {"bins": 200, "smoothing_steps": 0, "frontier": "bins"},
    "isoflop": {"budgets": None, "budget_tolerance": 0.15, "min_sizes": 4, "quality": "flag"},
    "parametric": {"huber_delta": 1e-3},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "audit": {
        "compare": [],
        "ladder_draws": 50,
        "next_run_cap": None,
        "price_per_flop": None,
        "inference_tokens": [1e13],
        "warmup_share": 0.2,
        "final_lr": 0.2,
    },
}


LAWS = ("envelope", "isoflop", "parametric")
BUDGETS = np.geomspace(1e19, 1e21, 5)


def points(on_a_ray: bool = False) -> pd.DataFrame:
    """Forty runs of five budgets, or at 20 tokens per param of the same sizes."""
    runs = isoflop_runs(BESIROGLU, BUDGETS, 8, width=5.0, noise=0.003, seed=3)
    if on_a_ray:
        return runs_at(BESIROGLU, runs["params"], 20 * runs["params"], noise=0.003, seed=3)
    return with_budgets(runs)


def logs(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and curves as clean/ holds them: rates that rise over 5 % of a run, then fall to 1 %."""
    curves = curves_of(table, BESIROGLU, np.linspace(0.05, 1, 20))
    return finished(table), with_rates(curves, final=0.01)


def evidence(on_a_ray: bool = False, laws: tuple[str, ...] = LAWS) -> Evidence:
    table = points(on_a_ray)
    runs, curves = logs(table)
    unseen = runs.tail(1).assign(run="large", flops=1e22, params=1e10, tokens=1e22 / 6e10)
    loss = BESIROGLU.loss(unseen["params"], unseen["tokens"])
    unseen = unseen.assign(loss=loss, status="held_out")
    runs = pd.concat([runs, unseen], ignore_index=True)
    known: dict[str, Any] = {"runs": runs, "curves": curves, "estimators": {}}
    if "parametric" in laws:
        fit = parametric_fit.fit(table, TARGETS, draws=200, seed=1)
        known |= {"parametric": fit.to_json(), "draws": fit.draws}
        known["estimators"]["parametric"] = fit.tables["estimators"]
    if "isoflop" in laws:
        tables = isoflop_fit.fit(table, TARGETS, draws=200, seed=1).tables
        known |= {name: tables[name] for name in ("vertices", "profiles")}
        known["estimators"]["isoflop"] = tables["estimators"]
    if "envelope" in laws:
        known["envelope_curves"] = curves
    return Evidence("ash", table, **known)


def findings(on_a_ray: bool = False, laws: tuple[str, ...] = LAWS) -> list[Any]:
    return audit_family(evidence(on_a_ray, laws), SETTINGS, TARGETS)


@pytest.fixture(scope="module")
def made() -> list[Any]:
    return findings()


def as_read(made: list[Any]) -> dict[str, list[dict[str, Any]]]:
    return {"ash": [{**f.to_json(), "tables": dict(f.tables)} for f in made]}


def test_every_audit_is_made_in_order(made: list[Any]) -> None:
    assert tuple(f.audit for f in made) == AUDITS
    assert not any(f.sentence.startswith("Not made") for f in made)
    regret = next(f for f in made if f.audit == "regret")
    assert "5.76e23 FLOPs is expected to waste" in regret.sentence


def test_without_runs_held_out_that_question_is_not_asked() -> None:
    table = points()
    runs, curves = logs(table)
    made = audit_family(Evidence("ash", table, runs, curves), SETTINGS, TARGETS)
    assert "held_out" not in [f.audit for f in made]


def test_without_isoflop_nothing_is_said_of_parabolas() -> None:
    made = findings(laws=("parametric",))
    assert "bias" not in [f.audit for f in made]
    ladder = next(f for f in made if f.audit == "ladder")
    assert "envelope" not in set(ladder.tables["steps"]["law"])


def test_without_the_parametric_law_the_audits_fit_it_for_themselves(made: list[Any]) -> None:
    other = findings(laws=("isoflop", "envelope"))
    assert [f.audit for f in other] == [f.audit for f in made]
    assert not any(f.sentence.startswith("Not made") for f in other)
    ladders = [next(f for f in found if f.audit == "ladder") for found in (made, other)]
    assert ladders[0].to_json() == ladders[1].to_json()
    regret = next(f for f in other if f.audit == "regret")
    assert regret.numbers["draws"] == SETTINGS["audit"]["ladder_draws"]


def test_on_a_ray_the_size_is_refused_and_the_rest_says_why() -> None:
    made = findings(on_a_ray=True, laws=("parametric",))
    verdicts = {f.audit: f.verdict for f in made}
    assert verdicts["identifiability"] == "refuse"
    # One learning rate for all sizes, as the curves have it, is to be minded.
    assert verdicts["hygiene"] == "mind"
    refused = ("identifiability", "hygiene")
    others = [f for f in made if f.audit not in refused]
    assert {f.audit for f in others} == set(AUDITS) - {"bias", *refused}
    assert all(f.sentence.startswith("Not made: ") for f in others)
    (view,) = audit_views(as_read(made), {"ash": "Ash"})
    assert [row.audit for row in view.rows if row.state == "bad"] == ["identifiability"]
    assert [row.audit for row in view.rows if row.said == "refused"] == ["identifiability"]


def test_the_page_shows_questions_verdicts_and_tables(made: list[Any]) -> None:
    (view,) = audit_views(as_read(made), {"ash": "Ash", "birch": "Birch"})
    assert view.family == "Ash"
    assert view.rows[0].question == "Do small runs foretell large ones?"
    tables = {f"#{table.id}" for table in view.tables}
    places = audit_places(view, [{"name": "ladder", "family": "Ash", "id": "figure-1"}])
    assert places["ladder"] == "#figure-1"
    assert {places["identifiability"], places["hygiene"]} <= tables
    assert set(places) == {f.audit for f in made}
    assert len(view.rows) == len(AUDITS)
    captions = [table.caption for table in view.tables]
    assert "Held-out ladder, step by step" in captions
    assert len({table.id for table in view.tables}) == len(view.tables)
    ladder, held = (next(f for f in made if f.audit == n) for n in ("ladder", "held_out"))
    said = f"Ash: {ladder.sentence} Ash: {held.sentence}"
    assert held_out_sentence(as_read(made), {"ash": "Ash"}) == said
    assert "Runs held out: foretold and seen" in captions


def test_nothing_audited_is_nothing_shown() -> None:
    assert audit_views({}, {"ash": "Ash"}) == []
    assert audit_places(None, []) == {}
    assert held_out_sentence({}, {"ash": "Ash"}) == ""
