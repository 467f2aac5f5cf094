"""Colours that stay apart for the colour-blind and in grey, or marks that say the same again."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from flopline.figures.identifiability_figure import SIGNED
from flopline.figures.panels import BASELINE_STYLE, law_style
from flopline.figures.registry import FIGURES
from flopline.figures.style import (
    FAMILY_COLORS,
    GREY,
    GUIDE_GREEN,
    INK,
    MAKO,
    MAKO_MAP,
    PAPER_DARK,
    on_dark,
)
from flopline.figures.surface_figure import COLOR_MAPS, color_map
from flopline.figures.unseen import FORECAST_COLOR
from flopline.laws.registry import LAWS
from tests.builders.audit_parts import made_up
from tests.builders.drawn_figures import drawn_audits, simple_envelope, simple_isoflop
from tests.builders.study_example import example

Floats = NDArray[np.float64]

VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}
"""What is seen of linear RGB: Machado, Oliveira and Fernandes 2009 (doi 10.1109/TVCG.2009.113),
severity 1; grey by the luminance of ITU-R BT.709."""
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Linear sRGB to CIE XYZ (IEC 61966-2-1)."""
LEAST = 5.0
"""CIE 1976 colour difference that must remain, more than twice the 2.3 that is just noticeable
(Mahy, Van Eycken and Oosterlinck 1994)."""


WITH_POINTS = {"profile", "parabola", "interval", "valley"}
"""Lines through points, and the diamond on them, that are told apart by those points' marks."""


def lab(color: ArrayLike | str, vision: str = "normal") -> Floats:
    """CIE L*a*b* (D65) of a colour as `vision` sees it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISIONS[vision] @ linear, 0.0, 1.0)
    t = TO_XYZ @ seen / (TO_XYZ @ np.ones(3))
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one: Any, other: Any, vision: str) -> float:
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def forms(axes: Axes) -> dict[tuple[Any, ...], list[Any]]:
    """The colours of all series in `axes`, by everything else that tells them apart."""
    colors_of: dict[tuple[Any, ...], list[Any]] = {}
    for line in axes.lines:
        if not line.get_gid() or line.get_gid() in WITH_POINTS:
            continue
        style, marker, fill = line.get_linestyle(), line.get_marker(), line.get_fillstyle()
        hollow = line.get_markerfacecolor() == "white"
        form = (line.get_gid() if style == "None" else "", style, marker, fill, hollow)
        colors = colors_of.setdefault((*form, line.get_linewidth()), [])
        face = line.get_markeredgecolor() if hollow else line.get_markerfacecolor()
        color = face if style == "None" else line.get_color()
        if color not in colors:
            colors.append(color)
    return colors_of


def figures() -> dict[str, Any]:
    drawn = {f"isoflop-{n}": simple_isoflop(np.geomspace(6e18, 3e21, n)) for n in (3, 9, 12, 20)}
    every = {name: example(name) for name in FIGURES}
    drawn["envelope"] = simple_envelope(horizons=[1e6, 1e7])
    return every | drawn | drawn_audits(made_up("chinchilla"))


@pytest.fixture(scope="module")
def seen() -> dict[str, list[tuple[str, str]]]:
    """Pairs of colours that alone tell two series of a panel apart, by figure."""
    return {
        name: [
            pair
            for axes in figure.axes
            for colors in forms(axes).values()
            for pair in itertools.combinations(colors, 2)
        ]
        for name, figure in figures().items()
    }


@pytest.mark.parametrize("vision", VISIONS)
def test_series_that_only_colour_tells_apart_stay_apart(seen: Any, vision: str) -> None:
    assert {name for name, pairs in seen.items() if pairs} >= {"isoflop-9", "envelope", "ladder"}
    close = {
        (name, *pair): round(apart(*pair, vision), 1)
        for name, pairs in seen.items()
        for pair in pairs
        if apart(*pair, vision) < LEAST
    }
    assert close == {}


@pytest.mark.parametrize("vision", VISIONS)
def test_the_colours_of_laws_and_of_families_stay_apart(vision: str) -> None:
    laws = [law_style(law).color for law in LAWS]
    for colors in (laws, FAMILY_COLORS.values()):
        for pair in itertools.combinations(colors, 2):
            assert apart(*pair, vision) > LEAST, pair
    # Law and guide share a panel: one dashed, one a solid hairline, and of other colours.
    if vision != "grey":
        assert all(apart(law, GUIDE_GREEN, vision) > LEAST for law in laws)


def test_every_colour_has_one_meaning() -> None:
    meanings = {
        **{f"law {law}": law_style(law).color for law in LAWS},
        **{f"family {name}": color for name, color in FAMILY_COLORS.items()},
        "target": GUIDE_GREEN,
        "forecast": FORECAST_COLOR,
    }
    for (one, a), (other, b) in itertools.combinations(meanings.items(), 2):
        assert apart(a, b, "normal") > 4 * LEAST, (one, other)
    for name, color in meanings.items():
        assert min(apart(color, budget, "normal") for budget in MAKO) > 3 * LEAST, name


def contrast(one: str, other: str) -> float:
    """The contrast of WCAG 2.1 between two colours."""
    light = []
    for color in (one, other):
        rgb = np.array(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        light.append(float(VISIONS["grey"][0] @ linear) + 0.05)
    return max(light) / min(light)


def test_marks_stand_out_on_light_and_on_dark_paper() -> None:
    laws = [law_style(law).color for law in LAWS]
    for color in (*laws, *FAMILY_COLORS.values(), GUIDE_GREEN, FORECAST_COLOR, INK):
        assert contrast(color, "#ffffff") >= 3, color
        assert contrast(on_dark(color), PAPER_DARK) >= 3, color
    for color in (*MAKO, GREY):
        assert contrast(on_dark(color), PAPER_DARK) >= 3, color
    lightness = [lab(on_dark(color))[0] for color in MAKO]
    assert (np.diff(lightness) < 0).all()
    assert on_dark("#ffffff") == PAPER_DARK


def test_laws_differ_in_marker_and_dash_too() -> None:
    styles = [*map(law_style, LAWS), BASELINE_STYLE]
    assert len({style.marker for style in styles}) == len(styles)
    assert len({style.dashes for style in styles}) == len(styles)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("name", ["mako", *COLOR_MAPS])
def test_maps_of_colours_darken_all_the_way(name: str, vision: str) -> None:
    colours = MAKO_MAP if name == "mako" else color_map(name)
    lightness = np.array([lab(colours(x)[:3], vision)[0] for x in np.linspace(0, 1, 17)])
    assert (np.diff(lightness) < 0).all()
    assert lightness[0] - lightness[-1] > 40


def test_the_two_signs_of_a_residual_are_equally_dark_and_of_other_marks() -> None:
    ends = [lab(SIGNED(x)[:3])[0] for x in (0.0, 1.0)]
    assert abs(ends[0] - ends[1]) < 15
    figure = drawn_audits(made_up("tiny"))["identifiability"]
    gids = {artist.get_gid() for axes in figure.axes for artist in axes.collections}
    assert {"above", "below"} <= gids


def test_the_measure_tells_what_is_confused_from_what_is_not() -> None:
    # The textbook pair of red and green, of equal lightness.
    red, green = "#c4603c", "#7d8a2e"
    assert apart(red, green, "normal") > 40
    assert apart(red, green, "deuteranopia") < 0.5 * apart(red, green, "normal")
    assert apart("#ffffff", "#000000", "grey") == pytest.approx(100, abs=0.1)
    assert lab(MAKO[0])[0] > 80 > 20 > lab(MAKO[-1])[0]
