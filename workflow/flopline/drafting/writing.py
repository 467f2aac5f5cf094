"""The study file and the run table that a survey makes possible, with what is missing marked."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.clean.reasons import EPOCHS
from flopline.drafting.columns import (
    LAST_OF_OTHERS,
    chosen_losses,
    of_finished_runs,
    other_counts,
    other_losses,
    split_of,
    what_else,
)
from flopline.drafting.naming import name_pattern, path_globs, run_names
from flopline.drafting.restarts import told
from flopline.drafting.sidecars import partly_beside, sidecar_for
from flopline.drafting.survey import (
    EPOCH,
    PARAMS,
    Changing,
    LogGroup,
    Survey,
    Table,
    alike_left,
    runs_of,
)
from flopline.errors import FloplineError
from flopline.laws.registry import LAWS
from flopline.laws.spec import Points, spec_of
from flopline.logs.formats import FORMATS
from flopline.logs.key_values import is_loss
from flopline.logs.reading import PLACE, columns_in, plain_columns
from flopline.loss_units import BITS, PER_BYTE, unit_of, words
from flopline.numbers import count
from flopline.param_counts import column_for, said_by
from flopline.sources import run_name
from flopline.study import TODO
from flopline.study_document import ColumnMap, MappedColumn
from flopline.tables import column_of, read_table
from flopline.units import COUNTS
from flopline.units import unit_of as count_unit

NO_TOKENS: Final = (
    "tokens of every run: no column is called like them; add one (steps times sequences of a batch "
    "times their length) or one with the FLOPs, and name it in source.columns"
)
"""What is missing of a table that says neither tokens nor FLOPs."""

DESCRIBE: Final = ": describe the lines of a text log in source.pattern (docs/formats.md)"
"""The mend where the reason that a file is left names none."""

NO_PARAMS: Final = (
    "params of every run: no column is called like them; name the one that holds them as "
    "`params` in source.columns, or add one"
)
"""What is missing of a table that says no sizes."""

_UNPRINTABLE: Final = re.compile("[\\x7f-\\x9f\\ud800-\\udfff\\ufeff\\ufffe\\uffff]")
"""What YAML takes in a text only where it is written by its number."""

CONVENTIONS: Final = {
    "params_convention": "what params counts: total (with embeddings), non_embedding, active or "
    "decoder; exponents of different counts cannot be compared, so this is never guessed",
    "flops_convention": "how training FLOPs follow: six_nd (6 params tokens), supplied (a flops "
    "column as it stands) or another of config/README.md",
    "targets": "the budgets to decide for [FLOPs], the first being the headline, as in [1e21]",
}
"""What only a person can say, and how it is asked for."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A study file and, where none was found, a run table; both as text.

    `missing` lists in a sentence each what a person must fill in, `notes` what to check.
    """

    study: str
    run_table: str | None
    missing: Sequence[str]
    notes: Sequence[str]


def draft(
    survey: Survey, name: str, given: Mapping[str, object], table_path: str, root: Path
) -> Draft:
    """The draft of study `name`; `given` holds those of CONVENTIONS that the user gave.

    `table_path` is where the run table would be written. Paths are relative to `root`.

    Returns the texts of the study file and, where one is needed, of a run table, with what is
    missing in them.
    Raises FloplineError when the survey has neither logs nor a table of losses.
    """
    tables = [table for table in survey.tables if table.holds_losses]
    if survey.groups and not (tables and _is_stray(survey.groups[0])):
        return _of_logs(survey, name, given, table_path, root)
    if tables:
        return _of_table(tables, survey.groups, name, given, root)
    if survey.tables:
        raise FloplineError(_no_loss(survey.tables[0]))
    mend = "" if all(":" in reason for _, reason in survey.left) and survey.left else DESCRIBE
    raise FloplineError(
        f"{survey.folder} holds no log and no table with params and a loss: {_why(survey)}{mend}."
    )


def _is_stray(group: LogGroup) -> bool:
    """Whether logs say neither steps nor tokens, as a list of numbers beside a table of runs."""
    return not group.has_steps and not group.has_tokens and len(group.paths) == 1


def _no_loss(table: Table) -> str:
    """That a table of runs names no loss, and the mend."""
    likelihood = next((name for name in table.names if "lik" in name.lower()), None)
    if likelihood is not None:
        return (
            f"{table.path} is a table of {count(table.rows, 'run')}, but none of its columns is a "
            f"loss: if {likelihood} is a log-likelihood of a token, turn its sign in the file and "
            "call it val_loss."
        )
    return (
        f"{table.path} is a table of {count(table.rows, 'run')}, but none of its columns is named "
        f"like a loss ({', '.join([*table.names][:10])}): rename that with the losses, as to "
        "val_loss."
    )


def _why(survey: Survey) -> str:
    """Why the files of a folder are no logs, each reason once."""
    return "; ".join(alike_left(survey.left)[:3]) or "no file"


def _of_logs(
    survey: Survey, name: str, given: Mapping[str, object], table_path: str, root: Path
) -> Draft:
    """The draft of the largest group of logs; the arguments and the result are those of `draft`.

    Returns:
        The text of the study file, the run table, what is missing and the notes.
    """
    group = survey.groups[0]
    missing, notes = [], []
    for other in survey.groups[1:]:
        notes.append(
            f"{_counted(other)} beside {_counted(group)} are left out: one study reads one kind; "
            "draft them on their own."
        )
    notes += [*group.notes, *_or_finished(group)]
    table = _table_for(group, survey.tables, root)
    notes += _unread_tables(group, survey.tables, table)
    notes += told(group.pieces, table.path if table else None)
    paths = list(group.paths)
    if table is not None:
        paths = [path for path in paths if path in _known_to(table, group, root)]
        if len(paths) < len(group.paths):
            notes.append(
                f"{len(group.paths) - len(paths)} {group.format} logs that {table.path} does not "
                "name are left out."
            )
    lines = [*_head(survey, name), "source:", "  kind: logs", f"  format: {group.format}"]
    lines += _paths(paths, root)
    if group.columns is not None:
        lines.append("  columns:  # check: told by their names")
        lines += _mapping(group.columns, 4)
    lines += _decimal(group.decimal)
    lines += _bits(group)
    if group.optional:
        lines.append(f"  optional: [{', '.join(group.optional)}]  # some logs lack it")
    facts = _run_facts(group, paths, table, root, str(given.get("params_convention", "")))
    notes += facts.notes
    lines += facts.lines
    run_table = None
    tokens_known = group.has_tokens or "batch_tokens" in facts.known
    blank = [] if "params" in facts.known else ["params"]
    blank += [] if tokens_known else ["batch_tokens"]
    if (blank or group.pieces) and table is None:
        horizon = {"horizon_tokens", "horizon_steps"} & {*facts.known, *group.facts}
        blank += [] if horizon else ["horizon_tokens"]
        by_log = not facts.by_split and not group.runs
        run_table = _blank_table(group, blank, table_path, by_log)
        lines += [] if facts.lines else ["  runs:"]
        if facts.pattern and facts.by_split and not group.runs:
            lines.append(f"    from_name: {_quoted(facts.pattern)}")
        lines += [f"    table: {_written(table_path)}", "    columns:"]
        lines += _mapping({key: key for key in ["run", *(["log"] if by_log else []), *blank]}, 6)
        if "params" in blank:
            missing.append(f"params of every run, in {table_path}")
        if not tokens_known:
            missing.append(f"batch_tokens (tokens of one optimiser step) of every run, in "
                           f"{table_path}")  # fmt: skip
        if "horizon_tokens" in blank:
            notes.append(
                f"horizon_tokens in {table_path} may stay empty; with it, unfinished runs are told "
                "from finished ones."
            )
    elif table is None and not facts.lines and "params" in FORMATS[group.format].says:
        notes.append(
            "params come from the logs themselves: check that they count what you declare."
        )
    if not tokens_known and table is not None:
        missing.append(f"tokens: no column was found, so give batch_tokens in {table.path}")
    if (
        run_table is None
        and facts.pattern
        and not group.runs
        and not (table and "log" in table.columns)
    ):
        lines += [] if facts.lines else ["  runs:"]
        lines.append(f"    from_name: {_quoted(facts.pattern)}")
    missing += [_several_runs(ours, one) for ours, one in group.changing.items()]
    if not group.has_steps:
        missing.append(f"step: some rows of the logs have none; {_way_to_steps(group)}")
    families = _families([table] if table else [], root)
    lines += ["", "families:  # identifier in the data: label in the figures"]
    lines += _mapping(families or {"all": name}, 2)
    lines += _declared(given, missing)
    splits = list(group.splits)
    only = group.columns["loss"] if group.columns is not None else None
    if not splits and isinstance(only, str) and "split" not in (group.columns or {}):
        splits = [split_of(only)]
        notes.append(
            f"the only loss is '{only}', taken for that of the split {splits[0]}: correct "
            "loss_split and loss_label if it is another."
        )
    lines += _loss_split(splits, missing)
    lines += _loss_unit(_unit_of_loss(group, splits), missing)
    if splits == ["train"]:
        lines.append("loss_label: Training loss")
        notes.append("only a training loss was found: set cleaning.final_window to about 0.02.")
    return Draft("\n".join([*lines, ""]), run_table, missing, notes)


@dataclass(frozen=True, slots=True)
class _RunFacts:
    """Where the facts of runs stand, as lines of `source.runs`, and which are known by them.

    `by_split` says that a run has a log for each split, and that `pattern` or file names name it.
    """

    lines: Sequence[str]
    known: set[str]
    pattern: str | None
    notes: Sequence[str]
    by_split: bool


def _run_facts(
    group: LogGroup, paths: Sequence[str], table: Table | None, root: Path, convention: str
) -> _RunFacts:
    """What is known of runs from a table, files beside the logs and the logs themselves."""
    pattern, names = name_pattern(paths), run_names(paths)
    by_split = len(set(names.values())) < len(paths) and (
        pattern is not None or all(name == run_name(path) for path, name in names.items())
    )
    first = list({name: path for path, name in reversed(names.items())}.values())[::-1]
    lines: list[str] = []
    known = {"params"} if {"params", "params_total"} & set(group.facts) else set()
    known |= {"batch_tokens"} & set(group.facts)
    notes = []
    if table is not None:
        wants = {"run", *PARAMS} & set(table.columns)
        lines += [f"    table: {_written(table.path)}"]
        lines.append("    columns:  # check: told by their names")
        lines += _mapping({k: v for k, v in table.columns.items() if wants}, 6)
        known |= {"params", *table.columns}
    beside = "params" not in known and not group.runs
    sidecar = sidecar_for(first, root) if beside else None
    if beside and sidecar is None and (partly := partly_beside(first, root)):
        notes.append(partly)
    changed = dict.fromkeys(group.changing, TODO)
    for where, columns in (
        ("sidecar", sidecar.columns if sidecar else {}),
        ("from_log", {**group.fact_keys, **changed} if table is None else {}),
    ):
        fresh = {ours: key for ours, key in columns.items() if ours not in known}
        declared = next((one for one in PARAMS if said_by(one) == convention), "")
        first_count = next((one for one in (declared, *PARAMS) if one in fresh), None)
        if first_count not in (None, "params") and "params" not in known:
            fresh = {
                "params": fresh[first_count],
                **{k: v for k, v in fresh.items() if k not in PARAMS},
            }
        if "params" in known:
            fresh = {ours: key for ours, key in fresh.items() if ours not in PARAMS}
        if not fresh:
            continue
        known |= set(fresh)
        lines.append(f"    {where}:  # check: told by their names")
        if sidecar and where == "sidecar":
            lines += [f"      path: {_written(sidecar.path)}", "      columns:"]
        if where == "from_log":
            for ours, one in group.changing.items():
                lines += [f"      {line}" for line in _comment(_several_runs(ours, one))]
        lines += _mapping(fresh, 8 if where == "sidecar" else 6)
        if fresh.get("params", TODO) != TODO:
            place = sidecar.path if sidecar and where == "sidecar" else "the logs"
            notes.append(
                f"params are '{fresh['params']}' of {place}: check that they count what you "
                "declare."
            )
    return _RunFacts(["  runs:", *lines] if lines else [], known, pattern, notes, by_split)


def _several_runs(ours: str, changing: Changing) -> str:
    """That a log seems to hold several runs, by a fact that it says anew, and the way."""
    values = " and ".join(map(str, changing.values[:3]))
    return (
        f"{ours}: '{changing.key}' is {values} in {changing.path}, whose steps go back, so that it "
        "seems to hold several runs: put each into a file of its own and write "
        f"`{ours}: {_written(changing.key)}` in source.runs.from_log; if it is one run, take the "
        "line out and say it in a run table (source.runs.table)."
    )


def _written(value: object) -> str:
    """A value as YAML and JSON write it, with letters and pictures as they are."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda letter: f"\\u{ord(letter[0]):04x}", text)


