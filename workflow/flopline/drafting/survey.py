"""What a folder holds: logs by format, tables of runs, and files that are neither."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopline.drafting.columns import fact_columns, row_columns
from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS
from flopline.logs.readers import read_log, sniffed
from flopline.logs.reading import Facts, Wish
from flopline.sources import parts_of, run_name
from flopline.tables import read_table

NAMED_IN: Final = 200
"""Rows in which all columns of a log are named, where each row names its own."""

LOOKED_INTO: Final = 3
"""Logs of a group that are read to learn what they say; of the others the first bytes tell."""


@dataclass(frozen=True, slots=True)
class Group:
    """Logs of one format with the same columns, and what the first of them say.

    `columns` is the proposed column map (None for a format that knows its own), `names` all
    columns seen, `splits` those with a loss, `facts` what each log looked into says of its run.
    """

    format: str
    paths: Sequence[str]
    names: Sequence[str]
    columns: dict[str, Any] | None
    splits: Sequence[str]
    facts: Sequence[str]
    rows: int
    has_tokens: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table with one row per run: its path, columns, proposed map and number of rows."""

    path: str
    names: Sequence[str]
    columns: dict[str, Any]
    rows: int
    holds_losses: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything in a folder; `left` has (path, reason) of what is neither log nor table."""

    folder: str
    groups: Sequence[Group]
    tables: Sequence[Table]
    left: Sequence[tuple[str, str]]


def survey(folder: Path, root: Path) -> Survey:
    """What the files below `folder` are, with paths relative to `root`.

    Raises FloplineError when the folder does not exist or holds no file.
    """
    if not folder.is_dir():
        raise FloplineError(f"{folder} is no folder: name the one that holds the logs.")
    logs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    tables: list[Table] = []
    left: list[tuple[str, str]] = []
    for path in _candidates(folder):
        shown = _shown(path, root)
        name = None
        try:
            name = sniffed(path)
            if name is None:
                left.append((shown, "it is empty"))
                continue
            names = _columns_of(path, name)
            table = _as_table(path, shown, name, names)
        except FloplineError as refusal:
            left.append((shown, str(refusal) if name else "no log format that is known fits it"))
            continue
        if table is not None:
            tables.append(table)
        elif not FORMATS[name].columns.of_format and "loss" not in row_columns(names):
            left.append((shown, f"it is {name}, but no column is named like a loss"))
        else:
            logs.setdefault((name, _shape(name, names)), []).append(shown)
    groups = []
    for (name, _), paths in logs.items():
        groups.append(_group(name, paths, root))
    if not (groups or tables or left):
        raise FloplineError(f"{folder} holds no file: name the folder that holds the logs.")
    groups.sort(key=lambda g: (-len(g.paths), g.format))
    return Survey(_shown(folder, root), groups, tables, left)


def _shown(path: Path, root: Path) -> str:
    """A path as a study file names it: relative below `root`, else absolute."""
    path = Path(os.path.normpath(root / path))
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _candidates(folder: Path) -> Iterator[Path]:
    """Every folder that is a log, and every file that is in none, in a fixed order."""
    for place, inner, files in os.walk(folder):
        here = Path(place)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if parts_of(here):
            inner.clear()
            yield here
            continue
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def _columns_of(path: Path, name: str) -> list[str]:
    """The columns of a log; none for a format that knows its own."""
    entry = FORMATS[name]
    if entry.columns.of_format:
        return []
    wish = Wish(columns={"loss": ""}, rows=NAMED_IN)
    return list(next((raw.names for raw in entry.load().read(path, wish, Facts())), []))


def _shape(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """What logs of one study must share: the columns that would be mapped."""
    if FORMATS[name].columns.of_format:
        return ()
    return tuple(str(column) for column in row_columns(names).values())


def _as_table(path: Path, shown: str, name: str, names: Sequence[str]) -> Table | None:
    """The file as a table of runs, where it has params and names every run once; else None."""
    if not FORMATS[name].is_table:
        return None
    facts, rows = fact_columns(names), row_columns(names)
    if not {"params", "params_total", "params_nonembedding"} & set(facts):
        return None
    table, _ = read_table(path, name)
    several = "run" in facts and bool(table[facts["run"]].duplicated().any())
    if several or ("run" not in facts and "step" in rows):
        return None
    for count in ("params_total", "params_nonembedding"):
        if "params" not in facts and count in facts:
            facts["params"] = facts[count]
    return Table(shown, names, facts, len(table), "loss" in rows)


def _group(name: str, paths: Sequence[str], root: Path) -> Group:
    names: list[str] = []
    splits: list[str] = []
    facts: list[str] = []
    rows, has_tokens = 0, False
    columns: dict[str, Any] | None = None
    for path in paths[:LOOKED_INTO]:
        names = _columns_of(root / path, name) or names
        columns = None if FORMATS[name].columns.of_format else row_columns(names)
        reading = read_log(root / path, columns, name)
        rows += len(reading.rows)
        has_tokens |= "tokens" in reading.rows and bool(reading.rows["tokens"].notna().any())
        splits += [str(s) for s in reading.rows["split"].dropna().unique()]
        facts += [fact for known in reading.facts.known.values() for fact in known]
    return Group(
        name,
        paths,
        names,
        columns,
        list(dict.fromkeys(splits)),
        list(dict.fromkeys(facts)),
        rows,
        has_tokens,
    )


def runs_of(group: Group) -> list[str]:
    """The runs that the logs of a group would be called."""
    return [run_name(path) for path in group.paths]
