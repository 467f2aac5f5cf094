"""All audits of a family together, and how the page shows them."""

from __future__ import annotations

from typing import Any

import pytest

from flopline.audit.family_audits import AUDITS, FamilyRuns
from flopline.documents import FindingJson
from flopline.report.audit_views import audit_places, audit_views, held_out_sentence
from flopline.results import FamilyResults
from tests.builders.audited_family import LADDER_DRAWS, audited, findings, logs, points


@pytest.fixture(scope="module")
def made() -> list[Any]:
    return findings()


def as_read(made: list[Any]) -> dict[str, dict[str, FindingJson]]:
    return {"ash": {f.audit: {**f.to_json(), "tables": dict(f.tables)} for f in made}}


def test_every_audit_is_made_in_order(made: list[Any]) -> None:
    assert tuple(f.audit for f in made) == AUDITS
    assert not any(f.sentence.startswith("Not made") for f in made)
    regret = next(f for f in made if f.audit == "regret")
    assert "5.76e23 FLOPs is expected to waste" in regret.sentence


def test_without_runs_held_out_that_question_is_not_asked() -> None:
    table = points()
    runs, curves = logs(table)
    made = audited(FamilyRuns("ash", table, runs, curves), FamilyResults())
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
    ladders = [next(f for f in of_both if f.audit == "ladder") for of_both in (made, other)]
    assert ladders[0].to_json() == ladders[1].to_json()
    regret = next(f for f in other if f.audit == "regret")
    assert regret.numbers["draws"] == LADDER_DRAWS


def test_on_a_ray_the_size_is_refused_and_the_rest_says_why() -> None:
    made = findings(on_a_ray=True, laws=("parametric",))
    verdicts = {f.audit: f.verdict for f in made}
    assert verdicts["identifiability"] == "refuted"
    # One learning rate for all sizes, as the curves have it, is warned about.
    assert verdicts["hygiene"] == "warned"
    refused = ("identifiability", "hygiene")
    others = [f for f in made if f.audit not in refused]
    assert {f.audit for f in others} == set(AUDITS) - {"bias", *refused}
    assert all(f.sentence.startswith("Not made: ") for f in others)
    (view,) = audit_views(as_read(made), {"ash": "Ash"})
    assert [row.audit for row in view.rows if row.verdict == "refuted"] == ["identifiability"]


def test_the_page_shows_questions_verdicts_and_tables(made: list[Any]) -> None:
    (view,) = audit_views(as_read(made), {"ash": "Ash", "birch": "Birch"})
    assert view.family == "Ash"
    assert view.rows[0].question == "Do small runs predict large ones?"
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
    sentence = f"Ash: {ladder.sentence} Ash: {held.sentence}"
    assert held_out_sentence(as_read(made), {"ash": "Ash"}) == sentence
    assert "Runs held out: predicted and seen" in captions


def test_nothing_audited_is_nothing_shown() -> None:
    assert audit_views({}, {"ash": "Ash"}) == []
    assert audit_places(None, []) == {}
    assert held_out_sentence({}, {"ash": "Ash"}) == ""
