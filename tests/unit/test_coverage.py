"""The arithmetic of the coverage benchmark, and that each of its studies can be simulated."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.bench_coverage import (
    DESIGNS,
    STUDIES,
    Held,
    coverage,
    repetition,
    rows_of,
    simulated,
    studies,
    surface_of,
)


def normal(count: int, bias: float = 0.0, wide: float = 1.0) -> list[Held]:
    """Estimates of 0 with sd 1 and the intervals of a normal law of sd `wide`."""
    points = np.random.default_rng(0).normal(bias, 1.0, count)
    z80, z95 = 1.2815516 * wide, 1.959964 * wide
    return [Held(p, 0.0, p - z80, p + z80, p - z95, p + z95) for p in points]


def test_intervals_of_a_normal_law_have_their_nominal_coverage():
    c = coverage(normal(20_000))
    assert c.share80 == pytest.approx(80, abs=1)
    assert c.share95 == pytest.approx(95, abs=0.6)
    assert c.width == pytest.approx(1.0, abs=0.02)
    assert c.bias == pytest.approx(0.0, abs=0.03)


def test_bias_takes_the_truth_from_the_intervals_but_not_their_own_median():
    c = coverage(normal(20_000, bias=2.0))
    assert c.share95 == pytest.approx(48.4, abs=1.5)
    assert c.own95 == pytest.approx(95, abs=0.6)
    assert c.bias == pytest.approx(2.0, abs=0.03)


def test_width_tells_intervals_that_are_too_wide():
    assert coverage(normal(20_000, wide=1.5)).width == pytest.approx(1.5, abs=0.03)


def test_an_interval_that_is_not_there_holds_nothing():
    held = normal(1000)
    absent = [Held(h.point, 0.0, *[float("nan")] * 4) for h in held]
    c = coverage(held + absent)
    assert c.share95 == pytest.approx(47.5, abs=1.5)


def test_a_quantity_that_never_has_an_interval_has_no_coverage():
    c = coverage([Held(h.point, 0.0, *[float("nan")] * 4) for h in normal(10)])
    assert np.isnan([c.share80, c.share95, c.width]).all()
    assert dict(rows_of({"loss": c}))["truth 80, 95"] == ["none"]


def test_a_truth_that_is_drawn_anew_has_coverage_only():
    held = [Held(0.0, t, -1.0, 1.0, -2.0, 2.0) for t in (-1.5, 0.0, 0.5, 3.0)]
    c = coverage(held)
    assert (c.share80, c.share95) == (50.0, 75.0)
    assert np.isnan([c.own80, c.width, c.bias]).all()


def test_every_study_is_of_a_known_design():
    for law, surface, design, _ in studies(list(STUDIES)):
        table = simulated(DESIGNS[design], surface_of(surface), np.random.default_rng(0))
        assert (table["loss"] > 0).all(), law


@pytest.mark.parametrize(
    ("law", "method", "design", "estimator"),
    [
        ("parametric", "wild", "5 x 7, 0.3 %", "parametric"),
        ("isoflop", "wild", "5 x 7, 0.3 %", "parabola"),
    ],
)
def test_a_repetition_holds_every_quantity_and_is_reproducible(law, method, design, estimator):
    one = repetition(law, "besiroglu_2024", design, method, 50, 3)
    assert one == repetition(law, "besiroglu_2024", design, method, 50, 3)
    held = one[estimator]
    assert {"a", "b", "params 10x", "tokens 100x", "loss 100x", "new run 10x"} <= set(held)
    for quantity in held.values():
        assert quantity.lo95 <= quantity.lo80 <= quantity.hi80 <= quantity.hi95
        assert quantity.point == pytest.approx(quantity.truth, rel=0.5)
    table = dict(rows_of({"a": coverage(normal(50))}))
    assert list(table) == ["truth 80, 95", "own median", "width, bias"]
