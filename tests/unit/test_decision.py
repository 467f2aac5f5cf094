"""The decision: which line is recommended and why, what others cost, what the terminal says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopline.agreement import WIDE, between, cost_percent, multiplier
from flopline.audit.audit_options import AuditOptions
from flopline.bearing import WIDEST_FACTOR
from flopline.choice import FEWEST_STEPS, TIE_PERCENT, choose
from flopline.cli.study_at_hand import changed_since
from flopline.decision import decide
from flopline.decision_lines import headline_lines, order_turns
from flopline.laws.common.fit_result import Estimate, Estimator
from flopline.laws.registry import LAWS
from flopline.results import FamilyResults, LawResults
from flopline.schema import target_column
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.decisions import ANYTHING, REFUSAL, TARGETS, decided, family, line, steps
from tests.builders.fit_json import surface_json
from tests.builders.surfaces import BESIROGLU, constants_of, per_draw

LABELS = {"ash": "Ash", "birch": "Birch"}


def chosen(evidence: FamilyResults) -> tuple[str | None, str]:
    """Law and sentence of the first target; the second must say the same."""
    table, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    first, second = (
        (c["law"], c["sentence"].partition(" The runner-up")[0]) for c in verdict["choices"]
    )
    assert first == second
    assert table["recommended"].sum() == (0 if first[0] is None else 2)
    return first


@pytest.mark.parametrize(
    ("waste", "law"),
    [
        ({"parametric": [1.0, 1.2, 0.9], "isoflop": [6.0, 7.0, 6.5]}, "parametric"),
        ({"parametric": [6.0, 7.0, 6.5], "isoflop": [1.0, 1.2, 0.9]}, "isoflop"),
        ({"parametric": [6.0, 7.0], "isoflop": [5.0, 7.0], "envelope": [1.0, 1.2]}, "envelope"),
    ],
)
def test_the_line_that_wastes_least_on_held_out_budgets_is_recommended(
    waste: dict[str, list[float]], law: str
) -> None:
    laws = {name: line(1e9) for name in waste}
    line_chosen, sentence = chosen(family(steps(**waste), **laws))
    assert line_chosen == law
    assert "shared steps of the held-out ladder" in sentence
    assert "a tie" not in sentence


def test_evidence_goes_before_a_warning() -> None:
    ladder = steps(parametric=[0.5, 0.6, 0.4], isoflop=[9.0, 8.0, 9.5])
    evidence = family(ladder, parametric=line(1e9, status="warning"), isoflop=line(1.2e9))
    assert chosen(evidence)[0] == "parametric"


def test_only_shared_steps_count() -> None:
    """The step that isoFLOP could not take would have cost the parametric line its lead."""
    ladder = steps(parametric=[50.0, 1.0, 1.1], isoflop=[math.nan, 5.0, 5.2])
    law, sentence = chosen(family(ladder, parametric=line(1e9), isoflop=line(1.2e9)))
    assert law == "parametric"
    assert "On 2 shared steps" in sentence
    assert "wastes 1.1 % of compute" in sentence
    table, _ = decided({"ash": family(ladder, parametric=line(1e9), isoflop=line(1.2e9))}, TARGETS,
                      LABELS)  # fmt: skip
    assert table["held_out_steps"].tolist() == [2, 2, 2, 2]
    assert table["held_out_wasted_percent"].tolist() == pytest.approx([1.05, 5.1] * 2)


def test_a_law_with_too_few_steps_does_not_keep_others_from_being_compared() -> None:
    ladder = steps(
        parametric=[9.0, 9.5, 9.2], isoflop=[1.0, 1.1, 0.9], envelope=[math.nan, 0.1, 0.1]
    )
    ladder["tables"]["steps"].loc[7, "wasted_percent"] = math.nan
    lines = {law: line(1e9) for law in LAWS}
    law, sentence = chosen(family(ladder, **lines))
    assert law == "isoflop"
    assert "3 shared steps" in sentence


@pytest.mark.parametrize(
    ("waste", "statuses", "runs", "law", "reason"),
    [
        # Within the noise of the difference: 2.0 on average, its standard error 2.5.
        (([6.0, 1.0, 5.0], [1.0, 4.0, 1.0]), ("converged", "converged"), (90, 90), "parametric",
         "uses all of them"),
        # Within a percent of compute, though without noise.
        (([1.9, 1.9, 1.9], [1.0, 1.0, 1.0]), ("converged", "converged"), (120, 90), "parametric",
         "rests on more runs (120 against 90)"),
        (([1.9, 1.9, 1.9], [1.0, 1.0, 1.0]), ("converged", "converged"), (80, 90), "isoflop",
         "rests on more runs (90 against 80)"),
        (([1.9, 1.9, 1.9], [1.0, 1.0, 1.0]), ("warning", "converged"), (120, 90), "isoflop",
         "it has no warning"),
    ],
)  # fmt: skip
def test_a_tie_goes_by_warnings_then_runs_then_law(
    waste: tuple[list[float], list[float]],
    statuses: tuple[str, str],
    runs: tuple[int, int],
    law: str,
    reason: str,
) -> None:
    laws = ("parametric", "isoflop")
    ladder = steps(**dict(zip(laws, waste, strict=True)))
    lines = {name: line(1e9, status=s) for name, s in zip(laws, statuses, strict=True)}
    line_chosen, sentence = chosen(family(ladder, runs=dict(zip(laws, runs, strict=True)), **lines))
    assert line_chosen == law
    assert "a tie" in sentence
    assert reason in sentence


@pytest.mark.parametrize(("beyond", "first"), [(30.0, "parabola"), (0.9, "window")])
def test_a_tie_beyond_the_runs_goes_to_a_line_that_has_a_forecast(
    beyond: float, first: str
) -> None:
    """A reading without a warning was followed, 30 times beyond the runs, without a forecast."""
    common = {"law": "isoflop", "params": 1e9, "params_lo95": 8e8, "params_hi95": 1.2e9,
              "runs": 48.0, "extrapolation": beyond}  # fmt: skip
    lines = pd.DataFrame(
        [
            {**common, "estimator": "parabola", "label": "", "main": True, "status": "warning",
             "forecast_params": 1e9, "forecast_loss": 2.0},
            {**common, "estimator": "window", "label": "near the bottom", "main": False,
             "status": "converged"},
        ]
    )  # fmt: skip
    ladder = steps(isoflop__parabola=[0.3, 0.2, 0.3], isoflop__window=[0.2, 0.3, 0.2])
    made = choose(lines, {"ladder": ladder})  # type: ignore[dict-item]
    assert lines.loc[made.line, "estimator"] == first
    assert ("it has a forecast beyond the runs" in made.why) is (beyond > 1)


@pytest.mark.parametrize(
    "ladder",
    [
        [],
        [steps(parametric=[1.0], isoflop=[9.0])],
        [{"audit": "ladder", "verdict": "warned", "tables": {}}],
    ],
)
@pytest.mark.parametrize(
    ("parametric", "isoflop", "law"),
    [("converged", "converged", "parametric"), ("warning", "converged", "isoflop"),
     ("warning", "warning", "parametric"), ("failed", "warning", "isoflop")],
)  # fmt: skip
def test_without_held_out_steps_a_law_without_a_warning_goes_first(
    ladder: list[dict[str, Any]], parametric: str, isoflop: str, law: str
) -> None:
    evidence = family(
        *ladder, isoflop=line(1e9, status=isoflop), parametric=line(1e9, status=parametric)
    )
    line_chosen, sentence = chosen(evidence)
    assert line_chosen == law
    assert ("evidence cannot choose" in sentence) == (parametric != "failed")


def test_a_refused_surface_bars_its_line_and_the_price_of_others() -> None:
    ladder = steps(parametric=[0.1, 0.1, 0.1], isoflop=[9.0, 9.1, 9.0], envelope=[20.0, 21.0, 22.0])
    evidence = family(ladder, REFUSAL, **{law: line(1e9) for law in LAWS})
    table, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    assert set(table.loc[table["recommended"], "law"]) == {"isoflop"}
    assert "refused" in verdict["choices"][0]["sentence"]
    assert table["cost_percent"].isna().all()
    assert "is not known" in verdict["agreement"][0]["sentence"]
    assert table.loc[table["law"] == "parametric", "refused"].all()


def test_a_refused_surface_alone_leaves_nothing_to_recommend() -> None:
    law, sentence = chosen(family(REFUSAL, parametric=line(1e9)))
    assert law is None
    assert "refused" in sentence


def test_one_law_is_recommended_for_want_of_others() -> None:
    law, sentence = chosen(family(parametric=line(1e9)))
    assert law == "parametric"
    assert "only candidate" in sentence
    _, verdict = decided({"ash": family(parametric=line(1e9))}, TARGETS, LABELS)
    assert verdict["agreement"][0]["overlap"] is None


def test_a_variant_that_only_shows_what_a_law_hangs_on_is_never_recommended() -> None:
    ladder = steps(
        isoflop=[5.0, 5.0, 5.0], isoflop__unweighted=[0.1, 0.1, 0.1], parametric=[9.0, 9.9, 9.0]
    )
    lines = {"isoflop": [line(1e9), line(2e9, name="unweighted")], "parametric": line(1e9)}
    table, verdict = decided({"ash": family(ladder, **lines)}, TARGETS, LABELS)
    assert table.loc[table["recommended"], "estimator"].tolist() == ["parabola", "parabola"]
    assert table.loc[table["estimator"] == "unweighted", "held_out_steps"].tolist() == [3, 3]
    assert verdict["agreement"][0]["params_ratio"] == 1.0


@pytest.mark.parametrize("held_out", [True, False])
def test_another_reading_is_recommended_where_it_was_held_out(held_out: bool) -> None:
    waste = {"isoflop": [5.0, 5.0, 5.0], "parametric": [9.0, 9.9, 9.0]}
    ladder = steps(**waste, **({"isoflop__cubic": [0.1, 0.1, 0.1]} if held_out else {}))
    lines = {"isoflop": [line(1e9), line(2e9, name="cubic")], "parametric": line(1e9)}
    table, _ = decided({"ash": family(ladder, **lines)}, TARGETS, LABELS)
    best = "cubic" if held_out else "parabola"
    assert table.loc[table["recommended"], "estimator"].tolist() == [best, best]


def test_a_variant_that_mends_a_bias_may_be_recommended() -> None:
    ladder = steps(isoflop=[5.0, 5.0, 5.0], isoflop__corrected=[0.1, 0.1, 0.1])
    evidence = family(ladder, isoflop=[line(1e9), line(2e9, name="corrected")])
    table, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    assert table.loc[table["recommended"], "estimator"].tolist() == ["corrected", "corrected"]
    assert verdict["headline"]["params"]["point"] == 2e9


def test_a_ladder_may_call_the_main_line_by_another_name() -> None:
    ladder = steps(envelope__frontier=[1.0, 1.1], isoflop__parabola=[9.0, 9.1])
    evidence = family(ladder, envelope=[line(1e9), line(2e9, name="hull")], isoflop=line(1e9))
    table, _ = decided({"ash": evidence}, TARGETS, LABELS)
    assert table.loc[table["recommended"], "estimator"].tolist() == ["bins", "bins"]
    by_name = table[table["budget_flops"] == TARGETS[0]].set_index("estimator")["held_out_steps"]
    assert by_name.to_dict() == {"bins": 2, "hull": 0, "parabola": 2}


def test_a_line_is_held_against_another_law_not_against_its_own_variant() -> None:
    ladder = steps(
        isoflop=[1.0, 1.0, 1.0], isoflop__corrected=[1.1, 1.1, 1.1], parametric=[9.0, 9.1, 9.2]
    )
    lines = [line(1e9), line(2e9, name="corrected")]
    evidence = family(ladder, isoflop=lines, parametric=line(3e9))
    _, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    choice = verdict["choices"][0]
    assert (choice["basis"], choice["estimator"]) == ("held_out", "parabola")
    assert "The runner-up, the parametric line, says 3B params" in choice["sentence"]


def test_losses_that_tell_tied_sizes_apart_are_what_decided() -> None:
    ladder = steps(parametric=[0.03, 0.02, 0.03], isoflop=[0.02, 0.03, 0.02])
    table = ladder["tables"]["steps"]
    off = np.where(table["law"] == "parametric", 0.1, 2.0)
    ladder["tables"]["steps"] = table.assign(bottom_error_percent=off)
    _, verdict = decided(
        {"ash": family(ladder, parametric=line(1e9), isoflop=line(1e9))}, TARGETS, LABELS
    )
    choice = verdict["choices"][0]
    assert (choice["basis"], choice["law"]) == ("held_out_loss", "parametric")
    assert "a tie in the size" in choice["short"]


@pytest.mark.parametrize(
    ("baseline", "words"),
    [([0.4, 0.6], "less than any of these lines did, 0.50 %"),
     ([1.4, 1.4], "would have wasted less, 1.4 %"), ([9.0, 9.0], ""),
     ([0.1, math.nan], "")],
)  # fmt: skip
def test_a_baseline_that_wastes_less_is_told(baseline: list[float], words: str) -> None:
    ladder = steps(parametric=[1.5, 1.5], isoflop=[1.0, 1.0], baseline__best_run=baseline)
    runs = {"parametric": 120}
    law, why = chosen(family(ladder, runs=runs, parametric=line(1e9), isoflop=line(1e9)))
    assert law == "parametric"
    assert words in why
    assert ("best run so far" in why) == bool(words)


def test_the_runner_up_says_its_numbers() -> None:
    ladder = steps(parametric=[1.0, 1.2, 0.9], isoflop=[6.0, 7.0, 6.5])
    evidence = family(ladder, parametric=line(1e9), isoflop=line(1.5e9, loss=2.1))
    _, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    assert verdict["choices"][0]["sentence"].endswith(
        "The runner-up, the isoFLOP line, says 1.5B params on 11.1B tokens and a loss of 2.100."
    )


def test_following_another_line_costs_what_the_surface_says() -> None:
    """N off by a factor of 2, worked out by the budget that reaches the same loss at its best."""
    evidence = family(parametric=line(1e9), isoflop=line(2e9), envelope=line(1e9))
    table, verdict = decided({"ash": evidence}, TARGETS, LABELS, AuditOptions(price_per_flop=1e-18))
    by_law = table[table["budget_flops"] == TARGETS[1]].set_index("law")
    best = float(BESIROGLU.params_opt(1e21))
    # The budget that reaches, at its own best size, the loss that twice the best size reaches.
    loss = float(BESIROGLU.loss(2 * best, 1e21 / 12 / best))
    low, high = 1e20, 1e21
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if float(BESIROGLU.loss_opt(middle)) > loss else (low, middle)
    assert by_law.loc["isoflop", "cost_percent"] == pytest.approx(100 * (1 - low / 1e21), rel=1e-9)
    assert by_law.loc["parametric", "cost_percent"] == 0
    assert by_law.loc["isoflop", "cost_money"] == pytest.approx(
        by_law.loc["isoflop", "cost_percent"] / 100 * 1e3
    )
    sentence = verdict["agreement"][1]["sentence"]
    assert "the isoFLOP line 16 % (1.57e20 FLOPs, 157 in money)" in sentence
    assert "the envelope line less than 0.01 %" in sentence


def test_a_line_that_does_not_spend_the_budget_is_told() -> None:
    evidence = family(parametric=line(1e9), isoflop=line(1e9, flops=0.92))
    _, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    assert "6ND/C is 0.920 for the isoFLOP line" in verdict["agreement"][0]["sentence"]
    evidence = family(parametric=line(1e9), isoflop=line(1e9, flops=0.99))
    _, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    assert "6ND/C is 1 within 2 %" in verdict["agreement"][0]["sentence"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (line(3e9), "intervals of N and D overlap"),
        (line(1e9, loss=4.0), "loss between 2.000 and 4.000; not all of their 95 %"),
    ],
)
def test_disagreement_is_said(other: Estimator, words: str) -> None:
    _, verdict = decided({"ash": family(isoflop=other, parametric=line(1e9))}, TARGETS, LABELS)
    assert verdict["agreement"][0]["overlap"] is False
    assert words in verdict["agreement"][0]["sentence"]


def test_agreement_holds_main_lines_against_each_other() -> None:
    evidence = family(isoflop=[line(1.1e9), line(9e9, name="cubic")], parametric=line(1e9))
    table, verdict = decided({"ash": evidence}, TARGETS, LABELS)
    assert table["extrapolation"].tolist() == pytest.approx([10] * 3 + [100] * 3)
    assert verdict["agreement"][0]["params_ratio"] == pytest.approx(1.1)
    assert verdict["agreement"][0]["overlap"] is True


def wide(params: float, ratio: float) -> Estimator:
    """A line whose 95 % intervals of N and D reach `ratio` to both sides."""

    def reach(x: float) -> Estimate:
        near = ratio**0.7
        return Estimate(x, x / near, x * near, x / ratio, x * ratio)

    made = line(params)
    targets = [
        replace(
            t, values=dict(t.values) | {q: reach(t.values[q].point) for q in ("params", "tokens")}
        )
        for t in made.targets
    ]
    return replace(made, targets=targets)


def test_laws_far_apart_do_not_agree_because_an_interval_is_wide() -> None:
    """1.6 apart in N, one interval five times wide: they were said to agree."""
    known = family(isoflop=wide(1.6e9, 5.0**0.5), parametric=line(1e9))
    _, verdict = decided({"ash": known}, TARGETS, LABELS)
    agreement = verdict["agreement"][0]
    assert agreement["overlap"] is True
    assert agreement["agree"] is False
    assert "a factor of 1.60 (to follow the wrong one wastes up to 7.6 % of compute)" in agreement[
        "sentence"]  # fmt: skip
    assert (
        "they do not agree on N, and the data cannot tell which is right" in agreement["sentence"]
    )
    assert "by the isoFLOP line over a factor of 5.00" in agreement["sentence"]
    known = family(isoflop=line(1.2e9), parametric=line(1e9))
    _, verdict = decided({"ash": known}, TARGETS, LABELS)
    assert verdict["agreement"][0]["agree"] is True


def test_a_line_that_hardly_tells_the_size_says_so_in_the_headline() -> None:
    _, verdict = decided({"ash": family(parametric=wide(1e9, 2.5))}, TARGETS, LABELS)
    assert headline_lines(verdict, LABELS)[3:] == [
        "Reach: 10× the largest run's compute (1e19 FLOPs), a long extrapolation.",
        "Laws: only one law gives a number here, so nothing can be compared.",
        "Warning: the 95 % interval of N spans 6.25×, so these runs hardly tell the size.",
    ]
    sound = decided({"ash": family(parametric=line(1e9))}, TARGETS, LABELS)[1]
    assert sound["headline"] is not None
    assert sound["headline"]["warnings"] == ""


def test_a_line_that_is_not_barred_may_still_hardly_tell_the_size() -> None:
    """Were they the same number, `warnings` could never be said: such a line is not followed."""
    assert WIDE < WIDEST_FACTOR


def test_a_condition_number_of_millions_is_said_in_the_headline() -> None:
    known = family(parametric=line(1e9))
    known.fits["parametric"]["certificate"] = {"condition": 3.2e6}  # type: ignore[index]
    _, verdict = decided({"ash": known}, TARGETS, LABELS)
    assert "trade off all but freely (condition number 3.2e+06)" in headline_lines(
        verdict, LABELS)[-1]  # fmt: skip


@pytest.mark.parametrize(("widest", "up_to"), [(1.2, 1e19), (1e3, 0.0)])
def test_runs_speak_up_to_their_own_compute_only_where_they_bear_a_line_there(
    widest: float, up_to: float
) -> None:
    wide = Estimate(1e9, 5e8, 2e9, 1e8, 1e10)
    made = line(1e9)
    targets = [replace(t, values={**t.values, "params": wide}) for t in made.targets]
    known = family(parametric=replace(made, targets=targets))
    terms = {**constants_of(BESIROGLU), "A": BESIROGLU.A * np.geomspace(1, widest, 50)}
    losses = {target_column(q, c): 2.0 for q in ("loss", "loss_new_run") for c in TARGETS}
    draws = pd.DataFrame({**terms, **losses})
    _, verdict = decided({"ash": replace(known, draws={"parametric": draws})}, TARGETS, LABELS)
    assert [silent["up_to_flops"] for silent in verdict["silent"]] == [up_to] * len(TARGETS)


def test_a_target_so_far_that_its_loss_is_no_bet_is_said_in_the_headline() -> None:
    """Of late floors 95 % forecasts held half at 100 times the runs, and no word said so."""
    known = {"ash": family(parametric=line(1e9))}
    for times, words in (
        (29, ""),
        (99, "the target has 99× the compute of the largest run, and a floor or a bend"),
        (300, "the target has 300× the compute of the largest run, farther than the 100×"),
    ):
        largest = TARGETS[0] / times
        spans = {"ash": replace(ANYTHING, largest_flops=largest)}
        _, verdict = decide(known, TARGETS, LABELS, spans)
        assert verdict["headline"] is not None
        assert verdict["headline"]["warnings"].startswith(words)
        assert bool(verdict["headline"]["warnings"]) is bool(words)
        assert verdict["headline"]["warnings"].endswith("no number to bet on" * bool(words))
        assert ("Warning: the target has" in "\n".join(headline_lines(verdict, LABELS))) is bool(
            words
        )


def test_runs_that_refute_another_law_are_said_beside_the_line_that_is_followed() -> None:
    """The law of compute predicted the same loss, and nothing was said beside it."""
    row = {"law": "parametric", "estimator": "log_huber", "of": "this run", "inside95": "no"}
    row |= {"flops": TARGETS[0], "error_percent": -4.7}
    found = {"audit": "held_out", "verdict": "refuted"}
    held = found | {"tables": {"predictions": pd.DataFrame([row] * 3)}}
    known = family(held, parametric=line(1e9, 2.01), isoflop=line(1e9, 2.0))
    _, verdict = decided({"ash": known}, TARGETS, LABELS)
    head = verdict["headline"]
    assert head is not None
    assert head["law"] == "isoflop"
    assert head["warnings"] == (
        "the 3 runs held out near the target refute the parametric law (0 of 3 inside its 95 %, "
        "4.7 % too low on average), and do not bar this line, which predicts a loss of 2.000 where "
        "the parametric law predicts 2.010"
    )
    assert f"Warning: {head['warnings']}." in headline_lines(verdict, LABELS)


def test_a_target_below_all_runs_is_said_in_the_headline() -> None:
    span = replace(ANYTHING, smallest_flops=1e23, largest_flops=1e24)
    known = {"ash": family(parametric=line(1e9))}
    table, verdict = decide(known, TARGETS, LABELS, {"ash": span})
    assert table["below_data"].tolist() == pytest.approx([1000, 100])
    assert "below the smallest run" in headline_lines(verdict, LABELS)[3]


def test_lines_that_spend_the_budget_by_the_studys_count_are_said_to() -> None:
    known = family(parametric=line(1e9, flops=0.6))
    known.fits["parametric"]["certificate"] = {"count": "so"}  # type: ignore[index]
    _, verdict = decided({"ash": known}, TARGETS, LABELS)
    assert "N and D spend the budget as the study counts FLOPs" in verdict["agreement"][0][
        "sentence"]  # fmt: skip


def test_numbers_of_a_failed_fit_are_not_shown() -> None:
    table, verdict = decided({"ash": family(isoflop=line(1e9, status="failed"))}, TARGETS, LABELS)
    assert table["params"].isna().all()
    assert not table["recommended"].any()
    assert verdict["headline"] is None
    assert headline_lines(verdict, {})[0] == "No law could be fitted: the report says why."


def bare(made: Estimator) -> Estimator:
    """The same line without an interval."""
    targets = [
        replace(t, values={q: Estimate(e.point) for q, e in t.values.items()}) for t in made.targets
    ]
    return replace(made, targets=targets)


def test_a_line_without_an_interval_is_never_recommended() -> None:
    ladder = steps(parametric=[0.1, 0.1, 0.1], isoflop=[9.0, 9.0, 9.0])
    law, sentence = chosen(family(ladder, parametric=bare(line(1e9)), isoflop=line(2e9)))
    assert law == "isoflop"
    assert "The parametric line is not followed: it has no interval" in sentence


def test_where_no_line_has_an_interval_none_is_recommended_and_the_terminal_says_why() -> None:
    evidence = family(parametric=bare(line(1e9)))
    table, verdict = decided({"ash": evidence}, TARGETS, {"ash": "Ash"})
    assert not table["recommended"].any()
    assert verdict["headline"] is None
    [sentence] = headline_lines(verdict, {"ash": "Ash"})
    assert "the parametric line is not followed since it has no interval" in sentence


def test_headline_is_the_family_of_lowest_loss() -> None:
    evidence = {
        "ash": family(parametric=line(1e9, loss=2.1)),
        "birch": family(parametric=line(2e9, loss=2.0)),
    }
    _, verdict = decided(evidence, TARGETS, LABELS)
    assert headline_lines(verdict, LABELS) == [
        "At 1e20 FLOPs (Birch, parametric law) train 2B [1.6B, 2.4B] parameters",
        "on 8.33B [6.67B, 10B] tokens (4.17 [3.33, 5] per parameter)",
        "and expect a loss of 2.000 [1.600, 2.400]; brackets are 95 % intervals if the law holds.",
        "Reach: 10× the largest run's compute (1e19 FLOPs), a long extrapolation.",
        "Laws: only one law gives a number here, so nothing can be compared.",
        verdict["families"][0]["sentence"],
    ]


def test_the_terminal_says_how_far_laws_are_apart_and_of_which_split_the_loss_is() -> None:
    """The page warned of both, the terminal of neither."""
    known = {"ash": family(parametric=line(1e9, 2.0), isoflop=line(3e9, 2.1))}
    spans = {"ash": ANYTHING}
    _, verdict = decide(known, TARGETS, LABELS, spans, loss_split="train")
    lines = headline_lines(verdict, LABELS)
    assert "Laws: they do not agree, N within a factor of 3.00 and the loss within 5.0 %." in lines
    assert lines[2].startswith("and expect a training loss of 2.")
    assert len(lines) <= 6


@pytest.mark.parametrize(
    ("params", "loss", "sentence"),
    [
        (1.03e9, 2.022, "agree on N but not on the loss, N within a factor of 1.03 and the loss"),
        (3e9, 2.0, "agree on the loss but not on N, N within a factor of 3.00 and the loss"),
        (1.03e9, 2.0, "agree, N within a factor of 1.03 and the loss"),
    ],
)
def test_the_terminal_says_what_the_laws_do_not_agree_on(
    params: float, loss: float, sentence: str
) -> None:
    """It said: they do not agree, N within a factor of 1.03 and the loss within 1.1 %."""
    known = {"ash": family(parametric=line(1e9, 2.0), isoflop=line(params, loss))}
    _, verdict = decided(known, TARGETS, LABELS)
    (laws,) = [text for text in headline_lines(verdict, LABELS) if text.startswith("Laws: ")]
    assert laws.startswith(f"Laws: they {sentence} within ")
    full = verdict["agreement"][0]["sentence"]
    assert ("they do not agree on the loss, and" in full) is (loss > 2.02)


def test_laws_beside_each_other_with_narrow_intervals_are_not_said_to_disagree() -> None:
    """It said: they do not agree, N within a factor of 1.01."""
    narrow = {"ash": family(parametric=line(1e9, 2.0), isoflop=line(1.01e9, 2.0))}
    _, verdict = decided(narrow, TARGETS, LABELS)
    verdict["agreement"][0] |= {"params_ratio": 1.01, "loss_ratio": 1.0, "agree": False}
    (sentence,) = [text for text in headline_lines(verdict, LABELS) if text.startswith("Laws: ")]
    assert sentence == (
        "Laws: N within a factor of 1.01 and the loss within 0.0 %, though not all of their 95 % "
        "intervals overlap."
    )


def test_the_loss_of_a_law_is_of_the_split_that_it_is_fitted_to() -> None:
    """The envelope's training loss stood as validation loss in tables and CSV."""
    known = family(parametric=line(1e9), envelope=line(1e9))
    known.fits["envelope"]["settings"] = {"split": "train"}  # type: ignore[index]
    table, verdict = decide({"ash": known}, TARGETS, LABELS, {"ash": ANYTHING}, loss_split="val")
    assert dict(zip(table["law"], table["loss_split"], strict=True)) == {
        "envelope": "train", "parametric": "val"}  # fmt: skip
    assert verdict["headline"] is not None
    assert verdict["headline"]["loss_split"] == "val"


