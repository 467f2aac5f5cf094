"""Laws fitted to the runs below a budget against larger ones: error by distance beyond the data."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flopline.figures.layout import LONE_IN, PAGE, Box, laid_out
from flopline.figures.notes import legend_below
from flopline.figures.panels import (
    BASELINE_STYLE,
    LawStyle,
    law_style,
    log_axis,
    reason_of,
    say_instead,
    table_of,
)
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.spots import size_in
from flopline.figures.style import (
    BEYOND_GREY,
    GUIDE_GREEN,
    mark_synthetic,
    styled_large,
)
from flopline.figures.wording import finding
from flopline.laws.spec import ordered
from flopline.numbers import factor
from flopline.results import StudyResults
from flopline.schema import KEPT

Floats = NDArray[np.float64]

BASELINE: Final = ("baseline", "best_run")
"""The baseline that says a size as well as a loss; told apart by grey."""
SHIFT: Final = 0.018
"""Distance of laws side by side at one place, as a share of the axis in logs."""
FAR_OUT: Final = 3.0
"""Errors farther off than this many quartile distances are arrows at the edge (Tukey's fence)."""


@styled_large
def ladder(
    optima: pd.DataFrame | None,
    *,
    target_flops: float,
    largest_flops: float,
    family_label: str,
    absent: str = "no ladder was made",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Error of every law on the lowest loss of larger budgets by how far they lie beyond its data.

    `optima` is the table of `audit.ladder`: at each step the laws are fitted to the runs of at most
    `largest_flops` of that row, and predict the lowest loss at `budget_flops`; bars: 95 %. Points
    of one step are joined. The green line says how far `target_flops` lies beyond `largest_flops`,
    the largest run. Without a table the panel says why: `absent`.

    Returns the figure.
    """
    box = Box(3.8, 2.4, left=0.66, bottom=1.02, top=0.46, right=0.2)
    figure, (axes,) = laid_out(width, [box], most_in=LONE_IN)
    title = f"{family_label}: error beyond the data"
    predicted = None if optima is None or "loss_predicted" not in optima else _main_lines(optima)
    if predicted is None or not _known(predicted, "loss_predicted").any():
        why = absent if optima is None else "no larger budget shows a lowest loss to judge by"
        say_instead(axes, title, why)
    else:
        rows = predicted[_known(predicted, "loss_predicted")]
        _draw_errors(axes, rows, target_flops / largest_flops)
        axes.set_title(title, pad=15.0)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _known(table: pd.DataFrame, name: str) -> pd.Series:
    """Which rows have a number in the column `name`."""
    return table[name].astype(float).notna() & np.isfinite(table[name].astype(float))


def _style(law: str) -> LawStyle:
    return BASELINE_STYLE if law == BASELINE[0] else law_style(law)


def _laws(table: pd.DataFrame) -> list[str]:
    """The laws of a table, without the baseline."""
    return [str(law) for law in table["law"].unique() if law != BASELINE[0]]


def _baseline(table: pd.DataFrame) -> list[str]:
    """The baseline, if the table has any line of it."""
    return [BASELINE[0]] if (table["law"] == BASELINE[0]).any() else []


def _main_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each law's main line, which the ladder lists first, and of the baseline."""
    if "estimator" not in table:
        return table
    first = table.groupby("law", sort=False)["estimator"].transform("first")
    mine = (table["law"] != BASELINE[0]) & (table["estimator"] == first)
    base = (table["law"] == BASELINE[0]) & (table["estimator"] == BASELINE[1])
    return table[mine | base]


def _draw_errors(axes: Axes, optima: pd.DataFrame, reach: float) -> None:
    """Error of every law by the budget over the largest that it was fitted to; `reach` likewise is
    how far the target lies beyond all runs.
    """
    rows = optima.sort_values(["largest_flops", "budget_flops"])
    laws = [*ordered(_laws(rows)), *_baseline(rows)]
    beyond = (rows["budget_flops"] / rows["largest_flops"]).to_numpy(dtype=float)
    x = log_axis(axes, "x", [*beyond, *([reach] if reach > 1 else [])], factor, 0.08)
    rows = rows.assign(
        beyond=beyond, error=_percent(rows, "loss_predicted"),
        low=_percent(rows, "loss_lo95"), high=_percent(rows, "loss_hi95"),
    )  # fmt: skip
    bottom, top = _limits(rows["error"].to_numpy())
    pad = 0.12 * (top - bottom)
    axes.set_ylim(bottom - pad, top + pad)
    axes.axhline(0.0, color="#555555", lw=0.8, zorder=1.5)
    handles = []
    for place, law in enumerate(laws):
        mine, look = rows[rows["law"] == law], _style(law)
        shift = np.exp(SHIFT * (place - (len(laws) - 1) / 2) * np.log(x[1] / x[0]))
        for _, step in mine.groupby("largest_flops", sort=True):
            at, error = step["beyond"].to_numpy() * shift, step["error"].to_numpy()
            axes.plot(at, error, look.dashes, color=look.color, lw=0.8, alpha=0.7, zorder=2.4,
                      gid=f"{law} step")  # fmt: skip
        at = mine["beyond"].to_numpy() * shift
        axes.vlines(
            at, mine["low"], mine["high"], color=look.color, lw=0.8, alpha=0.5, gid="interval"
        )
        error = mine["error"].to_numpy()
        axes.plot(
            at, error, look.marker, ms=4.0, color=look.color, mec="white", mew=0.4,
            zorder=2.5 if law == BASELINE[0] else 3, gid=law,
        )  # fmt: skip
        for off, marker, edge in ((error < bottom, "v", bottom), (error > top, "^", top)):
            axes.plot(at[off], np.full(off.sum(), edge), marker, ms=5.5, mec=look.color,
                      mfc="white", zorder=4, gid="beyond")  # fmt: skip
        handles.append(Line2D([], [], color=look.color, ls=look.dashes, marker=look.marker, ms=4.0,
                              lw=1.0, label=look.label))  # fmt: skip
    axes.set(xlabel="Budget over the largest one fitted", ylabel="Loss predicted less seen, %")
    if ((rows["error"] < bottom) | (rows["error"] > top)).any():
        handles.append(Line2D([], [], ls="", marker="^", mfc="white", mec="#555555", ms=5.0,
                              label="farther off"))  # fmt: skip
    if reach > 1:
        axes.axvline(reach, color=GUIDE_GREEN, lw=1.0, zorder=1.4, gid="guide")
    if beyond.max() < reach:
        axes.axvspan(float(beyond.max()) * 1.02, x[1], color=BEYOND_GREY, lw=0, zorder=0.2,
                     gid="unseen")  # fmt: skip
    axes.set_xlim(*x)
    legend_below(axes, handles, columns=2)
    _name_target(axes, reach)


def _percent(rows: pd.DataFrame, name: str) -> Floats:
    """A column of losses over the seen one in percent, NaN where the table has none."""
    if name not in rows:
        return np.full(len(rows), np.nan)
    seen: Floats = rows["loss_seen"].to_numpy(dtype=float)
    return np.asarray(100 * (rows[name].to_numpy(dtype=float) / seen - 1))


def _limits(error: Floats) -> tuple[float, float]:
    """What the axis must hold: zero, and all errors but those far from all others."""
    low, high = np.quantile(error, [0.25, 0.75])
    fence = FAR_OUT * (high - low or 1.0)
    near = error[(error >= low - fence) & (error <= high + fence)]
    return min(0.0, float(near.min())), max(0.0, float(near.max()))


def _name_target(axes: Axes, reach: float) -> None:
    """How far the target lies beyond all runs, above its line."""
    if reach <= 1:
        return
    at = float((axes.transData + axes.transAxes.inverted()).transform((reach, 0.0))[0])
    small = 0.9 * float(axes.xaxis.label.get_fontsize())
    named = axes.text(
        at, 1.015, f"the target, {factor(reach)} beyond the runs", ha="right", va="bottom",
        fontsize=small, color=GUIDE_GREEN, transform=axes.transAxes, gid="above",
    )  # fmt: skip
    if at - size_in(axes, named)[0] < 0:
        named.set(ha="left", x=0.0)


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family, runs = setting.of(results), results.runs
    mine = runs[(runs["family"] == setting.family) & (runs["status"] == KEPT)]
    return ladder(
        table_of(family.findings, "ladder", "optima"),
        target_flops=setting.target,
        largest_flops=float(mine["flops"].max()),
        family_label=setting.family_label,
        absent=reason_of(family.findings, "ladder"),
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        f"{finding(setting.of(results).findings, 'ladder')} Each law is fitted to the runs of at "
        "most some budget and predicts the lowest loss of each larger one; points of one such step "
        "are joined, bars are 95 % intervals, grey goes on as the best run so far."
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return finding(setting.of(results).findings, "ladder") or caption(results, setting)


FIGURE = FigureSpec(
    name="ladder",
    title="Held-out ladder",
    about="Held-out ladder: the error of laws fitted to the runs below a budget on the lowest loss "
    "of larger ones, by how far those lie beyond the runs, with bootstrap intervals.",
    section=Section.AUDIT,
    needs=Needs(fits=EVERY_LAW, findings=True, runs=True),
    draw=draw,
    caption=caption,
    alt=alt,
    first_target=True,
)
