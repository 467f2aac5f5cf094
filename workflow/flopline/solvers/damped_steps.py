"""Damped Newton steps of many rows at once, whatever it is that they minimise.

Every row has unknowns of its own inside a box; finished rows are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

import numpy as np

from flopline import progress
from flopline.solvers.problem import Bools, Floats, Ints

GRADIENT_TOLERANCE: Final = 1e-8
"""Largest scaled gradient of a fit that may be called converged."""
WIDE: Final = 1e-3
"""Huber's delta of Hoffmann et al. 2022, from which the descent needs no help."""
FINISH: Final = 1e-9
"""Scaled gradient at which a descent ends, far inside GRADIENT_TOLERANCE."""
AGREEMENT: Final = 1e-9
"""Two starts agree when their objectives differ by no more than this, relative to the lower."""
ROUNDING: Final = 1e-14
"""Share of a number below which a change of it is rounding."""
TINY: Final = float(np.finfo(float).tiny)

_EXACT = 1e-20
"""Mean squared log residual below which two objectives are both rounding noise."""
_MAX_ITERATIONS = 300
_MAX_DAMPING = 1e12
_NO_DAMPING = 1e-14
PLAIN_GROWTH: Final = 2.0
"""Factor by which a refused step raises the damping; each further one in a row raises it by twice
as much as the last."""
FROM_AFAR: Final = 1e-2
"""Damping with which a descent begins."""
FROM_NEAR: Final = 1e-8
"""The same where the optimum is a step or two away, which damping would make into many."""


@dataclass(frozen=True, slots=True)
class RowArrays:
    """Arrays over rows, some of which can be taken or overwritten."""

    def take(self, rows: Ints | Bools | slice) -> Self:
        """The arrays of some rows."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def put(self, rows: Ints | Bools, other: Self) -> None:
        """Overwrite some rows."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[rows] = getattr(other, name)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of all `parts`, one after another."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, slots=True)
class QuadraticModel(RowArrays):
    """Objective, gradient and Hessian at the unknowns of each row."""

    objective: Floats
    gradient: Floats
    hessian: Floats


M = TypeVar("M", bound=QuadraticModel)


class Task(Protocol[M]):
    """What is minimised, over rows of unknowns."""

    @property
    def box(self) -> tuple[Floats, Floats]:
        """The lower and the upper bounds of the unknowns."""

    def of_rows(self, rows: Ints) -> Self:
        """The task of some rows."""

    def at_width(self, delta: Floats) -> Self:
        """The task under another Huber's delta, one for each row."""

    def evaluate(self, rows: Ints | slice, theta: Floats) -> M:
        """The model of some rows at their unknowns."""

    def scaled_gradient(self, rows: Ints | slice, theta: Floats, model: M) -> Floats:
        """A measure of the gradient that is 0 at an optimum and free of units, (rows,)."""

    def step(self, theta: Floats, model: M, damping: Floats) -> tuple[Floats, Floats]:
        """A damped step that descends, and the decrease that its quadratic model promises."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Huber's deltas through which rows go down one after another, and when each is done with.

    A row ends a stage when its scaled gradient is no more than that of `finish`; `first` (rows,) is
    the stage that each row begins with.
    """

    delta: Floats
    finish: Floats
    first: Ints


