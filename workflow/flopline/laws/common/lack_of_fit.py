"""Does L(C) = E + K C^-c fit the frontier it is carried beyond, judged by whole runs?

Neighbouring points of a frontier repeat one run, so their residuals are no independent errors and
an F test over points would find misfit everywhere. Here the pure error comes from the bootstrap
over runs: each resample has a frontier and a law of its own, and how their residuals scatter
about their mean is what runs alone explain. What the law misses beyond that is misfit.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.documents import LackOfFitJson
from flopline.laws.common.curvature import FEW_DRAWS, LEVEL
from flopline.laws.common.fit_result import ENDS, Estimate, Target
from flopline.laws.common.loss_compute import LossLaw
from flopline.schema import target_column

Floats = NDArray[np.float64]

CELLS: Final = 20
"""Stretches of ln C on which the residuals of resamples are compared."""


@dataclass(frozen=True, slots=True)
class LackOfFit:
    """Root mean square relative residuals, seen and explained by runs, and the misfit left over.

    `p_value` is the share of resamples whose recentred residuals are as large as those seen. All
    are NaN where there is no law or too few resamples, and nothing is widened then. `sd` has one
    relative standard deviation of the loss per target; `runs` and `spread`, the triangular factor
    of how the frontier's points are spread, give it at other budgets (relative_sd).
    """

    p_value: float
    rms_seen: float
    rms_of_runs: float
    misfit: float
    sd: Floats
    runs: int = 0
    spread: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def to_json(self) -> LackOfFitJson:
        """The certificate's entry; NaN becomes None on writing."""
        return {
            "p_value": self.p_value,
            "rms_seen": self.rms_seen,
            "rms_of_runs": self.rms_of_runs,
            "misfit": self.misfit,
            "relative_sd_at_targets": self.sd.tolist(),
            "runs": self.runs,
            "spread": self.spread.ravel().tolist(),
        }

    @property
    def significant(self) -> bool:
        """Whether runs alone hardly explain what the law misses."""
        return bool(self.p_value < LEVEL)

    def sentence(self) -> str:
        """The finding in words, empty where it could not be tested."""
        if not np.isfinite(self.p_value):
            return ""
        text = (
            f"the loss law misses the frontier by {100 * self.rms_seen:.2g} %, "
            f"of which runs explain {100 * self.rms_of_runs:.2g} % (lack of fit p = "
            f"{self.p_value:.2g})"
        )
        return f"{text}: intervals of the loss are widened" if self.misfit > 0 else text


