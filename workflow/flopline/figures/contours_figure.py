"""Parametric contours: the fitted loss over compute and size, and slices through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flopline.documents import EstimateJson, FitJson, number_in
from flopline.errors import FloplineError
from flopline.figures.lawpanel import bracket, check_target, number
from flopline.figures.layout import PAGE, Box, bar_beside, laid_out
from flopline.figures.notes import draw_bands
from flopline.figures.panels import log_axis, say_instead
from flopline.figures.spec import FigureSpec, Needs, Section, Setting
from flopline.figures.spots import add_legend, trace
from flopline.figures.style import (
    BAR_CELLS,
    GUIDE_GREEN,
    INK,
    MAKO_MAP,
    SMALL_PT,
    is_dense,
    mako,
    mark_synthetic,
    styled,
)
from flopline.figures.ticks import flops_labels, short
from flopline.figures.unseen import (
    NOTHING,
    Unseen,
    caption_of,
    draw_forecast,
    draw_held,
    handles_of,
    interval_words,
    unseen_of,
)
from flopline.figures.wording import at_target, law_in_words, reach
from flopline.laws.common.budgets import SAME_BUDGET, by_gaps
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric.parametric_law import LAW
from flopline.numbers import flops_label, humanise, significant
from flopline.results import StudyResults
from flopline.surfaces.chinchilla import PARAMETERS, POWER, LossSurface
from flopline.surfaces.count import COUNT

Floats = NDArray[np.float64]

FRONTIER_BLUE: Final = LAW.style.color
"""The efficient frontier in the colour of its law, blue as in Hoffmann et al. 2022, Fig. 4."""
LEVELS: Final = 9
"""Contours between the worst run and the lowest loss at the target."""
MOST_SLICES: Final = 12
SLICES: Final = 6
"""Slices where the runs share no budgets, evenly spaced over their compute."""
_FAR_OUT: Final = 3.0
_FEW: Final = 300


@styled
def contours(
    fit: FitJson,
    points: pd.DataFrame,
    *,
    family_label: str,
    target_flops: float,
    budgets: Sequence[float] | None = None,
    draws: pd.DataFrame | None = None,
    unseen: Unseen = NOTHING,
    loss_label: str = "Validation loss",
    params_label: str = "Parameters",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Contours of L(C, N) with the efficient frontier (left), slices at fixed compute (right).

    `fit` is the JSON of a parametric fit, `points` its runs (run, params, tokens, loss), placed at
    C = 6ND, or as the fit counts FLOPs, and coloured by loss; `draws` of the fit add bands and
    the interval at the target. `budgets` [FLOPs] are those of the slices: by default those that the
    runs share, else evenly spaced ones. On the right each run stands at the budget nearest to its
    own, moved there along the law, so that its distance from the curve is its residual; so do those
    of `unseen` that were held out, whose own budgets are dotted slices. Raises
    FloplineError for a target or budget that is not positive and for a table without rows; a fit
    that failed is said in words.

    After Hoffmann et al. 2022 (arXiv 2203.15556), Fig. 4.
    """
    target = check_target(target_flops)
    if points.empty:
        raise FloplineError(
            f"The parametric fit of family '{family_label}' has no run to draw: add runs or take "
            "parametric out of `laws`."
        )
    boxes = [Box(2.62, 2.35, left=0.5, right=0.5, top=0.38), Box(2.75, 2.35, left=0.52)]
    figure, (left, right) = laid_out(width, boxes)
    law = surface_in(fit)
    if law is None:
        why = str(fit.get("message") or "the fit gives no optimum")
        for axes, title in ((left, family_label), (right, "Slices at fixed compute")):
            say_instead(axes, title, why)
    else:
        runs = points.sort_values(["params", "tokens", "run"], ignore_index=True)
        runs = runs.assign(flops=law.flops(runs["params"], runs["tokens"]))
        drawn, bar = surfaces_in(draws), bar_beside(left)
        cuts = _checked(budgets) if budgets is not None else slices_of(runs["flops"].to_numpy())
        content = _SlicedSurface(law, runs, cuts, target, drawn, _at(fit, target), unseen)
        _draw_contours(left, bar, content, params_label)
        left.set_title(family_label, pad=12.0)
        bar.set_title("Loss", fontsize=7.0, loc="left")
        _draw_slices(right, content, (params_label, loss_label))
        right.set_title("Slices at fixed compute")
    if synthetic:
        mark_synthetic(figure)
    return figure


