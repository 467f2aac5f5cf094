"""Opening logs: decompressed by their first bytes, as bytes or as numbered lines of text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import shlex
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from flopline.errors import FloplineError
from flopline.logs.time_limit import Line, in_batches, limited

HEAD: Final = 1 << 22
"""Bytes that a format is told by: some logs begin with megabytes of other output."""

BEGIN: Final = 1 << 16
"""Bytes by which text is told from anything else."""

_CONTROLS: Final = bytes({*range(32)} - {*b"\t\n\f\r\b\x1b"}) + b"\x7f"
_MOST_CONTROLS: Final = 0.005
_MAGIC: Final = 16

LONGEST_LINE: Final = 1 << 22
"""Letters of a line that are looked at: what binary junk holds beyond them cannot be a record."""

_TAR: Final = b"ustar"
_TAR_AT: Final = 257
"""What tells a tar archive, and at which byte (POSIX.1-1988, the header's field `magic`)."""

_ZIP: Final = b"PK\x03\x04"

MOST_UNPACKED: Final = 1 << 26
"""Bytes that any file may unpack to, however small it is: what is read in some seconds."""

MOST_GROWTH: Final = 100
"""How many times its own size a larger file may unpack to; logs shrink to a tenth or so, and a
file made to fill the memory to a thousandth or less."""

UTF16_LITTLE: Final = (b"\xff\xfe", b"\0\0\0")
UTF16_BIG: Final = (b"\xfe\xff", b"\0\0\0")
"""The mark that begins UTF-16 text, and every other byte after it in plain letters."""


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(path, compression="zstd"))


def _named(opener: Any) -> Callable[[Path], IO[bytes]]:
    def opened(path: Path) -> IO[bytes]:
        stream: IO[bytes] = opener(path, "rb")
        return stream

    return opened


_OPENERS: Final[dict[str, tuple[bytes, Callable[[Path], IO[bytes]]]]] = {
    ".gz": (b"\x1f\x8b", _named(gzip.open)),
    ".xz": (b"\xfd7zXZ\x00", _named(lzma.open)),
    ".bz2": (b"BZh", _named(bz2.open)),
    ".zst": (b"\x28\xb5\x2f\xfd", _open_zst),
}
"""The first bytes of each compression and what opens it."""


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, decompressed.

    Raises FloplineError when it does not exist, is cut off or is not what its ending says.
    """
    with reading(path), open_binary(path) as stream:
        return stream.read()


def demand_no_archive(path: Path, begin: bytes) -> None:
    """Raise FloplineError for an archive, which holds files and is none that can be read."""
    kind = "tar" if begin[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR else ""
    if begin.startswith(_ZIP) and path.suffix.lower() == ".zip":
        kind = "zip"  # spreadsheets and weights are such archives by other names
    if kind:
        command = "tar -xf" if kind == "tar" else "unzip"
        raise FloplineError(
            f"{path} is an archive of files ({kind}): unpack it, as by `{command} "
            f"{shlex.quote(path.name)}` in its folder, and give the files instead."
        )


def head_of(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, decompressed; of a folder none. Errors as `read_bytes`."""
    if path.is_dir():
        return b""
    with reading(path), open_binary(path) as stream:
        if not isinstance(stream, _UnpackedStream):
            size = min(size, path.stat().st_size)  # as much memory is taken as is asked for
        return stream.read(size)


def text_lines(path: Path, phase: Phase | None = None) -> Iterator[tuple[int, str, bool]]:
    """The lines of a file, each with its number from 1 and whether it ends in a line break.

    A carriage return ends a line as a line feed does, since a progress bar redraws itself by it. A
    byte order mark is no part of the first, and bytes that are not UTF-8 become replacement
    characters. Of a log of several phases those of `phase` alone come. Errors as `read_bytes`.
    """
    lines = _all_lines(path)
    yield from lines if phase is None else phase.of(path, lines)


def _all_lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    with reading(path), open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline=None)
        for number, line in enumerate(iter(partial(text.readline, LONGEST_LINE), ""), start=1):
            if line[-1] == "\n":
                yield number, line[:-1], True
                continue
            complete, rest = False, line
            while not complete and len(rest) == LONGEST_LINE:
                rest = text.readline(LONGEST_LINE)
                complete = rest.endswith("\n")
            yield number, line, complete


