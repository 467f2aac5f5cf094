"""What a law is to all that fit it, judge it, draw it and speak of it: one `LawSpec` each.

The spec of a law `x` is LAW in `flopline/laws/x/x_law.py`. It loads no numbers, so that the start
of a run may ask it; the fit itself is named there and loaded by who calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from flopline.options import OptionGroup

if TYPE_CHECKING:
    from flopline.laws.common.fit_result import FitResult


class Says(Enum):
    """What the parameters of a law's fit say, and so what can be worked out from them."""

    SURFACE = "surface"
    """L(N, D): E, A, B, alpha, beta. The loss of any run follows, and the best split."""
    COMPUTE = "compute"
    """N = N_coef C^a, D = D_coef C^b and L = L_E + L_K C^-L_c, of the best run of a budget."""


class Points(Enum):
    """What a law is fitted to."""

    FINAL = "final"
    """The end of each run."""
    STUDY = "study"
    """The end of each run or every logged loss, as the study's `points` says."""
    CURVES = "curves"
    """The training curves of the kept runs."""


class Uses(IntEnum):
    """How much of the runs a law rests on, the most first: what decides a tie between laws."""

    ALL = 0
    BUDGETS = 1
    FRONTIER = 2


@dataclass(frozen=True, slots=True)
class LawStyle:
    """How one law looks in every figure that holds laws against each other."""

    label: str
    color: str
    dashes: str
    marker: str


@dataclass(frozen=True, slots=True)
class Frontier:
    """Where a law's tables hold the losses that its L(C) was fitted to.

    `table` is one of the law's own, `flops` the column of their compute [FLOPs]; only rows whose
    column `used` is true count, where there is one. `loss_se` names the column of the standard
    error of ln loss, empty where none is known.
    """

    table: str
    flops: str
    loss_se: str = ""


@dataclass(frozen=True, slots=True)
class LawSpec:
    """One law: its names, what it is fitted to, what its fit leaves, how it looks.

    `label` stands in a sentence, `title` at the head of a table or paragraph; `formula` is plain
    text. `main` names the estimators that may be the main one of a fit. `tables` are those that the
    fit leaves beside its JSON and draws; `estimators` is always one of them. `options` is the
    model of the config's group of the law's name. `fit` and `methods` name functions as
    `module:function`: fit(points, targets_flops, options, *, bootstrap, family) -> FitResult, and
    methods(fit, study, variants) -> the paragraph of the methods, marked up as report.references
    says. `recommendable` are variants that may be recommended beside the main line, `of_surface`
    those of them that stand on a fitted L(N, D) and fall with it. `left_out` says, for a law of
    curves, which runs or points a table of finished runs lacks for it.
    """

    name: str
    label: str
    title: str
    formula: str
    says: Says
    points: Points
    uses: Uses
    style: LawStyle
    tables: tuple[str, ...]
    options: type[OptionGroup]
    fit: str
    methods: str
    frontier: Frontier
    recommendable: tuple[str, ...] = ()
    of_surface: tuple[str, ...] = ()

    def fitted(self, *args: Any, **more: Any) -> FitResult:
        """Fit the law: see the function that `fit` names for arguments and errors."""
        result: FitResult = resolved(self.fit)(*args, **more)
        return result


ESTIMATORS: Final = "estimators"
"""The table of estimators that every law's fit leaves."""


@cache
def law(name: str) -> LawSpec:
    """The spec of the law called `name`; ModuleNotFoundError where there is none."""
    spec: LawSpec = import_module(spec_module(name)).LAW
    return spec


def spec_module(name: str) -> str:
    """The module that holds the spec of the law called `name`."""
    return f"flopline.laws.{name}.{name}_law"


def resolved(reference: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def module_of(reference: str) -> str:
    """The module that `module:function` names."""
    return reference.partition(":")[0]
