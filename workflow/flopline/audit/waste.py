"""The share of a budget that a wrong size wastes.

On L = E + A/N^alpha + B/D^beta the share depends on alpha, beta and x = ln(N / N_opt) alone, at
every budget: with R = L_opt - E, the loss at x is E + R (beta e^(-alpha x) + alpha e^(beta x)) /
(alpha + beta), and R falls as C^-gamma, gamma = alpha beta / (alpha + beta) (from Hoffmann et al.
2022, arXiv 2203.15556v1, Eq. 4). To second order it is (alpha + beta) x^2 / 2.
A power k of what lies above E keeps the order of losses, so that the share is the same for any k.

Where C = k N^p D^q instead of 6ND, this holds of N^p and D^q: with alpha / p, beta / q and p x.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.surfaces.chinchilla import LossSurface

Floats = NDArray[np.float64]

FARTHEST_LN: Final = 50.0
"""|ln(N / N_opt)| beyond which no size is sought: nearly all of a budget is wasted there."""


def terms_at(surface: LossSurface, flops: float) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
    """alpha, beta and the factor of ln N that stand for `surface` in the functions below.

    1 where C = 6ND; else p and q of the surface's count at the optimum of `flops`.
    """
    if surface.count is None:
        return surface.alpha, surface.beta, 1.0
    p, q = surface.slopes_at(flops)
    return np.asarray(surface.alpha, float) / p, np.asarray(surface.beta, float) / q, p


def wasted_at(surface: LossSurface, flops: float, ln_ratio: ArrayLike) -> Floats:
    """`wasted_share` on `surface` at a budget, by its own count of FLOPs."""
    alpha, beta, p = terms_at(surface, flops)
    return wasted_share(alpha, beta, p * np.asarray(ln_ratio, dtype=float))


def nearly_best(surface: LossSurface, flops: float, share: float) -> tuple[float, float]:
    """Factors of the best N, below and above 1, between which at most `share` [0..1] is wasted.

    Exact on `surface` at a budget of `flops`; 0 or infinite where a side never wastes as much.
    """

    from scipy.optimize import brentq

    def beyond(ln_ratio: float) -> float:
        return float(wasted_at(surface, flops, ln_ratio)) - share

    low, high = (
        float(np.exp(brentq(beyond, 0.0, end))) if beyond(end) > 0 else float(np.exp(end * np.inf))
        for end in (-FARTHEST_LN, FARTHEST_LN)
    )
    return low, high


def excess_at(surface: LossSurface, flops: float, ln_ratio: ArrayLike) -> Floats:
    """`excess` on `surface` at a budget, by its own count of FLOPs, to the power of the surface."""
    alpha, beta, p = terms_at(surface, flops)
    of_inner = excess(alpha, beta, p * np.asarray(ln_ratio, dtype=float))
    return np.asarray(np.expm1(np.asarray(surface.k, dtype=float) * np.log1p(of_inner)))


def wasted_share(alpha: ArrayLike, beta: ArrayLike, ln_ratio: ArrayLike) -> Floats:
    """Share of compute [0..1] wasted by N = N_opt exp(ln_ratio): what a smaller budget would do.

    1 - (1 + excess/R)^(-1/gamma), exact on the surface; the three arguments broadcast.
    """
    a, b = np.asarray(alpha, dtype=float), np.asarray(beta, dtype=float)
    return np.asarray(-np.expm1(-np.log1p(excess(a, b, ln_ratio)) * (a + b) / (a * b)))


def excess(alpha: ArrayLike, beta: ArrayLike, ln_ratio: ArrayLike) -> Floats:
    """Extra loss of N = N_opt exp(ln_ratio) over R = L_opt - E, at any budget."""
    a, b, x = (np.asarray(v, dtype=float) for v in (alpha, beta, ln_ratio))
    # expm1 keeps it exact where the sizes nearly agree; below that rounding may turn it.
    return np.asarray(np.maximum(b * np.expm1(-a * x) + a * np.expm1(b * x), 0.0) / (a + b))


def quadratic_share(alpha: ArrayLike, beta: ArrayLike, ln_ratio: ArrayLike) -> Floats:
    """The second-order form of `wasted_share`, (alpha + beta) x^2 / 2; within a tenth up to 2x."""
    a, b, x = (np.asarray(v, dtype=float) for v in (alpha, beta, ln_ratio))
    return np.asarray((a + b) / 2 * x**2)
