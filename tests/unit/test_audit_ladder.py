"""The held-out ladder on simulated runs whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import ladder
from flopline.audit.shares import wasted_share
from flopline.errors import FloplineError
from flopline.fits import isoflop, parametric
from tests.unit.test_audit_finding import BESIROGLU, design

TARGET = 1e24
BUDGETS = tuple(float(c) for c in np.geomspace(1e18, 1e22, 7))


MAIN = {"parametric": "huber_log", "isoflop": "parabola", "envelope": "frontier"}


def steps_of(finding: ladder.Finding, law: str, estimator: str = "") -> pd.DataFrame:
    table = finding.tables["steps"]
    mine = (table["law"] == law) & (table["estimator"] == (estimator or MAIN[law]))
    return table[mine].reset_index(drop=True)


def test_noise_free_runs_are_foretold_exactly() -> None:
    points = design(budgets=BUDGETS)
    finding = ladder.audit(points, TARGET, draws=0)
    rows = steps_of(finding, "parametric")
    assert len(rows) == len(BUDGETS) - 1
    fitted = rows[rows["status"] != "failed"]
    assert list(fitted["n_fitted"]) == [7 * k for k in range(1, 7)][-len(fitted) :]
    assert len(fitted) >= 5
    assert (fitted["loss_error_percent"] < 1e-5).all()
    np.testing.assert_allclose(fitted["target_params_over_all"], 1.0, atol=1e-4)
    assert finding.verdict == "fine"
    assert rows["coverage95"].isna().all()
    assert "prediction" not in finding.sentence


def test_scores_are_those_of_the_fit_of_the_small_runs() -> None:
    points = design(budgets=BUDGETS, noise=0.004, seed=2)
    c = BUDGETS[3]
    finding = ladder.audit(points, TARGET, steps_flops=[c * 1.001], draws=0)
    row = steps_of(finding, "parametric").iloc[0]
    small, large = points[points["flops"] <= c * 1.001], points[points["flops"] > c * 1.001]
    fit = parametric.fit(small, [TARGET], draws=0, seed=0)
    surface = BESIROGLU.__class__(
        *(fit.parameters[n].point for n in ("E", "A", "B", "alpha", "beta"))
    )
    relative = surface.loss(large["params"], large["tokens"]) / large["loss"] - 1
    assert row["loss_error_percent"] == pytest.approx(100 * np.abs(relative).mean())
    assert row["loss_bias_percent"] == pytest.approx(100 * relative.mean())
    assert row["target_params"] == pytest.approx(fit.targets[0].values["params"].point)
    whole = parametric.fit(points, [TARGET], draws=0, seed=0)
    best = whole.targets[0].values["params"].point
    share = wasted_share(
        whole.parameters["alpha"].point,
        whole.parameters["beta"].point,
        np.log(row["target_params"] / best),
    )
    assert row["target_wasted_percent"] == pytest.approx(100 * float(share))
    seen = finding.tables["optima"].query("estimator == 'huber_log'")
    vertices = isoflop.fit(points, [TARGET], draws=0).tables["vertices"]
    np.testing.assert_allclose(seen["params_seen"], vertices["params"][-3:])
    np.testing.assert_allclose(seen["params_foretold"], surface.params_opt(BUDGETS[-3:]))
    np.testing.assert_allclose(
        seen["ln_ratio"], np.log(seen["params_foretold"] / seen["params_seen"])
    )


def test_the_isoflop_ladder_uses_the_budgets_below_the_step() -> None:
    points = design(budgets=BUDGETS, noise=0.002, seed=5)
    finding = ladder.audit(points, TARGET, draws=0)
    rows = steps_of(finding, "isoflop")
    assert list(rows["status"][:2]) == ["failed", "failed"]
    assert "at least 3" in rows["message"][0]
    small = points[points["flops"] <= 1.01 * BUDGETS[3]]
    fit = isoflop.fit(small, [TARGET], draws=0)
    row = rows.iloc[3]
    assert row["target_params"] == pytest.approx(fit.targets[0].values["params"].point, rel=1e-9)
    assert row["n_bottoms"] == 3


def test_predictions_cover_what_they_say_where_the_law_is_true() -> None:
    # The errors of one study's held-out runs are of one piece, so several studies are averaged.
    covered = []
    for seed in range(12):
        points = design(budgets=BUDGETS, sizes=9, noise=0.004, seed=seed)
        finding = ladder.audit(points, TARGET, steps_flops=[BUDGETS[4]], draws=100, seed=seed)
        covered.append(steps_of(finding, "parametric").loc[0, ["coverage80", "coverage95"]])
    mean = pd.DataFrame(covered).astype(float).mean()
    assert mean["coverage80"] == pytest.approx(0.80, abs=0.08)
    assert mean["coverage95"] == pytest.approx(0.95, abs=0.06)


def test_without_budgets_the_steps_are_shares_of_the_runs() -> None:
    points = design(budgets=BUDGETS, sizes=9, noise=0.003)
    spread = np.exp(np.random.default_rng(1).uniform(-0.7, 0.7, len(points)))
    tokens = points["tokens"] * spread
    points = points.assign(
        tokens=tokens,
        flops=points["flops"] * spread,
        loss=BESIROGLU.loss(points["params"], tokens),
    )
    finding = ladder.audit(points, TARGET, draws=0)
    rows = steps_of(finding, "parametric")
    assert list(rows["n_fitted"]) == [25, 38, 50, 56]
    assert "isoFLOP" in finding.numbers["vertices_absent"]
    optima = finding.tables["optima"]
    assert set(optima["seen"]) == {"best run"}
    assert optima["loss_seen"].notna().all()
    assert optima["params_seen"].isna().all()
    assert rows["params_bias_percent"].isna().all()


def test_order_of_rows_does_not_matter() -> None:
    points = design(budgets=BUDGETS, noise=0.003)
    one = ladder.audit(points, TARGET, draws=20)
    other = ladder.audit(points.sample(frac=1, random_state=9), TARGET, draws=20)
    assert one.to_json() == other.to_json()
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)


def test_steps_without_runs_on_both_sides_are_refused() -> None:
    with pytest.raises(FloplineError, match="a step with runs below and above"):
        ladder.audit(design(), TARGET, steps_flops=[1e10, 1e30])


def test_a_ladder_of_too_few_runs_says_that_nothing_was_foretold() -> None:
    finding = ladder.audit(design(), TARGET, steps_flops=[1e18], draws=0)
    rows = steps_of(finding, "parametric")
    if rows["status"][0] != "failed":
        pytest.fail("one budget of seven sizes was fitted: the ray D = C/6N should have failed")
    assert finding.verdict == "mind"
    assert "nothing was foretold" in finding.sentence
    assert finding.tables["predictions"].empty
