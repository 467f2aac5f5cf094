"""Digests of finished files, kept beside them, by which a changed or damaged one is told.

That of results/<study>/a/b stands in results/<study>/.sha256/a/b. It is written by the job that
wrote the file and dropped before the file is made again, so that a file without one is merely
unknown, never taken for damaged. An entry of a shared cache has its digest beside it, as
<entry>.sha256, for those who fetch it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flopline.atomic import drop, part_of, writing
from flopline.hashing import hash_file

if TYPE_CHECKING:  # the planning's alone, no job loads it
    from running.digest import Memory

FOLDER: Final = ".sha256"
SET_ASIDE: Final = ".changed"
"""Ending of what is no longer as it was written, and that nothing reads; its receipt, under the
same ending, stays until the result has been made again."""

_ENTRY: Final = re.compile(r"[0-9a-f]{64}_.+")
"""What Snakemake calls the entries of a shared cache."""


def receipt_of(path: Path, results: Path) -> Path:
    """Where the digest of a file or folder below `results` stands."""
    return results / FOLDER / path.relative_to(results)


def drop_receipts(paths: Iterable[Path], results: Path) -> None:
    """Forget the digests of files and folders that are to be made again."""
    for path in paths:
        drop(receipt_of(path, results))


def write_receipts(paths: Iterable[Path], results: Path) -> None:
    """Keep the digests of files and folders just written.

    One that finds no room is left out: what was written is whole all the same.
    """
    for path in paths:
        with suppress(OSError):
            _write(receipt_of(path, results), digest_of(path))


def share_receipts(paths: Iterable[Path], results: Path) -> None:
    """Leave the digests of what a job just moved to a shared cache there, or take those it has.

    Files that lie in no cache are passed over.
    """
    for path in paths:
        entry = entry_of(path)
        if entry is None:
            continue
        own, shared = receipt_of(path, results), _beside(entry)
        digest = _read(own) or _read(shared) or digest_of(path)
        _write(own, digest)
        if _read(shared) != digest:
            _write(shared, digest)


def entry_of(path: Path) -> Path | None:
    """The entry of a shared cache that a result leads to; None for a file of the study's own."""
    if path.is_symlink():
        entry = path.readlink()
    elif path.is_dir():  # Snakemake makes a folder anew, of links to the files in the entry
        links = sorted(inside for inside in path.iterdir() if inside.is_symlink())
        if not links:
            return None
        entry = links[0].readlink().parent
    else:
        return None
    return entry if _ENTRY.fullmatch(entry.name) else None


def digest_of(path: Path, of_file: Callable[[Path], str] = hash_file) -> str:
    """sha256 of a file in hex, or of the names and digests of all files in a folder.

    Hidden files do not count: Snakemake leaves one in every folder that it made. Nor do folders
    inside: none is written, and Snakemake moves a folder into the one that a shared cache has.
    """
    if not path.is_dir():
        return of_file(path)
    inside = sorted(p for p in path.glob("[!.]*") if p.is_file())
    lines = "\n".join(f"{p.name} {of_file(p)}" for p in inside)
    return hashlib.sha256(lines.encode()).hexdigest()


def differing(paths: Iterable[Path], results: Path) -> Iterator[Path]:
    """Those of some files and folders that are below `results` and not what was written."""
    for path in paths:
        if results in path.parents and path.exists():
            digest = _read(receipt_of(path, results))
            if digest is not None and digest_of(path) != digest:
                yield path


def set_aside_damaged(results: Path, memory: Memory, *, only_tell: bool = False) -> list[Path]:
    """Find what is not as it was written and rename it, so that it is made again.

    A file is read only where its size, mtime, ctime or inode differ from when it was last read.
    Returns what was found, in order; with `only_tell` it stays where it is. What a shared cache
    holds is renamed there. Raises FloplineError where nothing can be renamed.
    """
    found = []
    for receipt in sorted(p for p in (results / FOLDER).rglob("*") if p.is_file()):
        if receipt.suffix == SET_ASIDE:
            continue
        digest, path = _read(receipt), results / receipt.relative_to(results / FOLDER)
        if digest is None or not path.exists():
            continue  # what is missing is made again without us
        if digest_of(path, lambda file: str(memory.of(file, hash_file))) != digest:
            found.append(path)
            if not only_tell:
                with writing(path):
                    _set_aside(path)
                    receipt.replace(_aside(receipt))
    return found


def to_be_made_again(results: Path) -> list[Path]:
    """What was set aside, by this run or one that did not get to it, and is not there yet.

    Snakemake alone does not miss a file that all who read it have read.
    """
    receipts = sorted((results / FOLDER).rglob(f"*{SET_ASIDE}"))
    paths = [results / r.relative_to(results / FOLDER).with_suffix("") for r in receipts]
    for receipt, path in zip(receipts, paths, strict=True):
        if path.exists():
            drop(receipt)
    return [path for path in paths if not path.exists()]


def bring_to_now(results: Path) -> None:
    """Take the future out of the time stamps of finished files, which a clock set back left there.

    Snakemake accepts no output that is older than its input; what counts is content alone.
    """
    now = time.time()
    for receipt in (results / FOLDER).rglob("*"):
        path = results / receipt.relative_to(results / FOLDER)
        for file in (path, path / ".snakemake_timestamp"):
            with suppress(OSError):
                if receipt.is_file() and file.stat().st_mtime > now:
                    os.utime(file, (now, now))


def _set_aside(path: Path) -> None:
    """Rename a file or folder; one that was set aside before gives way."""
    entry = entry_of(path)
    if entry is not None and entry.exists():
        _set_aside(entry)
        drop(_beside(entry))
    aside = _aside(path)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    path.replace(aside)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}{SET_ASIDE}")


def _beside(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.sha256")


def _write(receipt: Path, digest: str) -> None:
    part = part_of(receipt)
    try:
        receipt.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(digest, encoding="ascii")
        part.replace(receipt)
    except OSError:
        drop(part)


def _read(receipt: Path) -> str | None:
    """What stands in a receipt; None where there is none, or one that was cut off."""
    try:
        text = receipt.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None
