"""The global minimum of a form of the family, for all points and for many resamples.

Starts come from variable projection, `descent.descend` takes each to its local minimum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from flopline import progress
from flopline.recent import Recent
from flopline.remembered import remembered
from flopline.solvers.damped_steps import FROM_AFAR, FROM_NEAR, agree, widths_down_to
from flopline.solvers.descent import Optimum, descend, jacobian
from flopline.solvers.pooling import MANY_POINTS, pooled
from flopline.solvers.problem import Bools, Floats, Ints, Problem, blocks_of
from flopline.solvers.surface_family import Form
from flopline.solvers.variable_projection import cells_of, starts

ONCE: Final = 0.1
"""Share of a fit's time, about, that all points take, before their resamples."""
_BOTH: Final = 0.9
"""Share of the time, about, before the resamples that are solved again, of what follows the first
start."""
_ELEMENTS_TOGETHER: Final = 1_048_576
"""Numbers in the weights of resamples, by their starts, up to which all starts go down together."""
_ROWS_AGAIN: Final = 64
"""Resamples that are solved from all blocks at a time: as many copies of their weights are held."""

_MINIMISED: Final[Recent[tuple[Optimum, int, int]]] = Recent(64)
"""The last optima of all points: audits ask for those that the ladder has found, form by form."""


def minimise(problem: Problem, form: Form[Any], weights: Floats) -> tuple[Optimum, int, int]:
    """The optimum under one weight vector (points,), the number of starts, how many reach it.

    Starts are the best exponents of each block of the grid; if only one of them reaches the lowest
    objective, every cell of the grid is tried. What was found for the same losses before is kept,
    in whatever order they stood.
    """
    order = np.lexsort((weights, problem.target, problem.y, problem.x))
    problem = replace(problem, x=problem.x[order], y=problem.y[order], target=problem.target[order])
    weights = weights[order]
    points = (problem.x, problem.y, problem.target, problem.centre, weights)
    key = (form, problem.objective, *(values.tobytes() for values in points))
    best, count, agreeing = _MINIMISED.of(key, lambda: _minimised(problem, form, weights))
    return best.take(np.arange(1)), count, agreeing


def forget() -> None:
    """Keep no optimum any longer, as a timing wants it."""
    _MINIMISED.clear()


@remembered(Optimum)
def _minimised(problem: Problem, form: Form[Any], weights: Floats) -> tuple[Optimum, int, int]:
    cells = cells_of(form)
    best, count, agreeing = _best_from(problem, form, weights, len(cells.blocks))
    if agreeing > 1 or count == len(cells.unknowns):
        return best, count, agreeing
    return _best_from(problem, form, weights, None)