def _quoted(pattern: str) -> str:
    """A regular expression as YAML text, with its backslashes as they are."""
    return "'" + pattern.replace("'", "''") + "'"


def _of_table(
    tables: Sequence[Table],
    strays: Sequence[LogGroup],
    name: str,
    given: Mapping[str, object],
    root: Path,
) -> Draft:
    """The draft of the table with most runs; the others, and `strays` beside, are left out."""
    alike = _alike(tables)
    table = alike[0]
    rows_of_all = sum(one.rows for one in alike)
    loss = table.row_columns["loss"]
    chosen = of_finished_runs(columns_in(loss))
    rows: dict[str, MappedColumn] = {**table.row_columns, "loss": chosen}
    more = f" and {len(alike) - 1} like it" if len(alike) > 1 else ""
    left_out = [
        f"{one.path} ({count(one.rows, 'run')}) is left out: a study reads one table, and "
        f"{table.path}{more} has the most runs with a loss as measured; to read it instead, draft "
        "a folder that holds it alone."
        for one in tables
        if one not in alike
    ]
    left_out += [
        f"{_counted(group)} ({group.paths[0]}, ...) is left out: it says neither steps nor tokens."
        for group in strays
    ]
    notes = left_out + _losses_noted(table.names, chosen, loss)
    columns = {
        **rows,
        **{k: v for k, v in table.columns.items() if k not in ("log", "horizon_steps")},
    }
    if "tokens" not in columns and "flops" not in columns and "budget_flops" in columns:
        columns["flops"] = columns["budget_flops"]
        notes.append(
            f"no column says tokens: they are the FLOPs of the budget, {_named(columns['flops'])}, "
            "by 6 params, if flops_convention is six_nd."
        )
    missing = []
    convention = str(given.get("params_convention", ""))
    if counted := column_for(convention, table.names):
        unit = count_unit(counted)
        columns["params"] = counted if unit is None else {"column": counted, "times": unit}
    elif "params" in columns and convention:
        said = said_by(_named(columns["params"]))
        if said not in ("", convention):
            missing.append(
                f"params: {_named(columns['params'])} says that it counts {said} params, and "
                f"params_convention is {convention}: name the column of those in source.columns."
            )
    for ours in ("params", "tokens"):
        others = other_counts(ours, table.names, columns[ours]) if ours in columns else []
        if others:
            notes.append(
                f"{ours}: {_named(columns[ours])} was chosen; {', '.join(others[:4])} could be it, "
                "too."
            )
    at = [name for name in table.names if is_loss(name) and "@" in name]
    if len(at) > 1 and "tokens" not in columns:
        notes.append(
            f"{', '.join(at[:4])} seem to hold losses at several numbers of tokens: write a row "
            "for each, with a column tokens, as pandas.melt does."
        )
    if table.repeats and "tokens" in columns and "flops" not in columns:
        notes.append(
            f"tokens: {_named(columns['tokens'])} must count all that a run was trained on, and "
            f"{table.repeats} says that some went over their data more than once: if it counts "
            "them once, add a column with the product."
        )
    columns, row_of_units = _with_units(columns, table)
    missing += row_of_units
    exclude, unfinished = _unfinished(alike, columns, root)
    notes += unfinished
    missing += [] if "tokens" in columns or "flops" in columns else [NO_TOKENS]
    missing += [] if "params" in columns else [NO_PARAMS]
    lines = [
        f"# Drafted from {table.path}{more}: {rows_of_all} rows. Lines with TODO wait for you.",
        *(line for sentence in left_out for line in _comment(sentence)),
        f"title: {_written(name)}",
        "",
        "source:",
        "  kind: table",
        *([] if table.ending_tells else [f"  format: {table.format}"]),
        *_paths([one.path for one in alike], root),
        *_decimal(table.decimal),
        "  columns:  # check: told by their names",
        *_mapping(columns, 4),
        "",
        "families:  # identifier in the data: label in the figures",
        *_mapping(_families(alike, root) or {"all": name}, 2),
        "",
        "# one row a run: no training curves, so only the laws of finished runs",
        f"laws: [{', '.join(_laws_of_finished_runs())}]",
        *_declared(given, missing),
    ]
    lines += _loss_unit(unit_of(chosen), missing)
    lines += exclude
    return Draft("\n".join([*lines, ""]), None, missing, notes)


