"""One compute budget of an isoFLOP analysis: its optimum, read in several ways, and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.bootstrap import WILD, Counts, run_counts
from flopline.laws.common.inputs import size_classes
from flopline.laws.isoflop.parabola import CORNERS, Parabolas, fit_parabolas
from flopline.laws.isoflop.profiles import PARABOLA, READERS, WINDOW, Reader, interpolated
from flopline.laws.isoflop.scatter import Places, WildLosses, wild_losses
from flopline.laws.isoflop.valley_window import near_bottom, size_means

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GEOMETRIC: Final = "geometric"
ARITHMETIC: Final = "arithmetic"
NOMINAL: Final = "nominal"
"""What the compute of a budget is: the geometric or arithmetic mean of its runs' FLOPs, or the
budget that was planned (isoflop_options.py)."""

EDGE: Final = 0.05
"""A vertex nearer to an end of the grid than this share of its width [ln] is at the edge: the
rise on that side is not seen. Off-centre grids bias the vertex (Czech et al. 2026, arXiv
2603.22339), most at the edge."""
REACH: Final = 1.0
"""A vertex farther outside the grid than this many grid widths is absent: nearly flat parabolas
throw vertices to infinity."""

NOISES_ABOVE: Final = 4.0
NEGLIGIBLE: Final = 0.0025
"""A vertex is refused where the runs lie above their lowest loss by more than this many standard
deviations of a run, and by more than this share of the loss: the lowest of several runs is one or
two such deviations too low by luck, and the runs at the vertex have an error too."""
NO_MINIMUM: Final = "no minimum inside the grid"
RISING: Final = "its losses rise with size"
FALLING: Final = "its losses fall with size"
"""How the reasons begin of a vertex outside of the sizes: below them, or above them."""


@dataclass(frozen=True, slots=True)
class Resamples:
    """What each draw sees of some runs: weights and losses, one set for all draws, (1, runs) and
    (runs,), or one for each, (draws, runs). Those of all runs of a study may be small integers and
    WildLosses, of which `of` and `some` make numbers.

    `new_run` (draws,) is the error of ln L of one more run in each draw, `noise` (runs,) the
    relative standard deviation of each run's loss, NaN where it is not known.
    """

    weights: Floats | Counts
    loss: Floats | WildLosses
    new_run: Floats
    noise: Floats

    def of(self, runs: Places) -> Resamples:
        """The same draws of some of the runs, given by their positions."""
        losses = self._losses(slice(None), runs)
        return Resamples(self.weights_of(runs), losses, self.new_run, self.noise[runs])

    def some(self, draws: slice) -> Resamples:
        """Some of the draws of the same runs."""
        weights = self.weights if len(self.weights) == 1 else self.weights[draws]
        losses = self._losses(draws, slice(None))
        return Resamples(weights.astype(float), losses, self.new_run[draws], self.noise)

    def weights_of(self, runs: Places) -> Floats:
        """The weights of some of the runs in every draw."""
        return self.weights[:, runs].astype(float)

    @property
    def losses(self) -> Floats:
        """The losses as numbers."""
        return self._losses(slice(None), slice(None))

    def _losses(self, draws: slice, runs: Places) -> Floats:
        if isinstance(self.loss, WildLosses):
            return self.loss.of(draws, runs)
        return self.loss[runs] if self.loss.ndim == 1 else self.loss[draws][:, runs]

    @property
    def typical_noise(self) -> float:
        """Mean of the noise of all runs, NaN where none is known."""
        known = self.noise[np.isfinite(self.noise)]
        return float(known.mean()) if known.size else float("nan")

    @classmethod
    def seen(cls, loss: Floats) -> Resamples:
        """The data as one draw: losses (runs,), all of weight 1."""
        return cls(np.ones((1, loss.size)), loss, np.zeros(1), np.full(loss.size, np.nan))


def resampled(
    table: pd.DataFrame, strata: Sequence[str], draws: int, seed: int, method: str, no_budget: str
) -> Resamples:
    """The draws of all runs of `table`, each budget (stratum) by itself.

    Pairs: adding a run to one budget leaves the draws of the others as they were. Wild: only the
    size of their errors changes.

    Returns the weights and losses of `draws` draws by `method` (pairs or wild); `no_budget` is the
    stratum of runs near no budget.
    """
    runs, loss = list(table["run"]), table["loss"].to_numpy()
    ln_params = np.log(table["params"].to_numpy())
    losses, scatter = wild_losses(
        ln_params, loss, runs, strata, draws if method == WILD else 0, seed, no_budget=no_budget
    )
    new_run, noise = scatter.of_new_run(draws, seed), scatter.of_runs(strata)
    if method == WILD:
        return Resamples(np.ones((1, loss.size)), losses, new_run, noise)
    return Resamples(run_counts(runs, draws, seed, strata=strata), loss, new_run, noise)


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
    def present(self) -> Bools:
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

    def pick(self, columns: Bools) -> Vertices:
        """Some of the budgets."""
        return Vertices(*(getattr(self, f.name)[:, columns] for f in fields(self)))


def side_by_side(budgets: Sequence[Vertices]) -> Vertices:
    """Vertices (rows,) of several budgets as one of shape (rows, budgets)."""
    return Vertices(
        *(np.stack([getattr(v, f.name) for v in budgets], axis=1) for f in fields(Vertices))
    )


@dataclass(frozen=True, slots=True)
class View:
    """What a parabola sees of one budget: some of its runs, two parabolas through them.

    `inside` says that both vertices lie inside the runs' sizes and tokens.
    """

    runs: Bools
    in_params: Parabolas
    in_tokens: Parabolas
    inside: bool

    @classmethod
    def of(cls, rows: pd.DataFrame, runs: Bools) -> View:
        """The view of the `runs` of a budget of `rows`."""
        ln_n, ln_d = (np.log(rows[c].to_numpy())[runs] for c in ("params", "tokens"))
        loss = rows["loss"].to_numpy()[runs]
        # Runs of several sizes may share a token count: each parabola needs corners of its own.
        in_params, in_tokens = (
            fit_parabolas(x, loss, size_classes(np.exp(x)), np.ones((1, loss.size)))
            for x in (ln_n, ln_d)
        )
        inside = _within(in_params.vertex, ln_n, -EDGE) & _within(in_tokens.vertex, ln_d, -EDGE)
        return cls(runs, in_params, in_tokens, bool(inside[0]))


@dataclass(frozen=True, slots=True)
class Valley:
    """One budget: its rows, what parabolas see of it, optima of data and draws, its verdict.

    `point` and `drawn` have an entry for each of profiles.READERS, `faults` says of each why it
    cannot use the budget, empty if it can. `noise` is the relative standard deviation of a run,
    NaN where unknown. `main` names the reading that the budget is judged by, `excluded` says why it
    is left out though that reading could use it.
    """

    rows: pd.DataFrame
    nominal: float
    ln_flops: float
    n_sizes: int
    noise: float
    views: dict[str, View]
    point: dict[str, Vertices]
    drawn: dict[str, Vertices]
    faults: dict[str, str]
    chained: bool
    main: str = PARABOLA
    excluded: str = ""

    @property
    def label(self) -> str:
        """The budget by itself: nominal, or the compute of its runs where it has no name."""
        return budget_label(self.nominal, self.rows["flops"].to_numpy())

    @property
    def view(self) -> View:
        """The view of the main reading; that near the bottom where a reading has no parabola."""
        return self.views.get(self.main, self.views[WINDOW])

    @property
    def reason(self) -> str:
        """Why the main laws do not use the vertex, empty if they do."""
        return self.faults[self.main] or self.excluded

    @property
    def used(self) -> bool:
        """Whether the vertex enters the main laws."""
        return not self.reason

    @property
    def optimum(self) -> tuple[float, float, float]:
        """ln N, ln D and loss of the main reading; a parabola's also where it cannot be used."""
        if self.main in self.views:
            seen = self.view.in_params, self.view.in_tokens
            return float(seen[0].vertex[0]), float(seen[1].vertex[0]), float(seen[0].minimum[0])
        point = self.point[self.main]
        return float(point.ln_params[0]), float(point.ln_tokens[0]), float(point.loss[0])


