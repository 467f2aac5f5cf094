"""Contours, loss over compute, and the families: the numbers drawn are those of the fits."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flopline import agreement
from flopline.documents import FitJson
from flopline.errors import FloplineError
from flopline.figures.contours_figure import slices_of, surface_in
from flopline.figures.losscompute_figure import law_of_loss
from flopline.figures.misfit_figure import misfit
from flopline.figures.spec import figure_spec
from flopline.numbers import humanise, significant
from flopline.results import FamilyResults, LawResults, StudyResults
from flopline.surfaces.loss_of_compute import LossOfCompute
from tests.builders.designs import GOPHER
from tests.builders.drawn_figures import (
    BUDGETS,
    LABELS,
    NAMES,
    as_json,
    compared,
    drawn_contours,
    drawn_families,
    drawn_loss,
    drawn_misfit,
    fitted,
)
from tests.builders.figure_checks import assert_clean, by_gid, reasons_in
from tests.builders.figure_results import caption_of, setting
from tests.builders.fit_json import surface_json
from tests.builders.surfaces import BESIROGLU, constants_of

WIDTHS = ("page", "column")


def reasons(figure: Figure) -> str:
    return " ".join(reasons_in(figure))


def test_no_text_of_any_figure_touches_another_at_either_width() -> None:
    for width in WIDTHS:
        assert_clean(drawn_contours(width))
        assert_clean(drawn_loss(width))
        assert_clean(drawn_families(NAMES[:2], width))
    assert_clean(drawn_families(NAMES))


def test_the_frontier_runs_through_the_optimum_of_every_budget_to_the_target() -> None:
    left = drawn_contours().axes[0]
    surface = surface_in(as_json()["parametric"])
    assert surface is not None
    (solid,), (beyond,) = by_gid(left, "frontier"), by_gid(left, "extrapolated")
    for line in (solid, beyond):
        np.testing.assert_allclose(line.get_ydata(), surface.params_opt(line.get_xdata()))
    assert solid.get_xdata()[[0, -1]] == pytest.approx([min(BUDGETS), max(BUDGETS)])
    assert beyond.get_xdata()[[0, -1]] == pytest.approx([max(BUDGETS), GOPHER])
    assert (solid.get_linestyle(), beyond.get_linestyle()) == ("-", "--")
    assert len(by_gid(left, "slice")) == len(BUDGETS)


def test_contours_are_where_the_law_has_their_loss() -> None:
    left = drawn_contours().axes[0]
    surface = surface_in(as_json()["parametric"])
    assert surface is not None
    (lines,) = by_gid(left, "contours")
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        c, n = path.vertices.T
        inside = (c > left.get_xlim()[0]) & (c < left.get_xlim()[1])
        np.testing.assert_allclose(surface.loss(n, c / 6 / n)[inside] - surface.E, level, rtol=2e-3)


def test_the_target_has_the_intervals_that_the_fit_states() -> None:
    figure, stated = drawn_contours(), as_json()["parametric"]["targets"][0]
    for axes, along in zip(figure.axes, ("get_ydata", "get_xdata"), strict=False):
        for level in ("80", "95"):
            (bar,) = by_gid(axes, f"interval-{level}")
            ends = [stated["params"][f"lo{level}"], stated["params"][f"hi{level}"]]
            np.testing.assert_allclose(getattr(bar, along)(), ends)
    (mark,) = by_gid(figure.axes[1], "target")
    assert mark.get_xdata()[0] == pytest.approx(stated["params"]["point"])
    assert mark.get_ydata()[0] == pytest.approx(stated["loss"]["point"])


def test_a_run_stands_as_far_from_its_slice_as_its_residual() -> None:
    points = fitted()["parametric"].tables["points"]
    right, budgets = drawn_contours(budgets=[1e20]).axes[1], 1e20
    surface = surface_in(as_json()["parametric"])
    assert surface is not None
    (dots,) = by_gid(right, "runs")
    n, loss = dots.get_data()
    over = loss / surface.loss(n, budgets / 6 / n)
    residual = points.sort_values(["params", "tokens", "run"])["log_residual"]
    np.testing.assert_allclose(np.log(over), residual, atol=1e-12)


def test_slices_are_the_budgets_that_runs_share_else_evenly_spaced() -> None:
    np.testing.assert_allclose(slices_of(np.repeat(BUDGETS, 9)), BUDGETS)
    spread = slices_of(np.geomspace(1e18, 1e21, 60))
    np.testing.assert_allclose(np.diff(np.log(spread)), math.log(1000) / 5)
    assert slices_of(np.full(3, 1e18)).tolist() == [1e18]


@pytest.mark.parametrize("draw", [drawn_contours, lambda fit: drawn_loss(
    fits={"parametric": fit}, draws={})])  # fmt: skip
def test_a_failed_fit_gives_panels_with_the_reason(draw: Any) -> None:
    failed = as_json()["parametric"] | {"status": "failed", "message": "B is 0: no optimum."}
    assert "B is 0: no optimum." in reasons(draw(fit=failed))


def test_contours_without_runs_or_with_a_wrong_budget_are_an_error() -> None:
    with pytest.raises(FloplineError, match="no run to draw"):
        drawn_contours(points=fitted()["parametric"].tables["points"].iloc[:0])
    with pytest.raises(FloplineError, match="must be a positive number"):
        drawn_contours(budgets=[-1.0])


# Loss over compute


def test_every_law_goes_through_the_loss_that_its_fit_states() -> None:
    left = drawn_loss().axes[0]
    for law, fit in as_json().items():
        (line,), (mark,) = by_gid(left, law), by_gid(left, f"{law} target")
        stated = fit["targets"][0]["loss"]
        assert line.get_xdata()[-1] == pytest.approx(GOPHER)
        assert line.get_ydata()[-1] == pytest.approx(stated["point"], rel=1e-9)
        assert mark.get_ydata()[0] == stated["point"]
        thin = by_gid(left, f"{law} interval")[0]
        np.testing.assert_allclose(thin.get_ydata(), [stated["lo95"], stated["hi95"]])


def test_lack_of_fit_is_what_the_fit_itself_found() -> None:
    vertices, fit = fitted()["isoflop"].tables["vertices"], as_json()["isoflop"]
    law = law_of_loss(fit)
    assert law is not None
    flops, se = (vertices[c].to_numpy(float) for c in ("budget_flops", "loss_se_ln"))
    noisy = law.loss(flops) * (1 + 0.8 * se * [1, -1, 1, -1, 1])

    def found(p_value: float) -> FitJson:
        between = {**fit["certificate"]["between_budgets"]["loss"], "p_value": p_value}
        return {**fit, "certificate": {**fit["certificate"], "between_budgets": {"loss": between}}}

    for p_value, lacks in ((0.3, False), (1e-6, True)):
        seen = misfit("isoflop", found(p_value), law, vertices.assign(loss=noisy))
        assert seen is not None
        assert seen.lacks_fit is lacks
        np.testing.assert_allclose(seen.residual, 0.8 * se * [1, -1, 1, -1, 1], rtol=1e-9)
        np.testing.assert_allclose(seen.se, se)
    fits = {**as_json(), "isoflop": found(1e-6)}
    verdicts = [text.get_text() for text in by_gid(drawn_misfit(fits=fits).axes[1], "verdict")]
    assert [text for text in verdicts if "lack of fit" in text and "no lack" not in text] == [
        verdicts[-1]
    ]


def test_one_law_of_the_loss_for_whatever_a_fit_states() -> None:
    stated = LossOfCompute.stated(constants_of(BESIROGLU))
    np.testing.assert_allclose(stated.loss(BUDGETS), BESIROGLU.loss_opt(BUDGETS))
    own = LossOfCompute.stated({"L_E": 1.7, "L_K": 1e3, "L_c": 0.15})
    np.testing.assert_allclose(own.loss([1e20]), 1.7 + 1e3 * 1e20**-0.15)


# The families


def test_multipliers_are_those_of_the_decision_at_every_target() -> None:
    parts = compared(NAMES[:2])
    right = drawn_families(NAMES[:2]).axes[1]
    (other,) = parts["entries"][0]["others"]
    marks = {m.get_xdata()[0]: m.get_ydata()[0] for m in by_gid(right, "target")}
    for entry in parts["entries"]:
        (stated,) = [o["multiplier"]["point"] for o in entry["others"]]
        assert marks[entry["budget_flops"]] == stated
    # The curve is the same function of compute, so that it passes through the marks.
    line = by_gid(right, other["family"])[-1]
    known = np.isfinite(line.get_ydata())
    x, y = line.get_xdata()[known], line.get_ydata()[known]
    assert x[-1] == pytest.approx(GOPHER)
    assert y[-1] == pytest.approx(other["multiplier"]["point"], rel=1e-9)
    label = right.get_legend().get_texts()[0].get_text()
    assert label.startswith(f"{LABELS[other['family']]}, ")


def test_the_multiplier_of_a_known_pair_is_recovered() -> None:
    """On the same exponents and floor A^x B^y alone sets how much more compute is needed."""
    other = replace(BESIROGLU, A=600.0)
    fits = [surface_json(surface) for surface in (BESIROGLU, other)]
    flops = np.geomspace(1e18, 1e24, 5)
    none = pd.DataFrame(columns=["E", "A", "B", "alpha", "beta"], dtype=float)
    point, drawn = agreement.multipliers(*(LawResults(fit, none, {}) for fit in fits), flops)
    # K ~ A^(beta / (alpha + beta)), so C grows by K's ratio to 1/c = (alpha + beta) / alpha beta.
    np.testing.assert_allclose(point, (other.A / BESIROGLU.A) ** (1 / BESIROGLU.alpha), rtol=1e-9)
    assert drawn.shape == (0, 5)


def test_curves_are_dashed_where_a_family_has_no_runs() -> None:
    left = drawn_families(NAMES[:2]).axes[0]
    for name in NAMES[:2]:
        solid, dashed = by_gid(left, name)
        ends = [
            np.array(line.get_xdata())[np.isfinite(line.get_ydata())] for line in (solid, dashed)
        ]
        assert ends[0][-1] <= max(BUDGETS) * (1 + 1e-9)
        assert ends[1][0] == ends[0][-1]
        assert ends[1][-1] == pytest.approx(GOPHER)
        assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert by_gid(left, "extrapolated")[0].get_hatch()


def test_families_without_a_law_in_common_say_so() -> None:
    entry = {"budget_flops": GOPHER, "law": None, "sentence": "No usable law in common."}
    assert "No usable law in common." in reasons(drawn_families(NAMES[:2], entries=[entry]))
    assert "fewer than two families" in reasons(drawn_families(NAMES[:2], entries=[]))


def test_one_family_is_not_compared_with_itself() -> None:
    with pytest.raises(FloplineError, match="two or more"):
        drawn_families(("ash",), entries=[])


def test_captions_state_what_was_found() -> None:
    fits = as_json()
    n, loss = (fits["parametric"]["targets"][0][q] for q in ("params", "loss"))
    caption = caption_of("contours", fits)
    assert humanise(n["point"]) in caption
    assert significant(loss["lo95"]) in caption
    caption = caption_of("losscompute", fits)
    assert all(significant(fit["targets"][0]["loss"]["point"]) in caption for fit in fits.values())
    failed = fits["parametric"] | {"status": "failed", "message": "B is 0."}
    assert "B is 0." in caption_of("contours", {"parametric": failed})
    assert "No law gives a loss" in caption_of("losscompute", {"parametric": failed})


def test_the_caption_of_families_names_what_the_axes_show_and_no_forecast() -> None:
    content = compared(NAMES[:3])
    known = {name: FamilyResults(fits) for name, fits in content["fits"].items()}
    results = StudyResults(known, {"decision": {"families": content["entries"]}})
    seen = setting(family="", study={"families": content["labels"], "targets": [GOPHER]})
    caption = figure_spec("families").caption(results, seen)
    _, right = drawn_families(NAMES[:3]).axes
    written = [text.get_text() for text in right.get_legend().get_texts()]
    assert len(numbers := re.findall(r"[\d.]+×", " ".join(written))) >= 6
    assert [number for number in numbers if number not in caption] == []
    entry = next(e for e in content["entries"] if e["budget_flops"] == GOPHER)
    (at,) = (
        target
        for target in content["fits"][entry["winner"]][entry["law"]]["targets"]
        if target["budget_flops"] == GOPHER
    )
    assert significant(at["loss"]["point"]) in caption
    assert entry["sentence"] not in caption
    assert "forecast 0" not in caption


def test_synthetic_data_are_marked() -> None:
    assert "synthetic data" in [t.get_text() for t in drawn_contours(synthetic=True).texts]
    assert not drawn_contours().texts


def test_a_floor_of_zero_in_every_draw_has_no_bracket_and_says_so() -> None:
    """Where a bracket was missing nobody could tell whether it had been forgotten."""
    fits = as_json()
    zero = {"point": 0.0, "lo80": 0.0, "hi80": 0.0, "lo95": 0.0, "hi95": 0.0, "at_bound": True}
    known = {**fits["parametric"]["parameters"], "E": zero}
    changed = {**fits, "parametric": {**fits["parametric"], "parameters": known}}
    verdicts = [text.get_text() for text in by_gid(drawn_misfit(fits=changed).axes[1], "verdict")]
    assert sum(text.startswith("no floor in 95 % of draws; ") for text in verdicts) == 1


def test_a_forecast_of_the_multiplier_is_drawn_and_told() -> None:
    """The figure said 1.55 [1.39, 2] where the page said 1.43, forecast .523 to 3.91."""
    content = compared(NAMES[:2])
    forecast = {"point": 1.43, "lo80": 0.8, "hi80": 2.6, "lo95": 0.523, "hi95": 3.91}
    entries = [
        {**e, "others": [{**o, "forecast": forecast} for o in e["others"]]}
        for e in content["entries"]
    ]
    _, right = drawn_families(NAMES[:2], entries=entries).axes
    assert next(tuple(bar.get_ydata()) for bar in by_gid(right, "forecast")) == (0.523, 3.91)
    written = right.get_legend().get_texts()[0].get_text()
    assert "forecast 1.43× [0.523×, 3.91×]" in written
    known = {name: FamilyResults(fits) for name, fits in content["fits"].items()}
    results = StudyResults(known, {"decision": {"families": entries}})
    seen = setting(family="", study={"families": content["labels"], "targets": [GOPHER]})
    caption = figure_spec("families").caption(results, seen)
    assert "the forecast is 1.43× [0.523× to 3.91×], so that the order may be the other." in caption
    assert "no forecast is drawn" not in caption
    without = [{**e, "others": [{**o, "forecast": None} for o in e["others"]]} for e in entries]
    results = StudyResults(known, {"decision": {"families": without}})
    assert "no forecast is drawn" in figure_spec("families").caption(results, seen)
