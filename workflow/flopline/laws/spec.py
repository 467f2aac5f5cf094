"""What a law is to all that fit it, judge it, draw it and speak of it: one `LawSpec` each.

The spec of a law `x` is LAW in `flopline/laws/x/x_law.py`. It loads no numbers, so that the start
of a run may ask it; the fit itself is named there and loaded by who calls it. No job asks for laws
that it was not handed by name: a law that is added to the registry concerns no job of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from flopline.errors import FloplineError
from flopline.plugins import home_of
from flopline.study_document import StudyDocument

if TYPE_CHECKING:
    from flopline.laws.common.fit_result import FitResult
    from flopline.options import OptionGroup


class Says(Enum):
    """What the parameters of a law's fit say, and so what can be worked out from them."""

    SURFACE = "surface"
    """L(N, D): E, A, B, alpha, beta. The loss of any run follows, and the best split."""
    COMPUTE = "compute"
    """N = N_coef C^a, D = D_coef C^b and L = L_E + L_K C^-L_c, of the best run of a budget."""

    @property
    def floor(self) -> str:
        """The name of the parameter below which no loss falls."""
        return "E" if self is Says.SURFACE else "L_E"


class Points(Enum):
    """What a law is fitted to."""

    FINAL = "final"
    """The end of each run."""
    STUDY = "study"
    """The end of each run or every logged loss, as the study's `points` says."""
    CURVES = "curves"
    """The training curves of the kept runs, of the split of the law's options or of the study."""


class Uses(IntEnum):
    """How much of the runs a law rests on, the most first: what decides a tie between laws."""

    ALL = 0
    BUDGETS = 1
    FRONTIER = 2


@dataclass(frozen=True, slots=True)
class Style:
    """How one law looks in every figure that holds laws against each other.

    Colours stay apart for the colour-blind and, by their lightness, in grey; dashes and markers
    say the same again.
    """

    color: str
    dashes: str
    marker: str


@dataclass(frozen=True, slots=True)
class FrontierColumns:
    """Where a law's tables hold the losses that its L(C) is held against.

    `table` is one of the law's own, `flops` the column of their compute [FLOPs]; of the table of a
    law of compute only rows whose column `used` is true count. `loss_se` names the column of the
    standard error of ln loss, empty where none is known. Points that are `few` are drawn large.
    """

    table: str
    flops: str
    loss_se: str = ""
    few: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LawSpec:
    """One law: its names, what it is fitted to, what its fit leaves, how it looks.

    `label` stands in a sentence, `title` at the head of a table or paragraph; `formula` is plain
    text. `tables` are those that the fit leaves beside its JSON and draws; ESTIMATORS is always one
    of them. `options`, `fit` and `methods` name the model of the law's own group of options and two
    functions, as `module:name`:

        fit(points, targets_flops, options, *, bootstrap, family) -> FitResult
        methods(settings, fit, study, variants) -> the sentences of its paragraph of methods

    `judged` is what the fit is told besides where the held-out ladder asks for it, which needs the
    main line and those variants on the ladder, and of these no draws. `methods` is given the fit's
    settings as `methods_text.Settings`, its JSON, the study and the names of its variants; its
    sentences are marked up as `report.references` says.

    `recommendable` are variants that may be recommended beside the main line, `rivals` those that
    may be where they were held out, `of_surface` those that read the fitted L(N, D) of another law
    and fall with it. `wild` says how a wild
    bootstrap resamples this law, where it has a way of its own, after the work `wild_source`.
    `mem_mb` and `minutes` are what a fit is granted at first.
    """

    name: str
    label: str
    title: str
    formula: str
    says: Says
    points: Points
    uses: Uses
    style: Style
    tables: tuple[str, ...]
    options: str
    fit: str
    methods: str
    frontier: FrontierColumns
    recommendable: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    of_surface: tuple[str, ...] = ()
    wild: str = ""
    wild_source: str = ""
    judged: Mapping[str, object] = field(default_factory=dict)
    mem_mb: int = 1000
    minutes: int = 30

    def fitted(self, *args: Any, **more: Any) -> FitResult:
        """Fit the law: see the function that `fit` names for arguments and errors."""
        result: FitResult = resolved(self.fit)(*args, **more)
        return result

    @property
    def model(self) -> type[OptionGroup]:
        """The model of the law's own group of options."""
        model: type[OptionGroup] = resolved(self.options)
        return model

    def split(self, study: StudyDocument) -> str:
        """The split whose losses the law is fitted to, in a study."""
        groups: Mapping[str, object] = study
        own = groups.get(self.name)
        split = own.get("split") if isinstance(own, Mapping) else None
        return str(split or study["loss_split"])


ESTIMATORS: Final = "estimators"
"""The table of estimators that every law's fit leaves."""


@cache
def spec_of(name: str) -> LawSpec:
    """The spec of the law called `name`; FloplineError where there is none."""
    module = spec_module(name)
    try:
        spec: LawSpec = import_module(module).LAW
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{module}.".startswith(f"{missing.name}."):
            raise
        raise FloplineError(f"there is no law called '{name}': it would be {module}.") from None
    return spec


def spec_module(name: str) -> str:
    """The module that holds the spec of the law called `name`."""
    return home_of("laws", name, f"flopline.laws.{name}.{name}_law")


def resolved(reference: str) -> Any:
    """What `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def module_of(reference: str) -> str:
    """The module of what `module:name` names."""
    return reference.partition(":")[0]


def ordered(names: Iterable[str]) -> list[str]:
    """Laws in the order in which readers meet them: from few of the runs to all of them."""
    return sorted(names, key=lambda name: (-spec_of(name).uses, name))


def ranked(names: Iterable[str]) -> list[str]:
    """Laws by how much of the runs they rest on, the most first."""
    return sorted(names, key=lambda name: (spec_of(name).uses, name))


def surface_law(names: Iterable[str]) -> str | None:
    """The law among `names` whose surface L(N, D) judges the others, None without any."""
    return next((name for name in ranked(names) if spec_of(name).says is Says.SURFACE), None)
