"""Texts shaped once: of which letters they are and where these stand, so how large they are.

To shape a text takes longer than to draw it, and Matplotlib does so whenever it asks for its size
and whenever it draws it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from matplotlib.ft2font import LoadFlags
from matplotlib.textpath import TextToPath

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
    """What texts are made of, under one flag of hinting; fonts carry the size that is asked for."""

    def __init__(self, flags: LoadFlags) -> None:
        self.flags = flags
        self.texts: dict[Any, list[Letter]] = {}
        self.glyphs: dict[Any, tuple[float, float, float]] = {}

    def letters(self, text: str, font: Any, size: Any, **how: Any) -> list[Letter]:
        """The letters of `text` in `font`, which has `size`."""
        key = (text, font, size, *how.values())
        if key not in self.texts:
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
        glyphs = [self._glyph(letter, size) for letter in letters]
        low = min(bottom + letter.y for (bottom, _, _), letter in zip(glyphs, letters, strict=True))
        high = max(top + letter.y for (_, top, _), letter in zip(glyphs, letters, strict=True))
        return letters[-1].x + glyphs[-1][2], high - low, -low

    def _glyph(self, letter: Letter, size: Any) -> Size:
        """Where the glyph of a letter ends below and above, and how far it goes on, in pixels."""
        key = (letter.ft_object, letter.glyph_index, size)
        if key not in self.glyphs:
            glyph = letter.ft_object.load_glyph(letter.glyph_index, flags=self.flags)
            ends = (glyph.bbox[1], glyph.bbox[3], glyph.horiAdvance)
            self.glyphs[key] = tuple(end / SUBPIXELS for end in ends)
        return self.glyphs[key]


class Outlines:
    """Texts by their outlines, shaped at the size in which Matplotlib keeps these, for every size.

    `layout` takes the place of its function of this name. Outside `scaled` the outline of each
    letter can be taken as well.
    """

    def __init__(self, text_to_path: TextToPath) -> None:
        self.text_to_path: Any = text_to_path
        self.shaped = Shaped(LoadFlags.NO_HINTING)
        self.scale: float | None = None

    def size(self, text: str, prop: Any) -> Size:
        """Width, height and descent of a text in points."""
        reference = self.text_to_path.FONT_SCALE
        font = self.text_to_path._get_font(prop)
        width, height, descent = self.shaped.size(text, font, reference)
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

    def layout(self, string: str, font: Any, *, features: Any = None, language: Any = None) -> Any:
        """The letters of a text, one after another."""
        reference, scale = self.text_to_path.FONT_SCALE, self.scale
        font.set_size(reference, self.text_to_path.DPI)
        how = {"features": features, "language": language}
        letters = self.shaped.letters(string, font, reference, **how)
        if scale is not None:
            for letter in letters:
                x, y, kern = (scale * length for length in letter[3:])
                yield Letter(letter.ft_object, letter.char, letter.glyph_index, x, y, kern)
            return
        for letter in letters:
            letter.ft_object.load_glyph(letter.glyph_index, flags=LoadFlags.NO_HINTING)
            yield letter
