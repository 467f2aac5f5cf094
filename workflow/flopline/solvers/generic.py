"""A point fit of any law under any objective, from many starts, with a certificate.

All starts go together to the least-squares fit that they lead to, and from there down the objective
itself (`law_descent`). Newton steps cover little ground where few residuals lie within Huber's
delta, so a small delta is approached from above by decades. LAD is the end of that road: see
`least_absolute`. A law that contains another one may be fitted to losses of the smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from flopline.errors import FloplineError
from flopline.solvers.damped_steps import (
    AGREEMENT,
    GRADIENT_TOLERANCE,
    ROUNDING,
    agree,
    descended,
    widths_down_to,
)
from flopline.solvers.law_descent import VANISHED, LawTask, orthonormal
from flopline.solvers.least_absolute import Frame, certificate, vertex
from flopline.solvers.objectives import Objective, delta_from, log_huber, log_lad
from flopline.solvers.problem import PERFECT_FIT, Bools, Floats, Ints
from flopline.surfaces.surface import Law, parameters

NARROWEST: Final = 1e-9
"""Huber's delta at which the search for a vertex of LAD ends."""

_GONE = 0.1
"""Slope of an amplitude that is put at 0, against VANISHED."""
_FAR = 1e9
"""Factor at which a parameter that moves nothing is as good as at its limit."""
_ROUNDS = 3
"""How often an end that is no optimum is gone on from."""
_NARROW = 1e-5
"""Huber's delta from which on the vertex of LAD is looked for."""

L = TypeVar("L", bound=Law)


@dataclass(frozen=True, slots=True)
class PointFit(Generic[L]):
    """The law of lowest objective, and how far to trust that it is the lowest.

    `scaled_gradient` is the largest cosine between the scores rho'(r) and a column of the Jacobian,
    bounds respected, 0 at an optimum; `converged` says that it lies within GRADIENT_TOLERANCE, or
    that the losses are met as exactly as they are known.
    `starts_agree` counts the starts that end at the same objective (relative difference 1e-9).
    `vanished` names free parameters that the losses do not depend on there, e.g. an A that tends to
    0, whose values mean nothing, and a floor that is 0. `limits` holds where parameters tend to or
    are stopped: a bound, 0 or infinity. `residual` is in the order of the points as given.
    """

    law: L
    objective: Objective
    value: float
    scaled_gradient: float
    converged: bool
    starts: int
    starts_agree: int
    vanished: tuple[str, ...]
    limits: Mapping[str, float]
    residual: Floats

    @property
    def message(self) -> str:
        """One sentence: how many starts agree, or that none is an optimum, and all limits."""
        if self.converged:
            parts = [f"{self.starts_agree} of {self.starts} starts reach the same optimum"]
        else:
            parts = [
                "the fit ends before its gradient is zero (scaled gradient "
                f"{self.scaled_gradient:.1e}), so give starts nearer to the points or hold a "
                "parameter"
            ]
        for name in dict.fromkeys((*self.limits, *self.vanished)):
            if name not in self.limits:
                parts.append(f"the losses do not depend on {name}")
            elif self.limits[name] in (0.0, np.inf):
                parts.append(f"{name} tends to {'infinity' if self.limits[name] else '0'}")
            else:
                parts.append(f"{name} lies on the bound of its search, {self.limits[name]:g}")
        return "; ".join(parts) + "."


