"""What is held against a law without evidence, and what the evidence says of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from flopline.documents import FindingJson
from flopline.doubtful_losses import one_sided
from flopline.flops import NOTABLE_GAP
from flopline.laws.common.loss_compute import TOO_LOW
from flopline.numbers import count, factor, significant
from flopline.schema import KEPT


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
