"""A small figure drawn for nothing: what Matplotlib looks up for its first one is then known."""

from __future__ import annotations

import io
import string
from typing import Final

from flopline.figures.canvases import draw_shapes, pixels_of
from flopline.figures.pdf_fonts import lean_fonts
from flopline.figures.style import PNG_DPI, RASTER_DPI, new_figure, styled

_LETTERS: Final = string.ascii_letters + string.digits + "()[],.%+"


@styled
def rehearse() -> None:
    """Draw letters of every kind that figures use, in every format, into memory."""
    figure = new_figure(1.0, 1.0)
    axes = figure.add_axes((0.3, 0.3, 0.6, 0.6))
    axes.plot([1, 2], [1, 2], "o-", label=_LETTERS)
    axes.set(xscale="log", yscale="log", ylabel=r"$N \propto C^{0.5}$")
    axes.set_xlabel(_LETTERS, style="italic")
    axes.set_title(_LETTERS, weight="bold")
    axes.legend()
    with lean_fonts():
        draw_shapes(figure, io.StringIO(), io.BytesIO(), RASTER_DPI)
    pixels_of(figure, PNG_DPI)
