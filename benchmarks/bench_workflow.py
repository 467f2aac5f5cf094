"""The default study from raw logs to report, and a run with nothing to do beside a bare Snakemake.

Prints where the time goes: Snakemake's own work, start-up of the jobs' interpreters, the stages.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml", "data")
ONE_RULE = """
rule all:
    input: "out.txt"

rule one:
    output: "out.txt"
    shell: "touch {output}"
"""
CORES = 2
REPEATS = 5


def seconds(folder: Path, *arguments: str) -> float:
    """Wall time of one Snakemake call, which must succeed."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", str(CORES), *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    return time.perf_counter() - began


def whole_run(folder: Path) -> None:
    """Time the default study and split the time."""
    wall = seconds(folder)
    results = folder / "results" / "tinylm"
    jobs = [float(f.read_text().splitlines()[1].split("\t")[0])
            for f in results.glob("benchmarks/*.tsv")]  # fmt: skip
    stages = [float(re.search(r"\((\d+\.\d) s\)$", f.read_text().strip())[1])
              for f in results.glob("logs/*.log")]  # fmt: skip
    own, started = sum(stages), sum(jobs)
    print(f"default study, raw logs to report, {CORES} cores: {wall:.1f} s wall, {len(jobs)} jobs")
    print(f"  in the stages (import and work)   {own:6.1f} core-s")
    print(f"  starting the jobs' interpreters   {started - own:6.1f} core-s")
    print(f"  Snakemake and idle cores          {wall * CORES - started:6.1f} core-s")
    print(f"  share of the wall time in jobs    {started / CORES / wall:6.0%}")


def nothing_to_do(folder: Path, bare: Path) -> None:
    """Compare a run with nothing to do with `snakemake -n` on a one-rule workflow, in turn."""
    pairs = [(seconds(folder), seconds(bare, "-n")) for _ in range(REPEATS)]
    ratios = [ours / theirs for ours, theirs in pairs]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"nothing to do: {ours:.2f} s; bare one-rule dry run: {theirs:.2f} s")
    print(f"  ratio {statistics.median(ratios):.2f} (of {REPEATS} pairs, "
          f"{min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


def main() -> None:
    """Run both on a copy of this repository."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, bare = Path(temporary) / "repo", Path(temporary) / "bare"
        folder.mkdir()
        bare.mkdir()
        for part in PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, folder / part)
        (bare / "Snakefile").write_text(ONE_RULE)
        whole_run(folder)
        nothing_to_do(folder, bare)


if __name__ == "__main__":
    main()
