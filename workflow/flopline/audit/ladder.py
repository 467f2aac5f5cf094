"""The held-out ladder: fit the small runs, predict the large ones, budget by budget.

A law can predict losses well and still advise the wrong size, so every step is scored on both:
the losses of all larger runs, and the best size at larger budgets, as compute wasted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.audit.finding import FINE, MIND, Finding, draws_of, surface_of
from flopline.audit.regret import wasted_share
from flopline.audit.runs import prepared
from flopline.errors import FloplineError
from flopline.fits import isoflop, parametric
from flopline.fits.inputs import named
from flopline.fits.powerlaw import PowerLaw
from flopline.fits.result import FAILED, FitResult
from flopline.laws.chinchilla import LossSurface
from flopline.numbers import flops_label, humanise, significant
from flopline.schema import LEVELS

Floats = NDArray[np.float64]

QUANTILES: Final = (0.4, 0.6, 0.8, 0.9)
"""Shares of the runs, by compute, that the steps hold where no budgets are known."""
DRIFTED: Final = 0.05
"""Waste at the target, against the fit of all runs, from which the last step's is to be minded."""
UNCOVERED: Final = 0.8
"""Share of held-out runs inside the 95 % prediction below which it is to be minded."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """What the fits of all runs say: the judge of every step. `vertices` has a row per budget."""

    surface: LossSurface
    target_flops: float
    target_params: float
    vertices: pd.DataFrame
    vertices_absent: str

    def wasted_percent(self, ln_ratio: Floats) -> Floats:
        return 100 * wasted_share(self.surface.alpha, self.surface.beta, ln_ratio)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One step of one law; `params_opt` is absent where it failed."""

    law: str
    n_fitted: int
    status: str
    message: str
    params_opt: Callable[[ArrayLike], Floats] | None = None
    surface: LossSurface | None = None
    fit: FitResult | None = None


def audit(
    points: pd.DataFrame,
    target_flops: float,
    *,
    steps_flops: Sequence[float] | None = None,
    budgets: Sequence[float] | None = None,
    budget_tolerance: float = 0.15,
    huber_delta: float = 1e-3,
    draws: int = 200,
    seed: int = 0,
    family: str = "",
) -> Finding:
    """Fit runs of at most c FLOPs for each c of `steps_flops`, and score what lies above.

    `points` has columns run, params [weights], tokens, flops, loss [nats per token] and maybe
    budget_flops; `budgets` [FLOPs] and `budget_tolerance` [ln C] group the isoFLOP budgets as in
    `isoflop.fit`. Without `steps_flops` the steps are the budgets, or shares of the runs.
    Tables: steps (one row per law and step: error, bias and coverage of the loss of larger runs,
    waste at their budgets' vertices, N at the target), optima (N foretold and seen per larger
    budget) and predictions (one row per step and held-out run). Steps whose fit fails say so.
    Raises FloplineError if the fit of all runs fails or no step leaves runs on both sides.
    """
    table = prepared(points, budgets, budget_tolerance, "the ladder", family)
    flops = table["flops"].to_numpy()
    steps = sorted(steps_flops) if steps_flops else default_steps(table)
    steps = [float(c) for c in steps if flops.min() <= c < flops.max()]
    if not steps:
        raise FloplineError(
            f"the ladder needs a step with runs below and above it, but {named(family)} has runs "
            f"of {flops.min():.3g} to {flops.max():.3g} FLOPs only: name other steps or add runs "
            "at more budgets."
        )
    whole = _whole(table, target_flops, huber_delta, family)
    rows, optima, predictions = [], [], []
    for number, c in enumerate(steps):
        fits = (
            _parametric(table[flops <= c], whole, huber_delta, draws, seed, family),
            _isoflop(table[table["budget_flops"] <= c * math.exp(budget_tolerance)], whole, family),
        )
        held = _predicted(fits[0], table[flops > c], c, seed + number)
        predictions.append(held)
        for fit, foretold in zip(fits, (held, held.iloc[:0]), strict=True):
            seen = _optima(fit, whole, c, c * math.exp(budget_tolerance))
            optima.append(seen)
            rows.append(_row(fit, whole, c, foretold, seen))
    tables = {
        "steps": pd.DataFrame(rows).sort_values(
            ["law", "largest_flops"], ascending=[False, True], ignore_index=True
        ),
        "optima": pd.concat(optima, ignore_index=True),
        "predictions": pd.concat(predictions, ignore_index=True),
    }
    return _finding(tables, whole)


