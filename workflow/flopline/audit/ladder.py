"""The held-out ladder: fit the small runs, predict the large ones, budget by budget.

A law can predict losses well and still advise the wrong size, so every step is scored on both:
the losses of larger runs, and the best size at larger budgets, as compute wasted. Two baselines
that fit next to nothing climb along, since a law that does not beat them is not worth its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import FINE, MIND, Finding, draws_of
from flopline.audit.rungs import MAIN, Options, Rung, Runs, best_runs, climb, climbed
from flopline.audit.runs import prepared
from flopline.audit.scores import compared, scores
from flopline.audit.shares import wasted_share
from flopline.errors import FloplineError
from flopline.fits.inputs import named
from flopline.fits.result import FAILED
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
    """What the fits of all runs say: the judge of every step.

    `bottoms` has a row per budget: budget_flops, params, loss and their standard errors in logs,
    from the valleys where there are any, else from the runs that none of less compute beats (then
    params are missing: such a run is on the way to an optimum, not at it). `laws` are the rungs of
    all runs, by law and estimator.
    """

    surface: LossSurface
    target_flops: float
    bottoms: pd.DataFrame
    vertices_absent: str
    laws: Mapping[tuple[str, str], Rung]

    def target_params(self, rung: Rung) -> float:
        return _params_at(self.laws[rung.law, rung.estimator], self.target_flops)

    def wasted_percent(self, ln_ratio: Floats) -> Floats:
        return 100 * wasted_share(self.surface.alpha, self.surface.beta, ln_ratio)


def audit(
    points: pd.DataFrame,
    target_flops: float,
    *,
    curves: pd.DataFrame | None = None,
    steps_flops: Sequence[float] | None = None,
    budgets: Sequence[float] | None = None,
    budget_tolerance: float = 0.15,
    min_sizes: int = 4,
    envelope: Mapping[str, Any] | None = None,
    huber_delta: float = 1e-3,
    draws: int = 200,
    seed: int = 0,
    family: str = "",
) -> Finding:
    """Fit runs of at most c FLOPs for each c of `steps_flops`, and score what lies above.

    `points` has columns run, params [weights], tokens, flops, loss [nats per token] and maybe
    budget_flops; `budgets` [FLOPs], `budget_tolerance` [ln C] and `min_sizes` group the isoFLOP
    budgets as in `isoflop.fit`; `curves` are what `envelope.fit` takes, with its options in
    `envelope`, None for no envelope. Without `steps_flops` the steps are the budgets, or shares of
    the runs.
    Tables: scores (one row per law: means over the steps that all climb), steps (one row per law
    and step: error, bias and coverage of the loss of larger runs and of the best loss at larger
    budgets, waste there, N at the target), optima (N and loss foretold and seen per larger budget)
    and predictions of the parametric law (one row per step and held-out run). Steps whose fit
    fails say so. Raises FloplineError if the parametric fit of all runs fails or no step leaves
    runs on both sides.
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
    options = Options(target_flops, huber_delta, draws, seed, family, min_sizes, envelope or {})
    whole = _whole(table, curves, options)
    rows, optima, predictions = [], [], []
    for number, c in enumerate(steps):
        edge = c * math.exp(budget_tolerance)
        below = _runs(table, curves, c, edge)
        rungs = climbed(below, options, number)
        held = table[flops > c]
        predictions.append(_predicted(rungs[MAIN], held, c, seed + number))
        for rung in rungs.values():
            seen = _optima(rung, whole, c, edge, seed + number)
            optima.append(seen)
            rows.append(_row(rung, whole, c, held, predictions[-1], seen))
    # Rows come step by step; the table is read law by law.
    laws = len(whole.laws)
    by_step = pd.DataFrame([row for law in range(laws) for row in rows[law::laws]])
    tables = {
        "scores": scores(by_step),
        "steps": by_step,
        "optima": pd.concat(optima, ignore_index=True),
        "predictions": pd.concat(predictions, ignore_index=True),
    }
    return _finding(tables, whole)


def default_steps(table: pd.DataFrame) -> list[float]:
    """Largest FLOPs of each budget but the last; shares of the runs where budgets are unknown."""
    if table["budget_flops"].notna().all():
        return [float(c) for c in table.groupby("budget_flops")["flops"].max().iloc[:-1]]
    return sorted({float(table["flops"].quantile(q, interpolation="lower")) for q in QUANTILES})


