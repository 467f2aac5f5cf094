"""The isoFLOP figure: loss valleys, and the two power laws through their bottoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from flopline.figures.lawpanel import (
    CORRECTED_MARKER,
    Law,
    Quantity,
    check_target,
    draw_law_panel,
    no_law,
    params_quantity,
    tokens_quantity,
)
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.placing import (
    add_legend,
    clear_spot,
    filled,
    margin_of,
    size_in,
    trace,
    write_reason,
)
from flopline.figures.style import (
    GREY,
    INK,
    MAKO,
    SMALL_PT,
    is_dense,
    mako,
    mark_synthetic,
    styled,
)
from flopline.figures.ticks import flops_labels, log_pad, set_log_ticks
from flopline.fits.result import FAILED
from flopline.numbers import count, humanise, significant

Floats = NDArray[np.float64]
Looks = Mapping[float, tuple[str, str]]

CORRECTED: Final = "corrected"
"""Name of the estimator whose laws are drawn beside the main ones (docs/isoflop.md)."""
INNER: Final = ("lo80", "hi80")

# How far a parabola is drawn past the outermost sizes, as a share of their distance in logs.
_PAST_DATA: Final = 0.22
# Losses farther above the upper quartile than this many quartile distances run out of the axis,
# as arrows with their number written there (Tukey's outer fence).
_FAR_OUT: Final = 3.0
# Up to as many budgets as published, lightness alone tells neighbours apart; beyond, shapes help.
_ROUND: Final = len(MAKO)
_SHAPES: Final = ("o", "s", "^")
_LOSS_STEPS: Final = (1, 2, 5, 10)


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
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Loss against params at fixed compute (left), valley bottoms N (centre) and D (right).

    `fit` is the JSON of an isoFLOP fit; `vertices` has one row per budget, `profiles` one per run
    and budget; `draws` (columns a, N_coef, b, D_coef) adds 80 % bands; `estimators` of the fit adds
    the bias-corrected laws, and the vertices' corrected columns, where there are any, crosses.
    Budgets that the fit left out, and runs that belong to none, are hollow and grey; the vertices
    of budgets that a check flags are half filled; runs of far higher loss than all others are
    arrows at the upper edge, and counted there. The green guides stand at `target_flops`. Without
    budgets or a usable law the panels say why. Raises FloplineError for a target that is not
    positive and for a `width` that is none of layout.WIDTHS_IN.

    After Hoffmann et al. 2022 (arXiv 2203.15556), Fig. 3.
    """
    target = check_target(target_flops)
    quantities = params_quantity(params_label), tokens_quantity(tokens_label)
    laws = [corrected_law(estimators, quantity) for quantity in quantities]
    # Two laws need a second line above their panels.
    top = 0.26 if laws == [None, None] else 0.36
    boxes = [Box(2.20, 2.05), Box(1.66, 2.05, top=top)]
    figure, (valleys, *panels) = laid_out(width, [*boxes, Box(1.66, 2.05, right=0.12, top=top)])
    valleys.set_title(family_label)
    if vertices.empty or profiles.empty:
        for axes in (valleys, *panels):
            axes.set(xticks=[], yticks=[])
            write_reason(axes, no_law(fit))
    else:
        budgets = vertices.sort_values("budget_flops", ignore_index=True)
        if "flagged" not in budgets:
            budgets = budgets.assign(flagged=False)
        looks = _looks(budgets)
        _draw_valleys(valleys, budgets, profiles, looks, loss_label, params_label)
        for axes, quantity, law in zip(panels, quantities, laws, strict=True):
            _draw_vertices(axes, fit, budgets, quantity, looks, target, draws, law)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _looks(budgets: pd.DataFrame) -> dict[float, tuple[str, str]]:
    """Colour and marker of every budget."""
    count = len(budgets)
    shapes = _SHAPES if count > _ROUND else _SHAPES[:1]
    return {
        budget: (color, shapes[i % len(shapes)])
        for i, (budget, color) in enumerate(zip(budgets["budget_flops"], mako(count), strict=True))
    }


