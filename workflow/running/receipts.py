"""Digests of finished files, kept beside them, by which a changed or damaged one is told.

That of results/<study>/a/b stands in results/<study>/.sha256/a/b. It is written by the job that
wrote the file and dropped before the file is made again, so that a file without one is merely
unknown, never taken for damaged.
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

from flopline.hashing import hash_file
from flopline.whole import drop, part_of

if TYPE_CHECKING:  # the planning's alone, no job loads it
    from flopline.digest import Memory

FOLDER: Final = ".sha256"
SET_ASIDE: Final = ".changed"
"""Ending of what is no longer as it was written, and that nothing reads."""


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
        receipt = receipt_of(path, results)
        part = part_of(receipt)
        try:
            receipt.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(digest_of(path), encoding="ascii")
            part.replace(receipt)
        except OSError:
            drop(part)


def digest_of(path: Path, of_file: Callable[[Path], str] = hash_file) -> str:
    """sha256 of a file in hex, or of the names and digests of all files in a folder.

    Hidden files do not count: Snakemake leaves one in every folder that it made.
    """
    if not path.is_dir():
        return of_file(path)
    inside = sorted(p for p in path.rglob("[!.]*") if p.is_file())
    lines = "\n".join(f"{p.relative_to(path)} {of_file(p)}" for p in inside)
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
    Returns what was found, in order; with `only_tell` it stays where it is.
    """
    found = []
    for receipt in sorted(p for p in (results / FOLDER).rglob("*") if p.is_file()):
        digest, path = _read(receipt), results / receipt.relative_to(results / FOLDER)
        if digest is None or not path.exists():
            continue  # what is missing is made again without us
        if digest_of(path, lambda file: str(memory.of(file, hash_file))) != digest:
            found.append(path)
            if not only_tell:
                _set_aside(path)
                drop(receipt)
    return found


def not_made_again(results: Path) -> list[Path]:
    """What an earlier start set aside, killed or run in steps, and no job has made again since."""
    asides = results.rglob(f"*{SET_ASIDE}")
    paths = {aside.with_name(aside.name.removesuffix(SET_ASIDE)) for aside in asides}
    return sorted(path for path in paths if not path.exists())


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
    aside = path.with_name(f"{path.name}{SET_ASIDE}")
    if aside.is_dir():
        shutil.rmtree(aside)
    path.replace(aside)


def _read(receipt: Path) -> str | None:
    """What stands in a receipt; None where there is none, or one that was cut off."""
    try:
        text = receipt.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None
