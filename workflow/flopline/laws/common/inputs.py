"""What every fit asks of its input table before it trusts a number in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.errors import FloplineError

SAME_SIZE: Final = 0.02
"""Models whose params differ by less than this [ln] count as one size: digitised or padded
tables hold near-duplicates, and two of them span no curvature."""


def named(family: str) -> str:
    """How a message calls the family."""
    return f"family '{family}'" if family else "the table"


def checked(
    table: pd.DataFrame, positive: Sequence[str], others: Sequence[str], law: str, family: str
) -> pd.DataFrame:
    """`table` with `run` as text and the `positive` columns as float64, all of them above zero.

    Raises FloplineError if a column is missing, the table is empty, or a value in a `positive`
    column is missing, infinite, zero or negative.
    """
    missing = [c for c in ("run", *positive, *others) if c not in table]
    if missing:
        raise FloplineError(
            f"{law} needs the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, "
            f"which {named(family)} lacks: map them in the study file."
        )
    if table.empty:
        raise FloplineError(
            f"{law} got no runs for {named(family)}: check what the study selects, "
            f"or take {law} out of `laws` in the study file."
        )
    out = table.assign(
        run=table["run"].astype(str).astype(object),
        **{c: table[c].astype("float64") for c in positive},
    )
    for column in positive:
        values = out[column].to_numpy()
        wrong = ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            row = out.loc[wrong].sort_values("run").iloc[0]
            raise FloplineError(
                f"{law} needs {column} above zero, but run '{row['run']}' of {named(family)} has "
                f"{column} = {row[column]:g}: correct the log or quarantine the run."
            )
    return out


def in_order(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """`table` by rising `columns`, the first of which counts most; rows that are alike stay as they
    are.

    What `sort_values` does, in less time; columns are numbers, but for `run`, which is a text.
    """
    keys = [
        pd.factorize(table[c], sort=True)[0] if c == "run" else table[c].to_numpy() for c in columns
    ]
    return table.take(np.lexsort(keys[::-1]))


def size_classes(params: ArrayLike) -> NDArray[np.int64]:
    """Number of each model's size, 0 for the smallest; one class is no wider than SAME_SIZE.

    It ends there also where sizes go on without a gap, as in a sweep of a thousand.
    """
    ln_n = np.log(np.asarray(params, dtype=float))
    ascending, place = np.sort(ln_n).tolist(), 0
    first = []
    while place < ln_n.size:
        first.append(ascending[place])
        place = bisect_right(ascending, ascending[place] + SAME_SIZE, place)
    return np.asarray(np.searchsorted(first, ln_n, side="right") - 1, dtype=np.int64)
