"""IsoFLOP profiles: a parabola per compute budget, power laws through the vertices.

Approach 2 of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.2): at each budget the final loss
against ln N is a valley, its vertex the optimal size. A second parabola, in ln D from the runs'
own tokens, gives the optimal tokens, so that N_opt(C) and D_opt(C) are fitted separately and
6 N_opt D_opt / C is a check and not an identity. Other readings of the same runs stand beside it
(docs/isoflop.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline import progress
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import WILD, chosen
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.budgets import Grouping, group_runs
from flopline.laws.common.counting import counted
from flopline.laws.common.fit_result import (
    CONVERGED,
    WARNING,
    Estimator,
    FitResult,
    estimator_table,
)
from flopline.laws.common.inputs import checked, in_order, named
from flopline.laws.isoflop import isoflop_report as report
from flopline.laws.isoflop.between_budgets import Chances
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.isoflop.main_reading import AUTO, chosen_reading, evidence, sentence
from flopline.laws.isoflop.plugin_bias import fit_surfaces
from flopline.laws.isoflop.quality import assess
from flopline.laws.isoflop.readings import LABELS, all_laws, estimators, of_laws, readings
from flopline.laws.isoflop.valley import (
    FALLING,
    NOMINAL,
    RISING,
    Resamples,
    Valley,
    budget_label,
    read_valley,
    resampled,
)
from flopline.laws.isoflop.vertex_laws import MIN_BUDGETS
from flopline.numbers import count
from flopline.options import changed

LAW: Final = "isoflop"
BUDGETS: Final = 0.2
"""Share of a fit's time, about, that the vertices of all budgets take."""
SURFACES: Final = 0.6
"""Share of the rest that the surfaces take which are plugged in."""
NO_BUDGET: Final = "no budget"
"""Stratum of the runs near no budget: they inform the surface that the bias is taken from."""


def fit(
    points: pd.DataFrame,
    targets_flops: Sequence[float],
    options: IsoflopOptions | None = None,
    *,
    bootstrap: BootstrapOptions | None = None,
    family: str = "",
    **changes: Any,
) -> FitResult:
    """IsoFLOP law of one family, with a bootstrap over runs inside each budget.

    `points` has one row per run: run, params, tokens, flops, loss (final) and maybe budget_flops
    (nominal, used when every run has one; else `budgets` of the options; else gaps wider than
    `budget_tolerance` in ln C part the budgets). Power laws weigh each vertex by 1/(se^2 + sd^2)
    of its ln position, se from the draws and sd the scatter between budgets, unless `weights` says
    otherwise. Budgets without a usable vertex never enter; those that a check of quality.py flags
    do, unless `quality` is "exclude". The bootstrap is wild unless it is told otherwise. `changes`
    are single options of either group, as `min_sizes=5` or `draws=200`. Tables: estimators,
    vertices (per budget), profiles (per run).

    Raises FloplineError when fewer than three budgets have a usable vertex, and for options that
    there are not or that do not fit.
    """
    options, bootstrap = changed(
        options or IsoflopOptions(), bootstrap or BootstrapOptions(), changes
    )
    tolerance, min_sizes = options.budget_tolerance, options.min_sizes
    method = chosen(bootstrap.method, WILD)
    table = _prepared(points, family)
    grouping = group_runs(
        table["flops"].to_numpy(), table["budget_flops"].to_numpy(), options.budgets, tolerance
    )
    count = counted(table, bootstrap.draws, bootstrap.seed, LAW, family)
    resamples = resampled(
        table, _strata(table, grouping), bootstrap.draws, bootstrap.seed, method, NO_BUDGET
    )
    if options.budget_compute == NOMINAL and grouping.how == "gaps":
        raise FloplineError(
            f"isoflop.budget_compute is nominal, but the runs of {named(family)} have no nominal "
            "budgets: name them in `isoflop.budgets` in the study file."
        )
    with progress.part(BUDGETS):
        valleys = _valleys(table, grouping, tolerance, min_sizes, resamples, options.budget_compute)
    known, why = evidence(valleys), ""
    reading: str = options.reading
    if reading == AUTO:
        reading = chosen_reading(known, resamples.typical_noise)
        why = sentence(known, reading)
    valleys = [replace(v, main=reading) for v in valleys]
    checks = assess(valleys, min_sizes)
    if options.quality == "exclude":
        valleys = [replace(v, excluded=c.flags) for v, c in zip(valleys, checks, strict=True)]
    _demand_budgets(table, valleys, family)
    with progress.part(SURFACES, "surfaces"):
        surfaces = fit_surfaces(table, resamples)
        surfaces = surfaces if count is None else surfaces.spending(count.point)
    with progress.part(1.0, "readings"):
        all_readings = readings(valleys, checks, surfaces, resamples, options.weights)
        chances = Chances.of([v.label for v in valleys], bootstrap.draws, bootstrap.seed)
        laws = all_laws(all_readings, chances)
        vertices = report.vertex_table(valleys, checks, all_readings, laws[reading].weights)
        fitted = report.certificate(laws, vertices, surfaces, grouping.how)
    warnings, notes = report.messages(valleys, checks, fitted, len(table), laws[reading])
    if count is not None:
        laws = {name: law.spending(count, targets_flops[0]) for name, law in laws.items()}
        notes.append(count.sentence)
    parameters, targets, draw_table = of_laws(
        laws[reading], targets_flops, resamples.new_run, chances
    )
    certificate = {
        **fitted,
        **({} if count is None else {"count": count.sentence}),
        "reading": reading,
        "readings": {name: e.to_json() for name, e in known.items()},
    }
    status = WARNING if warnings else CONVERGED
    message = "; ".join([*warnings, *filter(None, [why]), *notes])
    beside = [
        report.warned_with(e, warnings, laws.get(e.name))
        for e in estimators(all_readings, laws, targets_flops, resamples.new_run, chances)
    ]
    main = report.held_against_checked(
        Estimator(reading, LABELS[reading], status, message, parameters, targets), beside
    )
    return FitResult(
        law=LAW,
        estimator=main.label,
        status=main.status,
        message=main.message,
        n_runs=len(table),
        n_points=sum(len(v.rows) for v in valleys),
        settings=options.plain() | bootstrap.plain() | {"method": method},
        parameters=parameters,
        targets=targets,
        certificate=certificate,
        draws=draw_table,
        tables={
            "estimators": estimator_table([main, *beside]),
            "vertices": vertices,
            "profiles": report.profile_table(table, grouping, valleys, tolerance),
        },
    )


