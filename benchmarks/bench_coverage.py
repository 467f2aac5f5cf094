"""How often intervals hold the truth: simulated studies of known laws, fitted again and again.

For each law, surface, design and bootstrap method it prints the share of repetitions whose nominal
80 and 95 % intervals hold the truth, and their width over that of the estimate's own scatter.
Everything is synthetic. The table stands in docs/uncertainty.md.

    python benchmarks/bench_coverage.py [--laws isoflop parametric envelope] [--repetitions 200]
        [--designs shifted]
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FAILED, Estimate, FitResult
from flopline.laws.envelope import envelope_fit
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.surfaces import published
from flopline.surfaces.chinchilla import LossSurface

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, Floats], Floats]

SEED: Final = 7
DRAWS: Final = 300
BEYOND: Final = (10.0, 100.0)
"""Targets, as multiples of the compute of the largest run."""
SURFACES: Final = ("besiroglu_2024", "nmm_2025_sparse")
"""The second has alpha 1.9 times beta, so that its valleys are lopsided."""
Z95: Final = 1.959964


def gaussian(sd: float) -> Noise:
    """Log-normal noise per run, `sd` relative."""
    return lambda rng, flops: sd * rng.standard_normal(flops.size)


def fading(rng: np.random.Generator, flops: Floats) -> Floats:
    """Noise of 0.6 % at the smallest budget that falls to 0.15 % at the largest."""
    ln_c = np.log(flops)
    place = (ln_c - ln_c.min()) / np.ptp(ln_c)
    return np.asarray(0.006 * 0.25**place * rng.standard_normal(flops.size))


def tailed(rng: np.random.Generator, flops: Floats) -> Floats:
    """Student's t of three degrees of freedom, sd 0.3 %, and one run in 33 that is 2 % too high."""
    usual = 0.003 / np.sqrt(3.0) * rng.standard_t(3, flops.size)
    return np.asarray(usual + 0.02 * (rng.random(flops.size) < 0.03))


@dataclass(frozen=True, slots=True)
class Design:
    """A study: `runs(surface)` gives params and tokens, `noise` the errors of ln L of the runs.

    Where it is `drawn`, `runs` takes a generator too and every repetition has runs of its own.

    A run logs `rows` losses, evenly over its tokens, each with `row_noise` of its own besides.
    Valleys are moved in ln N by a standard deviation `shift`, one by one, at the compute that they
    have: the truth is the surface that they are moved from.
    """

    runs: Callable[..., tuple[Floats, Floats]]
    noise: Noise
    drawn: bool = False
    rows: int = 1
    row_noise: float = 0.0
    shift: float = 0.0


def valleys(
    budgets: Sequence[float], sizes: int, drift: float, surface: LossSurface
) -> tuple[Floats, Floats]:
    """Sizes to a factor of 4 about each budget's optimum, or about `drift` off to either side."""
    flops = np.repeat(np.asarray(budgets, dtype=float), sizes)
    offset = np.repeat(np.geomspace(1.0 / drift, drift, len(budgets)), sizes)
    around = np.tile(np.geomspace(0.25, 4.0, sizes), len(budgets))
    params = surface.params_opt(flops) * offset * around
    return params, flops / (6.0 * params)


def grid(_: LossSurface) -> tuple[Floats, Floats]:
    """Every pair of eight sizes and eight token counts."""
    params, tokens = np.meshgrid(np.geomspace(5e7, 3e9, 8), np.geomspace(1e9, 1e11, 8))
    return params.ravel(), tokens.ravel()


def long_curves(sizes: int, surface: LossSurface) -> tuple[Floats, Floats]:
    """One run per size, trained on eight times the tokens at which it is optimal."""
    flops = np.geomspace(1e18, 1e21, sizes)
    return surface.params_opt(flops), 8.0 * surface.tokens_opt(flops)


