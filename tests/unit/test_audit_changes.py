"""Rows of the tornado that change the objective, a count, or another law: each against its own
truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from flopline.audit import sensitivity
from flopline.audit.changes import COUNTS
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.solvers import generic
from flopline.solvers.objectives import linear_squares, log_lad
from flopline.surfaces.surface import surface_starts
from tests.builders.designs import isoflop_runs
from tests.builders.surfaces import BESIROGLU

TARGET = 1e23


def changes(points: pd.DataFrame, **more: object) -> pd.DataFrame:
    table = sensitivity.audit(points, TARGET, **more).tables["changes"]
    return table.set_index("change")


def test_other_objectives_end_where_many_starts_do() -> None:
    points = isoflop_runs(noise=0.004, seed=6)
    rows = changes(points)
    params, tokens, loss = (points[c].to_numpy() for c in ("params", "tokens", "loss"))
    for label, objective in (
        ("least squares on the loss", linear_squares()),
        ("least absolute error of log loss", log_lad()),
    ):
        best = generic.fit(
            surface_starts(params, tokens, loss),
            {"params": params, "tokens": tokens},
            loss,
            objective,
        )
        assert rows.loc[label, "status"] == "converged"
        expected = float(best.law.params_opt(TARGET))
        assert rows.loc[label, "params"] == pytest.approx(expected, rel=1e-5), label


def test_another_count_of_params_is_refitted_and_turned_back() -> None:
    points = isoflop_runs(sizes=9)
    body = points["params"].to_numpy()  # the law is one of non-embedding weights
    total = body + 50_000 * body ** (1 / 3)
    declared = points.assign(
        params=total,
        params_total=total,
        params_nonembedding=body,
        flops=6 * total * points["tokens"],
    )
    rows = changes(declared)
    assert COUNTS["params_total"] not in rows.index  # the declared count itself
    row = rows.loc[COUNTS["params_nonembedding"]]
    best = float(BESIROGLU.params_opt(TARGET))
    assert row["params"] == pytest.approx(best + 50_000 * best ** (1 / 3), rel=1e-4)
    assert row["a"] == pytest.approx(float(BESIROGLU.a), rel=1e-4)
    assert "in that count" in row["message"]
    assert row["kind"] == "params"


def test_counts_that_some_runs_lack_are_not_tried() -> None:
    points = isoflop_runs(noise=0.002)
    partly = points.assign(params_nonembedding=0.9 * points["params"])
    partly.loc[0, "params_nonembedding"] = np.nan
    assert "params" not in set(changes(partly)["kind"])


def test_flops_counted_as_the_study_does_are_spent_and_six_nd_is_the_change() -> None:
    points = isoflop_runs(sizes=9)
    more = 3.0 * points["params"] ** -0.05
    rows = changes(points.assign(flops=points["flops"] * more))
    row = rows[rows["kind"] == "flops"].iloc[0]

    def loss(ln_n: float) -> float:
        n = np.exp(ln_n)
        return float(BESIROGLU.loss(n, TARGET / (6 * n * 3.0 * n**-0.05)))

    best = minimize_scalar(loss, bounds=(15, 30), method="bounded", options={"xatol": 1e-10})
    assert row["reference_params"] == pytest.approx(float(np.exp(best.x)), rel=1e-4)
    assert str(row.name).startswith("FLOPs as 6ND")
    assert row["params"] == pytest.approx(float(BESIROGLU.params_opt(TARGET)), rel=1e-4)
    assert "flops" not in set(changes(points)["kind"])


def test_estimators_of_the_other_laws_are_rows_against_their_own_main_line() -> None:
    points = isoflop_runs(noise=0.004, seed=3)
    table = isoflop_fit.fit(points, [TARGET], draws=50).tables["estimators"]
    rows = changes(points, estimators={"isoflop": table})
    mine = rows[rows["law"] == "isoflop"]
    params_of = table[~table["main"]].set_index("label")["params"]
    main = table.loc[table["main"], "params"].iloc[0]
    pd.testing.assert_series_equal(
        mine["params"].sort_index(), params_of.sort_index(), check_names=False
    )
    np.testing.assert_allclose(mine["ratio"], mine["params"] / main)
    assert set(mine["kind"]) == {"isoflop"}


def test_an_estimator_that_failed_says_why() -> None:
    points = isoflop_runs(noise=0.004, seed=3)
    table = isoflop_fit.fit(points, [TARGET], draws=50).tables["estimators"]
    failed = table["estimator"] == "cubic"
    table.loc[failed, ["status", "message", "params"]] = ["failed", "flat", np.nan]
    rows = changes(points, estimators={"isoflop": table})
    row = rows.loc[table.loc[failed, "label"].iloc[0]]
    assert (row["status"], row["message"]) == ("failed", "flat")


def test_other_forms_of_the_parametric_law_are_rows_and_its_objectives_no_second_time() -> None:
    points = isoflop_runs(noise=0.004, seed=3)
    fit = parametric_fit.fit(points, [TARGET], draws=50, seed=1, variant_draws=20)
    table = fit.tables["estimators"]
    rows = changes(points, estimators={"parametric": table})
    forms = rows[rows["kind"] == "form"]
    expected = table[table["estimator"].isin(["tied", "skaling", "kaplan"])]
    assert set(forms.index) == set(expected["label"])
    assert set(forms["reference_params"]) == {fit.targets[0].values["params"].point}
    assert len(rows) == len(changes(points)) + 3


def test_the_batch_of_leave_outs_ends_where_single_fits_do() -> None:
    points = isoflop_runs(noise=0.005, seed=8)
    rows = changes(points)
    fitted = rows[rows["kind"].isin(["size", "budget", "residuals"])]
    assert (fitted["status"] == "converged").all()
    sizes = np.unique(points["params"])
    expected = []
    for size in sizes:
        rest = points[~np.isclose(points["params"], size, rtol=0.01)]
        fit = parametric_fit.fit(rest, [TARGET], draws=0, seed=0)
        expected.append(fit.targets[0].values["params"].point)
    mine = np.sort(fitted.loc[fitted["kind"] == "size", "params"].unique())
    np.testing.assert_allclose(mine, np.unique(np.round(expected, 6)), rtol=1e-6)
