"""MLflow file stores: the folder of one run, with `metrics/`, `params/` and `meta.yaml`.

Every file in `metrics/` is a metric, one line `timestamp value step` for each value; the
timestamp counts milliseconds. Every file in `params/` holds one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flopline.logs.opening import text_lines
from flopline.logs.reading import LogFacts, Raw, Unparsed, Wish, column_names
from flopline.logs.series import Point, side_by_side


def sniff(path: Path, head: bytes) -> bool:
    """Never: a store is a folder, and known by its entry in the table of formats."""
    return False


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """One row for each value of a loss; `line` is its line in the file of that metric.

    What stands in `params` and the tags of the run become facts.
    """
    wanted = set(column_names(wish.columns or {}))
    series: dict[str, list[Point]] = {}
    unparsed: list[Unparsed] = []
    for name, file in _files(path / "metrics"):
        series[name] = []
        for number, text, _ in text_lines(file) if name in wanted else ():
            cells = text.split()
            try:
                seconds, value, step = int(cells[0]) / 1000, cells[1], int(cells[2])
            except (IndexError, ValueError, OverflowError):
                if cells:
                    unparsed.append(Unparsed(number))
                continue
            series[name].append(Point(number, step, seconds, value))
    for folder in ("tags", "params"):
        for name, file in _files(path / folder):
            facts.say("", name, "\n".join(text for _, text, _ in text_lines(file)).strip())
    if series:
        yield side_by_side(series, unparsed, wish)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder with their names; a metric may have slashes in its own."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [(file.relative_to(folder).as_posix(), file) for file in files]
