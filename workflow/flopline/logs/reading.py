"""What every log reader returns, and the steps that all readers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flopline.errors import FloplineError

NOT_A_NUMBER = "not_a_number"
NOT_PARSED = "not_parsed"
NO_LOSS = "no_loss"

MEASURES = ("step", "tokens", "flops", "lr", "wall_s")
"""Columns of a curve row that may be mapped, besides the loss and its split."""


@dataclass(frozen=True)
class Reading:
    """Rows of one file: `rows_in` = len(rows) + len(dropped).

    `rows` has split, loss, the mapped MEASURES and `line` (from 1); `dropped` has line, step and
    reason.
    """

    rows: pd.DataFrame
    dropped: pd.DataFrame

    @property
    def rows_in(self) -> int:
        """How many rows the file held."""
        return len(self.rows) + len(self.dropped)


def curve_rows(
    raw: pd.DataFrame, columns: dict[str, Any], path: Path, unparsed: list[tuple[int, str]]
) -> Reading:
    """Raw named columns (with `line`) turned into curve rows, one per logged loss.

    `columns` maps our names to the file's; `loss` may map each split to a column of its own.
    `unparsed` lists (line, reason) of what could not be parsed at all.
    """
    if raw.empty and not len(raw.columns):
        return Reading(_rows([]), _dropped([(line, None, reason) for line, reason in unparsed]))
    _require(raw, columns, path)
    dropped: list[tuple[int, Any, str]] = [(line, None, reason) for line, reason in unparsed]
    measures = {name: columns[name] for name in MEASURES if name in columns}
    base = pd.DataFrame({name: _number(raw[column]) for name, column in measures.items()})
    base["line"] = raw["line"].to_numpy()
    bad = np.zeros(len(raw), dtype=bool)
    for name, column in measures.items():
        # A measure that is merely absent in a row is no fault; one that is no number is.
        bad |= (base[name].isna() & raw[column].notna() & ~_says_nan(raw[column])).to_numpy()
    parts = []
    per_split = isinstance(columns["loss"], dict)
    losses = columns["loss"] if per_split else {"": columns["loss"]}
    seen = np.zeros(len(raw), dtype=bool)
    for split, column in losses.items():
        has = raw[column].notna().to_numpy()
        seen |= has
        part = base.loc[has].copy()
        part["loss"] = _number(raw.loc[has, column])
        not_number = part["loss"].isna() & ~_says_nan(raw.loc[has, column])
        part["bad"] = bad[has] | not_number.to_numpy()
        if per_split:
            part["split"] = split
        elif "split" in columns:
            part["split"] = raw.loc[has, columns["split"]].astype("string")
        else:
            part["split"] = pd.NA
        parts.append(part)
    rows = pd.concat(parts).sort_values("line", kind="stable")
    steps = base["step"] if "step" in base else pd.Series(np.nan, index=base.index)
    dropped += [
        (int(line), step, NO_LOSS)
        for line, step in zip(raw["line"][~seen], steps[~seen], strict=True)
    ]
    wrong = rows["bad"].to_numpy()
    dropped += [(int(line), None, NOT_A_NUMBER) for line in rows.loc[wrong, "line"]]
    return Reading(rows.loc[~wrong].drop(columns="bad").reset_index(drop=True), _dropped(dropped))


def _require(raw: pd.DataFrame, columns: dict[str, Any], path: Path) -> None:
    for name, column in columns.items():
        for wanted in column.values() if isinstance(column, dict) else [column]:
            if wanted not in raw:
                has = ", ".join(str(c) for c in raw.columns if c != "line")
                raise FloplineError(
                    f"{path} has no column '{wanted}' (source.columns.{name} in the study file); "
                    f"it has: {has or 'none'}."
                )


def _number(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _says_nan(values: pd.Series) -> pd.Series:
    """Where a value is written out as NaN, which is a number gone wrong and not text."""
    return values.astype("string").str.strip().str.lower().isin(["nan", "+nan", "-nan"])


def _rows(rows: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["split", "loss", *MEASURES, "line"])


def _dropped(rows: list[tuple[int, Any, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["line", "step", "reason"])
    return table.sort_values("line", kind="stable").reset_index(drop=True)
