"""Which files are the logs of a study, and which run each holds."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from flopline.drafting.naming import run_names
from flopline.errors import FloplineError
from flopline.logs.formats import FOLDERS, FORMATS, SPLITS
from flopline.logs.time_limit import search
from flopline.places import command
from flopline.sources import (
    LogFile,
    SplitPlace,
    format_of,
    from_name,
    parts_of,
    run_name,
    sidecar_of,
    split_places,
    why_no_file,
)
from flopline.study import is_simulated, simulated_folder
from flopline.study_document import SourceDocument, StudyDocument
from flopline.twins import demand_once


def log_files(study: StudyDocument, root: Path) -> list[LogFile]:
    """The logs of the study's source as a sorted list of {run, path, sidecar?}, relative to `root`.

    A log is one run, or a piece of one, a file or a folder: named by the `log` column of the run
    table if there is one, else by the group `run` of `from_name`, else by the file name up to its
    first known ending. Several logs are pieces of one run where the run table or the pattern
    source.pieces gives them its name. Raises FloplineError when nothing matches, when the run table
    names a log that does not exist, or when two files claim one run in any other way. Logs that are
    to be simulated are listed before they exist.
    """
    if is_simulated(study):
        return _planned_files(study)
    source = study["source"]
    patterns = [source["paths"]] if isinstance(source["paths"], str) else source["paths"]
    paths: list[str] = []
    for pattern in patterns:
        # Path.glob takes no absolute pattern and no `..`, and studies use both.
        _refuse_loops(pattern, root)
        matched = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
        hits = logs_among(matched, source, root)
        _refuse_unreadable(matched, hits, root)
        if not hits:
            mend = "correct the path or put the files there"
            where = "" if os.path.isabs(pattern) else " below the working directory"  # noqa: PTH117
            if (root / pattern).exists():
                escaped = glob.escape(pattern)
                mend = f"[, * and ? stand for other letters in it, so write '{escaped}'"
            elif pattern.startswith("~"):
                home = os.path.expanduser(pattern)  # noqa: PTH111
                mend = f"~ is not followed in a study file, so write '{home}'"
            elif "://" in pattern:
                mend = f"it lies elsewhere, so `{command()} fetch '{pattern}'` and name the folder"
            raise FloplineError(
                f"{study['file']}: source.paths '{pattern}' matches no file{where}: {mend}."
            )
        paths += [os.path.normpath(hit) for hit in hits]
    files = sorted(set(paths))
    if source["kind"] == "table":
        return _tables(study, files)
    named = _named_by_table(study, root)
    of_run: dict[str, list[tuple[str, bool]]] = {}
    shared = {path for path, runs in named.items() if len(runs) > 1}
    by_table = ((path, named.pop(path, ())) for path in files)
    for path, run, is_piece in _each_run(study, by_table):
        of_run.setdefault(run, []).append((path, is_piece))
    splits = {run: split_places([path for path, _ in logs]) for run, logs in of_run.items()}
    for run, logs in of_run.items():
        _demand_one_each(study, run, logs, splits[run])
    if named:
        path, (run, *_) = min(named.items())
        raise FloplineError(
            f"{source['runs']['table']}: run '{run}' names the log {path}, which does not exist or "
            "is not matched by source.paths: restore the file or take the row out."
        )
    return [
        _with_sidecar(source, run, path)
        | ({"shared": True} if path in shared else {})
        | ({"split": splits[run][path].split} if path in splits[run] else {})
        for run in sorted(of_run)
        for path, _ in of_run[run]
    ]


def _demand_one_each(
    study: StudyDocument,
    run: str,
    logs: Sequence[tuple[str, bool]],
    splits: Mapping[str, SplitPlace],
) -> None:
    """Raise FloplineError where two logs hold one run and one split, and are no pieces of it.

    `logs` has the path of each and whether the study says that it is a piece.
    """
    first: dict[str, tuple[str, bool]] = {}
    for path, is_piece in logs:
        split = splits[path].split if path in splits else ""
        other, also_piece = first.setdefault(split, (path, is_piece))
        if other != path and not (is_piece and also_piece):
            raise FloplineError(
                f"{study['file']}: {other} and {path} both hold run '{run}': rename or remove "
                "one, or say that they are pieces of one run (a row with its `log` each in the run "
                "table, or source.pieces), or find their names with a group (?P<run>...) in "
                "source.runs.from_name."
            )
        first[split] = (other, also_piece and is_piece)


def _each_run(
    study: StudyDocument, files: Iterable[tuple[str, Sequence[str]]]
) -> Iterator[tuple[str, str, bool]]:
    """Each log with each of its runs, by the run table or its name, and whether it is a piece."""
    for path, runs in files:
        for run in runs:
            yield path, run, True
        if not runs:
            yield path, *_named_by_file(study, path)


def logs_among(hits: Sequence[str], source: SourceDocument, root: Path) -> list[str]:
    """Of what a glob matches, the files and the folders that are logs.

    A file inside such a folder belongs to it, and an event file stands for its folder.
    """
    declared = format_of(source)
    if source["kind"] == "table" or (declared is not None and FORMATS[declared].folder is None):
        return [hit for hit in hits if (root / hit).is_file()]
    stand_ins = [folder.stand_in for folder in FOLDERS if folder.stand_in]
    above = {
        os.path.dirname(hit) or "."  # noqa: PTH120
        for hit in hits
        if any(fnmatch(Path(hit).name, stand_in) for stand_in in stand_ins)
    }
    folders = {hit for hit in hits if (root / hit).is_dir() and parts_of(root / hit)} | above
    # A folder of one split is a part of the run above it, where that is matched, too.
    folders = {
        one
        for one in folders
        if str(Path(one).parent) not in folders or Path(one).name not in SPLITS
    }
    inside = {
        hit
        for hit in hits
        if any(str(parent) in folders for parent in Path(hit).parents) and hit not in folders
    }
    files = {hit for hit in hits if (root / hit).is_file()}
    return sorted((files - inside) | folders)


def _refuse_unreadable(hits: Sequence[str], logs: Sequence[str], root: Path) -> None:
    """Raise FloplineError for what a glob matches and cannot be a log, though it is named like one.

    That is a pipe, a device or a broken link, and a folder called x.jsonl without a log in it.
    """
    known, above = set(logs), {str(parent) for log in logs for parent in Path(log).parents}
    for hit in hits:
        why = "" if hit in known else why_no_file(root / hit)
        if why == "is a folder":
            within = known & {str(parent) for parent in Path(hit).parents}
            holds = hit.rstrip("/") in above
            if within or holds or run_name(hit) == Path(hit).name:
                continue
        if why:
            raise FloplineError(
                f"{hit} {why}, though source.paths matches it as a log: take it away, or make "
                "source.paths narrower."
            )


def _refuse_loops(pattern: str, root: Path) -> None:
    """Raise FloplineError where a search through all folders would go in circles, by a link."""
    if "**" not in pattern:
        return
    above, slash, _ = re.split(r"[*?\[]", pattern)[0].rpartition("/")
    for folder, names, _ in os.walk(root / f"{above}{slash}", followlinks=True):
        real = os.path.realpath(folder)
        for name in names:
            link = Path(folder, name)
            target = os.path.realpath(link) if link.is_symlink() else ""
            if target and f"{real}/".startswith(f"{target.rstrip('/')}/"):
                raise FloplineError(
                    f"{os.path.relpath(link, root)} is a link to a folder that holds it, so that "
                    f"source.paths '{pattern}' has no end: take the link away."
                )


def _with_sidecar(source: SourceDocument, run: str, path: str) -> LogFile:
    sidecar = sidecar_of(source, run, path)
    file: LogFile = {"run": run, "path": path}
    if sidecar is not None:
        file["sidecar"] = sidecar
    return file


DOCUMENT_ENDINGS: Final = (".json", ".jsonl")
"""Endings of documents that may hold one finished run each."""


def _tables(study: StudyDocument, files: list[str]) -> list[LogFile]:
    """The tables of a study; documents of a run each are called by their folders if need be.

    Unnamed rows are named after their table, so that two tables may not share a name then.
    """
    stems = [Path(file).stem for file in files]
    twice = [file for file, stem in zip(files, stems, strict=True) if stems.count(stem) > 1]
    if not twice or "run" in study["source"]["columns"]:
        return [{"run": "", "path": file} for file in files]
    if not all(Path(file).suffix.lower() in DOCUMENT_ENDINGS for file in files):
        raise FloplineError(
            f"{study['file']}: {twice[0]} and {twice[1]} share a name, by which their unnamed rows "
            "would be called: name a `run` column in source.columns, or rename a file."
        )
    return [{"run": "", "path": file, "called": name} for file, name in run_names(files).items()]


def _named_by_file(study: StudyDocument, path: str) -> tuple[str, bool]:
    """The run that a file's path names, and whether the pattern `pieces` says it is a part."""
    source = study["source"]
    run = from_name(source, path, study["file"]).get("run")
    if run is not None:
        return run, False
    name, pieces = run_name(path), source.get("pieces")
    match = search(rf"\A(?:{pieces})\Z", name, path, "source.pieces") if pieces else None
    return (match[1], True) if match else (name, False)


