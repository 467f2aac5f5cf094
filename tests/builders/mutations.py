"""Files as they should not be: one mutation after another of the bytes of a log, table or study.

Each mutation takes bytes and a generator of random numbers and gives bytes. What comes of a seed
and a number is always the same, so that a failure can be made again from these two.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa

Mutation = Callable[[bytes, random.Random], bytes]

MOST: Final = 3
"""Mutations of one input."""

NUMBER: Final = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_PAIR: Final = re.compile(rb"[\"']?[A-Za-z_][\w/ .-]{0,40}[\"']?\s*[:=]\s*[\"']?[\w.+-]+[\"']?")
_WORD: Final = re.compile(rb"[A-Za-z_][A-Za-z_/-]+")

NUMBERS: Final = (
    b"9" * 5_000, b"-" + b"1" * 400, b"0." + b"3" * 5_000, b"1e999", b"-1e999", b"1e-999",
    b"1e" + b"9" * 30, b"9007199254740993", b"18446744073709551616", b"-9223372036854775809",
    b"-0", b"-0.0", b"+5", b"+-3", b"--1", b".", b"", b"-", b"1.", b".5", b"1..2", b"1.2.3",
    b"1e", b"e5", b"1e+", b"0x1F", b"0b11", b"007", b"1_000", b"1__0", b"_1", b"1,234", b"1,23",
    b"1.234,5", b"1,234.5", b"1 234", "1\u202f234".encode(), "1\u00a0234".encode(), b"12,5",
    "\u0663".encode(), "\uff11\uff12".encode(), "\u00b2".encode(), "\u2212 5".encode(),
    b"NaN", b"nan", b"-nan", b"+NaN", b"NAN", b"nan(ind)", b"-nan(ind)", b"1.#QNAN", b"1.#INF",
    b"inf", b"-inf", b"Infinity", b"-Infinity", b"+inf", b"INF", b"infinity",
    b"true", b"false", b"null", b"None", b"~", b'""', b'"3.5"', b"'3'", b"[1]", b"[]", b"{}",
    b'{"a": 1}', b"[[1, 2], [3]]", b"1.3B", b"93.2K", b"5,4M", b"1T", b"3ms", b"3s", b"50%",
    b"1/2", b"(1)", b"1e3 ", b"tensor(3.5)", b"3.5, device='cuda:0'", b"2024-01-01", b"12:30:00",
    b"0", b"1", b"-1", b"1e300", b"1e-300", b"1.7976931348623157e308", b"2.5e-324",
)  # fmt: skip
"""Numbers as they may stand where one is expected."""

WORDS: Final = (
    b"\\ud800", b"\xed\xa0\x80", b"\xff", b"\xe4", "\u00e4".encode(), "\U0001f600".encode(),
    b"\\u0000", b"\x00", b"\\", b"\\n", b"\n", b"\r", b"\x1b[31m", b"\x0b", b"\x0c", b"\x1c",
    "\u2028".encode(), "\u0085".encode(), "\ufeff".encode(), "\u202e".encode(), b"a" * 10_000,
    b"loss", b"step", b"run", b"line", b"split", b"reason", b"piece", b"nan", b"", b" ", b"=", b":",
    b"|", b"{", b"}", b"[", b"]", b'"', b"'", b"`", b"#", b"%", b"&a", b"*a", b"!!x", b"<<",
)  # fmt: skip
"""What may stand where a word is expected."""


SIGNS: Final = (
    b"0", b"1", b"a", b" ", b",", b".", b"-", b"_", b"=", b":", b"|", b"/", b'"', b"'", b"\t",
    b"\\", b"#", b"<", b"{", b"a ", b"1 ", b"1,", b"1.", b"1:", b"a=", b"a:", b"a, ", b"1/", b"x.",
    b"1e", b"\x1b[", b"loss ", b"1/1 [", b"1%|", b"2024-",
)  # fmt: skip
"""What may stand in a line again and again."""


def mutated(data: bytes, rng: random.Random, kinds: Sequence[Mutation] = ()) -> bytes:
    """`data` after one to MOST mutations of `kinds`, by default of all."""
    for _ in range(rng.randint(1, MOST)):
        data = rng.choice(kinds or ALL)(data, rng)
    return data


def _place(data: bytes, rng: random.Random) -> int:
    return rng.randint(0, len(data))


def _put(data: bytes, at: int, piece: bytes, until: int | None = None) -> bytes:
    return data[:at] + piece + data[at if until is None else until :]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Some bits, flipped."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4) if data else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def set_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some bytes, set to any or to a special one."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4) if data else 0):
        byte = rng.choice((0, 9, 10, 13, 34, 44, 45, 46, 48, 58, 92, 123, 125, 127, 128, 255))
        out[rng.randrange(len(out))] = rng.choice((byte, rng.randrange(256)))
    return bytes(out)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """The beginning or the end, up to anywhere."""
    at = _place(data, rng)
    return data[:at] if rng.random() < 0.8 else data[at:]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    """All but a piece."""
    at = _place(data, rng)
    return _put(data, at, b"", at + rng.randint(1, 200))


def repeat_piece(data: bytes, rng: random.Random) -> bytes:
    """A piece, anywhere again."""
    at = _place(data, rng)
    return _put(data, _place(data, rng), data[at : at + rng.randint(1, 200)])


def nul_bytes(data: bytes, rng: random.Random) -> bytes:
    """Zeros, as a full disk or a crash leaves them."""
    return _put(data, _place(data, rng), b"\0" * rng.choice((1, 2, 8, 512, 4096)))


def lines_about(data: bytes, rng: random.Random) -> bytes:
    """Lines swapped, doubled, taken out, shuffled or joined."""
    lines = data.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(6)
    if how == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif how == 1:
        lines.insert(other, lines[one])
    elif how == 2:
        del lines[one]
    elif how == 3:
        rng.shuffle(lines)
    elif how == 4:
        lines[one : one + 2] = [b"".join(lines[one : one + 2])]
    else:
        lines += lines
    return b"\n".join(lines)


def line_ends(data: bytes, rng: random.Random) -> bytes:
    """Line breaks of other systems, mixed ones, or none at the end."""
    how = rng.randrange(5)
    if how == 0:
        return data.replace(b"\n", b"\r\n")
    if how == 1:
        return data.replace(b"\n", b"\r")
    if how == 2:
        ends = (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\n")
        return b"".join(line + rng.choice(ends) for line in data.split(b"\n"))
    if how == 3:
        return data.rstrip(b"\n")
    return _put(data, _place(data, rng), b"\r")


def marks(data: bytes, rng: random.Random) -> bytes:
    """A byte order mark at the beginning, at that of a line, or anywhere."""
    mark = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb"))
    ends = [0, *(found.end() for found in re.finditer(rb"\n", data))]
    return _put(data, rng.choice((0, rng.choice(ends), _place(data, rng))), mark)


def encodings(data: bytes, rng: random.Random) -> bytes:
    """All of it in another encoding, or a word of one in the middle."""
    how = rng.randrange(4)
    text = data.decode("latin-1")
    if how == 0:
        return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7")))
    if how == 1:
        return "é".join(text.split(" ")).encode("latin-1", "replace")
    word = "Größe 数 \udcff"
    codec = rng.choice(("utf-8", "latin-1", "cp1252", "utf-16", "shift-jis"))
    return _put(data, _place(data, rng), word.encode(codec, "replace"))


def numbers(data: bytes, rng: random.Random) -> bytes:
    """A number, written otherwise or no number at all."""
    found = list(NUMBER.finditer(data))
    if not found:
        return _put(data, _place(data, rng), rng.choice(NUMBERS))
    for hit in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 1, 5)))), reverse=True,
                      key=lambda one: one.start()):  # fmt: skip
        data = _put(data, hit.start(), rng.choice(NUMBERS), hit.end())
    return data


def locales(data: bytes, rng: random.Random) -> bytes:
    """Numbers with another decimal mark or separated thousands, all or every other one."""
    how, every = rng.randrange(3), rng.choice((True, False))

    def other(hit: re.Match[bytes]) -> bytes:
        text = hit[0]
        if not every and rng.random() < 0.5:
            return text
        if how == 0:
            return text.replace(b".", b",")
        whole, dot, rest = text.partition(b".")
        mark = b"," if how == 1 else b"."
        if whole.isdigit():
            whole = f"{int(whole[:300]):,}".encode().replace(b",", mark)
        return whole + dot.replace(b".", b"." if how == 1 else b",") + rest

    return NUMBER.sub(other, data)


def words(data: bytes, rng: random.Random) -> bytes:
    """A word, replaced by one that is hard to hold, or that put anywhere."""
    found = list(_WORD.finditer(data))
    piece = rng.choice(WORDS)
    if not found or rng.random() < 0.3:
        return _put(data, _place(data, rng), piece)
    hit = rng.choice(found)
    if rng.random() < 0.5:
        return data.replace(hit[0], piece)
    return _put(data, hit.start(), piece, hit.end())


def doubled_keys(data: bytes, rng: random.Random) -> bytes:
    """A key with its value, once more beside itself, with the same value or another."""
    found = list(_PAIR.finditer(data))
    if not found:
        return data
    hit = rng.choice(found)
    again = hit[0] if rng.random() < 0.5 else NUMBER.sub(b"7", hit[0])
    return _put(data, hit.end(), rng.choice((b", ", b" | ", b" ", b"\n", b"\t")) + again)


def deep(data: bytes, rng: random.Random) -> bytes:
    """Brackets in brackets."""
    depth = rng.choice((50, 1_000, 20_000, 100_000))
    opened, closed = rng.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"{a: ", b"}"), (b"- ", b""), (b"> ", b""))
    )
    found = list(NUMBER.finditer(data))
    piece = opened * depth + b"1" + (closed * depth if rng.random() < 0.7 else b"")
    if found and rng.random() < 0.7:
        hit = rng.choice(found)
        return _put(data, hit.start(), piece, hit.end())
    return _put(data, _place(data, rng), piece)


def long_runs(data: bytes, rng: random.Random) -> bytes:
    """The same sign for a long time, at which patterns are tried again and again."""
    sign = rng.choice(SIGNS)
    return _put(data, _place(data, rng), sign * rng.choice((100, 3_000, 30_000)))


def separators(data: bytes, rng: random.Random) -> bytes:
    """What parts cells, replaced by something else that does."""
    signs = (b",", b";", b"\t", b"|", b":", b"=", b" ", b'"')
    one, other = rng.sample(signs, 2)
    return data.replace(one, other, rng.choice((1, 5, -1)))


def packed(data: bytes, rng: random.Random) -> bytes:
    """Compressed, whole or damaged, once or twice."""
    for _ in range(rng.choice((1, 1, 2))):
        data = rng.choice((gzip.compress, bz2.compress, lzma.compress, _zstd))(data[: 1 << 20])
    how = rng.randrange(4)
    return (data, truncate(data, rng), flip_bits(data, rng), data + data)[how]


def _zstd(data: bytes) -> bytes:
    out: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return out


ALL: Final[tuple[Mutation, ...]] = (
    flip_bits, set_bytes, truncate, cut_out, repeat_piece, nul_bytes, lines_about, line_ends,
    marks, encodings, numbers, numbers, numbers, locales, words, words, doubled_keys, deep,
    long_runs, separators, packed,
)  # fmt: skip
"""Every mutation; those of numbers and words, which come in many kinds, more often."""


def of(name: str, number: int) -> random.Random:
    """The generator of input `number` of the seed called `name`."""
    return random.Random(zlib.crc32(f"{name}:{number}".encode()))  # noqa: S311
