"""A point fit of any law under any objective, from many starts, with a certificate.

Positive parameters are sought in logarithms, so that none changes sign. Each start goes to the
least-squares fit that it leads to (SciPy's trust-region reflective method), and from there down the
objective itself by damped Newton steps, in a frame where the columns of the Jacobian are
orthonormal. The Hessian is J' diag(rho'') J plus the curvature of the law, from differences of its
analytic gradient; the gradient is analytic.

Newton steps cover little ground where few residuals lie within Huber's delta, so a small delta is
approached from above by decades. LAD is the end of that road: see `LAD_DELTA`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from flopline.errors import FloplineError
from flopline.solvers.engine import agree
from flopline.solvers.newton import GRADIENT_TOLERANCE, PERFECT_FIT, WIDE
from flopline.solvers.objectives import Floats, Objective, delta_from, log_huber, log_lad
from flopline.surfaces.surface import Law, parameters

LAD_DELTA: Final = 1e-9
"""Huber's delta whose optimum stands for LAD: no sum of n absolute residuals is lower by more than
n delta / 2, because Huber's rho / delta lies between |r| - delta / 2 and |r|."""
VANISHED: Final = 1e-8
"""Largest |d ln L / d ln parameter| over the points below which a parameter moves nothing."""

_FINISH = 1e-10
_ROUNDING = 1e-14
_MAX_ITERATIONS = 300
_MAX_DAMPING = 1e12
_LARGEST_STEP = 2.0
_DIFFERENCE = 1e-4
_WEAKEST = 1e-10
_FIRST_ROUND = {"xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12, "max_nfev": 200, "x_scale": "jac"}

L = TypeVar("L", bound=Law)


@dataclass(frozen=True, slots=True)
class PointFit(Generic[L]):
    """The law of lowest objective, and how far to trust that it is the lowest.

    `scaled_gradient` is the largest cosine between the scores rho'(r) and a column of the Jacobian,
    0 at an optimum; `converged` says that it lies within `newton.GRADIENT_TOLERANCE`.
    `starts_agree` counts the starts that end at the same objective (relative difference 1e-9).
    `vanished` names free parameters that the losses do not depend on there, e.g. an E that tends to
    0: their values mean nothing. `residual` is in the order of the points as given.
    """

    law: L
    objective: Objective
    value: float
    scaled_gradient: float
    converged: bool
    starts: int
    starts_agree: int
    vanished: tuple[str, ...]
    residual: Floats


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
    on the order of the points. Raises FloplineError for points or parameters that cannot be used.
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
    task = _Task(points, seen, chosen, names)
    ends = [_descend(task, start, objective) for start in starts]
    values = np.array([end.value for end in ends])
    if not np.isfinite(values.min()):
        raise FloplineError("no start gives finite losses: give others, nearer to the points.")
    best = ends[int(values.argmin())]
    residual = np.empty_like(seen)
    residual[order] = task.residual(best.law, objective)
    return PointFit(
        best.law,
        objective,
        objective.value(residual),
        best.gradient,
        best.gradient <= GRADIENT_TOLERANCE,
        len(ends),
        int(agree(values, values.min(), seen.size).sum()),
        task.vanished(best.law),
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


@dataclass(frozen=True, slots=True)
class _End(Generic[L]):
    """Where a start leads; infinite value and gradient where its losses are not finite."""

    law: L
    value: float
    gradient: float


@dataclass(frozen=True, slots=True)
class _Task:
    """Sorted points and the parameters that are free, as logarithms."""

    points: Mapping[str, Floats]
    seen: Floats
    free: tuple[str, ...]
    names: tuple[str, ...]

    def law(self, start: L, logs: Floats) -> L:
        return replace(start, **dict(zip(self.free, np.exp(logs).tolist(), strict=True)))

    def logs(self, law: Law) -> Floats:
        values = np.array([float(getattr(law, name)) for name in self.free])
        return np.asarray(np.log(values))

    def residual(self, law: Law, objective: Objective) -> Floats:
        return objective.residual(law.loss(**self.points), self.seen)

    def columns(self, law: Law) -> Floats:
        """d ln f / d ln parameter, shape (points, free)."""
        index = [self.names.index(name) for name in self.free]
        slopes = law.log_loss_gradient(**self.points)[:, index]
        return np.asarray(slopes * np.exp(self.logs(law)))

    def jacobian(self, law: Law, objective: Objective) -> Floats:
        """d residual / d ln parameter, shape (points, free)."""
        return self.columns(law) * objective.slope(law.loss(**self.points))[:, None]

    def vanished(self, law: Law) -> tuple[str, ...]:
        moves = np.abs(self.columns(law)).max(axis=0)
        return tuple(n for n, m in zip(self.free, moves, strict=True) if not m > VANISHED)

    def scaled_gradient(self, law: Law, objective: Objective) -> float:
        columns = self.jacobian(law, objective)
        residual = self.residual(law, objective)
        score = objective.score(residual)
        perfect = PERFECT_FIT * np.sqrt(self.seen.size)
        reference = score if np.linalg.norm(residual) > perfect else perfect
        length = np.linalg.norm(columns, axis=0) * np.linalg.norm(reference)
        moving = np.array([name not in self.vanished(law) for name in self.free])
        cosines = np.abs(score @ columns)[moving] / length[moving]
        return float(cosines.max(initial=0.0))


def _sorted(
    covariates: Mapping[str, ArrayLike], loss: ArrayLike, unknowns: int
) -> tuple[dict[str, Floats], Floats, NDArray[np.int64]]:
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


def _descend(task: _Task, start: L, objective: Objective) -> _End[L]:
    """The local minimum that `start` leads to, narrowing Huber's delta from WIDE."""
    smooth = replace(objective, delta=objective.delta or LAD_DELTA)
    deltas = [smooth.delta]
    while deltas[0] * 10 <= WIDE * (1 + _ROUNDING):
        deltas.insert(0, deltas[0] * 10)
    with np.errstate(all="ignore"):  # a step may overflow: it is refused
        if not np.isfinite(task.residual(start, objective)).all():
            return _End(start, np.inf, np.inf)
        law = _least_squares(task, start, objective)
        for delta in deltas:
            law = _newton(task, law, replace(smooth, delta=delta))
        value = smooth.value(task.residual(law, smooth))
        return _End(law, value, task.scaled_gradient(law, smooth))


def _least_squares(task: _Task, start: L, objective: Objective) -> L:
    end = least_squares(
        lambda logs: task.residual(task.law(start, logs), objective),
        task.logs(start),
        lambda logs: task.jacobian(task.law(start, logs), objective),
        **_FIRST_ROUND,
    )
    return task.law(start, end.x)


def _newton(task: _Task, law: L, objective: Objective) -> L:
    """Damped Newton steps from `law` to the local minimum, or as near as rounding lets them."""
    damping, growth = 1e-2, 2.0
    value = objective.value(task.residual(law, objective))
    cosine = task.scaled_gradient(law, objective)
    for _ in range(_MAX_ITERATIONS):
        if cosine <= _FINISH or not damping <= _MAX_DAMPING:
            break
        step, promised = _step(task, law, objective, damping)
        there = task.law(law, task.logs(law) + step)
        new_value = objective.value(task.residual(there, objective))
        new_cosine = task.scaled_gradient(there, objective)
        # Where the promise drowns in rounding only the gradient can still tell progress.
        drowned = promised <= _ROUNDING * value
        accepted = new_cosine < cosine if drowned else new_value < value
        if accepted:
            gain = 1.0 if drowned else (value - new_value) / promised
            damping *= float(np.clip(1.0 - (2.0 * gain - 1.0) ** 3, 0.2, 2.0))
            law, value, cosine, growth = there, new_value, new_cosine, 2.0
        elif drowned:
            break
        else:
            damping, growth = damping * growth, 2.0 * growth
    return law


def _step(task: _Task, law: L, objective: Objective, damping: float) -> tuple[Floats, float]:
    """A step in the logarithms, and the decrease that its quadratic model promises.

    In the frame of the left singular vectors of the Jacobian, negative curvature is taken by
    absolute value, so that every step descends.
    """
    residual = task.residual(law, objective)
    score = objective.score(residual)
    columns = task.jacobian(law, objective)
    length = np.maximum(np.linalg.norm(columns, axis=0), VANISHED)
    basis, singular, turn = np.linalg.svd(columns / length, full_matrices=False)
    frame = turn.T / np.maximum(singular, _WEAKEST * singular[0]) / length[:, None]

    logs = task.logs(law)
    ahead, behind = (
        np.array([score @ task.jacobian(task.law(law, there), objective) for there in around])
        for around in (logs + _DIFFERENCE * frame.T, logs - _DIFFERENCE * frame.T)
    )
    bend = (ahead - behind) @ frame / (2.0 * _DIFFERENCE)
    hessian = basis.T @ (objective.curvature(residual)[:, None] * basis) + 0.5 * (bend + bend.T)
    if not np.isfinite(hessian).all():
        hessian = np.eye(singular.size)
    curvature, axes = np.linalg.eigh(hessian)
    slope = axes.T @ (basis.T @ score)
    along = -slope / (np.abs(curvature) + damping)
    step = frame @ (axes @ along)
    shrink = _LARGEST_STEP / max(float(np.abs(step).max()), _LARGEST_STEP)
    promised = -float(slope @ along) * shrink
    return step * shrink, 0.5 * promised
