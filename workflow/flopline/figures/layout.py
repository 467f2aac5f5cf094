"""Panels on paper: side by side where the width allows it, else below one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flopline.errors import FloplineError
from flopline.figures.style import PAGE_WIDTH_IN, new_figure

PAGE: Final = "page"
COLUMN: Final = "column"
WIDTHS_IN: Final = {PAGE: PAGE_WIDTH_IN, COLUMN: 3.5}
"""Width presets [inch] for `figures.width`: a page of a journal in two columns, one column of it.
Sizes of text, marks and lines are the same at both."""


LONE_IN: Final = 4.6
"""Widest figure of one panel [inch], so that its text can be read at 600 px and on a phone."""
EDGE_IN: Final = 0.12
"""Least white space right of the last axes of a row, for half of its last tick label."""


@dataclass(frozen=True, slots=True)
class Box:
    """Room for one panel [inch]: its axes, and the white space around them that its texts take."""

    width: float
    height: float
    left: float = 0.52
    right: float = 0.0
    bottom: float = 0.44
    top: float = 0.26


def width_in(width: str) -> float:
    """The width of a preset [inch]. Raises FloplineError for a name that is none."""
    if width not in WIDTHS_IN:
        raise FloplineError(
            f"`figures.width` must be {' or '.join(WIDTHS_IN)}, not {width!r}: correct the config."
        )
    return WIDTHS_IN[width]


def laid_out(
    width: str,
    boxes: Sequence[Box],
    *,
    head_in: float = 0.0,
    foot_in: float = 0.0,
    most_in: float = math.inf,
) -> tuple[Figure, list[Axes]]:
    """An empty figure of the preset `width` and one axes per box; as high as its rows need.

    Boxes stand in rows, from left to right: a box that no longer fits opens the next row. The axes
    of a row then widen, each in proportion, until the row fills the width, so that panels side by
    side on a page stand below one another in a column, with the same height and the same sizes of
    text. `head_in` and `foot_in` are kept free above and below all rows (for a legend of the
    figure); `most_in` is the widest that the figure may be. A colour bar has no box of its own:
    give its panel a larger `right` and draw it with
    `bar_beside`. Any figure made so honours the preset: take `width` as an argument and hand it on.

        figure, (left, right) = laid_out(width, [Box(3.0, 2.0), Box(3.0, 2.0, right=0.1)])
    """
    total = min(width_in(width), most_in)
    rows = _rows(boxes, total)
    heights = [_height(row) for row in rows]
    tall = head_in + sum(heights) + foot_in
    figure = new_figure(total, tall)
    axes, floor = [], tall - head_in
    for row, height in zip(rows, heights, strict=True):
        floor -= height
        edge = max(EDGE_IN - row[-1].right, 0.0)
        around = sum(box.left + box.right for box in row) + edge
        stretch = (total - around) / sum(box.width for box in row)
        bottom, x = floor + max(box.bottom for box in row), 0.0
        for box in row:
            x += box.left
            place = (x / total, bottom / tall, stretch * box.width / total, box.height / tall)
            axes.append(figure.add_axes(place))
            x += stretch * box.width + box.right
    return figure, axes


def bar_beside(axes: Axes, gap_in: float = 0.06, width_in: float = 0.07) -> Axes:
    """Axes for a colour bar, right of `axes` and as high."""
    figure, at = axes.figure, axes.get_position()
    assert isinstance(figure, Figure)
    total, _ = figure.get_size_inches()
    return figure.add_axes((at.x1 + gap_in / total, at.y0, width_in / total, at.height))


def _rows(boxes: Sequence[Box], total: float) -> list[list[Box]]:
    rows: list[list[Box]] = []
    used = 0.0
    for box in boxes:
        takes = box.left + box.width + box.right
        if not rows or used + takes > total + 1e-6:
            rows.append([])
            used = 0.0
        rows[-1].append(box)
        used += takes
    return rows


def _height(row: Sequence[Box]) -> float:
    """All axes of a row stand on one line; the highest sets its height."""
    return max(box.bottom for box in row) + max(box.height + box.top for box in row)
