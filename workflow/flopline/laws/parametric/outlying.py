"""Runs far off the fitted surface, and what the best size would be without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from flopline.numbers import count, flops_label, humanise, significant

FAR: Final = 5.0
"""Robust standard deviations of the residuals beyond which a run is far off; more where few runs
make a larger residual likely: real losses have heavier tails than normal ones."""
LEVEL: Final = 0.05
"""Chance of calling any of all sound runs far off, were their residuals normal."""
MOVES: Final = 0.05
"""Change of N at the target above which runs far off are told of."""
NAMED: Final = 5
"""Runs that a sentence names; of more it says the number."""


class FarOffJson(TypedDict):
    """The runs far off a surface as the certificate holds them."""

    runs: list[str]
    farthest: float
    params_without: float


@dataclass(frozen=True, slots=True)
class Outlying:
    """Runs far off the surface: their names, the farthest first, and N [weights] at `flops`.

    `params` is N of all runs, `without` that of a fit to the others.
    """

    runs: list[str]
    z: float
    flops: float
    params: float
    without: float

    @property
    def matters(self) -> bool:
        """Whether N depends on them."""
        return bool(abs(np.log(self.without / self.params)) > np.log1p(MOVES))

    def sentence(self) -> str:
        """Which runs, how far off, and what N is with and without them."""
        names = ", ".join(f"'{run}'" for run in self.runs[:NAMED])
        more = len(self.runs) - NAMED
        listed = f"{names} and {count(more, 'other')}" if more > 0 else names
        verb = "lies" if len(self.runs) == 1 else "lie"
        return (
            f"{listed} {verb} far off the fitted surface (up to {significant(self.z, 2)} robust "
            f"standard deviations): N at {flops_label(self.flops)} FLOPs is "
            f"{humanise(self.params)} with and {humanise(self.without)} without "
            f"{'it' if len(self.runs) == 1 else 'them'}"
        )

    def to_json(self) -> FarOffJson:
        """The certificate's entry."""
        return {"runs": self.runs, "farthest": self.z, "params_without": self.without}


def far_off(table: pd.DataFrame, unknowns: int) -> pd.Series:
    """Distance from the surface of each run that lies far off it, in robust standard deviations.

    `table` has run and log_residual (a run is as far off as its mean), of a fit of so many
    `unknowns`: as many residuals, the smallest, tell nothing of the scatter, since a fit of small
    delta passes through as many points.
    """
    number, names = pd.factorize(table["run"], sort=True)
    mean = np.bincount(number, table["log_residual"].to_numpy(float)) / np.bincount(number)
    size = pd.Series(np.abs(mean), index=names).sort_values(ascending=False)
    freedom = len(size) - unknowns
    if freedom < 2:
        return size.iloc[:0]
    scale = 1.4826 * float(np.median(size.iloc[:freedom]))
    if scale <= np.finfo(float).eps:
        return size.iloc[:0]
    limit = max(FAR, float(stdtrit(freedom, 1.0 - LEVEL / 2.0 / len(size))))
    z = size / scale
    return z[z > limit]
