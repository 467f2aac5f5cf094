"""A point fit of any law under any objective, from many starts, with a certificate.

Exponents and floors, for which a law has BOUNDS, are sought as they are, other parameters as
logarithms, so that none changes sign: amplitudes and exponents then trade along straight lines. All
starts go together to the least-squares fit that they lead to, and from there down the objective
itself by damped Newton steps, in a frame where the columns of the Jacobian are orthonormal. The
Hessian is J' diag(rho'') J plus the curvature of the law, from differences of its analytic
gradient; the gradient is analytic. A parameter that no loss depends on any more, because it tends
to 0 or to infinity, is left where it is, and so is a direction along which no loss changes: a law
that contains another one may be fitted to losses of the smaller.

Newton steps cover little ground where few residuals lie within Huber's delta, so a small delta is
approached from above by decades. LAD is the end of that road: see `least_absolute`.
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
    TINY,
    Model,
    agree,
    descended,
    widths_down_to,
)
from flopline.solvers.least_absolute import Frame, certificate, vertex
from flopline.solvers.objectives import Objective, delta_from, log_huber, log_lad
from flopline.solvers.problem import PERFECT_FIT, Bools, Floats, Ints
from flopline.surfaces.surface import Law, bounds, parameters

VANISHED: Final = 1e-10
"""Largest |d ln L / d ln parameter| over the points below which a parameter moves nothing."""
NARROWEST: Final = 1e-9
"""Huber's delta at which the search for a vertex of LAD ends."""

_LARGEST_LOG = 690.0
"""Bound of the logarithms, inside those of float64."""
_LARGEST_CHANGE = 1.0
"""Root mean square of the change of ln L that one step may promise."""
_DIFFERENCE = 1e-4
_LARGEST_DIFFERENCE = 1e-3
_WEAKEST = 1e-10
"""Singular value of the Jacobian, against the largest, of a direction that moves nothing."""
_GONE = 0.1
"""Slope of an amplitude that is put at 0, against VANISHED."""
_FAR = 1e9
"""Factor at which a parameter that moves nothing is as good as at its limit."""
_ROUNDS = 3
"""How often an end that is no optimum is gone on from."""
_NARROW = 1e-6
"""Huber's delta from which on the vertex of LAD is looked for."""
_LAST = 4
"""Deltas from _NARROW to NARROWEST."""

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
        task = _Task.of(starts, points, seen, chosen, objective)
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
class _Model(Model):
    """With the scaled gradient; the Hessian is that along the directions `axes`."""

    cosine: Floats
    axes: Floats


