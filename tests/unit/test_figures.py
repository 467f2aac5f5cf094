"""The figures: what stands in them, where it stands, and that it stays the same to the byte."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from flopline.errors import FloplineError
from flopline.figures import surface_figure
from flopline.figures.envelope_figure import BINS, envelope
from flopline.figures.isoflop_figure import isoflop
from flopline.figures.lawpanel import bracket
from flopline.figures.panels import law_style
from flopline.figures.registry import FIGURES
from flopline.figures.spec import Setting, figure_module
from flopline.figures.spots import clear_spot, filled
from flopline.figures.style import GREY, GUIDE_GREEN, INK, MAKO, mako, save
from flopline.figures.surface_figure import Panel, law_text, surface
from flopline.figures.ticks import (
    flops_labels,
    log_ticks,
    set_log_ticks,
    short,
)
from flopline.laws.isoflop import isoflop_fit as isoflop_fit
from flopline.numbers import humanise
from flopline.results import FamilyResults, StudyResults
from tests.builders.designs import GOPHER, HOFFMANN_BUDGETS
from tests.builders.digitised import chinchilla_points, less_outliers
from tests.builders.drawn_figures import simple_envelope, simple_isoflop
from tests.builders.figure_checks import (
    assert_clean,
    assert_legends_clean,
    by_gid,
    reasons_of,
    renderer_of,
    scenes,
    texts_of,
    tick_labels,
)
from tests.builders.figure_results import caption_of
from tests.builders.figure_tables import (
    chinchilla_panel,
    envelope_tables,
    isoflop_tables,
    multimodal_panels,
    tiny_panel,
)
from tests.builders.fit_json import estimate, surface_json
from tests.builders.surfaces import BESIROGLU, NMM_SPARSE, TINY
from tests.conftest import ROOT

CASES = {
    "chinchilla-3": (BESIROGLU, HOFFMANN_BUDGETS[::4], GOPHER),
    "chinchilla-6": (BESIROGLU, HOFFMANN_BUDGETS[:6], GOPHER),
    "chinchilla-9": (BESIROGLU, HOFFMANN_BUDGETS, GOPHER),
    "chinchilla-12": (BESIROGLU, tuple(np.geomspace(1e18, 3e21, 12)), GOPHER),
    "tiny-3": (TINY, (4e10, 4e11, 4e12), 1e15),
    "tiny-6": (TINY, (4e10, 1e11, 4e11, 1e12, 4e12, 1e13), 1e15),
    "tiny-9": (TINY, tuple(np.geomspace(4e10, 1e13, 9)), 1e15),
    "tiny-12": (TINY, tuple(np.geomspace(4e10, 1e13, 12)), 1e15),
}


@pytest.fixture(scope="module", params=CASES)
def drawn(request):
    law, budgets, target = CASES[request.param]
    fit, vertices, profiles, draws = isoflop_tables(law, budgets)
    figure = isoflop(
        fit, vertices, profiles, family_label="Dense", target_flops=target, draws=draws
    )
    return figure, fit, vertices, profiles, target


# The isoFLOP figure


def test_isoflop_has_three_labelled_panels(drawn):
    figure, *_ = drawn
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert labels == [
        ("Parameters", "Validation loss"),
        ("FLOPs", "Parameters"),
        ("FLOPs", "Tokens"),
    ]
    scales = [(axes.get_xscale(), axes.get_yscale()) for axes in figure.axes]
    assert scales == [("log", "linear"), ("log", "log"), ("log", "log")]


def test_every_budget_has_one_solid_line_and_one_dashed_parabola_past_its_data(drawn):
    figure, _, vertices, profiles, _ = drawn
    left = figure.axes[0]
    parabolas, lines = by_gid(left, "parabola"), by_gid(left, "profile")
    assert len(parabolas) == len(lines) == len(vertices)
    for parabola, line, row in zip(parabolas, lines, vertices.itertuples(), strict=True):
        assert parabola.get_linestyle() == "--"
        assert line.get_linestyle() == "-"
        assert parabola.get_color() == line.get_color()
        sizes = profiles.loc[profiles["budget_flops"] == row.budget_flops, "params"]
        assert parabola.get_xdata().min() < 0.8 * sizes.min()
        assert parabola.get_xdata().max() > 1.25 * sizes.max()
        at_vertex = np.interp(row.params, parabola.get_xdata(), parabola.get_ydata())
        assert at_vertex == pytest.approx(row.loss, rel=1e-3)


def test_the_legend_names_the_budgets_and_hides_nothing(drawn):
    figure, _, vertices, profiles, _ = drawn
    left = figure.axes[0]
    legend = left.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == flops_labels(list(vertices.budget_flops))
    assert legend.get_title().get_text() == "Budget, FLOPs"
    box = legend.get_window_extent(renderer_of(figure))
    frame = left.get_window_extent()
    assert frame.x0 <= box.x0 < box.x1 <= frame.x1
    assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    points = left.transData.transform(profiles[["params", "loss"]].to_numpy())
    curves = [
        left.transData.transform(np.column_stack(line.get_data()))
        for line in by_gid(left, "parabola")
    ]
    for x, y in np.concatenate([points, *curves]):
        assert not box.contains(x, y)


def test_all_data_lie_inside_the_left_panel(drawn):
    figure, _, _, profiles, _ = drawn
    (x0, x1), (y0, y1) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert profiles["params"].between(x0, x1).all()
    assert profiles["loss"].between(y0, y1).all()


@pytest.mark.parametrize(
    ("place", "exponent", "coefficient"), [(1, "a", "N_coef"), (2, "b", "D_coef")]
)
def test_law_panels_hold_target_guides_and_the_value_in_green(drawn, place, exponent, coefficient):
    figure, fit, _, _, target = drawn
    axes = figure.axes[place]
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    p = {name: e["point"] for name, e in fit["parameters"].items()}
    value = p[coefficient] * target ** p[exponent]
    assert x0 < target < x1
    assert y0 < value < y1
    green = [t.get_text() for t in axes.texts if t.get_color() == GUIDE_GREEN]
    name = {"a": "params", "b": "tokens"}[exponent]
    stated = next((row[name] for row in fit["targets"]), None)
    assert f"{short(value)}{bracket(stated)}" in green
    for guide, (at, to) in zip(
        by_gid(axes, "guide"),
        (([target] * 2, [y0, value]), ([x0, target], [value] * 2)),
        strict=True,
    ):
        assert guide.get_color() == GUIDE_GREEN
        np.testing.assert_allclose(guide.get_xdata(), at)
        np.testing.assert_allclose(guide.get_ydata(), to)
    (law,) = by_gid(axes, "law")
    assert law.get_linestyle() == "--"
    assert law.get_color() == law_style("isoflop").color
    assert law.get_xdata()[-1] == pytest.approx(target)
    assert law.get_ydata()[-1] == pytest.approx(value)


def test_exponent_and_its_interval_stand_in_the_law_panels(drawn):
    figure, fit, *_ = drawn
    for axes, symbol, name in zip(figure.axes[1:], "ND", "ab", strict=True):
        e = fit["parameters"][name]
        text = rf"${symbol}_{{\mathrm{{opt}}}} \propto C^{{{e['point']:.2f}}}$"
        text += f" [{e['lo95']:.2f}, {e['hi95']:.2f}]"
        assert text in texts_of(axes)


def test_texts_in_law_panels_hide_neither_points_nor_law(drawn):
    figure, _, vertices, _, _ = drawn
    renderer = renderer_of(figure)
    for axes, name in zip(figure.axes[1:], ("params", "tokens"), strict=True):
        points = vertices[["budget_flops", name]].to_numpy()
        line = np.column_stack(by_gid(axes, "law")[0].get_data())
        spots = axes.transData.transform(np.concatenate([points, line]))
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        assert len(boxes) == 3
        for box in boxes:
            assert not any(box.contains(x, y) for x, y in spots)
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)


def test_vertices_stand_in_their_budget_colours_with_intervals(drawn):
    figure, _, vertices, *_ = drawn
    colors = mako(len(vertices))
    for axes, name in zip(figure.axes[1:], ("params", "tokens"), strict=True):
        marks, bars = by_gid(axes, "vertex"), by_gid(axes, "interval")
        assert [mark.get_markerfacecolor() for mark in marks] == colors
        np.testing.assert_allclose([mark.get_ydata()[0] for mark in marks], vertices[name])
        ends = np.array([bar.get_ydata() for bar in bars])
        np.testing.assert_allclose(ends, vertices[[f"{name}_lo95", f"{name}_hi95"]])


def test_isoflop_is_clean(drawn):
    assert_clean(drawn[0])


def test_of_very_many_budgets_some_are_named_and_the_others_counted():
    budgets = np.geomspace(1e15, 1e21, 50)
    figure = simple_isoflop(budgets)
    assert_clean(figure)
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert (named[0], named[-2], named[-1]) == ("1e15", "1e21", "and 38 between")
    assert len(named) == 13


def test_nine_budgets_take_the_nine_published_colours():
    lines = by_gid(simple_isoflop().axes[0], "profile")
    assert tuple(line.get_color() for line in lines) == MAKO


def test_the_published_axes_of_hoffmann_figure_3():
    _, centre, right = simple_isoflop().axes
    legend = [t.get_text() for t in simple_isoflop().axes[0].get_legend().get_texts()]
    assert legend == ["6e18", "1e19", "3e19", "6e19", "1e20", "3e20", "6e20", "1e21", "3e21"]
    ticks = [t.get_text() for t in centre.get_yticklabels()]
    assert {"100M", "1B", "10B", "100B"} <= set(ticks)
    assert {"10B", "100B", "1T"} <= {t.get_text() for t in right.get_yticklabels()}


def test_the_band_comes_from_the_draws_and_holds_the_law():
    band = simple_isoflop().axes[1].collections[0]
    edges = band.get_paths()[0].vertices
    at = edges[np.isclose(edges[:, 0], GOPHER), 1]
    p = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)[0]["parameters"]
    value = p["N_coef"]["point"] * GOPHER ** p["a"]["point"]
    assert at.min() < value < at.max()
    assert not simple_isoflop(draws=None).axes[1].collections


def test_budgets_left_out_are_hollow_and_grey():
    _, vertices, *_ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    vertices.loc[0, ["used", "inside"]] = False
    vertices.loc[0, "params"] = 1e3
    figure = simple_isoflop(vertices=vertices)
    left, centre, _ = figure.axes
    assert left.get_legend().get_texts()[0].get_text() == "6e18 (unused)"
    assert by_gid(left, "profile")[0].get_color() == GREY
    assert by_gid(left, "profile")[1].get_color() == MAKO[1]
    assert by_gid(left, "runs")[0].get_markerfacecolor() == "white"
    assert by_gid(left, "runs")[1].get_markerfacecolor() == MAKO[1]
    assert by_gid(centre, "vertex")[0].get_markerfacecolor() == "white"
    assert centre.get_ylim()[0] > 1e3
    assert_clean(figure)


def test_a_budget_without_a_valley_is_drawn_without_vertex():
    _, vertices, *_ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    names = ["params", "tokens", "loss", "c0", "c1", "c2"]
    vertices.loc[2, [*names, "params_lo95", "params_hi95", "tokens_lo95", "tokens_hi95"]] = np.nan
    vertices.loc[2, ["used", "inside"]] = False
    figure = simple_isoflop(vertices=vertices)
    assert len(by_gid(figure.axes[0], "parabola")) == 8
    assert len(by_gid(figure.axes[0], "profile")) == 9
    assert len(by_gid(figure.axes[1], "interval")) == 8


def test_a_diverged_run_is_an_arrow_and_is_counted():
    _, _, profiles, _ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    profiles.loc[8, "loss"] = 11.0
    left = simple_isoflop(profiles=profiles).axes[0]
    assert left.get_ylim()[1] < 4.0
    (arrow,) = by_gid(left, "beyond")
    assert arrow.get_xdata()[0] == profiles.loc[8, "params"]
    assert left.get_ylim()[0] < arrow.get_ydata()[0] < left.get_ylim()[1]
    assert texts_of(left) == ["▲ 1 run above, up to 11.0"]


def test_a_failed_fit_is_drawn_without_a_law():
    fit, *_ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    axes = simple_isoflop(fit=fit | {"status": "failed"}, draws=None).axes[1]
    assert not by_gid(axes, "law")
    assert not by_gid(axes, "guide")
    assert reasons_of(axes) == ["no law: the fit failed"]
    assert len(by_gid(axes, "vertex")) == 9


def test_a_target_inside_the_data_is_annotated_as_well():
    fit, vertices, profiles, draws = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    figure = isoflop(fit, vertices, profiles, family_label="Dense", target_flops=1e20, draws=draws)
    p = fit["parameters"]
    assert short(p["N_coef"]["point"] * 1e20 ** p["a"]["point"]) in texts_of(figure.axes[1])
    assert_clean(figure)


@pytest.mark.parametrize("target", [0.0, -1e20, math.nan, math.inf])
def test_a_target_that_is_no_budget_is_refused(target):
    fit, vertices, profiles, _ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS[:3])
    with pytest.raises(FloplineError, match="must be a positive number of FLOPs"):
        isoflop(fit, vertices, profiles, family_label="Dense", target_flops=target)


def test_the_digitised_chinchilla_runs(real_data):
    # With all 245 no surface fits well enough to take the parabola's bias from.
    points = less_outliers(chinchilla_points(real_data))
    result = isoflop_fit.fit(points, [GOPHER], budgets=HOFFMANN_BUDGETS, draws=100)
    figure = isoflop(
        result.to_json(),
        result.tables["vertices"],
        result.tables["profiles"],
        family_label="Chinchilla",
        target_flops=GOPHER,
        draws=result.draws,
        estimators=result.tables["estimators"],
    )
    for axes, quantity in zip(figure.axes[1:], ("params", "tokens"), strict=True):
        value = short(result.targets[0].values[quantity].point)
        assert any(text.startswith(f"{value} [") for text in texts_of(axes))
    flagged = result.tables["vertices"]["flagged"]
    assert 0 < flagged.sum() < 5
    legend = figure.axes[0].get_legend()
    names = [*flops_labels(HOFFMANN_BUDGETS), "flagged", "no budget"]
    assert [t.get_text() for t in legend.get_texts()] == names
    halves = [handle.get_fillstyle() == "bottom" for handle in legend.legend_handles]
    assert halves == [*flagged, True, False]
    assert_clean(figure)
    assert_legends_clean(figure)


@pytest.fixture(scope="module", params=[3, 12])
def corrected(request):
    """A fit to noisy runs on wide grids, whose parabolas are biased, and its figure."""
    budgets = tuple(np.geomspace(1e18, 3e21, request.param))
    _, _, profiles, _ = isoflop_tables(replace(BESIROGLU, beta=0.25), budgets, width=12.0)
    result = isoflop_fit.fit(profiles.drop(columns="reason"), [GOPHER], draws=100, seed=1)
    tables = result.tables
    figure = isoflop(
        result.to_json(),
        tables["vertices"],
        tables["profiles"],
        family_label="Dense",
        target_flops=GOPHER,
        draws=result.draws,
        estimators=tables["estimators"],
    )
    return figure, result


def test_raw_and_corrected_laws_stand_side_by_side_and_are_told_apart(corrected):
    figure, result = corrected
    row = result.tables["estimators"].set_index("estimator").loc["corrected"]
    for axes, quantity, exponent in zip(figure.axes[1:], ("params", "tokens"), "ab", strict=True):
        (raw,), (other,) = by_gid(axes, "law"), by_gid(axes, "corrected")
        assert (raw.get_linestyle(), raw.get_color()) == ("--", law_style("isoflop").color)
        assert other.get_linestyle() == "-."
        assert other.get_color() != raw.get_color()
        x, y = np.log(other.get_data())
        assert np.polyfit(x, y, 1)[0] == pytest.approx(row[exponent])
        assert other.get_ydata()[-1] == pytest.approx(row[quantity])
        assert other.get_ydata()[-1] != pytest.approx(raw.get_ydata()[-1], rel=1e-3)
        handles, texts = axes.get_legend().legend_handles, axes.get_legend().get_texts()
        assert [h.get_linestyle() for h in handles] == ["--", "-."]
        assert f"{row[exponent]:.2f}" in texts[1].get_text()
        assert texts[1].get_text().startswith("corrected ")
    assert_clean(figure)
    assert_legends_clean(figure)


def test_corrected_vertices_are_crosses_beside_the_raw_circles(corrected):
    figure, result = corrected
    vertices = result.tables["vertices"]
    for axes, quantity in zip(figure.axes[1:], ("params", "tokens"), strict=True):
        (crosses,) = by_gid(axes, "corrected vertex")
        assert crosses.get_marker() == "x"
        np.testing.assert_allclose(crosses.get_ydata(), vertices[f"{quantity}_corrected"])
        circles = by_gid(axes, "vertex")
        np.testing.assert_allclose([c.get_ydata()[0] for c in circles], vertices[quantity])
        shapes = {c.get_marker() for c in circles}
        assert shapes == ({"o"} if len(vertices) < 10 else {"o", "s", "^"})


def test_without_a_correction_only_the_raw_law_is_drawn(corrected):
    _, result = corrected
    tables = result.tables
    failed = tables["estimators"].assign(status="failed")
    figure = isoflop(
        result.to_json(),
        tables["vertices"],
        tables["profiles"],
        family_label="Dense",
        target_flops=GOPHER,
        estimators=failed,
    )
    for axes in figure.axes[1:]:
        assert len(by_gid(axes, "law")) == 1
        assert not by_gid(axes, "corrected")
        assert not by_gid(axes, "corrected vertex")
        assert axes.get_legend() is None


def test_flagged_budgets_are_half_filled_and_named():
    _, vertices, *_ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    vertices["flagged"] = [True, False, True, *[False] * 6]
    vertices.loc[2, "used"] = False
    figure = simple_isoflop(vertices=vertices)
    texts = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert [*texts[:3], *texts[9:]] == ["6e18", "1e19", "3e19 (unused)", "flagged"]
    for axes, gid in zip(figure.axes, ("valley", "vertex", "vertex"), strict=True):
        styles = [mark.get_fillstyle() for mark in by_gid(axes, gid)]
        assert styles == ["bottom", *["full"] * 8]
    assert_clean(figure)


# The envelope figure


@pytest.fixture(
    scope="module",
    params=[
        (BESIROGLU, np.geomspace(7e7, 1e10, 9), np.geomspace(2e9, 5e11, 6), GOPHER),
        (TINY, np.geomspace(5e3, 1e6, 6), np.geomspace(1e6, 1e8, 5), 1e15),
        (BESIROGLU, np.array([1e9, 2e9]), np.array([2e10]), 1e23),
    ],
    ids=["chinchilla", "tiny", "two-runs"],
)
def traced(request):
    law, sizes, horizons, target = request.param
    fit, frontier, curves = envelope_tables(law, sizes, horizons)
    figure = envelope(fit, frontier, curves, family_label="Dense", target_flops=target, thirds=True)
    return figure, fit, frontier, curves, target


def test_envelope_has_curves_a_size_bar_and_two_laws(traced):
    figure, *_ = traced
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert labels == [
        ("FLOPs", "Training loss"),
        ("FLOPs", "Parameters"),
        ("FLOPs", "Tokens"),
        ("", "Parameters"),
    ]


def test_every_curve_is_drawn_and_rasterised(traced):
    figure, _, _, curves, _ = traced
    (drawn_curves,) = by_gid(figure.axes[0], "curves")
    assert len(drawn_curves.get_segments()) == curves["run"].nunique()
    assert drawn_curves.get_rasterized()


def test_the_whole_frontier_is_in_sight(traced):
    figure, _, frontier, curves, _ = traced
    for axes, name in zip(figure.axes[:3], ("loss", "params", "tokens"), strict=True):
        assert frontier["flops"].between(*axes.get_xlim()).all()
        assert frontier[name].between(*axes.get_ylim()).all()
    height = np.ptp(frontier["loss"])
    assert figure.axes[0].get_ylim()[1] <= frontier["loss"].max() + 0.35 * height
    assert figure.axes[0].get_ylim()[1] <= curves["loss"].max() + 0.1 * height


def test_the_frontier_tells_fitted_points_from_others(traced):
    figure, _, frontier, *_ = traced
    dots = {line.get_label(): line for line in by_gid(figure.axes[0], "frontier")}
    for label, kept in (("fitted, one a bin", frontier["used"]), ("not fitted", ~frontier["used"])):
        if not kept.any():
            assert label not in dots
            continue
        drawn = {*zip(*dots[label].get_data(), strict=True)}
        assert drawn <= {*zip(frontier["flops"][kept], frontier["loss"][kept], strict=True)}
        assert 0 < len(drawn) <= min(BINS, kept.sum())
        assert dots[label].get_color() == (INK if label.startswith("fitted") else GREY)
    (line,) = by_gid(figure.axes[0], "envelope")
    assert (np.diff(line.get_ydata()) <= 0).all()
    assert line.get_ydata()[-1] == frontier["loss"].min()


def test_envelope_law_panels_hold_the_target(traced):
    figure, fit, _, _, target = traced
    p = {name: e["point"] for name, e in fit["parameters"].items()}
    for axes, value in zip(
        figure.axes[1:3],
        (p["N_coef"] * target ** p["a"], p["D_coef"] * target ** p["b"]),
        strict=True,
    ):
        assert axes.get_xlim()[0] < target < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < value < axes.get_ylim()[1]
        assert any(text.startswith(short(value)) for text in texts_of(axes))


def test_without_the_option_no_third_has_a_line():
    figure = simple_envelope()
    assert not any(by_gid(axes, "third-1") for axes in figure.axes)


def test_each_third_of_the_frontier_has_its_line(traced):
    figure, _, frontier, *_ = traced
    for axes, name in zip(figure.axes[1:3], ("params", "tokens"), strict=True):
        for number in (1, 2, 3):
            part = frontier[frontier["third"] == number]
            (line,) = by_gid(axes, f"third-{number}")
            assert line.get_xdata() == pytest.approx([part["flops"].min(), part["flops"].max()])
            slope = np.polyfit(np.log(part["flops"]), np.log(part[name]), 1)[0]
            drawn_slope = np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata()))
            assert drawn_slope[0] == pytest.approx(slope, abs=1e-6)


def test_the_caption_states_the_thirds_and_the_points_in_mid_schedule():
    fit, *_ = envelope_tables(TINY, np.geomspace(5e3, 1e5, 4), [1e6, 1e7])
    at = {"budget_flops": 1e15, "params": estimate(2e5), "tokens": estimate(8e8)}
    fit |= {"n_runs": 8, "targets": [at], "certificate": {}}
    assert "Params grow" not in caption_of("envelope", {"envelope": fit})
    fit["certificate"] = {
        "a_by_thirds": [0.6, 0.5, 0.41],
        "curvature": {"difference": -0.19, "lo95": -0.4, "hi95": 0.02, "p_value": 0.07},
        "share_mid_schedule": 0.25,
    }
    caption = caption_of("envelope", {"envelope": fit})
    assert "C^0.60 in the first third and C^0.41 in the last" in caption
    assert "(difference -0.19, 95 % interval -0.40 to +0.02)" in caption
    assert "25% of the fitted points lie in the middle of a learning-rate schedule." in caption


def test_envelope_is_clean(traced):
    assert_clean(traced[0])


def test_without_a_frontier_every_panel_says_why():
    fit, frontier, curves = envelope_tables(TINY, [1e4, 1e5], [1e7])
    fit |= {"status": "failed", "message": "no run has a whole curve"}
    figure = envelope(fit, frontier[:0], curves, family_label="Dense", target_flops=1e15)
    assert [reasons_of(axes) for axes in figure.axes] == [["no law: no run has a whole curve"]] * 3


# The loss surfaces


@pytest.mark.parametrize("show_surface", [False, True])
@pytest.mark.parametrize(
    "panels",
    [
        [chinchilla_panel()],
        [tiny_panel()],
        multimodal_panels(),
        [tiny_panel(), tiny_panel("other")],
        [*multimodal_panels(), chinchilla_panel()],
        multimodal_panels() * 2,
        [tiny_panel(str(i)) for i in range(7)],
    ],
    ids=["chinchilla", "tiny", "two", "two-tiny", "three", "four", "seven"],
)
def test_surface_is_clean_with_any_number_of_families(panels, show_surface):
    figure = surface(panels, show_surface=show_surface, synthetic=True)
    scenes_drawn = scenes(figure)
    assert len(scenes_drawn) == len(panels)
    assert len({axes.get_zlim() for axes in scenes_drawn}) == 1
    assert all(bool(by_gid(axes, "law")) == show_surface for axes in scenes_drawn)
    for axes, panel in zip(scenes_drawn, panels, strict=True):
        (runs,) = by_gid(axes, "runs")
        assert len(runs.get_offsets()) == len(panel.points)
        assert panel.points["loss"].between(*axes.get_zlim()).all()
    assert_clean(figure)


def test_surface_of_more_families_than_it_bears_draws_the_first_and_says_so(monkeypatch):
    monkeypatch.setattr(surface_figure, "MOST_PANELS", 2)
    panel = tiny_panel()
    names = ["ash", "birch", "cedar"]
    tables = {"parametric": {"points": panel.points}}
    results = StudyResults(
        {name: FamilyResults({"parametric": panel.fit}, tables=tables) for name in names}, {}
    )
    study = {"families": {n: n.title() for n in names}, "targets": [1e22], "loss_label": "Loss"}
    setting = Setting({**study, "loss_unit": None, "figures": {"fitted_surface": False}})
    assert len(scenes(surface_figure.draw(results, setting))) == 2
    for text in (surface_figure.caption(results, setting), surface_figure.alt(results, setting)):
        assert text.endswith(" Drawn are the first 2 of 3 families.")
        assert "Birch" in text
        assert "Cedar" not in text


def test_surface_axes_bars_and_laws_are_labelled():
    figure = surface(multimodal_panels())
    for axes in scenes(figure):
        labels = (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel())
        assert labels == ("Tokens seen", "Parameters", "Validation loss")
        assert "1B" in [t.get_text() for t in axes.get_yticklabels()]
        assert "200B" in [t.get_text() for t in axes.get_xticklabels()]
    bars = [axes for axes in figure.axes if not isinstance(axes, Axes3D)]
    assert [axes.get_title(loc="left") for axes in bars] == ["FLOPs"] * 2
    assert {"1e20", "1e21", "1e22"} <= {t.get_text() for t in bars[0].get_yticklabels()}
    written = [text.get_text() for text in figure.texts]
    assert written == [
        "Early fusion",
        r"$L = 1.90 + 270\,N^{-0.301} + 1860\,D^{-0.335}$",
        "Late fusion",
        r"$L = 1.89 + 250\,N^{-0.278} + 2300\,D^{-0.343}$",
    ]


def test_families_are_told_apart_by_warm_and_cool_colours():
    figure = surface(multimodal_panels())
    warm, cool = (by_gid(axes, "runs")[0].get_cmap()(0.6) for axes in scenes(figure))
    assert warm[0] > warm[2] + 0.3
    assert cool[2] > cool[0] + 0.3
    swapped = surface([chinchilla_panel(cmap="cool")])
    assert by_gid(scenes(swapped)[0], "runs")[0].get_cmap()(0.6) == cool


def test_surface_colour_is_compute():
    figure = surface([chinchilla_panel()])
    (runs,) = by_gid(scenes(figure)[0], "runs")
    points = chinchilla_panel().points.sort_values(["tokens", "params", "run"])
    np.testing.assert_allclose(runs.get_array(), points["flops"])


def test_the_law_is_written_with_the_signs_of_its_exponents():
    assert law_text(surface_json(BESIROGLU)["parameters"]) == (
        r"$L = 1.82 + 482\,N^{-0.348} + 2085\,D^{-0.366}$"
    )
    assert law_text(surface_json(NMM_SPARSE)["parameters"]) == (
        r"$L = 2.16 + 3.82{\times}10^{5}\,N^{-0.710} + 4659\,D^{-0.372}$"
    )
    assert law_text({"E": estimate(1.0)}) == ""


def test_a_failed_surface_says_so():
    failed = Panel("Dense", chinchilla_panel().points, {"status": "failed", "parameters": {}})
    figure = surface([failed], show_surface=True)
    assert [text.get_text() for text in figure.texts] == ["Dense", "no law: the fit failed"]
    assert not by_gid(scenes(figure)[0], "law")


def test_surface_refuses_what_it_cannot_draw():
    with pytest.raises(FloplineError, match="one family or more"):
        surface([])
    with pytest.raises(FloplineError, match="'Dense' has no run"):
        surface([Panel("Dense", chinchilla_panel().points[:0], {})])
    with pytest.raises(FloplineError, match="asks for the colours 'rainbow'"):
        surface([chinchilla_panel(cmap="rainbow")])


# Files


def all_figures():
    fit, frontier, curves = envelope_tables(TINY, np.geomspace(5e3, 1e5, 4), [1e6, 1e7])
    return {
        "isoflop": simple_isoflop(),
        "envelope": envelope(fit, frontier, curves, family_label="Dense", target_flops=1e15),
        "surface": surface(multimodal_panels(), show_surface=True),
    }


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    again = all_figures()
    for name, figure in all_figures().items():
        first, anew = (
            save(f, tmp_path / f"{name}{i}") for i, f in enumerate((figure, again[name]))
        )
        for one, two in zip(first, anew, strict=True):
            assert one.read_bytes() == two.read_bytes()
        # What saving leaves behind in a figure would show in any format.
        (twice,) = save(figure, tmp_path / f"{name}2", ("svg",))
        assert twice.read_bytes() == (tmp_path / f"{name}0.svg").read_bytes()


def test_files_carry_no_date_and_no_version(tmp_path):
    svg, png, pdf = save(simple_isoflop(), tmp_path / "figure")
    assert b"<dc:date>" not in svg.read_bytes()
    assert b"Matplotlib v" not in svg.read_bytes()
    assert b"tEXt" not in png.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    assert b"/Type0" in pdf.read_bytes() or b"/TrueType" in pdf.read_bytes()


def test_fonts_travel_with_the_file(tmp_path):
    svg, pdf = save(simple_isoflop(), tmp_path / "figure", formats=("svg", "pdf"))
    assert b"<text" not in svg.read_bytes()
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()


def test_rows_in_any_order_give_the_same_bytes(tmp_path):
    _, vertices, profiles, _ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS)
    env_fit, frontier, curves = envelope_tables(TINY, np.geomspace(5e3, 1e5, 4), [1e6, 1e7])
    panels = multimodal_panels()

    def mixed(table):
        return table.sample(frac=1.0, random_state=7)

    pairs = [
        (simple_isoflop(), simple_isoflop(vertices=mixed(vertices), profiles=mixed(profiles))),
        tuple(
            envelope(env_fit, one, two, family_label="Dense", target_flops=1e15)
            for one, two in ((frontier, curves), (mixed(frontier), mixed(curves)))
        ),
        tuple(
            surface([Panel(p.family_label, order(p.points), p.fit) for p in panels])
            for order in (lambda t: t, mixed)
        ),
    ]
    for one, two in pairs:
        (a,), (b,) = (save(f, tmp_path / n, formats=("svg",)) for f, n in ((one, "a"), (two, "b")))
        assert a.read_bytes() == b.read_bytes()


def test_a_users_own_matplotlib_settings_change_nothing(tmp_path):
    (plain,) = save(simple_isoflop(), tmp_path / "plain", formats=("svg",))
    loud = {"font.size": 30.0, "svg.hashsalt": None, "axes.grid": False, "lines.linewidth": 9.0}
    with matplotlib.rc_context(loud):
        (other,) = save(simple_isoflop(), tmp_path / "other", formats=("svg",))
    assert plain.read_bytes() == other.read_bytes()


def test_other_processes_give_the_same_bytes_and_leave_pyplot_alone(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from flopline.figures.style import save\n"
        "from tests.builders.drawn_figures import simple_envelope, simple_isoflop\n"
        "save(simple_isoflop(), sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    folders = [str(ROOT), str(ROOT / "workflow")]
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "other"), *folders],
        env=os.environ | {"PYTHONHASHSEED": seed},
        check=True,
    )
    save(simple_isoflop(), tmp_path / "here")
    for suffix in ("svg", "png", "pdf"):
        other, here = (tmp_path / f"{name}.{suffix}" for name in ("other", "here"))
        assert other.read_bytes() == here.read_bytes()


def test_a_dot_in_the_name_is_kept_and_folders_are_made(tmp_path):
    (file,) = save(simple_isoflop(), tmp_path / "new" / "gpt-v1.5", formats=("svg",))
    assert file == tmp_path / "new" / "gpt-v1.5.svg"
    assert file.is_file()


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(FloplineError, match="svg, png, pdf, not gif"):
        save(simple_isoflop(), tmp_path / "figure", formats=("gif",))


def test_synthetic_data_are_said_to_be_synthetic():
    fit, frontier, curves = envelope_tables(TINY, np.geomspace(5e3, 1e5, 4), [1e6, 1e7])
    figures = {
        False: simple_isoflop(),
        True: simple_isoflop(synthetic=True),
    }
    for synthetic, figure in figures.items():
        assert ("synthetic data" in [t.get_text() for t in figure.texts]) == synthetic
    labelled = envelope(
        fit, frontier, curves, family_label="Dense", target_flops=1e15, synthetic=True
    )
    assert [t.get_text() for t in labelled.texts] == ["synthetic data"]
    assert surface([tiny_panel()], synthetic=True).texts[-1].get_text() == "synthetic data"


# Colours, labels, ticks, places


def test_colours_run_from_light_to_dark_at_any_count():
    assert tuple(mako(9)) == MAKO
    for count in (1, 2, 3, 6, 12, 40):
        colors = mako(count)
        assert len(set(colors)) == count
        weights = np.array([0.2126, 0.7152, 0.0722])
        grey = [float(np.dot(weights, [int(c[i : i + 2], 16) for i in (1, 3, 5)])) for c in colors]
        assert grey == sorted(grey, reverse=True)
        assert all(c == to_hex(c) for c in colors)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (63.4e9, "63B"),
        (1.44e12, "1.4T"),
        (128e3, "128K"),
        (3.2e6, "3.2M"),
        (1e9, "1B"),
        (9.96e9, "10B"),
        (999.7e6, "1B"),
        (1.4e15, "1.4e15"),
    ],
)
def test_values_are_annotated_as_the_field_writes_them(value, text):
    assert short(value) == text


def test_budget_labels_take_the_digits_they_need():
    assert flops_labels([6e18, 1e19]) == ["6e18", "1e19"]
    assert flops_labels([1.01e18, 1.02e18]) == ["1.01e18", "1.02e18"]
    assert flops_labels([5.98e18, 9.96e18]) == ["6e18", "1e19"]


def test_ticks_follow_the_span():
    def room(count):
        return lambda values: len(values) <= count

    assert log_ticks(7e7, 4e9, room(6))[0].tolist() == [1e8, 3e8, 1e9, 3e9]
    assert log_ticks(7e7, 2e12, room(6))[0].tolist() == [1e8, 1e9, 1e10, 1e11, 1e12]
    assert log_ticks(1e17, 1e25, room(6))[0].tolist() == [1e17, 1e19, 1e21, 1e23, 1e25]
    assert log_ticks(1.5e8, 7e8, room(6))[0].tolist() == [1.5e8, 2e8, 3e8, 5e8, 7e8]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-3, 26),
    st.floats(0.05, 15),
    st.floats(60, 370),
    st.sampled_from(["width", "height"]),
)
def test_log_labels_never_run_together(start, span, length_pt, along):
    lo, hi = 10.0**start, 10.0 ** (start + span)
    figure = Figure(figsize=(6, 6), dpi=72)
    FigureCanvasAgg(figure)
    share = length_pt / (6 * 72)
    axes = figure.add_axes((0.1, 0.1, share, share))
    axes.set(xscale="log", yscale="log", xlim=(lo, hi), ylim=(lo, hi))
    axis = axes.xaxis if along == "width" else axes.yaxis
    other = axes.yaxis if along == "width" else axes.xaxis
    other.set_visible(False)
    axis.set_tick_params(labelsize=6.5)
    set_log_ticks(axis, lo, hi, length_pt, humanise, along)
    renderer = renderer_of(figure)
    majors, labels = axis.get_majorticklocs(), tick_labels(axis)
    assert np.all((majors >= lo * (1 - 1e-6)) & (majors <= hi * (1 + 1e-6)))
    if span >= 1.0:
        assert len(majors) >= 2
    assert len({label.get_text() for label in labels}) == len(labels)
    boxes = [label.get_window_extent(renderer) for label in labels]
    for one, two in itertools.combinations(boxes, 2):
        assert not one.overlaps(two)


def test_clear_spot_takes_the_first_free_place_inside():
    wall = np.column_stack([np.linspace(0, 1, 101), np.full(101, 0.1)])
    spots = [(0.0, 0.05), (0.95, 0.5), (0.2, 0.5), (0.0, 0.5)]
    assert clear_spot((0.2, 0.2), wall, spots) == (0.2, 0.5)
    assert clear_spot((0.2, 0.2), wall, spots[:2]) is None
    assert clear_spot((0.2, 0.2), wall, [(0.2, 0.12)], pad=(0.0, 0.05)) is None
    assert clear_spot((0.1, 0.1), filled((0.5, 0.5), (0.1, 0.1)), [(0.3, 0.3)]) is None


def test_no_figure_loads_scipy_to_be_imported() -> None:
    modules = [figure_module(name) for name in FIGURES]
    code = f"""
import sys
from importlib import import_module
for name in {modules}:
    import_module(name)
print(sorted(name for name in sys.modules if name.split('.')[0] in ('scipy', 'pydantic')))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
