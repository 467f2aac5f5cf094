"""What of many families has room on a page; the rest lies beside it, and the page says where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from flopline.numbers import count
from flopline.report.decision_view import FamilyLaws
from flopline.report.html_tables import DataTable

MOST_FIGURE_BYTES: Final = 7_000_000
"""What figures may take of the appendix, which has to stay below 20 MB to open at once: those of a
dozen families, or of fewer with many runs."""

MOST_TABLE_BYTES: Final = 4_000_000
"""What the tables behind the findings may take, those of as many families or more."""

MOST_LAW_ROWS: Final = 1_000
"""Lines of laws, each at one target by one estimator: 4 kB of the page each."""

_CELL_BYTES: Final = 60
"""What stands around a cell's text."""

T = TypeVar("T")


def in_room(
    items: Sequence[T], size: Callable[[T], int], most: int
) -> tuple[Sequence[T], Sequence[T]]:
    """The first of some items, as many as `most` allows but one at least, and those left over."""
    total = 0
    for place, item in enumerate(items):
        total += size(item)
        if place and total > most:
            return items[:place], items[place:]
    return items, ()


def table_bytes(table: DataTable) -> int:
    """About how many bytes of a page a table takes, with its CSV."""
    cells = sum(len(cell.text) + len(cell.sort) + _CELL_BYTES for row in table.rows for cell in row)
    return cells + len(table.csv.href)


def law_rows(laws: FamilyLaws) -> int:
    """How many lines the tables of a family's laws have."""
    groups = [*laws.targets, *(target for variant in laws.variants for target in variant.targets)]
    return sum(len(group.rows) for group in groups)


def elsewhere(left: Sequence[object], what: str, where: str) -> str:
    """A sentence on what of other families has no room; empty where all has."""
    if not left:
        return ""
    families = "one more family" if len(left) == 1 else f"{count(len(left))} more families"
    return f"The page has no room for the {what} of {families}: see {where}."
