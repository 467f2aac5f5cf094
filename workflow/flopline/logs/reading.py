"""What every log reader returns, and the steps that all readers share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.logs.opening import Phase
from flopline.study_document import ColumnMap
from flopline.written_numbers import (
    as_float,
    has_comma_of_thousands,
    has_doubtful_comma,
    has_doubtful_point,
    is_rounded,
    parse_number,
    parse_plain,
    parse_seconds,
)

NOT_A_NUMBER = "not_a_number"
DOUBTFUL_COMMA = "doubtful_comma"
DOUBTFUL_POINT = "doubtful_point"
COMMA_IN_LOSS = "comma_in_loss"
COMMA_OF_THOUSANDS = "comma_of_thousands"
NOT_PARSED = "not_parsed"
SECOND = "second_in_line"
TWICE = "twice_in_line"
NO_LOSS = "no_loss"
NO_RUN = "no_run_name"
AFTER_BRANCH = "after_branch"

MEASURES = ("step", "tokens", "flops", "lr", "wall_s")
"""Columns of a curve row that may be mapped, besides the loss, its split and its run."""

PLACE: Final = "place"
"""The column that counts rows from 1, which a study may name where a log has none of the name."""

BATCH: Final = 20_000
"""Rows that a reader holds at a time."""

BESIDE: Final = ("tokens", "flops")
"""Measures of a step that need not stand in each of its rows."""

_DROPPED: Final = ("line", "step", "reason")


PlainColumn = str | list[str] | dict[str, str]
"""What one of our columns is read from: a column of the log, several that make it together, or of
the loss one for each split."""
PlainMap = Mapping[str, PlainColumn]
"""Columns of a log by our names, as `plain_columns` makes them of a study's."""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log says of its runs, each by name; "" is the run that the whole file is.

    `known` has our names and units, `logged` the log's own names. `units` are those of its losses
    by split, "" being any other (loss_units.LOGGED).
    """

    known: dict[str, dict[str, str | float]] = field(default_factory=dict)
    logged: dict[str, dict[str, object]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def know(self, run: str = "", **facts: Any) -> None:
        """Note facts under our names; None, NaN and infinity say nothing."""
        known = {name: value for name, value in facts.items() if is_said(value)}
        self.known.setdefault(run, {}).update(known)

    def say(self, run: str, name: str, value: Any) -> None:
        """Note what the log says under its own name."""
        self.logged.setdefault(run, {})[name] = value

    def say_once(self, run: str, name: str, value: Any, path: Path) -> None:
        """The same of a fact that must not change within a run.

        Raises FloplineError with both values where it does.
        """
        known = self.logged.setdefault(run, {}).setdefault(name, value)
        if known != value:
            raise FloplineError(
                f"{path}: the fact '{name}' (source.runs.from_log) is {known} in one row and "
                f"{value} in another{f' of run {run}' if run else ''}: name a column that stays "
                "the same."
            )


@dataclass(frozen=True)
class Reading:
    """Rows of one file: `rows_in` = len(rows) + len(dropped).

    `rows` has split, loss, the mapped MEASURES and `line` (from 1); `dropped` has line, step and
    reason. Where a file holds several runs, both have `run`. `rounded` is the line of the first row
    with a count that was rounded to be written, as 93.2K; `misread` the first line with a cell that
    is no number, and that cell. `beside` are rows without a loss that tell BESIDE of their step.
    """

    rows: pd.DataFrame
    dropped: pd.DataFrame
    facts: LogFacts = field(default_factory=LogFacts)
    rounded: int | None = None
    misread: tuple[int, str] | None = None
    beside: pd.DataFrame | None = None

    @property
    def rows_in(self) -> int:
        """How many rows the file held."""
        return len(self.rows) + len(self.dropped)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a log: the columns of the study file (none: the format's own), the names
    of facts that the log may say, patterns for the format `pattern`, which of our columns the log
    may lack, what parts the whole of its numbers from the fraction, and which phase of it counts.
    With `rows`, so many will do, as where only the names of columns are asked for."""

    columns: PlainMap | None = None
    facts: tuple[str, ...] = ()
    patterns: tuple[Mapping[str, str], ...] = ()
    optional: tuple[str, ...] = ()
    decimal: str = "."
    phase: Phase | None = None
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
    columns: PlainMap | None = None


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A row of a text log that cannot be read."""

    line: int
    reason: str = NOT_PARSED


def batched(
    rows_and_faults: Iterable[dict[str, object] | Unparsed], names: Sequence[str]
) -> Iterator[Raw]:
    """Rows of a text log in batches; `names` are the columns besides `line`."""
    stream = iter(rows_and_faults)
    while batch := list(islice(stream, BATCH)):
        rows = [row for row in batch if isinstance(row, dict)]
        yield Raw(
            pd.DataFrame(rows, columns=[*names, "line"], dtype=object),
            [(row.line, row.reason) for row in batch if isinstance(row, Unparsed)],
        )


def curve_rows(
    raw: Raw,
    columns: PlainMap,
    path: Path,
    optional: Sequence[str] = (),
    decimal: str = ".",
) -> Reading:
    """Raw named columns (with `line`) turned into curve rows, one per logged loss.

    `columns` maps our names to the file's; `loss` may map each split to a column of its own, and
    `run` may be several. `optional` says which of ours the file may lack, `decimal` what parts the
    whole of a number from its fraction.

    Returns the rows in the order of their lines. Raises FloplineError for a column that is mapped,
    not optional, and not there.
    """
    several = "run" in columns
    table = raw.table
    unread = pd.DataFrame([(n, None, r) for n, r in raw.unparsed], columns=_DROPPED)
    if table.empty and not len(table.columns):
        return Reading(_rows([]), _sorted(unread))
    lacking = {
        name
        for name in optional
        if name in columns and not set(columns_in(columns[name])) <= set(table)
    }
    columns = {name: column for name, column in columns.items() if name not in lacking - {"loss"}}
    _require(table, columns, path, raw.names, lacking)
    cells = {
        name: read_cells(table[columns[name]], name, decimal)
        for name in MEASURES
        if name in columns
    }
    base = pd.DataFrame({name: read.numbers for name, read in cells.items()}, index=table.index)
    base["line"] = table["line"].astype("int64").to_numpy()
    if several:
        base["run"] = names_in(table, columns["run"], path).to_numpy()
    # A measure that is merely absent in a row is no fault; one that is no number is.
    fault, rounded = worst(cells.values(), len(table))
    line = base["line"].to_numpy()
    bad = [m for n, c in cells.items() for m in faulty(c, columns[n], table[columns[n]], line)]
    parts, reasons = [], []
    loss = columns["loss"]
    per_split = isinstance(loss, dict)
    of_splits: PlainMap = loss if isinstance(loss, dict) else {"": loss}
    losses = {split: column for split, column in of_splits.items() if column in table}
    seen = np.zeros(len(table), dtype=bool)
    for split, column in losses.items():
        has = table[column].notna().to_numpy()
        seen |= has
        rows_with = slice(None) if has.all() else has
        part, given = base.loc[rows_with].copy(), table.loc[rows_with, column]
        read = read_cells(given, "loss", decimal)
        part["loss"] = read.numbers
        bad += faulty(read, column, given, line[has])
        reason = np.where(fault[has] != "", fault[has], read.fault) if fault.any() else read.fault
        if several:
            reason = np.where(part["run"].isna(), NO_RUN, reason)
        if per_split:
            part["split"] = split
        elif "split" in columns:
            part["split"] = names_in(table.loc[rows_with], columns["split"], path)
        else:
            part["split"] = pd.NA
        parts.append(part)
        reasons.append(reason)
    rows = parts[0] if len(parts) == 1 else pd.concat(parts or [_none(base)])
    reason = np.concatenate([*reasons, np.empty(0, dtype=object)])
    # Of a single column of losses the rows stand in the order of their lines already.
    if (np.diff(rows["line"]) < 0).any():
        order = np.argsort(rows["line"].to_numpy(), kind="stable")
        rows, reason = rows.iloc[order], reason[order]
    kept = [*_DROPPED, *(["run"] if several else [])]
    filled = [unread] if len(unread) else []
    if not seen.all():
        filled.append(base[~seen].assign(reason=NO_LOSS).reindex(columns=kept))
    beside = base.loc[~seen, [n for n in ("run", "step", *BESIDE) if n in base]]
    # Most logs have no wrong row, and to make a column of text for none is slow.
    wrong = reason.astype(bool)
    if wrong.any():
        wrong_rows = rows.loc[wrong].assign(reason=reason[wrong], step=None)
        filled.append(wrong_rows.reindex(columns=kept))
        rows = rows.loc[~wrong]
    rows = rows.reset_index(drop=True)
    dropped = pd.concat(filled) if filled else unread.reindex(columns=kept)
    first = int(base["line"].to_numpy()[rounded].min()) if rounded.any() else None
    return Reading(
        rows, _sorted(dropped), rounded=first, misread=min(bad, default=None), beside=beside
    )


def is_said(value: Any) -> bool:
    """Whether a fact says anything: None, NaN and infinity do not."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _none(base: pd.DataFrame) -> pd.DataFrame:
    """No row at all, of a log that has no column of a loss."""
    return base.iloc[:0].reindex(columns=[*base.columns, "loss", "split"])