def _with_units(
    columns: dict[str, MappedColumn], table: Table
) -> tuple[dict[str, MappedColumn], list[str]]:
    """The columns in the units that the row below the header says, and that it must go."""
    if not table.row_of_units:
        return columns, []
    out = dict(columns)
    for ours, spec in columns.items():
        unit = count_unit(f"({table.row_of_units.get(_named(spec), '')})")
        if ours in COUNTS and not isinstance(spec, dict) and unit is not None:
            out[ours] = {"column": _named(spec), "times": unit}
    units = ", ".join(f"{column} in {unit}" for column, unit in table.row_of_units.items())
    return out, [
        f"the row below the header of {table.path} holds units and no run ({units}): take it out "
        "of the file, and see that `times` in source.columns says the same."
    ]


STOPPED: Final = frozenset(
    {
        "aborted", "cancelled", "canceled", "crashed", "diverged", "error", "failed", "interrupted",
        "killed", "oom", "pending", "preempted", "preempting", "queued", "running", "timeout",
    }
)  # fmt: skip
"""How trackers and schedulers call the state of a run that did not come to its end."""


def _unfinished(
    tables: Sequence[Table], columns: ColumnMap, root: Path
) -> tuple[list[str], list[str]]:
    """The lines that leave out runs whose state says that they did not end, and a sentence."""
    run = columns.get("run")
    states: dict[str, list[str]] = {}
    named: list[str] = []
    for table in tables:
        content, _ = read_table(root / table.path, table.format)
        names = column_of(content, run) if isinstance(run, str) else None
        for column in (n for n in table.names if n.rpartition(".")[2].lower() in _OF_STATE):
            cells = column_of(content, column)
            if cells is None:
                continue
            text = cells.astype("string").fillna("").str.strip()
            stopped = text.str.lower().isin(STOPPED).to_numpy(bool)
            called = names.astype("string").fillna("") if names is not None else None
            for at in np.flatnonzero(stopped).tolist():
                sentence = f"{column} is {text.iloc[at]}"
                states.setdefault(sentence, []).append("" if called is None else called.iloc[at])
        named += [] if names is None else list(map(str, names))
    left_out = [one for runs in states.values() for one in runs]
    if not states:
        return [], []
    listed = "; ".join(f"{why} of {count(len(runs), 'run')}" for why, runs in states.items())
    if any(named.count(one) != 1 for one in left_out) or len(set(left_out)) == len(named):
        return [], [f"{listed}: leave those out that did not come to their end, by `exclude`."]
    lines = ["", "exclude:  # check: told by their state"]
    lines += [
        f"  - {{runs: {_written(runs)}, reason: {_written(why)}}}" for why, runs in states.items()
    ]
    return lines, [f"{listed}: they are left out by `exclude`; take out of it those that ended."]


