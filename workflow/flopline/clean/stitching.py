"""Restarts: the pieces of a run put in order, and what was logged before a restart purged.

A restarted run logs some steps again. The later row counts, as the later weights do; the earlier
one is superseded. A step that goes back without logging again what was there is no restart but a
late row, such as an evaluation by another job. Rows come in order of time: by run, file, line.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

EVERY_SPLIT: Final = -1
_LINES: Final = 1 << 40
"""More lines than a file has: file x this + line is a time."""

COVERED: Final = 0.9
"""Share of the earlier steps in its range that a restart logs again."""

OWN_PACE: Final = 1.5
"""A stretch goes at the pace of a run where its steps are apart by at most so many of its own."""

FEW_ROWS: Final = 3
"""A stretch of at most so many rows is no restart where most others are none."""

FEW_BACKS: Final = 8
ROWS_OF_ORDER: Final = 4
"""Rows whose clock goes back more often than these few times, and once in fewer rows than these on
average, stand in no order of time, as in a file that was shuffled: none of them is a restart."""


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
    """Per row: the restarts before it, whether it was logged again, whether it came late.

    Per run: its overlap, where its rows are those of several runs from their first step to one last
    step, how many, and at which clocks attempts ended that were begun again from their first step.
    """

    segment: NDArray[np.int32]
    superseded: Bools
    late: Bools
    overlaps: dict[int, Overlap]
    attempts: dict[int, int]
    begun_anew: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of one split up to where its clock goes back; `goes_back` says whether it begins so."""

    rows: Ints
    goes_back: bool


