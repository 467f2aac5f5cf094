"""What runs that all lie on one ray of N and D tell: L = E + psi N^-alpha along it, and no more."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.bootstrap import run_weights
from flopline.laws.common.budgets import SAME_BUDGET
from flopline.laws.common.counting import counted
from flopline.laws.common.fit_result import ENDS, Estimate
from flopline.laws.common.loss_compute import fit_loss_compute
from flopline.laws.common.power_law import fit_power_law
from flopline.numbers import flops_label, humanise, significant

Floats = NDArray[np.float64]

CURVE_POINTS: Final = 60
"""Sizes at which the law along the ray is tabled, from the smallest run to the target."""


def reduced_law(params: Floats, loss: Floats) -> pd.DataFrame:
    """What runs on one ray do tell: L = E + psi N^-alpha, by least squares on relative error."""
    law = fit_loss_compute(np.log(params), loss, 1.0)
    residual = law.at(np.log(params))[0] / loss - 1
    return pd.DataFrame(
        {
            "E": law.E,
            "psi": np.exp(law.ln_K),
            "alpha": law.c,
            "rms_relative_loss": [float(np.sqrt((residual**2).mean()))],
            "form": [law.form().replace("K C^-c", "psi N^-alpha")],
        }
    )


def tables_of(
    points: pd.DataFrame, target_flops: float, draws: int, seed: int
) -> dict[str, pd.DataFrame]:
    """The reduced law with intervals, its forecast on the ray at a budget, and its curve.

    `points` has run, params [weights], tokens, loss [nats per token] and maybe flops;
    `target_flops` is spent on the ray as C = 6ND, or as the flops of the runs are counted, ln D =
    p + q ln N through the runs. Tables: ray (one row: E, psi, alpha and target_loss with the ends
    of their bootstrap intervals over runs, target_params, target_tokens) and ray_curve (params,
    tokens, loss and its 95 % interval, from the runs to the target). Of runs of one budget there
    is no forecast: the columns of the target are NaN, and the curve ends with the runs.
    """
    ln_n, ln_d = (np.log(points[c].to_numpy(dtype=float)) for c in ("params", "tokens"))
    loss = points["loss"].to_numpy(dtype=float)
    line = fit_power_law(ln_n, ln_d, 1.0)
    # Along runs of one budget compute does not rise, so that no point of the line spends another.
    onward = (1 + float(line.p)) * float(np.ptp(ln_n)) > SAME_BUDGET
    at_target = float("nan")
    if onward:
        at_target = (np.log(target_flops / 6) - float(line.ln_k)) / (1 + float(line.p))
    count = counted(points, 0, seed, "identifiability", "") if "flops" in points else None
    if onward and count is not None:
        power_law = float(line.ln_k), float(line.p)
        at_target = float(np.log(count.point.params_along(target_flops, *power_law)))
    weights = run_weights(points["run"].tolist(), draws, seed)
    point = fit_loss_compute(ln_n, loss, 1.0)
    grid = np.linspace(ln_n.min(), np.fmax(at_target, ln_n.max()), CURVE_POINTS)
    table = reduced_law(np.exp(ln_n), loss)
    at_ends = np.array([at_target])
    drawn = {name: np.empty(0) for name in ("E", "psi", "alpha", "target_loss")}
    low, high = np.full((2, grid.size), np.nan)
    if len(weights):
        laws = fit_loss_compute(ln_n, loss, weights)
        drawn = {
            "E": laws.E,
            "psi": np.exp(laws.ln_K),
            "alpha": laws.c,
            "target_loss": laws.at(at_ends)[:, 0],
        }
        along = laws.at(grid)[np.isfinite(laws.c)]
        if len(along):
            low, high = np.percentile(along, [2.5, 97.5], axis=0)
    table["target_flops"] = target_flops
    table["target_params"] = np.exp(at_target)
    bought = target_flops / 6 / np.exp(at_target)
    if onward and count is not None:
        bought = float(count.point.tokens(target_flops, np.exp(at_target)))
    table["target_tokens"] = bought
    table["target_loss"] = point.at(at_ends)[0]
    for name, values in drawn.items():
        estimate = Estimate.of(float(table[name].iloc[0]), values)
        for end in ENDS:
            table[f"{name}_{end}"] = getattr(estimate, end)
    curve = pd.DataFrame(
        {
            "params": np.exp(grid),
            "tokens": np.exp(line.ln_at(grid)),
            "loss": point.at(grid)[0],
            "loss_lo95": low,
            "loss_hi95": high,
        }
    )
    return {"ray": table, "ray_curve": curve}


def sentence(spread: float, law: pd.Series) -> str:
    """What is refused, and what the runs do tell, from the row of the table ray."""
    refused = (
        f"Tokens follow from params in every run (ln D leaves its line by {spread:.2g}), so N_opt "
        "is not identified, however many runs there are; the runs tell"
    )
    if not np.isfinite(law["alpha"]):
        return f"{refused} not even a law of N along them."
    constants = (
        f"loss = {significant(law['E'])} + {significant(law['psi'])} N^-{significant(law['alpha'])}"
    )
    if not np.isfinite(law["target_params"]):
        return (
            f"{refused} only {constants} along them, all of about one compute budget, and so "
            f"nothing of {flops_label(law['target_flops'])} FLOPs."
        )
    loss = significant(law["target_loss"])
    if np.isfinite(law["target_loss_lo95"]):
        ends = (significant(law[f"target_loss_{end}"]) for end in ("lo95", "hi95"))
        loss += f" (95 % interval {' to '.join(ends)})"
    return (
        f"{refused} only {constants} along the runs' own tokens per param, there "
        f"{humanise(law['target_params'])} params on {humanise(law['target_tokens'])} tokens at "
        f"{flops_label(law['target_flops'])} FLOPs with a loss of {loss}."
    )
