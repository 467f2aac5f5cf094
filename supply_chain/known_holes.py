"""Known holes of the locked packages, from an export of OSV that was carried in.

    python -m supply_chain.known_holes EXPORT LOCK...

EXPORT is the file all.zip of the ecosystem PyPI (https://google.github.io/osv.dev/data), or a
folder of its JSON files. Prints a sentence for each hole, and exits with 1 if there is one, with 2
if the export or a lock cannot be read. Nothing is asked of any network.
"""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from flopline.decoders import json_of
from flopline.errors import FloplineError
from flopline.numbers import count
from supply_chain.locked import Locked, locked_packages

ECOSYSTEM: Final = "PyPI"
WHENCE: Final = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"

MOST_BYTES: Final = 1 << 24
"""The size up to which one entry is read, hundreds of times that of the longest advisory known."""


@dataclass(frozen=True)
class Hole:
    """What is known against one locked package, under all names that it goes by."""

    package: Locked
    names: tuple[str, ...]
    summary: str
    fixed: str
    """The lowest later version without it; empty where none is known."""

    def __str__(self) -> str:
        first, *others = self.names
        also = f" ({', '.join(others)})" if others else ""
        summary = f": {self.summary}" if self.summary else ""
        mend = f"fixed in {self.fixed}" if self.fixed else "no version is known to mend it"
        return f"{self.package.name} {self.package.version} has {first}{also}{summary}; {mend}"


@dataclass
class Export:
    """The entries of an export that are about some packages, with how many there are in all."""

    entries: list[dict[str, Any]]
    count: int
    newest: str
    """When the youngest entry of all was last changed, as it says."""


def read_export(export: Path, wanted: Iterable[str]) -> Export:
    """Read an export; of its entries those are kept that stand and are about `wanted` packages.

    Raises FloplineError for what is no such export, is damaged, or has no entry of the ecosystem.
    """
    names, kept, count, newest = set(wanted), [], 0, ""
    for place, data in _documents(export):
        try:
            entry = json_of(data)
        except ValueError as error:
            raise FloplineError(f"{place} is no JSON ({error}): carry it in again.") from None
        if not (isinstance(entry, dict) and isinstance(entry.get("id"), str)):
            raise FloplineError(f"{place} is no entry of OSV: it has no id. Carry it in again.")
        listed = entry.get("affected") or []
        if not (isinstance(listed, list) and len(_mappings(listed)) == len(listed)):
            raise FloplineError(
                f"{place} is no entry of OSV: what it affects is no list. Carry it in again."
            )
        packages = {_package(affected) for affected in listed}
        if not packages - {""}:
            continue  # of other ecosystems alone, or withdrawn with all that it said
        count += 1
        newest = max(newest, str(entry.get("modified", "")))
        if not entry.get("withdrawn") and names & packages:
            kept.append(entry)
    if not count:
        raise FloplineError(
            f"{export} holds no entry of the ecosystem {ECOSYSTEM}: carry in {WHENCE}."
        )
    return Export(sorted(kept, key=lambda entry: str(entry["id"])), count, newest)


def holes_of(package: Locked, entries: Iterable[Mapping[str, Any]]) -> list[Hole]:
    """The holes of one package; entries that name each other are one."""
    against = [entry for entry in entries if _concerns(package, entry)]
    groups: list[tuple[set[str], list[Mapping[str, Any]]]] = []
    for entry in against:
        names = {str(entry["id"]), *map(str, entry.get("aliases") or ())}
        same = [group for group in groups if group[0] & names]
        groups = [group for group in groups if not group[0] & names]
        groups.append(
            (names.union(*(g[0] for g in same)), [*(e for g in same for e in g[1]), entry])
        )
    return [_hole(package, names, members) for names, members in groups]


def _hole(package: Locked, names: set[str], entries: list[Mapping[str, Any]]) -> Hole:
    summaries = [" ".join(str(e["summary"]).split()) for e in entries if e.get("summary")]
    ours = Version(package.version)
    fixes = {
        version
        for entry in entries
        for affected in _of_package(package, entry)
        for events in _events(affected)
        for kind, version in events
        if kind == "fixed" and version > ours
    }
    first = str(entries[0]["id"])
    others = tuple(sorted(names - {first}))
    return Hole(package, (first, *others), (summaries or [""])[0], str(min(fixes, default="")))