_OF_STATE: Final = ("state", "status")


def _alike(tables: Sequence[Table]) -> list[Table]:
    """The tables that are read together: that with most runs, or many of one run and one form."""
    of_one: dict[str, list[Table]] = {}
    for table in tables:
        if table.rows == 1:
            form = json.dumps([table.format, table.columns, table.row_columns, table.decimal])
            of_one.setdefault(form, []).append(table)
    most = max(tables, key=lambda one: (_is_plain(one), one.rows))
    together = max(of_one.values(), key=len, default=[])
    return together if len(together) > most.rows else [most]


def _is_plain(table: Table) -> bool:
    """Whether a table has a loss that is not made of others, as those that a law predicts are."""
    losses = columns_in(table.row_columns["loss"])
    return any(what_else(name) in ("", LAST_OF_OTHERS) for name in losses)


def _laws_of_finished_runs() -> list[str]:
    """The laws that need no training curve, in their usual order."""
    return [law for law in LAWS if spec_of(law).points is not Points.CURVES]


def _losses_noted(names: Sequence[str], chosen: str, mapped: Any) -> list[str]:
    """Which loss of a table was taken, where it has several or one in another unit."""
    columns = [mapped] if isinstance(mapped, str) else list(mapped.values())
    plain = dict.fromkeys([*columns, *chosen_losses(names)])
    others = [column for column in plain if column != chosen] + other_losses(names, taken=chosen)
    notes = [f"loss: {chosen} was chosen and {', '.join(others)} left out."] if others else []
    if (what := what_else(chosen)) not in ("", LAST_OF_OTHERS, "in bits per byte"):
        notes.append(f"{chosen} seems to be {what}, and no plain loss was found beside it.")
    if split_of(chosen) == "train" and "train" in chosen.lower():
        notes.append(f"only a training loss was found ({chosen}): say so in loss_label.")
    if unit := unit_of(chosen):
        notes.append(f"{chosen} is in {words(unit)}, as its name says.")
    return notes


