"""A law is one folder and one line: docs/extending.md followed to the letter in a copy."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.builders.checklists import templates
from tests.builders.decision_misfits import misfits
from tests.builders.page_reading import Reader
from tests.workflow.conftest import AUDIT, END, Checkout, figures_that

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

NAME, LABEL, TITLE = "lowest", "lowest-run", "Lowest run"
FOLDER, REGISTRY = f"workflow/flopline/laws/{NAME}", "workflow/flopline/laws/registry.py"
PARTS = ("law", "options", "fit", "methods")
STUDY, RESULTS = "config/studies/toy.yaml", "results/toy"
NEW = {f"fit_{NAME}": 2} | figures_that(lambda spec: spec.needs.every_law) | AUDIT | END
"""What it makes stale: its own fits, and what tells of all laws."""


def add_law(checkout: Checkout) -> None:
    folder = checkout.folder / FOLDER
    folder.mkdir()
    (folder / "__init__.py").touch()
    for part, text in zip(PARTS, templates("a law"), strict=True):
        (folder / f"{NAME}_{part}.py").write_text(text)
    checkout.edit(REGISTRY, '    "envelope",\n', f'    "envelope",\n    "{NAME}",\n')


def change_study(checkout: Checkout, **changes: Any) -> None:
    path = checkout.folder / STUDY
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))


def run(checkout: Checkout) -> None:
    done = checkout.snakemake("--cores", "2")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def planned(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The toy study as it was before there was such a law, which is in its registry now."""
    checkout = finished.copy(tmp_path_factory.mktemp("law") / "repo")
    add_law(checkout)
    return checkout


