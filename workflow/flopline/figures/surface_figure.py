"""Loss over params and tokens in three dimensions, one panel per family, with its law."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from numpy.typing import ArrayLike, NDArray

from flopline.documents import EstimateJson, FitJson
from flopline.errors import FloplineError
from flopline.figures.lawpanel import no_law, number
from flopline.figures.layout import PAGE, width_in
from flopline.figures.spec import FigureSpec, Needs, Section, Setting
from flopline.figures.style import (
    FAMILY_COLORS,
    GREY,
    INK,
    is_dense,
    mark_synthetic,
    new_figure,
    styled,
)
from flopline.figures.ticks import log_pad, set_log_ticks
from flopline.figures.unseen import (
    FORECAST_COLOR,
    FORECAST_MARKER,
    HELD_STYLE,
    NOTHING,
    Unseen,
    handles_of,
    unseen_of,
    words_of,
)
from flopline.figures.wording import exponent
from flopline.laws.common.fit_result import FAILED
from flopline.loss_units import words
from flopline.numbers import flops_label, humanise, significant
from flopline.results import FamilyResults, StudyResults
from flopline.surfaces.chinchilla import PARAMETERS, POWER, LossSurface

Floats = NDArray[np.float64]

COLOR_MAPS: Final = FAMILY_COLORS
"""Names for `Panel.cmap` with the colour of the family that each is for; all run from light (little
compute) to dark (much), through that colour."""
_LIGHTEST: Final = 0.72
_DARKEST: Final = 0.45
"""How far the ends of a map lie from its colour, on the way to white and to black."""


_EDGE_PT: Final = 90.0
"""Length on paper of the lower edges of the scene."""
_FEW: Final = 100
"""With more points than this the marks are smaller."""
_CELL_IN: Final = (3.5, 2.9)
"""Size of one panel, which a column holds as it is."""
_LETTERS: Final = 60
"""Letters that fit above a panel."""
_LOSS_STEPS: Final = (1, 2, 5, 10)

MOST_PANELS: Final = 12
"""Families that have a panel: 40 made a figure of 1.5 m, whose picture took 4.6 GB to draw."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One family: its points (columns run, params, tokens, flops, loss) and its fit JSON.

    `cmap` is a key of COLOR_MAPS; empty takes the next one in order. `unseen` is what no fit saw:
    the forecast stands where its N and D are, runs held out as stars.
    """

    family_label: str
    points: pd.DataFrame
    fit: FitJson
    cmap: str = ""
    unseen: Unseen = NOTHING


@dataclass(frozen=True, slots=True)
class _Range:
    """Limits shared by all panels, so that they can be compared."""

    tokens: tuple[float, float]
    params: tuple[float, float]
    loss: tuple[float, float]
    flops: tuple[float, float]


@styled
def surface(
    panels: Sequence[Panel],
    *,
    loss_label: str = "Validation loss",
    params_label: str = "Parameters",
    tokens_label: str = "Tokens seen",
    show_surface: bool = False,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Loss of every run over its tokens and params, families side by side, two to a row of a page.

    Colour is compute [FLOPs]; the law, as L = E + A N^-alpha + B D^-beta, stands above each panel
    (in full: the figure this follows prints the exponents alone); `show_surface` adds its mesh.
    All panels share their axes and the range of their colours. Raises FloplineError without
    panels, for a panel without points, for an unknown `cmap` and for a `width` that is none of
    layout.WIDTHS_IN.

    After Shukor et al. 2025 (arXiv 2504.07951), Fig. 2.
    """
    _check(panels)
    shared = _ranges(panels)
    columns = min(len(panels), int(width_in(width) / _CELL_IN[0]))
    rows = math.ceil(len(panels) / columns)
    # A lone panel is no wider on a page than in a column.
    total = _CELL_IN[0] if columns == 1 else width_in(width)
    figure = new_figure(total, rows * _CELL_IN[1])
    names = list(COLOR_MAPS)
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        cell = (column / columns, 1 - (row + 1) / rows, 1 / rows)
        cmap = color_map(panel.cmap or names[i % len(names)])
        labels = (tokens_label, params_label, loss_label)
        _draw_panel(figure, cell, panel, shared, cmap, labels, show_surface)
    if synthetic:
        mark_synthetic(figure)
    return figure


def color_map(name: str) -> Colormap:
    """The colour map of a key of COLOR_MAPS."""
    middle = np.array(to_rgb(COLOR_MAPS[name]))
    ends = middle + _LIGHTEST * (1 - middle), middle * (1 - _DARKEST)
    return LinearSegmentedColormap.from_list(f"flopline_{name}", [ends[0], middle, ends[1]])