@remembered(Optimum)
def minimise_resamples(
    problem: Problem, form: Form[Any], weights: Floats, near: Floats
) -> tuple[Optimum, Bools]:
    """Optima under each row of `weights` (draws, points), and the rows where starts differed.

    The losses are the same in every row, or those of its own row of `problem.target`.
    Each row is started from `near` (6,), usually the optimum of all points, and independently from
    its own variable projection. Rows whose starts end at different objectives under the widest
    delta of the descent, and those that do not converge, are solved again from the best exponents
    of each block of the grid.
    """
    if problem.x.size >= MANY_POINTS and len(weights):
        with progress.part(_BOTH):
            best, disagreed = _by_cells(problem, form, weights, near)
    else:
        widest, *narrower = widths_down_to(problem.delta)
        with progress.part(_BOTH / (1 + len(narrower))):
            best, disagreed = _of_both_starts(problem, form, weights, near, widest)
        if narrower:
            with progress.part(_BOTH):
                best = _went_on(problem, form, weights, best, narrower)
    again = np.flatnonzero(disagreed | ~best.converged)
    if not again.size:
        return best, disagreed
    for rows in progress.over(np.array_split(again, 1 + again.size // _ROWS_AGAIN)):
        _keep_better(best, rows, _from_blocks(problem.of_rows(rows), form, weights[rows]))
    return best, disagreed


def _of_both_starts(
    problem: Problem, form: Form[Any], weights: Floats, near: Floats, width: float
) -> tuple[Optimum, Bools]:
    """The best ends under Huber's delta `width`, and the rows whose starts end apart."""
    total = weights.sum(axis=1) * problem.value_unit
    everyone, disagreed = np.arange(total.size), np.zeros(total.size, dtype=bool)
    begin = starts(problem, form, weights, form.own_starts)
    begin = np.insert(begin, 0, near, axis=1)
    ends = _ends(problem, form, weights, begin.swapaxes(0, 1), width)
    best = next(ends)
    for other in ends:
        low, high = np.sort([best.objective, other.objective], axis=0)
        disagreed |= ~agree(high, low, total)
        _keep_better(best, everyone, other)
    return best, disagreed


def _by_cells(
    problem: Problem, form: Form[Any], weights: Floats, near: Floats
) -> tuple[Optimum, Bools]:
    """The same of many points: the starts are compared on cells, their best goes on on points."""
    cells, mass = pooled(problem, form, weights, near)
    best, disagreed = _of_both_starts(cells, form, mass, near, cells.delta)
    widths = widths_down_to(problem.delta)
    parts = [
        _went_on(problem.of_rows(rows), form, weights[rows], best.take(rows), widths, FROM_NEAR)
        for rows in progress.over(blocks_of(len(mass), problem.x.size))
    ]
    return Optimum.joined(parts), disagreed


def _went_on(
    problem: Problem,
    form: Form[Any],
    weights: Floats,
    begin: Optimum,
    widths: list[float],
    damping: float = FROM_AFAR,
) -> Optimum:
    """Where the ends `begin` lead to under `widths`, with the steps of both."""
    end = descend(problem, form, weights, begin.unknowns, widths, rough=False, damping=damping)
    return replace(end, iterations=begin.iterations + end.iterations)


def _ends(
    problem: Problem, form: Form[Any], weights: Floats, begin: Floats, width: float
) -> Iterator[Optimum]:
    """Where each start of `begin` (starts, rows, 6) leads to under Huber's delta `width`.

    The first is near its end. The others take another way, so that they seldom end in the same
    higher minimum. Up to _ELEMENTS_TOGETHER numbers in their weights all go down together: what a
    step costs whatever its rows is then paid once.
    """
    count, rows, width_ = begin.shape
    if count * weights.size > _ELEMENTS_TOGETHER:
        for number, start in enumerate(progress.over(begin)):
            yield descend(problem, form, weights, start, [width], rough=number > 0)
        return
    many = np.tile(np.arange(rows), count)
    far = np.arange(many.size) >= rows
    ends = descend(
        problem.of_rows(many), form, weights[many], begin.reshape(-1, width_), [width], rough=far
    )
    for number in range(count):
        yield ends.take(np.arange(rows) + number * rows)


@remembered(Optimum)
def minimise_held(problem: Problem, form: Form[Any], floors: Floats, near: Floats) -> Optimum:
    """Optima with E held at each of `floors`, all points weighing the same.

    `floors` (rows,) are in the frame of `problem`. Each is started from `near` (6,), usually the
    optimum with E free, and from the best exponents of blocks of the grid.
    """
    held = replace(form, free=tuple(name for name in form.free if name != "E"))
    equal = np.ones(problem.x.size)
    begin = starts(problem, form, equal[None], 1 + form.own_starts)[0]
    begin = np.tile(np.concatenate([near[None], begin]), (floors.size, 1))
    begin[:, 0] = np.repeat(floors, begin.shape[0] // floors.size)
    ends = descend(problem, held, np.broadcast_to(equal, (len(begin), equal.size)), begin)
    objective = np.where(ends.converged, ends.objective, np.inf).reshape(floors.size, -1)
    first = np.arange(floors.size) * objective.shape[1]
    return ends.take(first + objective.argmin(axis=1))


def condition_number(problem: Problem, form: Form[Any], weights: Floats, unknowns: Floats) -> float:
    """Condition number of J'WJ at `unknowns` (6,) with the columns of J scaled to unit length.

    J is the Jacobian of ln f with respect to the free unknowns; inf where one moves nothing.
    """
    columns = jacobian(problem, form, unknowns[None])[0] * np.sqrt(weights)
    length = np.linalg.norm(columns, axis=1)
    if not length.all():
        return float("inf")
    return float(np.linalg.cond(columns / length[:, None]) ** 2)


def _best_from(
    problem: Problem, form: Form[Any], weights: Floats, cells: int | None
) -> tuple[Optimum, int, int]:
    begin = starts(problem, form, weights[None], cells)[0]
    many = np.broadcast_to(weights, (begin.shape[0], weights.size))
    ends = descend(problem, form, many, begin)
    best = ends.take(np.array([ends.objective.argmin()]))
    agreeing = agree(ends.objective, best.objective, weights.sum() * problem.value_unit)
    return best, begin.shape[0], int(agreeing.sum())


def _from_blocks(problem: Problem, form: Form[Any], weights: Floats) -> Optimum:
    """The lowest end, under each row of `weights`, of the best start of every block."""
    begin = starts(problem, form, weights, len(cells_of(form).blocks))
    rows, count, width = begin.shape
    many = np.repeat(np.arange(rows), count)
    ends = descend(problem.of_rows(many), form, weights[many], begin.reshape(-1, width))
    lowest = ends.objective.reshape(rows, count).argmin(axis=1)
    return ends.take(lowest + count * np.arange(rows))


def _keep_better(best: Optimum, rows: Ints, other: Optimum) -> None:
    """Overwrite those `rows` of `best` for which `other` (one row each) is better.

    One that has converged is better than one that has not, then the lower objective.
    """
    mine = best.take(rows)
    lower = other.objective < mine.objective
    better = np.where(mine.converged, other.converged & lower, other.converged | lower)
    best.put(rows[better], other.take(np.flatnonzero(better)))
