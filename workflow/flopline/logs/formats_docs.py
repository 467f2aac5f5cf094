"""The table of formats in docs/formats.md, which `make generate` makes of their entries."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flopline.logs.formats import FORMATS, Format

DOCS: Final = Path("docs/formats.md")
BEGIN: Final = "<!-- The table is made by `make generate` from the entries of the formats. -->\n"
END: Final = "<!-- Here it ends. -->\n"
_HEADER: Final = (
    "format",
    "recognised by",
    "what it reads",
    "a log is",
    "says of its run",
    "`source.columns`",
)


def written(text: str) -> str:
    """The page `text` with its table as the entries have it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{_table()}{END}{after}"


def _table() -> str:
    rows = [_HEADER, ("---",) * len(_HEADER), *map(_row, FORMATS.values())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(entry: Format) -> tuple[str, ...]:
    log = "a file" if entry.folder is None else f"a folder with {_and(entry.folder.marks)}"
    if entry.folder and entry.folder.stand_in:
        log += ", or a file in it"
    elif entry.folder and entry.endings:
        log += ", or the file"
    runs = ", of several runs" if entry.several_runs else ""
    table = ", or a table of finished runs" if entry.is_table else ""
    says = ", ".join(entry.says)
    return (
        f"`{entry.name}`", entry.recognised_by, entry.reads, log + runs + table, says,
        entry.columns.value,
    )  # fmt: skip


def _and(words: tuple[str, ...]) -> str:
    return " and ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    DOCS.write_text(written(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