def _head(survey: Survey, name: str) -> list[str]:
    listed = ", ".join(_counted(group) for group in survey.groups)
    return [
        f"# Drafted from {survey.folder}: {listed}. Lines with TODO wait for you.",
        f"title: {_written(name)}",
        "",
    ]


def _declared(given: Mapping[str, object], missing: list[str]) -> list[str]:
    lines = [""]
    for key, meaning in CONVENTIONS.items():
        if key in given:
            lines.append(f"{key}: {_written(given[key]) if key == 'targets' else given[key]}")
        else:
            lines += [*_comment(meaning), f"{key}: {TODO}"]
            missing.append(f"{key}: {meaning}")
    return lines


def _or_finished(group: LogGroup) -> list[str]:
    """That rows without a step may be finished runs, and how they are read as such."""
    columns = group.columns or {}
    place = columns.get("tokens", columns.get("flops"))
    size = next((group.fact_keys[one] for one in PARAMS if one in group.fact_keys), None)
    if "run" not in columns or "step" in columns or place is None or size is None:
        return []
    plain, _ = plain_columns(columns)
    run = ", ".join([*columns_in(plain["run"]), _named(place)])
    loss = of_finished_runs(columns_in(plain["loss"]))
    return [
        "the rows of a run are taken for its curve, placed by their tokens; if each row is a "
        f"finished run, write `kind: table`, and in source.columns `run: [{run}]`, `params: "
        f"{size}` and `loss: {loss}`, and take source.runs out."
    ]


