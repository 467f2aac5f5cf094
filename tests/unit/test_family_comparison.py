"""Families are ranked only where the study calls their losses comparable; few runs stop nobody."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.agreement import _beside
from flopline.decision import decide
from flopline.decision_lines import headline_lines
from flopline.documents import VerdictJson
from flopline.errors import FloplineError
from flopline.family_comparison import (
    NOT_COMPARABLE,
    Beside,
    few_runs,
    flops_for,
    loss_law,
    multiplier_of,
)
from flopline.report.verdicts import NOT_CHECKED, WARNED, _families
from flopline.results import FamilyResults
from flopline.study import load_study
from flopline.surfaces.skaling import SkalingSurface
from tests.builders.decisions import ANYTHING, TARGETS, family, line
from tests.builders.studies import SCHEMAS
from tests.builders.surfaces import BESIROGLU, constants_of

LABELS = {"ash": "Ash", "birch": "Birch"}
TWO = {
    "ash": family(parametric=line(1e9, loss=2.1)),
    "birch": family(parametric=line(2e9, loss=2.0)),
}


def verdict_of(results: dict[str, FamilyResults] = TWO, **more: Any) -> VerdictJson:
    return decide(results, TARGETS, LABELS, dict.fromkeys(results, ANYTHING), **more)[1]


def test_families_are_not_ranked_unless_the_study_says_that_losses_compare() -> None:
    verdict = verdict_of()
    assert [e["winner"] for e in verdict["families"]] == [None, None]
    lines = headline_lines(verdict, LABELS)
    assert lines[0].startswith("At 1e20 FLOPs (Ash, parametric law) train 1B")
    assert NOT_COMPARABLE in lines
    assert lines[-1] == (
        "Birch (parametric law): 2B [1.6B, 2.4B] parameters on 8.33B [6.67B, 10B] tokens, "
        "loss 2.000 [1.600, 2.400]."
    )
    (tile,) = _families(verdict)
    assert (tile.verdict, tile.finding) == (NOT_CHECKED, "Families are not ranked")
    ranked = verdict_of(comparable=True)
    assert ranked["headline"] is not None
    assert ranked["headline"]["family"] == "birch"
    assert ranked["others"] == []
    assert NOT_COMPARABLE not in headline_lines(ranked, LABELS)


@pytest.mark.parametrize("comparable", [False, True])
def test_the_study_may_name_the_family_of_the_headline(comparable: bool) -> None:
    for name in LABELS:
        head = verdict_of(comparable=comparable, first=name)["headline"]
        assert head is not None
        assert head["family"] == name


def test_a_family_named_for_the_headline_must_be_one_of_the_study(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "title: A\nsource: {kind: table, paths: a.csv, columns: {run: r, params: n, tokens: d, "
        "loss: l, family: f}}\nfamilies: {ash: Ash, birch: Birch}\nparams_convention: total\n"
        "flops_convention: six_nd\ntargets: [1e21]\nheadline_family: bich\n"
    )
    with pytest.raises(FloplineError, match=r"names 'bich', which is none.*mean 'birch'"):
        load_study({"study": "a.yaml"}, tmp_path, SCHEMAS)


def test_a_loss_law_is_inverted_at_every_compute_and_has_a_floor() -> None:
    known = FamilyResults.of({})
    assert loss_law(known, "parametric") is None
    law = loss_law(TWO["ash"], "parametric")
    assert law is not None
    for flops in (1e15, 1e21, 1e26):
        assert flops_for(law, law(flops)) == pytest.approx(flops, rel=1e-9)
        assert law(flops) == pytest.approx(float(BESIROGLU.loss_opt(flops)))
    assert flops_for(law, float(BESIROGLU.E) - 0.01) == math.inf
    assert math.isnan(flops_for(law, math.nan))


def row(loss: float, forecast: float, half: float) -> dict[str, float]:
    """A line at 1e21 FLOPs: its loss, and a forecast of half the width in logs."""
    out = {"budget_flops": 1e21}
    for name, at, width in (("loss", loss, 0.002), ("forecast_loss", forecast, half)):
        out[name] = at
        for level, share in ((80, 0.6), (95, 1.0)):
            out[f"{name}_lo{level}"] = at * math.exp(-share * width)
            out[f"{name}_hi{level}"] = at * math.exp(share * width)
    return out


def test_a_forecast_of_the_multiplier_holds_both_forecasts() -> None:
    surface = SkalingSurface(1.5, 400.0, 2000.0, 0.4, 0.45, 0.8)

    def law(flops: float) -> float:
        return float(surface.loss_opt(flops))

    at, best = law(1e21), law(1.5e21)
    exact = multiplier_of(row(best, best, 0.0), row(at, at, 0.0), law, "forecast_loss")
    assert exact is not None
    assert exact["point"] == pytest.approx(1.5, rel=1e-9)
    assert exact["lo95"] == pytest.approx(exact["hi95"])
    # Both have missed by 1 % so far: the ratio stays.
    moved = multiplier_of(
        row(best, best * 1.01, 0.003), row(at, at * 1.01, 0.004), law, "forecast_loss"
    )
    assert moved is not None
    assert moved["point"] == pytest.approx(1.5, rel=1e-9)
    # 3 and 4 tenths of a percent together are 5.
    assert moved["lo95"] == pytest.approx(flops_for(law, best * math.exp(0.005)) / 1e21)
    assert moved["hi95"] == pytest.approx(flops_for(law, best * math.exp(-0.005)) / 1e21)
    assert multiplier_of(row(best, math.nan, 0.1), row(at, at, 0.1), law, "forecast_loss") is None


def few(saved: float, n: int, noise: float = 0.0) -> pd.DataFrame:
    """Runs of a family that needs `1 - saved` of the compute of BESIROGLU for its losses."""
    flops = np.geomspace(1e18, 1e19, n) if n > 1 else np.array([1e18])
    loss = BESIROGLU.loss_opt(flops / (1 - saved)) * np.exp(noise * np.resize([1, -1], n))
    return pd.DataFrame({"family": "birch", "flops": flops, "loss": loss})


def base(draws: int = 50) -> FamilyResults:
    known = family(parametric=line(1e9))
    drawn = pd.DataFrame(constants_of(BESIROGLU), index=range(draws))
    return replace(known, draws={"parametric": drawn})


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [(0.92, 9.0, "No family wins clearly"), (1.4, 9.0, "One family wins clearly"),
     (0.92, None, "No family wins clearly"), (None, None, "One family wins clearly")],
)  # fmt: skip
def test_a_family_wins_clearly_only_where_the_forecast_leaves_out_one(low, high, finding) -> None:
    verdict = verdict_of(comparable=True)
    times = {"point": 2.64, "lo80": low, "hi80": high, "lo95": low, "hi95": high}
    laws = {"point": 2.8, "lo80": 2.4, "hi80": 3.3, "lo95": 2.3, "hi95": 3.5}
    other = {"family": "ash", "overlap": False, "multiplier": laws, "forecast": times}
    verdict["families"][0]["others"] = [other]
    (tile,) = _families(verdict)
    assert tile.finding == finding
    assert (tile.verdict == WARNED) == (finding == "No family wins clearly")
    assert (tile.detail == verdict["families"][0]["sentence"]) == (tile.verdict == WARNED)
    rows = pd.DataFrame({"loss": [2.3]}, index=["ash"])
    assert ("holds 1" in _beside(LABELS, rows, other, "loss")) == (tile.verdict == WARNED)
    assert verdict["families"][0]["sentence"] in headline_lines(verdict, LABELS)


def test_a_family_of_few_runs_is_judged_by_the_loss_law_of_another() -> None:
    failed = family(parametric=line(1e9, status="failed"))
    results = {"ash": base(), "birch": failed}
    (entry,) = few_runs(results, few(0.25, 4, 0.001), LABELS, Beside("ash", "parametric", "", 1e19))
    saved = entry["saved_percent"]
    assert saved["point"] == pytest.approx(25.0, abs=0.1)
    assert saved["lo95"] < saved["lo80"] < 25.0 < saved["hi80"] < saved["hi95"]
    assert "Birch has too few runs for a law of its own" in entry["sentence"]
    assert "they save 25 % of it" in entry["sentence"]
    (worse,) = few_runs(results, few(-0.5, 1), LABELS, Beside("ash", "parametric", "", 1e19))
    assert worse["saved_percent"]["lo95"] is None
    assert "they take 50 % more (no interval: one run has no scatter)" in worse["sentence"]
    beside = Beside("ash", "parametric", "", 1e19)
    assert not list(few_runs({"ash": base(), "birch": base()}, few(0.25, 4), LABELS, beside))


def test_few_runs_stand_in_the_verdict_only_where_losses_compare() -> None:
    results = {"ash": base(), "birch": family(parametric=line(1e9, status="failed"))}
    runs = few(0.25, 4)
    assert verdict_of(results, runs=runs)["few_runs"] == []
    verdict = verdict_of(results, runs=runs, comparable=True)
    (entry,) = verdict["few_runs"]
    assert entry["sentence"] in headline_lines(verdict, LABELS)
    assert verdict["headline"] is not None
