"""Loss against compute: the runs, every law's lowest loss, and the forecast at the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flopline.documents import EstimateJson, FitJson, FitsJson, number_in
from flopline.figures.lawpanel import check_target, number
from flopline.figures.layout import LONE_IN, PAGE, Box, laid_out
from flopline.figures.notes import legend_below, on_white, quantile_band, write_clear
from flopline.figures.panels import law_style, log_axis, say_instead
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.spots import clear_spot, filled, margin_of, size_in, trace
from flopline.figures.style import (
    BEYOND_GREY,
    GREY,
    GUIDE_GREEN,
    is_dense,
    mark_synthetic,
    styled_large,
)
from flopline.figures.unseen import (
    FORECAST_COLOR,
    NOTHING,
    Unseen,
    caption_of,
    draw_forecast,
    draw_held,
    handles_of,
    interval_words,
    unseen_of,
)
from flopline.figures.wording import reach, recommended_law
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered, spec_of
from flopline.numbers import flops_label, has_no_width, significant
from flopline.results import StudyResults
from flopline.schema import KEPT
from flopline.surfaces.loss_of_compute import LossOfCompute

Floats = NDArray[np.float64]
Fits = FitsJson

SHIFT: Final = 0.016
"""Distance of laws side by side at one place, as a share of the axis in logs."""
BELOW_TOP: Final = 0.97
"""Share of the runs that the loss axis must hold: those far above the laws say nothing of them."""


@styled_large
def losscompute(
    fits: Fits,
    draws: Mapping[str, pd.DataFrame],
    *,
    family_label: str,
    target_flops: float,
    runs: pd.DataFrame | None = None,
    recommended: str = "",
    unseen: Unseen = NOTHING,
    loss_label: str = "Validation loss",
    target_name: str = "target",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """L(C) = E + K C^-c of every law through the runs and on to the target, in one panel.

    `fits` are JSONs and `draws` tables by law; `runs` (columns flops and loss) are those that were
    fitted, `unseen` adds the forecast at the targets and runs held out. The law named by
    `recommended` is drawn thick with its 95 % band, without one all bands are drawn. At the target
    each law's own intervals stand, 80 and 95 %. Beyond the largest run the ground is grey. Laws
    that all failed are named with their reasons.

    Returns the figure. Raises FloplineError if `target_flops` is not a positive number.
    """
    target = check_target(target_flops)
    laws = {law: curve for law in ordered(fits) if (curve := law_of_loss(fits[law]))}
    # A column has no corner for the legend, which stands below the axes there.
    lines = len(laws) + 4
    below = 0.52 + (0.165 * lines if width != PAGE and laws else 0.0)
    box = Box(3.8, 2.75, left=0.66, bottom=below, top=0.46, right=0.2)
    figure, (axes,) = laid_out(width, [box], most_in=LONE_IN)
    title = f"{family_label}: lowest loss for the compute"
    if not laws:
        why = "; ".join(f"{spec_of(n).label}: {f['message']}" for n, f in fits.items())
        say_instead(axes, title, why or "no law was fitted")
    else:
        _draw_laws(
            axes, fits, laws, draws, target, runs, recommended, unseen, loss_label,
            target_name, inside=width == PAGE,
        )  # fmt: skip
        axes.set_title(title, pad=15.0)

    if synthetic:
        mark_synthetic(figure)
    return figure


def law_of_loss(fit: FitJson) -> LossOfCompute | None:
    """The lowest loss over compute of a fit's JSON, None where the fit has none."""
    if fit["status"] == FAILED:
        return None
    law = LossOfCompute.stated({n: number(e) for n, e in fit["parameters"].items()})
    return law if np.isfinite(np.array([law.E, law.K, law.c])).all() else None


def laws_of_draws(draws: pd.DataFrame | None) -> LossOfCompute | None:
    """The same for every bootstrap draw that has a law, None with fewer than two."""
    if draws is None or not ({"alpha", "L_c"} & set(draws.columns)):
        return None
    every = LossOfCompute.stated({str(c): draws[c].to_numpy(dtype=float) for c in draws})
    values = np.array([every.E, every.K, every.c])
    usable = np.isfinite(values).all(axis=0)
    return every.at_rows(usable) if usable.sum() >= 2 else None