def _way_to_steps(group: LogGroup) -> str:
    """What to write where rows have no step, as the end of a sentence."""
    if group.columns is None:
        return f"set `format: lines`, name the losses in source.columns, and the step or {EPOCHS}"
    if group.counted_from_nought or PLACE in group.names:
        what = "which count from 0, " if group.counted_from_nought else ""
        return (
            f"write `tokens: {{column: {PLACE}, times: TOKENS_OF_AN_EPOCH}}` in source.columns if "
            f"each row is an epoch ({what}{PLACE} counts rows from 1), which needs no "
            f"batch_tokens, or `step: {PLACE}` if a step, which does"
        )
    way = "name the column in source.columns, or take the split without steps out of `loss`"
    return f"{way}; or read {EPOCHS}" if EPOCH in group.names else way


def _loss_split(splits: Sequence[str], missing: list[str]) -> list[str]:
    """Which loss the laws are about, where the logs leave a choice that only a person can make."""
    known = next((split for split in ("val", "train") if split in splits), None)
    others = [split for split in splits if split not in ("val", "train")]
    if known == "val" or len(splits) < 2:
        chosen = known or (splits[0] if splits else "val")
        return [f"loss_split: {chosen}"]
    listed = ", ".join([*others, *([known] if known else [])])
    meaning = f"which loss the laws are about, one of: {listed}"
    missing.append("loss_split: which of the losses the laws are about")
    return [*_comment(meaning), f"loss_split: {TODO}"]


def _unit_of_loss(group: LogGroup, splits: Sequence[str]) -> str | None:
    """The unit of the loss that is chosen, as the logs or the column's name say it."""
    chosen = next((split for split in ("val", *splits) if split in splits), "")
    columns = (group.columns or {}).get("loss")
    column = columns.get(chosen) if isinstance(columns, dict) else columns
    return group.units.get(chosen) or (unit_of(column) if isinstance(column, str) else None)


def _decimal(decimal: str) -> list[str]:
    """The line of `source` that says what parts fractions, where that is no point."""
    return [f"  decimal: '{decimal}'  # what parts the fractions of numbers"] * (decimal != ".")


def _named(spec: Any) -> str:
    return str(spec["column"] if isinstance(spec, dict) else spec)


def _bits(group: LogGroup) -> list[str]:
    """The line of `source` on losses in bits per token."""
    if not group.in_bits:
        return []
    told_by = "# 2 to their power is the perplexity beside them"
    if set(group.splits) <= set(group.in_bits):
        return [f"  loss_unit: {BITS}  {told_by}"]
    return [f"  loss_unit:  {told_by}", *(f"    {split}: {BITS}" for split in group.in_bits)]