def _planned_files(study: StudyDocument) -> list[LogFile]:
    from flopline.simulation import planned_runs

    try:
        runs = planned_runs(study["source"])
    except FloplineError as mistake:
        raise FloplineError(f"{study['file']}: {mistake}") from None
    return [{"run": r.run, "path": f"{simulated_folder(study)}/logs/{r.run}.jsonl"} for r in runs]


def _named_by_table(study: StudyDocument, root: Path) -> dict[str, list[str]]:
    """Path of each log named in the run table's `log` column to its runs; empty without one.

    A log is that of several runs where it is the beginning of each: where each has one of its own.
    """
    runs = study["source"].get("runs")
    if not runs or "log" not in runs.get("columns", {}):
        return {}
    table = root / runs["table"]
    if table.suffix.lower() != ".csv":
        raise FloplineError(
            f"{runs['table']}: a run table with a `log` column must be a .csv file."
        )
    try:
        with table.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except FileNotFoundError:
        raise FloplineError(f"{runs['table']} (source.runs.table) does not exist.") from None
    except csv.Error as error:
        raise FloplineError(
            f"{runs['table']} (source.runs.table) cannot be read to its end ({error}): close the "
            "quotation mark or mend the line."
        ) from None
    columns = (str(runs["columns"][key]) for key in ("run", "log"))
    demand_once(list(reader.fieldnames or []), columns, Path(runs["table"]))
    named: dict[str, list[str]] = {}
    for row in rows:
        for key in ("run", "log"):
            if runs["columns"][key] not in row:
                raise FloplineError(
                    f"{runs['table']} has no column '{runs['columns'][key]}' "
                    f"(source.runs.columns.{key} in {study['file']}); it has: {', '.join(row)}."
                )
        if not row[runs["columns"]["log"]]:
            continue  # a planned run that never started is quarantined later, with this reason
        path = os.path.normpath(Path(runs["table"]).parent / row[runs["columns"]["log"]])
        named.setdefault(path, []).append(row[runs["columns"]["run"]])
    own = {of[0] for of in named.values() if len(of) == 1}
    for path, of in named.items():
        if len(of) > 1 and not (len(set(of)) == len(of) and own.issuperset(of)):
            raise FloplineError(
                f"{runs['table']}: the log {path} stands there twice, for run '{of[0]}' and "
                f"run '{of[1]}': remove one row (a log may be the beginning of several runs, where "
                "each has a row with a log of its own beside it)."
            )
    return named
