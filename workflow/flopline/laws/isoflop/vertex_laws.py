"""Power laws through the vertices of an isoFLOP analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flopline.laws.common.allocation import Allocation
from flopline.laws.common.counting import Counted
from flopline.laws.common.lack_of_fit import slopes_of
from flopline.laws.common.loss_compute import fit_loss_compute
from flopline.laws.common.percentiles import known_percentiles
from flopline.laws.common.power_law import fit_power_law
from flopline.laws.isoflop.between_budgets import (
    BetweenBudgets,
    Chances,
    between_budgets,
)
from flopline.laws.isoflop.valley import Vertices

Floats = NDArray[np.float64]

RANDOM: Final = "random"
VARIANCE: Final = "variance"
EQUAL: Final = "equal"
"""Weights of vertices (isoflop_options.py): by the inverse of their own variance and that between
budgets together, by that of their own alone, where no scatter between budgets enters any interval,
or all the same."""
MIN_BUDGETS: Final = 3
ONE_SIGMA: Final = (15.865525393145708, 84.13447460685429)
"""Percentiles of a normal law at minus and plus one standard deviation."""
SE_FLOOR: Final = 1.0
"""Vertex standard errors are raised to this share of their median: a poor vertex weighs less, a
lucky one no more than a typical one. Errors from a dozen runs are uncertain themselves: on
simulated studies of 5 budgets with 9 or 13 sizes the exponent scatters 5 % less with this floor
than with half of it."""


@dataclass(frozen=True, slots=True)
class Laws:
    """The laws of the data (one row) and those of every draw, with the scatter between budgets.

    `between` is by quantity (params, tokens, loss), `weights` (budgets,) those of the data's
    vertices by axis (params, tokens).
    """

    point: Allocation
    drawn: Allocation
    between: Mapping[str, BetweenBudgets]
    weights: Mapping[str, Floats]

    def spending(self, count: Counted, flops: float) -> Laws:
        """The laws whose tokens are what budgets leave by `count`, see Allocation.spending."""
        point, drawn = (
            laws.spending(c, flops)
            for laws, c in ((self.point, count.point), (self.drawn, count.drawn))
        )
        return replace(self, point=point, drawn=drawn)


def laws_through(
    point: Vertices, drawn: Vertices, weighing: Vertices, weights: str, chances: Chances
) -> Laws:
    """The laws of the data, `point` (1, budgets), and of every draw, `drawn` (draws, budgets).

    `weights` is that of the options, the errors in it those of the draws `weighing`. Unless the
    scatter between budgets is left out, every draw moves each budget by a scatter of its own, of a
    standard deviation of its own. A draw with fewer than MIN_BUDGETS vertices has no law.

    Returns laws that are NaN for such a draw.
    """
    ln_c = point.ln_flops[0]
    scattered = weights != VARIANCE
    line = np.stack([np.ones_like(ln_c), ln_c - ln_c.mean()], axis=1)
    enough = drawn.present.sum(axis=1) >= MIN_BUDGETS
    kept = np.where(enough, 1.0, np.nan)[:, None]
    laws, between, used = {}, {}, {}
    for axis, way in (("params", 1.0), ("tokens", -1.0)):
        name = f"ln_{axis}"
        y, again, errors = (getattr(v, name) for v in (point, drawn, weighing))
        scatter = between_budgets(axis, line, y[0], spread(again), chances.of_sd)
        scatter = scatter if scattered else scatter.unused()
        moved = way * scatter.drawn[:, None] * chances.shift
        w, w_drawn = _weights(spread(errors), scatter, weights)
        laws[axis] = (
            fit_power_law(point.ln_flops, y, w),
            fit_power_law(drawn.ln_flops, again + moved, w_drawn * kept),
        )
        between[axis], used[axis] = scatter, w
    first = fit_loss_compute(point.ln_flops, point.loss, 1.0)
    scatter = BetweenBudgets.nothing(enough.size)
    if np.isfinite(first.c[0]):
        rest = point.loss[0] / first.at(ln_c)[0] - 1.0
        se = log_spread(drawn.loss)
        scatter = between_budgets("loss", slopes_of(first, ln_c), rest, se, chances.of_loss_sd)
        scatter = scatter if scattered else scatter.unused()
    between["loss"] = scatter
    w, w_drawn = _weights(log_spread(weighing.loss), scatter, weights)
    moved = 1.0 + scatter.drawn[:, None] * chances.of_loss
    both = fit_loss_compute(
        np.concatenate([point.ln_flops, drawn.ln_flops]),
        np.concatenate([point.loss, drawn.loss * moved]),
        np.concatenate([w[None], w_drawn * kept]),
    )
    bottoms = (both.rows(slice(1)), both.rows(slice(1, None)))
    of_data, of_draws = (
        Allocation(laws["params"][i], laws["tokens"][i], bottoms[i]) for i in (0, 1)
    )
    return Laws(of_data, of_draws, between, used)


def _weights(se: Floats, scatter: BetweenBudgets, weights: str) -> tuple[Floats, Floats]:
    """Weights of the data's vertices (budgets,) and of those of the draws (draws, budgets)."""
    if weights == EQUAL or not np.isfinite(se).any():
        return np.ones(se.size), np.ones((scatter.drawn.size, se.size))
    return weights_from(se, scatter.sd), weights_from(se, scatter.drawn[:, None])


def vertex_weights(ln_vertices: Floats) -> Floats:
    """Weights of vertices from their draws (draws, budgets), see weights_from."""
    return weights_from(spread(ln_vertices))


def weights_from(se: Floats, between: float | Floats = 0.0) -> Floats:
    """Weights 1/(se^2 + between^2) of vertices from their errors (budgets,), SE_FLOOR applied.

    `between` is the standard deviation between budgets, one or (draws, 1). A vertex without a
    standard error takes the largest one; where none has one all weigh the same. Weighting by
    vertex variance follows Porian et al. 2024 (arXiv 2406.19146).
    """
    known = np.isfinite(se) & (se > 0)
    if not known.any():
        return np.ones(np.broadcast_shapes(se.shape, np.shape(between)))
    se = np.where(known, se, se[known].max())
    floored = np.maximum(se, SE_FLOOR * np.median(se))
    return np.asarray(1.0 / (floored**2 + np.square(between)))


def log_spread(loss: Floats) -> Floats:
    """Standard error of ln loss per column of draws, without those whose loss is not positive."""
    return spread(np.log(np.where(loss > 0, loss, np.nan)))


def spread(draws: Floats) -> Floats:
    """Standard error per column: half the central 68.27 % range of the finite draws.

    Equal to the standard deviation for a normal law, but not driven by the few draws whose
    parabola is nearly flat. NaN with fewer than two draws.
    """
    here = np.isfinite(draws).sum(axis=0) >= 2
    out = np.full(draws.shape[1], np.nan)
    if here.any():
        low, high = known_percentiles(draws[:, here], ONE_SIGMA)
        out[here] = (high - low) / 2.0
    return out