def test_families_are_compared_by_a_law_they_share() -> None:
    """Ash's recommended line has the lower loss, but by the law of both Birch does."""
    ladder = steps(parametric=[9.0, 9.5, 9.2], isoflop=[1.0, 1.1, 0.9])
    evidence = {
        "ash": family(ladder, parametric=line(1e9, loss=2.2), isoflop=line(1e9, loss=1.9)),
        "birch": family(parametric=line(1e9, loss=2.0), isoflop=line(1e9, status="failed")),
    }
    _, verdict = decided(evidence, TARGETS, LABELS)
    entry = verdict["families"][0]
    assert (entry["winner"], entry["law"]) == ("birch", "parametric")
    assert verdict["headline"]["family"] == "birch"
    assert "overlap with Ash's 2.200 (by the same law), which needs" in entry["sentence"]


def test_the_forecast_of_a_line_stands_before_what_its_law_says() -> None:
    """The number to bet on comes first, in the table as on the page."""
    table, _ = decided({"ash": family(parametric=line(1e9))}, TARGETS, LABELS)
    names = list(table)
    assert names.index("forecast_params") < names.index("params")
    assert names.index("forecast_loss") < names.index("loss")
    assert names.index("recommended") < names.index("forecast_params")


def test_families_are_ranked_by_the_loss_that_the_headline_states() -> None:
    """The winner by its law needed 0.82 times the compute of the other by their forecasts."""
    evidence = {
        "ash": family(parametric=line(1e9, 2.0)),
        "birch": family(parametric=line(1e9, 2.1)),
    }
    table, _ = decided(evidence, TARGETS, LABELS)
    ends = {"": 1.0, "_lo95": 0.95, "_hi95": 1.05, "_lo80": 0.97, "_hi80": 1.03}
    for end, factor in ends.items():
        of_law = table["family"].map({"ash": 2.04, "birch": 2.02})
        table[f"forecast_loss{end}"] = of_law * factor
    entry = between(table[table["budget_flops"] == TARGETS[0]], TARGETS[0], LABELS, evidence)
    assert entry is not None
    assert entry["winner"] == "birch"
    assert (
        "Birch reaches the lowest loss, 2.020 as forecast by the parametric law" in entry["short"]
    )
    assert "The 95 % forecasts of the loss overlap with Ash's 2.040" in entry["sentence"]


