"""One way of reading the envelope: its frontier, its laws, and those of all its resamples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import progress
from flopline.errors import FloplineError
from flopline.laws.common.allocation import Allocation
from flopline.laws.common.bootstrap import run_counts
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.curvature import slopes_by_thirds
from flopline.laws.common.inputs import named, size_classes
from flopline.laws.common.lack_of_fit import CELLS, LackOfFit, by_cells, lack_of_fit
from flopline.laws.common.loss_compute import LossLaw, fit_loss_compute
from flopline.laws.common.power_law import PowerLaw, fit_power_laws
from flopline.laws.envelope.envelope_options import EnvelopeOptions
from flopline.laws.envelope.frontier import ABSENT, RULES, Bins, Curves, Frontier, interpolate
from flopline.laws.envelope.hull import Hull
from flopline.remembered import remembered

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

MIN_POINTS: Final = 3
RULE_SIZES: Final = {"bracketed": 4, "inner": 3, "contested": 0}
RULE_SHARE: Final = {"bracketed": 0.2, "inner": 0.2, "contested": 0.0}
"""A rule for used bins needs this many winning sizes and this share of the bins, else the next,
more lenient one holds: a handful of bins leaves resamples without a frontier."""
LOSS_BLOCKS: Final = 100
"""The loss law sees means over this many stretches of bins: neighbours repeat one run."""
ONCE: Final = 0.05
"""Share of a reading's time, about, before its resamples."""
CELLS_AT_ONCE: Final = 200_000
"""Array cells of a frontier that is selected at once, which bounds memory whatever the number of
draws."""
CELLS_A_BLOCK: Final = 32_768
"""Array cells of a frontier to which lines are fitted at once: they stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class EnvelopeReading:
    """A frontier of the data with its laws, and the laws of its resamples by run.

    `slopes` and `draw_slopes` are those of params by thirds, (1, 3) and (draws, 3); `bin_width`
    is the spacing of the frontier in ln C, 0 for a hull.
    """

    chosen: Frontier
    rule: str
    bin_width: float
    size: Ints
    runs: pd.DataFrame
    n_points: int
    point: Allocation
    draws: Allocation
    slopes: Floats
    draw_slopes: Floats
    misfit: LackOfFit


@dataclass(frozen=True, slots=True)
class _Selector:
    """How a frontier is read: bin by bin on a grid by a rule, or without one as a hull."""

    curves: Curves
    grid: Bins | None
    rule: str

    @property
    def width(self) -> int:
        """Points a subset, 1 for a hull, which holds few."""
        return 1 if self.grid is None else self.grid.ln_flops.size

    @property
    def spacing(self) -> float:
        """That of its points in ln C, 0 for a hull."""
        return 0.0 if self.grid is None else float(self.grid.ln_flops[1] - self.grid.ln_flops[0])

    @property
    def words(self) -> str:
        """Which points are used."""
        return "all hull points" if self.grid is None else RULES[self.rule]

    def select(self, present: Bools) -> Frontier:
        """The frontier of the runs that are `present` (subsets, runs)."""
        if self.grid is None:
            return Hull(self.curves).select(present)
        return self.grid.select(present, self.rule)


@dataclass(frozen=True, slots=True)
class _FrontierLaws:
    """What is fitted to each subset: the laws, slopes by thirds, residuals of the loss law."""

    allocation: Allocation
    slopes: Floats
    residual: Floats


def read(
    table: pd.DataFrame,
    targets_flops: Sequence[float],
    options: EnvelopeOptions,
    bootstrap: BootstrapOptions,
    family: str,
) -> EnvelopeReading:
    """Read the frontier of `table`, the smoothed curves with `run_number`, and resample it.

    Every resample selects its frontier anew. Raises FloplineError where nothing competes, where
    one size wins everywhere, and for a loss floor that is not below the frontier.
    """
    by_run = table.groupby("run_number", sort=True)
    runs = by_run[["run", "params", "horizon_tokens"]].first()
    last = by_run[["tokens", "flops"]].max()
    runs = runs.assign(last_tokens=last["tokens"], last_flops=last["flops"])
    ready = Curves(
        table["run_number"].to_numpy(),
        np.log(table["flops"].to_numpy()),
        np.log(table["tokens"].to_numpy()),
        table["loss"].to_numpy(),
        size_classes(runs["params"].to_numpy()),
    )
    floor = options.loss_floor
    selector = _selector(ready, options.frontier, options.bins, family)
    ln_params = np.log(runs["params"].to_numpy())
    with progress.part(ONCE):
        chosen = selector.select(np.ones((1, len(runs)), dtype=bool))
    _demand_sizes(chosen, ready.size, runs, family)
    _demand_floor(chosen, floor, family)
    ln_flops = chosen.ln_flops[chosen.used]
    edges = np.linspace(ln_flops.min(), ln_flops.max(), CELLS + 1)
    point = _laws([_lines(chosen, ln_params, ready.size)], floor, edges)
    counts = run_counts(list(runs["run"]), bootstrap.draws, bootstrap.seed)
    resampled = _resampled(selector, counts > 0, ln_params, floor, edges)
    ln_c, _, count = _blocks(chosen, chosen.used.astype(float))
    misfit = lack_of_fit(
        ln_c[0],
        count[0],
        point.allocation.loss,
        (point.residual[0], resampled.residual),
        int(np.unique(chosen.run[chosen.used]).size),
        targets_flops,
    )
    return EnvelopeReading(
        chosen,
        selector.words,
        selector.spacing,
        ready.size,
        runs,
        len(table),
        point.allocation,
        resampled.allocation,
        point.slopes,
        resampled.slopes,
        misfit,
    )


def winning_sizes(chosen: Frontier, size: Ints) -> int:
    """How many sizes hold a used frontier point."""
    return int(np.unique(size[chosen.run[chosen.used]]).size)


def _selector(curves: Curves, frontier: str, bins: int, family: str) -> _Selector:
    """How to read the frontier of `curves`; raises FloplineError where nothing competes."""
    if frontier == "hull":
        return _Selector(curves, None, "")
    grid = interpolate(curves, bins)
    if grid is None:
        raise FloplineError(
            f"The envelope compares sizes at equal compute, but no two sizes of {named(family)} "
            "reach the same FLOPs: train them over overlapping ranges, or take envelope out of "
            "`laws` in the study file."
        )
    return _Selector(curves, grid, _rule(grid))


def _rule(grid: Bins) -> str:
    """The strictest rule that leaves enough of the frontier."""
    everyone = np.ones((1, grid.size.size), dtype=bool)
    for rule in RULES:
        chosen = grid.select(everyone, rule)
        if (
            winning_sizes(chosen, grid.size) >= RULE_SIZES[rule]
            and chosen.used.mean() >= RULE_SHARE[rule]
        ):
            return rule
    raise AssertionError("the most lenient rule asks for nothing")


def _demand_sizes(chosen: Frontier, size: Ints, runs: pd.DataFrame, family: str) -> None:
    points = int(chosen.used.sum())
    if points >= MIN_POINTS and winning_sizes(chosen, size) >= 2:
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


def _demand_floor(chosen: Frontier, loss_floor: float | None, family: str) -> None:
    lowest = float(chosen.loss[chosen.used].min())
    if loss_floor is not None and loss_floor >= lowest:
        raise FloplineError(
            f"envelope.loss_floor is {loss_floor:g}, but the frontier of {named(family)} reaches "
            f"{lowest:.4g}: a loss that is never reached lies below it, so lower it or leave it "
            "null."
        )


@dataclass(frozen=True, slots=True)
class _Lines:
    """Power laws of params and tokens of some subsets, and the points of their loss laws."""

    params: PowerLaw
    tokens: PowerLaw
    slopes: Floats
    blocks: tuple[Floats, Floats, Floats]


def _lines(chosen: Frontier, ln_params: Floats, size: Ints) -> _Lines:
    """Lines of every subset; NaN where fewer than three points or two sizes are on its frontier."""
    used = chosen.used
    sizes = size[chosen.run]
    lowest = np.where(used, sizes, size.max() + 1).min(axis=1)
    highest = np.where(used, sizes, ABSENT).max(axis=1)
    enough = (used.sum(axis=1) >= MIN_POINTS) & (highest > lowest)
    weight = np.where(used & enough[:, None], 1.0, 0.0)
    of_runs = ln_params[chosen.run]
    params, tokens = fit_power_laws(chosen.ln_flops, (of_runs, chosen.ln_tokens), weight)
    slopes = slopes_by_thirds(chosen.ln_flops, of_runs, weight > 0)
    return _Lines(params, tokens, slopes, _blocks(chosen, weight))


def _laws(parts: Sequence[_Lines], loss_floor: float | None, edges: Floats) -> _FrontierLaws:
    """Laws of all subsets of `parts`, one row a subset.

    Returns:
        Params, tokens and loss against compute, and the slopes by thirds.
    """

    def rows(read: Callable[[_Lines], Floats]) -> Floats:
        return np.concatenate([read(part) for part in parts])

    blocks = (rows(lambda p: p.blocks[0]), rows(lambda p: p.blocks[1]), rows(lambda p: p.blocks[2]))
    loss_law = fit_loss_compute(*blocks, floor=loss_floor)
    return _FrontierLaws(
        Allocation(
            PowerLaw(rows(lambda p: p.params.ln_k), rows(lambda p: p.params.p)),
            PowerLaw(rows(lambda p: p.tokens.ln_k), rows(lambda p: p.tokens.p)),
            loss_law,
        ),
        rows(lambda p: p.slopes),
        by_cells(*blocks, loss_law, edges),
    )


def _blocks(frontier: Frontier, used: Floats) -> tuple[Floats, Floats, Floats]:
    """ln C, loss and weight of at most LOSS_BLOCKS stretches of neighbouring frontier points."""
    rows, points = used.shape
    width = -(-points // LOSS_BLOCKS)
    spare = -points % width

    def total(values: Floats) -> Floats:
        padded = np.pad(values, ((0, 0), (0, spare))) if spare else values
        return np.asarray(padded.reshape(rows, (points + spare) // width, width).sum(axis=2))

    count = total(used)
    with np.errstate(invalid="ignore"):
        ln_flops = total(np.where(used > 0, frontier.ln_flops, 0.0)) / count
        loss = total(np.where(used > 0, frontier.loss, 0.0)) / count
    return ln_flops, loss, count


@remembered(_FrontierLaws, Allocation, PowerLaw, LossLaw)
def _resampled(
    selector: _Selector, present: Bools, ln_params: Floats, loss_floor: float | None, edges: Floats
) -> _FrontierLaws:
    """The laws of every subset of the runs in `present` (subsets, runs)."""
    at_once = max(1, CELLS_AT_ONCE // selector.width)
    parts = []
    for begin in progress.over(range(0, max(1, present.shape[0]), at_once)):
        chosen = selector.select(present[begin : begin + at_once])
        rows, points = chosen.run.shape
        step = max(1, CELLS_A_BLOCK // max(points, 1))
        for i in range(0, max(1, rows), step):
            parts.append(_lines(chosen.some(slice(i, i + step)), ln_params, selector.curves.size))
    return _laws(parts, loss_floor, edges)
