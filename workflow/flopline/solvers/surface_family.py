"""The family E + (h_N^(1/k) + h_D^(1/k))^k, h = A/N^a and B/D^b, and the forms that it holds.

k = 1 is Chinchilla's, a = b ties its exponents, a free k is Skaling, and E = 0 with b = k is the
joint law of Kaplan et al. 2020: one family, so that one descent fits every form under every
objective. A form is one entry of FORMS and its surface in `flopline.surfaces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import numpy as np

from flopline.plugins import brought
from flopline.solvers.problem import Floats, Problem
from flopline.surfaces.chinchilla import EXPONENT_BOUNDS, POWER_BOUNDS, LossSurface
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.repeated import RepeatedSurface
from flopline.surfaces.skaling import SkalingSurface
from flopline.surfaces.surface import Law
from flopline.surfaces.tied import TiedSurface

UNKNOWNS: Final = ("E", "ln_A", "ln_B", "a", "b", "k")
"""The unknowns of the family, in the centred frame of a `Problem`; A and B stand for h at its
origin."""
NO_TERM: Final = -30.0
"""ln A or ln B of a term that moves no loss: the lower bound of their search."""
LOWER, UPPER = np.array(
    [
        (0.0, np.inf),
        (NO_TERM, -NO_TERM),
        (NO_TERM, -NO_TERM),
        EXPONENT_BOUNDS,
        EXPONENT_BOUNDS,
        POWER_BOUNDS,
    ]
).T
"""Bounds of the search."""

_CALLED: Final = (("ln_A", "A"), ("ln_B", "B"), ("a", "alpha"), ("b", "beta"))


class FamilySurface(Law, Protocol):
    """A loss surface that can be made from the unknowns of the family."""

    @classmethod
    def of_terms(
        cls, e: Floats, ln_a: Floats, ln_b: Floats, a: Floats, b: Floats, k: Floats
    ) -> Self:
        """The surface with floor `e` [nats], ln h_N = ln_a - a ln N and ln h_D = ln_b - b ln D.

        Numbers or arrays of shape (draws,); ln_a or ln_b is -inf where its term has vanished.

        Returns the surface in its own parameters, of the shape of the arguments.
        """


S = TypeVar("S", bound=FamilySurface)


@dataclass(frozen=True)
class Form(Generic[S]):
    """A law of the family: which unknowns are free, which follow from others, which are fixed.

    `surface` is the class of the law in the units of the points. `heading` and `formula` name the
    form by itself, `label` beside others in a few words, `phrase` in a sentence of the methods,
    marked up as `report.references` says. `free` names the free unknowns; `tied` maps an unknown
    to the free one that it equals; the rest are held at `fixed`, or where a descent starts.
    `called` holds the names of the law's parameters by unknown, where these are not A, B, alpha and
    beta. Every resample takes `own_starts` besides the optimum of all points: more than one where
    it has several minima.
    A form that is `on_ladder` is fitted at every step of the held-out ladder.
    """

    name: str
    surface: type[S]
    label: str
    phrase: str
    free: tuple[str, ...] = UNKNOWNS
    tied: tuple[tuple[str, str], ...] = ()
    fixed: tuple[tuple[str, float], ...] = ()
    called: tuple[tuple[str, str], ...] = ()
    own_starts: int = 1
    on_ladder: bool = True
    heading: str = ""
    formula: str = ""

    @property
    def title(self) -> str:
        """What the form is called by itself, in a sentence."""
        return self.heading or f"the form '{self.name}'"

    @cached_property
    def spread(self) -> Floats:
        """The matrix that takes the free unknowns to all six, but for the fixed ones."""
        out = np.zeros((len(UNKNOWNS), len(self.free)))
        for name, source in (*((f, f) for f in self.free), *self.tied):
            out[UNKNOWNS.index(name), self.free.index(source)] = 1.0
        return out

    @cached_property
    def held(self) -> Floats:
        """The fixed unknowns at their places, else 0."""
        values = dict(self.fixed)
        return np.array([values.get(name, 0.0) for name in UNKNOWNS])

    @cached_property
    def carried(self) -> list[int]:
        """The unknowns that a descent leaves where it starts: neither free, nor tied, nor fixed."""
        bound = {*self.free, *dict(self.tied), *dict(self.fixed)}
        return [i for i, name in enumerate(UNKNOWNS) if name not in bound]

    @cached_property
    def box(self) -> tuple[Floats, Floats]:
        """Bounds of the free unknowns: those of all that follow from each."""
        on = self.spread > 0
        lower = np.where(on, LOWER[:, None], -np.inf).max(axis=0)
        return lower, np.where(on, UPPER[:, None], np.inf).min(axis=0)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The free unknowns as the law calls its parameters, in their order."""
        called = dict((*_CALLED, *self.called))
        return tuple(called.get(name, name) for name in self.free)

    @cached_property
    def straight(self) -> bool:
        """Whether k = 1, so that the two terms are added as they are."""
        return dict(self.fixed).get("k") == 1.0

    @cached_property
    def _first_are_free(self) -> bool:
        """Whether the free unknowns are all that have slopes, in their order."""
        return not self.tied and self.free == UNKNOWNS[: 5 if self.straight else 6]

    def reduce(self, full: Floats) -> Floats:
        """The free unknowns (rows, free) of all six (rows, 6)."""
        return np.asarray(full[:, [UNKNOWNS.index(name) for name in self.free]])

    def expand(self, free: Floats) -> Floats:
        """All six unknowns (rows, 6) of the free ones (rows, free)."""
        return np.asarray(self.held + free @ self.spread.T)

    def gather(self, slopes: Floats) -> Floats:
        """Slopes along the free unknowns of those along the first 5 or all 6, on axis 1."""
        if self._first_are_free:
            return slopes
        return np.asarray(np.matmul(self.spread[: slopes.shape[1]].T, slopes))

    def law(self, problem: Problem, unknowns: Floats) -> S:
        """The law of all six unknowns, shape (6,) or (draws, 6), in the units of the points.

        Without an optimum, because a term has vanished, its amplitude is 0.
        """
        log_n, log_d, log_l = problem.centre
        e, ln_a, ln_b, a, b, k = np.moveaxis(unknowns, -1, 0)
        ln_a, ln_b = (
            np.where(ln <= NO_TERM, -np.inf, ln + exponent * centre + log_l)
            for ln, exponent, centre in ((ln_a, a, log_n), (ln_b, b, log_d))
        )
        with np.errstate(over="ignore"):
            return self.surface.of_terms(e * np.exp(log_l), ln_a, ln_b, a, b, k)

    def as_stated(self, problem: Problem, unknowns: Floats) -> LossSurface:
        """The same law as a fit states that of any form: E + (A / N^alpha + B / D^beta)^k."""
        log_n, log_d, log_l = problem.centre
        e, ln_a, ln_b, a, b, k = np.moveaxis(unknowns, -1, 0)
        with np.errstate(over="ignore"):
            of_params, of_tokens = (
                np.exp(np.where(ln <= NO_TERM, -np.inf, (ln + exponent * centre + log_l) / k))
                for ln, exponent, centre in ((ln_a, a, log_n), (ln_b, b, log_d))
            )
        floor, power = e * np.exp(log_l), 1.0 if self.straight else k
        return LossSurface(floor, of_params, of_tokens, a / k, b / k, k=power)

    def on_bounds(self, unknowns: Floats) -> list[str]:
        """Parameters of the law on a bound of the search, or whose term has vanished, at (6,)."""
        lower, upper = self.box
        free = self.reduce(unknowns[None])[0]
        at = (free <= lower) | (free >= upper)
        return [name for name, hit in zip(self.names, at, strict=True) if hit]


