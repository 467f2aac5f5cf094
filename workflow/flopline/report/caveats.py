"""What is held against a law without evidence, and what the evidence says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from flopline.documents import FindingJson
from flopline.flops import NOTABLE_GAP
from flopline.laws.common.loss_compute import TOO_LOW
from flopline.numbers import count, factor, significant
from flopline.schema import KEPT

FEWEST_FORECASTS: Final = 2
"""One forecast has no side."""


def one_sided(
    law: str, findings: Mapping[str, FindingJson], estimator: str = ""
) -> tuple[str, int, float] | None:
    """Whether every held-out forecast of the loss by a line erred to one side.

    Without `estimator` the line is the first of the law's, which the ladder lists first.

    Returns the side (high or low), how many forecasts there were and how far off the farthest of
    them was [percent]; None where they lie on both sides, or there are too few.
    """
    ladder = findings.get("ladder")
    tables = {} if ladder is None else ladder.get("tables", {})
    steps, optima = tables.get("steps"), tables.get("optima")
    if steps is None or optima is None:
        return None
    names = steps.loc[steps["law"] == law, "estimator"]
    line = estimator or (names.iloc[0] if len(names) else "")
    mine = optima[(optima["law"] == law) & (optima["estimator"] == line)]
    predicted, seen = (mine[f"loss_{kind}"].astype(float) for kind in ("predicted", "seen"))
    errors = (100 * (predicted / seen - 1)).dropna()
    if len(errors) < FEWEST_FORECASTS:
        return None
    for side, alike in (("high", errors > 0), ("low", errors < 0)):
        if alike.all():
            return side, len(errors), float(errors.abs().max())
    return None


def checked(message: str, law: str, findings: Mapping[str, FindingJson]) -> str:
    """A fit's message, its caveat of losses that are too low held against held-out forecasts."""
    sided = one_sided(law, findings)
    if TOO_LOW not in message or sided is None or sided[0] != "high":
        return message
    _, made, error = sided
    return message.replace(
        TOO_LOW,
        f"far beyond the data that makes it too low, yet all {made} held-out forecasts came out "
        f"too high, by {significant(error, 2)} % at most",
    )


def counted_apart(runs: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """That 6ND is off for some families and not for others; empty where it is alike for all."""
    kept = runs[runs["status"] == KEPT]
    if "flops_over_six_nd" not in kept or kept["family"].nunique() < 2:
        return ""
    ratio = kept["flops_over_six_nd"].astype(float)
    far = (ratio - 1).abs() > NOTABLE_GAP
    shares = far.groupby(kept["family"]).mean()
    if not far.any() or np.isclose(shares.min(), shares.max()):
        return ""
    counts = [
        f"{int(far[kept['family'] == family].sum())} of "
        f"{count(int((kept['family'] == family).sum()), 'run')} of {label}"
        for family, label in labels.items()
        if (kept["family"] == family).any()
    ]
    widest = float(ratio[far].loc[(ratio[far] - 1).abs().idxmax()])
    return (
        f"6ND and the exact count of compute differ in {' and '.join(counts)}, by up to "
        f"{factor(widest)}: the comparison of the families depends on which is used."
    )