def default_steps(table: pd.DataFrame) -> list[float]:
    """Largest FLOPs of each budget but the last; shares of the runs where budgets are unknown."""
    if table["budget_flops"].notna().all():
        return [float(c) for c in table.groupby("budget_flops")["flops"].max().iloc[:-1]]
    return sorted({float(table["flops"].quantile(q, interpolation="lower")) for q in QUANTILES})


def _whole(table: pd.DataFrame, target: float, huber_delta: float, family: str) -> _Whole:
    fit = parametric.fit(table, [target], huber_delta=huber_delta, draws=0, seed=0, family=family)
    surface = surface_of(fit.to_json())
    vertices, absent = pd.DataFrame({"budget_flops": [], "params": []}, dtype=float), ""
    try:
        in_budgets = table[table["budget_flops"].notna()]
        found = isoflop.fit(in_budgets, [target], draws=0, family=family).tables["vertices"]
        vertices = found.loc[found["used"], ["budget_flops", "params"]]
    except FloplineError as error:
        absent = str(error)
    return _Whole(surface, target, float(surface.params_opt(target)), vertices, absent)


def _parametric(
    below: pd.DataFrame, whole: _Whole, huber_delta: float, draws: int, seed: int, family: str
) -> _Fit:
    try:
        fit = parametric.fit(
            below,
            [whole.target_flops],
            huber_delta=huber_delta,
            draws=draws,
            seed=seed,
            family=family,
        )
    except FloplineError as error:
        return _Fit("parametric", len(below), FAILED, str(error))
    if fit.status == FAILED:
        return _Fit("parametric", len(below), FAILED, fit.message)
    surface = surface_of(fit.to_json())
    return _Fit("parametric", len(below), fit.status, fit.message, surface.params_opt, surface, fit)


def _isoflop(below: pd.DataFrame, whole: _Whole, family: str) -> _Fit:
    try:
        fit = isoflop.fit(below, [whole.target_flops], draws=0, family=family)
    except FloplineError as error:
        return _Fit("isoflop", len(below), FAILED, str(error))
    scale, a = (fit.parameters[name].point for name in ("N_coef", "a"))
    law = PowerLaw(np.log(np.array([scale])), np.array([a]))
    return _Fit(
        "isoflop",
        len(below),
        fit.status,
        fit.message,
        lambda flops: np.exp(law.ln_at(np.log(np.asarray(flops, dtype=float))))[0],
    )


def _predicted(step: _Fit, held: pd.DataFrame, c: float, seed: int) -> pd.DataFrame:
    """Losses of the runs above `c`, foretold with intervals that hold both draws and scatter.

    The scatter is resampled from the step's own log residuals.
    """
    columns = ["run", "params", "tokens", "flops", "loss"]
    out = held[columns].reset_index(drop=True)
    out.insert(0, "largest_flops", c)
    if step.fit is None or step.surface is None:
        return out.iloc[:0].assign(predicted=np.nan)
    params, tokens = out["params"].to_numpy(), out["tokens"].to_numpy()
    out["predicted"] = step.surface.loss(params, tokens)
    out["log_error"] = np.log(out["predicted"] / out["loss"])
    try:
        surfaces = draws_of(step.fit.draws)
    except FloplineError:
        return out  # without draws there is no interval, and coverage stays empty
    drawn = np.log(surfaces.loss(params, tokens))
    residuals = step.fit.tables["points"]["log_residual"].to_numpy()
    scatter = np.random.default_rng(seed).choice(residuals, size=drawn.shape)
    for level in LEVELS:
        ends = (50 - level / 2, 50 + level / 2)
        low, high = np.exp(np.percentile(drawn + scatter, ends, axis=0))
        out[f"predicted_lo{level}"], out[f"predicted_hi{level}"] = low, high
    return out


