"""The held-out ladder: losses foretold and seen, what foretold sizes waste, and N as data grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopline.figures.panels import (
    BASELINE_STYLE,
    LAW_STYLES,
    LawStyle,
    axes_at,
    law_legend,
    log_axis,
    say_instead,
)
from flopline.figures.placing import add_legend, trace
from flopline.figures.style import (
    GREY,
    PAGE_WIDTH_IN,
    SMALL_PT,
    mako,
    mark_synthetic,
    new_figure,
    styled,
)
from flopline.figures.ticks import flops_labels, power_label
from flopline.numbers import flops_label
from flopline.schema import LAWS

BASELINE: Final = ("baseline", "best_run")
"""The baseline that says a size as well as a loss; told apart by grey."""
MOST_STEPS: Final = 6
"""Steps that the panel of losses shows; of more, evenly chosen ones."""


@styled
def ladder(
    steps: pd.DataFrame | None,
    predictions: pd.DataFrame | None,
    seen_by_all: Mapping[str, Mapping[str, Any]],
    *,
    target_flops: float,
    largest_flops: float,
    family_label: str,
    loss_label: str = "Validation loss",
    absent: str = "no ladder was climbed",
    synthetic: bool = False,
) -> Figure:
    """Three panels from the tables `steps` and `predictions` of `audit.ladder`.

    Left: error of the parametric law on the loss of every run above each step, with 95 % bars.
    Centre: compute that the N foretold by each law wastes at larger budgets, by step. Right: N at
    `target_flops` as the largest budget used grows, with 80 % bars; last, at `largest_flops`, with
    all runs: `seen_by_all` maps a law to the estimate of N of its own fit. A panel without data
    says why: `absent`.
    """
    figure = new_figure(PAGE_WIDTH_IN, 2.75)
    left = axes_at(figure, 0.56, 0.5, 1.94, 1.84)
    centre = axes_at(figure, 3.0, 0.5, 1.68, 1.84)
    right = axes_at(figure, 5.3, 0.5, 1.82, 1.84)
    titles = (f"{family_label}: loss", "Waste at larger budgets", _target_title(target_flops))
    kept = None if steps is None else _main_steps(steps)
    if kept is None or kept.empty:
        for axes, title in zip((left, centre, right), titles, strict=True):
            say_instead(axes, title, absent)
        return _signed(figure, synthetic)
    laws = [law for law in (*LAWS, BASELINE[0]) if (kept["law"] == law).any()]
    law_legend(figure, [_style(law) for law in laws], PAGE_WIDTH_IN - 0.08, 2.7)
    if predictions is None or "log_error" not in predictions or predictions.empty:
        say_instead(left, titles[0], "no step of the parametric law could be fitted")
    else:
        _draw_errors(left, predictions, loss_label)
    wasted = kept[np.isfinite(kept["wasted_percent"].astype(float))]
    if wasted.empty:
        say_instead(centre, titles[1], "no larger budget shows its own optimum to judge by")
    else:
        _draw_waste(centre, wasted, laws)
    _draw_drift(right, kept, seen_by_all, largest_flops)
    for axes, title in zip((left, centre, right), titles, strict=True):
        axes.set_title(title)
    return _signed(figure, synthetic)


def _signed(figure: Figure, synthetic: bool) -> Figure:
    if synthetic:
        mark_synthetic(figure)
    return figure


def _target_title(target_flops: float) -> str:
    return f"N at {flops_label(target_flops)} FLOPs"


def _style(law: str) -> LawStyle:
    return LAW_STYLES.get(law, BASELINE_STYLE)


def _main_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """The steps of each law's main line, which the ladder lists first, and of the baseline."""
    steps = steps[np.isfinite(steps["target_params"].astype(float))]
    if "estimator" not in steps:
        return steps
    first = steps.groupby("law", sort=False)["estimator"].transform("first")
    mine = steps["law"].isin(list(LAW_STYLES)) & (steps["estimator"] == first)
    base = (steps["law"] == BASELINE[0]) & (steps["estimator"] == BASELINE[1])
    return steps[mine | base]


