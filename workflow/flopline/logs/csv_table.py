"""CSV: a header and one row for each logged step, or for each run of a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from flopline.logs import delimited
from flopline.logs.formats import FORMATS
from flopline.logs.reading import LogFacts, Raw, Wish

ENTRY = FORMATS["csv"]


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is named .csv, or is such a table by its first lines."""
    return ENTRY.ends(path.name) or delimited.looks_like_a_table(head, ENTRY.separator)


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches."""
    yield from delimited.read_table_log(path, ENTRY.separator, wish, facts)


def read_runs(path: Path, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    """A table of runs, see `tables.read_table`."""
    return delimited.read_text_table(path, data, ENTRY.separator)
