"""Where text and legends can stand without hiding data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from numpy.typing import ArrayLike, NDArray

from flopline.figures.canvases import Pixels
from flopline.figures.style import SMALL_PT, literal

Floats = NDArray[np.float64]
Spot = tuple[float, float]

CORNERS: Final = ("lower left", "upper right", "lower right", "upper left")
_MOST_LINES: Final = 12


def trace(axes: Axes, x: ArrayLike, y: ArrayLike, join: bool = True) -> Floats:
    """Dense points of a drawn line (or of markers, `join=False`) in axes fractions, shape (k, 2).

    `x` and `y` are data values; what is not finite is left out. Limits and scales must be set.
    """
    data = np.column_stack([np.ravel(np.asarray(x, float)), np.ravel(np.asarray(y, float))])
    data = data[np.isfinite(data).all(axis=1)]
    if not len(data):
        return np.empty((0, 2))
    on_axes = (axes.transData + axes.transAxes.inverted()).transform(data)
    if not join or len(on_axes) < 2:
        return np.asarray(on_axes, dtype=float)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(on_axes, axis=0).T))])
    at = np.linspace(0.0, length[-1], max(len(on_axes), 2 + int(min(length[-1], 50.0) / 0.01)))
    return np.column_stack([np.interp(at, length, on_axes[:, i]) for i in (0, 1)])


def size_in(axes: Axes, artist: Artist) -> Spot:
    """Width and height of `artist` as fractions of `axes`."""
    box = artist.get_window_extent(ruler(axes.figure))
    return box.width / axes.bbox.width, box.height / axes.bbox.height


def ruler(figure: Any) -> Pixels:
    """What measures texts of a figure, each once, and draws none."""
    known = _rulers.get(figure)
    if known is None or known.dpi != figure.dpi:
        known = _rulers[figure] = Pixels(1, 1, figure.dpi)
    return known


_rulers: WeakKeyDictionary[Any, Pixels] = WeakKeyDictionary()


def corner(name: str, size: Spot, margin: Spot) -> Spot:
    """Lower left corner, in axes fractions, of a box of `size` put into the corner `name`."""
    vertical, horizontal = name.split()
    return (
        margin[0] if horizontal == "left" else 1 - margin[0] - size[0],
        margin[1] if vertical == "lower" else 1 - margin[1] - size[1],
    )


def margin_of(axes: Axes, pt: float = 4.0) -> Spot:
    """`pt` points as fractions of the width and height of `axes`."""
    per_pt = axes.figure.dpi / 72.0
    return pt * per_pt / axes.bbox.width, pt * per_pt / axes.bbox.height


def clear_spot(
    size: Spot, obstacles: Floats, spots: Iterable[Spot], pad: Spot = (0.0, 0.0)
) -> Spot | None:
    """The first of `spots` where a box of `size` lies inside the axes and covers no obstacle.

    All in axes fractions; `pad` is the distance to keep from obstacles. None if there is none.
    """
    for x, y in spots:
        if x < 0 or y < 0 or x + size[0] > 1 or y + size[1] > 1:
            continue
        low = np.array([x - pad[0], y - pad[1]])
        high = np.array([x + size[0] + pad[0], y + size[1] + pad[1]])
        if not np.any(np.all((obstacles > low) & (obstacles < high), axis=1)):
            return x, y
    return None


def filled(size: Spot, spot: Spot) -> Floats:
    """Points all over a box of `size` with its lower left corner in `spot`, as obstacles."""
    x, y = (np.linspace(at, at + length, 12) for at, length in zip(spot, size, strict=True))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def write_reason(axes: Axes, reason: str, obstacles: Floats | None = None) -> None:
    """Why `axes` lack what a reader expects there, wrapped to two thirds of their width.

    In the middle, or, with `obstacles` (axes fractions), where it hides none of them.
    """
    width_pt = axes.get_window_extent().width / axes.figure.dpi * 72
    share = 0.94 if obstacles is None else 0.66
    letters = max(int(share * width_pt / (0.53 * SMALL_PT)), 12)
    lines = textwrap.wrap(reason, letters, max_lines=_MOST_LINES, placeholder=" …")
    text = axes.text(
        0.5, 0.5, literal("\n".join(lines)), transform=axes.transAxes, ha="center", va="center",
        fontsize=SMALL_PT, color="#555555", gid="reason", zorder=7,
    )  # fmt: skip
    if obstacles is None:
        return
    size, margin = size_in(axes, text), margin_of(axes)
    middle = (0.5 - size[0] / 2, 0.5 - size[1] / 2)
    spots = [middle, *(corner(name, size, margin) for name in reversed(CORNERS))]
    x, y = clear_spot(size, obstacles, spots, margin_of(axes, 2.0)) or middle
    text.set_position((x + size[0] / 2, y + size[1] / 2))


def add_legend(
    axes: Axes, handles: Sequence[Artist], obstacles: Floats, most: int = 4, title: str = ""
) -> None:
    """A legend in up to `most` columns, lower left where that hides nothing, else another corner.

    `title` stands over it. `obstacles` are axes fractions. Where no corner is free, the y axis is
    prolonged downwards until the lower left one is.
    """
    columns, name, prolonged, size = _legend_place(axes, handles, obstacles, most, title)
    low, high = axes.get_ylim()
    axes.set_ylim(low - prolonged * (high - low), high)
    legend = _legend(axes, handles, columns, title)
    legend.set_bbox_to_anchor(corner(name, size, margin_of(axes)), transform=axes.transAxes)


def _legend_place(
    axes: Axes, handles: Sequence[Artist], obstacles: Floats, most: int, title: str
) -> tuple[int, str, float, Spot]:
    """Columns, corner, share by which to prolong the y axis, and size of the legend."""
    counts = range(1, min(most, len(handles)) + 1)
    sizes = {n: size_in(axes, _legend(axes, handles, n, title)) for n in counts}
    margin, pad = margin_of(axes), margin_of(axes, 2.5)
    for prolonged in np.arange(0.0, 1.0, 0.025):
        seen = obstacles * [1.0, 1 / (1 + prolonged)] + [0.0, prolonged / (1 + prolonged)]
        for name in CORNERS if prolonged == 0 else CORNERS[:1]:
            for columns, size in sizes.items():
                if clear_spot(size, seen, [corner(name, size, margin)], pad):
                    return columns, name, float(prolonged), size
    return counts[-1], CORNERS[0], 1.0, sizes[counts[-1]]


def _legend(axes: Axes, handles: Sequence[Artist], columns: int, title: str) -> Legend:
    return axes.legend(
        handles=handles,
        title=title or None,
        alignment="left",
        ncols=columns,
        loc="lower left",
        borderaxespad=0,
        borderpad=0,
        handlelength=1.5,
        handletextpad=0.5,
        columnspacing=1.0,
        labelspacing=0.28,
    )
