"""W&B chart exports: CSV with a column `RUN - METRIC` for each run and metric of a chart.

Beside each stand `RUN - METRIC__MIN` and `__MAX`, the range of what was sampled away: they are
left alone. The first column is the x axis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pandas as pd

from flopline.errors import FloplineError
from flopline.logs import delimited
from flopline.logs.formats import SPLIT_FOLDERS
from flopline.logs.key_values import is_loss
from flopline.logs.reading import BATCH, NOT_PARSED, LogFacts, PlainColumn, Raw, Wish
from flopline.places import command

_BETWEEN: Final = " - "
_RANGES: Final = ("__MIN", "__MAX")
_OF_TIME: Final = re.compile(r"time|hours|minutes|seconds|date", re.IGNORECASE)
"""What names an x axis of time, as `Relative Time (Wall)` and `_runtime`."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the header has `RUN - METRIC` with `__MIN` and `__MAX`, or a loss of several runs."""
    complete_lines = head[: head.rfind(b"\n") + 1] or head
    header = delimited.header_of(complete_lines, ",")
    ranged = any(
        _BETWEEN in name and all(name + end in header for end in _RANGES) for name in header
    )
    return ranged or _is_of_runs(header[1:])


def _is_of_runs(columns: Sequence[str]) -> bool:
    """Whether all columns hold one loss of runs, as `12M - val_loss`, and no splits of one run."""
    pairs = [name.rsplit(_BETWEEN, 1) for name in columns]
    if len(pairs) < 2 or any(len(pair) < 2 for pair in pairs):
        return False
    metrics = {pair[-1].strip() for pair in pairs}
    runs = {pair[0].strip() for pair in pairs}
    one_loss = len(metrics) == 1 and is_loss(next(iter(metrics)))
    return one_loss and len(runs) == len(pairs) and runs.isdisjoint(SPLIT_FOLDERS)


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """One row for each line and run that has a cell in it, with the metrics as columns.

    The column `run` names the run, the x axis keeps its name; without `step` in the column map
    it is the step.
    """
    rows = delimited.read_cells(path, ",")
    header = [name.strip() for name in next(rows, (0, [""]))[1]]
    axis, runs = header[0], _places(path, header)
    wanted = {axis, *wish.names}
    if "run" in wanted:
        raise FloplineError(
            f"{path}: a column 'run' cannot be told from the names of the runs: rename it."
        )
    if _OF_TIME.search(axis) and not {"step", "tokens", "flops"} & set(wish.columns or {}):
        raise FloplineError(
            f"{path}: the x axis of the chart is '{axis}', by which no step can be told: export "
            "it with Step or the tokens on its x axis, or fetch the whole histories with "
            f"`{command()} fetch wandb:ENTITY/PROJECT`."
        )
    names = list(dict.fromkeys([axis, *(metric for of_run in runs.values() for metric in of_run)]))
    columns: dict[str, PlainColumn] = {"step": axis, **(wish.columns or {}), "run": "run"}
    while batch := list(islice(rows, BATCH)):
        points, unparsed = [], []
        for line, cells in batch:
            if len(cells) != len(header):
                unparsed.append((line, NOT_PARSED))
                continue
            for run, places in runs.items():
                values = {metric: cells[at].strip() or None for metric, at in places.items()}
                if any(value is not None for value in values.values()):
                    points.append(
                        {axis: cells[0].strip() or None, **values, "run": run, "line": line}
                    )
        there = [name for name in names if name in wanted]
        table = pd.DataFrame(points, columns=[*there, "run", "line"], dtype=object)
        yield Raw(table, unparsed, names, columns)


def _places(path: Path, header: list[str]) -> dict[str, dict[str, int]]:
    """Where each metric of each run stands."""
    runs: dict[str, dict[str, int]] = {}
    for place, name in enumerate(header[1:], start=1):
        if _BETWEEN in name and not name.endswith(_RANGES):
            # A run may be called anything, a metric rarely holds the separator.
            run, metric = name.rsplit(_BETWEEN, 1)
            of_run = runs.setdefault(run, {})
            first = of_run.setdefault(metric, place)
            if first != place:
                raise FloplineError(
                    f"{path}: the run '{run}' stands there twice, as column {first + 1} and as "
                    f"column {place + 1} of {metric}: two runs have one display name, so rename "
                    "one and export again, or export their histories by id."
                )
    return runs
