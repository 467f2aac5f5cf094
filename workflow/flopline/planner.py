"""What the laws say at any budget, and what training another size costs.

The planner of the report page does the same in the browser (workflow/report/planner_laws.js); its
numbers are those of this module to six digits.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.waste import excess_at, wasted_at
from flopline.documents import FitJson, number_in
from flopline.errors import FloplineError
from flopline.laws.common.allocation import Allocation
from flopline.laws.common.fit_result import FAILED, Estimate, Target, targets_of
from flopline.laws.common.lack_of_fit import misfit_errors, relative_sd
from flopline.laws.common.loss_compute import LossLaw
from flopline.laws.common.power_law import PowerLaw
from flopline.laws.spec import Says, spec_of
from flopline.numbers import humanise, number
from flopline.schema import target_column
from flopline.surfaces.chinchilla import PARAMETERS, POWER, LossSurface
from flopline.surfaces.count import COUNT, Count, tokens_for

Floats = NDArray[np.float64]

SECONDS_PER_HOUR: Final = 3600.0
SECONDS_PER_MINUTE: Final = 60.0
LEAST_SECONDS: Final = 0.001
"""Less accelerator time than this is not written out."""
USUAL: Final = "H100 SXM"
"""The accelerator by which costs are stated where nobody chose one."""
MFU_PERCENT: Final = 40
"""Utilisation, in percent of the peak, by which they are."""
OF_COMPUTE: Final = ("a", "b", "N_coef", "D_coef", "L_E", "L_K", "L_c")
"""Parameters of the laws that are power laws of compute."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A kind of GPU or TPU chip: its peak dense BF16 FLOPS and where that is published."""

    name: str
    peak_flops: float
    source: str


@dataclass(frozen=True, slots=True)
class LineMisfit:
    """What a law misses at its own frontier, as a LackOfFit states it, and its error per draw."""

    share: float
    runs: int
    spread: Floats
    errors: Floats


@dataclass(frozen=True, slots=True)
class Line:
    """The main line of one law of one family, with its bootstrap draws.

    `new_run` (draws,) is the error of ln L of one more run, None where the law knows none.
    """

    law: str
    point: Allocation | LossSurface
    draws: Allocation | LossSurface
    new_run: Floats | None
    misfit: LineMisfit | None


@dataclass(frozen=True, slots=True)
class Deviation:
    """What training `params` instead of the best size costs at a budget.

    `tokens` are what the budget buys, C / (6 params) unless the line has a count; `loss` and
    `extra_loss` in the unit of the law; `wasted_percent` of compute is what a smaller budget, well
    spent, would have saved.
    """

    budget_flops: float
    params: float
    tokens: float
    loss: float
    extra_loss: Estimate
    wasted_percent: Estimate


def read_line(fit: FitJson, draws: pd.DataFrame) -> Line:
    """The line that a fit states: its JSON (FitResult.to_json) and its table of draws.

    Raises FloplineError for a fit that failed.
    """
    if fit["status"] == FAILED:
        raise FloplineError(
            f"the {fit['law']} law failed and says nothing at any budget: {fit['message']}"
        )
    of_surface = spec_of(fit["law"]).says is Says.SURFACE
    names = PARAMETERS if of_surface else OF_COMPUTE
    names = (*names, *(name for name in (POWER, *COUNT) if name in fit["parameters"]))
    values = {name: np.array([number_in(fit["parameters"][name])]) for name in names}
    drawn = {name: draws[name].to_numpy(dtype=float) for name in names}
    if of_surface:
        stated = LossSurface.stated({n: float(v[0]) for n, v in values.items()})
        return Line(fit["law"], stated, LossSurface.stated(drawn), _new_run(fit, draws), None)
    laws = allocation(values), allocation(drawn)
    return Line(fit["law"], *laws, _new_run(fit, draws), _misfit(fit, len(draws)))


def at_budget(line: Line, flops: float) -> Target:
    """params, tokens, loss and the rest of schema.QUANTITIES at `flops`, with intervals.

    The same numbers as in the decision table where `flops` is a target. Raises FloplineError for a
    budget that is not positive and finite.
    """
    _demand_positive("a budget in FLOPs", flops)
    budgets = [float(flops)]
    point, draws = at_budgets(line.point, budgets), at_budgets(line.draws, budgets)
    if line.misfit is not None:
        assert isinstance(line.point, Allocation)
        m = line.misfit
        sd = relative_sd(line.point.loss, m.share, m.runs, m.spread, budgets)
        draws["loss"] = draws["loss"] * (1.0 + sd * m.errors[:, None])
    first = {name: np.atleast_1d(np.squeeze(values)) for name, values in point.items()}
    return targets_of(budgets, first, draws, line.new_run)[0][0]


