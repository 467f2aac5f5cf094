"""Matplotlib's writers of SVG and PDF, that write the same in less time.

A third of what they take goes into asking each number what it is, into marking what no XML needs
marked, into loading letters that are known, and into packing a PDF line by line.
"""

from __future__ import annotations

import functools
import io
import math
import urllib.parse
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from matplotlib.backends import backend_svg
from matplotlib.backends.backend_pdf import Name, Op, PdfFile, RendererPdf, _fill, pdfRepr
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.font_manager import FontPath
from matplotlib.ft2font import LoadFlags
from matplotlib.mathtext import VectorParse
from matplotlib.textpath import TextToPath, text_to_path
from PIL import Image

from flopline.figures.shaping import Outlines

_LEVEL: Final = 3
"""How hard zlib tries for an image in a PDF: at 6, its default, it takes twice as long."""
_LINE: Final = 75
"""Characters of a line of a PDF, where Matplotlib breaks it."""


_repr: Callable[[Any], bytes] = pdfRepr


def _number(number: float) -> bytes:
    if not math.isfinite(number):
        return _repr(number)  # which refuses it
    return (b"%.10f" % number).rstrip(b"0").rstrip(b".")


_REPRS: Final[dict[type, Callable[[Any], bytes]]] = {
    float: _number,
    np.float64: _number,
    int: lambda number: b"%d" % number,
    Op: lambda op: op._value_,
    Name: lambda name: b"/" + name.name,
}
"""How a PDF writes what stands in it most often."""


class PdfBytes(PdfFile):
    """Matplotlib's, that packs a stream at its end and knows at once how numbers are written."""

    def __init__(self, pdf: io.BytesIO, **how: Any) -> None:
        self.waiting: list[bytes] = []
        begin: Any = super().__init__
        begin(pdf, **how)

    def output(self, *data: Any) -> None:
        """Write what stands on a line, or on more if it is long."""
        parts = [_REPRS.get(type(item), _repr)(item) for item in data]
        line = b" ".join(parts)
        self.write((line if len(line) < _LINE else _fill(parts)) + b"\n")

    def write(self, data: bytes) -> None:
        """Write bytes into the stream that is open, or beside streams."""
        stream = self.currentstream
        if stream is not None and stream.compressobj is not None:
            self.waiting.append(data)
        else:
            (stream or self.fh).write(data)

    def endStream(self) -> None:
        """End the stream that is open."""
        if self.waiting:
            stream: Any = self.currentstream
            stream.write(b"".join(self.waiting))
            self.waiting.clear()
        end: Any = super().endStream
        end()

    def _writePng(self, img: Any) -> Any:
        """The parts of an image, packed without much trying."""
        write: Any = super()._writePng
        return write(SimpleNamespace(save=functools.partial(img.save, compress_level=_LEVEL)))


