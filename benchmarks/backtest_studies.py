"""The public studies that the backtest reads: one table of finished runs for each family.

Each is read from the files of `shared/data/README.md` as the golden tests read it. Columns: run,
params [weights], tokens, flops, loss [nats per token, or bits per byte: only ratios count].
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

COLUMNS: Final = ["run", "params", "tokens", "flops", "loss"]
OLMO_LOSS: Final = "eval/c4_en-validation/CrossEntropyLoss"
OLMO_TOKENS: Final = "throughput/total_tokens"
OLMO_PARAMS: Final = {
    "190M": 190354176,
    "370M": 371262464,
    "760M": 758220288,
    "1B": 1279395840,
    "3B": 3169537280,
}
"""Non-embedding counts of the OLMo models (Bhagia et al. 2024), which names of files round."""
HAEGELE_BATCH: Final = ("batch_size", "acc_steps", "world_size", "sequence_length")
"""What the tokens of a step are the product of in the settings of Haegele et al. 2024."""
OUTLIERS: Final = 5
"""Runs of largest loss that Besiroglu et al. 2024 leave out of Hoffmann et al.'s."""

Families = Iterator[tuple[str, pd.DataFrame]]


def chinchilla(folder: Path) -> Families:
    """Hoffmann et al. 2022, as Epoch AI digitised Fig. 4, less the outliers."""
    table = pd.read_csv(folder / "chinchilla/svg_extracted_data.csv")
    params, flops = table["Model Size"], table["Training FLOP"]
    points = _points(table.index.astype(str), params, flops / (6 * params), table["loss"])
    yield "chinchilla", points.drop(index=points["loss"].nlargest(OUTLIERS).index)


def gemstones(folder: Path) -> Families:
    """McLeish et al. 2025: checkpoints at a constant rate, and the ends of cooldowns."""
    for name in ("hot", "cool_end"):
        path = folder / f"gemstones/wandb_dfs/wandb_df_for_fitting_{name}.jsonl"
        table = pd.read_json(path, lines=True)
        yield (
            name,
            _points(
                table["run_name"],
                table["params_active_precise"],
                table["tokens"],
                table["final_loss"],
            ),
        )


def gadre_overtraining(folder: Path) -> Families:
    """Gadre et al. 2024: three corpora, loss on C4."""
    rows = []
    for path in sorted((folder / "gadre_overtraining/exp_data/models").glob("*.json")):
        record = json.loads(path.read_text())
        made = record["hyperparameters"]
        (loss,) = (r["loss"] for r in record["results"] if "c4_val" in str(r["val_data"]))
        rows.append((record["dataset_name"], path.stem, made["params"], made["tokens"], loss))
    table = pd.DataFrame(rows, columns=["corpus", "run", "params", "tokens", "loss"])
    for corpus, part in table.groupby("corpus"):
        yield str(corpus), _points(part["run"], part["params"], part["tokens"], part["loss"])


def datablations(folder: Path) -> Families:
    """Muennighoff et al. 2023, the runs that repeat no data; the best of several of one setting."""
    table = pd.read_csv(folder / "datablations/points_all.csv")
    fresh = table[table["tokens"] <= table["unique_tokens"]]
    best = fresh.loc[fresh.groupby(["params", "tokens"])["val_loss"].idxmin()]
    yield "fresh", _points(best["name"], best["params"], best["tokens"], best["val_loss"])


def olmo_ladder(folder: Path) -> Families:
    """Bhagia et al. 2024: the finished runs of 190M to 3B, loss on C4."""
    rows = []
    for path in sorted((folder / "olmo_ladder/ladder-runs").glob("*.csv")):
        size = re.split("[-_]", path.stem)[0]
        if size in OLMO_PARAMS:
            ends = pd.read_csv(path, usecols=[OLMO_TOKENS, OLMO_LOSS]).dropna().iloc[-1]
            rows.append((path.stem, OLMO_PARAMS[size], ends[OLMO_TOKENS], ends[OLMO_LOSS]))
    table = pd.DataFrame(rows, columns=["run", "params", "tokens", "loss"])
    yield "olmo", _points(table["run"], table["params"], table["tokens"], table["loss"])


def farseer(folder: Path) -> Families:
    """Li et al. 2025 (arXiv 2506.10972): the grid and the seven largest runs."""
    table = pd.concat(
        [pd.read_parquet(path) for path in sorted((folder / "farseer").glob("*.parquet"))],
        ignore_index=True,
    )
    yield "dense", _points(table.index.astype(str), table["N"], table["D"], table["loss"])


def step_law(folder: Path) -> Families:
    """Li et al. 2025 (arXiv 2503.04715): the best run of each cell of size and tokens."""
    table = pd.concat(
        [pd.read_parquet(path) for path in sorted((folder / "step_law").glob("*.parquet"))]
    )
    cell = ["non_embedding_param_size", "data_size"]
    best = table.groupby(cell)["lm_loss"].min().reset_index()
    yield "cells", _points(best.index.astype(str), best[cell[0]], best[cell[1]], best["lm_loss"])


def haegele(folder: Path) -> Families:
    """Haegele et al. 2024 (arXiv 2405.18392): cosine runs, and the cooled branches of trunks."""
    rows = []
    for path in sorted((folder / "haegele/runs").glob("*.json")):
        record = json.loads(path.read_text())
        made, summary = record["config"], record["summary"]
        kind = "cosine" if made["scheduler"] == "cos" else "wsd"
        if kind == "wsd" and not made.get("resume_from"):
            continue  # a trunk stays at its peak rate
        batch = math.prod(made[name] for name in HAEGELE_BATCH)
        tokens = summary["iter"] * batch
        rows.append((kind, path.stem, summary["parameters"], tokens, summary["final-val/loss"]))
    table = pd.DataFrame(rows, columns=["kind", "run", "params", "tokens", "loss"])
    for kind, part in table.groupby("kind"):
        yield str(kind), _points(part["run"], part["params"], part["tokens"], part["loss"])


def tinylm(folder: Path) -> Families:
    """The study of this repository: the validation loss at the end of each run."""
    runs = pd.read_csv(folder / "runs.csv")
    for family, part in runs.groupby("family"):
        losses = pd.Series([_last_loss(folder / log) for log in part["log"]], index=part.index)
        points = _points(part["run"], part["params_total"], part["tokens"], losses)
        yield str(family), points.assign(budget_flops=part["budget_flops"].to_numpy())


STUDIES: Final[dict[str, Callable[[Path], Families]]] = {
    read.__name__: read
    for read in (
        chinchilla,
        datablations,
        farseer,
        gadre_overtraining,
        gemstones,
        haegele,
        olmo_ladder,
        step_law,
        tinylm,
    )
}
"""How to read each study out of its folder, by name."""


def _points(runs: Any, params: Any, tokens: Any, loss: Any) -> pd.DataFrame:
    out = pd.DataFrame({"run": runs, "params": params, "tokens": tokens, "loss": loss})
    out = out.astype({"params": float, "tokens": float, "loss": float})
    return out.assign(flops=6 * out["params"] * out["tokens"])[COLUMNS].reset_index(drop=True)


def _last_loss(log: Path) -> float:
    with gzip.open(log, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return float([row["loss"] for row in rows if row["split"] == "val"][-1])
