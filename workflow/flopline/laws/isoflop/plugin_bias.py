"""The parabola's own bias on the actual grid of a budget, from a loss surface plugged in.

A loss profile is no parabola in ln N: where alpha differs from beta, or the grid sits off its
optimum, the vertex misses it even without noise (Czech et al. 2026, arXiv 2603.22339). A fitted
surface says by how much: the same parabolas through its losses at the runs' own (params, tokens),
less its true optimum. Asymmetric, off-centre and drifting grids need nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import progress
from flopline.laws.isoflop.profiles import parabola
from flopline.laws.isoflop.valley import (
    GEOMETRIC,
    Resamples,
    Vertices,
    compute_of,
    vertices_of,
)
from flopline.solvers.minimisation import ONCE, minimise, minimise_resamples
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Problem, blocks_of
from flopline.solvers.surface_family import CHINCHILLA, UNKNOWNS
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.surfaces.count import Count, best_split

Floats = NDArray[np.float64]

HUBER_DELTA: Final = 1e-3
"""On log loss, summed (Hoffmann et al. 2022, arXiv 2203.15556, section 3.3)."""
MIN_POINTS: Final = 6
"""Distinct (N, D) that a surface takes: one more than its parameters."""


class SurfaceCertificate(TypedDict, total=False):
    """What certifies the surface that is plugged in; empty where there is none."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    starts: int
    starts_agree: int
    bounds: list[str]
    rms_log_residual: float
    draws_without_surface: int


@dataclass(frozen=True, slots=True)
class PluggedIn:
    """A surface for the data (arrays of length 1) and one for every draw, NaN where there is none.

    `reason` says why there is none to be used, empty if there is.
    """

    point: LossSurface
    drawn: LossSurface
    reason: str
    certificate: SurfaceCertificate

    def spending(self, count: Count) -> PluggedIn:
        """The surfaces with budgets spent by `count`, one for all draws."""
        point, drawn = (replace(s, count=count) for s in (self.point, self.drawn))
        return replace(self, point=point, drawn=drawn)


def fit_surfaces(table: pd.DataFrame, draws: Resamples) -> PluggedIn:
    """L = E + A/N^alpha + B/D^beta through all runs, and in each of the `draws`.

    Huber loss on log loss, as in the parametric fit. A draw with fewer than MIN_POINTS distinct
    (N, D), without convergence or without an optimum has no surface.
    """
    params, tokens, loss = (table[c].to_numpy(float) for c in ("params", "tokens", "loss"))
    place = np.unique(params + 1j * tokens, return_inverse=True)[1].ravel()
    problem = Problem.of(params, tokens, loss, log_huber(HUBER_DELTA))
    drawn = np.full((draws.new_run.size, len(UNKNOWNS)), np.nan)
    if place.max() + 1 < MIN_POINTS:
        nothing = CHINCHILLA.law(problem, np.full((1, len(UNKNOWNS)), np.nan))
        reason = f"there are fewer than {MIN_POINTS} distinct runs"
        return PluggedIn(nothing, CHINCHILLA.law(problem, drawn), reason, {})
    with progress.part(ONCE):
        best, starts, agreeing = minimise(problem, CHINCHILLA, np.ones(loss.size))
    bounds = CHINCHILLA.on_bounds(best.unknowns[0])
    reason = _fault(bool(best.converged[0]), bounds)
    blocks = [] if reason else blocks_of(len(drawn), loss.size)
    for block in progress.over(blocks):
        drawn[block] = _drawn(problem, place, draws.some(block), best.unknowns[0])
    point, surfaces = CHINCHILLA.law(problem, best.unknowns), CHINCHILLA.law(problem, drawn)
    residual = np.log(point.loss(params, tokens)[0] / loss)
    e, a, b, alpha, beta = (float(getattr(point, name)[0]) for name in PARAMETERS)
    certificate: SurfaceCertificate = {
        "E": e,
        "A": a,
        "B": b,
        "alpha": alpha,
        "beta": beta,
        "starts": starts,
        "starts_agree": agreeing,
        "bounds": bounds,
        "rms_log_residual": float(np.sqrt(np.mean(residual**2))),
        "draws_without_surface": int(np.isnan(surfaces.G).sum()),
    }
    return PluggedIn(point, surfaces, reason, certificate)