def fit(
    starts: Sequence[L],
    covariates: Mapping[str, ArrayLike],
    loss: ArrayLike,
    objective: Objective,
    *,
    free: Sequence[str] | None = None,
) -> PointFit[L]:
    """Minimise `objective` over the parameters `free` (all, unless given) of one law.

    `starts` are laws of one kind; what is not free stays as they have it. `covariates` are the
    arguments of the law's `loss` by name, arrays of shape (points,): params [weights], tokens, and
    what else the law takes; `loss` [nats per token] has the same shape. The result does not depend
    on the order of the points. Raises FloplineError for points, parameters or starts that cannot be
    used.
    """
    if not starts:
        raise FloplineError("a fit needs at least one start: give a law of the form to be fitted.")
    names = parameters(starts[0])
    chosen = tuple(names if free is None else free)
    points, seen, order = _sorted(covariates, loss, len(chosen))
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise FloplineError(
            f"{type(starts[0]).__name__} has no parameter {unknown[0]!r} to fit: choose from "
            f"{', '.join(names)}."
        )
    with np.errstate(all="ignore"):  # a step may overflow: it is refused
        task = LawTask.of(starts, points, seen, chosen, objective)
        ends = _ends(task, task.begin)
        best = ends.lowest()
        for _ in range(_ROUNDS):
            if best.settled.all() or not (again := _nested(best).lowest()).better_than(best):
                break
            best = again
        law = best.task.law_at(0, best.theta[0])
        vanished = best.task.vanished(0, best.theta)
        limits = best.task.on_bounds(best.theta[0]) | _limits(law, vanished, points)
    residual = np.empty_like(seen)
    residual[order] = best.residuals[0]
    return PointFit(
        law,
        objective,
        objective.value(residual),
        float(best.cosine[0]),
        bool(best.settled[0]),
        len(starts),
        int(agree(ends.values, best.values[0], seen.size).sum()),
        vanished,
        limits,
        residual,
    )


def fit_log_huber(
    starts: Sequence[L],
    covariates: Mapping[str, ArrayLike],
    loss: ArrayLike,
    *,
    free: Sequence[str] | None = None,
) -> PointFit[L]:
    """`fit` of Huber on log loss with the delta of the data: 1.345 robust sigma of a LAD fit."""
    pilot = fit(starts, covariates, loss, log_lad(), free=free)
    delta = delta_from(pilot.residual)
    return fit([*starts, pilot.law], covariates, loss, log_huber(delta), free=free)


def _sorted(
    covariates: Mapping[str, ArrayLike], loss: ArrayLike, unknowns: int
) -> tuple[dict[str, Floats], Floats, Ints]:
    columns = {name: np.asarray(v, float) for name, v in covariates.items()}
    seen = np.asarray(loss, float)
    for name, column in (*columns.items(), ("loss", seen)):
        if column.shape != seen.shape or not (np.isfinite(column) & (column > 0)).all():
            raise FloplineError(
                f"{name} must hold one positive, finite number per point: mend or drop the points "
                "that do not."
            )
    if seen.size < unknowns:
        raise FloplineError(
            f"{seen.size} points cannot determine {unknowns} parameters: add runs or fit a law "
            "with fewer parameters."
        )
    order = np.lexsort([seen, *columns.values()]).astype(np.int64)
    return {name: column[order] for name, column in columns.items()}, seen[order], order


@dataclass(frozen=True, slots=True)
class _Ends(Generic[L]):
    """Where the rows of a task have ended: unknowns, cosines, residuals and objectives."""

    task: LawTask[L]
    theta: Floats
    cosine: Floats
    residuals: Floats
    values: Floats

    @property
    def settled(self) -> Bools:
        """Rows whose gradient is zero, or that meet the losses as exactly as these are known."""
        exact = np.sqrt((self.residuals**2).mean(axis=1)) <= PERFECT_FIT * self.task.unit
        return np.asarray((self.cosine <= GRADIENT_TOLERANCE) | exact)

    def lowest(self) -> _Ends[L]:
        """The row of the lowest objective alone."""
        row = slice(int(self.values.argmin()), int(self.values.argmin()) + 1)
        parts = (self.theta, self.cosine, self.residuals, self.values)
        return _Ends(self.task.of_rows(row), *(part[row] for part in parts))

    def better_than(self, other: _Ends[L]) -> bool:
        """Whether the first row is lower than that of `other`, or as low and settled."""
        mine, theirs = float(self.values[0]), float(other.values[0])
        as_low = bool(self.settled[0]) and mine <= theirs * (1.0 + AGREEMENT)
        return as_low or mine < theirs


