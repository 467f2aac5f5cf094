"""What a folder holds: logs by format, tables of runs, and files that are neither."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.drafting.columns import (
    AUXILIARY,
    LAST_OF_OTHERS,
    batches_called,
    chosen_losses,
    columns_called,
    fact_columns,
    last_instead,
    lettered,
    of_tracker,
    other_candidates,
    other_losses,
    row_columns,
    split_of,
    what_else,
)
from flopline.drafting.naming import last_of_checkpoints, run_names, runs_by_path
from flopline.drafting.perplexities import unit_beside
from flopline.drafting.restarts import LogCurve, attempts_in, pieces_of
from flopline.drafting.sidecars import NAMES as SIDECARS
from flopline.drafting.sidecars import facts_of
from flopline.errors import FloplineError
from flopline.logs.formats import A_SPREADSHEET, FORMATS, SPLITS, SPREADSHEETS
from flopline.logs.key_values import FIRST, is_loss, leaves, parsed
from flopline.logs.opening import BEGIN, demand_no_archive, head_of, is_binary, text_lines
from flopline.logs.readers import AIM, is_aim_store, read_log, sniffed
from flopline.logs.reading import (
    COMMA_IN_LOSS,
    DOUBTFUL_COMMA,
    NO_LOSS,
    LogFacts,
    Reading,
    Wish,
    columns_in,
    other_separator,
    plain_columns,
)
from flopline.loss_units import BITS, NATS, unit_of, words
from flopline.places import FETCHED
from flopline.sources import parts_of, run_name, split_places
from flopline.study_document import ColumnMap, MappedColumn
from flopline.tables import column_of, read_table, record_of
from flopline.units import COUNTS
from flopline.units import unit_of as count_unit
from flopline.written_numbers import DECIMALS, is_rounded, parse_number, parse_plain

PLACES: Final = ("step", "tokens", "flops")
"""What places a row in its run, the first that is there."""

NAMED_IN: Final = 200
"""Rows in which all columns of a log are named, where each row names its own."""

DOCUMENTS: Final = (
    "py", "ipynb", "sh", "slurm", "sbatch", "bash", "md", "rst", "tex", "html", "yaml", "yml",
    "toml", "cfg", "ini", "cu", "cpp", "c", "h", "rs", "js", "patch", "diff",
)  # fmt: skip
"""Endings of programs and documents, which may quote lines of a log and are none."""

NO_COLUMN: Final = "\0"
"""What no column is called, as where only the names of columns are asked for."""

LOOKED_THROUGH: Final = 2_000
"""Lines of an unknown text among which the one most like a log is looked for."""


SIZE: Final = ("size", "model size", "model_size", "scale")
"""Columns that hold the sizes of models where these are written like 1.3B, and else words."""

EPOCH: Final = "epoch"
"""The column of epochs, by which logs without steps may be placed."""

PARAMS: Final = ("params", "params_total", "params_nonembedding")
"""Our names for sizes of models, the one that laws are about first."""

MOST_FORWARD: Final = 0.8
"""Share of the rows of a curve that lie behind the one before them, at least."""

PROJECT: Final = ("config", "profiles", "results", "workflow")
"""Folders of a project that hold no logs of anybody."""


@dataclass(frozen=True, slots=True)
class LogCount:
    """One log as it was read: how many rows it holds and how many of them are read."""

    path: str
    rows_in: int
    rows: int


@dataclass(frozen=True, slots=True)
class Changing:
    """A fact of runs that changes within the log `path`: under which `key`, and its `values`."""

    path: str
    key: str
    values: Sequence[object]


@dataclass(frozen=True, slots=True)
class LogGroup:
    """Logs of one format with the same columns, and what they say.

    `columns` is the proposed column map (None for a format that knows its own), `names` all
    columns seen, `splits` those with a loss, `facts` what every log knows of its run, `fact_keys`
    which of our facts all of them say under which name of their own. `logs` tells how much of each
    was read, `notes` what was chosen among several, `units` in which a split's losses are,
    `optional` which columns some of the logs lack, `runs` which runs a column of them names,
    `pieces` by path the run of those that go on where another ends, `in_bits` the splits whose
    perplexity says that their losses are in bits, `decimal` what parts the fractions of numbers,
    `counted_from_nought` whether rows without a step have an epoch that begins with 0, `changing`
    the facts that tell several runs in one log apart.
    """

    format: str
    paths: Sequence[str]
    names: Sequence[str]
    columns: dict[str, MappedColumn] | None
    splits: Sequence[str]
    facts: Sequence[str]
    rows: int
    has_tokens: bool
    fact_keys: Mapping[str, str] = field(default_factory=dict)
    logs: Sequence[LogCount] = ()
    notes: Sequence[str] = ()
    has_steps: bool = True
    units: Mapping[str, str] = field(default_factory=dict)
    optional: Sequence[str] = ()
    runs: Sequence[str] = ()
    pieces: Mapping[str, str] = field(default_factory=dict)
    in_bits: Sequence[str] = ()
    decimal: str = "."
    counted_from_nought: bool = False
    changing: Mapping[str, Changing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with one row per run: its path, columns, proposed map and number of rows.

    `ending_tells` says whether its name tells its format, as that of a run table must;
    `row_columns` is the proposed map of what a logged row has, as tokens and the loss,
    `row_of_units` what a row of units below the header says by column, and `decimal` what parts
    the fractions of its numbers. `repeats` is a column by which runs go over their data more than
    once.
    """

    path: str
    format: str
    names: Sequence[str]
    columns: dict[str, MappedColumn]
    rows: int
    ending_tells: bool
    row_columns: Mapping[str, MappedColumn]
    decimal: str = "."
    repeats: str = ""
    row_of_units: Mapping[str, str] = field(default_factory=dict)

    @property
    def holds_losses(self) -> bool:
        """Whether one of its columns is a loss."""
        return "loss" in self.row_columns


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything in a folder; `left` has (path, reason) of what is neither log nor table."""

    folder: str
    groups: Sequence[LogGroup]
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
        relative = _relative(path, root)
        name = None
        try:
            name = sniffed(path)
            if name is None:
                left.append((relative, "it is empty"))
                continue
            if path.suffix.lower().removeprefix(".") in DOCUMENTS:
                left.append((relative, f"it is a program or a document that quotes rows of {name}"))
                continue
            names = columns_of(path, name)
            if other := _parted_by_another(name, names):
                name, names = other, columns_of(path, other)
            if mend := other_separator(names):
                left.append((relative, f"it is {name}{mend}"))
                continue
            table = _as_table(path, relative, name, names)
        except FloplineError as refusal:
            table = _result(path, relative) if name is None else None
            if table is None:
                reason = str(refusal) if name else AIM if is_aim_store(path) else _unknown(path)
                beside = is_sidecar(relative) and path.suffix in (".yaml", ".yml")
                left.append((relative, OF_RUNS if beside else reason))
                continue
            name = table.format
        if table is not None:
            tables.append(table)
        elif not FORMATS[name].columns.of_format and "loss" not in row_columns(names):
            left.append((relative, f"it is {name}, {_lossless(path, names)}"))
        else:
            logs.setdefault((name, _shape(name, names)), []).append(relative)
    groups = []
    for name, paths in _with_other_splits(logs):
        if (group := _group(name, paths, root, left)) is not None:
            groups.append(group)
    if not (groups or tables or left):
        raise FloplineError(f"{folder} holds no file: name the folder that holds the logs.")
    groups.sort(key=lambda g: (-len(g.paths), "val" not in g.splits, not g.has_tokens, g.format))
    return Survey(_relative(folder, root), groups, tables, left)


def _with_other_splits(
    logs: Mapping[tuple[str, tuple[str, ...]], Sequence[str]],
) -> list[tuple[str, list[str]]]:
    """The logs by format and columns; those of the splits of a run come together all the same."""
    together: list[tuple[str, list[str]]] = []
    for name in dict.fromkeys(name for name, _ in logs):
        shapes = [list(paths) for (of, _), paths in logs.items() if of == name]
        run_of = runs_by_path([path for paths in shapes for path in paths])
        kinds: list[list[str]] = []
        for paths in shapes:
            runs = {run_of[path] for path in paths}
            mates = [kind for kind in kinds if not runs.isdisjoint(run_of[p] for p in kind)]
            kinds = [kind for kind in kinds if kind not in mates]
            kinds.append(sorted([path for kind in mates for path in kind] + paths))
        together += [(name, paths) for paths in kinds]
    return together


def _relative(path: Path, root: Path) -> str:
    """A path as a study file names it: relative below `root`, else absolute."""
    path = Path(os.path.normpath(root / path))
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _candidates(folder: Path) -> Iterator[Path]:
    """Every folder that is a log, and every file that is in none, in a fixed order.

    Of a project of Flopline the folders that it fills itself, PROJECT, are passed over.
    """
    for place, inner, files in os.walk(folder):
        here = Path(place)
        if is_aim_store(here):
            inner.clear()
            yield here
            continue
        yield from (
            here / name for name in inner if name.startswith(".") and is_aim_store(here / name)
        )
        own = PROJECT if (here / "config/config.yaml").is_file() else ()
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in own)
        if parts_of(here):
            inner.clear()
            yield here
            continue
        own_files = {FETCHED} if FETCHED in files and "logs" in inner else set()
        names = sorted(name for name in set(files) - own_files if not name.startswith("."))
        yield from (here / name for name in names)


def _parted_by_another(name: str, names: Sequence[str]) -> str:
    """The format of a table by what parts the cells of its header, if its ending says another."""
    if not FORMATS[name].separator or len(names) != 1:
        return ""
    others = (entry for entry in FORMATS.values() if entry.separator and entry.name != name)
    return next((entry.name for entry in others if entry.separator in names[0]), "")


def columns_of(path: Path, name: str) -> list[str]:
    """The columns of a log; none for a format that knows its own."""
    entry = FORMATS[name]
    if entry.columns.of_format:
        return []
    wish = Wish(columns={"loss": NO_COLUMN}, rows=NAMED_IN)
    return list(next((raw.names for raw in entry.load().read(path, wish, LogFacts())), []))


def _shape(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """What logs of one study must share: the columns that would be mapped."""
    if FORMATS[name].columns.of_format:
        return ()
    return tuple(str(column) for column in row_columns(names).values())


def _result(path: Path, relative: str) -> Table | None:
    """A document of JSON that holds the result of one finished run, as a table of it; else None."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    try:
        names = columns_of(path, "json")
        table = _as_table(path, relative, "json", names)
    except FloplineError:
        return None
    losses = columns_in(table.row_columns.get("loss", [])) if table else []
    plain = [name for name in losses if what_else(name) != AUXILIARY]
    return table if plain and table is not None and set(PARAMS) & set(table.columns) else None


