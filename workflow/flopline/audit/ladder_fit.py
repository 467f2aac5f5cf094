"""A fit of the held-out ladder: one law or baseline, fitted to the runs up to a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.options import StudyOptions
from flopline.results import LawResults
from flopline.surfaces.surface import Law

Floats = NDArray[np.float64]
Opt = Callable[[Floats], Floats]

BASELINE: Final = "baseline"
MAIN: Final = "main"
"""The main estimator of a law whose fit never came to name it."""


@dataclass(frozen=True, slots=True)
class LadderFit:
    """One law fitted to some of the runs; what it does not say is None.

    `params_opt` and `loss_opt` take budgets (k,) [FLOPs] to N [weights] and to the lowest loss
    [nats per token], those of a law only the budgets of its `Options.targets`; `params_draws` and
    `loss_draws` take any to the same per draw, (draws, k). `surface` is a law L(N, D), `fit` what
    the law's own fit left if this is its main line.
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
    fit: LawResults | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """What a fit of the ladder takes: the runs up to a step, in the ways in which laws take them.

    `points` are the rows of at most the step's FLOPs; `in_budgets` those of whole budgets up to
    it, which the baselines take; `by_law` what each law is fitted to.
    """

    points: pd.DataFrame
    in_budgets: pd.DataFrame
    by_law: Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Options:
    """How the laws are fitted: the target budget [FLOPs] and the options of the study.

    Every fit takes `draws` resamples, the rest of the study's bootstrap and the law's own group of
    options whole. `more_targets` are the other targets of the study, `budgets_flops` the other
    budgets at which the estimators of a fit are to be
    read; `mains` names the main estimator of each law, which its fit of all runs has told.
    """

    target_flops: float
    study: StudyOptions
    draws: int
    family: str
    budgets_flops: tuple[float, ...] = ()
    mains: Mapping[str, str] = field(default_factory=dict)
    more_targets: tuple[float, ...] = ()

    @property
    def targets(self) -> list[float]:
        """All budgets at which a fit is to state itself, the target first."""
        return list(dict.fromkeys((self.target_flops, *self.more_targets, *self.budgets_flops)))

    def bootstrap(self, number: int) -> BootstrapOptions:
        """The bootstrap of step `number`, whose draws have nothing to do with another's."""
        study = self.study.of(BootstrapOptions)
        return study.but(draws=self.draws, seed=study.seed + number)


Fitter = Callable[[Runs, Options, int], LadderFit]
