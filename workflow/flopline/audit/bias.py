"""The parabola's own bias on the actual grid of an isoFLOP analysis, and vertices without it.

The isoFLOP fit corrects its vertices with a surface of its own (fits/plugin_bias.py, which does
the arithmetic); here it is the parametric fit that is plugged in, as a judge from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.laws.common.power_law import PowerLaw, fit_power_law
from flopline.laws.isoflop.plugin_bias import optimum, plugin_bias
from flopline.laws.isoflop.vertex_laws import MIN_BUDGETS
from flopline.numbers import flops_label, humanise, significant
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import warned_if

Floats = NDArray[np.float64]

LARGE: Final = 0.05
"""Change of N at a target [ln] from which the bias is warned about."""


def audit(
    surface: LossSurface,
    vertices: pd.DataFrame,
    profiles: pd.DataFrame,
    targets_flops: Sequence[float],
) -> Finding:
    """Plug-in bias of every isoFLOP vertex, and the isoFLOP laws with and without it.

    `surface` is the parametric fit; `vertices` and `profiles` are the tables of the isoFLOP fit
    of the same family; `targets_flops` [FLOPs]. Budgets without a usable vertex are left out.
    Tables: vertices (one row per budget; biases in ln N and ln D, `leading_order` for comparison)
    and laws (raw and corrected at each target). Raises FloplineError with fewer than three
    budgets that carry a bias.
    """
    used = vertices[vertices["used"]].sort_values("budget_flops", ignore_index=True)
    biases = pd.DataFrame([_bias(surface, row, profiles) for row in used.to_dict("records")])
    known = int(np.isfinite(biases["bias_ln_params"]).sum()) if len(biases) else 0
    if known < MIN_BUDGETS:
        raise FloplineError(
            f"the bias of the isoFLOP laws needs {MIN_BUDGETS} budgets with a vertex on data and "
            f"on the fitted surface, but there are {known}: add budgets, or take isoflop out of "
            "`laws` in the study file."
        )
    table = pd.concat([used[["budget_flops", "params", "tokens"]], biases], axis=1).assign(
        params_corrected=used["params"] * np.exp(-biases["bias_ln_params"]),
        tokens_corrected=used["tokens"] * np.exp(-biases["bias_ln_tokens"]),
    )
    laws = {name: _laws(table, used, name) for name in ("params", "tokens")}
    at_targets = _at_targets(laws, targets_flops)
    trend = fit_power_law(np.log(table["budget_flops"]), table["offset_ln_params"], 1.0)
    return _finding(table, laws, at_targets, float(trend.p))


def _bias(
    surface: LossSurface, vertex: Mapping[Any, Any], profiles: pd.DataFrame
) -> dict[str, float]:
    """Bias of one budget's two parabolas, its grid's offset, and the leading-order formula."""
    rows = profiles[profiles["budget_flops"] == vertex["budget_flops"]]
    # Runs far up the walls of a wide grid have no place on a parabola near the bottom.
    rows = rows[rows["fitted"].notna()] if "fitted" in rows else rows
    rows = rows.sort_values(["params", "tokens", "run"], kind="stable")
    bias = plugin_bias(surface, rows, np.ones((1, len(rows))))
    best_n, best_d, _ = optimum(surface, bias.ln_flops)
    ln_n = np.log(rows["params"].to_numpy())
    u = ln_n - ln_n.mean()
    slope = float(np.asarray(surface.alpha) - np.asarray(surface.beta))
    return {
        "surface_params": float(np.exp(best_n[0])),
        "surface_tokens": float(np.exp(best_d[0])),
        "bias_ln_params": float(bias.ln_params[0]),
        "bias_ln_tokens": float(bias.ln_tokens[0]),
        "leading_order": slope * float((u**4).mean() / (6 * (u**2).mean())),
        "offset_ln_params": float(ln_n.mean() - best_n[0]),
        "width_ln_params": float(np.ptp(u)),
    }


def _laws(table: pd.DataFrame, used: pd.DataFrame, name: str) -> dict[str, PowerLaw]:
    """The isoFLOP law of `name` through raw and through corrected vertices, weighted alike."""
    ln_c = np.log(table["budget_flops"].to_numpy())
    weights = used[f"{name}_weight"].to_numpy(dtype=float)
    return {
        "raw": fit_power_law(ln_c, np.log(table[name].to_numpy()), weights),
        "corrected": fit_power_law(ln_c, np.log(table[f"{name}_corrected"].to_numpy()), weights),
    }


def _at_targets(
    laws: dict[str, dict[str, PowerLaw]], targets_flops: Sequence[float]
) -> pd.DataFrame:
    ln_c = np.log(np.asarray(targets_flops, dtype=float))
    rows = []
    for which in ("raw", "corrected"):
        n, d = (np.exp(laws[name][which].ln_at(ln_c)) for name in ("params", "tokens"))
        for i, budget in enumerate(targets_flops):
            rows.append(
                {
                    "budget_flops": float(budget),
                    "vertices": which,
                    "params": float(n[i]),
                    "tokens": float(d[i]),
                    "a": float(laws["params"][which].p),
                    "b": float(laws["tokens"][which].p),
                }
            )
    return pd.DataFrame(rows)


def _finding(
    table: pd.DataFrame,
    laws: dict[str, dict[str, PowerLaw]],
    at_targets: pd.DataFrame,
    offset_trend: float,
) -> Finding:
    by = at_targets.pivot_table(index="budget_flops", columns="vertices", values="params")
    change = np.log(by["corrected"] / by["raw"])
    worst = change.abs().idxmax()
    low, high = (100 * np.expm1(f(table["bias_ln_params"])) for f in (np.min, np.max))
    sentence = (
        f"On these grids the parabola misses the optimum of the fitted surface by "
        f"{significant(low, 2)} to {significant(high, 2)} % in N; without that bias the isoFLOP "
        f"law puts N at {flops_label(worst)} FLOPs at {humanise(by.loc[worst, 'corrected'])} "
        f"instead of {humanise(by.loc[worst, 'raw'])}."
    )
    return Finding(
        "bias",
        warned_if(abs(change[worst]) > LARGE),
        sentence,
        {
            "a_raw": float(laws["params"]["raw"].p),
            "a_corrected": float(laws["params"]["corrected"].p),
            "largest_ln_change": float(change[worst]),
            "offset_trend": offset_trend,
            "budgets": len(table),
        },
        {"vertices": table, "laws": at_targets},
    )
