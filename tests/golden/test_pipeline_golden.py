"""Published numbers out of the pipeline's own result files, from study files a user would write."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow


def results(folder: Path, real_data: Path, name: str) -> Path:
    """Run tests/studies/<name>.yaml through the whole road; the folder of its results."""
    text = (ROOT / f"tests/studies/{name}.yaml").read_text()
    assert len(text.splitlines()) < 30
    checkout = Checkout.fresh(folder / "repo")
    study = checkout.folder / f"config/studies/{name}.yaml"
    study.write_text(text.replace("../shared/data", str(real_data)))
    done = checkout.snakemake(study=name)
    assert done.returncode == 0, done.stderr
    return checkout.folder / "results" / name


def fit(folder: Path, family: str, law: str) -> dict[str, Any]:
    return json.loads((folder / "fits" / family / f"{law}.json").read_text())


def point(fit: dict[str, Any], name: str) -> float:
    return fit["parameters"][name]["point"]


def test_chinchilla(tmp_path: Path, real_data: Path) -> None:
    folder = results(tmp_path, real_data, "chinchilla")
    runs = pd.read_parquet(folder / "clean/runs.parquet")
    assert runs["status"].value_counts().to_dict() == {"kept": 240, "quarantined": 5}
    assert (
        runs.loc[runs["status"] == "quarantined", "loss"].min()
        >= runs["loss"].sort_values().iloc[-5]
    )
    parametric = fit(folder, "chinchilla", "parametric")
    assert parametric["certificate"]["objective"] == pytest.approx(0.00101827402, rel=5e-9)
    assert point(parametric, "E") == pytest.approx(1.81721, abs=1e-5)
    assert point(parametric, "A") == pytest.approx(477.83, abs=5e-3)
    assert point(parametric, "B") == pytest.approx(2143.4, abs=0.05)
    assert point(parametric, "alpha") == pytest.approx(0.347311, abs=1e-6)
    assert point(parametric, "beta") == pytest.approx(0.367172, abs=1e-6)
    assert point(parametric, "a") == pytest.approx(0.513900, abs=1e-6)
    decision = pd.read_csv(folder / "decision.csv").set_index("law").loc["parametric"]
    assert decision["params"] == pytest.approx(73.2e9, abs=0.05e9)
    assert decision["tokens_per_param"] == pytest.approx(17.9, abs=0.05)
    isoflop = fit(folder, "chinchilla", "isoflop")
    assert isoflop["certificate"]["budgets_used"] == 9
    bottoms = pd.read_parquet(folder / "fits/chinchilla/isoflop.vertices.parquet")["loss"]
    listed = [3.02, 2.92, 2.73, 2.62, 2.55, 2.40, 2.33, 2.29, 2.21]
    # The list reads the lowest points off the data, the vertex is where the parabola bottoms out.
    assert bottoms.tolist() == pytest.approx(listed, abs=0.025)


def test_gemstones(tmp_path: Path, real_data: Path) -> None:
    folder = results(tmp_path, real_data, "gemstones")
    parametric = fit(folder, "gemstones", "parametric")
    assert parametric["n_points"] == 220
    assert parametric["certificate"]["objective"] == pytest.approx(1.981613e-3, abs=5e-10)
    assert point(parametric, "alpha") == pytest.approx(0.2929, abs=5e-5)
    assert point(parametric, "beta") == pytest.approx(0.7130, abs=5e-5)
    assert math.log(point(parametric, "A")) == pytest.approx(5.3617, abs=5e-5)
    assert math.log(point(parametric, "B")) == pytest.approx(15.4185, abs=5e-5)
    assert math.log(point(parametric, "E")) == pytest.approx(0.7623, abs=5e-5)


def test_gemstones_envelope(tmp_path: Path, real_data: Path) -> None:
    folder = results(tmp_path, real_data, "gemstones_envelope")
    envelope = fit(folder, "gemstones", "envelope")
    assert point(envelope, "a") == pytest.approx(0.499380, abs=5e-7)
    assert math.log(point(envelope, "N_coef")) == pytest.approx(-2.8451, abs=5e-5)
    assert point(envelope, "b") == pytest.approx(0.480989, abs=5e-7)
    assert math.log(point(envelope, "D_coef")) == pytest.approx(1.8963, abs=5e-5)
