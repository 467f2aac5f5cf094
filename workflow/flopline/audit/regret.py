"""Regret: what share of a budget is lost by training another size than the best one.

The formula is in `audit.shares`; here it meets the uncertainty of the fit, other sizes, and the
other laws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.audit import disagreements
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding
from flopline.audit.waste import quadratic_share, terms_at, wasted_at
from flopline.errors import FloplineError
from flopline.numbers import flops_label, significant
from flopline.options import StudyOptions
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import warned_if

Floats = NDArray[np.float64]

FACTORS: Final = (0.25, 0.5, 1 / 1.58, 0.8, 1.0, 1.25, 1.58, 2.0, 4.0)
"""Multiples of N_opt in the table; 1.58 is 10^0.2, a fifth of a decade."""
DEAR: Final = 0.05
"""Expected waste from which it is warned about: a twentieth of the budget."""


def expected_share(surface: LossSurface, draws: LossSurface, flops: ArrayLike) -> Floats:
    """Mean wasted share of training the size that `surface` advises if each draw were the truth.

    `flops` are budgets (k,) or one; the result has their shape.
    """
    budgets = np.atleast_1d(np.asarray(flops, dtype=float))
    x = np.log(surface.params_opt(budgets)) - np.log(draws.params_opt(budgets))
    columns = [wasted_at(draws, c, x[:, i]) for i, c in enumerate(budgets.tolist())]
    share: Floats = np.stack(columns, axis=1).mean(axis=0)
    return share.reshape(np.shape(flops))


def audit(
    surface: LossSurface,
    draws: LossSurface,
    targets_flops: Sequence[float],
    study: StudyOptions | None = None,
    *,
    estimators: Mapping[str, pd.DataFrame] | None = None,
) -> Finding:
    """What uncertainty of the fit, other sizes and disagreement of laws cost at target budgets.

    `draws` are the surfaces of bootstrap draws, `targets_flops` [FLOPs], `study` the options, of
    which the price counts, `estimators` the tables of estimators by law. Tables: expected (one row
    per target: waste in percent, FLOPs and money), sizes (one row per target and multiple of N_opt)
    and disagreements (one row per target and estimator of any law). Raises FloplineError for
    unusable targets.
    """
    if not targets_flops or not all(0 < c < np.inf for c in targets_flops):
        raise FloplineError("regret needs one or more positive target budgets in `targets`.")
    price_per_flop = (study or StudyOptions()).of(AuditOptions).price_per_flop
    expected = _expected(surface, draws, np.asarray(targets_flops, dtype=float), price_per_flop)
    sizes = _sizes(surface, np.asarray(targets_flops, dtype=float), price_per_flop)
    first, worst = expected.iloc[0], expected.loc[expected["expected_percent"].idxmax()]
    money = f", {first['expected_money']:,.0f} in money" if price_per_flop else ""
    sentence = (
        f"Training the size that the fit advises at {flops_label(first['budget_flops'])} FLOPs is "
        f"expected to waste {significant(first['expected_percent'], 2)} % of that compute "
        f"({flops_label(first['expected_flops'])} FLOPs{money}) because the fit is uncertain"
    )
    if worst.name:
        sentence += (
            f"; at {flops_label(worst['budget_flops'])} FLOPs, where it is most, "
            f"{significant(worst['expected_percent'], 2)} %"
        )
    sentence += "."
    apart = disagreements.disagreements(surface, estimators or {}, price_per_flop=price_per_flop)
    against, between = disagreements.said_of(apart, float(targets_flops[0]), price_per_flop)
    sentence += f" {against}" if against else ""
    dear = worst["expected_percent"] > 100 * DEAR or between > 100 * disagreements.DEAR
    numbers = {
        "worst_expected_percent": float(worst["expected_percent"]),
        "between_laws_percent": between,
        "draws": np.size(draws.E),
    }
    tables = {"expected": expected, "sizes": sizes}
    if len(apart):
        tables["disagreements"] = apart
    return Finding("regret", warned_if(dear), sentence, numbers, tables)


def _expected(
    surface: LossSurface, draws: LossSurface, budgets: Floats, price: float | None
) -> pd.DataFrame:
    x = np.log(draws.params_opt(budgets)) - np.log(surface.params_opt(budgets))
    share = expected_share(surface, draws, budgets)
    columns = [_quadratic(surface, c, x[:, i]) for i, c in enumerate(budgets.tolist())]
    second_order = np.stack(columns, axis=1).mean(axis=0)
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
    tokens = surface.tokens_for(flops, params)
    share, second_order = (
        np.concatenate([of(surface, c, np.log(FACTORS)) for c in budgets.tolist()])
        for of in (wasted_at, _quadratic)
    )
    table = pd.DataFrame(
        {
            "budget_flops": flops,
            "params_over_optimum": factors,
            "params": params,
            "tokens": tokens,
            "loss": surface.loss(params, tokens),
            "wasted_percent": 100 * share,
            "quadratic_percent": 100 * second_order,
            "wasted_flops": share * flops,
        }
    )
    return _priced(table, "wasted", price)


def _quadratic(surface: LossSurface, flops: float, ln_ratio: ArrayLike) -> Floats:
    alpha, beta, p = terms_at(surface, flops)
    return quadratic_share(alpha, beta, p * np.asarray(ln_ratio, dtype=float))


def _priced(table: pd.DataFrame, what: str, price: float | None) -> pd.DataFrame:
    if price is None:
        return table
    return table.assign(**{f"{what}_money": table[f"{what}_flops"] * price})
