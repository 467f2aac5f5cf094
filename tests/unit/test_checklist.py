"""The reporting checklist: every answer is worked out from the study, none is typed in."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest
import yaml

from flopline.report.checklist import ANSWERED, PARTS, UNKNOWN, Item, checklist, paragraphs
from flopline.report.methods import methods
from flopline.report.page import ReportInputs, render_appendix
from tests.builders.page_inputs import TEMPLATES, make_inputs
from tests.builders.page_reading import csv_rows
from tests.conftest import ROOT


def items_of(made: ReportInputs) -> dict[str, Item]:
    written = methods(made.study, made.fits, made.runs, made.verdict["rule"])
    items = checklist(
        made.study, made.fits, made.runs, len(made.dropped), paragraphs(written), made.audits,
        made.provenance,
    )  # fmt: skip
    assert list(dict.fromkeys(item.part for item in items)) == list(PARTS)
    return {item.question: item for item in items}


def item_of(made: ReportInputs, words: str) -> Item:
    (item,) = (item for question, item in items_of(made).items() if words in question)
    return item


def test_every_item_is_answered_or_says_that_it_is_not_known_and_where_to_state_it() -> None:
    for item in items_of(make_inputs()).values():
        assert item.state in (ANSWERED, UNKNOWN)
        assert bool(item.answer) == (item.state == ANSWERED), item
        assert item.question.endswith("?")


def test_every_text_of_the_study_file_answers_an_item() -> None:
    schema = yaml.safe_load((ROOT / "workflow/schemas/study.schema.yaml").read_text())
    keys = list(schema["properties"]["reporting"]["properties"])
    made = make_inputs()
    unknown = {item.hint for item in items_of(made).values() if item.state == UNKNOWN}
    assert {f"`reporting.{key}` in the study file" for key in keys} <= unknown
    texts = {key: f"What we say of {key}." for key in keys}
    study = dataclasses.replace(made, study={**made.study, "reporting": texts})
    answers = {item.answer for item in items_of(study).values()}
    assert set(texts.values()) <= answers


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("Which laws", "Parametric: L(N, D) = E + A/N^α + B/D^β"),
        ("decide or predict", "at 1e22, 5.76e23 FLOPs, for Dense transformer"),
        ("How is model size counted", "total: all weights, embeddings included."),
        ("How is compute counted", "six_nd: C = 6ND"),
        ("How many points", "Dense transformer, IsoFLOP: 240 points of 240 runs"),
        ("Did every fit converge", "2 of 3 fits converged without a warning, 0 failed"),
        ("software", "flopline 0.1.0"),
        ("How sure", "400 draws"),
        ("not fitted to", "No run was held out"),
    ],
)
def test_answers_are_worked_out(words: str, answer: str) -> None:
    assert answer in item_of(make_inputs(), words).answer


def test_answers_follow_the_runs() -> None:
    made = make_inputs(runs_each=40)
    kept = made.runs["status"] == "kept"
    assert f"{kept.sum()} runs kept" in item_of(made, "How many models").answer
    assert f"{(~kept).sum()} run set aside" in item_of(made, "left out").answer
    assert item_of(made, "data repeated").state == UNKNOWN
    runs = made.runs.assign(
        unique_tokens=made.runs["tokens"] / 4,
        horizon_tokens=made.runs["tokens"],
        seed=pd.Series(["1", "2"] * 20, dtype="string"),
    )
    more = dataclasses.replace(made, runs=runs)
    assert "4 to 4 epochs" in item_of(more, "data repeated").answer
    assert f"known of {kept.sum()} of {kept.sum()} runs" in item_of(more, "schedule end").answer
    assert "2 seeds in all" in item_of(more, "other seeds").answer


def test_audits_answer_in_their_own_words() -> None:
    audit: dict[str, Any] = {
        "audit": "identifiability", "verdict": "good", "sentence": "They can.", "tables": {}
    }  # fmt: skip
    made = dataclasses.replace(make_inputs(), audits={"dense": {"identifiability": audit}})
    assert item_of(made, "tell the parameters").answer == "Dense transformer: They can."


def test_the_page_shows_the_checklist_and_saves_it() -> None:
    made = make_inputs()
    page = render_appendix(made, TEMPLATES)
    rows = csv_rows(page, "table-checklist")
    items = items_of(made)
    assert [row["question"] for row in rows] == list(items)
    answered = sum(item.state == ANSWERED for item in items.values())
    assert f"{answered} of {len(items)} items answered" in page
    assert "State it as reporting.optimiser in the study file." in page
