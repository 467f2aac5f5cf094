"""Training-curve envelope: power laws through the runs that are best at each compute.

Approach 1 of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.1, appendix D.1): smooth every
training curve, interpolate loss against compute, take the run of lowest loss at 1500 log-spaced
FLOPs, and regress its params and tokens on compute in logs. The variant `hull` takes the lower
convex hull instead of bins (McLeish et al. 2025, arXiv 2502.06857).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline import progress
from flopline.errors import FloplineError
from flopline.laws.common.allocation import stated
from flopline.laws.common.bootstrap import PAIRS
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import (
    CONVERGED,
    FAILED,
    WARNING,
    Estimate,
    Estimator,
    FitResult,
    Target,
    estimator_table,
)
from flopline.laws.common.lack_of_fit import loss_intervals, widened
from flopline.laws.envelope.envelope_curves import LAW, ends, prepared, smooth
from flopline.laws.envelope.envelope_options import FRONTIERS, EnvelopeOptions, Way
from flopline.laws.envelope.envelope_reading import EnvelopeReading, read
from flopline.laws.envelope.envelope_report import (
    certificate,
    frontier_table,
    message,
    notes,
    thinned,
)
from flopline.laws.envelope.smoothing import KERNEL, SIGMAS_PER_WINDOW
from flopline.numbers import flops_label, humanise
from flopline.options import changed
from flopline.schema import QUANTITIES

MATTERS: Final = 0.1
"""Difference of ln N_opt below which two estimators agree: it wastes 0.4 % of a budget or less."""
MAIN_SHARE: Final = 1 / 3
"""Share of a fit's progress before its variants: all three are readings of the same curves."""
LABEL: Final = "{}, lower envelope of smoothed training curves, least squares in logs"
"""What tells estimators apart comes first: figures cut long labels at their end."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An estimator with the draws, the frontier and the certificate behind its numbers."""

    estimator: Estimator
    draws: pd.DataFrame
    frontier: pd.DataFrame
    certificate: Mapping[str, object]
    n_runs: int
    n_points: int


def fit(
    curves: pd.DataFrame,
    targets_flops: Sequence[float],
    options: EnvelopeOptions | None = None,
    *,
    bootstrap: BootstrapOptions | None = None,
    family: str = "",
    last_fraction: float = 0.15,
    with_variants: bool = True,
    **changes: Any,
) -> FitResult:
    """Envelope law of one family, with a bootstrap over runs of the whole selection.

    `curves` has one row per logged loss: run, params, horizon_tokens (schedule length, may be
    missing), step, tokens, flops, loss; rows at zero FLOPs are skipped and counted.
    The option `only_schedule_end` keeps the last `last_fraction` of every smoothed curve, where a
    loss is that of a finished run. Which bins enter the regression is decided by the strictest of
    frontier.RULES that leaves enough of them; a hull enters whole, as published. The intervals of
    the loss hold its misfit (lack_of_fit.py). `changes` are single options of either group, as
    `frontier="hull"` or `draws=200`; the `method` of the bootstrap is always to draw runs.
    Tables: estimators (this one; the other frontier; schedule ends only, or whole curves where
    this is the former; what can not be made is failed; none of these but the first unless
    `with_variants`, which costs two more bootstraps), frontier (per bin or hull point), curves
    (smoothed, thinned for drawing).

    Raises FloplineError for fewer than three runs or two sizes, for curves that nowhere compete,
    where one size wins everywhere, for a floor that is not below the frontier, and for options that
    there are not or that do not fit.
    """
    options, bootstrap = changed(
        options or EnvelopeOptions(), bootstrap or BootstrapOptions(), changes
    )
    raw, skipped = prepared(curves, family)
    table, per_window = smooth(raw, options.smoothing_steps)
    seed = bootstrap.seed

    def outcome(name: str, way: Way, ends_only: bool) -> _Outcome:
        here = ends(table, last_fraction, family) if ends_only else table
        reading = read(here, targets_flops, options.but(frontier=way), bootstrap, family)
        return _outcome(name, way, ends_only, reading, targets_flops, last_fraction, seed)

    mine, only_ends = options.frontier, options.only_schedule_end
    with progress.part(MAIN_SHARE if with_variants else 1.0, "main fit"):
        main = outcome(mine, mine, only_ends)
    other = next(way for way in FRONTIERS if way != mine)
    rest = "whole_curves" if only_ends else "schedule_end"
    more: list[tuple[str, Way, bool]] = [
        (other, other, only_ends),
        (rest, mine, not only_ends),
    ]
    variants = [
        _variant(name, way, ends_only, outcome, targets_flops, last_fraction)
        for name, way, ends_only in progress.over(more if with_variants else [], "variants")
    ]
    beside = [v for v in variants if v.name == "schedule_end"]
    estimator = _beside(main.estimator, beside[0]) if beside else main.estimator
    return FitResult(
        law=LAW,
        estimator=estimator.label,
        status=estimator.status,
        message=estimator.message,
        n_runs=main.n_runs,
        n_points=main.n_points,
        settings={
            **options.plain(),
            **({"loss_floor": "fitted"} if options.loss_floor is None else {}),
            "smoothing_kernel": KERNEL,
            "smoothing_sigma_steps": options.smoothing_steps / SIGMAS_PER_WINDOW,
            "last_fraction": last_fraction,
            **bootstrap.plain(),
            "method": PAIRS,
        },
        parameters=estimator.parameters,
        targets=estimator.targets,
        certificate={
            **main.certificate,
            "points_per_window": per_window,
            "points_at_zero_flops": skipped,
        },
        draws=main.draws,
        tables={
            "estimators": estimator_table([estimator, *variants]),
            "frontier": main.frontier,
            "curves": thinned(table),
        },
    )


