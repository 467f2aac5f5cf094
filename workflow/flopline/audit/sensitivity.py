"""What N at the target depends on: one choice or one part of the runs changed at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import FINE, MIND, Finding, surface_of
from flopline.audit.regret import wasted_share
from flopline.audit.runs import prepared
from flopline.errors import FloplineError
from flopline.fits import parametric
from flopline.fits.inputs import size_classes
from flopline.fits.result import FAILED
from flopline.numbers import flops_label, humanise, significant

DELTAS: Final = (1e-4, 1e-3, 1e-2, 1e-1)
"""Huber deltas tried: from nearly the least absolute error to nearly least squares."""
LEAST_SQUARES: Final = 1e3
"""A delta beyond every log residual: the objective is then half the sum of their squares."""
LARGEST: Final = (1, 2, 5, 10)
"""How many of the largest absolute log residuals are left out."""
DEAR: Final = 0.05
"""Share of compute that a single change may waste before it is to be minded."""

_Change = tuple[str, str, pd.DataFrame, float]
"""Kind, label, runs and Huber delta of one refit."""


def audit(
    points: pd.DataFrame,
    target_flops: float,
    *,
    huber_delta: float = 1e-3,
    budgets: Sequence[float] | None = None,
    budget_tolerance: float = 0.15,
    family: str = "",
) -> Finding:
    """N at `target_flops` [FLOPs] under other objectives and without parts of the runs.

    `points` has columns run, params [weights], tokens, flops, loss [nats per token] and maybe
    budget_flops; `budgets` and `budget_tolerance` group them as in `isoflop.fit`, and without
    budgets none is left out. Table changes: one row per refit, farthest from the baseline first,
    with its N, the ratio to the baseline's and the compute that it would waste if the baseline is
    right; refits that fail say why. Raises FloplineError if the baseline fails.
    """
    table = prepared(points, budgets, budget_tolerance, "sensitivity", family)
    base = parametric.fit(
        table, [target_flops], huber_delta=huber_delta, draws=0, seed=0, family=family
    )
    surface = surface_of(base.to_json())
    residuals = np.log(surface.loss(table["params"], table["tokens"])) - np.log(table["loss"])
    changes = [
        *_other_objectives(table, huber_delta),
        *_without_residuals(table, residuals.to_numpy(), huber_delta),
        *_without_sizes(table, huber_delta),
        *_without_budgets(table, huber_delta),
    ]
    rows = pd.DataFrame([_refitted(change, target_flops, family) for change in changes])
    best = float(surface.params_opt(target_flops))
    ln_ratio = np.log(rows["params"] / best)
    rows["ratio"] = np.exp(ln_ratio)
    rows["wasted_percent"] = 100 * wasted_share(surface.alpha, surface.beta, ln_ratio.to_numpy())
    order = ln_ratio.abs().sort_values(ascending=False, kind="stable").index
    return _finding(rows.loc[order].reset_index(drop=True), best, target_flops)


def _other_objectives(table: pd.DataFrame, delta: float) -> Iterator[_Change]:
    for other in DELTAS:
        if other != delta:
            yield "objective", f"Huber delta {other:g}", table, other
    yield "objective", "least squares on log loss", table, LEAST_SQUARES


def _without_residuals(
    table: pd.DataFrame, residuals: NDArray[np.float64], delta: float
) -> Iterator[_Change]:
    order = np.argsort(-np.abs(residuals), kind="stable")
    for k in LARGEST:
        label = "without the largest residual" if k == 1 else f"without the {k} largest residuals"
        yield "residuals", label, table.drop(index=order[:k]), delta


def _without_sizes(table: pd.DataFrame, delta: float) -> Iterator[_Change]:
    params = table["params"].to_numpy()
    sizes = size_classes(params)
    for size in np.unique(sizes):
        members = sizes == size
        centre = float(np.exp(np.log(params[members]).mean()))
        yield "size", f"without {humanise(centre)} params", table[~members], delta


def _without_budgets(table: pd.DataFrame, delta: float) -> Iterator[_Change]:
    for budget in np.unique(table["budget_flops"].dropna()):
        label = f"without {flops_label(budget)} FLOPs"
        yield "budget", label, table[table["budget_flops"] != budget], delta


def _refitted(change: _Change, target_flops: float, family: str) -> dict[str, object]:
    kind, label, runs, delta = change
    row: dict[str, object] = {"kind": kind, "change": label, "n_points": len(runs)}
    try:
        fit = parametric.fit(
            runs, [target_flops], huber_delta=delta, draws=0, seed=0, family=family
        )
    except FloplineError as error:
        return row | {"params": np.nan, "a": np.nan, "status": FAILED, "message": str(error)}
    failed = fit.status == FAILED
    params = np.nan if failed else fit.targets[0].values["params"].point
    a = np.nan if failed else fit.parameters["a"].point
    return row | {"params": params, "a": a, "status": fit.status, "message": fit.message}


def _finding(rows: pd.DataFrame, best: float, target_flops: float) -> Finding:
    fitted = rows[rows["params"].notna()]
    failed = len(rows) - len(fitted)
    numbers = {
        "target_flops": target_flops,
        "params": best,
        "refits": len(rows),
        "refits_failed": failed,
    }
    if fitted.empty:
        said = "No refit with a changed objective or without a part of the runs succeeds."
        return Finding("sensitivity", MIND, said, numbers, {"changes": rows})
    worst = fitted.loc[fitted["wasted_percent"].idxmax()]
    numbers["worst_wasted_percent"] = float(worst["wasted_percent"])
    sentence = (
        f"Over {len(fitted)} refits N at {flops_label(target_flops)} FLOPs lies between "
        f"{humanise(fitted['params'].min())} and {humanise(fitted['params'].max())} (baseline "
        f"{humanise(best)}); the one that matters most, {worst['change']}, gives "
        f"{humanise(worst['params'])}, a waste of {significant(worst['wasted_percent'], 2)} % if "
        "the baseline is right"
    )
    sentence += f"; {failed} more refits fail." if failed else "."
    mind = failed or worst["wasted_percent"] > 100 * DEAR
    return Finding("sensitivity", MIND if mind else FINE, sentence, numbers, {"changes": rows})
