"""Forecasts of single runs that are still to be made, by all surfaces of a family together.

A named run is one more step of the ladder's table of runs: each surface says its loss, moved by
what it missed at larger runs so far, and the surfaces are put together as `lines` does. A law of
compute alone says the loss of the best run of a budget, and so nothing of a run of any other shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import draws_of, surface_of
from flopline.audit.ladder_predictions import spread_of
from flopline.audit.other_surfaces import other_surfaces
from flopline.errors import FloplineError
from flopline.forecast.fitted_ladder import ladder_tables
from flopline.forecast.ladder_errors import LOSS, RUN, admitted, of_ladder
from flopline.forecast.line_forecasts import COMBINED, Priors, forecasts
from flopline.forecast.priors import stored
from flopline.forecast.student import StudentT
from flopline.laws.common.fit_result import Estimate
from flopline.laws.parametric.stated_form import estimator_of
from flopline.laws.spec import surface_law
from flopline.results import FamilyResults
from flopline.schema import LEVELS
from flopline.surfaces.count import flops_for
from flopline.surfaces.surface import Law

Floats = NDArray[np.float64]

SCORES: Final = (
    "error_percent",
    "z",
    *(f"inside{level}" for level in LEVELS),
    "crps_percent",
    "interval_score_percent",
)
"""What `RunForecast.scored` says of a loss that was seen."""
SCORED_LEVEL: Final = 95
"""The interval [percent] of the interval score."""


@dataclass(frozen=True, slots=True)
class RunForecast:
    """The loss of one new run: ln of it is Student's t with `centre`, `scale` and `df`.

    `line` is what forecasts, COMBINED or one line; the scale holds the noise of the run. `flops`
    are the run's by the study's count, `largest_flops` those of the largest run fitted.
    """

    line: str
    flops: float
    largest_flops: float
    centre: float
    scale: float
    df: float

    @property
    def reach(self) -> float:
        """How many times the compute of the largest run fitted this one has."""
        return self.flops / self.largest_flops

    def loss(self) -> Estimate:
        """The loss with its 80 and 95 % intervals."""
        t = StudentT.of(self.centre, self.scale, self.df)
        (lo80, hi80), (lo95, hi95) = (np.exp(t.interval(level)).tolist() for level in LEVELS)
        return Estimate(math.exp(self.centre), lo80, hi80, lo95, hi95)

    def scored(self, seen: float) -> dict[str, float]:
        """SCORES of the loss `seen`: `z` in scales, CRPS and 95 % interval score of the log."""
        t, ln_seen = StudentT.of(self.centre, self.scale, self.df), math.log(seen)
        ends = {level: t.interval(level) for level in LEVELS}
        inside = {f"inside{n}": float(low <= ln_seen <= high) for n, (low, high) in ends.items()}
        return {
            "error_percent": 100 * math.expm1(self.centre - ln_seen),
            "z": (ln_seen - self.centre) / self.scale,
            **inside,
            "crps_percent": 100 * float(t.crps(ln_seen)),
            "interval_score_percent": 100 * float(t.interval_score(ln_seen, SCORED_LEVEL)),
        }


def of_runs(
    wanted: pd.DataFrame, known: FamilyResults, priors: Mapping[str, Priors] | None = None
) -> list[RunForecast]:
    """The forecast of each of the `wanted` runs (columns run, params [weights], tokens).

    `known` is what the study found for their family, `priors` as in `target.at_targets`. Raises
    FloplineError where there is no held-out ladder or no surface to forecast by.
    """
    tables, surfaces = _evidence(known)
    largest = float(tables["ahead"]["largest_flops"].astype(float).max())
    parts = [
        _predicted(wanted, line, law, draws, largest, _scatter(tables))
        for line, law, draws in surfaces
    ]
    history = of_ladder(tables, RUN)
    unseen = pd.concat([part for part in parts if len(part)], ignore_index=True)
    made = forecasts(pd.concat([history, unseen], ignore_index=True), (priors or stored())[RUN])
    rows = made[(made["line"] == COMBINED) & made["seen_ln"].isna()].set_index("what")
    names = [_key(number) for number in range(len(wanted))]
    return [_forecast(COMBINED, rows.loc[name], largest) for name in names]


def at_target(
    known: FamilyResults,
    flops: float,
    lines: Sequence[str],
    priors: Mapping[str, Priors] | None = None,
) -> RunForecast | None:
    """The forecast of one run at a line's optimum at a target [FLOPs], as the decision states it.

    The line is the first of `lines` that is on the ladder; None where none is. Raises
    FloplineError as `of_runs` does.
    """
    tables, _ = _evidence(known)
    made = forecasts(of_ladder(tables, LOSS), (priors or stored())[LOSS])
    at = np.isclose(made["flops"].to_numpy(dtype=float), flops, rtol=1e-9)
    rows = made[at & made["seen_ln"].isna()].set_index("line")
    line = next((name for name in lines if name in rows.index), None)
    if line is None:
        return None
    row = rows.loc[line]
    largest = float(tables["ahead"]["largest_flops"].astype(float).max())
    return _forecast(line, row, largest, _scatter(tables))


def _forecast(line: str, row: pd.Series, largest: float, noise: float = 0.0) -> RunForecast:
    centre, scale, df, flops = (float(row[name]) for name in ("centre", "scale", "df", "flops"))
    return RunForecast(line, flops, largest, centre, math.hypot(scale, noise), df)


def _evidence(
    known: FamilyResults,
) -> tuple[Mapping[str, pd.DataFrame], list[tuple[str, Law, pd.DataFrame | None]]]:
    """The ladder's tables, and the surfaces fitted in it with their draws."""
    tables = ladder_tables(known)
    if tables is None or "runs" not in tables:
        raise FloplineError(
            "there is no held-out ladder, so that nothing says what a law misses when carried "
            "further: add runs at more budgets, each with several sizes."
        )
    law = surface_law(known.fits)
    if law is None:
        raise FloplineError(
            "no law says the loss of any run: keep parametric in `laws` in the study file."
        )
    admitted_lines = admitted(tables["steps"])
    surfaces = list(_surfaces(known, law, admitted_lines))
    if not surfaces:
        raise FloplineError(
            f"no surface of the {law} law could be fitted in the held-out ladder: add runs."
        )
    return tables, surfaces


