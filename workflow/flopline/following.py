"""The line that a study follows, at any budget: what the decision states at its targets.

Between targets and beyond them the same line speaks with the same widening, so that the answer has
no jump at a target. The planner of the page does the same (workflow/report/planner_laws.js).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.ladder_predictions import spread_of
from flopline.bearing import Span, predictions, refuted_beside
from flopline.decision import forecast_of, warnings_of
from flopline.documents import ChoiceJson, FitJson, ForecastJson, number_in
from flopline.errors import FloplineError
from flopline.forecast.discrepancy import NEAREST, distance
from flopline.forecast.fitted_ladder import ladder_tables
from flopline.forecast.ladder_errors import LOSS, PARAMS, of_ladder
from flopline.forecast.line_forecasts import OTHER, Priors, of_lines
from flopline.forecast.priors import stored
from flopline.forecast.stated import name_on_ladder, outermost
from flopline.forecast.student import StudentT
from flopline.laws.common.fit_result import ENDS, FAILED, Estimate
from flopline.laws.spec import ESTIMATORS
from flopline.planner import Line, at_budget, at_budgets, read_line
from flopline.results import FamilyResults
from flopline.schema import LEVELS, QUANTITIES

Floats = NDArray[np.float64]

CARRIED: Final = (PARAMS, LOSS)
"""Quantities that are forecast at any budget."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How a line's forecasts of the log of one quantity move and widen with distance.

    `step` is the compute [FLOPs] of the largest run, `mean` and `scale` those of the next drift per
    unit of ln C beyond it, `df` its degrees of freedom, `spread` the share of the draws' spread
    that counts beside it.
    """

    step: float
    mean: float
    scale: float
    df: float
    spread: float

    def carried(self, flops: float, stated: float, draws_ln: float) -> Estimate:
        """The forecast of what a line has `stated` at `flops`, its draws' logs apart `draws_ln`."""
        x = float(distance(flops, self.step))
        of_draws = draws_ln * (1.0 if x <= NEAREST else self.spread)
        centre, scale = math.log(stated) - self.mean * x, math.hypot(self.scale * x, of_draws)
        lo80, hi80, lo95, hi95 = (math.exp(centre + scale * q) for q in self.quantiles().values())
        return Estimate(math.exp(centre), lo80, hi80, lo95, hi95)

    def quantiles(self) -> dict[str, float]:
        """The ENDS of the standard forecast, of centre 0 and scale 1."""
        t = StudentT.of(0.0, 1.0, self.df)
        values = np.array([t.interval(level) for level in LEVELS]).ravel()
        return dict(zip(ENDS, values.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Beside:
    """A variant over the main line of its law, at the targets `budgets` [FLOPs].

    `factors` are by quantity and end, (budgets,), and `slopes` by quantity how ln of them goes on
    with ln C beyond the targets; `spreads` are those of the variant's draws [ln] in the ladder.
    """

    label: str
    budgets: Floats
    factors: Mapping[str, Mapping[str, Floats]]
    slopes: Mapping[str, float]
    spreads: Mapping[str, Floats]

    def factor(self, name: str, end: str, flops: float) -> float:
        """What the variant says over what the main line does: even in logs."""
        at, x = np.log(self.budgets), math.log(flops)
        inside = float(np.clip(x, at[0], at[-1]))
        ln_factor = np.interp(inside, at, np.log(self.factors[name][end]))
        return math.exp(float(ln_factor) + self.slopes.get(name, 0.0) * (x - inside))

    def spread(self, name: str, flops: float) -> float:
        """The spread of the variant's draws in the ladder, 0 where it has none."""
        if name not in self.spreads:
            return 0.0
        return float(np.interp(math.log(flops), np.log(self.budgets), self.spreads[name]))


@dataclass(frozen=True, slots=True)
class FollowedLine:
    """The line of a choice: the main `line` of its law, `drifts` of PARAMS and LOSS if known.

    `beside` is None, or where the choice is a variant, which keeps no draws, what it says beside
    the main line.
    """

    law: str
    estimator: str
    line: Line
    drifts: Mapping[str, Drift]
    beside: Beside | None

    def at(self, flops: float) -> dict[str, Any]:
        """The columns of the decision's row at `flops`: QUANTITIES and forecasts, with ENDS."""
        own = at_budget(self.line, flops).values
        row = {
            _column(name, end): getattr(own[name], end)
            * (1.0 if self.beside is None else self.beside.factor(name, end, flops))
            for name in QUANTITIES
            for end in ("point", *ENDS)
        }
        draws = at_budgets(self.line.draws, [flops])
        for name in CARRIED:
            made = Estimate(math.nan)
            if name in self.drifts:
                if self.beside is None:
                    spread = float(spread_of(np.log(draws[name]))[0])
                else:
                    spread = self.beside.spread(name, flops)
                made = self.drifts[name].carried(flops, row[name], spread)
            row[f"forecast_{name}"] = made.point
            row |= {f"forecast_{name}_{end}": getattr(made, end) for end in ENDS}
        for end in ENDS:
            column = f"forecast_{PARAMS}_{end}"
            row[column] = float(outermost(end, row[column], row[f"{PARAMS}_{end}"], row[PARAMS]))
        return row

    def forecast(self, flops: float) -> ForecastJson | None:
        """What is forecast at `flops`, None without a held-out ladder."""
        return forecast_of(self.at(flops))


def followed(
    known: FamilyResults,
    law: str,
    estimator: str,
    priors: Mapping[str, Priors] | None = None,
) -> FollowedLine:
    """The line of an estimator of a law that was fitted; `known` is what its family has.

    Raises FloplineError without the law's table of estimators, which says whether this one is its
    main line: taken for it, another would speak with the main line's numbers.
    """
    line = read_line(known.fits[law], known.draws[law])
    rows = known.table(law, ESTIMATORS)
    if rows is None:
        raise FloplineError(
            f"the table `{ESTIMATORS}` of the {law} law is not among the results that were handed "
            f"over, so its line `{estimator}` is not known: hand over {law}.{ESTIMATORS}.parquet."
        )
    mine = rows[rows["estimator"] == estimator]
    main = mine.empty or bool(mine["main"].iloc[0])
    ahead = _ahead(known, law, estimator, main=main, priors=priors or stored())
    drifts = {quantity: drift for quantity, (drift, _) in ahead.items()}
    beside = None
    if not main:
        beside = _beside(mine.sort_values("budget_flops"), line, known.fits[law], ahead)
    return FollowedLine(law, estimator, line, drifts, beside)


def choice_at(
    choices: Sequence[ChoiceJson], family: str, flops: float, fits: Mapping[str, Any]
) -> ChoiceJson | None:
    """The choice of a family at the nearest target that has a line, None where none has."""
    known = [
        choice
        for choice in choices
        if choice["family"] == family
        and choice["law"] in fits
        and fits[str(choice["law"])]["status"] != FAILED
    ]
    return min(
        known, key=lambda choice: abs(math.log(flops / choice["budget_flops"])), default=None
    )


def warnings_at(
    known: FamilyResults, lines: pd.DataFrame, choice: ChoiceJson, flops: float, span: Span
) -> str:
    """What must be read beside the line of a choice at a budget, as the headline has it.

    `lines` are the rows of the family in the decision's table. Empty where there is nothing.
    """
    law = str(choice["law"])
    line = followed(known, law, str(choice["estimator"]))
    row = line.at(flops)
    row |= {
        "law": law,
        "estimator": line.estimator,
        "main": line.beside is None,
        "extrapolation": flops / span.largest_flops,
        "below_data": span.smallest_flops / flops,
    }
    clauses = list(warnings_of(row, known, span))
    held = predictions(known.findings)
    if held is not None:
        target = lines[np.isclose(lines["budget_flops"], choice["budget_flops"], rtol=1e-9)]
        usable = target[target["main"].astype(bool) & (target["status"] != FAILED)]
        moved = [_moved(known, line, flops) for line in usable.to_dict("records")]
        if moved:
            clauses += refuted_beside(pd.Series(row), pd.DataFrame(moved), held)
    return "; ".join(clauses)


def _moved(known: FamilyResults, line: Mapping[Any, Any], flops: float) -> dict[Any, Any]:
    """A main line of the decision's table at another budget, its new runs as wide in ln L."""
    row = followed(known, str(line["law"]), str(line["estimator"])).at(flops)
    new_run = {
        column: line[column] * row["loss"] / line["loss"]
        for column in (f"forecast_loss_new_run_{end}" for end in ENDS)
        if column in line
    }
    return {**line, **row, **new_run, "budget_flops": flops}


def _beside(
    mine: pd.DataFrame, line: Line, fit: FitJson, ahead: Mapping[str, tuple[Drift, pd.Series]]
) -> Beside:
    budgets = mine["budget_flops"].to_numpy(dtype=float)
    of_main = [at_budget(line, float(flops)).values for flops in budgets]
    factors = {
        name: {
            end: mine[_column(name, end)].to_numpy(dtype=float)
            / np.array([getattr(values[name], end) for values in of_main])
            for end in ("point", *ENDS)
        }
        for name in QUANTITIES
    }
    a, b = (float(mine[e].iloc[0]) - number_in(fit["parameters"][e]) for e in ("a", "b"))
    slopes = {"params": a, "tokens": b, "tokens_per_param": b - a}
    spreads = {q: np.interp(budgets, of.index, of.to_numpy()) for q, (_, of) in ahead.items()}
    return Beside(str(mine["label"].iloc[0]), budgets, factors, slopes, spreads)


def _column(name: str, end: str) -> str:
    return name if end == "point" else f"{name}_{end}"


def _ahead(
    known: FamilyResults, law: str, estimator: str, *, main: bool, priors: Mapping[str, Priors]
) -> dict[str, tuple[Drift, pd.Series]]:
    """The drift of a line by quantity, and the spread of its draws by target; empty if unknown."""
    tables = ladder_tables(known)
    if tables is None:
        return {}
    made = {q: of_lines(of_ladder(tables, q), priors[q]) for q in CARRIED}
    unseen = {q: rows[rows["seen_ln"].isna()] for q, rows in made.items()}
    names = set().union(*(rows["line"] for rows in unseen.values()))
    name = name_on_ladder(law, estimator, main=main, known=names)
    out = {}
    for quantity, rows in unseen.items():
        mine = rows[rows["line"] == name].sort_values("flops")
        if mine.empty:
            continue
        step, mean, scale, df = mine[["step", "mean", "drift", "df"]].iloc[0].astype(float)
        prior = priors[quantity].get(name, priors[quantity][OTHER])
        drift = Drift(step, mean, scale, df, prior.spread)
        out[quantity] = drift, mine.set_index("flops")["draws_ln"]
    return out
