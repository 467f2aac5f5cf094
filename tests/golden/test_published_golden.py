"""Published laws beside the digitised Chinchilla points: the numbers that the docs print."""

from __future__ import annotations

import pytest

from flopline.audit import published_comparison
from flopline.audit.finding import surface_of
from flopline.laws.parametric import parametric_fit
from flopline.loss_units import NATS, words
from tests.builders.designs import GOPHER
from tests.builders.options import auditing


@pytest.fixture(scope="module")
def finding(without_outliers):
    fit = parametric_fit.fit(without_outliers, [GOPHER], draws=0, seed=0)
    return published_comparison.audit(
        without_outliers,
        surface_of(fit.to_json()),
        [GOPHER],
        auditing(compare=()),
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
    others = losses.drop(published_comparison.OURS)["sd_after_constant"]
    units = losses["loss_unit"].drop(published_comparison.OURS)
    compared = others[units.str.startswith(words(NATS))]
    assert len(compared) > 3
    assert (compared > 0.99 * ours).all()
    assert others.drop(compared.index).isna().all()  # no levels in another unit are compared
