"""Regret: what share of a budget is lost by training another size than the best one.

On L = E + A/N^alpha + B/D^beta the share depends on alpha, beta and x = ln(N / N_opt) alone, at
every budget: with R = L_opt - E, the loss at x is E + R (beta e^(-alpha x) + alpha e^(beta x)) /
(alpha + beta), and R falls as C^-gamma, gamma = alpha beta / (alpha + beta) (from Hoffmann et al.
2022, arXiv 2203.15556v1, Eq. 4). To second order it is (alpha + beta) x^2 / 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.audit.finding import FINE, MIND, Finding
from flopline.errors import FloplineError
from flopline.laws.chinchilla import LossSurface
from flopline.numbers import flops_label, significant

Floats = NDArray[np.float64]

FACTORS: Final = (0.25, 0.5, 1 / 1.58, 0.8, 1.0, 1.25, 1.58, 2.0, 4.0)
"""Multiples of N_opt in the table; 1.58 is 10^0.2, a fifth of a decade."""
DEAR: Final = 0.05
"""Expected waste from which it is to be minded: a twentieth of the budget."""


def wasted_share(alpha: ArrayLike, beta: ArrayLike, ln_ratio: ArrayLike) -> Floats:
    """Share of compute [0..1] wasted by N = N_opt exp(ln_ratio): what a smaller budget would do.

    1 - (1 + excess/R)^(-1/gamma), exact on the surface; the three arguments broadcast.
    """
    a, b, x = (np.asarray(v, dtype=float) for v in (alpha, beta, ln_ratio))
    # expm1 keeps the share exact where the sizes nearly agree; below that rounding may turn it.
    excess = np.maximum(b * np.expm1(-a * x) + a * np.expm1(b * x), 0.0) / (a + b)
    return np.asarray(-np.expm1(-np.log1p(excess) * (a + b) / (a * b)))


def quadratic_share(alpha: ArrayLike, beta: ArrayLike, ln_ratio: ArrayLike) -> Floats:
    """The second-order form of `wasted_share`, (alpha + beta) x^2 / 2; within a tenth up to 2x."""
    a, b, x = (np.asarray(v, dtype=float) for v in (alpha, beta, ln_ratio))
    return np.asarray((a + b) / 2 * x**2)


def expected_share(surface: LossSurface, draws: LossSurface, flops: ArrayLike) -> Floats:
    """Mean wasted share of training the size that `surface` advises if each draw were the truth.

    `flops` are budgets (k,) or one; the result has their shape.
    """
    budgets = np.atleast_1d(np.asarray(flops, dtype=float))
    x = np.log(surface.params_opt(budgets)) - np.log(draws.params_opt(budgets))
    alpha, beta = (np.asarray(v)[:, None] for v in (draws.alpha, draws.beta))
    share: Floats = wasted_share(alpha, beta, x).mean(axis=0)
    return share.reshape(np.shape(flops))


def audit(
    surface: LossSurface,
    draws: LossSurface,
    targets_flops: Sequence[float],
    *,
    price_per_flop: float | None = None,
) -> Finding:
    """What uncertainty of the fit, and training other sizes, costs at the target budgets.

    `draws` are the surfaces of bootstrap draws, `targets_flops` [FLOPs], `price_per_flop` [money
    per FLOP]. Tables: expected (one row per target: waste in percent, FLOPs and money) and sizes
    (one row per target and multiple of N_opt). Raises FloplineError for unusable targets or price.
    """
    if not targets_flops or not all(0 < c < np.inf for c in targets_flops):
        raise FloplineError("regret needs one or more positive target budgets in `targets`.")
    if price_per_flop is not None and not 0 < price_per_flop < np.inf:
        raise FloplineError(f"price_per_flop must be positive and finite, not {price_per_flop}.")
    expected = _expected(surface, draws, np.asarray(targets_flops, dtype=float), price_per_flop)
    sizes = _sizes(surface, np.asarray(targets_flops, dtype=float), price_per_flop)
    worst = expected.loc[expected["expected_percent"].idxmax()]
    money = f", {worst['expected_money']:,.0f} in money" if price_per_flop else ""
    sentence = (
        f"Training the size that the fit advises at {flops_label(worst['budget_flops'])} FLOPs is "
        f"expected to waste {significant(worst['expected_percent'], 2)} % of that compute "
        f"({flops_label(worst['expected_flops'])} FLOPs{money}) because the fit is uncertain."
    )
    return Finding(
        "regret",
        MIND if worst["expected_percent"] > 100 * DEAR else FINE,
        sentence,
        {"worst_expected_percent": float(worst["expected_percent"]), "draws": np.size(draws.E)},
        {"expected": expected, "sizes": sizes},
    )


def _expected(
    surface: LossSurface, draws: LossSurface, budgets: Floats, price: float | None
) -> pd.DataFrame:
    x = np.log(draws.params_opt(budgets)) - np.log(surface.params_opt(budgets))
    share = expected_share(surface, draws, budgets)
    second_order = quadratic_share(surface.alpha, surface.beta, x).mean(axis=0)
    table = pd.DataFrame(
        {
            "budget_flops": budgets,
            "params": surface.params_opt(budgets),
            "bias_ln_params": x.mean(axis=0),
            "sd_ln_params": x.std(axis=0, ddof=1),
            "expected_percent": 100 * share,
            "quadratic_percent": 100 * second_order,
            "expected_flops": share * budgets,
        }
    )
    return _priced(table, "expected", price)


def _sizes(surface: LossSurface, budgets: Floats, price: float | None) -> pd.DataFrame:
    factors = np.tile(FACTORS, budgets.size)
    flops = np.repeat(budgets, len(FACTORS))
    params = factors * surface.params_opt(flops)
    share = wasted_share(surface.alpha, surface.beta, np.log(factors))
    table = pd.DataFrame(
        {
            "budget_flops": flops,
            "params_over_optimum": factors,
            "params": params,
            "tokens": flops / (6 * params),
            "loss": surface.loss(params, flops / (6 * params)),
            "wasted_percent": 100 * share,
            "quadratic_percent": 100
            * quadratic_share(surface.alpha, surface.beta, np.log(factors)),
            "wasted_flops": share * flops,
        }
    )
    return _priced(table, "wasted", price)


def _priced(table: pd.DataFrame, what: str, price: float | None) -> pd.DataFrame:
    if price is None:
        return table
    return table.assign(**{f"{what}_money": table[f"{what}_flops"] * price})