def _draw_valleys(
    axes: Axes,
    budgets: pd.DataFrame,
    profiles: pd.DataFrame,
    looks: Looks,
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
    axes.yaxis.set_major_locator(MaxNLocator(9, steps=_LOSS_STEPS))
    dense = is_dense(len(kept))
    drawn = [
        _draw_profile(axes, row, kept[kept["budget_flops"] == row["budget_flops"]], looks, dense)
        for _, row in budgets.iterrows()
    ]
    lines = [line for profile in drawn for line in profile]
    loose = kept[kept["budget_flops"].isna()]
    strays = loose["params"].to_numpy(float), loose["loss"].to_numpy(float)
    _draw_points(axes, *strays, GREY, "o", filled=False, dense=dense)
    lines.append(strays)
    obstacles = np.concatenate([trace(axes, *line) for line in lines])
    beyond = losses > top
    if beyond.any():
        edge = np.full(beyond.sum(), y[1] - 0.3 * pad)
        axes.plot(sizes[beyond], edge, "^", color=INK, ms=3.6, mew=0, zorder=6, gid="beyond")
        obstacles = np.concatenate([obstacles, trace(axes, sizes[beyond], edge, join=False)])
        said = f"▲ {count(int(beyond.sum()), 'run')} above, up to {significant(losses.max(), 3)}"
        obstacles = np.concatenate([obstacles, _write_on_top(axes, said, obstacles)])
    _add_budgets(axes, budgets, looks, obstacles, strays=not loose.empty)


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
    axes: Axes, vertex: pd.Series, profile: pd.DataFrame, looks: Looks, dense: bool
) -> list[tuple[Floats, Floats]]:
    """Draw one budget; returns the lines drawn, as data, for those who must keep clear of them."""
    used = bool(vertex["used"])
    color, shape = looks[vertex["budget_flops"]]
    color = color if used else GREY
    mean = profile.groupby("params", sort=True)["loss"].mean()
    valley = mean.index.to_numpy(float), mean.to_numpy(float)
    points = profile["params"].to_numpy(float), profile["loss"].to_numpy(float)
    lines = [valley, points]
    axes.plot(*valley, "-", color=color, zorder=2 + used, gid="profile", rasterized=dense)
    _draw_points(axes, *points, color, shape, filled=used, dense=dense)
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
        gid="valley",
        **_filling(color, used, bool(vertex["flagged"])),
    )
    return lines


def _filling(color: str, used: bool, flagged: bool) -> dict[str, Any]:
    """Marker style of a vertex: full, half full where flagged, hollow where not used."""
    if used and flagged:
        return {"fillstyle": "bottom", "mfc": color, "mfcalt": "white"}
    return {"mfc": color if used else "white"}


def _draw_points(
    axes: Axes, params: Floats, losses: Floats, color: str, shape: str, *, filled: bool, dense: bool
) -> None:
    face = color if filled else "white"
    axes.plot(
        params, losses, shape, ms=1.2 if dense else 3.0, mfc=face, mec=color,
        mew=0.3 if dense else 0.7, zorder=4 if filled else 2.1, gid="runs", rasterized=dense,
    )  # fmt: skip


def _parabola(vertex: pd.Series, profile: pd.DataFrame) -> tuple[Floats, Floats] | None:
    """The fitted parabola on both sides past the data, as (params, loss)."""
    terms = vertex[["centre_ln_params", "c0", "c1", "c2"]].to_numpy(dtype=float)
    if profile.empty or not np.isfinite(terms).all():
        return None
    low, high = np.log(profile["params"].min()), np.log(profile["params"].max())
    past = _PAST_DATA * (high - low)
    ln_params = np.linspace(low - past, high + past, 64)
    centre, c0, c1, c2 = terms
    x = ln_params - centre
    return np.exp(ln_params), c0 + c1 * x + c2 * x**2


def _add_budgets(
    axes: Axes,
    budgets: pd.DataFrame,
    looks: Looks,
    obstacles: Floats,
    strays: bool,
) -> None:
    nominal = budgets["nominal_flops"].fillna(budgets["budget_flops"])
    used, flagged = (budgets[name].astype(bool) for name in ("used", "flagged"))
    texts = [
        name if ok else f"{name} (unused)"
        for name, ok in zip(flops_labels(list(nominal)), used, strict=True)
    ]
    handles = [
        _key(color if ok else GREY, shape, t, **_filling(color if ok else GREY, ok, doubt))
        for (color, shape), ok, doubt, t in zip(looks.values(), used, flagged, texts, strict=True)
    ]
    # A word beside every flagged budget would make the legend too wide for its corner.
    if (used & flagged).any():
        handles.append(_key("none", "o", "flagged", mec=INK, **_filling(GREY, True, True)))
    if strays:
        handles.append(_key("none", "o", "no budget", mec=GREY, mfc="white", mew=0.7))
    add_legend(axes, handles, obstacles)


def _key(color: str, shape: str, text: str, **marker: Any) -> Line2D:
    return Line2D([], [], color=color, marker=shape, label=text, **{"mec": color, **marker})


def _draw_vertices(
    axes: Axes,
    fit: Mapping[str, Any],
    budgets: pd.DataFrame,
    quantity: Quantity,
    looks: Looks,
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
        color, shape = looks[budget]
        color = color if ok else GREY
        if np.isfinite([low, high]).all():
            axes.plot([budget] * 2, [low, high], "-", color=color, lw=1.3, zorder=3, gid="interval")
        axes.plot(
            budget,
            value,
            shape,
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
