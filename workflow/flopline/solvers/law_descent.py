"""Newton's descent of any objective for any law, a row for every start.

Exponents and floors, for which a law has BOUNDS, are sought as they are, other parameters as
logarithms, so that none changes sign: amplitudes and exponents then trade along straight lines.
Steps are taken in a frame where the columns of the Jacobian are orthonormal. The Hessian is
J' diag(rho'') J plus the curvature of the law, from differences of its analytic gradient; the
gradient is analytic. A parameter that no loss depends on any more, because it tends to 0 or to
infinity, is left where it is, and so is a direction along which no loss changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import numpy as np

from flopline.errors import FloplineError
from flopline.solvers.damped_steps import ROUNDING, TINY, QuadraticModel
from flopline.solvers.objectives import Objective
from flopline.solvers.problem import PERFECT_FIT, Bools, Floats, Ints
from flopline.surfaces.surface import Law, bounds, parameters

VANISHED: Final = 1e-10
"""Largest |d ln L / d ln parameter| over the points below which a parameter moves nothing."""

_LARGEST_LOG = 690.0
"""Bound of the logarithms, inside those of float64."""
_LARGEST_CHANGE = 1.0
"""Root mean square of the change of ln L that one step may promise."""
_DIFFERENCE = 1e-4
_LARGEST_DIFFERENCE = 1e-3
_ELEMENTS_TOGETHER = 16_384
"""Numbers up to which the differences along several axes are taken together."""
_WEAKEST = 1e-10
"""Singular value of the Jacobian, against the largest, of a direction that moves nothing."""

L = TypeVar("L", bound=Law)


@dataclass(frozen=True, slots=True)
class LawModel(QuadraticModel):
    """With the scaled gradient; the Hessian is that along the directions `axes`."""

    cosine: Floats
    axes: Floats


@dataclass(frozen=True, slots=True)
class LawTask(Generic[L]):
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
    ) -> LawTask[L]:
        """The task of the starts that are of use, or FloplineError if none is.

        Raises FloplineError if no start gives finite losses with positive parameters.
        """
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

    def of_rows(self, rows: Ints | slice) -> LawTask[L]:
        """The task of some starts."""
        return replace(self, values=self.values[rows])

    def at_width(self, delta: Floats) -> LawTask[L]:
        """The task under another delta, the same for all rows."""
        return replace(self, delta=float(delta[0]))

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

        def gradient(task: LawTask[L], at: Floats, score: Floats) -> Floats:
            fitted, columns = task.columns(at)
            pull = (score * task.objective.slope(fitted))[:, None, :]
            return np.asarray(np.matmul(pull, columns)[:, 0])

        rows, _, directions = axes.shape
        longest = np.abs(axes).max(axis=1)
        size = np.minimum(_DIFFERENCE, _LARGEST_DIFFERENCE / np.maximum(longest, TINY))
        steps = np.moveaxis(size[:, None] * axes, 2, 0)
        # Differences along all axes are taken together where they are few.
        together = max(1, min(directions, _ELEMENTS_TOGETHER // max(1, score.size)))
        out = np.empty((rows, directions, directions))
        for begin in range(0, directions, together):
            some = steps[begin : begin + together]
            at = np.concatenate([theta + some, theta - some])
            many = np.tile(np.arange(rows), len(at))
            ends = gradient(self.of_rows(many), at.reshape(many.size, -1), score[many])
            above, below = ends.reshape(2, len(some), rows, -1)
            for number, apart in enumerate(above - below, start=begin):
                along = (apart / (2.0 * size[:, number, None]))[:, None, :]
                out[:, number] = np.matmul(along, axes)[:, 0]
        return 0.5 * (out + out.swapaxes(1, 2))

    def evaluate(self, rows: Ints | slice, theta: Floats) -> LawModel:
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
        return LawModel(value, gradient, hessian, cosine, axes)

    def scaled_gradient(self, rows: Ints | slice, theta: Floats, model: LawModel) -> Floats:
        """The largest cosine between the scores and a column."""
        return model.cosine

    def step(self, theta: Floats, model: LawModel, damping: Floats) -> tuple[Floats, Floats]:
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
