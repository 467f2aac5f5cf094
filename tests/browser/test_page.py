"""The report page of the default study in a real browser."""

from __future__ import annotations

import base64
import csv
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from flopline.errors import FloplineError
from flopline.printing import print_page
from flopline.report.formatting import sentences_of
from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.workflow, pytest.mark.browser]

# A page that takes longer is broken, whatever the machine.
ENDLESS_S = 20
MOST_WORDS, MOST_CAPTION_WORDS = 1500, 30
MOST_PX = 8000
"""What a reader meets on the page: words, words below a figure, height at a width of 1280."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
"""Of axe-core."""


@pytest.fixture(scope="module")
def still(browser: Browser, page_file: Path) -> Iterator[Page]:
    """The page opened once, for tests that read it and leave it as it is."""
    opened = OpenPage(browser, lambda: page_file, "still")
    page = opened()
    yield page
    opened.close()
    assert opened.seen[page].errors == []


@pytest.fixture(scope="module")
def behind(browser: Browser, appendix_file: Path) -> Iterator[Page]:
    """The appendix, in the same way."""
    opened = OpenPage(browser, lambda: appendix_file, "behind")
    page = opened()
    yield page
    opened.close()
    assert opened.seen[page].errors == []


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_the_page_is_one_file_that_asks_nothing_of_the_network(
    open_page: OpenPage,
    page_file: Path,
    colour_scheme: str,
    record_property: Callable[[str, object], None],
) -> None:
    start = time.perf_counter()
    page = open_page(colour_scheme=colour_scheme)
    seconds = time.perf_counter() - start
    record_property(f"page opened, {colour_scheme}", f"{seconds:.2f} s")
    assert seconds < ENDLESS_S
    assert open_page.seen[page].errors == []
    fetched = [url for url in open_page.seen[page].requests if not url.startswith("data:")]
    assert fetched == [page_file.as_uri()]
    open_page.shoot(page, "whole", full=True)


def test_dark_is_dark_and_light_is_light(open_page: OpenPage) -> None:
    light, dark = (_brightness(open_page(colour_scheme=s)) for s in ("light", "dark"))
    assert dark < 60
    assert light > 200


@pytest.mark.parametrize("name", ["report", "appendix"])
@pytest.mark.parametrize("width", [320, 400])
def test_a_narrow_window_never_scrolls_sideways(
    open_page: OpenPage, study_folder: Path, width: int, name: str
) -> None:
    page = open_page(viewport=(width, 800), file=study_folder / f"{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    if width == 400:
        open_page.shoot(page, "whole", full=True)


def test_a_table_sorts_by_the_numbers_behind_its_words(
    open_page: OpenPage, appendix_file: Path
) -> None:
    page = open_page(file=appendix_file)
    table = _opened(page.locator("#table-runs"))
    header = table.locator("th").nth(_column(table, "Params"))
    keys = f"td:nth-child({_column(table, 'Params') + 1})"
    assert header.get_attribute("aria-sort") is None
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    ascending = _sort_keys(table, keys)
    assert len(ascending) > 100
    assert len(set(ascending)) > 10
    assert ascending == sorted(ascending)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert _sort_keys(table, keys) == sorted(ascending, reverse=True)


def test_a_table_sorts_by_the_keyboard_too(open_page: OpenPage, appendix_file: Path) -> None:
    page = open_page(file=appendix_file)
    button = _opened(page.locator("#table-runs")).locator("th button").first
    button.focus()
    page.keyboard.press("Enter")
    assert button.locator("xpath=..").get_attribute("aria-sort") == "ascending"


def test_a_filter_leaves_the_rows_that_hold_every_word_and_counts_them(
    open_page: OpenPage, appendix_file: Path
) -> None:
    page = open_page(file=appendix_file)
    table = _opened(page.locator("#table-runs"))
    tools = page.locator(".table-tools[data-for=table-runs]")
    rows = table.locator("tbody tr")
    every = rows.count()
    tools.locator("input").fill("mingru s1")
    left = rows.locator("visible=true").all_inner_texts()
    assert 0 < len(left) < every
    assert all("mingru" in text.lower() and "s1" in text.lower() for text in left)
    assert f"{len(left)} of {every} rows" in tools.inner_text()
    tools.locator("input").fill("no run is called this")
    assert rows.locator("visible=true").count() == 0
    tools.locator("input").fill("")
    assert rows.locator("visible=true").count() == every


def test_every_link_of_the_pages_leads_to_something_that_is_there(
    still: Page, behind: Page
) -> None:
    for page, other, name in ((still, behind, "appendix.html"), (behind, still, "report.html")):
        for start, goal in (("#", page), (name, other)):
            hrefs = page.eval_on_selector_all(
                f"a[href^='{start}']", "links => links.map((a) => a.hash).filter(Boolean)"
            )
            # The state of the planner stands behind a question mark.
            anchors = {h[1:].partition("?")[0] for h in hrefs}
            assert [a for a in anchors if not goal.locator(f"[id='{a}']").count()] == []


def test_every_verdict_leads_to_evidence_that_the_reader_then_sees(open_page: OpenPage) -> None:
    page = open_page()
    links = page.locator(".verdicts a")
    assert links.count() > 3
    for index in range(links.count()):
        href = links.nth(index).get_attribute("href") or ""
        links.nth(index).click()
        anchor = href.partition("#")[2]
        evidence = page.locator(f"[id='{anchor}']")
        evidence.wait_for()
        page.wait_for_function(
            "(id) => { const box = document.getElementById(id).getBoundingClientRect();"
            " return box.top < innerHeight && box.bottom > 0 }",
            arg=anchor,
        )
        if not href.startswith("#"):
            page.go_back()


def test_the_keyboard_comes_to_the_skip_link_first_and_past_the_contents_with_it(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert "Skip to the answer" in focused.inner_text()
    box = focused.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('nav')")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('main')")
    assert not page.evaluate("!!document.activeElement.closest('nav')")


def test_headings_go_down_one_level_at_a_time_below_one_title(still: Page, behind: Page) -> None:
    for page in (still, behind):
        levels = page.eval_on_selector_all(
            "h1, h2, h3, h4, h5, h6", "all => all.map((h) => Number(h.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_every_picture_says_what_it_shows(still: Page, behind: Page) -> None:
    every = []
    for page in (still, behind):
        alts = page.eval_on_selector_all("img", "all => all.map((i) => i.getAttribute('alt'))")
        assert len(alts) > 4
        assert all(alt and len(alt) > 20 for alt in alts)
        unseen = "all => all.filter((i) => !i.naturalWidth).length"
        assert page.eval_on_selector_all("img", unseen) == 0
        every += alts
    assert len(set(every)) == len(every)


def test_the_page_says_the_same_without_scripts(open_page: OpenPage, still: Page) -> None:
    without = open_page(java_script_enabled=False)
    for part in ("#answer-title", ".numbers"):
        assert without.locator(part).inner_text() == still.locator(part).inner_text()
    # What a script works out is in a section that is not shown without one, and says so.
    assert without.locator("#planner").is_hidden()
    assert still.locator("#plan-said .lead").count() == 1
    assert _rows(without) == _rows(still)


def test_make_pdf_prints_the_page_on_several_sheets(page_file: Path, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    try:
        print_page(page_file, printed)
    except FloplineError as missing:
        pytest.skip(str(missing))
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 1


def test_the_answer_is_printed_on_one_sheet_and_no_empty_fold(
    open_page: OpenPage, appendix_file: Path
) -> None:
    # A4 without its margins of 18 and 16 mm, in CSS pixels.
    sheet = (round((210 - 32) / 25.4 * 96), round((297 - 36) / 25.4 * 96))
    for file in (None, appendix_file):
        page = open_page(viewport=sheet, file=file)
        page.emulate_media(media="print")
        if file is None:
            box = page.locator("#sure").bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= sheet[1]
        empty = page.locator("details:not([open], [data-print], figcaption *) > summary")
        assert [fold for fold in empty.all() if fold.is_visible()] == []


def test_every_table_can_be_had_as_csv_with_a_line_for_every_row(behind: Page) -> None:
    still = behind
    links = still.locator("a[download$='.csv']")
    assert links.count() > 3
    for index in range(links.count()):
        address = links.nth(index).get_attribute("href") or ""
        kind, _, encoded = address.partition(",")
        assert kind.startswith("data:text/csv"), kind
        rows = list(csv.reader(base64.b64decode(encoded).decode("utf-8-sig").splitlines()))
        assert len(rows) > 1
        assert len({len(row) for row in rows}) == 1
    with still.expect_download() as download:
        links.first.evaluate("(link) => link.click()")
    assert download.value.suggested_filename.endswith(".csv")
    assert Path(download.value.path()).stat().st_size > 0


def test_the_page_is_read_in_a_minute(still: Page, open_page: OpenPage) -> None:
    still.wait_for_selector("#planner:not([hidden])", state="attached")
    count = len(still.evaluate("document.body.innerText").split())
    height = still.evaluate("document.documentElement.scrollHeight")
    narrow = open_page(viewport=(400, 850))
    print(f"{count} words; {height} px, on a phone {_height(narrow)} px")
    assert count <= MOST_WORDS
    assert height <= MOST_PX


def test_no_sentence_with_a_number_stands_twice(still: Page) -> None:
    blocks = still.evaluate("document.body.innerText").split("\n")
    sentences = [part for block in blocks for part in sentences_of(block.strip())]
    numbers = [part for part in sentences if re.search(r"\d.*[.!?]$", part)]
    assert len(numbers) > 10
    assert [part for part, times in Counter(numbers).items() if times > 1] == []


def test_captions_are_short_and_how_to_read_a_figure_is_folded(still: Page) -> None:
    for caption in still.locator("figcaption").all():
        title = caption.locator("b").inner_text()
        below = caption.inner_text().removeprefix(title).replace("How to read it", "")
        assert len(below.split()) <= MOST_CAPTION_WORDS


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [(1280, 900), (400, 850)])
def test_the_first_screen_holds_claim_numbers_cost_and_chart(
    open_page: OpenPage, colour_scheme: str, viewport: tuple[int, int]
) -> None:
    page = open_page(viewport=viewport, colour_scheme=colour_scheme)
    open_page.shoot(page, f"first-{viewport[0]}-{colour_scheme}")
    parts = ["#answer-title", ".numbers", ".cost", ".first .plate img"]
    parts += ["#sure .card"] * (viewport[0] > 1000)
    for part in parts:
        for box in [one.bounding_box() for one in page.locator(part).all()]:
            assert box is not None
            assert box["y"] + min(box["height"], 150) <= viewport[1], part


@pytest.mark.parametrize("name", ["report", "appendix"])
@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_axe_finds_no_fault(
    open_page: OpenPage, study_folder: Path, colour_scheme: str, name: str
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python",
        reason="NO PAGE IS TESTED BY AXE: axe-playwright-python is missing.",
    )
    page = open_page(colour_scheme=colour_scheme, file=study_folder / f"{name}.html")
    page.evaluate((Path(axe.__path__[0]) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("(rules) => axe.run({ runOnly: rules })", RULES)
    faults = [(v["id"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in found["violations"]]
    assert faults == []
    assert len(found["passes"]) > 20


def _height(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollHeight"))


def _brightness(page: Page) -> float:
    """Mean of the background's red, green and blue, 0 to 255."""
    colour = page.evaluate(
        "[document.body, document.documentElement].map((e) => getComputedStyle(e).backgroundColor)"
        ".find((c) => c !== 'rgba(0, 0, 0, 0)')"
    )
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return (red + green + blue) / 3


def _rows(page: Page) -> list[str]:
    """What stands in every row of the page, those of the planner aside."""
    return page.locator("tbody tr").evaluate_all(
        "rows => rows.filter((r) => !r.closest('#planner')).map((r) => r.textContent)"
    )


def _opened(table: Locator) -> Locator:
    """The table, with every <details> around it open."""
    table.evaluate(
        "(t) => { for (let d = t.closest('details'); d; d = d.parentElement.closest('details'))"
        " d.open = true }"
    )
    return table


def _column(table: Locator, header: str) -> int:
    headers = table.locator("thead th").all_inner_texts()
    return next(i for i, text in enumerate(headers) if text.startswith(header))


def _sort_keys(table: Locator, cells: str) -> list[float]:
    return [
        float(x) for x in table.locator(cells).evaluate_all("all => all.map((c) => c.dataset.sort)")
    ]
