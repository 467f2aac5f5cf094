"""A forecast as the decision states it: columns beside a line's own, and plain JSON."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.documents import End, EstimateJson, TargetForecastJson, number_in
from flopline.forecast.ladder_errors import LOSS, PARAMS
from flopline.forecast.line_forecasts import COMBINED
from flopline.forecast.target import TargetForecast
from flopline.laws.common.fit_result import ENDS, estimate_json, plain
from flopline.laws.parametric.stated_form import PUBLISHED

Floats = NDArray[np.float64]

STATED: Final = (PARAMS, LOSS, "loss_new_run")
"""Quantities whose forecast stands beside the interval that holds if the law holds."""
COLUMNS: Final = (
    *(f"forecast_{name}{end}" for name in STATED for end in ("", *(f"_{e}" for e in ENDS))),
    *(f"forecast_{name}_weight" for name in (PARAMS, LOSS)),
)
"""What `columns` adds to the decision table."""


def columns(lines: pd.DataFrame, forecast: TargetForecast) -> pd.DataFrame:
    """COLUMNS for each row of `lines`, which has law, estimator and main; NaN where none is made.

    A forecast's centre is what the line says, moved by what it has missed at the study's own steps.
    That of the size is not taken over by the decision, which keeps the line's own: so its interval
    is widened to hold that size, and the interval that holds if the law holds.
    """
    made = forecast.lines.set_index("line").add_prefix("forecast_")
    named = [
        name_on_ladder(law, estimator, main=main, known=made.index)
        for law, estimator, main in zip(
            lines["law"], lines["estimator"], lines["main"].astype(bool), strict=True
        )
    ]
    out = made.reindex(index=named, columns=list(COLUMNS)).set_index(lines.index)
    for end in ENDS:
        column = f"forecast_{PARAMS}_{end}"
        out[column] = outermost(end, out[column], lines[f"{PARAMS}_{end}"], lines[PARAMS])
    return out


def name_on_ladder(law: str, estimator: str, *, main: bool, known: Container[str]) -> str:
    """What a line is called among the `known` lines of a ladder; it may be none of them."""
    own = f"{law}/{estimator}"
    # A law's main line goes by the law's name alone: of a surface its published form.
    return law if (main or estimator == PUBLISHED) and own not in known else own


def holding(forecast: EstimateJson, own: EstimateJson) -> EstimateJson:
    """A line's `own` point, in intervals that hold its forecast's, its own and that point."""
    point = number_in(own)
    lo80, hi80, lo95, hi95 = (
        float(outermost(end, number_in(forecast, end), number_in(own, end), point))
        for end in cast("tuple[End, ...]", ENDS)
    )
    return estimate_json(point, lo80, hi80, lo95, hi95)


def outermost(end: str, forecast: ArrayLike, own: ArrayLike, point: ArrayLike) -> Floats:
    """The end that holds all three, NaN without a forecast; `end` is lo80 and so on."""
    outer = np.fmin if end.startswith("lo") else np.fmax
    known = np.asarray(forecast, dtype=float)
    return np.where(np.isnan(known), known, outer(outer(known, own), point))


def to_json(forecast: TargetForecast) -> TargetForecastJson:
    """All lines together at one budget, ready for json.dumps, keys in a fixed order.

    `size` is the best size and what it is expected to waste, None where no line says one.
    """
    size = None
    if forecast.size is not None:
        tokens = forecast.tokens()
        size = {
            "params": forecast.size.params,
            "tokens": tokens,
            "tokens_per_param": tokens / forecast.size.params,
            "wasted_percent": forecast.size.wasted_percent,
            "ranges": [
                {"wasted_percent": most, "params_lo": low, "params_hi": high}
                for most, (low, high) in forecast.size.ranges.items()
            ],
        }
    single = forecast.lines[forecast.lines["line"] != COMBINED].sort_values("line")
    weights = ["line", f"{LOSS}_weight", f"{PARAMS}_weight"]
    stated: TargetForecastJson = plain(
        {
            "budget_flops": forecast.budget_flops,
            "size": size,
            PARAMS: forecast.params.to_json() if forecast.params else None,
            LOSS: forecast.loss.to_json(),
            "loss_new_run": forecast.loss_new_run.to_json(),
            "lines": single[weights].to_dict("records"),
        }
    )
    return stated