def _runs(table: pd.DataFrame, curves: pd.DataFrame | None, c: float, edge: float) -> Runs:
    """The runs of at most `c` FLOPs, and those of whole budgets of at most `edge`."""
    points, in_budgets = table[table["flops"] <= c], table[table["budget_flops"] <= edge]
    if curves is not None and table["run"].duplicated().any():
        return Runs(points, in_budgets, curves[curves["flops"] <= c])
    mine = None if curves is None else curves[curves["run"].astype(str).isin(points["run"])]
    return Runs(points, in_budgets, mine)


def _whole(table: pd.DataFrame, curves: pd.DataFrame | None, options: Options) -> _Whole:
    runs = _runs(table, curves, math.inf, math.inf)
    # Of all runs only the points are asked, but for the errors of the valleys' bottoms.
    laws = climbed(runs, replace(options, draws=0), 0)
    surface = laws[MAIN].surface
    if not isinstance(surface, LossSurface):
        # It judges all others, so that the ladder makes no sense without it.
        raise FloplineError(f"the parametric fit failed: {laws[MAIN].message}")
    valleys = laws["isoflop", "parabola"] = climb(("isoflop", "parabola"), runs, options, 0)
    bottoms, absent = _bottoms(valleys, table), ""
    if valleys.fit is None:
        absent = valleys.message
    return _Whole(surface, options.target_flops, bottoms, absent, laws)


def _bottoms(valleys: Rung, table: pd.DataFrame) -> pd.DataFrame:
    if valleys.fit is not None:
        found = valleys.fit.tables["vertices"]
        names = ["budget_flops", "params", "loss", "params_se_ln", "loss_se_ln"]
        return found.loc[found["used"], names].assign(seen="vertex").reset_index(drop=True)
    best = best_runs(table)
    return pd.DataFrame(
        {
            "budget_flops": best["flops"],
            "params": np.nan,
            "loss": best["loss"],
            "params_se_ln": np.nan,
            "loss_se_ln": np.nan,
            "seen": "best run",
        }
    )


def _predicted(step: Rung, held: pd.DataFrame, c: float, seed: int) -> pd.DataFrame:
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


def _optima(step: Rung, whole: _Whole, c: float, above: float, seed: int) -> pd.DataFrame:
    """N and loss foretold against the valley bottom seen, for each budget beyond `above`.

    The intervals are those of the draws, widened by the error of the bottom that is seen.
    """
    seen = whole.bottoms[whole.bottoms["budget_flops"] > above]
    if step.status == FAILED:
        seen = seen.iloc[:0]
    budgets = seen["budget_flops"].to_numpy(dtype=float)
    out = pd.DataFrame(
        {
            "law": step.law,
            "estimator": step.estimator,
            "largest_flops": c,
            "budget_flops": budgets,
            "seen": seen["seen"].to_numpy(),
        }
    )
    rng = np.random.default_rng(seed)
    for name, foretell, draws in (
        ("params", step.params_opt, step.params_draws),
        ("loss", step.loss_opt, step.loss_draws),
    ):
        nothing = np.full(budgets.size, np.nan)
        out[f"{name}_foretold"] = foretell(budgets) if foretell and budgets.size else nothing
        out[f"{name}_seen"] = seen[name].to_numpy(dtype=float)
        spread = np.empty((0, budgets.size))
        if draws is not None and budgets.size:
            error = np.nan_to_num(seen[f"{name}_se_ln"].to_numpy(dtype=float))
            spread = np.log(draws(budgets))
            spread = spread + error * rng.standard_normal(spread.shape)
        for level in LEVELS:
            ends = (50 - level / 2, 50 + level / 2)
            low, high = (
                np.exp(np.percentile(spread, ends, axis=0)) if len(spread) else [nothing] * 2
            )
            out[f"{name}_lo{level}"], out[f"{name}_hi{level}"] = low, high
    out["ln_ratio"] = np.log(out["params_foretold"] / out["params_seen"])
    out["wasted_percent"] = whole.wasted_percent(out["ln_ratio"].to_numpy())
    return out


