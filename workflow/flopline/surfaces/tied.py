"""L(N, D) = E + A / N^alpha + B / D^alpha: the Chinchilla surface with one exponent for both.

Source: Gadre et al. 2024 (arXiv 2403.08540), who write L(C, M) = E + (a M^eta + b M^-eta) C^-eta
with M = D/N, C = 6ND and eta = alpha / 2; there A = a 6^-eta and B = b 6^-eta. Muennighoff et al.
2023 (arXiv 2305.16264) tie the exponents of their base law likewise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from flopline.surfaces.chinchilla import EXPONENT_BOUNDS, FLOOR_BOUNDS, LossSurface
from flopline.surfaces.count import Count
from flopline.surfaces.surface import Floats, surface_starts


@dataclass(frozen=True, slots=True)
class TiedSurface:
    """A loss surface whose best tokens per parameter, B/A to the power 1/alpha, never changes.

    E is in nats per token, alpha is a pure number, A and B carry the units of params^alpha and
    tokens^alpha. Shapes are those of `flopline.surfaces.surface.Law`.
    """

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    count: Count | None = field(default=None, kw_only=True)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "E": FLOOR_BOUNDS,
        "alpha": EXPONENT_BOUNDS,
    }

    @classmethod
    def of_terms(
        cls, e: Floats, ln_a: Floats, ln_b: Floats, a: Floats, b: Floats, k: Floats
    ) -> TiedSurface:
        """The surface with floor `e`, ln h_N = ln_a - a ln N, ln h_D = ln_b - a ln D; k is 1.

        Returns the surface in its own parameters, of the shape of the arguments.
        """
        return cls(e, np.exp(ln_a), np.exp(ln_b), a)

    @property
    def untied(self) -> LossSurface:
        """The same surface as a Chinchilla surface with beta = alpha."""
        return LossSurface(self.E, self.A, self.B, self.alpha, self.alpha, count=self.count)

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Loss [nats per token] at `params` [weights] and `tokens` [tokens]."""
        return self.untied.loss(params, tokens)

    def log_loss_gradient(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Derivatives of ln L with respect to E, A, B, alpha along the last axis."""
        apart = self.untied.log_loss_gradient(params, tokens)
        return np.concatenate([apart[..., :3], apart[..., 3:].sum(axis=-1, keepdims=True)], axis=-1)

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt [weights] at budgets `flops`: (A/B)^(1/(2 alpha)) (C/6)^(1/2)."""
        return self.untied.params_opt(flops)

    def tokens_opt(self, flops: ArrayLike) -> Floats:
        """D_opt [tokens] at budgets `flops`: (B/A)^(1/(2 alpha)) (C/6)^(1/2)."""
        return self.untied.tokens_opt(flops)

    def loss_opt(self, flops: ArrayLike) -> Floats:
        """Lowest loss [nats per token] that budgets `flops` can buy."""
        return self.untied.loss_opt(flops)


def starts(params: Floats, tokens: Floats, loss: Floats) -> list[TiedSurface]:
    """Starts of a fit to `params` [weights], `tokens` and `loss`, arrays of shape (points,)."""
    return [
        TiedSurface(s.E, s.A, s.B, s.alpha)
        for s in surface_starts(params, tokens, loss)
        if s.alpha == s.beta
    ]
