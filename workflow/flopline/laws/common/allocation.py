"""What Approaches 1 and 2 both end in: params, tokens and loss as laws of compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.flops import six_nd
from flopline.laws.common.fit_result import Estimate, Target, targets_of
from flopline.laws.common.loss_compute import LossLaw
from flopline.laws.common.power_law import PowerLaw
from flopline.surfaces.count import Count

Floats = NDArray[np.float64]


class ResidualsJson(TypedDict):
    """How far optima lie from their laws, as the certificate holds it."""

    median_flops_ratio: float
    rms_ln_params: float
    rms_ln_tokens: float
    rms_relative_loss: float


@dataclass(frozen=True, slots=True)
class Allocation:
    """N_opt = N_coef C^a, D_opt = D_coef C^b, L = L_E + L_K C^-L_c, one set of laws per row.

    With a `count`, one row or as many, D_opt is what the budget leaves for N_opt instead, and
    `tokens` no more than its tangent.
    """

    params: PowerLaw
    tokens: PowerLaw
    loss: LossLaw
    count: Count | None = None

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Rows for which there is no law."""
        return ~(np.isfinite(self.params.p) & np.isfinite(self.tokens.p))

    def parameters(self) -> dict[str, Floats]:
        """The parameters in the order in which they are stated, each of shape (rows,)."""
        count = {} if self.count is None else self.count.parameters()
        rows = np.ones_like(self.params.p)
        return {
            "a": self.params.p,
            "b": self.tokens.p,
            "N_coef": np.exp(self.params.ln_k),
            "D_coef": np.exp(self.tokens.ln_k),
            "L_E": self.loss.E,
            "L_K": np.exp(self.loss.ln_K),
            "L_c": self.loss.c,
            **{name: np.asarray(v, dtype=float) * rows for name, v in count.items()},
        }

    def at(self, flops: ArrayLike) -> dict[str, Floats]:
        """params, tokens and loss at `flops` of shape (m,); each of shape (rows, m)."""
        ln_c = np.log(np.asarray(flops, dtype=float))
        params = np.exp(self.params.ln_at(ln_c))
        if self.count is None:
            tokens = np.exp(self.tokens.ln_at(ln_c))
        else:
            tokens = self.count.tokens(flops, params)
        return {"params": params, "tokens": tokens, "loss": self.loss.at(ln_c)}

    def spending(self, count: Count, flops: float) -> Allocation:
        """The same with D_opt as `count` leaves it, its power law the tangent at budget `flops`.

        Along C = k N^p D^q with N ~ C^a, D goes as C^((1 - p a) / q).
        """
        ln_c = np.log(flops)
        params = np.exp(self.params.ln_at([ln_c]))
        tokens = count.tokens([flops], params)
        p, q = (v[..., 0] for v in count.slopes(params, tokens))
        b = np.asarray((1.0 - p * self.params.p) / q)
        line = PowerLaw(np.log(tokens[..., 0]) - b * ln_c, b)
        return replace(self, tokens=line, count=count)


def stated(
    point: Allocation,
    draws: Allocation,
    targets_flops: Sequence[float],
    scatter: Floats | None = None,
) -> tuple[dict[str, Estimate], list[Target], pd.DataFrame]:
    """Parameters and targets with intervals, and the table of draws, for a FitResult.

    `scatter` (draws,) is the error of ln L of one more run, see result.targets_of.
    """
    values, spread = point.parameters(), draws.parameters()
    parameters = {
        name: Estimate.of(float(v[0]), spread[name], at_bound=name == "L_E" and bool(v[0] == 0.0))
        for name, v in values.items()
    }
    at_point = {name: v[0] for name, v in point.at(targets_flops).items()}
    targets, columns = targets_of(targets_flops, at_point, draws.at(targets_flops), scatter)
    numbers = {"draw": np.arange(draws.params.p.size)}
    return parameters, targets, pd.DataFrame({**numbers, **spread, **columns})


def residuals(optima: pd.DataFrame, laws: Allocation) -> ResidualsJson:
    """How far the `optima` (flops, params, tokens, loss) lie from the first row of `laws`.

    median_flops_ratio is the median of 6ND/C over the optima themselves.
    """
    flops, params, tokens, loss = (
        optima[c].to_numpy(dtype=float) for c in ("flops", "params", "tokens", "loss")
    )
    ln_c = np.log(flops)
    return {
        "median_flops_ratio": float(np.median(six_nd(params, tokens) / flops)),
        "rms_ln_params": _rms(np.log(params) - laws.params.ln_at(ln_c)[0]),
        "rms_ln_tokens": _rms(np.log(tokens) - laws.tokens.ln_at(ln_c)[0]),
        "rms_relative_loss": _rms(loss / laws.loss.at(ln_c)[0] - 1.0),
    }


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
