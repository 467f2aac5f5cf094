"""Which runs are forecast: those named, or the recommended run of each target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from flopline.errors import FloplineError
from flopline.laws.parametric.stated_form import PUBLISHED
from flopline.numbers import flops_label
from flopline.study_document import FutureRunDocument

LONGEST_NAME: Final = 100
"""Letters of a run's name; the schema of a study file says the same."""
SHOWN: Final = 20
"""Letters of a name that is none which its sentence shows."""


@dataclass(frozen=True, slots=True)
class FutureRun:
    """A run that is still to be made, of `params` weights on `tokens` tokens.

    Where it is the recommended run of a target, `target_flops` is that budget and `lines` what
    forecasts may call the line of the decision that recommends it.
    """

    name: str
    family: str
    params: float
    tokens: float
    target_flops: float = math.nan
    lines: tuple[str, ...] = ()


def named_runs(entries: Sequence[FutureRunDocument], families: Sequence[str]) -> list[FutureRun]:
    """The runs of the study's `future_runs`; the only family where an entry names none.

    Raises FloplineError for a name that a log cannot have, two of one name, a family that is not
    there, or none where there are several.
    """
    runs: list[FutureRun] = []
    for entry in entries:
        name, family = str(entry["name"]), str(entry.get("family", ""))
        _demand_a_name(name)
        if any(run.name == name for run in runs):
            raise FloplineError(
                f"two runs are to be forecast under the name '{name}': give each its own."
            )
        if not family and len(families) > 1:
            raise FloplineError(
                f"the run '{name}' to be forecast says no family: add one of {', '.join(families)}."
            )
        family = family or families[0]
        if family not in families:
            raise FloplineError(
                f"the run '{name}' to be forecast is of the family '{family}', which the study "
                f"does not have: its families are {', '.join(families)}."
            )
        runs.append(FutureRun(name, family, float(entry["params"]), float(entry["tokens"])))
    return runs


def _demand_a_name(name: str) -> None:
    """Raise FloplineError for a name that is blank, long, or not of printable characters."""
    wrong = (
        "is blank" if not name.strip()
        else "holds characters that cannot be printed" if not name.isprintable()
        else f"has {len(name)} letters" if len(name) > LONGEST_NAME
        else ""
    )  # fmt: skip
    if wrong:
        raise FloplineError(
            f"the name of a run to be forecast {wrong} ('{name[:SHOWN]}'): give the name that its "
            f"log will have, in up to {LONGEST_NAME} letters, digits and signs."
        )


def recommended_runs(lines: pd.DataFrame, families: Sequence[str]) -> list[FutureRun]:
    """The recommended run of each family and target of the decision's table `lines`."""
    runs = []
    for _, row in lines[lines["recommended"].astype(bool)].iterrows():
        flops = float(row["budget_flops"])
        name = f"{row['family']}-{flops_label(flops)}" if len(families) > 1 else flops_label(flops)
        # A law's main line goes by the law's name alone: of a surface its published form.
        first = bool(row["main"]) or row["estimator"] == PUBLISHED
        called = (f"{row['law']}/{row['estimator']}", *([str(row["law"])] if first else []))
        size = float(row["params"]), float(row["tokens"])
        runs.append(FutureRun(name, str(row["family"]), *size, flops, called))
    return runs
