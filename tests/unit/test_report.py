"""The report page, rendered from made-up inputs (labelled synthetic) and read back as HTML."""

from __future__ import annotations

import base64
import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from flopline.laws.common.fit_result import (
    FAILED,
)
from flopline.numbers import (
    count,
    factor,
    flops_label,
    humanise,
    interval,
    number,
    significant,
)
from flopline.report import page as page_module
from flopline.report.formatting import formatted
from flopline.report.html_tables import MOST_ROWS
from flopline.report.page import ReportInputs, render, render_appendix, render_both
from flopline.report.room import in_room
from flopline.schema import KEPT, QUANTITIES
from tests.builders.page_inputs import (
    FAMILIES,
    REASON,
    TARGETS,
    TEMPLATES,
    VARIANT,
    WHY,
    audits_of,
    make_inputs,
)
from tests.builders.page_reading import Reader, check_pages, check_structure, csv_rows, figure_names

HOSTILE_RUN = "<script>alert(1)</script>"
HOSTILE_LABEL = "Dense \"wide\" & 'deep' <b>family</b>"


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    return make_inputs({"dense": "Dense transformer", "moe": "Mixture of experts"}, 80)


@pytest.fixture(scope="module")
def pages(inputs: ReportInputs) -> tuple[str, str]:
    return render_both(inputs, TEMPLATES)


@pytest.fixture(scope="module")
def page(pages: tuple[str, str]) -> str:
    return pages[0]


@pytest.fixture(scope="module")
def appendix(pages: tuple[str, str]) -> str:
    return pages[1]


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


@pytest.fixture(scope="module")
def behind(appendix: str) -> Reader:
    return Reader(appendix)


@pytest.mark.parametrize(
    ("families", "runs_each", "fail"),
    [
        ({"one": "One"}, 5, ""),
        ({"one": "One"}, 240, "isoflop"),
        ({f"f{i}": f"Family {i}" for i in range(6)}, 30, "envelope"),
    ],
)
def test_structure_is_sound(families: dict[str, str], runs_each: int, fail: str) -> None:
    made = make_inputs(families, runs_each, fail)
    read, _ = reversed(check_pages(*render_both(made, TEMPLATES)))
    assert read.rows["table-runs"] == runs_each * len(families)
    assert read.rows["table-quarantined"] == (made.runs["status"] != KEPT).sum()
    assert read.rows["table-dropped"] == min(len(made.dropped), MOST_ROWS)


def test_what_of_many_families_has_no_room_is_named_and_links_still_lead_somewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    families = {f"f{i}": f"Family {i}" for i in range(4)}
    made = dataclasses.replace(make_inputs(families, 30), audits=audits_of(*families))
    drawn = {**made.figures[0], "family": ""}
    made = dataclasses.replace(
        made, figures=[{**drawn, "family": label} for label in families.values()]
    )
    whole = check_pages(*render_both(made, TEMPLATES))[1]
    assert "no room" not in whole.text
    for limit in ("MOST_FIGURE_BYTES", "MOST_TABLE_BYTES", "MOST_LAW_ROWS"):
        monkeypatch.setattr(page_module, limit, 1)
    cut = check_pages(*render_both(made, TEMPLATES))[1]
    for words in (
        "The page has no room for the figures of 2 more families: see figures/, beside it.",
        "no room for the tables of 3 more families: see audit/<family>/tables/, beside it.",
        "no room for the lines of 3 more families: see decision.csv, beside it.",
    ):
        assert words in cut.text
    assert len(cut.text) < 0.8 * len(whole.text)


def test_as_many_have_room_as_the_limit_allows_and_one_at_least() -> None:
    assert in_room([3, 4, 5], int, 12) == ([3, 4, 5], ())
    assert in_room([3, 4, 5], int, 11) == ([3, 4], [5])
    assert in_room([3, 4, 5], int, 1) == ([3], [4, 5])
    assert in_room([], int, 1) == ([], ())


