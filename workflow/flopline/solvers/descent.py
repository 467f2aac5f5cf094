"""Damped Newton descent of many rows at once, whatever it is that they minimise.

Every row has unknowns of its own inside a box; finished rows are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from flopline import progress

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

ROUNDING = 1e-14
"""Share of a number below which a change of it is rounding."""
TINY = np.finfo(float).tiny

_FINISH = 1e-9
_MAX_ITERATIONS = 300
_MAX_DAMPING = 1e12


@dataclass(frozen=True, slots=True)
class Model:
    """Objective and derivatives at some unknowns, with the squared lengths that scale them."""

    objective: Floats
    gradient: Floats
    hessian: Floats
    column_square: Floats
    score_square: Floats

    def take(self, rows: Ints | Bools) -> Model:
        """The model of some rows."""
        return Model(*(getattr(self, f.name)[rows] for f in fields(self)))

    def put(self, rows: Ints | Bools, other: Model) -> None:
        """Overwrite some rows."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(other, f.name)


def descended(
    begin: Floats,
    box: tuple[Floats, Floats],
    evaluate: Callable[[Ints | slice, Floats], Model],
    measure: Callable[[Ints | slice, Floats, Model], Floats],
    step_of: Callable[[Floats, Model, Floats], tuple[Floats, Floats]],
) -> tuple[Floats, Floats, Floats, Ints]:
    """Where each row of `begin` (rows, unknowns) ends: unknowns, objective, gradient, iterations.

    `box` holds the lower and upper bounds of the unknowns. `evaluate` takes rows and their
    unknowns; `measure` rows, unknowns and model to the scaled gradient; `step_of` unknowns, model
    and damping to a step and the decrease that it promises. A row ends when its scaled gradient is
    small or when no step lowers its objective.
    """
    theta = np.clip(begin, *box)
    everyone = slice(None)
    model = evaluate(everyone, theta)
    cosine = measure(everyone, theta, model)
    iterations = np.zeros(theta.shape[0], dtype=np.int64)
    damping = np.full(theta.shape[0], 1e-2)
    growth = np.full(theta.shape[0], 2.0)
    active = np.flatnonzero(cosine > _FINISH)
    reached = progress.gauge()
    for _ in range(_MAX_ITERATIONS):
        if not active.size:
            break
        now = model.take(active)
        step, promised = step_of(theta[active], now, damping[active])
        there = np.clip(theta[active] + step, *box)
        new = evaluate(active, there)
        new_cosine = measure(active, there, new)

        # Where the promise drowns in rounding only the gradient can still tell progress.
        drowned = promised <= ROUNDING * now.objective
        drop = now.objective - new.objective
        gain = np.where(drowned, 1.0, drop / np.maximum(promised, TINY))
        accepted = np.where(drowned, new_cosine < cosine[active], drop > 0.0)
        damping[active] *= np.where(
            accepted, np.clip(1.0 - (2.0 * gain - 1.0) ** 3, 0.2, 2.0), growth[active]
        )
        growth[active] = np.where(accepted, 2.0, 2.0 * growth[active])
        iterations[active] += 1
        moved = active[accepted]
        theta[moved] = there[accepted]
        cosine[moved] = new_cosine[accepted]
        model.put(moved, new.take(accepted))
        stuck = (drowned & ~accepted) | (damping[active] > _MAX_DAMPING)
        active = active[(cosine[active] > _FINISH) & ~stuck]
        reached(1.0 - active.size / theta.shape[0])
    return theta, model.objective, cosine, iterations