def _as_table(path: Path, relative: str, name: str, names: Sequence[str]) -> Table | None:
    """The file as a table of runs, else None.

    It is one where it has params and names no run twice, or where each row is a named run's loss.
    """
    if not FORMATS[name].is_table:
        return None
    names = _with_inner(path, name, names)
    facts, rows = fact_columns(names), _of_ends(names)
    sized = bool(set(PARAMS) & set(facts))
    if not sized and not ("run" in facts and "loss" in rows and "step" not in rows):
        return None
    table, _ = read_table(path, name)
    facts = _with_counts(table, names)
    runs = _named_runs(table, facts)
    if not set(PARAMS) & set(facts) and (runs is None or len(table) < 2 or bool(runs.isna().any())):
        return None
    if runs is None and ("step" in rows or _is_a_curve(table, facts, rows)):
        return None
    if runs is not None and _names_several(runs, rows):
        several = _of_last_losses(table, str(facts["run"]), facts, rows)
        if not several:
            return None
        facts["run"] = several
    for count in PARAMS[1:]:
        if "params" not in facts and count in facts:
            facts["params"] = facts[count]
    letters = lettered(names, sized="params" in facts)
    if "loss" in letters and not _has_fractions(table, str(letters["loss"])):
        del letters["loss"]  # layers, say
    rows = {**letters, **rows}
    by_ending = [one.name for one in FORMATS.values() if one.is_table and one.ends(path.name)]
    ending_tells = by_ending[:1] == [name]
    decimal = _decimal_of(table, columns_in(rows["loss"])) if "loss" in rows else DECIMALS[0]
    repeats = next((n for n in names if n.lower().endswith("epochs") and _more(table, n)), "")
    units = _row_of_units(table, [*rows.values(), *facts.values()], decimal)
    return Table(
        relative, name, names, facts, len(table), ending_tells, rows, decimal, repeats, units
    )


