"""The line that is followed, at any budget: what the decision states at its targets, no jump."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flopline.audit import ladder
from flopline.audit.audit_options import AuditOptions
from flopline.audit.held_out_kinds import THIS_RUN
from flopline.bearing import span_of
from flopline.cli.next_sweep import warned
from flopline.cli.planning import in_words, planned
from flopline.decision import decide
from flopline.decision_lines import headline_lines
from flopline.documents import number_in
from flopline.errors import FloplineError
from flopline.following import choice_at, followed
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import ENDS
from flopline.laws.spec import ESTIMATORS, spec_of
from flopline.numbers import significant
from flopline.options import StudyOptions
from flopline.question_forecasts import with_forecasts
from flopline.questions import PARAMS, Question, answers_json, study_answers
from flopline.report.decision_view import headline
from flopline.report.questions_view import COLUMNS, questions_view
from flopline.results import FamilyResults, StudyResults
from flopline.schema import KEPT
from tests.builders import fits
from tests.builders.designs import isoflop_runs, with_budgets
from tests.builders.surfaces import BESIROGLU

TARGETS = (1e22, 1e23)
STATED = ("params", "tokens", "tokens_per_param", "loss", "forecast_params", "forecast_loss")


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    budgets = np.geomspace(1e19, 1e21, 4)
    return with_budgets(isoflop_runs(BESIROGLU, budgets, 6, width=5.0, noise=0.003, seed=3))


@pytest.fixture(scope="module")
def known(points: pd.DataFrame) -> FamilyResults:
    laws = {
        law: fits.fit(law, points, TARGETS, draws=30, seed=1, **spec_of(law).judged)
        for law in ("isoflop", "parametric")
    }
    results = FamilyResults.of(laws)
    options = StudyOptions(BootstrapOptions(draws=40, seed=1), AuditOptions(ladder_draws=20))
    made = ladder.audit(
        points,
        TARGETS[0],
        options,
        fits={name: results.of_law(name) for name in laws},
        steps_flops=[5e19, 3e20],
        more_targets=TARGETS[1:],
    )
    return replace(results, findings={"ladder": {**made.to_json(), "tables": made.tables}})


@pytest.fixture(scope="module")
def results(points: pd.DataFrame, known: FamilyResults) -> StudyResults:
    spans = {"ash": span_of(points)}
    lines, verdict = decide({"ash": known}, TARGETS, {"ash": "Ash"}, spans)
    runs = points.assign(family="ash", status=KEPT, reason="")
    of_all = {"runs": runs, "decision": verdict, "lines": lines}
    return StudyResults(families={"ash": known}, of_all=of_all)


def test_a_line_is_that_of_the_decision_at_a_target_and_right_beside_it(
    results: StudyResults, known: FamilyResults
) -> None:
    """At a target one line spoke, beside it all surfaces together: 8.6 % wide, not 4.1 %."""
    compared = 0
    for row in results.lines.to_dict("records"):
        if math.isnan(row["params"]):
            continue
        line = followed(known, row["law"], row["estimator"])
        for beside in (1 - 1e-9, 1 + 1e-9):
            made = line.at(row["budget_flops"] * beside)
            for name in STATED:
                for column in (name, *(f"{name}_{end}" for end in ENDS)):
                    assert made[column] == pytest.approx(row[column], rel=1e-6, nan_ok=True), (
                        f"{column} of {row['law']}/{row['estimator']}"
                    )
                    compared += math.isfinite(row[column])
    assert compared > 300


def test_a_form_with_fewer_draws_in_the_ladder_is_widened_by_those_of_its_fit(
    results: StudyResults, known: FamilyResults
) -> None:
    """A ladder refits the form that it chose with draws of its own, which are not the fit's."""
    finding = known.findings["ladder"]
    ahead = finding["tables"]["ahead"]
    other = {**finding["tables"], "ahead": ahead.assign(loss_sd_ln=10 * ahead["loss_sd_ln"])}
    changed = replace(known, findings={"ladder": {**finding, "tables": other}})
    lines, _ = decide({"ash": changed}, TARGETS, {"ash": "Ash"}, {"ash": span_of(results.runs)})
    main = lines["main"].astype(bool)
    column = "forecast_loss_hi95"
    assert lines.loc[main, column].tolist() == results.lines.loc[main, column].tolist()