def test_families_without_a_law_in_common_are_compared_with_caution() -> None:
    evidence = {
        "ash": family(isoflop=line(1e9, loss=2.1)),
        "birch": family(parametric=line(2e9, loss=2.0)),
    }
    _, verdict = decided(evidence, TARGETS, LABELS)
    assert verdict["families"][0]["winner"] == "birch"
    assert "with caution" in verdict["families"][0]["sentence"]


def stated(surface: LossSurface, budget: float) -> dict[str, Any]:
    """The parametric fit that found `surface`, and its loss at `budget` [FLOPs]."""
    at = {"budget_flops": budget, "loss": {"point": float(surface.loss_opt(budget))}}
    return surface_json(surface) | {"targets": [at]}


def test_the_compute_that_a_worse_family_needs_reaches_the_same_loss() -> None:
    best, worse = BESIROGLU, replace(BESIROGLU, E=1.85, A=500.0)
    drawn = replace(per_draw(BESIROGLU, 101), E=np.linspace(1.8, 1.84, 101))
    best_draws = pd.DataFrame({target_column("loss", 1e21): drawn.loss_opt([1e21])[:, 0]})
    other_draws = pd.DataFrame(constants_of(worse), index=range(101))
    times = multiplier(
        LawResults(stated(best, 1e21), best_draws, {}),
        LawResults(stated(worse, 1e21), other_draws, {}),
        1e21,
    )
    assert float(worse.loss_opt(1e21 * times["point"])) == pytest.approx(
        float(best.loss_opt(1e21)), rel=1e-12
    )
    # The loss of the best is lowest, and the compute for it highest, where its floor is.
    for end, e in (("lo95", 1.839), ("hi95", 1.801)):
        at = float(replace(BESIROGLU, E=e).loss_opt(1e21))
        assert float(worse.loss_opt(1e21 * times[end])) == pytest.approx(at, abs=5e-4)


