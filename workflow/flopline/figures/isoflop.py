"""The isoFLOP figure: loss valleys, and the two power laws through their bottoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.figures.lawpanel import (
    CORRECTED_MARKER,
    Law,
    Quantity,
    check_target,
    draw_law_panel,
    params_quantity,
    tokens_quantity,
)
from flopline.figures.placing import add_legend, clear_spot, filled, margin_of, size_in, trace
from flopline.figures.style import (
    GREY,
    INK,
    PAGE_WIDTH_IN,
    SMALL_PT,
    mako,
    mark_synthetic,
    new_figure,
    row_of_axes,
    styled,
)
from flopline.figures.ticks import flops_labels, log_pad, set_log_ticks
from flopline.fits.result import FAILED
from flopline.numbers import count, humanise, significant

Floats = NDArray[np.float64]

CORRECTED: Final = "corrected"
"""Name of the estimator whose laws are drawn beside the main ones (docs/isoflop.md)."""
INNER: Final = ("lo80", "hi80")

# How far a parabola is drawn past the outermost sizes, as a share of their distance in logs.
_PAST_DATA: Final = 0.22
# Losses farther above the upper quartile than this many quartile distances run out of the axis,
# as arrows with their number written there (Tukey's outer fence).
_FAR_OUT: Final = 3.0


@styled
def isoflop(
    fit: Mapping[str, Any],
    vertices: pd.DataFrame,
    profiles: pd.DataFrame,
    *,
    family_label: str,
    target_flops: float,
    loss_label: str = "Validation loss",
    params_label: str = "Parameters",
    tokens_label: str = "Tokens",
    draws: pd.DataFrame | None = None,
    estimators: pd.DataFrame | None = None,
    synthetic: bool = False,
) -> Figure:
    """Loss against params at fixed compute (left), valley bottoms N (centre) and D (right).

    `fit` is the JSON of an isoFLOP fit; `vertices` has one row per budget, `profiles` one per run
    and budget; `draws` (columns a, N_coef, b, D_coef) adds 80 % bands; `estimators` of the fit adds
    the bias-corrected laws, and the vertices' corrected columns, where there are any, crosses.
    Budgets that the fit left out, and runs that belong to none, are hollow and grey; the vertices
    of budgets that a check flags are half filled; runs of far higher loss than all others are
    arrows at the upper edge, and counted there. The green guides stand at `target_flops`.
    Raises FloplineError for a target that is not positive and for tables without rows.

    After Hoffmann et al. 2022 (arXiv 2203.15556), Fig. 3.
    """
    target = check_target(target_flops)
    if vertices.empty or profiles.empty:
        raise FloplineError(
            f"The isoFLOP fit of family '{family_label}' has no budget to draw: "
            "add budgets or take isoflop out of `laws`."
        )
    budgets = vertices.sort_values("budget_flops", ignore_index=True)
    if "flagged" not in budgets:
        budgets = budgets.assign(flagged=False)
    colors = dict(zip(budgets["budget_flops"], mako(len(budgets)), strict=True))
    quantities = params_quantity(params_label), tokens_quantity(tokens_label)
    laws = [corrected_law(estimators, quantity) for quantity in quantities]
    # Two laws need a second line above their panels.
    top_in = 0.26 if laws == [None, None] else 0.36
    figure = new_figure(PAGE_WIDTH_IN, 2.49 + top_in)
    valleys, *panels = row_of_axes(figure, (2.28, 1.66, 1.66), (0.44, 0.52, 0.52), 0.44, top_in)
    _draw_valleys(valleys, budgets, profiles, colors, loss_label, params_label)
    valleys.set_title(family_label)
    for axes, quantity, law in zip(panels, quantities, laws, strict=True):
        _draw_vertices(axes, fit, budgets, quantity, colors, target, draws, law)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _draw_valleys(
    axes: Axes,
    budgets: pd.DataFrame,
    profiles: pd.DataFrame,
    colors: Mapping[float, str],
    loss_label: str,
    params_label: str,
) -> None:
    kept = profiles[np.isfinite(profiles["params"]) & np.isfinite(profiles["loss"])]
    kept = kept.sort_values(["budget_flops", "params", "tokens", "run"])
    sizes, losses = kept["params"].to_numpy(float), kept["loss"].to_numpy(float)
    x = log_pad(sizes.min(), sizes.max(), 0.07, 0.07)
    low = float(np.nanmin([losses.min(), *budgets["loss"][budgets["used"]]]))
    top = _top(losses)
    pad = 0.06 * (top - low or 0.1)
    y = (low - pad, top + pad)
    axes.set(xscale="log", xlim=x, xlabel=params_label, ylabel=loss_label)
    width_pt = axes.get_window_extent().width / axes.figure.dpi * 72
    set_log_ticks(axes.xaxis, *x, width_pt, humanise, "width")
    axes.set_ylim(*y)
    drawn = [
        _draw_profile(axes, row, kept[kept["budget_flops"] == row["budget_flops"]], colors)
        for _, row in budgets.iterrows()
    ]
    lines = [line for profile in drawn for line in profile]
    loose = kept[kept["budget_flops"].isna()]
    strays = loose["params"].to_numpy(float), loose["loss"].to_numpy(float)
    _draw_points(axes, *strays, GREY, filled=False)
    lines.append(strays)
    obstacles = np.concatenate([trace(axes, *line) for line in lines])
    beyond = losses > top
    if beyond.any():
        edge = np.full(beyond.sum(), y[1] - 0.3 * pad)
        axes.plot(sizes[beyond], edge, "^", color=INK, ms=3.6, mew=0, zorder=6, gid="beyond")
        obstacles = np.concatenate([obstacles, trace(axes, sizes[beyond], edge, join=False)])
        said = f"▲ {count(int(beyond.sum()), 'run')} above, up to {significant(losses.max(), 3)}"
        obstacles = np.concatenate([obstacles, _write_on_top(axes, said, obstacles)])
    _add_budgets(axes, budgets, colors, obstacles)


def _write_on_top(axes: Axes, said: str, obstacles: Floats) -> Floats:
    """Write `said` near the upper edge where nothing is hidden; returns the place it takes."""
    text = axes.text(0, 0, said, transform=axes.transAxes, fontsize=SMALL_PT)
    size, gap = size_in(axes, text), margin_of(axes)
    rows = 1 - size[1] - gap[1] * np.arange(1, 9)
    spots = [(float(x), float(y)) for y in rows for x in np.arange(1 - size[0] - gap[0], 0, -0.02)]
    spot = clear_spot(size, obstacles, spots, margin_of(axes, 2.0)) or spots[0]
    text.set_position(spot)
    return filled(size, spot)


def _top(losses: Floats) -> float:
    """The highest loss that the axis must hold: one diverged run must not flatten every valley."""
    low, high = np.quantile(losses, [0.25, 0.75])
    return float(losses[losses <= high + _FAR_OUT * (high - low)].max())


def _draw_profile(
    axes: Axes, vertex: pd.Series, profile: pd.DataFrame, colors: Mapping[float, str]
) -> list[tuple[Floats, Floats]]:
    """Draw one budget; returns the lines drawn, as data, for those who must keep clear of them."""
    used = bool(vertex["used"])
    color = colors[vertex["budget_flops"]] if used else GREY
    mean = profile.groupby("params", sort=True)["loss"].mean()
    valley = mean.index.to_numpy(float), mean.to_numpy(float)
    points = profile["params"].to_numpy(float), profile["loss"].to_numpy(float)
    lines = [valley, points]
    axes.plot(*valley, "-", color=color, zorder=2 + used, gid="profile")
    _draw_points(axes, *points, color, filled=used)
    curve = _parabola(vertex, profile)
    if curve is not None:
        axes.plot(*curve, "--", color=color, zorder=2 + used, gid="parabola")
        lines.append(curve)
    axes.plot(
        vertex["params"],
        vertex["loss"],
        "D",
        ms=3.8,
        mec=INK if used else GREY,
        mew=0.6,
        zorder=5,
        gid="vertex",
        **_filling(color, used, bool(vertex["flagged"])),
    )
    return lines


def _filling(color: str, used: bool, flagged: bool) -> dict[str, Any]:
    """Marker style of a vertex: full, half full where flagged, hollow where not used."""
    if used and flagged:
        return {"fillstyle": "bottom", "mfc": color, "mfcalt": "white"}
    return {"mfc": color if used else "white"}


def _draw_points(axes: Axes, params: Floats, losses: Floats, color: str, filled: bool) -> None:
    face = color if filled else "white"
    axes.plot(
        params, losses, "o", mfc=face, mec=color, mew=0.7, zorder=4 if filled else 2.1, gid="runs"
    )


def _parabola(vertex: pd.Series, profile: pd.DataFrame) -> tuple[Floats, Floats] | None:
    """The fitted parabola on both sides past the data, as (params, loss)."""
    terms = vertex[["centre_ln_params", "c0", "c1", "c2"]].to_numpy(dtype=float)
    if profile.empty or not np.isfinite(terms).all():
        return None
    low, high = np.log(profile["params"].min()), np.log(profile["params"].max())
    past = _PAST_DATA * (high - low)
    ln_params = np.linspace(low - past, high + past, 100)
    centre, c0, c1, c2 = terms
    x = ln_params - centre
    return np.exp(ln_params), c0 + c1 * x + c2 * x**2


def _add_budgets(
    axes: Axes,
    budgets: pd.DataFrame,
    colors: Mapping[float, str],
    obstacles: Floats,
) -> None:
    nominal = budgets["nominal_flops"].fillna(budgets["budget_flops"])
    used, flagged = (budgets[name].astype(bool) for name in ("used", "flagged"))
    texts = [
        name + (" (flagged)" if doubt else "") if ok else f"{name} (unused)"
        for name, ok, doubt in zip(flops_labels(list(nominal)), used, flagged, strict=True)
    ]
    handles = [
        Line2D([], [], color=c, marker="o", mec=c, label=t, **_filling(c, ok, doubt))
        for c, ok, doubt, t in zip(
            np.where(used, [colors[b] for b in budgets["budget_flops"]], GREY),
            used,
            flagged,
            texts,
            strict=True,
        )
    ]
    add_legend(axes, handles, obstacles)


def _draw_vertices(
    axes: Axes,
    fit: Mapping[str, Any],
    budgets: pd.DataFrame,
    quantity: Quantity,
    colors: Mapping[float, str],
    target: float,
    draws: pd.DataFrame | None,
    corrected: Law | None,
) -> None:
    flops = budgets["budget_flops"].to_numpy(float)
    names = (quantity.key, f"{quantity.key}_lo80", f"{quantity.key}_hi80")
    values = budgets[list(names)].to_numpy(float).T
    used, flagged = (budgets[name].to_numpy(bool) for name in ("used", "flagged"))
    # The vertex of a bad parabola may lie anywhere; outside its own sizes it sets no limits.
    shown = used | budgets["inside"].to_numpy(bool)
    unbiased = np.full(flops.size, np.nan)
    if corrected is not None and f"{quantity.key}_corrected" in budgets:
        unbiased = np.where(used, budgets[f"{quantity.key}_corrected"].to_numpy(float), np.nan)
    points = np.vstack([np.where(shown, values, np.nan), unbiased])
    draw_law_panel(axes, fit, quantity, flops, points, target, draws, corrected)
    for budget, (value, low, high), ok, doubt in zip(flops, values.T, used, flagged, strict=True):
        color = colors[budget] if ok else GREY
        if np.isfinite([low, high]).all():
            axes.plot([budget] * 2, [low, high], "-", color=color, lw=1.3, zorder=3, gid="interval")
        axes.plot(
            budget,
            value,
            "o",
            ms=4.2,
            mec=INK if ok else GREY,
            mew=0.5,
            zorder=3.5,
            gid="vertex",
            **_filling(color, bool(ok), bool(doubt)),
        )
    if np.isfinite(unbiased).any():
        (marks,) = axes.plot(flops, unbiased, CORRECTED_MARKER, color=INK, ms=5.0, mew=0.7)
        marks.set(zorder=3.8, gid="corrected vertex")


def corrected_law(estimators: pd.DataFrame | None, quantity: Quantity) -> Law | None:
    """The bias-corrected law of `quantity` from a fit's estimators, None where there is none."""
    if estimators is None:
        return None
    rows = estimators[(estimators["estimator"] == CORRECTED) & (estimators["status"] != FAILED)]
    if rows.empty:
        return None
    row = rows.iloc[0]
    exponent = float(row[quantity.exponent])
    # The table states the law by its value at a target.
    scale = float(np.log(row[quantity.key]) - exponent * np.log(row["budget_flops"]))
    return Law(exponent, scale, *(float(row[f"{quantity.exponent}_{end}"]) for end in INNER))
