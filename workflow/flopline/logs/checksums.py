"""CRC-32C of many records at once, as TensorFlow's record files mask it; zlib knows the other one.

A register is linear in what it has read: chunks of all records go through it side by side, and are
put together by what reading a chunk of zeros does to a register.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_POLYNOMIAL: Final = 0x82F63B78
"""Castagnoli's, reflected (RFC 3720, appendix B.4)."""
_MASK: Final = 0xA282EAD8
"""Added after a rotation by 15 bits (tensorflow/core/lib/hash/crc32c.h)."""
_CHUNK: Final = 64


def masked(records: Sequence[bytes]) -> list[int]:
    """The masked CRC-32C of each record."""
    return [_masked(crc) for crc in crc32c(records)]


def crc32c(records: Sequence[bytes]) -> list[int]:
    """The CRC-32C of each record."""
    chunks = [-(-len(record) // _CHUNK) or 1 for record in records]
    # A register that begins with ones is one that begins with zeros and reads its first four bytes
    # inverted; zeros before a record leave a register of zeros as it is.
    started = (bytes(b ^ 0xFF for b in record[:4]) + record[4:] for record in records)
    padded = b"".join(
        record.rjust(count * _CHUNK, b"\0") for record, count in zip(started, chunks, strict=True)
    )
    rows = np.frombuffer(padded, np.uint8).reshape(-1, _CHUNK)
    registers = np.zeros(len(rows), np.uint32)
    table = _table()
    for column in rows.T:
        registers = table[(registers ^ column) & 0xFF] ^ (registers >> 8)
    out, place, words = [], 0, registers.tolist()
    for record, count in zip(records, chunks, strict=True):
        register = words[place]
        for word in words[place + 1 : place + count]:
            register = _past_chunk(register) ^ word
        place += count
        if len(record) < 4:
            register ^= 0xFFFFFFFF >> (8 * len(record))  # ones that no byte met
        out.append(register ^ 0xFFFFFFFF)
    return out


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


@cache
def _table() -> Words:
    """What each byte does to a register of zeros."""
    out = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        out = np.where(out & 1, (out >> 1) ^ np.uint32(_POLYNOMIAL), out >> 1)
    return out.astype(np.uint32)


@cache
def _chunk_tables() -> list[list[int]]:
    """What a chunk of zeros makes of a register, for each value of each of its four bytes."""
    table, out = _table(), []
    for byte in range(4):
        registers = np.arange(256, dtype=np.uint32) << np.uint32(8 * byte)
        for _ in range(_CHUNK):
            registers = table[registers & 0xFF] ^ (registers >> 8)
        out.append(registers.tolist())
    return out


def _past_chunk(register: int) -> int:
    a, b, c, d = _chunk_tables()
    return (
        a[register & 0xFF] ^ b[register >> 8 & 0xFF] ^ c[register >> 16 & 0xFF] ^ d[register >> 24]
    )
