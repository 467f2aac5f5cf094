"""Logs that keep every metric as a series of its own, put side by side by their steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flopline.logs.reading import (
    PlainColumn,
    Raw,
    Unparsed,
    Wish,
    as_cell,
    column_names,
    plain_columns,
)

STEP, WALL = "step", "wall_time"
"""The columns that every such log has besides its metrics."""


@dataclass(frozen=True, slots=True)
class Point:
    """One logged value; `wall_s` in seconds since the epoch."""

    line: int
    step: int | str
    wall_s: float | None
    value: Any


def side_by_side(
    series: Mapping[str, Sequence[Point]], unparsed: Sequence[Unparsed], wish: Wish
) -> Raw:
    """One row for each point of a wanted loss, with the other wanted metrics at the same step.

    Where a step was logged again, as after a restart, the n-th points of it go together. `step`
    and `wall_time`, in seconds from the first point, need not be in the column map.
    """
    columns: dict[str, PlainColumn] = {"step": STEP, "wall_s": WALL, **(wish.columns or {})}
    plain, _ = plain_columns(columns)
    of_loss = column_names({"loss": columns.get("loss", "loss")})
    others = [n for n in column_names(columns) if n in series and n not in of_loss]
    begin = min(
        (p.wall_s for points in series.values() for p in points if p.wall_s is not None),
        default=0.0,
    )
    beside = {name: _by_step(series[name]) for name in others}
    rows = []
    for loss in of_loss:
        times: dict[int | str, int] = defaultdict(int)
        for point in series.get(loss, ()):
            at = (point.step, times[point.step])
            times[point.step] += 1
            wall_s = None if point.wall_s is None else point.wall_s - begin
            row = {STEP: point.step, WALL: wall_s, loss: as_cell(point.value), "line": point.line}
            rows.append({**row, **{name: values.get(at) for name, values in beside.items()}})
    there = [STEP, WALL, *(n for n in of_loss if n in series), *others, "line"]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys(there)), dtype=object)
    dropped = [(row.line, row.reason) for row in unparsed]
    return Raw(table, dropped, [*sorted(series), STEP, WALL], plain)


def _by_step(points: Sequence[Point]) -> dict[tuple[int | str, int], Any]:
    times: dict[int | str, int] = defaultdict(int)
    out = {}
    for point in points:
        out[point.step, times[point.step]] = point.value
        times[point.step] += 1
    return out