def _outcome(
    name: str,
    way: str,
    ends_only: bool,
    reading: EnvelopeReading,
    targets_flops: Sequence[float],
    last_fraction: float,
    seed: int,
) -> _Outcome:
    """One reading of the frontier with what it states at the targets.

    Returns:
        The estimator, its draws, the frontier's points and the evidence of its verdict.
    """
    parameters, targets, draws = stated(reading.point, reading.draws, targets_flops)
    listed = frontier_table(reading, last_fraction)
    evidence = certificate(way, reading, listed)
    unwidened = loss_intervals(targets)
    targets, draws = widened(targets, draws, reading.misfit, seed)
    warning = message(evidence, reading.misfit, last_fraction)
    sentences = "; ".join(filter(None, [warning, *notes(evidence, reading)]))
    return _Outcome(
        Estimator(
            name,
            _label(way, ends_only, last_fraction),
            WARNING if warning else CONVERGED,
            sentences,
            parameters,
            targets,
        ),
        draws,
        listed,
        {**evidence, "loss_without_misfit": unwidened},
        len(reading.runs),
        reading.n_points,
    )


def _variant(
    name: str,
    way: Way,
    ends_only: bool,
    outcome: Callable[[str, Way, bool], _Outcome],
    targets_flops: Sequence[float],
    last_fraction: float,
) -> Estimator:
    """Another reading of the same curves, or a failed one that says what is missing.

    Returns:
        The estimator, with status, parameters and targets.
    """
    try:
        return outcome(name, way, ends_only).estimator
    except FloplineError as error:
        nothing = Estimate(float("nan"))
        parameters: Mapping[str, Estimate] = {"a": nothing, "b": nothing}
        values = dict.fromkeys(QUANTITIES, nothing)
        targets = [Target(float(c), values) for c in targets_flops]
        label = _label(way, ends_only, last_fraction)
        return Estimator(name, label, FAILED, str(error), parameters, targets)


def _beside(main: Estimator, ends: Estimator) -> Estimator:
    """`main` with a warning if schedule ends alone give another size, beyond its 95 % interval."""
    for ours, theirs in zip(main.targets, ends.targets, strict=True):
        n, other = ours.values["params"], theirs.values["params"].point
        outside = other < n.lo95 or other > n.hi95
        if outside and abs(np.log(other / n.point)) > MATTERS:
            warning = (
                f"schedule ends alone give N ~ C^{ends.parameters['a'].point:.2f} and "
                f"{humanise(other)} params at {flops_label(ours.budget_flops)} FLOPs, outside the "
                "95 % interval"
            )
            message = "; ".join(filter(None, [warning, main.message]))
            return replace(main, status=WARNING, message=message)
    return main


def _label(way: str, ends_only: bool, last_fraction: float) -> str:
    part = f"{way}, last {last_fraction:.0%} of schedules" if ends_only else f"{way}, whole curves"
    return LABEL.format(part)
