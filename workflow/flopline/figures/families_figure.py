"""The families side by side: the loss that compute buys, and what the others need for the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from flopline.agreement import multipliers
from flopline.documents import ComparisonJson, FitJson, FitsJson, OtherFamilyJson, TargetJson
from flopline.errors import FloplineError
from flopline.figures.lawpanel import check_target, number
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.losscompute_figure import law_of_loss, laws_of_draws
from flopline.figures.notes import on_white, quantile_band
from flopline.figures.panels import LawStyle, law_style, log_axis, say_instead
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.spots import (
    add_legend,
    clear_spot,
    corner,
    margin_of,
    size_in,
    trace,
)
from flopline.figures.style import (
    FAMILY_COLORS,
    GREY,
    GUIDE_GREEN,
    mark_synthetic,
    styled,
)
from flopline.figures.wording import reach
from flopline.numbers import factor, flops_label, significant
from flopline.results import LawResults, StudyResults
from flopline.schema import KEPT

Floats = NDArray[np.float64]
Fits = Mapping[str, FitsJson]
Draws = Mapping[str, Mapping[str, pd.DataFrame]]

COLORS: Final = tuple(FAMILY_COLORS.values())
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
"""One of each for a family, in the order of the study; more families than there are begin again
with the next marker."""
FEW: Final = 2
"""With more families beside the best than this, only 80 % bands are drawn."""
FARTHEST: Final = 1000.0
"""Multiplier beyond which a curve leaves the panel."""
BEYOND: Final = 1e9
BESIDE: Final = 1.12
"""Factor in compute at which the bar of a forecast stands beside those of the laws."""
HATCH: Final = "////"


@styled
def families(
    fits: Fits,
    draws: Draws,
    entries: Sequence[ComparisonJson],
    spans: Mapping[str, tuple[float, float]],
    *,
    labels: Mapping[str, str],
    target_flops: float,
    loss_label: str = "Validation loss",
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Frontier loss over compute of every family, and the compute multiplier between them.

    `fits` and `draws` are by family and law; `entries` are `agreement.between` of each target,
    that of `target_flops` among them, which name the law, the best family and the multipliers;
    `spans` has the least and the largest compute of each family's runs [FLOPs]. Left: the law that
    the families are compared by. Right: over the compute C of the best family, how many times C
    the others need for the same loss. Dashed and hatched where a family is extrapolated. Raises
    FloplineError for fewer than two families; where they have no law in common it says so.
    """
    target = check_target(target_flops)
    if len(labels) < 2:
        raise FloplineError("The figure of families compares two or more, but there is only one.")
    figure, (left, right) = laid_out(width, [Box(2.9, 2.35), Box(2.9, 2.35, left=0.66)])
    entry = _entry_at(entries, target)
    if entry is None or entry["law"] is None or entry["winner"] is None:
        why = "fewer than two families have a line that may be recommended"
        why = why if entry is None else str(entry["sentence"])
        say_instead(left, "Lowest loss for the compute", why)
        say_instead(right, "Compute for the same loss", why)
    else:
        looks = styles_of(labels)
        law = str(entry["law"])
        compared = [f for f in labels if law in fits.get(f, {}) and law_of_loss(fits[f][law])]
        reach = max(float(e["budget_flops"]) for e in entries)
        content = _ComparedFamilies(law, fits, draws, spans, looks)
        _draw_losses(left, content, compared, (target, reach), loss_label)
        left.set_title(f"Lowest loss for the compute, {law_style(law).label} law")
        same = [e for e in entries if (e["law"], e["winner"]) == (law, entry["winner"])]
        _draw_multipliers(right, content, entry, same)
        right.set_title(f"Compute for the same loss, over {labels[entry['winner']]}'s")
    if synthetic:
        mark_synthetic(figure)
    return figure


