"""How errors on the held-out ladder tell lines apart: by their means, and the noise of these."""

from __future__ import annotations

import math
from typing import Any, Final

import pandas as pd

FEWEST_STEPS: Final = 2
"""Steps that two lines must share before one can be preferred by evidence: one has no noise."""
TIE_PERCENT: Final = 1.0
"""Mean waste, in percent of compute, by which two lines must differ to be told apart."""
TIE_LOSS_PERCENT: Final = 0.25
"""Mean error of losses, in percent, by which lines tied in waste must differ."""


def tied(table: pd.DataFrame, order: list[Any], percent: float) -> list[Any]:
    """The line of least mean in `table` (steps, lines) and those tied with it, in `order`.

    Tied are those whose mean lies above by no more than its standard error, or than `percent`.
    """
    best = table.mean(axis=0).idxmin()
    alike = []
    for line in table:
        gap, noise = difference(table[line], table[best])
        if gap <= max(noise, percent):
            alike.append(line)
    return [i for i in order if i in alike]


def difference(one: pd.Series, other: pd.Series) -> tuple[float, float]:
    """Mean of `one` less `other` over their steps, and its standard error."""
    gap = (one - other).to_numpy(dtype=float)
    return float(gap.mean()), float(gap.std(ddof=1) / math.sqrt(gap.size))
