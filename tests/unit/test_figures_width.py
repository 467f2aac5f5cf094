"""Figures at every width, of the smallest and the largest studies: whole, clean and small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import proj3d

from flopline.errors import FloplineError
from flopline.figures.isoflop_figure import isoflop
from flopline.figures.layout import EDGE_IN, LONE_IN, WIDTHS_IN, Box, bar_beside, laid_out
from flopline.figures.registry import FIGURES
from flopline.figures.style import SMALL_PT, save
from flopline.figures.surface_figure import Panel, surface
from flopline.schema import split_label
from tests.builders.audit_parts import made_up
from tests.builders.curves import curves_of
from tests.builders.designs import GOPHER, HOFFMANN_BUDGETS, grid_runs
from tests.builders.drawn_figures import drawn_audits, simple_envelope, simple_isoflop
from tests.builders.figure_checks import assert_clean, by_gid, reasons_of, renderer_of, scenes
from tests.builders.figure_collisions import collisions
from tests.builders.figure_tables import (
    chinchilla_panel,
    grid_panel,
    isoflop_tables,
    multimodal_panels,
)
from tests.builders.study_example import drawn_for_study, example
from tests.builders.surfaces import BESIROGLU, TINY

LARGEST_FILE = 1_500_000


def many_curves() -> pd.DataFrame:
    """5,040 curves of 40 steps each."""
    runs = grid_runs(TINY, np.geomspace(5e3, 1e6, 70), np.geomspace(1e6, 1e8, 72))
    return curves_of(runs, TINY, np.geomspace(0.01, 1.0, 40))


@pytest.fixture(scope="module")
def pages() -> dict[str, Figure]:
    return {name: example(name, "page") for name in FIGURES}


@pytest.fixture(scope="module")
def columns() -> dict[str, Figure]:
    return {name: example(name, "column") for name in FIGURES}


def sizes_of_text(figure: Figure) -> set[float]:
    texts = [text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.title)]
    ticks = [t for axes in figure.axes for t in axes.get_xticklabels() if t.get_text()]
    return {text.get_fontsize() for text in (*texts, *ticks)}


def test_a_column_is_stacked_and_not_shrunk(pages: Any, columns: Any) -> None:
    for name, page in pages.items():
        column = columns[name]
        total = page.get_size_inches()[0]
        assert total == pytest.approx(LONE_IN if len(page.axes) == 1 else 7.2), name
        assert column.get_size_inches()[0] == pytest.approx(3.5), name
        assert len(column.axes) == len(page.axes), name
        assert sizes_of_text(column) == sizes_of_text(page), name
        assert min(sizes_of_text(column)) >= SMALL_PT - 0.5, name
        if len(page.axes) > 1:
            assert column.get_size_inches()[1] > 1.3 * page.get_size_inches()[1], name


@pytest.mark.parametrize("name", FIGURES)
def test_a_column_is_clean(columns: Any, name: str) -> None:
    assert_clean(columns[name])


@pytest.mark.parametrize("width", WIDTHS_IN)
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_that_is_listed_is_drawn_cleanly_for_a_study(name: str, width: str) -> None:
    assert_clean(drawn_for_study(name, width))


def test_no_legend_leaves_its_figure(pages: Any, columns: Any) -> None:
    for name, figure in [*pages.items(), *columns.items()]:
        renderer = renderer_of(figure)
        width, height = figure.canvas.get_width_height()
        legends = [axes.get_legend() for axes in figure.axes] + figure.legends
        for legend in filter(None, legends):
            box = legend.get_window_extent(renderer)
            assert box.x0 >= 0, name
            assert box.y0 >= 0, name
            assert box.x1 <= width, name
            assert box.y1 <= height, name


@pytest.mark.parametrize("name", FIGURES)
def test_no_label_lies_on_a_line_and_no_legend_on_data(name: str, pages: Any, columns: Any) -> None:
    for figure in (pages[name], columns[name]):
        assert [str(each) for each in collisions(figure)] == []


def test_what_lies_on_each_other_is_seen() -> None:
    figure, (axes,) = laid_out("column", [Box(2.0, 2.0)])
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    axes.plot([0, 1], [0.5, 0.5], gid="level", label="data")
    axes.text(0.4, 0.49, "crossed")
    axes.text(0.45, 0.49, "and hidden")
    axes.legend(loc="center right")
    kinds = {each.kind for each in collisions(figure)}
    assert kinds >= {"text on text", "line through text", "line under legend"}
    assert any("'crossed' and 'level'" in str(each) for each in collisions(figure))


@settings(max_examples=20, deadline=None)
@given(
    width=st.sampled_from(sorted(WIDTHS_IN)),
    boxes=st.lists(
        st.builds(
            Box,
            width=st.floats(0.5, 2.0),
            height=st.floats(0.5, 3.0),
            left=st.floats(0.1, 1.0),
            right=st.floats(0.0, 0.4),
        ),
        min_size=1,
        max_size=7,
    ),
)
def test_panels_laid_out_fill_the_width_and_never_overlap(width: str, boxes: list[Box]) -> None:
    figure, axes = laid_out(width, boxes, head_in=0.2)
    total, tall = figure.get_size_inches()
    assert total == WIDTHS_IN[width]
    places = [a.get_position() for a in axes]
    for box, place in zip(boxes, places, strict=True):
        assert place.height * tall == pytest.approx(box.height)
        assert place.x0 * total >= box.left - 1e-9
        assert 0 < place.y0 < place.y1 < 1
    for place, after in zip(places, [*places[1:], None], strict=True):
        if after is None or after.y1 <= place.y0:  # the last of its row
            box = boxes[places.index(place)]
            assert (1 - place.x1) * total == pytest.approx(max(box.right, EDGE_IN))
        else:
            assert place.x1 < after.x0
            assert place.y0 == after.y0
    bar = bar_beside(axes[0]).get_position()
    assert (bar.x0 - places[0].x1) * total == pytest.approx(0.06)
    assert bar.y0 == places[0].y0


def test_an_unknown_width_is_refused() -> None:
    with pytest.raises(FloplineError, match=r"`figures.width` must be page or column, not 'wide'"):
        simple_isoflop(HOFFMANN_BUDGETS[:3], width="wide")


# The smallest and the largest studies


@pytest.mark.parametrize("width", WIDTHS_IN)
@pytest.mark.parametrize("budgets", [3, 20])
def test_few_and_many_budgets_are_clean(budgets: int, width: str) -> None:
    figure = simple_isoflop(np.geomspace(6e18, 3e21, budgets), width=width)
    legend = figure.axes[0].get_legend()
    assert len(legend.get_texts()) == budgets
    box, frame = legend.get_window_extent(renderer_of(figure)), figure.axes[0].bbox
    assert frame.x0 <= box.x0 < box.x1 <= frame.x1
    assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    lowest = [line.get_xydata() for line in by_gid(figure.axes[0], "parabola")]
    points = figure.axes[0].transData.transform(np.concatenate(lowest))
    assert not any(box.contains(x, y) for x, y in points)
    assert_clean(figure)


@pytest.mark.parametrize("width", WIDTHS_IN)
@pytest.mark.parametrize("families", [1, 6])
def test_one_and_six_families_are_clean(families: int, width: str) -> None:
    panels = (multimodal_panels() * 3)[:families]
    figure = surface(panels, show_surface=True, width=width)
    assert len(scenes(figure)) == families
    assert figure.get_size_inches()[0] <= WIDTHS_IN[width]
    assert_clean(figure)


@pytest.mark.parametrize("panel", [multimodal_panels()[0], chinchilla_panel()])
def test_no_run_hides_another_and_the_mesh_hides_none(panel: Panel) -> None:
    figure = surface([panel], show_surface=True)
    renderer_of(figure)
    (axes,) = scenes(figure)
    (runs,), (mesh,) = by_gid(axes, "runs"), by_gid(axes, "law")
    assert not axes.computed_zorder
    assert mesh.get_zorder() < runs.get_zorder()
    x, y, z = (panel.points[name].to_numpy() for name in ("tokens", "params", "loss"))
    flat = np.column_stack(proj3d.proj_transform(np.log10(x), np.log10(y), z, axes.M)[:2])
    spots = axes.transData.transform(flat)
    apart = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    radius = np.sqrt(runs.get_sizes()[0]) / 2 / 72 * figure.dpi
    assert apart.min() > radius


def test_five_runs_without_a_law_are_drawn_with_the_reason() -> None:
    points = grid_runs(BESIROGLU, [1e8, 1e9, 3e9], [1e9, 1e10])[:5]
    why = "five runs do not determine five unknowns: the optimum lies at the edge of its bounds"
    failed = Panel("Dense", points, {"status": "failed", "message": why})
    for width in WIDTHS_IN:
        figure = surface([failed], show_surface=True, width=width)
        reasons = [text.get_text().replace("\n", " ") for text in figure.texts]
        assert reasons == ["Dense", f"no law: {why}"]
        (axes,) = scenes(figure)
        # Without a mesh, stems show where the runs stand.
        assert by_gid(axes, "stems")
        assert not by_gid(axes, "law")
        assert_clean(figure)


def test_an_isoflop_fit_without_budgets_or_law_is_drawn_with_the_reason() -> None:
    fit, vertices, profiles, _ = isoflop_tables(BESIROGLU, HOFFMANN_BUDGETS[:3])
    why = "isoFLOP needs at least 3 budgets with a usable vertex, but 'dense' has 2 of 3"
    fit |= {"status": "failed", "message": why}
    for width in WIDTHS_IN:
        given_ = {"family_label": "Dense", "target_flops": GOPHER, "width": width}
        bare = isoflop(fit, vertices[:0], profiles[:0], **given_)
        assert [reasons_of(axes) for axes in bare.axes] == [[f"no law: {why}"]] * 3
        figure = isoflop(fit, vertices, profiles, **given_)
        assert reasons_of(figure.axes[0]) == []
        assert [reasons_of(axes) for axes in figure.axes[1:]] == [[f"no law: {why}"]] * 2
        renderer = renderer_of(figure)
        for axes, name in zip(figure.axes[1:], ("params", "tokens"), strict=True):
            (text,) = by_gid(axes, "reason")
            spots = axes.transData.transform(vertices[["budget_flops", name]].to_numpy())
            box = text.get_window_extent(renderer)
            assert not any(box.contains(x, y) for x, y in spots)
            assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1
        assert_clean(figure)


def test_five_thousand_runs_make_small_files(tmp_path: Path) -> None:
    panel = grid_panel("Dense", BESIROGLU, np.geomspace(5e7, 1e10, 70), np.geomspace(2e8, 3e11, 72))
    points = panel.points
    figures = {
        "isoflop": simple_isoflop(np.geomspace(6e18, 3e21, 20), sizes=250),
        "envelope": simple_envelope(horizons=[1e6, 1e7, 1e8], curves=many_curves()),
        "surface": surface([panel]),
    }
    parts = made_up("chinchilla")
    many = points.sort_values("run").assign(log_residual=np.linspace(-0.01, 0.01, len(points)))
    parts["residuals"], parts["runs"] = many, many.drop(columns="log_residual")
    step = parts["findings"][0]["tables"]
    first = step["predictions"][: len(step["predictions"])].iloc[0]
    step["predictions"] = many.assign(**{
        name: first[name] for name in ("largest_flops", "log_error")
    }, predicted=many["loss"], predicted_lo95=0.98 * many["loss"],
        predicted_hi95=1.02 * many["loss"])  # fmt: skip
    audits = drawn_audits(parts)
    figures |= {name: audits[name] for name in ("ladder", "identifiability")}
    for name, figure in figures.items():
        for file in save(figure, tmp_path / name, ("svg", "pdf")):
            assert file.stat().st_size < LARGEST_FILE / 3, file.name
    images = (tmp_path / "surface.svg").read_text().count("<image ")
    assert 1 <= images <= 4


@pytest.mark.parametrize(
    ("split", "label"),
    [
        ("train", "Training loss"),
        ("val", "Validation loss"),
        ("validation", "Validation loss"),
        ("test", "Test loss"),
        ("c4_en", "Loss (c4_en)"),
    ],
)
def test_the_label_of_a_loss_follows_its_split(split: str, label: str) -> None:
    assert split_label(split) == label
