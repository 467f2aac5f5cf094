"""A rung of the held-out ladder: one law or baseline, fitted to the runs up to a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.fit_result import FitResult
from flopline.surfaces.surface import Law

Floats = NDArray[np.float64]
Opt = Callable[[Floats], Floats]

MAIN: Final = ("parametric", "log_huber")
BASELINE: Final = "baseline"


@dataclass(frozen=True, slots=True)
class Rung:
    """One law fitted to some of the runs; what it does not say is None.

    `params_opt` and `loss_opt` take budgets (k,) [FLOPs] to N [weights] and to the lowest loss
    [nats per token]; `params_draws` and `loss_draws` to the same per draw, (draws, k). `surface`
    and `residuals` (its log residuals) are those of a law L(N, D).
    """

    law: str
    estimator: str
    n_fitted: int
    status: str
    message: str
    params_opt: Opt | None = None
    loss_opt: Opt | None = None
    params_draws: Opt | None = None
    loss_draws: Opt | None = None
    surface: Law | None = None
    fit: FitResult | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """What a rung is fitted to: the runs up to a step, in the two ways in which laws take them.

    `points` are the rows of at most the step's FLOPs; `in_budgets` those of whole budgets up to
    it; `curves` the training curves of these runs, None where there are none. `main` is the
    parametric rung of the same runs, from which other forms start.
    """

    points: pd.DataFrame
    in_budgets: pd.DataFrame
    curves: pd.DataFrame | None
    main: Rung | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How the laws are fitted: the target budget [FLOPs] and the settings of the study.

    `budgets_flops` are the other budgets at which the estimators of a fit are to be read.
    """

    target_flops: float
    huber_delta: float
    draws: int
    seed: int
    family: str
    min_sizes: int = 4
    quality: str = "flag"
    envelope: Mapping[str, Any] = field(default_factory=dict)
    budgets_flops: tuple[float, ...] = ()

    @property
    def targets(self) -> list[float]:
        """All budgets at which a fit is to state itself, the target first."""
        return list(dict.fromkeys((self.target_flops, *self.budgets_flops)))


Fitter = Callable[[Runs, Options, int], Rung]
