"""Starts of a fit by variable projection: for given exponents the amplitudes are linear.

Golub and Pereyra 1973 (doi 10.1137/0710036). For k = 1 these are E, A and B of the loss, else A and
B to the power 1/k of (L - E)^(1/k). So a grid of exponents costs a few matrix products, for all
resamples at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

import numpy as np

from flopline.solvers.problem import Floats, Ints, Problem
from flopline.solvers.surface_family import NO_TERM, UNKNOWNS, Form

_EXPONENTS: Final = np.geomspace(0.05, 2.0, 9)
"""Exponents at which starts are sought; Hoffmann et al. 2022 start from 0 to 2."""
_POWERS: Final = (0.5, 1.0)
"""k of the starts, unless it equals an exponent: 0.31 to 0.90 in Videau et al. 2026."""
_FLOORS: Final = (0.3, 0.7)
"""E of the starts where k is not 1, as shares of the lowest loss."""
_FEW: Final = 9
"""As few cells as this are all starts."""
_SUPPORTS: Final = ((0, 1, 2), (1, 2), (0, 1), (0, 2))
"""Sets of amplitudes that are left free of zero; at least two terms are needed to be a start."""
_SINGULAR: Final = 1e-13
"""Determinant of the Gram matrix of unit columns below which rounding decides its sign."""
_CHUNK: Final = 32_768
"""Elements of one block of work, rows times cells."""


@dataclass(frozen=True, slots=True)
class GridCells:
    """Exponents and floors at which amplitudes are projected, and the blocks that they make.

    `unknowns` (cells, 6) lacks the amplitudes; `floor` is E as a share of the lowest loss, NaN
    where E is an amplitude; each of `blocks` holds the numbers of neighbouring cells.
    """

    unknowns: Floats
    floor: Floats
    blocks: tuple[Ints, ...]


@cache
def cells_of(form: Form[Any]) -> GridCells:
    """The cells of `form`: every third of the exponents, at every power, is a block."""
    steps: list[list[tuple[float, int]]] = []
    tied = {source for name, source in form.tied if name in ("a", "b")}
    for name in form.free:
        if name in ("a", "b") or name in tied:
            steps.append([(v, i // 3) for i, v in enumerate(_EXPONENTS)])
        elif name == "k":
            steps.append([(v, i) for i, v in enumerate(_POWERS)])
        else:
            steps.append([(0.0, 0)])
    rows, floors, places = [], [], []
    for cell in product(*steps):
        full = form.expand(np.array([[value for value, _ in cell]]))[0]
        linear = full[UNKNOWNS.index("k")] == 1.0
        floor_shares = (0.0,) if "E" not in form.free else (np.nan,) if linear else _FLOORS
        for share in floor_shares:
            rows.append(full)
            floors.append(share)
            places.append(tuple(place for _, place in cell))
    if len(rows) <= _FEW:
        places = [(i,) for i in range(len(rows))]
    blocks = tuple(
        np.flatnonzero([place == own for own in places]) for place in dict.fromkeys(places)
    )
    return GridCells(np.array(rows), np.array(floors), blocks)


def starts(problem: Problem, form: Form[Any], weights: Floats, count: int | None = None) -> Floats:
    """Starts (rows, starts, 6) under each row of `weights` (rows, points).

    The best cell of each of the `count` best blocks, the best first; without `count` every cell.
    """
    cells = cells_of(form)
    size = max(1, _CHUNK // len(cells.unknowns))
    blocks = [slice(i, i + size) for i in range(0, max(1, weights.shape[0]), size)]
    return np.concatenate(
        [_starts(problem.of_rows(rows), form, weights[rows], count) for rows in blocks]
    )


def _starts(problem: Problem, form: Form[Any], weights: Floats, count: int | None) -> Floats:
    cells = cells_of(form)
    amplitudes, error = project(problem, form, weights)
    rows = np.arange(error.shape[0])[:, None]
    chosen = np.broadcast_to(np.arange(error.shape[1]), error.shape)
    if count is not None:
        best = [block[error[:, block].argmin(axis=1)] for block in cells.blocks]
        chosen = np.stack(best, axis=1)
        order = error[rows, chosen].argsort(axis=1, kind="stable")
        chosen = chosen[rows, order[:, :count]]
    out, sizes, share = cells.unknowns[chosen], amplitudes[rows, chosen], cells.floor[chosen]
    out[..., 0] = np.where(np.isnan(share), sizes[..., 0], share * _lowest(problem))
    with np.errstate(divide="ignore"):
        ln_a, ln_b = np.log(sizes[..., 1]), np.log(sizes[..., 2])
    a, b, k = (out[..., UNKNOWNS.index(name)] for name in ("a", "b", "k"))
    # Columns were scaled to 1 at the smallest size and token count.
    out[..., 1] = np.maximum(k * ln_a + a * problem.x.min(), NO_TERM)
    out[..., 2] = np.maximum(k * ln_b + b * problem.y.min(), NO_TERM)
    return out


def _lowest(problem: Problem) -> Floats:
    """The lowest loss, shape (1,), or that of every row, (rows, 1)."""
    return np.asarray(np.exp(problem.target.min(axis=-1, keepdims=True)))


def project(problem: Problem, form: Form[Any], weights: Floats) -> tuple[Floats, Floats]:
    """Amplitudes >= 0 (rows, cells, 3) of least squared relative error of the loss, and that error.

    Negative amplitudes are clipped in each support and the best support kept: near enough to the
    constrained optimum for a start. Columns of A and B are 1 at the smallest x and y. The error
    (rows, cells) is infinite where it cannot be told.
    """
    cells = cells_of(form)
    amplitudes = np.zeros((weights.shape[0], len(cells.unknowns), 3))
    error = np.full(amplitudes.shape[:2], np.inf)
    for layer, power, share in _layers(cells):
        # With z = (L - E)^(1/k) an error of z counts k (L - E) / (z L) as much in ln L.
        floor = 0.0 if np.isnan(share) else share * _lowest(problem)
        loss = np.exp(problem.target)
        reducible = loss - floor
        z = reducible ** (1.0 / power)
        slope = power * reducible / (z * loss)
        sums = _Sums.of(problem, cells.unknowns[layer] / power, weights * slope**2, z)
        for support in _SUPPORTS if np.isnan(share) else _SUPPORTS[1:2]:
            trial, trial_error = sums.solved(support)
            better = trial_error < error[:, layer]
            error[:, layer] = np.where(better, trial_error, error[:, layer])
            amplitudes[:, layer] = np.where(better[..., None], trial, amplitudes[:, layer])
    return amplitudes, error


def _layers(cells: GridCells) -> Iterator[tuple[Ints, float, float]]:
    """The cells of one power and one floor, which share what is fitted, with these two."""
    keys = np.stack([cells.unknowns[:, UNKNOWNS.index("k")], cells.floor], axis=1)
    for key in dict.fromkeys(map(tuple, np.nan_to_num(keys, nan=-1.0).tolist())):
        alike = (np.nan_to_num(keys, nan=-1.0) == key).all(axis=1)
        yield np.flatnonzero(alike), key[0], key[1] if key[1] >= 0 else np.nan


@dataclass(frozen=True, slots=True)
class _Sums:
    """Normal equations of E, A and B at some cells; every array broadcasts to (rows, cells)."""

    gram: dict[tuple[int, int], Floats]
    moment: tuple[Floats, ...]
    square: Floats

    @classmethod
    def of(cls, problem: Problem, cells: Floats, weights: Floats, z: Floats) -> _Sums:
        """Sums under `weights` (rows, points) for the amplitudes of `z` (points,) or a row each."""
        (a, of_a), (b, of_b) = (
            np.unique(cells[:, UNKNOWNS.index(name)], return_inverse=True) for name in ("a", "b")
        )
        of_n = np.exp(-np.multiply.outer(a, problem.x - problem.x.min()))
        of_d = np.exp(-np.multiply.outer(b, problem.y - problem.y.min()))
        pulled = weights * z
        gram = {
            (0, 0): weights.sum(axis=1, keepdims=True),
            (0, 1): (weights @ of_n.T)[:, of_a],
            (0, 2): (weights @ of_d.T)[:, of_b],
            (1, 1): (weights @ (of_n * of_n).T)[:, of_a],
            (1, 2): weights @ (of_n[of_a] * of_d[of_b]).T,
            (2, 2): (weights @ (of_d * of_d).T)[:, of_b],
        }
        moment = (
            pulled.sum(axis=1, keepdims=True),
            (pulled @ of_n.T)[:, of_a],
            (pulled @ of_d.T)[:, of_b],
        )
        return cls(gram, moment, (pulled * z).sum(axis=1, keepdims=True))

    def solved(self, support: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Amplitudes (rows, cells, 3) by Cramer's rule, zero outside of `support`, and their error.

        Zero where the terms of the support cannot be told apart.
        """
        gram, moment = self.gram, self.moment
        out = np.zeros((*gram[1, 2].shape, 3))
        if len(support) == 2:
            i, j = support
            det = gram[i, i] * gram[j, j] - gram[i, j] ** 2
            out[..., i] = gram[j, j] * moment[i] - gram[i, j] * moment[j]
            out[..., j] = gram[i, i] * moment[j] - gram[i, j] * moment[i]
        else:
            ee, ea, eb = gram[0, 0], gram[0, 1], gram[0, 2]
            aa, ab, bb = gram[1, 1], gram[1, 2], gram[2, 2]
            h_e, h_a, h_b = moment
            co_ee, co_ea, co_eb = aa * bb - ab * ab, eb * ab - ea * bb, ea * ab - eb * aa
            co_aa, co_ab, co_bb = ee * bb - eb * eb, eb * ea - ee * ab, ee * aa - ea * ea
            det = ee * co_ee + ea * co_ea + eb * co_eb
            out[..., 0] = co_ee * h_e + co_ea * h_a + co_eb * h_b
            out[..., 1] = co_ea * h_e + co_aa * h_a + co_ab * h_b
            out[..., 2] = co_eb * h_e + co_ab * h_a + co_bb * h_b
        size = np.ones_like(det)
        for i in support:
            size = size * gram[i, i]
        regular = det > _SINGULAR * size
        out = np.where(
            regular[..., None],
            np.maximum(out, 0.0) / np.where(regular, det, 1.0)[..., None],
            0.0,
        )
        error = self.square + sum(
            (1 if i == j else 2) * out[..., i] * out[..., j] * g for (i, j), g in gram.items()
        )
        error = error - 2 * sum(out[..., i] * m for i, m in enumerate(moment))
        return out, np.where(np.isfinite(error), error, np.inf)
