"""What a wrong N costs: the compute that it wastes, with the N of every law on the curve."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopline.audit.waste import wasted_share
from flopline.documents import FitsJson, TargetJson, number_in
from flopline.figures.layout import LONE_IN, PAGE, Box, laid_out
from flopline.figures.notes import legend_below
from flopline.figures.panels import (
    law_style,
    ratio_axis,
    reason_of,
    say_instead,
    sizes_at,
    surface_of_fits,
)
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.style import mark_synthetic, styled_large
from flopline.figures.wording import finding, recommended_law
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.spec import ordered
from flopline.numbers import flops_label, humanise, significant
from flopline.results import StudyResults


@styled_large
def regret(
    fits: FitsJson,
    *,
    exponents: tuple[float, float] | None,
    reference: str,
    target_flops: float,
    family_label: str,
    absent: str = "",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Compute wasted at the target by an N other than the best, with every law's N and interval.

    `fits` are by law; `exponents` are alpha and beta of the surface that prices a wrong size,
    `reference` the law whose N is taken as the best. `absent` says why there is no such price.

    Returns the figure; without its numbers it holds the reason.
    """
    sizes = sizes_at(fits, target_flops)
    below = 0.6 + 0.165 * (len(sizes) + 1)
    box = Box(3.8, 2.2, left=0.66, bottom=below, top=0.3, right=0.2)
    figure, (axes,) = laid_out(width, [box], most_in=LONE_IN)
    title = f"{family_label}: what a wrong N costs"
    if exponents is None or reference not in sizes:
        say_instead(axes, title, absent)
    else:
        _draw_regret(axes, exponents, sizes, reference, target_flops)
        axes.set_title(title)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _draw_regret(
    axes: Axes,
    exponents: tuple[float, float],
    sizes: Mapping[str, TargetJson],
    reference: str,
    target_flops: float,
) -> None:
    best = number_in(sizes[reference]["params"])
    stated = (
        number_in(at["params"], k) / best
        for at in sizes.values()
        for k in ("point", "lo95", "hi95")
    )
    ends = [value for value in stated if not math.isnan(value)]
    reach = min(max(2.5, 1.15 * max(max(ends), 1 / min(ends))), 64.0)
    x = np.geomspace(1 / reach, reach, 241)
    y = 100 * wasted_share(*exponents, np.log(x))
    ratio_axis(axes, x, 0.0)
    axes.plot(x, y, "-", color="#666666", lw=1.2, zorder=2, gid="regret")
    top = float(y.max())
    axes.set(ylim=(-0.05 * top, 1.05 * top), ylabel="Compute wasted, %")
    handles = []
    for law in ordered(sizes):
        at, look = sizes[law]["params"], law_style(law)
        here = number_in(at) / best
        ends = [number_in(at, "lo95") / best, number_in(at, "hi95") / best]
        if np.isfinite(ends).all():
            span = np.clip(ends, x[0], x[-1])
            along = np.geomspace(float(span[0]), float(span[1]), 60)
            cost = 100 * wasted_share(*exponents, np.log(along))
            axes.plot(along, cost, "-", color=look.color, lw=5.0, alpha=0.35, zorder=2.5)
        wasted = float(100 * wasted_share(*exponents, np.log(here)))
        axes.plot(
            here, wasted, look.marker, ms=7.0, color=look.color, mec="white", mew=0.7, zorder=5,
            gid=law,
        )  # fmt: skip
        waste = "taken as best" if law == reference else f"{significant(wasted, 2)} %"
        low, high = (number_in(at, end) for end in ("lo95", "hi95"))
        span_words = "" if math.isnan(low) else f" [{humanise(low)}, {humanise(high)}]"
        label = f"{look.label} {humanise(number_in(at))}{span_words}: {waste}"
        handles.append(
            Line2D([], [], ls="", marker=look.marker, ms=6.0, color=look.color, label=label)
        )
    legend_below(axes, handles, f"N at {flops_label(target_flops)} FLOPs [95 %]: compute wasted")
    axes.set_xlabel(f"N over that of the {law_style(reference).label} law")


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family = setting.of(results)
    surface, no_surface = surface_of_fits(family.fits)
    recommended = recommended_law(results.decision, setting.family, setting.target)
    return regret(
        family.fits,
        exponents=(surface["alpha"], surface["beta"]) if surface else None,
        reference=recommended or PARAMETRIC.name,
        target_flops=setting.target,
        family_label=setting.family_label,
        absent=no_surface or reason_of(family.findings, "regret"),
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        f"{finding(setting.of(results).findings, 'regret')} The compute that a model of another "
        "size wastes, by the fitted surface, with the N of every law; bands: 95 % intervals."
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return finding(setting.of(results).findings, "regret") or caption(results, setting)


FIGURE = FigureSpec(
    name="regret",
    title="What a wrong N costs",
    about="How much compute a wrong size wastes at {target} FLOPs, with the params of every law "
    "and their intervals.",
    section=Section.AUDIT,
    needs=Needs(fits=EVERY_LAW, findings=True, decision=True),
    options=("families", "targets"),
    draw=draw,
    caption=caption,
    alt=alt,
    of_target=True,
    first_target=True,
)
