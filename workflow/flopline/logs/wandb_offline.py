"""Local offline W&B runs: a `.wandb` file, or the folder that holds one.

A header of seven bytes, then LevelDB log records (blocks of 32 KiB; checksum, length and kind
before each piece) around Protocol Buffers: `Record` {2: history, 3: summary, 5: config, 17: run}
of wandb/proto/wandb_internal.proto. Values of items are JSON text, in newer files also typed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.decoders import json_of
from flopline.errors import FloplineError
from flopline.logs import wire
from flopline.logs.opening import open_binary, reading
from flopline.logs.reading import NOT_PARSED, LogFacts, PlainColumn, Raw, Wish, as_cell

_HEADER: Final = b":W&B\xe1\xbe"
_BLOCK: Final = 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is a `.wandb` file."""
    return head.startswith(_HEADER[:4])


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The history rows with their wanted keys; `line` is the number of the row in the file.

    The config and the summary become facts, nested keys with dots. Without `step` in the column
    map it is `_step`. Raises FloplineError when the folder holds several such files or when the
    file does not begin like one.
    """
    files = sorted(path.glob("*.wandb")) if path.is_dir() else [path]
    if len(files) > 1:
        raise FloplineError(
            f"{path} holds {len(files)} .wandb files: name each of them in source.paths instead."
        )
    columns: dict[str, PlainColumn] = {
        "step": "_step",
        "wall_s": "_runtime",
        **(wish.columns or {}),
    }
    asked = Wish(columns, wish.facts)
    rows: list[dict[str, object]] = []
    unparsed: list[tuple[int, str]] = []
    names: dict[str, None] = {}
    count = 0
    for record in _records(files[0]):
        try:
            if record is None:
                raise ValueError("the record is cut off")
            kind, items = _items(record)
        except ValueError:
            count += 1
            unparsed.append((count, NOT_PARSED))
            continue
        if kind == 2:
            count += 1
            names.update(dict.fromkeys(items))
            rows.append({**{n: items[n] for n in asked.names if n in items}, "line": count})
        else:
            for name, value in items.items():
                for key, leaf in _leaves(name, value):
                    facts.say("", key, leaf)
    there = [name for name in asked.names if name in names]
    # A run that never logged its clock is none the worse for it.
    lacking = "_runtime" not in names and "wall_s" not in (wish.columns or {})
    columns = {k: v for k, v in columns.items() if not (lacking and k == "wall_s")}
    if rows:
        table = pd.DataFrame(rows, columns=[*there, "line"], dtype=object)
        yield Raw(table, unparsed, list(names), columns)
    elif unparsed:
        yield Raw(pd.DataFrame(), unparsed)


def _records(file: Path) -> Iterator[bytes | None]:
    """The records of a .wandb file; None for each that is damaged or cut off."""
    with reading(file), open_binary(file) as stream:
        header = stream.read(7)
        if not header:
            return
        if not header.startswith(_HEADER):
            raise FloplineError(
                f"{file} does not begin like a .wandb file: copy it again, or correct "
                "source.format."
            )
        place, parts = 7, list[bytes]()
        while True:
            left = _BLOCK - place % _BLOCK
            if left < 7:
                filling = stream.read(left)
                if not filling:
                    break
                place += len(filling)
                continue
            head = stream.read(7)
            if not head.strip(b"\0"):
                break
            checksum, size, kind = struct.unpack("<IHB", head) if len(head) == 7 else (0, 0, 0)
            body = stream.read(size)
            place += 7 + size
            complete = len(head) == 7 and len(body) == size
            if not complete or zlib.crc32(head[6:] + body) != checksum:
                yield None
                if not complete:
                    return
                parts = []
                continue
            parts = [body] if kind in (_FULL, _FIRST) else [*parts, body]
            if kind in (_FULL, _LAST):
                yield b"".join(parts)
                parts = []
        if parts:
            yield None


def _items(record: bytes) -> tuple[int, dict[str, Any]]:
    """The kind of a record and, of a history, summary, config or run, what it says."""
    for field, value in wire.fields(record):
        if field in (2, 3, 5) and isinstance(value, bytes):
            items: dict[str, Any] = {}
            for part, item in wire.fields(value):
                if part == 1 and isinstance(item, bytes):
                    key, content = _item(item)
                    items[key] = content
                elif field == 2 and part == 2 and isinstance(item, bytes):
                    steps = [wire.signed(v) for f, v in wire.fields(item) if f == 1]
                    items.setdefault("_step", (steps or [0])[0])
            return field, items
        if field == 17 and isinstance(value, bytes):
            settings: dict[str, Any] = {}
            for part, item in wire.fields(value):
                if part == 8:
                    settings["display_name"] = wire.text(item)
                elif part == 4 and isinstance(item, bytes):
                    updates = (v for f, v in wire.fields(item) if f == 1 and isinstance(v, bytes))
                    settings |= dict(map(_item, updates))
            return field, settings
    return 0, {}


def _item(item: bytes) -> tuple[str, Any]:
    key, nested, content = "", list[str](), None
    for field, value in wire.fields(item):
        if field == 1:
            key = wire.text(value)
        elif field == 2:
            nested.append(wire.text(value))
        elif field in (8, 16):
            content = json_of(wire.text(value), parse_constant=str)
        elif field == 4:
            content = bool(value)
        elif field == 5:
            content = wire.signed(value)
        elif field == 6:
            content = as_cell(wire.number(value))
        elif field == 7:
            content = wire.text(value)
    return ".".join(nested) if nested else key, content


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        # Configs wrap each value with its description.
        for key, inner in value.items():
            yield from _leaves(name if key == "value" else f"{name}.{key}", inner)
    elif value is not None:
        yield name, value
