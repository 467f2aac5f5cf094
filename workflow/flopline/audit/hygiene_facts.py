"""What logs say of how every run was trained, and how that moves with size, tokens and residuals.

A run's peak learning rate, its warm-up, how far the rate decayed and the batch are read from its
curve; nothing here is asked of the user.
"""

from __future__ import annotations

from typing import Final, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.surfaces.chinchilla import PARAMETERS, LossSurface

Floats = NDArray[np.float64]

AT_PEAK: Final = 0.99
"""Share of the peak learning rate from which a run has warmed up."""
FIRST: Final = 0.05
"""Share of a run's tokens within which a first rate at the peak still says how long it warmed up:
what is called short below any limit."""
VARIES: Final = 0.05
"""Range [ln] up to which a setting is called the same in all runs: rows logged every few steps
place the end of a warm-up no better."""
APART: Final = 0.01
"""Share of a setting's variance that size and tokens must leave over for its effect to be told."""
SAME_RUN: Final = 0.01
"""Relative difference of params, tokens, rate and batch within which runs are repeats."""


def run_facts(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per run: params, tokens, loss, seed, and what its curve says, missing if not logged.

    `runs` has run, params, tokens, horizon_tokens, loss, seed; `curves` run, step, tokens, lr.
    Adds horizon_share (tokens over those of the schedule), lr_peak, warmup_share (tokens until the
    rate peaks, over the run's), lr_final_share (last rate over the peak) and batch_tokens (tokens
    per optimiser step). One rate of a run is its peak and shows no schedule; nor does a first rate
    at the peak, later than FIRST of the run, show its warm-up.
    """
    names = ["run", "params", "tokens", "horizon_tokens", "loss", "seed"]
    out = runs[names].sort_values("run", ignore_index=True)
    out = out.astype({"params": float, "tokens": float, "horizon_tokens": float, "loss": float})
    out["horizon_share"] = out["tokens"] / out["horizon_tokens"]
    rows = curves[curves["run"].isin(out["run"]) & (curves["tokens"] > 0)]
    rows = rows.sort_values(["run", "tokens", "step"], kind="stable")
    rated = rows[rows["lr"].astype(float) >= 0]
    peak = rated.groupby("run")["lr"].max()
    peak = peak[peak > 0]
    rated = rated[rated["run"].isin(peak.index)]
    warm = rated[rated["lr"] >= AT_PEAK * rated["run"].map(peak).astype(float)]
    end = rows.groupby("run")["tokens"].last()
    several = rated.groupby("run").size() > 1
    first, reached = (t.groupby("run")["tokens"].first() for t in (rated, warm))
    seen = several & ((reached > first) | (first <= FIRST * end.reindex(first.index)))
    stepped = rows[rows["step"].astype("float64") > 0].groupby("run")[["tokens", "step"]].last()
    columns = {
        "lr_peak": peak,
        "warmup_share": (reached / end)[seen.reindex(end.index, fill_value=False)],
        "lr_final_share": (rated.groupby("run")["lr"].last() / peak)[several],
        "batch_tokens": stepped["tokens"] / stepped["step"].astype("float64"),
    }
    for name, values in columns.items():
        out[name] = out["run"].map(values.to_dict()).astype(float)
    return out


def trend(facts: pd.DataFrame, name: str) -> dict[str, float]:
    """Exponents of the setting `name` in params and in tokens: least squares in logs, with errors.

    Keys: n, spread (its range [ln]), params, params_se, tokens, tokens_se, r2. The exponents are
    missing where fewer than four runs state it or params and tokens do not vary apart.
    """
    rows = facts[(facts[name] > 0) & np.isfinite(facts[name])]
    out = dict.fromkeys(("params", "params_se", "tokens", "tokens_se", "r2"), np.nan)
    out = {"n": float(len(rows)), "spread": np.nan, **out}
    if len(rows) == 0:
        return out
    y = np.log(rows[name].to_numpy())
    out["spread"] = float(np.ptp(y))
    columns = np.column_stack(
        [np.ones(len(rows)), *(np.log(rows[c].to_numpy()) for c in ("params", "tokens"))]
    )
    columns[:, 1:] -= columns[:, 1:].mean(axis=0)
    if len(rows) < 4 or np.linalg.matrix_rank(columns, tol=1e-6 * len(rows)) < 3:
        return out
    slopes, *_ = np.linalg.lstsq(columns, y, rcond=None)
    left = y - columns @ slopes
    covariance = np.linalg.inv(columns.T @ columns) * (left @ left) / (len(rows) - 3)
    total = float(((y - y.mean()) ** 2).sum())
    errors = np.sqrt(np.diag(covariance))
    return out | {
        "params": float(slopes[1]),
        "params_se": float(errors[1]),
        "tokens": float(slopes[2]),
        "tokens_se": float(errors[2]),
        "r2": float(1 - left @ left / total) if total > 0 else np.nan,
    }


def log_residuals(surface: LossSurface, facts: pd.DataFrame) -> Floats:
    """ln loss less ln of the surface, run by run."""
    params, tokens, loss = (facts[c].to_numpy(dtype=float) for c in ("params", "tokens", "loss"))
    return np.asarray(np.log(loss) - np.log(surface.loss(params, tokens)))


def dependence(surface: LossSurface, facts: pd.DataFrame, name: str) -> dict[str, float]:
    """How the residuals of `surface` move with the setting `name`, at given params and tokens.

    One Gauss-Newton step of a law with one more term: ln loss gains slope times ln of the setting.
    What the law's own parameters can take up is projected out of both sides. Keys: n, spread
    (range of the setting [ln]), left (share of its variance that is left then), slope, t and p
    (two-sided). The last three are missing where it hardly varies, less than APART is left, or
    runs are too few.
    """
    rows = facts[(facts[name] > 0) & np.isfinite(facts[name])]
    out = dict.fromkeys(("spread", "left", "slope", "t", "p"), np.nan)
    out = {"n": float(len(rows)), **out}
    if rows.empty:
        return out
    z = np.log(rows[name].to_numpy())
    z = z - z.mean()
    out["spread"] = float(np.ptp(z))
    freedom = len(rows) - len(PARAMETERS) - (not surface.straight) - 1
    if freedom < 1 or out["spread"] <= VARIES:
        return out
    own = surface.log_loss_gradient(rows["params"].to_numpy(), rows["tokens"].to_numpy())
    basis, singular, _ = np.linalg.svd(own / np.linalg.norm(own, axis=0), full_matrices=False)
    basis = basis[:, singular > 1e-9 * singular[0]]
    free = z - basis @ (basis.T @ z)
    out["left"] = float(free @ free / (z @ z))
    if out["left"] < APART:
        return out
    from scipy.special import stdtr

    residual = log_residuals(surface, rows)
    residual = residual - basis @ (basis.T @ residual)
    slope = float(free @ residual / (free @ free))
    rest = residual - slope * free
    t = slope / np.sqrt(rest @ rest / freedom / (free @ free))
    return out | {"slope": slope, "t": float(t), "p": float(2 * stdtr(freedom, -abs(t)))}


def repeats(facts: pd.DataFrame) -> pd.DataFrame:
    """Runs that differ in their seed alone: one row per group, with its spread of ln loss.

    Runs are repeats if params, tokens and, where logged, peak rate and batch agree, and no two
    state the same seed. Columns: params, tokens, runs, mean_loss, range_loss (largest less least
    loss, nats per token), sd_ln_loss.
    """
    keys = []
    for name in ("params", "tokens", "lr_peak", "batch_tokens"):
        values = facts[name].to_numpy(dtype=float)
        keys.append(_classes(values))
    rows = []
    for _, group in facts.groupby([pd.Series(k, index=facts.index) for k in keys], sort=True):
        seeds = group["seed"].dropna()
        seeds = seeds[seeds.astype(str) != ""]
        if len(group) < 2 or seeds.duplicated().any():
            continue
        ln_loss = np.log(group["loss"].to_numpy(dtype=float))
        rows.append(
            {
                "params": float(group["params"].mean()),
                "tokens": float(group["tokens"].mean()),
                "runs": len(group),
                "mean_loss": float(group["loss"].mean()),
                "range_loss": float(np.ptp(group["loss"].to_numpy(dtype=float))),
                "sd_ln_loss": float(ln_loss.std(ddof=1)),
            }
        )
    columns = ["params", "tokens", "runs", "mean_loss", "range_loss", "sd_ln_loss"]
    return pd.DataFrame(rows, columns=columns)


def seed_noise(groups: pd.DataFrame) -> tuple[float, int]:
    """Pooled standard deviation of ln loss within the groups of `repeats`, and its freedom."""
    freedom = (groups["runs"] - 1).to_numpy(dtype=float)
    if not freedom.sum():
        return float("nan"), 0
    pooled = float((freedom * groups["sd_ln_loss"].to_numpy() ** 2).sum() / freedom.sum())
    return float(np.sqrt(pooled)), int(freedom.sum())


def _classes(values: Floats) -> NDArray[np.int64]:
    """Numbers that values closer than SAME_RUN share; what is missing has one of its own."""
    known = np.isfinite(values) & (values > 0)
    logs = np.log(np.where(known, values, 1.0))
    order = np.argsort(logs, kind="stable")
    starts = np.diff(logs[order], prepend=logs[order][:1]) > SAME_RUN
    out = np.empty(values.size, dtype=np.int64)
    out[order] = np.cumsum(starts)
    return np.where(known, out, -1)


class Described(TypedDict, total=False):
    """How many runs state a number, its least, median and largest value, and whose these are."""

    n: int
    min: float
    median: float
    max: float
    run_of_max: str
    run_of_min: str


def described(facts: pd.DataFrame, name: str) -> Described:
    """Least, median and largest value of a column, and how many runs state it."""
    values = facts[name][np.isfinite(facts[name])]
    if values.empty:
        return {"n": 0}
    worst = facts.loc[values.idxmax(), "run"]
    return {
        "n": len(values),
        "min": float(values.min()),
        "median": float(values.median()),
        "max": float(values.max()),
        "run_of_max": str(worst),
        "run_of_min": str(facts.loc[values.idxmin(), "run"]),
    }
