"""Designs of runs on a known loss surface: tables with run, params, tokens, flops, loss.

One row is one run unless said otherwise. Params in weights, tokens in tokens, flops = 6 params
tokens in FLOPs, loss in nats per token; noise is the standard deviation of ln loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.surfaces.surface import Law
from tests.builders.surfaces import BESIROGLU, UNTIED

Floats = NDArray[np.float64]

BUDGETS = tuple(float(c) for c in np.geomspace(1e18, 1e21, 5))
"""Five budgets of isoFLOP runs [FLOPs]."""
HOFFMANN_BUDGETS = (6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21)
"""The nine budgets of Hoffmann et al. 2022, legend of Fig. 3 [FLOPs]."""
PROFILE_BUDGETS = (1e18, 3e18, 1e19, 3e19, 1e20)
"""The budgets of `profiles` [FLOPs]."""
GOPHER = 5.76e23
"""Training compute of Gopher, the target of Hoffmann et al. 2022 [FLOPs]."""

GRID = np.array([(n, n * r) for n in np.geomspace(1e7, 3e9, 7) for r in (1, 4, 20, 100, 700)]).T
"""Params and tokens of 7 sizes at 1 to 700 tokens per param, shape (2, 35)."""


def runs_at(
    surface: Law,
    params: ArrayLike,
    tokens: ArrayLike,
    *,
    noise: ArrayLike = 0.0,
    seed: int | Sequence[int] | np.random.Generator = 0,
    flops: ArrayLike | None = None,
) -> pd.DataFrame:
    """Runs r000, r001, ... at `params` and `tokens`; `flops` [FLOPs] where 6ND is rounded."""
    n, d = (np.asarray(v, dtype=float) for v in (params, tokens))
    error = noise * np.random.default_rng(seed).standard_normal(n.size)
    return pd.DataFrame(
        {
            "run": [f"r{i:03d}" for i in range(n.size)],
            "params": n,
            "tokens": d,
            "flops": 6 * n * d if flops is None else flops,
            "loss": surface.loss(n, d) * np.exp(error),
        }
    )


def isoflop_runs(
    surface: Law = BESIROGLU,
    budgets: ArrayLike = BUDGETS,
    sizes: int = 7,
    width: float = 4.0,
    *,
    factors: ArrayLike | None = None,
    noise: ArrayLike = 0.0,
    seed: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Runs at `sizes` log-spaced sizes within a factor `width` of the optimum of every budget.

    `factors` on the optimum may be given instead; `noise` is one number, or one for each budget.
    """
    each = np.geomspace(1 / width, width, sizes) if factors is None else np.asarray(factors)
    count = np.size(budgets)
    flops = np.repeat(np.asarray(budgets, dtype=float), each.size)
    params = surface.params_opt(flops) * np.tile(each, count)
    error = np.repeat(np.broadcast_to(noise, count), each.size)
    return runs_at(surface, params, flops / (6 * params), noise=error, seed=seed, flops=flops)


def lopsided(sizes: int = 9) -> Floats:
    """Factors on an optimum, from 0.27 to 4.5: grids of real studies are seldom centred on it."""
    return np.exp(np.linspace(-1.3, 1.5, sizes))


def with_budgets(runs: pd.DataFrame) -> pd.DataFrame:
    """The same runs, their budget [FLOPs] stated in the column `budget_flops`."""
    return runs.assign(budget_flops=runs["flops"])


def grid_runs(
    surface: Law,
    params: ArrayLike,
    tokens: ArrayLike,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Runs at every pair of `params` and `tokens`."""
    n, d = (v.ravel() for v in np.meshgrid(params, tokens))
    return runs_at(surface, n, d, noise=noise, seed=seed)


def scattered_runs(
    count: int = 40, surface: Law = BESIROGLU, *, noise: float = 0.003, seed: int = 0
) -> pd.DataFrame:
    """Runs scattered evenly in ln N and ln D over two decades each."""
    rng = np.random.default_rng(seed)
    params = 10 ** rng.uniform(7.5, 9.5, count)
    tokens = 10 ** rng.uniform(9, 11, count)
    return runs_at(surface, params, tokens, noise=noise, seed=rng)


def ray_runs(
    surface: Law = BESIROGLU,
    ratio: float = 20.0,
    count: int = 20,
    *,
    spread: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Runs of 1e8 to 1e10 weights at `ratio` tokens per param, but for `spread` in ln D."""
    rng = np.random.default_rng(seed)
    params = np.geomspace(1e8, 1e10, count)
    tokens = ratio * params * np.exp(spread * rng.standard_normal(count))
    return runs_at(surface, params, tokens, noise=noise, seed=rng)


def checkpoint_runs(
    count: int = 30,
    rows: int = 1,
    surface: Law = BESIROGLU,
    *,
    noise: float = 0.003,
    row_noise: float = 0.001,
    seed: int = 0,
) -> pd.DataFrame:
    """Scattered runs with `rows` checkpoints each, evenly spaced in tokens: one row each.

    A run has an error of its own (`noise`), and so has each of several checkpoints (`row_noise`).
    """
    ends = scattered_runs(count, surface, noise=noise, seed=seed)
    error = np.log(ends["loss"] / surface.loss(ends["params"], ends["tokens"]))
    each = ends.index.repeat(rows)
    tokens = ends["tokens"][each].to_numpy() * np.tile(np.arange(1, rows + 1) / rows, count)
    own = (rows > 1) * row_noise
    points = runs_at(surface, ends["params"][each], tokens, noise=own, seed=[seed, 1])
    loss = points["loss"] * np.exp(error[each].to_numpy())
    return points.assign(run=ends["run"][each].to_numpy(), loss=loss)


def profiles(
    budgets: Sequence[float] = PROFILE_BUDGETS,
    sizes: int = 9,
    width: float = 4.0,
    noise: float = 0.002,
    seed: int = 0,
    surface: Law = UNTIED,
) -> pd.DataFrame:
    """As `isoflop_runs`, but every third run spends 1 % less and every third 1 % more.

    Run 1e+18-0 is the smallest of the budget of 1e18 FLOPs.
    """
    even = isoflop_runs(surface, budgets, sizes, width)
    size = np.tile(np.arange(sizes), len(budgets))
    flops = even["flops"] * (1 + 0.01 * (size % 3 - 1))
    tokens = flops / (6 * even["params"])
    runs = runs_at(surface, even["params"], tokens, noise=noise, seed=seed, flops=flops)
    return runs.assign(run=[f"{c:.0e}-{i}" for c, i in zip(even["flops"], size, strict=True)])


def off_centre(runs: pd.DataFrame, surface: Law, shift: ArrayLike) -> pd.DataFrame:
    """The same budgets with every size multiplied by `shift`, tokens and losses to match."""
    params = np.asarray(shift) * runs["params"]
    tokens = runs["flops"] / (6 * params)
    return runs.assign(params=params, tokens=tokens, loss=surface.loss(params, tokens))
