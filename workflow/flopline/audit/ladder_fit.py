"""A rung of the held-out ladder: one law or baseline, fitted to the runs up to a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FitResult
from flopline.options import StudyOptions
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
    """How the laws are fitted: the target budget [FLOPs] and the options of the study.

    `draws` are the resamples of a fit, `budgets_flops` the other budgets at which its estimators
    are to be read.
    """

    target_flops: float
    study: StudyOptions
    draws: int
    family: str
    budgets_flops: tuple[float, ...] = ()

    @property
    def targets(self) -> list[float]:
        """All budgets at which a fit is to state itself, the target first."""
        return list(dict.fromkeys((self.target_flops, *self.budgets_flops)))

    def bootstrap(self, number: int) -> BootstrapOptions:
        """How a fit is resampled at the step of that number."""
        mine = self.study.of(BootstrapOptions)
        return mine.but(draws=self.draws, seed=mine.seed + number)


Fitter = Callable[[Runs, Options, int], Rung]
