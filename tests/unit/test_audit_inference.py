"""Lifetime compute: the optimality condition, and brute force over the contour of equal loss."""

from __future__ import annotations

import numpy as np
import pytest

from flopline.audit import inference
from flopline.audit.inference import best_for_lifetime, params_at_ratio
from flopline.errors import FloplineError
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.options import auditing
from tests.builders.surfaces import BESIROGLU, HOFFMANN_PRINTED

TARGET = 1e23


@pytest.mark.parametrize("surface", [BESIROGLU, HOFFMANN_PRINTED])
@pytest.mark.parametrize("demand", [1e9, 1e12, 1e15])
def test_the_optimality_condition_holds_at_the_loss_asked(
    surface: LossSurface, demand: float
) -> None:
    loss = float(surface.loss_opt(TARGET))
    n, d = best_for_lifetime(surface, loss, demand)
    left = (surface.alpha * surface.A * n**-surface.alpha) / (
        surface.beta * surface.B * d**-surface.beta
    )
    assert left == pytest.approx(1 + demand / (3 * d), rel=1e-9)
    assert float(surface.loss(n, d)) == pytest.approx(loss, rel=1e-12)


def test_no_other_run_of_that_loss_is_cheaper() -> None:
    loss, demand = float(BESIROGLU.loss_opt(TARGET)), 1e13
    n, d = best_for_lifetime(BESIROGLU, loss, demand)
    share = np.linspace(0.001, 0.999, 20_001)
    params = (BESIROGLU.A / (share * (loss - BESIROGLU.E))) ** (1 / BESIROGLU.alpha)
    tokens = (BESIROGLU.B / ((1 - share) * (loss - BESIROGLU.E))) ** (1 / BESIROGLU.beta)
    total = 6 * params * tokens + 2 * params * demand
    best = 6 * n * d + 2 * n * demand
    assert best <= total.min()
    assert best == pytest.approx(total.min(), rel=1e-6)


def test_without_serving_the_best_run_is_the_cheapest_to_train() -> None:
    n, d = best_for_lifetime(BESIROGLU, float(BESIROGLU.loss_opt(TARGET)), 1.0)
    assert n == pytest.approx(float(BESIROGLU.params_opt(TARGET)), rel=1e-9)
    assert d == pytest.approx(float(BESIROGLU.tokens_opt(TARGET)), rel=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 20.0, 5000.0])
def test_a_run_at_a_ratio_reaches_the_loss(ratio: float) -> None:
    loss = float(BESIROGLU.loss_opt(TARGET))
    n = params_at_ratio(BESIROGLU, loss, ratio)
    assert float(BESIROGLU.loss(n, ratio * n)) == pytest.approx(loss, rel=1e-12)


def test_over_training_costs_nothing_at_the_optimal_ratio_and_more_elsewhere() -> None:
    optimal = float(BESIROGLU.tokens_opt(TARGET) / BESIROGLU.params_opt(TARGET))
    ratios = [optimal * f for f in (100.0, 0.1, 1.0, 10.0)]
    table = inference.audit(
        BESIROGLU, TARGET, auditing(inference_tokens=[1e12]), ratios=ratios
    ).tables["overtraining"]
    extra = table["extra_training_percent"].to_numpy()
    assert list(table["tokens_per_param"]) == sorted(ratios)
    assert extra[1] == pytest.approx(0.0, abs=1e-8)
    assert extra[0] > 1.0
    assert 1.0 < extra[2] < extra[3]
    np.testing.assert_allclose(
        table["training_flops"], 6 * table["params"] * table["tokens"], rtol=1e-12
    )


def test_more_serving_makes_smaller_models_trained_longer() -> None:
    finding = inference.audit(
        BESIROGLU, TARGET, auditing(inference_tokens=[1e14, 1e11, 1e12, 1e13])
    )
    table = finding.tables["lifetime"]
    assert table["inference_tokens"].is_monotonic_increasing
    assert table["params"].is_monotonic_decreasing
    assert table["saved_percent"].is_monotonic_increasing
    assert (table["saved_percent"] > 0).all()
    np.testing.assert_allclose(
        table["lifetime_flops"], table["training_flops"] + table["inference_flops"]
    )


def test_unusable_questions_are_refused() -> None:
    with pytest.raises(FloplineError, match="positive finite inference_tokens"):
        inference.audit(BESIROGLU, TARGET, auditing(inference_tokens=[]))
    with pytest.raises(FloplineError, match="positive finite ratios"):
        inference.audit(BESIROGLU, TARGET, auditing(inference_tokens=[1e12]), ratios=[-1.0])
    with pytest.raises(FloplineError, match="not above the law's floor E"):
        best_for_lifetime(BESIROGLU, 1.8, 1e12)
    with pytest.raises(FloplineError, match="not above the law's floor"):
        params_at_ratio(BESIROGLU, 1.8, 20.0)
