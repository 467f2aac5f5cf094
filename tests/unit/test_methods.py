"""The methods in running text: the settings that were used, all of them, and what they cite."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from flopline.report.methods import (
    FLOPS,
    PARAMS,
    as_text,
    cited_keys,
    law_paragraph,
    methods,
    methods_bibtex,
    methods_text,
)
from flopline.report.references import read_as
from tests.builders.page_inputs import make_inputs

ENVELOPE = {
    "bins": 1500, "smoothing_steps": 50, "smoothing_kernel": "Gaussian",
    "smoothing_sigma_steps": 12.5, "frontier": "bins", "last_fraction": 0.15,
    "only_schedule_end": True, "loss_floor": "fitted", "draws": 2000, "seed": 1,
}  # fmt: skip
ISOFLOP = {
    "budgets": None, "budget_tolerance": 0.15, "min_sizes": 4, "quality": "flag",
    "draws": 2000, "seed": 1, "method": "wild",
}  # fmt: skip
PARAMETRIC = {
    "objective": "log_huber", "huber_delta": 0.001, "draws": 2000, "seed": 1, "method": "pairs",
    "solver": "varpro_newton", "variant_draws": 200,
}  # fmt: skip
STUDY = {"loss_split": "val", "points": "final", "envelope": {"split": "train"}}


def paragraph(law: str, settings: dict[str, Any], *variants: str, **certificate: Any) -> str:
    fit = {"settings": settings, "certificate": certificate}
    return read_as(law_paragraph(law, fit, STUDY, variants))


def written(**study: Any) -> Any:
    made = make_inputs()
    study = {**made.study, **study}
    return study, made.fits, made.runs, made.verdict["rule"]


def test_envelope_says_its_settings() -> None:
    paragraph_text = paragraph("envelope", ENVELOPE)
    for words in ("train loss", "50 optimiser steps", "12.5 steps", "last 15 %", "1,500", "fitted"):
        assert words in paragraph_text, words
    assert "Further" not in paragraph_text
    assert "without smoothing" in paragraph("envelope", {**ENVELOPE, "smoothing_steps": 0})
    hull = paragraph("envelope", {**ENVELOPE, "frontier": "hull", "loss_floor": 1.7})
    assert "convex hull" in hull
    assert "fixed at 1.7" in hull


@pytest.mark.parametrize(
    ("settings", "found_by", "words"),
    [
        ({}, "nominal", "grouped by their planned budgets, within 15 %"),
        ({"budgets": [1e18, 1e19]}, "given", "budgets given in the configuration (1e18, 1e19"),
        ({}, "gaps", "by gaps in their compute"),
        ({"quality": "exclude"}, "nominal", "were left out"),
        ({"min_sizes": 6}, "nominal", "at least 6 sizes"),
    ],
)
def test_isoflop_says_its_settings(settings: dict[str, Any], found_by: str, words: str) -> None:
    text = paragraph("isoflop", {**ISOFLOP, **settings}, budgets_found_by=found_by)
    assert words in text
    assert "Czech" not in text
    assert "Further" not in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "Huber loss of log residuals (δ = 0.001)"),
        ({"objective": "log_lad"}, "absolute log residuals."),
        ({"objective": "linear_squares"}, "squared residuals."),
        ({"solver": "hoffmann_grid"}, "4,500 starts of Hoffmann et al. (2022)"),
    ],
)
def test_parametric_says_its_settings(settings: dict[str, Any], words: str) -> None:
    text = paragraph("parametric", {**PARAMETRIC, **settings})
    assert words in text
    assert "Videau" not in text
    assert "Further" not in text.replace("variant draws 200", "")


def test_delta_found_in_the_data_is_said_as_a_number() -> None:
    sentences = paragraph("parametric", {**PARAMETRIC, "huber_delta": "auto"}, huber_delta=0.0163)
    assert "δ = 0.0163" in sentences


def test_variants_are_cited_only_where_they_were_fitted() -> None:
    sentences = paragraph("parametric", PARAMETRIC, "tied", "skaling")
    assert "Gadre et al. 2024" in sentences
    assert "Videau et al. 2026" in sentences
    assert "Kaplan" not in sentences
    assert "Czech et al. 2026" in paragraph("isoflop", ISOFLOP, "corrected")


def test_a_setting_that_no_sentence_knows_is_told_by_its_name() -> None:
    for law, settings in (("isoflop", ISOFLOP), ("parametric", PARAMETRIC), ("envelope", ENVELOPE)):
        assert "brand new 7" in paragraph(law, {**settings, "brand_new": 7})


def test_entries_are_exactly_those_that_the_text_cites() -> None:
    items = methods(*written(), provenance={"versions": {"numpy": "2.0", "pandas": "3.0"}})
    latex, bib = as_text(items, "latex"), methods_bibtex(items)
    in_text = {k for group in re.findall(r"\\cite[pt](?:\[[^\]]*\])?\{([^}]*)\}", latex)
               for k in group.split(",")}  # fmt: skip
    assert in_text == set(re.findall(r"@\w+\{(\w+),", bib)) == set(cited_keys(items))
    assert "harris2020" in in_text
    assert "czech2026" not in in_text
    plain = as_text(items)
    assert plain.count("arXiv") == sum("eprint" in entry for entry in bib.split("\n\n"))


def test_counts_and_conventions_are_those_of_the_study() -> None:
    study, fits, runs, rule = written()
    sentences = methods_text(study, fits, runs, rule)
    assert f"We analysed {len(runs)} simulated training runs of one model family" in sentences
    assert f"{int((runs['status'] == 'kept').sum())} were kept" in sentences
    assert "seed 7" in sentences
    assert rule in sentences
    assert "No run was held out" in sentences
    assert "Half was held out." in methods_text(
        study, fits, runs, rule, held_out="Half was held out"
    )


def test_cleaning_is_told_by_its_options() -> None:
    options = {
        "bad_rows": "drop", "overlap_tolerance": 0.03, "spikes": "drop", "spike_threshold": 9,
        "unfinished": 0.97, "diverged": 0.25, "untrained": 0.5, "final_window": 0.05,
    }  # fmt: skip
    sentences = methods_text(*written(cleaning=options))
    for words in ("3 %", "more than 9 robust", "97 %", "25 %", "last 5 %", "is dropped"):
        assert words in sentences, words


@pytest.mark.parametrize("name", [*PARAMS, "unknown_params"])
def test_every_params_convention_is_told(name: str) -> None:
    sentences = methods_text(*written(params_convention=name))
    assert f"Model size N counts {PARAMS.get(name, name)}." in sentences


@pytest.mark.parametrize("name", list(FLOPS))
def test_every_flops_convention_is_told(name: str) -> None:
    sentences = methods_text(*written(flops_convention=name))
    assert f"Training compute C: {read_as(FLOPS[name])}." in sentences


def test_families_with_other_settings_are_told_apart() -> None:
    made = make_inputs({"a": "Alpha", "b": "Beta"})
    fits: Any = {f: dict(laws) for f, laws in made.fits.items()}
    envelope = fits["b"]["envelope"]
    fits["b"]["envelope"] = {**envelope, "settings": {**envelope["settings"], "bins": 99}}
    items = methods(made.study, fits, made.runs, "Rule.")
    (law,) = (read_as(m.paragraph) for m in items if m.term == "Envelope law")
    assert law.startswith("Alpha: ")
    assert "Beta: " in law
    assert law.count("99") == 1


def test_words_of_the_user_stay_words_in_latex() -> None:
    made = dataclasses.replace(
        make_inputs(), study={**make_inputs().study, "notes": [r"\bye $x|y$"]}
    )
    sentences = methods_text(made.study, made.fits, made.runs, "R_1", form="latex")
    assert r"\textbackslash{}bye \$x|y\$" in sentences
    assert r"R\_1" in sentences
    bare = re.sub(r"\\[{}]", "", sentences)
    assert bare.count("{") == bare.count("}")
    assert sentences.replace(r"\$", "").count("$") % 2 == 0
