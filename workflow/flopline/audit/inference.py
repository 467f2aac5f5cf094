"""The best size for a model that will also be served, and what over-training costs.

Training takes 6ND FLOPs and serving 2N per token. At a given loss the sum over a lifetime,
6ND + 2N D_inf, is least where (alpha A N^-alpha) / (beta B D^-beta) = 1 + D_inf / (3D) (setting of
Sardana et al. 2024, arXiv 2401.00448; the condition is the stationary point of the sum). Where the
study counts training as C = k N^p D^q near there, its right side is (p + 2N D_inf / C) / q.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.numbers import flops_label, humanise, significant
from flopline.options import StudyOptions
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import Verdict

RATIOS: Final = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
"""Tokens per param in the table of over-training."""
_REACH: Final = 60.0
"""ln(share / (1 - share)) searched to both sides; e^-60 of the reducible loss is below rounding."""


def audit(
    surface: LossSurface,
    target_flops: float,
    study: StudyOptions,
    *,
    ratios: Sequence[float] = RATIOS,
) -> Finding:
    """Size and tokens of least lifetime compute at the loss that `target_flops` can train.

    The options `study` hold the lifetime demands D_inf [tokens], at least one; `ratios` are tokens
    per param. Tables: lifetime (one row per demand: the best run, and what it saves against the run
    that is cheapest to train) and overtraining (one row per ratio: training compute over the least
    at equal loss). Raises FloplineError for unusable demands, ratios or budget.
    """
    inference_tokens = study.of(AuditOptions).inference_tokens
    for name, values in (
        ("target_flops", [target_flops]),
        ("inference_tokens", inference_tokens),
        ("ratios", ratios),
    ):
        if not len(values) or not all(0 < v < np.inf for v in values):
            raise FloplineError(f"inference needs positive finite {name}, not {list(values)}.")
    loss = float(surface.loss_opt(target_flops))
    lifetime = _lifetime(surface, target_flops, loss, sorted(inference_tokens))
    most = lifetime.iloc[-1]
    sentence = (
        f"To serve {humanise(most['inference_tokens'])} tokens at the loss of the best run of "
        f"{flops_label(target_flops)} FLOPs, {humanise(most['params'])} params on "
        f"{humanise(most['tokens'])} tokens take the least compute over the lifetime, "
        f"{significant(most['saved_percent'], 2)} % less than the {humanise(most['params_train'])} "
        "params that are cheapest to train."
    )
    numbers = {
        "target_flops": target_flops,
        "loss": loss,
        "saved_percent": float(most["saved_percent"]),
    }
    tables = {
        "lifetime": lifetime,
        "overtraining": _overtraining(surface, target_flops, loss, sorted(ratios)),
    }
    return Finding("inference", Verdict.NOT_CHECKED, sentence, numbers, tables)


def best_for_lifetime(
    surface: LossSurface, loss: float, inference_tokens: float
) -> tuple[float, float]:
    """Params and tokens of least 6ND + 2N `inference_tokens` that reach `loss` [nats per token].

    The condition rises with the share of the reducible loss that params leave, so its root is the
    only one. Raises FloplineError if `loss` is not above the surface's floor E.
    """
    a, b, alpha, beta = _scalars(surface)
    ln_inner = _ln_inner(surface, loss)

    def tokens_at(logit: float) -> float:
        # 1 - share, written so that it does not cancel.
        return float(np.exp((np.log(b) - ln_inner + np.logaddexp(0.0, logit)) / beta))

    def excess(logit: float) -> float:
        """ln of the condition's left side less ln of its right side."""
        d = tokens_at(logit)
        if surface.count is None:
            served = np.log1p(inference_tokens / (3 * d))
        else:
            n = params_at(logit)
            p, q = surface.count.slopes(n, d)
            served = np.log((p + 2 * n * inference_tokens / surface.flops(n, d)) / q)
        return float(logit + np.log(alpha / beta) - served)

    def params_at(logit: float) -> float:
        return float(np.exp((np.log(a) - ln_inner + np.logaddexp(0.0, -logit)) / alpha))

    logit = float(brentq(excess, -_REACH, _REACH, xtol=1e-13))
    return params_at(logit), tokens_at(logit)


def params_at_ratio(surface: LossSurface, loss: float, tokens_per_param: float) -> float:
    """Params that reach `loss` [nats per token] when trained on `tokens_per_param` times as many.

    Raises FloplineError if `loss` is not above the surface's floor E.
    """
    a, b, alpha, beta = _scalars(surface)
    ln_inner = _ln_inner(surface, loss)

    def excess(ln_n: float) -> float:
        of_params = np.log(a) - alpha * ln_n
        of_tokens = np.log(b) - beta * (ln_n + np.log(tokens_per_param))
        return float(np.logaddexp(of_params, of_tokens) - ln_inner)

    # At the low end one term alone exceeds the loss; at the high end both are below half of it.
    alone = (
        (np.log(a) - ln_inner) / alpha,
        (np.log(b) - ln_inner) / beta - np.log(tokens_per_param),
    )
    high = max(alone[0] + np.log(2) / alpha, alone[1] + np.log(2) / beta)
    return float(np.exp(brentq(excess, max(alone) - 1.0, high + 1.0, xtol=1e-13)))


def _lifetime(
    surface: LossSurface, target_flops: float, loss: float, demands: Sequence[float]
) -> pd.DataFrame:
    train_n, train_d = (float(f(target_flops)) for f in (surface.params_opt, surface.tokens_opt))
    rows = []
    for demand in demands:
        n, d = best_for_lifetime(surface, loss, demand)
        training = float(surface.flops(n, d))
        total = training + 2 * n * demand
        before = float(surface.flops(train_n, train_d)) + 2 * train_n * demand
        rows.append(
            {
                "inference_tokens": float(demand),
                "params": n,
                "tokens": d,
                "tokens_per_param": d / n,
                "training_flops": training,
                "inference_flops": 2 * n * demand,
                "lifetime_flops": total,
                "params_train": train_n,
                "tokens_train": train_d,
                "lifetime_flops_train": before,
                "saved_percent": 100 * (1 - total / before),
                "extra_training_percent": 100 * (training / target_flops - 1),
            }
        )
    return pd.DataFrame(rows)


def _overtraining(
    surface: LossSurface, target_flops: float, loss: float, ratios: Sequence[float]
) -> pd.DataFrame:
    params = np.array([params_at_ratio(surface, loss, ratio) for ratio in ratios])
    tokens = params * np.asarray(ratios, dtype=float)
    flops = surface.flops(params, tokens)
    return pd.DataFrame(
        {
            "tokens_per_param": np.asarray(ratios, dtype=float),
            "params": params,
            "tokens": tokens,
            "training_flops": flops,
            "extra_training_percent": 100 * (flops / target_flops - 1),
            "inference_saved_percent": 100 * (1 - params / float(surface.params_opt(target_flops))),
        }
    )


def _ln_inner(surface: LossSurface, loss: float) -> float:
    """ln of A / N^alpha + B / D^beta at `loss`; FloplineError where that is not above E."""
    floor = float(np.asarray(surface.E))
    if not loss > floor:
        raise FloplineError(
            f"no run reaches a loss of {loss:.4g}: it is not above the law's floor E = {floor:.4g}."
        )
    return float(np.log(surface.inner_at(loss)))


def _scalars(surface: LossSurface) -> tuple[float, float, float, float]:
    values = (surface.A, surface.B, surface.alpha, surface.beta)
    a, b, alpha, beta = (float(np.asarray(v)) for v in values)
    return a, b, alpha, beta