def _row_of_units(
    table: pd.DataFrame, specs: Sequence[MappedColumn], decimal: str
) -> dict[str, str]:
    """The units by column, where the first row says them and the row below it has the numbers."""
    scaled = [_column(spec) for spec in specs if isinstance(spec, dict) and "times" in spec]
    plain = [spec for spec in specs if not (isinstance(spec, dict) and "times" in spec)]
    columns = dict.fromkeys([*scaled, *(one for spec in plain for one in columns_in(spec))])
    units: dict[str, str] = {}
    for name in columns:
        cells = column_of(table, name)
        if cells is None or len(cells) < 2:
            continue
        first, second = cells.iloc[:2]
        if math.isnan(parse_number(second, decimal)):
            continue
        if not isinstance(first, str) or not math.isnan(parse_number(first, decimal)):
            return {}
        units[name] = first.strip()
    said = any(count_unit(f"({unit})") is not None for unit in units.values())
    return units if said else {}


def _of_ends(names: Sequence[str]) -> dict[str, MappedColumn]:
    """The columns of rows of a table of finished runs, with losses at their ends before means."""
    rows = row_columns(names)
    loss = rows.get("loss")
    if isinstance(loss, str):
        rows["loss"] = last_instead(loss, names)
    elif isinstance(loss, dict):
        rows["loss"] = {split: last_instead(str(one), names) for split, one in loss.items()}
    return rows


def _names_several(runs: pd.Series, rows: ColumnMap) -> bool:
    """Whether rows of one name are those of its curve, or runs, and no few that slipped in twice.

    Where most names stand there once, each row is a run.
    """
    repeated = bool(runs.duplicated().any())
    return repeated and ("step" in rows or 2 * runs.nunique() <= len(runs))


def _more(table: pd.DataFrame, column: str) -> bool:
    """Whether a number of a column is more than one."""
    return any(parse_number(cell) > 1 for cell in _cells(table, column))


_RECORDS: Final = frozenset({"summary", "config"})
"""Columns of an export that hold records as text."""


def _with_inner(path: Path, name: str, names: Sequence[str]) -> list[str]:
    """The names of a table's columns, those within records that are written as text by dots."""
    outer = [one for one in names if one.lower() in _RECORDS]
    if not FORMATS[name].separator or not outer:
        return list(names)
    table, _ = read_table(path, name)
    inner: dict[str, None] = {}
    for one in outer:
        records = [record for cell in table[one] if isinstance(record := record_of(cell), dict)]
        leaves_of = (key for record in records for key, value in leaves(record) if is_plain(value))
        inner.update(dict.fromkeys(f"{one}.{key}" for key in leaves_of))
    return [*names, *inner]


def is_plain(value: object) -> bool:
    """Whether a value is a number or a text."""
    return isinstance(value, int | float | str)


def _is_a_curve(table: pd.DataFrame, facts: ColumnMap, rows: ColumnMap) -> bool:
    """Whether rows without names are of one size, most placed behind the one before them."""
    place = next((_column(rows[ours]) for ours in PLACES if ours in rows), "")
    place = place or next((str(name) for name in table if str(name).lower() == EPOCH), "")
    size = next((_column(facts[ours]) for ours in PARAMS if ours in facts), "")
    at = pd.Series([parse_number(cell) for cell in _cells(table, place)], dtype=float)
    one_size = len({*map(str, _cells(table, size))}) == 1
    # A restart goes back, and a run is restarted less often than it logs.
    return one_size and len(at) > 2 and bool((at.diff().dropna() > 0).mean() > MOST_FORWARD)


def _of_last_losses(table: pd.DataFrame, run: str, facts: ColumnMap, rows: ColumnMap) -> list[str]:
    """The columns that tell finished runs of one name apart; none where rows may be of a curve."""
    place = next((_column(rows[ours]) for ours in PLACES if ours in rows), "")
    losses = columns_in(rows.get("loss", []))
    last = bool(losses) and all(what_else(name) == LAST_OF_OTHERS for name in losses)
    if "step" in rows or not place or not last:
        return []
    key = [run, place]
    if table.duplicated(key).any():
        further = _telling(table, key, [one for one in map(_column, facts.values()) if one != run])
        return [*key, *further] if further else []
    return key


def _with_counts(table: pd.DataFrame, names: Sequence[str]) -> dict[str, MappedColumn]:
    """The facts of a table by its columns, of which a count is none where no cell is a number."""
    left = list(names)
    while True:
        facts = fact_columns(left)
        words = {
            str(column)
            for ours, spec in facts.items()
            if ours in COUNTS
            for column in [spec["column"] if isinstance(spec, dict) else spec]
            if not any(
                math.isfinite(parse_number(cell, decimal))
                for cell in _cells(table, str(column))
                for decimal in DECIMALS
            )
        }
        if not words:
            size = next((n for n in names if n.lower() in SIZE and _of_sizes(table, n)), "")
            return facts if set(PARAMS) & set(facts) or not size else {**facts, "params": size}
        left = [name for name in left if name not in words]


def _of_sizes(table: pd.DataFrame, column: str) -> bool:
    """Whether all cells of a column are sizes of models, as 70M and 1.3B."""
    cells = [str(cell).strip() for cell in _cells(table, column)]
    return bool(cells) and all(is_rounded(cell) and parse_number(cell) > 0 for cell in cells)


