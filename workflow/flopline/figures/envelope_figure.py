"""The training-curve envelope: the frontier of all curves, and the two laws along it."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flopline.documents import FitJson
from flopline.figures.lawpanel import (
    PanelQuantity,
    check_target,
    draw_law_panel,
    no_law,
    params_quantity,
    tokens_quantity,
)
from flopline.figures.layout import PAGE, Box, bar_beside, laid_out
from flopline.figures.spec import FigureSpec, Needs, Section, Setting
from flopline.figures.spots import add_legend, trace, write_reason
from flopline.figures.style import (
    BAR_CELLS,
    GREY,
    INK,
    MAKO_MAP,
    is_dense,
    mark_synthetic,
    styled,
)
from flopline.figures.ticks import log_pad, set_log_ticks
from flopline.figures.wording import at_target, law_in_words, power_laws
from flopline.laws.common.curvature import slopes_by_thirds
from flopline.laws.common.fit_result import FAILED
from flopline.laws.envelope.envelope_law import LAW
from flopline.numbers import flops_label, humanise
from flopline.results import StudyResults
from flopline.schema import split_label

Floats = NDArray[np.float64]

# Room above the frontier, in its own height: curves start at the loss of an untrained model, and
# an axis that held those starts would leave the frontier no height.
_HEADROOM: Final = 0.3
# How early the picture begins, as a share of the compute of the smallest run.
_APPROACH: Final = 0.1
BINS: Final = 40
"""Bins of ln C of which one point each is drawn: neighbours on a frontier repeat the same runs."""


@styled
def envelope(
    fit: FitJson,
    frontier: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    family_label: str,
    target_flops: float,
    loss_label: str = "Training loss",
    params_label: str = "Parameters",
    tokens_label: str = "Tokens",
    draws: pd.DataFrame | None = None,
    thirds: bool = False,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Training curves with their lower envelope (left), N (centre) and D (right) along it.

    `fit` is the JSON of an envelope fit, `frontier` has one row per compute value, `curves` one
    row per step drawn (smoothed, thinned by the fit); `draws` (columns a, N_coef, b, D_coef) adds
    95 % bands, `thirds` the law of each third of the fitted points over them. Of the frontier one
    point a bin of ln C is drawn, grey where the fit left it out. The loss axis always holds the
    whole frontier and lets the first steps of untrained models run out of its top. Without a
    frontier the panels say why. Raises FloplineError for a target that is not positive and for a
    `width` that is none of layout.WIDTHS_IN.

    After Hoffmann et al. 2022 (arXiv 2203.15556), Fig. 2 and A5.
    """
    target = check_target(target_flops)
    points = frontier.sort_values("flops", ignore_index=True)
    figure, (left, centre, right) = laid_out(
        width,
        [
            Box(1.80, 2.05, left=0.44, right=0.62),
            Box(1.56, 2.05, left=0.55),
            Box(1.56, 2.05, left=0.53, right=0.14),
        ],
    )
    left.set_title(family_label)
    if points.empty or curves.empty:
        for axes in (left, centre, right):
            axes.set(xticks=[], yticks=[])
            write_reason(axes, no_law(fit))
    else:
        sizes = curves["params"].to_numpy(float)
        norm = LogNorm(*_apart(float(sizes.min()), float(sizes.max())))
        _draw_curves(left, points, curves, norm, loss_label)
        _draw_bar(bar_beside(left), norm, params_label)
        for axes, quantity in (
            (centre, params_quantity(params_label)),
            (right, tokens_quantity(tokens_label)),
        ):
            _draw_frontier(axes, fit, points, quantity, norm, target, draws, thirds)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _draw_curves(
    axes: Axes, points: pd.DataFrame, curves: pd.DataFrame, norm: LogNorm, loss_label: str
) -> None:
    drawn = curves[(curves["flops"] > 0) & np.isfinite(curves["loss"])]
    flops, losses = drawn["flops"].to_numpy(float), drawn["loss"].to_numpy(float)
    # A frontier of schedule ends only still stands in view of the curves that lead to it.
    approach = _APPROACH * drawn.groupby("run")["flops"].max().min()
    first = min(points["flops"].min(), approach)
    x = log_pad(first, max(flops.max(), points["flops"].max()), 0.12, 0.04)
    low = min(losses.min(), points["loss"].min())
    leading = losses[(flops >= first) & (flops <= 2 * first)]
    high = max(points["loss"].max(), leading.min() if leading.size else 0.0)
    pad = 0.06 * (high - low or 0.1)
    low, high = low - pad, min(high + _HEADROOM * (high - low or 0.1), losses.max() + pad)
    axes.set(xscale="log", xlim=x, ylim=(low, high), xlabel="FLOPs", ylabel=loss_label)
    width_pt = axes.get_window_extent().width / axes.figure.dpi * 72
    set_log_ticks(axes.xaxis, *x, width_pt, flops_label, "width")
    # Small models, which make the frontier, are drawn over large ones.
    drawn = drawn.sort_values(["params", "run", "flops"], ascending=[False, True, True])
    runs = drawn["run"].to_numpy(object)
    starts = np.flatnonzero(np.append(True, runs[1:] != runs[:-1]))
    pieces = np.split(drawn[["flops", "loss"]].to_numpy(dtype=np.float64), starts[1:])
    lines = [_in_sight(line, *x) for line in pieces]
    dense = is_dense(sum(len(line) for line in lines))
    axes.add_collection(
        LineCollection(
            lines,
            colors=MAKO_MAP(norm(drawn["params"].to_numpy(float)[starts])),
            linewidths=0.6,
            rasterized=dense,
            gid="curves",
        ),
        autolim=False,
    )
    # The lowest loss that any curve has reached by each compute.
    lowest = np.minimum.accumulate(points["loss"].to_numpy(float))
    (line,) = axes.plot(
        points["flops"], lowest, "-", color=LAW.style.color, lw=1.3, zorder=4.1, gid="envelope",
        label="envelope", rasterized=dense,
    )  # fmt: skip
    shown = _one_a_bin(points)
    used = shown["used"].to_numpy(bool)
    dots = [
        axes.plot(
            shown["flops"][kept], shown["loss"][kept], "o", ms=2.6, mew=0, color=color,
            zorder=order, gid="frontier", label=label,
        )[0]
        for kept, color, order, label in (
            (used, INK, 4.2, "fitted, one a bin"),
            (~used, GREY, 4.0, "not fitted"),
        )
        if kept.any()
    ]  # fmt: skip
    if dense:
        lines = [np.concatenate(lines)]
    obstacles = [trace(axes, line[:, 0], line[:, 1], join=not dense) for line in lines]
    add_legend(axes, [line, *dots], np.concatenate(obstacles))