def _concerns(package: Locked, entry: Mapping[str, Any]) -> bool:
    return any(_is_affected(package, affected) for affected in _of_package(package, entry))


def _of_package(package: Locked, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [a for a in _mappings(entry.get("affected")) if _package(a) == package.name]


def _is_affected(package: Locked, affected: Mapping[str, Any]) -> bool:
    """Whether a version is listed, or lies in a range (OSV schema, "Evaluation").

    What names neither is about every version.
    """
    ours = Version(package.version)
    listed = affected.get("versions") or []
    if any(_version(text) == ours for text in listed):
        return True
    ranges = list(_events(affected))
    if not (listed or ranges):
        return True
    return any(_lies_in(ours, events) for events in ranges)


def _lies_in(ours: Version, events: list[tuple[str, Version]]) -> bool:
    inside = False
    # At one version it is first introduced, then fixed: a range may begin where another ends.
    for kind, version in sorted(events, key=lambda e: (e[1], e[0] == "introduced")):
        if kind == "introduced" and ours >= version:
            inside = True
        elif (kind == "fixed" and ours >= version) or (kind == "last_affected" and ours > version):
            inside = False
    return inside


def _events(affected: Mapping[str, Any]) -> Iterator[list[tuple[str, Version]]]:
    """The events of each range of versions of a package; those of commits are passed over."""
    for span in _mappings(affected.get("ranges")):
        if span.get("type") == "GIT":
            continue
        events = []
        for event in _mappings(span.get("events")):
            for kind, text in event.items():
                version = _version(text)
                if version is not None:
                    events.append((kind, version))
                elif kind == "introduced":  # better one warning too many
                    events.append((kind, Version("0.dev0")))
        yield events


def _version(text: object) -> Version | None:
    if text == "0":  # before every version, pre-releases too
        return Version("0.dev0")
    try:
        return Version(str(text))
    except InvalidVersion:
        return None


def _package(affected: Mapping[str, Any]) -> str:
    """The name of the package that is affected; empty for one of another ecosystem."""
    package = affected.get("package")
    if not isinstance(package, dict):
        return ""
    ecosystem = str(package.get("ecosystem", "")).partition(":")[0]
    return canonicalize_name(str(package.get("name", ""))) if ecosystem == ECOSYSTEM else ""


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _documents(export: Path) -> Iterator[tuple[str, bytes]]:
    """Where each entry of an export stands, and its bytes."""
    try:
        if export.is_dir():
            for path in sorted(export.rglob("*.json")):
                yield str(path), _bounded(str(path), path.stat().st_size, path.read_bytes)
            return
        with zipfile.ZipFile(export) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".json"):
                    place = f"{export}, {info.filename}"
                    yield place, _bounded(place, info.file_size, lambda: archive.read(info))  # noqa: B023
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise FloplineError(
            f"{export} is no export of OSV that can be read ({why}): carry in {WHENCE}, or a "
            "folder of its JSON files."
        ) from None


def _bounded(place: str, size: int, read: Any) -> bytes:
    if size > MOST_BYTES:
        raise FloplineError(f"{place} is larger than {MOST_BYTES:,} bytes, which no entry is.")
    return bytes(read())


def main(arguments: list[str]) -> int:
    """Check some lock files against an export; the exit code."""
    try:
        export, *locks = map(Path, arguments)
        packages = {lock: locked_packages(lock) for lock in locks}
        names = {package.name for lock in locks for package in packages[lock]}
        known = read_export(export, names)
    except FloplineError as mistake:
        print(f"make holes: {mistake}", file=sys.stderr)
        return 2
    holes: dict[str, list[str]] = {}
    for lock in locks:
        for package in packages[lock]:
            for hole in holes_of(package, known.entries):
                holes.setdefault(str(hole), []).append(str(lock))
    for sentence, where in holes.items():
        print(f"make holes: {sentence}; raise it in pyproject.toml, then make lock"
              f" ({', '.join(where)}).")  # fmt: skip
    pinned = {(p.name, p.version) for lock in locks for p in packages[lock]}
    print(
        f"make holes: {count(len(holes), 'known hole') if holes else 'no known holes'} in "
        f"{count(len(pinned), 'package')}, by {known.count:,} "
        f"{'entry' if known.count == 1 else 'entries'} of {export}, the youngest of "
        f"{known.newest[:10] or 'an unknown day'}."
    )
    return int(bool(holes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