def _named_runs(table: pd.DataFrame, facts: ColumnMap) -> pd.Series | None:
    """The cells of the column that names the runs of a table; None without one."""
    return column_of(table, str(facts["run"])) if "run" in facts else None


def _cells(table: pd.DataFrame, column: str) -> list[Any]:
    """The cells of a column of a table that are not empty."""
    values = column_of(table, column)
    return [] if values is None else list(values.dropna())


def _has_fractions(table: pd.DataFrame, column: str) -> bool:
    """Whether numbers of a column are no whole ones."""
    numbers = [parse_number(str(cell).replace(",", ".")) for cell in _cells(table, column)]
    return any(not number.is_integer() for number in numbers if math.isfinite(number))


def _decimal_of(table: pd.DataFrame, losses: Sequence[str]) -> str:
    """What parts the fractions of a table's numbers: a comma where all its losses say so."""
    cells = [cell for name in losses for cell in _cells(table, name) if isinstance(cell, str)]
    commas = [cell for cell in cells if "," in cell]
    told = commas and not any("." in cell for cell in cells)
    return "," if told and all(math.isfinite(parse_plain(cell, ",")) for cell in cells) else "."


def _group(
    name: str, paths: Sequence[str], root: Path, left: list[tuple[str, str]]
) -> LogGroup | None:
    """The logs of a kind, each read whole; None where none holds a row. What holds none is left."""
    paths, begun = last_of_checkpoints(paths)
    left += [(path, "it is the beginning of the log of a later checkpoint") for path in begun]
    paths, of_split = _one_each(paths, left)
    run_of = runs_by_path(paths)
    names: dict[str, None] = {}
    splits: dict[str, None] = {}
    logs: list[LogCount] = []
    runs: dict[str, _RunSays] = {}
    units: dict[str, str] = {}
    steps = 0
    columns: dict[str, MappedColumn] | None = None
    all_names: list[Sequence[str]] = []
    with_number: dict[str, bool] = {}
    curves: list[LogCurve] = []
    decimal, unplaced, moving_step = ".", False, ""
    changing: dict[str, Changing] = {}
    begun_anew: dict[str, Sequence[float]] = {}
    run_column, run_values = _told_by_column(name, [root / path for path in paths])
    of_run: dict[str, MappedColumn] = {"run": run_column} if run_column else {}
    for path in paths:
        here = columns_of(root / path, name)
        columns = None if FORMATS[name].columns.of_format else of_run | row_columns(here)
        if columns and moving_step in here:
            columns["step"] = moving_step
        try:
            reading = read_log(root / path, columns, name, decimal=decimal)
            if not logs and reading.rows.empty and _has_commas(reading):
                # As spreadsheets write numbers in half of the world; the loss tells it.
                decimal = ","
                reading = read_log(root / path, columns, name, decimal=decimal)
        except FloplineError as refusal:
            left.append((path, str(refusal)))
            continue
        rows = reading.rows
        if rows.empty:
            left.append((path, _without_rows(name, reading)))
            continue
        if columns and columns.get("step") == FIRST and _stands_still(rows):
            # No position but what all lines of a process begin with.
            unplaced = True
            rows = read_log(root / path, _without_step(columns), name, decimal=decimal).rows
        elif columns and "step" in columns and _stands_still(rows):
            moving = _with_moving_step(root / path, name, columns, here, decimal)
            if moving is not None:
                moving_step, reading = moving
                columns, rows = {**columns, "step": moving_step}, reading.rows
        if FORMATS[name].several_runs:
            run_values += [run for run in map(str, rows["run"].unique()) if run not in run_values]
        elif not run_column and (attempts := attempts_in(rows)).ends:
            if attempts.anew:
                begun_anew[path] = attempts.ends
            if not changing:
                changing = _changing(path, root, name, len(attempts.ends) + 1)
        if not of_split and (curve := LogCurve.of(path, rows)) is not None:
            curves.append(curve)
        for split, loss in rows.groupby("split", observed=True)["loss"]:
            finite = bool(np.isfinite(loss.to_numpy(float)).any())
            with_number[str(split)] = finite or with_number.get(str(split), False)
        names.update(dict.fromkeys(here))
        all_names.append(here)
        logs.append(LogCount(path, reading.rows_in, len(rows)))
        run = runs.setdefault(run_of[path], _RunSays())
        run.facts |= {fact for facts in reading.facts.known.values() for fact in facts}
        run.keys |= _fact_keys(root / path, name, columns, here, reading)
        units |= {s: unit for s, unit in reading.facts.units.items() if s and unit != NATS}
        with_tokens = run.read(rows)
        steps += ("step" in rows and bool(rows["step"].notna().all())) or with_tokens
        own = rows["split"].dropna().unique()
        if path in of_split and set(own) <= {"train"}:
            own = [of_split[path]]
        splits.update(dict.fromkeys(map(str, own)))
    if not logs:
        return None
    read = [log.path for log in logs]
    columns = columns if columns is None else of_run | row_columns(list(names))
    columns = {**columns, "step": moving_step} if columns and moving_step else columns
    columns = _without_step(columns) if columns and unplaced else columns
    columns, never = _with_numbers(columns, with_number)
    in_bits = _in_bits(root / read[0], name, columns or {}, all_names[0])
    pieces, asked = ({}, []) if run_values else pieces_of(curves, run_names(read))
    return LogGroup(
        name,
        read,
        list(names),
        columns,
        [split for split in splits if split not in never],
        sorted(set.intersection(*(run.facts for run in runs.values()))),
        sum(log.rows for log in logs),
        all(run.knows_tokens for run in runs.values()),
        _in_all([run.keys for run in runs.values()]),
        logs,
        [
            *_title(root / read[0], name, splits),
            *_several(run_column, run_values),
            *_chosen(list(names), columns),
            *[
                f"{column} is NaN or infinite in every row and left out."
                for column in never.values()
            ],
            *_in_units(units),
            *(
                f"losses of the split {split} are in bits: perplexities are 2 to the power of them."
                for split in in_bits
            ),
            *asked,
            *_anew(begun_anew, changing),
            *(_growing_batch(root, read, name, columns or {}, all_names[0])),
            *(["numbers have decimal commas, as their losses show."] if decimal == "," else []),
        ],
        steps == len(logs),
        units,
        _lacking(columns, all_names),
        run_values,
        pieces,
        in_bits,
        decimal,
        steps < len(logs) and _counts_from_nought(root / read[0], name, columns, all_names[0]),
        changing,
    )


