"""One compute budget of an isoFLOP analysis: its two parabolas and the verdict on its vertex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.fits.inputs import size_classes
from flopline.fits.parabola import CORNERS, Parabolas, curvature_t, distinct_sizes, fit_parabolas

Floats = NDArray[np.float64]

EDGE: Final = 0.05
"""A vertex nearer to an end of the grid than this share of its width [ln] is at the edge: the
rise on that side is not seen. Off-centre grids bias the vertex (Czech et al. 2026, arXiv
2603.22339), most at the edge."""
REACH: Final = 1.0
"""A resampled vertex farther outside the grid than this many grid widths is absent: nearly flat
parabolas throw vertices to infinity."""


@dataclass(frozen=True, slots=True)
class Valley:
    """One budget: its rows, its two parabolas for the data and for every draw, and its verdict."""

    rows: pd.DataFrame
    nominal: float
    ln_flops: float
    ln_flops_draws: Floats
    n_sizes: int
    in_params: Parabolas
    in_tokens: Parabolas
    params_draws: Floats
    tokens_draws: Floats
    loss_draws: Floats
    curvature_t: float
    inside: bool
    reason: str

    @property
    def used(self) -> bool:
        """Whether the vertex enters the laws."""
        return not self.reason


def read_valley(
    rows: pd.DataFrame, nominal: float, weights: Floats, min_sizes: int, chained: bool
) -> Valley:
    """The valley of `rows` (one per run) with draws for `weights` of shape (draws, rows).

    `chained` says that the rows were grouped by gaps but span more than one budget. In a draw the
    vertex is absent (NaN) with fewer than three distinct sizes, without positive curvature, or
    beyond REACH.
    """
    ln_n, ln_d, ln_c = (np.log(rows[c].to_numpy()) for c in ("params", "tokens", "flops"))
    loss = rows["loss"].to_numpy()
    # Runs of several sizes may share a token count: each parabola needs three corners of its own.
    axes = [(x, size_classes(np.exp(x))) for x in (ln_n, ln_d)]
    every = np.ones((1, loss.size))
    in_params, in_tokens = (fit_parabolas(x, loss, corners, every) for x, corners in axes)
    n_sizes = int(distinct_sizes(axes[0][1], every)[0])
    inside = _within(in_params.vertex, ln_n, -EDGE) & _within(in_tokens.vertex, ln_d, -EDGE)
    drawn_n, drawn_d = (fit_parabolas(x, loss, corners, weights) for x, corners in axes)
    present = _within(drawn_n.vertex, ln_n, REACH) & _within(drawn_d.vertex, ln_d, REACH)
    return Valley(
        rows=rows,
        nominal=nominal,
        ln_flops=float(ln_c.mean()),
        ln_flops_draws=weights @ ln_c / ln_c.size,
        n_sizes=n_sizes,
        in_params=in_params,
        in_tokens=in_tokens,
        params_draws=np.where(present, drawn_n.vertex, np.nan),
        tokens_draws=np.where(present, drawn_d.vertex, np.nan),
        loss_draws=np.where(present, drawn_n.minimum, np.nan),
        curvature_t=curvature_t(ln_n, loss, in_params),
        inside=bool(inside[0]),
        reason=_verdict(rows, n_sizes, min_sizes, in_params, in_tokens, bool(inside[0]), chained),
    )


def _within(vertex: Floats, x: Floats, margin: float) -> NDArray[np.bool_]:
    """Whether a vertex lies in the grid of x widened on both sides by `margin` grid widths."""
    lowest, highest = float(x.min()), float(x.max())
    slack = margin * (highest - lowest)
    return np.asarray((vertex > lowest - slack) & (vertex < highest + slack))


def _verdict(
    rows: pd.DataFrame,
    n_sizes: int,
    min_sizes: int,
    in_params: Parabolas,
    in_tokens: Parabolas,
    inside: bool,
    chained: bool,
) -> str:
    if chained:
        fold = rows["flops"].max() / rows["flops"].min()
        return f"its runs spread {fold:.2g}-fold in FLOPs without a gap, which is not one budget"
    needed = max(min_sizes, CORNERS)
    if n_sizes < needed:
        return f"only {n_sizes} distinct size{'s' if n_sizes != 1 else ''}, needs {needed}"
    if np.isnan(in_tokens.c2[0]):
        return f"its {n_sizes} sizes share fewer than {CORNERS} token counts"
    if not (in_params.c2[0] > 0 and in_tokens.c2[0] > 0):
        return "no valley: the loss does not curve upward on both sides"
    if not inside:
        n, lo, hi = np.exp(in_params.vertex[0]), rows["params"].min(), rows["params"].max()
        where = "at the edge of" if lo <= n <= hi else "outside"
        return f"its vertex {n:.3g} params is {where} the sizes trained ({lo:.3g} to {hi:.3g})"
    return ""
