"""The little of the Protocol Buffers wire format that event files need: fields of a message."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: integers for varints, raw bytes for all others.

    Raises ValueError when the message is not whole.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if place + size > end:
            raise ValueError("the message is cut off")
        yield key >> 3, message[place : place + size]
        place += size


def text(value: int | bytes) -> str:
    """A field of type string."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def number(value: int | bytes) -> float:
    """A field of type double (8 bytes) or float (4 bytes)."""
    if not isinstance(value, bytes) or len(value) not in (4, 8):
        raise ValueError("not a floating-point field")
    unpacked: float = struct.unpack("<d" if len(value) == 8 else "<f", value)[0]
    return unpacked


def signed(value: int | bytes) -> int:
    """A field of type int64."""
    if not isinstance(value, int):
        raise ValueError("not an integer field")
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("the message is cut off")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
