"""The plug-in bias: exact where the surface is the truth, on any grid and FLOPs convention."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import bias
from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FitResult
from flopline.laws.isoflop import isoflop_fit
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import isoflop_runs, off_centre
from tests.builders.surfaces import BESIROGLU, HOFFMANN_PRINTED

TARGETS = (1e22, 5.76e23)


def audited(
    points: pd.DataFrame, surface: LossSurface, draws: int = 0
) -> tuple[FitResult, Finding]:
    fit = isoflop_fit.fit(points, TARGETS, draws=draws, seed=0)
    return fit, bias.audit(surface, fit.tables["vertices"], fit.tables["profiles"], TARGETS)


@pytest.mark.parametrize("shift", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("surface", [BESIROGLU, HOFFMANN_PRINTED])
def test_corrected_vertices_are_the_optima_of_noise_free_runs(
    surface: LossSurface, shift: float
) -> None:
    points = off_centre(isoflop_runs(surface, width=5.0, sizes=9), surface, shift)
    table = audited(points, surface)[1].tables["vertices"]
    budgets = table["budget_flops"]
    np.testing.assert_allclose(table["params_corrected"], surface.params_opt(budgets), rtol=1e-9)
    np.testing.assert_allclose(table["tokens_corrected"], surface.tokens_opt(budgets), rtol=1e-9)
    assert (np.abs(table["bias_ln_params"]) > 1e-4).all()
    np.testing.assert_allclose(table["offset_ln_params"], np.log(shift), rtol=1e-9, atol=1e-9)


def test_corrected_laws_are_those_of_the_surface() -> None:
    finding = audited(isoflop_runs(HOFFMANN_PRINTED, width=8.0, sizes=9), HOFFMANN_PRINTED)[1]
    corrected = finding.tables["laws"].query("vertices == 'corrected'")
    np.testing.assert_allclose(corrected["params"], HOFFMANN_PRINTED.params_opt(TARGETS), rtol=1e-7)
    np.testing.assert_allclose(corrected["a"], HOFFMANN_PRINTED.a, rtol=1e-9)
    np.testing.assert_allclose(corrected["b"], HOFFMANN_PRINTED.b, rtol=1e-9)


def test_raw_laws_are_those_of_the_isoflop_fit() -> None:
    points = isoflop_runs(HOFFMANN_PRINTED, width=6.0, sizes=9, noise=0.002)
    fit, finding = audited(points, HOFFMANN_PRINTED, draws=200)
    raw = finding.tables["laws"].query("vertices == 'raw'").reset_index()
    for i, target in enumerate(fit.targets):
        for name in ("params", "tokens"):
            assert raw.loc[i, name] == pytest.approx(target.values[name].point, rel=1e-9)
    assert finding.numbers["a_raw"] == pytest.approx(fit.parameters["a"].point, rel=1e-9)


def test_flops_counted_otherwise_do_not_pass_for_bias() -> None:
    points = isoflop_runs(HOFFMANN_PRINTED, width=4.0, sizes=9)
    counted = points.assign(flops=1.3 * points["flops"])
    one, other = (audited(p, HOFFMANN_PRINTED)[1].tables["vertices"] for p in (points, counted))
    np.testing.assert_allclose(one["bias_ln_params"], other["bias_ln_params"], atol=1e-9)


def test_a_drifting_grid_shows_as_a_trend_of_its_offset() -> None:
    points = isoflop_runs(HOFFMANN_PRINTED, width=5.0, sizes=9)
    drifting = off_centre(points, HOFFMANN_PRINTED, (points["flops"] / 1e20) ** 0.05)
    finding = audited(drifting, HOFFMANN_PRINTED)[1]
    assert finding.numbers["offset_trend"] == pytest.approx(0.05, rel=1e-6)


def test_a_large_bias_is_warned_of_and_order_does_not_matter() -> None:
    wide = isoflop_runs(HOFFMANN_PRINTED, width=16.0, sizes=15)
    narrow = isoflop_runs(HOFFMANN_PRINTED, width=2.0, sizes=15)
    finding = audited(wide, HOFFMANN_PRINTED)[1]
    assert finding.verdict == "warned"
    assert audited(narrow, HOFFMANN_PRINTED)[1].verdict == "good"
    again = audited(wide.sample(frac=1, random_state=1), HOFFMANN_PRINTED)[1]
    for name, table in finding.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name], check_exact=True)


def test_too_few_vertices_are_refused() -> None:
    fit = isoflop_fit.fit(isoflop_runs(HOFFMANN_PRINTED), TARGETS, draws=0)
    vertices = fit.tables["vertices"].assign(used=[True, True, False, False, False])
    with pytest.raises(FloplineError, match="of the isoFLOP laws needs 3 budgets"):
        bias.audit(HOFFMANN_PRINTED, vertices, fit.tables["profiles"], TARGETS)
