"""Turn config.yaml into lists of runs: the learning-rate search, then the isoFLOP sweep."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, TypedDict

import yaml
from shape import FAMILIES, Shape, flops_per_token, params_nonembedding, params_total


class Run(TypedDict):
    """All that is known of a run before it starts."""

    run: str
    log: str
    family: str
    params: int
    params_total: int
    params_nonembedding: int
    d_model: int
    n_layer: int
    n_head: int
    vocab: int
    seq_len: int
    batch_tokens: int
    steps: int
    tokens: int
    horizon_tokens: int
    budget_flops: float
    flops_per_token: float
    flops_per_token_6n: int
    lr_max: float
    warmup_tokens: int
    seed: int
    role: str


def batch_tokens(horizon: float, rule: dict[str, Any], seq_len: int) -> int:
    """Tokens per step: near horizon / steps_aimed within [min, max], in whole windows.

    The search rounded to powers of two; the sweep does not, because two neighbours
    in a valley with batches a factor two apart would differ in more than their size.
    """
    aim = horizon / rule["steps_aimed"]
    near = 2 ** round(math.log2(aim)) if rule["power_of_two"] else seq_len * round(aim / seq_len)
    return min(rule["max"], max(rule["min"], near))


def run_name(family: str, budget: float, width: int, tail: str) -> str:
    """For example transformer-c4.00e10-d032-s1."""
    return f"{family}-c{budget:.2e}-d{width:03d}-{tail}".replace("+", "")


def shape_of(config: dict[str, Any], family: str, width: int) -> Shape:
    """The model of this width on the ladder."""
    d_model, n_layer, n_head = next(row for row in config["ladder"] if row[0] == width)
    heads = n_head if family == "transformer" else 0
    return Shape(family, d_model, n_layer, heads, config["vocab"], config["seq_len"])


def lr_by_rule(rule: dict[str, float], params: int, budget: float) -> float:
    """Peak learning rate: a power law in weights and FLOPs, written by lr_rule.py."""
    return math.exp(rule["ln_a"] + rule["n"] * math.log(params) + rule["c"] * math.log(budget))


def make_run(
    config: dict[str, Any], shape: Shape, budget: float, lr: float, seed: int, role: str
) -> Run:
    """All that is known of a run before it starts; C = 6 N D fixes its tokens, in whole steps.

    `budget` is in FLOPs, `lr` the peak learning rate, `role` what the run is for in the design.

    Returns:
        One row of the design: the run's name, log, shape, tokens, batch and schedule.
    """
    params = params_total(shape)
    search = role == "lr_search"
    rule = config["batch"] | (config["lr_search"]["batch"] if search else {})
    batch = batch_tokens(budget / (6 * params), rule, shape.seq_len)
    steps = round(budget / (6 * params * batch))
    name = run_name(shape.family, budget, shape.d_model, f"lr{lr:g}" if search else f"s{seed}")
    return {
        "run": name,
        "log": f"{'lr_search/' if search else ''}logs/{name}.jsonl.gz",
        "family": shape.family,
        "params": params,
        "params_total": params,
        "params_nonembedding": params_nonembedding(shape),
        "d_model": shape.d_model,
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "vocab": shape.vocab,
        "seq_len": shape.seq_len,
        "batch_tokens": batch,
        "steps": steps,
        "tokens": steps * batch,
        "horizon_tokens": steps * batch,
        "budget_flops": budget,
        "flops_per_token": flops_per_token(shape),
        "flops_per_token_6n": 6 * params,
        "lr_max": float(f"{lr:.4g}"),
        "warmup_tokens": max(1, round(config["train"]["warmup_share"] * steps)) * batch,
        "seed": seed,
        "role": role,
    }


def lr_search(config: dict[str, Any]) -> list[Run]:
    """The runs of the learning-rate search."""
    search = config["lr_search"]
    return [
        make_run(
            config,
            shape_of(config, family, width),
            float(budget),
            rate,
            search["seed"],
            "lr_search",
        )
        for budget, widths in search["rates"].items()
        for width, rates in widths.items()
        for rate in rates
        for family in FAMILIES
    ]


def cells(config: dict[str, Any]) -> list[tuple[str, float, int, int, str]]:
    """(family, budget, width, seed, role) of the sweep, small budgets first.

    Cut short, the sweep is then whole below the cut.
    """
    designed = []
    for family in FAMILIES:
        for budget, widths in config["isoflop"][family].items():
            designed += [
                (family, float(budget), width, config["seed"], "isoflop") for width in widths
            ]
        for repeat in config["seed_repeats"][family]:
            cell = (family, float(repeat["budget"]), repeat["width"])
            designed += [(*cell, seed, "seed_repeat") for seed in repeat["seeds"]]
    return sorted(designed, key=lambda c: (c[1], c[4], FAMILIES.index(c[0]), c[2], c[3]))


def sweep(config: dict[str, Any], rules: dict[str, dict[str, float]]) -> list[Run]:
    """The runs of the isoFLOP sweep, their learning rates by the rule of each family."""
    runs = []
    for family, budget, width, seed, role in cells(config):
        shape = shape_of(config, family, width)
        lr = lr_by_rule(rules[family], params_total(shape), budget)
        runs.append(make_run(config, shape, budget, lr, seed, role))
    return runs


def main() -> None:
    """Command line: design.py CONFIG OUT [--rule RULE]."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path, help="JSON: settings of all runs, and the runs by name")
    parser.add_argument("--rule", type=Path, help="learning-rate rule; without it, the search")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text())
    if args.rule:
        settings = config["train"]
        runs = sweep(config, json.loads(args.rule.read_text()))
    else:
        settings = config["train"] | config["lr_search"]["train"]
        runs = lr_search(config)
    design = {"train": settings, "runs": {run["run"]: run for run in runs}}
    args.out.write_text(json.dumps(design, indent=1) + "\n")


if __name__ == "__main__":
    main()