def _loss_unit(unit: str | None, missing: list[str]) -> list[str]:
    """The line that says the unit, where it is none that becomes nats per token by rule."""
    if unit == "":
        missing.append("loss_unit: bits per what, bits_per_byte or bits_per_token")
        return [f"loss_unit: {TODO}  # bits per what: bits_per_byte or bits_per_token"]
    return [f"loss_unit: {unit}"] if unit in PER_BYTE else []


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, 98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _counted(group: LogGroup) -> str:
    return f"{len(group.paths)} {group.format} log{'s' if len(group.paths) > 1 else ''}"


def _paths(paths: Sequence[str], root: Path) -> list[str]:
    """The fewest globs that match these files and no other; else every file by name."""
    globs = path_globs(paths, root)
    if len(globs) == 1:
        return [f"  paths: {_written(globs[0])}"]
    return ["  paths:", *(f"    - {_written(one)}" for one in globs)]


def _mapping(columns: ColumnMap, indent: int) -> list[str]:
    lines = []
    for key, value in columns.items():
        if isinstance(value, dict) and "times" not in value:
            lines += [f"{' ' * indent}{key}:", *_mapping(value, indent + 2)]
        else:
            lines.append(f"{' ' * indent}{key}: {_written(value)}")
    return lines


def _table_for(group: LogGroup, tables: Sequence[Table], root: Path) -> Table | None:
    """The table that names most logs of the group; None where none names any.

    A study reads a run table by the ending of its name, so that one without is none.
    """
    one_each = len(group.paths) > 1  # results of runs, of which none is a table of all
    naming = [
        table
        for table in tables
        if table.ending_tells
        and not (one_each and table.rows == 1)
        and _known_to(table, group, root)
    ]
    return max(naming, key=lambda table: len(_known_to(table, group, root)), default=None)


def _unread_tables(group: LogGroup, tables: Sequence[Table], used: Table | None) -> list[str]:
    """Which tables of several runs are left out beside logs, and what would join them."""
    notes = []
    for table in tables:
        if table is used or table.rows < 2:
            continue
        called = table.columns.get("run")
        if used is None and called is not None and not table.holds_losses:
            way = (
                f"its {_named(called)} names none of the logs ({', '.join(runs_of(group)[:3])}, "
                "...): call both the same, or give it a column `log` with their paths"
            )
        else:
            way = "to read it by itself, draft a folder that holds it alone"
        notes.append(f"{table.path} ({count(table.rows, 'run')}) is left out: {way}.")
    return notes


def _known_to(table: Table, group: LogGroup, root: Path) -> set[str]:
    """The logs of the group that are runs of the table: by its `log` column, or by their names."""
    if not isinstance(table.columns.get("run"), str):
        return set()
    content, _ = read_table(root / table.path, table.format)
    if "log" in table.columns:
        parent = Path(table.path).parent
        named = _texts(content, table.columns["log"])
        return {os.path.normpath(parent / path) for path in named} & set(group.paths)
    runs = set(_texts(content, table.columns["run"]))
    if group.runs:
        return set() if runs.isdisjoint(group.runs) else set(group.paths)
    names = run_names(group.paths)
    return {path for path in group.paths if names[path] in runs}


def _families(tables: Sequence[Table], root: Path) -> dict[str, str]:
    values: set[str] = set()
    for table in tables:
        if "family" in table.columns:
            content, _ = read_table(root / table.path, table.format)
            values |= set(_texts(content, table.columns["family"]))
    return {value: value for value in sorted(values)}


def _texts(content: pd.DataFrame, column: MappedColumn) -> list[str]:
    """The cells of a column that are not empty, as text."""
    values = column_of(content, str(column))
    return [] if values is None else [str(value) for value in values.dropna().astype("string")]


def _blank_table(group: LogGroup, facts: Sequence[str], table_path: str, by_log: bool) -> str:
    """A table with a row for each log, which it names, or for each run."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if not by_log:
        writer.writerow(["run", *facts])
        writer.writerows([run, *[""] * len(facts)] for run in dict.fromkeys(runs_of(group)))
        return stream.getvalue()
    writer.writerow(["run", "log", *facts])
    folder = Path(table_path).parent
    for run, path in zip(runs_of(group), group.paths, strict=True):
        log = path if os.path.isabs(path) else os.path.relpath(path, folder)  # noqa: PTH117
        writer.writerow([run, log, *[""] * len(facts)])
    return stream.getvalue()
