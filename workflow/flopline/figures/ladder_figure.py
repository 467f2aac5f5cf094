"""The held-out ladder: losses predicted and seen, what predicted sizes waste, N as data grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopline.documents import NO_ESTIMATE, EstimateJson, FitJson, number_in
from flopline.figures.layout import PAGE, Box, laid_out, width_in
from flopline.figures.panels import (
    BASELINE_STYLE,
    LawStyle,
    law_legend,
    law_style,
    log_axis,
    reason_of,
    say_instead,
    table_of,
)
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.spots import add_legend, trace
from flopline.figures.style import (
    GREY,
    SMALL_PT,
    is_dense,
    mako,
    mark_synthetic,
    styled,
)
from flopline.figures.ticks import flops_labels, power_label
from flopline.figures.wording import finding
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered, ranked
from flopline.numbers import factor, flops_label, humanise
from flopline.results import StudyResults
from flopline.schema import KEPT

BASELINE: Final = ("baseline", "best_run")
"""The baseline that says a size as well as a loss; told apart by grey."""
SHIFT: Final = 0.012
"""Distance of laws side by side at one place, as a share of the axis in logs."""
FARTHEST: Final = 30.0
"""Factor about the middle beyond which N at the target is an arrow at the edge."""
LEAST_PERCENT: Final = 0.01
"""Waste below this is drawn here."""
MOST_STEPS: Final = 6
"""Steps that the panel of losses shows; of more, evenly chosen ones."""


@styled
def ladder(
    steps: pd.DataFrame | None,
    predictions: pd.DataFrame | None,
    optima: pd.DataFrame | None,
    seen_by_all: Mapping[str, EstimateJson],
    *,
    target_flops: float,
    largest_flops: float,
    family_label: str,
    loss_label: str = "Validation loss",
    absent: str = "no ladder was made",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Four panels from the tables `steps`, `predictions` and `optima` of `audit.ladder`.

    Above: error of the parametric law on the loss of every run above each step, with 95 % bars;
    error of every law on the lowest loss of larger budgets, with 95 % bars, by how far they lie
    beyond the step. Below: compute that the N predicted by each law wastes at larger budgets, by
    step; N at `target_flops` as the largest budget used grows, with 80 % bars, and last, at
    `largest_flops`, with all runs: `seen_by_all` maps a law to the estimate of N of its own fit.
    A panel without data says why: `absent`.

    Returns the figure.
    """
    boxes = [Box(2.85, 1.66, left=0.6, bottom=0.4, top=0.24)]
    boxes.append(Box(2.85, 1.66, left=0.75, right=0.15, bottom=0.4, top=0.24))
    # The legend takes one line on a page, two in a column.
    head_in = 0.22 if width == PAGE else 0.36
    figure, panels = laid_out(width, 2 * boxes, head_in=head_in, foot_in=0.1)
    errors, lowest, waste, drift = panels
    titles = (
        f"{family_label}: loss of larger runs",
        "Lowest loss at larger budgets",
        "Waste at larger budgets",
        f"N at {flops_label(target_flops)} FLOPs",
    )
    kept = None if steps is None else _main_lines(steps[_known(steps, "target_params")])
    if kept is None or kept.empty:
        for axes, title in zip(panels, titles, strict=True):
            say_instead(axes, title, absent)
        return _signed(figure, synthetic)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
    laws = [*ordered(_laws(kept)), *_baseline(kept)]
    top_in = float(figure.get_size_inches()[1]) - 0.06
    law_legend(figure, [_style(law) for law in laws], width_in(width) - 0.15, top_in)
    if predictions is None or "log_error" not in predictions or predictions.empty:
        say_instead(errors, titles[0], "no step of the parametric law could be fitted")
    else:
        _draw_errors(errors, predictions, loss_label)
    predicted = None if optima is None or "loss_predicted" not in optima else _main_lines(optima)
    if predicted is None or not _known(predicted, "loss_predicted").any():
        say_instead(lowest, titles[1], "no larger budget shows a lowest loss to judge by")
    else:
        _draw_lowest(lowest, predicted[_known(predicted, "loss_predicted")], laws)
    wasted = kept[_known(kept, "wasted_percent")]
    if wasted.empty:
        say_instead(waste, titles[2], "no larger budget shows its own optimum to judge by")
    else:
        _draw_waste(waste, wasted, laws)
    _draw_drift(drift, kept, seen_by_all, largest_flops)
    return _signed(figure, synthetic)


def _known(table: pd.DataFrame, name: str) -> pd.Series:
    """Which rows have a number in the column `name`."""
    return table[name].astype(float).notna() & np.isfinite(table[name].astype(float))


def _signed(figure: Figure, synthetic: bool) -> Figure:
    if synthetic:
        mark_synthetic(figure)
    return figure


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