def _optima(step: _Fit, whole: _Whole, c: float, above: float) -> pd.DataFrame:
    """N foretold against the vertex seen, for each budget beyond `above`."""
    seen = whole.vertices[whole.vertices["budget_flops"] > above]
    budgets = seen["budget_flops"].to_numpy()
    if step.params_opt is None:
        seen, budgets = seen.iloc[:0], budgets[:0]
    foretold = step.params_opt(budgets) if step.params_opt else budgets
    ln_ratio = np.log(foretold / seen["params"].to_numpy())
    return pd.DataFrame(
        {
            "law": step.law,
            "largest_flops": c,
            "budget_flops": budgets,
            "params_foretold": foretold,
            "params_seen": seen["params"].to_numpy(),
            "ln_ratio": ln_ratio,
            "wasted_percent": whole.wasted_percent(ln_ratio),
        }
    )


def _row(
    step: _Fit, whole: _Whole, c: float, held: pd.DataFrame, seen: pd.DataFrame
) -> dict[str, Any]:
    target = float(step.params_opt([whole.target_flops])[0]) if step.params_opt else math.nan
    ln_drift = math.log(target / whole.target_params)
    row: dict[str, Any] = {
        "law": step.law,
        "largest_flops": c,
        "n_fitted": step.n_fitted,
        "n_held_out": len(held),
        "status": step.status,
        "loss_error_percent": math.nan,
        "loss_bias_percent": math.nan,
        **{f"coverage{level}": math.nan for level in LEVELS},
        "n_vertices": len(seen),
        "params_bias_percent": math.nan,
        "wasted_percent": math.nan,
        "target_params": target,
        "target_params_lo80": math.nan,
        "target_params_hi80": math.nan,
        "target_params_over_all": math.exp(ln_drift),
        "target_wasted_percent": float(whole.wasted_percent(np.array(ln_drift))),
        "message": step.message,
    }
    if len(held):
        relative = held["predicted"] / held["loss"] - 1
        row["loss_error_percent"] = float(100 * relative.abs().mean())
        row["loss_bias_percent"] = float(100 * relative.mean())
        for level in LEVELS:
            if f"predicted_lo{level}" in held:
                low, high = held[f"predicted_lo{level}"], held[f"predicted_hi{level}"]
                row[f"coverage{level}"] = float(held["loss"].between(low, high).mean())
    if len(seen):
        row["params_bias_percent"] = float(100 * np.expm1(seen["ln_ratio"].mean()))
        row["wasted_percent"] = float(seen["wasted_percent"].mean())
    if step.fit is not None:
        at = step.fit.targets[0].values["params"]
        row |= {"target_params_lo80": at.lo80, "target_params_hi80": at.hi80}
    return row


def _finding(tables: dict[str, pd.DataFrame], whole: _Whole) -> Finding:
    steps = tables["steps"]
    fitted = steps[(steps["law"] == "parametric") & (steps["status"] != FAILED)]
    numbers = {
        "steps": int((steps["law"] == "parametric").sum()),
        "steps_fitted": len(fitted),
        "target_flops": whole.target_flops,
        "target_params_of_all": whole.target_params,
        "vertices_absent": whole.vertices_absent,
    }
    if fitted.empty:
        return Finding(
            "ladder",
            MIND,
            "No step of the ladder has enough runs for a fit, so nothing was foretold.",
            numbers,
            tables,
        )
    first, last = fitted.iloc[0], fitted.iloc[-1]
    low, high = (significant(f(fitted["loss_error_percent"]), 2) for f in (min, max))
    sentence = (
        f"Fitted to the runs of at most {flops_label(first['largest_flops'])} to "
        f"{flops_label(last['largest_flops'])} FLOPs, the parametric law foretells the losses of "
        f"all larger runs within {low} to {high} % on average, while its N at "
        f"{flops_label(whole.target_flops)} FLOPs goes from {humanise(first['target_params'])} to "
        f"{humanise(last['target_params'])} and is {humanise(whole.target_params)} with all runs: "
        f"the last step would have wasted {significant(last['target_wasted_percent'], 2)} % there."
    )
    if math.isfinite(last["coverage95"]):
        sentence += (
            f" Of the larger runs {100 * fitted['coverage95'].min():.0f} to "
            f"{100 * fitted['coverage95'].max():.0f} % lie in their 95 % prediction."
        )
    drifted = last["target_wasted_percent"] > 100 * DRIFTED
    uncovered = last["coverage95"] < UNCOVERED
    return Finding("ladder", MIND if drifted or uncovered else FINE, sentence, numbers, tables)
