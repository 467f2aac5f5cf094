"""What all audits return, what they refuse, and the designs that their tests share (synthetic)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.errors import FloplineError
from flopline.laws.parametric import parametric_fit
from flopline.surfaces.chinchilla import LossSurface

# Besiroglu et al. 2024 (arXiv 2404.10102), table of estimates.
BESIROGLU = LossSurface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
# Hoffmann et al. 2022 (arXiv 2203.15556v1), section 3.3, constants as printed.
HOFFMANN = LossSurface(1.69, 406.4, 410.7, 0.34, 0.28)
BUDGETS = tuple(float(c) for c in np.geomspace(1e18, 1e21, 5))


def design(
    surface: LossSurface = BESIROGLU,
    width: float = 4.0,
    sizes: int = 7,
    budgets: tuple[float, ...] = BUDGETS,
    noise: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Runs at log-spaced sizes within a factor `width` of the optimum of every budget."""
    flops = np.repeat(budgets, sizes)
    params = surface.params_opt(flops) * np.tile(
        np.geomspace(1 / width, width, sizes), len(budgets)
    )
    tokens = flops / (6 * params)
    scatter = np.exp(noise * np.random.default_rng(seed).standard_normal(flops.size))
    return pd.DataFrame(
        {
            "run": [f"r{i:03d}" for i in range(flops.size)],
            "params": params,
            "tokens": tokens,
            "flops": flops,
            "loss": surface.loss(params, tokens) * scatter,
        }
    )


def ray(surface: LossSurface, ratio: float = 20.0, runs: int = 20) -> pd.DataFrame:
    """Runs that all train `ratio` tokens per param."""
    params = np.geomspace(1e8, 1e10, runs)
    return pd.DataFrame(
        {
            "run": [f"r{i:03d}" for i in range(runs)],
            "params": params,
            "tokens": ratio * params,
            "flops": 6 * ratio * params**2,
            "loss": surface.loss(params, ratio * params),
        }
    )


def test_a_surface_is_read_from_a_fit_and_its_draws() -> None:
    fit = parametric_fit.fit(design(noise=0.003), [1e23], draws=20, seed=0)
    stored = json.loads(json.dumps(fit.to_json()))
    surface = surface_of(stored)
    assert surface.alpha == fit.parameters["alpha"].point
    assert float(surface.params_opt(1e23)) == fit.targets[0].values["params"].point
    draws = draws_of(fit.draws)
    np.testing.assert_array_equal(draws.E, fit.draws["E"])


def test_draws_without_an_optimum_are_left_out() -> None:
    draws = parametric_fit.fit(design(noise=0.003), [1e23], draws=5, seed=0).draws
    draws.loc[1, "alpha"] = np.nan
    draws.loc[2, "B"] = 0.0
    kept = draws_of(draws)
    np.testing.assert_array_equal(kept.A, draws.loc[[0, 3, 4], "A"])
    with pytest.raises(FloplineError, match="1 of 5 can be used"):
        draws_of(draws.assign(beta=[0.3, *[np.nan] * 4]))


def test_a_fit_that_cannot_be_audited_is_refused() -> None:
    failed = parametric_fit.fit(ray(BESIROGLU), [1e23], draws=0, seed=0)
    assert failed.status == "failed"
    with pytest.raises(FloplineError, match="parametric fit failed"):
        surface_of(failed.to_json())
    with pytest.raises(FloplineError, match="was given the isoflop fit"):
        surface_of({"law": "isoflop"})


def test_a_finding_is_plain_json_without_its_tables() -> None:
    finding = Finding("x", "fine", "s.", {"n": np.float64(2.0), "none": np.nan}, {"t": design()})
    assert json.loads(json.dumps(finding.to_json())) == {
        "audit": "x",
        "verdict": "fine",
        "sentence": "s.",
        "numbers": {"n": 2.0, "none": None},
    }
