"""Fill in the README's tables from what the study's folder holds, so that no number is typed."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


def read_table(path: Path) -> list[Row]:
    """Rows of a CSV file, numbers as numbers."""

    def number(text: str) -> int | float | str:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        return text

    with path.open(newline="") as file:
        return [{key: number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def last_val(log: Path) -> Row:
    """The last validation line of a log."""
    lines = map(json.loads, gzip.decompress(log.read_bytes()).splitlines())
    return [line for line in lines if line["split"] == "val"][-1]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def corpus(facts: Row) -> str:
    """What went in and what came out."""
    total = sum(package["characters_kept"] for package in facts["packages"])
    sources = markdown(
        [
            "package",
            "version",
            "characters kept",
            "share",
            "paragraphs read",
            "dropped: short or not prose",
            "dropped: duplicate",
        ],
        [
            [
                f"`{p['package']}`",
                p["version"],
                f"{p['characters_kept']:,}",
                f"{p['characters_kept'] / total:.0%}",
                f"{p['paragraphs']:,}",
                f"{p['dropped_short_or_not_prose']:,}",
                f"{p['dropped_duplicate']:,}",
            ]
            for p in facts["packages"]
        ],
    )
    splits = markdown(
        ["split", "documents", "tokens", "sha256 of the token file"],
        [
            [
                name,
                f"{facts[name]['documents']:,}",
                f"{facts[name]['tokens']:,}",
                f"`{facts[name]['sha256']}`",
            ]
            for name in ("train", "val")
        ],
    )
    return f"{sources}\n\n{splits}"


def lr_search(study: Path) -> str:
    """Loss at every rate of the search, the best rate, and the rule's."""
    cell = itemgetter("family", "budget_flops", "params")
    best = {cell(row): row for row in read_table(study / "lr_search/best.csv")}
    rows = []
    for key, group in groupby(read_table(study / "lr_search/rates.csv"), cell):
        tried = list(group)
        low = min(row["loss"] for row in tried)
        losses = [f"{row['lr_max']:g}: {row['loss']:.4f}" for row in tried]
        marked = [
            f"**{t}**" if row["loss"] == low else t for t, row in zip(losses, tried, strict=True)
        ]
        rates = best[key]
        rows.append(
            [
                key[0],
                f"{key[1]:.3g}",
                f"{key[2]:,}",
                ", ".join(marked),
                f"{rates['best_rate']:g}",
                f"{rates['rate_by_rule']:g}",
            ]
        )
    table = markdown(
        ["family", "budget, FLOPs", "N", "rate: loss, nats", "best rate", "by the rule"], rows
    )
    rules = json.loads((study / "lr_search/rule.json").read_text())
    text = [
        f"- {f}: lr = exp({r['ln_a']:.4f}) N^{r['n']:.4f} C^{r['c']:.4f}" for f, r in rules.items()
    ]
    return "\n".join([table, "", *text])


def valley(grid: list[Row]) -> list[str]:
    """One budget: which size is lowest, the parabola in ln N, and every loss."""
    losses = [run["loss"] for run in grid]
    best = int(np.argmin(losses))
    curve, slope, _ = np.polyfit(np.log([run["params"] for run in grid]), losses, 2)
    points = [f"{run['params']:,}: {run['loss']:.4f}" for run in grid]
    points[best] = f"**{points[best]}**"
    vertex = np.exp(-slope / (2 * curve))
    budget = f"{grid[0]['budget_flops']:.3g}"
    return [
        budget,
        f"{best + 1} of {len(grid)}",
        f"{vertex:,.0f}",
        f"{curve:.3f}",
        ", ".join(points),
    ]


def noise(cell: list[Row]) -> list[str]:
    """The spread over the seeds of one cell."""
    losses = [run["loss"] for run in cell]
    run = cell[0]
    where = [run["family"], f"{run['budget_flops']:.3g}", f"{run['params']:,}", str(len(cell))]
    return [*where, f"{np.mean(losses):.4f}", f"{np.std(losses, ddof=1):.4f}"]


def results(study: Path) -> str:
    """Final validation losses by budget and size, seed noise, and what it all took."""
    runs = [row | last_val(study / row["log"]) for row in read_table(study / "runs.csv")]
    runs.sort(key=itemgetter("family", "budget_flops", "params", "seed"))
    parts = []
    for family, of_family in groupby(
        (r for r in runs if r["role"] == "isoflop"), itemgetter("family")
    ):
        grids = [list(grid) for _, grid in groupby(of_family, itemgetter("budget_flops"))]
        head = ["budget, FLOPs", "lowest", "parabola's vertex, N", "its curvature", "N: loss, nats"]
        parts += [f"**{family}**\n", markdown(head, [valley(grid) for grid in grids]), ""]
    cells = [list(g) for _, g in groupby(runs, itemgetter("family", "budget_flops", "params"))]
    head = ["family", "budget, FLOPs", "N", "seeds", "mean loss", "standard deviation"]
    parts += ["**Seeds**\n", markdown(head, [noise(c) for c in cells if len(c) > 1]), ""]
    hours = sum(run["wall_s"] for run in runs) / 3600
    flops = sum(run["flops"] for run in runs)
    parts.append(f"{len(runs)} runs, {flops:.3g} FLOPs by 6 N D, {hours:.1f} hours of one process.")
    return "\n".join(parts)


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between the marks of a block."""
    begin, end = f"<!-- {name}: written by readme.py -->", f"<!-- end of {name} -->"
    if begin not in text:
        raise SystemExit(f"README has no block {name}")
    return re.sub(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n\n{content}\n\n{end}",
        text,
        flags=re.S,
    )


def main() -> None:
    """Command line: readme.py STUDY; rewrites the marked blocks of STUDY/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    study = parser.parse_args().study
    readme = study / "README.md"
    text = readme.read_text()
    text = fill(text, "corpus", corpus(json.loads((study / "corpus.json").read_text())))
    text = fill(text, "lr_search", lr_search(study))
    text = fill(text, "results", results(study))
    readme.write_text(text)


if __name__ == "__main__":
    main()