def test_plans_are_the_headline_s_numbers_at_a_target_and_have_no_jump_beside_it(
    results: StudyResults,
) -> None:
    head = results.decision["headline"]
    assert head is not None
    assert head["brackets"] == "forecast"
    for beside in (1 - 1e-9, 1.0, 1 + 1e-9):
        (plan,) = planned(results, TARGETS[0] * beside, ["ash"])
        assert plan["brackets"] == "forecast"
        for planned_numbers, stated in (
            (plan, head), (plan["if_the_law_holds"], head["if_the_law_holds"]),
        ):  # fmt: skip
            for name in ("params", "tokens", "tokens_per_param", "loss"):
                for end in ("point", "lo95", "hi95"):
                    assert planned_numbers[name][end] == pytest.approx(stated[name][end], rel=1e-6)
    text = in_words(plan, "Ash", "Validation loss, nats per token")
    assert "Brackets are 95 % forecasts.\n  If the law holds: params " in text


def test_what_stands_beside_the_headline_stands_beside_a_plan_and_what_to_run_next(
    results: StudyResults, known: FamilyResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flopline run` warned that N and D look exchanged, `flopline plan` did not."""
    monkeypatch.setattr("flopline.decision.USUAL_TOKENS_PER_PARAM", (1e4, 1e5))
    main = results.lines[results.lines["main"].astype(bool)].set_index("law")["estimator"]
    held = pd.DataFrame(
        [
            {"law": "parametric", "of": THIS_RUN, "estimator": main["parametric"].iloc[0],
             "error_percent": error, "inside95": "no", "flops": 2e22, "seen": 2.0,
             "predicted": 2.1, "params": 1e9}
            for error in (5.0, 6.0)
        ]
    )  # fmt: skip
    finding = {"tables": {"predictions": held}, "numbers": {}, "sentence": ""}
    refuted = replace(known, findings={**known.findings, "held_out": finding})
    lines, verdict = decide(
        {"ash": refuted}, TARGETS, {"ash": "Ash"}, {"ash": span_of(results.runs)}
    )
    of_all = {"runs": results.runs, "decision": verdict, "lines": lines}
    changed = StudyResults(families={"ash": refuted}, of_all=of_all)
    head = verdict["headline"]
    assert head is not None
    assert "see that the columns of N and D are not exchanged; the 2 runs" in head["warnings"]
    (plan,) = planned(changed, TARGETS[0], ["ash"])
    assert plan["warnings"] == head["warnings"]
    assert f"  Warning: {head['warnings']}.\n" in in_words(plan, "Ash", "Loss")
    assert warned(changed, "ash", TARGETS[0]) == head["warnings"]
    (further,) = planned(changed, 4e23, ["ash"])
    assert "the target has 4" in further["warnings"]
    assert "the 2 runs" not in further["warnings"]  # they lie near the target, not here


def test_variants_go_on_between_targets_and_beyond_as_their_law_does(
    known: FamilyResults,
) -> None:
    """The corrected line is a power law, too: its own size at any budget, not the main line's."""
    rows = known.tables["isoflop"][ESTIMATORS]
    mine = rows[rows["estimator"] == "corrected"].set_index("budget_flops")
    line = followed(known, "isoflop", "corrected")
    for flops in (3e21, 4e22, 7e23):
        wanted = mine.loc[1e22, "params"] * (flops / 1e22) ** mine.loc[1e22, "a"]
        assert line.at(flops)["params"] == pytest.approx(wanted, rel=1e-9)


def test_a_reading_is_not_taken_for_the_main_line_where_their_table_is_missing(
    known: FamilyResults,
) -> None:
    """The page's planner stated the parabola's forecast for a headline by the window."""
    tables = {law: {n: t for n, t in made.items() if n != ESTIMATORS}
              for law, made in known.tables.items()}  # fmt: skip
    with pytest.raises(FloplineError, match=r"hand over isoflop\.estimators\.parquet"):
        followed(replace(known, tables=tables), "isoflop", "window")
    assert followed(known, "isoflop", "window").beside is not None


def test_the_choice_at_a_budget_is_that_of_the_nearest_target_with_a_line(
    known: FamilyResults,
) -> None:
    choices = [
        {"family": "ash", "law": None, "budget_flops": 1e30, "estimator": None},
        {"family": "ash", "law": "parametric", "budget_flops": 1e23, "estimator": "x"},
        {"family": "ash", "law": "isoflop", "budget_flops": 1e21, "estimator": "y"},
        {"family": "oak", "law": "isoflop", "budget_flops": 1e25, "estimator": "z"},
    ]
    assert choice_at(choices, "ash", 1e29, known.fits)["law"] == "parametric"
    assert choice_at(choices, "ash", 2e21, known.fits)["law"] == "isoflop"
    assert choice_at(choices[:1], "ash", 1e29, known.fits) is None


def test_the_headline_holds_what_page_and_terminal_state(results: StudyResults) -> None:
    """`headline.loss` was the law's, where page and terminal stated the forecast."""
    head = results.decision["headline"]
    assert head is not None
    (row,) = results.lines[
        results.lines["recommended"] & (results.lines["budget_flops"] == head["budget_flops"])
    ].to_dict("records")
    assert head["brackets"] == "forecast"
    assert head["loss"]["point"] == row["forecast_loss"] != row["loss"]
    assert head["loss"]["hi95"] == row["forecast_loss_hi95"]
    assert head["if_the_law_holds"]["loss"]["point"] == row["loss"]
    text = "\n".join(headline_lines(results.decision, {"ash": "Ash"}))
    assert f"loss of {significant(head['loss']['point'])} [" in text
    assert f", loss {significant(row['loss'])} [" in text
    stated = headline(results.decision, results.lines, {"ash": "Ash"})
    assert stated is not None
    assert stated.point("loss") == significant(head["loss"]["point"])


def test_answers_to_questions_state_the_forecast_of_their_loss(results: StudyResults) -> None:
    """The table of questions stated the law's loss alone, beside a page of forecasts."""
    head, decision = results.decision["headline"], results.decision
    assert head is not None
    spans = {"ash": span_of(results.runs)}
    small = 0.5 * float(head["params"]["point"] or 0)
    questions = [Question(flops=TARGETS[0]), Question(flops=TARGETS[0], limit=PARAMS, value=small),
                 Question(loss=float(head["loss"]["point"] or 0)), Question(loss=1e-3)]  # fmt: skip
    answers = study_answers(
        results.families, decision["choices"], decision["silent"], spans, questions
    )
    made = with_forecasts(answers, results.families, decision["choices"])
    names = list(made)
    assert names.index("forecast_loss") < names.index("loss")
    best, smaller, reaches, never = answers_json(made)
    for end in ("point", *ENDS):
        assert number_in(best["forecast_loss"], end) == pytest.approx(head["loss"][end], rel=1e-6)
    more = smaller["stated"]["loss"]["point"] - best["stated"]["loss"]["point"]
    assert more > 0
    assert smaller["forecast_loss"]["point"] == pytest.approx(head["loss"]["point"] + more)
    width = [number_in(a["forecast_loss"], "hi95") / number_in(a["forecast_loss"])
             for a in (best, smaller)]  # fmt: skip
    assert width[1] >= width[0]
    assert reaches["forecast_loss"]["point"] is not None
    assert number_in(never["forecast_loss"]) != number_in(never["forecast_loss"])
    rows = questions_view([best, never], {"ash": "Ash"})[0].rows
    place = [column.name for column in COLUMNS].index("forecast_loss")
    assert rows[0].cells[place].point == significant(head["loss"]["point"])
    assert rows[1].cells == []
