"""Rows of the tornado that change the objective, a count, or another law: each against its own
truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from flopline.audit import sensitivity
from flopline.audit.changes import COUNTS
from flopline.fits import envelope, generic, isoflop, parametric
from flopline.fits.objectives import linear_squares, log_lad
from flopline.fits.powerlaw import fit_power_law
from flopline.fits.vertexlaws import weights_from
from flopline.laws.law import surface_starts
from tests.unit.test_audit_finding import BESIROGLU, design
from tests.unit.test_audit_ladder import training_curves

TARGET = 1e23


def changes(points: pd.DataFrame, **more: object) -> pd.DataFrame:
    table = sensitivity.audit(points, TARGET, **more).tables["changes"]
    return table.set_index("change")


def test_other_objectives_end_where_many_starts_do() -> None:
    points = design(noise=0.004, seed=6)
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
    points = design(sizes=9)
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
    points = design(noise=0.002)
    partly = points.assign(params_nonembedding=0.9 * points["params"])
    partly.loc[0, "params_nonembedding"] = np.nan
    assert "params" not in set(changes(partly)["kind"])


def test_flops_counted_as_the_study_does_move_the_optimum() -> None:
    points = design(sizes=9)
    more = 3.0 * points["params"] ** -0.05
    rows = changes(points.assign(flops=points["flops"] * more))
    row = rows[rows["kind"] == "flops"].iloc[0]

    def loss(ln_n: float) -> float:
        n = np.exp(ln_n)
        return float(BESIROGLU.loss(n, TARGET / (6 * n * 3.0 * n**-0.05)))

    best = minimize_scalar(loss, bounds=(15, 30), method="bounded", options={"xatol": 1e-10})
    assert row["params"] == pytest.approx(float(np.exp(best.x)), rel=1e-4)
    assert "times 6ND" in row.name
    assert "flops" not in set(changes(points)["kind"])


def estimators(fit: object) -> dict[str, pd.DataFrame]:
    return {fit.law: fit.tables["estimators"]}  # type: ignore[attr-defined]


def test_vertices_are_weighed_and_checked_otherwise() -> None:
    points = design(noise=0.004, seed=3)
    fit = isoflop.fit(points, [TARGET], draws=200)
    vertices = fit.tables["vertices"].copy()
    vertices.loc[1, ["used", "reason"]] = [False, "its minimum is at the edge"]
    rows = changes(points, estimators=estimators(fit), vertices=vertices)
    used = vertices[vertices["used"]]
    main = fit.targets[0].values["params"].point

    def through(table: pd.DataFrame, weights: object) -> float:
        law = fit_power_law(np.log(table["budget_flops"]), np.log(table["params"]), weights)
        return float(np.exp(law.ln_at(np.log([TARGET]))[0]))

    equal = rows.loc["all vertices weigh the same"]
    assert equal["params"] == pytest.approx(through(used, 1.0))
    assert equal["reference_params"] == pytest.approx(main)
    assert equal["ratio"] == pytest.approx(through(used, 1.0) / main)
    every = rows.loc["with the budgets that fail the checks", "params"]
    weights = weights_from(vertices["params_se_ln"].to_numpy())
    assert every == pytest.approx(through(vertices, weights))
    # All vertices, weighed as the fit does, are the fit itself.
    assert every == pytest.approx(main, rel=1e-9)
    assert set(rows.loc[rows["law"] == "isoflop", "kind"]) == {"isoflop"}


def test_estimators_of_a_law_are_its_rows_and_replace_what_they_say() -> None:
    points = design(noise=0.004, seed=3)
    fit = isoflop.fit(points, [TARGET], draws=50)
    main = fit.tables["estimators"]
    other = main.assign(
        estimator="unweighted", label="Vertices alike", main=False, params=2 * main["params"]
    )
    failed = main.assign(
        estimator="cubic", label="Cubic", main=False, status="failed", params=np.nan, message="flat"
    )
    table = {"isoflop": pd.concat([main, other, failed], ignore_index=True)}
    rows = changes(points, estimators=table, vertices=fit.tables["vertices"])
    mine = rows[rows["law"] == "isoflop"]
    assert set(mine.index) == {"Vertices alike", "Cubic"}
    assert mine.loc["Vertices alike", "ratio"] == pytest.approx(2.0)
    assert mine.loc["Cubic", "message"] == "flat"


def test_the_frontier_that_was_not_chosen_is_a_row() -> None:
    points = design(sizes=9)
    curves = training_curves(points)
    options = {"bins": 300, "smoothing_steps": 0, "frontier": "hull"}
    fit = envelope.fit(curves, [TARGET], **options, draws=0)
    rows = changes(points, estimators=estimators(fit), curves=curves, envelope=options)
    row = rows.loc["frontier by bins instead of hull"]
    bins = envelope.fit(curves, [TARGET], bins=300, smoothing_steps=0, draws=0)
    assert row["params"] == pytest.approx(bins.targets[0].values["params"].point)
    assert row["reference_params"] == pytest.approx(fit.targets[0].values["params"].point)
    named = fit.tables["estimators"]
    both = pd.concat([named, named.assign(estimator="bins", label="Bins", main=False)])
    rows = changes(points, estimators={"envelope": both}, curves=curves, envelope=options)
    assert list(rows.index[rows["law"] == "envelope"]) == ["Bins"]


def test_the_batch_of_leave_outs_ends_where_single_fits_do() -> None:
    points = design(noise=0.005, seed=8)
    rows = changes(points)
    fitted = rows[rows["kind"].isin(["size", "budget", "residuals"])]
    assert (fitted["status"] == "converged").all()
    sizes = np.unique(points["params"])
    expected = []
    for size in sizes:
        rest = points[~np.isclose(points["params"], size, rtol=0.01)]
        fit = parametric.fit(rest, [TARGET], draws=0, seed=0)
        expected.append(fit.targets[0].values["params"].point)
    mine = np.sort(fitted.loc[fitted["kind"] == "size", "params"].unique())
    np.testing.assert_allclose(mine, np.unique(np.round(expected, 6)), rtol=1e-6)
