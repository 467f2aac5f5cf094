"""Families against each other: whether they may be ranked, and how much compute lies between them.

A loss says something of two families only where both were measured on the same validation set with
the same tokenizer, which no log tells: the study does, or the families stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.other_surfaces import other_surfaces
from flopline.documents import ComparisonJson, EstimateJson, FewRunsJson, number_in
from flopline.laws.common.fit_result import FAILED, estimate_json
from flopline.laws.spec import spec_of
from flopline.numbers import count, factor, flops_label, significant
from flopline.results import FamilyResults
from flopline.schema import LEVELS
from flopline.surfaces.loss_of_compute import LossOfCompute

Floats = NDArray[np.float64]
LossLaw = Callable[[float], float]
"""The lowest loss [nats per token] by compute [FLOPs]."""

ENDLESS: Final = 1e60
"""Compute [FLOPs] at which a loss law has come down to its floor: no budget comes near it."""
CARRIED: Final = 1.05
"""Times the largest run's compute from which it is said that a law is carried beyond its runs."""
NOT_COMPARABLE: Final = (
    "The families are not ranked: the study does not say that their losses can be compared. Where "
    "all were measured on the same validation set with the same tokenizer, set "
    "`comparable_losses: true` in the study file."
)


def loss_law(known: FamilyResults, law: str, estimator: str = "") -> LossLaw | None:
    """The lowest loss by compute that a law's main line says, or the form `estimator` of it.

    None where it says none: only the surface's other forms are known at every compute.
    """
    if not estimator:
        fit = known.fits.get(law)
        if fit is None or fit["status"] == FAILED:
            return None
        stated = LossOfCompute.stated({n: number_in(e) for n, e in fit["parameters"].items()})
        return lambda flops: float(stated.loss(flops))
    surface = dict(other_surfaces(known.of_law(law))).get(estimator)
    return None if surface is None else lambda flops: float(surface.loss_opt(flops))


def flops_for(law: LossLaw, loss: float) -> float:
    """The least compute [FLOPs] at which `law` comes down to `loss`; infinite where it never does,
    NaN where either is not known.
    """
    from scipy.optimize import brentq

    least, most = law(1.0), law(ENDLESS)
    if math.isnan(loss) or math.isnan(least) or math.isnan(most):
        return math.nan
    if loss <= most:
        return math.inf
    if loss >= least:
        return 1.0
    top = math.log(ENDLESS)
    return math.exp(brentq(lambda x: law(math.exp(x)) - loss, 0.0, top, xtol=1e-12))


def multiplier_of(
    best: Mapping[str, Any] | pd.Series,
    other: Mapping[str, Any] | pd.Series,
    law: LossLaw,
    quantity: str = "loss",
) -> EstimateJson | None:
    """Compute that the other family needs for the loss of the best, over the budget.

    `best` and `other` are lines of the decision table at one budget, `law` is that of the other;
    `quantity` is `loss`, which holds if the laws hold, or `forecast_loss`. The two errors are
    taken as independent. None where one of them has no such interval.
    """
    budget = float(best["budget_flops"])
    ends = [f"{quantity}_{side}{level}" for level in LEVELS for side in ("lo", "hi")]
    if not all(math.isfinite(float(row[e])) for row in (best, other) for e in (quantity, *ends)):
        return None
    # The other's curve as it is forecast: moved by what its line has missed.
    moved = math.log(law(budget) / float(other[quantity]))
    centre = math.log(float(best[quantity])) + moved
    spread = []
    for level in LEVELS:
        half = math.hypot(*(_half(row, quantity, level) for row in (best, other)))
        spread += [centre + half, centre - half]
    point, lo80, hi80, lo95, hi95 = (
        flops_for(law, math.exp(x)) / budget for x in (centre, *spread)
    )
    return {"point": point, "lo80": lo80, "hi80": hi80, "lo95": lo95, "hi95": hi95}


def _half(row: Mapping[str, Any] | pd.Series, quantity: str, level: int) -> float:
    """Half the width of the log of an interval."""
    return 0.5 * math.log(float(row[f"{quantity}_hi{level}"]) / float(row[f"{quantity}_lo{level}"]))


def said_times(if_laws_hold: EstimateJson, forecast: EstimateJson | None) -> str:
    """The multiplier with its intervals, the forecast first."""
    held = _bracket(if_laws_hold)
    if forecast is None:
        return f"{factor(number_in(if_laws_hold))}{held and f' [{held}]'}"
    laws = f"; if the laws hold {held}" if held else ""
    return f"{factor(number_in(forecast))} [forecast {_bracket(forecast)}{laws}]"


def wins_clearly(entry: ComparisonJson) -> bool:
    """Whether the winner of a comparison of families wins beyond doubt, by all laws."""
    others = entry["others"]
    clear = bool(others) and not any(
        other["overlap"] or holds_one(other["forecast"] or other["multiplier"]) for other in others
    )
    return clear and entry["laws_agreeing"] == entry["laws_compared"]