@dataclass(slots=True)
class _Going:
    """What is known of one split of one run as its stretches are judged in order of time."""

    there: list[float] = field(default_factory=list)
    """The clocks that count so far, ascending, each once."""
    ends: list[float] = field(default_factory=list)
    """Where attempts ended that were begun again from their first step."""


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
    split goes back and what follows logs again what was there: rows of every split logged before
    that, at or after the clock it restarts from, are superseded. Where the clock of another split
    goes back by itself, that split alone restarts. Rows that go back and log nothing again came
    late. Where each split has files of its own, these restart no other. A clock that is NaN takes
    no part. `loss` is NaN where it is unusable.

    Returns what stands at these rows, and what of a run is doubtful, see Stitched.
    """
    count = len(run)
    segment, superseded = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=bool)
    late = np.zeros(count, dtype=bool)
    overlaps: dict[int, Overlap] = {}
    attempts: dict[int, int] = {}
    begun_anew: dict[int, list[float]] = {}
    for code in _restarted_runs(run, split, piece, clock):
        low, high = (int(place) for place in np.searchsorted(run, [code, code + 1]))
        here = slice(low, high)
        time = piece[here] * _LINES + line[here]
        events, came_late, going = _restarts(split[here], piece[here], time, clock[here])
        begun = 1 + sum(end >= going.there[-1] for end in going.ends) if going.there else 0
        if going.ends:
            begun_anew[code] = going.ends
        late[here] = came_late
        for number in np.unique(split[here]).tolist():
            rows = np.flatnonzero(split[here] == number) + low
            mine = sorted(e for e in events if e[2] in (EVERY_SPLIT, number))
            when = np.array([e[0] for e in mine], dtype=np.int64)
            start = np.array([*(e[1] for e in mine), np.inf])
            # The lowest clock that any later attempt starts from.
            lowest = np.minimum.accumulate(start[::-1])[::-1]
            passed = np.searchsorted(when, time[rows - low], side="right")
            segment[rows] = passed
            superseded[rows] = clock[rows] >= lowest[passed]
            overlap = _overlap(rows, superseded[rows], clock, loss)
            if overlap and (code not in overlaps or overlap.median > overlaps[code].median):
                overlaps[code] = overlap
        # The same log twice over is no second run.
        if begun > 1 and code in overlaps and overlaps[code].median > 0:
            attempts[code] = begun
    return Stitched(segment, superseded, late & ~superseded, overlaps, attempts, begun_anew)


def _restarted_runs(run: Ints, split: Ints, piece: Ints, clock: Floats) -> list[int]:
    """Runs of several pieces, or in which the clock of some split goes back."""
    known = np.flatnonzero(~np.isnan(clock))
    rows = known[np.lexsort((split[known], run[known]))]
    back = (clock[rows][1:] < clock[rows][:-1]) & (split[rows][1:] == split[rows][:-1])
    back &= run[rows][1:] == run[rows][:-1]
    several = (piece[1:] != piece[:-1]) & (run[1:] == run[:-1])
    codes: list[int] = np.unique(np.concatenate([run[rows][1:][back], run[1:][several]])).tolist()
    return codes


Event = tuple[int, float, int]
"""A restart: time, clock it restarts from, split or EVERY_SPLIT."""


def _restarts(
    split: Ints, piece: Ints, time: Ints, clock: Floats
) -> tuple[list[Event], Bools, _Going]:
    """The restarts of one run, its late rows, and where its densest split stood at its end.

    Where each split has files of its own, these tell of no other split.
    """
    known = ~np.isnan(clock)
    late = np.zeros(len(clock), dtype=bool)
    apart = _has_files_of_one_split(split[known], piece[known])
    events: list[Event] = []
    begun_pieces: set[int] = set()
    for number in np.unique(piece[known]).tolist():
        rows = (piece == number) & known
        of = int(split[rows][0]) if apart else EVERY_SPLIT
        if of in begun_pieces:
            events.append((int(time[rows].min()), float(clock[rows].min()), of))
        begun_pieces.add(of)
    splits, counts = np.unique(split[known], return_counts=True)
    if not splits.size:
        return events, late, _Going()
    densest = int(splits[np.argmax(counts)])
    of_densest = _Going()
    for number in [densest, *(s for s in splits.tolist() if s != densest)]:
        rows = np.flatnonzero((split == number) & known)
        common = sorted((e[0], e[1]) for e in events if e[2] in (EVERY_SPLIT, number))
        begun_at, going = _judged(rows, time, clock, common, late)
        applies = EVERY_SPLIT if number == densest and not apart else number
        events += [(int(time[first]), float(clock[first]), applies) for first in begun_at]
        if number == densest:
            of_densest = going
    return events, late, of_densest


def _has_files_of_one_split(split: Ints, piece: Ints) -> bool:
    """Whether a run of several splits has no file in which two of them stand."""
    files, splits = np.unique(np.stack([piece, split]), axis=1)
    return np.unique(files).size == files.size and np.unique(splits).size > 1


def _judged(
    rows: Ints, time: Ints, clock: Floats, common: list[tuple[int, float]], late: Bools
) -> tuple[list[int], _Going]:
    """The first rows of the restarts among the rows of one split, and what came of it.

    `common` are the restarts of all splits, as (time, clock).

    Returns the places of these first rows, and where the split stood at its end. Marks in `late`
    the rows that came late.
    """
    stretches = _stretches(rows, time, clock, common)
    backs = sum(stretch.goes_back for stretch in stretches)
    no_order = backs > FEW_BACKS and backs * ROWS_OF_ORDER > len(rows)
    for few in (len(rows),) if no_order else (0, FEW_ROWS):
        going, restarts, marked, todo = _Going(), list[int](), list[int](), list(common)
        for stretch in stretches:
            first = stretch.rows[0]
            while todo and todo[0][0] <= time[first]:
                del going.there[bisect_left(going.there, todo.pop(0)[1]) :]
            steps = np.unique(clock[stretch.rows]).tolist()
            top = going.there[-1] if going.there else -np.inf
            if stretch.goes_back:
                if len(steps) > few and _is_restart(steps, going.there):
                    if steps[0] <= going.there[0]:
                        going.ends.append(top)
                    restarts.append(int(first))
                    del going.there[bisect_left(going.there, steps[0]) :]
                else:
                    marked += stretch.rows[clock[stretch.rows] < top].tolist()
            _add(going.there, steps)
        # Two processes that write into one file go back all the time, and once it looks like more.
        if 2 * len(restarts) >= backs:
            break
    late[marked] = True
    return restarts, going


def _stretches(
    rows: Ints, time: Ints, clock: Floats, common: list[tuple[int, float]]
) -> list[_Stretch]:
    back = np.flatnonzero(np.diff(clock[rows]) < 0) + 1
    begins = np.searchsorted(time[rows], [when for when, _ in common], side="left")
    new = np.setdiff1d(begins, [0, len(rows)])
    # What follows a restart of all splits may go back for that reason.
    bounds = np.union1d(back, new).astype(np.int64)
    own = np.isin(bounds, np.setdiff1d(back, new))
    parts = np.split(rows, bounds)
    return [_Stretch(part, bool(o)) for part, o in zip(parts, [False, *own], strict=True)]


def _add(there: list[float], steps: list[float]) -> None:
    if not there or steps[0] > there[-1]:
        there += steps
        return
    for step in steps:
        place = bisect_left(there, step)
        if place == len(there) or there[place] != step:
            there.insert(place, step)


def _is_restart(steps: list[float], there: list[float]) -> bool:
    """Whether `steps`, ascending, that go back behind the end of `there` replace what was there."""
    top, end = there[-1], steps[-1]
    old = there[bisect_left(there, steps[0]) : bisect_right(there, min(end, top))]
    if not old:
        return False
    again = len(set(steps).intersection(old))
    if again >= COVERED * len(old):
        # One step that was logged before, and nothing after it, was evaluated once more.
        return end >= top or again > 1
    within = steps[: bisect_right(steps, top)]
    if len(within) < 2 or old[0] > within[-1]:
        return False  # it fills a gap
    pace = float(np.median(np.diff(within)))
    if end > top:
        return pace <= OWN_PACE * float(np.median(np.diff(there)))
    both = np.union1d(there, steps)
    return len(steps) >= FEW_ROWS and pace <= OWN_PACE * float(np.median(np.diff(both)))


def overlaps_of(
    run: Ints, kept: Ints, twice: Bools, clock: Floats, loss: Floats
) -> dict[int, Overlap]:
    """For each run how rows of `kept` (by curve and clock) agree with the row before at one clock.

    `twice` marks those of `kept` that repeat the clock of the row before.

    Returns the overlap by the number of the run, of those alone that repeat a clock.
    """
    first = np.maximum.accumulate(np.where(twice, 0, np.arange(kept.size)))
    old, new = kept[first[twice]], kept[twice]
    out: dict[int, Overlap] = {}
    for code in np.unique(run[new]).tolist():
        mine = run[new] == code
        out[code] = _agreement(loss[old[mine]], loss[new[mine]], clock[new[mine]])
    return out


def _agreement(before: Floats, after: Floats, clock: Floats) -> Overlap:
    apart = np.abs(np.log(after / before))
    worst = int(np.argmax(apart))
    return Overlap(
        float(np.median(apart)),
        int(apart.size),
        int(clock[worst]),
        float(before[worst]),
        float(after[worst]),
    )


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
    return _agreement(loss[old[both]], loss[new[place[both]]], clock[old[both]])
