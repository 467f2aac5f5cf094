"""Jobs are foreseen where the study is another, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from running.foresight import NOTE, is_sure_to_run, note_finished

STUDY: dict[str, Any] = {"title": "One", "source": {"paths": "a"}, "targets": [1e20]}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text("")
    note_finished(tmp_path, STUDY)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "arguments", "sure"),
    [
        ({"title": "Two"}, ["--cores", "2"], True),
        ({"targets": [1e20, 1e21]}, ["--cores", "all", "--config", "study=x"], True),
        ({}, ["--cores", "2"], False),
        # A stage that makes tables runs alone first.
        ({"source": {"paths": "b"}}, ["--cores", "2"], False),
        ({"title": "Two", "source": {"paths": "b"}}, ["--cores", "2"], False),
        ({"title": "Two"}, ["--cores", "2", "-n"], False),
        ({"title": "Two"}, ["--cores", "2", "results/x/decision.csv"], False),
        ({"title": "Two"}, ["--lint"], False),
    ],
)
def test_jobs_are_foreseen(
    finished: Path, change: dict[str, Any], arguments: list[str], sure: bool
) -> None:
    assert is_sure_to_run(finished, {**STUDY, **change}, arguments) is sure


def test_nothing_is_foreseen_without_a_report_or_a_note(finished: Path) -> None:
    other = {**STUDY, "title": "Two"}
    (finished / "report.html").unlink()
    assert not is_sure_to_run(finished, other, [])
    (finished / "report.html").write_text("")
    for text in ("", "one", "a b c"):
        (finished / NOTE).write_text(text)
        assert not is_sure_to_run(finished, other, [])
    (finished / NOTE).unlink()
    assert not is_sure_to_run(finished, other, [])
