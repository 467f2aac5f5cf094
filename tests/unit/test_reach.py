"""How far a budget lies from the runs: one list of grades for decision, questions and planner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopline.decision import decide
from flopline.reach import GRADES, Reach
from flopline.report.planning import grades_view
from tests.builders.decisions import ANYTHING, TARGETS, family, line

LABELS = {"ash": "Ash"}


@pytest.mark.parametrize(
    ("flops", "side", "times", "name"),
    [
        (1e20, "within", 1.0, "within the runs"),
        (2e21, "beyond", 2.0, "a short extrapolation"),
        (3e22, "beyond", 30.0, "a long extrapolation"),
        (3.01e22, "beyond", 30.1, "a long extrapolation"),
        (4e22, "beyond", 40.0, "an extreme extrapolation"),
        (1.1e24, "beyond", 1100.0, "out of reach of the runs"),
        (1e18, "below", 10.0, "a long extrapolation"),
    ],
)
def test_budgets_have_the_grade_of_their_distance(
    flops: float, side: str, times: float, name: str
) -> None:
    reach = Reach.of(flops, 1e19, 1e21)
    assert (reach.side, reach.grade.name) == (side, name)
    assert reach.times == pytest.approx(times)
    assert reach.json()["words"] == reach.words
    assert name in reach.words


def test_grades_go_outward_and_only_the_last_recommends_nothing() -> None:
    bounds = [grade.most for grade in GRADES]
    assert bounds == sorted(bounds)
    assert [grade.recommends for grade in GRADES] == [True] * (len(GRADES) - 1) + [False]
    assert [entry["name"] for entry in grades_view()] == [grade.name for grade in GRADES]
    assert grades_view()[-1]["most"] is None  # JSON has no infinity


@pytest.mark.parametrize("side", ["beyond", "below"])
def test_out_of_reach_of_the_runs_nothing_is_recommended(side: str) -> None:
    """The page recommended a size 147 billion times beyond the data."""
    nearest = TARGETS[0] / 2000 if side == "beyond" else TARGETS[0] * 2000
    span = replace(ANYTHING, smallest_flops=nearest, largest_flops=nearest)
    known = {"ash": family(parametric=line(1e9), isoflop=line(1.1e9))}
    table, verdict = decide(known, TARGETS[:1], LABELS, {"ash": span})
    assert verdict["headline"] is None
    assert not table["recommended"].any()
    assert set(table["grade"]) == {"out of reach of the runs"}
    [silence] = verdict["silent"]
    where = "the compute of the largest run" if side == "beyond" else "below the smallest run"
    assert (
        f"the target lies 2,000 times {where}, and more than 1,000 times away"
        in (silence["sentence"])
    )
    ends = "ends at about 5e19" if side == "beyond" else "begins at about 2e20"
    assert f"What they say {ends} FLOPs." in silence["sentence"]
    needed = "Runs of 1e17 FLOPs or more" if side == "beyond" else "Runs of 1e23 FLOPs or fewer"
    assert needed in silence["sentence"]