def styles_of(labels: Mapping[str, str]) -> dict[str, LawStyle]:
    """How each family looks, in the order of `labels`."""
    return {
        family: LawStyle(
            label, COLORS[i % len(COLORS)], "-", MARKERS[(i + i // len(COLORS)) % len(MARKERS)]
        )
        for i, (family, label) in enumerate(labels.items())
    }


@dataclass(frozen=True, slots=True)
class _ComparedFamilies:
    """What both panels show: fits and draws of one law by family, spans of runs, looks."""

    law: str
    fits: Fits
    draws: Draws
    spans: Mapping[str, tuple[float, float]]
    looks: Mapping[str, LawStyle]


def _draw_losses(
    axes: Axes,
    content: _ComparedFamilies,
    compared: Sequence[str],
    targets: tuple[float, float],
    loss_label: str,
) -> None:
    """The loss law of each family in `compared`; `targets` are the figure's and the farthest."""
    (target, reach), law, fits = targets, content.law, content.fits
    spans, looks = content.spans, content.looks
    ends = [c for family in compared for c in spans[family]]
    x = log_axis(axes, "x", [*ends, reach], flops_label, 0.04)
    handles: list[Line2D | Patch] = []
    held: list[Floats] = []
    for family in compared:
        look, (first, last) = looks[family], spans[family]
        law_of_family = law_of_loss(fits[family][law])
        assert law_of_family is not None
        line = np.geomspace(first, max(reach, last), 120)
        drawn = laws_of_draws(content.draws[family].get(law))
        band = None if drawn is None else quantile_band(drawn.loss(line), 95)
        loss = law_of_family.loss(line)
        if band is not None:
            _fill(axes, line, band, line <= last, look.color)
            held += list(band)
        _draw_parted(axes, line, loss, line <= last, look, family)
        at = _at_target(fits[family][law], target)
        label = looks[family].label
        if at is not None:
            low, high = (number(at["loss"], e) for e in ("lo95", "hi95"))
            point = number(at["loss"])
            axes.vlines(target, low, high, color=look.color, lw=1.2, zorder=4, gid="interval")
            axes.plot(target, point, look.marker, ms=4.4, color=look.color, mec="white", mew=0.7,
                      zorder=5, gid="target")  # fmt: skip
            label += f", {significant(point)}"
            if np.isfinite([low, high]).all():
                label += f" [{significant(low)}, {significant(high)}]"
                held.append(np.array([low, high]))
        held.append(loss)
        handles.append(Line2D([], [], color=look.color, marker=look.marker, ms=3.4, label=label))
    every = np.concatenate(held)
    every = every[np.isfinite(every)]
    pad = 0.05 * float(np.ptp(every) or 0.1)
    axes.set(ylim=(every.min() - pad, every.max() + pad), xlabel="FLOPs", ylabel=loss_label)
    axes.axvline(target, color=GUIDE_GREEN, lw=0.8, zorder=1.4, gid="guide")
    axes.set_xlim(*x)
    taken = [trace(axes, line.get_xdata(), line.get_ydata()) for line in axes.get_lines()
             if line.get_gid() in compared]  # fmt: skip
    handles.append(_extrapolated())
    title = f"Loss at {flops_label(target)} FLOPs [95 %]"
    add_legend(axes, handles, np.concatenate(taken), most=1, title=title)
    on_white(axes)


def _draw_multipliers(
    axes: Axes, content: _ComparedFamilies, entry: ComparisonJson, entries: Sequence[ComparisonJson]
) -> None:
    law, fits, draws = content.law, content.fits, content.draws
    spans, looks = content.spans, content.looks
    winner, target = str(entry["winner"]), float(entry["budget_flops"])
    first, last = spans[winner]
    budgets = [float(e["budget_flops"]) for e in entries]
    x = log_axis(axes, "x", [first, last, *budgets], flops_label, 0.04)
    line = np.geomspace(first, max(last, *budgets), 120)
    known = line <= last
    handles: list[Line2D | Patch] = []
    held, curves = [np.array([1.0])], []
    levels = (95, 80) if len(entry["others"]) <= FEW else (80,)
    for other in entry["others"]:
        family = str(other["family"])
        look = looks[family]
        best, worse = (LawResults(fits[f][law], draws[f][law], {}) for f in (winner, family))
        times, drawn = multipliers(best, worse, line)
        inside = known & (line * times <= spans[family][1])
        # Far above the panel, but finite, so that quantiles count every draw.
        bounded, drawn = np.minimum(times, BEYOND), np.minimum(drawn, BEYOND)
        for level in levels:
            band = quantile_band(drawn, level)
            if band is not None:
                _fill(axes, line, band, inside, look.color)
                held.append(np.ravel(band))
        _draw_parted(axes, line, bounded, inside, look, family)
        held.append(bounded)
        curves.append((line, bounded))
        handles.append(
            Line2D([], [], color=look.color, marker=look.marker, ms=3.4, label=_label(other, look))
        )
        for e in entries:
            held.append(_draw_stated(axes, e, family, look))
    every = np.concatenate(held)
    log_axis(axes, "y", np.clip(every[np.isfinite(every)], 1 / FARTHEST, FARTHEST), factor, 0.06)
    axes.axhline(1.0, color=GREY, lw=0.9, zorder=1.6)
    axes.axvline(target, color=GUIDE_GREEN, lw=0.8, zorder=1.4, gid="guide")
    axes.set(xlabel=f"FLOPs of {looks[winner].label}", ylabel="Times the compute")
    axes.set_xlim(*x)
    handles.append(_extrapolated())
    _legend_clear(axes, handles, curves, flops_label(target))


def _draw_stated(axes: Axes, entry: ComparisonJson, family: str, look: LawStyle) -> Floats:
    """The multiplier of the decision at its target, with its intervals; returns what it spans."""
    other = next((o for o in entry["others"] if o["family"] == family), None)
    times = None if other is None else other["multiplier"]
    if (
        other is None
        or times is None
        or times["point"] is None
        or not math.isfinite(times["point"])
    ):
        return np.empty(0)
    at, spans = float(entry["budget_flops"]), [float(times["point"])]
    for level, width in (("95", 1.0), ("80", 2.4)):
        ends = [number(times, f"{side}{level}") for side in ("lo", "hi")]
        if np.isfinite(ends).all():
            axes.plot([at] * 2, ends, "-", color=look.color, lw=width, solid_capstyle="butt",
                      zorder=4, gid="interval")  # fmt: skip
            spans += ends
    ahead = _forecast_ends(other)
    if ahead is not None:
        # Beside the bars of the laws, which are drawn in full.
        axes.plot([at * BESIDE] * 2, ahead, ":", color=look.color, lw=1.4, marker="_", ms=5,
                  zorder=4, gid="forecast")  # fmt: skip
        spans += ahead
    axes.plot(at, spans[0], look.marker, ms=4.4, color=look.color, mec="white", mew=0.7, zorder=5,
              gid="target")  # fmt: skip
    return np.array(spans)


def _forecast_ends(other: OtherFamilyJson) -> list[float] | None:
    """The ends of the 95 % forecast of a multiplier, None where it has none."""
    if other["forecast"] is None:
        return None
    ends = [number(other["forecast"], end) for end in ("lo95", "hi95")]
    return ends if np.isfinite(ends).all() else None


def _label(other: OtherFamilyJson, look: LawStyle) -> str:
    """A family with its multiplier at the target and the 95 % interval of it."""
    point, low, high = (number(other["multiplier"], e) for e in ("point", "lo95", "hi95"))
    if not math.isfinite(point):
        return f"{look.label} never gets there"
    reach = f" [{factor(low)}, {factor(high)}]" if np.isfinite([low, high]).all() else ""
    label = f"{look.label}, {factor(point)}{reach}"
    ahead = _forecast_ends(other)
    if ahead is None:
        return label
    return (
        f"{label}\nforecast {factor(number(other['forecast']))} [{', '.join(map(factor, ahead))}]"
    )


def _draw_parted(
    axes: Axes, x: Floats, y: Floats, known: NDArray[np.bool_], look: LawStyle, gid: str
) -> None:
    """A curve, solid where there are runs and dashed where it is extrapolated."""
    # The dashes begin at the last solid point, so that the curve has no gap.
    beyond = ~known
    beyond[:-1] |= beyond[1:]
    beyond[1:] |= beyond[:-1] & ~known[1:]
    for part, dashes in ((known, "-"), (beyond, "--")):
        if part.any():
            axes.plot(x, np.where(part, y, np.nan), dashes, color=look.color, lw=1.3, zorder=3,
                      gid=gid)  # fmt: skip


def _fill(axes: Axes, x: Floats, band: Floats, known: NDArray[np.bool_], color: str) -> None:
    """A band, hatched where the family is extrapolated."""
    axes.fill_between(
        x, band[0], band[1], where=known, color=color, alpha=0.16, lw=0, zorder=1.8, gid="band"
    )
    beyond = ~known
    beyond[:-1] |= beyond[1:]
    axes.fill_between(
        x, band[0], band[1], where=beyond, facecolor="none", edgecolor=color, hatch=HATCH,
        alpha=0.35, lw=0.0, zorder=1.8, gid="extrapolated",
    )  # fmt: skip


def _extrapolated() -> Patch:
    return Patch(fc="none", ec="#777777", hatch=HATCH, lw=0.4, label="beyond the runs")


def _legend_clear(
    axes: Axes, handles: Sequence[Any], curves: Sequence[tuple[Floats, Floats]], target: str
) -> None:
    """A legend above the curves: the y axis grows upwards, in decades, until there is room."""
    low, high = axes.get_ylim()
    legend = axes.legend(
        handles=handles, loc="upper left",
        title=f"By the laws, at {target} FLOPs [95 %]",
        alignment="left", borderaxespad=0.5, labelspacing=0.28, handlelength=1.6,
    )  # fmt: skip
    size, margin = size_in(axes, legend), margin_of(axes)
    spot = [corner("upper left", size, margin)]
    for room in np.arange(0.0, 2.0, 0.1):
        log_axis(axes, "y", [low, high * (high / low) ** room], factor, 0.0)
        taken = [trace(axes, *curve) for curve in curves]
        if not taken or clear_spot(size, np.concatenate(taken), spot, margin):
            break
    on_white(axes)


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of a study."""
    runs, results_of = results.runs, results.families
    flops = runs[runs["status"] == KEPT].groupby("family")["flops"]
    return families(
        {family: of.fits for family, of in results_of.items()},
        {family: of.draws for family, of in results_of.items()},
        results.decision["families"],
        {f: (float(flops.min()[f]), float(flops.max()[f])) for f in setting.labels},
        labels=setting.family_labels,
        target_flops=setting.target,
        loss_label=setting.loss_label,
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    entry = _compared_at(results, setting)
    if entry is None:
        return alt(results, setting)
    held = (
        "All of it holds if the laws hold, but for the dotted bars, the 95 % forecasts."
        if any(_forecast_ends(other) for other in entry["others"])
        else "All of it holds if the laws hold; no forecast is drawn."
    )
    return (
        f"{alt(results, setting)} "
        f"Left: the lowest loss for the compute of {', '.join(setting.labels.values())}, by the "
        "law that they have in common, with 95 % bands. Right: how many times the compute of the "
        "best family the others need for the same loss, with bands, and the decision's own numbers "
        "at the targets (bars: 80 and 95 %). Solid where both families have runs, dashed and "
        f"hatched beyond. {held}"
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it: by the law that is drawn, and nothing else."""
    entry = _compared_at(results, setting)
    if entry is None:
        sentences = [str(entry["sentence"]) for entry in results.decision["families"]]
        return next(iter(sentences), "Fewer than two families have a line to be compared.")
    law, winner, target = str(entry["law"]), str(entry["winner"]), float(entry["budget_flops"])
    at = _at_target(results.families[winner].fits[law], target)
    loss = f" {significant(number(at['loss']))}{reach(at['loss'], significant)}" if at else ""
    sentences = [
        f"By the {law_style(law).label} law {setting.labels[winner]} reaches{loss or ' the lowest'}"
        f"{'' if loss else ' loss'} at {flops_label(target)} FLOPs."
    ]
    for other in entry["others"]:
        times, label = other["multiplier"], setting.labels[str(other["family"])]
        point, ahead = number(times), _forecast_ends(other)
        stated = (
            f"For that loss {label} needs {factor(point)}{reach(times, factor)} the compute"
            if math.isfinite(point)
            else f"That loss is never reached by {label}"
        )
        if ahead is not None and other["forecast"] is not None:
            low, high = map(factor, ahead)
            times_ahead = factor(number(other["forecast"]))
            stated += f" if the laws hold; the forecast is {times_ahead} [{low} to {high}]"
            if ahead[0] <= 1 <= ahead[1]:
                stated += ", so that the order may be the other"
        sentences.append(f"{stated}.")
    return " ".join(sentences)


def _compared_at(results: StudyResults, setting: Setting) -> ComparisonJson | None:
    """The comparison at the target, None where there is no law or no best family to draw."""
    entry = _entry_at(results.decision["families"], setting.target)
    return None if entry is None or not (entry["law"] and entry["winner"]) else entry


def _entry_at(entries: Sequence[ComparisonJson], target: float) -> ComparisonJson | None:
    return next((e for e in entries if math.isclose(e["budget_flops"], target, rel_tol=1e-9)), None)


def _at_target(fit: FitJson, target: float) -> TargetJson | None:
    """What a fit says at the target."""
    close = (t for t in fit["targets"] if math.isclose(t["budget_flops"], target, rel_tol=1e-9))
    return next(close, None)


FIGURE = FigureSpec(
    name="families",
    title="Families side by side",
    about="The lowest loss for the compute of every family, and how many times the compute the "
    "others need for the loss of the best, with bootstrap intervals, hatched where extrapolated.",
    section=Section.LAWS,
    needs=Needs(fits=EVERY_LAW, draws=EVERY_LAW, runs=True, decision=True),
    per_family=False,
    families=2,
    draw=draw,
    caption=caption,
    alt=alt,
)
