"""What the runs can tell: the profile of E, residuals over (N, D), the worth of one more run."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopline.audit.allowed import ALLOWED_RISE
from flopline.figures.layout import PAGE, Box, bar_beside, laid_out
from flopline.figures.panels import (
    law_style,
    log_axis,
    reason_of,
    say_instead,
    surface_of_fits,
    table_of,
)
from flopline.figures.spec import FigureSpec, Needs, Section, Setting
from flopline.figures.spots import clear_spot, margin_of, size_in, trace
from flopline.figures.style import (
    BAR_CELLS,
    GREY,
    INK,
    MAKO_MAP,
    SMALL_PT,
    is_dense,
    mark_synthetic,
    styled,
)
from flopline.figures.ticks import log_pad, set_log_ticks
from flopline.figures.wording import finding
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.loss_units import NATS, words
from flopline.numbers import flops_label, humanise, significant
from flopline.results import StudyResults
from flopline.schema import KEPT

SIGNED = LinearSegmentedColormap.from_list(
    "flopline_signed", ["#006d5b", "#7fc4b5", "#f4f4f4", "#d9a3cf", "#8c2a7a"], N=256
)
"""Green below, violet above; equally dark at both ends, so that markers tell the sign in grey."""


@styled
def identifiability(
    profile: pd.DataFrame | None,
    points: pd.DataFrame | None,
    offers: pd.DataFrame | None,
    runs: pd.DataFrame,
    *,
    best_floor: float | None,
    target_flops: float,
    allowed_rise: float,
    family_label: str,
    loss_unit: str = NATS,
    absent: dict[str, str] | None = None,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Profile of E with N along it (left), residuals (centre), worth of one more run (right).

    `profile` and `offers` are the tables of `audit.identifiability` and `audit.next_run`, `points`
    those of the parametric fit with its log_residual, `runs` all runs so far. `best_floor` is the
    fitted E, `allowed_rise` the rise of the objective up to which an E counts as fitting. `absent`
    says by panel (profile, residuals, next_run) why a table is None.

    Returns the figure; a panel without its table holds the reason.
    """
    why = {"profile": "", "residuals": "", "next_run": ""} | (absent or {})
    figure, (left, centre, right) = laid_out(
        width,
        [
            Box(1.7, 1.94, left=0.56, bottom=0.5, top=0.31),
            Box(1.53, 1.94, left=0.58, right=0.47, bottom=0.5, top=0.31),
            Box(1.38, 1.94, left=0.5, right=0.48, bottom=0.5, top=0.31),
        ],
    )
    title = f"{family_label}: what E may be"
    known = profile is not None and bool(np.isfinite(profile["params"].astype(float)).any())
    if profile is None or not known:
        say_instead(left, title, why["profile"])
    else:
        top, bottom = _halves(left)
        _draw_profile(top, bottom, profile, best_floor, target_flops, allowed_rise, loss_unit)
        top.set_title(title)
    if points is None or points.empty:
        say_instead(centre, "Residuals", why["residuals"])
    else:
        _draw_residuals(centre, bar_beside(centre, 0.05), points)
        centre.set_title("Residuals, %")
    if offers is None or offers.empty:
        say_instead(right, "One more run", why["next_run"])
    else:
        _draw_offers(right, bar_beside(right, 0.05), offers, runs)
        right.set_title("What one more run tells, %")
    if synthetic:
        mark_synthetic(figure)
    return figure


def _halves(axes: Axes) -> tuple[Axes, Axes]:
    """Two axes one above the other in the place of `axes`."""
    at, figure = axes.get_position(), axes.figure
    assert isinstance(figure, Figure)
    figure.delaxes(axes)
    lower, gap = 0.454 * at.height, 0.041 * at.height
    upper = at.height - lower - gap
    return (
        figure.add_axes((at.x0, at.y0 + lower + gap, at.width, upper)),
        figure.add_axes((at.x0, at.y0, at.width, lower)),
    )


