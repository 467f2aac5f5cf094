"""The family's law at many unknowns, its derivatives, and their sums over points.

With u = ln h_N, v = ln h_D, S = L - E and w = (h_N / S)^(1/k), the share of size in S,

    d ln S = w du + (1 - w) dv + H dk,    H the entropy of (w, 1 - w),

and the second derivative of ln S in (u, v, k) is w (1 - w) / k times the square of (1, -1, l),
l = (v - u) / k.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from flopline.solvers.damped_steps import TINY
from flopline.solvers.problem import Floats, Problem
from flopline.solvers.surface_family import UNKNOWNS, Form


def softplus(x: Floats) -> Floats:
    """ln(1 + e^x), in a tenth of the time of NumPy's logaddexp."""
    return np.asarray(np.maximum(x, 0.0) + np.log(1.0 + np.exp(-np.abs(x))))


@dataclass(frozen=True, slots=True)
class Terms:
    """f (rows, points) at some unknowns and its derivatives, divided by f for those of ln f.

    `slopes` (3 or 4, rows, points) are those with respect to E, k, u = ln h_N and v = ln h_D,
    without k where k = 1 for all. `bends` (2 or 6, rows, points) are the second derivatives with
    respect to (u, u) and (v, v), each term by itself, where k = 1; else to (k, k), (k, u), (u, u),
    (k, v), (v, v) and (u, v).
    """

    total: Floats
    slopes: Floats
    bends: Floats

    @classmethod
    def of(cls, problem: Problem, form: Form[Any], full: Floats, *, log: bool) -> Terms:
        """The terms at `full` (rows, 6), of ln f where `log`."""
        e, ln_a, ln_b, a, b, k = (full[:, i, None] for i in range(len(UNKNOWNS)))
        shape = (full.shape[0], problem.x.size)
        slopes = np.empty((3 if form.straight else 4, *shape))
        of_e, *of_k, of_u, of_v = slopes
        u, v = ln_a - a * problem.x, ln_b - b * problem.y
        if form.straight:
            np.exp(u, out=of_u)
            np.exp(v, out=of_v)
            total = of_u + of_v
        else:
            apart = (v - u) / k
            soft = softplus(apart)
            share = np.exp(-soft)
            rest = 1.0 - share
            entropy = soft - rest * apart
            total = np.exp(u + k * soft)
            np.multiply(share, total, out=of_u)
            np.multiply(rest, total, out=of_v)
        total += e
        np.maximum(total, TINY, out=total)
        if log:
            np.divide(1.0, total, out=of_e)
            of_u *= of_e
            of_v *= of_e
        else:
            of_e[:] = 1.0
        if form.straight:
            return cls(total, slopes, slopes[1:])
        bends = np.empty((6, *shape))
        shared = of_u * rest
        mixed = shared / k
        moved = mixed * apart
        np.multiply(of_u + of_v, entropy, out=of_k[0])
        np.multiply(of_k[0], entropy, out=bends[0])
        bends[0] += moved * apart
        np.multiply(of_u, entropy, out=bends[1])
        bends[1] += moved
        np.multiply(of_u, share, out=bends[2])
        bends[2] += mixed
        np.multiply(of_v, entropy, out=bends[3])
        bends[3] -= moved
        np.multiply(of_v, rest, out=bends[4])
        bends[4] += mixed
        np.subtract(shared, mixed, out=bends[5])
        return cls(total, slopes, bends)

    def along_unknowns(self, problem: Problem) -> Floats:
        """Slopes (rows, 5 or 6, points) with respect to the unknowns of the family."""
        of_e, *of_k, of_u, of_v = self.slopes
        return np.stack([of_e, of_u, of_v, -problem.x * of_u, -problem.y * of_v, *of_k], axis=1)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over points of what hangs on E, k, u and v, for the unknowns that these hang on.

    u = ln_A - a x and v = ln_B - b y, so that every derivative is a sum of products with powers of
    -x and -y: fewer numbers go through such products than through those of all unknowns.
    """

    straight: bool
    tied: bool
    to_gradient: Floats
    to_squares: Floats
    to_hessian: Floats
    of_u: Floats
    of_v: Floats
    of_both: Floats
    of_each: Floats
    of_squares: Floats

    @classmethod
    def of(cls, problem: Problem, form: Form[Any]) -> Moments:
        """The moments of the points of a problem, for one form."""
        x, y = -problem.x, -problem.y
        one = np.ones_like(x)
        of_one = ((one, x, x * x), (one, y, y * y))
        columns = (*of_one, (one, x, y, x * y), (one, x, y), (one, x * x, y * y))
        # Sums of squares come from `second` where unknowns are tied.
        size, first, second = len(form.free), _first_matrix(form), _second_matrix(form)
        squares = np.ascontiguousarray(second[:, :: size + 1]) if form.tied else first
        matrices = (form.straight, bool(form.tied), first, squares, second)
        return cls(*matrices, *(np.stack(c, axis=1) for c in columns))

    def gradient(self, slopes: Floats) -> Floats:
        """Sums of `slopes` (3 or 4, rows, points) along the free unknowns, (rows, free)."""
        return np.asarray(_side_by_side(slopes @ self.of_each) @ self.to_gradient)

    def squares(self, weights: Floats, slopes: Floats) -> Floats:
        """Sums under `weights` (rows, points) of the squares of all slopes, (rows, free)."""
        weighted = weights * slopes
        if self.tied:
            return np.asarray(self.second(weighted, slopes) @ self.to_squares)
        weighted *= slopes
        return np.asarray(_side_by_side(weighted @ self.of_squares) @ self.to_squares)

    def hessian(self, scaled: Floats, slopes: Floats, bends: Floats) -> Floats:
        """Sums of products of `scaled` and plain slopes and of `bends`, (rows, free, free)."""
        flat = self.second(scaled, slopes, bends) @ self.to_hessian
        size = self.to_gradient.shape[1]
        return np.asarray(flat.reshape(len(flat), size, size))

    def second(self, scaled: Floats, slopes: Floats, bends: Floats | None = None) -> Floats:
        """Sums (rows, sums) for `_second_matrix` of products of `scaled` and plain slopes.

        `bends` are second derivatives in the order of `Terms`, to be added.
        """
        plain, (_, rows, points) = slopes, slopes.shape
        if self.straight:  # of (E, E), (E, u), (u, u), (E, v), (v, v), (u, v)
            products = np.empty((6, rows, points))
            np.multiply(scaled[0], plain[0], out=products[0])
            np.multiply(scaled[1], plain[:2], out=products[1:3])
            np.multiply(scaled[2], plain[0], out=products[3])
            np.multiply(scaled[2], plain[:0:-1], out=products[4:])
            if bends is not None:
                products[2] += bends[0]
                products[4] += bends[1]
            ends = (1, 3, 5)
        else:  # of (E, E), (E, k), (k, k), (E, u), (k, u), (u, u), (E, v), (k, v), (v, v), (u, v)
            products = np.empty((10, rows, points))
            np.multiply(scaled[0], plain[:2], out=products[:2])
            np.multiply(scaled[1], plain[1], out=products[2])
            np.multiply(scaled[2], plain[:3], out=products[3:6])
            np.multiply(scaled[3], plain[:2], out=products[6:8])
            np.multiply(scaled[3], plain[:1:-1], out=products[8:])
            if bends is not None:
                products[2] += bends[0]
                products[4:6] += bends[1:3]
                products[7:] += bends[3:]
            ends = (3, 6, 9)
        alone, with_u, with_v = ends
        parts = (
            products[:alone] @ self.of_u[:, :1],
            products[alone:with_u] @ self.of_u,
            products[with_u:with_v] @ self.of_v,
            products[with_v:] @ self.of_both,
        )
        return np.concatenate([_side_by_side(part) for part in parts], axis=1)


def _side_by_side(sums: Floats) -> Floats:
    """Sums (kinds, rows, moments) as (rows, kinds times moments)."""
    kinds, rows, moments = sums.shape
    return np.asarray(sums.transpose(1, 0, 2).reshape(rows, kinds * moments))


_E, _LN_A, _LN_B, _A, _B, _K = range(len(UNKNOWNS))
_Pair = tuple[int, int] | None
"""Two unknowns of a second derivative; None for a moment that no unknowns ask for."""


@cache
def _first_matrix(form: Form[Any]) -> Floats:
    """What takes the sums of first derivatives, and of squares, to the free unknowns."""
    of_k = [] if form.straight else [_K, None, None]
    flat = [_E, None, None, *of_k, _LN_A, _A, None, _LN_B, None, _B]
    out = np.zeros((len(flat), len(UNKNOWNS)))
    for number, place in enumerate(flat):
        if place is not None:
            out[number, place] = 1.0
    return np.asarray(out @ form.spread)


@cache
def _second_matrix(form: Form[Any]) -> Floats:
    """What takes the sums of `Moments.second` to the flat Hessian of the free unknowns."""
    k = not form.straight
    alone: list[_Pair] = [(_E, _E), *[(_E, _K), (_K, _K)] * k]
    with_u: list[_Pair] = [(_E, _LN_A), (_E, _A), None, *[(_K, _LN_A), (_K, _A), None] * k]
    with_u += [(_LN_A, _LN_A), (_LN_A, _A), (_A, _A)]
    with_v: list[_Pair] = [(_E, _LN_B), (_E, _B), None, *[(_K, _LN_B), (_K, _B), None] * k]
    with_v += [(_LN_B, _LN_B), (_LN_B, _B), (_B, _B)]
    both: list[_Pair] = [(_LN_A, _LN_B), (_A, _LN_B), (_LN_A, _B), (_A, _B)]
    flat = [*alone, *with_u, *with_v, *both]
    out = np.zeros((len(flat), len(UNKNOWNS), len(UNKNOWNS)))
    for number, place in enumerate(flat):
        if place is not None:
            i, j = place
            out[number, i, j] = out[number, j, i] = 1.0
    return np.asarray(form.spread.T @ out @ form.spread).reshape(len(flat), -1)
