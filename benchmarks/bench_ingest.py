"""Time reading JSON lines beside pandas and bare pyarrow, and ingest and clean of many runs.

First one log of a million rows, read by all three on one core. Then studies of 10,000-row runs on
real Snakemake with two cores, up to and with the table of runs: 1 and 10 million rows, or those
named on the command line (`bench_ingest.py 1e8`). All logs are generated (synthetic), outside of
the time. CPU time and peak memory, that of the largest process, are of all jobs and Snakemake.
"""

from __future__ import annotations

import csv
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pyarrow import json as arrow_json

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from flopline.logs.readers import read_log

ROOT = Path(__file__).parents[1]
ROWS_PER_RUN = 10_000
RUNS_PER_SHARD = 625
SUBREAPER = 36
"""Of Linux's prctl: processes whose parent ended become children of this one, and are counted."""
COLUMNS = {name: name for name in ("step", "tokens", "loss", "lr")}
LINE = b'{"step": 0000000, "tokens": 000000000000, "loss": 0.000000000, "lr": 0.000300000}\n'


def log(path: Path, rows: int, seed: int) -> None:
    """Write a log of `rows` lines with a loss of its own."""
    rng = np.random.default_rng(seed)
    step = np.arange(1, rows + 1)
    loss = 2 + 3 / np.sqrt(1 + step / 50) + 0.01 * rng.standard_normal(rows)
    write_log(path, step * 65_536, loss)


def write_log(path: Path, tokens: np.ndarray, loss: np.ndarray) -> None:
    """Write a log of lines of one width; numbers are padded by blanks."""
    rows = len(loss)
    step = np.arange(1, rows + 1)
    lines = np.tile(np.frombuffer(LINE, dtype=np.uint8), (rows, 1))
    _fill(lines, LINE.index(b"0000000,"), 7, step, blank=True)
    _fill(lines, LINE.index(b"000000000000"), 12, tokens, blank=True)
    at = LINE.index(b"0.000000000")
    _fill(lines, at, 1, loss.astype(np.int64))
    _fill(lines, at + 2, 9, np.rint(loss % 1 * 999_999_999).astype(np.int64))
    path.write_bytes(lines.tobytes())


def _fill(
    lines: np.ndarray, at: int, width: int, values: np.ndarray, *, blank: bool = False
) -> None:
    for place in range(width):
        power = 10 ** (width - 1 - place)
        digit = 48 + values // power % 10
        lines[:, at + place] = np.where(blank & (values < power), 32, digit)


def study(folder: Path, rows: int) -> int:
    """Logs, run table and study file below `folder`; returns the number of shards."""
    runs = max(rows // ROWS_PER_RUN, 1)
    (folder / "logs").mkdir()
    with (folder / "runs.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["run", "params", "horizon"])
        for number in range(runs):
            log(folder / f"logs/run-{number:05d}.jsonl", ROWS_PER_RUN, number)
            table.writerow([f"run-{number:05d}", 10**6 + 997 * number, 65_536 * ROWS_PER_RUN])
    content = {
        "title": "Many runs (synthetic)",
        "source": {
            "kind": "logs",
            "paths": "logs/*.jsonl",
            "shards": max(runs // RUNS_PER_SHARD, 1),
            "columns": COLUMNS,
            "runs": {
                "table": "runs.csv",
                "columns": {"run": "run", "params": "params", "horizon_tokens": "horizon"},
            },
        },
        "families": {"only": "Only"},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "laws": ["parametric"],
        "targets": [1e20],
    }
    (folder / "config/studies/many.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return content["source"]["shards"]


def measure(rows: int) -> dict[str, float]:
    """Ingest, clean and gather a study of `rows` rows: CPU of jobs by rule, wall, memory."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("Snakefile", "workflow", "profiles", "config", "environment.yml"):
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        shards = study(folder, rows)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--until", "gather", "--config", "study=many"],
            cwd=folder, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(done.stderr)
        results = folder / "results/many"
        kept = pd.read_parquet(results / "clean/runs.parquet")["rows_kept"].sum()
        if kept != rows:
            raise RuntimeError(f"{kept:,} of {rows:,} rows kept")
        # The process that jobs are forked of outlives Snakemake by a moment.
        with suppress(ChildProcessError):
            while True:
                os.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = {"shards": shards, "wall": wall, "peak": used.ru_maxrss / 1024**2}
        out["cpu"] = used.ru_utime + used.ru_stime
        for rule in ("ingest", "clean", "gather"):
            files = sorted((results / "benchmarks").glob(f"{rule}*.tsv"))
            out[rule] = sum(pd.read_csv(file, sep="\t")["cpu_time"].sum() for file in files)
        out["jobs"] = 2 * shards + 1
        return out


def cpu(call: Callable[[], object], repeats: int) -> float:
    """The least CPU time of some calls [s]."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def reading(folder: Path, rows: int = 1_000_000) -> None:
    """Print how fast one log is read, by ours and by the other two, turn by turn."""
    path = folder / "log.jsonl"
    log(path, rows, 0)
    one_core = arrow_json.ReadOptions(use_threads=False)
    calls = {
        "ours": lambda: read_log(path, COLUMNS),
        "bare pyarrow.json": lambda: arrow_json.read_json(path, read_options=one_core),
        "pandas.read_json": lambda: pd.read_json(path, lines=True),
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(4):
        for name, call in calls.items():
            best[name] = min(best[name], cpu(call, 1))
    print(f"reading one log of {rows:,} rows ({path.stat().st_size / 1e6:.0f} MB): CPU time")
    for name, seconds in best.items():
        print(f"  {name:<18} {seconds:6.2f} s  {rows / seconds / 1e6:5.2f} million rows/s")
    ours = best["ours"]
    print(f"  throughput over pandas {best['pandas.read_json'] / ours:.2f}", end=", ")
    print(f"over bare pyarrow {best['bare pyarrow.json'] / ours:.2f}")


def main() -> None:
    """Print ratios of reading, then time and memory of whole studies."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(int(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory() as name:
        reading(Path(name))
    print("ingest, clean and gather on two cores (synthetic):")
    first = None
    for rows in [int(float(n)) for n in sys.argv[1:]] or [1_000_000, 10_000_000]:
        # A process of its own, so that its peak memory is that of this study alone.
        command = [sys.executable, __file__, "--measure", str(rows)]
        out = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        each = out["cpu"] / rows
        first = first or each
        print(
            f"  {rows:>11,} rows, {rows // ROWS_PER_RUN:,} runs, {out['jobs']} jobs: "
            f"{out['cpu']:.0f} s CPU with Snakemake, {each * 1e6:.2f} µs a row, "
            f"{each / first:.2f} times that of the first; {out['wall']:.0f} s wall; "
            f"CPU of all jobs: ingest {out['ingest']:.0f}, clean {out['clean']:.0f}, "
            f"gather {out['gather']:.0f} s; largest process {out['peak']:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
