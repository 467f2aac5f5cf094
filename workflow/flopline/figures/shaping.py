"""Texts shaped once: of which letters they are and where these stand, so how large they are.

To shape a text takes longer than to draw it, and Matplotlib does so whenever it asks for its size
and whenever it draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from matplotlib.font_manager import fontManager, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.textpath import TextToPath

from flopline.figures.found_fonts import face

POINTS_PER_INCH: Final = 72
SUBPIXELS: Final = 64
"""FreeType's units per pixel."""

Size = tuple[float, float, float]


class Letter(NamedTuple):
    """One of a text's letters, with the fields of Matplotlib's LayoutItem."""

    ft_object: Any
    char: str
    glyph_index: int
    x: float
    y: float
    prev_kern: float


class Shaped:
    """What texts are made of in one resolution, under one flag of hinting."""

    def __init__(self, flags: LoadFlags, dpi: float) -> None:
        self.flags, self.dpi = flags, dpi
        self.fonts: dict[Any, Any] = {}
        self.metrics: dict[Any, Size] = {}
        self.texts: dict[Any, list[Letter]] = {}
        self.glyphs: dict[Any, Size] = {}

    def font(self, prop: Any) -> Any:
        """The font of a text, in no certain size."""
        key = face(prop)
        if key not in self.fonts:
            self.fonts[key] = get_font(fontManager._find_fonts_by_props(prop))
        return self.fonts[key]

    def heights(self, prop: Any) -> Any:
        """How far a font goes above and below its line, and the gap between lines, in pixels.

        As Matplotlib works it out; None for each where the font does not state it.
        """
        key = face(prop)
        if key not in self.metrics:
            self.metrics[key] = _metrics(self.font(prop))
        scale, *lengths = self.metrics[key]
        # In this order, so that it is rounded as there.
        scale = scale * prop.get_size_in_points() * self.dpi / POINTS_PER_INCH
        return [None if math.isnan(length) else length * scale for length in lengths]

    def letters(self, text: str, font: Any, size: Any, **how: Any) -> list[Letter]:
        """The letters of `text` in `font`."""
        key = (text, font, size, *how.values())
        if key not in self.texts:
            self._upright(font, size)
            self.texts[key] = [
                Letter(i.ft_object, i.char, i.glyph_index, i.x, i.y, i.prev_kern)
                for i in font._layout(text, self.flags, **how)
            ]
        return self.texts[key]

    def size(self, text: str, font: Any, size: Any) -> Size:
        """Width, height and descent of `text` in pixels, as FT2Font.set_text has them."""
        letters = self.letters(text, font, size, features=None, language=None)
        if not letters:
            return 0.0, 0.0, 0.0
        glyphs = [self._glyph(letter, font, size) for letter in letters]
        low = min(bottom + letter.y for (bottom, _, _), letter in zip(glyphs, letters, strict=True))
        high = max(top + letter.y for (_, top, _), letter in zip(glyphs, letters, strict=True))
        return letters[-1].x + glyphs[-1][2], high - low, -low

    def _glyph(self, letter: Letter, font: Any, size: Any) -> Size:
        """Where the glyph of a letter ends below and above, and how far it goes on, in pixels."""
        key = (letter.ft_object, letter.glyph_index, size)
        if key not in self.glyphs:
            self._upright(font, size)
            self._upright(letter.ft_object, size)
            glyph = letter.ft_object.load_glyph(letter.glyph_index, flags=self.flags)
            ends = (glyph.bbox[1], glyph.bbox[3], glyph.horiAdvance)
            self.glyphs[key] = tuple(end / SUBPIXELS for end in ends)
        return self.glyphs[key]

    def _upright(self, font: Any, size: Any) -> None:
        """Have a font in a size, not turned as it was for the letter drawn last."""
        font._set_transform([[0x10000, 0], [0, 0x10000]], [0, 0])
        font.set_size(size, self.dpi)


def _metrics(font: Any) -> Any:
    """What one of a font's units is of its size, how far it goes above and below, and its gap."""
    places = ("sTypoAscender", "sTypoDescender", "sTypoLineGap"), ("ascent", "descent", "lineGap")
    for table, names in zip(("OS/2", "hhea"), places, strict=True):
        if (stated := font.get_sfnt_table(table)) is not None:
            above, below, gap = (stated[name] for name in names)
            return 1 / font.get_sfnt_table("head")["unitsPerEm"], above, -below, gap
    return (math.nan,) * 4


class Outlines:
    """Texts by their outlines, shaped at the size in which Matplotlib keeps these, for every size.

    `layout` takes the place of its function of this name. Outside `scaled` the outline of each
    letter can be taken as well.
    """

    def __init__(self, text_to_path: TextToPath) -> None:
        self.text_to_path: Any = text_to_path
        self.shaped = Shaped(LoadFlags.NO_HINTING, text_to_path.DPI)
        self.scale: float | None = None

    def size(self, text: str, prop: Any) -> Size:
        """Width, height and descent of a text in points."""
        reference = self.text_to_path.FONT_SCALE
        width, height, descent = self.shaped.size(text, self.shaped.font(prop), reference)
        scale = prop.get_size_in_points() / reference
        return width * scale, height * scale, descent * scale

    @contextmanager
    def scaled(self, points: float) -> Iterator[None]:
        """Within it, letters are placed for a text of so many points, and not outlined."""
        self.scale = points / self.text_to_path.FONT_SCALE
        try:
            yield
        finally:
            self.scale = None

    def letters(
        self, text: str, font: Any, *, features: Any = None, language: Any = None
    ) -> list[Letter]:
        """The letters of a text in the size of outlines."""
        reference = self.text_to_path.FONT_SCALE
        return self.shaped.letters(text, font, reference, features=features, language=language)

    def layout(self, string: str, font: Any, **how: Any) -> Any:
        """The letters of a text, one after another."""
        scale = self.scale
        letters = self.letters(string, font, **how)
        if scale is not None:
            for letter in letters:
                x, y, kern = (scale * length for length in letter[3:])
                yield Letter(letter.ft_object, letter.char, letter.glyph_index, x, y, kern)
            return
        for letter in letters:
            letter.ft_object.load_glyph(letter.glyph_index, flags=LoadFlags.NO_HINTING)
            yield letter
