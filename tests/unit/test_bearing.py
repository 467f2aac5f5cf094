"""What the runs cannot bear is not recommended, and the reason is said in one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flopline.agreement import too_wide
from flopline.audit import ladder
from flopline.audit.audit_options import AuditOptions
from flopline.bearing import (
    Span,
    apart,
    barred,
    borne_up_to,
    bounds_of,
    failing_forecasts,
    misfits,
    refuted,
    silence,
    silence_at,
    span_of,
)
from flopline.decision import decide
from flopline.decision_lines import headline_lines
from flopline.numbers import interval
from flopline.options import StudyOptions
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.decisions import ANYTHING, TARGETS, family, line, steps
from tests.builders.designs import isoflop_runs
from tests.builders.surfaces import BESIROGLU, published_surface

SOUND = {
    "law": "parametric",
    "estimator": "log_huber",
    "label": "log_huber",
    "main": True,
    "status": "converged",
    "budget_flops": 1e22,
    "params": 1e10,
    "params_lo95": 0.8e10,
    "params_hi95": 1.25e10,
    "tokens_per_param": 20.0,
    "a": 0.5,
    "b": 0.5,
}
SPAN = Span((5.0, 100.0), 1e21)


def lines(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([SOUND | change for change in changes])


def reason(change: dict[str, object], span: Span = SPAN, **more: object) -> str:
    known = more.get("bounds", {}), more.get("held"), more.get("failing")
    return str(barred(lines(change), span, *known)[0])  # type: ignore[arg-type]


def held_out(errors: list[float], inside: str = "no", **changes: object) -> pd.DataFrame:
    row = {"law": "parametric", "estimator": "log_huber", "of": "this run", "flops": 1e22}
    rows = [row | {"error_percent": e, "inside95": inside} | changes for e in errors]
    return pd.DataFrame(rows)


def test_a_sound_line_is_borne() -> None:
    assert reason({}) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params_lo95": np.nan, "params_hi95": np.nan}, "no interval"),
        ({"params_lo95": 1e9, "params_hi95": 1.1e10}, "from 1B to 11B, a factor of 11"),
        ({"tokens_per_param": 1.6}, "more than 3 times outside those of the runs, 5 to 100"),
        ({"tokens_per_param": 301.0}, "more than 3 times outside"),
    ],
)
def test_what_the_runs_do_not_bear_is_said(change: dict[str, object], words: str) -> None:
    assert words in reason(change)


@pytest.mark.parametrize(
    ("lowest", "budget", "wrong"), [(1.9, 1e22, True), (1.97, 1e22, False), (1.9, 1e20, False)]
)
def test_a_loss_for_more_compute_that_a_run_has_undercut_is_no_answer(
    lowest: float, budget: float, wrong: bool
) -> None:
    """Of a family whose largest runs diverged a law forecast 2.99 where runs had 2.85."""
    span = replace(SPAN, lowest=lowest)
    sentence = reason({"loss": 2.0, "budget_flops": budget}, span)
    assert bool(sentence) is wrong
    assert not wrong or sentence == (
        "its loss there, 2.000, lies above 1.900, which one of the runs has reached with less "
        "compute"
    )
    assert reason({"loss": 2.0, "budget_flops": budget, "loss_split": "train"}, span) == ""


def test_an_interval_without_width_is_no_certainty() -> None:
    """Runs without noise gave N to the last digit, as if that were known."""
    same = {"params_lo95": 1e10, "params_hi95": 1e10 * (1 + 1e-9)}
    assert "has no width, since the runs lie on the law to the last digits" in reason(same)
    assert reason(same | {"forecast_params": 1e10}) == "", "a ladder says how far laws stray"
    assert reason({"params_lo95": 1e10, "params_hi95": 1.001e10}) == ""
    assert interval(1e10, 1e10) == "no width"
    assert interval(0.0, 0.0) == "0 to 0"


def test_losses_that_are_all_the_same_say_nothing() -> None:
    runs = isoflop_runs(sizes=4).assign(loss=3.0)
    span = span_of(runs)
    assert span.rise == "the losses of all runs are the same, 3.000"
    silent = silence("ash", 1e23, lines({}), pd.Series([""]), span)
    assert silent["sentence"] == (
        "These runs do not say what to train at 1e23 FLOPs: the losses of all runs are the same, "
        "3.000. See that the column of the loss holds what each run has reached."
    )
    assert silent["up_to_flops"] == 0


@pytest.mark.parametrize("ratio", [1.7, 299.0])
def test_an_optimum_just_outside_the_runs_is_borne(ratio: float) -> None:
    assert reason({"tokens_per_param": ratio}) == ""


@pytest.mark.parametrize(("high", "hangs"), [(2.3e10, False), (2.5e10, True)])
def test_a_parameter_on_its_bound_bars_a_size_that_hangs_on_it(high: float, hangs: bool) -> None:
    bounds = {("parametric", "log_huber"): ["E"]}
    sentence = reason({"params_hi95": high}, bounds=bounds)
    assert ("E sits on the bound" in sentence) is hangs
    assert reason({"params_hi95": high, "estimator": "tied"}, bounds=bounds) == ""


def test_bounds_are_those_of_the_main_line_by_whatever_name_a_law_gives_it() -> None:
    results = family(parametric=[line(1e10, name="least"), line(2e10, name="tied")])
    for fit in results.fits.values():
        fit["certificate"], fit["settings"] = {"bounds": ["E", "alpha"]}, {}
    assert bounds_of(results) == {("parametric", "least"): ["E", "alpha"]}


@pytest.mark.parametrize(
    ("held", "wrong"),
    [
        (held_out([3.0, 2.9]), True),
        (held_out([3.0, 2.9], inside="yes"), False),
        (held_out([0.3, 0.4]), False),
        (held_out([3.0, 2.9], flops=1e19), False),
        (held_out([3.0, 2.9], estimator="tied"), False),
        (held_out([3.0, 2.9], inside="not judged"), True),
        (held_out([3.0, -2.9], inside="not judged"), False),
        (None, False),
    ],
)
def test_runs_held_out_near_the_target_refute(held: pd.DataFrame | None, wrong: bool) -> None:
    sentence = refuted(SOUND, held)
    assert bool(sentence) is wrong
    if wrong:
        assert "the 2 runs held out near the target refute it: " in sentence
        assert "too high on average" in sentence


def test_a_law_of_compute_is_refuted_by_a_run_that_beats_its_best_one() -> None:
    row = {"law": "isoflop", "estimator": "main", "of": "the best run of its compute"}
    row |= {"flops": 1e22, "inside95": "not judged", "lo95": 2.1}
    mine = SOUND | {"law": "isoflop", "estimator": "corrected"}
    for seen, error, wrong in ((2.04, 4.9, True), (2.09, 0.8, False), (2.6, -18.0, False)):
        held = pd.DataFrame([row | {"seen": seen, "error_percent": error}])
        assert bool(refuted(mine, held)) is wrong
        assert refuted(SOUND, held) == ""


@pytest.mark.parametrize(
    ("params", "flops", "seen", "wrong"),
    [
        (1.2e10, 0.8e22, 2.3, True),
        (1.2e10, 0.8e22, 2.09, False),  # in the forecast, moved to the target's compute
        (2e10, 1e22, 2.3, False),  # another size
        (1e10, 2e22, 2.3, False),  # another compute
    ],
)
def test_a_law_of_compute_is_refuted_by_runs_of_its_own_size_outside_its_forecast(
    params: float, flops: float, seen: float, wrong: bool
) -> None:
    """Three runs at the very size it recommends lay 4.9 % above its loss, and it was followed."""
    row = {"law": "isoflop", "estimator": "main", "of": "the best run of its compute"}
    row |= {"flops": flops, "params": params, "inside95": "not judged", "lo95": 1.9}
    error = 100 * (2.02 / seen - 1)
    held = pd.DataFrame([row | {"seen": seen, "predicted": 2.02, "error_percent": error}])
    forecast = {"forecast_loss_new_run_lo95": 1.9, "forecast_loss_new_run_hi95": 2.1}
    mine = SOUND | {"law": "isoflop", "estimator": "parabola", "loss": 2.0} | forecast
    assert bool(refuted(mine, held)) is wrong
    if wrong:
        assert (
            "0 of 1 of about its N inside the 95 % forecast of its loss, 12 % too low"
            in refuted(mine, held)
        )


def test_losses_that_rise_with_compute_bar_every_line() -> None:
    runs = isoflop_runs(seed=1)
    assert span_of(runs).rise == ""
    runs.loc[runs["flops"] >= runs["flops"].quantile(0.6), "loss"] = 8.0
    rise = span_of(runs).rise
    assert "the losses do not fall with compute" in rise
    assert reason({}, replace(SPAN, rise=rise)) == rise


def test_laws_that_nothing_tells_apart_say_no_size_together() -> None:
    far = lines({}, {"law": "isoflop", "estimator": "parabola", "params": 3.2e10})
    assert "between 10B and 32B" in apart(far, SPAN)
    assert apart(far, replace(SPAN, largest_flops=5e21)) == ""
    assert apart(lines({}, {"estimator": "log_squares", "main": False, "params": 4e10}), SPAN) == ""
    assert apart(lines({}, {"estimator": "tied", "main": False, "params": 4e10}), SPAN)


def test_a_form_that_the_runs_refute_tells_no_laws_apart() -> None:
    """Kaplan's form fits runs of Farseer ten times worse, and had refused a headline."""
    far = lines({}, {"estimator": "kaplan", "main": False, "params": 4e10})
    assert apart(far, SPAN)
    assert apart(far, SPAN, {("parametric", "kaplan")}) == ""
    known = family(parametric=line(1e9), runs={"parametric": 165})
    against = {"kaplan": 5.9, "tied": 0.004, "skaling": -0.05, "log_lad": np.nan}
    table = pd.DataFrame({"estimator": list(against), "against_main": list(against.values())})
    known = replace(known, tables={"parametric": {**known.tables["parametric"], "variants": table}})
    assert misfits(known) == {("parametric", "kaplan")}
    # A sixth less misfit refutes the others where the runs are many.
    table.loc[2, "against_main"] = -0.17
    assert misfits(known) == {("parametric", "kaplan"), ("parametric", "tied")}
    few = {**known.fits["parametric"], "n_runs": 8}
    assert misfits(replace(known, fits={"parametric": few})) == set()


