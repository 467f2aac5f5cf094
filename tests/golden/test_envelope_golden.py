"""Envelope against the published laws of Gemstones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flopline.flops import gemstones_flops_per_token
from flopline.laws.envelope import envelope_fit

# McLeish et al. 2025 (arXiv 2502.06857), repository mcleish7/gemstone-scaling-laws at 5f42047:
# exponent of params, and the files below parameters/ that hold it and the intercept in full.
PUBLISHED = {
    "hot_477": (0.499380, ""),
    "hot_100b+_477": (0.457903, "_100b+"),
    "lr_ablation_hot_477": (0.513128, "_lr_ablation"),
    "cool_end": (0.596981, "_cooldown"),
}


def checkpoints(real_data: Path, name: str) -> pd.DataFrame:
    """Validation losses of one Gemstones table with training FLOPs as upstream counts them."""
    path = real_data / "gemstones" / "wandb_dfs" / f"wandb_df_for_fitting_{name}.jsonl"
    table = pd.read_json(path, lines=True)
    table["flops"] = gemstones_flops_per_token(table["width"], table["depth"]) * table["tokens"]
    names = {"run_name": "run", "params_active_precise": "params", "final_loss": "loss"}
    return table.rename(columns=names)


def upstream(real_data: Path, quantity: str, suffix: str) -> tuple[float, float]:
    """Exponent and ln intercept as upstream stores them."""
    file = f"approach_1_linear_regression_{quantity}{suffix}.json"
    stored = json.loads((real_data / "gemstones" / "parameters" / file).read_text())
    return float(stored["coef"][0]), float(stored["intercept"])


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_gemstones_hull_laws(real_data: Path, name: str) -> None:
    exponent, suffix = PUBLISHED[name]
    p = envelope_fit.fit(
        checkpoints(real_data, name), [1e22], frontier="hull", draws=0, seed=1
    ).parameters
    assert p["a"].point == pytest.approx(exponent, abs=5e-7)
    for quantity, power, scale in (("params", "a", "N_coef"), ("tokens", "b", "D_coef")):
        stored = upstream(real_data, quantity, suffix)
        ours = p[power].point, np.log(p[scale].point)
        assert ours == pytest.approx(stored, rel=1e-9)


def test_gemstones_hull_law_in_full(real_data: Path) -> None:
    result = envelope_fit.fit(
        checkpoints(real_data, "hot_477"), [1e22], frontier="hull", draws=200, seed=1
    )
    p = result.parameters
    assert np.log(p["N_coef"].point) == pytest.approx(-2.8451, abs=5e-5)
    assert p["b"].point == pytest.approx(0.480989, abs=5e-7)
    assert np.log(p["D_coef"].point) == pytest.approx(1.8963, abs=5e-5)
    assert p["a"].lo95 < p["a"].point < p["a"].hi95


def test_bins_and_hull_differ_as_gemstones_warn(real_data: Path) -> None:
    """Checkpoints are not smoothed, and 1500 bins and the hull read different laws."""
    curves = checkpoints(real_data, "hot_477")
    bins, hull = (
        envelope_fit.fit(curves, [1e22], frontier=f, draws=0, seed=1) for f in ("bins", "hull")
    )
    assert bins.certificate["points_per_window"] == 1.0
    assert bins.certificate["frontier_points"] == 1500
    assert abs(bins.parameters["a"].point - hull.parameters["a"].point) > 0.05
