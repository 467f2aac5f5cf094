"""Which files make up a log, and what the study file says of formats, names and sidecars.

The workflow asks this at every start, so that nothing here loads pandas.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, NotRequired, TypedDict

from flopline.errors import FloplineError
from flopline.logs.formats import ENDINGS, FOLDERS, FORMATS, SPLIT_FOLDERS
from flopline.logs.time_limit import search
from flopline.study_document import SourceDocument

TEXT_ENDINGS: Final = ("log", "txt", "out")
"""Endings that logs of any text format have."""

PACKED_ENDINGS: Final = ("gz", "zst", "xz", "bz2")
"""Endings of compressed files."""

_KNOWN_ENDINGS: Final = "|".join((*ENDINGS, *TEXT_ENDINGS, *PACKED_ENDINGS))


NAMED_SO: Final = -1
"""The place of a split that the name of a file says, and no folder."""

_SPLIT_WORD: Final = re.compile(rf"(^|[-_. ])({'|'.join(SPLIT_FOLDERS)})([-_. ]|$)", re.IGNORECASE)
"""A word for a split within a name, with what parts it from others."""


class LogFile(TypedDict):
    """One log of a study: the run that its path names, its digest, and the sidecar beside it.

    In place of the digest of a log that is yet to be simulated stands what it is `made_of`. A log
    that is `shared` is the beginning of several runs. One in a folder beside those of other splits
    holds one `split` of its run. What a table is `called` names rows without a name.
    """

    run: str
    path: str
    sha256: NotRequired[str | None]
    made_of: NotRequired[str]
    shared: NotRequired[bool]
    split: NotRequired[str]
    called: NotRequired[str]
    sidecar: NotRequired[str]
    sidecar_sha256: NotRequired[str]


class TableFile(TypedDict):
    """The run table of a study with its digest; `made_of` as in LogFile."""

    path: str | None
    sha256: str | None
    made_of: NotRequired[str]


def format_of(source: SourceDocument) -> str | None:
    """The declared format of a source; None where each file tells its own."""
    declared: str | None = source.get("format")
    described = (entry.name for entry in FORMATS.values() if entry.described_by in source)
    return declared or next(described, None)


def readers_of(source: SourceDocument) -> tuple[str, ...]:
    """The modules that may read the logs of a source, or its tables of finished runs."""
    declared = format_of(source)
    if declared is not None:
        return (FORMATS[declared].reader,)
    wanted = (e for e in FORMATS.values() if e.is_table or source["kind"] == "logs")
    return tuple(entry.reader for entry in wanted)


def run_table_readers(source: SourceDocument) -> tuple[str, ...]:
    """The modules that may read the run table of a source; none without one."""
    table = source.get("runs", {}).get("table")
    if table is None:
        return ()
    tables = [entry for entry in FORMATS.values() if entry.is_table]
    return tuple(entry.reader for entry in tables if entry.ends(Path(table).name))


def patterns_of(source: SourceDocument) -> tuple[dict[str, str], ...]:
    """`source.pattern` as {pattern, split?} each, in order."""
    given = source.get("pattern", ())
    several = given if isinstance(given, list) else [given] if given else []
    return tuple({"pattern": one} if isinstance(one, str) else dict(one) for one in several)


def pattern_mistakes(source: SourceDocument) -> Iterator[str]:
    """What is wrong with `source.pattern` and `source.runs.from_name`, in a sentence each."""
    groups: set[str] = set()
    for one in patterns_of(source):
        try:
            groups |= set(re.compile(one["pattern"]).groupindex)
        except re.error as error:
            yield f"source.pattern {one['pattern']!r} is no regular expression: {error}."
            return
    declared = format_of(source)
    for entry in FORMATS.values():
        key = entry.described_by
        if key and (entry.name == declared) != (key in source):
            yield (
                f"source.{key} and source.format {entry.name} go together: give both or drop one."
            )
    if "pattern" in source and "columns" not in source and "loss" not in groups:
        yield (
            "source.pattern has no group (?P<loss>...): name the groups after our columns, or say "
            "in source.columns what each means."
        )
    for key, regex in source.get("phase", {}).items():
        try:
            re.compile(regex)
        except re.error as error:
            yield f"source.phase.{key} {regex!r} is no regular expression: {error}."
    name = source.get("runs", {}).get("from_name")
    try:
        unnamed = name is not None and not re.compile(name).groupindex
    except re.error as error:
        yield f"source.runs.from_name {name!r} is no regular expression: {error}."
        return
    if unnamed:
        yield f"source.runs.from_name {name!r} names no group: write (?P<params>...) or such."


def from_name(source: SourceDocument, path: str, file: str) -> dict[str, str]:
    """What `source.runs.from_name` finds in a log's path.

    Raises FloplineError, naming the study file `file`, where it finds nothing.
    """
    pattern = source.get("runs", {}).get("from_name")
    if pattern is None:
        return {}
    match = search(pattern, PurePosixPath(path).as_posix(), path, "source.runs.from_name")
    if match is None:
        raise FloplineError(
            f"{file}: source.runs.from_name {pattern!r} does not fit {path}: widen the pattern or "
            "rename the file."
        )
    return {name: text for name, text in match.groupdict().items() if text is not None}


def fact_names(source: SourceDocument) -> set[str]:
    """The facts of runs that a logs source is told where to find."""
    runs = source.get("runs", {})
    named = {
        *runs.get("columns", {}),
        *runs.get("sidecar", {}).get("columns", {}),
        *(runs.get("from_log") or {}),
    }
    return named | set(re.compile(runs.get("from_name", "")).groupindex)


def sidecar_of(source: SourceDocument, run: str, path: str) -> str | None:
    """The sidecar of a log, beside it; `{run}` and `{stem}` stand for its run and file name."""
    sidecar = source.get("runs", {}).get("sidecar")
    if sidecar is None:
        return None
    name = sidecar["path"].replace("{run}", run).replace("{stem}", run_name(path))
    return os.path.normpath(f"{Path(path).parent / name}")


def run_name(path: str) -> str:
    """The run that a log file is named after: its file name without known endings."""
    return re.sub(rf"(\.({_KNOWN_ENDINGS}))+$", "", Path(path).name)


class SplitPlace(NamedTuple):
    """Where a path names the split that a log holds: in which of its parts, and what is left."""

    split: str
    place: int
    rest: str
    """The path without the word, which the logs of other splits of the run share."""


def split_places(paths: Sequence[str]) -> dict[str, SplitPlace]:
    """The logs that lie in folders of splits, or are named by one, with a log of another beside it.

    That is train/log.txt and validation/log.txt, train.csv and val.csv, a_train.csv and a_val.csv.
    Where one run has both, so do others that have one of them alone.
    """
    alike: dict[str, set[str]] = {}
    places: list[tuple[str, SplitPlace]] = []
    for path in paths:
        for found in (*_split_parts(path), *_split_names(path)):
            alike.setdefault(f"{found.place}\0{found.rest}", set()).add(found.split)
            places.append((path, found))
    in_folders = {f.place for _, f in places if len(alike[f"{f.place}\0{f.rest}"]) > 1}
    return {path: found for path, found in places if found.place in in_folders}


def _split_parts(path: str) -> Iterator[SplitPlace]:
    parts = Path(path).parts
    for place, part in enumerate(parts[:-1]):
        if part.lower() in SPLIT_FOLDERS:
            rest = str(Path(*parts[:place], *parts[place + 1 :]))
            yield SplitPlace(SPLIT_FOLDERS[part.lower()], place, rest)


def _split_names(path: str) -> Iterator[SplitPlace]:
    """The words for splits in a file's name, which is called like its folder without them."""
    name, stem = Path(path).name, run_name(path)
    ending = name[len(stem) :]
    for word in _SPLIT_WORD.finditer(stem):
        left = f"{stem[: word.start()]}{word[1] and word[3]}{stem[word.end() :]}"
        home = Path(path).parent
        rest = str(home / left) if left else str(home)
        yield SplitPlace(SPLIT_FOLDERS[word[2].lower()], NAMED_SO, f"{rest}{ending}")


def why_no_file(path: Path) -> str:
    """What keeps a path from being read as a file; empty for a file."""
    if path.is_file():
        return ""
    if path.is_dir():
        return "is a folder"
    if path.is_symlink() and not path.exists():
        return "is a link that leads nowhere"
    return "is no regular file" if path.exists() else "does not exist"


def parts_of(path: Path) -> list[Path]:
    """The files that a log consists of: a file itself, and of a folder those that are read.

    Nothing for a folder that is no log.
    """
    if not path.is_dir():
        return [path]
    parts = (part for folder in FOLDERS if folder.holds(path) for part in folder.all_parts)
    return sorted({file for part in parts for file in path.glob(part) if file.is_file()})
