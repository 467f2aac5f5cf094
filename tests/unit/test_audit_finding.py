"""What all audits return, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.errors import FloplineError
from flopline.laws.parametric import parametric_fit
from flopline.verdict_scale import Verdict
from tests.builders.designs import isoflop_runs, ray_runs


def test_a_surface_is_read_from_a_fit_and_its_draws() -> None:
    fit = parametric_fit.fit(isoflop_runs(noise=0.003), [1e23], draws=20, seed=0)
    stored = json.loads(json.dumps(fit.to_json()))
    surface = surface_of(stored)
    assert surface.alpha == fit.parameters["alpha"].point
    assert float(surface.params_opt(1e23)) == fit.targets[0].values["params"].point
    draws = draws_of(fit.draws)
    np.testing.assert_array_equal(draws.E, fit.draws["E"])


def test_draws_without_an_optimum_are_left_out() -> None:
    draws = parametric_fit.fit(isoflop_runs(noise=0.003), [1e23], draws=5, seed=0).draws
    draws.loc[1, "alpha"] = np.nan
    draws.loc[2, "B"] = 0.0
    kept = draws_of(draws)
    np.testing.assert_array_equal(kept.A, draws.loc[[0, 3, 4], "A"])
    with pytest.raises(FloplineError, match="1 of 5 can be used"):
        draws_of(draws.assign(beta=[0.3, *[np.nan] * 4]))


def test_a_fit_that_cannot_be_audited_is_refused() -> None:
    failed = parametric_fit.fit(ray_runs(), [1e23], draws=0, seed=0)
    assert failed.status == "failed"
    with pytest.raises(FloplineError, match="parametric fit failed"):
        surface_of(failed.to_json())
    with pytest.raises(FloplineError, match="was given the isoFLOP fit"):
        surface_of({"law": "isoflop"})


def test_a_finding_is_plain_json_without_its_tables() -> None:
    numbers = {"n": np.float64(2.0), "none": np.nan}
    finding = Finding("x", Verdict.GOOD, "s.", numbers, {"t": isoflop_runs()})
    assert json.loads(json.dumps(finding.to_json())) == {
        "audit": "x",
        "verdict": "good",
        "sentence": "s.",
        "numbers": {"n": 2.0, "none": None},
    }