def _surfaces(
    known: FamilyResults, law: str, admitted_lines: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, Law, pd.DataFrame | None]]:
    fit = known.of_law(law)
    main = admitted_lines.get((law, estimator_of(fit.content)))
    if main is not None:
        yield main, surface_of(fit.content), fit.draws
    for estimator, surface in other_surfaces(fit):
        line = admitted_lines.get((law, estimator))
        if line is not None and line != main:
            yield line, surface, None


def _predicted(
    wanted: pd.DataFrame,
    line: str,
    law: Law,
    draws: pd.DataFrame | None,
    largest: float,
    scatter: float,
) -> pd.DataFrame:
    """Rows of `ladder_errors` of which nothing is seen yet, as one line predicts them.

    Returns only rows whose prediction is finite.
    """
    params, tokens = (wanted[name].to_numpy(dtype=float) for name in ("params", "tokens"))
    out = pd.DataFrame(
        {
            "line": line,
            "step": largest,
            "flops": flops_for(getattr(law, "count", None), params, tokens),
            "told_ln": np.log(law.loss(params, tokens)),
            "seen_ln": np.nan,
            "draws_ln": 0.0,
            "noise_ln": scatter,
            "what": [_key(number) for number in range(len(wanted))],
        }
    )
    if draws is not None:
        with suppress(FloplineError):  # without draws their spread is not known
            out["draws_ln"] = spread_of(np.log(draws_of(draws).loss(params, tokens)))
    return out[np.isfinite(out["told_ln"])]


def _key(number: int) -> str:
    """The name of a wanted run, apart from those of the runs of the ladder."""
    return f"\0{number}"


def _scatter(tables: Mapping[str, pd.DataFrame]) -> float:
    """The scatter of the fitted runs about their surface [ln loss]."""
    return float(np.nan_to_num(tables["ahead"]["scatter_ln"].astype(float).max()))
