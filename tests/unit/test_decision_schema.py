"""decision.json has a schema, made of the typed documents; decisions of every kind fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.bearing import Span
from flopline.decision import decide
from flopline.documents import VerdictJson
from flopline.outputs.decision_schema import DOCS, SCHEMA, docs_text, schema, schema_text
from flopline.question_options import QuestionOptions
from flopline.questions import answers_json, asked, study_answers
from flopline.results import FamilyResults
from tests.builders.decision_misfits import misfits
from tests.builders.decisions import ANYTHING, REFUSAL, TARGETS, family, line, steps
from tests.builders.designs import isoflop_runs
from tests.builders.fits import fit
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT

LABELS = {"ash": "Ash", "birch": "Birch"}


def of(results: Mapping[str, FamilyResults], span: Span = ANYTHING, **more: Any) -> VerdictJson:
    return decide(results, TARGETS, LABELS, dict.fromkeys(results, span), **more)[1]


TWO = {
    "ash": family(parametric=line(1e9, loss=2.1)),
    "birch": family(parametric=line(2e9), isoflop=line(1.5e9)),
}
FEW = {"ash": family(parametric=line(1e9)), "birch": family(parametric=line(1, status="failed"))}
RUNS = pd.DataFrame({"family": ["birch"] * 3, "flops": 1e18, "loss": [2.6, 2.61, 2.59]})
KINDS: dict[str, Any] = {
    "ranked": lambda: of(TWO, comparable=True),
    "not ranked": lambda: of(TWO),
    "held out": lambda: of({"ash": family(steps(parametric=[1.0, 2.0]), parametric=line(1e9))}),
    "refused": lambda: of({"ash": family(REFUSAL, parametric=line(1e9))}),
    "out of reach": lambda: of(TWO, replace(ANYTHING, largest_flops=1e3), comparable=True),
    "nothing fitted": lambda: of({"ash": family(isoflop=line(1e9, status="failed"))}),
    "few runs": lambda: of(FEW, comparable=True, runs=RUNS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_decisions_of_every_kind_fit_the_schema(kind: str) -> None:
    verdict = KINDS[kind]()
    assert misfits(verdict) == []
    assert (verdict["headline"] is None) is (kind in ("refused", "out of reach", "nothing fitted"))


def test_a_decision_with_answers_fits_the_schema() -> None:
    runs = isoflop_runs(BESIROGLU, np.geomspace(1e19, 1e21, 4), 6, width=5.0, noise=0.003)
    made = {"parametric": fit("parametric", runs, [1e22], draws=20, seed=1)}
    results = {name: FamilyResults.of(made) for name in LABELS}
    choices = [{"family": "ash", "law": "parametric"}, {"family": "birch", "law": None}]
    questions = asked(QuestionOptions(losses=[2.2, 1.0], most_params=[1e9]), 1e22)
    spans = dict.fromkeys(results, ANYTHING)
    answers = study_answers(results, choices, [], spans, questions)  # type: ignore[arg-type]
    verdict = {**of(TWO), "questions": answers_json(answers), "loss_unit": "nats_per_token"}
    assert misfits(verdict) == []
    assert any(answer["never"] for answer in verdict["questions"])


def test_the_schema_names_what_does_not_fit() -> None:
    verdict = of(TWO)
    assert misfits({**verdict, "schema_version": 1})
    assert misfits({**verdict, "more": 1})
    assert misfits({**verdict, "headline": {"family": "ash"}})


def test_schema_and_docs_are_made_of_the_documents() -> None:
    assert (ROOT / SCHEMA).read_text("utf-8") == schema_text(), "run `make generate`"
    page = (ROOT / DOCS).read_text("utf-8")
    assert page == docs_text(page), "run `make generate`"
    for rule in (schema(), *schema()["$defs"].values()):
        assert all(key["description"] for key in rule["properties"].values())
