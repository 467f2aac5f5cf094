"""The command line of drafting: `python -m flopline.drafting FOLDER`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flopline.drafting.survey import LogGroup, Survey, Table, alike_left, survey
from flopline.drafting.writing import CONVENTIONS, draft
from flopline.errors import FloplineError
from flopline.numbers import count
from flopline.places import SCHEMAS, to_run
from flopline.schema_sentences import did_you_mean
from flopline.study import NAME, read_yaml, study_name
from flopline.units import misread_targets, parse_flops

LISTED = 10
"""Files that are neither log nor table and are named one by one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Survey a folder, say what it holds and what is missing, and write the draft of a study."""
    options = _options(arguments)
    root = Path.cwd()
    try:
        if not options.folder.strip():
            raise FloplineError(
                "the name of the folder is empty: name the one that holds the logs, as in draft "
                "path/to/logs, or . for the one that you are in."
            )
        folder = Path(options.folder)
        name = options.name or study_name(folder)
        if options.name and not NAME.fullmatch(name):
            raise FloplineError(
                f"--name {name!r} names a folder of results, so it may only hold letters, digits, "
                "`_`, `.` and `-`, 100 at most: choose another."
            )
        study, table = (Path(f"config/studies/{name}{end}") for end in (".yaml", ".runs.csv"))
        given = _given(options)
        surveyed = survey(folder, root)
        _print_survey(surveyed)
        made = draft(surveyed, name, given, str(table), root)
        for path in [study, *([table] if made.run_table is not None else [])]:
            if (root / path).exists() and not options.force:
                raise FloplineError(
                    f"{path} exists already: choose another --name, or add --force to replace it."
                )
        (root / study).parent.mkdir(parents=True, exist_ok=True)
        (root / study).write_text(made.study, encoding="utf-8")
        if made.run_table is not None:
            (root / table).write_text(made.run_table, encoding="utf-8")
    except FloplineError as mistake:
        print(f"flopline: {mistake}", file=sys.stderr)
        return 1
    _listed("To check:", made.notes)
    _listed("Missing, marked TODO or left empty:", made.missing)
    written = f"{study} and {table}" if made.run_table is not None else str(study)
    print(f"\nWrote {written}.")
    print(f"{'When filled in, run' if made.missing else 'Run'}: {to_run(name)}")
    return 0


def _given(options: Any) -> dict[str, object]:
    """Those of CONVENTIONS that the user gave; FloplineError for one that no study may hold."""
    allowed = read_yaml(SCHEMAS / "study.schema.yaml")["properties"]
    given: dict[str, object] = {}
    for key in CONVENTIONS:
        value = getattr(options, key)
        if not value:
            continue
        if key == "targets":
            value = [_budget(text) for text in value]
            for sentence in misread_targets(value):
                raise FloplineError(sentence)
        elif value not in (known := allowed[key]["enum"]):
            option = f"--{key.replace('_', '-')}"
            raise FloplineError(
                f"{option} is {value!r}, which there is not{did_you_mean(value, known)}: choose "
                f"one of {', '.join(known)}."
            )
        given[key] = value
    return given


def _budget(text: str) -> float:
    flops = parse_flops(text)
    if not 0 < flops < math.inf:
        raise FloplineError(
            f"the target {text!r} is no budget: write a number of FLOPs such as 1e22 (with a "
            "decimal point), or '500 PF-days'."
        )
    return flops


def _options(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        prog="python -m flopline.drafting",
        description="Look into a folder of training logs and draft a study file for it.",
    )
    parser.add_argument("folder", help="folder that holds the logs")
    parser.add_argument("--name", help="name of the study; the folder's by default")
    parser.add_argument("--params-convention", help="total, non_embedding, active or decoder")
    parser.add_argument("--flops-convention", help="six_nd, supplied, ...")
    parser.add_argument("--targets", nargs="+", help="budgets to decide for: 1e21, 500PF-days")
    parser.add_argument("--force", action="store_true", help="replace a study file that exists")
    return parser.parse_args(arguments)


def _print_survey(surveyed: Survey) -> None:
    print(f"Found in {surveyed.folder}:")
    for group in surveyed.groups:
        columns = ", ".join(group.columns) if group.columns else "its own columns"
        print(
            f"  {len(group.paths):>6,} {group.format} logs ({group.paths[0]}, ...): {columns}; "
            f"losses of {_few(group.splits) or 'one split'}"
        )
        print(f"         {_read(group)}")
    for alike in _alike(surveyed.tables):
        first, more = alike[0], f" and {len(alike) - 1} like it" if len(alike) > 1 else ""
        rows = sum(table.rows for table in alike)
        print(f"  table of {count(rows, 'run')} {first.path}{more}: {', '.join(first.columns)}")
    left = alike_left(surveyed.left)
    for line in left[:LISTED]:
        print(f"  left: {line}")
    if len(left) > LISTED:
        print(f"  left: {len(left) - LISTED} more kinds of files")


def _alike(tables: Sequence[Table]) -> list[list[Table]]:
    """Tables by file name and columns, so that a sidecar in every run's folder is told once."""
    groups: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        groups.setdefault((Path(table.path).name, *table.columns), []).append(table)
    return list(groups.values())


def _read(group: LogGroup) -> str:
    """How much of the logs of a group is read."""
    rows, rows_in = (sum(getattr(log, name) for log in group.logs) for name in ("rows", "rows_in"))
    worst = min(group.logs, key=lambda log: log.rows / max(log.rows_in, 1))
    sentence = f"{rows:,} of {rows_in:,} rows are read"
    share = worst.rows / max(worst.rows_in, 1)
    more = f"; of {worst.path} {share:.0%}" if share < 1 and len(group.logs) > 1 else ""
    return f"{sentence}{more}"


def _few(names: Sequence[str], most: int = 4) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _listed(heading: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"\n{heading}", *(f"  - {line}" for line in lines), sep="\n")