def _changing(path: str, root: Path, name: str, attempts: int) -> dict[str, Changing]:
    """The sizes and plans of runs that a log says anew, at most once for each of its attempts."""
    module = FORMATS[name].load()
    if not hasattr(module, "changing_facts"):
        return {}
    values = module.changing_facts(root / path)
    keys = facts_of({key: several[0] for key, several in values.items()})
    return {
        ours: Changing(path, key, values[key])
        for ours, key in keys.items()
        if ours in (*PARAMS, "horizon_tokens", "horizon_steps") and len(values[key]) <= attempts
    }


def _anew(begun: Mapping[str, Sequence[float]], changing: Mapping[str, Changing]) -> list[str]:
    """That logs go back in their steps and begin again, which may be several runs."""
    if changing or not begun:
        return []
    path, ends = next(iter(begun.items()))
    at = " and ".join(f"{end:,.0f}" for end in ends[:3])
    more = f", and so do {len(begun) - 1} more" if len(begun) > 1 else ""
    return [
        f"{path} begins again from its first step after {at}{more}: each is read as one run that "
        "was restarted, of which the last attempt counts; if the attempts are several runs, put "
        "each into a file of its own."
    ]


def _counts_from_nought(
    path: Path, name: str, columns: ColumnMap | None, names: Sequence[str]
) -> bool:
    """Whether a log has epochs and the first is 0, so that each stands for one more."""
    if columns is None or EPOCH not in names:
        return False
    epochs = read_log(path, {"step": EPOCH, "loss": columns["loss"]}, name).rows["step"]
    return bool((epochs.dropna() % 1 == 0).all()) and epochs.min() == 0


def _growing_batch(
    root: Path, paths: Sequence[str], name: str, columns: ColumnMap, names: Sequence[str]
) -> list[str]:
    """That the batch changes within a log, so that tokens do not follow from the step."""
    if "tokens" in columns or "flops" in columns or FORMATS[name].columns.of_format:
        return []
    for column in batches_called(names):
        for path in paths:
            try:
                sizes = read_log(root / path, {"loss": column}, name).rows["loss"]
            except FloplineError:
                continue
            if sizes.min() < sizes.max():
                return [
                    f"the batch changes within {path} ('{column}' is {sizes.min():,.0f} and "
                    f"{sizes.max():,.0f}), so that tokens do not follow from the step by one "
                    "batch_tokens: add a column with all tokens so far, and map it as tokens."
                ]
    return []


def _stands_still(rows: pd.DataFrame) -> bool:
    """Whether steps take few values, as the number of a process at the begin of lines does."""
    longest = rows["split"].astype("string").fillna("").value_counts().max()
    return bool(rows["step"].nunique() < longest / 2)


def _with_moving_step(
    path: Path, name: str, columns: ColumnMap, names: Sequence[str], decimal: str
) -> tuple[str, Reading] | None:
    """Another column of steps that moves on from row to row, and the log as read by it.

    Lines of an evaluation may have a step of their own name, at which those of training stand
    still.
    """
    for other in columns_called("step", names):
        if other == columns["step"]:
            continue
        reading = read_log(path, {**columns, "step": other}, name, decimal=decimal)
        rows = reading.rows
        if not rows.empty and bool(rows["step"].notna().all()) and not _stands_still(rows):
            return other, reading
    return None


def _without_step(columns: dict[str, MappedColumn]) -> dict[str, MappedColumn]:
    return {ours: column for ours, column in columns.items() if ours != "step"}


def _with_numbers(
    columns: dict[str, MappedColumn] | None, with_number: Mapping[str, bool]
) -> tuple[dict[str, MappedColumn] | None, dict[str, str]]:
    """A map without the losses that are a number in no row, and which columns these are by split.

    `with_number` says of each split that has rows whether one of its losses is a number.
    """
    losses = (columns or {}).get("loss")
    if columns is None or not isinstance(losses, dict) or "times" in losses:
        return columns, {}
    never = {
        split: str(column) for split, column in losses.items() if not with_number.get(split, True)
    }
    kept = {split: column for split, column in losses.items() if split not in never}
    return {**columns, "loss": kept}, never


def _told_by_column(name: str, paths: Sequence[Path]) -> tuple[MappedColumn, list[str]]:
    """The columns that tell the runs of logs apart, and the runs; empty where files are runs.

    The first is in all of the logs and takes several values within one, each in several rows: it
    names runs, or their sizes where none does. Others, as seeds, are added where rows of one name
    repeat their places.
    """
    if FORMATS[name].columns.of_format:
        return "", []
    names_of = [columns_of(path, name) for path in paths]
    sized = [column for ours in PARAMS for column in columns_called(ours, names_of[0])]
    for column in (*columns_called("run", names_of[0]), *sized):
        if not all(column in names and "loss" in row_columns(names) for names in names_of):
            continue
        try:
            runs = [
                _values(path, name, column) for path, names in zip(paths, names_of, strict=True)
            ]
        except FloplineError:
            continue
        if any(1 < len(of) <= rows / 2 for of, rows in runs):
            values = list(dict.fromkeys(run for of, _ in runs for run in of))
            if {value.lower() for value in values} <= set(SPLITS):
                return "", []
            further = _further(name, paths, column, names_of[0])
            if not further:
                return column, values
            several = [column, *further]
            found = [_values(path, name, several)[0] for path in paths]
            return several, list(dict.fromkeys(run for of in found for run in of))
    return "", []


