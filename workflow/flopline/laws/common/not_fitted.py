"""What stands in the place of a law that cannot be fitted: all that its fit leaves, no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from flopline.errors import FloplineError
from flopline.flops import six_nd
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import (
    FAILED,
    Estimate,
    Estimator,
    FitResult,
    Target,
    estimator_table,
)
from flopline.laws.spec import ESTIMATORS, LawSpec, Points, Says
from flopline.schema import QUANTITIES
from flopline.surfaces.chinchilla import LossSurface

NOWHERE: Final = Estimate(float("nan"))
LABEL: Final = "not fitted"
EXAMPLE: Final = LossSurface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
"""A surface near that of Besiroglu et al. 2024, which every law can be fitted to."""

KNOWN: Final = ["params", "tokens", "flops", "loss"]
ROWS: Final = 4
"""Logged losses of each run of a training curve of it."""


def not_fitted(
    spec: LawSpec,
    targets_flops: Sequence[float],
    reason: str,
    *,
    points: pd.DataFrame,
    draws: int,
) -> FitResult:
    """A failed fit of the law `spec` whose message is `reason`, with tables that have no rows.

    `points` are what it was to be fitted to, `draws` the resamples that there would have been. The
    points of a surface can be drawn all the same and stay. What a fit of the law leaves is told by
    one of an example, so that no list of columns is to be kept. Raises FloplineError with the
    reason where the law cannot be fitted to the example either.
    """
    try:
        shape = spec.fitted(
            example(rows=ROWS if spec.points is Points.CURVES else 1),
            targets_flops,
            spec.model(),
            bootstrap=BootstrapOptions(draws=2),
            **spec.judged,
        )
    except FloplineError:
        raise FloplineError(reason) from None
    parameters = dict.fromkeys(shape.parameters, NOWHERE)
    targets = [Target(float(c), dict.fromkeys(QUANTITIES, NOWHERE)) for c in targets_flops]
    line = Estimator(LABEL, LABEL, FAILED, reason, parameters, targets)
    tables = {name: table.iloc[:0] for name, table in shape.tables.items()}
    if spec.says is Says.SURFACE:
        there = np.isfinite(points[KNOWN].astype(float)) & (points[KNOWN] > 0)
        named = points[there.all(axis=1)].reset_index(drop=True)
        empty = tables[spec.frontier.table]
        tables[spec.frontier.table] = named.reindex(columns=empty.columns).astype(empty.dtypes)
    drawn = pd.DataFrame(np.nan, index=range(draws), columns=shape.draws.columns)
    return replace(
        shape,
        estimator=LABEL,
        status=FAILED,
        message=reason,
        n_runs=int(points["run"].nunique()),
        n_points=0,
        settings={},
        parameters=parameters,
        targets=targets,
        certificate={},
        draws=drawn.assign(draw=np.arange(draws)),
        tables={**tables, ESTIMATORS: estimator_table([line])},
    )


def example(rows: int) -> pd.DataFrame:
    """Runs of EXAMPLE, made up: seven sizes at each of five budgets, `rows` each, no noise."""
    flops = np.repeat(np.geomspace(1e18, 1e20, 5), 7)
    params = EXAMPLE.params_opt(flops) * np.tile(np.geomspace(0.25, 4.0, 7), 5)
    share = np.arange(1, rows + 1) / rows
    n, d = np.repeat(params, share.size), np.outer(flops / (6.0 * params), share).ravel()
    return pd.DataFrame(
        {
            "run": np.repeat([f"run-{i:02d}" for i in range(params.size)], share.size),
            "params": n,
            "tokens": d,
            "flops": six_nd(n, d),
            "loss": EXAMPLE.loss(n, d),
            "step": np.tile(1000 * np.arange(1, share.size + 1), params.size),
            "horizon_tokens": np.repeat(flops / (6.0 * params), share.size),
        }
    )
