"""The isoFLOP figure: loss valleys, and the two power laws through their bottoms."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flopline.documents import CertificateJson, FitJson
from flopline.figures.lawpanel import (
    CORRECTED_MARKER,
    DrawnLaw,
    PanelQuantity,
    check_target,
    draw_law_panel,
    no_law,
    params_quantity,
    tokens_quantity,
)
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.spec import FigureSpec, Needs, Section, Setting
from flopline.figures.spots import write_reason
from flopline.figures.style import GREY, INK, mark_synthetic, styled
from flopline.figures.unseen import NOTHING, Unseen, caption_of, unseen_of
from flopline.figures.valleys import Looks, draw_valleys, filling, looks_of
from flopline.figures.wording import at_target, law_in_words, power_laws
from flopline.laws.common.fit_result import FAILED
from flopline.numbers import significant
from flopline.results import FamilyResults, StudyResults

CORRECTED: Final = "corrected"
"""Name of the estimator whose laws are drawn beside the main ones (docs/isoflop.md)."""
OUTER: Final = ("lo95", "hi95")
"""One level in a panel: that of its words."""


@styled
def isoflop(
    fit: FitJson,
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
    unseen: Unseen = NOTHING,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Loss against params at fixed compute (left), valley bottoms N (centre) and D (right).

    `fit` is the JSON of an isoFLOP fit; `vertices` has one row per budget, `profiles` one per run
    and budget; `draws` (columns a, N_coef, b, D_coef) adds 95 % bands; `estimators` of the fit adds
    the bias-corrected laws, and the vertices' corrected columns, where there are any, crosses.
    Budgets that the fit left out, and runs that belong to none, are hollow and grey; the vertices
    of budgets that a check flags are half filled; runs of far higher loss than all others are
    arrows at the upper edge, and counted there; `unseen` adds the forecast of N and D at the target
    and, on the left, runs held out. The green guides stand at `target_flops`. Without
    budgets or a usable law the panels say why. Raises FloplineError for a target that is not
    positive and for a `width` that is none of layout.WIDTHS_IN.

    After Hoffmann et al. 2022 (arXiv 2203.15556), Fig. 3.
    """
    target = check_target(target_flops)
    quantities = params_quantity(params_label), tokens_quantity(tokens_label)
    laws = [corrected_law(estimators, quantity) for quantity in quantities]
    # Two laws need a second line above their panels.
    top = 0.26 if laws == [None, None] else 0.36
    boxes = [
        Box(2.10, 2.05),
        Box(1.62, 2.05, left=0.62, top=top),
        Box(1.62, 2.05, left=0.56, right=0.12, top=top),
    ]
    figure, (valleys, *panels) = laid_out(width, boxes)
    valleys.set_title(family_label)
    if vertices.empty or profiles.empty:
        for axes in (valleys, *panels):
            axes.set(xticks=[], yticks=[])
            write_reason(axes, no_law(fit))
    else:
        budgets = vertices.sort_values("budget_flops", ignore_index=True)
        if "flagged" not in budgets:
            budgets = budgets.assign(flagged=False)
        looks = looks_of(budgets)
        draw_valleys(valleys, budgets, profiles, looks, loss_label, params_label, unseen)
        for axes, quantity, law in zip(panels, quantities, laws, strict=True):
            _draw_vertices(axes, fit, budgets, quantity, looks, target, draws, law, unseen)
    if synthetic:
        mark_synthetic(figure)
    return figure