def _drawn(problem: Problem, place: NDArray[np.int64], draws: Resamples, near: Floats) -> Floats:
    """The unknowns (draws, 6) of the surface of every draw, NaN where there is none."""
    out = np.full((draws.new_run.size, len(UNKNOWNS)), np.nan)
    weights = np.asarray(draws.weights, dtype=float)
    enough = (_places(place, weights) >= MIN_POINTS) & np.isfinite(draws.losses).all(axis=-1)
    enough = np.broadcast_to(enough, len(out))
    if enough.any():
        rows = slice(None) if enough.all() else np.flatnonzero(enough)
        again = problem.with_losses(draws.losses).of_rows(rows)
        each = np.broadcast_to(weights, (len(out), weights.shape[1]))[rows]
        optima, _ = minimise_resamples(again, CHINCHILLA, each, near)
        out[rows] = np.where(optima.converged[:, None], optima.unknowns, np.nan)
    return out


def _fault(converged: bool, bounds: list[str]) -> str:
    if not converged:
        return "the optimiser did not reach an optimum"
    for axis, amplitude in (("params", "A"), ("tokens", "B")):
        if amplitude in bounds:
            return f"the losses do not fall with {axis}, so no budget has a best split"
    return ""


def _places(place: NDArray[np.int64], weights: Floats) -> NDArray[np.int64]:
    """How many distinct places carry weight in each row of `weights`."""
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    return np.asarray((np.add.reduceat(weights[:, order], first, axis=1) > 0).sum(axis=1))


def plugin_bias(surface: LossSurface, rows: pd.DataFrame, weights: Floats) -> Vertices:
    """Bias of one budget's parabolas in ln N, ln D and loss; ln_flops is that of 6ND or, where the
    surface has a count of FLOPs, of this.

    `rows` are the runs that the parabolas see. `surface` has one set of parameters a row of
    `weights` (rows, runs): both are those of a draw, so that a corrected draw carries the error of
    its own correction.
    """
    params, tokens = rows["params"].to_numpy(float), rows["tokens"].to_numpy(float)
    predicted = surface.loss(params, tokens)
    # The surface spends 6ND within the few percent up to which a study's FLOPs are taken for it.
    spent = compute_of(surface.flops(params, tokens), np.nan, weights, GEOMETRIC)
    ln_spent = np.broadcast_to(spent, len(predicted))
    draws = Resamples(weights, predicted, np.zeros(1), np.full(params.size, np.nan))
    seen = vertices_of(rows, draws, parabola, ln_spent)
    ln_n, ln_d, loss = optimum(surface, ln_spent)
    return Vertices(seen.ln_params - ln_n, seen.ln_tokens - ln_d, seen.loss - loss, ln_spent)


def optimum(surface: LossSurface, ln_flops: Floats) -> tuple[Floats, Floats, Floats]:
    """ln N, ln D and loss of the optimum of every surface at a budget of its own, all (rows,)."""
    e, a, b, alpha, beta = (np.asarray(getattr(surface, name), float) for name in PARAMETERS)
    if surface.count is None:
        ln_nd, ln_g = ln_flops - np.log(6.0), np.log(surface.G)
        ln_n, ln_d = ln_g + surface.a * ln_nd, surface.b * ln_nd - ln_g
    else:
        own = np.exp(ln_flops)[:, None]
        ln_n, ln_d = (v[:, 0] for v in best_split(surface.count, (a, b, alpha, beta), own))
    return ln_n, ln_d, e + a * np.exp(-alpha * ln_n) + b * np.exp(-beta * ln_d)
