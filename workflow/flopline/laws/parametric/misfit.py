"""Does a surface fit its runs, judged by where a misfit would show and by the runs' own scatter?

Each test adds to the surface, near its optimum, what the form would have to bend by: another level
of each stretch of compute (an S over budgets is found so), of the sixth of the runs of largest
compute, of a single run of the largest compute, of the largest sizes, of the most tokens per param,
and the parameters of the wider family that the form holds fixed, as the power k of Chinchilla's.
Each is an F test against the scatter that is left, the residuals of a few runs far off being cut
back; together they are held to one level by Holm's rule (1979, doi 10.2307/4615733), so that of
sound studies one in twenty is warned of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import fdtrc, xlogy

from flopline.documents import MisfitJson
from flopline.laws.common.bootstrap import named_generator
from flopline.laws.common.budgets import SAME_BUDGET, by_gaps
from flopline.numbers import flops_label, significant
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.skaling import SkalingSurface
from flopline.surfaces.surface import Law, parameters
from flopline.surfaces.tied import TiedSurface

LEVEL: Final = 0.025
"""Nominal chance of warning of a sound study, all tests together: Gauss's distribution of errors
that a fit of few runs and curved terms leaves is but nearly that of F (docs/uncertainty.md says of
how many simulated sound studies are warned)."""
WIDER_LEVEL: Final = 0.01
"""Below this p value the parameters of a wider form are evidence by themselves: its interval then
leaves out what the form holds fixed, such as k = 1."""
MOST_STRETCHES: Final = 10
"""Stretches of compute at most, and the runs that each must hold on average."""
RUNS_A_STRETCH: Final = 4
TOP_SHARE: Final = 1 / 6
"""Share of the runs that count as the largest; from these every forecast starts."""
MIN_TOP: Final = 3
CUT: Final = 3.0
"""Robust standard deviations at which a residual is cut back: real losses have heavier tails than
normal ones, and a few runs far off are told of by themselves."""
SPARE: Final = 3
"""Degrees of freedom that must be left for the scatter."""
ALONE: Final = 1e-6
"""Share of a direction that must be left beside the surface's own, for it to be one of its own."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Misfit:
    """The p value of each test by name, NaN where it could not be made, and what stands out.

    `p_value` is that of all tests together; `between_sd` is the standard deviation of ln loss by
    which stretches of compute lie off the surface beyond chance, 0 where nothing was found;
    `stretch` (points,) numbers the stretch of each point. `words` says of each test what it saw,
    `off` how far off that is [percent of the loss], where it is a distance.
    """

    p_values: Mapping[str, float]
    p_value: float
    between_sd: float
    stretch: NDArray[np.intp]
    words: Mapping[str, str]
    off: Mapping[str, float] = field(default_factory=dict)

    @property
    def significant(self) -> bool:
        """Whether chance alone hardly explains what the surface misses."""
        return bool(self.p_value < LEVEL)

    def sentence(self) -> str:
        """Where the surface misses the runs, empty where nothing was found."""
        if not self.significant:
            return ""
        seen = [name for name, p in adjusted(self.p_values).items() if p < LEVEL]
        first = min(seen, key=lambda name: self.p_values[name])
        p = self.p_values[first]
        level = f"p = {p:.2g}" if p >= 1e-12 else "p < 1e-12"
        others = [SHORT[name] for name in seen if name not in (first, TOP)]
        also = f"; {' and '.join(others)} tell it, too" if others else ""
        top = f"; {self.words[TOP]}" if TOP in seen and first != TOP else ""
        reach = "hold up to there" if TOP in seen else "fit these runs"
        return (
            f"{self.words[first]} ({level}{also}){top}, so the form does not {reach} and forecasts "
            "beyond are biased"
        )

    def clause(self) -> str:
        """The sentence without its levels and second findings, to stand beside an answer."""
        if not self.significant:
            return ""
        first = self.foremost()
        return (
            f"{self.words[first]}, so that {OR_ELSE.get(first, '')}the law's form is not that of "
            "these runs, and forecasts beyond them may be biased"
        )

    def foremost(self) -> str:
        """The test that is told of: the largest runs first, since every forecast starts there."""
        seen = [name for name, p in adjusted(self.p_values).items() if p < LEVEL]
        return TOP if TOP in seen else min(seen, key=lambda name: self.p_values[name])

    def clauses(self) -> list[str]:
        """The sentence, for a list of what is to be minded."""
        return [self.sentence()] if self.significant else []

    def errors(self, draws: int, seed: int, some: Ints | slice = slice(None)) -> Floats | None:
        """An error of ln loss for each point (points,) in each of some of the `draws`, alike within
        a stretch.

        None where nothing was found, so that nothing is to be widened.
        """
        if self.between_sd == 0 or draws == 0:
            return None
        rng = named_generator(seed, "misfit")
        of_stretch = rng.standard_normal((draws, int(self.stretch.max()) + 1))
        return np.asarray(self.between_sd * of_stretch[some][:, self.stretch])

    def of_new_run(self, draws: int, seed: int) -> Floats:
        """The error of ln loss of one more run, (draws,): it lies in a stretch of its own."""
        if self.between_sd == 0:
            return np.zeros(draws)
        rng = named_generator(seed, "misfit of a new run")
        return np.asarray(self.between_sd * rng.standard_normal(draws))

    def to_json(self) -> MisfitJson:
        """The certificate's entry; NaN becomes None on writing."""
        found: MisfitJson = {
            "found": self.significant,
            "p_value": self.p_value,
            "p_values": dict(self.p_values),
            "between_sd": self.between_sd,
            "clause": self.clause(),
        }
        off = self.off.get(self.foremost()) if self.significant else None
        if off is not None:
            found["off_percent"] = off
        return found