def random_runs(count: int, _: LossSurface, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Sizes and token counts anywhere in two decades, evenly in their logarithms."""
    params, tokens = 10.0 ** rng.uniform([[7.5], [9.0]], [[9.5], [11.0]], (2, count))
    return params, tokens


LARGE: Final = np.geomspace(6e18, 3e21, 9)
SMALL: Final = np.geomspace(1e18, 1e20, 5)
DESIGNS: Final[dict[str, Design]] = {
    "5 x 7, 0.3 %": Design(partial(valleys, SMALL, 7, 1.0), gaussian(0.003)),
    "9 budgets x 12 sizes, 0.3 %": Design(partial(valleys, LARGE, 12, 1.0), gaussian(0.003)),
    "5 x 9, drift 1/2 to 2, 0.3 %": Design(partial(valleys, SMALL, 9, 2.0), gaussian(0.003)),
    "9 x 12, 0.6 to 0.15 %": Design(partial(valleys, LARGE, 12, 1.0), fading),
    "9 x 12, heavy tails, outliers": Design(partial(valleys, LARGE, 12, 1.0), tailed),
    "grid 8 x 8, 0.3 %": Design(grid, gaussian(0.003)),
    "5 x 7, 10 checkpoints, 0.3 + 0.1 %": Design(
        partial(valleys, SMALL, 7, 1.0), gaussian(0.003), rows=10, row_noise=0.001
    ),
    "10 long curves, 0.2 + 0.1 %": Design(
        partial(long_curves, 10), gaussian(0.002), rows=100, row_noise=0.001
    ),
    "30 long curves, 0.2 + 0.1 %": Design(
        partial(long_curves, 30), gaussian(0.002), rows=100, row_noise=0.001
    ),
}
SHIFTS: Final = (0.0, 0.06, 0.12, 0.25)
"""Standard deviations of valleys about their law [ln N]; public studies have 0 to .13."""
SHIFTED: Final = {
    f"{name}, 0.3 %, shifted by {shift:g}": Design(
        partial(valleys, budgets, sizes, 1.0), gaussian(0.003), shift=shift
    )
    for name, budgets, sizes in (("5 x 7", SMALL, 7), ("9 x 12", LARGE, 12))
    for shift in SHIFTS
}
"""Of the first surface, drawn wildly."""
DESIGNS |= SHIFTED
COUNTS: Final = (6, 7, 8, 10, 14, 20)
FEW: Final = {
    f"{count} random runs, 0.3 %": Design(partial(random_runs, count), gaussian(0.003), drawn=True)
    for count in COUNTS
}
"""Of the first surface, for the parametric law under `auto`."""
DESIGNS |= FEW
STUDIES: Final[dict[str, tuple[str, ...]]] = {
    "isoflop": tuple(list(DESIGNS)[:5]),
    "parametric": tuple(list(DESIGNS)[:7]),
    "envelope": tuple(list(DESIGNS)[7:]),
}
METHODS: Final = {
    "isoflop": ("pairs", "wild"),
    "parametric": ("pairs", "wild"),
    "envelope": ("pairs",),
}


@dataclass(frozen=True, slots=True)
class Held:
    """One interval of one repetition, and the truth that it should hold."""

    point: float
    truth: float
    lo80: float
    hi80: float
    lo95: float
    hi95: float

    @classmethod
    def of(cls, estimate: Estimate, truth: float) -> Held:
        """The intervals of an estimate."""
        e = estimate
        return cls(e.point, float(truth), e.lo80, e.hi80, e.lo95, e.hi95)


def simulated(design: Design, surface: LossSurface, rng: np.random.Generator) -> pd.DataFrame:
    """The runs of one study, one row per logged loss."""
    params, tokens = design.runs(surface, rng) if design.drawn else design.runs(surface)
    share = np.arange(1, design.rows + 1) / design.rows
    error = design.noise(rng, 6.0 * params * tokens)
    n, each = np.repeat(params, design.rows), np.repeat(error, design.rows)
    d = np.outer(tokens, share).ravel()
    each = each + design.row_noise * rng.standard_normal(d.size)
    moved: Floats | float = 1.0
    if design.shift:
        budget = np.unique((6.0 * n * d).round(-9), return_inverse=True)[1]
        moved = np.exp(design.shift * rng.standard_normal(budget.max() + 1))[budget]
    return pd.DataFrame(
        {
            "run": np.repeat([f"run-{i:04d}" for i in range(params.size)], design.rows),
            "params": n,
            "tokens": d,
            "flops": 6.0 * n * d,
            "loss": surface.loss(n / moved, d * moved) * np.exp(each),
            "step": 1000.0 * np.tile(np.arange(1, design.rows + 1), params.size),
            "horizon_tokens": np.repeat(tokens, design.rows),
        }
    )


def fitted(
    law: str, table: pd.DataFrame, targets: Sequence[float], method: str, draws: int, seed: int
) -> FitResult:
    """One law fitted to one study.

    Returns the fit of `law`.
    """
    if law == "envelope":
        return envelope_fit.fit(
            table, targets, smoothing_steps=0.0, draws=draws, seed=seed, with_variants=False
        )
    if law == "isoflop":
        return isoflop_fit.fit(
            table, targets, budget_tolerance=0.1, draws=draws, seed=seed, method=method
        )
    return parametric_fit.fit(table, targets, draws=draws, seed=seed, method=method)


def repetition(
    law: str, surface_name: str, design_name: str, method: str, draws: int, number: int
) -> dict[str, dict[str, Held]]:
    """Intervals by estimator and quantity of one simulated study; empty where the fit failed.

    The study depends on the surface, the design and the number alone, so that laws and methods see
    the same runs. The truth of N, D and loss at a target is the surface's own optimum there, for
    the envelope too: simulated curves know no schedule, so each of their points is what a finished
    run of that length would give, and the lower envelope of all sizes is the loss of the optimum.
    One new run is trained at the size that the law itself advises.

    Returns {estimator: {quantity and target: whether its intervals hold the truth}}.
    """
    surface = surface_of(surface_name)
    design = DESIGNS[design_name]
    study = zlib.crc32(f"{surface_name} {design_name}".encode())
    rng = np.random.default_rng([SEED, study, number])
    table = simulated(design, surface, rng)
    flops = table["flops"].max() * np.array(BEYOND)
    new_runs = design.noise(rng, np.append(table["flops"].to_numpy(), flops))[-flops.size :]
    new_runs = new_runs + design.row_noise * rng.standard_normal(flops.size)
    try:
        result = fitted(law, table, list(flops), method, draws, number)
    except FloplineError:
        return {}
    if result.status == FAILED:
        return {}
    truths = {
        "params": surface.params_opt(flops),
        "tokens": surface.tokens_opt(flops),
        "loss": surface.loss_opt(flops),
    }
    parameters = {name: getattr(surface, name) for name in ("alpha", "beta", "E", "a", "b")}
    out: dict[str, dict[str, Held]] = {}
    if law == "parametric":
        known = result.parameters
        out["parametric"] = {
            name: Held.of(known[name], float(v)) for name, v in parameters.items()
        } | _at_targets([t.values for t in result.targets], truths, surface, new_runs)
        return out
    for name, rows in result.tables["estimators"].groupby("estimator", sort=False):
        rows = [dict(r) for _, r in rows.iterrows()]
        if rows[0]["status"] == FAILED or name not in SHOWN:
            continue
        estimates = [
            {q: _estimate(row, q) for q in ("a", "b", *truths, "loss_new_run")} for row in rows
        ]
        out[name] = {q: Held.of(estimates[0][q], float(parameters[q])) for q in ("a", "b")}
        out[name] |= _at_targets(estimates, truths, surface, new_runs)
    return out


SHOWN: Final = ("parabola", "corrected", "cubic", "bins", "hull")
"""Estimators that the tables hold besides the parametric law."""


def surface_of(name: str) -> LossSurface:
    """A published surface."""
    law = published.load(name).law
    if not isinstance(law, LossSurface):
        raise TypeError(f"{name} is no loss surface")
    return law


def _estimate(row: Mapping[str, float], quantity: str) -> Estimate:
    ends = (float(row[f"{quantity}_{end}"]) for end in ("lo80", "hi80", "lo95", "hi95"))
    return Estimate(float(row[quantity]), *ends)


def _at_targets(
    estimates: Sequence[Mapping[str, Estimate]],
    truths: Mapping[str, Floats],
    surface: LossSurface,
    new_runs: Floats,
) -> dict[str, Held]:
    out = {}
    for i, times in enumerate(BEYOND):
        for name, truth in truths.items():
            out[f"{name} {times:.0f}x"] = Held.of(estimates[i][name], truth[i])
        there = surface.loss(estimates[i]["params"].point, estimates[i]["tokens"].point)
        held = Held.of(estimates[i]["loss_new_run"], float(there * np.exp(new_runs[i])))
        out[f"new run {times:.0f}x"] = held
    return out


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the repetitions of one quantity come to.

    `share80` and `share95` are the shares [%] of intervals that hold the truth, `own80` and `own95`
    those that hold the median estimate, free of the estimator's bias. `width` is the median half
    width of the 95 % interval over 1.96 standard deviations of the estimates, `bias` the median
    error in such standard deviations. All but the shares are NaN for a new run.
    """

    repetitions: int
    share80: float
    share95: float
    own80: float
    own95: float
    width: float
    bias: float


def coverage(held: Sequence[Held]) -> Coverage:
    """The coverage of one quantity; a repetition without an interval does not hold the truth.

    All is NaN where no repetition has one.
    The standard deviation is half the central 68.27 % range, which a few wild estimates leave be.
    """
    point, truth, lo80, hi80, lo95, hi95 = np.array(
        [[h.point, h.truth, h.lo80, h.hi80, h.lo95, h.hi95] for h in held]
    ).T

    def share(low: Floats, high: Floats, value: Floats | float) -> float:
        return float(100 * np.mean((low <= value) & (value <= high)))

    if np.isnan(lo95).all():
        return Coverage(len(held), *[float("nan")] * 6)
    coverages = (share(lo80, hi80, truth), share(lo95, hi95, truth))
    if np.ptp(truth) > 0:  # the truth is drawn anew: it is one of a new run
        return Coverage(len(held), *coverages, *[float("nan")] * 4)
    middle = float(np.nanmedian(point))
    low, high = np.nanpercentile(point, [15.865525, 84.134475])
    sd = (high - low) / 2.0
    return Coverage(
        len(held),
        *coverages,
        share(lo80, hi80, middle),
        share(lo95, hi95, middle),
        float(np.nanmedian(hi95 - lo95) / 2.0 / (Z95 * sd)),
        float((middle - truth[0]) / sd),
    )


def studies(laws: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """(law, surface, design, method) to be measured: the second surface in three designs."""
    for law in laws:
        for surface in SURFACES:
            designs = STUDIES[law] if surface == SURFACES[0] else STUDIES[law][:3]
            for design in designs:
                for method in METHODS[law]:
                    yield law, surface, design, method
    if "isoflop" in laws:
        for design in SHIFTED:
            yield "isoflop", SURFACES[0], design, "wild"
    if "parametric" in laws:
        for design in FEW:
            yield "parametric", SURFACES[0], design, "auto"


def measured(
    pool: ProcessPoolExecutor, study: tuple[str, str, str, str], repetitions: int, draws: int
) -> Iterator[tuple[str, dict[str, Coverage]]]:
    """Estimator and coverage of each of its quantities, over the repetitions that were fitted."""
    done = list(pool.map(partial(repetition, *study, draws), range(repetitions), chunksize=5))
    estimators = list(dict.fromkeys(name for one in done for name in one))
    for name in estimators:
        there = [one[name] for one in done if name in one]
        yield name, {q: coverage([held[q] for held in there]) for q in there[0]}


def line(cells: Sequence[object]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(c) for c in cells) + " |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laws", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--designs", default="", help="only designs with this in their name")
    options = parser.parse_args()
    count = options.repetitions
    errors = (100 * np.sqrt(p * (1 - p) / count) for p in (0.8, 0.95))
    print(
        f"Synthetic. {count} repetitions, {options.draws} draws, seed {SEED}; Monte Carlo standard "
        "error of a share that is nominal {:.1f} and {:.1f} points.".format(*errors),
        flush=True,
    )
    with ProcessPoolExecutor(options.processes) as pool:
        previous = ""
        wanted = (s for s in studies(options.laws) if options.designs in s[2])
        for law, surface, design, method in wanted:
            study = (law, surface, design, method)
            for name, quantities in measured(pool, study, count, options.draws):
                head = [*quantities]
                if previous != law:
                    previous = law
                    titles = ["surface", "design", "estimator", "bootstrap", "shows", *head]
                    print(f"\n{law}\n\n{line(titles)}\n{line(['---'] * len(titles))}")
                fits = max(c.repetitions for c in quantities.values())
                lost = f" ({count - fits} without fit)" if fits < count else ""
                labels = [surface, design + lost, name, method]
                for shows, cells in rows_of(quantities):
                    print(line([*labels, shows, *cells]), flush=True)


def rows_of(quantities: Mapping[str, Coverage]) -> Iterator[tuple[str, list[str]]]:
    """The three rows of one estimator: coverage of the truth, of its own median, width and bias."""
    each = list(quantities.values())
    yield (
        "truth 80, 95",
        ["none" if np.isnan(c.share80) else f"{c.share80:.0f} {c.share95:.0f}" for c in each],
    )
    yield "own median", ["" if np.isnan(c.own80) else f"{c.own80:.0f} {c.own95:.0f}" for c in each]
    yield (
        "width, bias",
        ["" if np.isnan(c.width) else f"{c.width:.2f} {c.bias:+.2f}" for c in each],
    )


if __name__ == "__main__":
    main()
