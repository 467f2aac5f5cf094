"""What each law misses of the losses at its own frontier, and the floor that it falls to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flopline.documents import EstimateJson, FitJson, FitsJson
from flopline.figures.lawpanel import number
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.losscompute_figure import law_of_loss
from flopline.figures.panels import law_style, log_axis, say_instead
from flopline.figures.spec import EVERY_LAW, FigureSpec, Needs, Section, Setting
from flopline.figures.style import GREY, SMALL_PT, is_dense, mark_synthetic, styled
from flopline.figures.wording import at_the_floor
from flopline.laws.common.curvature import LEVEL
from flopline.laws.spec import Says, ordered, spec_of
from flopline.loss_units import NATS, words
from flopline.numbers import flops_label
from flopline.results import StudyResults
from flopline.surfaces.loss_of_compute import LossOfCompute

Floats = NDArray[np.float64]
Fits = FitsJson

BINS: Final = 8
"""Stretches of ln C over which the residuals of runs are averaged."""


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
def frontier_misfit(
    fits: Fits,
    *,
    family_label: str,
    seen: Mapping[str, pd.DataFrame | None] | None = None,
    loss_unit: str = NATS,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Losses at each frontier over the fitted law in percent (left), and its floor E (right).

    `fits` are JSONs by law; `seen` maps a law to the table that its spec calls its frontier, as far
    as it is there. Beside each floor stands whether its law has lack of fit.

    Returns the figure; without a law its panels say why.
    """
    tall = max(1.7, 0.2 + 0.36 * max(len(fits), 1))
    figure, (left, right) = laid_out(width, [Box(3.3, tall), Box(2.2, tall, left=0.8)])
    laws = {law: curve for law in ordered(fits) if (curve := law_of_loss(fits[law]))}
    titles = f"{family_label}: losses over the law, %", f"Floor E, {words(loss_unit)}"
    if not laws:
        why = "; ".join(f"{spec_of(n).label}: {f['message']}" for n, f in fits.items())
        say_instead(left, titles[0], why or "no law was fitted")
        say_instead(right, titles[1], "no law was fitted")
    else:
        tables = {law: (seen or {}).get(law) for law in laws}
        misfits = {law: misfit(law, fits[law], curve, tables[law]) for law, curve in laws.items()}
        _draw_misfit(left, misfits)
        _draw_floors(right, fits, laws, misfits)
        for axes, title in zip((left, right), titles, strict=True):
            axes.set_title(title)
    if synthetic:
        mark_synthetic(figure)
    return figure


def misfit(
    law: str, fit: FitJson, curve: LossOfCompute, table: pd.DataFrame | None
) -> FrontierMisfit | None:
    """Residuals of what a law was fitted to, and its own test of fit; None without the table.

    Every test is the fit's: that of a surface in laws/parametric/misfit.py, that of other laws in
    their certificate, as lack of fit or as scatter between budgets.
    """
    if table is None or table.empty:
        return None
    spec = spec_of(law)
    if spec.says is Says.SURFACE:
        return _of_runs(fit, table)
    used = table[table["used"].astype(bool)]
    flops = used[spec.frontier.flops].to_numpy(dtype=float)
    residual = used["loss"].to_numpy(dtype=float) / curve.loss(flops) - 1.0
    column = spec.frontier.loss_se
    se = used[column].to_numpy(dtype=float) if column else np.full(flops.size, np.nan)
    certificate = fit["certificate"]
    between = (certificate.get("between_budgets") or {}).get("loss")
    p = number(certificate.get("lack_of_fit") or between or {}, "p_value")
    return FrontierMisfit(flops, residual, se, p < LEVEL, _p_value(p))


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


def _draw_misfit(axes: Axes, misfits: Mapping[str, FrontierMisfit | None]) -> None:
    known = [one.flops for one in misfits.values() if one is not None]
    if not known:
        say_instead(axes, "", "no law has a table of its frontier")
        return
    log_axis(axes, "x", np.concatenate(known), flops_label)
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
    axes.set(ylim=(-reach, reach), xlabel="Training compute, FLOPs")


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
            0.985, row + 0.02, _verdict(misfits[law], e), ha="right", va="bottom",
            transform=axes.get_yaxis_transform(), fontsize=SMALL_PT - 0.5, gid="verdict",
            color="#555555",
        )  # fmt: skip
    low, high = axes.get_xlim()
    axes.set(xlim=(min(low, -0.02 * high), high + 0.04 * (high - low)))
    axes.set(ylim=(-0.6, len(names) - 0.3))
    axes.set_yticks(range(len(names)), [law_style(law).label for law in reversed(names)])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _verdict(misfit: FrontierMisfit | None, floor: EstimateJson) -> str:
    """Whether a law misses its frontier, and whether it has a floor at all.

    Where no draw has one the interval has no width, so that no bracket is seen.
    """
    no_floor = "no floor seen; " if number(floor) == 0 else ""
    if no_floor and number(floor, "hi95") == 0:
        no_floor = "no floor in 95 % of draws; "
    if misfit is None or not misfit.evidence:
        return f"{no_floor}fit not tested"
    return (
        f"{no_floor}{'lack of fit' if misfit.lacks_fit else 'no lack of fit'} ({misfit.evidence})"
    )


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family = setting.of(results)
    return frontier_misfit(
        family.fits,
        seen={law: family.table(law, spec_of(law).frontier.table) for law in family.fits},
        family_label=setting.family_label,
        loss_unit=setting.loss_unit,
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        f"{alt(results, setting)} Left: the losses at each frontier over the fitted law (bars: "
        "95 %; of the surface, runs averaged over stretches of compute); where they bend, the law "
        "is too stiff and its loss far beyond the data is biased. Right: E with 80 and 95 % "
        "intervals, and whether the law has lack of fit."
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return at_the_floor(setting.of(results).fits)


FIGURE = FigureSpec(
    name="misfit",
    title="What each law misses",
    about="What each law misses the losses of its own frontier by, and the floor E that it falls "
    "to, with bootstrap intervals.",
    section=Section.LAWS,
    needs=Needs(fits=EVERY_LAW, frontiers=True),
    draw=draw,
    caption=caption,
    alt=alt,
    first_target=True,
)
