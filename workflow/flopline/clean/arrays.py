"""Rows as arrays in order of time, and back into tables: what the row rules work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.clean.stitching import order_of_pieces
from flopline.schema import CURVES, DROPPED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NUMBERS: Final = ("step", "tokens", "flops", "loss", "lr", "wall_s")


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns of raw rows as arrays; runs, splits and files as their places in Names.

    `place` is that of its file among the run's files in time. `clock` is the step, or the tokens
    where no step is logged.
    """

    run: Ints
    split: Ints
    file: Ints
    place: Ints
    line: Ints
    step: Floats
    tokens: Floats
    flops: Floats
    loss: Floats
    lr: Floats
    wall_s: Floats
    clock: Floats

    def take(self, order: Ints) -> Rows:
        """The rows at `order`."""
        return Rows(*(getattr(self, name)[order] for name in Rows.__slots__))


@dataclass(frozen=True, slots=True)
class Names:
    """What the numbers in Rows stand for; `copies` marks files that repeat one of the same run."""

    runs: pd.Index
    splits: pd.Index
    files: pd.Index
    copies: Bools


def names_of(raw_runs: pd.DataFrame, curves: pd.DataFrame, runs: pd.DataFrame) -> Names:
    """The names of all runs, splits and files; `raw_runs` has one row per run and file."""
    digest = raw_runs["sha256"]
    copies = raw_runs.duplicated(["run", "sha256"]) & digest.notna()
    return Names(
        pd.Index(runs["run"].astype(object)),
        pd.Index(sorted(curves["split"].dropna().unique()), dtype=object),
        pd.Index(raw_runs["source"].astype(object)),
        copies.to_numpy(dtype=bool),
    )


def rows_of(curves: pd.DataFrame, raw_runs: pd.DataFrame, names: Names) -> Rows:
    """Raw curves as Rows, in the order in which they come."""
    numbers = {name: curves[name].to_numpy(dtype=float) for name in NUMBERS}
    run = _codes(curves["run"], names.runs)
    piece = curves["piece"].to_numpy(dtype=np.int64)
    return Rows(
        run=run,
        split=_codes(curves["split"], names.splits),
        file=_files(run, piece, raw_runs, names),
        place=piece,
        line=curves["line"].to_numpy(dtype=np.int64),
        clock=np.where(np.isnan(numbers["step"]), numbers["tokens"], numbers["step"]),
        **numbers,
    )


def in_order_of_time(rows: Rows, names: Names, kind: str) -> Rows:
    """Rows by run, file and line, the files of a run in the order of order_of_pieces.

    In a source of kind table, which knows no order of time, rows stand by their clock.
    """
    if kind == "table":
        rows = replace(rows, place=np.zeros_like(rows.place))
        return rows.take(np.lexsort((rows.clock, rows.run)))
    if np.any(rows.place):
        rows = replace(rows, place=_places(rows, names.copies))
    return rows if _ordered(rows) else rows.take(np.lexsort((rows.line, rows.place, rows.run)))


def curve_table(rows: Rows, kept: Ints, segment: NDArray[np.int32], names: Names) -> pd.DataFrame:
    """The rows at `kept` as CURVES; text is categorical, since it says so little so often."""
    table = {
        "run": _text(rows.run[kept], names.runs),
        "split": _text(rows.split[kept], names.splits),
        "step": _as_integers(rows.step[kept]),
        **{name: getattr(rows, name)[kept] for name in ("tokens", "flops", "loss", "lr", "wall_s")},
        "segment": segment[kept],
        "source": _text(rows.file[kept], names.files),
        "line": rows.line[kept],
    }
    return pd.DataFrame({name: table[name] for name in CURVES})


def dropped_table(rows: Rows, gone: Ints, reasons: list[str], names: Names) -> pd.DataFrame:
    """The rows at `gone` with their `reasons` as DROPPED."""
    step = rows.step[gone]
    table = {
        "run": pd.Series(_text(rows.run[gone], names.runs)).astype("string"),
        "step": _as_integers(np.rint(step)),
        "reason": pd.Series(reasons, dtype="string"),
        "source": pd.Series(_text(rows.file[gone], names.files)).astype("string"),
        "line": rows.line[gone],
    }
    return pd.DataFrame({name: table[name] for name in DROPPED})


def is_integer(values: Floats) -> Bools:
    """Where a number is whole and fits into 64 bits."""
    integers: Bools = (np.abs(values) < 2.0**63) & (np.rint(values) == values)
    return integers


def _ordered(rows: Rows) -> bool:
    run, place, line = np.diff(rows.run), np.diff(rows.place), np.diff(rows.line)
    same = (run == 0) & ((place > 0) | ((place == 0) & (line >= 0)))
    return bool(np.all((run > 0) | same))


def _codes(values: pd.Series, names: pd.Index) -> Ints:
    """Each value as its place in `names`."""
    category = values.astype("category")
    place = names.get_indexer(pd.Index(category.cat.categories.astype(object)))
    codes: Ints = place.astype(np.int64)[category.cat.codes.to_numpy()]
    return codes


def _files(run: Ints, piece: Ints, raw_runs: pd.DataFrame, names: Names) -> Ints:
    """The file of each row, as its place in `raw_runs`."""
    pieces = raw_runs["piece"].to_numpy(dtype=np.int64)
    most = int(pieces.max(initial=0)) + 1
    known = names.runs.get_indexer(pd.Index(raw_runs["run"].astype(object))) * most + pieces
    order = np.argsort(known)
    return order[np.searchsorted(known[order], run * most + piece)]


def _places(rows: Rows, copies: Bools) -> Ints:
    """The place in time of each row's file among those of its run; copies take no part."""
    place = rows.place.copy()
    clock = np.where(copies[rows.file], np.nan, rows.clock)
    order = np.argsort(rows.run, kind="stable")
    _, starts = np.unique(rows.run[order], return_index=True)
    for here in np.split(order, starts[1:]):
        if np.any(place[here]):
            of_piece = order_of_pieces(rows.place[here], clock[here])
            place[here] = [of_piece[number] for number in rows.place[here].tolist()]
    return place


def _text(codes: Ints, names: pd.Index) -> pd.Categorical:
    if not names.is_unique:  # one table holds many runs
        places, names = pd.factorize(names)
        codes = places[codes]
    return pd.Categorical.from_codes(codes, categories=names)


def _as_integers(values: Floats) -> pd.arrays.IntegerArray:
    missing = ~is_integer(values)
    return pd.arrays.IntegerArray(np.where(missing, 0, values).astype(np.int64), missing)