@dataclass(frozen=True, slots=True)
class _Task(Generic[L]):
    """Sorted points, and a row for every start, whose `free` parameters are sought.

    `values` (rows, parameters) are those of the starts, `straight` (free,) tells those with bounds,
    which are sought as they are and not as logarithms; `delta` is Huber's.
    """

    kind: L
    values: Floats
    points: Mapping[str, Floats]
    seen: Floats
    free: list[int]
    straight: Bools
    box: tuple[Floats, Floats]
    objective: Objective
    delta: float = np.inf

    @classmethod
    def of(
        cls,
        starts: Sequence[L],
        points: Mapping[str, Floats],
        seen: Floats,
        free: Sequence[str],
        objective: Objective,
    ) -> _Task[L]:
        """The task of the starts that are of use, or FloplineError if none is."""
        names, box = parameters(starts[0]), bounds(starts[0])
        values = np.array([[float(getattr(start, name)) for name in names] for start in starts])
        index = [names.index(name) for name in free]
        straight = np.array([name in box for name in free], dtype=bool)
        lower, upper = np.array([box.get(n, (-_LARGEST_LOG, _LARGEST_LOG)) for n in free]).T
        task = cls(starts[0], values, points, seen, index, straight, (lower, upper), objective)
        finite = np.isfinite(np.hstack([values, task.residuals(task.begin)])).all(axis=1)
        positive = (values[:, index] > 0) | straight
        usable = np.asarray(finite & positive.all(axis=1))
        if not usable.any():
            raise FloplineError(
                "no start gives finite losses with positive parameters: give others, nearer to "
                "the points."
            )
        return replace(task, values=values[usable])

    @property
    def unit(self) -> float:
        """What a relative error of 1 is in the units of the residuals."""
        return float(self.seen.mean()) if self.objective.scale == "linear" else 1.0

    @property
    def begin(self) -> Floats:
        """The unknowns (rows, free) of the starts."""
        values = self.values[:, self.free]
        return np.clip(np.where(self.straight, values, np.log(values)), *self.box)

    def of_rows(self, rows: Ints | slice) -> _Task[L]:
        """The task of some starts."""
        return replace(self, values=self.values[rows])

    def law(self, theta: Floats) -> L:
        """One law for all rows: its parameters have shape (rows,)."""
        values = self.values.copy()
        values[:, self.free] = np.where(self.straight, theta, np.exp(theta))
        return replace(self.kind, **dict(zip(parameters(self.kind), values.T, strict=True)))

    def law_at(self, row: int, theta: Floats) -> L:
        """The law of one row, its parameters numbers."""
        law = self.of_rows(slice(row, row + 1)).law(theta[None])
        return replace(law, **{name: float(getattr(law, name)[0]) for name in parameters(law)})

    def residuals(self, theta: Floats) -> Floats:
        """Residuals (rows, points) of the objective."""
        return self.objective.residual(self.law(theta).loss(**self.points), self.seen)

    def columns(self, theta: Floats) -> tuple[Floats, Floats]:
        """Losses (rows, points), and d ln f / d unknown (rows, points, free)."""
        law, by_log = self.law(theta), np.where(self.straight, 1.0, np.exp(theta))
        gradient = law.log_loss_gradient(**self.points)[..., self.free]
        return law.loss(**self.points), gradient * by_log[:, None]

    def slopes(self, theta: Floats) -> tuple[Floats, Floats]:
        """Residuals (rows, points), and their slopes along the unknowns (rows, points, free).

        Slopes are 0 along a parameter that moves nothing.
        """
        fitted, columns = self.columns(theta)
        moving = (np.abs(columns) > VANISHED).any(axis=1, keepdims=True)
        slopes = np.where(moving, columns, 0.0) * self.objective.slope(fitted)[:, :, None]
        finite = np.isfinite(slopes).all(axis=(1, 2), keepdims=True)
        return self.objective.residual(fitted, self.seen), np.where(finite, slopes, 0.0)

    def vanished(self, row: int, theta: Floats) -> tuple[str, ...]:
        """Names of the free parameters that move nothing in one row, or are a floor at 0."""
        _, slopes = self.slopes(theta)
        still = ~slopes[row].any(axis=0) | (self.straight & (theta[row] == 0))
        return tuple(parameters(self.kind)[i] for i, s in zip(self.free, still, strict=True) if s)

    def on_bounds(self, theta: Floats) -> dict[str, float]:
        """The bounds on which parameters lie, by name."""
        names = [parameters(self.kind)[i] for i in self.free]
        at = self.straight & ((theta <= self.box[0]) | (theta >= self.box[1]))
        return {n: float(v) for n, v, hit in zip(names, theta, at, strict=True) if hit}

    def blocked(self, theta: Floats, score: Floats, slopes: Floats) -> Bools:
        """Parameters on a bound that descent would push through it, the amplitudes following."""
        low, high = (self.straight & at for at in (theta <= self.box[0], theta >= self.box[1]))
        if not (low | high).any():
            return low
        basis, _ = orthonormal(np.where(self.straight, 0.0, slopes))
        alone = slopes - basis @ (basis.swapaxes(1, 2) @ slopes)
        gradient = (score[:, None] @ alone)[:, 0]
        return (low & (gradient >= 0)) | (high & (gradient <= 0))

    def bends(self, theta: Floats, axes: Floats, score: Floats) -> Floats:
        """Sums over points of `score` times the second derivatives of r along the axes."""

        def gradient(at: Floats) -> Floats:
            fitted, columns = self.columns(at)
            pull = (score * self.objective.slope(fitted))[:, None, :]
            return np.asarray(np.matmul(pull, columns)[:, 0])

        out = np.empty((theta.shape[0], axes.shape[2], axes.shape[2]))
        for number, axis in enumerate(np.moveaxis(axes, 2, 0)):
            longest = np.abs(axis).max(axis=1, keepdims=True)
            size = np.minimum(_DIFFERENCE, _LARGEST_DIFFERENCE / np.maximum(longest, TINY))
            apart = gradient(theta + size * axis) - gradient(theta - size * axis)
            out[:, number] = np.matmul((apart / (2.0 * size))[:, None, :], axes)[:, 0]
        return 0.5 * (out + out.swapaxes(1, 2))

    def evaluate(self, rows: Ints | slice, theta: Floats) -> _Model:
        """The objective with its gradient, and its Hessian along the axes of the frame."""
        task = self.of_rows(rows)
        residual, slopes = task.slopes(theta)
        smooth = replace(self.objective, delta=self.delta)
        score = smooth.score(residual)
        gradient = np.matmul(score[:, None, :], slopes)[:, 0]
        slopes = np.where(self.blocked(theta, score, slopes)[:, None], 0.0, slopes)
        basis, axes = orthonormal(slopes)
        hessian = np.matmul(basis.swapaxes(1, 2) * smooth.curvature(residual)[:, None, :], basis)
        hessian += task.bends(theta, axes, score)
        hessian[~np.isfinite(hessian).all(axis=(1, 2))] = np.eye(theta.shape[1])
        value = smooth.rho(residual).sum(axis=1)

        perfect = PERFECT_FIT * self.unit * np.sqrt(self.seen.size)
        reference = np.linalg.norm(score, axis=1)
        reference = np.where(np.linalg.norm(residual, axis=1) > perfect, reference, perfect)
        length = np.linalg.norm(slopes, axis=1) * reference[:, None]
        cosine = np.where(length > 0, np.abs(gradient) / length, 0.0).max(axis=1, initial=0.0)
        value, cosine = (np.where(np.isfinite(value), v, np.inf) for v in (value, cosine))
        return _Model(value, gradient, hessian, cosine, axes)

    def scaled_gradient(self, rows: Ints | slice, theta: Floats, model: _Model) -> Floats:
        """The largest cosine between the scores and a column."""
        return model.cosine

    def step(self, theta: Floats, model: _Model, damping: Floats) -> tuple[Floats, Floats]:
        """A step of the unknowns, and the decrease that its quadratic model promises.

        Negative curvature is taken by absolute value, so that every step descends. Parameters
        that would leave their bounds stop there, and what the losses trade for them follows.
        """
        curvature, turn = np.linalg.eigh(model.hessian)
        axes = np.matmul(model.axes, turn)
        slope = np.matmul(model.gradient[:, None, :], axes)[:, 0]
        along = -slope / np.maximum(np.abs(curvature) + damping[:, None], ROUNDING)
        length = np.linalg.norm(along, axis=1) / np.sqrt(self.seen.size)
        shrink = _LARGEST_CHANGE / np.maximum(length, _LARGEST_CHANGE)
        step = np.matmul(axes, along[:, :, None])[:, :, 0] * shrink[:, None]
        promised = -0.5 * (slope * along).sum(axis=1) * shrink
        for row in np.flatnonzero((np.clip(theta + step, *self.box) != theta + step).any(axis=1)):
            step[row] = self.inside(theta[row], step[row], axes[row])
            falls = -float(model.gradient[row] @ step[row])
            promised[row] = 0.5 * falls if falls > 0 else np.inf
        return step, promised

    def inside(self, theta: Floats, step: Floats, axes: Floats) -> Floats:
        """The step in the box that is nearest to `step` (free,), in what it makes of the losses."""
        spread, stopped = axes @ axes.T, np.zeros(step.size, dtype=bool)
        out = step
        while (beyond := self.straight & (np.clip(theta + out, *self.box) != theta + out)).any():
            if not (beyond & ~stopped).any():
                break
            stopped |= beyond
            lost = (np.clip(theta + step, *self.box) - theta - step)[stopped]
            follow = np.linalg.lstsq(spread[np.ix_(stopped, stopped)], lost, rcond=None)[0]
            out = step + spread[:, stopped] @ follow
        return np.clip(theta + out, *self.box) - theta


