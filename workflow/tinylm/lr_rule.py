"""Fit the learning-rate rule of each family to the search: ln rate = ln a + n ln N + c ln C."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from design import lr_by_rule


def final_loss(log: Path) -> float:
    """Last validation loss of a run, nats per token."""
    lines = map(json.loads, gzip.decompress(log.read_bytes()).splitlines())
    return [line["loss"] for line in lines if line["split"] == "val"][-1]


def best_rate(rates: list[float], losses: list[float]) -> float:
    """Vertex of the parabola in ln rate through the best rate and its neighbours.

    The best rate itself where it lies at an edge of the search.
    """
    best = int(np.argmin(losses))
    if best in (0, len(rates) - 1):
        return rates[best]
    near = slice(best - 1, best + 2)
    curve, slope, _ = np.polyfit(np.log(rates[near]), losses[near], 2)
    return float(np.exp(-slope / (2 * curve)))


def fit(cells: list[dict[str, Any]]) -> dict[str, float]:
    """Least squares in logarithms over the cells of one family."""
    rows = np.array([[1.0, np.log(c["params"]), np.log(c["budget_flops"])] for c in cells])
    ln_a, n, c = np.linalg.lstsq(rows, np.log([cell["best_rate"] for cell in cells]), rcond=None)[0]
    return {"ln_a": round(float(ln_a), 6), "n": round(float(n), 6), "c": round(float(c), 6)}


def main() -> None:
    """Command line: lr_rule.py DESIGN STUDY; writes STUDY/lr_search/{rates,best}.csv, rule.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", type=Path, help="the search, written by design.py")
    parser.add_argument("study", type=Path, help="folder that log paths start from")
    args = parser.parse_args()
    keys = ["family", "budget_flops", "params"]
    columns = [*keys, "d_model", "batch_tokens", "steps", "lr_max", "loss", "log"]
    runs = list(json.loads(args.design.read_text())["runs"].values())
    runs.sort(key=itemgetter(*keys, "lr_max"))
    rates, cells = [], []
    for key, group in groupby(runs, key=itemgetter(*keys)):
        searched = [run | {"loss": final_loss(args.study / run["log"])} for run in group]
        rates += [{key: run[key] for key in columns} for run in searched]
        best = best_rate([run["lr_max"] for run in searched], [run["loss"] for run in searched])
        cells.append(dict(zip(keys, key, strict=True)) | {"best_rate": float(f"{best:.4g}")})
    rules = {family: fit(list(group)) for family, group in groupby(cells, itemgetter("family"))}
    for cell in cells:
        rate = lr_by_rule(rules[cell["family"]], cell["params"], cell["budget_flops"])
        cell["rate_by_rule"] = float(f"{rate:.4g}")
    for name, table in (("rates", rates), ("best", cells)):
        with (args.study / f"lr_search/{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    (args.study / "lr_search/rule.json").write_text(json.dumps(rules, indent=2) + "\n")


if __name__ == "__main__":
    main()
