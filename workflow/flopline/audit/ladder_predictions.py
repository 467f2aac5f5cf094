"""What a step of the held-out ladder predicted, beside what the larger runs show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import draws_of
from flopline.audit.ladder_fit import LadderFit
from flopline.audit.waste import wasted_at
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.percentiles import known_mean, known_percentiles
from flopline.schema import LEVELS
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
"""Columns of a table by name, all as long: for parts of which a ladder has many."""

OF_RUNS: Final = ("run", "params", "tokens", "flops", "loss")
"""What is asked of the runs that are held out."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What all runs say, by which every step is judged.

    `bottoms` has a row per budget: budget_flops, params, loss and their standard errors in logs,
    from the valleys where there are any, else from the best runs of `baselines.best_runs` (then
    params are missing: such a run is on the way to an optimum, not at it). `reference` is the law
    and estimator of the `surface`; `target_params` is N at the target by each of the fits
    [weights], in their order.
    """

    surface: LossSurface
    reference: tuple[str, str]
    target_flops: float
    bottoms: pd.DataFrame
    target_params: Mapping[tuple[str, str], float]

    def seen_beyond(self, flops: float) -> Columns:
        """The columns of `bottoms` at budgets of more than `flops`."""
        beyond = self.bottoms["budget_flops"].to_numpy(dtype=float) > flops
        return {str(name): self.bottoms[name].to_numpy()[beyond] for name in self.bottoms}

    def params_of(self, fit: LadderFit) -> float:
        """N at the target by the same law fitted to all runs [weights]."""
        return self.target_params.get((fit.law, fit.estimator), math.nan)

    def wasted_percent(self, ln_ratio: Floats) -> Floats:
        """Compute wasted by sizes that are off by `ln_ratio`, by the surface of all runs."""
        return 100 * wasted_at(self.surface, self.target_flops, ln_ratio)


@dataclass(frozen=True, slots=True)
class AllRuns:
    """What the fits of all runs say: see Judge. `laws` are these fits, by law and estimator."""

    surface: LossSurface
    reference: tuple[str, str]
    target_flops: float
    bottoms: pd.DataFrame
    vertices_absent: str
    laws: Mapping[tuple[str, str], LadderFit]

    @property
    def judge(self) -> Judge:
        """What of it decides about the steps."""
        at_target = {name: params_at(fit, self.target_flops) for name, fit in self.laws.items()}
        return Judge(self.surface, self.reference, self.target_flops, self.bottoms, at_target)


def predicted(step: LadderFit, held: pd.DataFrame, c: float, seed: int) -> pd.DataFrame:
    """Losses of the runs above `c`, predicted with intervals that hold both draws and scatter.

    The scatter is resampled from the step's own log residuals.
    """
    out = held[[*OF_RUNS]].reset_index(drop=True)
    out.insert(0, "largest_flops", c)
    if step.fit is None or step.surface is None:
        return out.iloc[:0].assign(predicted=np.nan)
    params, tokens = out["params"].to_numpy(), out["tokens"].to_numpy()
    losses = step.surface.loss(params, tokens)
    more = {"predicted": losses, "log_error": np.log(losses / out["loss"].to_numpy())}
    with suppress(FloplineError):  # without draws there is no interval, and coverage stays empty
        drawn = np.log(draws_of(step.fit.draws).loss(params, tokens))
        residuals = step.fit.tables["points"]["log_residual"].to_numpy()
        scatter = np.random.default_rng(seed).choice(residuals, size=drawn.shape)
        for level, (low, high) in _ends_by_level(drawn + scatter).items():
            more |= {f"predicted_lo{level}": low, f"predicted_hi{level}": high}
    return out.assign(**more)


def predicted_runs(step: LadderFit, held: Columns, c: float) -> Columns:
    """The loss of each run above `c` as a surface predicts it, beside what was seen.

    `held` are the columns OF_RUNS of these runs. `sd_ln` is the spread of the draws [ln loss] where
    there are any, `scatter_ln` that of the fitted runs about the surface where its own fit tells
    it. No rows for what is no surface.
    """
    if step.surface is None:
        held = {name: values[:0] for name, values in held.items()}
    params, tokens = (held[name].astype(float) for name in ("params", "tokens"))
    nothing = np.full(params.size, np.nan)
    losses, scatter, spread = nothing, nothing, nothing
    if step.surface is not None:
        losses = np.asarray(step.surface.loss(params, tokens))
    if step.surface is not None and step.fit is not None:
        scatter = np.full(params.size, _scatter_of(step))
        with suppress(FloplineError):  # without draws their spread is not known
            spread = spread_of(np.log(draws_of(step.fit.draws).loss(params, tokens)))
    return {
        **_about(step, c, params.size),
        **{name: held[name] for name in ("run", "params", "tokens", "flops")},
        "predicted": losses,
        "seen": held["loss"].astype(float),
        "sd_ln": spread,
        "scatter_ln": scatter,
    }


def joined(parts: Sequence[Columns]) -> pd.DataFrame:
    """One table of parts that have the same columns, below one another."""
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _about(step: LadderFit, c: float, rows: int) -> Columns:
    """The columns that say which fit it is, and of which step."""
    names = {"law": step.law, "estimator": step.estimator}
    return {
        **{column: np.full(rows, name, dtype=object) for column, name in names.items()},
        "largest_flops": np.full(rows, c),
    }


def ahead(fit: LadderFit, targets_flops: Sequence[float], largest_flops: float) -> pd.DataFrame:
    """N and lowest loss that a fit of all runs predicts at the targets, with spreads of draws.

    Columns are those of `optima` as far as nothing is seen yet. `scatter_ln` is the scatter of the
    fitted runs, where the fit of a surface tells it.
    """
    budgets = np.asarray(targets_flops, dtype=float)
    columns: dict[str, object] = {}
    for name, predict, draws in (
        ("params", fit.params_opt, fit.params_draws),
        ("loss", fit.loss_opt, fit.loss_draws),
    ):
        columns[f"{name}_predicted"] = np.nan if predict is None else predict(budgets)
        columns[f"{name}_sd_ln"] = np.nan if draws is None else spread_of(np.log(draws(budgets)))
    return pd.DataFrame(
        {
            "law": fit.law,
            "estimator": fit.estimator,
            "largest_flops": largest_flops,
            "budget_flops": budgets,
            **columns,
            "scatter_ln": _scatter_of(fit),
        }
    )


def optima(step: LadderFit, judge: Judge, c: float, seen: Columns, seed: int) -> Columns:
    """N and loss predicted against the valley bottom seen, for each larger budget.

    `seen` are the bottoms of these budgets (Judge.seen_beyond). The intervals are those of the
    draws, widened by the error of the bottom that is seen.

    Returns one row for each larger budget, with NaN where the fit states nothing.
    """
    if step.status == FAILED:
        seen = {name: values[:0] for name, values in seen.items()}
    budgets = seen["budget_flops"].astype(float)
    columns: dict[str, Floats] = {}
    rng = np.random.default_rng(seed)
    for name, predict, draws in (
        ("params", step.params_opt, step.params_draws),
        ("loss", step.loss_opt, step.loss_draws),
    ):
        nothing, se = np.full(budgets.size, np.nan), seen[f"{name}_se_ln"].astype(float)
        columns[f"{name}_predicted"] = predict(budgets) if predict and budgets.size else nothing
        columns[f"{name}_seen"] = seen[name].astype(float)
        columns[f"{name}_seen_se_ln"] = se
        columns[f"{name}_sd_ln"] = nothing
        spread = np.empty((0, budgets.size))
        if draws is not None and budgets.size:
            spread = np.log(draws(budgets))
            columns[f"{name}_sd_ln"] = spread_of(spread)
            spread = spread + np.nan_to_num(se) * rng.standard_normal(spread.shape)
        for level, (low, high) in _ends_by_level(spread).items():
            columns |= {f"{name}_lo{level}": low, f"{name}_hi{level}": high}
    ln_ratio = np.log(columns["params_predicted"] / columns["params_seen"])
    return {
        **_about(step, c, budgets.size),
        "budget_flops": budgets,
        "seen": seen["seen"],
        **columns,
        "ln_ratio": ln_ratio,
        "wasted_percent": judge.wasted_percent(ln_ratio),
    }


def row_of(
    step: LadderFit,
    judge: Judge,
    c: float,
    held: pd.DataFrame,
    predictions: pd.DataFrame,
    seen: Columns,
) -> dict[str, object]:
    """One row of the table of steps: what `step`, fitted up to `c`, scores on the larger runs.

    `held` are the runs above it, `predictions` what `predicted` makes of them for the reference,
    `seen` what `optima` finds for this one.

    Returns the cells by column; scores are NaN where the fit failed.
    """
    target = params_at(step, judge.target_flops)
    ln_drift = math.log(target / judge.params_of(step))
    bottoms = len(seen["budget_flops"])
    row: dict[str, object] = {
        "law": step.law,
        "estimator": step.estimator,
        "largest_flops": c,
        "n_fitted": step.n_fitted,
        "n_held_out": 0,
        "status": step.status,
        "loss_error_percent": math.nan,
        "loss_bias_percent": math.nan,
        **{f"coverage{level}": math.nan for level in LEVELS},
        "n_bottoms": bottoms,
        "bottom_error_percent": math.nan,
        "bottom_bias_percent": math.nan,
        **{f"bottom_coverage{level}": math.nan for level in LEVELS},
        "params_bias_percent": math.nan,
        "wasted_percent": math.nan,
        **{f"params_coverage{level}": math.nan for level in LEVELS},
        "target_params": target,
        "target_params_lo80": math.nan,
        "target_params_hi80": math.nan,
        "target_params_over_all": math.exp(ln_drift),
        "target_wasted_percent": float(judge.wasted_percent(np.array(ln_drift))),
        "message": step.message,
    }
    if step.surface is not None:
        losses = step.surface.loss(held["params"].to_numpy(), held["tokens"].to_numpy())
        relative = losses / held["loss"].to_numpy() - 1
        row["n_held_out"] = len(held)
        row["loss_error_percent"] = float(100 * np.abs(relative).mean())
        row["loss_bias_percent"] = float(100 * relative.mean())
    if (step.law, step.estimator) == judge.reference:
        for level in LEVELS:
            if f"predicted_lo{level}" in predictions:
                ends = (predictions[f"predicted_{end}{level}"] for end in ("lo", "hi"))
                row[f"coverage{level}"] = float(predictions["loss"].between(*ends).mean())
    if bottoms:
        relative = seen["loss_predicted"] / seen["loss_seen"] - 1
        row["bottom_error_percent"] = 100 * known_mean(np.abs(relative))
        row["bottom_bias_percent"] = 100 * known_mean(relative)
        row["params_bias_percent"] = float(100 * np.expm1(known_mean(seen["ln_ratio"])))
        row["wasted_percent"] = known_mean(seen["wasted_percent"])
        for level in LEVELS:
            row[f"bottom_coverage{level}"] = _covered(seen, "loss", level)
            row[f"params_coverage{level}"] = _covered(seen, "params", level)
    if step.params_draws is not None:
        at = step.params_draws(np.array([judge.target_flops]))
        row["target_params_lo80"], row["target_params_hi80"] = known_percentiles(at, (10, 90))[:, 0]
    return row


def params_at(fit: LadderFit, flops: float) -> float:
    """N of a fit at one budget [weights]; NaN where it states none."""
    return float(fit.params_opt(np.array([flops]))[0]) if fit.params_opt else math.nan


def _scatter_of(fit: LadderFit) -> float:
    """Standard deviation of ln loss of runs about the surface; NaN where no fit tells it."""
    if fit.surface is None or fit.fit is None:
        return math.nan
    residuals = fit.fit.tables["points"]["log_residual"].to_numpy()
    spare = max(residuals.size - len(PARAMETERS), 1)
    # A few runs far off are not what the rest do.
    return float(spread_of(residuals[:, None])[0] * math.sqrt(residuals.size / spare))


def spread_of(logs: Floats) -> Floats:
    """Spread of draws (draws, k) as a standard deviation: half their central 68 %."""
    low, high = known_percentiles(logs, (15.865, 84.135))
    return np.asarray((high - low) / 2)


def _ends_by_level(logs: Floats) -> dict[int, Floats]:
    """Both ends (2, k) of the interval of draws (draws, k) of each of LEVELS; NaN without any."""
    if not len(logs):
        return dict.fromkeys(LEVELS, np.full((2, logs.shape[1]), np.nan))
    percents = [50 + side * level / 2 for level in LEVELS for side in (-1, 1)]
    ends = np.exp(np.percentile(logs, percents, axis=0))
    return dict(zip(LEVELS, ends.reshape(len(LEVELS), 2, -1), strict=True))


def _covered(seen: Columns, name: str, level: int) -> float:
    """Share of budgets whose bottom lies in the interval; NaN where there is no interval."""
    at, low, high = (seen[f"{name}_{end}"] for end in ("seen", f"lo{level}", f"hi{level}"))
    known = ~np.isnan(low) & ~np.isnan(at)
    if not known.any():
        return math.nan
    return float(((low <= at) & (at <= high))[known].mean())
