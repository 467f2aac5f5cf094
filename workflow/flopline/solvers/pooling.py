"""Many points as a few cells, on which a resample's optimum is sought before all points are asked.

A step of a descent costs as much as there are points, and of thousands of points the optimum of a
resample is near that of all. So the points of a cell, alike in N and D, are put together: their
residuals from the optimum of all points are cut as Huber's loss cuts them and averaged. Least
squares over cells is then the objective of the resample to first order (a one-step estimate as in
Bickel 1975, doi 10.1080/01621459.1975.10479884), and its optimum a start a step or two away from
that of all points.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from flopline.solvers.descent import fitted
from flopline.solvers.objectives import Objective
from flopline.solvers.problem import Floats, Ints, Problem, blocks_of
from flopline.solvers.surface_family import Form

MANY_POINTS: Final = 1_000
"""Points beyond which they are pooled first."""
SIDE: Final = 24
"""Cells along ln N, and along ln D."""
LEAST_CUT: Final = 0.5
"""Residuals are cut no nearer to 0 than at this many times their median: so that some lie inside,
where delta is small or stands for least absolute errors."""


def pooled(
    problem: Problem, form: Form[Any], weights: Floats, near: Floats
) -> tuple[Problem, Floats]:
    """The cells as points of a least-squares problem, and their weights (rows, cells).

    `weights` has shape (rows, points), `near` (6,) is the optimum of all points. The problem has a
    target for each row and the frame of `problem`; a cell without weight lies on the law `near`.
    """
    order, first = _cells(problem)
    count = np.diff(np.append(first, order.size))
    x, y = (np.add.reduceat(v[order], first) / count for v in (problem.x, problem.y))
    log = problem.objective.scale == "log"
    middle = replace(problem, x=x, y=y, target=np.zeros_like(x))
    at_points, at_cells = (fitted(p, form, near[None])[0] for p in (problem, middle))
    expected, level = (np.log(at_points), np.log(at_cells)) if log else (at_points, at_cells)
    expected = expected[order]
    mass, target = (np.empty((len(weights), first.size)) for _ in range(2))
    for rows in blocks_of(len(weights), order.size):
        seen = problem.of_rows(rows).target[..., order]
        rest = (seen if log else np.exp(seen)) - expected
        cut = max(problem.delta, LEAST_CUT * float(np.median(np.abs(rest))))
        score = np.clip(rest, -cut, cut)
        w = weights[rows][:, order]
        mass[rows] = np.add.reduceat(w, first, axis=1)
        inside = (w * (score == rest)).sum(axis=1, keepdims=True)
        w *= score
        moved = np.add.reduceat(w, first, axis=1) * mass[rows].sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = moved / (mass[rows] * inside)
        target[rows] = level + np.where(np.isfinite(moved), moved, 0.0)
    if not log:
        target = np.log(np.maximum(target, np.finfo(float).tiny))
    squares = Objective("pooled", problem.objective.scale, np.inf)
    return replace(middle, target=target, objective=squares), mass


def _cells(problem: Problem) -> tuple[Ints, Ints]:
    """The order of the points by cell, and where in it each cell begins."""
    number = np.zeros(problem.x.size, dtype=np.int64)
    for values in (problem.x, problem.y):
        span = float(np.ptp(values)) or 1.0
        place = ((values - values.min()) / span * SIDE).astype(np.int64)
        number = number * SIDE + np.minimum(place, SIDE - 1)
    order = np.argsort(number, kind="stable")
    return order, np.flatnonzero(np.diff(number[order], prepend=-1))
