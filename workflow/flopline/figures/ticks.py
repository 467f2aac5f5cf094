"""Logarithmic ticks written as the field writes them, that never run together."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axis import Axis, XAxis
from matplotlib.backend_bases import RendererBase
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from flopline.figures.style import SMALL_PT
from flopline.numbers import flops_label, humanise

Label = Callable[[float], str]
Floats = NDArray[np.float64]

# Mantissas by preference: the field's 1-3-10, then denser ones for short axes, then decades.
_DENSE: Final = ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
_MOST_LABELS: Final = 7
_GAP_PT: Final = 3.0


def short(value: float) -> str:
    """A count as figures annotate it, two digits or all before the point: 63B, 1.4T, 128K."""
    hundreds = math.isfinite(value) and value > 0 and math.floor(math.log10(value)) % 3 == 2
    return humanise(value, 3 if hundreds else 2)


def flops_labels(values: Sequence[float]) -> list[str]:
    """`flops_label` of each value with as few digits as keep different values apart."""
    wanted = len(set(values))
    for digits in range(2, 7):
        labels = [flops_label(v, digits) for v in values]
        if len(set(labels)) == wanted:
            break
    return labels


def log_ticks(
    lo: float, hi: float, fits: Callable[[Floats], bool], decades_first: bool = False
) -> tuple[Floats, Floats]:
    """Major and minor tick values for a logarithmic axis from `lo` to `hi` (0 < lo < hi).

    `fits` says whether labels at the given values stand clear of one another. Prefers steps of
    1-3-10 (with `decades_first` decades), takes denser ones where the axis shows fewer than three
    of those, sparser ones (decades, every second decade, ...) where they do not fit. At least two
    majors wherever two labels fit.
    """
    first, last = math.floor(math.log10(lo)), math.ceil(math.log10(hi))
    inside = _within(lo, hi)
    minor = inside(_mantissas(range(1, 10), first, last))
    fallback = None
    for mantissas in ((1,), *_DENSE) if decades_first else _DENSE:
        major = inside(_mantissas(mantissas, first, last))
        if len(major) <= _MOST_LABELS and fits(major):
            if len(major) >= 3:
                return major, minor
            fallback = major if fallback is None or len(major) > len(fallback) else fallback
    for step in range(1, last - first + 1):
        major = inside(10.0 ** np.arange(first, last + 1, step, dtype=float))
        if 2 <= len(major) <= _MOST_LABELS and fits(major):
            return major, minor
    if fallback is None or len(fallback) < 2:
        for count in (4, 3, 2, 1):
            major = inside(np.asarray(MaxNLocator(count).tick_values(lo, hi)))
            if len(major) and fits(major):
                return major, minor
    return (minor[:0] if fallback is None else fallback), minor


def set_log_ticks(
    axis: Axis,
    lo: float,
    hi: float,
    length_pt: float,
    label: Label,
    along: Literal["width", "height"],
    minors: bool = True,
    decades_first: bool = False,
    gap_pt: float = _GAP_PT,
) -> None:
    """Put the ticks of `log_ticks` on `axis`, which is `length_pt` points long on paper.

    Labels stand `gap_pt` points apart or more. `along` says whether they follow each other along
    their width (x axis) or their height.
    """

    def fits(values: Floats) -> bool:
        if len(values) < 2:
            return True
        at = np.log(values / lo) / math.log(hi / lo) * length_pt
        sizes = [_size_pt(label(v))[along == "height"] for v in values]
        needed = (np.array(sizes[1:]) + np.array(sizes[:-1])) / 2 + gap_pt
        return bool(np.all(np.diff(at) >= needed)) and len({label(v) for v in values}) == len(
            values
        )

    major, minor = log_ticks(lo, hi, fits, decades_first)
    if not minors:
        minor = minor[:0]
    # Ticks at 2..9 of every decade turn into a grey band on an axis of many decades.
    elif len(minor) > length_pt / 2:
        minor = minor[np.isclose(np.log10(minor) % 1, 0)]
    axis.set_major_locator(FixedLocator(list(major)))
    axis.set_major_formatter(FixedFormatter([label(v) for v in major]))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    for drawn in axis.axes.get_children():
        if isinstance(drawn, MinorTicks) and drawn.axis is axis:
            drawn.remove()
    axis.axes.add_artist(MinorTicks(axis, minor[~np.isclose(minor[:, None], major).any(axis=1)]))


class MinorTicks(Artist):
    """All minor ticks of one axis, drawn at once: Matplotlib makes five artists of each.

    They look as the axis says. `values` are data values; those outside the view are left out.
    """

    def __init__(self, axis: Axis, values: Floats) -> None:
        super().__init__()
        self.axis, self.values = axis, values
        self.set_zorder(axis.get_zorder())
        self.set_in_layout(False)

    def draw(self, renderer: RendererBase) -> None:
        """Draw them on the sides where the axis has its ticks."""
        if not (self.get_visible() and self.axis.get_visible()):
            return
        low, high = sorted(self.axis.get_view_interval())
        inside = _within(low, high)(self.values)
        pattern = self.axis.get_minor_ticks(1)[0]
        for side, line in enumerate((pattern.tick1line, pattern.tick2line)):
            across = np.full(len(inside), float(side))
            along_x = isinstance(self.axis, XAxis)
            line.set_data(*(inside, across) if along_x else (across, inside))
            line.draw(renderer)


def decades(lo: float, hi: float) -> tuple[float, float]:
    """The whole powers of ten that enclose `lo` and `hi` (both > 0)."""
    return 10.0 ** math.floor(math.log10(lo)), 10.0 ** math.ceil(math.log10(hi))


def log_pad(lo: float, hi: float, below: float, above: float) -> tuple[float, float]:
    """Limits wider than lo..hi by the given shares of their distance in logs."""
    span = math.log(hi / lo) if hi > lo else math.log(4.0)
    return lo * math.exp(-below * span), hi * math.exp(above * span)


def _mantissas(mantissas: Sequence[float] | range, first: int, last: int) -> Floats:
    exponents = np.arange(first, last + 1)
    return np.array([float(f"{m}e{e}") for e in exponents for m in mantissas])


def _within(lo: float, hi: float) -> Callable[[Floats], Floats]:
    slack = 1e-9 * math.log(hi / lo)
    return lambda v: v[(v >= lo * math.exp(-slack)) & (v <= hi * math.exp(slack))]


def _size_pt(text: str) -> tuple[float, float]:
    size = rcParams["xtick.labelsize"]
    return _size_of(text, SMALL_PT if isinstance(size, str) else float(size))


@functools.lru_cache(4096)
def _size_of(text: str, size: float) -> tuple[float, float]:
    font = FontProperties(family="DejaVu Sans", size=size)
    ismath: Literal["TeX"] | bool = "$" in text
    width, height, _ = text_to_path.get_text_width_height_descent(text, font, ismath)
    return float(width), float(height)
