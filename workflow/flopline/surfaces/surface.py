"""What every loss surface offers, whatever its formula: `Law`, and the helpers that laws share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.surfaces.chinchilla import LossSurface

Floats = NDArray[np.float64]

START_EXPONENTS = (0.2, 0.4, 0.8)
"""Exponents of the starts: the published ones lie between 0.08 and 0.76."""


class Law(Protocol):
    """A loss surface: a frozen dataclass whose fields are its parameters, all positive.

    Each field is a float, or all are arrays of shape (draws,). Arguments of the methods are
    scalars or arrays of shape (k,); results have shape (k,), or (draws, k) for a law per draw.
    A law may take more arguments than these, if they have defaults, and may hold bounds of its
    exponents and of its floor in a class variable BOUNDS, see `bounds`.
    `flopline.surfaces.chinchilla.LossSurface` is one.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Loss [nats per token] at `params` [weights] and `tokens` [tokens]."""

    def log_loss_gradient(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Derivatives of ln L with respect to the parameters, along one more, last axis."""

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt [weights] at budgets `flops` [FLOPs], spent as C = 6ND or by the law's count."""

    def tokens_opt(self, flops: ArrayLike) -> Floats:
        """D_opt [tokens] at budgets `flops` [FLOPs]."""

    def loss_opt(self, flops: ArrayLike) -> Floats:
        """Lowest loss [nats per token] that budgets `flops` can buy."""


def parameters(law: Law | type[Law]) -> tuple[str, ...]:
    """Names of the parameters, in the order of the last axis of `log_loss_gradient`.

    A field with a default is none of them: it says how the law is used, as `count` how budgets are
    spent.
    """
    return tuple(f.name for f in fields(law) if f.default is MISSING)


def bounds(law: Law) -> Mapping[str, tuple[float, float]]:
    """Bounds, by name, of the parameters that a fit seeks as they are: the law's BOUNDS.

    Exponents and floors are sought so, amplitudes as logarithms; a law that names none has all of
    its parameters sought as logarithms.
    """
    return getattr(law, "BOUNDS", {})


def optimum(law: Law, flops: ArrayLike) -> dict[str, Floats]:
    """The compute-optimal params [weights], tokens and loss [nats per token] at budgets `flops`.

    Arrays of shape (k,), or (draws, k) for a law per draw, as `fits.result.targets_of` takes them.
    """
    return {
        "params": law.params_opt(flops),
        "tokens": law.tokens_opt(flops),
        "loss": law.loss_opt(flops),
    }


def exponents_of(law: Law, flops: float) -> tuple[Floats, Floats]:
    """a and b of N_opt ~ C^a and D_opt ~ C^b: power laws while tokens are fresh and C is 6ND.

    Under a count they are the slopes at budget `flops` [FLOPs].
    """
    counted = getattr(law, "count", None) is not None
    at = np.array([flops * 0.99, flops / 0.99] if counted else [1e18, 1e24])
    span = np.log(1e6) if not counted else np.log(at[1] / at[0])
    small, large = np.moveaxis(np.log(law.params_opt(at)), -1, 0)
    a = np.asarray((large - small) / span)
    if not counted:
        return a, np.asarray(1.0 - a)
    small, large = np.moveaxis(np.log(law.tokens_opt(at)), -1, 0)
    return a, np.asarray((large - small) / span)


def amplitudes(
    share: float, alpha: float, beta: float, params: Floats, tokens: Floats
) -> tuple[float, float]:
    """A and B for which A/N^alpha and B/D^beta are both `share` at the centre of the points.

    The centre is the geometric mean of `params` [weights] and of `tokens`, of shape (points,).

    Returns both as numbers.
    """
    log_n, log_d = np.log(params).mean(), np.log(tokens).mean()
    return float(share * np.exp(alpha * log_n)), float(share * np.exp(beta * log_d))


def surface_starts(params: Floats, tokens: Floats, loss: Floats) -> list[LossSurface]:
    """Starts of a fit of E + A/N^alpha + B/D^beta: nine pairs of exponents.

    E is half the lowest loss; what the mean loss has above it is shared evenly by the two terms at
    the centre of the points. Arrays have shape (points,), in weights, tokens, nats per token.
    """
    irreducible = 0.5 * float(loss.min())
    share = 0.5 * (float(loss.mean()) - irreducible)
    return [
        LossSurface(irreducible, *amplitudes(share, alpha, beta, params, tokens), alpha, beta)
        for alpha in START_EXPONENTS
        for beta in START_EXPONENTS
    ]
