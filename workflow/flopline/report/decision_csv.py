"""Lines of the decision table as a CSV file, with the unit of every column."""

from __future__ import annotations

import pandas as pd

from flopline.loss_units import NATS, words
from flopline.report.formatting import LOSSES, QUANTITY_VIEWS
from flopline.report.html_tables import Csv, csv_file

LEAST_RATIO = 0.005
"""6ND/C nearer to 1 than this is written as 1.00."""

_UNITS = {
    "budget_flops": "FLOPs",
    "extrapolation": "times the largest budget in the data",
    "below_data": "smallest budget in the data over the target",
    "held_out_wasted_percent": "% of compute",
    "held_out_loss_error_percent": "%",
    "cost_percent": "% of compute",
    "cost_flops": "FLOPs",
    "cost_money": "money",
    **{q.name: q.unit for q in QUANTITY_VIEWS if q.name not in LOSSES and q.name != "flops_ratio"},
}
_ENDS = ("_lo80", "_hi80", "_lo95", "_hi95")


def _unit(column: str, loss_unit: str) -> str:
    """The unit of a column of the decision table; the ends of an interval have their quantity's."""
    if column.endswith(_ENDS):
        column = column[: -len(_ENDS[0])]
    column = column.removeprefix("forecast_")
    return words(loss_unit) if column in LOSSES else _UNITS.get(column, "")


def decision_csv(rows: pd.DataFrame) -> Csv:
    """Lines of the decision table as a CSV, with everything that decision.csv says of them."""
    unit = str(rows["loss_unit"].iloc[0]) if "loss_unit" in rows and len(rows) else NATS
    written = [str(name) for name in rows if name not in ("synthetic", "loss_unit")]
    return csv_file(rows, {name: _unit(name, unit) for name in written})


def spends_budget(decision: pd.DataFrame) -> bool:
    """Whether 6ND/C is 1 in every main line with its intervals, at the digits that are shown."""
    lines = decision[decision["main"].astype(bool) | decision["recommended"].astype(bool)]
    ends = [name for name in lines if str(name).startswith("flops_ratio")]
    ratios = lines[ends].to_numpy(dtype=float)
    return bool(ends) and not (abs(ratios - 1.0) >= LEAST_RATIO).any()
