"""Power laws through the vertices of an isoFLOP analysis."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flopline.laws.common.allocation import Allocation
from flopline.laws.common.loss_compute import fit_loss_compute
from flopline.laws.common.power_law import PowerLaw, fit_power_law
from flopline.laws.isoflop.valley import Vertices

Floats = NDArray[np.float64]

MIN_BUDGETS: Final = 3
ONE_SIGMA: Final = (15.865525393145708, 84.13447460685429)
"""Percentiles of a normal law at minus and plus one standard deviation."""
SE_FLOOR: Final = 1.0
"""Vertex standard errors are raised to this share of their median: a poor vertex weighs less, a
lucky one no more than a typical one. Errors from a dozen runs are uncertain themselves: on
simulated studies of 5 budgets with 9 or 13 sizes the exponent scatters 5 % less with this floor
than with half of it."""


def laws_through(
    point: Vertices, drawn: Vertices, weights_from_draws: Vertices | None
) -> tuple[Allocation, Allocation]:
    """The laws of the data, `point` (1, budgets), and of every draw, `drawn` (draws, budgets).

    Vertices weigh 1/se^2 with se from `weights_from_draws`, all the same without it. A draw with
    fewer than MIN_BUDGETS vertices has no law.
    """
    equal = np.ones(point.ln_params.shape[1])
    w_n = w_d = equal
    if weights_from_draws is not None:
        w_n = vertex_weights(weights_from_draws.ln_params)
        w_d = vertex_weights(weights_from_draws.ln_tokens)
    enough = drawn.present.sum(axis=1) >= MIN_BUDGETS
    kept = np.append(1.0, np.where(enough, 1.0, np.nan))[:, None]
    both = Vertices(
        *(np.concatenate([getattr(v, f.name) for v in (point, drawn)]) for f in fields(Vertices))
    )
    laws = Allocation(
        fit_power_law(both.ln_flops, both.ln_params, w_n * kept),
        fit_power_law(both.ln_flops, both.ln_tokens, w_d * kept),
        fit_loss_compute(both.ln_flops, both.loss, equal * kept),
    )
    return _rows(laws, slice(0, 1)), _rows(laws, slice(1, None))


def _rows(laws: Allocation, rows: slice) -> Allocation:
    """Some rows of the laws."""
    n, d = (PowerLaw(law.ln_k[rows], law.p[rows]) for law in (laws.params, laws.tokens))
    return Allocation(n, d, laws.loss.rows(rows))


def vertex_weights(ln_vertices: Floats) -> Floats:
    """Weights of vertices from their draws (draws, budgets), see weights_from."""
    return weights_from(spread(ln_vertices))


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


def spread(draws: Floats) -> Floats:
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
