"""Wasted compute against its definition: the smaller budget that would have done as well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from flopline.audit import regret
from flopline.audit.regret import expected_share
from flopline.audit.waste import quadratic_share, wasted_share
from flopline.errors import FloplineError
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.options import auditing
from tests.builders.surfaces import BESIROGLU, HOFFMANN_PRINTED

DRAWS = LossSurface(
    np.array([1.80, 1.82, 1.83]),
    np.array([420.0, 480.0, 520.0]),
    np.array([1900.0, 2100.0, 2600.0]),
    np.array([0.34, 0.348, 0.352]),
    np.array([0.36, 0.366, 0.378]),
)


@pytest.mark.parametrize("surface", [BESIROGLU, HOFFMANN_PRINTED])
@pytest.mark.parametrize("flops", [1e19, 5.76e23])
@pytest.mark.parametrize("ratio", [0.2, 0.9, 1.5, 6.0])
def test_the_share_is_what_a_smaller_budget_saves(
    surface: LossSurface, flops: float, ratio: float
) -> None:
    params = ratio * surface.params_opt(flops)
    loss = float(surface.loss(params, flops / (6 * params)))
    enough = brentq(
        lambda ln_c: float(surface.loss_opt(np.exp(ln_c))) - loss,
        np.log(flops) - 5,
        np.log(flops),
        xtol=1e-14,
    )
    share = wasted_share(surface.alpha, surface.beta, np.log(ratio))
    assert float(share) == pytest.approx(1 - np.exp(enough) / flops, rel=1e-7)


EXPONENTS = st.floats(0.05, 2.0)


@given(EXPONENTS, EXPONENTS, st.floats(1e-6, 3.0), st.sampled_from([-1.0, 1.0]))
def test_a_share_is_a_share_and_grows_away_from_the_optimum(
    a: float, b: float, x: float, side: float
) -> None:
    near, far = wasted_share(a, b, [side * x / 2, side * x])
    assert 0.0 <= near <= far <= 1.0
    assert wasted_share(a, b, side * 1e-12 * x) >= 0.0


def test_small_errors_cost_their_square() -> None:
    x = np.array([-1e-4, 1e-4, 1e-3])
    exact = wasted_share(0.34, 0.28, x)
    np.testing.assert_allclose(exact, quadratic_share(0.34, 0.28, x), rtol=1e-3)
    assert wasted_share(0.34, 0.28, 0.0) == 0.0


def test_the_expected_share_takes_each_draw_for_the_truth() -> None:
    for flops in (1e21, 1e24):
        params = float(BESIROGLU.params_opt(flops))
        wasted = []
        for e, a, b, alpha, beta in zip(
            DRAWS.E, DRAWS.A, DRAWS.B, DRAWS.alpha, DRAWS.beta, strict=True
        ):
            truth = LossSurface(e, a, b, alpha, beta)
            excess = float(truth.loss(params, flops / (6 * params)) - truth.loss_opt(flops))
            gamma = alpha * beta / (alpha + beta)
            wasted.append(1 - (1 + excess / (float(truth.loss_opt(flops)) - e)) ** (-1 / gamma))
        assert float(expected_share(BESIROGLU, DRAWS, flops)) == pytest.approx(np.mean(wasted))


def test_the_audit_tells_waste_in_flops_and_in_money() -> None:
    finding = regret.audit(BESIROGLU, DRAWS, [1e21, 1e24], auditing(price_per_flop=2e-18))
    expected, sizes = finding.tables["expected"], finding.tables["sizes"]
    assert list(expected["budget_flops"]) == [1e21, 1e24]
    np.testing.assert_allclose(
        expected["expected_percent"], 100 * expected_share(BESIROGLU, DRAWS, [1e21, 1e24])
    )
    for table, name in ((expected, "expected"), (sizes, "wasted")):
        np.testing.assert_allclose(
            table[f"{name}_flops"], table[f"{name}_percent"] / 100 * table["budget_flops"]
        )
        np.testing.assert_allclose(table[f"{name}_money"], 2e-18 * table[f"{name}_flops"])
    np.testing.assert_allclose(6 * sizes["params"] * sizes["tokens"], sizes["budget_flops"])
    at_optimum = sizes[sizes["params_over_optimum"] == 1.0]
    np.testing.assert_allclose(at_optimum["loss"], BESIROGLU.loss_opt([1e21, 1e24]))
    assert "money" in finding.sentence
    assert "expected_money" not in regret.audit(BESIROGLU, DRAWS, [1e21]).tables["expected"]


def test_dear_uncertainty_is_warned_of() -> None:
    assert regret.audit(BESIROGLU, DRAWS, [1e21]).verdict == "good"
    wild = LossSurface(DRAWS.E, DRAWS.A * np.array([0.5, 1, 2]), DRAWS.B, DRAWS.alpha, DRAWS.beta)
    assert regret.audit(BESIROGLU, wild, [1e21]).verdict == "warned"


@pytest.mark.parametrize("targets", [[], [0.0], [1e21, np.inf]])
def test_unusable_targets_are_refused(targets: list[float]) -> None:
    with pytest.raises(FloplineError, match="positive target budgets"):
        regret.audit(BESIROGLU, DRAWS, targets)


def test_an_unusable_price_is_refused() -> None:
    with pytest.raises(FloplineError, match="price_per_flop` is 0 but must be greater than 0"):
        regret.audit(BESIROGLU, DRAWS, [1e21], auditing(price_per_flop=0.0))
