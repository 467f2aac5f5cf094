"""The left panel of the isoFLOP figure: one valley of losses per budget, with its parabola."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from flopline.documents import number_in
from flopline.figures.spots import add_legend, clear_spot, filled, margin_of, size_in, trace
from flopline.figures.style import GREY, INK, MAKO, SMALL_PT, is_dense, mako
from flopline.figures.ticks import flops_labels, log_pad, set_log_ticks
from flopline.figures.unseen import NOTHING, Unseen, draw_forecast, draw_held, handles_of
from flopline.numbers import count, humanise, significant

Floats = NDArray[np.float64]
Looks = Mapping[float, tuple[str, str]]

# How far a parabola is drawn past the outermost sizes, as a share of their distance in logs.
_PAST_DATA: Final = 0.22
# Losses farther above the upper quartile than this many quartile distances run out of the axis,
# as arrows with their number written there (Tukey's outer fence).
_FAR_OUT: Final = 3.0
# Up to as many budgets as published, lightness alone tells neighbours apart; beyond, shapes help.
_ROUND: Final = len(MAKO)
_SHAPES: Final = ("o", "s", "^")
_LOSS_STEPS: Final = (1, 2, 5, 10)
# A legend of more hides what it explains; light to dark, those between explain themselves.
_MOST_NAMED: Final = 24


def looks_of(budgets: pd.DataFrame) -> dict[float, tuple[str, str]]:
    """Colour, light to dark, and marker of every budget by its FLOPs."""
    shapes = _SHAPES if len(budgets) > _ROUND else _SHAPES[:1]
    colors = mako(len(budgets))
    return {
        budget: (color, shapes[i % len(shapes)])
        for i, (budget, color) in enumerate(zip(budgets["budget_flops"], colors, strict=True))
    }


def draw_valleys(
    axes: Axes,
    budgets: pd.DataFrame,
    profiles: pd.DataFrame,
    looks: Looks,
    loss_label: str,
    params_label: str,
    unseen: Unseen = NOTHING,
) -> None:
    """Runs, parabolas and vertices of `budgets` (a fit's vertices) in the colours of `looks`.

    Of `unseen` the runs held out are drawn, and the forecast where the target's valley has its
    bottom.
    """
    kept = profiles[np.isfinite(profiles["params"]) & np.isfinite(profiles["loss"])]
    kept = kept.sort_values(["budget_flops", "params", "tokens", "run"])
    sizes, losses = kept["params"].to_numpy(float), kept["loss"].to_numpy(float)
    held = unseen.column("params"), unseen.column("loss")
    unseen = unseen.placed("params")
    size, ends = number_in(unseen.params), unseen.ends("loss")
    foreseen = [size] if ends else []
    across = [*sizes, *held[0], *foreseen]
    x = log_pad(min(across), max(across), 0.07, 0.07)
    low = float(np.nanmin([losses.min(), *budgets["loss"][budgets["used"]], *held[1]]))
    low = min([low, *(ends * len(foreseen))])
    top = max([_top(losses), *held[1]])
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
    if foreseen:
        draw_forecast(axes, size, unseen.loss)
        lines.append((np.full(len(ends), size), np.array(ends)))
    draw_held(axes, *held)
    obstacles = np.concatenate([trace(axes, *line) for line in lines])
    obstacles = np.concatenate([obstacles, trace(axes, *held, join=False)])
    beyond = losses > top
    if beyond.any():
        edge = np.full(beyond.sum(), y[1] - 0.3 * pad)
        axes.plot(sizes[beyond], edge, "^", color=INK, ms=3.6, mew=0, zorder=6, gid="beyond")
        obstacles = np.concatenate([obstacles, trace(axes, sizes[beyond], edge, join=False)])
        text = f"▲ {count(int(beyond.sum()), 'run')} above, up to {significant(losses.max(), 3)}"
        obstacles = np.concatenate([obstacles, _write_on_top(axes, text, obstacles)])
    marks = handles_of(unseen, " at the target")
    _add_budgets(axes, budgets, looks, obstacles, marks, strays=not loose.empty)


def _write_on_top(axes: Axes, words: str, obstacles: Floats) -> Floats:
    """Write `words` near the upper edge where nothing is hidden; returns the place it takes."""
    text = axes.text(0, 0, words, transform=axes.transAxes, fontsize=SMALL_PT)
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
        **filling(color, used, bool(vertex["flagged"])),
    )
    return lines


class MarkerFill(TypedDict, total=False):
    """How a marker is filled, as Matplotlib's Line2D takes it."""

    fillstyle: Literal["bottom"]
    mfc: str
    mfcalt: str


def filling(color: str, used: bool, flagged: bool) -> MarkerFill:
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
    """The fitted parabola on both sides past the runs that it is fitted to, as (params, loss)."""
    terms = vertex[["centre_ln_params", "c0", "c1", "c2"]].to_numpy(dtype=float)
    if profile.empty or not np.isfinite(terms).all():
        return None
    low = np.log(vertex.get("near_min", profile["params"].min()))
    high = np.log(vertex.get("near_max", profile["params"].max()))
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
    marks: Sequence[Line2D],
    strays: bool,
) -> None:
    nominal = budgets["nominal_flops"].fillna(budgets["budget_flops"])
    used, flagged = (budgets[name].astype(bool) for name in ("used", "flagged"))
    texts = [
        name if ok else f"{name} (unused)"
        for name, ok in zip(flops_labels(list(nominal)), used, strict=True)
    ]
    handles = [
        _key(color if ok else GREY, shape, t, **filling(color if ok else GREY, ok, doubt))
        for (color, shape), ok, doubt, t in zip(looks.values(), used, flagged, texts, strict=True)
    ]
    if len(handles) > _MOST_NAMED:
        named = np.linspace(0, len(handles) - 1, _MOST_NAMED // 2).round().astype(int)
        between = len(handles) - len(named)
        handles = [*(handles[i] for i in named), _key("none", "", f"and {between} between")]
    # A word beside every flagged budget would make the legend too wide for its corner.
    if (used & flagged).any():
        handles.append(_key("none", "o", "flagged", mec=INK, **filling(GREY, True, True)))
    if strays:
        handles.append(_key("none", "o", "no budget", mec=GREY, mfc="white", mew=0.7))
    add_legend(axes, [*handles, *marks], obstacles, title="Budget, FLOPs")


def _key(color: str, shape: str, text: str, **marker: Any) -> Line2D:
    return Line2D([], [], color=color, marker=shape, label=text, **{"mec": color, **marker})