def _values(path: Path, name: str, column: MappedColumn) -> tuple[list[str], int]:
    """The names in columns of a log's rows with a loss, each once, and how many rows these are."""
    loss = columns_in(row_columns(columns_of(path, name))["loss"])[0]
    rows = read_log(path, {"run": column, "loss": loss}, name).rows
    return list(map(str, rows["run"].unique())), len(rows)


def _further(name: str, paths: Sequence[Path], run: str, names: Sequence[str]) -> list[str]:
    """The columns that with `run` tell the rows of logs apart where their places do not."""
    entry = FORMATS[name]
    places = [column for ours in PLACES if (column := row_columns(names).get(ours))]
    if not entry.is_table or not places:
        return []
    tables = [read_table(path, name)[0] for path in paths]
    losses = columns_in(row_columns(names)["loss"])
    split = row_columns(names).get("split")
    wanted = [table.dropna(subset=[c for c in losses if c in table], how="all") for table in tables]
    content = pd.concat(wanted, ignore_index=True)
    others = [column for column in map(_column, fact_columns(names).values()) if column != run]
    return _ordering(
        content, [run, *([_column(split)] if split else [])], _column(places[0]), others
    )


def _ordering(
    content: pd.DataFrame, known: Sequence[str], place: str, others: Sequence[str]
) -> list[str]:
    """The fewest of `others` that with `known` leave most rows behind those before them."""
    if place not in content:
        return []
    at = content[place].map(parse_number)
    chosen: list[str] = []
    behind = _returns(content, [c for c in known if c in content], at)
    while behind:
        rest = [column for column in others if column in content and column not in chosen]
        kinds = {one: _returns(content, [*known, *chosen, one], at) for one in rest}
        best = min(kinds, key=lambda one: kinds[one], default="")
        if not best or kinds[best] > behind / 2:
            break
        chosen.append(best)
        behind = kinds[best]
    return chosen


def _returns(content: pd.DataFrame, key: Sequence[str], at: pd.Series) -> int:
    """How many rows stand at the place of the row before them, of the same `key`, or before it."""
    groups = [content[column].astype("string").fillna("") for column in key]
    return int((at.groupby(groups, sort=False).diff() <= 0).sum())


def _telling(content: pd.DataFrame, known: Sequence[str], others: Sequence[str]) -> list[str]:
    """The fewest of `others` that with `known` tell all rows apart; none where all do not."""
    there = [column for column in known if column in content]
    chosen: list[str] = []
    count = len(content.drop_duplicates(there)) if there else 0
    while count < len(content):
        rest = [column for column in others if column in content and column not in chosen]
        kinds = {one: len(content.drop_duplicates([*there, *chosen, one])) for one in rest}
        best = max(kinds, key=lambda one: kinds[one], default="")
        if not best or kinds[best] <= count:
            return []
        chosen.append(best)
        count = kinds[best]
    return chosen


def _column(spec: MappedColumn) -> str:
    return str(spec["column"] if isinstance(spec, dict) else spec)


def _several(column: MappedColumn, runs: Sequence[str]) -> list[str]:
    if not column:
        return []
    if isinstance(column, list):
        named = " and ".join(f"'{one}'" for one in column)
        return [f"{named} take {len(runs)} values together, each of which is taken for a run."]
    return [f"'{column}' takes {len(runs)} values, each of which is taken for a run."]


@dataclass(slots=True)
class _RunSays:
    """What the logs of one run say of it: facts, keys of facts, and of which steps the tokens."""

    facts: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    steps: dict[bool, set[float]] = field(default_factory=lambda: {True: set(), False: set()})
    with_tokens: set[bool] = field(default_factory=set)

    def read(self, rows: pd.DataFrame) -> bool:
        """Take the rows of a log in, and tell whether they say their tokens."""
        with_tokens = "tokens" in rows and bool(rows["tokens"].notna().any())
        self.with_tokens.add(with_tokens)
        if "step" in rows:
            self.steps[with_tokens].update(rows["step"].dropna())
        return with_tokens

    @property
    def knows_tokens(self) -> bool:
        """Whether each row has tokens, of its own or of the same step in the log of a split."""
        if "batch_tokens" in self.facts or "batch_tokens" in self.keys:
            return True
        return True in self.with_tokens and self.steps[False] <= self.steps[True]


def _one_each(
    paths: Sequence[str], left: list[tuple[str, str]]
) -> tuple[list[str], dict[str, str]]:
    """The paths, one of each split of a run, and the split of each that lies in its folder."""
    of_split = {path: found.split for path, found in split_places(paths).items()}
    run_of = runs_by_path(paths)
    first: dict[tuple[str, str], str] = {}
    kept = []
    for path in paths:
        other = first.setdefault((run_of[path], of_split.get(path, "")), path)
        if other == path:
            kept.append(path)
        else:
            left.append((path, f"it is of the same split, {of_split[path]}, as {other}"))
    return kept, of_split


def _lacking(columns: ColumnMap | None, names: Sequence[Sequence[str]]) -> list[str]:
    """Which of our columns some of the logs lack, by the names of the columns of each."""
    plain = plain_columns(columns)[0] if columns else {}
    return [
        ours
        for ours, column in plain.items()
        if any(not set(columns_in(column)) <= set(one) for one in names)
    ]


def _title(path: Path, name: str, splits: Collection[str]) -> list[str]:
    if name != "trainer":
        return []
    module = FORMATS[name].load()
    notes = [f"the lines are read as those of {module.title(path)}."]
    unread = chosen_losses(module.unread_losses(path))
    trained, evaluated = "train" in splits, any(split != "train" for split in splits)
    others = [one for one in unread if not (trained if split_of(one) == "train" else evaluated)]
    if others:
        notes.append(
            f"its lines hold losses that are not read so: {', '.join(others[:6])}; if one of them "
            "is meant, set `format: lines` and name it and the step in source.columns."
        )
    return notes


