"""Loss against compute at the best allocation: every law's L(C), its misfit, its floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flopline.documents import FitJson, FitsJson
from flopline.figures.lawpanel import check_target, number
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.notes import draw_bands, on_white
from flopline.figures.panels import law_style, log_axis, say_instead
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.spots import add_legend, trace
from flopline.figures.style import (
    GREY,
    GUIDE_GREEN,
    SMALL_PT,
    is_dense,
    mark_synthetic,
    styled,
)
from flopline.figures.ticks import power_label
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
from flopline.figures.wording import reach
from flopline.laws.common.curvature import LEVEL
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.lack_of_fit import of_minima
from flopline.laws.spec import Says, ordered, spec_of
from flopline.loss_units import NATS, words
from flopline.numbers import flops_label, significant
from flopline.results import StudyResults
from flopline.surfaces.loss_of_compute import LossOfCompute

Floats = NDArray[np.float64]
Fits = FitsJson

MOST_POINTS: Final = 150
"""Points of an envelope that are drawn: they repeat the same few runs."""
BINS: Final = 8
"""Stretches of ln C over which the residuals of runs are averaged."""
SHIFT: Final = 0.012
"""Distance of laws side by side at one place, as a share of the axis in logs."""


@dataclass(frozen=True, slots=True)
class FrontierMisfit:
    """How far a law misses the losses at its frontier, and whether that is more than noise.

    `residual` is relative, with its standard error where one is known, over `flops`; `evidence`
    says in a few words what was measured, empty where it could not be tested.
    """

    flops: Floats
    residual: Floats
    se: Floats
    lacks_fit: bool
    evidence: str


@styled
def losscompute(
    fits: Fits,
    draws: Mapping[str, pd.DataFrame],
    *,
    family_label: str,
    target_flops: float,
    seen: Mapping[str, pd.DataFrame] | None = None,
    unseen: Unseen = NOTHING,
    loss_label: str = "Validation loss",
    loss_unit: str = NATS,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """L(C) = E + K C^-c of every law, carried to the target with 80 and 95 % bands.

    `fits` are JSONs and `draws` tables by law; `seen` maps a law to the table that its spec calls
    its frontier, as far as it is there; `unseen` adds the forecast at the target and runs held out.
    Left: the laws, what they were fitted to, their floors E
    (dotted) and the stated intervals at the target. Right,
    above: what each law misses its own frontier by, in percent; below: E with its intervals, and
    whether the law has lack of fit. A law that failed is named with its reason.

    Returns the figure. Raises FloplineError if `target_flops` is not a positive number.
    """
    target = check_target(target_flops)
    floors = 0.16 + 0.27 * max(len(fits), 1)
    figure, (left, right, below) = laid_out(
        width, [Box(3.3, 2.2), Box(2.4, 2.2), Box(3.0, floors, left=0.9, bottom=0.3, top=0.32)]
    )
    laws = {law: curve for law in ordered(fits) if (curve := law_of_loss(fits[law]))}
    title = f"{family_label}: lowest loss for the compute"
    if not laws:
        why = "; ".join(f"{spec_of(n).label}: {f['message']}" for n, f in fits.items())
        say_instead(left, title, why or "no law was fitted")
        say_instead(right, "Frontier over its law, %", "no law was fitted")
        say_instead(below, "Floor E", "no law was fitted")
    else:
        tables = {law: (seen or {}).get(law) for law in laws}
        misfits = {law: misfit(law, fits[law], curve, tables[law]) for law, curve in laws.items()}
        x = _draw_laws(left, fits, laws, draws, tables, target, loss_label, unseen)
        left.set_title(title)
        _draw_misfit(right, misfits, x)
        right.set_title("Frontier over its fitted law, %")
        _draw_floors(below, fits, laws, misfits)
        below.set_title(f"Floor E, {words(loss_unit)}")
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


def misfit(
    law: str, fit: FitJson, curve: LossOfCompute, table: pd.DataFrame | None
) -> FrontierMisfit | None:
    """Residuals of what a law was fitted to, and its own test of fit; None without the table.

    A surface has been judged by its fit (laws/parametric/misfit.py). Another law's
    test is a chi-square where the errors of what it was fitted to are known, else it stands in the
    certificate, if anywhere.
    """
    if table is None or table.empty:
        return None
    spec = spec_of(law)
    if spec.says is Says.SURFACE:
        return _of_runs(fit, table)
    used = table[table["used"].astype(bool)]
    flops = used[spec.frontier.flops].to_numpy(dtype=float)
    residual = used["loss"].to_numpy(dtype=float) / curve.loss(flops) - 1.0
    if spec.frontier.loss_se:
        se = used[spec.frontier.loss_se].to_numpy(dtype=float)
        p = of_minima(residual, se, 3 if float(np.asarray(curve.E)) > 0 else 2)
        return FrontierMisfit(flops, residual, se, p < LEVEL, _p_value(p))
    p = number((fit["certificate"].get("lack_of_fit") or {}), "p_value")
    return FrontierMisfit(flops, residual, np.full(flops.size, np.nan), p < LEVEL, _p_value(p))


def _of_runs(fit: FitJson, points: pd.DataFrame) -> FrontierMisfit:
    """Mean residual of the runs of each stretch of compute, with its standard error."""
    ln_c = np.log(points["flops"].to_numpy(dtype=float))
    residual = np.expm1(points["log_residual"].to_numpy(dtype=float))
    edges = np.linspace(ln_c.min(), ln_c.max(), BINS + 1)
    bins = np.clip(np.searchsorted(edges, ln_c, side="right") - 1, 0, BINS - 1)
    groups = pd.DataFrame({"bin": bins, "x": ln_c, "y": residual}).groupby("bin")
    mean, se = groups.mean(), groups["y"].sem()
    certificate = fit["certificate"]
    checked = certificate.get("misfit")
    lacks_fit = checked is not None and checked["found"]
    evidence = _p_value(number(checked, "p_value")) if checked is not None else ""
    return FrontierMisfit(
        np.exp(mean["x"].to_numpy()), mean["y"].to_numpy(), se.to_numpy(float), lacks_fit, evidence
    )


def _p_value(p: float) -> str:
    if not math.isfinite(p):
        return ""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _draw_laws(
    axes: Axes,
    fits: Fits,
    laws: Mapping[str, LossOfCompute],
    draws: Mapping[str, pd.DataFrame],
    seen: Mapping[str, pd.DataFrame | None],
    target: float,
    loss_label: str,
    unseen: Unseen,
) -> tuple[float, float]:
    """Draw what the laws expect of each budget.

    Returns the range of compute drawn [FLOPs].
    """
    marks = {law: _points(law, seen[law]) for law in laws}
    flops = np.concatenate([m[:, 0] for m in marks.values()] + [np.array([target])])
    flops = np.concatenate([flops, unseen.column("flops")])
    x = log_axis(axes, "x", flops, power_label, 0.05)
    line = np.geomspace(float(flops.min()), float(flops.max()), 120)
    last = max((float(m[:, 0].max()) for m in marks.values() if len(m)), default=target)
    held, handles = [], []
    for number_, (law, curve) in enumerate(laws.items()):
        look, loss = law_style(law), curve.loss(line)
        drawn = laws_of_draws(draws.get(law))
        if drawn is not None:
            held += draw_bands(axes, line, drawn.loss(line), look.color)
        axes.plot(line, loss, look.dashes, color=look.color, lw=1.3, zorder=3, gid=law)
        points, few = marks[law], spec_of(law).frontier.few
        axes.plot(
            *points.T, look.marker, ms=3.4 if few else 1.8, color=look.color, mew=0,
            alpha=1.0 if few else 0.55, zorder=2.6, gid=f"{law} points",
            rasterized=is_dense(len(points)),
        )  # fmt: skip
        at = target * math.exp(SHIFT * (number_ - (len(laws) - 1) / 2) * math.log(x[1] / x[0]))
        held.append(_draw_stated(axes, at, fits[law], target, law))
        held += [loss, points[:, 1]]
        handles.append(Line2D([], [], color=look.color, ls=look.dashes, marker=look.marker, ms=3,
                              lw=1.3, label=_label(law, fits[law], target)))  # fmt: skip
    axes.set(xlabel="FLOPs", ylabel=loss_label)
    beside = target * math.exp(SHIFT * (len(laws) + 1) / 2 * math.log(x[1] / x[0]))
    draw_forecast(axes, beside, unseen.loss)
    draw_held(axes, unseen.column("flops"), unseen.column("loss"))
    held += [np.array(unseen.ends("loss")), np.array(unseen.column("loss"))]
    handles = [*handles_of(unseen, f": {interval_words(unseen.loss)}"), *handles]
    low, high = _limits(
        np.concatenate(held), [float(np.asarray(curve.E)) for curve in laws.values()]
    )
    axes.set_ylim(low, high)
    floors = {law: float(np.asarray(curve.E)) for law, curve in laws.items()}
    for law, floor in floors.items():
        if low < floor < high:
            axes.axhline(floor, ls=":", lw=0.9, color=law_style(law).color, zorder=1.6,
                         gid=f"{law} floor")  # fmt: skip
    if last < target:
        axes.axvline(last, color=GREY, lw=0.7, zorder=1.2, gid="largest")
    axes.axvline(target, color=GUIDE_GREEN, lw=0.8, zorder=1.4, gid="guide")
    taken = [trace(axes, line, curve.loss(line)) for curve in laws.values()]
    taken += [trace(axes, m[:, 0], m[:, 1], join=False) for m in marks.values()]
    taken += [trace(axes, x, [floor] * 2) for floor in floors.values()]
    taken.append(trace(axes, unseen.column("flops"), unseen.column("loss"), join=False))
    ends = unseen.ends("loss")
    taken.append(trace(axes, [beside] * len(ends), ends))
    add_legend(axes, handles, np.concatenate(taken), most=1)
    on_white(axes)
    return x


def _points(law: str, table: pd.DataFrame | None) -> Floats:
    """What a law was fitted to as (flops, loss); of the surface, the best run of each stretch."""
    if table is None or table.empty:
        return np.empty((0, 2))
    spec = spec_of(law)
    name = spec.frontier.flops
    if spec.says is Says.SURFACE:
        rows = table.sort_values([name, "run"])
        return np.asarray(rows[[name, "loss"]].to_numpy(dtype=float))
    used = table[table["used"].astype(bool)]
    points = used.sort_values(name)[[name, "loss"]].to_numpy(dtype=float)
    if len(points) > MOST_POINTS:
        points = points[np.unique(np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int))]
    return np.asarray(points)


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
    if not rows:
        return law_style(law).label
    loss = rows[0]["loss"]
    label = f"{law_style(law).label}, at {flops_label(target)}: {significant(number(loss))}"
    if loss["lo95"] is None:
        return label
    return f"{label} [{significant(number(loss, 'lo95'))}, {significant(number(loss, 'hi95'))}]"


def _limits(held: Floats, floors: list[float]) -> tuple[float, float]:
    """Limits that hold the laws and points, and the floors that do not lie far below them."""
    held = held[np.isfinite(held)]
    low, high = float(held.min()), float(np.quantile(held, 0.995))
    near = [e for e in floors if low - 0.5 * (high - low) < e < low and e > 0]
    low = min([low, *near])
    pad = 0.05 * (high - low or 0.1)
    return low - pad, high + pad


def _draw_misfit(
    axes: Axes, misfits: Mapping[str, FrontierMisfit | None], x: tuple[float, float]
) -> None:
    log_axis(axes, "x", x, power_label, 0.0)
    axes.axhline(0.0, color=GREY, lw=0.8, zorder=1.5)
    spans = []
    for law, one in misfits.items():
        if one is None:
            continue
        look, y = law_style(law), 100 * one.residual
        bars = np.isfinite(one.se)
        axes.vlines(
            one.flops[bars], y[bars] - 196 * one.se[bars], y[bars] + 196 * one.se[bars],
            color=look.color, lw=0.9, zorder=2.4, gid=f"{law} error",
        )  # fmt: skip
        order = np.argsort(one.flops)
        many = len(y) > 3 * BINS
        axes.plot(
            one.flops[order], y[order], ls="none" if many else look.dashes, marker=look.marker,
            ms=1.4 if many else 3.0, color=look.color, lw=0.9, mew=0, zorder=2.8, gid=law,
            rasterized=is_dense(len(y)),
        )  # fmt: skip
        spans += [*y, *(y[bars] - 196 * one.se[bars]), *(y[bars] + 196 * one.se[bars])]
    reach = 1.08 * max(np.abs(spans), default=1.0)
    axes.set(ylim=(-reach, reach), xlabel="FLOPs")


def _draw_floors(
    axes: Axes,
    fits: Fits,
    laws: Mapping[str, LossOfCompute],
    misfits: Mapping[str, FrontierMisfit | None],
) -> None:
    names = list(laws)
    for row, law in enumerate(reversed(names)):
        look = law_style(law)
        e = fits[law]["parameters"][spec_of(law).says.floor]
        for level, width in (("95", 1.0), ("80", 2.8)):
            ends = [number(e, f"{side}{level}") for side in ("lo", "hi")]
            if np.isfinite(ends).all():
                axes.plot(ends, [row - 0.2] * 2, "-", color=look.color, lw=width,
                          solid_capstyle="butt", zorder=3, gid=f"{law} interval")  # fmt: skip
        axes.plot(number(e), row - 0.2, look.marker, ms=4.6, color=look.color, mec="white", mew=0.7,
                  zorder=4, gid=law)  # fmt: skip
        axes.text(
            0.985, row + 0.02, _verdict(misfits[law], number(e)), ha="right", va="bottom",
            transform=axes.get_yaxis_transform(), fontsize=SMALL_PT - 0.5, gid="verdict",
            color="#555555",
        )  # fmt: skip
    low, high = axes.get_xlim()
    axes.set(xlim=(min(low, -0.02 * high), high + 0.04 * (high - low)))
    axes.set(ylim=(-0.6, len(names) - 0.3))
    axes.set_yticks(range(len(names)), [law_style(law).label for law in reversed(names)])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _verdict(misfit: FrontierMisfit | None, floor: float) -> str:
    """Whether a law misses its frontier, and whether it has a floor at all."""
    no_floor = "no floor seen; " if floor == 0 else ""
    if misfit is None or not misfit.evidence:
        return f"{no_floor}fit not tested"
    return (
        f"{no_floor}{'LACK OF FIT' if misfit.lacks_fit else 'no lack of fit'} ({misfit.evidence})"
    )


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family = setting.of(results)
    return losscompute(
        family.fits,
        family.draws,
        seen={law: family.table(law, spec_of(law).frontier.table) for law in family.fits},
        unseen=unseen_of(results, setting.family, setting.target),
        family_label=setting.family_label,
        target_flops=setting.target,
        loss_label=setting.loss_label,
        loss_unit=setting.loss_unit,
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        "Left: the lowest loss that each law expects of a budget, with what it was fitted to "
        "(small dots: every run), 80 and 95 % bands, its floor E (dotted) where that is near, and "
        "at the target what it states; grey, the largest run. Right, above: the losses at each "
        "frontier over the fitted law (bars: 95 %; for the surface, runs averaged over stretches "
        "of compute). A trend there means that the law bends away and its forecast is biased. "
        "Below: E with 80 and 95 % intervals, and whether the law has lack of fit. "
        f"{alt(results, setting)}"
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
    about="The lowest loss that every law expects of a budget, carried to {target} FLOPs with "
    "bootstrap bands, what each misses its own frontier by, and its floor E.",
    section=Section.LAWS,
    needs=Needs(fits=EVERY_LAW, draws=EVERY_LAW, frontiers=True, unseen=True),
    draw=draw,
    caption=caption,
    alt=alt,
)
