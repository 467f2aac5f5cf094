"""Restarts: the pieces of a run put in order, and what was logged before a restart purged.

A restarted run logs some steps again. The later row counts, as the later weights do; the earlier
one is superseded. Rows come in order of time: by run, file, line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

EVERY_SPLIT: Final = -1
_LINES: Final = 1 << 40
"""More lines than a file has: file x this + line is a time."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """How far two attempts at the same steps agree, and where they agree least.

    `median` is that of |ln(loss after / loss before)| over `rows` steps of one split.
    """

    median: float
    rows: int
    at: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Stitched:
    """Per row: the restarts before it, and whether it was logged again; per run: its overlap."""

    segment: NDArray[np.int32]
    superseded: Bools
    overlaps: dict[int, Overlap]


def order_of_pieces(piece: Ints, clock: Floats) -> dict[int, int]:
    """The place in time of each piece (file) of one run, from 0.

    Pieces stand in the order in which they end, since an attempt that got further came later;
    then in the order in which they begin, then as numbered. A piece without a clock comes first.
    """
    ends = []
    for number in np.unique(piece).tolist():
        of_piece = clock[(piece == number) & ~np.isnan(clock)]
        span = (of_piece.max(), of_piece.min()) if of_piece.size else (-np.inf, -np.inf)
        ends.append((*span, number))
    return {number: place for place, (_, _, number) in enumerate(sorted(ends))}


def stitch(
    run: Ints, split: Ints, piece: Ints, line: Ints, clock: Floats, loss: Floats
) -> Stitched:
    """Find restarts in rows that stand in order of time, runs one after another.

    A run restarts with every further file, and where the clock (steps, else tokens) of its densest
    split goes back: rows of every split logged before that, at or after the clock it restarts
    from, are superseded. Where the clock of another split goes back by itself, that split alone
    restarts. A clock that is NaN takes no part. `loss` is NaN where it is unusable.
    """
    count = len(run)
    segment, superseded = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=bool)
    overlaps: dict[int, Overlap] = {}
    for code in _restarted_runs(run, split, piece, clock):
        low, high = np.searchsorted(run, [code, code + 1])
        here = slice(int(low), int(high))
        time = piece[here] * _LINES + line[here]
        events = _restarts(split[here], piece[here], time, clock[here])
        for number in np.unique(split[here]).tolist():
            rows = np.flatnonzero(split[here] == number) + int(low)
            mine = sorted(e for e in events if e[2] in (EVERY_SPLIT, number))
            when = np.array([e[0] for e in mine], dtype=np.int64)
            start = np.array([*(e[1] for e in mine), np.inf])
            # The lowest clock that any later attempt starts from.
            lowest = np.minimum.accumulate(start[::-1])[::-1]
            passed = np.searchsorted(when, time[rows - int(low)], side="right")
            segment[rows] = passed
            superseded[rows] = clock[rows] >= lowest[passed]
            found = _overlap(rows, superseded[rows], clock, loss)
            if found and (code not in overlaps or found.median > overlaps[code].median):
                overlaps[code] = found
    return Stitched(segment, superseded, overlaps)


def _restarted_runs(run: Ints, split: Ints, piece: Ints, clock: Floats) -> list[int]:
    """Runs of several pieces, or in which the clock of some split goes back."""
    known = np.flatnonzero(~np.isnan(clock))
    rows = known[np.lexsort((split[known], run[known]))]
    back = (clock[rows][1:] < clock[rows][:-1]) & (split[rows][1:] == split[rows][:-1])
    back &= run[rows][1:] == run[rows][:-1]
    several = (piece[1:] != piece[:-1]) & (run[1:] == run[:-1])
    codes: list[int] = np.unique(np.concatenate([run[rows][1:][back], run[1:][several]])).tolist()
    return codes


def _restarts(split: Ints, piece: Ints, time: Ints, clock: Floats) -> list[tuple[int, float, int]]:
    """The restarts of one run as (time, clock it restarts from, split or EVERY_SPLIT)."""
    known = ~np.isnan(clock)
    events = []
    for number in np.unique(piece[known])[1:].tolist():
        rows = (piece == number) & known
        events.append((int(time[rows].min()), float(clock[rows].min()), EVERY_SPLIT))
    splits, counts = np.unique(split[known], return_counts=True)
    if not splits.size:
        return events
    densest = int(splits[np.argmax(counts)])
    for number in [densest, *(s for s in splits.tolist() if s != densest)]:
        rows = np.flatnonzero((split == number) & known)
        back = np.flatnonzero(np.diff(clock[rows]) < 0)
        common = [e[0] for e in events if e[2] == EVERY_SPLIT]
        for before, after in zip(rows[back], rows[back + 1], strict=True):
            if not any(time[before] < when <= time[after] for when in common):
                applies = EVERY_SPLIT if number == densest else number
                events.append((int(time[after]), float(clock[after]), applies))
    return events


def _overlap(rows: Ints, superseded: Bools, clock: Floats, loss: Floats) -> Overlap | None:
    """How superseded rows of one run and split agree with the kept ones at the same clock."""
    usable = ~np.isnan(loss[rows])
    old, new = rows[superseded & usable], rows[~superseded & usable & ~np.isnan(clock[rows])]
    if not (old.size and new.size):
        return None
    place = np.minimum(np.searchsorted(clock[new], clock[old]), new.size - 1)
    both = clock[new][place] == clock[old]
    if not both.any():
        return None
    before, after = loss[old[both]], loss[new[place[both]]]
    apart = np.abs(np.log(after / before))
    worst = int(np.argmax(apart))
    return Overlap(
        float(np.median(apart)),
        int(apart.size),
        int(clock[old[both]][worst]),
        float(before[worst]),
        float(after[worst]),
    )
