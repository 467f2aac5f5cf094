"""One power law of compute with its points, its band and what it says at the target budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flopline.documents import EstimateJson, FitJson, number_in
from flopline.errors import FloplineError
from flopline.figures.panels import law_style
from flopline.figures.spots import (
    Spot,
    clear_spot,
    filled,
    margin_of,
    size_in,
    trace,
    write_reason,
)
from flopline.figures.style import GUIDE_GREEN, INK, SMALL_PT
from flopline.figures.ticks import (
    decades,
    log_pad,
    set_log_ticks,
    short,
)
from flopline.figures.unseen import draw_forecast
from flopline.laws.common.fit_result import FAILED
from flopline.numbers import flops_label, humanise

Floats = NDArray[np.float64]

CORRECTED_STYLE: Final = "-."
CORRECTED_MARKER: Final = "x"


@dataclass(frozen=True, slots=True)
class PanelQuantity:
    """What the y axis of a law panel shows, and where the fit keeps it."""

    key: str
    symbol: str
    exponent: str
    coefficient: str
    label: str


def params_quantity(label: str) -> PanelQuantity:
    """N_opt = N_coef C^a."""
    return PanelQuantity("params", "N", "a", "N_coef", label)


def tokens_quantity(label: str) -> PanelQuantity:
    """D_opt = D_coef C^b."""
    return PanelQuantity("tokens", "D", "b", "D_coef", label)


@dataclass(frozen=True, slots=True)
class DrawnLaw:
    """A fitted power law, quantity = exp(log_coefficient) C^exponent."""

    exponent: float
    log_coefficient: float
    low: float
    high: float

    def __call__(self, flops: Floats | float) -> Floats:
        """The quantity at `flops`."""
        return np.exp(self.log_coefficient + self.exponent * np.log(flops))

    def text(self, symbol: str = "") -> str:
        """Mathtext of the proportionality, with the 95 % interval of the exponent if any.

        Without `symbol` it is the power of C alone.
        """
        left = rf"{symbol}_{{\mathrm{{opt}}}} \propto " if symbol else ""
        words = rf"${left}C^{{{self.exponent:.2f}}}$"
        if math.isfinite(self.low) and math.isfinite(self.high):
            words += f" [{self.low:.2f}, {self.high:.2f}]".replace("-", "−")
        return words


def check_target(target_flops: float) -> float:
    """`target_flops` if it is a positive number, else FloplineError."""
    if not (math.isfinite(target_flops) and target_flops > 0):
        raise FloplineError(
            f"The target budget must be a positive number of FLOPs, but it is {target_flops}: "
            "correct it in the study file."
        )
    return float(target_flops)


def number(entries: Mapping[str, object] | None, key: str = "point") -> float:
    """An entry of an estimate, or of a certificate, from a fit JSON; NaN where there is none."""
    value = None if entries is None else entries.get(key)
    return float(value) if isinstance(value, (int, float)) else math.nan


def bracket(estimate: Any) -> str:
    """The 95 % interval of a count as figures write it behind it; empty where there is none."""
    low, high = (number(estimate, end) for end in ("lo95", "hi95"))
    return f" [{short(low)}, {short(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)


def law_of(fit: FitJson, quantity: PanelQuantity) -> DrawnLaw | None:
    """The law of `quantity` in a fit JSON, None where the fit failed or left it out."""
    parameters = fit.get("parameters", {})
    a = parameters.get(quantity.exponent)
    exponent, coefficient = number(a), number(parameters.get(quantity.coefficient))
    usable = math.isfinite(exponent) and math.isfinite(coefficient) and coefficient > 0
    if fit.get("status") == FAILED or not usable:
        return None
    return DrawnLaw(exponent, math.log(coefficient), number(a, "lo95"), number(a, "hi95"))


def no_law(fit: FitJson) -> str:
    """The reason why a fit JSON has no law, in its own words where it gives any."""
    return f"no law: {fit.get('message') or 'the fit failed'}"


def law_band(draws: pd.DataFrame | None, quantity: PanelQuantity, flops: Floats) -> Floats | None:
    """The 95 % band of the law over bootstrap draws, shape (2, flops), or None."""
    wanted = [quantity.exponent, quantity.coefficient]
    if draws is None or not set(wanted) <= set(draws.columns):
        return None
    kept = draws[wanted].to_numpy(dtype=float)
    kept = kept[np.isfinite(kept).all(axis=1) & (kept[:, 1] > 0)]
    if len(kept) < 2:
        return None
    lines = np.log(kept[:, 1])[:, None] + kept[:, :1] * np.log(flops)
    return np.asarray(np.exp(np.percentile(lines, [2.5, 97.5], axis=0)))


def draw_law_panel(
    axes: Axes,
    fit: FitJson,
    quantity: PanelQuantity,
    flops: Floats,
    values: Floats,
    target_flops: float,
    draws: pd.DataFrame | None,
    corrected: DrawnLaw | None = None,
    forecast: EstimateJson | None = None,
) -> None:
    """Set scales and limits for the points (`flops`, `values`), draw law, band, guides and texts.

    `values` may hold more rows than one, as (rows, points), for the ends of intervals; what is not
    finite is ignored. The caller draws the points themselves, before or after. A `corrected` law is
    drawn beside that of the fit, and a legend above the axes then tells the two apart. A `forecast`
    of the quantity at the target stands beside what the law says there.
    """
    law, color = law_of(fit, quantity), law_style(fit["law"]).color
    known = flops[np.isfinite(flops) & (flops > 0)]
    everything = [*known, target_flops]
    # About a decade free on both sides, as in Hoffmann et al. 2022, Fig. 3.
    x = decades(min(everything) / 9, max(everything) * 9)
    # Laws are straight here; only the band is curved.
    line_x = np.array([min(everything) / 1.5, max(everything)])
    band_x = np.geomspace(line_x[0], line_x[1], 48)
    band = None if law is None else law_band(draws, quantity, band_x)
    line_y = np.full_like(line_x, np.nan) if law is None else law(line_x)
    other_y = np.full_like(line_x, np.nan) if corrected is None else corrected(line_x)
    edges = np.empty(0) if band is None else np.ravel(band)
    ends = [number_in(forecast, end) for end in ("lo95", "hi95")]
    ends = [value for value in ends if math.isfinite(value)]
    seen = np.concatenate([np.ravel(values), line_y, other_y, edges, ends])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    y = log_pad(float(seen.min()), float(seen.max()), 0.16, 0.14) if len(seen) else (1.0, 10.0)
    _set_axes(axes, quantity, x, y)
    points = trace(axes, np.broadcast_to(flops, np.shape(values)), values, join=False)
    if law is None:
        write_reason(axes, no_law(fit), points)
        return
    if band is not None:
        axes.fill_between(band_x, *band, color=color, alpha=0.16, lw=0, zorder=1.5)
    axes.plot(line_x, line_y, "--", color=color, lw=1.2, zorder=2.5, gid="law")
    value = float(law(target_flops))
    if corrected is not None:
        axes.plot(line_x, other_y, CORRECTED_STYLE, color=INK, lw=0.9, zorder=2.6, gid="corrected")
    axes.plot([target_flops] * 2, [y[0], value], color=GUIDE_GREEN, lw=0.8, zorder=2, gid="guide")
    axes.plot([x[0], target_flops], [value] * 2, color=GUIDE_GREEN, lw=0.8, zorder=2, gid="guide")
    axes.plot(target_flops, value, "o", ms=3.4, color=GUIDE_GREEN, zorder=4)
    beside = target_flops * (x[1] / x[0]) ** 0.035
    draw_forecast(axes, beside, forecast)
    lines = [trace(axes, line_x, line_y), trace(axes, line_x, other_y)]
    if band is not None:
        lines += [trace(axes, band_x, edge) for edge in band]
    lines.append(trace(axes, [x[0], target_flops, target_flops], [value, value, y[0]]))
    lines.append(trace(axes, [beside] * len(ends), ends))
    obstacles = np.concatenate([points, *lines])
    at_target = next((t for t in fit["targets"] if _same(t["budget_flops"], target_flops)), None)
    stated = {} if at_target is None else {**at_target}
    words = f"{short(value)}{bracket(stated.get(quantity.key))}"
    _write(axes, law, corrected, quantity.symbol, words, value, target_flops, obstacles, color)


def _set_axes(
    axes: Axes, quantity: PanelQuantity, x: tuple[float, float], y: tuple[float, float]
) -> None:
    axes.set(xscale="log", yscale="log", xlim=x, ylim=y, xlabel="FLOPs", ylabel=quantity.label)
    box = axes.get_window_extent()
    per_pt = axes.figure.dpi / 72
    set_log_ticks(
        axes.xaxis, *x, box.width / per_pt, flops_label, "width", decades_first=True, gap_pt=6.0
    )
    set_log_ticks(axes.yaxis, *y, box.height / per_pt, humanise, "height", decades_first=True)


def _write(
    axes: Axes,
    law: DrawnLaw,
    corrected: DrawnLaw | None,
    symbol: str,
    words: str,
    value: float,
    target: float,
    obstacles: Floats,
    color: str,
) -> None:
    """`words` of the value and the budget in green along the guides; the law where all is free."""
    at = (axes.transData + axes.transAxes.inverted()).transform([(target, value)])[0]
    gap = margin_of(axes, 2.5)
    taken = obstacles

    def put(text: str, spots: Any, **kwargs: Any) -> bool:
        nonlocal taken
        artist = axes.text(0, 0, text, transform=axes.transAxes, va="bottom", **kwargs)
        size = size_in(axes, artist)
        spot = clear_spot(size, taken, spots(size), margin_of(axes, 2.0))
        if spot is None:
            artist.remove()
            return False
        artist.set_position(spot)
        taken = np.concatenate([taken, filled(size, spot)])
        return True

    def beside_level(size: Spot) -> Iterator[Spot]:
        for y in (at[1] + gap[1], at[1] - gap[1] - size[1]):
            yield from ((x, y) for x in np.arange(gap[0], at[0] - size[0], 0.04))
        yield from ((at[0] + 2 * gap[0], y) for y in (at[1] + gap[1], at[1] - gap[1] - size[1]))
        yield from ((at[0] - size[0] / 2, at[1] + k * gap[1]) for k in range(2, 20))

    def beside_plumb(size: Spot) -> Iterator[Spot]:
        for x in (at[0] + gap[0], at[0] - gap[0] - size[0]):
            yield from ((x, y) for y in np.arange(gap[1], at[1] - size[1], 0.04))

    def anywhere(size: Spot) -> Iterator[Spot]:
        for y in np.arange(2 * gap[1], 0.5, 0.05):
            yield from ((x, y) for x in np.arange(1 - gap[0] - size[0], 0, -0.01))
        for y in np.arange(1 - gap[1] - size[1], 0.5, -0.05):
            yield from ((x, y) for x in np.arange(gap[0], 1 - size[0], 0.04))

    style: dict[str, Any] = {"color": GUIDE_GREEN, "weight": "bold", "fontsize": 7.5}
    if not put(words, beside_level, **style) and not put(short(value), beside_level, **style):
        axes.text(at[0], at[1], short(value), transform=axes.transAxes, **style)
    put(flops_label(target), beside_plumb, color=GUIDE_GREEN, fontsize=SMALL_PT, rotation=90)
    if corrected is not None:
        _add_legend(axes, law.text(symbol), corrected.text(), color)
    elif not put(law.text(symbol), anywhere, color=color, fontsize=SMALL_PT):
        axes.set_title(law.text(symbol), color=color)


def _add_legend(axes: Axes, law: str, corrected: str, color: str) -> None:
    """Both laws in two lines above the axes, where there is nothing to hide."""
    handles = [
        Line2D([], [], ls="--", lw=1.2, color=color, label=law),
        Line2D(
            [],
            [],
            ls=CORRECTED_STYLE,
            lw=0.9,
            marker=CORRECTED_MARKER,
            ms=4.0,
            mew=0.7,
            color=INK,
            label=f"corrected {corrected}",
        ),
    ]
    legend = axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0 + margin_of(axes, 2.0)[1]),
        borderaxespad=0,
        borderpad=0,
        handlelength=1.9,
        handletextpad=0.4,
        labelspacing=0.25,
    )
    legend.get_texts()[0].set_color(color)
