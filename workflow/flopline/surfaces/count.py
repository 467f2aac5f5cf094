"""What a study's own FLOPs are in params and tokens: C = 6 N D r(N, D), r a law of the ratio.

With r = `floor` + `coef` N^`of_params` D^`of_tokens`, floor 0 or 1, this holds a constant ratio
(both exponents 0), a power law (floor 0), and an excess over 6ND that dies out, as that of
attention and of the vocabulary does (floor 1, `of_params` < 0). Near any run it is C = k N^p D^q,
under which the best split of a budget has a closed form; `LossSurface` follows it to the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

COUNT: Final = ("R_floor", "R_coef", "R_N", "R_D")
"""Parameters of the law of the ratio as a fit states them, in the order of the fields of Count."""
STEPS: Final = 200
CLOSE: Final = 1e-14


@dataclass(frozen=True, slots=True)
class Count:
    """The law of C / 6ND; each field is a float, or all are arrays of shape (draws,).

    Arguments of the methods are shaped as those of a surface: (k,), or (draws, k) for a law a draw.
    """

    floor: ArrayLike
    coef: ArrayLike
    of_params: ArrayLike
    of_tokens: ArrayLike

    @classmethod
    def stated(cls, values: Mapping[str, ArrayLike]) -> Count | None:
        """The count among the parameters of a fit, None where the fit spends C = 6ND."""
        if COUNT[0] not in values:
            return None
        return cls(*(values[name] for name in COUNT))

    def at_rows(self, rows: NDArray[np.bool_]) -> Count:
        """The counts of some draws."""
        fields = (self.floor, self.coef, self.of_params, self.of_tokens)
        return Count(*(np.asarray(v)[rows] for v in fields))

    def parameters(self) -> dict[str, ArrayLike]:
        """The fields by the names that a fit states them under."""
        fields = (self.floor, self.coef, self.of_params, self.of_tokens)
        return dict(zip(COUNT, fields, strict=True))

    def ratio(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """C / 6ND; NaN where the law gives none above zero."""
        ratio = _per_point(self.floor) + self._varying(params, tokens)
        return np.asarray(np.where(ratio > 0, ratio, np.nan))

    def flops(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Training FLOPs of `params` [weights] on `tokens` [tokens]."""
        n, d = np.asarray(params, float), np.asarray(tokens, float)
        return np.asarray(6.0 * n * d * self.ratio(n, d))

    def slopes(self, params: ArrayLike, tokens: ArrayLike) -> tuple[Floats, Floats]:
        """p and q of C = k N^p D^q near `params` and `tokens`."""
        share = self._varying(params, tokens) / self.ratio(params, tokens)
        return (
            np.asarray(1.0 + _per_point(self.of_params) * share),
            np.asarray(1.0 + _per_point(self.of_tokens) * share),
        )

    def tokens(self, flops: ArrayLike, params: ArrayLike) -> Floats:
        """Tokens that `flops` buy for `params` [weights]."""
        c, n = np.asarray(flops, float), np.asarray(params, float)
        d = np.asarray(c / 6.0 / n)
        for _ in range(STEPS):
            _, q = self.slopes(n, d)
            step = (np.log(c) - np.log(self.flops(n, d))) / q
            d = np.asarray(d * np.exp(step))
            if not np.nanmax(np.abs(step), initial=0.0) > CLOSE:
                break
        return d

    def params_along(self, flops: ArrayLike, ln_k: float, power: float) -> Floats:
        """Params [weights] that `flops` buy on the ray D = e^`ln_k` N^`power`."""
        ln_c = np.log(np.asarray(flops, float))
        ln_n = (ln_c - np.log(6.0) - ln_k) / (1.0 + power)
        for _ in range(STEPS):
            n, d = np.exp(ln_n), np.exp(ln_k + power * ln_n)
            p, q = self.slopes(n, d)
            step = (ln_c - np.log(self.flops(n, d))) / (p + power * q)
            ln_n = ln_n + step
            if not np.nanmax(np.abs(step), initial=0.0) > CLOSE:
                break
        return np.asarray(np.exp(ln_n))

    def _varying(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        ln_n, ln_d = np.log(np.asarray(params, float)), np.log(np.asarray(tokens, float))
        powers = _per_point(self.of_params) * ln_n + _per_point(self.of_tokens) * ln_d
        return np.asarray(_per_point(self.coef) * np.exp(powers))


def tokens_for(count: Count | None, flops: ArrayLike, params: ArrayLike) -> Floats:
    """Tokens that `flops` buy for `params` [weights] by a study's count; by 6ND without one."""
    if count is None:
        return np.asarray(np.asarray(flops, float) / (6.0 * np.asarray(params, float)))
    return count.tokens(flops, params)


def flops_for(count: Count | None, params: ArrayLike, tokens: ArrayLike) -> Floats:
    """Training FLOPs of a run by a study's count; by 6ND without one."""
    n, d = np.asarray(params, float), np.asarray(tokens, float)
    return np.asarray(6.0 * n * d) if count is None else count.flops(n, d)


def best_split(
    count: Count, terms: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], flops: ArrayLike
) -> tuple[Floats, Floats]:
    """ln N and ln D of least A/N^alpha + B/D^beta that cost `flops` by `count`.

    `terms` are A, B, alpha and beta. For C = k N^p D^q the optimum is where alpha A N^-alpha / p =
    beta B D^-beta / q; p, q and k are those of the count at the optimum itself, to which the steps
    lead from that of 6ND (one step where the count is a power law).
    """
    amplitude_n, amplitude_d, alpha, beta = (_per_point(v) for v in terms)
    ln_c = np.log(np.asarray(flops, float))
    with np.errstate(all="ignore"):
        h = np.log(alpha) + np.log(amplitude_n) - np.log(beta) - np.log(amplitude_d)
        h = np.where(np.isfinite(h), h, np.nan)
        ln_n = (h + beta * (ln_c - np.log(6.0))) / (alpha + beta)
        ln_d = ln_c - np.log(6.0) - ln_n
        for _ in range(STEPS):
            p, q = count.slopes(np.exp(ln_n), np.exp(ln_d))
            ln_k = np.log(count.flops(np.exp(ln_n), np.exp(ln_d))) - p * ln_n - q * ln_d
            ln_n_next = (h + np.log(q / p) + beta * (ln_c - ln_k) / q) / (alpha + beta * p / q)
            moved = np.abs(ln_n_next - ln_n)
            ln_n, ln_d = ln_n_next, (ln_c - ln_k - p * ln_n_next) / q
            if not np.nanmax(moved, initial=0.0) > CLOSE * 100:
                break
    return np.asarray(ln_n), np.asarray(ln_d)


def _per_point(parameter: ArrayLike) -> Floats:
    value = np.asarray(parameter, float)
    return value[..., None] if value.ndim else value
