"""One compute budget of an isoFLOP analysis: its optimum, read in several ways, and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.bootstrap import WILD, run_weights
from flopline.laws.common.inputs import size_classes
from flopline.laws.isoflop.parabola import CORNERS, Parabolas, distinct_sizes, fit_parabolas
from flopline.laws.isoflop.profiles import READERS, Reader
from flopline.laws.isoflop.scatter import wild_losses

Floats = NDArray[np.float64]

EDGE: Final = 0.05
"""A vertex nearer to an end of the grid than this share of its width [ln] is at the edge: the
rise on that side is not seen. Off-centre grids bias the vertex (Czech et al. 2026, arXiv
2603.22339), most at the edge."""
REACH: Final = 1.0
"""A vertex farther outside the grid than this many grid widths is absent: nearly flat parabolas
throw vertices to infinity."""


@dataclass(frozen=True, slots=True)
class Resamples:
    """What each draw sees of some runs: weights (draws, runs) and losses, one set for all draws
    (runs,) or one for each (draws, runs).

    `new_run` is the error of ln L of one more run in each draw.
    """

    weights: Floats
    loss: Floats
    new_run: Floats

    def of(self, runs: Sequence[int] | NDArray[np.int64]) -> Resamples:
        """The same draws of some of the runs, told by their positions."""
        return Resamples(self.weights[:, runs], self.loss[..., runs], self.new_run)


def resampled(
    table: pd.DataFrame, strata: Sequence[str], draws: int, seed: int, method: str, no_budget: str
) -> Resamples:
    """The draws of all runs of `table`, each budget (stratum) by itself.

    Pairs: adding a run to one budget leaves the draws of the others as they were. Wild: only the
    size of their errors changes.
    """
    runs, loss = list(table["run"]), table["loss"].to_numpy()
    ln_params = np.log(table["params"].to_numpy())
    losses, scatter = wild_losses(
        ln_params, loss, runs, strata, draws if method == WILD else 0, seed, no_budget=no_budget
    )
    new_run = scatter.of_new_run(draws, seed)
    if method == WILD:
        return Resamples(np.ones_like(losses), losses, new_run)
    return Resamples(run_weights(runs, draws, seed, strata=strata), loss, new_run)


@dataclass(frozen=True, slots=True)
class Vertices:
    """Optima: ln N, ln D, loss [nats per token] and ln C, in arrays of one shape.

    (rows,) for one budget, (rows, budgets) for several; NaN where there is no optimum.
    """

    ln_params: Floats
    ln_tokens: Floats
    loss: Floats
    ln_flops: Floats

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is an optimum."""
        return np.asarray(np.isfinite(self.ln_params) & np.isfinite(self.ln_tokens))

    def less(self, bias: Vertices) -> Vertices:
        """These optima without `bias`; the compute stays."""
        return Vertices(
            self.ln_params - bias.ln_params,
            self.ln_tokens - bias.ln_tokens,
            self.loss - bias.loss,
            self.ln_flops,
        )

    def pick(self, columns: NDArray[np.bool_]) -> Vertices:
        """Some of the budgets."""
        return Vertices(*(getattr(self, f.name)[:, columns] for f in fields(self)))


def side_by_side(budgets: Sequence[Vertices]) -> Vertices:
    """Vertices (rows,) of several budgets as one of shape (rows, budgets)."""
    return Vertices(
        *(np.stack([getattr(v, f.name) for v in budgets], axis=1) for f in fields(Vertices))
    )


@dataclass(frozen=True, slots=True)
class Valley:
    """One budget: its rows, the parabolas of the data, the optima of data and draws, its verdict.

    `point` and `drawn` have an entry for each of profiles.READERS. `inside` is about the two
    parabolas; `reason` says why the budget has no usable vertex, empty if it has.
    """

    rows: pd.DataFrame
    nominal: float
    ln_flops: float
    n_sizes: int
    in_params: Parabolas
    in_tokens: Parabolas
    point: dict[str, Vertices]
    drawn: dict[str, Vertices]
    inside: bool
    chained: bool
    reason: str

    @property
    def used(self) -> bool:
        """Whether the vertex enters the main laws."""
        return not self.reason


def read_valley(
    rows: pd.DataFrame, nominal: float, draws: Resamples, min_sizes: int, chained: bool
) -> Valley:
    """The valley of `rows` (one per run), with its draws.

    `chained` says that the rows were grouped by gaps but span more than one budget.
    """
    ln_n, ln_d = (np.log(rows[c].to_numpy()) for c in ("params", "tokens"))
    loss = rows["loss"].to_numpy()
    # Runs of several sizes may share a token count: each parabola needs three corners of its own.
    axes = [(x, size_classes(np.exp(x))) for x in (ln_n, ln_d)]
    every = np.ones((1, loss.size))
    in_params, in_tokens = (fit_parabolas(x, loss, corners, every) for x, corners in axes)
    n_sizes = int(distinct_sizes(axes[0][1], every)[0])
    inside = _within(in_params.vertex, ln_n, -EDGE) & _within(in_tokens.vertex, ln_d, -EDGE)
    seen = Resamples(every, loss, np.zeros(1))
    return Valley(
        rows=rows,
        nominal=nominal,
        ln_flops=float(np.log(rows["flops"].to_numpy()).mean()),
        n_sizes=n_sizes,
        in_params=in_params,
        in_tokens=in_tokens,
        point={name: vertices_of(rows, seen, reader) for name, reader in READERS.items()},
        drawn={name: vertices_of(rows, draws, reader) for name, reader in READERS.items()},
        inside=bool(inside[0]),
        chained=chained,
        reason=_verdict(rows, n_sizes, min_sizes, in_params, in_tokens, bool(inside[0]), chained),
    )


def vertices_of(rows: pd.DataFrame, draws: Resamples, reader: Reader) -> Vertices:
    """The optimum of one budget in every draw: from weights and losses to vertices.

    It is absent where `reader` finds none along params or along tokens, or one beyond REACH.
    """
    ln_n, ln_d, ln_c = (np.log(rows[c].to_numpy()) for c in ("params", "tokens", "flops"))
    in_n, in_d = (
        reader(x, draws.loss, size_classes(np.exp(x)), draws.weights) for x in (ln_n, ln_d)
    )
    present = _within(in_n.at, ln_n, REACH) & _within(in_d.at, ln_d, REACH)
    return Vertices(
        ln_params=np.where(present, in_n.at, np.nan),
        ln_tokens=np.where(present, in_d.at, np.nan),
        loss=np.where(present, in_n.value, np.nan),
        ln_flops=draws.weights @ ln_c / ln_c.size,
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