def _draw_laws(
    axes: Axes,
    fits: Fits,
    laws: Mapping[str, LossOfCompute],
    draws: Mapping[str, pd.DataFrame],
    target: float,
    runs: pd.DataFrame | None,
    recommended: str,
    unseen: Unseen,
    loss_label: str,
    target_name: str,
    inside: bool,
) -> None:
    seen = np.empty((0, 2)) if runs is None else runs[["flops", "loss"]].to_numpy(dtype=float)
    seen = seen[np.isfinite(seen).all(axis=1)]
    seen = seen[np.lexsort(seen.T)]
    beyond = [(c, e) for c, e in unseen.forecasts if not math.isclose(c, target, rel_tol=1e-9)]
    flops = [*seen[:, 0], target, *unseen.column("flops"), *(c for c, _ in beyond)]
    x = log_axis(axes, "x", flops, flops_label, 0.05)
    line = np.geomspace(min(flops), max(target, *seen[:, 0], target), 120)
    last = float(seen[:, 0].max()) if len(seen) else target
    held, handles, taken = [], [], []
    for place, (law, curve) in enumerate(laws.items()):
        look, loss = law_style(law), curve.loss(line)
        main = law == recommended or recommended not in laws
        drawn = laws_of_draws(draws.get(law)) if main else None
        band = None if drawn is None else quantile_band(drawn.loss(line), 95)
        if band is not None:
            axes.fill_between(
                line, *band, color=look.color, alpha=0.14, lw=0, zorder=1.5, gid=f"{law} band"
            )
            held += list(band)
        thick = 2.0 if law == recommended else 1.2
        axes.plot(line, loss, look.dashes, color=look.color, lw=thick, zorder=3, gid=law)
        at = target * math.exp(SHIFT * (place - len(laws)) * math.log(x[1] / x[0]))
        held.append(_draw_stated(axes, at, fits[law], target, law))
        held.append(loss)
        taken.append(trace(axes, line, loss))
        handles.append(Line2D([], [], color=look.color, ls=look.dashes, marker=look.marker, ms=4.5,
                              lw=thick, label=_label(law, fits[law], target)))  # fmt: skip
    axes.plot(
        *seen.T, "o", ms=2.6 if len(seen) <= 500 else 1.6, color=GREY, mew=0, zorder=2.2,
        gid="runs", rasterized=is_dense(len(seen)),
    )  # fmt: skip
    axes.set(xlabel="Training compute, FLOPs", ylabel=loss_label)
    places = [(target, unseen.loss), *beyond] if unseen.loss is not None else beyond
    held += _draw_forecasts(axes, sorted(places, key=lambda at: at[0]))
    draw_held(axes, unseen.column("flops"), unseen.column("loss"))
    held.append(np.array(unseen.column("loss")))
    marks = handles_of(unseen, f" {interval_words(unseen.loss)}")
    handles = [*marks[:1], *handles, *marks[1:]] if unseen.loss is not None else handles + marks
    if len(seen):
        handles.append(Line2D([], [], ls="", marker="o", ms=4.0, mew=0, color=GREY, label="runs"))
    every = np.concatenate(held)
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    if len(seen):
        low, high = min(low, float(seen[:, 1].min())), max(high, _top(seen[:, 1]))
    # Losses that differ by rounding alone are one level.
    pad = 0.05 * (0.1 * high if has_no_width(low, high) else high - low)
    axes.set_ylim(low - pad, high + pad)
    if last < target:
        axes.axvspan(last, x[1], color=BEYOND_GREY, lw=0, zorder=0.2, gid="beyond")
    axes.axvline(target, color=GUIDE_GREEN, lw=1.0, zorder=1.4, gid="guide")
    axes.set_xlim(*x)
    taken.append(trace(axes, seen[:, 0], seen[:, 1], join=False))
    taken.append(trace(axes, [target] * 2, axes.get_ylim()))
    taken.append(trace(axes, unseen.column("flops"), unseen.column("loss"), join=False))
    for end in ("lo95", "point", "hi95"):
        ends = [number_in(estimate, end) for _, estimate in places]
        taken.append(trace(axes, [c for c, _ in places], ends))
    unit = loss_label.rpartition(", ")[2] if ", " in loss_label else ""
    title = f"Loss at {flops_label(target)} FLOPs{f', {unit}' if unit else ''} [95 %]"
    obstacles = np.concatenate(taken)
    if inside:
        obstacles = _add_legend(axes, handles, title, target, obstacles)
    else:
        legend_below(axes, handles, title)
    _name_places(axes, last, target, target_name, obstacles)


def _top(losses: Floats) -> float:
    """The loss up to which runs are drawn: those of each budget far from its best run say least."""
    return float(np.quantile(losses, BELOW_TOP))


def _draw_forecasts(axes: Axes, places: list[tuple[float, EstimateJson]]) -> list[Floats]:
    """The forecasts at the targets with their intervals, and a band from the one to the next."""
    ends = {e: [number_in(at, e) for _, at in places] for e in ("lo95", "lo80", "hi80", "hi95")}
    flops = [c for c, _ in places]
    if len(places) > 1:
        for level, alpha in (("95", 0.14), ("80", 0.22)):
            axes.fill_between(
                flops, ends[f"lo{level}"], ends[f"hi{level}"], color=FORECAST_COLOR, alpha=alpha,
                lw=0, zorder=1.8, gid=f"forecast band {level}",
            )  # fmt: skip
    for c, estimate in places:
        draw_forecast(axes, c, estimate, wide=1.9)
    return [np.array(values) for values in ends.values()]


