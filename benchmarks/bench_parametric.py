"""Time the parametric fit beside the published procedure, in one run on one thread.

Ours (variable projection, batched Newton, a second start per resample) against SciPy's L-BFGS-B:
from the literal 4,500 starts of Hoffmann et al. 2022 for the point fit, and for the bootstrap
from one start per resample and from the starts of the grid. Prints times, objectives and ratios.

    python benchmarks/bench_parametric.py [--points FILE] [--draws 4000] [--verify 4000]

FILE is the digitised Chinchilla table (columns Model Size, Training FLOP, loss); without it the
points are simulated on the surface of Besiroglu et al. 2024, which the output says. `--verify`
resamples are solved again by tight L-BFGS-B, to count those where it ends lower than ours.
"""

from __future__ import annotations

import os

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import argparse  # noqa: E402 - threads must be pinned before NumPy starts
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TypeVar  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

from flopline.fits import engine, hoffmann_grid  # noqa: E402
from flopline.fits.bootstrap import run_weights  # noqa: E402
from flopline.fits.newton import Floats, Problem  # noqa: E402
from flopline.laws.chinchilla import LossSurface  # noqa: E402
from tests.unit.test_engine import lbfgs  # noqa: E402

T = TypeVar("T")
DELTA = 1e-3
LBFGS_ROWS = 40
GRID_ROWS = 2


def points(file: Path | None) -> tuple[Floats, Floats, Floats]:
    """Params, tokens and losses: the table less its five largest losses, or a simulation."""
    if file is not None:
        table = pd.read_csv(file).sort_values("loss").iloc[:-5]
        params = table["Model Size"].to_numpy(float)
        return params, table["Training FLOP"].to_numpy(float) / 6 / params, table["loss"].to_numpy()
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(7.7, 10, 240), 10 ** rng.uniform(9, 11.5, 240)
    surface = LossSurface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
    return params, tokens, surface.loss(params, tokens) * np.exp(0.005 * rng.normal(size=240))


def timed(task: Callable[[], T], repeats: int = 1) -> tuple[float, float, T]:
    """Least wall seconds and CPU seconds of some repeats, with the last result."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        result = task()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus), result


def say(what: str, wall: float, cpu: float, more: str = "") -> None:
    """One line of the table."""
    print(f"{what:<58} {wall:9.3f} s wall {cpu:9.3f} s CPU  {more}", flush=True)


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=Path, help="digitised Chinchilla points (CSV)")
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--verify", type=int, default=0, help="resamples to check by L-BFGS-B")
    options = parser.parse_args()
    params, tokens, loss = points(options.points)
    problem = Problem.of(params, tokens, loss, DELTA)
    equal = np.ones(params.size)
    weights = run_weights([f"{i:04d}" for i in range(params.size)], options.draws, 0)
    print(f"{params.size} points of {options.points or 'a simulation'}, Huber delta {DELTA:g}\n")

    wall, cpu, (best, starts, agreeing) = timed(lambda: engine.minimise(problem, equal), 10)
    said = f"objective {best.objective[0]:.12e}, {agreeing} of {starts} starts agree"
    say("point fit, ours", wall, cpu, said)
    grid = hoffmann_grid.grid()
    their_wall, their_cpu, (theirs, count, reach) = timed(
        lambda: hoffmann_grid.minimise(problem, equal, grid)
    )
    said = f"objective {theirs.objective[0]:.12e}, {reach} of {count} starts agree"
    say("point fit, L-BFGS-B from the 4,500 starts", their_wall, their_cpu, said)
    excess = theirs.objective[0] / best.objective[0] - 1
    print(f"{'':<58} ratio of CPU {their_cpu / cpu:,.0f}, theirs above ours by {excess:.1e}\n")

    near = best.theta[0]
    wall, cpu, (found, disagreed) = timed(
        lambda: engine.minimise_resamples(problem, weights, near), 3
    )
    lost = int((~found.converged).sum())
    said = f"{int(disagreed.sum())} disputed, {lost} not converged"
    say(f"{options.draws} resamples, ours, two starts each", wall, cpu, said)
    rows = weights[:LBFGS_ROWS]
    _, their_cpu, theirs = timed(lambda: hoffmann_grid.minimise_resamples(problem, rows, near))
    scaled = their_cpu * options.draws / len(rows)
    excess = np.median(theirs.objective / found.objective[: len(rows)] - 1)
    said = f"scaled from {len(rows)}; objective above ours by {excess:.1e} (median)"
    say(f"{options.draws} resamples, L-BFGS-B, one start each", np.nan, scaled, said)
    print(f"{'':<58} ratio of CPU {scaled / cpu:,.0f}")
    _, their_cpu, _ = timed(
        lambda: [hoffmann_grid.minimise(problem, row, grid[::45]) for row in weights[:GRID_ROWS]]
    )
    scaled = their_cpu * 45 * options.draws / GRID_ROWS
    said = f"scaled from {GRID_ROWS} resamples and 100 starts"
    say(f"{options.draws} resamples, L-BFGS-B from 4,500 starts each", np.nan, scaled, said)
    print(f"{'':<58} ratio of CPU {scaled / cpu:,.0f}")

    if options.verify:
        verify(problem, weights[: options.verify], found.theta, found.objective, near)


def verify(problem: Problem, weights: Floats, theta: Floats, ours: Floats, near: Floats) -> None:
    """Count resamples where tight L-BFGS-B from three starts ends below ours."""
    rough = problem.unknowns(LossSurface(1.5, 300.0, 300.0, 0.33, 0.3))
    theirs = np.array(
        [
            min(lbfgs(problem, row, start) for start in (z, near, rough))
            for row, z in zip(weights, theta, strict=False)
        ]
    )
    gain = ours[: len(theirs)] / theirs - 1
    print(
        f"\ntight L-BFGS-B from our optimum and two others, {len(theirs)} resamples: "
        f"{int((gain > 1e-9).sum())} end more than 1e-9 below ours (largest {gain.max():.1e})"
    )


if __name__ == "__main__":
    main()