def faulty(
    read: Cells, column: PlainColumn, given: pd.Series, line: NDArray[np.int64]
) -> list[tuple[int, str]]:
    """The first cell of a column that is no number, with its line, if there is one."""
    at = np.flatnonzero(read.fault)[:1]
    return [(int(line[a]), f"{column} is {str(given.iloc[a])[:60]!r}") for a in at]


def with_neighbours(reading: Reading) -> pd.DataFrame:
    """Its rows, in which tokens and FLOPs that are absent are those of the same step.

    They are taken from rows of the same run where these agree, of any split and without a loss too.
    """
    rows = reading.rows
    wanting = [name for name in BESIDE if name in rows and rows[name].isna().any()]
    if not wanting or "step" not in rows:
        return rows
    key = ["run", "step"] if "run" in rows else ["step"]
    sources = [part for part in (rows, reading.beside) if part is not None and len(part)]
    there = pd.concat([part.reindex(columns=[*key, *wanting]) for part in sources])
    there = there[there["step"].notna() & there[wanting].notna().any(axis=1)]
    of_step = there.groupby(key, sort=False)[wanting].agg(["min", "max"])
    at = of_step.reindex(pd.MultiIndex.from_frame(rows[key]) if len(key) > 1 else rows["step"])
    out = rows.copy(deep=False)
    for name in wanting:
        low, high = (at[name, which].to_numpy(dtype=float) for which in ("min", "max"))
        out[name] = rows[name].where(rows[name].notna(), np.where(low == high, low, np.nan))
    return out