def test_loads_nothing_from_elsewhere(pages: tuple[str, str]) -> None:
    for page, other in zip(pages, ("appendix.html", "report.html"), strict=True):
        read = Reader(page)
        for tag, name, value in read.attributes:
            if name in {"src", "href", "srcset", "action", "data", "poster"}:
                own = value.startswith(("#", "data:")) or value.partition("#")[0] == other
                assert own, (tag, name, value[:80])
                assert not value.startswith("data:text/html")
        assert "link" not in {t for t, n, v in read.attributes if n == "rel" and v != "icon"}
        style_and_script = re.findall(r"<(?:style|script)>(.*?)</", page, flags=re.DOTALL)
        assert len(style_and_script) == 2
        for text in style_and_script:
            assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|import\(", text)


def test_headline_numbers_stand_first(inputs: ReportInputs, read: Reader) -> None:
    head = inputs.verdict["headline"]
    words = read.text.partition("With ")[2][:900]
    n, d, expected = (head[q]["point"] for q in ("params", "tokens", "loss"))
    assert words.startswith(
        f"{flops_label(head['budget_flops'])} FLOPs, train Dense transformer: {humanise(n)} params "
        f"on {humanise(d)} tokens"
    )
    assert f"{significant(expected)} nats per token" in words
    for level in (80, 95):
        ends = " to ".join(significant(head["loss"][f"{end}{level}"]) for end in ("lo", "hi"))
        assert f"{level} % if the law holds {ends}" in words


def test_extrapolation_is_said_plainly(read: Reader) -> None:
    assert "Extrapolated up to 192×" in read.text
    assert "takes 192× the compute of the largest run: an extreme extrapolation." in read.text


def test_user_text_is_escaped(inputs: ReportInputs) -> None:
    runs = inputs.runs.copy()
    runs.loc[0, "run"] = HOSTILE_RUN
    study = {**inputs.study, "families": {"dense": HOSTILE_LABEL, "moe": "x"}, "title": "</title>"}
    figures = [{**inputs.figures[0], "family": HOSTILE_LABEL}]
    hostile = dataclasses.replace(inputs, runs=runs, study=study, figures=figures)
    for page in render_both(hostile, TEMPLATES):
        read = check_structure(page)
        assert HOSTILE_RUN not in page
        assert "<b>family</b>" not in page
        assert (HOSTILE_RUN in read.text) == ("Every fit" in page)
        assert HOSTILE_LABEL in read.text
        assert read.tags["script"] == 1


def test_failed_law_shows_its_reason_instead_of_numbers() -> None:
    made = make_inputs(fail="isoflop")
    answer, page = render_both(made, TEMPLATES)
    assert Reader(page).text.count(REASON) >= len(TARGETS)
    failed = re.findall(r'<tr><th scope="row">(?:(?!</tr>).)*?failed.*?</tr>', page, re.DOTALL)
    in_laws = [row for row in failed if 'class="reason"' in row]
    assert len(in_laws) >= len(TARGETS)
    assert all("estimate" not in row for row in in_laws)
    assert "1 of 3 fits failed" in answer


def test_all_laws_failed_gives_no_recommendation() -> None:
    made = make_inputs(runs_each=5)
    fits = {
        f: {law: {**fit, "status": FAILED, "message": REASON} for law, fit in laws.items()}
        for f, laws in made.fits.items()
    }
    numbers = [c for c in made.decision if c.startswith(QUANTITIES)]
    decision = made.decision.assign(status=FAILED, message=REASON, recommended=False)
    decision[numbers] = np.nan
    verdict = {
        **made.verdict, "headline": None, "agreement": [], "choices": [], "families": []
    }  # fmt: skip
    nothing = dataclasses.replace(made, fits=fits, decision=decision, verdict=verdict)
    text = check_structure(render(nothing, TEMPLATES)).text
    assert "No law could be used at 1e22 FLOPs" in text
    assert "3 of 3 fits failed" in text


@pytest.mark.parametrize(
    ("overlap", "agree", "words"),
    [
        (True, True, "The laws agree"),
        (True, False, "The laws differ, and the data cannot tell"),
        (False, False, "The laws disagree"),
        (None, None, "No second law to compare"),
    ],
)
def test_agreement_is_said_as_it_is(
    inputs: ReportInputs, overlap: bool | None, agree: bool | None, words: str
) -> None:
    values = {"overlap": overlap, "agree": agree}
    agreement = [{**e, **values} for e in inputs.verdict["agreement"]]
    verdict = {**inputs.verdict, "agreement": agreement}
    text = Reader(render(dataclasses.replace(inputs, verdict=verdict), TEMPLATES)).text
    assert words in text
    assert ("the laws disagree at 4" in text) == (overlap is False)


def test_a_target_below_all_runs_is_an_extrapolation(inputs: ReportInputs) -> None:
    decision = inputs.decision.assign(extrapolation=1e-5, below_data=1000.0)
    text = Reader(render(dataclasses.replace(inputs, decision=decision), TEMPLATES)).text
    assert "The target lies 1K× below the smallest run" in text
    assert "Extrapolated downwards" in text
    assert "within the data" not in text


def test_what_makes_the_headline_no_answer_stands_beside_it(inputs: ReportInputs) -> None:
    head = {**inputs.verdict["headline"], "warnings": "the 95 % interval of N spans 30x"}
    verdict = {**inputs.verdict, "headline": head}
    text = Reader(render(dataclasses.replace(inputs, verdict=verdict), TEMPLATES)).text
    assert "The 95 % interval of N spans 30x." in text


def test_the_choice_and_the_rule_stand_below_the_answer(read: Reader) -> None:
    words = read.text.partition(" With ")[2]
    rule = words.partition("How the line is chosen")[2][:900]
    assert WHY in rule
    assert "The law with the narrowest" in rule
    assert "leans towards isoFLOP" in rule
    assert FAMILIES in words
    assert "Chosen by held-out budgets" in words
    assert "No family wins clearly" in words
    assert "By these runs another may be the better one" in words.partition("How sure is")[0]


@pytest.mark.parametrize(
    ("basis", "words"),
    [("held_out_loss", "The sizes were a tie"), ("tie", "Held-out budgets leave a tie"),
     ("order", "Not chosen by held-out budgets"), ("only", "Only one line to choose")],
)  # fmt: skip
def test_what_decided_is_said_as_it_is(inputs: ReportInputs, basis: str, words: str) -> None:
    choices = [{**c, "basis": basis} for c in inputs.verdict["choices"]]
    verdict = {**inputs.verdict, "choices": choices}
    assert words in Reader(render(dataclasses.replace(inputs, verdict=verdict), TEMPLATES)).text


def test_one_family_is_compared_with_none() -> None:
    text = Reader(render(make_inputs(runs_each=5), TEMPLATES)).text
    assert "Between families" not in text
    assert "family wins clearly" not in text


def test_variants_are_folded_below_the_main_lines(appendix: str, behind: Reader) -> None:
    laws = appendix.partition('id="laws-title"')[2].partition("</section>")[0]
    before, _, folded = laws.partition("<details>")
    assert f"{VARIANT} in words" not in before
    assert f"{VARIANT} in words" in folded
    assert "parabola in words" not in before
    assert "parabola in words <span" in folded
    assert "IsoFLOP: all estimators 2 side by side" in behind.text
    assert "5.2 %4 steps, loss off by 0.93 %" in behind.text
    assert "FLOPs, 12.3M in money" in behind.text
    assert "&lt; 0.01 %" in folded


def test_a_recommended_variant_is_not_folded(inputs: ReportInputs) -> None:
    decision = inputs.decision.assign(recommended=inputs.decision["estimator"] == VARIANT)
    page = render_appendix(dataclasses.replace(inputs, decision=decision), TEMPLATES)
    laws = page.partition('id="laws-title"')[2].partition("</section>")[0]
    assert f"{VARIANT} in words" in laws.partition("<details>")[0]


def test_a_refused_line_is_marked(inputs: ReportInputs) -> None:
    decision = inputs.decision.assign(refused=inputs.decision["law"] == "parametric")
    made = dataclasses.replace(inputs, decision=decision)
    text = Reader(render_appendix(made, TEMPLATES)).text
    assert text.count("refused") == len(TARGETS) * 2


def test_audits_show_their_figures_and_those_without_a_title_their_name(
    inputs: ReportInputs,
) -> None:
    findings = [
        {"audit": "ladder", "verdict": "good", "sentence": "Small runs do.", "tables": {}},
        {
            "audit": "brand_new",
            "verdict": "warned",
            "sentence": "Unheard of.",
            "tables": {"any": pd.DataFrame({"x": [1.0]})},
        },
    ]
    figure = {**inputs.figures[0], "section": "audit", "title": "Held-out ladder"}
    laws = [{**f, "section": "laws"} for f in inputs.figures]
    made = dataclasses.replace(
        inputs,
        audits={"dense": {finding["audit"]: finding for finding in findings}},
        figures=[*laws, figure],
    )
    pages = render_both(made, TEMPLATES)
    text = check_structure(pages[1]).text
    assert "Brand new" in text
    assert "2 audits: 1 good, 1 warned" in text
    drawn = [[name for _, name in figure_names(page)] for page in pages]
    assert "Held-out ladder, Dense transformer" in drawn[0] + drawn[1]
    assert len(drawn[0]) + len(drawn[1]) == len(inputs.figures) + 1


def test_missing_intervals_are_a_dash(inputs: ReportInputs) -> None:
    ends = [c for c in inputs.decision if c.endswith(("80", "95"))]
    decision = inputs.decision.copy()
    decision[ends] = np.nan
    bare = {"point": 1.5e9, "lo80": None, "hi80": None, "lo95": None, "hi95": None}
    none = {**inputs.verdict["headline"]["loss"], **dict.fromkeys(("lo80", "hi80", "lo95", "hi95"))}
    head = {**inputs.verdict["headline"], "params": bare, "loss": none}
    verdict = {**inputs.verdict, "headline": head}
    for page in render_both(
        dataclasses.replace(inputs, decision=decision, verdict=verdict), TEMPLATES
    ):
        text = Reader(page).text
        assert not re.search(r"\b(nan|NaN|None|<NA>)\b", text)
        assert "no interval" in text
        assert "±" not in text


def test_counts_of_runs_and_rows(inputs: ReportInputs, read: Reader, behind: Reader) -> None:
    text = read.text
    runs = inputs.runs
    kept = int((runs["status"] == KEPT).sum())
    assert f"{count(kept, 'run')} kept, {len(runs) - kept} quarantined" in text
    assert f"{len(inputs.dropped)} of {count(int(runs['rows_in'].sum()), 'row')} dropped" in text
    by_reason = inputs.dropped["reason"].value_counts()
    assert all(f"{reason} {n}" in behind.text for reason, n in by_reason.items())


def test_every_run_stands_beside_its_own_family(inputs: ReportInputs) -> None:
    shuffled = inputs.runs.sample(frac=1, random_state=2)
    page = render_appendix(dataclasses.replace(inputs, runs=shuffled), TEMPLATES)
    for name in ("dense", "moe"):
        rows = re.findall(rf"<tr><td>{name}-\d+</td><td>(.*?)</td>", page)
        assert set(rows) == {inputs.study["families"][name]}


def test_held_out_test_is_reported_or_its_lack_is(inputs: ReportInputs, appendix: str) -> None:
    assert "No run was held out" in appendix
    study = {**inputs.study, "held_out": [{"column": "flops", "above": 1e20}]}
    rendered = render_appendix(dataclasses.replace(inputs, study=study), TEMPLATES)
    assert "Runs were held out of every fit, but no law could be judged by them." in rendered
    assert "above" not in rendered.partition("Held-out test")[2][:300]
    assert "No run was held out" not in rendered


def test_counts_that_do_not_add_up_are_said(inputs: ReportInputs) -> None:
    short = dataclasses.replace(inputs, dropped=inputs.dropped.iloc[1:])
    assert "The counts do not add up" in render(short, TEMPLATES)


def test_no_dropped_row_and_no_quarantine_are_said(inputs: ReportInputs) -> None:
    runs = inputs.runs.assign(rows_dropped=0, rows_kept=inputs.runs["rows_in"], status=KEPT)
    clean = dataclasses.replace(inputs, runs=runs, dropped=inputs.dropped.iloc[:0])
    read = check_structure(render_appendix(clean, TEMPLATES))
    assert "No row was dropped." in read.text
    assert "No run was set aside." in read.text
    assert "table-dropped" not in read.ids


def test_long_drop_list_is_cut_and_says_where_the_rest_lies() -> None:
    made = make_inputs(runs_each=5000)
    assert len(made.dropped) > MOST_ROWS
    page = render_appendix(made, TEMPLATES)
    read = check_structure(page)
    assert read.rows["table-runs"] == read.rows["table-dropped"] == MOST_ROWS
    text = read.text
    assert f"The first {MOST_ROWS:,} of {len(made.dropped):,} rows" in text
    assert len(page) < 12e6
    assert len(csv_rows(page, "table-runs")) == len(made.runs)


def test_same_bytes_whatever_the_row_order(inputs: ReportInputs, pages: tuple[str, str]) -> None:
    assert render_both(inputs, TEMPLATES) == pages
    rng = np.random.default_rng(1)
    shuffled = dataclasses.replace(
        inputs,
        decision=inputs.decision.iloc[rng.permutation(len(inputs.decision))],
        runs=inputs.runs.iloc[rng.permutation(len(inputs.runs))],
        dropped=inputs.dropped.iloc[rng.permutation(len(inputs.dropped))],
        fits={f: dict(reversed(laws.items())) for f, laws in reversed(inputs.fits.items())},
    )
    assert render_both(shuffled, TEMPLATES) == pages


def test_figures_are_isolated_and_described(
    inputs: ReportInputs, read: Reader, behind: Reader
) -> None:
    sources = read.values("src") + behind.values("src")
    alts = read.values("alt") + behind.values("alt")
    assert len(sources) == len(alts) == len(inputs.figures)
    prefix = "data:image/svg+xml;base64,"
    decoded = [base64.b64decode(s.removeprefix(prefix)).decode() for s in sources]
    assert sorted(decoded) == sorted(f["svg"] for f in inputs.figures)
    for figure in inputs.figures:
        assert any(figure["alt"] in alt and figure["family"] in alt for alt in alts)
    assert "svg" not in read.tags + behind.tags


def test_synthetic_banner_only_on_synthetic_data(inputs: ReportInputs, read: Reader) -> None:
    assert "Synthetic data." in read.text
    real = dataclasses.replace(inputs, study={**inputs.study, "synthetic": False})
    assert "Synthetic data." not in Reader(render(real, TEMPLATES)).text


def test_methods_and_provenance_are_verbatim(
    inputs: ReportInputs, read: Reader, behind: Reader
) -> None:
    raw = "".join(behind.text_parts)
    assert inputs.provenance["config"] in raw
    assert inputs.provenance["command"] in "".join(read.text_parts)
    assert all(f["sha256"] in raw for f in inputs.provenance["files"])
    for words in (
        "Model size N counts all weights, embeddings included.",
        "Training compute C: C = 6ND, six FLOPs per weight and token",
        "tokens derived as C/(6N).",
        "400 draws of runs",
        "Further settings: delta 0.001; starts, alpha 0, 0.5, 1.",
        "starts agreeing 412",
        "at its bound",
    ):
        assert words in behind.text, words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (63.2e9, "63.2B"),
        (1.4e12, "1.4T"),
        (999_499, "999K"),
        (999_950, "1M"),
        (999.96, "1K"),
        (1000, "1K"),
        (950, "950"),
        (17.94, "17.9"),
        (0.512, "0.512"),
        (0, "0"),
        (1e-5, "1e-5"),
        (-2.5e6, "-2.5M"),
        (1e15, "1e15"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
    ],
)
def test_humanise(value: float, words: str) -> None:
    assert humanise(value) == words


def test_other_labels() -> None:
    assert [flops_label(x) for x in (5.76e23, 1e18, 9.999e20, 0.0)] == [
        "5.76e23",
        "1e18",
        "1e21",
        "0",
    ]
    assert [significant(x) for x in (1.9744, 2.1, 10.0)] == ["1.974", "2.100", "10.00"]
    assert [number(x) for x in (0.3473114, 2143.4, 3.1e-12)] == ["0.347311", "2143.4", "3.1e-12"]
    assert factor(192.0) == "192×"
    assert interval(1e9, float("inf")) == "1B to ∞"
    assert interval(float("nan"), 1.0) == "–"
    assert [count(1, "run"), count(1234, "run"), count(0, "row")] == [
        "1 run",
        "1,234 runs",
        "0 rows",
    ]


def test_an_estimate_without_interval_says_so() -> None:
    alone = {"point": 1.5, "lo80": None, "hi80": None, "lo95": None, "hi95": None}
    assert not formatted(alone, significant).has_interval
    assert formatted({**alone, "lo95": 1.4, "hi95": 1.6}, significant).has_interval