def _draw_errors(axes: Axes, predictions: pd.DataFrame, loss_label: str) -> None:
    rows = predictions[np.isfinite(predictions["log_error"])]
    rows = rows.sort_values(["largest_flops", "loss", "run"])
    every = np.unique(rows["largest_flops"])
    shown = every[np.unique(np.linspace(0, len(every) - 1, MOST_STEPS).round().astype(int))]
    colors = mako(len(shown))
    handles, obstacles = [], []
    names = flops_labels(list(shown))
    for step, color, name in zip(shown, colors, names, strict=True):
        mine = rows[rows["largest_flops"] == step]
        loss = mine["loss"].to_numpy(dtype=float)
        error = 100 * np.expm1(mine["log_error"].to_numpy(dtype=float))
        if "predicted_lo95" in mine:
            low, high = (
                100 * (mine[f"predicted_{end}95"].to_numpy(dtype=float) / loss - 1)
                for end in ("lo", "hi")
            )
            axes.vlines(loss, low, high, color=color, lw=0.5, alpha=0.55, zorder=2, gid="interval")
            obstacles += [(loss, low), (loss, high)]
        axes.plot(loss, error, "o", ms=2.4, mew=0, color=color, zorder=3, gid="errors")
        obstacles.append((loss, error))
        handles.append(Line2D([], [], color=color, marker="o", ls="", label=f"≤ {name}"))
    axes.axhline(0.0, color="#555555", lw=0.8, zorder=1.5)
    axes.set(xlabel=f"{loss_label}, seen", ylabel="Foretold less seen, %")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    places = np.concatenate([trace(axes, *pair, join=False) for pair in obstacles])
    add_legend(axes, handles, places, most=3)


def _draw_waste(axes: Axes, steps: pd.DataFrame, laws: list[str]) -> None:
    x = log_axis(axes, "x", steps["largest_flops"], power_label, 0.1)
    for law in laws:
        mine = steps[steps["law"] == law]
        look = _style(law)
        axes.plot(
            mine["largest_flops"], mine["wasted_percent"], look.dashes, color=look.color,
            marker=look.marker, ms=3.6, lw=1.2, zorder=2 if law == BASELINE[0] else 3, gid=law,
        )  # fmt: skip
    axes.set(xlabel="Fitted up to, FLOPs", ylabel="Compute wasted, %", xlim=x)
    axes.set_ylim(bottom=min(0.0, -0.02 * float(steps["wasted_percent"].max())))


def _draw_drift(
    axes: Axes,
    steps: pd.DataFrame,
    seen_by_all: Mapping[str, Mapping[str, Any]],
    largest_flops: float,
) -> None:
    final = {law: e for law, e in seen_by_all.items() if e.get("point") is not None}
    values = [steps[c] for c in ("target_params", "target_params_lo80", "target_params_hi80")]
    ends = [float(e[k]) for e in final.values() for k in ("point", "lo80", "hi80") if e[k]]
    at = [*steps["largest_flops"], largest_flops]
    log_axis(axes, "x", at, power_label, 0.1)
    log_axis(axes, "y", np.concatenate([*[v.to_numpy(dtype=float) for v in values], ends]))
    laws = [law for law in (*LAW_STYLES, BASELINE[0]) if (steps["law"] == law).any()]
    for number, law in enumerate(laws):
        mine, look = steps[steps["law"] == law], _style(law)
        # Bars side by side: laws share their steps.
        shift = np.exp(0.02 * (number - (len(laws) - 1) / 2) * np.log(max(at) / min(at)))
        x = mine["largest_flops"].to_numpy(dtype=float) * shift
        axes.vlines(
            x, mine["target_params_lo80"], mine["target_params_hi80"], color=look.color, lw=1.0,
            gid="interval",
        )  # fmt: skip
        line = [x, mine["target_params"].to_numpy(dtype=float)]
        if law in final:
            e, end = final[law], largest_flops * shift
            line = [np.append(line[0], end), np.append(line[1], float(e["point"]))]
            if e["lo80"] is not None:
                axes.vlines(end, e["lo80"], e["hi80"], color=look.color, lw=1.0, gid="interval")
        axes.plot(
            *line, look.dashes, color=look.color, marker=look.marker, ms=3.6, lw=1.2, zorder=3,
            mfc="white" if law == BASELINE[0] else look.color, gid=law,
        )  # fmt: skip
    axes.axvline(largest_flops, color=GREY, lw=0.7, zorder=1)
    axes.set_title("all runs", loc="right", color="#555555", fontsize=SMALL_PT)
    axes.set(xlabel="Fitted up to, FLOPs", ylabel="Parameters")
