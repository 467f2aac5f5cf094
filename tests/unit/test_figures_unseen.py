"""Marks of what no fit has seen: the forecast at the target and runs held out."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flopline.figures import contours_figure, isoflop_figure, losscompute_figure, surface_figure
from flopline.figures.spec import Setting, figure_spec
from flopline.figures.unseen import NOTHING, Unseen, caption_of, unseen_of
from flopline.laws.common.fit_result import estimate_json
from flopline.option_groups import groups
from flopline.results import StudyResults
from tests.builders.designs import GOPHER
from tests.builders.drawn_figures import LABELS
from tests.builders.study_example import PAIR, study_results

FIGURES = {
    module.FIGURE.name: module
    for module in (contours_figure, isoflop_figure, losscompute_figure, surface_figure)
}
FAMILY = PAIR[0]
HELD = pd.DataFrame(
    {
        "run": ["large", "larger"],
        "params": [3e10, 6e10],
        "tokens": [6e11, 9e11],
        "flops": [1.08e23, 3.2e23],
        "loss": [2.05, 2.0],
    }
)
LOSS = estimate_json(1.95, 1.92, 1.98, 1.90, 2.00)
SIZE = estimate_json(6e10, 5e10, 7e10, 4e10, 9e10)
TOKENS = estimate_json(1.6e12, 1.4e12, 1.9e12, 1.1e12, 2.4e12)


def results(held: bool = True, forecast: bool = True) -> StudyResults:
    """The example study with runs held out, and with the forecast of the line that is followed."""
    known = study_results()
    predictions = HELD.rename(columns={"loss": "seen"}).assign(of="this run")
    finding: Any = {"audit": "held_out", "tables": {"predictions": predictions}}
    families = {
        family: replace(each, findings={**each.findings, **({"held_out": finding} if held else {})})
        for family, each in known.families.items()
    }
    stated = {"loss": LOSS, "params": SIZE, "tokens": TOKENS}
    choices = [
        {**choice, "forecast": stated if forecast and choice["family"] == FAMILY else None}
        for choice in known.decision["choices"]
        if choice["budget_flops"] == GOPHER
    ]
    verdict: Any = {**known.decision, "choices": choices}
    return replace(known, families=families, of_all={**known.of_all, "decision": verdict})


def setting(name: str, width: str = "page") -> Setting:
    study: Any = {
        "families": {family: LABELS[family] for family in PAIR},
        "targets": [GOPHER],
        "loss_label": "Validation loss",
        "loss_unit": "nats_per_token",
        **{model.group: model().model_dump() for model in groups()},
    }
    family = FAMILY if figure_spec(name).per_family else ""
    return Setting(study, family, width)


def marks(figure: Figure) -> list[str]:
    """The names of all lines of a figure."""
    return [str(line.get_gid()) for axes in figure.axes for line in axes.lines]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", ["page", "column"])
def test_every_law_figure_shows_the_forecast_and_the_runs_held_out(name: str, width: str) -> None:
    known, how = results(), setting(name, width)
    figure = figure_spec(name).draw(known, how)
    drawn = marks(figure)
    assert {"forecast", "forecast-95", "held out"} <= set(drawn)
    legends = [axes.get_legend() for axes in figure.axes] + figure.legends
    texts = [text.get_text() for one in legends if one is not None for text in one.get_texts()]
    assert any(text.startswith("forecast") for text in texts)
    assert "held out" in texts
    caption = figure_spec(name).caption(known, how)
    assert "loss 1.950 [1.900, 2.000] (purple, 80 and 95 %)" in caption
    assert "2 runs held out, that no fit has seen (stars)" in caption
    for axes in figure.axes:
        if axes.name == "3d":
            continue
        for line in axes.lines:
            if line.get_gid() in ("held out", "forecast", "forecast-95"):
                spots = axes.transData.transform(line.get_xydata())
                inside = axes.transAxes.inverted().transform(spots)
                assert np.all((inside > 0) & (inside < 1)), (name, line.get_gid())
    canvas: Any = figure.canvas
    edge = figure.bbox
    for one in legends:
        if one is not None:
            box = one.get_window_extent(canvas.get_renderer())
            assert box.x0 >= 0
            assert box.x1 <= edge.x1
            assert box.y0 >= 0


@pytest.mark.parametrize("name", FIGURES)
def test_without_either_the_figure_and_its_words_are_as_they_were(name: str) -> None:
    bare, how = study_results(), setting(name)
    without = results(held=False, forecast=False)
    spec = figure_spec(name)

    def bytes_of(known: StudyResults) -> bytes:
        buffer = io.BytesIO()
        spec.draw(known, how).savefig(buffer, format="raw")
        return buffer.getvalue()

    assert bytes_of(bare) == bytes_of(without)
    assert spec.caption(bare, how) == spec.caption(without, how)
    assert "held out, that" not in spec.caption(bare, how)
    assert not {"forecast", "held out"} & set(marks(spec.draw(without, how)))


def test_the_forecast_is_that_of_the_line_of_the_family() -> None:
    known = results()
    mine = unseen_of(known, FAMILY, GOPHER)
    assert (mine.loss, mine.params, mine.tokens) == (LOSS, SIZE, TOKENS)
    pd.testing.assert_frame_equal(mine.held, HELD)
    assert unseen_of(known, PAIR[1], GOPHER).loss is None
    assert unseen_of(known, FAMILY, 2 * GOPHER).loss is None
    # That of all lines together is another number, and no line's.
    together: Any = {"family": FAMILY, "budget_flops": GOPHER, "loss": LOSS, "params": SIZE}
    bare = results(forecast=False)
    verdict: Any = {**bare.decision, "all_lines_together": [together]}
    of_all = unseen_of(replace(bare, of_all={**bare.of_all, "decision": verdict}), FAMILY, GOPHER)
    assert (of_all.loss, of_all.params) == (None, None)
    assert replace(mine, params=None).placed("params").loss is None
    undecided = replace(known, of_all={})
    assert unseen_of(undecided, FAMILY, GOPHER).loss is None
    assert caption_of(NOTHING) == caption_of(Unseen()) == ""
