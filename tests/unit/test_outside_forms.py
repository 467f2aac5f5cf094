"""Simulated studies whose truth no form holds: forecasts hold, and gates refuse what is hopeless.

A small version of benchmarks/outside_forms.py, whose table stands in docs/uncertainty.md.
"""

from __future__ import annotations

import sys

import pytest
from benchmarks.outside_forms import (
    BEYOND,
    BUDGETS,
    FAMILY,
    MARKERS,
    TRUTHS,
    fitted_to,
    judged,
    runs_of,
    truth_of,
)

from flopline.audit.audit_options import AuditOptions
from flopline.bearing import span_of
from flopline.decision import decide
from flopline.options import StudyOptions
from tests.conftest import ROOT

FEW = StudyOptions(AuditOptions(ladder_draws=2))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[fitted_to.__module__], "DRAWS", 8)


def study(name: str, **design):
    truth, rng = truth_of(name, 0, seed=0)
    return truth, runs_of(truth, rng, BUDGETS[1::2], 6, **design)


@pytest.mark.slow
def test_forecasts_hold_in_most_studies_outside_the_forms() -> None:
    rows = [row for name in ("power k = .5", "late floor") for row in judged(*study(name), FEW)]
    assert len(rows) == 2 * len(BEYOND)
    assert sum(row["loss95"] for row in rows) >= 5
    assert sum(row["params95"] for row in rows) >= 5
    assert sum(row["stated_params95"] for row in rows) >= 5
    assert max(row["waste"] for row in rows if not row["refused"]) < 10
    for near, far in (rows[1:3], rows[4:6]):
        assert far["loss_wide"] > near["loss_wide"]


@pytest.mark.parametrize(
    ("design", "refused"), [({}, False), ({"width": 1.5, "centre": 1 / 50}, True)]
)
def test_gates_spare_a_sound_study_and_refuse_a_hopeless_one(design, refused: bool) -> None:
    """Runs of thousands of tokens per param say nothing of an optimum at twenty."""
    _, runs = study("Chinchilla's form", **design)
    targets = [BEYOND[0] * BUDGETS[-1]]
    results = fitted_to(runs, targets, None, FAMILY)
    _, verdict = decide({FAMILY: results}, targets, {FAMILY: FAMILY}, {FAMILY: span_of(runs)})
    assert (verdict["headline"] is None) is refused
    assert bool(verdict["silent"]) is refused


@pytest.mark.parametrize("name", TRUTHS)
def test_every_truth_has_its_optimum_where_it_is_said(name: str) -> None:
    truth, _ = truth_of(name, 1, seed=3)
    flops = 1e20
    best = float(truth.params_opt(flops))
    assert truth.wasted_percent(best, flops) == pytest.approx(0.0, abs=0.05)
    for factor in (0.5, 2.0):
        assert truth.wasted_percent(factor * best, flops) > 1


def test_the_page_holds_the_table_between_its_markers() -> None:
    page = (ROOT / "docs/uncertainty.md").read_text(encoding="utf-8")
    between = page[page.index(MARKERS[0]) : page.index(MARKERS[1])]
    assert all(f"| {name} | {beyond:g}x |" in between for name in TRUTHS for beyond in BEYOND)
