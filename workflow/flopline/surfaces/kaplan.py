"""L(N, D) = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D, the joint law with no floor.

Source: Kaplan et al. 2020 (arXiv 2001.08361), Eq. 1.5; constants in Table 2. N counts weights
without embeddings there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from flopline.surfaces.chinchilla import EXPONENT_BOUNDS, POWER_BOUNDS, LossSurface, per_point
from flopline.surfaces.count import Count
from flopline.surfaces.surface import START_EXPONENTS, Floats, amplitudes


@dataclass(frozen=True, slots=True)
class KaplanSurface:
    """A loss surface that falls to zero: it has no irreducible loss.

    alpha_N and alpha_D are pure numbers, N_c is in weights times nats^(1/alpha_N), D_c in tokens
    times nats^(1/alpha_D). Shapes are those of `flopline.surfaces.surface.Law`.
    """

    alpha_N: ArrayLike
    alpha_D: ArrayLike
    N_c: ArrayLike
    D_c: ArrayLike
    count: Count | None = field(default=None, kw_only=True)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "alpha_N": EXPONENT_BOUNDS,
        "alpha_D": POWER_BOUNDS,
    }

    @classmethod
    def of_terms(
        cls, e: Floats, ln_a: Floats, ln_b: Floats, a: Floats, b: Floats, k: Floats
    ) -> KaplanSurface:
        """(h_N^(1/k) + h_D^(1/k))^k with ln h_N = ln_a - a ln N, ln h_D = ln_b - k ln D; e is 0.

        Returns the surface in its own parameters, of the shape of the arguments.
        """
        return cls(a, k, np.exp(ln_a / a), np.exp(ln_b / k))

    @property
    def inner(self) -> LossSurface:
        """(N_c / N)^(alpha_N / alpha_D) + D_c / D, as a Chinchilla surface with beta = 1."""
        ratio = np.asarray(self.alpha_N, float) / np.asarray(self.alpha_D, float)
        return LossSurface(
            0.0,
            np.asarray(self.N_c, float) ** ratio,
            self.D_c,
            ratio,
            np.ones_like(ratio),
            count=self.count,
        )

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Loss [nats per token] at `params` [weights] and `tokens` [tokens]."""
        return np.asarray(self.inner.loss(params, tokens) ** per_point(self.alpha_D))

    def log_loss_gradient(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Derivatives of ln L with respect to alpha_N, alpha_D, N_c, D_c along the last axis."""
        alpha_n, alpha_d = per_point(self.alpha_N), per_point(self.alpha_D)
        n_c, d_c = per_point(self.N_c), per_point(self.D_c)
        inner = self.inner.loss(params, tokens)
        of_tokens = d_c / np.asarray(tokens, float) / inner
        of_params = 1.0 - of_tokens
        log_n = np.log(n_c) - np.log(np.asarray(params, float))
        slopes = (
            of_params * log_n,
            np.log(inner) - alpha_n / alpha_d * of_params * log_n,
            alpha_n * of_params / n_c,
            alpha_d * of_tokens / d_c,
        )
        return np.stack(np.broadcast_arrays(*slopes), axis=-1)

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt [weights] at budgets `flops` of C = 6ND, for models trained to D tokens.

        Closed form, exponent alpha_D / (alpha_N + alpha_D). It is not the paper's C^0.73, which
        comes from its law in training steps and assumes a batch far below the critical one.
        """
        return self.inner.params_opt(flops)

    def tokens_opt(self, flops: ArrayLike) -> Floats:
        """D_opt [tokens] at budgets `flops`, exponent alpha_N / (alpha_N + alpha_D)."""
        return self.inner.tokens_opt(flops)

    def loss_opt(self, flops: ArrayLike) -> Floats:
        """Lowest loss [nats per token] that budgets `flops` can buy."""
        return self.loss(self.params_opt(flops), self.tokens_opt(flops))


def starts(params: Floats, tokens: Floats, loss: Floats) -> list[KaplanSurface]:
    """Starts of a fit to `params` [weights], `tokens` and `loss`, arrays of shape (points,).

    For each pair of exponents the two terms are equal at the centre of the points and give the
    mean loss there.
    """
    log_loss, out = float(np.log(loss.mean())), []
    for alpha_n, alpha_d in product(START_EXPONENTS, START_EXPONENTS):
        ratio, half = alpha_n / alpha_d, 0.5 * float(np.exp(log_loss / alpha_d))
        of_params, d_c = amplitudes(half, ratio, 1.0, params, tokens)
        out.append(KaplanSurface(alpha_n, alpha_d, of_params ** (1.0 / ratio), d_c))
    return out
