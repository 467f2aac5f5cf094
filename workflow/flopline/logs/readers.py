"""Reading logs of any format: told by its content or named, then as raw rows.

`formats` says which formats there are; a reader is loaded when a log of its format is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS, Columns, Format
from flopline.logs.opening import (
    BEGIN,
    HEAD,
    Phase,
    demand_no_archive,
    head_of,
    in_lines,
    is_binary,
)
from flopline.logs.reading import (
    PLACE,
    LogFacts,
    PlainMap,
    Reading,
    Wish,
    curve_rows,
    joined,
    plain_columns,
    scaled,
    with_last_step,
    with_neighbours,
)
from flopline.loss_units import NATS
from flopline.study_document import ColumnMap

AIM: Final = (
    "is a store of Aim, a database (RocksDB) that only Aim itself reads: export its metrics with "
    "it, as by `Repo('.').query_metrics().dataframe().to_csv('metrics.csv')` in Python, and give "
    "that file instead"
)
"""What is said of a store of Aim (aimhubio/aim docs/source/understanding/data_storage.md)."""


def is_aim_store(path: Path) -> bool:
    """Whether a folder is laid out as Aim keeps its runs."""
    return path.is_dir() and (path / "meta").is_dir() and (path / "seqs").is_dir()


def read_log(
    path: Path,
    columns: ColumnMap | None = None,
    format_name: str | None = None,
    patterns: Sequence[Mapping[str, str]] = (),
    wanted_facts: Sequence[str] = (),
    optional: Sequence[str] = (),
    *,
    decimal: str = ".",
    phase: Mapping[str, str] | None = None,
) -> Reading:
    """One log, a file or a folder, as raw rows (see Reading) and what it says of its runs.

    The format is sniffed unless it is named; `columns` may be left out where it knows its own, and
    those called `optional` may be missing from the log. `decimal` is what parts the whole of a
    number from its fraction, `phase` which lines of a text log count, as source.phase says it.

    Raises FloplineError when the log cannot be opened or decompressed, when no format knows it,
    or when it lacks a column that is mapped.
    """
    facts = LogFacts()
    wish = Wish(
        plain_columns(columns)[0] if columns else None,
        tuple(wanted_facts),
        tuple(patterns),
        tuple(optional),
        decimal,
        Phase.from_spec(phase) if phase else None,
    )
    factors = plain_columns(columns)[1] if columns else {}
    readings = list(read_batches(path, wish, format_name, facts))
    reading = joined(readings, facts)
    return replace(reading, rows=scaled(with_neighbours(with_last_step(reading)), factors))


def read_batches(
    path: Path, wish: Wish, format_name: str | None, facts: LogFacts
) -> Iterator[Reading]:
    """The rows of one log in batches, unscaled; `facts` fill as they are read. See `read_log`."""
    if not path.exists():
        raise FloplineError(f"{path} does not exist: restore it or take it out.")
    name = format_name or sniffed(path)
    if name is None:
        return
    entry = FORMATS[name]
    module = entry.load()
    if wish.phase and not entry.of_lines:
        known = ", ".join(e.name for e in FORMATS.values() if e.of_lines)
        raise FloplineError(
            f"{path} is in the format {name}, which has no lines of text to part into phases: take "
            f"source.phase out (it is for {known})."
        )
    if not entry.columns.of_format and not (wish.columns and "loss" in wish.columns):
        raise FloplineError(
            f"{path} is in the format {name}, which does not say which column is the loss: name "
            "it and the others in source.columns."
        )
    if "line" in wish.names:
        raise FloplineError(
            f"{path}: a column 'line' cannot be told from the numbers of the lines: rename it."
        )
    own: PlainMap = module.COLUMNS if entry.columns.of_format else {}
    if entry.columns.of_format and "loss" not in (wish.columns or {}):
        facts.units.setdefault("", NATS)  # as trainers log their cross-entropy, unless they say it
    if entry.columns is Columns.FORMAT:
        wish = _laid_over(own, wish, path, name)
    rows_in = 0
    for raw in module.read(path, wish, facts):
        reading = raw
        if not isinstance(raw, Reading):
            columns = raw.columns or wish.columns or own
            if PLACE in wish.names and PLACE not in raw.table:
                places = range(rows_in + 1, rows_in + 1 + len(raw.table))
                raw = replace(raw, table=raw.table.assign(**{PLACE: places}))
            reading = curve_rows(raw, columns, path, wish.optional, wish.decimal)
        rows_in += reading.rows_in
        yield reading
    if not rows_in and format_name is not None:
        _refuse_other_format(path, format_name)


def _laid_over(own: PlainMap, wish: Wish, path: Path, name: str) -> Wish:
    """For a format whose rows say their split: the wish laid over the format's own columns.

    A map that left the split out would make one curve of all.
    """
    if wish.columns is None:
        return wish
    if isinstance(wish.columns.get("loss"), dict):
        raise FloplineError(
            f"{path} is in the format {name}, whose rows say their own split: leave "
            "source.columns.loss out and name the split in loss_split."
        )
    return replace(wish, columns={**own, **wish.columns})


def sniffed(path: Path) -> str | None:
    """The format of a log; None for a file without content.

    Raises FloplineError when no format knows it.
    """
    begin = head_of(path, BEGIN)
    demand_no_archive(path, begin)
    # Of weights and token shards no more is read than shows what they are.
    binary = len(begin) == BEGIN and is_binary(begin)
    head = head_of(path, HEAD) if len(begin) == BEGIN and not binary else begin
    head = in_lines(head)
    for name, entry in FORMATS.items():
        if (entry.binary or not binary) and _looks_like(entry, path, head):
            return name
    if not path.is_dir() and not head.strip():
        return None
    if is_aim_store(path):
        raise FloplineError(f"{path} {AIM}.")
    raise FloplineError(
        f"{path}: no known log format fits this {'folder' if path.is_dir() else 'file'}, or it "
        f"logs no metric (known: {', '.join(FORMATS)}); name one in source.format, describe its "
        "lines in source.pattern or take it out of source.paths."
    )


def _refuse_other_format(path: Path, declared: str) -> None:
    """Stop where a file holds no row of the declared format and another format fits it."""
    head = in_lines(head_of(path, HEAD))
    fits = [n for n, e in FORMATS.items() if n != declared and _looks_like(e, path, head)]
    if fits:
        raise FloplineError(
            f"{path} holds no row of the format {declared} but looks like {fits[0]}: correct "
            "source.format or leave it out."
        )


def _looks_like(entry: Format, path: Path, head: bytes) -> bool:
    """Whether a log is of a format: a folder by its names, a file by its first bytes."""
    if path.is_dir():
        return entry.folder is not None and entry.folder.holds(path)
    is_of_format: bool = entry.load().sniff(path, head)
    return is_of_format
