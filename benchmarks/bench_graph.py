"""How Snakemake's own work grows with a study: 1,000 and 10,000 runs, a log file each.

Of each size, or of those named on the command line: the start (reading the workflow and the
digests of all logs), a dry run before anything was done, the run of all jobs, a dry run and a run
with nothing left to do, and a dry run after one log was added. Logs are simulated (synthetic) and
short, outside of the time, and the jobs make empty files, so that only Snakemake's own work counts.
Prints seconds, CPU seconds and peak memory, and by how much they grow.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from flopline.simulation import RUN_COLUMNS, curve, planned_runs, run_table

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml")
RUNS_PER_SHARD = 50
ROWS = 2
# In place of every stage's script.
EMPTY = 'shell: "for o in {output}; do case $o in *.*) touch $o;; *) mkdir -p $o;; esac; done"'
ADDED = "one-more"


@dataclass(frozen=True, slots=True)
class Used:
    """What one call of Snakemake took: wall and CPU seconds, peak memory of one process [MB]."""

    wall: float
    cpu: float
    peak: float


def write_study(folder: Path, runs: int) -> None:
    """Logs, run table and study file of a grid of `runs` runs below `folder`."""
    sizes = round(runs**0.5)
    while runs % sizes:
        sizes -= 1
    settings = {
        "seed": 1, "rows": ROWS, "log_every": 10, "noise": {"run": 0.001, "row": 0.0005},
        "families": {"only": {
            "law": {"E": 1.8, "A": 120.0, "B": 300.0, "alpha": 0.34, "beta": 0.33},
            "design": {
                "params": np.geomspace(1e6, 1e9, sizes).tolist(),
                "tokens": np.geomspace(1e8, 1e11, runs // sizes).tolist(),
            },
        }},
    }  # fmt: skip
    planned = planned_runs(settings)
    (folder / "data/logs").mkdir(parents=True)
    for run in planned:
        log = folder / f"data/logs/{run.run}.jsonl"
        curve(settings, run).to_json(log, orient="records", lines=True)
    columns = [column for column in RUN_COLUMNS if column != "budget_flops"]
    run_table(planned)[columns].to_csv(folder / "data/runs.csv", index=False)
    content = {
        "title": "Many files (synthetic)",
        "source": {
            "kind": "logs",
            "paths": "data/logs/*.jsonl",
            "shards": max(runs // RUNS_PER_SHARD, 1),
            "columns": {name: name for name in ("step", "tokens", "loss")},
            "runs": {"table": "data/runs.csv", "columns": {name: name for name in columns}},
        },
        "families": {"only": "Only"},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "laws": ["parametric"],
        "targets": [1e21],
        "bootstrap": {"draws": 100},
        "parametric": {"variant_draws": None},
        "audit": {"ladder_draws": 100},
    }
    (folder / "config/studies/many.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def empty_stages(folder: Path) -> None:
    """Put commands that only make empty files in place of the stages."""
    for file in (folder / "workflow/rules").glob("*.smk"):
        file.write_text(re.sub(r'script:\n +"\.\./scripts/.*"', EMPTY, file.read_text()))
    snakefile = folder / "Snakefile"
    snakefile.write_text(snakefile.read_text().replace("    print_decision()", "    pass"))


def add_run(folder: Path) -> None:
    """One more log, with its row in the run table."""
    log = min((folder / "data/logs").iterdir())
    shutil.copy(log, log.with_name(f"{ADDED}.jsonl"))
    table = folder / "data/runs.csv"
    row = next(line for line in table.read_text().splitlines() if line.startswith(f"{log.stem},"))
    with table.open("a") as stream:
        stream.write(row.replace(log.stem, ADDED) + "\n")


def call(folder: Path, *arguments: str) -> Used:
    """One call of Snakemake, which must succeed."""
    with (folder / "output.txt").open("w") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments,
             "--config", "study=many"],
            cwd=folder, stdout=stream, stderr=stream,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError((folder / "output.txt").read_text())
    seconds = time.perf_counter() - began
    return Used(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def measure(runs: int) -> dict[str, Used]:
    """Every kind of call on a fresh copy of the workflow, in order."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        empty_stages(folder)
        write_study(folder, runs)
        out = {
            "first start, all logs digested": call(folder, "--list-rules"),
            "start": call(folder, "--list-rules"),
            "dry run, nothing done": call(folder, "--dry-run", "--quiet", "all"),
            "all jobs, empty": call(folder),
            "dry run, all done": call(folder, "--dry-run", "--quiet", "all"),
            "nothing to do": call(folder),
        }
        add_run(folder)
        out["dry run, one log added"] = call(folder, "--dry-run", "--quiet", "all")
        return out


def main(sizes: list[int]) -> None:
    """Print one table: a line for each kind of call, columns for each size and their ratio."""
    measurements = [measure(size) for size in sizes]
    head = "".join(f"{f'{size:,} runs':>30}" for size in sizes)
    print(f"{'':32}{head}{'':4}ratio of CPU, peak")
    for what in measurements[0]:
        used = [one[what] for one in measurements]
        cells = "".join(f"{u.wall:9.1f} s {u.cpu:6.1f} CPU s {u.peak:4.0f} MB" for u in used)
        print(f"{what:<32}{cells}   {used[-1].cpu / used[0].cpu:5.1f}"
              f"  {used[-1].peak / used[0].peak:4.1f}")  # fmt: skip


if __name__ == "__main__":
    main([int(float(size)) for size in sys.argv[1:]] or [1_000, 10_000])
