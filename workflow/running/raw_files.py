"""The raw files of a study with their digests: what a run is planned on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.sources import LogFile, TableFile, parts_of, why_no_file
from flopline.study import is_simulated, raw_source
from flopline.study_document import SourceDocument, StudyDocument
from running.digest import Memory
from running.expected import seconds_by_size
from running.log_search import log_files
from running.raw_digests import log_digest
from running.shards import by_shard, fact_digests, hold_several


@dataclass(frozen=True)
class RawFiles:
    """The logs of a study, its run table, and what of both belongs to each of its shards."""

    source: SourceDocument
    logs: list[LogFile]
    run_table: TableFile | None

    @cached_property
    def by_shard(self) -> list[list[LogFile]]:
        """The logs of every shard."""
        return by_shard(self.logs, self.source["shards"], together=self._hold_several)

    @cached_property
    def facts(self) -> list[str | None]:
        """For every shard a digest of what the run table says of its runs; None without one."""
        table, shards = self.run_table, self.source["shards"]
        if table is None:
            return [None] * shards
        if "made_of" in table:
            return [table["made_of"]] * shards
        if self._hold_several:
            return [table["sha256"]] * shards
        run = str(self.source["runs"]["columns"]["run"])
        path, digest = Path(str(table["path"])), str(table["sha256"])
        return [*fact_digests(path, run, digest, shards)]

    def read_by(self, shard: int) -> list[str]:
        """All files that are read for a shard: of a log that is a folder its own, and sidecars."""
        return [path for log in self.by_shard[shard] for path in _read_for(log)]

    def seconds(self) -> dict[str, float]:
        """About how long jobs that read and clean a shard take, by the size of the files."""
        shards = self.source["shards"]
        read = (path for shard in range(shards) for path in self.read_by(shard))
        return seconds_by_size(read, shards)

    @cached_property
    def _hold_several(self) -> bool:
        return hold_several(self.source, [log["path"] for log in self.logs])


def simulation_of(study: StudyDocument) -> dict[str, object]:
    """What simulated runs are made of: how many jobs read their logs back is no part of it."""
    return {key: value for key, value in study["source"].items() if key != "shards"}


def raw_files(study: StudyDocument, simulator: Callable[[], str]) -> RawFiles:
    """The raw files of a study; their paths are relative to the working folder.

    Digests of files are remembered in results/<study>/.digests.json. Of simulated ones, which do
    not exist yet, there is a digest of their settings and of the code, which `simulator` gives.
    Raises FloplineError for what is no file, or has a name that Snakemake would misread.
    """
    source = raw_source(study)
    table: str | None = source.get("runs", {}).get("table")
    if is_simulated(study):
        parts = json.dumps([simulation_of(study), simulator()], sort_keys=True)
        made_of = hashlib.sha256(parts.encode()).hexdigest()
        unborn = log_files(study, Path.cwd())
        for file in unborn:
            file["sha256"], file["made_of"] = None, made_of
        return RawFiles(source, unborn, {"path": table, "sha256": None, "made_of": made_of})
    memory = Memory(Path("results", study["name"], ".digests.json"))
    if table:
        _demand_file(table, f"{study['file']}: source.runs.table")

    def hashed(path: Path) -> str:
        _demand_plain(path)
        if why := why_no_file(path):
            raise FloplineError(f"{path} {why}, where a log should be: take it away.")
        return str(memory.of(path, hash_file))

    logs = log_files(study, Path.cwd())
    for log in logs:
        log["sha256"] = log_digest(Path(log["path"]), hashed)
        if "sidecar" in log:
            _demand_file(log["sidecar"], f"{study['file']}: source.runs.sidecar")
            log["sidecar_sha256"] = hashed(Path(log["sidecar"]))
    run_table: TableFile | None = None
    if table:
        run_table = {"path": table, "sha256": hashed(Path(table))}
    memory.save()
    return RawFiles(source, logs, run_table)


def _read_for(log: LogFile) -> list[str]:
    parts = [str(part) for part in parts_of(Path(log["path"]))]
    return [*parts, *([log["sidecar"]] if "sidecar" in log else [])]


def _demand_file(path: str, named_in: str) -> None:
    if why := why_no_file(Path(path)):
        raise FloplineError(f"{named_in} names {path}, which {why}: correct the path.")


def demand_plain_checkout(folder: Path) -> None:
    """Refuse a checkout whose path Snakemake would fill in, as that of a rule's environment."""
    if sign := re.search(r"[{}]", str(folder)):
        raise FloplineError(
            f"the checkout lies in {folder}, and Snakemake takes what stands between braces in its "
            f"path for a name of its own: rename the folder with '{sign[0]}' in its name, or move "
            "the checkout."
        )


def _demand_plain(path: Path) -> None:
    """Refuse names in which Snakemake would put other words, also in what a function returns."""
    if re.search(r"[{}\x00-\x1f\x7f]|<[a-z][a-z0-9_]*>", str(path)):
        raise FloplineError(
            f"{str(path)!r}: in the name of a file or folder Snakemake takes braces and words in "
            "< > for its own, and line breaks mislead: rename it."
        )
