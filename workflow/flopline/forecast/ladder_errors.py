"""What the steps of a held-out ladder predicted and what was seen, in one table for all quantities.

A table of predictions has one row per line, step and thing predicted: `line` (law/estimator),
`step` and `flops` (the largest FLOPs fitted, those of the target), `told_ln` and `seen_ln` (logs of
the number predicted and seen), `draws_ln` (standard deviation of the line's draws, 0 where it has
none), `noise_ln` (that of what is seen), `what` (a run's name, else empty).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from flopline.audit.ladder_fit import BASELINE
from flopline.laws.parametric.stated_form import PUBLISHED
from flopline.laws.spec import Says, spec_of
from flopline.solvers.surface_family import FORMS

COLUMNS: Final = ("line", "step", "flops", "told_ln", "seen_ln", "draws_ln", "noise_ln", "what")
LOSS: Final = "loss"
"""The lowest loss at a budget."""
PARAMS: Final = "params"
"""The size at a budget."""
RUN: Final = "run"
"""The loss of one run."""
QUANTITIES: Final = (LOSS, PARAMS, RUN)


def admitted(steps: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The lines that forecast, by law and estimator, of the ladder's table `steps`.

    They are the main line of each law, called by the law's name alone (of a surface that of the
    published form), its variants that may be
    recommended, every form of a surface, and the baselines: to go on as before has a record, too.
    """
    lines: dict[tuple[str, str], str] = {}
    for law, rows in steps.groupby("law", sort=False):
        names = list(dict.fromkeys(rows["estimator"].astype(str)))
        if law == BASELINE:
            others = names
        else:
            spec = spec_of(str(law))
            forms = FORMS if spec.says is Says.SURFACE else ()
            # Where another form is the law of the study the published one goes by its own name.
            first = PUBLISHED if PUBLISHED in names else names[0]
            lines[str(law), first] = str(law)
            offered = (*spec.recommendable, *forms)
            others = [name for name in names if name != first and name in offered]
        lines |= {(str(law), name): f"{law}/{name}" for name in others}
    return lines


def of_optima(optima: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Predictions of the loss or the size at larger budgets, of the ladder's table `optima`.

    The column `line` is law/estimator.
    """
    return _beyond(_optima(optima, quantity))


def _optima(optima: pd.DataFrame, quantity: str) -> pd.DataFrame:
    predicted, seen = (_number(optima, f"{quantity}_{what}") for what in ("predicted", "seen"))
    return pd.DataFrame(
        {
            "line": _lines(optima),
            "step": _number(optima, "largest_flops"),
            "flops": _number(optima, "budget_flops"),
            "told_ln": np.log(predicted),
            "seen_ln": np.log(seen),
            "draws_ln": _number(optima, f"{quantity}_sd_ln").fillna(0.0),
            "noise_ln": _number(optima, f"{quantity}_seen_se_ln").fillna(0.0),
            "what": "",
        }
    )


def of_ahead(ahead: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Predictions of the loss or the size at targets, of the ladder's table `ahead`: unseen yet.

    The column `line` is law/estimator.
    """
    nothing = {f"{quantity}_seen": np.nan, f"{quantity}_seen_se_ln": np.nan}
    predictions = _optima(ahead.assign(**nothing), quantity)
    return predictions[np.isfinite(predictions["told_ln"])].reset_index(drop=True)


def of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Predictions of single larger runs, of the ladder's table `runs`.

    A form that states no scatter of its runs is given that of its step: it is the same runs'.
    """
    step = _number(runs, "largest_flops")
    table = pd.DataFrame(
        {
            "line": _lines(runs),
            "step": step,
            "flops": _number(runs, "flops"),
            "told_ln": np.log(_number(runs, "predicted")),
            "seen_ln": np.log(_number(runs, "seen")),
            "draws_ln": _number(runs, "sd_ln").fillna(0.0),
            "noise_ln": _number(runs, "scatter_ln").groupby(step).transform("max").fillna(0.0),
        }
    )
    return _beyond(table.assign(what=runs["run"].astype(str)))


def of_ladder(tables: Mapping[str, pd.DataFrame], quantity: str) -> pd.DataFrame:
    """Predictions of one of QUANTITIES by the lines `admitted`, of the ladder's tables.

    With the table `ahead` those of its targets stand among them, of which nothing is seen yet.
    """
    lines = {f"{law}/{name}": line for (law, name), line in admitted(tables["steps"]).items()}
    if quantity == RUN:
        predictions = of_runs(tables["runs"])
    else:
        predictions = of_optima(tables["optima"], quantity)
        if "ahead" in tables:
            predictions = pd.concat(
                [predictions, of_ahead(tables["ahead"], quantity)], ignore_index=True
            )
    predictions = predictions.assign(line=predictions["line"].map(lines))
    return predictions[predictions["line"].notna()].reset_index(drop=True)


def _lines(table: pd.DataFrame) -> pd.Series:
    return table["law"].astype(str) + "/" + table["estimator"].astype(str)


def _number(table: pd.DataFrame, column: str) -> pd.Series:
    return table[column].astype(float)


def _beyond(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that lie beyond their step and hold a number."""
    known = np.isfinite(table["told_ln"]) & np.isfinite(table["seen_ln"])
    return table[known & (table["flops"] > table["step"])].reset_index(drop=True)
