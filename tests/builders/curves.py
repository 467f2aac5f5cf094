"""Training curves of runs on a known loss surface, and their learning rates.

A table of curves has one row per logged step of a run: run, params [weights], horizon_tokens (what
the run trains to), step, tokens seen, flops = 6 params tokens [FLOPs], loss [nats per token].
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.surface import Law
from tests.builders.designs import runs_at


def schedule_runs(
    surface: LossSurface, sizes: int = 12, horizons: int = 4, width: float = 4.0
) -> pd.DataFrame:
    """Runs of 5e7 to 5e9 weights, each to `horizons` multiples 1/width to width of its best tokens.

    Run i-j is the j-th horizon of the i-th size.
    """
    params = np.repeat(np.geomspace(5e7, 5e9, sizes), horizons)
    flops = 6 * (params / surface.G) ** (1 / surface.a)
    tokens = flops / (6 * params) * np.tile(np.geomspace(1 / width, width, horizons), sizes)
    names = [f"{i:02d}-{j:02d}" for i in range(sizes) for j in range(horizons)]
    return runs_at(surface, params, tokens).assign(run=names)


def curves_of(
    runs: pd.DataFrame,
    surface: Law,
    shares: ArrayLike = 200,
    *,
    steps: float = 1000.0,
    late: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """The curve of every run at `shares` of its tokens, or at so many even ones.

    A run takes `steps` steps; with a share still to go it lies `late` nats times that share above
    the surface; `noise` is the standard deviation of ln loss from row to row.
    """
    even = np.arange(1, int(shares) + 1) / shares if np.ndim(shares) == 0 else np.asarray(shares)
    rows = runs.loc[runs.index.repeat(even.size), ["run", "params", "tokens"]]
    share = np.tile(even, len(runs))
    tokens = rows["tokens"].to_numpy() * share
    error = np.exp(noise * np.random.default_rng(seed).standard_normal(share.size))
    loss = surface.loss(rows["params"], tokens) * error + late * (1 - share)
    return pd.DataFrame(
        {
            "run": rows["run"].to_numpy(),
            "params": rows["params"].to_numpy(),
            "horizon_tokens": rows["tokens"].to_numpy(),
            "step": steps * share,
            "tokens": tokens,
            "flops": 6 * rows["params"].to_numpy() * tokens,
            "loss": loss,
        }
    )


def with_rates(
    curves: pd.DataFrame,
    peak: ArrayLike = 0.01,
    warmup: ArrayLike = 0.05,
    final: ArrayLike = 0.1,
) -> pd.DataFrame:
    """The same curves with `lr`: linear to `peak` over `warmup` of a run, then to `final` of it.

    Each of these is one number or one for each run, in the order of the table.
    """
    runs = pd.factorize(curves["run"])[0]
    count = runs.max() + 1
    top, warm, end = (
        np.broadcast_to(np.asarray(v, float), count)[runs] for v in (peak, warmup, final)
    )
    share = (curves["tokens"] / curves["horizon_tokens"]).to_numpy()
    rate = np.where(share < warm, share / warm, 1 - (1 - end) * (share - warm) / (1 - warm))
    return curves.assign(lr=top * rate)


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """The same runs with what cleaning states of a run that is kept: horizon, seed, status."""
    facts = {"horizon_tokens": runs["tokens"], "seed": "1", "status": "kept", "reason": ""}
    return runs.assign(**facts)