def _draw_errors(axes: Axes, predictions: pd.DataFrame, loss_label: str) -> None:
    rows = predictions[np.isfinite(predictions["log_error"])]
    rows = rows.sort_values(["largest_flops", "loss", "run"])
    every = np.unique(rows["largest_flops"])
    drawn = every[np.unique(np.linspace(0, len(every) - 1, MOST_STEPS).round().astype(int))]
    colors = mako(len(drawn))
    handles, obstacles = [], []
    names = flops_labels(list(drawn))
    dense = is_dense(int(rows["largest_flops"].isin(drawn).sum()))
    for step, color, name in zip(drawn, colors, names, strict=True):
        mine = rows[rows["largest_flops"] == step]
        loss = mine["loss"].to_numpy(dtype=float)
        error = 100 * np.expm1(mine["log_error"].to_numpy(dtype=float))
        if "predicted_lo95" in mine:
            low, high = (
                100 * (mine[f"predicted_{end}95"].to_numpy(dtype=float) / loss - 1)
                for end in ("lo", "hi")
            )
            axes.vlines(
                loss, low, high, color=color, lw=0.5, alpha=0.55, zorder=2, gid="interval",
                rasterized=dense,
            )  # fmt: skip
            obstacles += [(loss, low), (loss, high)]
        axes.plot(
            loss, error, "o", ms=2.4, mew=0, color=color, zorder=3, gid="errors", rasterized=dense
        )
        obstacles.append((loss, error))
        handles.append(Line2D([], [], color=color, marker="o", ls="", label=f"≤ {name}"))
    axes.axhline(0.0, color="#555555", lw=0.8, zorder=1.5)
    axes.set(xlabel=f"{loss_label}, seen", ylabel="Predicted less seen, %")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    places = np.concatenate([trace(axes, *pair, join=False) for pair in obstacles])
    add_legend(axes, handles, places, most=3)


def _draw_lowest(axes: Axes, optima: pd.DataFrame, laws: list[str]) -> None:
    """Error of every law by the budget over the largest that it was fitted to."""
    rows = optima.sort_values(["largest_flops", "budget_flops"])
    beyond = rows["budget_flops"] / rows["largest_flops"]
    log_axis(axes, "x", beyond, factor, 0.1)
    axes.axhline(0.0, color="#555555", lw=0.8, zorder=1.5)
    every = 100 * (rows["loss_predicted"] / rows["loss_seen"] - 1)
    low, high = min(0.0, float(every.min())), max(0.0, float(every.max()))
    # An interval of a first step may run off the axis; the points never do.
    axes.set_ylim(low - 0.3 * (high - low), high + 0.15 * (high - low))
    for number, law in enumerate(laws):
        mine, look = rows[rows["law"] == law], _style(law)
        shift = np.exp(SHIFT * (number - (len(laws) - 1) / 2) * np.log(beyond.max()))
        x = (beyond[mine.index] * shift).to_numpy(dtype=float)
        seen = mine["loss_seen"].to_numpy(dtype=float)
        if {"loss_lo95", "loss_hi95"} <= set(mine):
            low, high = (
                100 * (mine[f"loss_{end}95"].to_numpy(dtype=float) / seen - 1)
                for end in ("lo", "hi")
            )
            axes.vlines(x, low, high, color=look.color, lw=0.7, alpha=0.6, gid="interval")
        error = 100 * (mine["loss_predicted"].to_numpy(dtype=float) / seen - 1)
        axes.plot(
            x, error, look.marker, ms=3.2, color=look.color, mec="white", mew=0.3,
            zorder=2.5 if law == BASELINE[0] else 3, gid=law,
        )  # fmt: skip
    axes.set(xlabel="Budget over the largest fitted", ylabel="Predicted less seen, %")


def _draw_waste(axes: Axes, steps: pd.DataFrame, laws: list[str]) -> None:
    x = log_axis(axes, "x", steps["largest_flops"], power_label, 0.1)
    percent = np.maximum(steps["wasted_percent"].to_numpy(dtype=float), LEAST_PERCENT)
    log_axis(axes, "y", percent, humanise, 0.1)
    for law in laws:
        mine = steps[steps["law"] == law]
        look = _style(law)
        axes.plot(
            mine["largest_flops"], np.maximum(mine["wasted_percent"], LEAST_PERCENT), look.dashes,
            color=look.color, marker=look.marker, ms=3.6, lw=1.2,
            zorder=2 if law == BASELINE[0] else 3, gid=law,
        )  # fmt: skip
    axes.set(xlabel="Fitted up to, FLOPs", ylabel="Compute wasted, %", xlim=x)


