"""Fonts in a PDF: the glyphs that a figure shows and the tables that a PDF reader wants, no others.

fontTools, by which Matplotlib thins a font, unpacks every table of it and packs what is left: half
the CPU of writing a figure as PDF. Here the bytes of the glyphs are copied as they are.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.backends import _backend_pdf_ps
from numpy.typing import NDArray

_COPIED: Final[tuple[str, ...]] = ("cvt ", "fpgm", "prep")
_NEEDED: Final[tuple[str, ...]] = ("glyf", "head", "hhea", "hmtx", "loca", "maxp")
"""With those above, what ISO 32000-1, 9.9 asks of a TrueType font that is embedded by glyphs."""

# Bits of a part of a composite glyph, from the OpenType specification of `glyf`.
_WORDS, _SCALE, _MORE, _TWO_SCALES, _MATRIX = 0x1, 0x8, 0x20, 0x40, 0x80


@dataclass(frozen=True, slots=True)
class Subset:
    """A thinned font: what Matplotlib takes from the subset that fontTools makes."""

    data: bytes
    glyph_index_map: dict[int, int]
    """The number of each glyph in the subset, by its number in the font."""

    @property
    def font(self) -> Subset:
        """The font, to be saved."""
        return self

    def save(self, file: BytesIO, reorderTables: bool | None = False) -> None:
        """Write the font into `file`."""
        file.write(self.data)


@contextmanager
def lean_fonts() -> Iterator[None]:
    """Within it, Matplotlib embeds the fonts of a PDF by `subset_of`, where they are TrueType."""
    before = _backend_pdf_ps.get_glyphs_subset
    _backend_pdf_ps.get_glyphs_subset = functools.partial(_subset, before)
    try:
        yield
    finally:
        _backend_pdf_ps.get_glyphs_subset = before


def _subset(
    otherwise: Callable[[Any, Any], AbstractContextManager[Any]], path: Any, glyphs: Iterable[int]
) -> AbstractContextManager[Any]:
    """A drop-in for Matplotlib's function, which serves fonts of other kinds."""
    tables = {} if getattr(path, "face_index", 0) else _tables(str(path))
    if not set(_NEEDED) <= set(tables):
        return otherwise(path, glyphs)
    return nullcontext(subset_of(tables, glyphs))


@functools.lru_cache(8)
def _tables(path: str) -> dict[str, bytes]:
    """The tables of the font in the file at `path`; none if it is not one TrueType font."""
    data = Path(path).read_bytes()
    if data[:4] not in (b"\0\1\0\0", b"true"):
        return {}
    records = struct.iter_unpack(">4s3L", data[12 : 12 + 16 * struct.unpack_from(">H", data, 4)[0]])
    return {tag.decode("latin-1"): data[at : at + size] for tag, _, at, size in records}


def subset_of(tables: dict[str, bytes], glyphs: Iterable[int]) -> Subset:
    """The font of `tables` with `glyphs`, the parts that they are composed of and `.notdef` alone.

    `tables` are the bytes of each table by its tag, _NEEDED among them.
    """
    outlines, offsets = tables["glyf"], _offsets(tables)
    kept: dict[int, bytes] = {}
    waiting = {0, *map(int, glyphs)}
    while waiting:
        glyph = waiting.pop()
        kept[glyph] = outlines[offsets[glyph] : offsets[glyph + 1]]
        waiting |= {part for _, part in _parts(kept[glyph])} - kept.keys()
    numbers = {glyph: number for number, glyph in enumerate(sorted(kept))}
    shapes = [_renumbered(kept[glyph], numbers) for glyph in numbers]
    shapes = [shape + b"\0" * (-len(shape) % 4) for shape in shapes]
    places = np.cumsum([0, *map(len, shapes)])
    made: dict[str, bytes] = {tag: tables[tag] for tag in (*_COPIED, *_NEEDED) if tag in tables}
    made["glyf"] = b"".join(shapes)
    made["loca"] = places.astype(">u4").tobytes()
    made["hmtx"] = _metrics(tables)[list(numbers)].tobytes()
    count = struct.pack(">H", len(numbers))
    made["hhea"] = tables["hhea"][:34] + count
    made["maxp"] = tables["maxp"][:4] + count + tables["maxp"][6:]
    # Without its checksum, which `_file` sets; offsets of four bytes.
    made["head"] = tables["head"][:8] + bytes(4) + tables["head"][12:50] + b"\0\1\0\0"
    return Subset(_file(made), numbers)


def _offsets(tables: dict[str, bytes]) -> list[int]:
    """Where each glyph begins in `glyf`, and where the last one ends."""
    long = struct.unpack_from(">h", tables["head"], 50)[0]
    raw = np.frombuffer(tables["loca"], ">u4" if long else ">u2")
    offsets: list[int] = (raw if long else 2 * raw.astype(int)).tolist()
    return offsets


def _metrics(tables: dict[str, bytes]) -> NDArray[np.uint16]:
    """Advance and left bearing of every glyph: the last advance holds for all that follow."""
    glyphs = struct.unpack_from(">H", tables["maxp"], 4)[0]
    stated = struct.unpack_from(">H", tables["hhea"], 34)[0]
    pairs = np.frombuffer(tables["hmtx"], ">u2", 2 * stated).reshape(-1, 2)
    bearings = np.frombuffer(tables["hmtx"], ">u2", glyphs - stated, 4 * stated)
    rest = np.column_stack([np.full(len(bearings), pairs[-1, 0], ">u2"), bearings])
    return np.concatenate([pairs, rest]).astype(">u2")


def _parts(shape: bytes) -> Iterator[tuple[int, int]]:
    """Of a composite glyph, where the number of each part stands, and that number."""
    if not shape or struct.unpack_from(">h", shape)[0] >= 0:
        return
    at, bits = 10, _MORE
    while bits & _MORE:
        bits, part = struct.unpack_from(">2H", shape, at)
        yield at + 2, part
        at += 8 if bits & _WORDS else 6
        at += 2 * bool(bits & _SCALE) + 4 * bool(bits & _TWO_SCALES) + 8 * bool(bits & _MATRIX)


def _renumbered(shape: bytes, numbers: dict[int, int]) -> bytes:
    """The glyph with the numbers that its parts have in the subset."""
    changed = bytearray(shape)
    for at, part in _parts(shape):
        struct.pack_into(">H", changed, at, numbers[part])
    return bytes(changed)


def _file(tables: dict[str, bytes]) -> bytes:
    """A font file of `tables`."""
    count = len(tables)
    largest = 1 << count.bit_length() - 1
    head = struct.pack(
        ">4s4H", b"\0\1\0\0", count, 16 * largest, largest.bit_length() - 1, 16 * (count - largest)
    )
    at, records, bodies = 12 + 16 * count, [], []
    for tag, body in sorted(tables.items()):
        padded = body + b"\0" * (-len(body) % 4)
        records.append(struct.pack(">4s3L", tag.encode("latin-1"), _sum(padded), at, len(body)))
        bodies.append(padded)
        at += len(padded)
    whole = b"".join([head, *records, *bodies])
    total = struct.pack(">L", (0xB1B0AFBA - _sum(whole)) % (1 << 32))
    place = whole.index(tables["head"], 12 + 16 * count) + 8
    return whole[:place] + total + whole[place + 4 :]


def _sum(data: bytes) -> int:
    """The checksum of a table."""
    return int(np.frombuffer(data, ">u4").sum(dtype=np.uint64)) % (1 << 32)
