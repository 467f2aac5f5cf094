"""L(N, D) = E + A / N^alpha + B / D^beta and its compute-optimal frontier under C = 6ND.

Source: Hoffmann et al. 2022 (arXiv 2203.15556v1), section 3.3: Eq. 2 (the surface) and Eq. 4
(the frontier). With a power k on what lies above E the same class holds every form of
`solvers.surface_family`, as a fit states it: a power keeps the order of losses, so that the best
split of a budget is that of A, B, alpha and beta whatever k is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.surfaces.count import Count, best_split, flops_for, tokens_for

Floats = NDArray[np.float64]
PARAMETERS = ("E", "A", "B", "alpha", "beta")
POWER = "k"
"""The parameter that a fit states beside PARAMETERS where its form has a power."""
FLOOR_BOUNDS = (0.0, np.inf)
"""Box of an irreducible loss in a fit [nats per token]."""
EXPONENT_BOUNDS = (0.01, 5.0)
"""Box of an exponent in a fit: below it a power law cannot be told from a constant, above it a term
touches the smallest runs only."""
POWER_BOUNDS = (0.05, 5.0)
"""Box of the power k of a sum of terms in a fit: 0.05 is nearly the larger of the two."""


@dataclass(frozen=True, slots=True)
class LossSurface:
    """A loss surface, or one per bootstrap draw.

    E is in nats per token; alpha and beta are pure numbers; A and B carry the units of
    params^alpha and tokens^beta. Each field is a float, or all are arrays of shape (draws,).
    Arguments of the methods are scalars or arrays of shape (k,); results have shape (k,), or
    (draws, k) for a surface per draw. Budgets are spent as C = 6ND, or by `count` where the study
    counts FLOPs otherwise; a, b and G are always those of 6ND. `k` is the power of what lies above
    E: A and B then carry nats^(1/k).
    """

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    k: ArrayLike = field(default=1.0, kw_only=True)
    count: Count | None = field(default=None, kw_only=True)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "E": FLOOR_BOUNDS,
        "alpha": EXPONENT_BOUNDS,
        "beta": EXPONENT_BOUNDS,
    }

    @classmethod
    def of_terms(
        cls, e: Floats, ln_a: Floats, ln_b: Floats, a: Floats, b: Floats, k: Floats
    ) -> LossSurface:
        """The surface with floor `e`, ln h_N = ln_a - a ln N and ln h_D = ln_b - b ln D; k is 1.

        Returns the surface in its own parameters, of the shape of the arguments.
        """
        return cls(e, np.exp(ln_a), np.exp(ln_b), a, b)

    @classmethod
    def stated(cls, values: Mapping[str, ArrayLike]) -> LossSurface:
        """The surface among the parameters of a fit, or one per draw of arrays of them."""
        return cls(
            *(values[name] for name in PARAMETERS),
            k=values.get(POWER, 1.0),
            count=Count.stated(values),
        )

    @property
    def straight(self) -> bool:
        """Whether k is 1 in every draw, so that the two terms are added as they are."""
        return bool(np.all(np.asarray(self.k) == 1.0))

    @property
    def a(self) -> Floats:
        """Exponent of N_opt ~ C^a: beta / (alpha + beta). Hoffmann et al. 2022, Eq. 4."""
        alpha, beta = np.asarray(self.alpha, float), np.asarray(self.beta, float)
        return np.asarray(beta / (alpha + beta))

    @property
    def b(self) -> Floats:
        """Exponent of D_opt ~ C^b: alpha / (alpha + beta). Hoffmann et al. 2022, Eq. 4."""
        alpha, beta = np.asarray(self.alpha, float), np.asarray(self.beta, float)
        return np.asarray(alpha / (alpha + beta))

    @property
    def G(self) -> Floats:
        """(alpha A / (beta B))^(1 / (alpha + beta)) of Hoffmann et al. 2022, Eq. 4.

        NaN where A or B is zero: the loss then falls forever along one axis and no budget has
        an optimum.
        """
        amplitude_n, amplitude_d = np.asarray(self.A, float), np.asarray(self.B, float)
        alpha, beta = np.asarray(self.alpha, float), np.asarray(self.beta, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_g = (np.log(alpha) + np.log(amplitude_n) - np.log(beta) - np.log(amplitude_d)) / (
                alpha + beta
            )
        return np.asarray(np.exp(np.where(np.isfinite(log_g), log_g, np.nan)))

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Loss [nats per token] at `params` [weights] and `tokens` [tokens]."""
        if self.straight:
            e, of_params, of_tokens = self._terms(params, tokens)
            return np.asarray(e + of_params + of_tokens)
        return np.asarray(per_point(self.E) + self.reducible(params, tokens))

    def reducible(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """What the loss has above E [nats per token]."""
        _, of_params, of_tokens = self._terms(params, tokens)
        inner = np.asarray(of_params + of_tokens)
        return inner if self.straight else np.asarray(inner ** per_point(self.k))

    def inner_at(self, loss: ArrayLike) -> Floats:
        """A / N^alpha + B / D^beta of the runs that reach `loss` [nats per token]; NaN below E."""
        above = np.asarray(loss, float) - per_point(self.E)
        if self.straight:
            return np.asarray(above)
        with np.errstate(invalid="ignore"):
            return np.asarray(above ** (1.0 / per_point(self.k)))

    def log_loss_gradient(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Derivatives of ln L with respect to E, A, B, alpha, beta, and k where there is a power.

        The result of `loss` has one more axis, the last. Slopes that are infinite are 0: of a power
        where A and B are 0, of ln L where the loss is.
        """
        e, of_params, of_tokens = self._terms(params, tokens)
        log_n, log_d = np.log(np.asarray(params, float)), np.log(np.asarray(tokens, float))
        alpha, beta = per_point(self.alpha), per_point(self.beta)
        slopes = (
            np.ones_like(of_params),
            np.exp(-alpha * log_n),
            np.exp(-beta * log_d),
            -log_n * of_params,
            -log_d * of_tokens,
        )
        inner = of_params + of_tokens
        columns = np.stack(np.broadcast_arrays(*slopes), axis=-1)
        if self.straight:
            return share_of(columns, e + inner)
        from scipy.special import xlogy

        k = per_point(self.k)
        columns[..., 1:] *= share_of((k * inner**k)[..., None], inner)
        of_power = xlogy(inner**k, inner)
        columns = np.concatenate([columns, of_power[..., None]], axis=-1)
        return share_of(columns, e + inner**k)

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt [weights] at budgets `flops`: G (C/6)^a. Hoffmann et al. 2022, Eq. 4."""
        if self.count is not None:
            return np.asarray(np.exp(self._split(flops)[0]))
        return np.asarray(per_point(self.G) * (np.asarray(flops, float) / 6) ** per_point(self.a))

    def tokens_opt(self, flops: ArrayLike) -> Floats:
        """D_opt [tokens] at budgets `flops`: (1/G) (C/6)^b. Hoffmann et al. 2022, Eq. 4."""
        if self.count is not None:
            return np.asarray(np.exp(self._split(flops)[1]))
        return np.asarray((np.asarray(flops, float) / 6) ** per_point(self.b) / per_point(self.G))

    def loss_opt(self, flops: ArrayLike) -> Floats:
        """Lowest loss [nats per token] that budgets `flops` can buy."""
        return self.loss(self.params_opt(flops), self.tokens_opt(flops))

    def at_rows(self, rows: NDArray[np.bool_]) -> LossSurface:
        """The surfaces of some draws."""
        values = (np.asarray(getattr(self, name))[rows] for name in PARAMETERS)
        k = np.broadcast_to(np.asarray(self.k, float), np.shape(self.E))[rows]
        return LossSurface(*values, k=k, count=self.count and self.count.at_rows(rows))

    def flops(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Training FLOPs of `params` [weights] on `tokens` [tokens]."""
        return flops_for(self.count, params, tokens)

    def tokens_for(self, flops: ArrayLike, params: ArrayLike) -> Floats:
        """Tokens that `flops` buy for `params` [weights]."""
        return tokens_for(self.count, flops, params)

    def exponents_at(self, flops: float) -> tuple[Floats, Floats]:
        """Exponents of N_opt ~ C^a and D_opt ~ C^b at a budget: a and b, unless there is a count.

        Under C = k N^p D^q these are beta and alpha over alpha q + beta p.
        """
        if self.count is None:
            return self.a, self.b
        p, q = self.slopes_at(flops)
        alpha, beta = np.asarray(self.alpha, float), np.asarray(self.beta, float)
        return np.asarray(beta / (alpha * q + beta * p)), np.asarray(alpha / (alpha * q + beta * p))

    def slopes_at(self, flops: float) -> tuple[Floats, Floats]:
        """p and q of C = k N^p D^q near the optimum of a budget, shaped as the fields."""
        if self.count is None:
            return np.ones(np.shape(self.alpha)), np.ones(np.shape(self.alpha))
        ln_n, ln_d = self._split([flops])
        p, q = self.count.slopes(np.exp(ln_n), np.exp(ln_d))
        return p[..., 0], q[..., 0]

    def _split(self, flops: ArrayLike) -> tuple[Floats, Floats]:
        assert self.count is not None
        return best_split(self.count, (self.A, self.B, self.alpha, self.beta), flops)

    def _terms(self, params: ArrayLike, tokens: ArrayLike) -> tuple[Floats, Floats, Floats]:
        n, d = np.asarray(params, float), np.asarray(tokens, float)
        of_params = per_point(self.A) * n ** -per_point(self.alpha)
        of_tokens = per_point(self.B) * d ** -per_point(self.beta)
        return per_point(self.E), of_params, of_tokens


def share_of(slopes: Floats, loss: Floats) -> Floats:
    """`slopes` along the last axis divided by `loss`, 0 where that is 0 and so has no logarithm."""
    loss = np.broadcast_to(loss, slopes.shape[:-1])[..., None]
    out = np.zeros(slopes.shape)
    return np.divide(slopes, loss, out=out, where=np.broadcast_to(loss > 0, slopes.shape))


def per_point(parameter: ArrayLike) -> Floats:
    """`parameter` ready to broadcast against the points: one per draw gets an axis for them."""
    value = np.asarray(parameter, float)
    return value[..., None] if value.ndim else value
