"""What N depends on: one change at a time, and how far the laws' draws spread."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from statistics import NormalDist
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from flopline.documents import FitsJson
from flopline.figures.allocations import draw_allocations
from flopline.figures.lawpanel import number
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.panels import (
    count_of_fits,
    law_style,
    log_axis,
    ratio_axis,
    reason_of,
    say_instead,
    sizes_at,
    table_of,
)
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.style import (
    INK,
    SMALL_PT,
    is_dense,
    mark_synthetic,
    styled,
)
from flopline.figures.wording import finding
from flopline.laws.spec import Says, ordered, spec_of
from flopline.numbers import flops_label
from flopline.results import StudyResults
from flopline.schema import target_column
from flopline.surfaces.count import tokens_for

Floats = NDArray[np.float64]
Fits = FitsJson

MOST_CHANGES: Final = 14
"""Bars of the tornado; the rest changes N less."""
LETTERS: Final = 44
"""Letters of a change that have room in one line beside the tornado."""
MOST_LINES: Final = 4
LINE_PT: Final = 7.4
APART_PT: Final = 3.2
LEAST_IN: Final = 1.78
"""Least height of the upper panels; many changes that take several lines need more."""
MOST_DRAWS: Final = 400
"""Draws shown per law: more only fill the cloud."""


@styled
def stakes(
    changes: pd.DataFrame | None,
    fits: Fits,
    draws: Mapping[str, pd.DataFrame],
    *,
    target_flops: float,
    family_label: str,
    absent: str = "",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Tornado (above), clouds of bootstrap draws at the target (below): loss over N, D over N, and
    the exponents.

    `changes` is the table of `audit.sensitivity`; `fits` and `draws` are by law. `absent` says why
    the tornado is missing.

    Returns the figure; a panel without its numbers holds the reason.
    """
    known = changes is not None and bool(np.isfinite(changes["ratio"].astype(float)).any())
    largest = _largest(changes) if changes is not None and known else None
    tall = LEAST_IN if largest is None else max(LEAST_IN, sum(_heights_pt(largest)) / 72)
    figure, (tornado, cloud, pairs, strips) = laid_out(
        width,
        [
            Box(1.42, tall, left=2.08, bottom=0.54, top=0.3)
            if width != PAGE
            else Box(4.9, tall, left=2.08, right=0.22, bottom=0.54, top=0.3),
            Box(1.85, 1.54, left=0.62, bottom=0.42, top=0.54),
            Box(1.35, 1.54, left=0.6, bottom=0.42, top=0.54),
            Box(1.6, 1.54, left=0.78, right=0.22, bottom=0.42, top=0.54),
        ],
        foot_in=0.08,
    )
    sizes = sizes_at(fits, target_flops)
    title = f"{family_label}: what N at {flops_label(target_flops)} depends on"
    if largest is None:
        say_instead(tornado, title, absent)
    else:
        _draw_tornado(tornado, largest)
        # Above its labels, which stand left of the axes.
        total_in, high_in = figure.get_size_inches()
        above = tornado.get_position().y1 + 4 / 72 / high_in
        figure.text(0.06 / total_in, above, title, fontsize=7.5, va="baseline")
    laws: list[str] = ordered(sizes)
    _draw_cloud(cloud, fits, draws, laws, target_flops)
    draw_allocations(
        pairs,
        {law: sizes[law] for law in laws},
        draws,
        target_flops,
        MOST_DRAWS,
        count_of_fits(fits),
    )
    _draw_strips(strips, fits, draws, laws)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _largest(changes: pd.DataFrame) -> pd.DataFrame:
    """The changes that move N most, each with its `law`, its `text`, and `of` how many."""
    rows = changes[np.isfinite(changes["ratio"].astype(float))]
    order = np.log(rows["ratio"]).abs().sort_values(ascending=False, kind="stable").index
    largest = rows.loc[order[:MOST_CHANGES]]
    pairs = zip(largest["law"], largest["change"], strict=True)
    texts = [_wrapped(law, str(change)) for law, change in pairs]
    return largest.assign(text=texts, of=len(rows))


