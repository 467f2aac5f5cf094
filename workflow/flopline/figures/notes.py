"""Texts and bands that several figures put beside their curves, clear of what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from flopline.figures.spots import Spot, clear_spot, filled, margin_of, size_in
from flopline.laws.common.percentiles import known_percentiles

Floats = NDArray[np.float64]

BANDS: Final = ((95, 0.10), (80, 0.20))
"""Levels of the bands [percent] and how opaque each is; the narrower lies on the wider."""


LEGEND_BELOW_IN: Final = 0.46
"""How far below its axes a legend stands that `legend_below` draws [inch]."""


def write_clear(
    axes: Axes,
    text: str,
    spots: Iterable[Spot],
    obstacles: Floats,
    *,
    force: bool = False,
    **style: Any,
) -> Floats:
    """Write `text` at the first of `spots` that hides nothing; returns the obstacles with it.

    `spots` are lower left corners in axes fractions. Where none is clear nothing is written,
    unless `force`: then the first spot inside the axes takes it.
    """
    artist = axes.text(0, 0, text, transform=axes.transAxes, va="bottom", **style)
    size, tried = size_in(axes, artist), list(spots)
    spot = clear_spot(size, obstacles, tried, margin_of(axes, 2.0))
    if spot is None and force:
        spot = clear_spot(size, np.empty((0, 2)), tried)
    if spot is None:
        artist.remove()
        return obstacles
    artist.set_position(spot)
    return np.concatenate([obstacles, filled(size, spot)])


def around(axes: Axes, x: float, y: float) -> Iterator[Spot]:
    """Spots for a short text near the data point (x, y), nearest first, left before right."""
    at = (axes.transData + axes.transAxes.inverted()).transform([(x, y)])[0]
    gap = margin_of(axes, 3.0)
    for ring in range(1, 30):
        for side in (-1, 1):
            for level in (1.0, -1.0, 0.0):
                dx = side * ring * 2 * gap[0] - (0.30 if side < 0 else 0.0)
                yield float(at[0] + dx), float(at[1] + level * ring * gap[1] - 0.02)


def everywhere() -> Iterator[Spot]:
    """Spots all over the axes, from the upper left corner on."""
    for y in np.arange(0.94, 0.02, -0.03):
        for x in np.arange(0.02, 0.98, 0.03):
            yield float(x), float(y)


def quantile_band(draws: Floats, level: float) -> Floats | None:
    """Ends of the central `level` percent of `draws` (draws, points), shape (2, points).

    None with fewer than two draws; NaN at points where no draw has a number.
    """
    if draws.shape[0] < 2:
        return None
    out = np.full((2, draws.shape[1]), np.nan)
    known = np.isfinite(draws).sum(axis=0) >= 2
    if known.any():
        finite = np.where(np.isfinite(draws[:, known]), draws[:, known], np.nan)
        out[:, known] = known_percentiles(finite, [50 - level / 2, 50 + level / 2])
    return out


def draw_bands(axes: Axes, x: Floats, draws: Floats, color: str) -> list[Floats]:
    """The 95 and 80 % bands of `draws` (draws, points) over `x`; returns their edges."""
    edges = []
    for level, alpha in BANDS:
        band = quantile_band(draws, level)
        if band is None:
            continue
        axes.fill_between(
            x, band[0], band[1], color=color, alpha=alpha, lw=0, zorder=1.5, gid=f"band-{level}"
        )
        edges += list(band)
    return edges


def legend_below(axes: Axes, handles: Sequence[Artist], title: str = "", columns: int = 1) -> None:
    """A legend under the label of the x axis, for which the figure has kept room."""
    figure = axes.figure
    legend = axes.legend(
        handles=handles, loc="upper left", title=title or None, ncols=columns, alignment="left",
        borderaxespad=0, borderpad=0.2, handlelength=1.9, handletextpad=0.5, labelspacing=0.3,
    )  # fmt: skip
    under = LEGEND_BELOW_IN * figure.dpi / axes.bbox.height
    legend.set_bbox_to_anchor((-0.1, -under), transform=axes.transAxes)


def on_white(axes: Axes) -> None:
    """Let guides pass behind the legend of `axes` and not through its text."""
    legend = axes.get_legend()
    if legend is not None:
        legend.set_frame_on(True)
        legend.get_frame().set(facecolor="white", edgecolor="none", alpha=0.85)
