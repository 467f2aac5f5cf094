"""Write the logs of `.test/data`: python .test/make_data.py, the same bytes each time.

The law is that of Besiroglu et al. 2024 (arXiv:2404.10102), L = E + A/N^alpha + B/D^beta.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658
BUDGETS = (1e17, 4e17, 1.6e18)
SIZES = 7
ROWS = 12
BATCH = 65_536
NOISE = 0.002

folder = Path(__file__).parent / "data"
(folder / "logs").mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(1)
runs = []
for budget in BUDGETS:
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (budget / 6) ** (
        BETA / (ALPHA + BETA)
    )
    for size in best * np.geomspace(1 / 4, 4, SIZES):
        params = round(size)
        steps = round(budget / (6 * params) / BATCH)
        run = f"c{budget:.1e}-n{params / 1e6:.1f}M".replace("+", "")
        shift = NOISE * random.standard_normal()
        lines = []
        for step in np.unique(np.linspace(steps / ROWS, steps, ROWS).round().astype(int)):
            tokens = int(step) * BATCH
            loss = (E + A / params**ALPHA + B / tokens**BETA) * np.exp(shift)
            train = loss * np.exp(2 * NOISE * random.standard_normal())
            row = {"step": int(step), "tokens": tokens, "train_loss": round(train, 4)}
            lines.append(json.dumps(row | {"val_loss": round(loss, 4)}))
        (folder / "logs" / f"{run}.jsonl").write_text("\n".join(lines) + "\n")
        runs.append([run, f"logs/{run}.jsonl", params, steps * BATCH, budget])
with (folder / "runs.csv").open("w", newline="") as table:
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["run", "log", "params", "horizon_tokens", "budget_flops"])
    writer.writerows(runs)