def _wrapped(law: str, change: str) -> str:
    """A change in lines that fit beside the axes, with its law unless that is the surface."""
    spec = spec_of(law)
    text = change if spec.says is Says.SURFACE else f"{spec.label}: {change}"
    lines = textwrap.wrap(text, LETTERS, max_lines=MOST_LINES, placeholder=" …")
    return "\n".join(lines)


def _heights_pt(largest: pd.DataFrame) -> list[float]:
    return [LINE_PT * (text.count("\n") + 1) + APART_PT for text in largest["text"]]


def _draw_tornado(axes: Axes, largest: pd.DataFrame) -> None:
    """Bars from 1 to the ratio of N to the baseline's, the longest on top."""
    ratio = largest["ratio"].to_numpy(dtype=float)
    ratio_axis(axes, [*ratio, 1.0], 0.14)
    heights = np.array(_heights_pt(largest))
    y = heights / 2 - np.cumsum(heights)
    colors = [law_style(law).color for law in largest["law"]]
    thick = 0.62 * (LINE_PT + APART_PT)
    axes.barh(y, ratio - 1, left=1.0, height=thick, color=colors, zorder=3, gid="changes")
    axes.axvline(1.0, color=INK, lw=0.8, zorder=4)
    axes.set_yticks(y, list(largest["text"]), fontsize=SMALL_PT - 0.5, linespacing=1.0)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(-heights.sum() - 2, 2))
    left = int(largest["of"].iloc[0]) - len(largest)
    axes.set_xlabel(
        "N over that of the main fit" + (f"\n({left} more change less)" if left else "")
    )


def _draw_cloud(
    axes: Axes,
    fits: Fits,
    draws: Mapping[str, pd.DataFrame],
    laws: list[str],
    target_flops: float,
) -> None:
    """Loss against N at the target, one dot a draw; D stands above, since 6ND = C."""
    names = [target_column(q, target_flops) for q in ("params", "loss")]
    clouds = {law: _kept(draws[law], names) for law in laws if law in draws}
    sizes = sizes_at(fits, target_flops)
    points = {law: [float(sizes[law][q]["point"] or np.nan) for q in ("params", "loss")]
              for law in laws}  # fmt: skip
    everything = np.concatenate([*clouds.values(), *[np.array([p]) for p in points.values()]]) \
        if laws else np.empty((0, 2))  # fmt: skip
    if not len(everything):
        say_instead(axes, "Draws at the target", "no law gives a number at the target")
        return
    inner = [np.quantile(everything[:, i], (0.002, 0.998)) for i in (0, 1)]
    marks = np.array(list(points.values()))
    low, high = log_axis(axes, "x", [*inner[0], *marks[:, 0]])
    for law, cloud in clouds.items():
        look = law_style(law)
        axes.plot(
            *cloud[:MOST_DRAWS].T, look.marker, ms=1.7, mew=0, alpha=0.45, color=look.color,
            zorder=2, gid="draws", rasterized=is_dense(len(cloud[:MOST_DRAWS])),
        )  # fmt: skip
    for law, (params, loss) in points.items():
        look = law_style(law)
        axes.plot(
            params, loss, look.marker, ms=6.5, color=look.color, mec="white", mew=0.9, zorder=5,
            gid=law,
        )  # fmt: skip
    bottom, top = min(inner[1][0], marks[:, 1].min()), max(inner[1][1], marks[:, 1].max())
    pad = 0.08 * (top - bottom or 0.1)
    axes.set(ylim=(bottom - pad, top + pad), ylabel="Loss at the target")
    axes.set_xlabel(f"Parameters at {flops_label(target_flops)} FLOPs")
    above = axes.twiny()
    count = count_of_fits(fits)
    most, least = (float(tokens_for(count, target_flops, n)) for n in (low, high))
    above.set_xlim(most, least)
    log_axis_reversed(above, least, most)
    above.set_xlabel("Tokens at 6ND = C" if count is None else "Tokens that spend C")


def log_axis_reversed(axes: Axes, low: float, high: float) -> None:
    """A logarithmic x axis that falls from `high` on the left to `low` on the right."""
    log_axis(axes, "x", [low, high], pad=0.0)
    axes.set_xlim(high, low)
    axes.grid(visible=False)