def _draw_profile(
    top: Axes,
    bottom: Axes,
    profile: pd.DataFrame,
    best: float | None,
    target_flops: float,
    allowed: float,
    loss_unit: str,
) -> None:
    rows = profile[profile["converged"].astype(bool)].sort_values("E")
    e, rise = rows["E"].to_numpy(dtype=float), 100 * rows["rise"].to_numpy(dtype=float)
    params = rows["params"].to_numpy(dtype=float)
    near = e[rise <= 100 * allowed]
    look = law_style(PARAMETRIC.name)
    for axes in (top, bottom):
        if len(near):
            axes.axvspan(near.min(), near.max(), color=look.color, alpha=0.1, lw=0, gid="near")
        if best is not None:
            axes.axvline(best, color=INK, lw=0.7, zorder=1.5)
        axes.set_xlim(e.min(), e.max())
    top.plot(e, rise, "-", color=look.color, lw=1.2, gid="rise")
    top.axhline(100 * allowed, color=GREY, lw=0.8, ls="--")
    top.set(ylabel="Objective, + %")
    high = float(np.clip(rise.max(), 1.6 * 100 * allowed, 6 * 100 * allowed))
    top.set_ylim(-0.05 * high, high)
    top.tick_params(labelbottom=False)
    log_axis(bottom, "y", params, pad=0.12)
    bottom.plot(e, params, "-", color=look.color, lw=1.2, gid="params")
    bottom.set(xlabel=f"E held, {words(loss_unit)}", ylabel=f"N at {flops_label(target_flops)}")


def _draw_residuals(axes: Axes, bar: Axes, points: pd.DataFrame) -> None:
    """Each run by its sign: a triangle up where its loss lies above the law, down where below."""
    rows = points.sort_values(["params", "tokens", "run"])
    residual = 100 * np.expm1(rows["log_residual"].to_numpy(dtype=float))
    params, tokens = (rows[c].to_numpy(dtype=float) for c in ("params", "tokens"))
    limit = float(np.quantile(np.abs(residual), 0.98)) or 1.0
    log_axis(axes, "x", params)
    log_axis(axes, "y", tokens)
    size = 5 + 20 * np.minimum(np.abs(residual) / limit, 1)
    norm = Normalize(-limit, limit)
    for marker, mine, gid in (("^", residual >= 0, "above"), ("v", residual < 0, "below")):
        axes.scatter(
            params[mine], tokens[mine], s=size[mine], c=residual[mine], cmap=SIGNED, norm=norm,
            marker=marker, edgecolors="#444444", linewidths=0.3, zorder=3, gid=gid,
            rasterized=is_dense(len(rows)),
        )  # fmt: skip
    axes.set(xlabel="Parameters", ylabel="Tokens")
    _draw_bar(bar, SIGNED, -limit, limit)


def _draw_offers(axes: Axes, bar: Axes, offers: pd.DataFrame, points: pd.DataFrame) -> None:
    rows = offers.sort_values(["flops", "params"])
    removed = rows["removed_percent"].to_numpy(dtype=float)
    best = rows.loc[rows["removed_percent"].idxmax()]
    cheapest = offers.iloc[0]
    points = points.sort_values(["params", "tokens", "run"])
    x = log_axis(axes, "x", [*rows["params"], *points["params"]])
    y = log_axis(axes, "y", [*rows["tokens"], *points["tokens"]], pad=0.1)
    axes.plot(
        points["params"],
        points["tokens"],
        "o",
        ms=1.6,
        mew=0,
        color="#bbbbbb",
        zorder=2,
        gid="runs",
        rasterized=is_dense(len(points)),
    )
    axes.scatter(
        rows["params"], rows["tokens"], s=22, c=removed, cmap=MAKO_MAP, vmin=0.0, marker="s",
        edgecolors="none", zorder=3, gid="offers",
    )  # fmt: skip
    marks = ((best, "*", 8.5, "narrows N most"), (cheapest, "D", 4.0, "most per FLOP"))
    for row, marker, size, _ in marks:
        axes.plot(
            row["params"], row["tokens"], marker, ms=size, mfc="#ffcc33", mec=INK, mew=0.6,
            zorder=5, gid="best",
        )  # fmt: skip
    axes.set(xlabel="Parameters", ylabel="Tokens", xlim=x, ylim=y)
    handles = [
        Line2D([], [], ls="", marker=m, ms=0.8 * s, mfc="#ffcc33", mec=INK, mew=0.6, label=name)
        for _, m, s, name in marks
    ]
    handles.append(Line2D([], [], ls="", marker="o", ms=2, color="#bbbbbb", label="runs so far"))
    _legend_below(axes, handles, rows, points)
    _draw_bar(bar, MAKO_MAP, 0.0, float(removed.max()))


