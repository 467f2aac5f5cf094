"""What a figure asked for is noted, to the part of a file, and no less than it saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flopline.figures.first_target import FirstTarget
from flopline.figures.seen_parts import SeenParts
from flopline.results import StudyResults, read_results
from flopline.storage import read_json, write_json, write_parquet

TARGET = 1e22
VERDICT = {"silent": [], "choices": [{"family": "a", "budget_flops": TARGET, "law": "isoflop"}]}
FINDINGS = [
    {"audit": "ladder", "sentence": "Good.", "tables": {"steps": "one", "ahead": "two"}},
    {"audit": "regret", "sentence": "Fair.", "tables": {}},
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A verdict, a fit, and findings with two tables."""
    audit, tables = tmp_path / "audit/a", tmp_path / "audit/a/tables"
    tables.mkdir(parents=True)
    (tmp_path / "fits/a").mkdir(parents=True)
    write_json(VERDICT, tmp_path / "decision.json")
    write_json({"law": "isoflop", "targets": []}, tmp_path / "fits/a/isoflop.json")
    write_json(FINDINGS, audit / "findings.json")
    for name in ("steps", "ahead"):
        write_parquet(pd.DataFrame({"n": [1]}), tables / f"ladder.{name}.parquet")
    return [
        tmp_path / "decision.json",
        tmp_path / "fits/a/isoflop.json",
        audit / "findings.json",
        tables,
    ]


def draws(results: StudyResults) -> object:
    """Asks for the refusals, one finding, one of its tables, and a finding that is not there."""
    findings = results.families["a"].findings
    return [
        results.decision.get("silent"),
        findings["ladder"]["sentence"],
        findings["ladder"]["tables"]["steps"],
        "bias" in findings,
    ]


def change_json(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        content = read_json(folder / name)
        change(content)
        write_json(content, folder / name)

    return harm


def change_table(name: str) -> Callable[[Path], None]:
    path = f"audit/a/tables/ladder.{name}.parquet"
    return lambda folder: write_parquet(pd.DataFrame({"n": [2]}), folder / path)


FOUND = "audit/a/findings.json"
UNSEEN = [
    change_json("decision.json", lambda verdict: verdict["choices"].clear()),
    change_json("decision.json", lambda verdict: verdict.update(rule="new")),
    change_json("fits/a/isoflop.json", lambda fit: fit.update(message="new")),
    change_json(FOUND, lambda found: found[1].update(sentence="Bad.")),
    change_json(FOUND, lambda found: found[0]["tables"].update(ahead="three")),
    change_table("ahead"),
]
SEEN = [
    change_json("decision.json", lambda verdict: verdict["silent"].append({"family": "a"})),
    change_json("decision.json", lambda verdict: verdict.pop("silent")),
    change_json(FOUND, lambda found: found[0].update(sentence="Bad.")),
    change_json(FOUND, lambda found: found[0]["tables"].pop("ahead")),
    change_json(FOUND, lambda found: found.append({"audit": "bias", "tables": {}})),
    change_table("steps"),
]


@pytest.mark.parametrize("view", [None, FirstTarget(TARGET)])
@pytest.mark.parametrize(
    ("change", "is_seen"), [*((c, False) for c in UNSEEN), *((c, True) for c in SEEN)]
)
def test_only_what_was_asked_for_counts(
    tmp_path: Path, files: list[Path], view: FirstTarget | None, change: Any, is_seen: bool
) -> None:
    seen = SeenParts(view)
    draws(read_results(tmp_path, files, seen))
    before = SeenParts(view).digests(seen.parts)
    change(tmp_path)
    assert (SeenParts(view).digests(seen.parts) != before) is is_seen


def test_who_asks_which_there_are_has_seen_all_names(tmp_path: Path, files: list[Path]) -> None:
    seen = SeenParts()
    results = read_results(tmp_path, files, seen)
    names = [*results.families["a"].findings, len(results.decision)]
    assert names == ["ladder", "regret", 2]
    before = seen.digests(seen.parts)
    SEEN[-2](tmp_path)
    first = seen.digests(seen.parts)
    assert first != before
    change_json("decision.json", lambda verdict: verdict.update(rule="new"))(tmp_path)
    assert seen.digests(seen.parts) != first


def test_a_copy_of_the_verdict_has_seen_all_of_it(tmp_path: Path, files: list[Path]) -> None:
    seen = SeenParts()
    verdict: Any = read_results(tmp_path, files, seen).decision
    assert {**verdict} == dict(verdict.items()) == VERDICT
    with pytest.raises(TypeError):
        json.dumps(verdict)
    before = seen.digests(seen.parts)
    UNSEEN[0](tmp_path)
    assert seen.digests(seen.parts) != before