STRETCHES, TOP, LARGEST_RUN, SIZES, RATIOS, WIDER = (
    "stretches",
    "top_runs",
    "largest_run",
    "largest_sizes",
    "most_tokens_per_param",
    "wider_form",
)
SHORT: Final = {
    STRETCHES: "stretches of compute",
    TOP: "the runs of largest compute",
    LARGEST_RUN: "the largest run",
    SIZES: "the largest sizes",
    RATIOS: "the runs of most tokens per param",
    WIDER: "a wider form",
}
"""The tests in a few words."""
OR_ELSE: Final = {
    STRETCHES: "some budget is off or ",
    LARGEST_RUN: "this run is off or ",
}
"""What may be wrong instead of the form, by the test that tells it."""


def misfit(
    law: Law, table: pd.DataFrame, held: Collection[str] = (), **covariates: Floats
) -> Misfit:
    """Whether the runs of `table` lie about a fitted `law` as by chance.

    `table` has run, params [weights], tokens, flops and log_residual, seen less fitted; rows of one
    run count as one. `held` are parameters of the law that sit on a bound, `covariates` what else
    than params and tokens it takes, row by row of the table.
    """
    number, names = pd.factorize(table["run"])
    order = np.argsort(number, kind="stable")
    size = np.bincount(number).astype(float)
    first = np.flatnonzero(np.diff(number[order], prepend=-1))

    def by_run(values: Floats) -> Floats:
        return np.asarray(np.bincount(number, values, size.size) / size)

    columns = {c: table[c].to_numpy(dtype=float) for c in ("params", "tokens", "flops")}
    at = (columns["params"], columns["tokens"])
    slopes = law.log_loss_gradient(*at, **covariates)
    free = [name not in held for name in parameters(law)]
    own = _basis(np.stack([by_run(column) for column in slopes.T[free]], axis=1))
    residual = by_run(table["log_residual"].to_numpy(dtype=float))
    cut = _cut_back(residual, own)
    params, tokens, flops = (np.maximum.reduceat(c[order], first) for c in columns.values())
    stretch = stretches(flops)
    levels = np.eye(int(stretch.max()) + 1)[stretch]
    p_values = {STRETCHES: _p(cut, own, levels)}
    groups = {TOP: top(flops), SIZES: top(params), RATIOS: top(tokens / params)}
    p_values |= {name: _p(cut, own, here[:, None].astype(float)) for name, here in groups.items()}
    p_values[LARGEST_RUN], largest = _largest_run(residual, cut, own, flops)
    wider = _of_family(law, *at)
    if wider is not None:
        every = np.stack([by_run(column) for column in wider.T], axis=1)
        p_values[WIDER] = _p(cut, own, every)
    p_value = min(adjusted(p_values).values(), default=np.nan)
    mean = _means(cut - own @ (own.T @ cut), stretch)
    words = _words(p_values, residual, groups, mean, flops, stretch, largest, list(names))
    sd = _between(cut, own, stretch) if p_value < LEVEL else 0.0
    far = {STRETCHES: np.abs(mean).max(), LARGEST_RUN: abs(residual[largest])}
    far |= {name: abs(residual[here].mean()) for name, here in groups.items() if here.any()}
    off = {name: 100 * float(value) for name, value in far.items()}
    return Misfit(p_values, float(p_value), sd, stretch[number], words, off)


