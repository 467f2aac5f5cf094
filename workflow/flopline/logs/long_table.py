"""Tables with a row for each value of a metric, as Aim and MLflow's search export them.

A column names the metric, another has its value; the split may stand in a third. Metrics are put
side by side by run and step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.errors import FloplineError
from flopline.logs import delimited
from flopline.logs.key_values import is_loss
from flopline.logs.opening import BEGIN, head_of, in_lines
from flopline.logs.reading import NOT_PARSED, LogFacts, PlainColumn, Raw, Wish, as_cell
from flopline.twins import demand_once

CALLED: Final[Mapping[str, tuple[str, ...]]] = {
    "metric": ("metric", "metricname", "metrickey", "key", "tag"),
    "value": ("value", "metricvalue"),
    "step": ("step", "globalstep", "iteration"),
    "split": ("split", "subset", "metriccontextsubset", "contextsubset"),
    "run": ("run", "runid", "runname", "runhash", "runuuid"),
}
"""What the columns are called, in lower case and without punctuation."""
_NEEDED: Final = ("metric", "value", "step")
RUN: Final = "run"
"""The column that names the run of a row, where the table has one."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the header names metrics, values and steps, and no loss of its own."""
    header = _header(head)[1]
    named = all(_columns(header, ours) for ours in _NEEDED)
    return named and not any(map(is_loss, header))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """One row for each step of a run, with its metrics as columns; `line` is that of the first.

    Where a metric was logged again at a step, the n-th values of all metrics go together. With a
    column for the split a metric is called `SPLIT/METRIC`.
    """
    separator, _ = _header(in_lines(head_of(path, BEGIN)))
    cells = delimited.read_cells(path, separator)
    header = [name.strip() for name in next(cells, (0, []))[1]]
    if not header:
        return
    demand_once(header, [header[at] for ours in CALLED for at in _columns(header, ours)], path)
    lacking = [ours for ours in _NEEDED if not _columns(header, ours)]
    if lacking:
        raise FloplineError(
            f"{path} has no column of the {' or the '.join(lacking)}, as a table with a row for "
            f"each value of a metric has; it has: {', '.join(header)}: correct source.format."
        )
    records: list[list[str]] = []
    lines: list[int] = []
    unparsed: list[tuple[int, str]] = []
    for line, row in cells:
        if len(row) != len(header):
            unparsed.append((line, NOT_PARSED))
            continue
        records.append([cell.strip() for cell in row])
        lines.append(line)
    yield _side_by_side(path, header, records, lines, unparsed, wish)


def _side_by_side(
    path: Path,
    header: Sequence[str],
    records: Sequence[Sequence[str]],
    lines: Sequence[int],
    unparsed: Sequence[tuple[int, str]],
    wish: Wish,
) -> Raw:
    metric, value, step = (_columns(header, ours)[0] for ours in _NEEDED)
    split = next(iter(_columns(header, "split")), None)
    run = _run_column(header, records)
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    times: dict[tuple[str, str, str], int] = {}
    names: dict[str, None] = {}
    for line, cells in zip(lines, records, strict=True):
        name = "/".join(filter(None, [cells[split] if split is not None else "", cells[metric]]))
        of_run = cells[run] if run is not None else ""
        number = times.get((of_run, cells[step], name), 0)
        times[of_run, cells[step], name] = number + 1
        names[name] = None
        row = rows.setdefault(
            (of_run, cells[step], number),
            {header[step]: cells[step] or None, RUN: of_run or None, "line": line},
        )
        if name in (RUN, header[step], "line"):
            raise FloplineError(
                f"{path}, line {line}: a metric '{name}' cannot be told from the column of that "
                "name: rename it."
            )
        row[name] = as_cell(cells[value] or None)
    columns: dict[str, PlainColumn] = {"step": header[step], **(wish.columns or {})}
    if run is not None:
        columns[RUN] = RUN
    there = [header[step], *([RUN] if run is not None else []), *sorted(names)]
    wanted = [name for name in there if name in (header[step], RUN, *wish.names)]
    table = pd.DataFrame(rows.values(), columns=[*wanted, "line"], dtype=object)
    return Raw(table, unparsed, there, columns)


def _run_column(header: Sequence[str], records: Sequence[Sequence[str]]) -> int | None:
    """The column that names the runs: of a name and an id the name, where each has one id."""
    places = sorted(_columns(header, "run"), key=lambda at: "name" not in _bare(header[at]))
    for at in places[:-1]:
        pairs = {(row[at], *(row[other] for other in places)) for row in records}
        if len(pairs) == len({row[at] for row in records}) and all(row[at] for row in records):
            return at
    return places[-1] if places else None


def _columns(header: Sequence[str], ours: str) -> list[int]:
    """Where the columns stand that are called so, the most usual name first."""
    called = [_bare(name) for name in header]
    return [called.index(name) for name in CALLED[ours] if name in called]


def _header(head: bytes) -> tuple[str, list[str]]:
    """What parts the cells of a table, and those of its header."""
    complete_lines = head[: head.rfind(b"\n") + 1] or head
    for separator in (",", "\t", delimited.SEMICOLON):
        if header := delimited.header_of(complete_lines, separator):
            return separator, [name.strip() for name in header]
    return ",", []


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
