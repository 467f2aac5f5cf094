"""JSON lines: one object per line, columns named in the study file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray

from flopline.decoders import Undecodable, decoding, json_of, whole_letters
from flopline.logs.delimited import say_constants
from flopline.logs.formats import FORMATS
from flopline.logs.key_values import is_loss, leaves
from flopline.logs.opening import Phase, in_lines, read_bytes
from flopline.logs.reading import (
    BESIDE,
    MEASURES,
    NO_LOSS,
    NOT_PARSED,
    Digits,
    LogFacts,
    PlainMap,
    Raw,
    Reading,
    Wish,
    column_names,
    reach,
)
from flopline.twins import Once, Twice

_MARK = "\ufeff"
_BLANKS = " \t\r\n\x0b\x0c"

_SEARCHED = 1 << 16
"""Bytes in which line breaks are looked for at a time."""

BLOCK = 1 << 20
"""Bytes that are parsed at a time; a file with a longer line is parsed line by line."""

_FIRST_LINES = 4
"""Lines by which a file without the ending is told."""

TEXT_COLUMNS = ("split",)


def sniff(path: Path, head: bytes) -> bool:
    """Whether the ending says JSON lines, or the first line and one of the next are objects.

    Of one line alone it is enough that it is one: a config may stand before another log.
    """
    if FORMATS["jsonl"].ends(path.name):
        return True
    lines = (line for line in io.BytesIO(head) if line.strip())
    first, *others = [*islice(lines, _FIRST_LINES)] or [b""]
    try:
        is_object = isinstance(json_of(first), dict)
    except Undecodable:
        return False
    return is_object and (not others or any(line.lstrip()[:1] == b"{" for line in others))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw | Reading]:
    """The rows of JSON lines; a line that is no JSON object is dropped with its number.

    Column names may be dotted to reach into nested objects.
    """
    data, columns = in_lines(read_bytes(path)), dict(wish.columns or {})
    if wish.phase is not None:
        data = _of_phase(path, data, wish.phase)
    if wish.rows is not None:
        data = b"\n".join(data.split(b"\n", wish.rows)[: wish.rows])
    table = _well_formed(data, columns)
    if table is not None:
        yield _reading(table, columns)
    else:
        dotted = [name for name in wish.names if "." in name]
        names = column_names({name: columns[name] for name in ("run", "split") if name in columns})
        raw, unparsed = parse(path, data, dotted, wish.names, names)
        if any(isinstance(value, float) for name in names if name in raw for value in raw[name]):
            raw, unparsed = parse(path, data, dotted, wish.names)
        if "run" in columns:
            say_constants(raw, wish, facts, path)
        yield Raw(raw, unparsed, _names(raw) if wish.rows is not None else _columns(raw))
    if "run" not in columns:
        _say_facts(path, data, wish, facts)


def _columns(raw: pd.DataFrame) -> list[str]:
    return [str(name) for name in raw.columns if name != "line"]


def _names(raw: pd.DataFrame) -> list[str]:
    """The names of what the rows hold, those in nested objects by dots."""
    names: dict[str, None] = {}
    for name in _columns(raw):
        objects = [value for value in raw[name] if isinstance(value, dict)]
        inner = dict.fromkeys(
            f"{name}.{key}"
            for content in objects
            for key, value in leaves(content)
            if isinstance(value, int | float | str)
        )
        names.update(inner or {name: None})
    return list(names)


LONG = re.compile(rb"\d{19}")
"""A whole number that 64 bits may not hold."""


def read_runs(path: Path, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    """A table of runs, see `tables.read_table`."""
    table, unparsed = parse(path, in_lines(data))
    return table, [line for line, _ in unparsed]


def parse(
    path: Path,
    data: bytes,
    dotted: Sequence[str] = (),
    once: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """The lines one by one as a table with `line`, and (line, reason) of what is no JSON object.

    `dotted` names become columns of their own. `names` are the columns that hold names; without
    them any may, so that numbers remember how they were written.

    Raises FloplineError where one of the keys in `once` (without it: any) stands twice in a record.
    """
    read_float = Digits.of if names is None else None
    read_integer = _integer if LONG.search(data) else None
    # Looking for doubles in every object takes longer than reading it.
    once_only = Once(once)
    suspects = [json.dumps(name) for name in once_only.wanted or ()]
    plain, careful = (
        json.JSONDecoder(
            parse_constant=str,
            parse_int=read_integer,
            parse_float=read_float,
            object_pairs_hook=hook,
        )
        for hook in (None, once_only)
    )
    records: list[dict[str, Any]] = []
    unparsed: list[tuple[int, str]] = []
    text = data.decode("utf-8", errors="replace")
    escaped, marked = "\\u" in text, _MARK in text
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip(_BLANKS):
            continue
        if marked:
            line = line.removeprefix(_MARK)
        try:
            record = _content(careful if once is None else plain, line)
            # A colon for each key of the record and no more: none stands there twice.
            doubtful = once is not None and line.count(":") != len(record)
            if doubtful and (escaped or any(line.count(suspect) > 1 for suspect in suspects)):
                record = _content(careful, line)
            if escaped:
                record = whole_letters(record)
        except Twice as twice:
            raise twice.at(f"{path}, line {number}") from None
        except (ValueError, TypeError, RecursionError):
            record = None
        if not isinstance(record, dict):
            unparsed.append((number, NOT_PARSED))
            continue
        for name in dotted:
            if (value := reach(record, name)) is not None:
                record[name] = value
        record["line"] = number
        records.append(record)
    # A whole number that is a name is no floating-point number, though others are absent.
    return pd.DataFrame(records, dtype=None if names == [] else object), unparsed


def _content(decoder: json.JSONDecoder, line: str) -> Any:
    """What a line holds; most begin and end as an object does, which is quick to see."""
    if line.startswith("{"):
        record, end = decoder.raw_decode(line)
        if end == len(line):
            return record
    return decoder.decode(line)


def _say_facts(path: Path, data: bytes, wish: Wish, facts: LogFacts) -> None:
    """Note the wanted facts of the run that the file is, wherever they stand; names may be dotted.

    Raises FloplineError where one of them changes.
    """
    for name in wish.facts:
        leaf = re.escape(json.dumps(name.rsplit(".", 1)[-1]).encode())
        holding = re.compile(leaf + rb"\s*:\s*(\"(?:[^\"\\\n]|\\.)*\"|[^,}\]\s]+)")
        # Where all values of the key are one, one line says it; else each is looked at.
        alike = len({match[1] for match in holding.finditer(data)}) == 1
        for line in data.split(b"\n"):
            if holding.search(line) is None:
                continue
            try:
                value = reach(json_of(line.decode("utf-8", errors="replace")), name)
            except Undecodable:
                continue
            if value is not None:
                facts.say_once("", name, value, path)
                if alike:
                    break


def changing_facts(path: Path) -> dict[str, list[object]]:
    """What lines without a loss say that changes within a log: by name the values, in order."""
    values: dict[str, dict[object, None]] = {}
    for line in in_lines(read_bytes(path)).split(b"\n"):
        try:
            record = json_of(line.decode("utf-8", errors="replace"))
        except Undecodable:
            continue
        if isinstance(record, dict):
            inner = dict(leaves(record))
            if not any(map(is_loss, inner)):
                for name, value in inner.items():
                    if isinstance(value, int | float | str):
                        values.setdefault(name, {})[value] = None
    return {name: list(several) for name, several in values.items() if len(several) > 1}


def _of_phase(path: Path, data: bytes, phase: Phase) -> bytes:
    """The lines of one phase in their places, the others being blank."""
    lines = data.split(b"\n")
    texts = ((n, line.decode("utf-8", errors="replace"), True) for n, line in enumerate(lines))
    inside = {number for number, _, _ in phase.of(path, texts)}
    return b"\n".join(line if n in inside else b"" for n, line in enumerate(lines))


def _well_formed(data: bytes, columns: PlainMap) -> pa.Table | None:
    """The mapped columns as Arrow reads them, an order of magnitude faster; None where it cannot.

    That is where a line is blank or no object (which Arrow may answer with a crash), where a NaN
    is written (which it cannot tell from null), where a number is written as text, where a column
    is nested or never there, and where a file holds several runs.
    """
    if "run" in columns:
        return None  # several runs in one file
    names = column_names(columns)
    lines = _objects(data)
    # Looking for one letter first is ten times as fast.
    says_nan = b"N" in data and b"NaN" in data
    if lines is None or says_nan or any("." in name for name in names):
        return None
    text = {str(columns[name]) for name in TEXT_COLUMNS if name in columns}
    for types in _guesses(data, names, text):
        try:
            with decoding():
                table = pa.json.read_json(
                    pa.BufferReader(data),
                    read_options=pa.json.ReadOptions(use_threads=False, block_size=BLOCK),
                    parse_options=pa.json.ParseOptions(
                        explicit_schema=pa.schema(types), unexpected_field_behavior="ignore"
                    ),
                )
        except Undecodable:
            continue
        if table.num_rows == lines and all(c.null_count < len(c) for c in table.columns):
            return table
    return None


def _guesses(data: bytes, names: list[str], text: set[str]) -> list[dict[str, pa.DataType]]:
    """Types to try for the columns `names`: whole numbers where the first line has one, then none.

    They stand in the order of the first line, in which Arrow finds them fastest.
    """
    try:
        first = json_of(data[: data.find(b"\n") if b"\n" in data else len(data)])
    except Undecodable:
        return []
    order = [*(name for name in first if name in names), *sorted(set(names) - set(first))]
    plain = {name: pa.string() if name in text else pa.float64() for name in order}
    integers = {name for name in order if type(first.get(name)) is int and name not in text}
    return [{**plain, **dict.fromkeys(integers, pa.int64())}, plain] if integers else [plain]


def _objects(data: bytes) -> int | None:
    """The number of lines where each begins as an object does, else None."""
    if data[:1] != b"{":
        return None
    letters = np.frombuffer(data.rstrip(b"\n") if data.endswith(b"\n\n") else data, np.uint8)
    lines = 1
    # In blocks that stay in the processor's cache; the very last letter ends no line before.
    for at in range(0, len(letters) - 1, _SEARCHED):
        block = letters[at : at + _SEARCHED + 1]
        ends = np.flatnonzero(block[:-1] == ord("\n"))
        if not (block[ends + 1] == ord("{")).all():
            return None
        lines += len(ends)
    return lines


def _reading(table: pa.Table, columns: PlainMap) -> Reading:
    """What curve_rows makes of a table without faults, in which a null is an absent value."""
    line = np.arange(1, table.num_rows + 1)
    rows = {name: _floats(table[columns[name]]) for name in MEASURES if name in columns}
    rows["line"] = line
    losses = columns["loss"]
    if isinstance(losses, dict):
        loss = np.column_stack([_floats(table[name]) for name in losses.values()])
        row, kind = np.nonzero(~np.isnan(loss))
        split = pd.Series(pd.Categorical.from_codes(kind, categories=list(losses)))
        loss = loss[row, kind]
    else:
        loss = _floats(table[losses])
        row = np.flatnonzero(~np.isnan(loss)) if table[losses].null_count else line - 1
        split = _split(table, columns, row)
        loss = loss[row]
    without = np.flatnonzero(np.bincount(row, minlength=len(line)) == 0)
    steps = rows.get("step", np.full(len(line), np.nan))[without]
    beside_names = [name for name in BESIDE if name in rows]
    beside = None
    if len(without) and beside_names:
        beside = pd.DataFrame({name: rows[name][without] for name in beside_names}).assign(
            step=steps
        )
    if len(without) or isinstance(losses, dict):
        rows = {name: values[row] for name, values in rows.items()}
    return Reading(
        pd.DataFrame({**rows, "loss": loss, "split": split}, copy=False),
        _without_loss(line[without], steps) if len(without) else _nothing_dropped(),
        beside=beside,
    )


def _without_loss(line: NDArray[np.int64], steps: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({"line": line, "step": steps, "reason": NO_LOSS})


@cache
def _nothing_dropped() -> pd.DataFrame:
    """The same table of no row, made once, since short logs take little longer than it does."""
    return _without_loss(np.empty(0, np.int64), np.empty(0))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64, copy=False)
    return values + 0.0  # which makes 0 of -0


@cache
def _no_split() -> pd.CategoricalDtype:
    return pd.CategoricalDtype([])


def _split(
    table: pa.Table, columns: PlainMap, row: NDArray[np.int64]
) -> pd.Series | pd.Categorical:
    if "split" not in columns:
        codes = np.full(len(row), -1, np.int8)
        return pd.Categorical.from_codes(codes, dtype=_no_split(), validate=False)
    words = table[columns["split"]].combine_chunks().dictionary_encode().to_pandas()
    return words.iloc[row].reset_index(drop=True)


def _integer(digits: str) -> int | str:
    """A whole number; its digits where 64 bits do not hold it, since it may be a name."""
    return int(digits) if len(digits) < 19 else digits
