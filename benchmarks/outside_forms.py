"""Simulated studies whose truth lies outside the fitted forms: do forecasts hold, do gates refuse?

Fits, ladder, forecasts and decision of each study are made as a workflow makes them, 3, 10 and 100
times beyond its largest run, with the stored prior of public studies. Prints how often 80 and 95 %
forecast intervals hold the lowest loss and the best size, of all lines together and as the headline
states them, the share of headlines refused, and the compute wasted by the sizes, exact for the
truth. With --write the table goes into docs/uncertainty.md.

    python benchmarks/outside_forms.py [--studies 6] [--seed 0] [--write]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow")]

from backtest import DOCUMENT, markdown, replaced
from backtest_gates import fitted_to, pinned

from flopline.audit import ladder
from flopline.bearing import span_of
from flopline.choice import choose
from flopline.decision import decide, forecasts_of
from flopline.laws.common.fit_result import CONVERGED, ENDS, Estimate
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.options import StudyOptions
from flopline.results import FamilyResults
from flopline.surfaces import published
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.skaling import SkalingSurface

Floats = NDArray[np.float64]
Surface = Callable[[ArrayLike, ArrayLike], Floats]

MARKERS: Final = (
    "<!-- outside the forms: written by benchmarks/outside_forms.py -->",
    "<!-- end of outside the forms -->",
)
BUDGETS: Final = np.geomspace(1e18, 1e20, 6)
"""Budgets of the runs [FLOPs]."""
BEYOND: Final = (3.0, 10.0, 100.0)
"""Targets, in the largest budget."""
SIZES: Final = 7
WIDTH: Final = 4.0
"""Sizes lie within this factor of a centre, which is off the optimum of its budget by up to
OFF_CENTRE."""
OFF_CENTRE: Final = 1.5
NOISE: Final = 0.003
"""Standard deviation of a run's ln loss."""
BREAKS: Final = (1.0, 10.0)
"""Where laws break, in the largest budget or its best size."""
SHARPNESS: Final = 4.0
"""A break takes about a factor of e^(2/SHARPNESS) to either side."""
FLOOR_SHARPNESS: Final = 32.0
LN_FLOPS: Final = np.log(np.geomspace(BUDGETS[0] / 10, BUDGETS[-1] * BEYOND[-1] * 10, 400))
LN_SIZE: Final = np.linspace(-5, 5, 2001)
"""ln of sizes beside the optimum of Chinchilla's form among which that of a truth is sought."""
FAMILY: Final = "family"


@dataclass(frozen=True, slots=True)
class Truth:
    """A loss surface [nats per token] of params and tokens, with what a budget can buy on it.

    `ln_params` and `ln_loss` are those of the best size at LN_FLOPS.
    """

    loss: Surface
    ln_params: Floats
    ln_loss: Floats

    @classmethod
    def of(cls, loss: Surface, near: LossSurface) -> Truth:
        """The optima of `loss`, which lie not too far from those of `near`."""
        flops = np.exp(LN_FLOPS)[:, None]
        params = np.asarray(near.params_opt(flops[:, 0]))[:, None] * np.exp(LN_SIZE)
        losses = loss(params, flops / (6 * params))
        best = losses.argmin(axis=1)
        rows = np.arange(len(LN_FLOPS))
        return cls(loss, np.log(params[rows, best]), np.log(losses[rows, best]))

    def params_opt(self, flops: ArrayLike) -> Floats:
        """N_opt [weights] at budgets `flops` [FLOPs]."""
        return np.exp(np.interp(np.log(flops), LN_FLOPS, self.ln_params))

    def loss_opt(self, flops: ArrayLike) -> Floats:
        """The lowest loss that budgets `flops` [FLOPs] can buy."""
        return np.exp(np.interp(np.log(flops), LN_FLOPS, self.ln_loss))

    def wasted_percent(self, params: float, flops: float) -> float:
        """What a budget spent on `params` wastes, since its loss is to be had for less."""
        reached = np.log([self.loss_opt(flops), self.loss(params, flops / (6 * params))])
        best, least = np.interp(-reached, -self.ln_loss, LN_FLOPS)
        return 100 * max(0.0, float(1 - np.exp(least - best)))


