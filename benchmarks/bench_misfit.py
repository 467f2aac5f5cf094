"""How often the lack of fit of a surface is found: in sound studies, and where there is some.

Simulated studies (synthetic) of four designs: two isoFLOP grids, runs spread at random and a grid
of sizes and token counts, with noise of .3 and 1 % in the loss. Sound ones lie on the surface of
Besiroglu et al. 2024; to the others an S over the compute, a large run that is off or a power is
added. Prints the shares that are warned of, for docs/uncertainty.md.

    python benchmarks/bench_misfit.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

from flopline.laws.parametric import parametric_fit
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import isoflop_runs, runs_at
from tests.builders.surfaces import BESIROGLU

TARGET = 1e22
NOISES = (0.003, 0.01)
SOUND = 600
OTHERS = 80
BENT = LossSurface(1.2, 60.0, 200.0, 0.5, 0.45, k=0.5)


def study(number: int, noise: float, surface: LossSurface = BESIROGLU) -> pd.DataFrame:
    """The runs of one study: designs take turns."""
    more = {"noise": noise, "seed": number}
    if number % 4 == 0:
        return isoflop_runs(surface, np.geomspace(1e18, 1e20, 5), 9, **more)
    if number % 4 == 1:
        return isoflop_runs(surface, np.geomspace(1e18, 1e21, 9), 7, **more)
    if number % 4 == 2:
        rng = np.random.default_rng(1000 + number)
        params = np.exp(rng.uniform(np.log(5e7), np.log(5e9), 60))
        ratio = np.exp(rng.uniform(np.log(5), np.log(200), 60))
        return runs_at(surface, params, params * ratio, **more)
    params, tokens = np.meshgrid(np.geomspace(5e7, 3e9, 6), np.geomspace(1e9, 1e11, 5))
    return runs_at(surface, params.ravel(), tokens.ravel(), **more)


def s_shaped(runs: pd.DataFrame) -> pd.DataFrame:
    """An S of 1 % over the compute."""
    x = np.log(runs["flops"])
    share = (x - x.min()) / np.ptp(x)
    return runs.assign(loss=runs["loss"] * np.exp(0.01 * np.sin(2 * np.pi * share)))


def large_run_off(runs: pd.DataFrame) -> pd.DataFrame:
    """The loss of the largest run 5 % too high."""
    return runs.assign(
        loss=runs["loss"].mask(runs.index == runs["flops"].idxmax(), 1.05 * runs["loss"])
    )


def warned(runs: pd.DataFrame) -> bool:
    """Whether lack of fit is found."""
    fit = parametric_fit.fit(runs, [TARGET], draws=0)
    return bool(fit.certificate["misfit"]["found"])


def main() -> None:
    """Print the shares."""
    sound = [warned(study(i, NOISES[i // 4 % 2])) for i in range(SOUND)]
    print(f"sound: {sum(sound)} of {SOUND} warned of ({100 * np.mean(sound):.1f} %)")
    changes: dict[str, Callable[[int], pd.DataFrame]] = {
        "an S of 1 %": lambda i: s_shaped(study(i, NOISES[0])),
        "largest run 5 % off": lambda i: large_run_off(study(i, NOISES[0])),
        "k = .5": lambda i: study(i, NOISES[0], BENT),
    }
    for words, made in changes.items():
        found = sum(warned(made(i)) for i in range(OTHERS))
        print(f"{words}, noise .3 %: {found} of {OTHERS} found")


if __name__ == "__main__":
    main()