def test_what_bars_several_laws_alike_is_said_once() -> None:
    table = lines({}, {"law": "isoflop", "estimator": "parabola"})
    reasons = pd.Series(["they lie apart"] * 2)
    sentence = silence("ash", 1e22, table, reasons, SPAN)["sentence"]
    assert "the parametric and isoFLOP lines are not followed since they lie apart." in sentence


def test_how_far_tokens_per_param_stay_within_reach() -> None:
    drifting = SOUND | {"tokens_per_param": 0.5, "a": 0.6, "b": 0.4}
    reach = borne_up_to(drifting, SPAN)
    ratio = 0.5 * (reach / 1e22) ** (0.4 - 0.6)
    assert ratio == pytest.approx(5.0 / 3.0)
    assert borne_up_to(SOUND, SPAN) == SPAN.largest_flops


def test_silence_says_why_how_far_and_what_would_help() -> None:
    table = lines({"params_lo95": 1e9, "params_hi95": 2e10})
    sentence = silence("ash", 1e22, table, barred(table, SPAN, {}, None), SPAN)["sentence"]
    assert sentence == (
        "These runs do not say what to train at 1e22 FLOPs: the parametric line is not followed "
        "since its 95 % interval of N goes from 1B to 20B, a factor of 20. What they say ends at "
        "about 1e21 FLOPs. Several sizes at budgets up to about 3.16e21 FLOPs, each budget with "
        "its optimum inside its grid, would tell."
    )


