"""What every log reader returns, and the steps that all readers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError

NOT_A_NUMBER = "not_a_number"
NOT_PARSED = "not_parsed"
NO_LOSS = "no_loss"
NO_RUN = "no_run_name"

MEASURES = ("step", "tokens", "flops", "lr", "wall_s")
"""Columns of a curve row that may be mapped, besides the loss, its split and its run."""

BATCH: Final = 20_000
"""Rows that a reader holds at a time."""

_DROPPED: Final = ("line", "step", "reason")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a log says of its runs, each by name; "" is the run that the whole file is.

    `known` has our names and units, `said` the log's own names.
    """

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)

    def know(self, run: str = "", **facts: Any) -> None:
        """Note facts under our names; None says nothing."""
        told = {name: value for name, value in facts.items() if value is not None}
        self.known.setdefault(run, {}).update(told)

    def say(self, run: str, name: str, value: Any) -> None:
        """Note what the log says under its own name."""
        self.said.setdefault(run, {})[name] = value


@dataclass(frozen=True)
class Reading:
    """Rows of one file: `rows_in` = len(rows) + len(dropped).

    `rows` has split, loss, the mapped MEASURES and `line` (from 1); `dropped` has line, step and
    reason. Where a file holds several runs, both have `run`.
    """

    rows: pd.DataFrame
    dropped: pd.DataFrame
    facts: Facts = field(default_factory=Facts)

    @property
    def rows_in(self) -> int:
        """How many rows the file held."""
        return len(self.rows) + len(self.dropped)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a log: the columns of the study file (none: the format's own), the names
    of facts that the log may say, patterns for the format `pattern`, and which of our columns the
    log may lack. With `rows`, so many will do, as where only the names of columns are asked for."""

    columns: Mapping[str, Any] | None = None
    facts: tuple[str, ...] = ()
    patterns: tuple[Mapping[str, str], ...] = ()
    optional: tuple[str, ...] = ()
    rows: int | None = None

    @property
    def names(self) -> list[str]:
        """The columns that are read, each once, in the order of the study file."""
        return list(dict.fromkeys([*column_names(self.columns or {}), *self.facts]))


@dataclass(frozen=True, slots=True)
class Raw:
    """A batch of what a format found: named columns with `line`, and (line, reason) of the rest.

    `names` are all columns that the file has, where `table` holds the wanted ones alone.
    """

    table: pd.DataFrame
    unparsed: Sequence[tuple[int, str]] = ()
    names: Sequence[str] = ()
    columns: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A row of a text log that cannot be read."""

    line: int
    reason: str = NOT_PARSED


def batched(found: Iterable[dict[str, Any] | Unparsed], names: Sequence[str]) -> Iterator[Raw]:
    """Rows of a text log in batches; `names` are the columns besides `line`."""
    stream = iter(found)
    while batch := list(islice(stream, BATCH)):
        rows = [row for row in batch if isinstance(row, dict)]
        yield Raw(
            pd.DataFrame(rows, columns=[*names, "line"], dtype=object),
            [(row.line, row.reason) for row in batch if isinstance(row, Unparsed)],
        )


def curve_rows(
    raw: pd.DataFrame,
    columns: Mapping[str, Any],
    path: Path,
    unparsed: Sequence[tuple[int, str]],
    names: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> Reading:
    """Raw named columns (with `line`) turned into curve rows, one per logged loss.

    `columns` maps our names to the file's; `loss` may map each split to a column of its own.
    `unparsed` lists (line, reason) of what could not be parsed at all, `names` what columns there
    are besides those of `raw`, `optional` which of ours the file may lack.
    """
    several = "run" in columns
    unread = pd.DataFrame([(n, None, r) for n, r in unparsed], columns=_DROPPED)
    if raw.empty and not len(raw.columns):
        return Reading(_rows([]), _sorted(unread))
    lacking = {name for name in optional if name in columns and columns[name] not in raw}
    columns = {name: column for name, column in columns.items() if name not in lacking}
    _require(raw, columns, path, names)
    measures = {name: columns[name] for name in MEASURES if name in columns}
    base = pd.DataFrame({name: _number(raw[column]) for name, column in measures.items()})
    base["line"] = raw["line"].astype("int64").to_numpy()
    if several:
        base["run"] = raw[columns["run"]].astype("string").str.strip().to_numpy()
        base.loc[base["run"] == "", "run"] = pd.NA
    bad = np.zeros(len(raw), dtype=bool)
    for name, column in measures.items():
        # A measure that is merely absent in a row is no fault; one that is no number is.
        bad |= _no_number(base[name], raw[column])
    parts = []
    per_split = isinstance(columns["loss"], dict)
    losses = columns["loss"] if per_split else {"": columns["loss"]}
    seen = np.zeros(len(raw), dtype=bool)
    for split, column in losses.items():
        has = raw[column].notna().to_numpy()
        seen |= has
        part = base.loc[has].copy()
        part["loss"] = _number(raw.loc[has, column])
        not_number = _no_number(part["loss"], raw.loc[has, column])
        part["reason"] = np.where(bad[has] | not_number, NOT_A_NUMBER, "")
        if several:
            part.loc[part["run"].isna(), "reason"] = NO_RUN
        if per_split:
            part["split"] = split
        elif "split" in columns:
            part["split"] = raw.loc[has, columns["split"]].astype("string")
        else:
            part["split"] = pd.NA
        parts.append(part)
    rows = pd.concat(parts).sort_values("line", kind="stable")
    wrong = rows["reason"] != ""
    kept = [*_DROPPED, *(["run"] if several else [])]
    no_loss = base[~seen].assign(reason=NO_LOSS).reindex(columns=kept)
    faulty = rows.loc[wrong].assign(step=None).reindex(columns=kept)
    filled = [part for part in (unread, no_loss, faulty) if len(part)]
    dropped = pd.concat(filled) if filled else unread.reindex(columns=kept)
    rows = rows.loc[~wrong].drop(columns="reason").reset_index(drop=True)
    return Reading(rows, _sorted(dropped))


def column_names(columns: Mapping[str, Any]) -> list[str]:
    """Every column of the file that a map names (see `plain_columns`), once."""
    plain, _ = plain_columns(columns)
    values = [v for c in plain.values() for v in (c.values() if isinstance(c, dict) else [c])]
    return list(dict.fromkeys(values))


def plain_columns(columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """A column map as names alone, and what to multiply each by where `times` says so.

    A column is a name or {column, times}; `loss` may also map each split to one of these. The
    factors are called by our name, those of losses `loss`, or `loss.SPLIT`.
    """
    plain: dict[str, Any] = {}
    factors: dict[str, float] = {}
    for name, spec in columns.items():
        if isinstance(spec, dict) and "times" not in spec:
            plain[name], of_splits = plain_columns(spec)
            factors |= {f"{name}.{split}": times for split, times in of_splits.items()}
        elif isinstance(spec, dict):
            plain[name] = spec["column"]
            factors[name] = float(spec["times"])
        else:
            plain[name] = spec
    return plain, factors


def scaled(rows: pd.DataFrame, factors: Mapping[str, float]) -> pd.DataFrame:
    """Rows under our names, multiplied by the factors of `plain_columns`."""
    for name, times in factors.items():
        column, _, split = name.partition(".")
        where = rows["split"] == split if split else slice(None)
        rows.loc[where, column] = rows.loc[where, column] * times
    return rows


def joined(readings: Sequence[Reading], facts: Facts) -> Reading:
    """The batches of one file as one Reading."""
    if not readings:
        return Reading(_rows([]), _sorted(pd.DataFrame(columns=_DROPPED)), facts)
    rows = [r.rows for r in readings if len(r.rows)] or [readings[0].rows]
    dropped = [r.dropped for r in readings if len(r.dropped)] or [readings[0].dropped]
    return Reading(pd.concat(rows, ignore_index=True), pd.concat(dropped, ignore_index=True), facts)


def reach(record: Any, dotted: str) -> Any:
    """What stands under a name in nested objects, by dots; None where nothing does."""
    if isinstance(record, dict) and dotted in record:
        return record[dotted]
    for part in dotted.split("."):
        if not isinstance(record, dict) or part not in record:
            return None
        record = record[part]
    return record


def _require(
    raw: pd.DataFrame, columns: Mapping[str, Any], path: Path, names: Sequence[str]
) -> None:
    for name, column in columns.items():
        for wanted in column.values() if isinstance(column, dict) else [column]:
            if wanted not in raw:
                there = names or [str(c) for c in raw.columns if c != "line"]
                shown = [*there[:30], f"and {len(there) - 30} more"] if len(there) > 30 else there
                raise FloplineError(
                    f"{path} has no column '{wanted}' (source.columns.{name} in the study file); "
                    f"it has: {', '.join(shown) or 'none'}."
                )


def _number(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _no_number(numbers: pd.Series, values: pd.Series) -> NDArray[np.bool_]:
    """Where `values`, read as `numbers`, are text; NaN written out is a number gone wrong."""
    wrong: NDArray[np.bool_] = numbers.isna().to_numpy(bool) & values.notna().to_numpy(bool)
    if not wrong.any():
        return wrong
    # As text only what is in doubt: that is slow, and mostly nothing.
    said = values[wrong].astype("string").str.strip().str.lower()
    wrong[wrong] = ~said.isin(["nan", "+nan", "-nan"]).to_numpy(dtype=bool)
    return wrong


def _rows(rows: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["split", "loss", *MEASURES, "line"])


def _sorted(dropped: pd.DataFrame) -> pd.DataFrame:
    return dropped.sort_values("line", kind="stable").reset_index(drop=True)
