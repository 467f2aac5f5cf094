"""Figures of a family whose target has no answer: the runs and laws, and no crossing there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from flopline.figures.answered import answered
from flopline.figures.registry import FIGURES
from flopline.figures.spec import Setting, figure_spec
from flopline.results import FamilyResults, StudyResults
from flopline.schema import KEPT
from tests.builders import fits
from tests.builders.designs import isoflop_runs, with_budgets
from tests.builders.figure_results import FAMILY, setting
from tests.builders.surfaces import BESIROGLU

TARGET, LARGEST = 3e24, 1e21
SENTENCE = "These runs do not say what to train at 3e24 FLOPs: it lies too far."


def results_of(*, silent: bool = True) -> StudyResults:
    points = with_budgets(isoflop_runs(BESIROGLU, np.geomspace(1e19, LARGEST, 4), 6, noise=0.003))
    laws = {
        law: fits.fit(law, points, [TARGET], draws=20, seed=1) for law in ("isoflop", "parametric")
    }
    silence = {"family": FAMILY, "budget_flops": TARGET, "largest_flops": LARGEST}
    silence |= {"why": "", "up_to_flops": 1e24, "needed": "", "sentence": SENTENCE}
    decision: dict[str, Any] = {"choices": [], "silent": [silence] if silent else []}
    runs = points.assign(family=FAMILY, status=KEPT)
    return StudyResults({FAMILY: FamilyResults.of(laws)}, {"decision": decision, "runs": runs})


@pytest.fixture(scope="module")
def refused() -> tuple[StudyResults, Setting]:
    return answered(results_of(), setting(TARGET))


def test_figures_state_nothing_at_a_target_that_the_page_refuses(
    refused: tuple[StudyResults, Setting],
) -> None:
    """A page without an answer stood beside figures with N, D and loss at its target."""
    results, at_largest = refused
    assert at_largest.target == LARGEST
    for name in ("isoflop", "losscompute", "contours"):
        spec = figure_spec(name)
        drawn = spec.drawn(results, at_largest)
        words = [text.get_text() for text in drawn.findobj(Text)]
        words += spec.words(results, at_largest).values()
        assert not [text for text in words if "3e24" in text], name
        assert [text for text in words if "1e21" in text], name


def test_a_figure_of_the_target_alone_says_why_it_is_not_drawn(
    refused: tuple[StudyResults, Setting],
) -> None:
    results, at_largest = refused
    of_target = [name for name in FIGURES if figure_spec(name).of_target]
    assert {"regret", "stakes", "identifiability"} == set(of_target)
    spec = figure_spec("regret")
    drawn = spec.drawn(results, at_largest)
    words = " ".join(text.get_text() for axes in drawn.axes for text in axes.texts)
    assert "do not say what to train" in words.replace("\n", " ")
    sentence = f"Nothing is drawn. {SENTENCE}"
    bare = replace(spec, caption=lambda *_: "", alt=lambda *_: "")
    assert bare.words(results, at_largest)["instead"] == sentence


def test_where_the_decision_has_a_line_nothing_changes() -> None:
    results, same = results_of(silent=False), setting(TARGET)
    assert answered(results, same) == (results, same)
    without = replace(results, of_all={})
    assert answered(without, same) == (without, same)
