"""Snakemake's own report (--report) of the default study: built without network, then looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.workflow.conftest import DEFAULT, Checkout

pytestmark = [pytest.mark.workflow, pytest.mark.browser]

CATEGORIES = {"Decision", "Laws", "Audit", "Data"}


@pytest.fixture(scope="module")
def engine_report(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = Checkout(study_folder.parents[1])
    file = tmp_path_factory.mktemp("engine") / "report.html"
    done = checkout.snakemake("--report", str(file), study=DEFAULT)
    assert done.returncode == 0, done.stderr
    return file


def test_every_figure_stands_in_it_with_category_label_and_caption(
    open_page: OpenPage, engine_report: Path, study_folder: Path
) -> None:
    page = open_page(file=engine_report)
    results = page.evaluate(
        "Object.fromEntries(Object.entries(results).map(([path, r]) =>"
        " [path, { caption: r.caption, labels: r.labels }]))"
    )
    drawn = [path.relative_to(study_folder) for path in study_folder.glob("figures/**/*.svg")]
    assert len(drawn) > 8
    base = f"results/{DEFAULT}"
    others = ("report.html", "appendix.html", "decision.csv")
    paths = {f"{base}/{path}" for path in drawn} | {f"{base}/{name}" for name in others}
    assert set(results) == paths
    captions = {path: result["caption"] for path, result in results.items()}
    assert all(len(caption) > 60 for caption in captions.values())
    assert "1e14 FLOPs" in captions[f"{base}/figures/mingru/isoflop.svg"]
    assert "{{" not in "".join(captions.values())
    assert "2000 bootstrap draws" in captions[f"{base}/report.html"]
    labels = {path: result["labels"] for path, result in results.items()}
    assert labels[f"{base}/figures/mingru/ladder.svg"] == {"what": "ladder", "family": "minGRU"}
    assert len({str(label) for label in labels.values()}) == len(labels)
    categories = page.evaluate("Object.keys(categories)")
    assert set(categories) <= CATEGORIES
    assert {"Decision", "Laws", "Audit"} <= set(categories)


def test_a_reader_finds_what_it_is_and_a_figure(open_page: OpenPage, engine_report: Path) -> None:
    page = open_page(file=engine_report)
    expect(page.locator("body")).to_contain_text("This run is of the study tinylm")
    page.locator("a, button, li, div").get_by_text("Laws", exact=True).first.click()
    table = page.locator("table").first
    expect(table).to_contain_text("isoflop")
    expect(table).to_contain_text("minGRU")
    table.locator("tbody tr", has_text="surface").locator("a").first.click()
    expect(page.locator("img, iframe").last).to_be_visible()
    open_page.shoot(page, "surface")
