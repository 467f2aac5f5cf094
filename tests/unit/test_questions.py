"""Questions beside the targets: every answer against a search over all runs of a known surface."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flopline.bearing import Span
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import ENDS
from flopline.numbers import factor, humanise
from flopline.planner import Line, allocation, at_budget, deviation, read_line
from flopline.question_options import QuestionOptions
from flopline.questions import (
    FREE,
    LIMITS,
    MOST_PARAMS,
    MOST_TOKENS,
    PARAMS,
    TOKENS_PER_PARAM,
    Question,
    answer,
    answer_rows,
    answers_json,
    asked,
    study_answers,
)
from flopline.report.questions_view import questions_view
from flopline.results import FamilyResults
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.surfaces.count import Count, flops_for
from tests.builders.designs import isoflop_runs
from tests.builders.fits import fit
from tests.builders.surfaces import BESIROGLU

BUDGET = 1e22
LOSS = 2.1
DRAWS = 41
GRID = 1201
"""Sizes, and tokens, of the search: a factor of 1.015 apart."""
LIMIT_VALUES = {PARAMS: 3e9, TOKENS_PER_PARAM: 100.0, MOST_TOKENS: 5e10, MOST_PARAMS: 3e9}
COUNTS = {"6ND": None, "own": Count(1.0, 30.0, -0.2, 0.0)}
POWERED = replace(BESIROGLU, A=60.0, B=80.0, k=1.25)
"""A surface with a power of what lies above its floor, made up."""
SPAN = Span((5.0, 80.0), 1e21)
WIDE = Span((0.01, 1e5), 1e21)


def line_of(surface: LossSurface) -> Line:
    """A line with draws about `surface`, whose floors lie up to .3 off."""
    rng = np.random.default_rng(1)
    fields = [getattr(surface, name) for name in PARAMETERS]
    spread = [value * np.exp(0.02 * rng.standard_normal(DRAWS)) for value in fields]
    spread[0] = np.linspace(fields[0] - 0.3, fields[0] + 0.3, DRAWS)
    count = surface.count
    if count is not None:
        count = Count(*(np.full(DRAWS, float(v)) for v in count.parameters().values()))
    return Line("parametric", surface, LossSurface(*spread, k=surface.k, count=count), None, None)


def of_compute(surface: LossSurface) -> Line:
    """The laws of compute that follow from a surface of C = 6ND, without draws to speak of."""
    a, b, g = (float(v) for v in (surface.a, surface.b, surface.G))
    gamma = float(surface.alpha) * float(surface.beta) / (float(surface.alpha + surface.beta))
    k = (float(surface.loss_opt(6.0)) - float(surface.E)) * 6**gamma
    values = {"a": a, "b": b, "N_coef": g / 6**a, "D_coef": 1 / g / 6**b}
    values |= {"L_E": float(surface.E), "L_K": k, "L_c": gamma}
    rows = [{n: np.full(size, v) for n, v in values.items()} for size in (1, DRAWS)]
    return Line("isoflop", allocation(rows[0]), allocation(rows[1]), None, None)


def searched(surface: LossSurface, question: Question) -> tuple[float, float, float, float]:
    """C, N, D and loss of the best run on a fine grid of all sizes and tokens."""
    params = np.geomspace(1e7, 1e13, GRID)
    tokens = np.geomspace(1e7, 1e15, GRID)
    n, value = params[:, None], question.value
    if question.limit == PARAMS:
        n = np.array([[value]])
    d = np.broadcast_to(tokens, (len(n), GRID))
    if question.limit == TOKENS_PER_PARAM:
        d = value * n
    if question.limit == MOST_TOKENS:
        d = np.minimum(d, value)
    if question.limit == MOST_PARAMS:
        n = np.minimum(n, value)
    n, d = np.broadcast_arrays(n, d)
    loss, flops = surface.loss(n.ravel(), d.ravel()), flops_for(surface.count, n.ravel(), d.ravel())
    if question.flops is not None:
        best = np.where(flops <= question.flops, loss, np.inf).argmin()
    else:
        best = np.where(loss <= question.loss, flops, np.inf).argmin()
    return flops[best], n.ravel()[best], d.ravel()[best], loss[best]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("goal", ["flops", "loss"])
def test_answers_are_those_of_a_search(goal: str, limit: str, count: str) -> None:
    surface = replace(BESIROGLU, count=COUNTS[count])
    line = line_of(surface)
    given = {"flops": BUDGET} if goal == "flops" else {"loss": LOSS}
    question = Question(**given, limit=limit, value=LIMIT_VALUES.get(limit))
    made = answer(line, line, question)
    flops, params, tokens, loss = searched(surface, question)
    # The grid only comes near the optimum, and never from below.
    if goal == "flops":
        assert made.flops.point == BUDGET
        assert made.loss.point == pytest.approx(loss, rel=2e-3)
        assert made.loss.point <= loss * (1 + 1e-9)
    else:
        assert made.loss.point == pytest.approx(LOSS, rel=1e-12)
        assert made.flops.point == pytest.approx(flops, rel=0.03)
        assert made.flops.point <= flops * (1 + 1e-9)
    assert made.params.point == pytest.approx(params, rel=0.1)
    assert made.tokens.point == pytest.approx(tokens, rel=0.1)
    own = flops_for(surface.count, made.params.point, made.tokens.point)
    assert float(own) == pytest.approx(made.flops.point, rel=1e-9)
    # What is wasted is what the least compute for the same loss would have spared.
    least = answer(line, line, Question(loss=made.loss.point)).flops.point
    rel = 1e-6 if COUNTS[count] is None else 0.02
    assert made.flops.point - made.wasted_flops.point == pytest.approx(least, rel=rel)
    assert made.wasted_percent.point >= -1e-9
    assert (limit == FREE) == (abs(made.wasted_percent.point) < 1e-9)


@pytest.mark.parametrize("limit", LIMITS)
def test_answers_hold_for_a_surface_with_a_power(limit: str) -> None:
    line = line_of(POWERED)
    loss = float(POWERED.loss_opt(1e22))
    question = Question(loss=1.05 * loss, limit=limit, value=LIMIT_VALUES.get(limit))
    made = answer(line, line, question)
    flops, params, tokens, lowest = searched(POWERED, question)
    assert made.never == (lowest > 1.05 * loss)
    if not made.never:
        assert made.flops.point == pytest.approx(flops, rel=0.03)
        assert made.params.point == pytest.approx(params, rel=0.1)
        assert made.tokens.point == pytest.approx(tokens, rel=0.1)
    at = Question(flops=1e22, limit=PARAMS, value=3e9)
    planned = deviation(line, line, 1e22, 3e9)
    assert answer(line, line, at).loss.point == pytest.approx(planned.loss)


def test_a_limit_that_does_not_bind_costs_nothing() -> None:
    line = line_of(BESIROGLU)
    for limit in (MOST_PARAMS, MOST_TOKENS):
        for goal in ({"flops": BUDGET}, {"loss": LOSS}):
            made = answer(line, line, Question(**goal, limit=limit, value=1e14))
            free = answer(line, line, Question(**goal))
            assert made.params.point == pytest.approx(free.params.point)
            assert made.wasted_percent.point == pytest.approx(0.0, abs=1e-9)


def test_below_the_floor_the_answer_is_never() -> None:
    line = line_of(BESIROGLU)
    floor = float(BESIROGLU.E)
    made = answer(line, line, Question(loss=floor))
    assert made.never
    assert math.isinf(made.params.point)
    # A small model has a floor of its own, and so has a limit of the data.
    given = answer(line, line, Question(loss=2.0, limit=PARAMS, value=1e8))
    assert given.never
    assert given.params.point == 1e8
    little = answer(line, line, Question(loss=2.0, limit=MOST_TOKENS, value=1e9))
    assert little.never
    assert little.tokens.point == 1e9
    assert not answer(line, line, Question(loss=2.0, limit=PARAMS, value=1e10)).never


def test_draws_that_never_reach_a_loss_open_the_interval_upwards() -> None:
    line = line_of(BESIROGLU)
    loss = float(BESIROGLU.E) + 0.1
    made = answer(line, line, Question(loss=loss))
    # Floors lie evenly within .3 of the point's: a third of them lie above the loss.
    assert made.never_percent == pytest.approx(100 * np.mean(np.asarray(line.draws.E) >= loss))
    assert not made.never
    assert math.isinf(made.flops.hi80)
    assert math.isinf(made.flops.hi95)
    assert 0 < made.flops.lo95 < made.flops.lo80 < made.flops.point


def test_every_draw_answers_for_itself() -> None:
    line = line_of(BESIROGLU)
    made = answer(line, line, Question(loss=2.4, limit=TOKENS_PER_PARAM, value=30.0))
    single = []
    for row in range(DRAWS):
        one = LossSurface(
            *(
                float(np.asarray(getattr(line.draws, n))[row])
                for n in ["E", "A", "B", "alpha", "beta"]
            )
        )
        alone = Line("parametric", one, line.draws, None, None)
        single.append(answer(alone, alone, made.question).flops.point)
    wanted = np.percentile(single, [10, 90, 2.5, 97.5])
    assert [getattr(made.flops, end) for end in ENDS] == pytest.approx(wanted, rel=1e-9)


def test_laws_of_compute_answer_as_the_surface_that_they_follow_from() -> None:
    line, surface = of_compute(BESIROGLU), line_of(BESIROGLU)
    for limit in LIMITS:
        for goal in ({"flops": BUDGET}, {"loss": LOSS}):
            question = Question(**goal, limit=limit, value=LIMIT_VALUES.get(limit))
            made, same = (answer(one, surface, question) for one in (line, surface))
            for name in ("flops", "params", "tokens", "loss", "wasted_percent"):
                ours, theirs = (getattr(a, name).point for a in (made, same))
                assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6), (limit, goal, name)
    alone = answer(line, None, Question(loss=LOSS))
    assert alone.flops.point == pytest.approx(
        answer(line, surface, Question(loss=LOSS)).flops.point
    )
    with pytest.raises(FloplineError, match="keep parametric in `laws`"):
        answer(line, None, Question(loss=LOSS, limit=PARAMS, value=1e9))


def test_a_size_at_a_budget_costs_what_the_planner_says() -> None:
    for line in (line_of(BESIROGLU), of_compute(BESIROGLU)):
        surface = line_of(BESIROGLU)
        weighs = line if line.law == "parametric" else surface
        made = answer(line, weighs, Question(flops=BUDGET, limit=PARAMS, value=3e9))
        planned = deviation(line, weighs, BUDGET, 3e9)
        assert made.loss.point == pytest.approx(planned.loss)
        for end in ("point", *ENDS):
            wanted = getattr(planned.wasted_percent, end)
            assert getattr(made.wasted_percent, end) == pytest.approx(wanted)
        free = answer(line, weighs, Question(flops=BUDGET))
        for name in ("params", "tokens", "loss"):
            wanted = at_budget(line, BUDGET).values[name]
            for end in ("point", *ENDS):
                assert getattr(getattr(free, name), end) == pytest.approx(getattr(wanted, end))


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (Question(), "either a budget"),
        (Question(flops=1e21, loss=2.0), "either a budget"),
        (Question(flops=-1.0), "a budget in FLOPs is positive and finite"),
        (Question(loss=math.inf), "a loss to reach is positive and finite"),
        (Question(loss=2.0, limit="size", value=1.0), "'size' is no limit"),
        (Question(loss=2.0, limit=PARAMS), "wants a number"),
        (Question(loss=2.0, limit=PARAMS, value=0.0), "is positive and finite, not 0"),
    ],
)
def test_what_is_no_question_is_refused(question: Question, sentence: str) -> None:
    line = line_of(BESIROGLU)
    with pytest.raises(FloplineError, match=sentence):
        answer(line, line, question)


def test_a_study_asks_each_limit_at_its_target_and_for_each_loss() -> None:
    options = QuestionOptions(losses=[2.0, 2.5], params=[7e9], most_tokens=[1e12])
    words = [question.words() for question in asked(options, 1e22)]
    assert words == [
        "1e22 FLOPs, 7B params",
        "1e22 FLOPs, at most 1T tokens",
        "Loss 2",
        "Loss 2, 7B params",
        "Loss 2, at most 1T tokens",
        "Loss 2.5",
        "Loss 2.5, 7B params",
        "Loss 2.5, at most 1T tokens",
    ]
    assert asked(QuestionOptions(), 1e22) == []


def test_rows_say_what_to_note() -> None:
    line = line_of(BESIROGLU)
    questions = [
        Question(loss=2.6),
        Question(loss=2.0),
        Question(loss=1.0),
        Question(flops=1e20, limit=TOKENS_PER_PARAM, value=1e4),
    ]
    table = answer_rows(questions, line, line, SPAN)
    assert table["note"].iloc[0] == ""
    assert "the largest run's compute" in table["note"].iloc[1]
    assert table["note"].iloc[2] == "no compute reaches this loss by this law"
    assert "which do not bear it" in table["note"].iloc[3]
    assert table["never"].tolist() == [False, False, True, False]
    assert table["borne"].tolist() == [True, True, False, False]
    lone = answer_rows(questions[-1:], of_compute(BESIROGLU), None, SPAN)
    assert "keep parametric" in lone["note"].iloc[0]
    assert isinstance(table, pd.DataFrame)


def test_an_answer_below_the_runs_says_so_as_one_beyond_them_does() -> None:
    """Answers at a millionth of the smallest run's compute passed as borne by the runs."""
    line = line_of(BESIROGLU)
    needed = answer(line, line, Question(loss=2.6)).flops.point
    spans = {10: "a long extrapolation", 1e4: "out of reach of the runs"}
    for times, grade in spans.items():
        span = replace(SPAN, smallest_flops=times * needed, largest_flops=1e3 * times * needed)
        [row] = answer_rows([Question(loss=2.6)], line, line, span).to_dict("records")
        assert f"{factor(times)} below the smallest run" in row["note"]
        assert row["note"].endswith(grade)
        assert row["borne"] is (times < 1000)


