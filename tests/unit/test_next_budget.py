"""What one more budget tells a law through the optima of budgets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.audit.next_budget import next_budget
from flopline.cli.next_sweep import advised, whole_counts
from flopline.next_step import next_step
from flopline.report.answer import Evidence, next_run
from flopline.results import FamilyResults, StudyResults
from flopline.schema import KEPT


def runs(budgets: list[float], sizes: int = 4) -> pd.DataFrame:
    return pd.DataFrame({"budget_flops": np.repeat(budgets, sizes)})


def test_the_interval_narrows_as_that_of_a_refitted_line() -> None:
    """The same from the covariance of least squares itself."""
    budgets, target = [1e18, 1e19, 1e20], 1e22
    more = next_budget(runs(budgets), target)
    assert more is not None
    assert (more.flops, more.sizes, more.total_flops) == (
        pytest.approx(1e21),
        4,
        pytest.approx(4e21),
    )

    def sd(at: list[float]) -> float:
        design = np.column_stack([np.ones(len(at)), np.log(at)])
        row = np.array([1.0, np.log(target)])
        return float(np.sqrt(row @ np.linalg.inv(design.T @ design) @ row))

    narrower = 100 * (1 - sd([*budgets, 1e21]) / sd(budgets))
    assert more.narrower_percent == pytest.approx(narrower)


def test_the_next_budget_never_exceeds_the_target() -> None:
    more = next_budget(runs([1e18, 1e19, 1e20]), 2e20)
    assert more is not None
    assert more.flops == pytest.approx(2e20)


def test_a_sweep_that_costs_more_than_half_of_the_target_is_not_advised() -> None:
    """A page advised a sweep that took 110 % of the compute of its target."""
    budgets, target = [1e18, 1e19, 1e20], 5e21
    free = next_budget(runs(budgets, 9), target)
    assert free is not None
    assert free.total_flops == pytest.approx(9e21)
    step = next_step(runs(budgets, 9), {}, "isoflop", target)
    assert step is not None
    (row,) = step.offers.to_dict("records")
    assert row["flops"] == pytest.approx(target / 2)
    assert row["budget_flops"] == pytest.approx(target / 18)
    assert "It takes 50 % of the compute of the target." in step.sentence
    near = next_step(runs(budgets, 9), {}, "isoflop", 1.3e21)
    assert near is not None
    assert near.offers["sizes"].tolist() == [5]
    dear = next_step(runs(budgets, 9), {}, "isoflop", 1e21)
    assert dear is not None
    assert dear.offers.empty
    assert dear.sentence.startswith("No more runs are advised. One more budget above the largest")
    assert "takes 900 % of the compute of the target" in dear.sentence
    offers = pd.DataFrame(
        {"params": [1e8], "tokens": [1e9], "flops": [6e17], "removed_percent": [3.0]}
    )
    finding: Any = {"next_run": {"tables": {"runs": offers}}}
    one_run = next_step(runs(budgets), finding, "parametric", 1e18)
    assert one_run is not None
    assert one_run.offers.empty


@pytest.mark.parametrize(("budgets", "target"), [([1e18, 1e19], 1e22), ([1e18, 1e19, 1e20], 1e19)])
def test_too_few_budgets_or_a_target_within_them_say_nothing(
    budgets: list[float], target: float
) -> None:
    assert next_budget(runs(budgets), target) is None


def test_a_run_that_narrows_next_to_nothing_is_not_advised() -> None:
    """A sweep of sizes within a factor of 1.5 was told of one more, which narrowed by .066 %."""
    run = {"params": 1e8, "tokens": 2e9, "flops": 1.2e18}
    for removed, words in ((1.0, "No single run of sizes like these"), (5.0, "100M params on 2B")):
        finding = {
            "next_run": {"tables": {"runs": pd.DataFrame([run | {"removed_percent": removed}])}}
        }
        step = next_step(runs(np.geomspace(1e18, 1e20, 5)), finding, "parametric", 1e21)
        assert step is not None
        assert step.sentence.startswith(words)


def test_page_and_terminal_advise_the_same_next_step() -> None:
    """The page named one more budget, `flopline next` a single run by a law that nobody follows."""
    target = 1e23
    kept = runs([1e18, 1e19, 1e20]).assign(family="ash", status=KEPT)
    offers = pd.DataFrame(
        {"params": [1e8, 2e8], "tokens": [1e9, 2e9], "flops": [6e17, 2e18],
         "removed_percent": [3.0, 19.0]}
    )  # fmt: skip
    finding: Any = {"audit": "next_run", "sentence": "It.", "tables": {"runs": offers}}
    family = FamilyResults(findings={"next_run": finding})
    for law, kind in (("isoflop", "budget"), ("parametric", "run")):
        choice = {"family": "ash", "budget_flops": target, "law": law}
        decision = {"silent": [], "choices": [choice]}
        results = StudyResults({"ash": family}, {"runs": kept, "decision": decision})
        sentence, step = advised(results, "ash", target)
        places = {"optima": "#optima", "next_run": "#next"}
        evidence = Evidence(pd.DataFrame(), {}, family.findings, kept, places, {})
        link = next_run(evidence, law, target)
        assert link is not None
        assert step is not None
        assert (link.text, step.kind) == (sentence, kind)
    assert "200M params on 2B tokens narrow the interval of this size by 10 %" in sentence
    silence = {"family": "ash", "budget_flops": target, "needed": "Runs of 1e21 FLOPs would tell."}
    refused = StudyResults({}, {"runs": kept, "decision": {"silent": [silence], "choices": []}})
    assert advised(refused, "ash", target) == ("Runs of 1e21 FLOPs would tell.", None)


def test_budgets_that_the_fit_found_are_those_of_the_next_one() -> None:
    """A table without budget_flops was told that it had fewer than three budgets, and it had five;
    the page said nothing."""
    target = 1e23
    kept = runs([math.nan] * 4).assign(family="ash", status=KEPT)
    grouped = runs([1e18, 1e19, 1e20])
    family = FamilyResults(tables={"isoflop": {"profiles": grouped}})
    choice = {"family": "ash", "budget_flops": target, "law": "isoflop"}
    decision = {"silent": [], "choices": [choice]}
    results = StudyResults({"ash": family}, {"runs": kept, "decision": decision})
    sentence, step = advised(results, "ash", target)
    assert step is not None
    assert sentence.startswith("A budget of 1e21 FLOPs at 4 sizes narrows")
    places = {"optima": "#optima", "next_run": "#next"}
    evidence = Evidence(pd.DataFrame(), {}, {}, kept, places, {}, grouped)
    link = next_run(evidence, "isoflop", target)
    assert link is not None
    assert link.text == sentence


@pytest.mark.parametrize(
    ("budgets", "target", "words"),
    [
        ([1e18, 1e19], 1e22, "there are 2 budgets, and a line through fewer than 3"),
        ([1e18, 1e19, 1e20], 1.2e19, "is no larger than the largest, 1e20. More sizes about the"),
    ],
)
def test_why_no_budget_is_advised_is_what_holds(
    budgets: list[float], target: float, words: str
) -> None:
    step = next_step(runs(budgets), {}, "isoflop", target)
    assert step is not None
    assert words in step.sentence


def test_offers_for_a_job_script_have_whole_params_and_tokens() -> None:
    run = pd.DataFrame({"params": [1.5e8 + 0.7], "tokens": [3e9 + 0.2], "flops": [2.7e18]})
    budget = pd.DataFrame({"flops": [1e21], "sizes": [4]})
    lines = whole_counts(pd.concat([run, budget])).to_csv(index=False).splitlines()
    assert lines[1:] == ["150000001,3000000000,2.7e+18,", ",,1e+21,4.0"]
    assert whole_counts(budget).equals(budget)