def with_last_step(reading: Reading) -> Reading:
    """The same, its loss of a whole run placed with the last row of the log.

    That is the only row of its split, behind all rows that have a position, of a log of one run.
    """
    rows = reading.rows
    clock = next((name for name in ("step", "tokens") if name in rows), None)
    if clock is None or "run" in rows or not rows[clock].isna().any():
        return reading
    places = [name for name in ("step", *BESIDE) if name in rows]
    placed = rows[places].notna().any(axis=1)
    if not placed.any():
        return reading
    split = rows["split"].astype("string").fillna("")
    last = rows[placed].iloc[-1]
    lone = ~split.duplicated(keep=False) & ~placed & (rows["line"] > last["line"])
    if not lone.any():
        return reading
    out = rows.copy(deep=False)
    for name in places:
        out[name] = rows[name].where(~lone, last[name])
    return replace(reading, rows=out)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a column as numbers, NaN where absent; `fault` is a reason or empty.

    `rounded` marks counts written with K, M, B or T.
    """

    numbers: NDArray[np.float64]
    fault: NDArray[np.object_]
    rounded: NDArray[np.bool_]


_PARSERS: Final = {"wall_s": parse_seconds, "loss": parse_plain, "lr": parse_plain}
"""How a column is read, by our name; all others are counts."""


def read_cells(values: pd.Series, name: str, decimal: str) -> Cells:
    """The cells of the column that is ours under `name`."""
    try:
        numbers = pd.to_numeric(values, errors="coerce").astype("float64").to_numpy(copy=True)
    except OverflowError:  # a whole number beyond all floating-point ones
        finite = values.map(lambda value: as_float(value) if type(value) is int else value)
        return read_cells(finite, name, decimal)
    fault = np.full(len(values), "", dtype=object)
    rounded = np.zeros(len(values), dtype=bool)
    # As text only what is in doubt: that is slow, and mostly nothing.
    doubt = np.isnan(numbers)
    if doubt.any():
        doubt &= values.notna().to_numpy(bool)
    if decimal != ".":
        doubt |= np.fromiter((isinstance(v, str) for v in values), dtype=bool, count=len(values))
    if values.dtype == object:  # true is no number, though it counts as 1
        cells = values.to_numpy()
        ones = np.flatnonzero((numbers == 1) | (numbers == 0))
        doubt[[place for place in ones if isinstance(cells[place], bool)]] = True
    parse = _PARSERS.get(name, parse_number)
    places = np.flatnonzero(doubt)
    for place, cell in zip(places, values.iloc[places] if len(places) else (), strict=True):
        text = str(cell).strip()
        numbers[place] = parse(text, decimal)
        rounded[place] = parse is parse_number and is_rounded(text)
        # NaN written out is a number gone wrong.
        if np.isnan(numbers[place]) and text.lower() not in ("nan", "+nan", "-nan"):
            if text.lower().lstrip("+-") in ("inf", "infinity"):
                numbers[place] = -np.inf if text.startswith("-") else np.inf
            else:
                plain = parse is parse_plain
                grouped = has_comma_of_thousands(text, decimal, plain)
                if grouped and decimal == ".":
                    fault[place] = COMMA_IN_LOSS
                elif grouped and "." not in text:
                    fault[place] = COMMA_OF_THOUSANDS
                elif has_doubtful_comma(text, decimal, plain):
                    fault[place] = DOUBTFUL_COMMA
                elif has_doubtful_point(text, decimal, plain):
                    fault[place] = DOUBTFUL_POINT
                else:
                    fault[place] = NOT_A_NUMBER
    numbers += 0.0  # -0, which some decoders read as a whole number, is 0
    return Cells(numbers, fault, rounded & ~np.isnan(numbers))


def names_in(table: pd.DataFrame, column: PlainColumn, path: Path) -> pd.Series:
    """Names that stand in a column, digit for digit; of several columns joined by a slash.

    They are missing where a cell is absent or blank. Raises FloplineError for names that are
    floating-point numbers whose last digits are lost.
    """
    if not isinstance(column, str):
        parts = [names_in(table, one, path) for one in column]
        return parts[0].str.cat(parts[1:], sep="/")
    values = table[column]
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        # Names are few beside the rows that say them.
        codes, distinct = pd.factorize(values)
        text = pd.Series(distinct).astype("string").str.strip()
        names_once = text.mask(text == "").array
        return pd.Series(names_once.take(codes, allow_fill=True), index=values.index)
    lost = next((v for v in values if isinstance(v, float) and abs(v) > MOST_EXACT), None)
    if lost is not None and np.isfinite(lost) and not isinstance(lost, Digits):
        raise FloplineError(
            f"{path}: the names in column '{column}' are floating-point numbers, such as "
            f"{lost:.17g}, whose last digits are lost: write them as text or as whole numbers."
        )
    missing = values.isna().to_numpy(bool)
    names = [None if gone else _name(v) for v, gone in zip(values, missing, strict=True)]
    return pd.Series(names, index=values.index, dtype="string")


MOST_EXACT: Final = 2.0**53
"""Up to here a floating-point number holds every whole number."""


class Digits(float):
    """A number that remembers how it was written, since it may be a name."""

    written: str

    @classmethod
    def of(cls, text: str) -> Digits:
        """The number that `text` is."""
        made = cls(text)
        made.written = text
        return made

    def __str__(self) -> str:
        """As it was written."""
        return self.written


def _name(value: Any) -> str | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def worst(cells: Iterable[Cells], rows: int) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """The first fault of each row over some columns, and whether any is rounded."""
    fault, rounded = np.full(rows, "", dtype=object), np.zeros(rows, dtype=bool)
    for read in cells:
        if read.fault.any():
            fault = np.where(fault == "", read.fault, fault)
        rounded |= read.rounded
    return fault, rounded


def as_cell(value: Any) -> Any:
    """A logged value as a cell: NaN as text, since in a table it stands for an absent one."""
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def column_names(columns: ColumnMap) -> list[str]:
    """Every column of the file that a map names (see `plain_columns`), once."""
    plain, _ = plain_columns(columns)
    return list(dict.fromkeys(v for c in plain.values() for v in columns_in(c)))


def columns_in(column: PlainColumn) -> Sequence[str]:
    """The columns of the file that one of ours is read from."""
    if isinstance(column, dict):
        return list(column.values())
    return [column] if isinstance(column, str) else column


def plain_columns(columns: ColumnMap) -> tuple[dict[str, PlainColumn], dict[str, float]]:
    """A column map as names alone, and what to multiply each by where `times` says so.

    A column is a name or {column, times}; `loss` may also map each split to one of these. The
    factors are called by our name, those of losses `loss`, or `loss.SPLIT`.
    """
    plain: dict[str, PlainColumn] = {}
    factors: dict[str, float] = {}
    for name, spec in columns.items():
        if isinstance(spec, dict) and "times" not in spec:
            of_each, of_splits = plain_columns(spec)
            plain[name] = {split: str(column) for split, column in of_each.items()}
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


def joined(readings: Sequence[Reading], facts: LogFacts) -> Reading:
    """The batches of one file as one Reading."""
    if not readings:
        return Reading(_rows([]), _sorted(pd.DataFrame(columns=_DROPPED)), facts)
    rows = [r.rows for r in readings if len(r.rows)] or [readings[0].rows]
    beside = [r.beside for r in readings if r.beside is not None and len(r.beside)]
    dropped = [r.dropped for r in readings if len(r.dropped)] or [readings[0].dropped]
    return Reading(
        rows[0].reset_index(drop=True) if len(rows) == 1 else pd.concat(rows, ignore_index=True),
        pd.concat(dropped, ignore_index=True) if len(dropped) > 1 else dropped[0],
        facts,
        next((r.rounded for r in readings if r.rounded is not None), None),
        next((r.misread for r in readings if r.misread is not None), None),
        pd.concat(beside) if beside else None,
    )


def reach(record: Any, dotted: str) -> Any:
    """What stands under a name in nested objects, by dots; None where nothing does.

    A key may hold dots of its own.
    """
    if not isinstance(record, dict):
        return None
    if dotted in record:
        return record[dotted]
    at = dotted.find(".")
    while at >= 0:
        inner = record.get(dotted[:at])
        if isinstance(inner, dict) and (value := reach(inner, dotted[at + 1 :])) is not None:
            return value
        at = dotted.find(".", at + 1)
    return None


def _require(
    raw: pd.DataFrame,
    columns: PlainMap,
    path: Path,
    names: Sequence[str],
    lacking: AbstractSet[str],
) -> None:
    """Ask for every column of a map but those that are `lacking`; `names` are all of the file.

    Raises FloplineError, naming the columns that there are, where one is not there.
    """
    for name, column in columns.items():
        if name in lacking:
            continue
        for wanted in columns_in(column):
            if wanted not in raw:
                there = names or [str(c) for c in raw.columns if c != "line"]
                listed = [*there[:30], f"and {len(there) - 30} more"] if len(there) > 30 else there
                separator = other_separator(there)
                raise FloplineError(
                    f"{path} has no column '{wanted}' (source.columns.{name} in the study file)"
                    f"{'' if separator else _way(name)}; "
                    f"it has: {', '.join(listed) or 'none'}{separator}."
                )


def _way(name: str) -> str:
    """What to do about a column that some logs lack, where they may."""
    may = name == "loss" or name in MEASURES
    return f", which some logs may lack with `optional: [{name}]` in source" if may else ""


def other_separator(header: Sequence[str]) -> str:
    """The mend for a table of one column whose header is parted by something else, or nothing."""
    if header and header[0].lower().startswith("sep="):
        return ", the line by which Excel knows what parts cells: take it out"
    names = {"\t": "tabs", "|": "bars", ",": "commas", ";": "semicolons"}
    for mark, called in names.items():
        if len(header) == 1 and mark in header[0]:
            mend = {
                "\t": "set `format: tsv` in source (of a run table: give it the ending .tsv)",
                ",": "set `format: csv` in source (of a run table: give it the ending .csv)",
            }
            one = (
                "save it with commas (and points in its numbers), or with tabs as .tsv (and set "
                "`decimal: ','` in source if its numbers have decimal commas)"
            )
            return f", whose cells are parted by {called}: {mend.get(mark, one)}"
    return ""


def _rows(rows: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["split", "loss", *MEASURES, "line"])


def _sorted(dropped: pd.DataFrame) -> pd.DataFrame:
    return dropped.sort_values("line", kind="stable").reset_index(drop=True)