def _ends(task: LawTask[L], theta: Floats, *, near: bool = False) -> _Ends[L]:
    """The end of the descent from every row of `theta`, by least squares and Huber's loss.

    Rows that are `near` their end take the last delta only.
    """
    theta, rows, lad = theta.copy(), np.arange(len(theta)), task.objective.delta == 0
    cosine = np.full(rows.size, np.inf)
    narrowest = (task.objective.delta or NARROWEST) / task.unit
    widths = [np.inf, *(delta * task.unit for delta in widths_down_to(narrowest))]
    for delta in dict.fromkeys(widths[-1:] if near else widths):
        some = replace(task.of_rows(rows), delta=delta)
        theta[rows], _, cosine[rows], _ = descended(some, theta[rows])
        if lad and delta <= _NARROW:
            for row in rows:
                alone = replace(task.of_rows(slice(row, row + 1)), delta=delta)
                theta[row], cosine[row] = _vertex(alone, theta[row])
            rows = np.flatnonzero(cosine > GRADIENT_TOLERANCE)
            if not rows.size:
                break
    residuals = task.residuals(theta)
    values = np.array([task.objective.value(residual) for residual in residuals])
    return _Ends(task, theta, cosine, residuals, values)


def _nested(best: _Ends[L]) -> _Ends[L]:
    """Where the one row of `best` leads to as it is, and with each amplitude in turn at 0.

    These are the smaller laws that it contains.
    """
    _, columns = best.task.columns(best.theta)
    moves = np.abs(columns[0]).max(axis=0)
    rows = np.flatnonzero(~best.task.straight & (moves > VANISHED))
    theta = np.repeat(best.theta, 1 + rows.size, axis=0)
    theta[1 + np.arange(rows.size), rows] += np.log(_GONE * VANISHED / moves[rows])
    return _ends(best.task.of_rows(np.zeros(len(theta), dtype=np.int64)), theta, near=True)


def _vertex(task: LawTask[L], near: Floats) -> tuple[Floats, float]:
    """The vertex of LAD that `near` leads to, or `near` itself if that is lower, and its cosine."""
    residual, slopes = task.slopes(near[None])
    score = replace(task.objective, delta=task.delta).score(residual)
    still = task.blocked(near[None], score, slopes)[0] | ~slopes[0].any(axis=0)

    def frame_at(theta: Floats) -> Frame:
        residual, slopes = task.slopes(theta[None])
        slopes[..., still] = 0.0
        basis, axes = orthonormal(slopes)
        return Frame(residual[0], slopes[0], basis[0], axes[0])

    def bends_at(theta: Floats, frame: Frame, slopes: Floats) -> Floats:
        return np.asarray(task.bends(theta[None], frame.axes[None], slopes[None])[0])

    begin = frame_at(near)
    at, frame = vertex(near, task.delta, frame_at, bends_at)
    lower = np.abs(frame.residual).sum() <= np.abs(begin.residual).sum() * (1.0 + ROUNDING)
    inside = ((at >= task.box[0]) & (at <= task.box[1])).all()
    return (at, certificate(frame)) if lower and inside else (near, certificate(begin))


def _limits(law: L, vanished: Sequence[str], points: Mapping[str, Floats]) -> dict[str, float]:
    """Where each vanished parameter tends to: 0 or infinity, if one of them leaves the losses."""
    losses, out = law.loss(**points), {}
    for name in vanished:
        for limit, factor in ((0.0, 1.0 / _FAR), (np.inf, _FAR)):
            there = replace(law, **{name: factor * getattr(law, name)}).loss(**points)
            if np.abs(there / losses - 1.0).max() <= 10.0 * VANISHED:
                out[name] = limit
                break
    return out