class Pdf(RendererPdf):
    """Matplotlib's, whose texts stand as they do in an SVG."""

    def __init__(
        self, file: PdfBytes, dpi: float, height: float, width: float, outlines: Outlines
    ) -> None:
        begin: Any = super().__init__
        begin(file, dpi, height, width)
        self.outlines = outlines
        formulas: Any = SimpleNamespace(mathtext_parser=ScaledFormulas())
        self._text2path = formulas

    def check_gc(self, gc: Any, fillcolor: Any = None) -> None:
        """Write what the next shape changes of colours, lines and clips."""
        kept = gc._fillcolor, gc._effective_alphas
        if gc._rgb is None:
            gc.set_foreground((0, 0, 0, 0), isRGBA=True)
        gc._fillcolor = fillcolor
        line = gc._alpha if gc._forced_alpha else gc._rgb[3]
        face = 1.0 if fillcolor is None or len(fillcolor) < 4 else fillcolor[3]
        gc._effective_alphas = (line, line if gc._forced_alpha else face)
        if changed := self._changes(gc):
            self.file.output(*changed)
        gc._fillcolor, gc._effective_alphas = kept

    def _changes(self, gc: Any) -> list[Any]:
        """What `GraphicsContextPdf.delta` gives."""
        ours, theirs, commands = vars(self.gc), vars(gc), []
        filled = False
        for names, command in self.gc.commands:
            hatches = names[0] == "_hatch"
            if not (hatches and filled) and all(_equal(ours[n], theirs[n]) for n in names):
                continue
            filled |= names[0] == "_fillcolor"
            commands += command(self.gc, *(theirs[name] for name in names))
            ours = vars(self.gc)
            ours.update({name: theirs[name] for name in names})
        return commands

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
        how = {
            "features": None if mtext is None else mtext.get_fontfeatures(),
            "language": None if mtext is None else mtext.get_language(),
        }
        shaped = self.outlines.shaped
        letters = [] if ismath else self.outlines.letters(s, shaped.font(prop), **how)
        if ismath or gc.get_url() is not None or any(letter.y for letter in letters):
            draw: Any = super().draw_text
            draw(gc, x, y, s, prop, angle, ismath, mtext)
            return
        self.check_gc(gc, gc._rgb)
        output, track = self.file.output, self.file._character_tracker.track_glyph
        points = prop.get_size_in_points()
        scale = points / text_to_path.FONT_SCALE
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        output(Op.gsave)
        output(cos, sin, -sin, cos, x, y, Op.concat_matrix)
        output(Op.begin_text)
        chunk: list[Any] = []  # codes of glyphs, and corrections of their distance
        last, begun = None, 0.0
        for letter in letters:
            subset, code = track(letter.ft_object, letter.char, letter.glyph_index)
            if (letter.ft_object, subset) != last:
                self._show(chunk)
                path = FontPath(letter.ft_object.fname, letter.ft_object.face_index)
                output(self.file.fontName(path, subset), points, Op.selectfont)
                output(scale * letter.x - begun, 0, Op.textpos)
                last, begun = (letter.ft_object, subset), scale * letter.x
            if letter.prev_kern:
                chunk.append(-1000 * (scale * letter.prev_kern) / points)
            if chunk and isinstance(chunk[-1], bytes):
                chunk[-1] += code.to_bytes(2, "big")
            else:
                chunk.append(code.to_bytes(2, "big"))
        self._show(chunk)
        output(Op.end_text)
        output(Op.grestore)

    def _show(self, chunk: list[Any]) -> None:
        if chunk:
            self.file.output(chunk, Op.showkern)
            chunk.clear()


def _equal(ours: Any, theirs: Any) -> bool:
    if ours is theirs:
        return True
    if ours is None or theirs is None:
        return False
    same = ours == theirs
    return same if isinstance(same, bool) else bool(np.array_equal(ours, theirs))


class ScaledFormulas:
    """Formulas as they were laid out in the size of outlines, for every size."""

    def parse(self, s: str, dpi: float, prop: Any) -> VectorParse:
        """Where the glyphs of a formula stand, and its lines."""
        reference = text_to_path.FONT_SCALE
        scale = prop.get_size_in_points() / reference
        large = prop.copy()
        large.set_size(reference)
        laid_out = text_to_path.mathtext_parser.parse(s, dpi, large)
        glyphs = [
            (font, scale * size, char, glyph, scale * x, scale * y)
            for font, size, char, glyph, x, y in laid_out.glyphs
        ]
        lines: Any = [tuple(scale * length for length in line) for line in laid_out.rects]
        size = (scale * length for length in laid_out[:3])
        return VectorParse._make([*size, glyphs, lines])


class Svg(RendererSVG):
    """Matplotlib's, with texts shaped by `outlines`, and images of 256 colours."""

    def __init__(
        self, width: float, height: float, svg: io.StringIO, outlines: Outlines, **how: Any
    ) -> None:
        begin: Any = super().__init__
        begin(width, height, svg, **how)
        # Its head is written, and stands open.
        writer: Any = Elements(svg, "svg")
        self.writer = writer
        self._text2path = Glyphs(outlines)

    def draw_image(self, *image: Any) -> None:
        """Draw an image, in colours that the eye cannot tell from its own."""
        draw: Any = super().draw_image
        module: Any = backend_svg
        before, module.Image = module.Image, Palette
        try:
            draw(*image)
        finally:
            module.Image = before


class Palette:
    """Takes the place of PIL's Image where an SVG embeds one: at a third of the bytes."""

    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels

    @classmethod
    def fromarray(cls, pixels: Any) -> Palette:
        """The image of these pixels."""
        return cls(pixels)

    def save(self, file: io.BytesIO, **how: Any) -> None:
        """Write it as a PNG of 256 colours."""
        image = Image.fromarray(self.pixels)
        image.quantize(256, method=Image.Quantize.FASTOCTREE).save(file, "png", optimize=True)


