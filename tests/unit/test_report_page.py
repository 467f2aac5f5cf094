"""The page as a whole: its order, its extremes, its tables as files, its colours, user's text."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.laws.common.fit_result import FAILED
from flopline.report.formatting import formatted, gist
from flopline.report.html_tables import MOST_CSV_BYTES, MOST_ROWS, csv_file
from flopline.report.page import ReportInputs, render, render_appendix, render_both
from flopline.schema import QUANTITIES
from flopline.verdict_scale import Verdict
from tests.builders.page_inputs import REASON, SVG, TEMPLATES, audits_of, make_inputs
from tests.builders.page_reading import Reader, check_pages, check_structure, csv_rows, figure_names

SCRIPT = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://x","y")'


def verdict_links(page: str) -> dict[str, str]:
    """{question: address} of the row of verdicts."""
    row = page.partition('class="verdicts"')[2].partition("</ul>")[0]
    links = re.findall(r'question">([^<]+)</span> <a href="([^"]+)"', row)
    return dict(links)


def element(page: str, anchor: str) -> tuple[str, int]:
    """The tag that has the id `anchor`, and where it stands in the page."""
    match = re.search(rf'<(\w+)[^>]*\sid="{re.escape(anchor)}"', page)
    assert match, anchor
    return match[1], match.start()


@pytest.fixture(scope="module")
def audited() -> ReportInputs:
    made = make_inputs({"dense": "Dense transformer", "moe": "Mixture of experts"}, 30)
    figures = [
        {"name": name, "family": label, "section": section, "title": name, "caption": "Said.",
         "alt": f"Synthetic data. Found by {name}.", "svg": SVG}
        for label in ("Mixture of experts", "Dense transformer")
        for name, section in (("isoflop", "laws"), ("ladder", "audit"), ("flow", "cleaning"))
    ]  # fmt: skip
    surface = {**figures[0], "name": "surface", "family": "", "title": "surface"}
    return dataclasses.replace(
        made, audits=audits_of("dense", "moe"), figures=[*figures, surface],
        downloads=[("decision.csv", "decision.csv", "every line"), ("latex/a.tex", "LaTeX", "")],
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(audited: ReportInputs) -> tuple[str, str]:
    return render_both(audited, TEMPLATES)


@pytest.fixture(scope="module")
def page(pages: tuple[str, str]) -> str:
    return pages[0]


@pytest.fixture(scope="module")
def appendix(pages: tuple[str, str]) -> str:
    return pages[1]


def test_sections_stand_in_the_order_of_a_readers_questions(pages: tuple[str, str]) -> None:
    check_pages(*pages)
    for page, wanted in zip(
        pages,
        (
            ["answer", "sure", "wrong", "targets", "evidence", "findings", "data", "provenance"],
            ["figures", "audit", "laws", "parameters", "fits", "data-tables", "methods",
             "checklist", "inputs"],
        ),
        strict=True,
    ):  # fmt: skip
        places = [element(page, anchor)[1] for anchor in wanted]
        assert places == sorted(places)
        contents = page.partition('aria-label="Contents"')[2].partition("</nav>")[0]
        assert re.findall(r'href="#([\w-]+)"', contents) == wanted


def test_every_verdict_leads_to_its_evidence_itself(pages: tuple[str, str]) -> None:
    links = verdict_links(pages[0])

    def evidence(question: str) -> tuple[str, str]:
        """The tag that a question leads to, and the page from there on."""
        name, _, anchor = links[question].partition("#")
        page = pages[1] if name else pages[0]
        tag, start = element(page, anchor)
        return tag, page[start:]

    expected = {
        "Do the laws agree?": "tr",
        "Do small runs predict large ones?": "figure",
        "Can the runs tell the terms of the parametric law apart?": "table",
        "Were the runs trained alike, and well?": "table",
        "Did every fit converge?": "section",
    }
    assert {question: evidence(question)[0] for question in expected} == expected
    _, ladder = evidence("Do small runs predict large ones?")
    assert 'alt="ladder, Dense transformer. Synthetic data. Found by ladder."' in ladder[:2000]
    _, target = evidence("Do the laws agree?")
    assert "C = 5.76e23 FLOPs" in target[:400]
    of_terms = "appendix.html#audit-1-identifiability-ratios"
    assert links["Can the runs tell the terms of the parametric law apart?"] == of_terms
    assert len(links) >= 9


def test_a_verdict_of_an_audit_says_what_the_audit_says(page: str) -> None:
    for state, label, detail in (
        ("refuted", "They cannot", "What identifiability found of dense."),
        ("warned", "Not in every respect", "What hygiene found of dense."),
    ):
        assert re.search(rf'<li class="{state}">.*?{label}</a> <span>{detail}</span>', page), label
    # What the ladder says of the line that is followed stands beside the answer.
    assert re.search(r'<li class="good">.*?They do</a></li>', page)
    assert "No audit was made" not in page


def test_without_audits_the_verdicts_say_that_nothing_was_tested() -> None:
    page = render(make_inputs(), TEMPLATES)
    assert verdict_links(page)["Was the law put to the test?"] == "appendix.html#audit"
    assert Reader(page).text.count("No audit was made") == 1


def test_the_evidence_is_the_headlines_family_and_the_appendix_has_the_rest(
    page: str, appendix: str
) -> None:
    drawn = [figure_names(text) for text in (page, appendix)]
    assert [title for _, title in drawn[0]] == [
        "isoflop, Dense transformer", "surface", "ladder, Dense transformer"
    ]  # fmt: skip
    assert [title for _, title in drawn[1]] == [
        "flow, Dense transformer",
        *(f"{name}, Mixture of experts" for name in ("isoflop", "ladder", "flow")),
    ]
    assert [int(number) for number, _ in drawn[0] + drawn[1]] == list(range(1, 8))
    figures = appendix.partition('id="figures-title"')[2].partition('id="audit"')[0]
    assert figures.partition("<details data-print")[0].count("<figure") == 1


def test_figures_that_a_sentence_stands_for_are_neither_counted_nor_numbered(
    audited: ReportInputs,
) -> None:
    """The page promised 16 more figures of 15, and the numbers went from 7 to 9."""
    figures = [{**f, "instead": "None is drawn." if f["name"] == "flow" else ""}
               for f in audited.figures]  # fmt: skip
    page, appendix = render_both(dataclasses.replace(audited, figures=figures), TEMPLATES)
    drawn = [figure_names(text) for text in (page, appendix)]
    assert [int(number) for number, _ in drawn[0] + drawn[1]] == [1, 2, 3, 4, 5]
    assert "has 2 more figures." in Reader(page).text
    assert "Mixture of experts 2 figures" in Reader(appendix).text
    assert appendix.count("None is drawn.") == 2


def test_downloads_are_named_with_their_notes(page: str) -> None:
    assert '<a href="decision.csv">decision.csv</a> <span class="sub">every line</span>' in page
    assert '<a href="latex/a.tex">LaTeX</a>' in page
    assert 'id="downloads"' not in render(make_inputs(), TEMPLATES)


def test_every_table_has_a_caption_headed_columns_and_a_file(appendix: str) -> None:
    page = appendix
    tables = re.findall(r"<table[^>]*>.*?</table>", page, flags=re.DOTALL)
    assert len(tables) > 20
    for table in tables:
        table_id = re.search(r'^<table[^>]*\sid="([^"]+)"', table)
        assert table_id, table[:80]
        assert re.search(r'<caption class="unseen">[^<]+</caption>', table), table_id[1]
        assert not re.search(r"<th(?![^>]*\bscope=)[ >]", table), table_id[1]
        assert csv_rows(page, table_id[1]), table_id[1]


def test_decision_csv_holds_every_digit_with_units(audited: ReportInputs, appendix: str) -> None:
    rows = csv_rows(appendix, "laws-1-table")
    lines = audited.decision.query("family == 'dense' and main")
    assert len(rows) == len(lines)
    for row in rows:
        (line,) = lines.query(
            f"law == '{row['law']}' and budget_flops == {row['budget_flops [FLOPs]']}"
        ).to_dict("records")
        for name, unit in (("params", "weights"), ("tokens", "tokens"), ("loss", "nats per token")):
            for end in ("", "_lo80", "_hi80", "_lo95", "_hi95"):
                assert float(row[f"{name}{end} [{unit}]"]) == line[f"{name}{end}"]
    of_law = csv_rows(appendix, "laws-1-isoflop")
    assert len(of_law) == len(audited.decision.query("family == 'dense' and law == 'isoflop'"))


def test_csv_of_runs_holds_the_numbers_not_their_short_texts(
    audited: ReportInputs, appendix: str
) -> None:
    rows = {row["run"]: row for row in csv_rows(appendix, "table-runs")}
    for run in audited.runs.to_dict("records"):
        assert float(rows[run["run"]]["params [weights]"]) == run["params"]
        assert int(rows[run["run"]]["rows_in"]) == run["rows_in"]


def test_sort_keys_are_the_numbers_in_full(audited: ReportInputs, appendix: str) -> None:
    laws = appendix.partition('id="laws-1-table"')[2].partition("</table>")[0]
    keys = {float(key) for key in re.findall(r'data-sort="([^"]+)"', laws)}
    assert set(audited.decision.query("family == 'dense' and main")["params"]) <= keys


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("a=b", "a=b"),
        (-1.5, "-1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (np.float64(2.5), "2.5"),
        (7, "7"),
        (True, "true"),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        ('say "a", b', 'say "a", b'),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_field_of_a_csv_is_exact_and_runs_nothing(value: Any, field: str) -> None:
    frame = pd.DataFrame({"x": pd.Series([value], dtype=object), "y": ["end"]})
    file = csv_file(frame, {"x": "", "y": "unit"})
    assert (file.rows, file.total) == (1, 1)
    page = f'data-for="t"> <a class="csv" href="{file.href}"'
    assert csv_rows(page, "t") == [{"x": field, "y [unit]": "end"}]


def test_a_csv_stays_below_what_a_browser_saves() -> None:
    frame = pd.DataFrame({"x": ["y" * 1000] * 5000})
    file = csv_file(frame, {"x": ""})
    assert 0 < file.rows < file.total == 5000
    assert len(file.href) < 2 * 2**20
    assert MOST_CSV_BYTES - 1100 < file.rows * 1001 <= MOST_CSV_BYTES


def test_words_of_the_user_are_never_markup_nor_formulas() -> None:
    families = {"dense": SCRIPT, "moe": f'" onload="alert(1) {SCRIPT}'}
    made = make_inputs(families, 30)
    runs = made.runs.copy()
    runs.loc[:1, "run"] = [SCRIPT, FORMULA]
    runs.loc[:1, "source"] = [SCRIPT, "@SUM(A1)"]
    fits: Mapping[str, Any] = {
        f: {law: {**fit, "message": SCRIPT} for law, fit in laws.items()}
        for f, laws in made.fits.items()
    }
    hostile = dataclasses.replace(
        made,
        runs=runs,
        dropped=made.dropped.assign(run=SCRIPT, source=FORMULA),
        fits=fits,
        decision=made.decision.assign(message=SCRIPT, label=SCRIPT),
        audits=audits_of("dense"),
        study={**made.study, "title": SCRIPT, "description": SCRIPT, "notes": [SCRIPT],
               "loss_label": SCRIPT, "reporting": {"data": SCRIPT}},
        figures=[{**f, "title": SCRIPT, "caption": SCRIPT, "alt": SCRIPT} for f in made.figures],
        downloads=[("x", SCRIPT, SCRIPT)],
    )  # fmt: skip
    answer, page = render_both(hostile, TEMPLATES)
    for each, count in ((answer, 8), (page, 15)):
        read = check_structure(each)
        assert SCRIPT not in each
        assert read.tags["script"] == 1
        assert not [name for _, name, _ in read.attributes if name.startswith("on")]
        assert read.text.count(SCRIPT) > count
    names = {row["run"] for row in csv_rows(page, "table-runs")}
    assert f"'{FORMULA}" in names
    assert SCRIPT in names
    assert csv_rows(page, "table-dropped")[0]["source"] == f"'{FORMULA}"


@pytest.mark.parametrize(
    ("families", "runs_each"),
    [(1, 5), (1, 5000), (6, 60)],
)
def test_extremes_are_pages_of_bounded_size(families: int, runs_each: int) -> None:
    named = {f"f{i}": f"Family {i}" for i in range(families)}
    made = dataclasses.replace(make_inputs(named, runs_each), audits=audits_of(*named))
    answer, page = render_both(made, TEMPLATES)
    _, read = check_pages(answer, page)
    assert max(read.rows.values()) <= MOST_ROWS
    assert len(page) < 12e6
    assert len(answer) < 3e5
    assert len(csv_rows(page, "table-runs")) == families * runs_each
    assert ("stand here, and sorting" in page) == (families * runs_each > MOST_ROWS)


@pytest.mark.parametrize("targets", [1, 20])
def test_one_target_or_many(targets: int) -> None:
    made = make_inputs()
    one = made.decision[made.decision["budget_flops"] == made.decision["budget_flops"].max()]
    budgets = np.geomspace(1e21, one["budget_flops"].iloc[0], targets)[::-1]
    decision = pd.concat([one.assign(budget_flops=c) for c in budgets], ignore_index=True)
    answer, page = render_both(dataclasses.replace(made, decision=decision), TEMPLATES)
    check_pages(answer, page)
    assert page.count('class="group" id="laws-1-target-') == targets
    assert ('id="table-recommended"' in answer) == (targets > 1)


def test_a_law_that_failed_is_in_the_verdicts_with_its_reason_in_sight() -> None:
    answer, page = render_both(make_inputs(fail="isoflop"), TEMPLATES)
    assert re.search(r'<li class="refuted">.*?1 of 3 fits failed</a>', answer)
    fits = page.partition('id="fits-title"')[2].partition("</section>")[0]
    assert fits.count("<details id") == 3
    assert REASON in fits.partition(" open>")[2]
    empty = csv_rows(page, "table-exponents")
    assert [row["point"] for row in empty if row["status"] == FAILED] == ["", ""]


def test_a_training_loss_is_called_one_wherever_the_loss_is_named() -> None:
    made = make_inputs()
    study = {**made.study, "loss_split": "train", "loss_label": "Training loss"}
    answer, behind = (
        Reader(page).text for page in render_both(dataclasses.replace(made, study=study), TEMPLATES)
    )
    assert "the loss is a training loss" in answer
    assert "Every loss here is a training loss" in behind
    for text in (answer, behind):
        assert "validation loss" not in text.lower()
    assert all("training loss" not in Reader(page).text for page in render_both(made, TEMPLATES))


def test_the_page_says_the_unit_of_the_loss_and_no_other() -> None:
    made = make_inputs()
    bare = {"study": {**made.study, "loss_unit": "bits_per_byte"}, "audits": {}, "figures": []}
    verdict = {**made.verdict, "loss_unit": "bits_per_byte"}
    decision = made.decision.assign(loss_unit="bits_per_byte")
    answer, page = render_both(
        dataclasses.replace(made, **bare, verdict=verdict, decision=decision), TEMPLATES
    )
    assert '<span class="unit">bits per byte</span>' in answer
    assert "in bits per byte" in page
    assert "nats" not in answer + page


def test_6nd_over_c_takes_a_sentence_where_it_is_always_one() -> None:
    made = make_inputs()
    ratio = {c: 1.0 for c in made.decision if c.startswith("flops_ratio")}
    spent = render_appendix(
        dataclasses.replace(made, decision=made.decision.assign(**ratio)), TEMPLATES
    )
    assert "(6ND/C = 1.00)" in spent
    assert "1.00 to 1.00" not in spent
    off = made.decision.assign(**{**ratio, "flops_ratio": 0.92})
    page = render_appendix(dataclasses.replace(made, decision=off), TEMPLATES)
    assert "(6ND/C = 1.00)" not in page
    assert '<th scope="col" class="num">6ND/C' in page


def test_an_interval_that_is_the_point_itself_is_said_in_words() -> None:
    one = {"point": 1.0, "lo80": 0.9999, "hi80": 1.0001, "lo95": 0.9998, "hi95": 1.0002}
    assert formatted(one, lambda x: f"{x:.2f}").fixed
    assert not formatted({**one, "hi95": 1.02}, lambda x: f"{x:.2f}").fixed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Short. Next one.", "Short."),
        ("At 1.5 of 2. then more", "At 1.5 of 2. then more"),
        ("A" * 100 + ", while " + "b" * 100 + ".", "A" * 100 + "."),
        ("B" * 200 + "; c.", "B" * 200 + "; c."),
        ("It falls so far. gru: " + "d" * 150 + ".", "It falls so far. gru: " + "d" * 150 + "."),
        ("It falls as so: " + "d" * 150 + ".", "It falls as so."),
    ],
)
def test_the_gist_is_the_first_sentence_or_its_first_clauses(text: str, words: str) -> None:
    assert gist(text) == words


def test_alternative_texts_state_the_finding(pages: tuple[str, str]) -> None:
    alts = [alt for page in pages for alt in Reader(page).values("alt") if alt]
    assert len(alts) == 7
    assert all("Synthetic data. Found by" in alt for alt in alts)


def luminance(colour: str) -> float:
    """Relative luminance of a hex colour (WCAG 2, definition of relative luminance)."""
    digits = colour.lstrip("#")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_text_stands_out_from_its_ground_in_both_modes(mode: str) -> None:
    sheet = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{([^}]*)\}", sheet)
    assert len(roots) == 3
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", roots[0]))
    if mode != "light":
        block = roots[1 if mode == "dark" else 2]
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block))
    colours |= {v.css: v.look.dark if mode == "dark" else v.look.light for v in Verdict}
    assert contrast("#000", "#fff") == pytest.approx(21)
    grounds = [colours[name] for name in ("paper", "wash", "pick")]
    for name in ("ink", "soft", "link", *(verdict.css for verdict in Verdict)):
        for ground in grounds:
            assert contrast(colours[name], ground) >= 4.5, (mode, name, ground)
    assert contrast(colours["strong-rule"], colours["paper"]) >= 3


def test_no_quantity_of_the_decision_is_left_out_of_its_csv(appendix: str) -> None:
    columns = {name.partition(" [")[0] for name in csv_rows(appendix, "laws-1-table")[0]}
    assert set(QUANTITIES) <= columns
