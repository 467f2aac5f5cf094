"""CSV: a header and one row for each logged step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flopline.logs import delimited
from flopline.logs.reading import Facts, Raw, Wish

NAME = "csv"
COLUMNS = delimited.COLUMNS


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is named .csv."""
    return delimited.has_ending(path, "csv")


def read(path: Path, wish: Wish, facts: Facts) -> Iterator[Raw]:
    """The rows in batches."""
    yield from delimited.read_table_log(path, ",", wish, facts)