class Glyphs(TextToPath):
    """Matplotlib's outlines of texts; a letter is loaded where it has not been outlined yet."""

    def __init__(self, outlines: Outlines) -> None:
        super().__init__()
        # Formulas that were measured are known to it.
        self.mathtext_parser = text_to_path.mathtext_parser
        self.outlines = outlines
        self.names: dict[tuple[Any, int], str] = {}

    def get_glyphs_with_font(
        self,
        font: Any,
        s: str,
        glyph_map: Mapping[str, Any] | None = None,
        return_new_glyphs_only: bool = False,
        **how: Any,
    ) -> Any:
        """Of each letter its name, place and scale; the outlines of new ones; no lines."""
        known = glyph_map or {}
        new: dict[str, Any] = {}
        letters = []
        for letter in self.outlines.letters(s, font, **how):
            key = (letter.ft_object, letter.glyph_index)
            if key not in self.names:
                name = f"{letter.ft_object.postscript_name}-{letter.glyph_index:x}"
                self.names[key] = urllib.parse.quote(name)
            name = self.names[key]
            letters.append((name, letter.x, letter.y, 1.0))
            if name not in known and name not in new:
                letter.ft_object.load_glyph(letter.glyph_index, flags=LoadFlags.NO_HINTING)
                new[name] = letter.ft_object.get_path()
        return letters, new if return_new_glyphs_only else {**known, **new}, []


class Elements:
    """Writes XML as Matplotlib's writer does."""

    def __init__(self, file: io.StringIO, *opened: str) -> None:
        self.write, self.flush = file.write, file.flush
        self.tags = list(opened)
        self.styles: set[str] = set()
        self.unclosed = False  # whether the last start tag may still end as an empty element
        self.text = ""

    def start(self, tag: str, attrib: Mapping[str, str] | None = None, **extra: str) -> int:
        """Open an element; how many were open before."""
        depth = len(self.tags)
        pairs = {**attrib, **extra} if attrib else extra
        self.write(f"{self._head()}{' ' * depth}<{tag}{self._attributes(pairs)}")
        self.tags.append(tag)
        self.unclosed = True
        return depth

    def comment(self, comment: str) -> None:
        """Write a comment."""
        words = backend_svg._escape_comment(comment)
        self.write(f"{self._head()}{' ' * len(self.tags)}<!-- {words} -->\n")

    def data(self, text: str) -> None:
        """Write words into the element."""
        self.text += text

    def end(self, tag: str | None = None, indent: bool = True) -> None:
        """Close the element opened last."""
        tag = self.tags.pop()
        if self.unclosed and not self.text:
            self.unclosed = False
            self.write("/>\n")
            return
        head = self._head(indent)
        self.write(f"{head}{' ' * len(self.tags) if indent else ''}</{tag}>\n")

    def close(self, depth: int) -> None:
        """Close what was opened since so many were open."""
        while len(self.tags) > depth:
            self.end()

    def element(
        self,
        tag: str,
        text: str | None = None,
        attrib: Mapping[str, str] | None = None,
        **extra: str,
    ) -> None:
        """Write a whole element."""
        if text:
            self.start(tag, attrib, **extra)
            self.data(text)
            self.end(indent=False)
            return
        pairs = {**attrib, **extra} if attrib else extra
        self.write(f"{self._head()}{' ' * len(self.tags)}<{tag}{self._attributes(pairs)}/>\n")

    def _attributes(self, pairs: Mapping[str, str]) -> str:
        if style := pairs.get("style"):
            self.styles.add(style)
        return "".join([f" {name}={_quoted(value)}" for name, value in pairs.items() if value])

    def _head(self, line: bool = True) -> str:
        """What ends the start tag that stands open, with the words of its element."""
        end = (">\n" if line else ">") if self.unclosed else ""
        text, self.unclosed, self.text = self.text, False, ""
        return end + backend_svg._escape_cdata(text) if text else end


def _quoted(value: str) -> str:
    if value.isalnum() or not any(mark in value for mark in '&<>"'):
        return f'"{value}"'
    quoted: str = backend_svg._quote_escape_attrib(value)
    return quoted
