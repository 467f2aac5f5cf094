"""Logs that go on where others end, as of runs that were restarted under another name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE: Final = 0.02
"""Share by which losses on both sides of a restart may differ, as cleaning.overlap_tolerance."""
GAP: Final = 2.5
"""Rows that may be missing between the end of a log and the beginning of the next."""

_ID: Final = re.compile(
    r"(?:job|part|restart|resume|attempt|try|cont|slurm|run|r|p)?\d+|[0-9a-f]{6,}"
    r"|(?:restart|resum|continu)(?:e|ed|ing)?\d*|cont(?:d|inuation)?"
)
"""A part of a name that only tells one start of a run from another: no size, as 125M, is one."""
_PART: Final = re.compile(r"[^-_./ ]+")


@dataclass(frozen=True, slots=True)
class LogCurve:
    """The longest curve of a log: its steps (or tokens), ascending, and their losses."""

    path: str
    clock: Floats
    loss: Floats

    @classmethod
    def of(cls, path: str, rows: pd.DataFrame) -> LogCurve | None:
        """The curve of the split with the most rows; None where it says too little."""
        name = next((n for n in ("step", "tokens") if n in rows and rows[n].notna().any()), None)
        if name is None:
            return None
        split = rows["split"].astype("string").fillna("")
        mine = rows[split == split.mode().iloc[0]]
        pairs = mine[[name, "loss"]].astype(float).dropna().drop_duplicates(name, keep="last")
        pairs = pairs.sort_values(name)
        if len(pairs) < 2:
            return None
        return cls(path, pairs[name].to_numpy(), pairs["loss"].to_numpy())

    @property
    def every(self) -> float:
        """How far its rows are apart."""
        return float(np.median(np.diff(self.clock)))

    @property
    def begins_late(self) -> bool:
        """Whether its first row lies further from 0 than its rows from each other."""
        return bool(self.clock[0] > GAP * self.every)

    def goes_on_from(self, other: LogCurve) -> bool:
        """Whether it may be what came after `other`: later, further, with losses that fit."""
        first, last = self.clock[0], self.clock[-1]
        # What begins in the first half of another log is a branch of it, or a run of its own.
        if first < (other.clock[0] + other.clock[-1]) / 2 or other.clock[-1] >= last:
            return False
        if first > other.clock[-1] + GAP * max(self.every, other.every):
            return False
        there = np.interp(first, other.clock, other.loss)
        return bool(abs(self.loss[0] / there - 1) <= TOLERANCE)


def pieces_of(
    curves: Sequence[LogCurve], names: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Which logs are pieces of one run, by path its name, and a sentence on each that may be one.

    `names` are those of the logs by path. A log is a piece of another's run where it begins late,
    goes on from that log and no other does, and their names differ in nothing but numbers of
    starts.
    """
    after: dict[str, str] = {}
    asked: list[str] = []
    late = [curve for curve in curves if curve.begins_late]
    for curve in sorted(late, key=lambda one: (one.clock[0], one.path)):
        before = [one for one in curves if one is not curve and curve.goes_on_from(one)]
        alike = [one for one in before if _only_starts_differ(names[one.path], names[curve.path])]
        # `r1_resume` goes on from `r1`, and from `r2` if there is no such log.
        own = [one for one in alike if _adds_to(names[curve.path], names[one.path])]
        alike = own or alike
        # Of several pieces of one run the last is the one that it goes on from.
        nearest = max(alike, key=lambda one: float(one.clock[0])).path if alike else None
        if nearest is None or nearest in after.values():
            asked.append(_question(curve, before))
        else:
            after[curve.path] = nearest
    first = {path: path for path in after.values() if path not in after}
    for path, other in after.items():
        first[path] = first[other]
    pieces: dict[str, str] = {}
    for path, begin in first.items():
        run = _shared([names[one] for one, of in first.items() if of == begin])
        taken = run in {name for one, name in names.items() if first.get(one) != begin}
        pieces[path] = names[begin] if taken or not run else run
    return dict(sorted(pieces.items())), asked


def told(pieces: Mapping[str, str], table: str | None) -> list[str]:
    """A sentence on each run of several logs; they are joined unless the user has a `table`."""
    of_run: dict[str, list[str]] = {}
    for path, run in pieces.items():
        of_run.setdefault(run, []).append(path)
    return [
        f"{', '.join(paths)} are taken for pieces of one run, '{run}', since each goes on where "
        "another ends: give them other names in the run table if they are not."
        if table is None
        else f"{', '.join(paths)} may be pieces of one run, since each goes on where another ends: "
        f"if so, give each a row with its `log` in {table}, all under one run."
        for run, paths in of_run.items()
    ]


ATTEMPT: Final = 3
"""Rows that make an attempt at a run, at least."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Where the clock of a log goes back: the last clock before, and whether to its beginning."""

    ends: Sequence[float]
    anew: bool


def attempts_in(rows: pd.DataFrame) -> Attempts:
    """The attempts that a log holds by the steps (or tokens) of its densest split, in their order.

    Rows that go back one by one, as of an evaluation that was logged late, are no attempts.
    """
    clock = next((n for n in ("step", "tokens") if n in rows and rows[n].notna().any()), None)
    if clock is None:
        return Attempts([], anew=False)
    split = rows["split"].astype("string").fillna("")
    at = rows.loc[split == split.mode().iloc[0], clock].dropna().to_numpy(float)
    apart = np.diff(at)
    back = np.flatnonzero(apart < 0) + 1
    if not back.size or any(len(part) < ATTEMPT for part in np.split(at, back)):
        return Attempts([], anew=False)
    first = at[0] + GAP * float(np.median(apart[apart > 0]))
    return Attempts(at[back - 1].tolist(), anew=bool((at[back] < first).all()))


def _question(curve: LogCurve, before: Sequence[LogCurve]) -> str:
    where = f"{curve.path} begins at {curve.clock[0]:,.0f}, as after a restart or in a branch"
    log = before[0].path if len(before) == 1 else "a log that is here"
    return (
        f"{where}: if it goes on from {log}, give both a row with its `log` in a run table, under "
        "one run."
    )


def _only_starts_differ(one: str, other: str) -> bool:
    """Whether two names have something in common and differ only in parts that number a start."""
    mine, yours = (_PART.findall(name.lower()) for name in (one, other))
    shared = set(mine) & set(yours)
    apart = [part for part in mine + yours if part not in shared]
    return bool(shared and apart) and all(map(_ID.fullmatch, apart))


def _adds_to(name: str, other: str) -> bool:
    """Whether a name has all parts of another one and more."""
    return set(_PART.findall(other.lower())) < set(_PART.findall(name.lower()))


def _shared(names: Sequence[str]) -> str:
    """What all of the names begin with, as far as whole parts go, or else the parts they share."""
    parts = [_PART.findall(name) for name in names]
    same = 0
    while all(same < len(of) and of[same] == parts[0][same] for of in parts):
        same += 1
    if not same:
        return "_".join(part for part in parts[0] if all(part in other for other in parts))
    ends = list(_PART.finditer(names[0]))[same - 1].end()
    return names[0][:ends]
