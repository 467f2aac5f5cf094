"""CSV: a header and one row for each logged step, or for each run of a table.

Cells are parted by commas, or by semicolons where these alone part those of the header.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from flopline.logs import delimited
from flopline.logs.formats import FORMATS
from flopline.logs.opening import BEGIN, head_of
from flopline.logs.reading import LogFacts, Raw, Wish

ENTRY = FORMATS["csv"]


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is named .csv, or is such a table by its first lines."""
    if ENTRY.ends(path.name):
        return True
    return delimited.looks_like_a_table(head, delimited.separator_of(head, ENTRY.separator))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches."""
    separator = delimited.separator_of(head_of(path, BEGIN), ENTRY.separator)
    yield from delimited.read_table_log(path, separator, wish, facts)


def read_runs(path: Path, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    """A table of runs, see `tables.read_table`."""
    separator = delimited.separator_of(data[:BEGIN], ENTRY.separator)
    return delimited.read_text_table(path, data, separator)
