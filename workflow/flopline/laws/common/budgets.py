"""Which runs share a compute budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SAME_BUDGET: Final = 0.15
"""Gap in ln C that parts two budgets, as isoflop.budget_tolerance has it by default."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Budget number of every run (-1: none), what each budget is nominally, and how we know."""

    group: NDArray[np.int64]
    nominal: Floats
    how: str


def by_nominal(nominal: Floats) -> Grouping:
    """Runs that state the same nominal budget [FLOPs] belong together."""
    values, group = np.unique(nominal, return_inverse=True)
    return Grouping(group.astype(np.int64), values, "nominal")


def by_given(flops: Floats, budgets: Sequence[float], tolerance: float) -> Grouping:
    """Each run goes to the nearest of `budgets` [FLOPs] within `tolerance` in ln C."""
    values = np.unique(np.asarray(budgets, dtype=float))
    distance = np.abs(np.log(flops)[:, None] - np.log(values))
    nearest = distance.argmin(axis=1)
    near = distance[np.arange(flops.size), nearest] <= tolerance
    return Grouping(np.where(near, nearest, -1).astype(np.int64), values, "given")


def by_gaps(flops: Floats, tolerance: float) -> Grouping:
    """A gap wider than `tolerance` in ln C between neighbouring runs parts two budgets."""
    ln_c = np.log(flops)
    order = np.argsort(ln_c, kind="stable")
    group = np.empty(flops.size, dtype=np.int64)
    group[order] = np.cumsum(np.diff(ln_c[order], prepend=ln_c[order][:1]) > tolerance)
    return Grouping(group, np.full(int(group.max()) + 1, np.nan), "gaps")


def group_runs(
    flops: Floats, nominal: Floats, budgets: Sequence[float] | None, tolerance: float
) -> Grouping:
    """Budgets by nominal value if every run has one, else by `budgets`, else by gaps in ln C."""
    if np.isfinite(nominal).all():
        return by_nominal(nominal)
    if budgets is not None and len(budgets) > 0:
        return by_given(flops, budgets, tolerance)
    return by_gaps(flops, tolerance)
