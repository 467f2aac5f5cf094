"""The vertex at which a sum of absolute residuals is least, from a point near it.

There some residuals are zero, as many as the law has parameters unless it bends much, and their
slopes may take any value from -1 to 1: the fit is an optimum if some such values make the gradient
vanish. Residuals of Huber's loss with a small delta tell them only as well as a residual over delta
is known, which rounding spoils; here they are unknowns of the equations themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import lsq_linear

from flopline.solvers.problem import Bools, Floats

ZERO: Final = 1e-12
"""Largest residual that is zero but for rounding."""

_MAX_STEPS = 100
_NEAR = 0.01
"""Largest change of a residual that one step may make: beyond it the point was not near."""
_SETTLED = 1e-15
_DEPENDENT = 1e-12
_FLAT = 1e-12
_OVER = 1.0 + 1e-9
"""Slope beyond which a residual is better off away from zero."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Residuals (points,) at some unknowns, with their slopes, also in an orthonormal frame.

    `columns` (points, unknowns) are slopes along the unknowns, zero where one moves nothing;
    `basis` those along the columns of `axes` (unknowns, directions).
    """

    residual: Floats
    columns: Floats
    basis: Floats
    axes: Floats


def certificate(frame: Frame) -> float:
    """The largest cosine between the slopes of |r| and a column, at the best slopes where r = 0."""
    residual, columns = frame.residual, frame.columns
    unit = columns / np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
    slopes = np.sign(residual)
    zero = np.abs(residual) <= ZERO
    slopes[zero] = 0.0
    if zero.any() and not zero.all():
        slopes[zero] = lsq_linear(unit[zero].T, -slopes @ unit, (-1.0, 1.0), "bvls").x
    length = np.linalg.norm(slopes)
    return float(np.abs(slopes @ unit).max(initial=0.0) / length) if length else 0.0


def vertex(
    near: Floats,
    delta: float,
    frame_at: Callable[[Floats], Frame],
    bends_at: Callable[[Floats, Frame, Floats], Floats],
) -> tuple[Floats, Frame]:
    """The vertex, and its frame, that `near` (unknowns,), the end of Huber's loss, leads to.

    Residuals within `delta` are the first to be held at zero. `bends_at` gives the sum over points
    of slopes (points,) times the second derivatives of the residuals in a frame. Every step solves
    the equations of an optimum with the chosen residuals at zero; a residual whose slope leaves
    [-1, 1] is released, and one that the step would carry through zero beyond the lowest point of
    its line is held there. Ask `certificate` of the frame: the end may be no optimum.
    """
    at, frame = near, frame_at(near)
    held: Bools = np.abs(frame.residual) <= delta
    slopes = np.where(held, frame.residual / delta, np.sign(frame.residual))
    for _ in range(_MAX_STEPS):
        bends = bends_at(at, frame, slopes)
        if not np.isfinite(bends).all():
            break
        step, held_slopes = _solved(frame, held, slopes, bends)
        slopes[held] = held_slopes
        worst = int(np.where(held, np.abs(slopes), 0.0).argmax())
        if held[worst] and abs(slopes[worst]) > _OVER:
            held[worst], slopes[worst] = False, np.sign(slopes[worst])
            continue
        moved = frame.basis @ step
        farthest = float(np.abs(moved).max())
        if not np.isfinite(farthest):
            break
        part = min(1.0, _NEAR / max(farthest, _NEAR))
        share, entering = _lowest_on_line(frame.residual, part * moved, held, slopes)
        share *= part
        at = at + frame.axes @ (share * step)
        frame = frame_at(at)
        slopes = np.where(
            held, slopes, np.where(frame.residual == 0, slopes, np.sign(frame.residual))
        )
        if entering is not None:
            held[entering] = True
        elif np.abs(moved).max() <= _SETTLED:
            break
    return at, frame


def _solved(frame: Frame, held: Bools, slopes: Floats, bends: Floats) -> tuple[Floats, Floats]:
    """Step in the frame to the optimum with `held` residuals at zero, and their slopes there.

    Where the sum bends down it is taken to bend up as much, so that the step falls.
    """
    rows, pull = frame.basis[held], slopes[~held] @ frame.basis[~held]
    _, strength, turn = np.linalg.svd(rows)
    rank = int((strength > _DEPENDENT).sum())
    free = turn[rank:].T
    step = np.linalg.lstsq(rows, -frame.residual[held], rcond=_DEPENDENT)[0]
    bend, axes = np.linalg.eigh(free.T @ bends @ free)
    along = axes.T @ free.T @ (pull + bends @ step)
    step = step - free @ (axes @ (along / np.maximum(np.abs(bend), _FLAT)))
    return step, np.linalg.lstsq(rows.T, -(pull + bends @ step), rcond=_DEPENDENT)[0]


def _lowest_on_line(
    residual: Floats, moved: Floats, held: Bools, slopes: Floats
) -> tuple[float, int | None]:
    """The share of a step at which the sum is least, and the residual that turns it there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(held | (slopes * moved >= 0), np.inf, -residual / moved)
    falling = float(slopes[~held] @ moved[~held])
    for point in np.argsort(crossing, kind="stable"):
        if not crossing[point] < 1.0:
            break
        falling += 2.0 * abs(float(moved[point]))
        if falling >= 0:
            return float(max(crossing[point], 0.0)), int(point)
    return 1.0, None
