"""Whole files or none: each is written beside its place and renamed into it when complete."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flopline.errors import FloplineError

MENDS: Final = {
    errno.ENOSPC: "make room and start again",
    errno.EDQUOT: "make room and start again",
    errno.EROFS: "make the folder writable, or work in another one",
    errno.EACCES: "make the folder writable, or work in another one",
    errno.EPERM: "make the folder writable, or work in another one",
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.ELOOP),
        "a file or a link that leads nowhere stands where a folder belongs, move it away",
    ),
    errno.EIO: "the disk failed: see to it, or work on another one",
}
"""What helps against each reason why a file cannot be written."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, that becomes `path` at the end; a failure leaves `path` as it was.

    Raises FloplineError, naming the file, when it cannot be written.
    """
    part = part_of(path)
    try:
        with writing(path):
            yield part
            seal(part, path)
    finally:
        drop(part)


def part_of(path: Path) -> Path:
    """Where a file is written until it is complete: a hidden name beside it."""
    return path.with_name(f".{path.name}.part")


def seal(part: Path, path: Path) -> None:
    """Give a complete file its name, its bytes on the disk before that."""
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(path)


def drop(part: Path) -> None:
    """Remove what was not completed; a disk that does not let us is no further mistake."""
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Why a file cannot be written, turned into a FloplineError that names it."""
    try:
        yield
    except OSError as error:
        number = reason_of(error)
        why = os.strerror(number) if number else str(error)
        mend = MENDS.get(number, "see to it and start again")
        raise FloplineError(f"{path} cannot be written ({why}): {mend}.") from None


def reason_of(error: OSError) -> int:
    """The errno of an error, that Arrow says in its text alone; 0 where none is told."""
    if error.errno:
        return error.errno
    told = re.search(r"errno (\d+)", str(error), re.IGNORECASE)
    return int(told[1]) if told else 0
