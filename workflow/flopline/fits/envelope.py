"""Training-curve envelope: power laws through the runs that are best at each compute.

Approach 1 of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.1, appendix D.1): smooth every
training curve, interpolate loss against compute, take the run of lowest loss at 1500 log-spaced
FLOPs, and regress its params and tokens on compute in logs. The variant `hull` takes the lower
convex hull instead of bins (McLeish et al. 2025, arXiv 2502.06857).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.fits.allocation import Allocation, joined, stated
from flopline.fits.bootstrap import run_weights
from flopline.fits.frontier import ABSENT, Bins, Curves, Frontier, interpolate
from flopline.fits.hull import Hull
from flopline.fits.inputs import checked, named, size_classes
from flopline.fits.losscompute import fit_loss_compute
from flopline.fits.powerlaw import fit_power_law
from flopline.fits.result import CONVERGED, WARNING, FitResult
from flopline.fits.smoothing import smoothed

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Select = Callable[[Bools], Frontier]

LAW: Final = "envelope"
FRONTIERS: Final = ("bins", "hull")
MIN_RUNS: Final = 3
MIN_POINTS: Final = 3
BRACKET_SIZES: Final = 4
"""With fewer sizes winning inside brackets, the two end sizes are all the slope there is."""
FEW_SIZES: Final = 5
LOSS_POINTS: Final = 60
"""The loss law sees every k-th bin, about this many: neighbours repeat the same run."""
CELLS: Final = 500_000
"""Array cells worked on at once, which bounds memory whatever the number of draws."""
DRAWN_POINTS: Final = 300


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
    last `last_fraction` of every schedule. A bin enters the regression where a smaller and a
    larger size than the winner compete; if fewer than four sizes win such bins, where two sizes
    compete. Tables: frontier (per bin or hull point), curves (smoothed, thinned for drawing).

    Raises FloplineError for fewer than three runs or two sizes, for curves that nowhere compete,
    and where one size wins everywhere.
    """
    if frontier not in FRONTIERS:
        raise FloplineError(
            f"The envelope's frontier is one of {', '.join(FRONTIERS)}, not '{frontier}': "
            "correct it in the study file."
        )
    table, skipped = _prepared(curves, last_fraction, only_schedule_end, family)
    table, per_window = _smoothed(table, smoothing_steps)
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
    listed = _frontier_table(chosen, runs, last_fraction)
    certificate = {
        "frontier": frontier,
        "rule": rule,
        "frontier_points": len(listed),
        "points_used": int(listed["used"].sum()),
        "runs_on_frontier": int(listed.loc[listed["used"], "run"].nunique()),
        "sizes": int(ready.size.max()) + 1,
        "sizes_on_frontier": _winning_sizes(chosen, ready.size),
        "draws": int(draws),
        "draws_failed": int(resampled.absent.sum()),
        "share_in_last_fraction": _share_in_last_fraction(listed),
        **_thirds(listed),
        **_residuals(listed, point),
        "points_per_window": per_window,
        "points_at_zero_flops": skipped,
        "loss_law": point.loss.form(),
        "draws_without_floor": int((resampled.loss.few | resampled.loss.unidentified).sum()),
    }
    message = _message(certificate, last_fraction)
    return FitResult(
        law=LAW,
        estimator=f"lower envelope ({frontier}) of smoothed training curves, least squares in logs",
        status=WARNING if message else CONVERGED,
        message=message,
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
        tables={"frontier": listed, "curves": _thinned(table)},
    )


def _prepared(
    curves: pd.DataFrame, last_fraction: float, only_schedule_end: bool, family: str
) -> tuple[pd.DataFrame, int]:
    """Checked rows sorted by run and FLOPs with a run number, and how many had zero FLOPs."""
    columns = ("params", "tokens", "flops", "loss")
    begun = curves
    if "flops" in curves:
        begun = curves[~(curves["flops"].astype("float64") == 0.0)]
    table = checked(begun, columns, ("step",), LAW, family)
    if "horizon_tokens" not in table:
        table = table.assign(horizon_tokens=np.nan)
    table = table.astype({"horizon_tokens": "float64", "step": "float64"})
    if only_schedule_end:
        unknown = table.loc[table["horizon_tokens"].isna(), "run"]
        if not unknown.empty:
            raise FloplineError(
                f"The envelope can not keep schedule ends only, since run '{min(unknown)}' of "
                f"{named(family)} states no horizon_tokens: add it or drop only_schedule_end."
            )
        table = table[table["tokens"] >= (1.0 - last_fraction) * table["horizon_tokens"]]
    table = table.sort_values(["run", "flops", "step", "tokens", "loss"], kind="stable")
    table = table.reset_index(drop=True)
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
    table["run_number"] = table.groupby("run").ngroup().astype(np.int64)
    return table, len(curves) - len(begun)


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
    return _bin_selector(grid, bins)