def orthonormal(slopes: Floats) -> tuple[Floats, Floats]:
    """Combinations of the columns of `slopes` (rows, points, free) that are orthonormal.

    Also the `axes` (rows, free, directions) along which they are the slopes; both are 0 for
    directions that move nothing.
    """
    length = np.linalg.norm(slopes, axis=1)
    scale = np.where(length > 0, 1.0 / length, 0.0)
    basis, strength, turn = np.linalg.svd(slopes * scale[:, None, :], full_matrices=False)
    alive = strength > _WEAKEST * strength[:, :1]
    inverse = np.where(alive, 1.0 / strength, 0.0)
    return basis * alive[:, None], scale[:, :, None] * turn.swapaxes(1, 2) * inverse[:, None]


@dataclass(frozen=True, slots=True)
class _Ends(Generic[L]):
    """Where the rows of a task have ended: unknowns, cosines, residuals and objectives."""

    task: _Task[L]
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


def _ends(task: _Task[L], theta: Floats, *, near: bool = False) -> _Ends[L]:
    """Where every row of `theta` leads to, by least squares and Huber's loss from WIDE on.

    Rows that are `near` their end take the last deltas only.
    """
    theta, rows, lad = theta.copy(), np.arange(len(theta)), task.objective.delta == 0
    cosine = np.full(rows.size, np.inf)
    narrowest = (task.objective.delta or NARROWEST) / task.unit
    widths = [np.inf, *(delta * task.unit for delta in widths_down_to(narrowest))]
    for delta in dict.fromkeys(widths[-_LAST if lad else -1 :] if near else widths):
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


def _vertex(task: _Task[L], near: Floats) -> tuple[Floats, float]:
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