def test_runs_that_bear_no_line_at_their_own_compute_are_not_said_to_speak_up_to_there() -> None:
    """A size that hung on a bound did so within the runs, too, up to which they were to speak."""
    table = lines({"params_lo95": 1e9, "params_hi95": 2e10})
    silent = silence("ash", 1e22, table, barred(table, SPAN, {}, None), SPAN, within=False)
    assert silent["up_to_flops"] == 0
    assert "What they say ends" not in silent["sentence"]


def test_the_gate_of_the_size_reads_the_interval_that_is_stated() -> None:
    """It let a forecast of a factor of 14 pass, since the law's own interval had one of 7."""
    own = {"params_lo95": 1e9, "params_hi95": 7e9}
    assert barred(lines(own), SPAN, {}, None).tolist() == [""]
    ahead = own | {"forecast_params_lo95": 0.5e9, "forecast_params_hi95": 7e9}
    (why,) = barred(lines(ahead), SPAN, {}, None)
    assert why == "its 95 % forecast of N goes from 500M to 7B, a factor of 14"


def test_a_refusal_is_of_the_budget_that_is_asked() -> None:
    """With targets 1e25 and 1e21, 1e23 was refused for lying 333,333 times beyond the runs."""
    span = Span((10.0, 30.0), 3e19, smallest_flops=1e18)
    table = lines({}).assign(main=True)
    far = [silence("ash", flops, table, pd.Series([""]), span) for flops in (1e25, 1e10)]

    def refusal(flops: float, followed: tuple[float, ...] = (1e21,)) -> str:
        return silence_at("ash", flops, far, followed, span)

    assert refusal(1e23).startswith("These runs do not say what to train at 1e23 FLOPs: the target")
    assert "lies 3,333 times the compute of the largest run" in refusal(1e23)
    assert refusal(1e25) == far[0]["sentence"]
    # A target out of reach, on either side, bars no budget within it.
    assert [refusal(flops) for flops in (1e21, 3e21, 1e19)] == ["", "", ""]
    # Where no target has a line, the mend is a target.
    none = refusal(1e21, ())
    assert none.startswith("These runs do not say what to train at 1e21 FLOPs: no target of the")
    assert "(at 1e25 FLOPs the target lies 333,333 times" in none
    assert "Add this budget to `targets`" in none


