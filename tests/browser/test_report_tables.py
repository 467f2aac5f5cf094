"""Tables, folds and copies of a small made-up page in a real browser."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from flopline.report.page import render_appendix
from tests.builders.page_inputs import TEMPLATES, audits_of, make_inputs

harness = pytest.importorskip(
    "tests.browser.conftest", reason="NO TABLE IS TESTED IN A BROWSER: its harness is missing."
)

pytestmark = [pytest.mark.workflow, pytest.mark.browser]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two families with audits, and of more runs than it shows."""
    families = {"dense": "Dense transformer", "moe": "Mixture of experts"}
    made = dataclasses.replace(make_inputs(families, 700), audits=audits_of(*families))
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_appendix(made, TEMPLATES), encoding="utf-8")
    return file


def points(page: Any, table: str, column: int) -> list[list[float]]:
    """The sort keys of a column, group by group, in the order in which they stand."""
    keys: list[list[float]] = page.evaluate(
        "([id, c]) => Array.from(document.getElementById(id).tBodies, (body) =>"
        " Array.from(body.rows).filter((r) => !r.classList.contains('group'))"
        ".map((r) => Number(r.cells[c].dataset.sort)))",
        [table, column],
    )
    return keys


def test_rows_are_sorted_inside_their_group_whose_head_stays(open_page: Any, small: Path) -> None:
    page = open_page(file=small)
    table = page.locator("#laws-1-table")
    heads = table.locator("tr.group").all_inner_texts()
    assert len(heads) == 2
    for order in ("ascending", "descending"):
        table.locator("thead button").nth(1).click()
        assert table.locator("thead th").nth(1).get_attribute("aria-sort") == order
        for keys in points(page, "laws-1-table", 1):
            assert len(keys) == 3
            assert keys == sorted(keys, reverse=order == "descending")
        assert table.locator("tr.group").all_inner_texts() == heads
        assert table.locator("tbody tr:first-child.group").count() == 2
    status = page.locator('[data-for="laws-1-table"] output').inner_text()
    assert status.startswith("Sorted by Params N")


def test_a_search_hides_groups_without_a_hit(open_page: Any, small: Path) -> None:
    page = open_page(file=small)
    page.locator("#checklist-items > summary").click()
    page.locator('[data-for="table-checklist"] input').fill("tokenizer")
    visible = page.locator("#table-checklist tbody tr:visible").all_inner_texts()
    assert len(visible) == 2
    assert visible[0] == "Training setup"
    page.locator('[data-for="table-checklist"] input').fill("")
    assert page.locator("#table-checklist tr.group:visible").count() == 4


def test_a_csv_is_saved_with_every_row(open_page: Any, small: Path) -> None:
    page = open_page(file=small, accept_downloads=True)
    page.evaluate("document.getElementById('table-runs').closest('details').open = true")
    with page.expect_download() as saved:
        page.locator('[data-for="table-runs"] a.csv').click()
    assert saved.value.suggested_filename == "demo-runs.csv"
    lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 1400
    assert lines[0].startswith("run,family,status,params [weights]")
    assert page.locator("#table-runs tbody tr").count() == 1000


def test_a_long_table_sorts_with_missing_values_last(open_page: Any, small: Path) -> None:
    page = open_page(file=small)
    page.evaluate("document.getElementById('table-runs').closest('details').open = true")
    page.evaluate("document.querySelector('#table-runs tbody td[data-sort]').textContent = '–'")
    page.evaluate("document.querySelector('#table-runs tbody td[data-sort]').dataset.sort = ''")
    header = page.locator("#table-runs thead button", has_text="Params").first
    for order in (1, -1):
        header.click()
        (keys,) = points(page, "table-runs", 3)
        known = [order * key for key in keys[:-1]]
        assert known == sorted(known)
        assert keys[-1] == 0
        assert not any(map(math.isnan, known))


def test_methods_are_copied_as_they_stand(open_page: Any, small: Path) -> None:
    page = open_page(file=small, permissions=["clipboard-read", "clipboard-write"])
    for name in ("methods-plain", "methods-latex", "methods-bibtex"):
        page.evaluate(
            "(id) => { document.getElementById(id).closest('details').open = true }", name
        )
        tools = page.locator(f'[data-copy="{name}"]')
        tools.locator("button").click()
        tools.locator("output", has_text="Copied").wait_for()
        text = page.evaluate("navigator.clipboard.readText()")
        assert text == page.locator(f"#{name}").text_content()
        assert "2022" in text


@pytest.mark.parametrize("anchor", ["audit-1-identifiability-ratios", "fit-2", "table-dropped"])
def test_a_link_into_a_fold_opens_it(open_page: Any, small: Path, anchor: str) -> None:
    page = open_page(file=small, anchor=f"#{anchor}")
    target = page.locator(f"[id='{anchor}']")
    assert target.is_visible()
    box = target.bounding_box()
    assert box is not None
    assert -1 < box["y"] < 900


def test_focus_is_seen(open_page: Any, small: Path) -> None:
    page = open_page(file=small)
    for _ in range(4):
        page.keyboard.press("Tab")
    width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(width.removesuffix("px")) >= 2
