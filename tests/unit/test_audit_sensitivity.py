"""The tornado: every row is the refit it names, sorted by what it does to N."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import sensitivity
from flopline.audit.changes import DELTAS, LARGEST
from flopline.audit.estimator_changes import without_budgets
from flopline.audit.finding import Finding
from flopline.audit.waste import wasted_share
from flopline.errors import FloplineError
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.options import StudyOptions
from tests.builders.designs import BUDGETS, isoflop_runs, ray_runs
from tests.builders.surfaces import BESIROGLU

TARGET = 1e23


def n_of(points: pd.DataFrame, delta: float = 1e-3) -> float:
    fit = parametric_fit.fit(points, [TARGET], huber_delta=delta, draws=0, seed=0)
    return fit.targets[0].values["params"].point


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    return isoflop_runs(noise=0.003, seed=1)


@pytest.fixture(scope="module")
def finding(points: pd.DataFrame) -> Finding:
    return sensitivity.audit(points, TARGET)


def test_every_row_is_the_refit_it_names(points: pd.DataFrame, finding: Finding) -> None:
    table = finding.tables["changes"].set_index("change")
    base = parametric_fit.fit(points, [TARGET], draws=0, seed=0)
    rows = base.tables["points"]
    residuals = rows["log_residual"].abs()
    two = rows.drop(index=residuals.nlargest(2).index)
    expected = {
        "Huber delta 0.01": n_of(points, 0.01),
        "least squares on log loss": n_of(points, 1e3),
        "without the 2 largest residuals": n_of(two),
        "without 1e18 FLOPs": n_of(points[points["flops"] > 1.01e18]),
    }
    for change, n in expected.items():
        assert table.loc[change, "params"] == pytest.approx(n, rel=1e-9), change
    best = base.targets[0].values["params"].point
    assert finding.numbers["params"] == pytest.approx(best)
    np.testing.assert_allclose(table["ratio"], table["params"] / best)
    np.testing.assert_allclose(
        table["wasted_percent"],
        100
        * wasted_share(
            base.parameters["alpha"].point, base.parameters["beta"].point, np.log(table["ratio"])
        ),
    )


def test_rows_are_sorted_and_complete(points: pd.DataFrame, finding: Finding) -> None:
    table = finding.tables["changes"]
    assert table["ratio"].pipe(np.log).abs().is_monotonic_decreasing
    counts = table["kind"].value_counts()
    assert counts["objective"] == len(DELTAS) + 3
    assert counts["residuals"] == len(LARGEST)
    assert counts["budget"] == len(BUDGETS)
    distinct = np.diff(np.sort(np.log(points["params"]))) > 0.02
    assert counts["size"] == 1 + distinct.sum()
    sizes = table[table["kind"] == "size"]
    assert (len(points) - sizes["n_points"]).sum() == len(points)


def test_one_bad_run_is_found() -> None:
    points = isoflop_runs(budgets=BUDGETS[:4], sizes=5, noise=0.001, seed=1)
    clean = sensitivity.audit(points, TARGET)
    assert clean.verdict == "good"
    points.loc[3, "loss"] *= 1.5
    # Least squares follows the bad run; Huber with a small delta hardly does.
    robust = sensitivity.audit(points, TARGET).tables["changes"].set_index("change")
    assert abs(np.log(robust.loc["without the largest residual", "ratio"])) < 0.05
    finding = sensitivity.audit(points, TARGET, StudyOptions(ParametricOptions(huber_delta=1e3)))
    rows = finding.tables["changes"].set_index("change")
    dropped = np.log(rows.loc["without the largest residual", "ratio"])
    assert abs(dropped) > 5 * abs(np.log(robust.loc["without the largest residual", "ratio"]))
    assert finding.verdict == "warned"
    assert finding.numbers["worst_wasted_percent"] == rows["wasted_percent"].max()


def test_refits_that_fail_say_why() -> None:
    # Without its only other budget this design is a single isoFLOP profile, a ray in logs.
    points = isoflop_runs(budgets=(1e18, 1e20), sizes=14, noise=0.001)
    finding = sensitivity.audit(points, TARGET)
    failed = finding.tables["changes"].query("status == 'failed'")
    assert set(failed["kind"]) == {"budget"}
    assert failed["params"].isna().all()
    assert failed["message"].str.contains("Tokens follow from params").all()
    assert finding.numbers["refits_failed"] == 2
    assert "2 more refits fail" in finding.sentence
    assert finding.verdict == "warned"


def test_order_of_rows_does_not_matter(points: pd.DataFrame, finding: Finding) -> None:
    other = sensitivity.audit(points.sample(frac=1, random_state=2), TARGET)
    pd.testing.assert_frame_equal(
        finding.tables["changes"], other.tables["changes"], check_exact=True
    )


def test_a_baseline_that_fails_is_refused() -> None:
    with pytest.raises(FloplineError, match="parametric fit failed"):
        sensitivity.audit(ray_runs(BESIROGLU), TARGET)


def test_each_budget_is_left_out_of_the_isoflop_law() -> None:
    flops = np.array([1e18, 1e19, 1e20, 1e21, 1e22])
    params = np.sqrt(flops)
    params[0] *= 2.0
    vertices = pd.DataFrame(
        {"budget_flops": flops, "params": params, "params_weight": 1.0, "used": flops < 1e22}
    )
    changes = {c.label: c.row() for c in without_budgets(vertices, 1e23)}
    assert list(changes) == [
        f"without {c} FLOPs, isoFLOP" for c in ("1e18", "1e19", "1e20", "1e21")
    ]
    assert changes["without 1e18 FLOPs, isoFLOP"]["params"] == pytest.approx(np.sqrt(1e23))
    assert changes["without 1e18 FLOPs, isoFLOP"]["a"] == pytest.approx(0.5)
    assert changes["without 1e21 FLOPs, isoFLOP"]["a"] < 0.45
