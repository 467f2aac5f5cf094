"""All audits of a family together, and how the page shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.audit.stage import AUDITS, audit_family
from flopline.fits import isoflop, parametric
from flopline.laws.chinchilla import LossSurface
from flopline.report.audits import audit_verdict, audit_views, held_out_sentence

SURFACE = LossSurface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
TARGETS = [5.76e23]
SETTINGS: dict[str, Any] = {
    "bootstrap": {"seed": 1},
    "isoflop": {"budgets": None, "budget_tolerance": 0.15},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "audit": {
        "compare": [],
        "ladder_draws": 50,
        "next_run_cap": None,
        "price_per_flop": None,
        "inference_tokens": [1e13],
    },
}


def points(on_a_ray: bool = False) -> pd.DataFrame:
    flops = np.repeat(np.geomspace(1e19, 1e21, 5), 8)
    params = SURFACE.params_opt(flops) * np.tile(np.geomspace(0.2, 5, 8), 5)
    tokens = 20 * params if on_a_ray else flops / (6 * params)
    noise = np.exp(0.003 * np.random.default_rng(3).standard_normal(flops.size))
    return pd.DataFrame(
        {
            "run": [f"r{i:02d}" for i in range(flops.size)],
            "params": params,
            "tokens": tokens,
            "flops": 6 * params * tokens,
            "loss": SURFACE.loss(params, tokens) * noise,
            "budget_flops": np.nan if on_a_ray else flops,
        }
    )


def findings(on_a_ray: bool = False, with_isoflop: bool = True) -> list[Any]:
    table = points(on_a_ray)
    fit = parametric.fit(table, TARGETS, draws=200, seed=1)
    profiles = None
    if with_isoflop:
        tables = isoflop.fit(table, TARGETS, draws=200, seed=1).tables
        profiles = (tables["vertices"], tables["profiles"])
    return audit_family(fit.to_json(), fit.draws, table, profiles, SETTINGS, TARGETS, "ash")


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


def test_without_isoflop_nothing_is_said_of_parabolas() -> None:
    made = findings(with_isoflop=False)
    assert "bias" not in [f.audit for f in made]


def test_on_a_ray_the_size_is_refused_and_the_rest_says_why() -> None:
    made = findings(on_a_ray=True, with_isoflop=False)
    verdicts = {f.audit: f.verdict for f in made}
    assert verdicts["identifiability"] == "refuse"
    others = [f for f in made if f.audit != "identifiability"]
    assert all(f.sentence.startswith("Not made: ") for f in others)
    assert audit_verdict(as_read(made), {"ash": "Ash"}).state == "bad"


def test_the_page_shows_questions_verdicts_and_tables(made: list[Any]) -> None:
    (view,) = audit_views(as_read(made), {"ash": "Ash", "birch": "Birch"})
    assert view.family == "Ash"
    assert view.rows[0][0] == "Do small runs foretell large ones?"
    assert len(view.rows) == len(AUDITS)
    captions = [table.caption for table in view.tables]
    assert "Held-out ladder, step by step" in captions
    assert len({table.id for table in view.tables}) == len(view.tables)
    ladder = next(f for f in made if f.audit == "ladder")
    assert held_out_sentence(as_read(made), {"ash": "Ash"}) == f"Ash: {ladder.sentence}"


def test_nothing_audited_is_nothing_shown() -> None:
    assert audit_views({}, {"ash": "Ash"}) == []
    assert audit_verdict({}, {"ash": "Ash"}) is None
    assert held_out_sentence({}, {"ash": "Ash"}) == ""