def _legend_below(
    axes: Axes, handles: list[Line2D], rows: pd.DataFrame, points: pd.DataFrame
) -> None:
    """A legend in a free corner; the y axis grows downwards, in decades, until there is one."""
    low, high = axes.get_ylim()
    width = axes.get_window_extent().height / axes.figure.dpi * 72
    for longer in np.arange(0.0, 1.01, 0.05):
        y = log_pad(low, high, float(longer), 0.0)
        axes.set_ylim(*y)
        taken = np.concatenate(
            [trace(axes, t["params"], t["tokens"], False) for t in (rows, points)]
        )
        legend = axes.legend(
            handles=handles, loc="lower left", borderaxespad=0.3, borderpad=0, handlelength=1.0,
            handletextpad=0.4, labelspacing=0.25,
        )  # fmt: skip
        size, gap = size_in(axes, legend), margin_of(axes)
        spots = [(gap[0], gap[1]), (gap[0], 1 - gap[1] - size[1])]
        spots += [(1 - gap[0] - size[0], s[1]) for s in spots]
        spot = clear_spot(size, taken, spots, margin_of(axes, 3.0))
        if spot is not None:
            legend.set_bbox_to_anchor(spot, transform=axes.transAxes)
            break
    set_log_ticks(axes.yaxis, *y, width, humanise, "height")


def _draw_bar(bar: Axes, colors: LinearSegmentedColormap, low: float, high: float) -> None:
    """A colour bar with ticks on its right."""
    edges = np.linspace(low, high, BAR_CELLS + 1)
    ramp = np.linspace(0.0, 1.0, BAR_CELLS)[:, None]
    bar.pcolormesh([0, 1], edges, ramp, cmap=colors, vmin=0, vmax=1, edgecolors="face", lw=0.3)
    bar.grid(visible=False)
    bar.set(xticks=[], ylim=(low, high))
    bar.yaxis.tick_right()
    ticks = [low, (low + high) / 2, high]
    labels = [significant(t, 2).replace("-", "−") if t else "0" for t in ticks]
    bar.set_yticks(ticks, labels, fontsize=SMALL_PT)


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family, runs = setting.of(results), results.runs
    surface, no_surface = surface_of_fits(family.fits)
    return identifiability(
        table_of(family.findings, "identifiability", "profile"),
        family.table("parametric", "points") if surface else None,
        table_of(family.findings, "next_run", "runs"),
        runs[(runs["family"] == setting.family) & (runs["status"] == KEPT)],
        best_floor=surface.get("E"),
        target_flops=setting.target,
        allowed_rise=ALLOWED_RISE,
        family_label=setting.family_label,
        loss_unit=setting.loss_unit,
        absent={
            "profile": reason_of(family.findings, "identifiability"),
            "residuals": no_surface,
            "next_run": reason_of(family.findings, "next_run"),
        },
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        "Left: rise of the objective, and N at the target, where E is held and the rest refitted; "
        "shaded, every E that fits nearly as well as the best (line). Centre: observed loss over "
        "the fitted law; up where the run is worse than the law, down where it is better, larger "
        "where it is farther off. Right: share of the variance of ln N at the target that one "
        "more run would remove, by its params and tokens. "
        f"{finding(setting.of(results).findings, 'identifiability')}"
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return finding(setting.of(results).findings, "identifiability") or caption(results, setting)


FIGURE = FigureSpec(
    name="identifiability",
    title="What the runs can tell",
    about="What the runs can tell: how well each value of the irreducible loss fits and the params "
    "it implies at {target} FLOPs, the residuals of the parametric law over params and tokens, and "
    "the worth of one more run.",
    section=Section.AUDIT,
    needs=Needs(
        fits=("parametric",),
        tables=("parametric.points",),
        findings=True,
        runs=True,
        decision=True,
    ),
    options=("families", "targets", "loss_unit"),
    draw=draw,
    caption=caption,
    alt=alt,
    of_target=True,
    first_target=True,
)