def stretches(flops: Floats) -> NDArray[np.intp]:
    """The stretch of compute that each run lies in: its budget, or one of equal numbers of runs."""
    groups = by_gaps(flops, SAME_BUDGET)
    count = len(groups.nominal)
    most = min(MOST_STRETCHES, flops.size // RUNS_A_STRETCH)
    if 3 <= count <= most and (groups.group >= 0).all():
        order = np.argsort(np.argsort([flops[groups.group == i].mean() for i in range(count)]))
        return np.asarray(order[groups.group], dtype=np.intp)
    rank = np.argsort(np.argsort(flops, kind="stable"), kind="stable")
    return np.asarray(rank * max(most, 1) // flops.size, dtype=np.intp)


def top(values: Floats) -> Bools:
    """The runs of the largest `values`, a share TOP_SHARE and all that are tied with them."""
    count = max(MIN_TOP, round(TOP_SHARE * values.size))
    if count >= values.size:
        return np.zeros(values.size, dtype=bool)
    edge = np.sort(values)[-count]
    return np.asarray(values >= edge * (1 - 1e-9))


def adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p values by Holm's rule, that of the wider form also against its own level."""
    out = holm(p_values)
    if WIDER in out:
        out[WIDER] = min(out[WIDER], p_values[WIDER] * LEVEL / WIDER_LEVEL)
    return out


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p values of tests that were made, adjusted for their number."""
    made = sorted((p, name) for name, p in p_values.items() if np.isfinite(p))
    out, highest = {}, 0.0
    for rank, (p, name) in enumerate(made):
        highest = max(highest, min(1.0, (len(made) - rank) * p))
        out[name] = highest
    return out


def _basis(columns: Floats) -> Floats:
    """Orthonormal columns that span `columns` (runs, k)."""
    length = np.linalg.norm(columns, axis=0)
    columns = columns[:, length > 0] / length[length > 0]
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, singular > 1e-7 * singular.max(initial=0.0)])


def _of_family(law: Law, params: Floats, tokens: Floats) -> Floats | None:
    """Slopes of ln L along all parameters of the family that holds the law's form, k among them."""
    match law:
        case LossSurface():
            surface = law
        case TiedSurface():
            surface = law.untied
        case SkalingSurface() | KaplanSurface():
            power = law.k if isinstance(law, SkalingSurface) else law.alpha_D
            surface = replace(law.inner, E=getattr(law, "E", 0.0), k=power)
        case _:
            return None
    slopes = surface.log_loss_gradient(params, tokens)
    if not surface.straight:
        return slopes
    above = surface.reducible(params, tokens)
    # Where nothing lies above E, as with A and B at 0, x ln x is 0.
    of_power = xlogy(above, above) / surface.loss(params, tokens)
    return np.concatenate([slopes, of_power[:, None]], axis=1)


def _cut_back(residual: Floats, own: Floats) -> Floats:
    """Residuals whose part beside `own` is at most CUT robust standard deviations."""
    y = residual
    freedom = max(residual.size - own.shape[1], 1)
    for _ in range(20):
        fitted = own @ (own.T @ y)
        rest = residual - fitted
        largest = np.sort(np.abs(rest))[::-1][:freedom]
        scale = 1.4826 * float(np.median(largest)) if freedom > 1 else float(largest[0])
        again = fitted + np.clip(rest, -CUT * scale, CUT * scale)
        if np.allclose(again, y, rtol=0, atol=1e-12):
            break
        y = again
    return np.asarray(y)


def _p(y: Floats, own: Floats, more: Floats) -> float:
    """p value of the directions `more` (runs, k) beside those of the surface, by an F test."""
    beside = more - own @ (own.T @ more)
    there = np.linalg.norm(beside, axis=0) > np.sqrt(ALONE) * np.linalg.norm(more, axis=0)
    if not there.any():
        return float("nan")
    added = _basis(beside[:, there])
    rest = y - own @ (own.T @ y)
    explained = added.T @ rest
    freedom = y.size - own.shape[1] - added.shape[1]
    left = float(rest @ rest - explained @ explained)
    if freedom < SPARE or not left > (1e-10 * np.abs(y).max(initial=0.0)) ** 2:
        return float("nan")
    f = float(explained @ explained) / added.shape[1] / (left / freedom)
    return float(fdtrc(added.shape[1], freedom, f))


def _largest_run(residual: Floats, y: Floats, own: Floats, flops: Floats) -> tuple[float, int]:
    """p value of the run of the largest budget that lies farthest off, and which it is.

    Its own residual is not cut back; where several runs share that budget, any may be it.
    """
    at_top = np.flatnonzero(flops >= flops.max() * np.exp(-SAME_BUDGET))
    # The F test of a level of its own for each run, `_p` with one more direction, for all at once.
    mine, moved = own[at_top], residual[at_top] - y[at_top]
    rest = y - own @ (own.T @ y)
    alone = 1.0 - np.einsum("ij,ij->i", mine, mine)
    freedom = y.size - own.shape[1] - 1
    p = np.full(at_top.size, np.nan)
    if freedom >= SPARE:
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = (rest[at_top] + moved * alone) ** 2 / alone
            squares = rest @ rest + moved * (2.0 * rest[at_top] + moved * alone)
            left = squares - explained
            largest = np.maximum(np.abs(y).max(initial=0.0), np.abs(residual[at_top]))
            told = (alone > ALONE) & (left > (1e-10 * largest) ** 2)
            p[told] = fdtrc(1, freedom, explained[told] / (left[told] / freedom))
    if np.isnan(p).all():
        return float("nan"), int(at_top[0])
    best = int(np.nanargmin(p))
    return min(1.0, float(p[best]) * at_top.size), int(at_top[best])


def _means(rest: Floats, stretch: NDArray[np.intp]) -> Floats:
    return np.asarray(np.bincount(stretch, rest) / np.bincount(stretch).clip(1))


def _between(y: Floats, own: Floats, stretch: NDArray[np.intp]) -> float:
    """Standard deviation of the levels of stretches about the surface, beyond that of their runs.

    By moments: what the stretches explain beside the surface, less what scatter explains of them.
    """
    levels = np.eye(int(stretch.max()) + 1)[stretch]
    beside = levels - own @ (own.T @ levels)
    added = _basis(beside)
    rest = y - own @ (own.T @ y)
    explained = added.T @ rest
    freedom = max(y.size - own.shape[1] - added.shape[1], 1)
    scatter = float(rest @ rest - explained @ explained) / freedom
    spread = float((beside**2).sum())
    excess = float(explained @ explained) - added.shape[1] * scatter
    return float(np.sqrt(max(excess, 0.0) / spread)) if spread > 0 else 0.0


def _words(
    p_values: Mapping[str, float],
    residual: Floats,
    groups: Mapping[str, Bools],
    means: Floats,
    flops: Floats,
    stretch: NDArray[np.intp],
    largest: int,
    names: list[str],
) -> dict[str, str]:
    """What each test saw, in words.

    Returns:
        A clause per test, by the test's name.
    """

    def off(value: float) -> str:
        return f"{significant(100 * abs(value), 2)} % {'above' if value > 0 else 'below'}"

    high, low = int(np.argmax(means)), int(np.argmin(means))

    def at(number: int) -> str:
        return flops_label(float(np.exp(np.log(flops[stretch == number]).mean())))

    words = {
        STRETCHES: (
            f"by stretch of compute the runs lie from {off(float(means[low]))} at {at(low)} FLOPs "
            f"to {off(float(means[high]))} at {at(high)} FLOPs"
        ),
        LARGEST_RUN: f"the run '{names[largest]}' of largest compute lies "
        f"{off(float(residual[largest]))} the fitted surface",
        WIDER: "a wider form fits them better than by chance",
    }
    called = {
        TOP: "the runs of largest compute lie",
        SIZES: "the runs of the largest sizes lie",
        RATIOS: "the runs of most tokens per param lie",
    }
    for name, here in groups.items():
        mean = float(residual[here].mean()) if here.any() else 0.0
        words[name] = f"{called[name]} {off(mean)} the fitted surface"
    return words
