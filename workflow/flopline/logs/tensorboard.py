"""TensorBoard event files: the scalars of one file, or of all event files of a folder.

TFRecord framing around Protocol Buffers: `Event` {1: wall time, 2: step, 5: `Summary` {1: `Value`
{1: tag, 2: simple value, 8: tensor}}}, from tensorflow/core/util/event.proto and framework/
summary.proto. Old writers put scalars into the simple value, newer ones into a tensor.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Final

import pandas as pd

from flopline.logs import checksums, wire
from flopline.logs.formats import SPLITS
from flopline.logs.opening import open_binary, reading
from flopline.logs.reading import LogFacts, Raw, Unparsed, Wish
from flopline.logs.series import Point, side_by_side

_LARGEST: Final = 1 << 30
_BATCH: Final = 4096
"""Records whose checksums are reckoned together."""
_FORMATS: Final = {1: "f", 2: "d", 3: "i", 9: "q"}
"""Scalar types of a tensor (tensorflow/core/framework/types.proto) as `struct` calls them."""
_FIELDS: Final = {5: 1, 6: 2, 7: 3, 10: 9}
"""Fields of a tensor that list its values, and their types."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an event file."""
    return "tfevents" in path.name


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """One row for each point of a loss; `line` is the number of its event in the run.

    Tags of a folder `train/` or `validation/` in the run are called `train/TAG`, `validation/TAG`.
    """
    series: dict[str, list[Point]] = defaultdict(list)
    unparsed: list[Unparsed] = []
    read = [(within, list(_events(file))) for within, file in _files(path)]
    # The names of files need not tell which is older.
    in_time = sorted(read, key=lambda one: _begin(one[1]))
    events = chain.from_iterable(
        ((within, event) for event in of_file) for within, of_file in in_time
    )
    for count, (within, event) in enumerate(events, start=1):
        if event is None:
            unparsed.append(Unparsed(count))
            continue
        wall_s, step, values = event
        for tag, value in values:
            series[within + tag].append(Point(count, step, wall_s, value))
    if series:
        yield side_by_side(series, unparsed, wish)
    elif unparsed:
        yield Raw(pd.DataFrame(), [(row.line, row.reason) for row in unparsed])


def _files(path: Path) -> list[tuple[str, Path]]:
    """The event files of a log, each with the folder of its split and a slash, or nothing."""
    if not path.is_dir():
        return [("", path)]
    own = [("", file) for file in sorted(path.glob("*tfevents*"))]
    inner = [(split, sorted((path / split).glob("*tfevents*"))) for split in SPLITS]
    return own + [(f"{split}/", file) for split, files in inner for file in files]


Event = tuple[float, int, list[tuple[str, float]]]
"""Wall time [s], step, scalars by tag."""


def _events(file: Path) -> Iterator[Event | None]:
    """The events of a file; None for each that is damaged or cut off."""
    records = _records(file)
    while batch := list(islice(records, _BATCH)):
        sums = checksums.masked([record.body if record else b"" for record in batch])
        for record, expected in zip(batch, sums, strict=True):
            # Some writers leave the checksum out, as zeros.
            if record is None or record.checksum not in (0, expected):
                yield None
                continue
            try:
                yield _event(record.body)
            except ValueError:
                yield None


def _begin(events: Sequence[Event | None]) -> float:
    """When the first event was logged."""
    return min((event[0] for event in events if event is not None), default=math.inf)


@dataclass(frozen=True, slots=True)
class _EventRecord:
    body: bytes
    checksum: int


def _records(file: Path) -> Iterator[_EventRecord | None]:
    """The records of an event file; None, at the end, for one that is cut off or has no length."""
    with reading(file), open_binary(file) as stream:
        while header := stream.read(12):
            size, checksum = struct.unpack("<QI", header) if len(header) == 12 else (_LARGEST, 0)
            if checksum not in (0, _of_length(header[:8])):
                size = _LARGEST  # nobody knows where the next one begins
            body = stream.read(size + 4) if size < _LARGEST else b""
            if len(body) != size + 4:
                yield None
                return
            yield _EventRecord(body[:-4], struct.unpack("<I", body[-4:])[0])


@lru_cache(1 << 12)
def _of_length(header: bytes) -> int:
    """The checksum of a record's length; lengths come again and again."""
    return checksums.masked([header])[0]


def _event(record: bytes) -> Event:
    wall_s, step = 0.0, 0
    values: list[tuple[str, float]] = []
    for field, value in wire.fields(record):
        if field == 1:
            wall_s = wire.number(value)
        elif field == 2:
            step = wire.signed(value)
        elif field == 5 and isinstance(value, bytes):
            summaries = (v for f, v in wire.fields(value) if f == 1 and isinstance(v, bytes))
            values += [scalar for scalar in map(_scalar, summaries) if scalar is not None]
    return wall_s, step, values


def _scalar(summary: bytes) -> tuple[str, float] | None:
    tag, scalar = "", None
    for field, value in wire.fields(summary):
        if field == 1:
            tag = wire.text(value)
        elif field == 2:
            scalar = wire.number(value)
        elif field == 8 and isinstance(value, bytes):
            scalar = _of_tensor(value)
    return None if scalar is None else (tag, scalar)


def _of_tensor(tensor: bytes) -> float | None:
    """The value of a tensor of one number; None for any other."""
    kind, content, listed = 0, b"", list[float]()
    for field, value in wire.fields(tensor):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 4 and isinstance(value, bytes):
            content = value
        elif field in _FIELDS and isinstance(value, int):
            listed.append(wire.signed(value))
        elif field in _FIELDS and isinstance(value, bytes):
            form = _FORMATS[_FIELDS[field]]
            if form in "fd" and len(value) % struct.calcsize(form) == 0:
                listed += struct.unpack(f"<{len(value) // struct.calcsize(form)}{form}", value)
    if kind in _FORMATS and len(content) == struct.calcsize(_FORMATS[kind]):
        listed = list(struct.unpack(f"<{_FORMATS[kind]}", content))
    return float(listed[0]) if kind in _FORMATS and len(listed) == 1 else None
