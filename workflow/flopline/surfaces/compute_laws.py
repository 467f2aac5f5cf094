"""Power laws of compute alone: N_opt = K_N C^a and D_opt = K_D C^b.

What the isoFLOP and envelope approaches of Hoffmann et al. 2022 (arXiv 2203.15556v1), sections 3.1
and 3.2, end in, and often all that a paper publishes. They say nothing of the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flopline.errors import FloplineError
from flopline.surfaces.surface import Floats

UNIT_FLOPS = {"FLOP": 1.0, "PF-day": 1e15 * 24 * 3600}
"""FLOPs in one unit of compute; a PF-day is 1e15 FLOPs a second for a day (Kaplan et al. 2020)."""


@dataclass(frozen=True, slots=True)
class ComputePowerLaw:
    """Optimal size and tokens as power laws of the budget; NaN stands for what is not known.

    `a` and `b` are pure numbers, `ln_K_N` and `ln_K_D` logarithms of the size [weights, or what the
    source counts] and the tokens at one unit of compute; `unit` is a key of UNIT_FLOPS.
    """

    a: float = math.nan
    ln_K_N: float = math.nan
    b: float = math.nan
    ln_K_D: float = math.nan
    unit: str = "FLOP"

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt at budgets `flops` [FLOPs]; FloplineError where only an exponent is known."""
        return self._at(flops, self.a, self.ln_K_N, "params")

    def tokens_opt(self, flops: ArrayLike) -> Floats:
        """D_opt at budgets `flops` [FLOPs]; FloplineError where only an exponent is known."""
        return self._at(flops, self.b, self.ln_K_D, "tokens")

    def _at(self, flops: ArrayLike, exponent: float, ln_k: float, what: str) -> Floats:
        if not math.isfinite(exponent + ln_k):
            raise FloplineError(
                f"this law holds no coefficient of optimal {what}, so it names none at a budget: "
                "use its exponents, or a law that has one."
            )
        units = np.asarray(flops, float) / UNIT_FLOPS[self.unit]
        return np.asarray(np.exp(ln_k + exponent * np.log(units)))
