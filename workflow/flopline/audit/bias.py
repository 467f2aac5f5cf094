"""The parabola's own bias on the actual grid of an isoFLOP analysis, and vertices without it.

A loss profile is no parabola in ln N: where alpha differs from beta, or the grid sits off its
optimum, the vertex misses it even without noise (Czech et al. 2026, arXiv 2603.22339). The
fitted surface says by how much: the same parabolas through its losses at the runs' own
(params, tokens), less its true optimum, is the plug-in bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import FINE, MIND, Finding
from flopline.errors import FloplineError
from flopline.fits.inputs import size_classes
from flopline.fits.parabola import fit_parabolas
from flopline.fits.powerlaw import PowerLaw, fit_power_law
from flopline.fits.vertexlaws import MIN_BUDGETS, weights_from
from flopline.flops import six_nd
from flopline.laws.chinchilla import LossSurface
from flopline.numbers import flops_label, humanise, significant

Floats = NDArray[np.float64]

LARGE: Final = 0.05
"""Change of N at a target [ln] from which the bias is to be minded."""


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


def _bias(surface: LossSurface, vertex: dict[str, Any], profiles: pd.DataFrame) -> dict[str, float]:
    """Bias of one budget's two parabolas, its grid's offset, and the leading-order formula."""
    rows = profiles[profiles["budget_flops"] == vertex["budget_flops"]]
    rows = rows.sort_values(["params", "tokens", "run"], kind="stable")
    params, tokens = rows["params"].to_numpy(), rows["tokens"].to_numpy()
    predicted = surface.loss(params, tokens)
    # The surface spends 6ND; a study may count its FLOPs otherwise.
    spent = float(np.exp(np.log(six_nd(params, tokens)).mean()))
    best_n, best_d = (float(np.log(f(spent))) for f in (surface.params_opt, surface.tokens_opt))
    once, sizes = np.ones((1, len(rows))), size_classes(params)
    u = np.log(params) - np.log(params).mean()
    slope = float(np.asarray(surface.alpha) - np.asarray(surface.beta))
    return {
        "surface_params": float(np.exp(best_n)),
        "surface_tokens": float(np.exp(best_d)),
        "bias_ln_params": _vertex(np.log(params), predicted, sizes, once) - best_n,
        "bias_ln_tokens": _vertex(np.log(tokens), predicted, sizes, once) - best_d,
        "leading_order": slope * float((u**4).mean() / (6 * (u**2).mean())),
        "offset_ln_params": float(np.log(params).mean()) - best_n,
        "width_ln_params": float(np.ptp(u)),
    }


def _vertex(x: Floats, loss: Floats, sizes: NDArray[np.int64], weights: Floats) -> float:
    return float(fit_parabolas(x, loss, sizes, weights).vertex[0])


def _laws(table: pd.DataFrame, used: pd.DataFrame, name: str) -> dict[str, PowerLaw]:
    """The isoFLOP law of `name` through raw and through corrected vertices, weighted alike."""
    ln_c = np.log(table["budget_flops"].to_numpy())
    weights = weights_from(used[f"{name}_se_ln"].to_numpy(dtype=float))
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
        MIND if abs(change[worst]) > LARGE else FINE,
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