def descended(
    task: Task[M],
    begin: Floats,
    stages: Stages | None = None,
    first_damping: float = FROM_AFAR,
    first_growth: float = PLAIN_GROWTH,
) -> tuple[Floats, Floats, Floats, Ints]:
    """Where each row of `begin` (rows, unknowns) ends: unknowns, objective, gradient, iterations.

    A row ends when its scaled gradient is no more than FINISH or when no step lowers its
    objective; one that has a further stage goes on from there with that. Every stage begins with
    `first_damping`, which a refused step raises by `first_growth`.
    """
    lower, upper = task.box
    theta = np.clip(begin, lower, upper)
    everyone = slice(None)
    stage = np.zeros(len(theta), dtype=np.int64)
    deltas, finishes = np.zeros(1), np.array([FINISH])
    if stages is not None:
        stage, deltas, finishes = stages.first.copy(), stages.delta, stages.finish
        task = task.at_width(deltas[stage])
    now = task.evaluate(everyone, theta)
    cosine = task.scaled_gradient(everyone, theta, now)
    objective, iterations = now.objective.copy(), np.zeros(theta.shape[0], dtype=np.int64)
    # What follows is of the rows that are still on their way, and of no others.
    rows, at, steep = np.arange(theta.shape[0]), theta, cosine
    damping, growth = np.full(rows.size, first_damping), np.full(rows.size, first_growth)
    finish, further = finishes[stage], stage + 1 < deltas.size
    bare, stuck = np.zeros((2, rows.size), dtype=bool)
    steps, in_stage = np.zeros((2, rows.size), dtype=np.int64)
    reached = progress.gauge()
    while rows.size:
        done = ~(steep > finish) | stuck | (in_stage >= _MAX_ITERATIONS)
        fresh, anew = done, bool(done.any())
        # At first all are taken, too: their weights then lie side by side.
        if anew or at is theta:
            fresh = done & further
            ended = done & ~fresh
            those, left = rows[ended], np.flatnonzero(~ended)
            theta[those], objective[those] = at[ended], now.objective[ended]
            cosine[those], iterations[those] = steep[ended], steps[ended]
            if those.size or at is theta:
                reached(1.0 - left.size / theta.shape[0])
                rows, task, at, now = rows[left], task.of_rows(left), at[left], now.take(left)
                steep, damping, growth, bare = steep[left], damping[left], growth[left], bare[left]
                stage, steps, in_stage, fresh = (
                    stage[left],
                    steps[left],
                    in_stage[left],
                    fresh[left],
                )
                finish, further = finish[left], further[left]
                if not rows.size:
                    break
            anew = bool(fresh.any())
        step, promised = task.step(at, now, damping)
        there = np.minimum(np.maximum(at + step, lower), upper)
        if anew:
            # The next stage begins where the last has ended, with nothing but a look around.
            there[fresh] = at[fresh]
            stage[fresh] += 1
            finish, further = finishes[stage], stage + 1 < deltas.size
            task = task.at_width(deltas[stage])
        new = task.evaluate(everyone, there)
        new_steep = task.scaled_gradient(everyone, there, new)

        # Where the promise drowns in rounding only the gradient can still tell progress.
        drowned = promised <= ROUNDING * now.objective
        drop = now.objective - new.objective
        gain = np.where(drowned, 1.0, drop / np.maximum(promised, TINY))
        accepted = np.where(drowned, new_steep < steep, drop > 0.0) | fresh
        excess = 2.0 * gain - 1.0
        less = np.minimum(np.maximum(1.0 - excess * excess * excess, 0.2), 2.0)
        damping = damping * np.where(accepted, less, growth)
        growth = np.where(accepted, first_growth, 2.0 * growth)
        steps, in_stage = steps + ~fresh, in_stage + 1
        if accepted.all():
            at, now, steep = there, new, new_steep
        elif accepted.any():
            at[accepted], steep[accepted] = there[accepted], new_steep[accepted]
            now.put(accepted, new.take(accepted))
        # A step may be small because it is damped: a bare Newton step has the last word.
        last = drowned & ~accepted
        stuck = (last & bare) | (damping > _MAX_DAMPING)
        bare = last | (bare & ~accepted)
        damping[last] = _NO_DAMPING
        if anew:
            damping[fresh], growth[fresh], in_stage[fresh] = first_damping, first_growth, 0
            stuck[fresh], bare[fresh] = False, False
    return theta, objective, cosine, iterations


def widths_down_to(delta: float) -> list[float]:
    """Huber's deltas through which a descent narrows to `delta`, by decades from WIDE.

    Newton steps cover little ground where few residuals lie within delta.
    """
    widths = [delta]
    while widths[0] * 10 <= WIDE * (1 + ROUNDING):
        widths.insert(0, widths[0] * 10)
    return widths


def agree(objective: Floats, lowest: Floats | float, total: Floats | float) -> Bools:
    """Where objectives equal the lowest one within AGREEMENT; `total` is the sum of weights."""
    return np.asarray(objective - lowest <= AGREEMENT * lowest + _EXACT * total)