def law_text(parameters: Mapping[str, EstimateJson]) -> str:
    """Mathtext of L = E + A N^-alpha + B D^-beta with the fitted numbers; "" if any is missing.

    Where the law has a power k, the two terms stand in brackets with it.
    """
    law = _law(parameters)
    if law is None:
        return ""
    e, a, b, alpha, beta, k = (float(np.asarray(v)) for v in (*_in_order(law), law.k))
    terms = [f"{_amount(a)}\\,N^{{{-alpha:.3f}}}", f"{_amount(b)}\\,D^{{{-beta:.3f}}}"]
    both = " + ".join(terms)
    above = both if law.straight else f"({both})^{{{k:.3f}}}"
    return f"$L = {significant(e, 3)} + {above}$"


def _law(parameters: Mapping[str, EstimateJson]) -> LossSurface | None:
    """The surface that a fit's parameters state; None if any is missing."""
    stated = {name: number(parameters[name]) for name in (*PARAMETERS, POWER) if name in parameters}
    if not set(PARAMETERS) <= set(stated) or not np.isfinite(list(stated.values())).all():
        return None
    return LossSurface.stated(stated)


def _in_order(law: LossSurface) -> list[ArrayLike]:
    return [getattr(law, name) for name in PARAMETERS]


def _amount(value: float) -> str:
    if 0.01 <= value < 9999.5:
        return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}"
    mantissa, exponent = flops_label(value).split("e")
    return f"{mantissa}{{\\times}}10^{{{exponent}}}"


def _check(panels: Sequence[Panel]) -> None:
    if not panels:
        raise FloplineError("The surface figure needs one family or more, but got none.")
    for panel in panels:
        if panel.points.empty:
            raise FloplineError(
                f"Family '{panel.family_label}' has no run to draw in the surface figure: "
                "leave it out or add runs."
            )
        if panel.cmap and panel.cmap not in COLOR_MAPS:
            raise FloplineError(
                f"Family '{panel.family_label}' asks for the colours '{panel.cmap}', "
                f"but there are only {', '.join(COLOR_MAPS)}: choose one of these."
            )


def _ranges(panels: Sequence[Panel]) -> _Range:
    every = pd.concat([panel.points for panel in panels])

    def unseen(name: str) -> list[float]:
        values = [value for panel in panels for value in panel.unseen.column(name)]
        for panel in panels:
            if panel.unseen.loss and name in ("tokens", "params"):
                values.append(panel.unseen.ends(name)[0])
            elif panel.unseen.loss and name == "loss":
                values += panel.unseen.ends(name)
        return values

    def log_range(name: str, pad: float) -> tuple[float, float]:
        values = [float(every[name].min()), float(every[name].max()), *unseen(name)]
        return log_pad(min(values), max(values), pad, pad)

    losses = [float(every["loss"].min()), float(every["loss"].max()), *unseen("loss")]
    low, high = min(losses), max(losses)
    pad = 0.06 * (high - low or 0.1)
    return _Range(
        tokens=log_range("tokens", 0.05),
        params=log_range("params", 0.05),
        loss=(low - 1.5 * pad, high + pad),
        flops=log_range("flops", 0.0),
    )


