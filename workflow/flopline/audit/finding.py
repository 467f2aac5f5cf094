"""What every audit returns, and the loss surfaces that audits read out of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from flopline.documents import FindingJson, FitJson, number_in
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FAILED, plain
from flopline.laws.spec import Says, spec_of
from flopline.surfaces.chinchilla import PARAMETERS, POWER, LossSurface
from flopline.surfaces.count import COUNT
from flopline.verdict_scale import Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """One audit: a verdict, one plain sentence, numbers and tables."""

    audit: str
    verdict: Verdict
    sentence: str
    numbers: Mapping[str, object]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def to_json(self) -> FindingJson:
        """Everything but the tables, in a fixed key order, ready for json.dumps."""
        return {
            "audit": self.audit,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "numbers": plain(dict(self.numbers)),
        }


def surface_of(fit: FitJson) -> LossSurface:
    """The loss surface of a fit, given as FitResult.to_json() or read from its file.

    Raises FloplineError if the fit is of a law that says no surface, failed, or has no optimum.
    """
    spec = spec_of(fit["law"])
    if spec.says is not Says.SURFACE:
        raise FloplineError(
            f"this audit needs the fit of a surface L(N, D), but was given the {spec.label} fit: "
            "keep parametric in `laws` in the study file."
        )
    if fit["status"] == FAILED:
        raise FloplineError(
            f"the {spec.label} fit failed, so it cannot be audited: {fit['message']}"
        )
    stated = {name: number_in(e) for name, e in fit["parameters"].items()}
    surface = LossSurface.stated(stated)
    if not np.isfinite(surface.G):
        raise FloplineError(
            f"the {spec.label} fit has no compute-optimal split (A or B is zero), so there is "
            "nothing to audit: add runs that differ more in params and in tokens."
        )
    return surface


def draws_of(draws: pd.DataFrame) -> LossSurface:
    """The surfaces of the bootstrap draws that have an optimum, fields of shape (usable draws,).

    `draws` are those of the fit of a surface. Raises FloplineError with fewer than two of them.
    """
    values = {name: draws[name].to_numpy(dtype=float) for name in stated_columns(draws)}
    usable = np.isfinite(np.stack(list(values.values()))).all(axis=0)
    usable &= (values["A"] > 0) & (values["B"] > 0)
    if usable.sum() < 2:
        raise FloplineError(
            f"this audit needs bootstrap draws of the surface, but {int(usable.sum())} of "
            f"{len(draws)} can be used: raise `bootstrap: draws` in the study file."
        )
    return LossSurface.stated({name: drawn[usable] for name, drawn in values.items()})


def stated_columns(draws: pd.DataFrame) -> list[str]:
    """The columns of `draws` that say a surface with its power and its count, where it has them."""
    return [*PARAMETERS, *(name for name in (POWER, *COUNT) if name in draws)]