def chinchilla(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """Chinchilla's form itself, for comparison."""
    del rng
    return surface.loss


def power(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """The terms of N and D each squared, and the root of their sum: k = .5."""
    del rng
    e, a, b, alpha, beta = (
        np.asarray(getattr(surface, name), dtype=float) for name in ("E", "A", "B", "alpha", "beta")
    )
    bent = SkalingSurface.of_terms(e, np.log(a), np.log(b), alpha, beta, np.array(0.5))
    return bent.loss


def broken_in_compute(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """From a break on, 1 to 10 times beyond the runs, the reducible loss falls more slowly.

    By .03 to .1 in the exponent of compute, where it was about .17.
    """
    at, less = BUDGETS[-1] * _between(rng, *BREAKS), rng.uniform(0.03, 0.1)
    floor = float(np.asarray(surface.E))

    def loss(params: ArrayLike, tokens: ArrayLike) -> Floats:
        flops = 6 * np.asarray(params, dtype=float) * np.asarray(tokens, dtype=float)
        return floor + (surface.loss(params, tokens) - floor) * _slowed(flops / at, less)

    return loss


def broken_in_params(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """From a break on, the term of N falls more slowly, by .05 to .15: the best size bends."""
    best = float(surface.params_opt(BUDGETS[-1]))
    return _broken(surface, best * _between(rng, *np.sqrt(BREAKS)), rng.uniform(0.05, 0.15))


def _broken(surface: LossSurface, at: float, less: float) -> Surface:
    """From a size `at` on the exponent of N is `less` smaller."""
    no_size = LossSurface(surface.E, 0.0, surface.B, surface.alpha, surface.beta)

    def loss(params: ArrayLike, tokens: ArrayLike) -> Floats:
        of_tokens = no_size.loss(params, tokens)
        of_params = surface.loss(params, tokens) - of_tokens
        return of_tokens + of_params * _slowed(np.asarray(params, dtype=float) / at, less)

    return loss


def broken_within(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """The same from a size on that is 1.5 to 4 times below the best one of the largest budget."""
    best = float(surface.params_opt(BUDGETS[-1]))
    return _broken(surface, best / _between(rng, 1.5, 4.0), rng.uniform(0.05, 0.15))


def bending(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """The exponent of N drifts with ln N, by up to .012 per factor of e, in the runs and beyond."""
    best, drift = float(surface.params_opt(BUDGETS[-1])), rng.uniform(-0.012, 0.012)
    no_size = LossSurface(surface.E, 0.0, surface.B, surface.alpha, surface.beta)

    def loss(params: ArrayLike, tokens: ArrayLike) -> Floats:
        of_tokens = no_size.loss(params, tokens)
        bend = 0.5 * drift * np.log(np.asarray(params, dtype=float) / best) ** 2
        return of_tokens + (surface.loss(params, tokens) - of_tokens) * np.exp(bend)

    return loss


def late_floor(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """A floor as high as the lowest loss 3 to 30 times beyond the runs, which show none of it."""
    return _floored(surface, BUDGETS[-1] * _between(rng, 3.0, 30.0))


def floor_within(surface: LossSurface, rng: np.random.Generator) -> Surface:
    """A floor as high as the lowest loss at a third to a tenth of the largest budget."""
    return _floored(surface, BUDGETS[-1] / _between(rng, 3.0, 10.0))


TRUTHS: Final[Mapping[str, Callable[[LossSurface, np.random.Generator], Surface]]] = {
    "Chinchilla's form": chinchilla,
    "power k = .5": power,
    "broken in compute": broken_in_compute,
    "broken in params": broken_in_params,
    "late floor": late_floor,
    "floor within the runs": floor_within,
    "broken within the runs": broken_within,
    "bending": bending,
}
BASES: Final = ("besiroglu_2024", "hoffmann_2022_parametric")
"""The published surfaces that truths are made from, in turn."""


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _floored(surface: LossSurface, flops: float) -> Surface:
    """Losses that bend, over a few percent, to the lowest one of `surface` at a budget."""
    floor = float(surface.loss_opt(flops))

    def loss(params: ArrayLike, tokens: ArrayLike) -> Floats:
        smooth = surface.loss(params, tokens)
        return smooth * (1 + (floor / smooth) ** FLOOR_SHARPNESS) ** (1 / FLOOR_SHARPNESS)

    return loss


def _slowed(x: Floats, less: float) -> Floats:
    """1 far below x = 1, x^less far beyond."""
    return (1 + x**SHARPNESS) ** (less / SHARPNESS)


def truth_of(name: str, number: int, seed: int) -> tuple[Truth, np.random.Generator]:
    """The truth of study `number` of a kind, and what draws its runs."""
    rng = np.random.default_rng([seed, list(TRUTHS).index(name), number])
    law = published.load(BASES[number % len(BASES)]).surface()
    surface = LossSurface(**asdict(law))
    return Truth.of(TRUTHS[name](surface, rng), surface), rng


def runs_of(
    truth: Truth,
    rng: np.random.Generator,
    budgets: Floats = BUDGETS,
    sizes: int = SIZES,
    width: float = WIDTH,
    centre: float = 1.0,
) -> pd.DataFrame:
    """Runs of some sizes at each budget, within `width` of about `centre` times the optimum."""
    off = centre * _between(rng, 1 / OFF_CENTRE, OFF_CENTRE)
    params = (
        off * truth.params_opt(budgets)[:, None] * np.geomspace(1 / width, width, sizes)
    ).ravel()
    flops = np.repeat(budgets, sizes)
    tokens = flops / (6 * params)
    return pd.DataFrame(
        {
            "run": [f"r{i:03d}" for i in range(params.size)],
            "params": params,
            "tokens": tokens,
            "flops": flops,
            "loss": truth.loss(params, tokens) * np.exp(NOISE * rng.standard_normal(params.size)),
        }
    )


def judged(
    truth: Truth, runs: pd.DataFrame, options: StudyOptions | None = None
) -> Iterator[dict[str, Any]]:
    """A row per target: what was forecast and decided there, against the truth."""
    targets = [b * float(runs["flops"].max()) for b in BEYOND]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ladder_finding = ladder.audit(
            runs, targets[0], options, more_targets=targets[1:], family=FAMILY
        )
    results = fitted_to(runs, targets, IsoflopOptions(), FAMILY)
    findings = {
        "ladder": {**ladder_finding.to_json(), "tables": ladder_finding.tables},
        **pinned(runs, results, targets[0]),
    }
    results = FamilyResults(results.fits, results.draws, results.tables, findings)
    table, verdict = decide({FAMILY: results}, targets, {FAMILY: FAMILY}, {FAMILY: span_of(runs)})
    why = {s["budget_flops"]: s["why"] for s in verdict["silent"]}
    forecast = forecasts_of(results)
    for beyond, flops in zip(BEYOND, targets, strict=True):
        lines = table[table["budget_flops"] == flops]
        given = lines[lines["recommended"]]
        line = given.index[0] if len(given) else choose(lines, results.findings).line
        made = forecast[flops]
        params = np.nan if line is None else float(lines.loc[line, "params"])
        yield {
            "beyond": beyond,
            "refused": given.empty,
            "why": why.get(flops, ""),
            "warned": bool((given["status"] != CONVERGED).any()),
            "waste": np.nan if line is None else truth.wasted_percent(params, flops),
            **_held("loss", made.loss, float(truth.loss_opt(flops))),
            **_held("params", made.params, float(truth.params_opt(flops))),
            **(_stated(given.iloc[0], truth, flops) if len(given) else {}),
        }


def _stated(line: pd.Series, truth: Truth, flops: float) -> dict[str, float]:
    """The same of the forecasts that the headline states: those of the line that is followed."""
    made = {}
    for quantity, true in (("loss", truth.loss_opt(flops)), ("params", truth.params_opt(flops))):
        names = [f"forecast_{quantity}{end}" for end in ("", *(f"_{e}" for e in ENDS))]
        numbers = line[names].astype(float)
        if numbers.notna().all():
            made |= _held(f"stated_{quantity}", Estimate(*numbers), float(true))
    return made


def _held(quantity: str, made: Estimate | None, true: float) -> dict[str, float]:
    """Whether the intervals hold the truth, and how wide the larger is."""
    if made is None:
        return {}
    return {
        f"{quantity}80": float(made.lo80 <= true <= made.hi80),
        f"{quantity}95": float(made.lo95 <= true <= made.hi95),
        f"{quantity}_wide": made.hi95 / made.lo95 - 1,
        f"{quantity}_error": made.point / true - 1,
    }


def text(rows: pd.DataFrame) -> str:
    """The table of the page: coverage, widths, refusals and waste by truth and distance."""
    head = [
        "truth",
        "beyond the runs",
        "n",
        "loss: 80 holds",
        "95 holds",
        "width",
        "size: 80 holds",
    ]
    head += ["95 holds", "width"]
    for name in ("loss as stated", "N as stated"):
        head += [f"{name}: 80 holds", "95 holds", "width"]
    head += ["refused", "warned", "given waste", "worst", "refused would"]
    lines = []
    outside = rows[rows["truth"] != next(iter(TRUTHS))].assign(truth="all outside")
    every = pd.concat([rows, outside], ignore_index=True)
    for (name, beyond), part in every.groupby(["truth", "beyond"], sort=False):
        refused = part["refused"].astype(bool)
        coverage = [
            shown
            for quantity in ("loss", "params", "stated_loss", "stated_params")
            for shown in (
                f"{100 * part[f'{quantity}80'].mean():.0f}",
                f"{100 * part[f'{quantity}95'].mean():.0f}",
                f"{100 * part[f'{quantity}_wide'].median():.0f}",
            )
        ]
        given, would = part.loc[~refused, "waste"], part.loc[refused, "waste"]
        waste = [given.mean(), given.max(), would.mean()]
        lines.append(
            [str(name), f"{beyond:g}x", str(len(part)), *coverage]
            + [f"{100 * share.mean():.0f}" for share in (refused, part["warned"])]
            + ["–" if pd.isna(w) else f"{w:.1f}" for w in waste]
        )
    return markdown(head, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=6, help="of each kind of truth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="renew the page")
    given = parser.parse_args(arguments)
    start = time.process_time()
    rows = []
    for name in TRUTHS:
        for number in range(given.studies):
            truth, rng = truth_of(name, number, given.seed)
            rows += [{"truth": name, **row} for row in judged(truth, runs_of(truth, rng))]
        print(f"{name}: {time.process_time() - start:.0f} s of CPU so far", file=sys.stderr)
    table = pd.DataFrame(rows)
    page = text(table)
    print(page)
    for why, count in table.loc[table["refused"], "why"].value_counts().items():
        print(f"{count} refused: {why}", file=sys.stderr)
    if given.write:
        DOCUMENT.write_text(replaced(DOCUMENT.read_text("utf-8"), page, MARKERS), encoding="utf-8")


if __name__ == "__main__":
    main()
