"""One scale of verdicts: its order, its words, and that nothing unchecked is ever good."""

from __future__ import annotations

import re

import pytest

from flopline.laws.common import fit_result
from flopline.verdict_scale import OF_FIT, Verdict, style, tally, warned_if, worst
from tests.builders.page_inputs import TEMPLATES

GOOD, WARNED, REFUTED, NOT_CHECKED = Verdict


@pytest.mark.parametrize(
    ("made", "of_all"),
    [
        ([], NOT_CHECKED),
        ([NOT_CHECKED, NOT_CHECKED], NOT_CHECKED),
        ([GOOD, NOT_CHECKED], GOOD),
        ([GOOD, REFUTED, WARNED], REFUTED),
        ([WARNED, GOOD], WARNED),
    ],
)
def test_the_worst_that_was_made_counts_and_nothing_made_is_not_good(
    made: list[Verdict], of_all: Verdict
) -> None:
    assert worst(made) is of_all


def test_a_tally_names_what_there_is() -> None:
    assert tally([WARNED, GOOD, NOT_CHECKED, GOOD]) == "2 good, 1 warned, 1 not checked"
    assert tally([]) == "not checked"
    assert (warned_if(1), warned_if(0)) == (WARNED, GOOD)


def test_every_status_of_a_fit_has_its_verdict() -> None:
    statuses = {fit_result.CONVERGED, fit_result.WARNING, fit_result.FAILED}
    assert set(OF_FIT) == statuses
    assert NOT_CHECKED not in OF_FIT.values()


def test_verdicts_differ_in_symbol_line_and_colour() -> None:
    for part in range(4):
        assert len({verdict.look[part] for verdict in Verdict}) == len(Verdict)


def test_colours_stand_in_the_scale_alone() -> None:
    css = style()
    for verdict in Verdict:
        assert css.count(f"--{verdict.css}: #") == 2
    for sheet in TEMPLATES.glob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"--(?:good|warned|refuted|not-checked):", text), sheet
        assert set(re.findall(r"var\(--(mind|bad|unknown)\)", text)) == set(), sheet