def _row(
    step: Rung,
    whole: _Whole,
    c: float,
    held: pd.DataFrame,
    predictions: pd.DataFrame,
    seen: pd.DataFrame,
) -> dict[str, Any]:
    target = _params_at(step, whole.target_flops)
    ln_drift = math.log(target / whole.target_params(step))
    row: dict[str, Any] = {
        "law": step.law,
        "estimator": step.estimator,
        "largest_flops": c,
        "n_fitted": step.n_fitted,
        "n_held_out": 0,
        "status": step.status,
        "loss_error_percent": math.nan,
        "loss_bias_percent": math.nan,
        **{f"coverage{level}": math.nan for level in LEVELS},
        "n_bottoms": len(seen),
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
        "target_wasted_percent": float(whole.wasted_percent(np.array(ln_drift))),
        "message": step.message,
    }
    if step.surface is not None:
        foretold = step.surface.loss(held["params"].to_numpy(), held["tokens"].to_numpy())
        relative = foretold / held["loss"].to_numpy() - 1
        row["n_held_out"] = len(held)
        row["loss_error_percent"] = float(100 * np.abs(relative).mean())
        row["loss_bias_percent"] = float(100 * relative.mean())
    if (step.law, step.estimator) == MAIN:
        for level in LEVELS:
            if f"predicted_lo{level}" in predictions:
                ends = (predictions[f"predicted_{end}{level}"] for end in ("lo", "hi"))
                row[f"coverage{level}"] = float(predictions["loss"].between(*ends).mean())
    if len(seen):
        relative = seen["loss_foretold"] / seen["loss_seen"] - 1
        row["bottom_error_percent"] = float(100 * relative.abs().mean())
        row["bottom_bias_percent"] = float(100 * relative.mean())
        row["params_bias_percent"] = float(100 * np.expm1(seen["ln_ratio"].mean()))
        row["wasted_percent"] = float(seen["wasted_percent"].mean())
        for level in LEVELS:
            row[f"bottom_coverage{level}"] = _covered(seen, "loss", level)
            row[f"params_coverage{level}"] = _covered(seen, "params", level)
    if step.params_draws is not None:
        at = step.params_draws(np.array([whole.target_flops]))[:, 0]
        row["target_params_lo80"], row["target_params_hi80"] = np.nanpercentile(at, [10, 90])
    return row


def _params_at(rung: Rung, flops: float) -> float:
    return float(rung.params_opt(np.array([flops]))[0]) if rung.params_opt else math.nan


def _covered(seen: pd.DataFrame, name: str, level: int) -> float:
    """Share of budgets whose bottom lies in the interval; NaN where there is no interval."""
    low, high = seen[f"{name}_lo{level}"], seen[f"{name}_hi{level}"]
    known = low.notna() & seen[f"{name}_seen"].notna()
    if not known.any():
        return math.nan
    return float(seen[f"{name}_seen"].between(low, high)[known].mean())


def _finding(tables: dict[str, pd.DataFrame], whole: _Whole) -> Finding:
    steps = tables["steps"]
    mine = steps[(steps["law"] == MAIN[0]) & (steps["estimator"] == MAIN[1])]
    fitted = mine[mine["status"] != FAILED]
    against, beating = compared(tables["scores"])
    target_of_all = whole.target_params(whole.laws[MAIN])
    numbers = {
        "steps": len(mine),
        "steps_fitted": len(fitted),
        "target_flops": whole.target_flops,
        "target_params_of_all": target_of_all,
        "vertices_absent": whole.vertices_absent,
        "beats_baselines": beating,
    }
    if fitted.empty:
        said = "No step of the ladder has enough runs for a parametric fit, so nothing was foretold"
        said += f" by it. {against}" if against else "."
        return Finding("ladder", MIND, said, numbers, tables)
    first, last = fitted.iloc[0], fitted.iloc[-1]
    low, high = (significant(f(fitted["loss_error_percent"]), 2) for f in (min, max))
    sentence = (
        f"Fitted to the runs of at most {flops_label(first['largest_flops'])} to "
        f"{flops_label(last['largest_flops'])} FLOPs, the parametric law foretells the losses of "
        f"all larger runs within {low} to {high} % on average, while its N at "
        f"{flops_label(whole.target_flops)} FLOPs goes from {humanise(first['target_params'])} to "
        f"{humanise(last['target_params'])} and is {humanise(target_of_all)} with all runs: "
        f"the last step would have wasted {significant(last['target_wasted_percent'], 2)} % there."
    )
    if math.isfinite(last["coverage95"]):
        sentence += (
            f" Of the larger runs {100 * fitted['coverage95'].min():.0f} to "
            f"{100 * fitted['coverage95'].max():.0f} % lie in their 95 % prediction."
        )
    sentence += f" {against}" if against else ""
    drifted = last["target_wasted_percent"] > 100 * DRIFTED
    uncovered = last["coverage95"] < UNCOVERED
    mind = drifted or uncovered or any(not laws for laws in beating.values())
    return Finding("ladder", MIND if mind else FINE, sentence, numbers, tables)