def surface_in(fit: FitJson) -> LossSurface | None:
    """The surface of a parametric fit's JSON; None where it failed or has no optimum."""
    stated = {name: number(e) for name, e in fit.get("parameters", {}).items()}
    if fit.get("status") == FAILED or not set(PARAMETERS) <= set(stated):
        return None
    surface = LossSurface.stated(stated)
    usable = np.isfinite([stated[name] for name in PARAMETERS]).all() and np.isfinite(surface.G)
    return surface if usable else None


def surfaces_in(draws: pd.DataFrame | None) -> LossSurface | None:
    """The surfaces of bootstrap draws that have an optimum, None with fewer than two."""
    if draws is None or not set(PARAMETERS) <= set(draws.columns):
        return None
    more = [name for name in (POWER, *COUNT) if name in draws]
    values = draws[[*PARAMETERS, *more]].astype(float)
    values = values[np.isfinite(values).all(axis=1) & (values[["A", "B"]] > 0).all(axis=1)]
    if len(values) < 2:
        return None
    return LossSurface.stated({str(name): values[name].to_numpy() for name in values})


def slices_of(flops: Floats) -> Floats:
    """Budgets [FLOPs] that runs of compute `flops` share; evenly spaced ones if they share none."""
    groups = by_gaps(flops, SAME_BUDGET)
    members = [np.log(flops[groups.group == i]) for i in range(len(groups.nominal))]
    few = 2 <= len(members) <= min(MOST_SLICES, max(2, len(flops) // 2))
    if few and all(np.ptp(m) <= 2 * SAME_BUDGET for m in members):
        return np.array([float(np.exp(m.mean())) for m in members])
    if flops.max() <= flops.min():
        return flops[:1]
    return np.geomspace(flops.min(), flops.max(), SLICES)


def _checked(budgets: Sequence[float]) -> Floats:
    return np.array(sorted({check_target(float(b)) for b in budgets}))


def _at(fit: FitJson, target: float) -> EstimateJson | None:
    """N as the fit states it at the target; None where it states nothing there."""
    rows = [t for t in fit.get("targets", []) if abs(t["budget_flops"] / target - 1) < 1e-9]
    return rows[0].get("params") if rows else None


def _levels(low: float, high: float, floor: float) -> Floats:
    """Losses of the contours, round and evenly spaced in the logarithm of what is above E."""
    exact = floor + np.geomspace(low - floor, high - floor, LEVELS)
    for digits in (3, 4, 5, 6):
        rounded = np.unique([float(f"{x:.{digits}g}") for x in exact])
        rounded = rounded[rounded > floor]
        if len(rounded) >= LEVELS - 1:
            break
    return np.asarray(rounded)


@dataclass(frozen=True, slots=True)
class _SlicedSurface:
    """What both panels show: the law with its runs, the budgets of the slices and the target.

    `drawn` are the laws of the draws and `estimate` is N at the target, None without any.
    """

    law: LossSurface
    runs: pd.DataFrame
    budgets: Floats
    target: float
    drawn: LossSurface | None
    estimate: EstimateJson | None
    unseen: Unseen


def _draw_contours(axes: Axes, bar: Axes, content: _SlicedSurface, params_label: str) -> None:
    law, runs, target, estimate = content.law, content.runs, content.target, content.estimate
    floor, best = float(np.asarray(law.E)), float(law.params_opt(target))
    flops, sizes, loss = (runs[c].to_numpy(float) for c in ("flops", "params", "loss"))
    ends = [number(estimate, e) for e in ("lo95", "hi95")]
    held = content.unseen
    ends += [*held.ends("params"), *held.column("params")]
    x = log_axis(axes, "x", [*flops, target, *held.column("flops")], flops_label, 0.05)
    y = log_axis(axes, "y", [*sizes, best, *ends], pad=0.06)
    axes.set(xlabel="FLOPs", ylabel=params_label)
    grid_c, grid_n = np.geomspace(*x, 140), np.geomspace(*y, 140)
    c, n = np.meshgrid(grid_c, grid_n)
    lowest = min(float(law.loss_opt(target)), float(loss.min()))
    lowest = floor + max(lowest - floor, 1e-3 * floor)
    levels = _levels(lowest, max(float(np.quantile(loss, 0.98)), lowest * 1.01), floor)
    norm = LogNorm(levels[0] - floor, levels[-1] - floor)
    above = law.loss(n, law.tokens_for(c, n)) - floor
    lines = axes.contour(
        c, n, above, levels=levels - floor, cmap=MAKO_MAP.reversed(),
        norm=norm, linewidths=0.8, zorder=1.8,
    )  # fmt: skip
    lines.set_gid("contours")
    for budget, color in zip(content.budgets, mako(len(content.budgets)), strict=True):
        axes.axvline(budget, ls="--", lw=0.6, color=color, zorder=1.6, gid="slice")
    axes.scatter(
        flops, sizes, s=13 if len(runs) <= _FEW else 5, c=np.maximum(loss, levels[0]) - floor,
        cmap=MAKO_MAP.reversed(), norm=norm, edgecolors="white", linewidths=0.35, zorder=3,
        gid="runs", rasterized=is_dense(len(runs)),
    )  # fmt: skip
    taken = [trace(axes, flops, sizes, join=False), *_draw_frontier(axes, content)]
    _draw_interval(axes, [target, target], estimate, upright=True)
    guides = [x[0], target, target], [best, best, y[0]]
    axes.plot(*guides, color=GUIDE_GREEN, lw=0.8, zorder=2, gid="guide")
    axes.plot(target, best, "o", ms=3.8, color=GUIDE_GREEN, zorder=5, gid="target")
    taken.append(trace(axes, *guides))
    beside = target * (x[1] / x[0]) ** 0.018
    draw_forecast(axes, beside, held.params)
    draw_held(axes, held.column("flops"), held.column("params"))
    taken.append(trace(axes, held.column("flops"), held.column("params"), join=False))
    taken.append(trace(axes, [beside] * len(held.ends("params")), held.ends("params")))
    # Above the axes: inside, every place is crossed by a contour.
    axes.set_title(
        f"{short(best)}{bracket(estimate)} at {flops_label(target)} FLOPs", loc="right",
        color=GUIDE_GREEN, fontsize=SMALL_PT, weight="bold",
    )  # fmt: skip
    _draw_bar(bar, levels, floor)


def _draw_frontier(axes: Axes, content: _SlicedSurface) -> list[Floats]:
    """N_opt(C), solid where there are runs and dashed beyond; returns what it covers."""
    law, drawn, target = content.law, content.drawn, content.target
    flops = content.runs["flops"]
    first, last = float(flops.min()), float(flops.max())
    line = np.geomspace(min(first, target), max(last, target), 120)
    edges = []
    if drawn is not None:
        edges = draw_bands(axes, line, drawn.params_opt(line), FRONTIER_BLUE)
    inside = np.geomspace(first, last, 60)
    axes.plot(
        inside, law.params_opt(inside), "-", color=FRONTIER_BLUE, lw=1.5, zorder=3.5, gid="frontier"
    )
    for low, high in ((last, target), (target, first)):
        if high > low:
            beyond = np.geomspace(low, high, 30)
            axes.plot(
                beyond, law.params_opt(beyond), "--", color=FRONTIER_BLUE, lw=1.5, zorder=3.5,
                gid="extrapolated",
            )  # fmt: skip
    return [trace(axes, line, law.params_opt(line)), *(trace(axes, line, e) for e in edges)]


def _draw_interval(
    axes: Axes, place: Sequence[float], estimate: EstimateJson | None, upright: bool
) -> None:
    """The 80 and 95 % intervals of N at the target, thick and thin, along the axis of N."""
    for level, width in (("95", 1.0), ("80", 2.6)):
        ends = [number(estimate, f"{side}{level}") for side in ("lo", "hi")]
        if np.isfinite(ends).all():
            data = (place, ends) if upright else (ends, place)
            axes.plot(
                *data, "-", color=GUIDE_GREEN, lw=width, solid_capstyle="butt", zorder=4.5,
                gid=f"interval-{level}",
            )  # fmt: skip


def _draw_bar(bar: Axes, levels: Floats, floor: float) -> None:
    """The colours of the loss, with the contours as ticks."""
    edges = np.geomspace(levels[0] - floor, levels[-1] - floor, BAR_CELLS + 1)
    ramp = np.linspace(1.0, 0.0, BAR_CELLS)[:, None]
    bar.pcolormesh([0, 1], edges, ramp, cmap=MAKO_MAP, vmin=0, vmax=1, edgecolors="face", lw=0.3)
    bar.set(yscale="log", ylim=(edges[0], edges[-1]), xticks=[])
    bar.grid(visible=False)
    bar.yaxis.tick_right()
    digits = max(3, *(len(f"{x:.6g}".replace(".", "")) for x in levels))
    bar.set_yticks(levels - floor, [significant(x, digits) for x in levels], fontsize=SMALL_PT)
    bar.set_yticks([], minor=True)


def _draw_slices(axes: Axes, content: _SlicedSurface, labels: tuple[str, str]) -> None:
    law, runs, budgets, target = content.law, content.runs, content.budgets, content.target
    drawn, estimate = content.drawn, content.estimate
    flops, sizes, tokens, loss = (
        runs[c].to_numpy(float) for c in ("flops", "params", "tokens", "loss")
    )
    nearest = np.abs(np.log(flops)[:, None] - np.log(budgets)).argmin(axis=1)
    at = budgets[nearest]
    moved = loss * law.loss(sizes, law.tokens_for(at, sizes)) / law.loss(sizes, tokens)
    best, lowest = float(law.params_opt(target)), float(law.loss_opt(target))
    quartiles = np.quantile(moved, [0.25, 0.75])
    top = float(moved[moved <= quartiles[1] + _FAR_OUT * np.ptp(quartiles)].max())
    ends = [number(estimate, e) for e in ("lo95", "hi95")]
    unseen = content.unseen
    own = _own_slices(unseen, np.array([*budgets, target]))
    apart = _moved(law, unseen, np.array([*budgets, target, *own]))
    ends += [*unseen.ends("params"), *unseen.column("params")]
    x = log_axis(axes, "x", [*sizes, best, *ends], pad=0.06)
    bottom = min([lowest, float(moved.min()), *apart, *unseen.ends("loss")])
    top = max([top, *apart])
    pad = 0.07 * (top - bottom or 0.1)
    axes.set(ylim=(bottom - pad, top + pad), xlabel=labels[0], ylabel=labels[1])
    colors, handles, taken = mako(len(budgets)), [], []
    for i, (budget, color) in enumerate(zip(budgets, colors, strict=True)):
        mine = nearest == i
        if not mine.any():
            continue
        optimum = float(law.params_opt(budget)), float(law.loss_opt(budget))
        held = [*sizes[mine], optimum[0]]
        reach = np.geomspace(max(x[0], min(held) / 1.6), min(x[1], max(held) * 1.6), 80)
        curve = reach, law.loss(reach, law.tokens_for(budget, reach))
        axes.plot(*curve, "-", color=color, lw=1.1, zorder=2, gid="slice")
        axes.plot(sizes[mine], moved[mine], "o", ms=2.6 if len(runs) <= _FEW else 1.4, color=color,
                  mew=0, zorder=3, gid="runs", rasterized=is_dense(len(runs)))  # fmt: skip
        if x[0] <= optimum[0] <= x[1]:
            axes.plot(*optimum, "D", ms=3.6, mfc=color, mec=INK, mew=0.6, zorder=4, gid="optimum")
        taken += [trace(axes, *curve), trace(axes, sizes[mine], moved[mine], join=False)]
        handles.append(Line2D([], [], color=color, marker="o", ms=2.6, mew=0))
    in_slices = [b for i, b in enumerate(budgets) if (nearest == i).any()]
    for handle, name in zip(handles, flops_labels(in_slices), strict=True):
        handle.set_label(name)
    reach = np.geomspace(*x, 200)
    curve = reach, law.loss(reach, law.tokens_for(target, reach))
    if drawn is not None:
        draw_bands(axes, reach, drawn.loss(reach, drawn.tokens_for(target, reach)), GUIDE_GREEN)
    axes.plot(*curve, "--", color=GUIDE_GREEN, lw=1.2, zorder=2.2, gid="target slice")
    _draw_interval(axes, [lowest, lowest], estimate, upright=False)
    axes.plot(best, lowest, "D", ms=4.4, color=GUIDE_GREEN, zorder=5, gid="target")
    # Words beside the diamond would be in the way of the legend, which may move the y axis.
    label = f"{flops_label(target)}: {short(best)}, loss {significant(lowest, 4)}"
    handles.append(Line2D([], [], color=GUIDE_GREEN, ls="--", marker="D", ms=3.4, label=label))
    size = number_in(unseen.params, "point")
    draw_forecast(axes, size if np.isfinite(size) else best, unseen.loss)
    sizes_held = unseen.column("params")
    for budget in own:
        reach = np.geomspace(max(x[0], min(sizes_held) / 1.3), min(x[1], max(sizes_held) * 1.3), 60)
        curve_held = reach, law.loss(reach, law.tokens_for(budget, reach))
        axes.plot(*curve_held, ":", color=INK, lw=0.8, zorder=1.9, gid="held out slice")
        taken.append(trace(axes, *curve_held))
    draw_held(axes, sizes_held, apart)
    handles = [*handles_of(unseen, f": {interval_words(unseen.loss)}"), *handles]
    taken.append(trace(axes, unseen.column("params"), apart, join=False))
    taken.append(trace(axes, [size] * len(unseen.ends("loss")), unseen.ends("loss")))
    obstacles = np.concatenate([*taken, trace(axes, *curve)])
    add_legend(axes, handles, obstacles, most=3, title="Budget, FLOPs")


def _own_slices(unseen: Unseen, budgets: Floats) -> list[float]:
    """Budgets of the runs held out that are none of `budgets`."""
    if not len(unseen.held):
        return []
    own = slices_of(np.array(unseen.column("flops")))
    near = np.abs(np.log(own)[:, None] - np.log(budgets)).min(axis=1) <= SAME_BUDGET
    return [float(budget) for budget in own[~near]]


def _moved(law: LossSurface, unseen: Unseen, budgets: Floats) -> list[float]:
    """Losses of the runs held out, each moved along the law to the nearest of `budgets`."""
    if not len(unseen.held):
        return []
    sizes, tokens, loss, flops = (
        np.array(unseen.column(name)) for name in ("params", "tokens", "loss", "flops")
    )
    at = budgets[np.abs(np.log(flops)[:, None] - np.log(budgets)).argmin(axis=1)]
    moved = loss * law.loss(sizes, law.tokens_for(at, sizes)) / law.loss(sizes, tokens)
    return [float(value) for value in moved]


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family = setting.of(results)
    minima, budgets = family.table("isoflop", "vertices"), None
    if minima is not None and len(minima):
        budgets = minima["nominal_flops"].fillna(minima["budget_flops"])
    return contours(
        family.fits["parametric"],
        family.tables["parametric"]["points"],
        budgets=budgets,
        draws=family.draws["parametric"],
        unseen=unseen_of(results, setting.family, setting.target),
        family_label=setting.family_label,
        target_flops=setting.target,
        loss_label=setting.loss_label,
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    fit = setting.of(results).fits["parametric"]
    if fit["status"] == FAILED:
        return f"No surface was fitted: {fit['message']}"
    target = fit["targets"][0]
    return (
        f"Left: contours of the fitted loss over compute and params, with the {fit['n_runs']} runs "
        "coloured by their own loss, the efficient frontier (blue, dashed beyond the runs, with 80 "
        "and 95 % bands) and the budgets of the slices (dashed, upright). Right: the loss along "
        "slices of fixed compute, with each run moved to the nearest one along the law, so that "
        "its distance from the curve is its residual; diamonds, the optima. The law says "
        f"{at_target(fit)}{reach(target['params'], humanise)}, with a loss of "
        f"{significant(number_in(target['loss']))}{reach(target['loss'], significant)}; runs and "
        f"slices stand at {'C = 6ND' if COUNT[0] not in fit['parameters'] else 'C as counted'}."
        f"{caption_of(unseen_of(results, setting.family, setting.target))}"
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return law_in_words(setting.of(results).fits["parametric"])


FIGURE = FigureSpec(
    name="contours",
    title="Contours of the loss",
    about="Contours of the parametric loss over compute and params with the efficient frontier, "
    "and slices at fixed compute with the runs on them; params at {target} FLOPs with bootstrap "
    "intervals.",
    section=Section.LAWS,
    needs=Needs(
        fits=("parametric",),
        draws=("parametric",),
        tables=("parametric.points", "isoflop.vertices"),
        unseen=True,
    ),
    laws=("parametric",),
    draw=draw,
    caption=caption,
    alt=alt,
    first_target=True,
)
