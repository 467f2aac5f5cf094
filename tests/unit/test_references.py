"""The registry of works, and texts that cite them as plain text and as LaTeX."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from flopline.errors import FloplineError
from flopline.laws.registry import LAWS
from flopline.laws.spec import module_of, spec_of
from flopline.report import methods
from flopline.report.references import bibtex, cited, listed, quoted, read_as, references
from tests.conftest import ROOT


def test_every_key_that_a_text_of_the_report_cites_is_in_the_registry() -> None:
    modules = [module_of(spec_of(law).methods) for law in LAWS]
    sources = [Path(import_module(name).__file__ or "") for name in (methods.__name__, *modules)]
    texts = " ".join(path.read_text(encoding="utf-8") for path in sources)
    keys = {key for key in cited(texts) if not key.isalpha()} | set(methods.PACKAGES.values())
    assert len(keys) > 10
    assert keys <= set(references())


@pytest.mark.parametrize("key", list(references()))
def test_every_work_has_what_an_entry_needs(key: str) -> None:
    work = references()[key]
    assert {"type", "cited", "author", "title", "year"} <= set(work)
    assert ("arxiv" in work) != ("journal" in work)
    assert key.endswith(str(work["year"]))
    assert bibtex([key]).count("{") == bibtex([key]).count("}")
    if "arxiv" in work:
        assert re.fullmatch(r"\d{4}\.\d{5}", work["arxiv"])
        assert f"eprint        = {{{work['arxiv']}}}" in bibtex([key])
        assert f"arXiv {work['arxiv']}" in listed([key])[0]


def test_arxiv_numbers_are_those_of_the_registry_of_published_laws() -> None:
    texts = (ROOT / "workflow/flopline/surfaces/published.toml").read_text(encoding="utf-8")
    ours = {work["arxiv"] for work in references().values() if "arxiv" in work}
    assert set(re.findall(r"arXiv (\d{4}\.\d{5})", texts)) <= ours


def test_entries_are_those_asked_for_once_and_sorted() -> None:
    keys = ["kaplan2020", "hoffmann2022", "kaplan2020"]
    assert re.findall(r"@\w+\{(\w+),", bibtex(keys)) == ["hoffmann2022", "kaplan2020"]
    assert bibtex([]) == ""
    with pytest.raises(FloplineError, match="no work 'nobody1900'"):
        bibtex(["nobody1900"])


@pytest.mark.parametrize(
    ("text", "plain", "latex"),
    [
        ("As @kaplan2020 say.", "As Kaplan et al. (2020) say.", r"As \citet{kaplan2020} say."),
        (
            "Valleys [@hoffmann2022, section 3.2].",
            "Valleys (Hoffmann et al. 2022, section 3.2).",
            r"Valleys \citep[section 3.2]{hoffmann2022}.",
        ),
        (
            "[@gadre2024; @videau2026]",
            "(Gadre et al. 2024; Videau et al. 2026)",
            r"\citep{gadre2024,videau2026}",
        ),
        (r"Then $N ∝ C^a|N \propto C^a$.", "Then N ∝ C^a.", r"Then $N \propto C^a$."),
        ("80 % of A_1 & B", "80 % of A_1 & B", r"80 \% of A\_1 \& B"),
    ],
)
def test_a_text_reads_as_plain_text_and_as_latex(text: str, plain: str, latex: str) -> None:
    assert read_as(text) == plain
    assert read_as(text, "latex") == latex


@pytest.mark.parametrize("words", ["a@kaplan2020", "$x|y$", r"\input{secret}", "100% #1 ~ ^ {}"])
def test_words_of_the_user_are_words_alone(words: str) -> None:
    marked = quoted(words)
    assert cited(marked) == []
    assert read_as(marked) == words
    latex = read_as(marked, "latex")
    assert not re.search(r"\\(input|citet|citep)\b", latex)
    assert not re.search(r"(?<!\\)[%#$&_]", latex)


def test_a_form_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FloplineError, match="plain or latex, not 'word'"):
        read_as("x", "word")