def deviation(line: Line, surface: Line, flops: float, params: float) -> Deviation:
    """What training `params` costs at `flops` if `line` is right, with intervals over its draws.

    The exponents alpha and beta and the reducible loss are those of `surface`, the line of a
    surface of the same family: draw by draw where it is `line` itself, else its point (other laws
    say where the best size lies, not how fast the loss rises beside it). Raises FloplineError for
    numbers that are not positive and finite.
    """
    _demand_positive("a budget in FLOPs", flops)
    _demand_positive("a number of parameters", params)
    if not isinstance(surface.point, LossSurface):
        raise FloplineError("a deviation is weighed by the line of a surface, not by another law.")
    best, drawn = (at_budgets(v, [float(flops)]) for v in (line.point, line.draws))
    ln_ratio = np.log(params) - np.log(best["params"]).ravel()[0]
    ln_ratios = np.log(params) - np.log(drawn["params"][:, 0])
    s = surface.point
    spread = line.draws if isinstance(line.draws, LossSurface) else s
    extra = excess_at(s, flops, ln_ratio) * _reducible(s, flops)
    extras = excess_at(spread, flops, ln_ratios) * _reducible(spread, flops)
    share = wasted_at(s, flops, ln_ratio)
    drawn_shares = wasted_at(spread, flops, ln_ratios)
    return Deviation(
        budget_flops=float(flops),
        params=float(params),
        tokens=float(np.ravel(tokens_for(line.point.count, [flops], [params]))[0]),
        loss=float(best["loss"].ravel()[0] + extra),
        extra_loss=Estimate.of(float(extra), extras),
        wasted_percent=Estimate.of(100 * float(share), 100 * drawn_shares),
    )


def at_budgets(laws: Allocation | LossSurface, budgets: list[float]) -> dict[str, Floats]:
    """params, tokens and loss of a law or of its draws at `budgets` [FLOPs], (rows, budgets)."""
    if isinstance(laws, Allocation):
        return laws.at(budgets)
    c = np.asarray(budgets)
    return {
        "params": laws.params_opt(c),
        "tokens": laws.tokens_opt(c),
        "loss": laws.loss_opt(c),
    }


def accelerators() -> list[Accelerator]:
    """The accelerators of planner.toml, in its order."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return [Accelerator(**entry) for entry in tomllib.loads(text)["accelerator"]]


def flops_of(device_hours: float, peak_flops: float, utilisation: float) -> float:
    """Training FLOPs of `device_hours` of accelerators of `peak_flops` [FLOPS].

    `utilisation` is the model FLOPs utilisation, from 0 to 1 (Chowdhery et al. 2022, arXiv
    2204.02311, App. B). Raises FloplineError for anything not positive, and for more than 1.
    """
    _demand_positive("a number of GPU-hours", device_hours)
    _demand_positive("peak FLOPS", peak_flops)
    if not 0 < utilisation <= 1:
        raise FloplineError(f"utilisation lies above 0 and up to 1, not at {utilisation:g}.")
    return device_hours * SECONDS_PER_HOUR * peak_flops * utilisation


def device_hours_of(flops: float, peak_flops: float, utilisation: float) -> float:
    """Accelerator-hours that `flops` take: the inverse of flops_of, with the same errors."""
    return flops / flops_of(1.0, peak_flops, utilisation)


def device_time(hours: float) -> str:
    """Accelerator time in words: 17.5M GPU-hours, 12 GPU-minutes, 0.025 GPU-seconds."""
    seconds = SECONDS_PER_HOUR * hours
    if hours >= 1 or not math.isfinite(hours):
        return f"{humanise(hours)} GPU-hours"
    if seconds >= SECONDS_PER_MINUTE:
        return f"{humanise(seconds / SECONDS_PER_MINUTE)} GPU-minutes"
    if 0 < seconds < LEAST_SECONDS:
        return f"< {LEAST_SECONDS:g} GPU-seconds"
    return f"{humanise(seconds)} GPU-seconds"


def allocation(values: Mapping[str, Floats]) -> Allocation:
    """The laws of compute behind parameters as Allocation.parameters names them, each (rows,)."""
    rows = values["a"].shape
    nowhere = np.zeros(rows, dtype=bool)
    with np.errstate(divide="ignore"):
        ln_n, ln_d, ln_k = (np.log(values[name]) for name in ("N_coef", "D_coef", "L_K"))
    return Allocation(
        PowerLaw(ln_n, values["a"]),
        PowerLaw(ln_d, values["b"]),
        LossLaw(values["L_E"], ln_k, values["L_c"], nowhere, nowhere),
        Count.stated(values),
    )


def _reducible(surface: LossSurface, flops: float) -> Floats:
    """L_opt - E at `flops`, a number or one per draw."""
    lowest = surface.loss_opt(np.array([float(flops)]))
    return np.asarray(lowest[..., 0] - np.asarray(surface.E, dtype=float))


def _new_run(fit: FitJson, draws: pd.DataFrame) -> Floats | None:
    """The error of ln L of one more run in every draw, as it stands in the draws of a target."""
    budget = fit["targets"][0]["budget_flops"]
    ratio = draws[target_column("loss_new_run", budget)] / draws[target_column("loss", budget)]
    errors = np.log(ratio.to_numpy(dtype=float))
    return errors if np.isfinite(errors).any() else None


def _misfit(fit: FitJson, draws: int) -> LineMisfit | None:
    lack_of_fit = fit["certificate"].get("lack_of_fit")
    if not (lack_of_fit and lack_of_fit["spread"]) or draws < 2:
        return None
    errors = misfit_errors(draws, int(fit["settings"]["seed"]))
    return LineMisfit(
        lack_of_fit["misfit"], lack_of_fit["runs"], np.asarray(lack_of_fit["spread"]), errors
    )


def _demand_positive(what: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise FloplineError(f"{what} is positive and finite, not {number(value)}.")
