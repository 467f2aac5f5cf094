"""A figure as shapes and as pixels, each drawn once: SVG and PDF are written side by side.

Two thirds of writing a figure go into laying out its texts and turning its marks into paths.
Matplotlib does so anew for each format; but an SVG and a PDF both count in points and round alike.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from matplotlib import _text_helpers
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import RendererAgg, get_hinting_flag
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.figure import Figure
from matplotlib.ft2font import RenderMode
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from flopline.figures.copied_ticks import copied
from flopline.figures.shaping import POINTS_PER_INCH, SUBPIXELS, Outlines, Shaped, Size
from flopline.figures.writers import Pdf, PdfBytes, Svg

# A date or a library version in a file would make equal figures differ.
_NO_DATE_SVG: Final = {"Date": None, "Creator": None}
_NO_DATE_PDF: Final = {"CreationDate": None, "Creator": None, "Producer": None}


class Together(RendererBase):
    """Hands all that is drawn to the writers of two formats at once.

    Texts are measured by outlines without hints, as they are in an SVG of outlines.
    """

    def __init__(self, outlines: Outlines, svg: Any, pdf: Any) -> None:
        super().__init__()
        self.outlines, self.svg, self.pdf = outlines, svg, pdf
        self.writers = [writer for writer in (svg, pdf) if writer is not None]
        self.last = self.writers[-1]
        self.size: tuple[float, float] = self.last.get_canvas_width_height()
        # That of the PDF is one of the SVG as well, and not the other way round.
        self.plain: GraphicsContextBase = self.last.new_gc()

    def new_gc(self) -> GraphicsContextBase:
        """How shapes look before anything is said of it."""
        return copied(self.plain)

    def get_canvas_width_height(self) -> tuple[float, float]:
        """In points."""
        return self.size

    def flipy(self) -> bool:
        """Heights grow upwards, as in a PDF."""
        return False

    def option_image_nocomposite(self) -> bool:
        """Whether images lie one over another rather than become one."""
        return bool(self.last.option_image_nocomposite())

    def get_image_magnification(self) -> float:
        """Pixels of an image per point."""
        return float(self.last.get_image_magnification())

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Size:
        """The size of a text in points."""
        if not ismath:
            return self.outlines.size(s, prop)
        size: Size = text_to_path.get_text_width_height_descent(s, prop, ismath)
        return size

    def _get_font_height_metrics(self, prop: Any) -> Any:
        """Heights of a line of text, of which Matplotlib asks."""
        return self.outlines.shaped.heights(prop)

    def open_group(self, s: str, gid: str | None = None) -> None:
        """Begin a group of shapes."""
        for writer in self.writers:
            writer.open_group(s, gid)

    def close_group(self, s: str) -> None:
        """End it."""
        for writer in self.writers:
            writer.close_group(s)

    def draw_path(self, *path: Any) -> None:
        """Draw a path."""
        for writer in self.writers:
            writer.draw_path(*path)

    def draw_markers(self, *markers: Any) -> None:
        """Draw one path at many points."""
        for writer in self.writers:
            writer.draw_markers(*markers)

    def draw_path_collection(self, *paths: Any, **kwargs: Any) -> None:
        """Draw many paths."""
        for writer in self.writers:
            writer.draw_path_collection(*paths, **kwargs)

    def draw_gouraud_triangles(self, *triangles: Any) -> None:
        """Draw shaded triangles."""
        for writer in self.writers:
            writer.draw_gouraud_triangles(*triangles)

    def draw_image(self, *image: Any) -> None:
        """Draw an image."""
        for writer in self.writers:
            writer.draw_image(*image)

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, *more: Any, **kwargs: Any
    ) -> None:
        """Draw a text at x and y, which an SVG counts downwards."""
        if self.svg is not None:
            self.svg.draw_text(gc, x, self.size[1] - y, s, prop, *more, **kwargs)
        if self.pdf is not None:
            with self.outlines.scaled(prop.get_size_in_points()):
                self.pdf.draw_text(gc, x, y, s, prop, *more, **kwargs)

    def finalize(self) -> None:
        """Write what stands at the end."""
        for writer in self.writers:
            writer.finalize()


class Pixels(RendererAgg):
    """Matplotlib's, which shapes a text once, and turns and sizes a font once for all letters."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)  # type: ignore[no-untyped-call]
        self.shaped = Shaped(get_hinting_flag(), dpi)
        self.plain = GraphicsContextBase()

    def new_gc(self) -> GraphicsContextBase:
        """How shapes look before anything is said of it."""
        return copied(self.plain)

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Size:
        """The size of a text in pixels."""
        if not ismath:
            return self.shaped.size(s, *self._sized(prop))
        agg: Any = super()
        size: Size = agg.get_text_width_height_descent(s, prop, ismath)
        return size

    def _sized(self, prop: Any) -> tuple[Any, float]:
        """The font of a text, and its size in points."""
        return self.shaped.font(prop), prop.get_size_in_points()

    def _get_font_height_metrics(self, prop: Any) -> Any:
        """Heights of a line of text, of which Matplotlib asks."""
        return self.shaped.heights(prop)

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: Any,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Draw a text at x and y."""
        if ismath or not gc.get_antialiased():
            agg: Any = super()
            agg.draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        how = {
            "features": None if mtext is None else mtext.get_fontfeatures(),
            "language": None if mtext is None else mtext.get_language(),
        }
        main, size = self._sized(prop)
        letters = self.shaped.letters(s, main, size, **how)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turned = (0x10000 * np.array([[cos, -sin], [sin, cos]])).round().astype(int)
        before = None
        for font, _, glyph, dx, dy, _ in letters:
            if font is not before:
                font.set_size(size, self.dpi)
                before = font
            at = (x + dx * cos - dy * sin, self.height - y + dx * sin + dy * cos)
            font._set_transform(turned, [round(SUBPIXELS * place) for place in at])
            bitmap = font._render_glyph(glyph, self.shaped.flags, RenderMode.NORMAL)
            pixels = bitmap.buffer
            bottom = int(self.height) - bitmap.top + len(pixels)
            self._renderer.draw_text_image(pixels, bitmap.left, bottom, 0, gc)


def draw_shapes(
    figure: Figure, svg: io.StringIO | None, pdf: io.BytesIO | None, dpi: float
) -> set[str]:
    """Draw `figure` into an SVG, a PDF or both; its rasterized parts are images of `dpi`.

    Returns the styles of the SVG's elements.
    """
    width, height = map(float, figure.get_size_inches())
    outlines = Outlines(text_to_path)
    file: Any = None if pdf is None else PdfBytes(pdf, metadata=_NO_DATE_PDF)
    points = (width * POINTS_PER_INCH, height * POINTS_PER_INCH)
    of_svg: Any = {"image_dpi": dpi, "metadata": _NO_DATE_SVG}
    writers = Together(
        outlines,
        None if svg is None else Svg(*points, svg, outlines, **of_svg),
        None if file is None else Pdf(file, dpi, height, width, outlines),
    )
    try:
        if file is not None:
            file.newPage(width, height)
        with _resolution(figure, POINTS_PER_INCH), _shaped_by(outlines):
            renderer: Any = MixedModeRenderer(figure, width, height, dpi, writers)
            figure.draw(renderer)
            renderer.finalize()
        if file is not None:
            file.finalize()
    finally:
        if file is not None:
            file.close()
    return set() if writers.svg is None else writers.svg.writer.styles


def pixels_of(figure: Figure, dpi: float) -> NDArray[np.uint8]:
    """The figure in pixels: rows from the top of red, green, blue and opacity."""
    with _resolution(figure, dpi):
        renderer: Any = Pixels(*figure.canvas.get_width_height(physical=True), dpi)
        figure.draw(renderer)
        return np.asarray(renderer.buffer_rgba())


@contextmanager
def _resolution(figure: Figure, dpi: float) -> Iterator[None]:
    before, figure.dpi = figure.dpi, dpi
    try:
        yield
    finally:
        figure.dpi = before


@contextmanager
def _shaped_by(outlines: Outlines) -> Iterator[None]:
    before = _text_helpers.layout
    _text_helpers.layout = outlines.layout
    try:
        yield
    finally:
        _text_helpers.layout = before
