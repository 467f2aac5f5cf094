"""Writers of figures write what Matplotlib's write."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backends import backend_svg
from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from flopline.figures import canvases, copied_ticks, style
from flopline.figures.canvases import draw_shapes
from flopline.figures.style import new_figure, styled
from flopline.figures.writers import Elements, ScaledFormulas


@styled
def example() -> Figure:
    """Shapes with each of what a PDF keeps a state of, and texts in two fonts, turned too."""
    figure = new_figure(3.0, 2.0)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    axes.plot([1, 2, 3], [1, 3, 2], "o--", label="runs (1) \\ &<")
    axes.bar([1, 2], [1, 2], hatch="//", alpha=0.4, edgecolor="red")
    axes.scatter(range(30), range(30), c=range(30), s=range(30), clip_on=False)
    axes.fill_between([1, 3], [1, 1], [1.5, 1.2], alpha=0.3, lw=0)
    axes.text(2, 1, "AV. Ta fi → ∝\nsecond", rotation=30, style="italic", alpha=0.5)
    axes.set(title="Loss", xlabel="tokens", ylabel="loss")
    axes.legend()
    return figure


def test_a_pdf_is_what_matplotlib_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def pdf_of() -> bytes:
        pdf = io.BytesIO()
        styled(draw_shapes)(example(), None, pdf, 100)
        return pdf.getvalue()

    ours = pdf_of()
    monkeypatch.setattr(canvases, "PdfBytes", PdfFile)
    monkeypatch.setattr(canvases, "Pdf", lambda *asked: RendererPdf(*asked[:4]))
    assert ours == pdf_of()


def test_a_number_that_is_none_is_refused_as_there() -> None:
    figure = example()
    figure.axes[0].text(1, 1, "x", rotation=float("nan"))
    with pytest.raises(ValueError, match="finite"):
        styled(draw_shapes)(figure, None, io.BytesIO(), 100)


def test_a_formula_in_a_pdf_is_that_of_the_outlines_to_scale() -> None:
    formula = r"$\frac{N}{C^{0.5}}$"
    large = text_to_path.mathtext_parser.parse(
        formula, 72, FontProperties(size=text_to_path.FONT_SCALE)
    )
    small = ScaledFormulas().parse(formula, 72, FontProperties(size=7))
    scale = 7 / text_to_path.FONT_SCALE
    assert small[:3] == pytest.approx([scale * length for length in large[:3]])
    assert np.array(small.rects) == pytest.approx(scale * np.array(large.rects))
    for ours, theirs in zip(small.glyphs, large.glyphs, strict=True):
        assert (ours[0], *ours[2:4]) == (theirs[0], *theirs[2:4])
        assert [ours[i] for i in (1, 4, 5)] == pytest.approx([scale * theirs[i] for i in (1, 4, 5)])


def written(writer: Any) -> None:
    """Elements of every kind."""
    depth = writer.start("g", id="a", style="")
    writer.comment("a -- b & <c>")
    writer.element("path", d='1 "2"', attrib={"x": "<&>", "y": "'\""})
    writer.element("style", text="*{a > b}", type="text/css")
    writer.start("defs")
    writer.end("defs")
    writer.start("text")
    writer.data("a & b")
    writer.end("text")
    writer.start("g")
    writer.close(depth)


def test_xml_is_what_matplotlib_writes() -> None:
    streams = io.StringIO(), io.StringIO()
    makers: tuple[Callable[..., Any], ...] = (Elements, backend_svg._XMLWriter)
    for stream, maker in zip(streams, makers, strict=True):
        written(maker(stream))
    assert streams[0].getvalue() == streams[1].getvalue()


def svg_with_ticks() -> str:
    """Axes whose first tick was changed after it was made, and others since."""
    figure = new_figure(3.0, 2.0)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    axes.tick_params(axis="x", labelrotation=20, colors="red", length=5, pad=7)
    axes.xaxis.get_major_ticks()[0].label1.set_color("blue")
    axes.set(xlim=(0, 10), ylim=(0, 3), yticks=np.arange(4), xscale="symlog")
    axes.tick_params(axis="y", labelsize=5, direction="in", right=True, labelright=True)
    axes.yaxis.get_major_ticks()[2].label1.set_fontsize(9)
    axes.minorticks_on()
    axes.twinx().set_ylabel("loss")
    text = io.StringIO()
    draw_shapes(figure, text, None, 100)
    return text.getvalue()


def test_copied_ticks_are_those_that_matplotlib_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = styled(svg_with_ticks)()
    made = Axis._get_tick  # type: ignore[attr-defined]
    monkeypatch.setattr(copied_ticks, "_STEPS", ("no such step",))
    assert styled(svg_with_ticks)() == ours
    assert Axis._get_tick is made  # type: ignore[attr-defined]
    assert style.copied_ticks is copied_ticks.copied_ticks
