"""Published laws beside the digitised Chinchilla points: the numbers that the docs print."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flopline.audit import published_comparison
from flopline.audit.finding import surface_of
from flopline.laws.parametric import parametric_fit
from tests.golden.test_forms_golden import GOPHER


@pytest.fixture(scope="module")
def finding(real_data: Path):
    """The 240 points less the five largest losses, as Besiroglu et al. 2024 fit them."""
    table = pd.read_csv(real_data / "chinchilla" / "svg_extracted_data.csv")
    points = pd.DataFrame(
        {
            "run": [f"point{i:03d}" for i in range(len(table))],
            "params": table["Model Size"],
            "flops": table["Training FLOP"],
            "loss": table["loss"],
        }
    )
    points = points.assign(tokens=points["flops"] / (6 * points["params"]))
    points = points.drop(index=points["loss"].nlargest(5).index)
    fit = parametric_fit.fit(points, [GOPHER], draws=0, seed=0)
    return published_comparison.audit(
        points,
        surface_of(fit.to_json()),
        [GOPHER],
        params_convention="total",
        flops_convention="six_nd",
    )


def test_sizes_and_what_they_waste(finding):
    laws = finding.tables["laws"].set_index("law")
    assert finding.numbers["laws"] == 25
    assert finding.numbers["least_params"] == pytest.approx(8.5e9, abs=5e7)
    assert finding.numbers["most_params"] == pytest.approx(2.95e12, abs=5e9)
    assert laws.loc["hoffmann_2022_parametric", "params"] == pytest.approx(40.36e9, abs=5.001e6)
    assert laws.loc["hoffmann_2022_parametric", "wasted_percent"] == pytest.approx(12, abs=0.5)
    assert laws.loc["besiroglu_2024", "wasted_percent"] < 0.01


def test_runs_under_published_surfaces(finding):
    """The refit of the same points leaves what the fit leaves, the paper's own a quarter more."""
    losses = finding.tables["losses"].set_index("law")
    ours = losses.loc[published_comparison.OURS, "sd_log_residual"]
    assert losses.loc["besiroglu_2024", "sd_log_residual"] == pytest.approx(ours, rel=0.01)
    assert losses.loc["hoffmann_2022_parametric", "sd_log_residual"] > 1.2 * ours
    assert (losses.drop(published_comparison.OURS)["sd_after_constant"] > 0.99 * ours).all()
