"""Loss against compute: slopes, its inverse, the frontier of a surface, free and pinned floors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from flopline.solvers import generic, objectives
from flopline.surfaces import published
from flopline.surfaces.loss_of_compute import LossOfCompute, starts
from tests.builders.surfaces import BESIROGLU

LAW = LossOfCompute(1.7, 900.0, 0.155)
STATED = published.load("nmm_2025_early").reported
EARLY_FUSION = LossOfCompute(0.0, STATED["loss_coefficient"], -STATED["loss_exponent"])
FLOPS = np.geomspace(1e18, 1e22, 9)


def test_gradient_is_the_slope_of_log_loss():
    for i, name in enumerate(("E", "K", "c")):
        step = 1e-6
        up, down = (
            replace(LAW, **{name: getattr(LAW, name) * np.exp(s)}).loss(FLOPS)
            for s in (step, -step)
        )
        slope = (np.log(up) - np.log(down)) / (2 * step)
        assert_allclose(LAW.log_loss_gradient(FLOPS)[:, i] * getattr(LAW, name), slope, rtol=1e-6)


def test_law_per_draw_broadcasts():
    many = LossOfCompute(*(np.full(3, v) for v in (LAW.E, LAW.K, LAW.c)))
    for method, at in (("loss", FLOPS), ("flops_for", LAW.loss(FLOPS))):
        assert_allclose(getattr(many, method)(at), np.tile(getattr(LAW, method)(at), (3, 1)))
    assert many.log_loss_gradient(FLOPS).shape == (3, 9, 3)
    assert LAW.loss(1e21).shape == LAW.flops_for(2.5).shape == ()


def test_budget_for_a_loss_is_the_inverse_and_missing_below_the_floor():
    assert_allclose(LAW.flops_for(LAW.loss(FLOPS)), FLOPS, rtol=1e-10)
    assert np.isnan(LAW.flops_for([1.7, 1.0])).all()


def test_frontier_of_a_surface_is_exact():
    law = LossOfCompute.frontier(BESIROGLU)
    assert_allclose(law.loss(FLOPS), BESIROGLU.loss_opt(FLOPS), rtol=1e-13)
    alpha, beta = BESIROGLU.alpha, BESIROGLU.beta
    assert law.c == pytest.approx(alpha * beta / (alpha + beta))
    assert float(law.loss(5.76e23)) == pytest.approx(1.9744, abs=5e-5)


def test_published_power_law_of_early_fusion_models():
    """Shukor et al. 2025 print 29.574 C^-0.0492: 2.74 nats at 1e21 FLOPs."""
    assert float(EARLY_FUSION.loss(1e21)) == pytest.approx(2.74, abs=5e-3)


def fitted(loss: np.ndarray, floor: float | None, free: tuple[str, ...]):
    begin = starts(FLOPS, loss, floor)
    fit = generic.fit(begin, {"flops": FLOPS}, loss, objectives.log_squares(), free=free)
    assert fit.converged
    return fit.law


def test_law_is_recovered_with_its_floor_free_and_pinned():
    loss = LAW.loss(FLOPS)
    for law in (fitted(loss, None, ("E", "K", "c")), fitted(loss, 1.7, ("K", "c"))):
        assert_allclose([law.E, law.K, law.c], [LAW.E, LAW.K, LAW.c], rtol=1e-6)
    bare = fitted(EARLY_FUSION.loss(FLOPS), 0.0, ("K", "c"))
    assert bare.E == 0.0
    assert_allclose([bare.K, bare.c], [EARLY_FUSION.K, EARLY_FUSION.c], rtol=1e-8)


def test_a_wrong_floor_bends_the_exponent():
    """Pinned too low, the law must fall more slowly to meet the same losses."""
    low = fitted(LAW.loss(FLOPS), 1.0, ("K", "c"))
    assert low.c < LAW.c - 0.03
    assert low.E == 1.0
