"""Every kind of figure against a picture of it that a person has looked at.

After a change that is meant to be seen, draw the pictures anew, look at each and commit them:

    pytest tests/unit/test_figures_regression.py --renew-baselines
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from flopline.figures.surface_figure import surface
from tests.builders.audit_parts import made_up
from tests.builders.designs import HOFFMANN_BUDGETS
from tests.builders.drawn_figures import (
    EXAMPLES,
    drawn_audits,
    simple_isoflop,
)
from tests.builders.figure_tables import isoflop_tables, multimodal_panels
from tests.builders.surfaces import BESIROGLU

BASELINES = Path(__file__).parent / "baselines"
DPI = 100
TILE = 24
"""Edge of the tiles that are compared [pixels]: 6 mm on paper, the size of a label."""
LIMIT = 25.0
"""Root mean square of the differences of a tile's RGB values that is still the same picture. What
the palette of the stored pictures changes stays below 8; a label that moves by 2 mm exceeds 40."""
TWO_MM_PT = 2 / 25.4 * 72


def an_isoflop(width: str = "page", **changes: Any) -> Figure:
    vertices = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)[1]
    vertices = vertices.assign(flagged=[True, *[False] * 8])
    vertices.loc[8, "used"] = False
    return simple_isoflop(width=width, vertices=vertices, **changes)


def a_failed_isoflop() -> Figure:
    fit = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS[:3])[0]
    return an_isoflop(fit=fit | {"status": "failed", "message": "only 2 budgets have a valley"})


KINDS: dict[str, Callable[[], Figure]] = {
    **{name: functools.partial(draw, "page") for name, draw in EXAMPLES.items()},
    **{
        f"{name}-column": functools.partial(EXAMPLES[name], "column")
        for name in (
            "envelope",
            "contours",
            "losscompute",
            "ladder",
            "regret",
            "stakes",
            "cleaning",
        )
    },
    "isoflop": an_isoflop,
    "isoflop-column": lambda: an_isoflop("column"),
    "isoflop-failed": a_failed_isoflop,
    "surface-stems": lambda: surface(multimodal_panels()[:1]),
    "absent": lambda: drawn_audits(made_up("tiny"), findings=[])["stakes"],
}
"""Every figure once, some as a column too, and what only some studies show."""


def picture(figure: Figure) -> Image.Image:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return Image.open(stream).convert("RGB")


def worst_tile(one: Image.Image, other: Image.Image) -> float:
    """The largest root mean square difference of two pictures' tiles; infinite if sizes differ."""
    if one.size != other.size:
        return np.inf
    squares = (np.asarray(one, dtype=float) - np.asarray(other, dtype=float)) ** 2
    high, wide, _ = squares.shape
    padded = np.pad(squares.mean(axis=2), [(0, -high % TILE), (0, -wide % TILE)])
    tiles = padded.reshape(padded.shape[0] // TILE, TILE, padded.shape[1] // TILE, TILE)
    return float(np.sqrt(tiles.mean(axis=(1, 3)).max()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_looks_as_it_did(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file, now = BASELINES / f"{kind}.png", picture(KINDS[kind]())
    if request.config.getoption("--renew-baselines", default=False):
        now.quantize(256).save(file, optimize=True)
    before = Image.open(file).convert("RGB")
    if (apart := worst_tile(now, before)) > LIMIT:
        now.save(tmp_path / f"{kind}.png")
        pytest.fail(f"{file} and {tmp_path / file.name} differ by {apart:.0f} (limit {LIMIT}).")


def moved_axis_label(figure: Figure) -> None:
    figure.axes[0].xaxis.labelpad += TWO_MM_PT


def moved_annotation(figure: Figure) -> None:
    text = figure.axes[1].texts[0]
    x, y = text.get_position()
    mm = 2 / 25.4 / (figure.axes[1].get_position().height * figure.get_size_inches()[1])
    text.set_position((x, y - mm))


def moved_legend(figure: Figure) -> None:
    legend = figure.axes[0].get_legend()
    box = legend.get_bbox_to_anchor().translated(2 / 25.4 * figure.dpi, 0)
    legend.set_bbox_to_anchor(box.transformed(figure.axes[0].transAxes.inverted()),
                              transform=figure.axes[0].transAxes)  # fmt: skip


def moved_title(figure: Figure) -> None:
    axes = figure.axes[0]
    axes.set_title(axes.get_title(loc="left"), pad=4.0 + TWO_MM_PT, loc="left")


@pytest.mark.parametrize("move", [moved_axis_label, moved_annotation, moved_legend, moved_title])
def test_a_label_that_moves_by_two_millimetres_is_seen(move: Any) -> None:
    figure = an_isoflop()
    before = Image.open(BASELINES / "isoflop.png").convert("RGB")
    assert worst_tile(picture(figure), before) < LIMIT
    move(figure)
    assert worst_tile(picture(figure), before) > 1.5 * LIMIT


def test_a_missing_line_and_another_size_are_seen() -> None:
    before = Image.open(BASELINES / "isoflop.png").convert("RGB")
    figure = an_isoflop()
    figure.axes[1].lines[0].remove()
    assert worst_tile(picture(figure), before) > LIMIT
    assert worst_tile(picture(an_isoflop("column")), before) == np.inf


def test_the_pictures_are_small_and_all_in_use() -> None:
    files = {file.stem: file.stat().st_size for file in BASELINES.glob("*.png")}
    assert set(files) == set(KINDS)
    assert sum(files.values()) < 1_500_000
