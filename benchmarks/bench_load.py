"""Studies as large as they may come: whether each ends, its time, its memory by stage, its page.

    python benchmarks/bench_load.py [runs=20000] [logs=300x100000] [families=40] [targets=50]
                                    [budgets=60] [keep=FOLDER]

One study for each argument, or all five as above, one after another on real Snakemake with two
cores; all runs are drawn from a known law (synthetic), outside of the time. Prints rows of the
table in docs/speed.md: memory is that of the largest process of a stage, and the pages are opened
in an installed Chromium where Playwright is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from bench_ingest import COLUMNS, write_log

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))


from flopline.errors import FloplineError
from flopline.surfaces.chinchilla import LossSurface

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml")
LAW = LossSurface(1.8, 120.0, 300.0, 0.34, 0.33)
NOISE = 0.002
SIZES = 7
SIDE = 6.0
"""How far the smallest and the largest model of a budget are from its optimum."""

SMALLEST, LARGEST = 1e15, 1e18
"""The least and the most compute of runs [FLOPs]."""

STAGES = (
    "ingest",
    "clean",
    "gather",
    "fit",
    "audit",
    "decide",
    "figure",
    "latex",
    "report",
    "review",
)
ASKED = {"runs": "20000", "logs": "300x100000", "families": "40", "targets": "50", "budgets": "60"}


def design(budgets: int, sizes: int, seed: int, family: str = "only") -> pd.DataFrame:
    """Finished runs of one family: `sizes` models round the optimum of each budget."""
    compute = np.repeat(np.geomspace(SMALLEST, LARGEST, budgets), sizes)
    best = LAW.params_opt(compute)
    params = np.round(best * np.tile(np.geomspace(1 / SIDE, SIDE, sizes), budgets))
    tokens = np.round(compute / (6 * params))
    noise = NOISE * np.random.default_rng(seed).standard_normal(params.size)
    return pd.DataFrame(
        {
            "run": [f"{family}-{n}" for n in range(params.size)],
            "family": family,
            "params": params.astype(np.int64),
            "tokens": tokens.astype(np.int64),
            "loss": LAW.loss(params, tokens) * np.exp(noise),
        }
    )


def study_of_table(folder: Path, table: pd.DataFrame, targets: list[float]) -> dict[str, Any]:
    """The study of a table of finished runs, which is written below `folder`."""
    table.to_csv(folder / "runs.csv", index=False)
    names = list(dict.fromkeys(table["family"]))
    return {
        "title": "A large study (synthetic)",
        "source": {
            "kind": "table",
            "paths": "runs.csv",
            "columns": {name: name for name in table.columns},
        },
        "families": {name: name.title() for name in names},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "laws": ["isoflop", "parametric"],
        "targets": targets,
    }


def runs(folder: Path, size: str) -> dict[str, Any]:
    """A study of so many finished runs, at 20 budgets."""
    return study_of_table(folder, design(20, int(size) // 20, 1), [1e20])


def families(folder: Path, size: str) -> dict[str, Any]:
    """One of so many families."""
    tables = [design(5, SIZES, n, f"family{n:02d}") for n in range(int(size))]
    return study_of_table(folder, pd.concat(tables), [1e20])


def targets(folder: Path, size: str) -> dict[str, Any]:
    """One with so many targets."""
    return study_of_table(folder, design(5, SIZES, 1), np.geomspace(1e18, 1e22, int(size)).tolist())


def budgets(folder: Path, size: str) -> dict[str, Any]:
    """One of runs at so many budgets."""
    return study_of_table(folder, design(int(size), SIZES, 1), [1e20])


def logs(folder: Path, size: str) -> dict[str, Any]:
    """One of so many logs, of so many rows each."""
    number, rows = map(int, size.split("x"))
    study = study_of_table(folder, design(10, number // 10, 1), [1e20])
    table = pd.read_csv(folder / "runs.csv")
    (folder / "logs").mkdir()
    table["horizon"] = table["tokens"] // rows * rows
    for place, run in enumerate(table.itertuples()):
        tokens = np.arange(1, rows + 1) * (run.tokens // rows)
        noise = NOISE * np.random.default_rng(place).standard_normal(rows)
        loss = LAW.loss(run.params, tokens) * np.exp(noise)
        write_log(folder / f"logs/{run.run}.jsonl", tokens, loss)
    table[["run", "params", "horizon"]].to_csv(folder / "runs.csv", index=False)
    study["source"] = {
        "kind": "logs",
        "paths": "logs/*.jsonl",
        "shards": max(number // 100, 1),
        "columns": COLUMNS,
        "runs": {
            "table": "runs.csv",
            "columns": {"run": "run", "params": "params", "horizon_tokens": "horizon"},
        },
    }
    study["laws"] = ["envelope", "isoflop", "parametric"]
    return study


CASES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    case.__name__: case for case in (runs, logs, families, targets, budgets)
}


def measure(name: str, size: str, folder: Path) -> str:
    """Run one study to its end below `folder`; a row of the table."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, folder / part)
    study = CASES[name](folder, size)
    (folder / "config/studies/large.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    began = time.perf_counter()
    with (folder / "printed").open("w") as stream:
        done = subprocess.run(
            [sys.executable, "workflow/run.py", "--cores", "2", "--config", "study=large"],
            cwd=folder, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=stream, stderr=stream, check=False,
        )  # fmt: skip
    wall = time.perf_counter() - began
    if done.returncode:
        return f"| {size} {name} | refused or failed: {(folder / 'printed').read_text()[-2000:]}"
    results = folder / "results/large"
    used = pd.concat(
        pd.read_csv(file, sep="\t").assign(stage=file.stem.split(".")[0].split("_")[0])
        for file in results.glob("benchmarks/*.tsv")
    )
    peaks = used.groupby("stage")["max_rss"].max().to_dict()
    memory = ", ".join(f"{s} {peaks[s] / 1024:.2f}" for s in STAGES if s in peaks)
    pages = [results / "report.html", results / "appendix.html"]
    page = ", ".join(f"{p.stat().st_size / 1e6:.1f} MB in {seconds_to_open(p)}" for p in pages)
    cpu = f"{used['cpu_time'].sum():.0f} s" if "cpu_time" in used else "?"
    return f"| {size} {name} | {len(used)} | {cpu} | {wall:.0f} s | {memory} | {page} |"


def seconds_to_open(page: Path) -> str:
    """How long a headless Chromium takes until a page is loaded, the best of two."""
    try:
        from playwright.sync_api import sync_playwright

        from flopline.printing import find_chromium

        program = find_chromium()
    except (ImportError, FloplineError):
        return "? (no Chromium)"
    best = float("inf")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(2):
            opened = browser.new_page()
            began = time.perf_counter()
            opened.goto(page.as_uri(), wait_until="load")
            best = min(best, time.perf_counter() - began)
            opened.close()
        browser.close()
    return f"{best:.1f} s"


def main() -> None:
    """Print the table."""
    asked = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kept = asked.pop("keep", None)
    if unknown := asked.keys() - CASES.keys():
        sys.exit(f"no such load: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    print("| study | jobs | their CPU | wall | largest process [GiB] | report, appendix |")
    print("|---|---|---|---|---|---|")
    for name, size in (asked or ASKED).items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(kept or temporary) / f"{name}-{size}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            print(measure(name, size, folder), flush=True)


if __name__ == "__main__":
    main()