def _has_commas(reading: Reading) -> bool:
    """Whether rows were not read for commas that may part fractions."""
    return bool(reading.dropped["reason"].isin([DOUBTFUL_COMMA, COMMA_IN_LOSS]).any())


def _without_rows(name: str, reading: Reading) -> str:
    if not reading.rows_in:
        return f"it is {name}, but holds no row"
    reason, count = Counter(reading.dropped["reason"]).most_common(1)[0]
    if reason == NO_LOSS:
        return f"it is {name}, but none of its {count} rows logs a loss"
    return (
        f"it looks like {name}, but no whole row is in it ({count} {reason}), as in a text that "
        "quotes one"
    )


def _fact_keys(
    path: Path,
    name: str,
    columns: ColumnMap | None,
    names: Sequence[str],
    reading: Reading,
) -> dict[str, str]:
    """Which of our facts a log says of its run, under which name of its own.

    Returns the log's names by ours; what the format knows by itself and what `columns` hold are
    not among them.
    """
    module = FORMATS[name].load()
    of_run = dict(reading.facts.logged.get("", {}))
    if hasattr(module, "run_facts"):
        of_run |= module.run_facts(path)
    elif not FORMATS[name].columns.of_format:
        of_run |= _constant(path, name, columns or {}, names)
    # Where sizes name the runs, they are the sizes, too.
    others = {ours: column for ours, column in (columns or {}).items() if ours != "run"}
    taken = {one for column in others.values() for one in columns_in(column)}
    own = {fact for facts in reading.facts.known.values() for fact in facts}
    facts = facts_of({key: value for key, value in of_run.items() if key not in taken})
    return {ours: key for ours, key in facts.items() if ours not in own}


def _constant(path: Path, name: str, columns: ColumnMap, names: Sequence[str]) -> dict[str, float]:
    """Those columns of a log that say a fact of its run, being the same in every row."""
    if FORMATS[name].several_runs or FORMATS[name].folder is not None:
        return {}
    out: dict[str, float] = {}
    loss = columns_in(columns["loss"])[0]
    if "run" in columns:
        return _constant_of_runs(path, name, {"run": columns["run"], "loss": loss}, names)
    for key in facts_of(dict.fromkeys(names, 1)).values():
        try:
            # As the loss of rows, all values of the column are seen.
            values = read_log(path, {"loss": key}, name).rows["loss"].unique()
            reading = read_log(path, {"loss": loss}, name, wanted_facts=[key])
        except FloplineError:
            continue
        if len(values) == 1 and key in reading.facts.logged.get("", {}):
            out[key] = float(values[0])
    return out


def _constant_of_runs(
    path: Path, name: str, columns: ColumnMap, names: Sequence[str]
) -> dict[str, float]:
    """Those columns of a log of several runs that stay the same within each of them."""
    out: dict[str, float] = {}
    for key in facts_of(dict.fromkeys(names, 1)).values():
        try:
            reading = read_log(path, columns, name, wanted_facts=[key])
        except FloplineError:
            continue
        logged = [reading.facts.logged.get(str(run), {}) for run in reading.rows["run"].unique()]
        values = [parse_number(of_run.get(key)) for of_run in logged]
        if values and min(values) > 0:
            out[key] = values[0]
    return out


def _in_bits(path: Path, name: str, columns: ColumnMap, names: Sequence[str]) -> list[str]:
    """The splits of a log whose losses are in bits, by the perplexities beside them."""
    loss = columns.get("loss", {})
    of_split = loss if isinstance(loss, dict) and "times" not in loss else {"": loss}
    return [
        split or split_of(column)
        for split, column in of_split.items()
        if isinstance(column, str) and unit_beside(path, name, column, names) == BITS
    ]


def _in_units(units: Mapping[str, str]) -> list[str]:
    return [f"losses of the split {split} are in {words(unit)}." for split, unit in units.items()]


def _in_all(fact_keys: Sequence[Mapping[str, str]]) -> dict[str, str]:
    common = set.intersection(*(set(one.items()) for one in fact_keys)) if fact_keys else set()
    return dict(sorted(common))


def _chosen(names: Sequence[str], columns: ColumnMap | None) -> list[str]:
    """What was chosen among columns that could mean the same, in a sentence each."""
    if columns is None:
        return []
    notes = []
    others = other_losses(names)
    loss = columns["loss"]
    taken = loss if isinstance(loss, dict) else {"the only one": loss}
    if others:
        listed = ", ".join(f"{column} as {split}" for split, column in taken.items())
        notes.append(f"losses: {listed} were chosen and {', '.join(others[:6])} left out.")
    notes += [
        f"{column} is in {words(unit)}, as its name says."
        for column in taken.values()
        if isinstance(column, str) and (unit := unit_of(column)) not in (None, "", NATS)
    ]
    notes += [
        f"{column} seems to be {what}, and no plain loss of its split was found."
        for column in taken.values()
        if isinstance(column, str) and (what := what_else(column)) not in ("", "in bits per byte")
    ]
    step = columns.get("step")
    if isinstance(step, str) and of_tracker(step) and "tokens" not in columns:
        notes.append(
            f"step: {step} counts what was logged by the tracker, and tokens follow from the step: "
            "see that it is the optimiser's."
        )
    for ours, candidates in other_candidates(names, columns).items():
        spec = columns[ours]
        chosen = spec["column"] if isinstance(spec, dict) else spec
        notes.append(f"{ours}: {chosen} was chosen; {', '.join(candidates[:4])} could be it, too.")
    return notes


