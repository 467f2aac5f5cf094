"""Log formats: one module each, found by name or by sniffing.

A format module has NAME, `sniff(path, head)` (does this look like mine?) and
`read(path, columns)`, which returns a Reading. Adding a format is adding a module here.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

from flopline.errors import FloplineError
from flopline.logs import jsonl
from flopline.logs.reading import Reading

FORMATS: dict[str, ModuleType] = {module.NAME: module for module in (jsonl,)}
"""The formats by name, in the order in which they are sniffed."""

_OPENERS: dict[str, Callable[[Path, Literal["rb"]], Any]] = {
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
}


def read_log(path: Path, columns: dict[str, object], format_name: str | None = None) -> Reading:
    """One log file as raw rows (see Reading); the format is sniffed unless it is named.

    Raises FloplineError when the file cannot be opened or decompressed, when no format knows it,
    or when it lacks a column that is mapped.
    """
    data = read_bytes(path)
    if format_name is None:
        head = data[:65536]
        format_name = next((name for name, m in FORMATS.items() if m.sniff(path, head)), None)
        if format_name is None and not data.strip():
            format_name = jsonl.NAME
    if format_name is None:
        raise FloplineError(
            f"{path}: no known log format fits this file (known: {', '.join(FORMATS)}); "
            "name one in source.format or take the file out of source.paths."
        )
    reading: Reading = FORMATS[format_name].read(path, data, columns)
    return reading


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, decompressed by its ending (gz, xz, bz2)."""
    try:
        with open_binary(path) as stream:
            return stream.read()
    except FileNotFoundError:
        raise FloplineError(f"{path} does not exist: restore it or take it out.") from None
    except (EOFError, lzma.LZMAError) as error:
        raise FloplineError(
            f"{path} ends in the middle of its compressed stream ({error}): copy it again, or "
            "decompress what there is and give that file instead."
        ) from None
    except OSError as error:
        raise FloplineError(f"{path} cannot be read: {error}.") from None


def open_binary(path: Path) -> IO[bytes]:
    """A file opened for reading bytes, decompressed by its ending."""
    opener = _OPENERS.get(path.suffix.lower())
    stream: IO[bytes] = opener(path, "rb") if opener else path.open("rb")
    return stream