def _draw_strips(
    axes: Axes, fits: Fits, draws: Mapping[str, pd.DataFrame], laws: list[str]
) -> None:
    """The exponent a by law: every draw a dot, its 80 % and 95 % intervals as bars."""
    names = [law for law in laws if law in draws and len(_kept(draws[law], ["a"]))]
    if not names:
        say_instead(axes, "Exponents", "there are no bootstrap draws")
        return
    values = {law: _kept(draws[law], ["a"])[:, 0] for law in names}
    ends = np.concatenate([np.quantile(v, (0.005, 0.995)) for v in values.values()])
    pad = 0.06 * float(np.ptp(ends) or 0.1)
    low, high = float(ends.min()) - pad, float(ends.max()) + pad
    spread = NormalDist(0.0, 0.11)
    for row, law in enumerate(reversed(names)):
        look, e = law_style(law), fits[law]["parameters"]["a"]
        drawn = values[law][:MOST_DRAWS]
        # A fixed sequence that fills (0, 1) evenly in any order of the draws.
        level = (0.5 + 0.6180339887498949 * np.arange(len(drawn))) % 1.0
        jitter = np.array([spread.inv_cdf(min(max(u, 0.005), 0.995)) for u in level])
        axes.plot(
            drawn, row + 0.12 + jitter, look.marker, ms=1.6, mew=0, alpha=0.45, color=look.color,
            zorder=2, gid="draws", rasterized=is_dense(len(drawn)),
        )  # fmt: skip
        for kind, width in (("95", 1.0), ("80", 2.6)):
            span = [number(e, f"{side}{kind}") for side in ("lo", "hi")]
            if np.isfinite(span).all():
                axes.plot(
                    span, [row - 0.32] * 2, "-", color=look.color,
                    lw=width, solid_capstyle="butt", zorder=3, gid="interval",
                )  # fmt: skip
        axes.plot(number(e), row - 0.32, look.marker, ms=4.5, color=look.color, mec="white",
                  mew=0.7, zorder=4, gid=law)  # fmt: skip
    axes.set(xlim=(low, high), ylim=(-0.6, len(names) - 0.3))
    axes.set_yticks(range(len(names)), [law_style(law).label for law in reversed(names)])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(r"Exponent a of $N \propto C^a$")
    above = axes.secondary_xaxis("top", functions=(_less_than_one, _less_than_one))
    above.set_xlabel(r"Exponent b of $D \propto C^b$, as 1 − a")


def _less_than_one(x: ArrayLike) -> Floats:
    return np.asarray(1.0 - np.asarray(x, dtype=float))


def _kept(draws: pd.DataFrame, names: list[str]) -> Floats:
    """Finite draws of the named columns, shape (draws, names); none where a column is missing."""
    if not set(names) <= set(draws.columns):
        return np.empty((0, len(names)))
    values = draws[names].to_numpy(dtype=float)
    return np.asarray(values[np.isfinite(values).all(axis=1)])


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family = setting.of(results)
    return stakes(
        table_of(family.findings, "sensitivity", "changes"),
        family.fits,
        family.draws,
        target_flops=setting.target,
        family_label=setting.family_label,
        absent=reason_of(family.findings, "sensitivity"),
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        f"{finding(setting.of(results).findings, 'sensitivity')} Above: N at the target under one "
        "change at a time, in the colours of the laws. Below: bootstrap draws of every law, its "
        "loss against its N at the target (the tokens above spend the budget), its D against its N "
        "beside 6ND = C, and its exponents, with 80 and 95 % intervals."
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return finding(setting.of(results).findings, "sensitivity") or caption(results, setting)


FIGURE = FigureSpec(
    name="stakes",
    title="What N depends on",
    about="Which choice or runs the params at {target} FLOPs depend on, and the bootstrap draws of "
    "every law.",
    section=Section.AUDIT,
    needs=Needs(fits=EVERY_LAW, draws=EVERY_LAW, findings=True, decision=True),
    options=("families", "targets"),
    draw=draw,
    caption=caption,
    alt=alt,
    of_target=True,
    first_target=True,
)
