"""Files that lie elsewhere and come into a snapshot byte for byte, several at a time."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from flopline.errors import FloplineError
from flopline.fetching.snapshots import LOGS, Snapshot, safe_path
from flopline.fetching.transfer import Allowance, Downloaded

AT_A_TIME = 8
"""Files that are brought side by side."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file elsewhere: `path` below the snapshot's folder of logs, and how it is brought.

    `version` is what the source calls this state of it, where it says so before the file is asked
    for; `size` likewise. `of` names the source in messages.
    """

    path: str
    of: str
    bring: Callable[[Path, Allowance], Downloaded]
    size: int | None = None
    version: str | None = None


def bring_all(
    place: Path, before: Snapshot | None, files: Sequence[RemoteFile], allowance: Allowance
) -> dict[str, str]:
    """Bring files to a snapshot at `place`; those that `before` has in their version are copied.

    Returns the versions by path. Raises FloplineError where one cannot be had, where two have one
    name, and before any is asked for where their sizes are beyond the allowance.
    """
    paths = {file: f"{LOGS}/{safe_path(file.path, file.of)}" for file in files}
    for path, number in Counter(paths.values()).items():
        if number > 1:
            raise FloplineError(
                f"{number} of the files to fetch are called {path.removeprefix(f'{LOGS}/')}: fetch "
                "them into folders of their own, each with its own --into."
            )
    known = sum(file.size or 0 for file in files)
    Allowance(allowance.most).take(known, f"what is to be fetched ({known / 1e9:.3g} GB)")

    def bring(file: RemoteFile) -> tuple[str, str | None]:
        path = paths[file]
        to = place / path
        to.parent.mkdir(parents=True, exist_ok=True)
        kept = before.kept(path, file.version) if before is not None else None
        if kept is not None:
            shutil.copyfile(kept, to)
            return path, file.version
        arrived = file.bring(to, allowance)
        if file.size is not None and arrived.size != file.size:
            raise FloplineError(
                f"{file.of} has {file.path} with {file.size:,} bytes, and {arrived.size:,} "
                "arrived: it changed meanwhile, fetch again."
            )
        return path, file.version or arrived.version

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        futures = [pool.submit(bring, file) for file in files]
        try:
            arrived = [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {path: version for path, version in arrived if version is not None}


def is_pattern(path: str) -> bool:
    """Whether a path holds wildcards."""
    return any(letter in path for letter in "*?[")


def below(path: str) -> str:
    """The folder above the first wildcard of a path, with its slash; names are kept below it."""
    plain = path
    for letter in "*?[":
        plain = plain.partition(letter)[0]
    return plain[: plain.rfind("/") + 1]


def chosen(names: Sequence[str], pattern: str) -> dict[str, str]:
    """The names that a path, folder or pattern means, each with what it is called below it.

    `*` and `?` stay within a folder, `**` goes through all of them.
    """
    if not pattern:
        return {name: name for name in names}
    if pattern in names:
        return {pattern: pattern.rpartition("/")[2]}
    if not is_pattern(pattern):
        begin = pattern.rstrip("/") + "/"
        return {name: name.removeprefix(begin) for name in names if name.startswith(begin)}
    begin = below(pattern)
    return {name: name.removeprefix(begin) for name in names if _fits(name, pattern)}


def _fits(name: str, pattern: str) -> bool:
    return _parts_fit(name.split("/"), pattern.split("/"))


def _parts_fit(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_parts_fit(names[at:], patterns[1:]) for at in range(len(names) + 1))
    return bool(
        names and fnmatchcase(names[0], patterns[0]) and _parts_fit(names[1:], patterns[1:])
    )
