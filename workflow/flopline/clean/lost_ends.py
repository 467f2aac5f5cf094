"""Runs whose last loss is not their end, and tokens that do not count what a run was trained on."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from flopline.clean.arrays import Bools, Ints, Names, Rows
from flopline.logs.reading import NO_LOSS, NOT_A_NUMBER, NOT_PARSED, TWICE
from flopline.numbers import count, humanise

HALF: Final = 0.5
"""Tokens that are the same from this share of the last step on stand still."""
FEWEST: Final = 3
"""With fewer steps, or fewer lines, nothing is said."""
GAPS: Final = 2.0
"""A run goes on after its last loss where it logs beyond this many of its widest gaps."""
BEYOND: Final = 1.1
"""And beyond its last loss by this factor."""
LINES: Final = 0.05
"""Share of its rows that a run's last lines must be to be missed."""


def standing_tokens(rows: Rows, kept: Ints, same: Bools, names: Names) -> list[str | None]:
    """A sentence on each run whose tokens stand still while its steps go on.

    `kept` are its rows by run, split and clock, `same` marks those that follow in their curve.
    """
    out: list[str | None] = [None] * len(names.runs)
    if not kept.size:
        return out
    starts = np.flatnonzero(~same)
    ends = np.append(starts[1:], kept.size) - 1
    tokens, step = rows.tokens[kept], rows.step[kept]
    still = tokens == np.repeat(tokens[ends], ends - starts + 1)
    # Tokens that are unknown equal nothing, so that they stand still from the last row at most.
    first = np.minimum(ends - np.add.reduceat(still.astype(np.int64), starts) + 1, ends)
    stands = (ends - first >= FEWEST - 1) & (step[first] <= HALF * step[ends])
    for curve in np.flatnonzero(stands)[::-1]:
        row, last = kept[first[curve]], kept[ends[curve]]
        out[rows.run[row]] = (
            f"Its tokens stand still at {humanise(rows.tokens[row], 6)} from step "
            f"{rows.step[row]:,.0f} to step {rows.step[last]:,.0f} "
            f"({names.files[rows.file[row]]}, line {rows.line[row]}), so that they do not count "
            "what it was trained on: if they are those of one step, take them out of "
            "source.columns and name them as `batch_tokens` in source.runs.from_log."
        )
    return out


def going_on(
    rows: Rows, kept: Ints, dropped: pd.DataFrame, names: Names, loss_split: str
) -> list[str | None]:
    """A sentence on each run that goes on after its last loss of `loss_split`.

    It logs other rows far beyond that one, or ends in lines that cannot be read.

    Returns:
        One entry a run, None where its last loss is its end.
    """
    out: list[str | None] = [None] * len(names.runs)
    split = names.splits.get_indexer(pd.Index([loss_split]))[0]
    mine = kept[(rows.split[kept] == split) & ~np.isnan(rows.step[kept])]
    if not mine.size:
        return out
    where = names.runs.get_indexer(pd.Index(dropped["run"].astype(object)))
    without = (dropped["reason"] == NO_LOSS).to_numpy() & (where >= 0)
    step = dropped["step"].to_numpy(dtype=float, na_value=np.nan)
    far = np.full(len(names.runs), -np.inf)
    np.fmax.at(far, rows.run[kept], rows.step[kept])
    np.fmax.at(far, where[without], step[without])
    starts = np.flatnonzero(np.diff(rows.run[mine], prepend=-1))
    ends = np.append(starts[1:], mine.size) - 1
    gaps = np.diff(rows.step[mine], prepend=np.nan)
    gaps[starts] = 0.0
    widest = np.maximum.reduceat(gaps, starts)
    near = rows.step[mine[ends]]
    at = far[rows.run[mine[ends]]]
    goes_on = (ends - starts >= FEWEST - 1) & (at > near + GAPS * widest) & (at > BEYOND * near)
    for curve in np.flatnonzero(goes_on):
        row = mine[ends[curve]]
        out[rows.run[row]] = (
            f"It is unfinished: its last {loss_split} loss stands at step {near[curve]:,.0f} "
            f"({names.files[rows.file[row]]}, line {rows.line[row]}), and it logs rows without "
            f"one up to step {at[curve]:,.0f}, as where a name changes within a log."
        )
    return [
        on or unread for on, unread in zip(out, _unread(rows, kept, dropped, names), strict=True)
    ]


def _unread(rows: Rows, kept: Ints, dropped: pd.DataFrame, names: Names) -> list[str | None]:
    """A sentence on each run that ends in lines that cannot be read."""
    out: list[str | None] = [None] * len(names.runs)
    bad = dropped[dropped["reason"].isin([NOT_PARSED, NOT_A_NUMBER, TWICE])]
    for run, lines in bad.groupby("run"):
        code = int(names.runs.get_indexer(pd.Index([run]))[0])
        held = kept[rows.run[kept] == code]
        if not held.size or len(lines) < FEWEST:
            continue
        source = str(names.files[rows.file[held[np.argmax(rows.clock[held])]]])
        last = int(rows.line[held[names.files[rows.file[held]] == source]].max())
        after = lines["line"][(lines["source"] == source) & (lines["line"] > last)]
        if len(after) >= max(FEWEST, LINES * held.size):
            out[code] = (
                f"It ends in {count(len(after), 'line')} that cannot be read ({source}, from line "
                f"{after.min():,} on), so that its last loss is not its end."
            )
    return out