def _prepared(points: pd.DataFrame, family: str) -> pd.DataFrame:
    table = checked(points, ("params", "tokens", "flops", "loss"), (), LAW, family)
    if "budget_flops" not in table:
        table = table.assign(budget_flops=np.nan)
    table["budget_flops"] = table["budget_flops"].astype("float64")
    twice = table["run"][table["run"].duplicated()]
    if not twice.empty:
        raise FloplineError(
            f"isoFLOP takes one final loss per run, but run '{min(twice)}' of {named(family)} has "
            "several rows: give each run its own name or keep its last row."
        )
    if len(table) == 1:
        raise FloplineError(
            f"isoFLOP compares runs of several sizes at {MIN_BUDGETS} or more budgets, but "
            f"{named(family)} has a single run ('{table['run'].iloc[0]}'): add runs, or take "
            "isoflop out of `laws` in the study file."
        )
    return in_order(table, ["flops", "params", "tokens", "run"]).reset_index(drop=True)


def _strata(table: pd.DataFrame, grouping: Grouping) -> list[str]:
    """A label for every run, that of its budget by itself: see valley.resampled."""
    flops = table["flops"].to_numpy()
    labels = np.full(len(table), NO_BUDGET, dtype=object)
    for number, nominal in enumerate(grouping.nominal):
        members = grouping.group == number
        if members.any():
            labels[members] = budget_label(float(nominal), flops[members])
    return list(labels)


def _valleys(
    table: pd.DataFrame,
    grouping: Grouping,
    tolerance: float,
    min_sizes: int,
    resamples: Resamples,
    compute: str,
) -> list[Valley]:
    """The valley of each budget with its draws.

    Returns:
        Valleys in the order of compute.
    """
    out, ordered = [], in_order(table, ["params", "tokens", "run"])
    for number, nominal in enumerate(progress.over(grouping.nominal, "budgets")):
        rows = ordered[grouping.group[ordered.index] == number]
        if rows.empty:
            continue
        span = float(np.ptp(np.log(rows["flops"].to_numpy())))
        chained = grouping.how == "gaps" and span > 2.0 * tolerance
        draws = resamples.of(rows.index.to_numpy())
        out.append(read_valley(rows, float(nominal), draws, min_sizes, chained, compute))
    return sorted(out, key=lambda v: v.ln_flops)


def _demand_budgets(table: pd.DataFrame, valleys: list[Valley], family: str) -> None:
    usable = sum(v.used for v in valleys)
    if usable >= MIN_BUDGETS:
        return
    mend = "add runs there, or take isoflop out of `laws` in the study file"
    if not valleys:
        seen = f"{table['flops'].min():.3g} to {table['flops'].max():.3g}"
        raise FloplineError(
            f"isoFLOP found none of the {len(table)} runs of {named(family)} (FLOPs {seen}) near "
            "the budgets given: correct `budgets` or widen `budget_tolerance` in the study file."
        )
    if len(valleys) < MIN_BUDGETS:
        listed = " and ".join(f"{np.exp(v.ln_flops):.3g}" for v in valleys)
        raise FloplineError(
            f"isoFLOP needs at least {MIN_BUDGETS} compute budgets, but {named(family)} has "
            f"{len(valleys)} ({listed} FLOPs): add budgets, or take isoflop out of `laws` in the "
            "study file."
        )
    first, *others = unused = [v for v in valleys if not v.used]
    for start, smaller in ((RISING, "smaller"), (FALLING, "larger")):
        if all(v.reason.startswith(start) for v in unused):
            mend = (
                f"check the losses, or add {smaller} sizes at these budgets, or take isoflop out "
                "of `laws` in the study file"
            )
    more = f", and {count(len(others), 'other')}" if others else ""
    raise FloplineError(
        f"isoFLOP needs at least {MIN_BUDGETS} budgets with a usable vertex, but {named(family)} "
        f"has {usable} of {len(valleys)} ({np.exp(first.ln_flops):.3g} FLOPs: {first.reason}"
        f"{more}): {mend}."
    )
