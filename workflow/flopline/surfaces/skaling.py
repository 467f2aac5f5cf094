"""L(N, D) = E + (A / N^alpha + B / D^beta)^k: the Chinchilla surface with a bend.

Source: Videau et al. 2026, "Skaling" (arXiv 2608.07222). k = 1 is Chinchilla. A power keeps the
order of losses, so the compute-optimal split is that of A, B, alpha and beta whatever k is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from flopline.surfaces.chinchilla import (
    EXPONENT_BOUNDS,
    FLOOR_BOUNDS,
    POWER_BOUNDS,
    LossSurface,
    per_point,
    share_of,
)
from flopline.surfaces.count import Count
from flopline.surfaces.surface import START_EXPONENTS, Floats, amplitudes

START_POWERS = (0.5, 1.0)
"""k of the starts: 0.31 to 0.90 on the data sets of Videau et al. 2026."""


@dataclass(frozen=True, slots=True)
class SkalingSurface:
    """A loss surface with a power k on its reducible part.

    E is in nats per token; alpha, beta and k are pure numbers; A and B carry the units of
    params^alpha and tokens^beta, times nats^(1/k). Shapes are those of `surfaces.surface.Law`.
    """

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    k: ArrayLike
    count: Count | None = field(default=None, kw_only=True)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "E": FLOOR_BOUNDS,
        "alpha": (EXPONENT_BOUNDS[0] / POWER_BOUNDS[1], EXPONENT_BOUNDS[1] / POWER_BOUNDS[0]),
        "beta": (EXPONENT_BOUNDS[0] / POWER_BOUNDS[1], EXPONENT_BOUNDS[1] / POWER_BOUNDS[0]),
        "k": POWER_BOUNDS,
    }

    @classmethod
    def of_terms(
        cls, e: Floats, ln_a: Floats, ln_b: Floats, a: Floats, b: Floats, k: Floats
    ) -> SkalingSurface:
        """e + (h_N^(1/k) + h_D^(1/k))^k with ln h_N = ln_a - a ln N and ln h_D = ln_b - b ln D.

        Returns the surface in its own parameters, of the shape of the arguments.
        """
        return cls(e, np.exp(ln_a / k), np.exp(ln_b / k), a / k, b / k, k)

    @property
    def inner(self) -> LossSurface:
        """A / N^alpha + B / D^beta, what the power is taken of."""
        return LossSurface(0.0, self.A, self.B, self.alpha, self.beta, count=self.count)

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Loss [nats per token] at `params` [weights] and `tokens` [tokens]."""
        reducible = self.inner.loss(params, tokens) ** per_point(self.k)
        return np.asarray(per_point(self.E) + reducible)

    def log_loss_gradient(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Derivatives of ln L with respect to E, A, B, alpha, beta, k along the last axis.

        Slopes that are infinite are 0: of the power where A and B are 0, of ln L where the loss is.
        """
        from scipy.special import xlogy

        inner, k = self.inner.loss(params, tokens), per_point(self.k)
        reducible = inner**k
        slopes = np.empty((*inner.shape, 6))
        slopes[..., 0] = 1.0
        of_inner = self.inner.log_loss_gradient(params, tokens)[..., 1:]
        slopes[..., 1:5] = (k * reducible)[..., None] * of_inner
        slopes[..., 5] = xlogy(reducible, inner)
        return share_of(slopes, per_point(self.E) + reducible)

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt [weights] at budgets `flops`: G (C/6)^a of Hoffmann et al. 2022, Eq. 4."""
        return self.inner.params_opt(flops)

    def tokens_opt(self, flops: ArrayLike) -> Floats:
        """D_opt [tokens] at budgets `flops`: (1/G) (C/6)^b of Hoffmann et al. 2022, Eq. 4."""
        return self.inner.tokens_opt(flops)

    def loss_opt(self, flops: ArrayLike) -> Floats:
        """Lowest loss [nats per token] that budgets `flops` can buy."""
        return self.loss(self.params_opt(flops), self.tokens_opt(flops))


def starts(params: Floats, tokens: Floats, loss: Floats) -> list[SkalingSurface]:
    """Starts of a fit to `params` [weights], `tokens` and `loss`, arrays of shape (points,).

    For every k the exponents alpha k and beta k, E and the loss at the centre of the points are
    those of the starts of the Chinchilla surface.
    """
    irreducible = 0.5 * float(loss.min())
    reducible = float(loss.mean()) - irreducible
    out = []
    for k, x, y in product(START_POWERS, START_EXPONENTS, START_EXPONENTS):
        sizes = amplitudes(0.5 * reducible ** (1.0 / k), x / k, y / k, params, tokens)
        out.append(SkalingSurface(irreducible, *sizes, x / k, y / k, k))
    return out
