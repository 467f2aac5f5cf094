"""Fonts of a PDF: what is left of one draws the same letters."""

from __future__ import annotations

import io

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font, LoadFlags

from flopline.figures import pdf_fonts

FONT = findfont(FontProperties(family="DejaVu Sans"))
LETTERS = "0.1eÅé∝αḗ×½"
"""With letters that are composed of others: é of two, ḗ of é's parts moved and another."""


def glyphs() -> list[int]:
    font = FT2Font(FONT)
    return [font.get_char_index(ord(letter)) for letter in LETTERS]


def drawn(font: FT2Font, glyph: int) -> tuple[np.ndarray, np.ndarray, int]:
    loaded = font.load_glyph(glyph, flags=LoadFlags.NO_SCALE | LoadFlags.NO_HINTING)
    return *font.get_path(), loaded.horiAdvance


def test_letters_keep_their_outlines_and_advances() -> None:
    subset = pdf_fonts.subset_of(pdf_fonts._tables(str(FONT)), glyphs())
    before, after = FT2Font(FONT), FT2Font(io.BytesIO(subset.data))
    for glyph in glyphs():
        for one, other in zip(
            drawn(before, glyph), drawn(after, subset.glyph_index_map[glyph]), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert after.num_glyphs == len(subset.glyph_index_map) < 3 * len(LETTERS)
    assert len(subset.data) < 60_000


def test_the_font_is_whole_by_another_reader() -> None:
    subset = pdf_fonts.subset_of(pdf_fonts._tables(str(FONT)), glyphs())
    font = TTFont(io.BytesIO(subset.data), checkChecksums=2)
    assert set(font.reader.tables) == {*pdf_fonts._COPIED, *pdf_fonts._NEEDED}
    assert font["maxp"].numGlyphs == len(font["glyf"].keys()) == len(font["hmtx"].metrics)
    # Both readers take apart the bytes of every glyph and the program that hints it.
    assert any(font["glyf"][name].isComposite() for name in font.getGlyphOrder())


@pytest.mark.parametrize("first", [b"OTTO", b"ttcf"])
def test_a_font_of_another_kind_is_left_to_matplotlib(first: bytes, tmp_path) -> None:
    path = tmp_path / "other.otf"
    path.write_bytes(first + bytes(40))
    asked: list[object] = []
    answer = pdf_fonts._subset(lambda *of: asked.append(of) or "theirs", path, {1})  # type: ignore
    assert answer == "theirs"
    assert asked == [(path, {1})]


def test_matplotlib_gets_its_own_way_back() -> None:
    before = _backend_pdf_ps.get_glyphs_subset
    with pdf_fonts.lean_fonts():
        assert _backend_pdf_ps.get_glyphs_subset is not before
    assert _backend_pdf_ps.get_glyphs_subset is before
