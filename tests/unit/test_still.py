"""Files of a figure that is laid out once are those of one that is laid out for each."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from flopline.figures.still import still
from flopline.figures.style import PNG_DPI, new_figure, save, styled


def written(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    fixed = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    figure.savefig(stream, format=kind, dpi=100, metadata=fixed)
    return stream.getvalue()


def with_two_scales() -> Figure:
    """Titles, aligned labels and a second scale, whose limits are set while it is drawn."""
    figure = new_figure(3.0, 3.0)
    for number, axes in enumerate(figure.subplots(2), 1):
        axes.set(title="Loss", xscale="log", xlim=(1, 10**number), ylabel="y", ylim=(0, 10**number))
        second = axes.secondary_xaxis("top", functions=(lambda x: 2 * x, lambda x: x / 2))
        second.set_xlabel("twice")
    figure.align_ylabels()
    return figure


def test_each_format_is_the_same_file() -> None:
    kinds = ("svg", "png", "pdf")
    write = styled(lambda figure: [written(figure, kind) for kind in kinds])
    apart = write(with_two_scales())
    with still(figure := with_two_scales()):
        together = write(figure)
    assert apart == together


def test_what_is_changed_after_saving_is_drawn() -> None:
    figure = new_figure(2.0, 2.0)
    axes = figure.add_subplot()
    with still(figure):
        before = written(figure, "png")
    axes.set_xlim(3, 4)
    assert written(figure, "png") != before


@pytest.mark.parametrize("size", [(4.6, 2.75), (7.2, 1.3), (3.5, 2.0 + 1 / 3)])
def test_pixels_of_a_png_are_those_of_matplotlib(size: tuple[float, float], tmp_path: Path) -> None:
    """4.6 x 300 is a little less than 1380 in floating point: rows of pixels must not shear."""
    figure = new_figure(*size)
    figure.add_subplot().plot([1, 2, 4])
    (path,) = save(figure, tmp_path / "figure", ["png"])
    stream = io.BytesIO()
    styled(figure.savefig)(stream, format="png", dpi=PNG_DPI)
    plain = Image.open(stream)
    assert Image.open(path).mode == "RGB"
    assert np.array_equal(Image.open(path).convert("RGBA"), plain)
    assert Image.open(path).info["dpi"] == plain.info["dpi"]
