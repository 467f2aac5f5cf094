"""Sizes of texts that are shaped once are those that Matplotlib measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from flopline.figures.canvases import Pixels
from flopline.figures.shaping import Outlines

TEXTS = ("a", "Compute 1e18 FLOPs", "fi (µ) T.AV", " ", "x ", "6ND × 3", "−1", "lp")


def measures() -> list[tuple[Callable[..., Any], Callable[..., Any]]]:
    """Pairs of ways to measure a text: ours and Matplotlib's."""
    pixels = [(Pixels(9, 9, dpi), RendererAgg(9, 9, dpi)) for dpi in (150, 300)]
    outlines = Outlines(text_to_path)
    return [
        *((a.get_text_width_height_descent, b.get_text_width_height_descent) for a, b in pixels),
        (
            lambda text, prop, _: outlines.size(text, prop),
            text_to_path.get_text_width_height_descent,
        ),
    ]


@pytest.mark.parametrize("style", ["normal", "italic"])
def test_sizes_are_those_of_matplotlib(style: str) -> None:
    for ours, theirs in measures():
        for size in (6.5, 9.0):
            prop = FontProperties(family="DejaVu Sans", size=size, style=style)
            for text in TEXTS:
                assert ours(text, prop, False) == theirs(text, prop, False)


def test_a_letter_of_another_font_is_measured_in_it() -> None:
    prop = FontProperties(family=["cmr10", "DejaVu Sans"], size=8)
    for ours, theirs in measures():
        assert ours("aµ", prop, False) == pytest.approx(theirs("aµ", prop, False), abs=1 / 64)
