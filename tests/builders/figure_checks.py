"""What stands in a figure, and whether its texts leave each other alone."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def by_gid(axes: Axes, gid: str) -> list[Any]:
    """The artists of `axes` that are called `gid`."""
    return [artist for artist in axes.get_children() if artist.get_gid() == gid]


def texts_of(axes: Axes) -> list[str]:
    """The texts in `axes`, titles and tick labels aside."""
    return [text.get_text() for text in axes.texts]


def reasons_of(axes: Axes) -> list[str]:
    """Why `axes` are empty, as they say themselves, in one line each."""
    return [text.get_text().replace("\n", " ") for text in by_gid(axes, "reason")]


def reasons_in(figure: Figure) -> list[str]:
    """The reasons in all panels of `figure`, in order."""
    return [reason for axes in figure.axes for reason in reasons_of(axes)]


def scenes(figure: Figure) -> list[Axes3D]:
    """The three-dimensional panels of `figure`."""
    return [axes for axes in figure.axes if isinstance(axes, Axes3D)]


def renderer_of(figure: Figure) -> RendererBase:
    """The renderer of `figure` after it was drawn, so that places are final."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    figure.canvas.draw()
    return figure.canvas.get_renderer()


def tick_labels(axis: Axis) -> list[Text]:
    """The tick labels as drawn; get_majorticklabels would move those of 3-D axes."""
    low, high = sorted(axis.get_view_interval())
    side = "label2" if axis.get_label_position() == "right" else "label1"
    labels = [getattr(tick, side) for tick in axis.majorTicks if low <= tick.get_loc() <= high]
    return [label for label in labels if label.get_visible()]


def assert_clean(figure: Figure) -> None:
    """No tick label, axis label, title or text of the figure touches another or is cut off."""
    renderer = renderer_of(figure)
    texts = list(figure.texts)
    for axes in figure.axes:
        sides = (axes.xaxis, axes.yaxis, *([axes.zaxis] if isinstance(axes, Axes3D) else []))
        texts += [*itertools.chain.from_iterable(map(tick_labels, sides))]
        texts += [axis.label for axis in sides]
        texts += [axes.title, axes._left_title, axes._right_title]
    texts = [text for text in texts if text.get_text()]
    assert len(texts) > 8
    outlines = [outline(text, renderer) for text in texts]
    size = figure.canvas.get_width_height()
    for text, corners in zip(texts, outlines, strict=True):
        assert (corners >= 0).all(), text
        assert (corners <= size).all(), text
    for (one, a), (other, b) in itertools.combinations(zip(texts, outlines, strict=True), 2):
        assert not touch(a, b), (one, other)


def assert_legends_clean(figure: Figure) -> None:
    """Each law panel's legend lies above its axes, inside the figure, and touches no text."""
    renderer = renderer_of(figure)
    boxes = [axes.get_legend().get_window_extent(renderer) for axes in figure.axes[1:]]
    titles = [axes._left_title.get_window_extent(renderer) for axes in figure.axes]
    width, height = figure.canvas.get_width_height()
    for box, axes in zip(boxes, figure.axes[1:], strict=True):
        assert axes.get_window_extent().y1 < box.y0 < box.y1 <= height
        assert axes.get_window_extent().x0 <= box.x0 < box.x1 <= width
        others = [t.get_window_extent(renderer) for t in (*axes.texts, *tick_labels(axes.yaxis))]
        assert not any(box.overlaps(other) for other in [*titles, *others] if other.width > 1)
    assert not boxes[0].overlaps(boxes[1])


def outline(text: Text, renderer: RendererBase) -> Floats:
    """Corners of a text on paper, turned as it is, shape (4, 2) [pixels]."""
    box = text.get_window_extent(renderer)
    turned = text.get_rotation()
    text.set_rotation(0.0)
    flat = text.get_window_extent(renderer)
    text.set_rotation(turned)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [flat.width / 2, flat.height / 2]
    cos, sin = math.cos(math.radians(turned)), math.sin(math.radians(turned))
    middle = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]
    return half @ np.array([[cos, sin], [-sin, cos]]) + middle


def touch(one: Floats, other: Floats) -> bool:
    """Whether two rectangles, each of shape (4, 2), overlap (separating axes)."""
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[3] - corners[0]):
            a, b = one @ side, other @ side
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True