def by_cells(ln_flops: Floats, loss: Floats, weight: Floats, law: LossLaw, edges: Floats) -> Floats:
    """Mean relative residual, loss / law - 1, in every cell of ln C; shape (rows, cells).

    The first three arguments have shape (rows, points), `edges` is ascending; NaN where a row has
    no point in a cell or no law.

    Returns the residuals weighted by `weight`, (rows, cells).
    """
    rows, cells = ln_flops.shape[0], edges.size - 1
    here = (weight > 0) & np.isfinite(ln_flops) & np.isfinite(loss)
    x = np.where(here, ln_flops, edges[0])
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = law.E[:, None] + np.exp(law.ln_K[:, None] - law.c[:, None] * x)
        residual = np.where(here, loss / fitted - 1.0, 0.0)
    cell = np.searchsorted(edges, x, side="right") - 1
    cell = np.where(x == edges[-1], cells - 1, cell)
    here &= (cell >= 0) & (cell < cells)
    w = np.where(here, weight, 0.0)
    index = (np.arange(rows)[:, None] * cells + np.clip(cell, 0, cells - 1)).ravel()
    count = np.bincount(index, w.ravel(), rows * cells)
    total = np.bincount(index, np.where(w > 0, w * residual, 0.0).ravel(), rows * cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((total / count).reshape(rows, cells))


def lack_of_fit(
    ln_flops: Floats,
    weight: Floats,
    law: LossLaw,
    cells: tuple[Floats, Floats],
    runs: int,
    targets_flops: Sequence[float],
) -> LackOfFit:
    """Misfit of the first row of `law` to its frontier points, and what it means at the targets.

    `ln_flops` and `weight` have shape (points,); `cells` are the residuals of the point
    fit (cells,) and of its resamples (draws, cells) from `by_cells`; `runs` is the number of runs
    on the frontier. The misfit counts as an independent error of each such run, so at a target it
    has the standard deviation misfit sqrt(1 + h), h being the leverage of the target among `runs`
    observations spread like the frontier.

    Returns a LackOfFit of NaN, which widens nothing, where fewer than FEW_DRAWS resamples have most
    of the frontier.
    """
    seen, draws = cells
    none = np.zeros(len(targets_flops))
    finite = np.isfinite(draws)
    count = finite.sum(axis=0)
    inside = np.isfinite(seen) & (count > 0)
    # A resample tells of the law only if it has most of the frontier.
    enough = (finite & inside).sum(axis=1) >= 0.5 * max(1, int(inside.sum()))
    if not inside.any() or enough.sum() < FEW_DRAWS:
        return LackOfFit(np.nan, np.nan, np.nan, np.nan, none)
    draws, finite = draws[enough][:, inside], finite[enough][:, inside]
    filled = np.where(finite, draws, 0.0)
    deviation = np.where(finite, filled - filled.sum(axis=0) / finite.sum(axis=0).clip(1), 0.0)
    scatter = (deviation**2).sum(axis=1) / finite.sum(axis=1)
    square = float(np.mean(seen[inside] ** 2))
    p = (1 + int((scatter >= square).sum())) / (1 + scatter.size)
    slopes = slopes_of(law, ln_flops)
    left = max(1, runs - slopes.shape[1])
    misfit = float(np.sqrt(max(0.0, square - scatter.mean()) * runs / left))
    if misfit == 0:
        return LackOfFit(p, square**0.5, float(scatter.mean()) ** 0.5, misfit, none)
    spread = _spread(slopes, weight)
    sd = relative_sd(law, misfit, runs, spread, targets_flops)
    return LackOfFit(p, square**0.5, float(scatter.mean()) ** 0.5, misfit, sd, runs, spread)


def relative_sd(
    law: LossLaw, misfit: float, runs: int, spread: ArrayLike, flops: ArrayLike
) -> Floats:
    """Relative standard deviation of the first row of `law` at budgets `flops` (m,) by its misfit.

    `misfit`, `runs` and `spread` (flat or square) are those of a LackOfFit.

    Returns an array of shape (m,), as a share of the loss.
    """
    r = np.asarray(spread, dtype=float)
    size = math.isqrt(r.size)
    at = slopes_of(law, np.log(np.asarray(flops, dtype=float)))[:, -size:]
    leverage = (np.linalg.solve(r.reshape(size, size).T, at.T) ** 2).sum(axis=0)
    return np.asarray(misfit * np.sqrt(1.0 + leverage / runs))


def misfit_errors(draws: int, seed: int) -> Floats:
    """Normal quantiles in an order drawn by `seed`, (draws,): one order for all budgets, since a
    law that misses at one budget misses alike at the next.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"lack of fit")])
    from scipy.special import ndtri

    return np.asarray(rng.permutation(ndtri((np.arange(draws) + 0.5) / draws)))


def widened(
    targets: Sequence[Target], draws: pd.DataFrame, misfit: LackOfFit, seed: int
) -> tuple[list[Target], pd.DataFrame]:
    """`targets` and `draws` with the misfit added to every loss, draw by draw (misfit_errors)."""
    n = len(draws)
    if n < 2 or not (misfit.sd > 0).any():
        return list(targets), draws
    error = misfit_errors(n, seed)
    columns, out = {}, []
    for target, sd in zip(targets, misfit.sd, strict=True):
        values = dict(target.values)
        for quantity in (q for q in values if q.startswith("loss")):
            name = target_column(quantity, target.budget_flops)
            columns[name] = draws[name].to_numpy() * (1.0 + sd * error)
            values[quantity] = Estimate.of(values[quantity].point, columns[name])
        out.append(Target(target.budget_flops, values))
    return out, draws.assign(**columns)


def slopes_of(law: LossLaw, ln_flops: Floats) -> Floats:
    """d ln L / d (E, ln K, c) of the first row at `ln_flops` (m,), (m, 3); without E where held."""
    fall = np.exp(law.ln_K[0] - law.c[0] * ln_flops)
    loss = law.E[0] + fall
    columns = [fall / loss, -ln_flops * fall / loss]
    if law.free_floor(0):
        columns.insert(0, 1.0 / loss)
    return np.stack(columns, axis=1)


def loss_intervals(targets: Sequence[Target]) -> list[dict[str, float]]:
    """The loss at every target with the ends of its intervals, for the certificate."""
    return [
        {"budget_flops": t.budget_flops} | {end: getattr(t.values["loss"], end) for end in ENDS}
        for t in targets
    ]


def _spread(slopes: Floats, weight: Floats) -> Floats:
    """R of the weighted rows of `slopes`: R' R is the weighted mean of s s'."""
    here = np.isfinite(slopes).all(axis=1) & (weight > 0)
    share = weight[here] / weight[here].sum()
    return np.asarray(np.linalg.qr(np.sqrt(share)[:, None] * slopes[here], mode="r"))