def _lossless(path: Path, names: Sequence[str]) -> str:
    """That no column is a loss, and what to give instead where the columns tell."""
    if {re.sub("[^a-z]", "", name.lower()) for name in names} == {"walltime", "step", "value"}:
        return (
            "TensorBoard's export of one metric: give the folder of its event files instead, which "
            "is read as it is, or a file for each run in which the column Value is called loss"
        )
    if not any(name.strip() for name in names):
        return "but it holds no names and no values, as a run that ended at once: take it out"
    value = next((name for name in names if name.lower() == "value"), "")
    if value and is_loss(run_name(str(path))):
        return f"but no column is named like a loss: call its column {value} loss"
    if 2 * sum(not name.strip() for name in names) > len(names) > 1:
        return (
            f"but its first line, {names[0][:40]!r}, is a title and no header: take the lines "
            "above the header out of it"
        )
    if names[:1] and names[0].startswith("#"):
        return (
            "but its first line is a comment and no header: take the lines that begin with # out "
            f"of it, as by grep -v '^#' {path.name} > uncommented/{path.name}"
        )
    if len(names) > 1 and not any(math.isnan(parse_number(name)) for name in names):
        return (
            "but its first line holds numbers and no names: write a line above it that names each "
            f"column, as step,tokens,train_loss,val_loss ({path.name} begins with "
            f"{', '.join([*names][:10])})"
        )
    if len(names) == 1 and _has_more_cells_below(path):
        return (
            f"but its first line, {names[0][:40]!r}, is a title and no header: take the lines "
            "above the header out of it"
        )
    listed = ", ".join([*names][:10])
    if len(names) > 2 and "step" in row_columns(names):
        return (
            f"but no column is named like a loss ({listed}): if each but the step is a run, write "
            "a row for each value with the columns run, step and loss, as pandas.melt does"
        )
    return (
        f"but no column is named like a loss ({listed}): {RENAME}, as to "
        f"{'run, params, tokens and val_loss' if len(names) > 2 else 'val_loss'}"
    )


RENAME: Final = "rename its columns in its first line"


def _has_more_cells_below(path: Path) -> bool:
    """Whether lines below the first are parted by marks that it has none of."""
    first, *below = head_of(path, BEGIN).decode("utf-8", "replace").splitlines()[:4] or [""]
    return any(
        mark not in first and sum(mark in line for line in below) > 1 for mark in (",", ";", "\t")
    )


def _unknown(path: Path) -> str:
    """Why an unknown file is no log: its line that is most like one, and how it could be read."""
    if path.suffix.lower() in SPREADSHEETS:
        return f"it {A_SPREADSHEET}".rstrip(".")
    plain = "no log format that is known fits it"
    try:
        if separated := _parted_by_blanks(path):
            return separated
        line, keys = likest_row(path)
    except FloplineError as refusal:
        return str(refusal).removeprefix(f"{path} ").rstrip(".")
    if not keys:
        begin = head_of(path, BEGIN) if path.is_file() else b""
        if begin and is_binary(begin):
            return "it is binary, and no format that is known fits it: save what it holds as CSV"
        ruled = [line for line in begin.decode("utf-8", "replace").splitlines() if line[:1] == "|"]
        if any(set(line) <= set("|-: ") and "-" in line for line in ruled):
            return "it is a table of Markdown: save it as CSV, with commas for the bars and no rule"
        return plain
    return (
        f"{plain}; most like a row of one is {line[:100]!r}: if it is, write a study file with "
        "`kind: logs` and `format: lines` in source, whose columns say which of its keys "
        f"({', '.join(keys[:8])}) is the `step`, the `tokens` and the `loss` (docs/formats.md)"
    )


def _parted_by_blanks(path: Path) -> str:
    """That a file is a table whose cells are parted by blanks, with the command that mends it."""
    begin = head_of(path, BEGIN) if path.is_file() else b""
    lines = [line.split() for line in begin.decode("utf-8", "replace").splitlines()[:2]]
    if len(lines) < 2 or len(lines[0]) < 3 or not all(map(str.isidentifier, lines[0])):
        return ""
    header, row = lines
    # pandas prints the number of each row before it, and no name for them.
    cells = row[len(row) - len(header) :] if len(row) - len(header) in (0, 1) else []
    losses = [cell for name, cell in zip(header, cells, strict=False) if is_loss(name)]
    if not losses or any(math.isnan(parse_number(cell)) for cell in losses):
        return ""
    command = f"pandas.read_csv('{path.name}', sep=r'\\s+').to_csv('{path.stem}.csv', index=False)"
    return (
        "it is a table whose cells are parted by blanks: save it as CSV, as by `python -c "
        f'"import pandas; {command}"` in its folder'
    )


def likest_row(path: Path) -> tuple[str, list[str]]:
    """The line of a file that is most like a row of a log, and its keys; of no log no keys."""
    begin = head_of(path, BEGIN) if path.is_file() else b""
    demand_no_archive(path, begin)
    if not begin or is_binary(begin):
        return "", []
    best, keys, line = (False, 0), [], ""
    for number, text, _ in text_lines(path):
        if number > LOOKED_THROUGH:
            break
        record = parsed(number, text)
        values = record.values
        # Two numbers with names stand in any prose, unless one is a position.
        rank = (any(map(is_loss, values)), len(values))
        if len(values) > (1 if record.placed else 2) and rank > best:
            best, keys, line = rank, list(values), text.strip()
    return line, keys


def runs_of(group: LogGroup) -> list[str]:
    """The runs that the logs of a group would be called, or that a column of them names."""
    if group.runs:
        return list(group.runs)
    names = {**run_names(group.paths), **group.pieces}
    return [names[path] for path in group.paths]


def alike_left(left: Sequence[tuple[str, str]]) -> list[str]:
    """Why files are left, each reason once with the first file, and how many more are like it."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for path, reason in left:
        about = reason.replace(Path(path).name, "")
        alike.setdefault(re.split(r"; | \(", about)[0], []).append((path, reason))
    return [
        f"{path}: {reason}{f' (and {len(more)} more like it)' if more else ''}"
        for (path, reason), *more in alike.values()
    ]


OF_RUNS: Final = "it is no log: what a run is made with is looked for in it"
"""Why a file is left that is named as trainers name those with the facts of a run."""


def is_sidecar(path: str) -> bool:
    """Whether a file is named like those that trainers write beside their logs."""
    name = Path(path).name
    return any(re.fullmatch(re.escape(Path(one).name), name) for one in SIDECARS)