def holds_one(times: EstimateJson) -> bool:
    """Whether the 95 % interval of a multiplier holds 1, so that the order may be the other.

    False where there is no interval, as where the other family never reaches the loss.
    """
    low, high = number_in(times, "lo95"), number_in(times, "hi95")
    return low <= 1 and not high < 1


def _bracket(times: EstimateJson) -> str:
    low, high = number_in(times, "lo95"), number_in(times, "hi95")
    return "" if math.isnan(low) else f"{factor(low)} to {factor(high)}"


@dataclass(frozen=True, slots=True)
class Beside:
    """The family whose law others are set beside: its name, its line and the compute it spans."""

    family: str
    law: str
    estimator: str
    largest_flops: float


def few_runs(
    results: Mapping[str, FamilyResults],
    runs: pd.DataFrame,
    labels: Mapping[str, str],
    beside: Beside,
) -> Iterator[FewRunsJson]:
    """Each family that carries no law of its own, set beside the loss law of another.

    `runs` are the kept runs with family, flops and loss. A run saves the compute by which the
    law's C for its loss exceeds its own; the mean over runs is stated, with an interval that holds
    the scatter of the runs and the law's own draws.
    """
    law = loss_law(results[beside.family], beside.law, beside.estimator)
    if law is None:
        return
    for family, known in results.items():
        mine = runs[runs["family"] == family]
        fitted = any(fit["status"] != FAILED for fit in known.fits.values())
        if family == beside.family or fitted or mine.empty:
            continue
        flops, loss = (mine[name].to_numpy(dtype=float) for name in ("flops", "loss"))
        needed = np.array([flops_for(law, x) for x in loss])
        gain = np.log(needed / flops)
        if not np.isfinite(gain).all():
            continue
        draws = _gains_of_draws(results[beside.family], beside.law, flops, loss)
        times = _mean_gain(gain, draws)
        yield _beside(family, labels, beside, flops, needed, times)


def _gains_of_draws(known: FamilyResults, law: str, flops: Floats, loss: Floats) -> Floats:
    """The mean log of needed over spent compute by each draw of a law; no row without draws."""
    draws = known.draws[law]
    columns = {str(c): draws[c].to_numpy(float) for c in draws if "@" not in str(c)}
    if not len(draws):
        return np.empty(0)
    means = np.log(LossOfCompute.stated(columns).flops_for(loss[None]) / flops).mean(axis=1)
    return np.asarray(means[np.isfinite(means)])


def _mean_gain(gain: Floats, draws: Floats) -> EstimateJson:
    """Mean over runs of needed over spent compute, with intervals; without them for one run."""
    from scipy.special import stdtrit

    mean = float(gain.mean())
    if gain.size < 2:
        return estimate_json(math.exp(mean), *[math.nan] * 4)
    error = float(gain.std(ddof=1)) / math.sqrt(gain.size)
    ends = []
    for level in LEVELS:
        tail = 50 - level / 2
        of_law = np.ptp(np.percentile(draws, [tail, 100 - tail])) / 2 if draws.size > 1 else 0.0
        half = math.hypot(error * stdtrit(gain.size - 1, 1 - tail / 100), float(of_law))
        ends += [math.exp(mean - half), math.exp(mean + half)]
    return estimate_json(math.exp(mean), *ends)


def _beside(
    family: str,
    labels: Mapping[str, str],
    beside: Beside,
    flops: Floats,
    needed: Floats,
    times: EstimateJson,
) -> FewRunsJson:
    """What few runs of `family` save against the law of the family that they stand beside.

    Returns:
        The runs' own `flops`, the compute `needed` for their losses by that law, the multiplier and
        the share of compute saved with intervals, and the sentence that says so.
    """
    saved: EstimateJson = estimate_json(
        *(
            100 * (1 - 1 / number_in(times, end))
            for end in ("point", "lo80", "hi80", "lo95", "hi95")
        )
    )
    point = number_in(times)
    low, high = number_in(saved, "lo95"), number_in(saved, "hi95")
    reach = (
        "no interval: one run has no scatter"
        if math.isnan(low)
        else f"95 %: {significant(low, 2)} to {significant(high, 2)} % saved"
    )
    first, last = (flops_label(float(c)) for c in (flops.min(), flops.max()))
    far = float(needed.max()) / beside.largest_flops
    carried = f", carried to {factor(far)} its largest run" if far > CARRIED else ""
    sentence = (
        f"{labels[family]} has too few runs for a law of its own. For the losses of its "
        f"{count(flops.size, 'run')} ({first if flops.size == 1 else f'{first} to {last}'} FLOPs) "
        f"the {spec_of(beside.law).label} law of {labels[beside.family]} needs {factor(point)} the "
        f"compute{carried}: they {'save' if point >= 1 else 'take'} "
        f"{significant(abs(number_in(saved)), 2)} % {'of it' if point >= 1 else 'more'} ({reach}), "
        "as far as each is at the best size of its budget."
    )
    return {
        "family": family,
        "beside": beside.family,
        "law": beside.law,
        "runs": int(flops.size),
        "multiplier": times,
        "saved_percent": saved,
        "sentence": sentence,
    }
