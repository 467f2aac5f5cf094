"""Minor ticks that are drawn at once look as those that Matplotlib draws one by one."""

from __future__ import annotations

import io

import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from flopline.figures.style import new_figure, styled
from flopline.figures.ticks import MinorTicks, set_log_ticks
from flopline.numbers import humanise


@styled
def drawn(one_by_one: bool, side: str = "left", limits: tuple[float, float] = (1, 900)) -> bytes:
    figure = new_figure(2.0, 2.0)
    axes = figure.add_axes((0.3, 0.2, 0.4, 0.7))
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    for axis, along in ((axes.xaxis, "width"), (axes.yaxis, "height")):
        set_log_ticks(axis, 1, 900, 100, humanise, along)
    axes.yaxis.set_ticks_position(side)
    if one_by_one:
        for ticks in minor(figure):
            ticks.axis.set_minor_locator(FixedLocator([*ticks.values]))
            ticks.remove()
    stream = io.BytesIO()
    figure.savefig(stream, format="rgba")
    return stream.getvalue()


def minor(figure: Figure) -> list[MinorTicks]:
    return [a for a in figure.axes[0].get_children() if isinstance(a, MinorTicks)]


@pytest.mark.parametrize(
    ("side", "limits"), [("left", (1, 900)), ("right", (900, 1)), ("both", (20, 300))]
)
def test_they_look_the_same(side: str, limits: tuple[float, float]) -> None:
    """On each side, on an axis that runs down, and on one that was cut afterwards."""
    assert drawn(True, side, limits) == drawn(False, side, limits)


def test_new_ticks_take_the_place_of_those_before() -> None:
    figure = new_figure(2.0, 2.0)
    axes = figure.add_subplot(xscale="log", xlim=(1, 900))
    for high in (100, 900):
        set_log_ticks(axes.xaxis, 1, high, 100, humanise, "width")
    (ticks,) = minor(figure)
    assert ticks.values.max() > 100
