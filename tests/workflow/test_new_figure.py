"""A figure is one file and one line: docs/extending.md followed to the letter in a copy."""

from __future__ import annotations

import base64
import json
import re
import zipfile
from html import unescape
from pathlib import Path

import pytest

from tests.builders.checklists import templates
from tests.builders.page_reading import figure_names
from tests.workflow.conftest import FAMILIES, PAGE, Checkout

pytestmark = pytest.mark.workflow

NAME = "ratios"
MODULE = f"workflow/flopline/figures/{NAME}_figure.py"
REGISTRY = "workflow/flopline/figures/registry.py"
RESULTS = Path("results/toy")
LABELS = {"ash": "Ash", "birch": "Birch"}


@pytest.fixture(scope="module")
def checkout(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The finished toy study, then the new figure, then the study again."""
    made = finished.copy(tmp_path_factory.mktemp("figure") / "repo")
    (made.folder / "workflow/sitecustomize.py").unlink()
    before = made.touched()  # by the toy study alone
    module, line = templates("a figure")
    (made.folder / MODULE).write_text(module)
    made.edit(REGISTRY, "\n)", f"\n    {line.strip()}\n)")
    assert sorted(set(made.touched()) - set(before)) == [MODULE, REGISTRY]
    # No job of another figure is concerned.
    assert made.planned() == {f"figure_{NAME}": len(FAMILIES)} | PAGE
    done = made.snakemake()
    assert done.returncode == 0, done.stderr
    assert made.planned() == {}
    return made


def words(checkout: Checkout, family: str) -> dict[str, str]:
    """What the figure's job says of it."""
    file = checkout.folder / RESULTS / f"figures/{family}/{NAME}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def test_it_is_drawn_in_every_format_with_words_of_its_own(checkout: Checkout) -> None:
    for family in FAMILIES:
        stem = checkout.folder / RESULTS / f"figures/{family}/{NAME}"
        for end in ("svg", "png", "pdf"):
            assert stem.with_suffix(f".{end}").stat().st_size > 1000
        figure_words = words(checkout, family)
        assert figure_words["title"] == "Tokens per parameter"
        assert re.fullmatch(
            r"Tokens per parameter of \d+ runs over their compute\. "
            r"Runs took from \S+ to \S+ tokens per parameter\.",
            figure_words["caption"],
        )
        assert figure_words["alt"].startswith("Runs took from ")
        assert figure_words["caption"].endswith(figure_words["alt"])


def test_it_stands_in_the_appendix_under_its_own_words(checkout: Checkout) -> None:
    page = (checkout.folder / RESULTS / "appendix.html").read_text(encoding="utf-8")
    image = r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]*)"'
    figures = re.findall(rf"{image}.*?<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    for family in FAMILIES:
        figure_words = words(checkout, family)
        svg = (checkout.folder / RESULTS / f"figures/{family}/{NAME}.svg").read_bytes()
        ((alt, below),) = [
            (unescape(alt), unescape(below))
            for source, alt, below in figures
            if base64.b64decode(source) == svg
        ]
        assert alt == f"Tokens per parameter, {LABELS[family]}. {figure_words['alt']}"
        assert f"Tokens per parameter, {LABELS[family]}." in below
        # The finding in sight, how to read it folded; together they are the caption.
        visible, _, how = below.partition("<details><summary>How to read it</summary>")
        assert figure_words["alt"] in visible
        how_to_read = figure_words["caption"].removesuffix(figure_words["alt"]).strip()
        assert how.partition("</details>")[0] == how_to_read
    titles = [name for _, name in figure_names(page)]
    assert len(titles) == len(set(titles))


def test_it_is_in_the_reviewers_zip(checkout: Checkout) -> None:
    with zipfile.ZipFile(checkout.folder / RESULTS / "toy-review.zip") as packed:
        names = packed.namelist()
    for family in FAMILIES:
        for end in ("png", "pdf"):
            assert [n for n in names if n.endswith(f"figures/{family}/{NAME}.{end}")], (family, end)


def test_it_is_in_snakemakes_own_report(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.snakemake("--report", str(tmp_path / "engine.zip"))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "engine.zip") as packed:
        text = "".join(
            packed.read(name).decode("utf-8", "replace")
            for name in packed.namelist()
            if name.endswith((".html", ".js"))
        )
    assert "Tokens per parameter of every run, over its compute." in text
    assert f'"what": "{NAME}"' in text


def test_an_edit_of_it_draws_it_again_and_no_other(checkout: Checkout) -> None:
    checkout.edit(MODULE, "section=Section.DATA", "section=Section.LAWS")
    try:
        assert checkout.planned() == {f"figure_{NAME}": len(FAMILIES)} | PAGE
    finally:
        checkout.edit(MODULE, "section=Section.LAWS", "section=Section.DATA")


def test_without_words_of_its_own_nothing_starts(checkout: Checkout) -> None:
    before = (checkout.folder / MODULE).read_text()
    for line, sentence in (
        ("    caption=caption,\n", "caption"),
        ("    alt=alt,\n", "alt"),
        ('    title="Tokens per parameter",\n', "title"),
    ):
        checkout.edit(MODULE, line, "")
        done = checkout.snakemake("--dry-run")
        (checkout.folder / MODULE).write_text(before)
        assert done.returncode != 0
        (figure_words,) = [row for row in done.stderr.splitlines() if row.startswith("flopline: ")]
        assert f"{NAME}_figure.py" in figure_words
        assert sentence in figure_words
        assert "Traceback" not in done.stderr