def _draw_panel(
    figure: Figure,
    cell: tuple[float, float, float],
    panel: Panel,
    shared: _Range,
    cmap: Colormap,
    labels: tuple[str, str, str],
    show_surface: bool,
) -> None:
    left, bottom, height = cell
    inch = 1 / figure.get_size_inches()
    # A 3-D scene leaves wide margins inside its axes, so the axes may reach under the heading.
    axes = figure.add_axes(
        (left + 0.22 * inch[0], bottom + 0.02 * inch[1], 2.75 * inch[0], 2.7 * inch[1]),
        projection="3d",
    )
    assert isinstance(axes, Axes3D)
    norm = LogNorm(*shared.flops)
    points = panel.points.sort_values(["tokens", "params", "run"])
    parameters = {} if panel.fit.get("status") == FAILED else panel.fit.get("parameters", {})
    law = law_text(parameters)
    _frame(axes, shared, labels)
    mesh = show_surface and bool(law)
    if mesh:
        _draw_mesh(axes, parameters, points, shared.loss)
    xyz = [points[name].to_numpy(float) for name in ("tokens", "params", "loss")]
    # Stems tell where a point stands; the mesh does so too, and both together are a thicket.
    faint = min(0.6, 40.0 / len(points))
    dense = is_dense(len(points))
    if not mesh:
        feet = np.column_stack([*xyz[:2], np.full(len(points), shared.loss[0])])
        stems = Line3DCollection(
            np.stack([feet, np.column_stack(xyz)], axis=1), colors=GREY, linewidths=0.4,
            alpha=faint, zorder=1, rasterized=dense, gid="stems",
        )  # fmt: skip
        axes.add_collection3d(stems, autolim=False)
    axes.scatter(
        *xyz,
        c=points["flops"].to_numpy(float),
        norm=norm,
        cmap=cmap,
        s=13 if len(points) <= _FEW else 2 if dense else 8,
        depthshade=False,
        zorder=2,
        edgecolors="#333333",
        linewidths=0.0 if dense else 0.3,
        rasterized=dense,
        gid="runs",
    )
    _draw_unseen(axes, panel, shared)
    handles = handles_of(panel.unseen)
    if handles:
        figure.legend(
            handles=handles, loc="lower left", borderaxespad=0, borderpad=0, handlelength=1.2,
            handletextpad=0.4, labelspacing=0.28,
            bbox_to_anchor=(left + 2.86 * inch[0], bottom + 0.14 * inch[1]),
        )  # fmt: skip
    top, middle = bottom + height, left + 1.6 * inch[0]
    for text, below_in, size in (
        (panel.family_label, 0.06, 8.5),
        (law or textwrap.fill(no_law(panel.fit), _LETTERS), 0.22, 7.5),
    ):
        figure.text(middle, top - below_in * inch[1], text, ha="center", va="top", fontsize=size)
    bar = figure.add_axes(
        (left + 3.04 * inch[0], bottom + 0.62 * inch[1], 0.07 * inch[0], 1.5 * inch[1])
    )
    _draw_bar(bar, norm, cmap)


def _draw_unseen(axes: Axes3D, panel: Panel, shared: _Range) -> None:
    """The forecast of the loss, upright over its N and D, and the runs held out, on stems."""
    unseen = panel.unseen
    if panel.unseen.loss:
        d, n = unseen.ends("tokens")[0], unseen.ends("params")[0]
        point, *ends = unseen.ends("loss")
        style = {"color": FORECAST_COLOR, "zorder": 3}
        axes.plot([d, d], [n, n], [shared.loss[0], point], ":", lw=0.7, **style)
        axes.plot([d, d], [n, n], ends, "-", lw=1.4, gid="forecast-95", **style)
        axes.plot(
            [d],
            [n],
            [point],
            FORECAST_MARKER,
            ms=4.6,
            mec="white",
            mew=0.5,
            gid="forecast",
            **style,
        )
    if len(unseen.held):
        xyz = [unseen.column(name) for name in ("tokens", "params", "loss")]
        for d, n, loss in zip(*xyz, strict=True):
            axes.plot([d, d], [n, n], [shared.loss[0], loss], ":", color=INK, lw=0.5, zorder=1)
        axes.plot(*xyz, ls="none", zorder=3.2, gid="held out", **HELD_STYLE)


def _frame(axes: Axes3D, shared: _Range, labels: tuple[str, str, str]) -> None:
    """Scales, limits, ticks and the viewpoint: low losses in front, so that nothing is hidden."""
    axes.set_proj_type("ortho")
    axes.computed_zorder = False
    axes.view_init(elev=20, azim=38)
    axes.set_box_aspect((1.0, 1.0, 0.82), zoom=0.93)
    axes.set(xscale="log", yscale="log", xlim=shared.tokens, ylim=shared.params, zlim=shared.loss)
    axes.set_xlabel(labels[0], labelpad=1)
    axes.set_ylabel(labels[1], labelpad=-3)
    axes.set_zlabel(labels[2], labelpad=-4)
    set_log_ticks(axes.xaxis, *shared.tokens, _EDGE_PT, humanise, "width", minors=False)
    set_log_ticks(axes.yaxis, *shared.params, _EDGE_PT, humanise, "width", minors=False)
    axes.zaxis.set_major_locator(MaxNLocator(5, steps=_LOSS_STEPS))
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color("#f6f6f6")
        axis.set_tick_params(pad=-2.5)
    # Away from the front corner, where the two axes meet.
    for label in axes.xaxis.get_majorticklabels():
        label.set_horizontalalignment("left")
    for label in axes.yaxis.get_majorticklabels():
        label.set_horizontalalignment("right")