def budget_label(nominal: float, flops: Floats) -> str:
    """The name that seeds the random numbers of a budget with runs of `flops`."""
    return f"{nominal if np.isfinite(nominal) else np.exp(np.log(flops).mean()):.12g}"


def read_valley(
    rows: pd.DataFrame,
    nominal: float,
    draws: Resamples,
    min_sizes: int,
    chained: bool,
    compute: str = GEOMETRIC,
) -> Valley:
    """The valley of `rows` (one per run), with its draws.

    `chained` says that the rows were grouped by gaps but span more than one budget; `compute` is
    that of the options.

    Returns a valley whose `faults` say by reading why it cannot be used, empty where it can.
    """
    ln_n = np.log(rows["params"].to_numpy())
    loss = rows["loss"].to_numpy()
    sizes = size_classes(np.exp(ln_n))
    every = np.ones(loss.size, dtype=bool)
    near = near_bottom(ln_n, loss, sizes)
    views = {PARABOLA: View.of(rows, every), WINDOW: View.of(rows, near)}
    seen = Resamples.seen(loss)
    flops = rows["flops"].to_numpy()
    ln_flops, ln_flops_drawn = (
        np.broadcast_to(compute_of(flops, nominal, r.weights_of(every), compute), r.new_run.shape)
        for r in (seen, draws)
    )
    point, drawn = {}, {}
    places = rows[["params", "tokens"]]
    for name, reader in READERS.items():
        runs = views[name].runs if name in views else every
        mine = places if runs.all() else places[runs]
        point[name] = vertices_of(mine, seen.of(runs), reader, ln_flops)
        drawn[name] = vertices_of(mine, draws.of(runs), reader, ln_flops_drawn)
    valley = Valley(
        rows=rows,
        nominal=nominal,
        ln_flops=float(ln_flops[0]),
        n_sizes=int(sizes.max()) + 1,
        noise=float(draws.noise.mean()),
        views=views,
        point=point,
        drawn=drawn,
        faults={},
        chained=chained,
    )
    valley.faults.update({name: fault_of(valley, name, min_sizes) for name in READERS})
    return valley


