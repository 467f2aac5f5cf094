"""Fonts are looked up once, and only while a figure is drawn."""

from __future__ import annotations

import pytest
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties, fontManager

from flopline.figures import found_fonts as fonts


def test_a_font_is_looked_up_once_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[FontProperties] = []
    look_up = font_manager.FontManager.findfont
    monkeypatch.setattr(fonts, "_found", {})
    monkeypatch.setattr(
        font_manager.FontManager,
        "findfont",
        lambda self, prop, *rest, **more: asked.append(prop) or look_up(self, prop, *rest, **more),
    )
    faces = [FontProperties(family="DejaVu Sans", size=size) for size in (6, 7)]
    bold = FontProperties(family="DejaVu Sans", weight="bold")
    before = [fontManager.findfont(face) for face in (*faces, bold)]
    asked.clear()
    with fonts.found_fonts(), fonts.found_fonts():
        assert [fontManager.findfont(face) for face in (*faces, bold)] == before
        assert [fontManager._find_fonts_by_props(face) for face in (*faces, bold)] == [
            [path] for path in before
        ]
    # Two faces, once by either look-up.
    assert len(asked) == 4
    assert not {"findfont", "_find_fonts_by_props"} & set(vars(fontManager))
