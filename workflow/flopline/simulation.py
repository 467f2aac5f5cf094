"""Simulated runs: a law, a design, noise and a seed become the logs that a lab would have.

Every logged loss lies on L(N, D) = E + A / N^alpha + B / D^beta, times noise, at the tokens seen
so far: a curve is what short finished runs would give, with no learning-rate schedule in it.
Budgets are C = 6 N D.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.numbers import humanise, number
from flopline.study_document import SourceDocument
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

LOG_COLUMNS: Final = ("step", "tokens", "loss")
"""The columns of a simulated log."""

RUN_COLUMNS: Final = ("run", "log", "family", "params", "horizon_tokens", "budget_flops")
"""The columns of the table of simulated runs."""

DESIGNS: Final = (
    ("budgets", "sizes", "factor"),
    ("budgets", "params"),
    ("params", "tokens"),
)
"""The keys that make a design: valleys around the optimum, valleys of given sizes, or a grid."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a design: whole numbers of params and tokens, and its budget [FLOPs], if any."""

    run: str
    family: str
    params: int
    tokens: int
    budget_flops: float | None


def planned_runs(settings: SourceDocument) -> list[PlannedRun]:
    """All runs of all families in `settings`, a study's `source` of kind simulate, by name.

    Cheap, since Snakemake asks for it at every start. Raises FloplineError for a design that
    mixes forms, plans a run twice, or plans runs of fewer tokens than rows.
    """
    runs = [run for family in settings["families"] for run in _planned(settings, family)]
    runs.sort(key=lambda run: run.run)
    for one, following in pairwise(runs):
        if one.run == following.run:
            raise FloplineError(
                f"the designs in source.families plan the run '{one.run}' twice: take one out, or "
                "set its sizes or tokens further apart."
            )
    for run in runs:
        if run.tokens < settings["rows"]:
            raise FloplineError(
                f"source.families.{run.family}.design plans a run of {run.params:,} params on "
                f"{run.tokens:,} tokens, fewer than its {settings['rows']:,} rows (source.rows): "
                "raise the budget or log fewer rows."
            )
    return runs


def curve(settings: SourceDocument, run: PlannedRun) -> pd.DataFrame:
    """The log of one run, one row per logged loss, with LOG_COLUMNS.

    Rows stand evenly spaced in tokens, the last at the run's end. The loss [nats per token] is
    that of the family's law times exp(noise.run x + noise.row y_i), x and y_i standard normal.
    They depend on the seed and on the name of the run alone, so that adding runs changes no other.
    """
    import pandas as pd

    rows, noise = settings["rows"], settings["noise"]
    tokens = np.rint(np.linspace(0, run.tokens, rows + 1)[1:])
    name = int.from_bytes(hashlib.sha256(run.run.encode()).digest()[:16], "big")
    normal = np.random.default_rng([settings["seed"], name]).standard_normal(rows + 1)
    clean = _law(settings, run.family).loss(float(run.params), tokens)
    return pd.DataFrame(
        {
            "step": settings["log_every"] * np.arange(1, rows + 1),
            "tokens": tokens.astype(np.int64),
            "loss": clean * np.exp(noise["run"] * normal[0] + noise["row"] * normal[1:]),
        }
    )


def run_table(runs: list[PlannedRun]) -> pd.DataFrame:
    """The table of `runs` that goes with their logs, with RUN_COLUMNS; `log` is a relative path."""
    import pandas as pd

    rows = [
        (r.run, f"logs/{r.run}.jsonl", r.family, r.params, r.tokens, r.budget_flops) for r in runs
    ]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS))


def described(settings: SourceDocument, labels: Mapping[str, str]) -> list[str]:
    """In words, for a report: that and how the runs were simulated, then each family's law."""
    noise = settings["noise"]
    laws = (
        f"{labels[family]}: "
        + ", ".join(f"{name} = {number(getattr(law, name))}" for name in PARAMETERS)
        for family, law in ((f, _law(settings, f)) for f in settings["families"])
    )
    return [
        "Every run is synthetic: at each logged row its loss was computed from the law below, "
        f"times log-normal noise of {100 * noise['run']:g} % per run and {100 * noise['row']:g} % "
        f"per row, from the seed {settings['seed']}.",
        *(f"The law that was simulated, {law}." for law in laws),
    ]


def _planned(settings: SourceDocument, family: str) -> Iterator[PlannedRun]:
    design = settings["families"][family]["design"]
    if set(design) not in map(set, DESIGNS):
        forms = ", or ".join(f"({', '.join(form)})" for form in DESIGNS)
        raise FloplineError(
            f"source.families.{family}.design has the keys ({', '.join(design)}), but a design is "
            f"made of {forms}: give one of these sets."
        )
    if "tokens" in design:
        for params, tokens in product(design["params"], design["tokens"]):
            yield _named(family, round(params), round(tokens), None)
        return
    for budget in design["budgets"]:
        sizes = design["params"] if "params" in design else _around(settings, family, budget)
        for params in map(round, sizes):
            yield _named(family, params, round(budget / (6 * max(params, 1))), float(budget))


def _around(settings: SourceDocument, family: str, budget: float) -> list[float]:
    """Sizes evenly spaced in ln N, within the design's factor of the optimum of `budget`."""
    design = settings["families"][family]["design"]
    steps = np.linspace(-1.0, 1.0, design["sizes"]) if design["sizes"] > 1 else np.zeros(1)
    centre = float(_law(settings, family).params_opt(budget))
    return [float(n) for n in centre * design["factor"] ** steps]


def _named(family: str, params: int, tokens: int, budget: float | None) -> PlannedRun:
    if params < 1:
        raise FloplineError(
            f"source.families.{family}.design plans a model of less than one parameter: "
            "raise the budget or the sizes."
        )
    name = f"{family}-N{humanise(params, 4)}-D{humanise(tokens, 4)}"
    return PlannedRun(name, family, params, tokens, budget)


def _law(settings: SourceDocument, family: str) -> LossSurface:
    return LossSurface(**settings["families"][family]["law"])