def compute_of(flops: Floats, nominal: float, weights: Floats, compute: str) -> Floats:
    """ln C of a budget in every row of `weights` (rows, runs)."""
    if compute == NOMINAL:
        return np.full(weights.shape[0], np.log(nominal))
    with np.errstate(invalid="ignore"):
        if compute == ARITHMETIC:
            return np.asarray(np.log(weights @ flops / weights.sum(axis=1)))
        return np.asarray(weights @ np.log(flops) / weights.sum(axis=1))


def vertices_of(rows: pd.DataFrame, draws: Resamples, reader: Reader, ln_flops: Floats) -> Vertices:
    """The optimum of one budget in every draw: from weights and losses to vertices.

    It is absent where `reader` finds none along params or along tokens, or one beyond REACH;
    `ln_flops` (draws,) is the compute of the budget.
    """
    ln_n, ln_d = (np.log(rows[c].to_numpy()) for c in ("params", "tokens"))
    losses, weights = draws.losses, np.asarray(draws.weights, dtype=float)
    in_n, in_d = (reader(x, losses, size_classes(np.exp(x)), weights) for x in (ln_n, ln_d))
    present = _within(in_n.at, ln_n, REACH) & _within(in_d.at, ln_d, REACH)
    return Vertices(
        ln_params=np.where(present, in_n.at, np.nan),
        ln_tokens=np.where(present, in_d.at, np.nan),
        loss=np.where(present, in_n.value, np.nan),
        ln_flops=ln_flops,
    )