def test_a_loss_below_the_other_familys_floor_takes_endless_compute() -> None:
    fit, other = (
        LawResults(stated(replace(BESIROGLU, E=e), 1e21), pd.DataFrame(), {}) for e in (1.5, 2.5)
    )
    assert multiplier(fit, other, 1e21)["point"] == math.inf
    evidence = {
        "ash": family(parametric=line(1e9, loss=2.0)),
        "birch": family(parametric=line(1e9, loss=1.7)),
    }
    _, verdict = decided(evidence, TARGETS, LABELS)
    assert "never comes down to that loss" in verdict["families"][0]["sentence"]
    assert verdict["families"][0]["others"][0]["multiplier"]["point"] is None


def test_without_a_surface_a_wrong_size_has_no_price() -> None:
    assert np.isnan(cost_percent(pd.Series([1.0, 2.0]), 1.0, None, 1e21)).all()


percent = st.one_of(st.just(math.nan), st.floats(0.0, 50.0))


@settings(max_examples=25)
@given(
    waste=st.fixed_dictionaries({law: st.lists(percent, max_size=5) for law in LAWS}),
    status=st.fixed_dictionaries(
        {law: st.sampled_from(["converged", "warning", "failed"]) for law in LAWS}
    ),
    refuse=st.booleans(),
    laws=st.permutations(LAWS),
)
def test_the_rule_holds_for_any_evidence(
    waste: dict[str, list[float]], status: dict[str, str], refuse: bool, laws: list[str]
) -> None:
    findings = [steps(**waste), *([REFUSAL] if refuse else [])]
    if not any(waste.values()):
        findings = findings[1:]
    evidence = family(*findings, **{law: line(1e9, status=status[law]) for law in laws})
    law, sentence = chosen(evidence)
    allowed = [
        name for name in LAWS
        if status[name] != "failed" and not (refuse and name == "parametric")
    ]  # fmt: skip
    assert (law is None) == (not allowed)
    assert sentence
    if law is None:
        return
    assert law in allowed
    again, same = chosen(family(*findings, **{n: line(1e9, status=status[n]) for n in LAWS}))
    assert (again, same) == (law, sentence)
    table = pd.DataFrame({name: pd.Series(waste[name], dtype=float) for name in allowed})
    shared = table.dropna()
    if len(shared) >= FEWEST_STEPS and len(allowed) >= 2:
        # Nothing is chosen over a line that beats it by more than noise and than a percent.
        gaps = shared.rsub(shared[law], axis=0)
        noise = gaps.std(ddof=1) / math.sqrt(len(gaps))
        best = shared.mean().idxmin()
        assert gaps[best].mean() <= max(noise[best], TIE_PERCENT) + 1e-9


