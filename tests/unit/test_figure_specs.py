"""Every figure that is listed: its spec, its words, and what a start of a run reads of it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopline.errors import FloplineError
from flopline.figures.registry import FIGURES
from flopline.figures.spec import FigureSpec, Needs, Section, figure_spec
from flopline.report.formatting import sentences_of
from flopline.results import FamilyResults, StudyResults
from running.outlines import outlines
from tests.builders.figure_results import alt_of, caption_of, family_results, setting
from tests.builders.page_inputs import REASON, audits_of, make_inputs
from tests.conftest import ROOT

LIBRARY = ROOT / "workflow/flopline"
FAMILY = "dense"
BETTER = "At 1e22 FLOPs dense reaches the lowest loss."
COMPARED = {"budget_flops": 1e22, "law": None, "winner": None, "sentence": BETTER}


def study_of(**more: Any) -> tuple[StudyResults, Any]:
    """A made-up study of one family with all laws and findings, and its setting."""
    inputs = make_inputs(**more)
    fits = {law: dict(fit) for law, fit in inputs.fits[FAMILY].items()}
    fits["isoflop"]["certificate"] |= {"budgets_used": 8, "budgets": 9}
    audits = audits_of(FAMILY)[FAMILY]
    family_results = FamilyResults(fits, findings=audits)
    results = StudyResults(
        {FAMILY: family_results},
        {"runs": inputs.runs, "decision": {"families": [COMPARED]}},
    )
    return results, setting(study=inputs.study | {"loss_label": "Loss"}, family=FAMILY)


def test_every_figure_is_listed_once_and_every_module_is_a_figure() -> None:
    modules = {path.stem.removesuffix("_figure") for path in LIBRARY.glob("figures/*_figure.py")}
    assert sorted(FIGURES) == sorted(modules)


def words_of(spec: FigureSpec, **changes: Any) -> dict[str, str]:
    """What is said of a figure of that study."""
    results, seen = study_of()
    family = seen.family if spec.per_family else ""
    return spec.words(results, dataclasses.replace(seen, family=family, **changes))


@pytest.mark.parametrize("name", FIGURES)
def test_a_start_reads_of_a_figure_what_its_module_says(name: str) -> None:
    (read,), loaded = outlines([name], LIBRARY), figure_spec(name)
    functions = {"draw", "caption", "alt", "instead"}
    for field in {field.name for field in dataclasses.fields(loaded)} - functions:
        assert getattr(read, field) == getattr(loaded, field), field
    # Its functions are those of the module, loaded when they are called.
    assert words_of(read) == words_of(loaded)


def test_a_start_loads_no_package_that_draws_or_reads_tables() -> None:
    code = (
        "import sys; from pathlib import Path; from flopline.figures.registry import FIGURES;"
        "from running.outlines import outlines;"
        f"assert outlines(FIGURES, Path({str(LIBRARY)!r}));"
        "print(sorted({'matplotlib', 'numpy', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(LIBRARY.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_figure_has_words_of_its_own() -> None:
    specs = [figure_spec(name) for name in FIGURES]
    texts = [words_of(spec) for spec in specs]
    assert all(len(words["caption"]) > 60 and len(words["alt"]) > 20 for words in texts)
    for part in ("name", "title", "caption"):
        assert len({words[part] for words in texts}) == len(FIGURES), part
    assert len({spec.about for spec in specs}) == len(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_words_are_whole_sentences_each_said_once(name: str) -> None:
    words = words_of(figure_spec(name))
    for part in ("caption", "alt"):
        sentences = sentences_of(words[part])
        assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in sentences)
        assert words[part].endswith(".")
        assert ".." not in words[part]
        assert len(set(sentences)) == len(sentences)


def test_what_an_audit_says_of_the_form_is_not_said_again() -> None:
    results, seen = study_of()
    spec = figure_spec("contours")
    (form,) = sentences_of(spec.words(results, seen)["caption"])[-1:]
    saying = dataclasses.replace(spec, caption=lambda *_: f"{form} All else.")
    assert saying.words(results, seen)["caption"] == f"{form} All else."


@pytest.mark.parametrize("name", FIGURES)
def test_words_of_synthetic_data_say_so(name: str) -> None:
    plain, synthetic = (words_of(figure_spec(name), synthetic=made) for made in (False, True))
    for part in ("caption", "alt"):
        assert synthetic[part] == f"Synthetic data. {plain[part]}"
    assert synthetic["title"] == plain["title"]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("isoflop", "The best params grow as C^0.513, the best tokens as C^0.487; at 1e22 FLOPs"),
        ("envelope", "params on"),
        ("contours", "The best params grow as C^0.513"),
        ("surface", "For Dense transformer the loss falls to 1.817 nats per token in the limit"),
        ("losscompute", "At 1e22 FLOPs the laws say envelope 2."),
        ("ladder", "What ladder found of dense."),
        ("identifiability", "What identifiability found of dense."),
        ("stakes", "What sensitivity found of dense."),
        ("families", BETTER),
        ("cleaning", "234 of 240 runs are in the fits"),
    ],
)
def test_an_alternative_text_is_the_finding(name: str, start: str) -> None:
    assert figure_spec(name).alt(*study_of()).startswith(start) or start in figure_spec(name).alt(
        *study_of()
    )


@pytest.mark.parametrize("name", ["isoflop", "envelope", "contours"])
def test_a_figure_of_a_law_that_failed_says_why(name: str) -> None:
    law = "parametric" if name == "contours" else name
    assert REASON in figure_spec(name).alt(*study_of(fail=law))


def test_families_without_a_line_in_common_are_told_so() -> None:
    assert alt_of("families", decision={"families": []}).startswith("Fewer than two families")


def test_a_figure_of_an_audit_that_was_not_made_is_told_by_its_caption() -> None:
    for name in ("ladder", "identifiability", "stakes"):
        assert alt_of(name) == caption_of(name)


def spec(**changes: Any) -> FigureSpec:
    def words(results: object, setting: object) -> str:
        return "Words."

    fields = {
        "name": "new", "title": "New", "about": "What is new.", "section": Section.LAWS,
        "needs": Needs(runs=True), "draw": words, "caption": words, "alt": words,
    } | changes  # fmt: skip
    return FigureSpec(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["name", "title", "about", "draw", "caption", "alt"])
def test_a_figure_without_its_own_words_does_not_load(missing: str) -> None:
    assert spec().words(family_results(), setting())["caption"] == "Words."
    for nothing in ("", None):
        with pytest.raises(FloplineError, match=f"has no {missing}: give it"):
            spec(**{missing: nothing})


def test_what_is_no_plain_field_is_refused() -> None:
    with pytest.raises(FloplineError, match="has laws that are no tuple of strings"):
        spec(laws="isoflop")
    with pytest.raises(FloplineError, match="has tables that are no tuple of strings"):
        spec(needs=Needs(tables=(object(),)))  # type: ignore[arg-type]
    with pytest.raises(FloplineError, match="braces in about"):
        spec(about="What {study} is.")


def test_it_is_drawn_where_its_laws_are_fitted_and_families_are_enough() -> None:
    of_two = spec(laws=("isoflop", "envelope"), families=2)
    assert of_two.is_drawn(["envelope", "isoflop"], ["a", "b"])
    assert not of_two.is_drawn(["isoflop"], ["a", "b"])
    assert not of_two.is_drawn(["envelope", "isoflop"], ["a"])


HEAD = "import numpy as np\nfrom flopline.figures.spec import FigureSpec, Needs, Section\n"
GOOD = (
    'FIGURE = FigureSpec(\n    name="new", title="New", about="What is (new.",\n'
    "    section=Section.LAWS, needs=Needs(runs=True),\n"
    "    draw=draw, caption=caption, alt=alt,\n)\n\n\ndef after() -> None:\n    broken here"
)


def written(folder: Path, text: str) -> Path:
    library = folder / "flopline"
    (library / "figures").mkdir(parents=True)
    (library / "figures/new_figure.py").write_text(HEAD + text)
    return library


def test_no_more_of_a_module_is_read_than_its_spec(tmp_path: Path) -> None:
    (read,) = outlines(["new"], written(tmp_path, GOOD))
    assert (read.title, read.about, read.needs) == ("New", "What is (new.", Needs(runs=True))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("FIGURE =", "OTHER =", "must set FIGURE once"),
        (GOOD, GOOD.split(")\n")[0], "is no valid Python"),
        ("Section.LAWS", "Section.NONE", r"cannot be made \(.*NONE"),
        (" caption=caption,", "", r"cannot be made \(.*caption"),
        ("caption=caption", 'caption=""', "has no caption: give it a function"),
        ('name="new"', 'name="old"', "is no FigureSpec of the name 'new'"),
        ("Needs(runs=True)", "Needs(fits=LAWS)", "has fits that are no tuple of strings"),
        ("section=Section.LAWS", "section=MINE", "section"),
        ("needs=Needs(runs=True)", "needs=MINE", "needs"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in GOOD
    library = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(FloplineError, match=sentence):
        outlines(["new"], library)


def test_a_line_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"'gone', which .*registry\.py lists, has no"):
        outlines(["gone"], tmp_path / "flopline")
