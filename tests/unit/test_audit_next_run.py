"""The worth of a run against finite differences and against the design that has it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import next_run
from flopline.audit.next_run import Design
from flopline.errors import FloplineError
from flopline.solvers.surface_family import CHINCHILLA
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import isoflop_runs, ray_runs
from tests.builders.options import auditing
from tests.builders.surfaces import BESIROGLU

TARGET = 1e23


def of(points: pd.DataFrame, sigma: float = 0.005) -> Design:
    return Design.of(BESIROGLU, points["params"].to_numpy(), points["tokens"].to_numpy(), sigma)


def test_the_gradient_is_that_of_the_optimum() -> None:
    d = of(isoflop_runs())
    gradient = d.gradient(TARGET)
    for k in range(5):
        step = np.zeros(6)
        step[k] = 1e-5
        ends = (CHINCHILLA.law(d.problem, d.unknowns + s) for s in (step, -step))
        up, down = (law.params_opt(TARGET) for law in ends)
        slope = np.log(float(up) / float(down)) / (2 * step[k])
        assert gradient[k] == pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_the_published_form_of_the_gradient_agrees() -> None:
    # In terms of lnA, lnB, lnE, alpha, beta, not centred.
    points = isoflop_runs()
    rows = BESIROGLU.log_loss_gradient(points["params"], points["tokens"])
    rows = rows * np.array([BESIROGLU.E, BESIROGLU.A, BESIROGLU.B, 1, 1])
    al, be = BESIROGLU.alpha, BESIROGLU.beta
    s, c = al + be, np.log(TARGET / 6)
    h = np.log(al * BESIROGLU.A / (be * BESIROGLU.B))
    g = np.array(
        [
            0,
            1 / s,
            -1 / s,
            1 / (al * s) - h / s**2 - be * c / s**2,
            -1 / (be * s) - h / s**2 + al * c / s**2,
        ]
    )
    r = np.linalg.qr(rows)[1]
    variance = 0.005**2 * np.sum(np.linalg.solve(r.T, g) ** 2)
    assert of(points).variance(TARGET) == pytest.approx(variance, rel=1e-6)


def test_the_reduction_is_that_of_the_design_with_the_run() -> None:
    points = isoflop_runs()
    params, tokens = np.array([2e8, 5e9]), np.array([3e11, 4e9])
    expected = of(points).reduction(TARGET, params, tokens)
    for k in range(2):
        more = pd.concat(
            [points, pd.DataFrame({"params": [params[k]], "tokens": [tokens[k]]})],
            ignore_index=True,
        )
        left = of(more).variance(TARGET) / of(points).variance(TARGET)
        assert expected[k] == pytest.approx(1 - left, rel=1e-6)


def test_offers_stay_within_the_cap_and_above_the_smallest_runs() -> None:
    points = isoflop_runs()
    finding = next_run.audit(points, BESIROGLU, 0.005, TARGET, auditing(next_run_cap=1e22))
    runs = finding.tables["runs"]
    assert len(runs) > 10
    assert (runs["flops"] <= 1e22 * (1 + 1e-12)).all()
    assert (runs["params"] >= points["params"].min()).all()
    assert (runs["tokens"] >= points["tokens"].min()).all()
    per_param, trained = runs["tokens"] / runs["params"], points["tokens"] / points["params"]
    assert per_param.between(trained.min(), trained.max()).all(), "16.8B on 2.97B was advised"
    assert runs["removed_percent_per_1e18_flops"].is_monotonic_decreasing
    after = finding.numbers["sd_ln_params"] * np.sqrt(1 - runs["removed_percent"] / 100)
    np.testing.assert_allclose(runs["sd_ln_params_after"], after)


def test_order_of_rows_does_not_matter_and_the_bootstrap_is_told() -> None:
    points = isoflop_runs()
    shuffled = points.sample(frac=1, random_state=3)
    draws = LossSurface(
        *(
            np.array([v, v * f])
            for v, f in zip((1.8, 480, 2000, 0.35, 0.36), (1, 2, 1, 1, 1), strict=True)
        )
    )
    one, other = (
        next_run.audit(p, BESIROGLU, 0.005, TARGET, auditing(next_run_cap=1e22), draws=draws)
        for p in (points, shuffled)
    )
    pd.testing.assert_frame_equal(one.tables["runs"], other.tables["runs"], check_exact=True)
    assert one.sentence == other.sentence
    # ln A alone moves ln N_opt by ln 2 / (alpha + beta); two draws differ by sqrt 2 sd.
    expected = np.log(2) / 0.71 / np.sqrt(2)
    assert one.numbers["bootstrap_sd_ln_params"] == pytest.approx(expected)
    assert one.verdict == "warned"


def test_designs_and_settings_that_tell_nothing_are_refused() -> None:
    with pytest.raises(FloplineError, match="do not identify the loss surface"):
        next_run.audit(ray_runs(BESIROGLU), BESIROGLU, 0.005, TARGET, auditing(next_run_cap=1e23))
    with pytest.raises(FloplineError, match="sigma, the error of ln L"):
        next_run.audit(isoflop_runs(), BESIROGLU, 0.0, TARGET, auditing(next_run_cap=1e22))
    with pytest.raises(FloplineError, match="the smallest run took 1e\\+18"):
        next_run.audit(isoflop_runs(), BESIROGLU, 0.005, TARGET, auditing(next_run_cap=1e17))
