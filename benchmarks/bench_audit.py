"""Time the leave-outs of the tornado in one batch beside one fit each, in one run on one thread.

Simulated runs on the surface of Besiroglu et al. 2024 (synthetic). Prints both times, their ratio,
the largest difference in N, and what a whole ladder takes.

    python benchmarks/bench_audit.py
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import numpy as np

sys.path[:0] = [str(root := Path(__file__).parents[1]), str(root / "workflow")]

from flopline.audit import ladder
from flopline.audit.changes import Base, _budgets, _changed, _largest_residuals, _left_out, _sizes
from flopline.audit.prepared_runs import prepared
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.parametric_options import ParametricOptions
from tests.builders.designs import isoflop_runs

TARGET = 1e23


def main() -> None:
    """Print the timings."""
    points = isoflop_runs(sizes=9, noise=0.004)
    table = prepared(points, IsoflopOptions(), "benchmark", "")
    base = Base.of(table, TARGET, ParametricOptions(), "")
    start = time.perf_counter()
    batch = [change.row()["params"] for change in _left_out(base)]
    of_batch = time.perf_counter() - start
    start = time.perf_counter()
    parts = [*_largest_residuals(base), *_sizes(base), *_budgets(base)]
    single = [_changed(base, k, label, table[keep]).row()["params"] for k, label, keep in parts]
    of_single = time.perf_counter() - start
    apart = np.abs(np.log(np.array(batch) / np.array(single))).max()
    print(f"{len(batch)} leave-outs: batch {of_batch:.2f} s, single fits {of_single:.2f} s")
    print(f"ratio {of_single / of_batch:.1f}, ln N differs by {apart:.1e} at most")
    start = time.perf_counter()
    ladder.audit(points, TARGET)
    print(f"ladder of {len(points)} runs, 200 draws a step: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
