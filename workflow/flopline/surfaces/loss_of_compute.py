"""L(C) = E + K C^-c: the loss on the compute-optimal frontier, with or without a floor.

The frontier of E + A/N^alpha + B/D^beta is exactly of this form (Hoffmann et al. 2022, arXiv
2203.15556v1, from Eq. 2 and 4); bare power laws, E = 0, are what Kaplan et al. 2020 (arXiv
2001.08361) and Shukor et al. 2025 (arXiv 2504.07951, App. C.3) publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.surfaces.chinchilla import (
    EXPONENT_BOUNDS,
    FLOOR_BOUNDS,
    LossSurface,
    per_point,
)
from flopline.surfaces.count import CLOSE, STEPS
from flopline.surfaces.surface import Floats

Bools = NDArray[np.bool_]

START_EXPONENTS = (0.05, 0.15, 0.4)
"""c of the starts; the published ones lie between 0.04 and 0.18."""
START_FLOORS = (0.3, 0.6, 0.9)
"""E of the starts, over the lowest loss."""


@dataclass(frozen=True, slots=True)
class LossOfCompute:
    """A loss that falls with compute towards a floor.

    E is in nats per token, c is a pure number, K carries nats times FLOPs^c. Each field is a float,
    or all are arrays of shape (draws,); `flops` are scalars or of shape (k,). With a surface that
    is `counted` otherwise than by 6ND, its frontier stands in place of K C^-c.
    """

    E: ArrayLike
    K: ArrayLike
    c: ArrayLike
    counted: LossSurface | None = field(default=None, kw_only=True)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "E": FLOOR_BOUNDS,
        "c": EXPONENT_BOUNDS,
    }

    @classmethod
    def frontier(cls, surface: LossSurface) -> LossOfCompute:
        """The lowest loss of `surface` at every budget, c = k alpha beta / (alpha + beta).

        Under a count it is no power law; c is then the exponent that it has where C is 6ND.
        """
        a, b, alpha, beta, g, k = (
            np.asarray(v, float)
            for v in (surface.A, surface.B, surface.alpha, surface.beta, surface.G, surface.k)
        )
        c = alpha * beta / (alpha + beta)
        counted = None if surface.count is None else surface
        scale = ((a * g**-alpha + b * g**beta) * 6.0**c) ** k
        return cls(surface.E, scale, k * c, counted=counted)

    @classmethod
    def stated(cls, values: Mapping[str, ArrayLike]) -> LossOfCompute:
        """The law that a fit's parameters state, whichever law was fitted.

        `values` holds the surface's E, A, B, alpha, beta and maybe k, or L_E, L_K and L_c.
        """
        if "alpha" in values:
            return cls.frontier(LossSurface.stated(values))
        return cls(values["L_E"], values["L_K"], values["L_c"])

    def loss(self, flops: ArrayLike) -> Floats:
        """Loss [nats per token] at budgets `flops` [FLOPs]."""
        return np.asarray(per_point(self.E) + self._reducible(flops))

    def log_loss_gradient(self, flops: ArrayLike) -> Floats:
        """Derivatives of ln L with respect to E, K, c along one more, last axis."""
        reducible = self._reducible(flops)
        slopes = (
            np.ones_like(reducible),
            reducible / per_point(self.K),
            -reducible * np.log(np.asarray(flops, float)),
        )
        total = per_point(self.E) + reducible
        return np.stack(np.broadcast_arrays(*slopes), axis=-1) / total[..., None]

    def flops_for(self, loss: ArrayLike) -> Floats:
        """The least budget [FLOPs] that reaches `loss` [nats per token]; NaN at E and below."""
        above = np.asarray(loss, float) - per_point(self.E)
        with np.errstate(invalid="ignore", divide="ignore"):
            log_c = (np.log(per_point(self.K)) - np.log(above)) / per_point(self.c)
            if self.counted is not None:
                log_c = self._counted_budget(np.log(above), log_c)
        return np.asarray(np.exp(np.where(above > 0, log_c, np.nan)))

    def at_rows(self, rows: Bools) -> LossOfCompute:
        """The laws of some draws."""
        values = {n: np.asarray(getattr(self, n))[rows] for n in ("E", "K", "c")}
        return LossOfCompute(**values, counted=self.counted and self.counted.at_rows(rows))

    def _counted_budget(self, ln_above: Floats, ln_flops: Floats) -> Floats:
        """ln C at which the counted surface leaves exp(`ln_above`), by secants from `ln_flops`."""
        x, c = np.where(np.isfinite(ln_flops), ln_flops, np.nan), per_point(self.c)
        for _ in range(STEPS):
            step = (np.log(self._reducible(np.exp(x))) - ln_above) / c
            x = x + step
            if not np.nanmax(np.abs(step), initial=0.0) > CLOSE:
                break
        return np.asarray(x)

    def _reducible(self, flops: ArrayLike) -> Floats:
        if self.counted is not None:
            return np.asarray(self.counted.loss_opt(flops) - per_point(self.E))
        log_c = np.log(np.asarray(flops, float))
        return np.asarray(per_point(self.K) * np.exp(-per_point(self.c) * log_c))


def starts(flops: Floats, loss: Floats, floor: float | None = None) -> list[LossOfCompute]:
    """Starts of a fit to budgets [FLOPs] and losses of shape (points,), E at `floor` if pinned.

    Each gives the mean loss at the geometric mean budget.
    """
    lowest, centre = float(loss.min()), float(np.log(flops).mean())
    floors = [share * lowest for share in START_FLOORS] if floor is None else [floor]
    return [
        LossOfCompute(e, (float(loss.mean()) - e) * float(np.exp(c * centre)), c)
        for e in floors
        for c in START_EXPONENTS
    ]