@pytest.fixture(scope="module")
def judged(planned: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The study with the law among its own, and a run of each family held out."""
    checkout = planned.copy(tmp_path_factory.mktemp("judged") / "repo")
    runs = [f"{family}-1e+17-3" for family in ("ash", "birch")]
    change_study(checkout, held_out=[{"runs": runs}])
    run(checkout)
    return checkout


@pytest.fixture(scope="module")
def alone(judged: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The same of no other law."""
    checkout = judged.copy(tmp_path_factory.mktemp("alone") / "repo")
    change_study(checkout, laws=[NAME])
    run(checkout)
    return checkout


def table(checkout: Checkout, path: str) -> pd.DataFrame:
    rows = pd.read_parquet(checkout.folder / RESULTS / path)
    return rows[rows["law"] == NAME] if "law" in rows else rows


def text(checkout: Checkout, path: str) -> str:
    return (checkout.folder / RESULTS / path).read_text(encoding="utf-8")


def findings(checkout: Checkout) -> dict[str, dict[str, Any]]:
    listed = json.loads(text(checkout, "audit/ash/findings.json"))
    return {finding["audit"]: finding for finding in listed}


def test_it_is_one_folder_and_one_line(tmp_path: Path) -> None:
    checkout = Checkout.fresh(tmp_path / "repo")
    add_law(checkout)
    own = [f"{FOLDER}/__init__.py", *(f"{FOLDER}/{NAME}_{part}.py" for part in sorted(PARTS))]
    assert checkout.touched() == sorted([*own, REGISTRY])


def test_it_makes_no_other_law_stale_and_no_other_law_it(
    planned: Checkout, judged: Checkout, tmp_path: Path
) -> None:
    assert planned.planned() == NEW
    checkout = judged.copy(tmp_path / "repo")
    checkout.edit(f"{FOLDER}/{NAME}_fit.py", "LABELS", "WORDS")
    assert checkout.planned() == NEW
    checkout.edit(f"{FOLDER}/{NAME}_fit.py", "WORDS", "LABELS")
    checkout.edit(f"{FOLDER}/{NAME}_methods.py", "apart or more", "apart")
    assert checkout.planned() == {"report": 1, "review": 1}
    checkout.edit("workflow/flopline/laws/isoflop/isoflop_fit.py", "BUDGETS", "ALL_BUDGETS")
    assert f"fit_{NAME}" not in checkout.planned()


def test_it_is_decided_upon_and_listed(judged: Checkout) -> None:
    lines = table(judged, "decision.parquet")
    assert set(lines["estimator"]) == {"lowest", "large"}
    assert (lines["held_out_steps"] > 0).all()
    assert lines["cost_percent"].notna().all()
    csv = pd.read_csv(judged.folder / RESULTS / "decision.csv")
    assert (csv["law"] == NAME).sum() == len(lines)
    verdict = json.loads(text(judged, "decision.json"))
    assert misfits(verdict) == []
    assert f"the {LABEL} law" in verdict["rule"]
    assert any(f"the {LABEL} line" in entry["sentence"] for entry in verdict["agreement"])


def test_it_is_judged_by_every_audit_of_laws(judged: Checkout) -> None:
    stated = findings(judged)
    for name in ("scores", "steps", "optima"):
        rows = table(judged, f"audit/ash/tables/ladder.{name}.parquet")
        assert set(rows["estimator"]) == {"lowest", "large"}, name
    assert f"% ({LABEL})" in stated["ladder"]["sentence"]
    predictions = table(judged, "audit/ash/tables/held_out.predictions.parquet")
    assert set(predictions["of"]) == {"the best run of its compute"}
    changes = table(judged, "audit/ash/tables/sensitivity.changes.parquet")
    assert list(changes["change"]) == ["without the smallest budget"]
    assert f"over the variants of the {LABEL} law" in stated["sensitivity"]["sentence"]
    for path in ("regret.disagreements", "identifiability.ratios"):
        assert len(table(judged, f"audit/ash/tables/{path}.parquet")), path


def test_it_stands_in_every_figure_that_holds_laws_against_each_other(judged: Checkout) -> None:
    for figure in ("losscompute", "ladder", "stakes"):
        assert f'id="{NAME}"' in text(judged, f"figures/ash/{figure}.svg"), figure
    page = Reader(text(judged, "report.html") + text(judged, "appendix.html"))
    assert re.search(rf"the laws say (?:[^.]|\.\d)*{LABEL} [0-9.]+ \(95 % interval", page.text)


def test_it_is_told_on_the_page_in_the_methods_and_in_tables(judged: Checkout) -> None:
    methods = text(judged, "methods/methods.txt")
    assert f"{TITLE} law. The lowest run of each budget" in methods
    assert "budget tolerance" not in methods
    page = Reader(text(judged, "appendix.html"))
    for words in (
        f"{TITLE}: N ∝ C^a and D ∝ C^b through the lowest run of each budget",
        f"all estimators of the {TITLE} law",
        f"parameters of the {TITLE} law",
    ):
        assert words in page.text, words
    for name in ("exponents", "parameters"):
        assert TITLE in text(judged, f"latex/{name}.tex"), name


def test_the_planner_knows_it(judged: Checkout) -> None:
    page = text(judged, "report.html")
    packed = re.search(r'id="packed-panels">([^<]+)<', page)
    assert packed
    content = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    mine = [line for line in content["planner"]["lines"] if line["law"] == NAME]
    assert [(line["name"], line["says"]) for line in mine] == 2 * [(TITLE, "compute")]
    assert all(len(line["point"]) == 7 and line["draws"] for line in mine)


def test_it_is_judged_like_any_other_where_it_is_the_only_one(alone: Checkout) -> None:
    decision = json.loads(text(alone, "decision.json"))
    assert misfits(decision) == []
    assert [entry["law"] for entry in decision["choices"] if entry["law"]] == []
    assert decision["headline"] is None
    page = Reader(text(alone, "report.html")).text
    for stated in decision["silent"]:
        assert f"the {LABEL} line is not followed since its 95 % interval of N" in stated["why"]
    first = decision["choices"][0]["budget_flops"]
    assert all(s["why"] in page for s in decision["silent"] if s["budget_flops"] == first)