def _draw_vertices(
    axes: Axes,
    fit: FitJson,
    budgets: pd.DataFrame,
    quantity: PanelQuantity,
    looks: Looks,
    target: float,
    draws: pd.DataFrame | None,
    corrected: DrawnLaw | None,
    unseen: Unseen,
) -> None:
    flops = budgets["budget_flops"].to_numpy(float)
    names = (quantity.key, f"{quantity.key}_lo95", f"{quantity.key}_hi95")
    values = budgets[list(names)].to_numpy(float).T
    used, flagged = (budgets[name].to_numpy(bool) for name in ("used", "flagged"))
    # The vertex of a bad parabola may lie anywhere; outside its own sizes it sets no limits.
    drawn = used | budgets["inside"].to_numpy(bool)
    unbiased = np.full(flops.size, np.nan)
    if corrected is not None and f"{quantity.key}_corrected" in budgets:
        unbiased = np.where(used, budgets[f"{quantity.key}_corrected"].to_numpy(float), np.nan)
    points = np.vstack([np.where(drawn, values, np.nan), unbiased])
    forecast = unseen.params if quantity.key == "params" else unseen.tokens
    draw_law_panel(axes, fit, quantity, flops, points, target, draws, corrected, forecast)
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
            **filling(color, bool(ok), bool(doubt)),
        )
    if np.isfinite(unbiased).any():
        (marks,) = axes.plot(flops, unbiased, CORRECTED_MARKER, color=INK, ms=5.0, mew=0.7)
        marks.set(zorder=3.8, gid="corrected vertex")


def corrected_law(estimators: pd.DataFrame | None, quantity: PanelQuantity) -> DrawnLaw | None:
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
    return DrawnLaw(exponent, scale, *(float(row[f"{quantity.exponent}_{end}"]) for end in OUTER))


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of one family of a study."""
    family = setting.of(results)
    tables = family.tables["isoflop"]
    return isoflop(
        family.fits["isoflop"],
        tables["vertices"],
        tables["profiles"],
        family_label=setting.family_label,
        target_flops=setting.target,
        loss_label=setting.loss_label,
        draws=family.draws["isoflop"],
        estimators=tables["estimators"],
        unseen=unseen_of(results, setting.family, setting.target),
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    family = setting.of(results)
    fit = family.fits["isoflop"]
    if fit["status"] == FAILED:
        return law_in_words(fit)
    certificate = fit["certificate"]
    used, total = certificate["budgets_used"], certificate["budgets"]
    flagged = certificate.get("budgets_flagged", 0)
    doubt = f", {flagged} of them flagged by a check (half filled)" if flagged else ""
    return (
        "Left: final loss against parameters at fixed training compute; dashed, the parabola of "
        f"each budget; {used} of {total} budgets give a valley{doubt}. Centre and right: "
        "parameters and tokens at the valleys against compute, with the fitted laws "
        f"{power_laws(fit)} (dashed) and, in green, {at_target(fit)}."
        f"{_correction(family, certificate)}"
        f"{caption_of(unseen_of(results, setting.family, setting.target).placed('params'))}"
    )


def _correction(family: FamilyResults, certificate: CertificateJson) -> str:
    """What the crosses and the second line are, empty where none are drawn."""
    bias = certificate.get("largest_bias_ln_params")
    drawn = corrected_law(family.table("isoflop", "estimators"), params_quantity(""))
    if bias is None or drawn is None:
        return ""
    return (
        " Crosses and dash-dotted lines: the same less the parabola's bias on these grids, up to "
        f"{significant(100 * math.expm1(bias), 2)} % in N."
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    return law_in_words(setting.of(results).fits["isoflop"])


FIGURE = FigureSpec(
    name="isoflop",
    title="IsoFLOP curves",
    about="Loss against params at each training budget, the bottom of every valley, and the power "
    "laws of params and tokens through those bottoms to {target} FLOPs, raw and less the "
    "parabola's bias, with bootstrap intervals.",
    section=Section.LAWS,
    needs=Needs(
        fits=("isoflop",),
        draws=("isoflop",),
        tables=("isoflop.vertices", "isoflop.profiles", "isoflop.estimators"),
        unseen=True,
    ),
    laws=("isoflop",),
    draw=draw,
    caption=caption,
    alt=alt,
    first_target=True,
)