def test_the_line_that_the_decision_follows_answers_for_each_family() -> None:
    runs = isoflop_runs(BESIROGLU, np.geomspace(1e19, 1e21, 4), 6, width=5.0, noise=0.003)
    made = {law: fit(law, runs, [1e22], draws=30, seed=1) for law in ("isoflop", "parametric")}
    results = {name: FamilyResults.of(made) for name in ("ash", "oak", "elm")}
    choices = [{"family": n, "law": law} for n, law in {"ash": "isoflop", "elm": None}.items()]
    silent = [{"family": "elm", "sentence": "These runs do not say."}]
    questions = asked(QuestionOptions(losses=[2.2], most_params=[1e9]), 1e22)
    table = study_answers(results, choices, silent, dict.fromkeys(results, WIDE), questions)
    by_family = {name: table[table["family"] == name] for name in results}
    assert by_family["ash"]["law"].tolist() == ["isoflop"] * 3
    assert by_family["ash"]["flops"].iloc[0] == 1e22
    free = by_family["ash"].iloc[1]
    line = read_line(made["isoflop"].to_json(), made["isoflop"].draws)
    wanted = answer(line, None, Question(loss=2.2)).flops
    assert (free["flops"], free["flops_hi95"]) == (wanted.point, wanted.hi95)
    assert set(by_family["elm"]["note"]) == {"These runs do not say."}
    assert set(by_family["oak"]["note"]) == {"no line is followed, so that none can answer"}
    # As the page shows it, from what JSON holds.
    records = answers_json(table.assign(flops_hi95=[math.inf, *table["flops_hi95"][1:]]))
    ash, elm, _ = questions_view(records, {"ash": "Ash"})
    assert (ash.family, ash.law, elm.law) == ("Ash", "IsoFLOP", "")
    assert ash.rows[0].question == "1e22 FLOPs, at most 1B params"
    assert ash.rows[0].cells[0].ci95 == "1e22 to never"
    assert ash.rows[1].cells[1].point == humanise(free["params"])
    assert [row.cells for row in elm.rows] == [[], [], []]