def test_a_target_that_is_barred_bars_what_lies_beyond_what_the_runs_say() -> None:
    wide = {
        "family": "ash", "budget_flops": 1e22, "why": "N is wide", "up_to_flops": 1e21,
        "largest_flops": 1e21, "needed": "Runs would tell.", "sentence": "Its own.",
    }  # fmt: skip
    span = Span((10.0, 30.0), 1e21, smallest_flops=1e18)

    def refusal(flops: float, *followed: float) -> str:
        return silence_at("ash", flops, [wide], followed, span)

    assert refusal(5e21, 1e20) == (
        "These runs do not say what to train at 5e21 FLOPs: at 1e22 FLOPs, a target of the study, "
        "N is wide. What they say ends at about 1e21 FLOPs. Runs would tell."
    )
    assert refusal(1e22, 1e20) == "Its own."
    assert refusal(3e20, 1e20) == ""
    assert refusal(5e22, 1e23) == ""  # a line is followed farther on


def test_a_decision_without_a_line_to_follow_has_no_headline() -> None:
    labels = {"ash": "Ash", "elm": "Elm"}
    known = {name: family(steps(), parametric=line(1e9)) for name in labels}
    spans = {"ash": ANYTHING, "elm": replace(ANYTHING, tokens_per_param=(1e9, 1e10))}
    table, verdict = decide(known, TARGETS, labels, spans)
    assert verdict["headline"] is not None
    assert verdict["headline"]["family"] == "ash"
    assert [s["family"] for s in verdict["silent"]] == ["elm", "elm"]
    assert headline_lines(verdict, labels)[-1].startswith("Elm: These runs do not say")
    assert not table.loc[table["family"] == "elm", "recommended"].any()
    only = {"elm": spans["elm"]}
    _, verdict = decide({"elm": known["elm"]}, TARGETS, {"elm": "Elm"}, only)
    assert verdict["headline"] is None
    assert headline_lines(verdict, {"elm": "Elm"}) == [verdict["silent"][0]["sentence"]]