@dataclass(frozen=True, slots=True)
class Phase:
    """The lines of a log between two, by regular expressions that are found in them.

    It begins with the first line that fits `begin`, or that of the file, and ends before the next
    that fits `end`, or with the file.
    """

    begin: re.Pattern[str] | None = None
    end: re.Pattern[str] | None = None

    @classmethod
    def from_spec(cls, spec: Mapping[str, str]) -> Phase:
        """`source.phase` of a study file."""
        begin, end = (re.compile(spec[key]) if key in spec else None for key in ("from", "to"))
        return cls(begin, end)

    def of(self, path: Path, lines: Iterable[Line]) -> Iterator[Line]:
        """Its lines among all lines of the log `path`.

        Raises FloplineError where it never begins.
        """
        begun = self.begin is None
        for batch in in_batches(lines):
            kept: list[Line] = []
            ended = False
            with limited("source.phase", path) as at:
                for line in batch:
                    at[0] = line[0]
                    ended = begun and self.end is not None and bool(self.end.search(line[1]))
                    if ended:
                        break
                    begun = begun or (self.begin is not None and bool(self.begin.search(line[1])))
                    if begun:
                        kept.append(line)
            yield from kept
            if ended:
                return
        if not begun and self.begin is not None:
            raise FloplineError(
                f"{path}: source.phase.from {self.begin.pattern!r} fits no line, so that the phase "
                "never begins: correct it, or take the log out of source.paths."
            )


def is_binary(begin: bytes) -> bool:
    """Whether the first bytes of a file are no text; a rotated log may begin with zeros."""
    text = begin.lstrip(b"\0")
    controls = len(text) - len(text.translate(None, _CONTROLS))
    return b"\0" in text[:_MAGIC] or controls > _MOST_CONTROLS * len(text)


def in_lines(data: bytes) -> bytes:
    """Text without a byte order mark whose lines all end in a line feed."""
    data = data.removeprefix(codecs.BOM_UTF8)
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def begins_a_line(head: bytes, word: bytes) -> bool:
    """Whether one of the lines begins with a word, which is quicker seen than by a pattern."""
    return head.startswith(word) or b"\n" + word in head


def open_binary(path: Path) -> IO[bytes]:
    """A file opened for reading bytes, decompressed as its first bytes say.

    Raises FloplineError when the ending promises a compression that the bytes are not, or when
    the file is UTF-16 text.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    if (head[:2], head[3::2]) == UTF16_LITTLE or (head[:2], head[2::2]) == UTF16_BIG:
        raise FloplineError(
            f"{path} is UTF-16 text: save it as UTF-8, as by `iconv -f UTF-16 -t UTF-8 "
            f"{shlex.quote(str(path))} > {shlex.quote(f'{path.stem}.utf8{path.suffix}')}`."
        )
    for magic, opener in _OPENERS.values():
        if head.startswith(magic):
            return _UnpackedStream(_Unpacked(opener(path), path), 1 << 20)
    promised = path.suffix.lower()
    if head and promised in _OPENERS:
        raise FloplineError(
            f"{path} is named {promised} but is not compressed that way: copy it again, or give "
            "it the ending of what it holds."
        )
    return path.open("rb")


def refuse_bomb(path: Path, unpacked: int) -> None:
    """Raise FloplineError when a file unpacks to more bytes than a log or table of its size may."""
    if unpacked > max(MOST_UNPACKED, MOST_GROWTH * path.stat().st_size):
        raise FloplineError(
            f"{path} unpacks to more than {MOST_GROWTH} times its size, which no log does: if it "
            "is to be trusted, decompress it and give that file instead."
        )


class _Unpacked(io.RawIOBase):
    """A decompressed stream that counts what it gives, and refuses to give without end."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.stream, self.path, self.given = stream, path, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and tell how far."""
        piece = self.stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._count(len(piece))
        return len(piece)

    def readall(self) -> bytes:
        """All that is left."""
        pieces = []
        while piece := self.stream.read(1 << 24):
            self._count(len(piece))
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the file below, too."""
        self.stream.close()
        super().close()

    def _count(self, size: int) -> None:
        self.given += size
        if self.given > MOST_UNPACKED:
            refuse_bomb(self.path, self.given)


class _UnpackedStream(io.BufferedReader):
    """Such a stream, buffered."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What may go wrong while a file is read, turned into a FloplineError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise FloplineError(f"{path} does not exist: restore it or take it out.") from None
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise FloplineError(_cut(path, error)) from None
    except OSError as error:
        if "Truncated compressed" in str(error):
            raise FloplineError(_cut(path, error)) from None
        raise FloplineError(f"{path} cannot be read: {error}.") from None


def _cut(path: Path, error: Exception) -> str:
    return (
        f"{path} ends in the middle of its compressed stream ({error}): copy it again, or "
        "decompress what there is and give that file instead."
    )