def _one_a_bin(points: pd.DataFrame) -> pd.DataFrame:
    """The middle one of the points in each of BINS bins of ln C, of fitted ones and of the rest."""
    x = np.log(points["flops"].to_numpy(float))
    width = float(np.ptp(x)) / BINS or 1.0
    bins = np.minimum((x - x.min()) // width, BINS - 1).astype(int)
    groups = points.assign(bin=bins).groupby(["bin", "used"], sort=True).indices
    middle = sorted(int(rows[len(rows) // 2]) for rows in groups.values())
    return points.iloc[middle].reset_index(drop=True)


def _in_sight(line: Floats, low: float, high: float) -> Floats:
    """The part of a line between `low` and `high`, and one point beyond either end."""
    inside = np.flatnonzero((line[:, 0] >= low) & (line[:, 0] <= high))
    if not inside.size:
        return line[:0]
    return line[max(inside[0] - 1, 0) : inside[-1] + 2]


def _draw_bar(axes: Axes, norm: LogNorm, label: str) -> None:
    low, high = float(norm.vmin or 1.0), float(norm.vmax or 10.0)
    edges = np.geomspace(low, high, BAR_CELLS + 1)
    axes.pcolormesh(
        [0, 1],
        edges,
        norm(np.sqrt(edges[1:] * edges[:-1]))[:, None],
        cmap=MAKO_MAP,
        vmin=0,
        vmax=1,
        edgecolors="face",
        lw=0.3,
    )
    axes.set(yscale="log", ylim=(low, high), xticks=[], ylabel=label)
    axes.grid(False)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    height_pt = axes.get_window_extent().height / axes.figure.dpi * 72
    set_log_ticks(axes.yaxis, low, high, height_pt, humanise, "height")


def _draw_frontier(
    axes: Axes,
    fit: FitJson,
    points: pd.DataFrame,
    quantity: PanelQuantity,
    norm: LogNorm,
    target: float,
    draws: pd.DataFrame | None,
    thirds: bool,
) -> None:
    flops, values = points["flops"].to_numpy(float), points[quantity.key].to_numpy(float)
    draw_law_panel(axes, fit, quantity, flops, values, target, draws)
    shown = _one_a_bin(points)
    used = shown["used"].to_numpy(bool)
    colors = MAKO_MAP(norm(shown["params"].to_numpy(float)))
    for kept, color, order in ((~used, GREY, 3.0), (used, colors[used], 3.2)):
        axes.scatter(
            shown["flops"][kept],
            shown[quantity.key][kept],
            s=10,
            c=color,
            lw=0,
            zorder=order,
            gid="frontier",
        )
    if thirds:
        _draw_thirds(axes, points, quantity)


def _draw_thirds(axes: Axes, points: pd.DataFrame, quantity: PanelQuantity) -> None:
    """The slope of each third of the points, each over its own: their places tell them apart."""
    x, y = (np.log(points[name].to_numpy(float)) for name in ("flops", quantity.key))
    slopes = slopes_by_thirds(x[None], y[None], points["used"].to_numpy(bool)[None])[0]
    for third, slope in enumerate(slopes, 1):
        if not np.isfinite(slope):
            continue
        part = points["third"].to_numpy() == third
        ends = np.array([x[part].min(), x[part].max()])
        line = y[part].mean() + slope * (ends - x[part].mean())
        axes.plot(np.exp(ends), np.exp(line), color=INK, lw=1.5, zorder=3.6, gid=f"third-{third}")


def _apart(low: float, high: float) -> tuple[float, float]:
    """A colour range that is never empty."""
    return (low, high) if high > low else (low / 2, high * 2)


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family, study = setting.of(results), setting.study
    split = study["envelope"]["split"] or study["loss_split"]
    same = split == study["loss_split"]
    tables = family.tables["envelope"]
    return envelope(
        family.fits["envelope"],
        tables["frontier"],
        tables["curves"],
        family_label=setting.family_label,
        target_flops=setting.target,
        loss_label=setting.loss_label if same else setting.of_loss(split_label(split)),
        draws=family.draws["envelope"],
        thirds=study["figures"]["envelope_thirds"],
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    fit = setting.of(results).fits["envelope"]
    if fit["status"] == FAILED:
        return law_in_words(fit)
    return (
        f"Left: the loss curves of {fit['n_runs']} runs, coloured by parameters, with the lowest "
        "loss reached at each amount of compute. Centre and right: parameters and tokens of the "
        f"run that reaches it, with the fitted laws {power_laws(fit)} (dashed) and, in green, "
        f"{at_target(fit)}.{_thirds(setting)}{_curvature(fit)}{_mid_schedule(fit)}"
    )


def _thirds(setting: Setting) -> str:
    drawn = setting.study.get("figures", {}).get("envelope_thirds")
    return " Black: the same laws for each third of the points." if drawn else ""


def _curvature(fit: FitJson) -> str:
    """Slopes of params in the outer thirds, and how sure their difference is."""
    test = fit["certificate"].get("curvature")
    if test is None or test["p_value"] is None:
        return ""
    slopes = fit["certificate"]["a_by_thirds"]
    return (
        f" Params grow as C^{slopes[0]:.2f} in the first third and C^{slopes[-1]:.2f} in the last "
        f"(difference {test['difference']:+.2f}, 95 % interval {test['lo95']:+.2f} to "
        f"{test['hi95']:+.2f})."
    )


def _mid_schedule(fit: FitJson) -> str:
    share = fit["certificate"].get("share_mid_schedule")
    if not share:
        return ""
    return f" {share:.0%} of the fitted points lie in the middle of a learning-rate schedule."


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return law_in_words(setting.of(results).fits["envelope"])


FIGURE = FigureSpec(
    name="envelope",
    title="Training-curve envelope",
    about="Training curves over compute, their lower envelope, and the power laws of params and "
    "tokens along it to {target} FLOPs, with bootstrap intervals.",
    section=Section.LAWS,
    needs=Needs(
        fits=("envelope",),
        draws=("envelope",),
        tables=("envelope.frontier", "envelope.curves"),
        decision=True,
    ),
    laws=("envelope",),
    options=(
        "families",
        "targets",
        "loss_split",
        "loss_label",
        "loss_unit",
        "envelope",
        "figures",
    ),
    draw=draw,
    caption=caption,
    alt=alt,
    first_target=True,
)
