"""Complete files or none: each is written beside its place and renamed when all of it is there."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
def replacing(path: Path) -> Iterator[Path]:
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
    with suppress(OSError):
        part.unlink(missing_ok=True)


def write_note(path: Path, content: str | bytes) -> None:
    """Write what only spares work, text in ASCII: where it finds no room it is left out."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode("ascii") if isinstance(content, str) else content)
        part.replace(path)
    except OSError:
        drop(part)
    drop_abandoned(path)


def drop_abandoned(path: Path) -> None:
    """Remove what processes that were killed left of a note that they wrote."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = part.name.split(".")[-2]
        if not (number.isascii() and number.isdigit()):
            continue
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            drop(part)
        except (OSError, OverflowError):  # it is at work, or no process of ours
            continue


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Why a file cannot be written, turned into a FloplineError that names it."""
    try:
        yield
    except OSError as error:
        # Arrow gives the number in its text alone.
        in_text = re.search(r"errno (\d+)", str(error), re.IGNORECASE)
        number = error.errno or int(in_text[1] if in_text else 0)
        why = os.strerror(number) if number else str(error)
        mend = MENDS.get(number, "see to it and start again")
        raise FloplineError(f"{path} cannot be written ({why}): {mend}.") from None
