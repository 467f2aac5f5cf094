"""Log formats: one module each, found by name or by sniffing.

A format module has NAME, COLUMNS (what its columns mean; None where the study file must say),
`sniff(path, head)` (does this look like mine?) and `read(path, wish, facts)`, which yields Raw
batches and notes what the log says of its run. Adding a format is adding a module here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.logs import (
    csv_table,
    hf_trainer,
    jsonl,
    llmc,
    megatron,
    mlflow,
    modded_nanogpt,
    nanogpt,
    parquet_table,
    pattern,
    tensorboard,
    torchtitan,
    tsv_table,
    wandb_chart,
    wandb_offline,
)
from flopline.logs.opening import head_of, open_binary, read_bytes
from flopline.logs.reading import Facts, Reading, Wish, curve_rows, joined, plain_columns, scaled

__all__ = ["FORMATS", "open_binary", "read_batches", "read_bytes", "read_log", "sniffed"]

FORMATS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        tensorboard,
        wandb_offline,
        mlflow,
        parquet_table,
        hf_trainer,
        wandb_chart,
        csv_table,
        tsv_table,
        jsonl,
        megatron,
        llmc,
        modded_nanogpt,
        nanogpt,
        torchtitan,
        pattern,
    )
}
"""The formats by name, in the order in which they are sniffed."""

HEAD: Final = 1 << 22
"""Bytes that a format is told by: some logs begin with megabytes of other output."""


def read_log(
    path: Path,
    columns: Mapping[str, Any] | None = None,
    format_name: str | None = None,
    patterns: Sequence[Mapping[str, str]] = (),
    wanted_facts: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> Reading:
    """One log, a file or a folder, as raw rows (see Reading) and what it says of its runs.

    The format is sniffed unless it is named; `columns` may be left out where it knows its own, and
    those called `optional` may be missing from the log.
    Raises FloplineError when the log cannot be opened or decompressed, when no format knows it,
    or when it lacks a column that is mapped.
    """
    facts = Facts()
    wish = Wish(
        plain_columns(columns)[0] if columns else None,
        tuple(wanted_facts),
        tuple(patterns),
        tuple(optional),
    )
    factors = plain_columns(columns)[1] if columns else {}
    readings = list(read_batches(path, wish, format_name, facts))
    reading = joined(readings, facts)
    return Reading(scaled(reading.rows, factors), reading.dropped, facts)


def read_batches(
    path: Path, wish: Wish, format_name: str | None, facts: Facts
) -> Iterator[Reading]:
    """The rows of one log in batches, unscaled; `facts` fill as they are read. See `read_log`."""
    if not path.exists():
        raise FloplineError(f"{path} does not exist: restore it or take it out.")
    name = format_name or sniffed(path)
    if name is None:
        return
    module = FORMATS[name]
    if module.COLUMNS is None and not (wish.columns and "loss" in wish.columns):
        raise FloplineError(
            f"{path} is in the format {name}, which does not say which column is the loss: name "
            "it and the others in source.columns."
        )
    wish = _with_own_columns(path, name, wish)
    rows_in = 0
    if name == jsonl.NAME:
        data = read_bytes(path)
        reading = jsonl.read(path, data, dict(wish.columns or {}), wish.optional)
        jsonl.say_facts(data, wish, facts)
        rows_in += reading.rows_in
        yield reading
    else:
        for raw in module.read(path, wish, facts):
            columns = raw.columns or wish.columns or module.COLUMNS
            reading = curve_rows(raw.table, columns, path, raw.unparsed, raw.names, wish.optional)
            rows_in += reading.rows_in
            yield reading
    if not rows_in and format_name is not None:
        _refuse_other_format(path, format_name)


def _with_own_columns(path: Path, name: str, wish: Wish) -> Wish:
    """For a format whose rows say their split: the wish laid over the format's own columns.

    A map that left the split out would make one curve of all.
    """
    own = FORMATS[name].COLUMNS
    if name in (hf_trainer.NAME, pattern.NAME) or own is None or wish.columns is None:
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
    head = head_of(path, HEAD)
    for name, module in FORMATS.items():
        if module.sniff(path, head):
            return name
    if not path.is_dir() and not head.strip():
        return None
    raise FloplineError(
        f"{path}: no known log format fits this {'folder' if path.is_dir() else 'file'}, or it "
        f"logs no metric (known: {', '.join(FORMATS)}); name one in source.format, describe its "
        "lines in source.pattern or take it out of source.paths."
    )


def _refuse_other_format(path: Path, declared: str) -> None:
    """Stop where a file holds no row of the declared format and another format fits it."""
    head = head_of(path, HEAD)
    fits = [n for n, m in FORMATS.items() if n != declared and m.sniff(path, head)]
    if fits:
        raise FloplineError(
            f"{path} holds no row of the format {declared} but looks like {fits[0]}: correct "
            "source.format or leave it out."
        )