def _draw_stated(axes: Axes, at: float, fit: FitJson, target: float, law: str) -> Floats:
    """The loss that a fit states at the target with its intervals; returns what it spans."""
    rows = [t for t in fit["targets"] if abs(t["budget_flops"] / target - 1) < 1e-9]
    if not rows:
        return np.empty(0)
    look, spans = law_style(law), [number(rows[0]["loss"])]
    for level, width in (("95", 0.9), ("80", 2.4)):
        ends = [number(rows[0]["loss"], f"{side}{level}") for side in ("lo", "hi")]
        if np.isfinite(ends).all():
            axes.plot([at] * 2, ends, "-", color=look.color, lw=width, solid_capstyle="butt",
                      zorder=4, gid=f"{law} interval")  # fmt: skip
            spans += ends
    axes.plot(at, spans[0], look.marker, ms=4.6, color=look.color, mec="white", mew=0.7, zorder=5,
              gid=f"{law} target")  # fmt: skip
    return np.array(spans)


def _label(law: str, fit: FitJson, target: float) -> str:
    """A law with the loss that it states at the target and the 95 % interval of it."""
    rows = [t for t in fit["targets"] if abs(t["budget_flops"] / target - 1) < 1e-9]
    loss = rows[0]["loss"] if rows else None
    return f"{law_style(law).label} {interval_words(loss)}" if loss else law_style(law).label


def _add_legend(
    axes: Axes, handles: Sequence[Line2D], title: str, target: float, taken: Floats
) -> Floats:
    """A legend in the upper right corner left of the target, for which the y axis grows.

    Returns what is taken then, in axes fractions.
    """
    legend = axes.legend(
        handles=handles, loc="lower left", title=title, alignment="left", borderaxespad=0,
        borderpad=0.2, handlelength=1.9, handletextpad=0.5, labelspacing=0.3,
    )  # fmt: skip
    on_white(axes)
    size, margin = size_in(axes, legend), margin_of(axes)
    at = float((axes.transData + axes.transAxes.inverted()).transform((target, 1.0))[0])
    low, high = axes.get_ylim()
    spot = (max(at - margin[0] - size[0], margin[0]), 1 - margin[1] - size[1])
    for room in np.arange(0.0, 1.0, 0.05):
        seen = taken * [1.0, 1 / (1 + room)]
        if clear_spot(size, seen, [spot], margin):
            break
    axes.set_ylim(low, high + room * (high - low))
    legend.set_bbox_to_anchor(spot, transform=axes.transAxes)
    return np.concatenate([seen, filled(size, spot)])


def _name_places(axes: Axes, last: float, target: float, name: str, taken: Floats) -> None:
    """The target above its line, and what the grey ground is where there is room on it."""
    small = 0.9 * float(axes.xaxis.label.get_fontsize())
    at, start = (
        float((axes.transData + axes.transAxes.inverted()).transform((c, 1.0))[0])
        for c in (target, last)
    )
    named = axes.text(
        at, 1.015, f"{name} {flops_label(target)}", ha="center", va="bottom", fontsize=small,
        color=GUIDE_GREEN, transform=axes.transAxes, gid="above",
    )  # fmt: skip
    if at + size_in(axes, named)[0] / 2 > 1:
        named.set(ha="right", x=1.0)
    if last < target:
        gap = margin_of(axes)
        spots = [(start + gap[0] * k, y) for y in (gap[1], 0.1, 0.2, 0.3) for k in (1, 3, 6)]
        write_clear(axes, "beyond the runs", spots, taken, fontsize=small, color="#555555",
                    gid="beyond words")  # fmt: skip


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family, runs = setting.of(results), results.runs
    return losscompute(
        family.fits,
        family.draws,
        runs=runs[(runs["family"] == setting.family) & (runs["status"] == KEPT)],
        recommended=recommended_law(
            results.of_all.get("decision", {}), setting.family, setting.target
        ),
        unseen=unseen_of(results, setting.family, setting.target),
        family_label=setting.family_label,
        target_flops=setting.target,
        loss_label=setting.loss_label,
        target_name=setting.target_name,
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        f"{alt(results, setting)} Grey, the runs; lines, the lowest loss that each law expects of "
        "a budget, the recommended one thick with its 95 % band; at the "
        f"{setting.target_name}, the 80 and 95 % "
        "intervals of each. The ground is grey beyond the largest run."
        f"{caption_of(unseen_of(results, setting.family, setting.target))}"
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    fits = setting.of(results).fits
    losses = [
        f"{spec_of(law).label} {significant(loss['point'])}{reach(loss, significant)}"
        for law in ordered(fits)
        if (loss := fits[law]["targets"][0]["loss"])["point"] is not None
        and fits[law]["status"] != FAILED
    ]
    if not losses:
        return "No law gives a loss."
    target = next(iter(fits.values()))["targets"][0]["budget_flops"]
    return f"At {flops_label(target)} FLOPs the laws say {', '.join(losses)}."


FIGURE = FigureSpec(
    name="losscompute",
    title="Lowest loss for the compute",
    about="The runs, the lowest loss that every law expects of a budget, carried to {target} "
    "FLOPs, and the forecast there with its intervals.",
    section=Section.LAWS,
    needs=Needs(fits=EVERY_LAW, draws=EVERY_LAW, runs=True, unseen=True),
    draw=draw,
    caption=caption,
    alt=alt,
)
