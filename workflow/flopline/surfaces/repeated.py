"""L(N, D, U) = E + A / N'^alpha + B / D'^beta: tokens repeated over epochs are worth less.

Source: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models" (arXiv 2305.16264),
section 3.1, Eq. 5 and 6, and App. A. With U unique tokens on hand,

    U_D = min(D, U),           R_D = D / U_D - 1,    D' = U_D [1 + R_D* (1 - exp(-R_D / R_D*))],
    U_N = min(N, N_opt(U_D)),  R_N = N / U_N - 1,    N' = U_N [1 + R_N* (1 - exp(-R_N / R_N*))].

N_opt(U_D) is the size for which U_D tokens are compute-optimal on the base surface E, A, B,
alpha, beta: alpha A / N_opt^alpha = beta B / U_D^beta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from flopline.surfaces.chinchilla import LossSurface, per_point
from flopline.surfaces.count import Count
from flopline.surfaces.surface import Floats

HALVINGS = 64
"""Bisections for N_opt: 64 shrink any bracket to the spacing of float64."""

NO_DECAY = 1e9
"""R_D* or R_N* at which one more repetition is worth as much as the first: few designs tell it from
infinity."""

START_CONSTANTS = (2.0, 8.0, 32.0)
"""R_D* and R_N* of the starts; Muennighoff et al. 2023 start from 0, 4, ..., 20."""


@dataclass(frozen=True, slots=True)
class RepeatedSurface:
    """A loss surface with decaying value of repeated tokens and of excess parameters.

    E is in nats per token; alpha, beta, R_D and R_N (the paper's R_D* and R_N*, counts of
    repetitions) are pure numbers; A and B carry the units of params^alpha and tokens^beta. Shapes
    are those of `surfaces.surface.Law`. Methods take `unique_tokens` [tokens], which broadcasts
    against their other arguments; without it every token is fresh.
    """

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    R_D: ArrayLike
    R_N: ArrayLike
    count: Count | None = field(default=None, kw_only=True)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = LossSurface.BOUNDS

    @classmethod
    def of_terms(
        cls, e: Floats, ln_a: Floats, ln_b: Floats, a: Floats, b: Floats, k: Floats
    ) -> RepeatedSurface:
        """The surface with floor `e`, ln h_N = ln_a - a ln N', ln h_D = ln_b - b ln D'; k is 1.

        Repetitions and excess params lose nothing there: R_D and R_N are NO_DECAY.

        Returns the surface in its own parameters, of the shape of the arguments.
        """
        endless = np.full_like(a, NO_DECAY)
        return cls(e, np.exp(ln_a), np.exp(ln_b), a, b, endless, endless)

    @property
    def base(self) -> LossSurface:
        """The surface of fresh tokens."""
        return LossSurface(self.E, self.A, self.B, self.alpha, self.beta, count=self.count)

    def loss(
        self, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike = np.inf
    ) -> Floats:
        """Loss [nats per token] at `params` [weights] and `tokens` [tokens, repeats counted]."""
        effective = self._effective(params, tokens, unique_tokens)
        return np.asarray(per_point(self.E) + effective.of_params + effective.of_tokens)

    def log_loss_gradient(
        self, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike = np.inf
    ) -> Floats:
        """Derivatives of ln L with respect to E, A, B, alpha, beta, R_D, R_N, along the last axis.

        N_opt(U_D), and so N', depends on A, B, alpha and beta too.
        """
        f = self._effective(params, tokens, unique_tokens)
        a, b, alpha, beta = (per_point(p) for p in (self.A, self.B, self.alpha, self.beta))
        by_size = -alpha * f.of_params
        by_unit = by_size * (1.0 - f.decay_n.elasticity)  # slope along ln U_N
        slopes = (
            np.ones_like(by_size),
            f.of_params / a + by_unit / (alpha * a),
            f.of_tokens / b - by_unit / (alpha * b),
            -np.log(f.size) * f.of_params + by_unit * (1.0 / alpha - f.log_unit) / alpha,
            -np.log(f.data) * f.of_tokens + by_unit * (np.log(f.unique) - 1.0 / beta) / alpha,
            -beta * f.of_tokens * f.decay_d.by_constant,
            by_size * f.decay_n.by_constant,
        )
        total = per_point(self.E) + f.of_params + f.of_tokens
        return np.stack(np.broadcast_arrays(*slopes), axis=-1) / total[..., None]

    def params_opt(self, flops: ArrayLike, unique_tokens: ArrayLike = np.inf) -> Floats:
        """N_opt [weights] at budgets `flops` of C = 6ND with `unique_tokens` [tokens] on hand.

        Closed form of the base surface where D_opt needs no repeats, else bisection. Between
        N_opt(U) of the base, where alpha A / N^alpha = beta B / U^beta, and one epoch, N = C/6U,
        the slope of the loss along the budget rises from <= 0 to >= 0 without turning back,
        because the elasticities of N' in N and of D' in D fall steadily from 1; outside it has the
        sign of the nearer end. So there is one optimum and halving finds it. Under a count it is
        the optimum of C = 6ND nearby, and is exact where tokens are fresh.
        """
        c, unique = np.broadcast_arrays(
            np.asarray(flops, float) / 6.0, np.asarray(unique_tokens, float)
        )
        fresh, enough = self.base.params_opt(6.0 * c), self.base.tokens_opt(6.0 * c) <= unique
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.broadcast_to(self._log_params_for(unique), fresh.shape)
            high = np.broadcast_to(np.log(c) - np.log(unique), fresh.shape)
            for _ in range(HALVINGS):
                middle = 0.5 * (low + high)
                size = np.exp(middle)
                rising = self._slope(size, c / size, unique) > 0
                low, high = np.where(rising, low, middle), np.where(rising, middle, high)
            between = np.exp(0.5 * (low + high))
        return np.asarray(np.where(enough | np.isnan(fresh), fresh, between))

    def tokens_opt(self, flops: ArrayLike, unique_tokens: ArrayLike = np.inf) -> Floats:
        """D_opt [tokens, repeats counted] at budgets `flops`: C / (6 N_opt)."""
        params = self.params_opt(flops, unique_tokens)
        if self.count is not None:
            return self.count.tokens(flops, params)
        return np.asarray(np.asarray(flops, float) / 6.0 / params)

    def loss_opt(self, flops: ArrayLike, unique_tokens: ArrayLike = np.inf) -> Floats:
        """Lowest loss [nats per token] that budgets `flops` can buy."""
        params, tokens = (f(flops, unique_tokens) for f in (self.params_opt, self.tokens_opt))
        return self.loss(params, tokens, unique_tokens)

    def _log_params_for(self, unique: Floats) -> Floats:
        """ln N_opt(U) of the base surface."""
        a, b, alpha, beta = (per_point(p) for p in (self.A, self.B, self.alpha, self.beta))
        with np.errstate(divide="ignore"):
            return np.asarray((np.log(alpha * a / (beta * b)) + beta * np.log(unique)) / alpha)

    def _effective(
        self, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike
    ) -> _Effective:
        n, d = np.asarray(params, float), np.asarray(tokens, float)
        unique = np.minimum(d, np.asarray(unique_tokens, float))
        log_unit = self._log_params_for(unique)
        unit = np.minimum(n, np.exp(log_unit))
        of_n = _Decay(n / unit - 1.0, per_point(self.R_N))
        of_d = _Decay(d / unique - 1.0, per_point(self.R_D))
        size, data = unit * of_n.gain, unique * of_d.gain
        of_params = per_point(self.A) * size ** -per_point(self.alpha)
        of_tokens = per_point(self.B) * data ** -per_point(self.beta)
        return _Effective(size, data, of_params, of_tokens, of_n, of_d, unique, log_unit)

    def _slope(self, params: Floats, tokens: Floats, unique: Floats) -> Floats:
        """dL / d ln N along 6ND = C, for tokens >= unique."""
        f = self._effective(params, tokens, unique)
        by_params = per_point(self.alpha) * f.of_params * f.decay_n.elasticity
        return np.asarray(per_point(self.beta) * f.of_tokens * f.decay_d.elasticity - by_params)


@dataclass(frozen=True, slots=True)
class _Decay:
    """1 + R* (1 - exp(-R / R*)), what R repetitions make of one unit, and its slopes."""

    repeats: Floats
    constant: Floats

    @property
    def gain(self) -> Floats:
        return np.asarray(1.0 - self.constant * np.expm1(-self.repeats / self.constant))

    @property
    def elasticity(self) -> Floats:
        """d ln gain / d ln (1 + R): 1 without repeats, falling towards 0."""
        return np.asarray(np.exp(-self.repeats / self.constant) * (1.0 + self.repeats) / self.gain)

    @property
    def by_constant(self) -> Floats:
        """d ln gain / d R*."""
        ratio = self.repeats / self.constant
        # 1 - (1 + ratio) exp(-ratio), without the cancellation of a small ratio.
        from scipy.special import gammainc

        return np.asarray(gammainc(2.0, ratio) / self.gain)


@dataclass(frozen=True, slots=True)
class _Effective:
    """N' (`size`) and D' (`data`) with their terms of the loss and what they are made of."""

    size: Floats
    data: Floats
    of_params: Floats
    of_tokens: Floats
    decay_n: _Decay
    decay_d: _Decay
    unique: Floats
    log_unit: Floats


def effective_tokens(tokens: ArrayLike, unique_tokens: ArrayLike, r_d: ArrayLike) -> Floats:
    """D' [tokens] of `tokens`, repeats counted, of which `unique_tokens` are different ones."""
    seen = np.asarray(tokens, float)
    unique = np.minimum(seen, np.asarray(unique_tokens, float))
    return np.asarray(unique * _Decay(seen / unique - 1.0, np.asarray(r_d, float)).gain)


def starts(
    base: LossSurface, constants: Sequence[float] = START_CONSTANTS
) -> list[RepeatedSurface]:
    """Starts of a fit around `base`: every pair of R_D* and R_N* from `constants`."""
    return [
        RepeatedSurface(base.E, base.A, base.B, base.alpha, base.beta, r_d, r_n)
        for r_d in constants
        for r_n in constants
    ]
