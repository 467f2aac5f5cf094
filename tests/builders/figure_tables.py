"""The tables that fits leave for their figures: noisy runs on a known surface, no fit made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from flopline.figures.surface_figure import Panel
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.curves import curves_of
from tests.builders.designs import grid_runs, isoflop_runs, runs_at
from tests.builders.fit_json import compute_law_json, surface_json
from tests.builders.surfaces import BESIROGLU, EARLY_FUSION, LATE_FUSION, TINY

NOISE = 0.003
"""Standard deviation of ln loss of a run."""

Tables = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]


def isoflop_tables(
    surface: LossSurface,
    budgets: ArrayLike,
    seed: int = 1,
    sizes: int = 9,
    width: float = 8.0,
) -> Tables:
    """Fit JSON, vertices, profiles and 200 draws of an isoFLOP fit to runs at `budgets` [FLOPs]."""
    rng = np.random.default_rng(seed)
    runs = isoflop_runs(surface, budgets, sizes, width, noise=NOISE, seed=rng)
    profiles = runs.assign(budget_flops=runs["flops"], fitted=runs["loss"], reason="")
    vertices = pd.DataFrame(
        [_vertex(float(c), rows) for c, rows in profiles.groupby("budget_flops")]
    )
    fit = compute_law_json(
        "isoflop", *(vertices[c] for c in ("budget_flops", "params", "tokens")), 0.026
    )
    turn = 0.02 * rng.standard_normal(200)
    middle = np.log(vertices["budget_flops"]).mean()
    point = {name: e["point"] for name, e in fit["parameters"].items()}
    draws = pd.DataFrame(
        {
            "a": point["a"] + turn,
            "N_coef": point["N_coef"] * np.exp(-turn * middle),
            "b": point["b"] - turn,
            "D_coef": point["D_coef"] * np.exp(turn * middle),
        }
    )
    return fit, vertices, profiles, draws


def _vertex(budget: float, runs: pd.DataFrame) -> dict[str, Any]:
    """The parabola of one budget and its bottom, as the table of vertices states them."""
    x = np.log(runs["params"].to_numpy())
    c2, c1, c0 = np.polyfit(x - x.mean(), runs["loss"], 2)
    params = float(np.exp(x.mean() - c1 / (2 * c2)))
    row: dict[str, Any] = {"budget_flops": budget, "nominal_flops": budget, "params": params}
    row |= {"tokens": budget / 6 / params, "loss": c0 - c1**2 / (4 * c2)}
    row |= {"centre_ln_params": x.mean(), "c0": c0, "c1": c1, "c2": c2}
    row |= {"inside": True, "used": True, "reason": ""}
    for name in ("params", "tokens"):
        row |= {f"{name}_lo80": row[name] / 1.15, f"{name}_hi80": row[name] * 1.15}
        row |= {f"{name}_lo95": row[name] / 1.24, f"{name}_hi95": row[name] * 1.24}
    return row


def envelope_tables(
    surface: LossSurface,
    sizes: Iterable[float],
    horizons: Iterable[float],
    points: int = 300,
    steps: int = 200,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Fit JSON, frontier and curves of an envelope fit.

    Runs of all `sizes` [weights] train to all `horizons` [tokens] and end on the surface; the
    frontier is read at `points` budgets, the curves have `steps` rows.
    """
    n, d = np.array(list(itertools.product(sizes, horizons))).T
    names = [f"{p:.3g}-{t:.3g}" for p, t in zip(n, d, strict=True)]
    runs = runs_at(surface, n, d).assign(run=names)
    curves = curves_of(runs, surface, np.geomspace(1 / 300, 1, steps), late=0.25)
    share = curves["tokens"] / curves["horizon_tokens"]
    curves = curves.assign(
        loss=curves["loss"] + 8 * np.exp(-30 * share),
        step=np.tile(np.arange(steps) + 1, len(runs)),
    ).astype({"run": "string"})
    grid = np.geomspace(*curves["flops"].quantile([0.05, 0.97]), points)
    parts = [part for _, part in curves.groupby("run", sort=False)]
    losses = np.array(
        [np.interp(grid, p["flops"], p["loss"], left=np.inf, right=np.inf) for p in parts]
    )
    best = losses.argmin(axis=0)
    position = grid / runs["flops"].to_numpy()[best]
    frontier = pd.DataFrame(
        {
            "flops": grid,
            "run": runs["run"].to_numpy()[best],
            "params": n[best],
            "tokens": grid / 6 / n[best],
            "loss": losses.min(axis=0),
            "position": position,
            "used": position > 0.5,
        }
    )
    used = frontier[frontier["used"]]
    frontier["third"] = 0
    frontier.loc[used.index, "third"] = 1 + 3 * np.arange(len(used)) // len(used)
    fit = compute_law_json("envelope", used["flops"], used["params"], used["tokens"], 0.01)
    return fit, frontier, curves


def grid_panel(
    label: str,
    surface: LossSurface,
    params: ArrayLike,
    tokens: ArrayLike,
    seed: int = 0,
    **options: Any,
) -> Panel:
    """One family of the surface figure: runs at every pair of `params` and `tokens`."""
    points = grid_runs(surface, params, tokens, noise=NOISE, seed=seed)
    return Panel(label, points, surface_json(surface), **options)


def chinchilla_panel(label: str = "Dense", **options: Any) -> Panel:
    """A family at the sizes of Hoffmann et al. 2022."""
    params, tokens = np.geomspace(4.4e7, 1.6e10, 8), np.geomspace(2e8, 3e11, 8)
    return grid_panel(label, BESIROGLU, params, tokens, **options)


def tiny_panel(label: str = "tiny") -> Panel:
    """A family at the sizes of the default study."""
    return grid_panel(label, TINY, np.geomspace(5e3, 1e6, 7), np.geomspace(1e5, 1e8, 6))


def multimodal_panels() -> list[Panel]:
    """Two families on one grid, that of Fig. 2 of Shukor et al. 2025."""
    params, tokens = np.array([0.3, 0.5, 0.9, 1.6, 3.0]) * 1e9, np.geomspace(5e10, 8e11, 8)
    return [
        grid_panel("Early fusion", EARLY_FUSION, params, tokens),
        grid_panel("Late fusion", LATE_FUSION, params, tokens, seed=1),
    ]