def test_an_order_of_families_that_turns_between_targets_is_told() -> None:
    """At 1e20 one family led, at 1e21 the other, and the terminal named the first alone."""
    evidence = {name: family(parametric=line(1e9, 2.0)) for name in ("ash", "birch")}
    _, verdict = decided(evidence, TARGETS, LABELS)
    assert order_turns(verdict, LABELS) == ""
    entries = [
        {**verdict["families"][0], "budget_flops": budget, "winner": winner}
        for budget, winner in ((1e21, "birch"), (1e20, "ash"), (1e22, "birch"), (1e23, None))
    ]
    turned: Any = {**verdict, "families": entries}
    sentence = (
        "The order of the families turns between 1e20 and 1e21 FLOPs: Ash leads at 1e20, Birch at "
        "1e21."
    )
    assert order_turns(turned, LABELS) == sentence
    assert sentence in headline_lines(turned, LABELS)


def test_results_that_do_not_answer_the_study_as_it_is_now_say_so() -> None:
    """`flopline next` said that no law could be used, where the file had another target since."""
    table, verdict = decided({"ash": family(parametric=line(1e9))}, TARGETS, LABELS)
    split = str(table["loss_split"].iloc[0])
    document: Any = {"targets": [TARGETS[0]], "laws": ["parametric"], "loss_split": split}
    assert changed_since(document, verdict, table) == ""
    asked = {**document, "targets": [3e25]}
    assert changed_since(asked, verdict, table) == "they have no target of 3e25 FLOPs"
    table["loss_split"] = "val"
    assert "not train" in changed_since({**document, "loss_split": "train"}, verdict, table)
