"""The audit's figures: what stands in each panel, what stands there instead, clean and stable."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from flopline.audit.waste import wasted_share
from flopline.figures.panels import law_style, ratio_axis
from flopline.figures.stakes_figure import MOST_CHANGES
from flopline.figures.style import new_figure, save
from flopline.laws.registry import LAWS
from flopline.numbers import factor
from tests.builders.audit_parts import SIZES, made_up
from tests.builders.drawn_figures import drawn_audits
from tests.builders.figure_checks import (
    assert_clean,
    by_gid,
    reasons_in,
    renderer_of,
    texts_of,
    tick_labels,
)
from tests.builders.surfaces import BESIROGLU


def titled(figure: Figure, title: str) -> Any:
    (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left") == title)
    return axes


@pytest.fixture(scope="module", params=SIZES)
def scene(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Figure]]:
    parts = made_up(request.param)
    return parts, drawn_audits(parts, synthetic=True)


def test_no_text_of_any_figure_touches_another(scene: Any) -> None:
    for figure in scene[1].values():
        assert_clean(figure)


def test_every_figure_of_synthetic_data_says_so(scene: Any) -> None:
    for figure in scene[1].values():
        assert "synthetic data" in [text.get_text() for text in figure.texts]


def test_the_ladder_holds_main_lines_and_the_baseline_against_each_other(scene: Any) -> None:
    parts, figures = scene
    (axes,) = figures["ladder"].axes
    optima = parts["findings"][0]["tables"]["optima"]
    for law, off in (("parametric", 1.0), ("isoflop", -2.0)):
        (dots,) = by_gid(axes, law)
        np.testing.assert_allclose(dots.get_ydata(), off)
        assert len(dots.get_xdata()) == (optima["law"] == law).sum()
        steps = by_gid(axes, f"{law} step")
        assert sum(len(step.get_xdata()) for step in steps) == len(dots.get_xdata())
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [text for text in labels if text[:2] in ("is", "pa")] == ["isoFLOP", "parametric"]


def test_the_ladder_says_how_far_the_target_lies_beyond_the_runs(scene: Any) -> None:
    parts, figures = scene
    (axes,) = figures["ladder"].axes
    (guide,) = by_gid(axes, "guide")
    reach = parts["target_flops"] / parts["runs"]["flops"].max()
    assert guide.get_xdata() == pytest.approx([reach, reach])
    assert f"{factor(reach)} beyond the runs" in texts_of(axes)[0]


def test_an_error_far_off_becomes_an_arrow_at_the_edge() -> None:
    parts = made_up("tiny")
    (plain,) = drawn_audits(parts)["ladder"].axes
    optima = parts["findings"][0]["tables"]["optima"]
    optima.loc[optima.index[0], "loss_predicted"] *= 50
    (axes,) = drawn_audits(parts)["ladder"].axes
    assert sum(len(mark.get_xdata()) for mark in by_gid(plain, "beyond")) == 0
    assert sum(len(mark.get_xdata()) for mark in by_gid(axes, "beyond")) == 1
    assert axes.get_ylim()[1] < 100


def test_the_profile_shades_what_fits_nearly_as_well(scene: Any) -> None:
    top = titled(scene[1]["identifiability"], "White ash: what E may be")
    (shade,) = by_gid(top, "near")
    ends = shade.get_x(), shade.get_x() + shade.get_width()
    # 4 (E - best)^2 <= 0.08, on a grid of hundredths.
    assert ends == pytest.approx((BESIROGLU.E - 0.1414, BESIROGLU.E + 0.1414), abs=0.011)


def test_residuals_point_up_where_a_run_is_worse_than_the_law(scene: Any) -> None:
    parts, figures = scene
    centre = titled(figures["identifiability"], "Residuals, %")
    (above,), (below,) = by_gid(centre, "above"), by_gid(centre, "below")
    worse = parts["residuals"][parts["residuals"]["log_residual"] > 0]
    assert {tuple(p) for p in above.get_offsets()} == set(
        zip(worse["params"], worse["tokens"], strict=True)
    )
    assert len(below.get_offsets()) == len(parts["residuals"]) - len(worse)


def test_the_best_next_run_is_marked(scene: Any) -> None:
    parts, figures = scene
    offers = parts["findings"][4]["tables"]["runs"]
    best = offers.loc[offers["removed_percent"].idxmax()]
    right = titled(figures["identifiability"], "What one more run tells, %")
    star, diamond = by_gid(right, "best")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (best["params"], best["tokens"])
    first = offers.iloc[0]
    assert (diamond.get_xdata()[0], diamond.get_ydata()[0]) == (first["params"], first["tokens"])


def test_the_tornado_shows_the_largest_changes_first(scene: Any) -> None:
    parts, figures = scene
    axes = figures["stakes"].axes[0]
    bars = sorted(axes.patches, key=lambda bar: -bar.get_y())
    assert len(bars) == MOST_CHANGES
    lengths = [abs(np.log1p(bar.get_width())) for bar in bars]
    assert lengths == sorted(lengths, reverse=True)
    largest = np.abs(np.log(parts["findings"][3]["tables"]["changes"]["ratio"])).max()
    assert lengths[0] == pytest.approx(largest)
    assert "16 more change less" in axes.get_xlabel()


def test_the_regret_curve_marks_every_law_at_its_own_waste(scene: Any) -> None:
    parts, figures = scene
    (axes,) = figures["regret"].axes
    best = parts["fits"]["isoflop"]["targets"][0]["params"]["point"]
    for law, fit in parts["fits"].items():
        (mark,) = by_gid(axes, law)
        ratio = fit["targets"][0]["params"]["point"] / best
        share = 100 * wasted_share(BESIROGLU.alpha, BESIROGLU.beta, np.log(ratio))
        assert mark.get_xdata()[0] == pytest.approx(ratio)
        assert mark.get_ydata()[0] == pytest.approx(float(share), abs=1e-12)
        assert mark.get_marker() == law_style(law).marker


def test_tokens_above_the_cloud_spend_the_budget(scene: Any) -> None:
    parts, figures = scene
    cloud = figures["stakes"].axes[1]
    above = next(a for a in figures["stakes"].axes if a.get_xlabel() == "Tokens at 6ND = C")
    params, tokens = np.array(cloud.get_xlim()), np.array(above.get_xlim())
    np.testing.assert_allclose(6 * params * tokens, parts["target_flops"])
    assert len(by_gid(cloud, "draws")) == len(LAWS)


def test_n_and_d_of_every_draw_stand_beside_what_spends_the_budget(scene: Any) -> None:
    parts, figures = scene
    axes, target = figures["stakes"].axes[2], parts["target_flops"]
    (line,) = by_gid(axes, "budget")
    np.testing.assert_allclose(6 * line.get_xdata() * line.get_ydata(), target)
    for dots in by_gid(axes, "draws"):
        np.testing.assert_allclose(6 * dots.get_xdata() * dots.get_ydata(), target)
    for law, fit in parts["fits"].items():
        (mark,) = by_gid(axes, law)
        stated = fit["targets"][0]
        assert mark.get_xdata()[0] == stated["params"]["point"]
        assert mark.get_ydata()[0] == stated["tokens"]["point"]


@pytest.mark.parametrize("laws", [("parametric",), ("isoflop", "parametric")])
def test_fewer_laws_are_drawn_as_cleanly(laws: tuple[str, ...]) -> None:
    parts = made_up("chinchilla", laws)
    parts["verdict"] = {"choices": []}
    for figure in drawn_audits(parts).values():
        assert_clean(figure)


@pytest.mark.parametrize("low", [0.02, 0.3, 0.6, 0.93, 0.98])
@pytest.mark.parametrize("high", [1.01, 1.06, 1.5, 40.0])
def test_ratios_have_ticks_that_stay_apart(low: float, high: float) -> None:
    figure = new_figure(4.0, 2.0)
    axes = figure.add_axes((1.0 / 4.0, 0.5 / 2.0, 1.64 / 4.0, 1.2 / 2.0))
    ratio_axis(axes, [low, high], 0.14)
    renderer = renderer_of(figure)
    labels = [t for t in tick_labels(axes.xaxis) if t.get_text()]
    boxes = [label.get_window_extent(renderer) for label in labels]
    assert boxes
    assert all(one.x1 < two.x0 for one, two in itertools.pairwise(boxes))


def test_a_panel_without_its_table_says_why() -> None:
    parts = made_up("tiny")
    for finding in parts["findings"]:
        finding["tables"] = {}
        finding["sentence"] = f"Not made: no {finding['audit']}."
    figures = drawn_audits(parts)
    assert reasons_in(figures["ladder"]) == ["Not made: no ladder."]
    reasons = ["Not made: no identifiability.", "Not made: no next_run."]
    assert sorted(reasons_in(figures["identifiability"])) == reasons
    assert reasons_in(figures["stakes"]) == ["Not made: no sensitivity."]


def test_without_findings_or_a_fit_every_panel_still_says_why() -> None:
    parts = made_up("tiny")
    parts["findings"] = []
    nothing = dict.fromkeys(("point", "lo80", "hi80", "lo95", "hi95"))
    for fit in parts["fits"].values():
        fit |= {"status": "failed", "message": "The optimiser did not reach an optimum."}
        fit["parameters"] = dict.fromkeys(fit["parameters"], nothing)
        fit["targets"][0] |= {"params": nothing, "loss": nothing}
    figures = drawn_audits(parts)
    assert len(reasons_in(figures["ladder"])) == 1
    assert "The optimiser did not reach an optimum." in reasons_in(figures["identifiability"])
    assert len(reasons_in(figures["stakes"])) == 4
    assert len(reasons_in(figures["regret"])) == 1


def test_without_the_parametric_law_its_panels_say_so() -> None:
    parts = made_up("tiny", ("envelope", "isoflop"))
    parts["residuals"] = None
    figures = drawn_audits(parts)
    reasons = "the parametric law is not among the study's laws"
    assert reasons_in(figures["identifiability"]) == [reasons]
    assert reasons_in(figures["regret"]) == [reasons]
    assert not reasons_in(figures["stakes"])
    assert not reasons_in(figures["ladder"])


def test_a_ladder_without_optima_says_so_in_its_panel() -> None:
    parts = made_up("tiny")
    optima = parts["findings"][0]["tables"]["optima"]
    parts["findings"][0]["tables"]["optima"] = optima.assign(loss_predicted=np.nan)
    figure = drawn_audits(parts)["ladder"]
    assert reasons_in(figure) == ["no larger budget shows a lowest loss to judge by"]


def test_rows_in_any_order_give_the_same_bytes(tmp_path: Any) -> None:
    parts, mixed = made_up("tiny"), made_up("tiny")
    for finding in mixed["findings"]:
        for name in ("predictions", "profile"):
            if name in finding["tables"]:
                finding["tables"][name] = finding["tables"][name].sample(frac=1, random_state=1)
    for name in ("runs", "residuals"):
        mixed[name] = mixed[name].sample(frac=1, random_state=2)
    for name, figure in drawn_audits(parts).items():
        (one,) = save(figure, tmp_path / f"{name}1", formats=("svg",))
        (two,) = save(drawn_audits(mixed)[name], tmp_path / f"{name}2", formats=("svg",))
        assert one.read_bytes() == two.read_bytes(), name
