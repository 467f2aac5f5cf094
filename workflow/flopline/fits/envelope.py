"""Training-curve envelope: power laws through the runs that are best at each compute.

Approach 1 of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.1, appendix D.1): smooth every
training curve, interpolate loss against compute, take the run of lowest loss at 1500 log-spaced
FLOPs, and regress its params and tokens on compute in logs. The variant `hull` takes the lower
convex hull instead of bins (McLeish et al. 2025, arXiv 2502.06857).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.fits.allocation import Allocation, joined, residuals, stated
from flopline.fits.bootstrap import run_weights
from flopline.fits.envelope_report import (
    at_schedule_end,
    frontier_table,
    message,
    share_at_end_sizes,
    share_in_last_fraction,
    shift,
    thinned,
    thirds,
)
from flopline.fits.frontier import ABSENT, RULES, Bins, Curves, Frontier, interpolate
from flopline.fits.hull import Hull
from flopline.fits.inputs import checked, named, size_classes
from flopline.fits.losscompute import fit_loss_compute
from flopline.fits.powerlaw import fit_power_law
from flopline.fits.result import CONVERGED, WARNING, Estimator, FitResult, estimator_table
from flopline.fits.smoothing import smoothed

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Select = Callable[[Bools], Frontier]

LAW: Final = "envelope"
FRONTIERS: Final = ("bins", "hull")
MIN_RUNS: Final = 3
MIN_POINTS: Final = 3
RULE_SIZES: Final = {"bracketed": 4, "inner": 3, "contested": 0}
RULE_SHARE: Final = {"bracketed": 0.2, "inner": 0.2, "contested": 0.0}
"""A rule for used bins needs this many winning sizes and this share of the bins, else the next,
more lenient one holds: a handful of bins leaves resamples without a frontier."""
LOSS_BLOCKS: Final = 100
"""The loss law sees means over this many stretches of bins: neighbours repeat one run."""
CELLS: Final = 500_000
"""Array cells worked on at once, which bounds memory whatever the number of draws."""


def fit(
    curves: pd.DataFrame,
    targets_flops: Sequence[float],
    *,
    bins: int = 1500,
    smoothing_steps: float = 10.0,
    frontier: str = "bins",
    last_fraction: float = 0.15,
    only_schedule_end: bool = False,
    draws: int = 2000,
    seed: int = 0,
    family: str = "",
) -> FitResult:
    """Envelope law of one family, with a bootstrap over runs of the whole selection.

    `curves` has one row per logged loss: run, params, horizon_tokens (schedule length, may be
    missing), step, tokens, flops, loss; rows at zero FLOPs are skipped and counted.
    `smoothing_steps` is the Gaussian window in optimiser steps. `only_schedule_end` keeps the
    last `last_fraction` of every smoothed curve, where a loss is that of a finished run. Which
    bins enter the regression is decided by the strictest of frontier.RULES that leaves enough of
    them; a hull enters whole, as published.
    Tables: frontier (per bin or hull point), curves (smoothed, thinned for drawing).

    Raises FloplineError for fewer than three runs or two sizes, for curves that nowhere compete,
    and where one size wins everywhere.
    """
    if frontier not in FRONTIERS:
        raise FloplineError(
            f"The envelope's frontier is one of {', '.join(FRONTIERS)}, not '{frontier}': "
            "correct it in the study file."
        )
    table, skipped = _prepared(curves, family)
    table, per_window = _smoothed(table, smoothing_steps)
    drawn = thinned(table)
    if only_schedule_end:
        table = _ends(table, last_fraction, family)
    runs = table.drop_duplicates("run").reset_index(drop=True)
    ready = Curves(
        table["run_number"].to_numpy(),
        np.log(table["flops"].to_numpy()),
        np.log(table["tokens"].to_numpy()),
        table["loss"].to_numpy(),
        size_classes(runs["params"].to_numpy()),
    )
    select, width, rule = _selector(ready, frontier, bins, family)
    ln_params = np.log(runs["params"].to_numpy())
    chosen = select(np.ones((1, len(runs)), dtype=bool))
    _demand_sizes(chosen, ready.size, runs, family)
    point = _laws(chosen, ln_params, ready.size)
    weights = run_weights(list(runs["run"]), draws, seed)
    resampled = _resampled(select, weights > 0, width, ln_params, ready.size)
    parameters, targets, draw_table = stated(point, resampled, targets_flops)
    listed = frontier_table(chosen, runs, last_fraction)
    certificate = {
        "frontier": frontier,
        "rule": rule,
        "frontier_points": len(listed),
        "points_used": int(listed["used"].sum()),
        "runs_on_frontier": int(listed.loc[listed["used"], "run"].nunique()),
        "sizes": int(ready.size.max()) + 1,
        "sizes_on_frontier": _winning_sizes(chosen, ready.size),
        "share_at_end_sizes": share_at_end_sizes(chosen, ready.size),
        "draws": int(draws),
        "draws_failed": int(resampled.absent.sum()),
        "share_in_last_fraction": share_in_last_fraction(listed),
        **thirds(listed),
        "a_shift_in_draws": shift(point.params.p[0], resampled.params.p),
        **residuals(listed[listed["used"]], point),
        "points_per_window": per_window,
        "points_at_zero_flops": skipped,
        "loss_law": point.loss.form(),
        "draws_without_floor": int((resampled.loss.few | resampled.loss.unidentified).sum()),
    }
    warning = message(certificate, last_fraction)
    status = WARNING if warning else CONVERGED
    said = "; ".join(filter(None, [warning, point.loss.note()]))
    label = f"lower envelope ({frontier}) of smoothed training curves, least squares in logs"
    main = Estimator(frontier, label, status, said, parameters, targets)
    return FitResult(
        law=LAW,
        estimator=label,
        status=status,
        message=said,
        n_runs=len(runs),
        n_points=len(table),
        settings={
            "bins": bins,
            "smoothing_steps": smoothing_steps,
            "frontier": frontier,
            "last_fraction": last_fraction,
            "only_schedule_end": only_schedule_end,
            "draws": draws,
            "seed": seed,
        },
        parameters=parameters,
        targets=targets,
        certificate=certificate,
        draws=draw_table,
        tables={"estimators": estimator_table([main]), "frontier": listed, "curves": drawn},
    )


def _prepared(curves: pd.DataFrame, family: str) -> tuple[pd.DataFrame, int]:
    """Checked rows sorted by run and FLOPs with a run number, and how many had zero FLOPs."""
    columns = ("params", "tokens", "flops", "loss")
    begun = curves
    if "flops" in curves:
        begun = curves[~(curves["flops"].astype("float64") == 0.0)]
    table = checked(begun, columns, ("step",), LAW, family)
    if "horizon_tokens" not in table:
        table = table.assign(horizon_tokens=np.nan)
    table = table.astype({"horizon_tokens": "float64", "step": "float64"})
    table = table.sort_values(["run", "flops", "step", "tokens", "loss"], kind="stable")
    table = table.reset_index(drop=True)
    _demand_runs(table, family)
    table["run_number"] = table.groupby("run").ngroup().astype(np.int64)
    return table, len(curves) - len(begun)


def _ends(table: pd.DataFrame, last_fraction: float, family: str) -> pd.DataFrame:
    """The rows in the last share of their schedule, or FloplineError where that leaves too few."""
    unknown = table.loc[table["horizon_tokens"].isna(), "run"]
    if not unknown.empty:
        raise FloplineError(
            f"The envelope can not keep schedule ends only, since run '{min(unknown)}' of "
            f"{named(family)} states no horizon_tokens: add it or drop only_schedule_end."
        )
    position = (table["tokens"] / table["horizon_tokens"]).to_numpy()
    table = table[at_schedule_end(position, last_fraction)].reset_index(drop=True)
    _demand_runs(table, family)
    table["run_number"] = table.groupby("run").ngroup().astype(np.int64)
    return table


def _demand_runs(table: pd.DataFrame, family: str) -> None:
    n_runs, n_sizes = table["run"].nunique(), 0
    if n_runs:
        n_sizes = int(size_classes(table.groupby("run")["params"].first().to_numpy()).max()) + 1
    if n_runs < MIN_RUNS or n_sizes < 2:
        raise FloplineError(
            f"The envelope needs training curves of at least {MIN_RUNS} runs and 2 sizes, but "
            f"{named(family)} has {n_runs} run{'s' if n_runs != 1 else ''} of {n_sizes} "
            f"size{'s' if n_sizes != 1 else ''}: add runs, or take envelope out of `laws` in the "
            "study file."
        )


def _smoothed(table: pd.DataFrame, window_steps: float) -> tuple[pd.DataFrame, float]:
    loss, per_window = smoothed(
        table["loss"].to_numpy(),
        table["step"].to_numpy(),
        table["run_number"].to_numpy(),
        window_steps,
    )
    return table.assign(loss=loss), per_window


def _selector(curves: Curves, frontier: str, bins: int, family: str) -> tuple[Select, int, str]:
    """How to read a frontier, the points worked on per subset, and the rule for a used point."""
    if frontier == "hull":
        return Hull(curves).select, 1, "all hull points"
    grid = interpolate(curves, bins)
    if grid is None:
        raise FloplineError(
            f"The envelope compares sizes at equal compute, but no two sizes of {named(family)} "
            "reach the same FLOPs: train them over overlapping ranges, or take envelope out of "
            "`laws` in the study file."
        )
    rule = _rule(grid)
    return lambda present: grid.select(present, rule), bins, RULES[rule]


def _rule(grid: Bins) -> str:
    """The strictest rule that leaves enough of the frontier."""
    everyone = np.ones((1, grid.size.size), dtype=bool)
    for rule in RULES:
        chosen = grid.select(everyone, rule)
        if (
            _winning_sizes(chosen, grid.size) >= RULE_SIZES[rule]
            and chosen.used.mean() >= RULE_SHARE[rule]
        ):
            return rule
    raise AssertionError("the most lenient rule asks for nothing")


def _winning_sizes(chosen: Frontier, size: NDArray[np.int64]) -> int:
    return int(np.unique(size[chosen.run[chosen.used]]).size)


def _demand_sizes(
    chosen: Frontier, size: NDArray[np.int64], runs: pd.DataFrame, family: str
) -> None:
    points = int(chosen.used.sum())
    if points >= MIN_POINTS and _winning_sizes(chosen, size) >= 2:
        return
    if points == 0:
        why = "has no frontier point at which sizes compete"
    elif points < MIN_POINTS:
        why = f"has a frontier of {points} point{'s' if points > 1 else ''}"
    else:
        n = runs["params"].to_numpy()[chosen.run[chosen.used]].max()
        why = f"has one size ({n:.3g} params) that wins at every compute"
    raise FloplineError(
        f"The envelope needs a frontier of at least {MIN_POINTS} points and 2 sizes, but "
        f"{named(family)} {why}: train more sizes over a wider range of compute, or take "
        "envelope out of `laws` in the study file."
    )


def _laws(chosen: Frontier, ln_params: Floats, size: NDArray[np.int64]) -> Allocation:
    """Laws of every subset; NaN where fewer than three points or two sizes are on its frontier."""
    used = chosen.used
    sizes = size[chosen.run]
    lowest = np.where(used, sizes, size.max() + 1).min(axis=1)
    highest = np.where(used, sizes, ABSENT).max(axis=1)
    enough = (used.sum(axis=1) >= MIN_POINTS) & (highest > lowest)
    weight = np.where(used & enough[:, None], 1.0, 0.0)
    return Allocation(
        fit_power_law(chosen.ln_flops, ln_params[chosen.run], weight),
        fit_power_law(chosen.ln_flops, chosen.ln_tokens, weight),
        fit_loss_compute(*_blocks(chosen, weight)),
    )


def _blocks(frontier: Frontier, used: Floats) -> tuple[Floats, Floats, Floats]:
    """ln C, loss and weight of at most LOSS_BLOCKS stretches of neighbouring frontier points."""
    rows, points = used.shape
    width = -(-points // LOSS_BLOCKS)
    spare = -points % width

    def total(values: Floats) -> Floats:
        padded = np.pad(values, ((0, 0), (0, spare)))
        return np.asarray(padded.reshape(rows, (points + spare) // width, width).sum(axis=2))

    count = total(used)
    with np.errstate(invalid="ignore"):
        ln_flops = total(np.where(used > 0, frontier.ln_flops, 0.0)) / count
        loss = total(np.where(used > 0, frontier.loss, 0.0)) / count
    return ln_flops, loss, count


def _resampled(
    select: Select, present: Bools, width: int, ln_params: Floats, size: NDArray[np.int64]
) -> Allocation:
    at_once = max(1, CELLS // width)
    return joined(
        [
            _laws(select(present[i : i + at_once]), ln_params, size)
            for i in range(0, max(1, present.shape[0]), at_once)
        ]
    )
