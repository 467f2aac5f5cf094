"""What the audit's figures share: how laws look, places in inches, panels that say why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator
from numpy.typing import ArrayLike, NDArray

from flopline.documents import FindingJson, FitsJson, TargetJson, number_in
from flopline.figures.layout import LONE_IN, Box, laid_out
from flopline.figures.spots import ruler, write_reason
from flopline.figures.style import GREY, styled_large
from flopline.figures.ticks import log_pad, set_log_ticks
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.spec import spec_of, surface_law
from flopline.numbers import factor, humanise
from flopline.surfaces.count import COUNT, Count

Floats = NDArray[np.float64]
Findings = Mapping[str, FindingJson]


@dataclass(frozen=True, slots=True)
class LawStyle:
    """How one law, or one family, looks in every figure that holds several against each other."""

    label: str
    color: str
    dashes: str
    marker: str


RATIO_TICKS: Final = (
    (0.98, 0.99, 1.0, 1.01, 1.02),
    (0.96, 0.98, 1.0, 1.02, 1.04),
    (0.9, 0.95, 1.0, 1.05, 1.1),
    (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4),
    (0.6, 0.8, 1.0, 1.2, 1.6),
    (0.5, 0.7, 1.0, 1.4, 2.0),
    (0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    (0.25, 0.5, 1.0, 2.0, 4.0),
    (0.04, 0.2, 1.0, 5.0, 25.0),
    (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0),
)
"""Ticks on an axis of ratios, from the narrowest to the widest."""
LEAST_GAP_PT: Final = 27.0
"""Least distance of two such ticks, so that labels as wide as 0.96× stay apart."""
LARGEST_GAP: Final = 0.4
"""Share of such an axis that may go without a tick."""
BASELINE_STYLE: Final = LawStyle("as the best run so far", GREY, "-.", "D")


NOT_MADE: Final = "this audit was not made"


def table_of(findings: Findings, audit: str, name: str) -> pd.DataFrame | None:
    """The table `name` of an audit's finding; None where it has none."""
    return findings[audit]["tables"].get(name) if audit in findings else None


def reason_of(findings: Findings, audit: str) -> str:
    """Why an audit has no table, in its own words."""
    return str(findings[audit]["sentence"]) if audit in findings else NOT_MADE


def surface_of_fits(fits: FitsJson) -> tuple[dict[str, float], str]:
    """E, alpha and beta of the fitted surface; empty, with the reason, where there is none."""
    law = surface_law(fits)
    if law is None:
        return {}, f"the {PARAMETRIC.label} law is not among the study's laws"
    if fits[law]["status"] == FAILED:
        return {}, str(fits[law]["message"])
    stated = fits[law]["parameters"]
    points = {name: number_in(stated[name]) for name in ("E", "alpha", "beta")}
    if any(math.isnan(value) for value in points.values()):
        return {}, str(fits[law]["message"])
    return points, ""


def count_of_fits(fits: FitsJson) -> Count | None:
    """How the fits of a family spend budgets; None where as C = 6ND."""
    for fit in fits.values():
        stated = {n: number_in(e) for n, e in fit["parameters"].items() if n in COUNT}
        known = not any(math.isnan(value) for value in stated.values())
        if known and (count := Count.stated(stated)) is not None:
            return count
    return None


def law_style(law: str) -> LawStyle:
    """How the law of this name looks."""
    spec = spec_of(law)
    return LawStyle(spec.label, spec.style.color, spec.style.dashes, spec.style.marker)


def sizes_at(fits: FitsJson, target_flops: float) -> dict[str, TargetJson]:
    """What each usable law says at the target, by law."""
    sizes = {}
    for law, fit in fits.items():
        at = next((t for t in fit["targets"] if np.isclose(t["budget_flops"], target_flops)), None)
        if at is not None and at["params"]["point"] is not None and fit["status"] != FAILED:
            sizes[law] = at
    return sizes


def say_instead(axes: Axes, title: str, reason: str) -> None:
    """A panel without data: its title, and in its place the reason why there is none."""
    axes.set_title(title)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    write_reason(axes, reason)


@styled_large
def reason_alone(title: str, reason: str, *, width: str) -> Figure:
    """A figure that holds its title and the reason why nothing is drawn."""
    box = Box(3.8, 1.2, left=0.2, bottom=0.2, right=0.2)
    figure, (axes,) = laid_out(width, [box], most_in=LONE_IN)
    say_instead(axes, title, reason)
    return figure


def law_legend(figure: Figure, styles: Iterable[LawStyle], right: float, top: float) -> None:
    """Names the laws in as few lines as fit, its upper right corner at a place in inches."""
    handles = [
        Line2D([], [], color=s.color, ls=s.dashes, marker=s.marker, ms=3.4, lw=1.2, label=s.label)
        for s in styles
    ]
    total, tall = figure.get_size_inches()
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles, ncols=columns, loc="upper right", borderaxespad=0, borderpad=0,
            bbox_to_anchor=(right / total, top / tall), handlelength=2.4, columnspacing=1.4,
        )  # fmt: skip
        box = legend.get_window_extent(ruler(figure))
        if box.width <= right * figure.dpi:
            break
        legend.remove()


def log_axis(
    axes: Axes, along: str, values: ArrayLike, label: object = humanise, pad: float = 0.06
) -> tuple[float, float]:
    """A logarithmic x or y axis that holds `values`, with ticks that do not run together.

    Returns the limits of the axis.
    """
    seen = np.ravel(np.asarray(values, dtype=float))
    seen = seen[np.isfinite(seen) & (seen > 0)]
    low, high = log_pad(float(seen.min()), float(seen.max()), pad, pad)
    box, per_pt = axes.get_window_extent(), axes.figure.dpi / 72
    say = label if callable(label) else humanise
    if along == "x":
        axes.set(xscale="log", xlim=(low, high))
        set_log_ticks(axes.xaxis, low, high, box.width / per_pt, say, "width")
    else:
        axes.set(yscale="log", ylim=(low, high))
        set_log_ticks(axes.yaxis, low, high, box.height / per_pt, say, "height")
    return low, high


def ratio_axis(axes: Axes, values: ArrayLike, pad: float) -> None:
    """A logarithmic x axis of ratios that holds `values`, with round ticks to both sides of 1."""
    seen = np.asarray(values, dtype=float)
    low, high = log_pad(float(seen.min()), float(seen.max()), pad, pad)
    axes.set(xscale="log", xlim=(low, high))
    width_pt = axes.get_window_extent().width / axes.figure.dpi * 72
    inside = [1.0]
    for ticks in RATIO_TICKS:
        fitting = [t for t in ticks if low <= t <= high]
        at = np.log(np.array([low, *fitting, high]) / low) / np.log(high / low)
        gaps = np.diff(at)
        if len(fitting) < 2 or gaps[1:-1].min() * width_pt < LEAST_GAP_PT:
            continue
        if len(fitting) > len(inside):
            inside = fitting
        if len(inside) >= 3 and gaps.max() <= LARGEST_GAP:
            break
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_major_formatter(FixedFormatter([factor(t) for t in inside]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