def _within(vertex: Floats, x: Floats, margin: float) -> Bools:
    """Whether a vertex lies in the grid of x widened on both sides by `margin` grid widths."""
    lowest, highest = float(x.min()), float(x.max())
    slack = margin * (highest - lowest)
    return np.asarray((vertex > lowest - slack) & (vertex < highest + slack))


def fault_of(v: Valley, reading: str, min_sizes: int) -> str:
    """Why a reading cannot use a budget, empty if it can."""
    parabola = v.views[PARABOLA]
    if v.chained:
        fold = v.rows["flops"].max() / v.rows["flops"].min()
        return f"its runs spread {fold:.2g}-fold in FLOPs without a gap, which is not one budget"
    needed = max(min_sizes, CORNERS)
    if v.n_sizes < needed:
        return f"only {v.n_sizes} distinct size{'s' if v.n_sizes != 1 else ''}, needs {needed}"
    if np.isnan(parabola.in_tokens.c2[0]):
        return f"its {v.n_sizes} sizes share fewer than {CORNERS} token counts"
    view = v.views.get(reading)
    runs = parabola.runs if view is None else view.runs
    params, tokens = (v.rows[c].to_numpy()[runs] for c in ("params", "tokens"))
    if view is None:
        if not v.point[reading].present[0]:
            return NO_MINIMUM
        ln_n, ln_d = v.point[reading].ln_params, v.point[reading].ln_tokens
        inside = _within(ln_n, np.log(params), -EDGE) & _within(ln_d, np.log(tokens), -EDGE)
    else:
        if not (view.in_params.c2[0] > 0 and view.in_tokens.c2[0] > 0):
            way = _one_way(v)
            if way:
                return f"{way} from the smallest to the largest, so there is no valley"
            return "no valley: the loss does not curve upward on both sides"
        ln_n, inside = view.in_params.vertex, np.array([view.inside])
    if not inside[0]:
        n, lo, hi = float(np.exp(ln_n[0])), params.min(), params.max()
        sizes = "the sizes trained" if runs.all() else "the sizes near the best run"
        sizes += f" ({lo:.3g} to {hi:.3g})"
        if lo <= n <= hi or not runs.all():
            where = "at the edge of" if lo <= n <= hi else "outside"
            return f"its vertex {n:.3g} params is {where} {sizes}"
        # A vertex beyond REACH is no size, only that of a line that hardly bends.
        at = f" {n:.3g} params" if _within(ln_n, np.log(params), REACH)[0] else ""
        return f"{RISING if n < lo else FALLING}, so its vertex{at} is outside {sizes}"
    excess = above_bottom(v, float(ln_n[0]))
    if excess > max(NEGLIGIBLE, NOISES_ABOVE * np.nan_to_num(v.noise)):
        return (
            f"its vertex {np.exp(ln_n[0]):.3g} params lies where its runs are "
            f"{100 * excess:.2g} % above the lowest loss"
        )
    return ""


def _one_way(v: Valley) -> str:
    """RISING or FALLING where every next size of a budget says so, else empty."""
    ln_n, loss = np.log(v.rows["params"].to_numpy()), v.rows["loss"].to_numpy()
    steps = np.diff(size_means(ln_n, loss, size_classes(np.exp(ln_n)))[1])
    return RISING if (steps > 0).all() else FALLING if (steps < 0).all() else ""


def above_bottom(v: Valley, ln_params: float) -> float:
    """How far the runs of a budget lie at `ln_params` above their lowest loss, as a share of it.

    Between sizes the runs are those of Akima's interpolant, whose lowest point the bottom is.
    """
    ln_n, loss = np.log(v.rows["params"].to_numpy()), v.rows["loss"].to_numpy()
    at, mean = size_means(ln_n, loss, size_classes(np.exp(ln_n)))
    deepest = float(v.point["akima"].loss[0])
    bottom = min(float(mean.min()), deepest if np.isfinite(deepest) else np.inf)
    return float(interpolated(at, mean, np.array([ln_params]))[0]) / bottom - 1.0
