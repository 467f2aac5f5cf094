"""Printing a page: which browser is taken, and what is said where it cannot be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopline import printing
from flopline.errors import FloplineError


def script(path: Path, content: str) -> Path:
    path.write_text(f"#!/bin/sh\n{content}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, beside the little that a shell script needs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(printing.CHROMIUM_VARIABLE, raising=False)
    named = tuple(name for name in printing.NAMES if not name.startswith("/"))
    monkeypatch.setattr(printing, "NAMES", named)
    return tmp_path


def test_the_named_browser_comes_first(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(alone / "chromium", "exit 0")
    mine = script(alone / "mine", "exit 0")
    assert printing.find_chromium() == alone / "chromium"
    monkeypatch.setenv(printing.CHROMIUM_VARIABLE, str(mine))
    assert printing.find_chromium() == mine


def test_a_named_browser_that_is_not_there_is_no_other_one(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(alone / "chromium", "exit 0")
    monkeypatch.setenv(printing.CHROMIUM_VARIABLE, "/nowhere/chrome")
    with pytest.raises(FloplineError, match=r"names /nowhere/chrome, which is no program"):
        printing.find_chromium()


def test_without_a_browser_it_says_how_to_get_one(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = alone / "report.html"
    page.write_text("<p>page")
    assert printing.main([str(page), str(alone / "report.pdf")]) == 1
    assert "apt install chromium" in capsys.readouterr().err


def test_a_page_that_is_not_there_is_named(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printing.main([str(alone / "no.html"), str(alone / "report.pdf")]) == 1
    assert "no.html does not exist: run the study first." in capsys.readouterr().err


def test_a_browser_that_prints_nothing_leaves_the_old_pdf_and_its_own_words(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, pdf = alone / "report.html", alone / "report.pdf"
    page.write_text("<p>page")
    pdf.write_text("old")
    script(alone / "chromium", "echo 'no display' >&2; exit 1")
    assert printing.main([str(page), str(pdf)]) == 1
    assert "printed nothing" in capsys.readouterr().err
    assert pdf.read_text() == "old"


def test_the_printed_page_is_put_where_it_was_asked_for(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, pdf = alone / "report.html", alone / "report.pdf"
    page.write_text("<p>page")
    script(
        alone / "chromium",
        'for a in "$@"; do case $a in --print-to-pdf=*) echo %PDF > "${a#*=}";; esac; done',
    )
    assert printing.main([str(page), str(pdf)]) == 0
    assert pdf.read_text() == "%PDF\n"
    assert "report.pdf" in capsys.readouterr().err
