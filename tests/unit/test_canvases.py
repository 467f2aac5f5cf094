"""A figure drawn once as shapes is in each format what it is when that one alone is asked for."""

from __future__ import annotations

import io
import itertools
import resource
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from flopline.errors import FloplineError
from flopline.figures.canvases import draw_shapes, pixels_of
from flopline.figures.style import RASTER_DPI, new_figure, save, styled

FORMATS = ("svg", "png", "pdf")


@styled
def example() -> Figure:
    """Texts of all kinds, marks, a dense layer, a legend and shapes that share a colour map."""
    figure = new_figure(3.0, 2.0)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    axes.plot([1, 2, 3], [1, 3, 2], "o-", label="runs")
    axes.scatter([1, 2, 3], [2, 1, 3], c=[1, 2, 3], rasterized=True)
    axes.scatter([1, 2, 3], [3, 2, 1], c=[1, 2, 3])
    axes.imshow(np.eye(2), extent=(1, 2, 1, 2), aspect="auto")
    axes.fill_between([1, 3], [1, 1], [1.5, 1.2], alpha=0.3)
    axes.set(title="Loss", xlabel="tokens", ylabel=r"$C^{0.5}$")
    axes.legend()
    halo = [Stroke(linewidth=2, foreground="white"), Normal()]
    axes.text(2, 2, "Quick\nfox", rotation=30, style="italic", path_effects=halo)
    return figure


def files(folder: Path, formats: tuple[str, ...]) -> dict[str, bytes]:
    """A figure written in these formats."""
    written = save(example(), folder / "figure", formats)
    return {path.suffix[1:]: path.read_bytes() for path in written}


def test_a_file_does_not_depend_on_the_other_formats(tmp_path: Path) -> None:
    together = files(tmp_path, FORMATS)
    for formats in (("pdf",), ("svg", "png")):
        assert files(tmp_path, formats) == {kind: together[kind] for kind in formats}


@pytest.mark.parametrize("kind", ["svg", "rgba"])
def test_it_is_what_matplotlib_draws(kind: str) -> None:
    stream = io.BytesIO()
    about = {"metadata": {"Date": None, "Creator": None}} if kind == "svg" else {}
    styled(example().savefig)(stream, format=kind, dpi=RASTER_DPI, **about)
    if kind == "rgba":
        assert styled(pixels_of)(example(), RASTER_DPI).tobytes() == stream.getvalue()
        return
    text = io.StringIO()
    styled(draw_shapes)(example(), text, io.BytesIO(), RASTER_DPI)
    theirs = stream.getvalue().decode()
    assert shapes_of(text.getvalue()) == shapes_of(theirs)


def shapes_of(svg: str) -> list[str]:
    """The lines of an SVG but for its images, which Matplotlib may scale in either way."""
    lines = itertools.takewhile(lambda line: "</svg>" not in line, svg.splitlines())
    return [line for line in lines if "<image" not in line and "iVBOR" not in line]


@pytest.mark.parametrize("end", ["svg", "png", "pdf"])
def test_a_disk_that_takes_no_more_is_what_it_says(end: str, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(
            FloplineError, match=rf"figure\.{end} cannot be written \(File too large"
        ):
            styled(save)(example(), tmp_path / "figure", [end])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