def _draw_mesh(
    axes: Axes3D,
    parameters: Mapping[str, EstimateJson],
    points: pd.DataFrame,
    limits: tuple[float, float],
) -> None:
    """The law over the params and tokens that the family has runs for, within the loss `limits`."""
    law = _law(parameters)
    assert law is not None
    grid = [
        np.geomspace(points[name].min(), points[name].max(), 25) for name in ("tokens", "params")
    ]
    tokens, params = np.meshgrid(*grid)
    loss = law.loss(params, tokens)
    loss[(loss < limits[0]) | (loss > limits[1])] = np.nan
    axes.plot_wireframe(
        tokens, params, loss, color="#777777", lw=0.35, alpha=0.6, zorder=1.1, gid="law"
    )


def _draw_bar(axes: Axes, norm: LogNorm, cmap: Colormap) -> None:
    low, high = float(norm.vmin or 1.0), float(norm.vmax or 10.0)
    axes.figure.colorbar(ScalarMappable(norm, cmap), cax=axes)
    # Above the label of a tick at the very end of the bar.
    axes.set_title("FLOPs", loc="left", fontsize=7.0, pad=5.0)
    height_pt = axes.get_window_extent().height / axes.figure.dpi * 72
    set_log_ticks(axes.yaxis, low, high, height_pt, flops_label, "height")
    axes.grid(False)


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of a study."""
    labels = setting.family_labels
    return surface(
        [
            Panel(
                labels[family],
                results_of.tables["parametric"]["points"],
                results_of.fits["parametric"],
                unseen=_unseen(results, family, setting),
            )
            for family, results_of in _drawn(results).items()
        ],
        loss_label=setting.loss_label,
        show_surface=setting.study["figures"]["fitted_surface"],
        width=setting.width,
        synthetic=setting.synthetic,
    )


def _drawn(results: StudyResults) -> dict[str, FamilyResults]:
    """The families that have a panel: as many as a figure can bear, in the study's order."""
    return dict(islice(results.families.items(), MOST_PANELS))


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    exponents = "; ".join(
        f"{setting.labels[family]}: alpha {exponent(fit, 'alpha')}, beta {exponent(fit, 'beta')}"
        for family, family_results in _drawn(results).items()
        for fit in [family_results.fits["parametric"]]
    )
    return (
        "Loss of every run over its tokens and parameters, coloured by training FLOPs; above each "
        f"panel the fitted law. Its exponents: {exponents}.{_marks(results, setting)}"
        f"{_left_out(results)}"
    )


def _left_out(results: StudyResults) -> str:
    """A sentence on families without a panel; empty where all have one."""
    many = len(results.families)
    return f" Drawn are the first {MOST_PANELS} of {many} families." if many > MOST_PANELS else ""


def _unseen(results: StudyResults, family: str, setting: Setting) -> Unseen:
    """What no fit of a family has seen, as far as it has a place in the scene."""
    return unseen_of(results, family, setting.target).placed("params", "tokens")


def _marks(results: StudyResults, setting: Setting) -> str:
    """What the marks of runs and losses that no fit has seen are, with each family's forecast."""
    parts = [
        f"{setting.labels[family]}: {marks}"
        for family in _drawn(results)
        if (marks := words_of(_unseen(results, family, setting)))
    ]
    return f" Also, for {'; for '.join(parts)}." if parts else ""


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    unit = words(setting.loss_unit)
    return " ".join(
        f"For {setting.labels[family]} {_in_words(of_family.fits['parametric'], unit)}"
        for family, of_family in _drawn(results).items()
    ) + _left_out(results)


def _in_words(fit: FitJson, unit: str) -> str:
    if fit["status"] == FAILED:
        return f"no surface was fitted: {fit['message']}"
    e, alpha, beta = (number(fit["parameters"][name]) for name in ("E", "alpha", "beta"))
    floor = (
        f"the loss falls to {significant(e)} {unit} in the limit"
        if e
        else "these runs show no floor of the loss"
    )
    return f"{floor}, with exponents {alpha:.3f} in params and {beta:.3f} in tokens."


FIGURE = FigureSpec(
    name="surface",
    title="Loss surfaces",
    about="The parametric loss surface L(N, D) = E + A/N^alpha + B/D^beta over params and tokens "
    "of every family, with every run that it was fitted to.",
    section=Section.LAWS,
    needs=Needs(fits=("parametric",), tables=("parametric.points",), unseen=True),
    per_family=False,
    laws=("parametric",),
    options=("families", "targets", "loss_label", "loss_unit", "figures"),
    draw=draw,
    caption=caption,
    alt=alt,
    first_target=True,
)
