"""Digests of finished files, kept beside them, by which a changed or damaged one is recognised.

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

from flopline.atomic import drop, write_note, writing
from flopline.hashing import hash_file

if TYPE_CHECKING:  # the planning's alone, no job loads it
    from running.digest import Memory

FOLDER: Final = ".sha256"
SET_ASIDE: Final = ".changed"
"""Ending of what is no longer as it was written, and that nothing reads; its receipt, under the
same ending, stays until the result has been made again."""

ROOMS: Final = (
    "decision.*", "report.html", *(
        f"{room}/**/*"
        for room in ("curves", "clean", "fits", "audit", "figures", "latex", "methods")
    ),
)  # fmt: skip
"""Where the results of stages lie below those of a study; what else is there is no stage's."""

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
    """Keep the digests of files and folders just written, as far as there is room for them."""
    for path in paths:
        with suppress(OSError):
            write_note(receipt_of(path, results), digest_of(path))


def share_receipts(paths: Iterable[Path], results: Path) -> None:
    """Leave the digests of what a job just moved to a shared cache there, or take those it has.

    What is neither as this job wrote it nor as the cache knows it is damaged, and keeps the digest
    of the cache. Files that lie in no cache are passed over.
    """
    for path in paths:
        if entry := entry_of(path):
            own, shared = receipt_of(path, results), _beside(entry)
            known, now = _read(shared), digest_of(path)
            digest = now if known is None or now in (known, _read(own)) else known
            write_note(own, digest)
            if known != digest:
                write_note(shared, digest)


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
    return (p for p in paths if results in p.parents and _differs(p, results, hash_file))


def damaged_results(results: Path, memory: Memory) -> list[Path]:
    """All files and folders that are not as they were written, in order.

    A file is read only where its size, mtime, ctime or inode differ from when it was last read.
    """

    def of_file(path: Path) -> str:
        return str(memory.of(path, hash_file))

    # What is missing is made again without us.
    return [path for path, _ in _known(results) if _differs(path, results, of_file)]


def unrecorded_results(results: Path) -> list[Path]:
    """The files of all stages of which no digest is known, in order.

    Whether these are as they were written cannot be told.
    """
    files = sorted(p for room in ROOMS for p in results.glob(room) if p.is_file())
    return [
        path
        for path in files
        if path.suffix != SET_ASIDE
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
        and not any(
            receipt_of(one, results).is_file()
            for one in (path, *path.parents)
            if results in one.parents
        )
    ]


def set_aside(path: Path, results: Path) -> None:
    """Rename a damaged result, in a shared cache too, so that nothing reads it.

    Raises FloplineError where it cannot be renamed.
    """
    receipt = receipt_of(path, results)
    with writing(path):
        _rename(path)
        receipt.replace(_aside(receipt))


def to_be_made_again(results: Path) -> list[Path]:
    """What was set aside, by this run or one that did not get to it, and is not there yet."""
    again = []
    for changed, receipt in _known(results, aside=True):
        path = changed.with_suffix("")
        if path.exists():
            drop(receipt)
        else:
            again.append(path)
    return again


def bring_to_now(results: Path) -> None:
    """Take the future out of the time stamps of finished files, which a clock set back left there.

    Snakemake accepts no output that is older than its input; what counts is content alone.
    """
    now = time.time()
    for path, _ in _known(results):
        for file in (path, path / ".snakemake_timestamp"):
            with suppress(OSError):
                if file.stat().st_mtime > now:
                    os.utime(file, (now, now))


def _known(results: Path, *, aside: bool = False) -> list[tuple[Path, Path]]:
    """Files and folders with their receipts, in order: those that count, or those set `aside`."""
    folder = results / FOLDER
    receipts = sorted(p for p in folder.rglob("*") if p.is_file())
    of_kind = [p for p in receipts if (p.suffix == SET_ASIDE) == aside]
    return [(results / receipt.relative_to(folder), receipt) for receipt in of_kind]


def _differs(path: Path, results: Path, of_file: Callable[[Path], str]) -> bool:
    digest = _read(receipt_of(path, results))
    return digest is not None and path.exists() and digest_of(path, of_file) != digest


def _rename(path: Path) -> None:
    """Rename a file or folder and its entry in a cache; what was set aside before gives way."""
    entry = entry_of(path)
    if entry is not None and entry.exists():
        _rename(entry)
        drop(_beside(entry))
    aside = _aside(path)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    path.replace(aside)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}{SET_ASIDE}")


def _beside(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.sha256")


def _read(receipt: Path) -> str | None:
    """What stands in a receipt; None where there is none, or one that was cut off."""
    try:
        text = receipt.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None
