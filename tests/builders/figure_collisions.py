"""What lies on what in a figure: texts on texts, lines through texts, data under legends."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray

from tests.builders.figure_checks import outline, renderer_of, tick_labels, touch

Floats = NDArray[np.float64]

STEP_PX = 0.7
"""Lines are followed in steps of this length."""
WITHIN_PX = 1.0
"""What enters a text by no more than this does not touch its letters: its box has some air."""


@dataclass(frozen=True, slots=True)
class Collision:
    """Two things that lie on each other, and where: points from the lower left of the figure."""

    kind: str
    one: str
    other: str
    x: float
    y: float

    def __str__(self) -> str:
        return f"{self.kind}: '{self.one}' and '{self.other}' at ({self.x:.0f}, {self.y:.0f}) pt"


def collisions(figure: Figure) -> list[Collision]:
    """All texts that touch another text, are crossed by a line, and legends that hide data.

    Grid, ticks and frames are no lines here, nor are the scenes of three-dimensional axes.
    """
    renderer = renderer_of(figure)
    per_pt = figure.dpi / 72
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    boxes = [
        (_called(text), outline(text, renderer))
        for text in (*_texts(figure), *(t for one in legends if one for t in _legend_texts(one)))
    ]
    lines = [line for axes in figure.axes for line in _lines(axes)]
    found = []
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        if touch(a, b):
            found.append(
                _collision("text on text", one, other, (a.mean(0) + b.mean(0)) / 2, per_pt)
            )
    for (name, box), (line, points) in itertools.product(boxes, lines):
        inside = points[_within(box, points)]
        if len(inside):
            found.append(_collision("line through text", name, line, inside.mean(0), per_pt))
    for legend in filter(None, legends):
        extent = legend.get_window_extent(renderer)
        corners = np.array([[extent.x0, extent.y0], [extent.x1, extent.y0],
                            [extent.x1, extent.y1], [extent.x0, extent.y1]])  # fmt: skip
        for line, points in lines:
            inside = points[_within(corners, points)]
            if len(inside):
                found.append(
                    _collision("line under legend", "legend", line, inside.mean(0), per_pt)
                )
        for name, box in [(_called(t), outline(t, renderer)) for t in _texts(figure)]:
            if touch(corners, box):
                found.append(_collision("text on legend", name, "legend", box.mean(0), per_pt))
    return found


def _collision(kind: str, one: str, other: str, at: Floats, per_pt: float) -> Collision:
    return Collision(kind, one, other, float(at[0] / per_pt), float(at[1] / per_pt))


def _called(text: Text) -> str:
    return str(text.get_text()).replace("\n", " ")


def _texts(figure: Figure) -> list[Text]:
    """All texts but those of legends, as far as they are seen."""
    texts = list(figure.texts)
    for axes in figure.axes:
        sides = (axes.xaxis, axes.yaxis, *([axes.zaxis] if isinstance(axes, Axes3D) else []))
        texts += [label for axis in sides for label in tick_labels(axis)]
        texts += [axis.label for axis in sides]
        texts += [axes.title, axes._left_title, axes._right_title, *axes.texts]
    return [text for text in texts if text.get_text().strip() and text.get_visible()]


def _legend_texts(legend: Legend) -> list[Text]:
    return [text for text in (*legend.get_texts(), legend.get_title()) if text.get_text().strip()]


def _lines(axes: Axes) -> list[tuple[str, Floats]]:
    """The drawn lines and marks of `axes` by what they are called, as dense points in pixels."""
    if isinstance(axes, Axes3D):
        return []
    pieces: list[tuple[str, Any, Any, bool]] = []
    for line in axes.lines:
        joined = str(line.get_linestyle()) not in ("None", "none", "")
        pieces.append((str(line.get_gid()), line.get_transform(), line.get_xydata(), joined))
    for artist in axes.collections:
        name = str(artist.get_gid())
        if isinstance(artist, LineCollection | ContourSet):
            for path in artist.get_paths():
                pieces += [
                    (name, artist.get_transform(), part, True)
                    for part in path.to_polygons(closed_only=False)
                ]
        elif isinstance(artist, PathCollection):
            pieces.append((name, artist.get_offset_transform(), artist.get_offsets(), False))
    drawn = []
    for name, transform, points, joined in pieces:
        dense = _dense(np.asarray(transform.transform(np.asarray(points, dtype=float))), joined)
        box = axes.bbox
        inside = (dense >= [box.x0, box.y0]).all(1) & (dense <= [box.x1, box.y1]).all(1)
        if inside.any():
            drawn.append((name, dense[inside]))
    return drawn


def _dense(points: Floats, joined: bool) -> Floats:
    points = points[np.isfinite(points).all(axis=1)]
    if not joined or len(points) < 2:
        return points
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0.0, length[-1], 2 + int(min(length[-1], 2e4) / STEP_PX))
    return np.column_stack([np.interp(at, length, points[:, i]) for i in (0, 1)])


def _within(box: Floats, points: Floats) -> NDArray[np.bool_]:
    """Which points lie in a turned rectangle of corners (4, 2), less its air."""
    origin, wide, high = box[0], box[1] - box[0], box[3] - box[0]
    along = [(points - origin) @ side / (np.linalg.norm(side) or 1.0) for side in (wide, high)]
    sizes = [float(np.linalg.norm(side)) for side in (wide, high)]
    return np.logical_and.reduce(
        [(a > WITHIN_PX) & (a < size - WITHIN_PX) for a, size in zip(along, sizes, strict=True)]
    )
