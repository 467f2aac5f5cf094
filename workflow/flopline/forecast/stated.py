"""A forecast as the decision states it: columns beside a line's own, and plain JSON."""

from __future__ import annotations

from typing import Final

import pandas as pd

from flopline.documents import TargetForecastJson
from flopline.forecast.ladder_errors import LOSS, PARAMS
from flopline.forecast.line_forecasts import COMBINED
from flopline.forecast.target import TargetForecast
from flopline.laws.common.fit_result import ENDS, plain
from flopline.laws.parametric.stated_form import PUBLISHED

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
    """
    made = forecast.lines.set_index("line").add_prefix("forecast_")
    own = lines["law"] + "/" + lines["estimator"]
    # A law's main line goes by the law's name alone: of a surface its published form.
    first = lines["main"].astype(bool) | (lines["estimator"] == PUBLISHED)
    named = own.where(own.isin(made.index) | ~first, lines["law"])
    out = made.reindex(index=named, columns=list(COLUMNS))
    return out.set_index(lines.index)


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