def _draw_drift(
    axes: Axes,
    steps: pd.DataFrame,
    seen_by_all: Mapping[str, EstimateJson],
    largest_flops: float,
) -> None:
    final = {law: e for law, e in seen_by_all.items() if e.get("point") is not None}
    values = [
        steps[c].to_numpy(dtype=float)
        for c in ("target_params", "target_params_lo80", "target_params_hi80")
    ]
    stated = (number_in(e, k) for e in final.values() for k in ("point", "lo80", "hi80"))
    ends = [value for value in stated if value > 0]
    at = [*steps["largest_flops"], largest_flops]
    log_axis(axes, "x", at, power_label, 0.1)
    # A first step may predict anything; what lies far off becomes an arrow at the edge.
    middle = np.median(ends or values[0])
    drawn = np.concatenate([*values, ends])
    near = drawn[(drawn > middle / FARTHEST) & (drawn < middle * FARTHEST)]
    low, high = log_axis(axes, "y", near if len(near) else drawn)
    laws = [*ranked(_laws(steps)), *_baseline(steps)]
    for number, law in enumerate(laws):
        mine, look = steps[steps["law"] == law], _style(law)
        # Bars side by side: laws share their steps.
        shift = np.exp(SHIFT * (number - (len(laws) - 1) / 2) * np.log(max(at) / min(at)))
        x = mine["largest_flops"].to_numpy(dtype=float) * shift
        axes.vlines(
            x, mine["target_params_lo80"], mine["target_params_hi80"], color=look.color, lw=1.0,
            gid="interval",
        )  # fmt: skip
        line = [x, mine["target_params"].to_numpy(dtype=float)]
        if law in final:
            e, end = final[law], largest_flops * shift
            line = [np.append(line[0], end), np.append(line[1], number_in(e))]
            span = number_in(e, "lo80"), number_in(e, "hi80")
            if np.isfinite(span).all():
                axes.vlines(end, *span, color=look.color, lw=1.0, gid="interval")
        axes.plot(
            *line, look.dashes, color=look.color, marker=look.marker, ms=3.6, lw=1.2, zorder=3,
            mfc="white" if law == BASELINE[0] else look.color, gid=law,
        )  # fmt: skip
        edge = np.exp(0.03 * np.log(high / low))
        for beyond, marker, y in (
            (line[1] < low, "v", low * edge),
            (line[1] > high, "^", high / edge),
        ):
            axes.plot(
                line[0][beyond], np.full(beyond.sum(), y), marker, ms=4.5, mec=look.color,
                mfc="white", zorder=4, gid="beyond",
            )  # fmt: skip
    axes.axvline(largest_flops, color=GREY, lw=0.7, zorder=1)
    axes.set_title("all runs", loc="right", color="#555555", fontsize=SMALL_PT)
    axes.set(xlabel="Fitted up to, FLOPs", ylabel="Parameters")


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family, runs = setting.of(results), results.runs
    mine = runs[(runs["family"] == setting.family) & (runs["status"] == KEPT)]
    return ladder(
        table_of(family.findings, "ladder", "steps"),
        table_of(family.findings, "ladder", "predictions"),
        table_of(family.findings, "ladder", "optima"),
        {law: _params_at(fit, setting.target) for law, fit in family.fits.items()},
        target_flops=setting.target,
        largest_flops=float(mine["flops"].max()),
        family_label=setting.family_label,
        loss_label=setting.loss_label,
        absent=reason_of(family.findings, "ladder"),
        width=setting.width,
        synthetic=setting.synthetic,
    )


def _params_at(fit: FitJson, target_flops: float) -> EstimateJson:
    """The estimate of N of a fit at the target; without a number where it failed."""
    if fit["status"] == FAILED:
        return NO_ESTIMATE
    rows = [t for t in fit["targets"] if abs(t["budget_flops"] / target_flops - 1) < 1e-9]
    return rows[0]["params"] if rows else NO_ESTIMATE


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        "Above left: what the parametric law, fitted to the runs of at most the compute named, "
        "predicts of the loss of each larger run, less what was seen (bars: 95 % prediction). "
        "Above right: the same for the lowest loss at larger budgets, by every law. Below left: "
        "compute that the predicted sizes waste there, judged by the optima seen. Below right: N "
        "at the target by the runs below each budget, up to all runs (bars: 80 % "
        f"intervals). {finding(setting.of(results).findings, 'ladder')}"
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return finding(setting.of(results).findings, "ladder") or caption(results, setting)


FIGURE = FigureSpec(
    name="ladder",
    title="Held-out ladder",
    about="Held-out ladder: laws fitted to the runs below a budget against the losses and best "
    "sizes of larger ones, and the params recommended at {target} FLOPs as the fitted budgets "
    "grow, with bootstrap intervals.",
    section=Section.AUDIT,
    needs=Needs(fits=EVERY_LAW, findings=True, runs=True),
    draw=draw,
    caption=caption,
    alt=alt,
)
