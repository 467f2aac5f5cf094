"""Names, types and units of every table: the only place where they are written.

Units: params in weights, tokens in tokens, flops in floating-point operations of training
(forward and backward), loss in the unit of the study (see loss_units; nats per token unless it says
another), wall_s in seconds, lr as the optimiser used it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

CURVES: Final[dict[str, str]] = {
    "run": "string",
    "split": "string",
    "step": "Int64",
    "tokens": "float64",
    "flops": "float64",
    "loss": "float64",
    "lr": "float64",
    "wall_s": "float64",
    "segment": "int32",
    "source": "string",
    "line": "int64",
}
"""One row per logged loss: sorted by run, split, step; `line` counts from 1 in the file `source`.

`segment` counts the restarts before a row.
"""

RUNS: Final[dict[str, str]] = {
    "run": "string",
    "family": "string",
    "params": "float64",
    "params_total": "float64",
    "params_nonembedding": "float64",
    "tokens": "float64",
    "flops": "float64",
    "flops_convention": "string",
    "flops_over_six_nd": "float64",
    "budget_flops": "float64",
    "horizon_tokens": "float64",
    "unique_tokens": "float64",
    "loss": "float64",
    "loss_source": "string",
    "seed": "string",
    "status": "string",
    "reason": "string",
    "rows_in": "int64",
    "rows_kept": "int64",
    "rows_dropped": "int64",
    "spikes": "int64",
    "source": "string",
    "sha256": "string",
}
"""One row per run; `params` and `flops` follow the conventions that the study declares.

`flops_over_six_nd` is the declared or, under six_nd, the exact count over 6 x params x tokens
(missing where only 6ND is known); `spikes` counts rows. `source` and `sha256` hold a line for
each file of the run.
"""

DROPPED: Final[dict[str, str]] = {
    "run": "string",
    "step": "Int64",
    "reason": "string",
    "source": "string",
    "line": "int64",
}
"""One row per row that was not kept: rows_in = rows_kept + rows_dropped for every run."""

KEPT: Final = "kept"
QUARANTINED: Final = "quarantined"
HELD_OUT: Final = "held_out"
"""A sound run that no fit sees, so that the laws can be judged by it."""

QUANTITIES: Final = (
    "params",
    "tokens",
    "tokens_per_param",
    "loss",
    "loss_new_run",
    "flops_ratio",
)
"""What every law states at a target budget. The interval of `loss` is that of the law, that of
`loss_new_run` is of the loss of one more run, with its own scatter; flops_ratio is 6ND/C."""

LEVELS: Final = (80, 95)
"""Interval levels in percent."""


LOSS_LABEL: Final = "Validation loss"
"""What a study calls its loss where it does not say."""


def split_label(split: str) -> str:
    """How figures call the loss of a split: Training loss, Validation loss, Loss (c4_en)."""
    for start, label in (("train", "Training"), ("val", "Validation"), ("test", "Test")):
        if split.startswith(start):
            return f"{label} loss"
    return f"Loss ({split})"


def target_column(quantity: str, budget_flops: float) -> str:
    """Name of the column of bootstrap draws that holds `quantity` at `budget_flops`."""
    return f"{quantity}@{budget_flops:.6g}"


def conform(table: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """`table` with exactly `columns`, in order and typed; missing columns hold missing values."""
    # The workflow reads names from here at every start, and pandas takes half a second to load.
    import pandas as pd

    def missing(dtype: str) -> object:
        return 0 if dtype.startswith("int") else None if dtype in ("string", "Int64") else math.nan

    out = {
        name: (
            table[name] if name in table else pd.Series(missing(dtype), index=table.index)
        ).astype(dtype)
        for name, dtype in columns.items()
    }
    return pd.DataFrame(out, index=table.index).reset_index(drop=True)
