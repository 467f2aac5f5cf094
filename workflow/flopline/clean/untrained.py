"""Runs that never trained, found beside their peers: a curve of their own shows no fault in them.

A run whose loss stays near that of the first steps ends as low as it ever was, so that nothing in
its own curve tells. Runs of like size on like tokens do, and so do smaller runs on fewer tokens,
above which no run can lie by much. One such run moves a parabola, and several hide each other from
residuals, so that each is held against the lower ones of its peers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

NEAR: Final = 2.0
"""Peers have params and tokens within this factor: over it losses of sound runs differ by 15 %."""
FEWEST_PEERS: Final = 3
"""With fewer peers, or fewer smaller runs on fewer tokens, nothing is said."""
QUANTILE: Final = 0.25
"""Share of the peers below what a run is held against, so that half of them may be untrained."""

_LIKE: Final = "runs of like params and tokens"
_LESS: Final = "runs of no more params on no more tokens"


def untrained(runs: pd.DataFrame, above: float) -> pd.Series:
    """A sentence for each run whose loss lies more than the share `above` above that of its peers.

    `runs` has family, params [weights], tokens and loss [nats per token], all of them finite, and
    unique_tokens, missing where not known: passes over the same data raise losses of sound runs, so
    runs on fewer unique tokens than tokens are let pass. Families are held apart.
    """
    messages: dict[object, str] = {}
    for _, family in runs.groupby("family", sort=False):
        ln_n, ln_d = (np.log(family[c].to_numpy(dtype=float)) for c in ("params", "tokens"))
        loss = family["loss"].to_numpy(dtype=float)
        unique = family["unique_tokens"].to_numpy(dtype=float)
        again = unique < family["tokens"].to_numpy(dtype=float)
        near = np.log(NEAR)
        for place, index in enumerate(family.index):
            if again[place]:
                continue
            apart_n, apart_d = ln_n - ln_n[place], ln_d - ln_d[place]
            like = (np.abs(apart_n) <= near) & (np.abs(apart_d) <= near)
            less = (apart_n <= 0) & (apart_d <= 0)
            for others, words in ((like, _LIKE), (less, _LESS)):
                others[place] = False
                if np.count_nonzero(others) < FEWEST_PEERS:
                    continue
                reach = float(np.quantile(loss[others], QUANTILE))
                if loss[place] > (1 + above) * reach:
                    messages[index] = (
                        f"It hardly trained: its final loss {loss[place]:.3f} is far above "
                        f"{reach:.3f}, which a quarter of {np.count_nonzero(others)} {words} reach."
                    )
                    break
    return pd.Series(messages, dtype="string")
