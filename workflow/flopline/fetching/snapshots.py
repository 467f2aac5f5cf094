"""Snapshots: folders of fetched logs with a manifest, there whole or not at all.

A snapshot's bytes depend on what the source held and on nothing else: no dates, no order by chance.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flopline.atomic import writing
from flopline.decoders import Undecodable, json_of
from flopline.errors import FloplineError, printable
from flopline.hashing import hash_file
from flopline.places import FETCHED

MANIFEST: Final = FETCHED
LOGS: Final = "logs"
"""The folder of a snapshot in which all logs lie."""
FORM: Final = 1
"""Number of the manifest's form."""
LONGEST_NAME: Final = 200
"""Bytes of a file's name, less than any file system allows."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where logs come from: `address` as given, without any login, and its `server`.

    `revision` is the commit that was fetched, where the source has any.
    """

    kind: str
    address: str
    server: str | None = None
    revision: str | None = None

    def is_that_of(self, other: Source) -> bool:
        """Whether both name the same place, at whatever revision."""
        return (self.kind, self.address, self.server) == (other.kind, other.address, other.server)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a snapshot: its path within, its digest, and its source's name for this version."""

    path: str
    size: int
    sha256: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot on the disk: its folder and what its manifest says."""

    folder: Path
    sources: Sequence[Source]
    files: Mapping[str, File]
    notes: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """sha256 over the paths and digests of all files, in hex."""
        lines = (f"{file.sha256}  {file.path}\n" for _, file in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def kept(self, path: str, version: str | None) -> Path | None:
        """The file at `path` if it is of this version, and as it was fetched; else None."""
        file = self.files.get(path)
        if version is None or file is None or file.version != version:
            return None
        there = self.folder / path
        return there if there.is_file() and hash_file(there) == file.sha256 else None


@dataclass(slots=True)
class Fetched:
    """What a source gave: itself with its revision, versions of files, and notes for the user."""

    sources: list[Source]
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Fill = Callable[[Path, "Snapshot | None"], Fetched]
"""Brings the files of a snapshot to a folder, given the snapshot that was there before."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A snapshot, and the one that stood there before as it lay on the disk."""

    snapshot: Snapshot
    changes: Changes | None

    @property
    def is_new(self) -> bool:
        """Whether there was none before."""
        return self.changes is None


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths that are new, gone, longer than they were (with the bytes added), or other."""

    new: Sequence[str]
    gone: Sequence[str]
    longer: Mapping[str, int]
    other: Sequence[str]
    same: int

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.longer or self.other)


def renewed(folder: Path, sources: Sequence[Source], fill: Fill) -> Renewal:
    """Make `folder` a snapshot of `sources`, by `fill`; what stood there stays until all is there.

    Raises FloplineError where the folder holds something else, or the snapshot of another source.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 (a link of the user's stays one)
    with _part_of(folder) as part:
        before = _before(folder, sources)
        with writing(folder):
            fetched = fill(part, before)
        snapshot = _described(part, fetched)
        if not snapshot.files:
            raise FloplineError(
                f"{', '.join(source.address for source in sources)} holds no log: name a place "
                "that does."
            )
        with writing(folder):
            _write_manifest(part, snapshot)
            changes = None if before is None else _changes(before, snapshot)
            same_words = before is not None and _text(before) == _text(snapshot)
            if changes is None or changes or not same_words:
                _keep_times(folder, snapshot)
                _exchange(part, folder)
    return Renewal(Snapshot(folder, snapshot.sources, snapshot.files, snapshot.notes), changes)


def read_snapshot(folder: Path) -> Snapshot:
    """The snapshot in a folder, by its manifest; raises FloplineError where it has none."""
    path = folder / MANIFEST
    try:
        content = json_of(path.read_bytes())
        if content["form"] != FORM:
            raise FloplineError(
                f"{path} is of form {content['form']}, which this version of Flopline does not "
                "know: use a newer one, or name another folder with --into."
            )
        return Snapshot(
            folder,
            [Source(**source) for source in content["sources"]],
            {file["path"]: File(**file) for file in content["files"]},
            content["notes"],
        )
    except (OSError, Undecodable, KeyError, TypeError, IndexError):
        raise FloplineError(
            f"{path} is no manifest of a snapshot: name another folder with --into, or remove "
            f"{folder} and fetch again."
        ) from None


def safe_path(name: str, of: str) -> PurePosixPath:
    """A name that a source gives, as a path within a snapshot.

    Raises FloplineError, naming the source `of`, for one that would lead out of it.
    """
    path = PurePosixPath(name)
    odd = not name or name.endswith("/") or "\\" in name or printable(name) != name
    if odd or path.is_absolute() or any(part in ("..", ".") for part in name.split("/")):
        raise FloplineError(f"{of} holds {name!r}, which is no name for a file here: rename it.")
    if any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise FloplineError(f"{of} holds {name!r}, which is too long a name: rename it.")
    return path


def _before(folder: Path, sources: Sequence[Source]) -> Snapshot | None:
    """The snapshot that stands in `folder` as it lies there; None where there is nothing."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST).is_file():
        raise FloplineError(
            f"{folder} is no snapshot, and what is in it would be lost: name another folder with "
            "--into."
        )
    before = read_snapshot(folder)
    alike = len(before.sources) == len(sources) and all(
        one.is_that_of(other) for one, other in zip(before.sources, sources, strict=True)
    )
    if not alike:
        raise FloplineError(
            f"{folder} is a snapshot of {', '.join(source.address for source in before.sources)}: "
            "name another folder with --into."
        )
    for path in _files_in(folder):
        if path not in before.files and not PurePosixPath(path).name.startswith("."):
            raise FloplineError(
                f"{folder / path} was not fetched and would be lost: move it out of the snapshot."
            )
    return before


def _described(part: Path, fetched: Fetched) -> Snapshot:
    files = {}
    for path in _files_in(part):
        place = part / path
        with place.open("rb") as stream:
            os.fsync(stream.fileno())
        version = fetched.versions.get(path)
        files[path] = File(path, place.stat().st_size, hash_file(place), version)
    return Snapshot(part, fetched.sources, files, sorted(fetched.notes))


def _files_in(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _text(snapshot: Snapshot) -> str:
    content: dict[str, Any] = {
        "form": FORM,
        "digest": snapshot.digest,
        "sources": [
            {name: getattr(source, name) for name in Source.__slots__}
            for source in snapshot.sources
        ],
        "files": [
            {name: getattr(file, name) for name in File.__slots__}
            for _, file in sorted(snapshot.files.items())
        ],
        "notes": list(snapshot.notes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _write_manifest(part: Path, snapshot: Snapshot) -> None:
    with (part / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.write(_text(snapshot))
        stream.flush()
        os.fsync(stream.fileno())


def _changes(before: Snapshot, now: Snapshot) -> Changes:
    """What changed on the disk, and so also where somebody edited the snapshot."""
    on_disk = {path for path in before.files if (before.folder / path).is_file()}
    longer: dict[str, int] = {}
    other, same = [], 0
    for path in sorted(on_disk & set(now.files)):
        old, file = before.folder / path, now.files[path]
        if hash_file(old) == file.sha256:
            same += 1
        elif _begins_with(now.folder / path, old):
            longer[path] = file.size - old.stat().st_size
        else:
            other.append(path)
    return Changes(
        sorted(set(now.files) - on_disk), sorted(on_disk - set(now.files)), longer, other, same
    )


def _begins_with(path: Path, beginning: Path) -> bool:
    size = beginning.stat().st_size
    if not 0 < size < path.stat().st_size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while size and (block := stream.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest() == hash_file(beginning)


def _keep_times(folder: Path, now: Snapshot) -> None:
    """Give files that did not change the times they had, which spares a look at their bytes."""
    for path, file in now.files.items():
        old = folder / path
        if old.is_file() and hash_file(old) == file.sha256:
            times = old.stat()
            os.utime(now.folder / path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextmanager
def _part_of(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that one fetch alone writes to; it is gone at the end.

    What a fetch that was killed has left is cleared away.
    """
    part, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock_file = folder.with_name(f".{folder.name}.lock")
        lock = lock_file.open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FloplineError(
                f"another flopline fetch is writing {folder}: wait until it has ended."
            ) from None
        try:
            with writing(folder):
                # Killed between the two renames of an exchange.
                if old.is_dir() and not folder.exists():
                    old.rename(folder)
                for left in (part, old):
                    shutil.rmtree(left, ignore_errors=True)
                part.mkdir()
            yield part
        finally:
            for left in (part, old):
                shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):
                lock_file.unlink(missing_ok=True)


def _exchange(part: Path, folder: Path) -> None:
    """Put a whole folder in place of another."""
    old = folder.with_name(f".{folder.name}.old")
    if folder.is_symlink():
        folder = folder.resolve()
        old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
