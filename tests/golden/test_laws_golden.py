"""Published laws and refits of public runs against the numbers that their sources print.

Where the expected number was computed rather than published, it was computed with SciPy from the
same files, apart from this code.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from flopline.solvers import generic, objectives
from flopline.surfaces import published, repeated, skaling, tied
from flopline.surfaces.surface import parameters, surface_starts
from tests.builders.designs import GOPHER


def printed(value: float, expected: float, digit: float) -> None:
    """`value` rounds to `expected`, whose last printed digit is worth `digit`."""
    assert value == pytest.approx(expected, abs=0.5001 * digit)


# Closed forms.


@pytest.mark.parametrize(
    ("name", "flops", "params", "tokens"),
    [
        ("besiroglu_2024", 1e21, (2.778e9, 1e6), (59.99e9, 1e7)),
        ("besiroglu_2024", GOPHER, (72.25e9, 1e7), (1328.7e9, 1e8)),
        ("besiroglu_2024", 3.8e25, (618.7e9, 1e8), (10.24e12, 1e10)),
        ("hoffmann_2022_parametric", 1e21, (2.217e9, 1e6), (75.18e9, 1e7)),
        ("hoffmann_2022_parametric", GOPHER, (40.36e9, 1e7), (2378.5e9, 1e8)),
        ("hoffmann_2022_parametric", 3.8e25, (273.2e9, 1e8), None),
        ("hoffmann_2022_parametric_rounded", GOPHER, (32.2e9, 1e8), None),
        ("hoffmann_2022_envelope", 1e21, (2.86e9, 1e7), None),
        ("hoffmann_2022_envelope", GOPHER, (67.8e9, 1e8), None),
        ("hoffmann_2022_isoflop", 1e21, (2.82e9, 1e7), (59.2e9, 1e8)),
        ("hoffmann_2022_isoflop", GOPHER, (63.4e9, 1e8), (1.51e12, 1e10)),
        ("llama3_2024", 3.8e25, None, (10.5e12, 1e11)),
        ("llama3_2024_figure", 3.8e25, None, (16.3e12, 1e11)),
    ],
)
def test_optima_of_published_laws(name, flops, params, tokens):
    law = published.load(name).law
    if params:
        printed(float(law.params_opt(flops)), *params)
    if tokens:
        printed(float(law.tokens_opt(flops)), *tokens)


def test_loss_of_besiroglu_at_gopher_s_budget():
    printed(float(published.load("besiroglu_2024").surface().loss_opt(GOPHER)), 1.9744, 1e-4)


def test_tokens_per_param_of_muennighoff_at_every_budget():
    budgets = np.geomspace(1e17, 1e26, 7)
    for name in ("muennighoff_2023_base", "muennighoff_2023_repeated"):
        law = published.load(name).law
        for ratio in law.tokens_opt(budgets) / law.params_opt(budgets):
            printed(ratio, 19.61, 1e-2)


def test_closed_forms_of_other_published_laws():
    sparse = published.load("nmm_2025_sparse").law
    printed(float(sparse.a), 0.344, 1e-3)
    deepseek = published.load("deepseek_2024").law
    printed(float(deepseek.params_opt(1e21) * deepseek.tokens_opt(1e21)) / 1e21, 1.0001, 1e-4)
    gemstones = published.load("gemstones_2025_parametric").law
    printed(float(gemstones.a), 0.709, 1e-3)


# The digitised Chinchilla points.


def arguments(points: pd.DataFrame):
    columns = {c: points[c].to_numpy(float) for c in ("params", "tokens", "loss")}
    loss = columns.pop("loss")
    return columns, loss


def fitted(points: pd.DataFrame, objective, make=surface_starts) -> generic.PointFit:
    columns, loss = arguments(points)
    fit = generic.fit(make(**columns, loss=loss), columns, loss, objective)
    assert fit.converged
    assert fit.starts_agree > fit.starts / 2
    return fit


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("besiroglu_2024", 0.0010228),
        ("hoffmann_2022_parametric", 0.0012312),
        ("hoffmann_2022_parametric_rounded", 0.0041210),
    ],
)
def test_objective_at_published_constants(without_outliers, name, expected):
    columns, loss = arguments(without_outliers)
    huber = objectives.log_huber()
    value = huber.value(huber.residual(published.load(name).surface().loss(**columns), loss))
    printed(value, expected, 1e-7)


def test_least_squares_on_the_loss(chinchilla, without_outliers):
    law = fitted(without_outliers, objectives.linear_squares()).law
    for name, value, digit in (
        ("E", 1.883, 1e-3),
        ("A", 568, 1),
        ("B", 7582, 1),
        ("alpha", 0.358, 1e-3),
        ("beta", 0.428, 1e-3),
        ("a", 0.545, 1e-3),
    ):
        printed(float(getattr(law, name)), value, digit)
    printed(float(law.params_opt(GOPHER)), 96e9, 1e9)

    law = fitted(chinchilla, objectives.linear_squares()).law
    for name, value, digit in (
        ("E", 2.011, 1e-3),
        ("A", 712, 1),
        ("B", 1.0e6, 1e5),
        ("alpha", 0.368, 1e-3),
        ("beta", 0.661, 1e-3),
        ("a", 0.642, 1e-3),
    ):
        printed(float(getattr(law, name)), value, digit)
    printed(float(law.params_opt(GOPHER)), 283e9, 1e9)


@pytest.mark.parametrize(
    ("delta", "irreducible", "a", "params"),
    [
        (1e-4, 1.816, 0.513, 72e9),
        (1e-3, 1.8172, 0.5139, 73.2e9),
        (3e-3, 1.821, 0.514, 73e9),
        (1e-2, 1.838, 0.518, 75e9),
        (1e-1, 1.865, 0.530, 82e9),
    ],
)
def test_sizes_of_delta(without_outliers, delta, irreducible, a, params):
    law = fitted(without_outliers, objectives.log_huber(delta)).law
    fine = delta == 1e-3
    printed(float(law.E), irreducible, 1e-4 if fine else 1e-3)
    printed(float(law.a), a, 1e-4 if fine else 1e-3)
    printed(float(law.params_opt(GOPHER)), params, 1e8 if fine else 1e9)


def test_all_points_under_huber(chinchilla):
    law = fitted(chinchilla, objectives.log_huber()).law
    for name, value, digit in (
        ("E", 1.8913, 1e-4),
        ("A", 495.7, 0.1),
        ("B", 12846, 1),
        ("alpha", 0.3493, 1e-4),
        ("beta", 0.4530, 1e-4),
    ):
        printed(float(getattr(law, name)), value, digit)


def test_published_refit_is_the_lad_optimum(chinchilla, without_outliers):
    """Besiroglu et al. 2024 print what least absolute log residuals give, but for E.

    A and the inferred a agree to the printed digit, B, alpha and beta to one unit of the last one.
    Their E is that of Huber with delta 1e-3.
    """
    lad = fitted(without_outliers, objectives.log_lad()).law
    theirs = published.load("besiroglu_2024")
    printed(float(lad.A), theirs.law.A, 0.01)
    printed(float(lad.a), theirs.reported["a"], 1e-4)
    for name, digit in (("B", 0.01), ("alpha", 1e-4), ("beta", 1e-4)):
        assert getattr(lad, name) == pytest.approx(getattr(theirs.law, name), abs=digit)
    assert abs(float(lad.E) - theirs.law.E) > 3e-4
    huber = fitted(without_outliers, objectives.log_huber()).law
    printed(float(huber.E), theirs.law.E, 1e-4)

    lad = fitted(chinchilla, objectives.log_lad()).law
    printed(float(lad.E), 1.89, 1e-2)
    printed(float(lad.A), 463.3, 0.1)
    printed(float(lad.beta), 0.452, 1e-3)
    printed(float(lad.B), 12530, 10)


def test_bend_of_the_chinchilla_points(without_outliers):
    straight = fitted(without_outliers, objectives.log_huber())
    skewed = fitted(without_outliers, objectives.log_huber(), skaling.starts)
    printed(float(skewed.law.k), 0.774, 1e-3)
    printed(100 * (skewed.value / straight.value - 1), -6, 1)
    printed(float(skewed.law.params_opt(GOPHER)), 66.6e9, 1e8)


# Repeated data.


@pytest.fixture(scope="module")
def datablations(real_data: Path) -> pd.DataFrame:
    """The 182 runs that Muennighoff et al. 2023 fitted R_D* and R_N* to."""
    table = pd.read_csv(real_data / "datablations" / "points_fit182.csv")
    assert len(table) == 182
    return table


def test_repeated_data_law_at_its_published_constants(datablations):
    """Nothing is fitted here: all seven constants are the published ones."""
    columns = {c: datablations[c].to_numpy() for c in ("params", "tokens", "unique_tokens")}
    huber, law = objectives.log_huber(), published.load("muennighoff_2023_repeated").law
    residual = huber.residual(law.loss(**columns), datablations["val_loss"].to_numpy())
    printed(huber.value(residual), 0.0158259353, 1e-10)


def test_published_decay_constants_are_not_where_the_runs_put_them(datablations):
    """R_D* and R_N* fitted with the base constants held: a lower objective, far away and flat."""
    columns = {c: datablations[c].to_numpy() for c in ("params", "tokens", "unique_tokens")}
    law, loss = published.load("muennighoff_2023_repeated").law, datablations["val_loss"]
    starts = [law, *repeated.starts(law.base)]
    fit = generic.fit(starts, columns, loss, objectives.log_huber(), free=("R_D", "R_N"))
    assert fit.converged
    assert fit.starts_agree == fit.starts
    assert fit.value == pytest.approx(0.015804662474, abs=1e-12)
    assert_allclose([fit.law.R_D, fit.law.R_N], [95.365, 1.7059], rtol=1e-4)


# Over-training.

FIT_RUNS = (
    "d=96_l=8_h=4-1.0",
    "d=512_l=8_h=4-1.0",
    "d=576_l=24_h=8-1.0",
    "d=1024_l=24_h=8-1.0",
    "d=96_l=8_h=4-16.0",
)
LARGE_RUNS = ("open_lm_1b-32.0", "open_lm_7b-1.0")


@pytest.fixture(scope="module")
def redpajama(real_data: Path) -> pd.DataFrame:
    """Gadre et al. 2024: runs on RedPajama, loss on C4; params count the embeddings."""
    folder = real_data / "gadre_overtraining" / "exp_data" / "models"
    rows = []
    for run in (*FIT_RUNS, *LARGE_RUNS):
        record = json.loads((folder / f"rpj-{run}.json").read_text())
        made = record["hyperparameters"]
        (loss,) = (r["loss"] for r in record["results"] if "c4_val" in str(r["val_data"]))
        rows.append((run, made["params"], made["tokens"], loss))
    table = pd.DataFrame(rows, columns=["run", "params", "tokens", "loss"]).set_index("run")
    assert_allclose(table["tokens"] / table["params"], [20, 20, 20, 20, 320, 640, 20], rtol=1e-3)
    return table


def test_extrapolation_of_the_tied_law(redpajama):
    """E, A, B and alpha fitted to five small runs, loss forecast for the two large ones."""
    law = fitted(redpajama.loc[list(FIT_RUNS)], objectives.linear_squares(), tied.starts).law
    large = redpajama.loc[list(LARGE_RUNS)]
    error = 100 * np.abs(law.loss(large["params"], large["tokens"]) / large["loss"] - 1)
    printed(error["open_lm_1b-32.0"], 0.7103, 1e-4)
    printed(error["open_lm_7b-1.0"], 0.7320, 1e-4)
    assert parameters(law) == ("E", "A", "B", "alpha")
