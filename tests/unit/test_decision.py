"""The decision: which line is recommended, how far the laws agree, what the terminal says."""

from __future__ import annotations

from typing import Any

import pytest

from flopline.decision import decide, headline_lines

TARGETS = [1e20, 1e21]


def fit(law: str, params: float, loss: float = 2.0, status: str = "converged") -> dict[str, Any]:
    def about(x: float) -> dict[str, Any]:
        return {"point": x, "lo80": x * 0.9, "hi80": x * 1.1, "lo95": x * 0.8, "hi95": x * 1.2}

    targets = [
        {
            "budget_flops": c,
            "params": about(params),
            "tokens": about(c / 6 / params),
            "tokens_per_param": about(c / 6 / params**2),
            "loss": about(loss),
            "loss_new_run": about(loss),
            "flops_ratio": about(1.0),
        }
        for c in TARGETS
    ]
    return {"law": law, "estimator": law, "status": status, "message": "", "targets": targets}


def laws(**fits: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return fits


def test_parametric_is_recommended_when_it_converged() -> None:
    fits = {"ash": laws(isoflop=fit("isoflop", 1e9), parametric=fit("parametric", 1.1e9))}
    table, verdict = decide(fits, TARGETS, {"ash": 1e19})
    assert table[table["recommended"]]["law"].tolist() == ["parametric", "parametric"]
    assert table["extrapolation"].tolist() == pytest.approx([10, 10, 100, 100])
    assert verdict["agreement"][0]["params_ratio"] == pytest.approx(1.1)
    assert verdict["agreement"][0]["overlap"] is True


@pytest.mark.parametrize(
    ("parametric", "isoflop", "chosen"),
    [("warning", "converged", "isoflop"), ("warning", "warning", "parametric"),
     ("failed", "warning", "isoflop")],
)  # fmt: skip
def test_a_law_without_a_warning_goes_first(parametric: str, isoflop: str, chosen: str) -> None:
    fits = {
        "ash": laws(
            isoflop=fit("isoflop", 1e9, status=isoflop),
            parametric=fit("parametric", 1e9, status=parametric),
        )
    }
    table, verdict = decide(fits, TARGETS, {"ash": 1e19})
    assert set(table[table["recommended"]]["law"]) == {chosen}
    assert verdict["headline"]["law"] == chosen


def test_numbers_of_a_failed_fit_are_not_shown() -> None:
    fits = {"ash": laws(isoflop=fit("isoflop", 1e9, status="failed"))}
    table, verdict = decide(fits, TARGETS, {"ash": 1e19})
    assert table["params"].isna().all()
    assert not table["recommended"].any()
    assert verdict["headline"] is None
    assert headline_lines(verdict, {}) == ["No law could be fitted: the report says why."]


def test_headline_is_the_family_of_lowest_loss() -> None:
    fits = {
        "ash": laws(parametric=fit("parametric", 1e9, loss=2.1)),
        "birch": laws(parametric=fit("parametric", 2e9, loss=2.0)),
    }
    _, verdict = decide(fits, TARGETS, {"ash": 1e19, "birch": 1e19})
    lines = headline_lines(verdict, {"ash": "Ash", "birch": "Birch"})
    assert lines == [
        "At 1e20 FLOPs (Birch, parametric law) train 2B [1.6B, 2.4B] parameters",
        "on 8.33B [6.67B, 10B] tokens (4.17 [3.33, 5] per parameter)",
        "and expect a loss of 2.000 [1.600, 2.400]; brackets are 95 % intervals.",
    ]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (fit("isoflop", 3e9), "intervals of N and D overlap"),
        (fit("isoflop", 1e9, loss=4.0), "loss between 2.000 and 4.000; not all of their 95 %"),
    ],
)
def test_disagreement_is_said(other: dict[str, Any], words: str) -> None:
    fits = {"ash": laws(isoflop=other, parametric=fit("parametric", 1e9))}
    _, verdict = decide(fits, TARGETS, {"ash": 1e19})
    assert verdict["agreement"][0]["overlap"] is False
    assert words in verdict["agreement"][0]["sentence"]
