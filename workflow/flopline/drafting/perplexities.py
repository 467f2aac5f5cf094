"""The unit of losses, told by the perplexities that are logged beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from flopline.drafting.columns import split_of
from flopline.errors import FloplineError
from flopline.logs.readers import read_log
from flopline.loss_units import BITS, NATS, PERPLEXITY, unit_of

NEAR: Final = 0.01
"""Share by which the logarithm of a perplexity may miss its loss: both are rounded when logged."""
_LN_2: Final = math.log(2)
_OF_LOSS: Final = re.compile(
    r"loss(?:es)?|nll|xent|cross[-_ ]?entropy|ce|ppl|perplexity", re.IGNORECASE
)
LOSS, BESIDE = "loss", "perplexity"


def unit_beside(path: Path, format_name: str, loss: str, names: Sequence[str]) -> str | None:
    """Nats or bits per token, by the perplexity that a log has beside the column `loss`.

    None where it has none, or one that is neither e nor 2 to the power of the loss.
    """
    for name in names:
        if not _of_one(loss, name):
            continue
        try:
            rows = read_log(path, {"loss": {LOSS: loss, BESIDE: name}}, format_name).rows
        except FloplineError:
            return None
        by_line = rows.pivot_table(index="line", columns="split", values="loss", observed=True)
        if not {LOSS, BESIDE} <= set(by_line.columns):
            continue
        both = by_line[(by_line[BESIDE] > 1) & (by_line[LOSS] > 0)].dropna()
        if len(both):
            ratio = float(np.median(np.log(both[BESIDE]) / both[LOSS]))
            for unit, expected in ((NATS, 1.0), (BITS, _LN_2)):
                if abs(ratio / expected - 1) <= NEAR:
                    return unit
    return None


def _of_one(loss: str, perplexity: str) -> bool:
    """Whether a column is the perplexity of the loss in another."""
    if unit_of(perplexity) != PERPLEXITY or unit_of(loss) is not None:
        return False
    bare = [_OF_LOSS.sub("", name).strip("-_./ ").lower() for name in (loss, perplexity)]
    return bare[0] == bare[1] and split_of(loss) == split_of(perplexity)
