"""The page that is read first: what stands in sight, how sure it is, and where it says nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.audit.waste import nearly_best, wasted_at
from flopline.laws.common.loss_compute import NO_FLOOR, TOO_LOW
from flopline.numbers import significant
from flopline.report.answer import Link, Sureness, doubted
from flopline.report.caveats import checked
from flopline.report.intervals import interval_note
from flopline.report.page import CAPTION_WORDS, ReportInputs, render
from flopline.schema import HELD_OUT, KEPT
from flopline.verdict_scale import Verdict
from tests.builders.designs import isoflop_runs
from tests.builders.page_inputs import SVG, TARGETS, TEMPLATES, audits_of, make_inputs
from tests.builders.page_reading import Reader, check_structure, figure_names
from tests.builders.surfaces import BESIROGLU

MOST_WORDS = 1500
"""Words in sight for two families."""
LONG = "Left: what is drawn here of every run of the study. " + 40 * "More of it and on. "


def shown(made: ReportInputs, **changes: Any) -> Reader:
    """The page read."""
    return check_structure(render(dataclasses.replace(made, **changes), TEMPLATES))


def forecasts(law: str, line: str, errors: list[float]) -> dict[str, pd.DataFrame]:
    """Tables of a ladder with two steps whose forecasts of the loss erred so [percent]: three by
    the first step, the rest by the second.
    """
    erred = pd.DataFrame(
        {"law": law, "estimator": line, "largest_flops": np.where(np.arange(len(errors)) < 3, 1, 2),
         "budget_flops": 3.0, "loss_predicted": 2 + np.array(errors) / 50, "loss_seen": 2.0,
         "error": errors}
    )  # fmt: skip
    means = erred.groupby("largest_flops", as_index=False)["error"].mean()
    steps = pd.DataFrame(
        {"law": law, "estimator": line, "status": "converged", "n_bottoms": [3, len(errors) - 3],
         "bottom_bias_percent": means["error"], "bottom_error_percent": means["error"].abs()}
    )  # fmt: skip
    return {"steps": steps, "optima": erred.drop(columns="error")}


def words(read: Reader) -> int:
    return len(" ".join(read.blocks_in_sight).split())


@pytest.fixture(scope="module")
def two() -> ReportInputs:
    families = {"dense": "Dense transformer", "moe": "Mixture of experts"}
    made = make_inputs(families, 60)
    figures = [
        {"name": name, "family": label, "section": "laws", "title": f"{name} of {label}",
         "caption": LONG, "alt": f"{name} has found 3.5 of {label}.", "svg": SVG}
        for label in families.values()
        for name in ("losscompute", "isoflop", "contours", "ladder", "stakes", "envelope")
    ]  # fmt: skip
    audits = audits_of(*families)
    for findings in audits.values():
        findings["identifiability"]["verdict"] = "good"
    return dataclasses.replace(made, audits=audits, figures=figures)


@pytest.fixture(scope="module")
def read(two: ReportInputs) -> Reader:
    return shown(two)


def refused(made: ReportInputs, *families: str) -> dict[str, Any]:
    """A decision whose runs bear no line at the first target of these families."""
    silences = [
        {
            "family": family,
            "budget_flops": TARGETS[0],
            "why": "the isoFLOP line is not followed since its interval spans a factor of 31",
            "up_to_flops": 3e21,
            "needed": "Several sizes at budgets up to 5e21 FLOPs would tell.",
            "sentence": f"These runs do not say what to train at 1e22 FLOPs: {family}.",
        }
        for family in families
    ]
    none = {"headline": None, "silent": silences, "choices": [], "agreement": [], "families": []}
    decision = made.decision.assign(recommended=False)
    return {"verdict": {**made.verdict, **none}, "decision": decision}


def test_two_families_take_no_more_words_than_are_read_in_a_minute(read: Reader) -> None:
    assert 200 < words(read) < MOST_WORDS


@pytest.mark.parametrize(("families", "targets", "runs"), [(6, 20, 12), (1, 2, 5000)])
def test_many_families_targets_or_runs_take_few_more_words(
    families: int, targets: int, runs: int
) -> None:
    made = make_inputs({f"f{i}": f"Family {i}" for i in range(families)}, runs)
    head = made.verdict["headline"]["budget_flops"]
    budgets = np.geomspace(head / 1e4, head, targets)[::-1]
    one = made.decision[made.decision["budget_flops"] == head]
    decision = pd.concat([one.assign(budget_flops=c) for c in budgets], ignore_index=True)
    between = [{**e, "sentence": f"At {c:.3g} FLOPs Family 1 wins."}
               for e in made.verdict["families"][:1] for c in budgets]  # fmt: skip
    verdict = {**made.verdict, "families": between}
    read = shown(made, decision=decision, verdict=verdict)
    assert words(read) < MOST_WORDS
    assert read.rows["table-recommended"] == (families if families * targets > 8 else targets)
    assert read.rows["table-more-recommended"] == (families * (targets - 1) if families > 1 else 0)


def test_no_sentence_with_a_number_stands_twice(two: ReportInputs, read: Reader) -> None:
    assert len(read.numbers_in_sight) > 8
    assert [s for s, n in Counter(read.numbers_in_sight).items() if n > 1] == []
    # What the families say stands below the targets, not with the findings too.
    sentence = "At 1e22 FLOPs the 2 families tie."
    between = [{**e, "sentence": sentence} for e in two.verdict["families"]]
    again = shown(two, verdict={**two.verdict, "families": between})
    assert again.numbers_in_sight.count(sentence) == 1


def test_captions_in_sight_are_short_and_how_to_read_is_folded(
    two: ReportInputs, read: Reader
) -> None:
    captions = [b for b in read.blocks_in_sight if b.startswith("Figure ")]
    assert len(captions) == 5
    titles = [len(f["title"].split()) for f in two.figures]
    assert max(len(b.split()) for b in captions) <= CAPTION_WORDS + max(titles) + 4
    assert sum("has found 3.5" in b for b in captions) == 4
    assert read.text.count(LONG.strip()) == 5


def test_the_first_screen_holds_claim_numbers_cost_chart_and_reasons(read: Reader) -> None:
    text = " ".join(read.blocks_in_sight)
    first = text.partition("What if it is wrong?")[0]
    assert "With 5.76e23 FLOPs, train Dense transformer: " in first
    for part in ("waste at most 3 % of compute", "per param", "GPU-hours of H100 SXM", "Figure 1.",
                 "Fitted to smaller budgets only", "takes 192×", "How sure is this?"):  # fmt: skip
        assert part in first, part


def test_the_range_of_sizes_is_exact_on_the_surface() -> None:
    low, high = nearly_best(BESIROGLU, 1e21, 0.03)
    assert wasted_at(BESIROGLU, 1e21, np.log([low, high])) == pytest.approx([0.03, 0.03])
    assert low < 1 < high


def test_a_size_is_not_called_sure_at_an_extreme_extrapolation(two: ReportInputs) -> None:
    """Half of the forecasts of N missed at 100 times the runs where the law bent beyond them."""
    head = two.verdict["headline"]
    point = head["params"]["point"]
    narrow = {"lo80": point, "hi80": point, "lo95": 0.99 * point, "hi95": 1.01 * point}
    tested = two.decision.assign(held_out_wasted_percent=0.5)
    for kind, times, sure in (
        ("forecast", 20.0, True), ("forecast", 40.0, False),
        ("if the law holds", 20.0, False), ("if the law holds", 0.9, True),
    ):  # fmt: skip
        stated = {**head, "params": {**head["params"], **narrow}, "brackets": kind}
        verdict = {**two.verdict, "headline": stated}
        text = reasons(two, verdict=verdict, decision=tested.assign(extrapolation=times))
        assert ("Size: Sure enough to train" in text) is sure
        assert ("Size: Roughly known" in text) is not sure
    of_dense = two.fits["dense"]
    fit = of_dense[head["law"]]
    clause = "the runs lie off it"
    certificate = {
        **fit["certificate"],
        "misfit": {"found": True, "p_value": 0.001, "clause": clause},
    }
    fits = {**two.fits, "dense": {**of_dense, head["law"]: {**fit, "certificate": certificate}}}
    stated = {**head, "params": {**head["params"], **narrow}, "brackets": "forecast"}
    verdict = {**two.verdict, "headline": stated}
    text = reasons(two, verdict=verdict, decision=tested.assign(extrapolation=20.0), fits=fits)
    assert "Size: Roughly known" in text
    assert "Against: The runs lie off it." in text
    below = tested.assign(extrapolation=1e-5, below_data=100.0)
    text = reasons(two, verdict=verdict, decision=below)
    assert "Size: Roughly known" in text
    assert "% if the law holds there" in text


def reasons(made: ReportInputs, **changes: Any) -> str:
    """How sure the page says that size and loss are."""
    text = shown(made, **changes).text
    return " ".join(text.partition("How sure is this?")[2].partition("Next run")[0].split())


def test_what_speaks_against_a_number_stands_against_it(two: ReportInputs) -> None:
    """A plus stood before "the law wasted 58 % of compute" and "missed the loss by 17 %"."""
    head = two.verdict["headline"]
    point, loss = head["params"]["point"], head["loss"]["point"]
    narrow = {"lo95": 0.99 * point, "hi95": 1.01 * point}
    sure = {"lo95": 0.98 * loss, "hi95": 1.02 * loss}
    stated = {**head, "brackets": "forecast", "params": {**head["params"], **narrow},
              "loss": {**head["loss"], **sure}}  # fmt: skip
    verdict = {**two.verdict, "headline": stated}
    for waste, error, mark in ((58.0, 17.0, "Against"), (0.5, 0.9, "For"), (0.5, 2.5, "Against")):
        decision = two.decision.assign(
            held_out_wasted_percent=waste, held_out_loss_error_percent=error, extrapolation=0.9
        )
        text = reasons(two, verdict=verdict, decision=decision)
        assert ("Sure enough to train" in text) is (waste < 1)
        assert ("Known to ±2.0 %" in text) is (error < 1)
        size = "Against" if waste > 1 else "For"
        assert f"{size}: Fitted to smaller budgets only" in text
        assert f"{mark}: At larger budgets than it was fitted to" in text


def test_without_a_surface_the_size_is_judged_by_its_interval(two: ReportInputs) -> None:
    """It was "Not known" by a forecast narrower than one that was roughly known."""
    head, lines = two.verdict["headline"], two.decision
    of_law = (lines["family"] == head["family"]) & (lines["law"] == "isoflop") & lines["main"]
    line = lines[of_law & (lines["budget_flops"] == head["budget_flops"])].iloc[0]
    point = float(line["params"])
    fits = {f: {k: v for k, v in laws.items() if k != "parametric"} for f, laws in two.fits.items()}
    decision = two.decision.assign(held_out_wasted_percent=0.5, extrapolation=2.0)
    for times, finding in ((1.4, "Roughly known"), (1.1, "Sure enough to train")):
        ends = {"lo95": point / times, "hi95": point * times}
        stated = {**head, "law": "isoflop", "estimator": line["estimator"], "brackets": "forecast",
                  "params": {**head["params"], **ends}}  # fmt: skip
        verdict = {**two.verdict, "headline": stated}
        text = reasons(two, fits=fits, verdict=verdict, decision=decision)
        assert f"Size: {finding}" in text
        assert "Its 95 % forecast is above" not in text
        assert ("Against: Its 95 % forecast spans a factor of 1.96" in text) is (times > 1.25)


def test_all_earlier_forecasts_too_high_stands_against_the_loss(two: ReportInputs) -> None:
    """The largest mean of a step was said to be the largest error of a forecast."""
    ladder = two.audits["dense"]["ladder"]

    def text(errors: list[float]) -> str:
        tables = forecasts("parametric", "log_huber", errors)
        of_dense = {**two.audits["dense"], "ladder": {**ladder, "tables": tables}}
        return shown(two, audits={"dense": of_dense}).text

    high = "All 5 forecasts of losses at larger budgets came out too high, by 2.4 % at most."
    assert high in text([0.5, 1.6, 2.4, 0.6, 1.2])
    assert "Loss: Known" not in text([0.5, 1.6, 2.4, 0.6, 1.2])
    assert high.replace("high", "low") in text([-0.5, -1.6, -2.4, -0.6, -1.2])
    assert "came out too" not in text([0.5, 1.6, 2.4, 0.6, -1.2])


def test_losses_that_bend_at_the_largest_budgets_stand_against_the_loss(two: ReportInputs) -> None:
    """Two that lay 1.5 and 3.5 % off their law were in the findings alone, and a mean in favour."""
    head, ladder = two.verdict["headline"], two.audits["dense"]["ladder"]
    point = head["loss"]["point"]
    sure = {"lo95": 0.98 * point, "hi95": 1.02 * point}
    stated = {**head, "brackets": "forecast", "loss": {**head["loss"], **sure}}
    changes = {
        "verdict": {**two.verdict, "headline": stated},
        "decision": two.decision.assign(held_out_loss_error_percent=0.9, extrapolation=20.0),
    }
    for off, bends in ((np.array([-1.5, -3.5]), True), (np.array([1.5, -3.5]), False)):
        optima = pd.DataFrame({
            "law": "parametric", "estimator": "log_huber", "largest_flops": 1e19,
            "budget_flops": [1e20, 3e20], "loss_seen": 2.0, "loss_predicted": 2 * (1 + off / 100),
            "loss_sd_ln": 0.003, "loss_seen_se_ln": 0.002,
        })  # fmt: skip
        of_dense = {**ladder, "tables": {**ladder["tables"], "optima": optima}}
        text = reasons(
            two, audits={"dense": {**two.audits["dense"], "ladder": of_dense}}, **changes
        )
        assert ("Against: The largest budgets leave the law." in text) is bends
        assert ("Known to ±2.0 %" in text) is not bends
        assert ("For: At larger budgets than it was fitted to" in text) is not bends


def test_a_forecast_stands_beside_what_the_law_alone_says(two: ReportInputs) -> None:
    head = two.verdict["headline"]
    loss = {name: 0.98 * value for name, value in head["loss"].items() if name != "at_bound"}
    forecast = {**head, "loss": loss, "brackets": "forecast"}
    text = shown(two, verdict={**two.verdict, "headline": forecast}).text
    assert f"{significant(loss['point'])} nats per token" in text
    assert f"{significant(head['loss']['point'])} by the law alone" in text
    assert "Intervals are forecasts" in text


def test_without_intervals_the_answer_says_so(two: ReportInputs) -> None:
    ends = ("lo80", "hi80", "lo95", "hi95")
    head = {
        name: {**value, **dict.fromkeys(ends)} if isinstance(value, dict) else value
        for name, value in two.verdict["headline"].items()
    }
    text = shown(two, verdict={**two.verdict, "headline": head}).text
    first = text.partition("What if it is wrong?")[0]
    assert " ".join(first.split()).count("no interval") == 2
    assert "It has no interval." in first
    assert "–" not in first.partition("Appendix")[2]


def test_a_price_gives_the_cost_in_money(two: ReportInputs) -> None:
    study = {**two.study, "audit": {"price_per_flop": 1e-18}}
    assert "576K in money" in shown(two, study=study).text


def test_epochs_are_told_where_the_corpus_is_known(two: ReportInputs) -> None:
    tokens = two.verdict["headline"]["tokens"]["point"]
    known = shown(two, runs=two.runs.assign(unique_tokens=tokens / 4))
    assert "4 epochs of" in known.text


def test_the_next_run_names_its_law_and_what_it_buys(two: ReportInputs) -> None:
    runs = pd.DataFrame({"params": [2.5e4, 1e5], "tokens": [2.6e7, 1e6], "flops": [3.9e12, 6e11],
                         "removed_percent": [19.0, 3.0]})  # fmt: skip
    finding = {"audit": "next_run", "verdict": "good", "sentence": "It.", "tables": {"runs": runs}}
    text = shown(two, audits={"dense": {**two.audits["dense"], "next_run": finding}}).text
    assert "25K params on 26M tokens narrow the interval of this size by 10 %." in text


def test_runs_that_say_no_size_have_a_first_screen_as_good(two: ReportInputs) -> None:
    read = shown(two, **refused(two, "dense", "moe"))
    first = " ".join(read.blocks_in_sight).partition("How a line is chosen")[0]
    for part in (
        "These runs do not say what to train with 1e22 FLOPs (Dense transformer and Mixture",
        "its interval spans a factor of 31.",
        "up to 3e21 FLOPs",
        "Figure 1.",
        "What would change that?",
        "Several sizes at budgets up to 5e21 FLOPs would tell.",
    ):
        assert part in first, part
    assert [s for s, n in Counter(read.numbers_in_sight).items() if n > 1] == []
    assert "train Dense transformer:" not in first
    assert "GPU-hours" not in first, "what nobody advises has no price"


def test_what_intervals_hold_is_said_of_the_lines_that_stand_there() -> None:
    """A page without an answer at its first target called forecasts at others no forecasts."""
    forecast = {"law": "parametric", "forecast": {"loss": {}}}
    own = {"law": "isoflop", "forecast": None}
    silent = {"law": None, "forecast": None}
    notes = [
        interval_note({"headline": None, "choices": choices})  # type: ignore[typeddict-item]
        for choices in ([silent, forecast], [own, silent], [own, forecast])
    ]
    assert [note.split(":")[0][:40] for note in notes] == [
        "Intervals are forecasts",
        "The intervals hold if the law holds",
        "Intervals are forecasts of the lines tha",
    ]


def test_a_family_that_says_nothing_stands_below_the_targets(two: ReportInputs) -> None:
    silent = refused(two, "moe")["verdict"]["silent"]
    choices = [{**c, "budget_flops": TARGETS[0]} for c in two.verdict["choices"]]
    text = shown(two, verdict={**two.verdict, "silent": silent, "choices": choices}).text
    assert "Mixture of experts: These runs do not say what to train" in text


def test_a_training_loss_is_named_where_a_law_has_one(two: ReportInputs) -> None:
    study = {**two.study, "laws": ["envelope", "isoflop", "parametric"],
             "envelope": {"split": "train"}}  # fmt: skip
    assert "Envelope Training loss" in shown(two, study=study).text


def test_a_caveat_is_held_against_the_forecasts_that_were_held_out(two: ReportInputs) -> None:
    """A law without a floor was said to be too low where all its forecasts were too high."""
    message = f"{NO_FLOOR}: {TOO_LOW}"
    ladder = two.audits["dense"]["ladder"]
    errors = [0.8, 2.0, 3.6, 0.9, 2.4, 1.9]
    high, low = (
        {"ladder": {**ladder, "tables": forecasts("envelope", "bins", [sign * e for e in errors])}}
        for sign in (1, -1)
    )
    assert "all 6 held-out forecasts came out too high, by 3.6 % at most" in checked(
        message, "envelope", high
    )
    for findings in (low, {}):
        assert checked(message, "envelope", findings) == message
    assert checked(message, "isoflop", high) == message


def test_a_count_that_favours_one_family_names_both(two: ReportInputs) -> None:
    of_moe = two.runs["family"] == "moe"
    runs = two.runs.assign(flops_over_six_nd=np.where(of_moe, 1.65, 1.0))
    kept = int((runs["status"] == "kept").sum() / 2)
    sentence = (
        f"differ in 0 of {kept} runs of Dense transformer and {kept} of {kept} runs of Mixture of "
        "experts, by up to 1.65×"
    )
    assert sentence in shown(two, runs=runs).text
    assert "exact count" not in shown(two, runs=runs.assign(flops_over_six_nd=1.65)).text


def test_runs_held_out_stand_beside_the_claim(two: ReportInputs) -> None:
    """What no fit has seen comes before what fits say of themselves."""
    head = two.verdict["headline"]
    law, estimator = head["law"], head["estimator"]
    table = pd.DataFrame(
        {
            "law": law, "estimator": [estimator] * 3 + ["other"], "run": ["a", "b", "c", "a"],
            "error_percent": [0.4, -1.25, 0.1, 9.0], "inside95": ["yes", "no", "yes", "no"],
        }
    )  # fmt: skip
    finding = {
        "audit": "held_out", "verdict": "warned", "sentence": "Three runs.", "numbers": {},
        "tables": {"predictions": table},
    }  # fmt: skip
    audits = {**two.audits, head["family"]: {**two.audits[head["family"]], "held_out": finding}}
    sight = " ".join(shown(two, audits=audits).blocks_in_sight)
    assert "Of 3 runs held out 2 of 3 lie in the 95 % interval of one run" in sight
    assert "losses are off by -1.2 % to 0.40 %" in sight
    assert "runs held out" not in " ".join(shown(two).blocks_in_sight)


def test_what_a_figure_has_found_is_its_title(two: ReportInputs) -> None:
    page = render(two, TEMPLATES)
    assert "<b>Figure 2. isoflop has found 3.5 of Dense transformer.</b>" in page
    assert figure_names(page)[:2] == [
        ("1", "losscompute of Dense transformer, Dense transformer"),
        ("2", "isoflop of Dense transformer, Dense transformer"),
    ]


def test_a_target_without_an_answer_hides_no_other(two: ReportInputs) -> None:
    """The page that refuses the first target has the lines of others, and the other way round."""
    changed = refused(two, *two.fits)
    decision = two.decision.copy()
    later = decision["budget_flops"] != TARGETS[0]
    decision.loc[~later, "recommended"] = False
    sight = " ".join(shown(two, verdict=changed["verdict"], decision=decision).blocks_in_sight)
    assert "All targets and families" in sight
    silences = [{**s, "budget_flops": TARGETS[-1]} for s in changed["verdict"]["silent"]]
    kept = {**two.verdict, "silent": silences}
    assert silences[0]["sentence"] in " ".join(shown(two, verdict=kept).blocks_in_sight)


def test_the_interval_of_the_size_stands_below_it_and_a_wide_loss_is_not_known(
    two: ReportInputs,
) -> None:
    """A forecast of 825M to 8.62B stood in small print, and a loss of 10 % had a green mark."""
    head = two.verdict["headline"]
    size = {"lo80": 1e9, "hi80": 2e9, "lo95": 5e8, "hi95": 4e9}
    for half, times, words in (
        (0.02, 2.0, "Known to ±2.0 % 80 % forecast"),
        (0.02, 20.0, "Known to ±2.0 % if losses go on as they did"),
        (0.1, 20.0, "Roughly known, to ±10 %"),
        (0.02, 40.0, "Nothing to bet on: ±2.0 % if losses go on as they did"),
    ):
        decision = two.decision.assign(extrapolation=times)
        point = head["loss"]["point"]
        loss = {"lo95": point * (1 - half), "hi95": point * (1 + half)}
        stated = {**head, "brackets": "forecast", "params": {**head["params"], **size},
                  "loss": {**head["loss"], **loss}}  # fmt: skip
        verdict = {**two.verdict, "headline": stated}
        text = shown(two, verdict=verdict, decision=decision).text
        first = text.partition("What if it is wrong?")[0]
        assert "95 % forecast 500M to 4B" in first
        assert words in first


@pytest.mark.parametrize("factor", [1.0, 1e-3])
def test_a_number_is_not_sure_where_a_run_that_it_rests_on_stands_out(factor: float) -> None:
    runs = isoflop_runs(BESIROGLU, np.geomspace(1e18, 1e20, 6), 7, width=4.0, noise=0.003, seed=5)
    runs["params"] = runs["params"] * np.where(runs.index == 20, factor, 1.0)
    sure = Sureness("Size", Verdict.GOOD, "Sure enough to train", Link("A", "#a"), Link("B", "#b"))
    runs["status"] = KEPT
    (actual,) = doubted([sure], runs, "#fit")
    if factor == 1:
        assert actual == sure
        return
    assert (actual.verdict, actual.finding) == (Verdict.WARNED, "Not before that run is looked at")
    assert actual.reason_against == Link(
        "1 run that stands out from all others may move it.", "#fit"
    )
    repeated = runs.drop(index=20).assign(unique_tokens=1e9)
    (actual,) = doubted([sure], repeated, "#fit", 3e9)
    assert actual == sure
    (actual,) = doubted([sure], repeated, "#fit", 8e9)
    assert actual.verdict is Verdict.WARNED
    assert actual.reason_against.text.startswith("Its 8B tokens are 8 epochs of the 1B different")
    runs.loc[20, "status"] = HELD_OUT  # no fit rests on it
    assert doubted([sure], runs, "#fit") == [sure]


@pytest.mark.parametrize(("naive", "mark"), [(0.73, None), (2.0, "For")])
def test_a_test_that_needs_no_law_speaks_for_none(
    two: ReportInputs, naive: float, mark: str | None
) -> None:
    """ "Wasted 1.1 %" stood for the size where extrapolating the best runs wasted .73 %."""
    head, ladder = two.verdict["headline"], two.audits["dense"]["ladder"]
    point = head["params"]["point"]
    narrow = {**head["params"], "lo95": 0.99 * point, "hi95": 1.01 * point}
    names = {"law": [head["law"], "baseline"], "estimator": [head["estimator"], "best_run"]}
    scores = pd.DataFrame({**names, "wasted_percent": [1.1, naive]})
    of_dense = {**ladder, "tables": {**ladder["tables"], "scores": scores}}
    text = reasons(
        two,
        audits={"dense": {**two.audits["dense"], "ladder": of_dense}},
        verdict={**two.verdict, "headline": {**head, "brackets": "forecast", "params": narrow}},
        decision=two.decision.assign(held_out_wasted_percent=1.1, extrapolation=0.9),
    )
    assert ("For: Fitted to smaller budgets only" in text) is (mark == "For")


def test_settings_that_move_the_loss_stand_against_the_size(two: ReportInputs) -> None:
    check = {"check": "residuals against peak learning rate", "verdict": "warned", "value": -4.9}
    moved = {"setting": "lr_peak", "slope": -0.0042, "spread": 2.3}
    tables = {"checks": pd.DataFrame([check]), "dependence": pd.DataFrame([moved])}
    finding = {**two.audits["dense"]["hygiene"], "tables": tables}
    head = two.verdict["headline"]
    point = head["params"]["point"]
    narrow = {**head["params"], "lo95": 0.99 * point, "hi95": 1.01 * point}
    verdict = {**two.verdict, "headline": {**head, "brackets": "forecast", "params": narrow}}
    decision = two.decision.assign(held_out_wasted_percent=0.5, extrapolation=0.9)
    for audits, sure in (
        (two.audits, True), ({"dense": {**two.audits["dense"], "hygiene": finding}}, False)
    ):  # fmt: skip
        text = reasons(two, audits=audits, verdict=verdict, decision=decision)
        assert ("Size: Sure enough to train" in text) is sure
        assert ("Against: At given N and D the loss moves by -0.29 %" in text) is not sure
