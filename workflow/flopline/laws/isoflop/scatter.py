"""How runs scatter about the valleys of their budgets, and wild draws of their losses from it.

A valley of seven runs leaves four degrees of freedom for its noise, too few for a bootstrap of its
own. So the size of the noise is learned from all budgets together, and so is its shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, fdtrc, polygamma

from flopline.laws.common.bootstrap import named_generator, run_uniforms
from flopline.laws.common.inputs import size_classes
from flopline.laws.isoflop.valley_window import is_wide, near_bottom

Floats = NDArray[np.float64]
Places = slice | NDArray[np.int64] | NDArray[np.bool_]

TERMS: Final = 3  # of a parabola
CUBIC: Final = 4  # terms of a cubic
LOPSIDED: Final = 0.01
"""Where all budgets together have a term of third order by an F test at this level, the scatter of
runs is that about cubics: what a parabola misses of a lopsided valley is no noise."""
MET: Final = 0.98
"""A run of more leverage than this is met by its parabola, so that its residual tells nothing."""
LEAST_SHARE: Final = 1e-6
"""Variances are raised to this share of their mean, so that their logarithms are finite."""
NEWTON_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Profile:
    """The losses of one budget relative to their mean `level`, as the wild bootstrap sees them.

    `residual` and `leverage` (runs,) are those of a polynomial in ln N, a parabola or a cubic, of
    `freedom` degrees. `smooth` (runs,) is what resamples lie about: a cubic, so that a cubic's own
    draws are centred on it as a parabola's are, or a parabola where a cubic would meet every size;
    the losses themselves where even a parabola does.
    """

    level: float
    smooth: Floats
    residual: Floats
    leverage: Floats
    freedom: int

    @classmethod
    def of(cls, ln_params: Floats, loss: Floats, terms: int = TERMS) -> Profile:
        """The profile of runs with `ln_params` and `loss`, (runs,), by a polynomial of `terms`.

        There are as many terms as the sizes allow. On a wide grid the polynomial is that of the
        runs near the bottom. The others are met: how far they lie off it tells of the valley's
        form and not of noise.
        """
        if not (loss.size and is_wide(ln_params)):
            return cls._of_all(ln_params, loss, terms)
        near = near_bottom(ln_params, loss, size_classes(np.exp(ln_params)))
        inner = cls._of_all(ln_params[near], loss[near], terms)
        smooth, residual, leverage = loss / inner.level, np.zeros(loss.size), np.ones(loss.size)
        smooth[near], residual[near], leverage[near] = (
            inner.smooth,
            inner.residual,
            inner.leverage,
        )
        return cls(inner.level, smooth, residual, leverage, inner.freedom)

    @classmethod
    def _of_all(cls, ln_params: Floats, loss: Floats, terms: int) -> Profile:
        level = float(loss.mean())
        relative = loss / level
        sizes = int(size_classes(np.exp(ln_params)).max()) + 1
        if sizes <= TERMS:
            nothing = np.zeros(loss.size)
            return cls(level, relative, nothing, nothing, 0)
        half = float(np.ptp(ln_params)) / 2.0
        powers = ((ln_params - ln_params.mean()) / half)[:, None] ** np.arange(CUBIC)
        # The first columns of Q span the parabolas, all four the cubics.
        q, _ = np.linalg.qr(powers)
        onto = q * (q.T @ relative)
        most = CUBIC if sizes > CUBIC else TERMS
        terms = min(terms, most)
        return cls(
            level=level,
            smooth=onto[:, :most].sum(axis=1),
            residual=relative - onto[:, :terms].sum(axis=1),
            leverage=(q[:, :terms] ** 2).sum(axis=1),
            freedom=loss.size - terms,
        )


@dataclass(frozen=True, slots=True)
class RunScatter:
    """Relative standard deviation of a run's loss in each budget, and its shape.

    `sd` (budgets,) is drawn together across budgets and has `freedom` (budgets,); `alike` says that
    the budgets do not differ and share one sd. `residual_freedom` is that of all residuals
    together. `shape` holds sorted residuals of mean square 1, symmetric about 0; it is empty, and
    nothing can be drawn, where no budget has more sizes than a parabola has terms.
    """

    sd: Floats
    freedom: Floats
    alike: bool
    residual_freedom: float
    shape: Floats

    @classmethod
    def of(cls, budgets: Sequence[Profile]) -> RunScatter:
        """The scatter about the polynomials of `budgets`.

        Residuals are divided by sqrt(1 - leverage) (HC2: MacKinnon and White 1985, doi
        10.1016/0304-4076(85)90158-7). The variances of the budgets are moderated: drawn towards
        their common value by as much as their own spread says that they are alike (Smyth 2004, doi
        10.2202/1544-6115.1027).
        """
        own = np.array([b.freedom for b in budgets], dtype=float)
        total = float(own.sum())
        known = own > 0
        squares = np.array([float(b.residual @ b.residual) for b in budgets])
        pooled = float(squares[known].sum()) / total if total else 0.0
        if not pooled:
            # Losses without noise are drawn without noise.
            shape = np.zeros(1) if total else np.empty(0)
            return cls(0.0 * own, own + total, True, total, shape)
        variance = np.maximum(squares[known] / own[known], LEAST_SHARE * pooled)
        prior, common = _prior(variance, own[known])
        alike = math.isinf(prior)
        moderated = np.full(own.size, pooled if alike else common)
        if not alike:
            moderated[known] = (prior * common + own[known] * variance) / (prior + own[known])
        sd = np.sqrt(moderated)
        shape = np.concatenate([_scaled(b) / s for b, s in zip(budgets, sd, strict=True)])
        shape = np.sort(np.concatenate([-shape, shape])) / math.sqrt(float((shape**2).mean()))
        return cls(sd, np.full(own.size, total) if alike else prior + own, alike, total, shape)

    def scales(self, budget: int, label: str, draws: int, seed: int) -> Floats:
        """Relative standard deviations of the runs of one budget, called `label`, in every draw.

        Each draw has its own, spread as far as its degrees of freedom leave it open, so that
        intervals widen as Student's t does. The same (draws,) for the same `seed` and label.
        """
        shared = "scale" if self.alike else f"scale of {label}"
        return np.asarray(self.sd[budget] * _open(self.freedom[budget], shared, draws, seed))

    def of_runs(self, budgets: Sequence[str]) -> Floats:
        """Relative standard deviation of every run, (runs,), by the name of its budget."""
        if not self.shape.size:
            return np.full(len(budgets), np.nan)
        return np.asarray(
            self.sd[np.unique(np.asarray(budgets, dtype=str), return_inverse=True)[1]]
        )

    def of_new_run(self, draws: int, seed: int) -> Floats:
        """Relative errors of one more run, of a budget as noisy as these are, shape (draws,)."""
        if not self.shape.size:
            return np.full(draws, np.nan)
        sd = math.sqrt(float((self.sd**2).mean()))
        scale = sd * _open(self.residual_freedom, "scale", draws, seed)
        return np.asarray(scale * self._quantile(named_generator(seed, "new run").random(draws)))

    def _quantile(self, uniform: Floats) -> Floats:
        return np.asarray(self.shape[self.places(uniform)])

    def places(self, uniform: Floats) -> NDArray[np.int64]:
        """Which of `shape` numbers evenly distributed from 0 to 1 draw."""
        return (uniform * self.shape.size).astype(np.int64)


@dataclass(frozen=True, slots=True)
class WildLosses:
    """Losses [nats per token] of wild draws of all runs, made where they are asked for.

    A loss is level (smooth + scale shape[place]): `level` and `smooth` (runs,) are those of the
    budget's Profile, `scale` (draws, budgets) and `budget` (runs,) its standard deviation and
    number, `place` (draws, runs) small integers that take an eighth or a quarter of the losses'
    memory.
    """

    level: Floats
    smooth: Floats
    scale: Floats
    budget: NDArray[np.int64]
    place: NDArray[np.unsignedinteger[Any]]
    shape: Floats

    def of(self, draws: slice = slice(None), runs: Places = slice(None)) -> Floats:
        """The losses of some draws of some runs, (draws, runs)."""
        error = self.shape[self.place[draws][:, runs]]
        error *= self.scale[draws][:, self.budget[runs]]
        error += self.smooth[runs]
        error *= self.level[runs]
        return np.asarray(error)


def wild_losses(
    ln_params: Floats,
    loss: Floats,
    runs: Sequence[str],
    budgets: Sequence[str],
    draws: int,
    seed: int,
    *,
    no_budget: str = "",
) -> tuple[WildLosses, RunScatter]:
    """Losses of wild draws of all runs, and the scatter behind.

    All arguments are (runs,); `budgets` names the budget of each run, `no_budget` those near none,
    whose losses get the errors of a typical budget. NaN where no scatter is known.

    Returns the same draws for the same `seed`.
    """
    names = np.asarray(budgets, dtype=object)
    of_run = np.asarray(runs, dtype=object)
    labels = sorted(set(budgets))
    members = [np.flatnonzero(names == label) for label in labels]
    of_params = [
        np.zeros(rows.size) if label == no_budget else ln_params[rows]
        for label, rows in zip(labels, members, strict=True)
    ]
    profiles = best_profiles(of_params, [loss[rows] for rows in members])
    scatter = RunScatter.of(profiles)
    shape = scatter.shape if scatter.shape.size else np.full(1, np.nan)
    level, smooth = np.empty(loss.size), np.empty(loss.size)
    budget, scale = np.empty(loss.size, dtype=np.int64), np.ones((draws, len(labels)))
    place = np.zeros((draws, loss.size), dtype=np.min_scalar_type(shape.size))
    for number, (label, rows) in enumerate(zip(labels, members, strict=True)):
        level[rows], smooth[rows] = profiles[number].level, profiles[number].smooth
        budget[rows] = number
        if scatter.shape.size:
            scale[:, number] = scatter.scales(number, label, draws, seed)
            uniform = run_uniforms(list(of_run[rows]), draws, seed, strata=[label] * rows.size)
            place[:, rows] = scatter.places(uniform)
    return WildLosses(level, smooth, scale, budget, place, shape), scatter


def best_profiles(ln_params: Sequence[Floats], loss: Sequence[Floats]) -> list[Profile]:
    """The profile of every budget by parabolas, or by cubics where valleys are LOPSIDED."""
    few, many = (
        [Profile.of(x, y, terms) for x, y in zip(ln_params, loss, strict=True)]
        for terms in (TERMS, CUBIC)
    )
    (left, spare), (rest, free) = (
        (sum(float(p.residual @ p.residual) for p in all_), sum(p.freedom for p in all_))
        for all_ in (few, many)
    )
    gained = spare - free
    if gained < 1 or free < 1 or rest <= 0:
        return few
    return many if fdtrc(gained, free, (left - rest) / gained / (rest / free)) < LOPSIDED else few


def _scaled(profile: Profile) -> Floats:
    """Residuals scaled to the errors behind them, of the runs that are not fitted exactly."""
    telling = profile.leverage < MET
    if not profile.freedom:
        return np.empty(0)
    return np.asarray(profile.residual[telling] / np.sqrt(1.0 - profile.leverage[telling]))


def _open(freedom: float, name: str, draws: int, seed: int) -> Floats:
    """Draws of the true sd over the estimated one, sqrt(freedom / chi squared), (draws,)."""
    return np.sqrt(freedom / named_generator(seed, name).chisquare(freedom, draws))


def _prior(variance: Floats, freedom: Floats) -> tuple[float, float]:
    """Smyth's prior degrees of freedom and variance of budgets' variances; inf where alike."""
    half = freedom / 2.0
    logs = np.log(variance) - digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean()) if variance.size > 1 else 0.0
    if excess <= 0:
        return math.inf, math.nan
    prior = 2.0 * _inverse_trigamma(excess)
    common = math.exp(float(logs.mean()) + float(digamma(prior / 2)) - math.log(prior / 2))
    return prior, common


def _inverse_trigamma(value: float) -> float:
    """y with trigamma(y) = value > 0, by Newton's method (Smyth 2004, appendix)."""
    y = 0.5 + 1.0 / value
    for _ in range(NEWTON_STEPS):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1.0 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step <= 1e-10 * y:
            break
    return y