CHINCHILLA: Final = Form[LossSurface](
    "chinchilla",
    LossSurface,
    "one exponent for each term",
    "the form of @hoffmann2022",
    free=("E", "ln_A", "ln_B", "a", "b"),
    fixed=(("k", 1.0),),
    heading="Chinchilla's form",
    formula="L(N, D) = E + A/N^α + B/D^β",
)
TIED: Final = Form(
    "tied",
    TiedSurface,
    "one exponent for both terms",
    "one exponent for both terms [@gadre2024]",
    free=("E", "ln_A", "ln_B", "a"),
    tied=(("b", "a"),),
    fixed=(("k", 1.0),),
    heading="the tied form",
    formula="L(N, D) = E + A/N^α + B/D^α",
)
SKALING: Final = Form(
    "skaling",
    SkalingSurface,
    "reducible loss to a power k",
    "the reducible loss raised to a power [@videau2026]",
    heading="the Skaling form",
    formula="L(N, D) = E + (A/N^α + B/D^β)^k",
)
KAPLAN: Final = Form(
    "kaplan",
    KaplanSurface,
    "Kaplan's joint law, no floor",
    "the joint law of @kaplan2020",
    free=("ln_A", "ln_B", "a", "k"),
    tied=(("b", "k"),),
    fixed=(("E", 0.0),),
    called=(("ln_A", "N_c"), ("ln_B", "D_c"), ("a", "alpha_N"), ("k", "alpha_D")),
    own_starts=4,
    on_ladder=False,
    heading="Kaplan's joint form",
    formula="L(N, D) = (A/N^α + B/D)^k",
)
"""From one start 5 % of the resamples of the default study's runs end in a higher minimum; those of
the other forms agree from every start. A law without a floor predicts too low losses of larger runs
however well it fits, so that it is not on the ladder."""
REPEATED: Final = Form[RepeatedSurface](
    "repeated",
    RepeatedSurface,
    "repeated data, targets with fresh tokens",
    "the law of repeated data of @muennighoff2023",
    free=CHINCHILLA.free,
    fixed=CHINCHILLA.fixed,
    heading="the form of repeated data",
    formula="L(N, D, U) = E + A/N'^α + B/D'^β",
)
"""Chinchilla's form of the tokens that count (`form_fits.solve_repeated`), for runs that tell their
unique tokens: not one of FORMS."""

FORMS: Final[dict[str, Form[Any]]] = {
    form.name: form for form in (CHINCHILLA, TIED, SKALING, KAPLAN)
}
"""The forms by name, the main one first; a line here is all that a form needs to be fitted, drawn
and named in every study."""
for brought_form in brought("surfaces"):
    FORMS.setdefault(brought_form.name, brought_form)


def unknowns_of(problem: Problem, surface: LossSurface) -> Floats:
    """All six unknowns, (6,) or (draws, 6), of a `surface`: inverse of `Form.as_stated`."""
    log_n, log_d, log_l = problem.centre
    e, a, b, alpha, beta = (
        np.asarray(getattr(surface, name), float) for name in ("E", "A", "B", "alpha", "beta")
    )
    k = np.asarray(surface.k, float) * np.ones_like(e)
    with np.errstate(divide="ignore"):
        ln_a, ln_b = (
            np.maximum(k * np.log(size) - k * exponent * centre - log_l, NO_TERM)
            for size, exponent, centre in ((a, alpha, log_n), (b, beta, log_d))
        )
    return np.stack([e * np.exp(-log_l), ln_a, ln_b, k * alpha, k * beta, k], axis=-1)
