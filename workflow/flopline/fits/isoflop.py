"""IsoFLOP profiles: a parabola per compute budget, power laws through the vertices.

Approach 2 of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.2): at each budget the final loss
against ln N is a valley, its vertex the optimal size. A second parabola, in ln D from the runs'
own tokens, gives the optimal tokens, so that N_opt(C) and D_opt(C) are fitted separately and
6 N_opt D_opt / C is a check and not an identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.fits.allocation import Allocation, residuals, stated
from flopline.fits.bootstrap import run_weights
from flopline.fits.budgets import Grouping, group_runs
from flopline.fits.inputs import checked, named
from flopline.fits.losscompute import LossLaw, fit_loss_compute
from flopline.fits.powerlaw import fit_power_law
from flopline.fits.result import (
    CONVERGED,
    WARNING,
    Estimate,
    Estimator,
    FitResult,
    estimator_table,
)
from flopline.fits.valley import Valley, read_valley
from flopline.flops import six_nd

Floats = NDArray[np.float64]

LAW: Final = "isoflop"
MIN_BUDGETS: Final = 3
ONE_SIGMA: Final = (15.865525393145708, 84.13447460685429)
"""Percentiles of a normal law at minus and plus one standard deviation."""
SE_FLOOR: Final = 1.0
"""Vertex standard errors are raised to this share of their median: a poor vertex weighs less, a
lucky one no more than a typical one. Errors from a dozen runs are uncertain themselves: on
simulated studies of 5 budgets with 9 or 13 sizes the exponent scatters 5 % less with this floor
than with half of it."""
WEAK_CURVATURE: Final = 2.0


def fit(
    points: pd.DataFrame,
    targets_flops: Sequence[float],
    *,
    budgets: Sequence[float] | None = None,
    budget_tolerance: float = 0.15,
    min_sizes: int = 4,
    draws: int = 2000,
    seed: int = 0,
    family: str = "",
) -> FitResult:
    """IsoFLOP law of one family, with a bootstrap over runs inside each budget.

    `points` has one row per run: run, params, tokens, flops, loss (final) and maybe budget_flops
    (nominal, used when every run has one; else `budgets`; else gaps wider than
    `budget_tolerance` in ln C part the budgets). Power laws weight each vertex by 1/se^2 of its
    ln position, se from the draws. Tables: vertices (per budget), profiles (per run).

    Raises FloplineError when fewer than three budgets have a usable vertex.
    """
    table = _prepared(points, family)
    grouping = group_runs(
        table["flops"].to_numpy(), table["budget_flops"].to_numpy(), budgets, budget_tolerance
    )
    valleys = _valleys(table, grouping, budget_tolerance, min_sizes, draws, seed)
    _demand_budgets(table, valleys, family)
    used = [v for v in valleys if v.used]
    point, resampled, plain_laws = _laws(used)
    parameters, targets, draw_table = stated(point, resampled, targets_flops)
    vertices = _vertex_table(valleys)
    n_grouped = sum(len(v.rows) for v in valleys)
    certificate = _certificate(valleys, vertices, point, resampled, plain_laws, grouping.how)
    warning = _message(valleys, len(table) - n_grouped, point.loss)
    status = WARNING if warning else CONVERGED
    message = "; ".join(filter(None, [warning, point.loss.note()]))
    label = "parabola per budget, weighted power laws through the vertices"
    main = Estimator("parabola", label, status, message, parameters, targets)
    return FitResult(
        law=LAW,
        estimator=label,
        status=status,
        message=message,
        n_runs=len(table),
        n_points=n_grouped,
        settings={
            "budgets": None if budgets is None else [float(b) for b in budgets],
            "budget_tolerance": budget_tolerance,
            "min_sizes": min_sizes,
            "draws": draws,
            "seed": seed,
        },
        parameters=parameters,
        targets=targets,
        certificate=certificate,
        draws=draw_table,
        tables={
            "estimators": estimator_table([main]),
            "vertices": vertices,
            "profiles": _profile_table(table, grouping, valleys, budget_tolerance),
        },
    )


def _prepared(points: pd.DataFrame, family: str) -> pd.DataFrame:
    table = checked(points, ("params", "tokens", "flops", "loss"), (), LAW, family)
    if "budget_flops" not in table:
        table = table.assign(budget_flops=np.nan)
    table["budget_flops"] = table["budget_flops"].astype("float64")
    twice = table["run"][table["run"].duplicated()]
    if not twice.empty:
        raise FloplineError(
            f"isoFLOP takes one final loss per run, but run '{min(twice)}' of {named(family)} has "
            "several rows: give each run its own name or keep its last row."
        )
    if len(table) == 1:
        raise FloplineError(
            f"isoFLOP compares runs of several sizes at {MIN_BUDGETS} or more budgets, but "
            f"{named(family)} has a single run ('{table['run'].iloc[0]}'): add runs, or take "
            "isoflop out of `laws` in the study file."
        )
    table = table.sort_values(["flops", "params", "tokens", "run"], kind="stable")
    return table.reset_index(drop=True)


def _valleys(
    table: pd.DataFrame,
    grouping: Grouping,
    tolerance: float,
    min_sizes: int,
    draws: int,
    seed: int,
) -> list[Valley]:
    out = []
    for number, nominal in enumerate(grouping.nominal):
        rows = table[grouping.group == number].sort_values(
            ["params", "tokens", "run"], kind="stable"
        )
        if rows.empty:
            continue
        # Each budget is its own stratum, labelled by itself, so that adding a run to one budget
        # leaves the resamples of the others as they were.
        label = f"{nominal if np.isfinite(nominal) else np.exp(np.log(rows['flops']).mean()):.12g}"
        weights = run_weights(list(rows["run"]), draws, seed, strata=[label] * len(rows))
        span = float(np.ptp(np.log(rows["flops"].to_numpy())))
        chained = grouping.how == "gaps" and span > 2.0 * tolerance
        out.append(read_valley(rows, float(nominal), weights, min_sizes, chained))
    return sorted(out, key=lambda v: v.ln_flops)


def _demand_budgets(table: pd.DataFrame, valleys: list[Valley], family: str) -> None:
    usable = sum(v.used for v in valleys)
    if usable >= MIN_BUDGETS:
        return
    mend = "add runs there, or take isoflop out of `laws` in the study file"
    if not valleys:
        seen = f"{table['flops'].min():.3g} to {table['flops'].max():.3g}"
        raise FloplineError(
            f"isoFLOP found none of the {len(table)} runs of {named(family)} (FLOPs {seen}) near "
            "the budgets given: correct `budgets` or widen `budget_tolerance` in the study file."
        )
    if len(valleys) < MIN_BUDGETS:
        listed = " and ".join(f"{np.exp(v.ln_flops):.3g}" for v in valleys)
        raise FloplineError(
            f"isoFLOP needs at least {MIN_BUDGETS} compute budgets, but {named(family)} has "
            f"{len(valleys)} ({listed} FLOPs): add budgets, or take isoflop out of `laws` in the "
            "study file."
        )
    why = "; ".join(f"{np.exp(v.ln_flops):.3g} FLOPs: {v.reason}" for v in valleys if not v.used)
    raise FloplineError(
        f"isoFLOP needs at least {MIN_BUDGETS} budgets with a usable vertex, but {named(family)} "
        f"has {usable} of {len(valleys)} ({why}): {mend}."
    )


def _laws(used: list[Valley]) -> tuple[Allocation, Allocation, Allocation]:
    """The laws of the data, of every draw, and of the data with equal weights."""
    ln_n_draws, ln_d_draws = _stack(used, "params_draws"), _stack(used, "tokens_draws")
    ln_c_draws, loss_draws = _stack(used, "ln_flops_draws"), _stack(used, "loss_draws")
    ln_c = np.array([[v.ln_flops for v in used]])
    ln_n = np.array([[v.in_params.vertex[0] for v in used]])
    ln_d = np.array([[v.in_tokens.vertex[0] for v in used]])
    loss = np.array([[v.in_params.minimum[0] for v in used]])
    w_n, w_d = vertex_weights(ln_n_draws), vertex_weights(ln_d_draws)
    equal = np.ones(len(used))
    of_loss = fit_loss_compute(ln_c, loss, equal)
    enough = np.isfinite(ln_n_draws).sum(axis=1) >= MIN_BUDGETS
    kept = np.where(enough[:, None], 1.0, np.nan)
    return (
        Allocation(fit_power_law(ln_c, ln_n, w_n), fit_power_law(ln_c, ln_d, w_d), of_loss),
        Allocation(
            fit_power_law(ln_c_draws, ln_n_draws, w_n * kept),
            fit_power_law(ln_c_draws, ln_d_draws, w_d * kept),
            fit_loss_compute(ln_c_draws, loss_draws, equal * kept),
        ),
        Allocation(fit_power_law(ln_c, ln_n, equal), fit_power_law(ln_c, ln_d, equal), of_loss),
    )


def _stack(used: list[Valley], name: str) -> Floats:
    return np.stack([getattr(v, name) for v in used], axis=1)


def vertex_weights(ln_vertices: Floats) -> Floats:
    """Weights of vertices from their draws (draws, budgets), see weights_from."""
    return weights_from(_spread(ln_vertices))


def weights_from(se: Floats) -> Floats:
    """Weights 1/se^2 of vertices from their standard errors (budgets,), with SE_FLOOR applied.

    A vertex without a standard error takes the largest one; where none has one all weigh the
    same. Weighting by vertex variance follows Porian et al. 2024 (arXiv 2406.19146).
    """
    known = np.isfinite(se) & (se > 0)
    if not known.any():
        return np.ones(se.size)
    se = np.where(known, se, se[known].max())
    return np.asarray(1.0 / np.maximum(se, SE_FLOOR * np.median(se)) ** 2)


def _spread(draws: Floats) -> Floats:
    """Standard error per column: half the central 68.27 % range of the finite draws.

    Equal to the standard deviation for a normal law, but not driven by the few draws whose
    parabola is nearly flat. NaN with fewer than two draws.
    """
    here = np.isfinite(draws).sum(axis=0) >= 2
    out = np.full(draws.shape[1], np.nan)
    if here.any():
        low, high = np.nanpercentile(draws[:, here], ONE_SIGMA, axis=0)
        out[here] = (high - low) / 2.0
    return out


def _vertex_table(valleys: list[Valley]) -> pd.DataFrame:
    return pd.DataFrame([_vertex_row(v) for v in valleys])


def _vertex_row(v: Valley) -> dict[str, Any]:
    ln_c = np.log(v.rows["flops"].to_numpy())
    n, d = (float(np.exp(p.vertex[0])) for p in (v.in_params, v.in_tokens))
    flops = float(np.exp(v.ln_flops))
    return {
        "budget_flops": flops,
        "nominal_flops": v.nominal,
        "n_runs": len(v.rows),
        "n_sizes": v.n_sizes,
        "flops_min": float(np.exp(ln_c.min())),
        "flops_max": float(np.exp(ln_c.max())),
        "ln_flops_sd": float(ln_c.std()),
        **_interval("params", n, np.exp(v.params_draws)),
        "params_se_ln": float(_spread(v.params_draws[:, None])[0]),
        **_interval("tokens", d, np.exp(v.tokens_draws)),
        "tokens_se_ln": float(_spread(v.tokens_draws[:, None])[0]),
        **_interval("loss", float(v.in_params.minimum[0]), v.loss_draws),
        "loss_se_ln": float(_spread(np.log(v.loss_draws)[:, None])[0]),
        "flops_ratio": float(six_nd(n, d)) / flops,
        "centre_ln_params": v.in_params.centre,
        "c0": float(v.in_params.c0[0]),
        "c1": float(v.in_params.c1[0]),
        "c2": float(v.in_params.c2[0]),
        "curvature_t": v.curvature_t,
        "draws_present": int(np.isfinite(v.params_draws).sum()),
        "inside": v.inside,
        "used": v.used,
        "reason": v.reason,
    }


def _interval(name: str, point: float, draws: Floats) -> dict[str, float]:
    e = Estimate.of(point, draws)
    return {
        name: e.point,
        f"{name}_lo80": e.lo80,
        f"{name}_hi80": e.hi80,
        f"{name}_lo95": e.lo95,
        f"{name}_hi95": e.hi95,
    }


def _profile_table(
    table: pd.DataFrame, grouping: Grouping, valleys: list[Valley], tolerance: float
) -> pd.DataFrame:
    parts = [
        v.rows.assign(
            budget_flops=np.exp(v.ln_flops),
            fitted=v.in_params.at(np.log(v.rows["params"].to_numpy())),
            reason="",
        )
        for v in valleys
    ]
    left = table[grouping.group < 0]
    if not left.empty:
        why = [f"no budget within {tolerance:g} of ln C at {c:.4g} FLOPs" for c in left["flops"]]
        parts.append(left.assign(budget_flops=np.nan, fitted=np.nan, reason=why))
    columns = ["run", "budget_flops", "params", "tokens", "flops", "loss", "fitted", "reason"]
    return pd.concat(parts, ignore_index=True)[columns]


def _certificate(
    valleys: list[Valley],
    vertices: pd.DataFrame,
    point: Allocation,
    resampled: Allocation,
    equal: Allocation,
    how: str,
) -> dict[str, Any]:
    used = vertices[vertices["used"]]
    ln_c = np.log(used["budget_flops"].to_numpy())
    drift = fit_power_law(ln_c, used["centre_ln_params"] - np.log(used["params"]), 1.0)
    return {
        "budgets": len(valleys),
        "budgets_used": int(vertices["used"].sum()),
        "budgets_found_by": how,
        "draws": int(resampled.params.p.size),
        "draws_failed": int(resampled.absent.sum()),
        **residuals(used.assign(flops=used["budget_flops"]), point),
        "grid_offset_drift": float(drift.p),
        "least_curvature_t": float(used["curvature_t"].min()),
        "equal_weights": {k: float(v[0]) for k, v in list(equal.parameters().items())[:4]},
        "loss_law": point.loss.form(),
        "draws_without_floor": int((resampled.loss.few | resampled.loss.unidentified).sum()),
    }


def _message(valleys: list[Valley], loose: int, loss: LossLaw) -> str:
    said = [f"budget {np.exp(v.ln_flops):.3g} not used: {v.reason}" for v in valleys if v.reason]
    n_used = sum(v.used for v in valleys)
    if n_used < 5:
        said.append(f"only {n_used} budgets carry the laws")
    weak = [v for v in valleys if v.used and v.curvature_t < WEAK_CURVATURE]
    said += [f"budget {np.exp(v.ln_flops):.3g} has a hardly curved valley" for v in weak]
    if loose:
        said.append(f"{loose} run{'s' if loose > 1 else ''} near no budget left out")
    if loss.few[0] or loss.unidentified[0] or not np.isfinite(loss.c[0]):
        said.append(f"loss law {loss.form()}")
    return "; ".join(said)