@pytest.mark.parametrize(
    ("steps", "off", "barred_for"),
    [
        (1, 1, ""),
        (3, 1, ""),
        (3, 2, "at 2 of 3 steps of the held-out ladder most of the lowest losses seen"),
        (7, 2, ""),
        (7, 3, "at 3 of 7 steps"),
    ],
)
def test_a_line_whose_forecasts_fail_on_its_own_ladder_is_barred(
    steps: int, off: int, barred_for: str
) -> None:
    # Drifts that jump about by ever more, at the last steps.
    budgets = 1e18 * 3.0 ** np.arange(steps + 1)
    rows = [
        {
            "law": "parametric",
            "estimator": "log_huber",
            "largest_flops": at,
            "budget_flops": above,
            "loss_predicted": 2.0 * np.exp((-4.0) ** (i - steps + off) * (i >= steps - off)),
            "loss_seen": 2.0,
            "loss_seen_se_ln": 0.001,
            "loss_sd_ln": 0.001,
            "params_predicted": 1e9,
            "params_seen": 1e9,
            "params_seen_se_ln": 0.01,
            "params_sd_ln": 0.01,
        }
        for i, at in enumerate(budgets[:-1])
        for above in budgets[i + 1 :]
    ]
    optima = pd.DataFrame(rows)
    findings = {"ladder": {"tables": {"optima": optima, "steps": optima}}}
    failing = failing_forecasts(findings)  # type: ignore[arg-type]
    assert failing["parametric"].startswith(barred_for)
    assert bool(failing["parametric"]) == bool(barred_for)
    assert reason({}, failing=failing) == failing["parametric"]


def test_an_exact_law_is_not_barred_by_the_bottoms_of_lopsided_valleys() -> None:
    """Without noise Chinchilla's own form was barred on its own surface.

    What is seen at a budget is the bottom of a parabola, a few percent off where alpha is not beta.
    """
    surface = published_surface("nmm_2025_sparse", LossSurface)
    runs = isoflop_runs(surface, np.geomspace(1e19, 1e21, 5), 7, width=4.0, noise=0.0)
    options = StudyOptions(AuditOptions(ladder_draws=2))
    made = ladder.audit(runs, 1e22, options)
    failing = failing_forecasts({"ladder": {**made.to_json(), "tables": made.tables}})
    assert failing["parametric"] == ""


def test_what_lies_outside_at_every_compute_is_borne_nowhere() -> None:
    """Runs of 2.9 tokens per param and less were said to speak up to the target that they miss."""
    for ratio, a, b in ((1000.0, 0.55, 0.45), (1000.0, 0.5, 0.5), (0.1, 0.45, 0.55)):
        outside = SOUND | {"tokens_per_param": ratio, "a": a, "b": b}
        assert borne_up_to(outside, SPAN) == 0.0
    table = lines({"tokens_per_param": 1000.0, "a": 0.55, "b": 0.45})
    reasons = barred(table, SPAN, {}, None)
    sentence = silence("ash", 1e22, table, reasons, SPAN)["sentence"]
    assert "What they say ends" not in sentence
    assert "Runs of more than 100 tokens per param, as far as about 1K, would tell." in sentence


def test_a_run_whose_count_has_slipped_is_no_reach() -> None:
    """One row in thousands put a target ten times beyond the runs within them."""
    runs = isoflop_runs(BESIROGLU, np.geomspace(1e18, 1e20, 6), 7, width=4.0, noise=0.003, seed=5)
    slipped = runs.astype({"params": float})
    slipped.loc[slipped.index[20], ["params", "flops"]] *= 1e3
    right, wrong = span_of(runs.drop(index=runs.index[20])), span_of(slipped)
    assert replace(wrong, odd="") == right
    assert "would lie among the others with a 1,000th of that" in wrong.odd


def test_the_interval_that_is_called_wide_is_the_one_that_is_stated() -> None:
    """It said 4.75× beside a forecast of 825M to 8.62B."""
    own = {"params_lo95": 1e9, "params_hi95": 2e9}
    assert too_wide(own) == ""
    forecast = own | {"forecast_params_lo95": 0.5e9, "forecast_params_hi95": 5e9}
    assert too_wide(forecast).startswith("the 95 % forecast of N spans 10×")