def _bin_selector(grid: Bins, bins: int) -> tuple[Select, int, str]:
    everyone = np.ones((1, grid.size.size), dtype=bool)
    bracketed = _winning_sizes(grid.select(everyone, True), grid.size) >= BRACKET_SIZES
    rule = (
        "bins where a smaller and a larger size than the winner compete"
        if bracketed
        else "bins where at least two sizes compete"
    )
    return lambda present: grid.select(present, bracketed), bins, rule


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
    every = slice(None, None, max(1, -(-used.shape[1] // LOSS_POINTS)))
    return Allocation(
        fit_power_law(chosen.ln_flops, ln_params[chosen.run], weight),
        fit_power_law(chosen.ln_flops, chosen.ln_tokens, weight),
        fit_loss_compute(chosen.ln_flops[:, every], chosen.loss[:, every], weight[:, every]),
    )


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


def _frontier_table(chosen: Frontier, runs: pd.DataFrame, last_fraction: float) -> pd.DataFrame:
    there = np.flatnonzero(chosen.run[0] != ABSENT)
    run = chosen.run[0, there]
    tokens, used = np.exp(chosen.ln_tokens[0, there]), chosen.used[0, there]
    position = tokens / runs["horizon_tokens"].to_numpy()[run]
    third = np.zeros(there.size, dtype=np.int64)
    third[used] = 1 + 3 * np.arange(used.sum()) // max(1, int(used.sum()))
    return pd.DataFrame(
        {
            "flops": np.exp(chosen.ln_flops[0, there]),
            "run": runs["run"].to_numpy()[run],
            "params": runs["params"].to_numpy()[run],
            "tokens": tokens,
            "loss": chosen.loss[0, there],
            "position": position,
            "in_last_fraction": position >= 1.0 - last_fraction,
            "used": used,
            "third": third,
        }
    )


def _share_in_last_fraction(listed: pd.DataFrame) -> float | None:
    """Share of used frontier points at the end of their schedule; None where no horizon is known.

    Hoffmann et al. 2022, footnote 4: all their points lie in the last 15 %.
    """
    known = listed[listed["used"] & listed["position"].notna()]
    return None if known.empty else float(known["in_last_fraction"].mean())


def _thirds(listed: pd.DataFrame) -> dict[str, list[float]]:
    """Slopes of params and tokens in each third of the frontier (Hoffmann et al., appendix E)."""
    out: dict[str, list[float]] = {"a_by_thirds": [], "b_by_thirds": []}
    for third in (1, 2, 3):
        part = listed[listed["third"] == third]
        for name, column in (("a_by_thirds", "params"), ("b_by_thirds", "tokens")):
            law = fit_power_law(np.log(part["flops"]), np.log(part[column]), 1.0)
            out[name].append(float(law.p))
    return out


def _residuals(listed: pd.DataFrame, point: Allocation) -> dict[str, float]:
    used = listed[listed["used"]]
    ln_c = np.log(used["flops"].to_numpy())
    n, d, loss = (used[c].to_numpy() for c in ("params", "tokens", "loss"))
    return {
        "median_flops_ratio": float(np.median(6.0 * n * d / np.exp(ln_c))),
        "rms_ln_params": _rms(np.log(n) - point.params.ln_at(ln_c)[0]),
        "rms_ln_tokens": _rms(np.log(d) - point.tokens.ln_at(ln_c)[0]),
        "rms_relative_loss": _rms(loss / point.loss.at(ln_c)[0] - 1.0),
    }


def _rms(residuals: Floats) -> float:
    return float(np.sqrt(np.mean(residuals**2)))


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most DRAWN_POINTS points per run, evenly spread in ln C, ends included."""
    parts = []
    for _, rows in table.groupby("run_number", sort=True):
        if len(rows) > DRAWN_POINTS:
            x = np.log(rows["flops"].to_numpy())
            at = np.searchsorted(x, np.linspace(x[0], x[-1], DRAWN_POINTS))
            rows = rows.iloc[np.unique(np.minimum(at, len(rows) - 1))]
        parts.append(rows)
    columns = ["run", "params", "step", "tokens", "flops", "loss"]
    return pd.concat(parts, ignore_index=True)[columns]


def _message(certificate: dict[str, Any], last_fraction: float) -> str:
    said = []
    share, n_sizes = certificate["share_in_last_fraction"], certificate["sizes_on_frontier"]
    if n_sizes < FEW_SIZES:
        said.append(f"only {n_sizes} sizes win on the frontier, a coarse staircase")
    if share is not None and share < 0.5:
        said.append(
            f"only {share:.0%} of the frontier lies in the last {last_fraction:.0%} of its "
            "schedule, where the loss is what a finished run would have"
        )
    if certificate["draws_failed"] > 0.05 * certificate["draws"]:
        said.append(
            f"{certificate['draws_failed']} of {certificate['draws']} resamples have no frontier"
        )
    if not certificate["loss_law"].startswith("E"):
        said.append(f"loss law {certificate['loss_law']}")
    return "; ".join(said)
