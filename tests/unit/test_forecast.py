"""Forecasts of the ladder's lines: what is learned from steps, and how lines are put together."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from flopline.forecast import lines
from flopline.forecast.discrepancy import Prior, distance, drift_of, learned
from flopline.forecast.lines import COMBINED, OTHER, forecasts, of_lines, weights
from flopline.forecast.prior_fit import chosen, likelihoods
from flopline.forecast.student import StudentT

PRIOR = Prior(drift=0.01, steps=4.0, centre_steps=1.0)


def told(errors: dict[str, float], noise: float = 0.0, steps: int = 5, seed: int = 0):
    """Lines whose log errors are `errors` per unit of ln C, at budgets of e^0, e^1, ..."""
    rng = np.random.default_rng(seed)
    rows = []
    for line, drift in errors.items():
        for step in range(1, steps):
            mine = drift + noise * rng.standard_normal()
            for budget in range(step + 1, steps + 1):
                rows.append((line, math.exp(step), math.exp(budget), mine * (budget - step)))
    table = pd.DataFrame(rows, columns=["line", "step", "flops", "told_ln"])
    return table.assign(seen_ln=0.0, draws_ln=0.0, noise_ln=0.0, what="")


def test_student_agrees_with_scipy_and_with_its_definition():
    t = StudentT.of([0.0, 1.0], [1.0, 0.2], [3.0, 12.0])
    theirs = stats.t([3.0, 12.0], [0.0, 1.0], [1.0, 0.2])
    seen = np.array([0.7, 1.5])
    assert t.log_density(seen) == pytest.approx(theirs.logpdf(seen))
    assert np.array(t.interval(80)) == pytest.approx(np.array(theirs.interval(0.8)))
    # CRPS is the integral of the squared distance between the forecast and what was seen.
    x = np.linspace(-60, 60, 2_000_001)[:, None]
    squares = (theirs.cdf(x) - (x >= seen)) ** 2
    assert t.crps(seen) == pytest.approx(np.trapezoid(squares, x, axis=0), abs=2e-4)
    low, high = t.interval(80)
    inside, above = (t.interval_score(y, 80)[0] for y in (0.0, high + 1.0))
    assert inside == pytest.approx(high[0] - low[0])
    assert above == pytest.approx(high[0] - low[0] + 10.0)


def test_a_drift_is_the_slope_of_errors_on_distance():
    x = distance([2.0, 20.0, 0.5], 1.0)
    assert x == pytest.approx([math.log(2), math.log(20), 0.0])
    assert drift_of(0.03 * x, x) == pytest.approx(0.03)


def test_without_steps_the_prior_speaks_and_with_many_the_steps_do():
    before = learned(PRIOR, [])
    assert before.mean == 0.0
    assert before.spread == pytest.approx(PRIOR.drift)
    after = learned(PRIOR, [0.05] * 400)
    assert after.mean == pytest.approx(0.05, rel=0.01)
    assert after.spread < 0.3 * PRIOR.drift
    scattered = learned(PRIOR, list(np.random.default_rng(1).normal(0.0, 0.1, 4000)))
    assert scattered.scale == pytest.approx(0.1, rel=0.05)
    assert scattered.mean == pytest.approx(0.0, abs=0.01)


def test_intervals_widen_with_distance_and_hold_draws_and_noise():
    table = told({"a": 0.02})
    wide = of_lines(table.assign(draws_ln=0.3, noise_ln=0.4), {OTHER: PRIOR})
    near = of_lines(table, {OTHER: PRIOR})
    first = near[near["step"] == near["step"].min()]
    assert np.all(np.diff(first["scale"]) > 0)
    assert wide["scale"].to_numpy() == pytest.approx(np.hypot(near["scale"], 0.5))


def test_a_forecast_knows_only_what_had_been_seen_at_its_step():
    table = told({"a": 0.02, "b": -0.01}, noise=0.01)
    all_steps = forecasts(table, {OTHER: PRIOR})
    for step in table["step"].unique():
        past = table.assign(
            seen_ln=table["seen_ln"].where(table["flops"] <= step * lines.REACHED, 9.0)
        )
        mine = forecasts(past, {OTHER: PRIOR})
        at = all_steps["step"] == step
        columns = ["centre", "scale", "df"]
        pd.testing.assert_frame_equal(mine.loc[at, columns], all_steps.loc[at, columns])


def test_a_target_is_one_more_step_of_which_nothing_is_seen():
    table = told({"a": 0.0, "b": 0.05})
    ahead = pd.DataFrame(
        {"line": ["a", "b"], "step": math.exp(5), "flops": math.exp(7), "told_ln": [0.0, 0.1]}
    ).assign(seen_ln=math.nan, draws_ln=0.0, noise_ln=0.0, what="")
    made = forecasts(pd.concat([table, ahead]), {OTHER: PRIOR})
    mine = made[made["seen_ln"].isna()].set_index("line")
    # b has missed by .05 per unit at every step, so its next miss is foretold, too.
    assert mine.loc["b", "centre"] == pytest.approx(0.0, abs=0.025)
    assert mine.loc["a", "centre"] == pytest.approx(0.0, abs=1e-12)
    assert abs(mine.loc[COMBINED, "centre"]) < abs(mine.loc["b", "centre"])


def test_weights_follow_the_scores_and_a_silent_line_gains_nothing():
    table = told({"good": 0.0, "bad": 0.2}, noise=0.002)
    silent = table[(table["line"] == "good") & (table["step"] > math.exp(2.5))]
    made = of_lines(pd.concat([table, silent.assign(line="late")]), {OTHER: PRIOR})
    last = made.assign(weight=weights(made))
    sums = last.groupby(["step", "flops"])["weight"].sum()
    assert sums.to_numpy() == pytest.approx(1.0)
    last = last[last["step"] == last["step"].max()].set_index("line")["weight"]
    assert last["good"] > 0.9
    assert last["late"] < last["good"]


def test_order_of_rows_does_not_matter():
    table = told({"a": 0.01, "b": 0.03}, noise=0.02)
    one = forecasts(table, {OTHER: PRIOR})
    other = forecasts(table.sample(frac=1, random_state=3), {OTHER: PRIOR})
    key = ["line", "step", "flops"]
    one, other = (made.sort_values(key, ignore_index=True) for made in (one, other))
    pd.testing.assert_frame_equal(one, other[one.columns], rtol=1e-9)


def test_the_fitted_prior_is_near_the_drifts_of_the_studies():
    drifts = np.random.default_rng(2).normal(0.0, 0.03, 12)
    ladders = {
        (f"study {k}", ""): told({"a": drift}, noise=0.03, seed=k) for k, drift in enumerate(drifts)
    }
    prior = chosen(likelihoods(ladders))["a"]
    assert 0.015 < prior.drift < 0.06
    # A study's own ladder does not count where it is left out.
    odd = {**ladders, ("odd", ""): told({"a": 0.5}, noise=0.5)}
    found = likelihoods(odd)
    assert chosen(found, "odd") == chosen(likelihoods(ladders))
    assert chosen(found)["a"] != prior
