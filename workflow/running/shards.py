"""Which job reads what: runs go to shards by a stable hash, so that a new run touches one."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

from flopline.logs.formats import FORMATS
from flopline.sources import LogFile, format_of
from flopline.study_document import SourceDocument


def shard_of(run: str, shards: int) -> int:
    """The shard of a run: a stable hash of its name, so that adding a run touches one shard."""
    return int.from_bytes(hashlib.sha256(run.encode()).digest()[:8], "big") % shards


def hold_several(source: SourceDocument, paths: Sequence[str]) -> bool:
    """Whether one log of a source may hold several runs, so that its name does not tell them."""
    if source["kind"] == "table" or "run" in source.get("columns", {}):
        return True
    declared = format_of(source)
    if declared is not None:
        return FORMATS[declared].several_runs
    several = [entry for entry in FORMATS.values() if entry.several_runs]
    return any(entry.ends(Path(path).name) for entry in several for path in paths)


def by_shard(files: Sequence[LogFile], shards: int, together: bool = False) -> list[list[LogFile]]:
    """The files of every shard; all files of one run stand in the same.

    `together` puts all into one: where files hold several runs, any two may share one.
    """
    out: list[list[LogFile]] = [[] for _ in range(shards)]
    for file in files:
        out[0 if together else shard_of(file["run"], shards)].append(file)
    return out


def fact_digests(table: Path, run_column: str, digest: str, shards: int) -> list[str]:
    """For every shard a digest of what the run table says of its runs.

    Of a .csv or .tsv table only the rows of the shard's own runs count; of any other kind all of
    it, by its `digest`.
    """
    ending = table.suffix.lower().removeprefix(".")
    known = (e.separator for e in FORMATS.values() if e.is_table and ending in e.endings)
    if not (separator := next(known, "")):
        return [digest] * shards
    parts = [hashlib.sha256() for _ in range(shards)]
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        reader = csv.reader(stream, delimiter=separator)
        try:
            header = next(reader, [])
            if run_column not in header:
                return [digest] * shards
            place = header.index(run_column)
            for row in reader:
                if len(row) > place:
                    # Blanks round a name are cut off when the table is read.
                    shard = shard_of(row[place].strip(), shards)
                    parts[shard].update(repr(list(zip(header, row, strict=False))).encode())
        except csv.Error:  # as of a quotation mark that is never closed, which its reader names
            return [digest] * shards
    return [part.hexdigest()[:16] for part in parts]
