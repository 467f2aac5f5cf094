"""Fits of each law, made once a session for the same points and options."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pandas as pd

from flopline.laws.common.fit_result import FitResult
from flopline.laws.spec import Points, spec_of
from tests.builders.designs import GOPHER

TARGETS = (1e21, GOPHER)
"""Budgets that `fit_isoflop` predicts [FLOPs]."""

_MADE: dict[object, FitResult] = {}


def fit(law: str, points: pd.DataFrame, targets: Sequence[float], **options: Any) -> FitResult:
    """The fit of `law` to `points`, its own default options but for those given.

    The same points, targets [FLOPs] and options are fitted once; what is returned is a copy. A test
    that changes the library under itself, or that holds two fits of the same points against each
    other, calls the law's own function.
    """
    content = pd.util.hash_pandas_object(points).to_numpy().tobytes()
    key = (law, content, tuple(points), tuple(targets), repr(sorted(options.items())))
    if key not in _MADE:
        _MADE[key] = spec_of(law).fitted(points, targets, **options)
    return copy.deepcopy(_MADE[key])


def taken(law: str, runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """What `law` is fitted to, of a study's runs and their curves."""
    return curves if spec_of(law).points is Points.CURVES else runs


def fit_isoflop(points: pd.DataFrame, **options: Any) -> FitResult:
    """The isoFLOP fit with 200 draws unless `options` say otherwise, at TARGETS."""
    return fit("isoflop", points, TARGETS, **{"draws": 200, "seed": 1, **options})
