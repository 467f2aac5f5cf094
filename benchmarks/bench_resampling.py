"""Time the batched bootstrap of isoFLOP profiles beside one parabola at a time, in one run.

The loop does no more than NumPy's polyfit for every budget and resample; ours also fits the tokens
and the power laws. Simulated profiles: 9 budgets of 12 sizes on the surface of Besiroglu et al.
2024 (arXiv 2404.10102), synthetic.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from flopline.laws.common.bootstrap import run_weights
from flopline.laws.isoflop import isoflop_fit
from flopline.surfaces.chinchilla import LossSurface

DRAWS = 2000
LOOPED = 100


def profiles() -> pd.DataFrame:
    """One row per run: run, params, tokens, flops, budget_flops, loss."""
    law = LossSurface(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
    flops = np.repeat(np.geomspace(6e18, 3e21, 9), 12)
    params = law.params_opt(flops) * np.tile(np.geomspace(0.25, 4, 12), 9)
    tokens = flops / (6 * params)
    noise = np.exp(0.005 * np.random.default_rng(0).standard_normal(flops.size))
    columns = {"params": params, "tokens": tokens, "flops": flops, "budget_flops": flops}
    loss = law.loss(params, tokens) * noise
    return pd.DataFrame(
        {"run": [f"run-{i:03d}" for i in range(flops.size)], **columns, "loss": loss}
    )


def main() -> None:
    """Print both times and their ratio."""
    points = profiles()
    began = time.process_time()
    isoflop_fit.fit(points, [1e23], draws=DRAWS, seed=1)
    ours = time.process_time() - began
    groups = [part for _, part in points.groupby("budget_flops")]
    began = time.process_time()
    for part in groups:
        weights = run_weights(part["run"].tolist(), LOOPED, 1)
        for row in weights:
            np.polyfit(np.log(part["params"]), part["loss"], 2, w=np.sqrt(row))
    loop = (time.process_time() - began) * DRAWS / LOOPED
    print(f"isoFLOP, 9 budgets x 12 sizes, {DRAWS:,} resamples, synthetic: CPU time")
    print(f"  ours, both parabolas and all laws   {ours:8.2f} s")
    print(f"  one polyfit at a time, params only  {loop:8.2f} s (scaled from {LOOPED})")
    print(f"  ratio {loop / ours:.0f}")


if __name__ == "__main__":
    main()
