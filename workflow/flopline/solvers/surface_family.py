"""The family E + (h_N^(1/k) + h_D^(1/k))^k, h = A/N^a and B/D^b, and the forms that it holds.

k = 1 is Chinchilla's, a = b ties its exponents, a free k is Skaling (Videau et al. 2026, arXiv
2608.07222), and E = 0 with b = k is the joint law of Kaplan et al. 2020 (arXiv 2001.08361): one
family, so that one descent (`bent`) fits every form under every objective. A form in FORMS is a
variant of every parametric fit, a candidate of the held-out ladder and a line of the methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np

from flopline.solvers.newton import EXPONENT_BOUNDS, Floats, Problem
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.skaling import SkalingSurface
from flopline.surfaces.surface import START_EXPONENTS, Law
from flopline.surfaces.tied import TiedSurface

FULL: Final = ("E", "ln_A", "ln_B", "a", "b", "k")
"""The unknowns of the family, in the centred frame of `newton.Problem`; A and B stand for h at its
origin."""
NO_TERM: Final = -30.0
"""ln A or ln B of a term that moves no loss: the lower bound of their search."""
LOWER: Final = np.array([0.0, NO_TERM, NO_TERM, EXPONENT_BOUNDS[0], EXPONENT_BOUNDS[0], 0.05])
UPPER: Final = np.array([np.inf, 30.0, 30.0, EXPONENT_BOUNDS[1], EXPONENT_BOUNDS[1], 5.0])
"""Bounds of the search. k = 0.05 is nearly the larger of the two terms."""

_START_FLOORS = (0.3, 0.7)
_START_POWERS = (0.5, 1.0)


@dataclass(frozen=True)
class Form:
    """A law of the family: which unknowns are free, which follow from others, which are fixed.

    `surface` is the class of the law in the units of the points. `label` says the form beside
    others in a few words, `phrase` in a sentence of the methods, marked up as `report.references`
    says. `free` names the free unknowns; `tied` maps an unknown to the free one that it equals; the
    rest are held at `fixed`. Resamples of a `rugged` form have several minima and take more starts.
    A form that `climbs` is fitted at every step of the held-out ladder.
    """

    name: str
    surface: type[Law]
    label: str
    phrase: str
    free: tuple[str, ...]
    tied: tuple[tuple[str, str], ...] = ()
    fixed: tuple[tuple[str, float], ...] = ()
    rugged: bool = False
    climbs: bool = True

    @cached_property
    def spread(self) -> Floats:
        """The matrix that takes the free unknowns to all six, but for the fixed ones."""
        out = np.zeros((len(FULL), len(self.free)))
        for name, source in (*((f, f) for f in self.free), *self.tied):
            out[FULL.index(name), self.free.index(source)] = 1.0
        return out

    @cached_property
    def held(self) -> Floats:
        """The fixed unknowns at their places, else 0."""
        values = dict(self.fixed)
        return np.array([values.get(name, 0.0) for name in FULL])

    @cached_property
    def box(self) -> tuple[Floats, Floats]:
        """Bounds of the free unknowns: those of all that follow from each."""
        on = self.spread > 0
        lower = np.where(on, LOWER[:, None], -np.inf).max(axis=0)
        return lower, np.where(on, UPPER[:, None], np.inf).min(axis=0)

    def reduce(self, full: Floats) -> Floats:
        """The free unknowns (rows, free) of all six (rows, 6)."""
        return np.asarray(full[:, [FULL.index(name) for name in self.free]])

    def expand(self, free: Floats) -> Floats:
        """All six unknowns (rows, 6) of the free ones (rows, free)."""
        return np.asarray(self.held + free @ self.spread.T)


CHINCHILLA: Final = Form(
    "chinchilla",
    LossSurface,
    "one exponent for each term",
    "the form of @hoffmann2022",
    free=("E", "ln_A", "ln_B", "a", "b"),
    fixed=(("k", 1.0),),
)
TIED: Final = Form(
    "tied",
    TiedSurface,
    "one exponent for both terms",
    "one exponent for both terms [@gadre2024]",
    free=("E", "ln_A", "ln_B", "a"),
    tied=(("b", "a"),),
    fixed=(("k", 1.0),),
)
SKALING: Final = Form(
    "skaling",
    SkalingSurface,
    "reducible loss to a power k",
    "the reducible loss raised to a power [@videau2026]",
    free=FULL,
)
KAPLAN: Final = Form(
    "kaplan",
    KaplanSurface,
    "Kaplan's joint law, no floor",
    "the joint law of @kaplan2020",
    free=("ln_A", "ln_B", "a", "k"),
    tied=(("b", "k"),),
    rugged=True,
    climbs=False,
)
"""From one start 5 % of the resamples of the default study's runs end in a higher minimum; those of
the other forms agree from every start. A law without a floor foretells too low losses of larger
runs however well it fits, so that it does not climb."""

FORMS: Final = {form.name: form for form in (CHINCHILLA, TIED, SKALING, KAPLAN)}
"""The forms by name, the main one first; a line here is all that a form needs to be fitted, drawn
and told in every study."""


def starting_points(problem: Problem, form: Form) -> Floats:
    """Starts (starts, free) of `form`: exponents and floors in steps, both terms equal at centre.

    There they give the geometric mean loss, which is 1 in the frame.
    """
    lowest = float(np.exp(problem.target.min()))
    powers = _START_POWERS if "k" in form.free else (1.0,)
    rows = []
    for floor, a, b, k in product(_START_FLOORS, START_EXPONENTS, START_EXPONENTS, powers):
        k = b if ("b", "k") in form.tied else k
        e = floor * lowest if "E" in form.free else 0.0
        amplitude = np.log(1.0 - e) - k * np.log(2.0)
        rows.append((e, amplitude, amplitude, a, b, k))
    full = np.array(rows)
    for name, source in form.tied:
        full = full[full[:, FULL.index(name)] == full[:, FULL.index(source)]]
    return np.unique(form.reduce(full), axis=0)


def law_of(problem: Problem, form: Form, full: Floats) -> Law:
    """The law of all six unknowns, shape (6,) or (draws, 6), in the units of the points.

    Without an optimum, because a term has vanished, its amplitude is 0.
    """
    log_n, log_d, log_l = problem.centre
    e, ln_a, ln_b, a, b, k = np.moveaxis(full, -1, 0)
    with np.errstate(over="ignore"):
        floor = e * np.exp(log_l)
        ln_a, ln_b = (
            np.where(ln <= NO_TERM, -np.inf, ln + exponent * centre + log_l)
            for ln, exponent, centre in ((ln_a, a, log_n), (ln_b, b, log_d))
        )
        if form.surface is KaplanSurface:
            return KaplanSurface(a, k, np.exp(ln_a / a), np.exp(ln_b / k))
        if form.surface is SkalingSurface:
            return SkalingSurface(floor, np.exp(ln_a / k), np.exp(ln_b / k), a / k, b / k, k)
        if form.surface is TiedSurface:
            return TiedSurface(floor, np.exp(ln_a), np.exp(ln_b), a)
        return LossSurface(floor, np.exp(ln_a), np.exp(ln_b), a, b)


def unknowns_of(problem: Problem, surface: LossSurface) -> Floats:
    """All six unknowns (6,) of Chinchilla's form at `surface`, in the frame of the problem."""
    e, a, b, alpha, beta = problem.unknowns(surface)
    with np.errstate(divide="ignore"):
        ln_a, ln_b = np.maximum(np.log([a, b]), NO_TERM)
    return np.array([e, ln_a, ln_b, alpha, beta, 1.0])


def points_of(problem: Problem) -> dict[str, Floats]:
    """params [weights], tokens and loss [nats per token] of the problem's points."""
    logs = np.stack([problem.x, problem.y, problem.target]) + problem.centre[:, None]
    return dict(zip(("params", "tokens", "loss"), np.exp(logs), strict=True))
