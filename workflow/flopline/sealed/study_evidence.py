"""What a study left that forecasts rest on, and a table of runs that were made since."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pandas as pd

from flopline.errors import FloplineError
from flopline.places import to_run
from flopline.results import StudyResults, read_results
from flopline.schema import KEPT
from flopline.study_document import StudyDocument
from flopline.tables import read_table
from flopline.written_numbers import parse_number, parse_plain, why_no_number

NUMBERS: Final = ("loss", "params", "tokens")
"""Columns of a table of results beside `run`; only the first must be there."""
FILES: Final = ("json", "*.parquet")
"""The endings of what a law leaves."""


def result_files(study: StudyDocument, root: Path) -> list[Path]:
    """The files of results that forecasts rest on, below `root`.

    Raises FloplineError where the study was not run to its end.
    """
    folder = root / "results" / study["name"]
    files = [folder / name for name in ("clean/runs.parquet", "decision.json", "decision.parquet")]
    for family in study["families"]:
        for law in study["laws"]:
            fits = folder / "fits" / family
            files.append(fits / f"{law}.json")
            files += sorted(fits.glob(f"{law}.*.parquet"))
        audited = folder / "audit" / family
        files.append(audited / "findings.json")
        # The surface as the audits left it, where they chose its form.
        left = [audited.glob(f"{law}.{end}") for law in study["laws"] for end in FILES]
        files += sorted(path for paths in left for path in paths)
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise FloplineError(
            f"{missing[0].relative_to(root)} is not there: run the study first, with "
            f"{to_run(study['name'])}."
        )
    return files


def study_results(study: StudyDocument, root: Path) -> StudyResults:
    """The results of a study. Raises FloplineError where it was not run to its end."""
    return read_results(root / "results" / study["name"], result_files(study, root))


@contextmanager
def of_this_version(study: StudyDocument) -> Iterator[None]:
    """Read what a study left; what its results lack becomes a FloplineError that says to run it.

    Results stay on the disk when Flopline is renewed, and an older version wrote them without it.
    """
    try:
        yield
    except KeyError as lacking:
        name = lacking.args[0] if lacking.args else "?"
        raise FloplineError(
            f"results/{study['name']} was left by another version of Flopline, which wrote no "
            f"{name!r}: run the study again with {to_run(study['name'])}, which makes anew what "
            "this version makes in another way."
        ) from lacking


def _why_no_number(cell: object) -> str:
    """What is wrong with a cell, as the end of a sentence; no study file says its decimal mark."""
    if "," in str(cell):
        return (
            "whose comma may part decimals or thousands: write it with a decimal point and without "
            "commas"
        )
    return why_no_number(cell)


def results_table(path: Path) -> pd.DataFrame:
    """A table of runs with columns run, loss and line, and params and tokens if it has them.

    Raises FloplineError for a file or a column that is missing, a run that stands there twice, or
    a cell that is no number.
    """
    table, broken = read_table(path)
    if broken:
        raise FloplineError(f"{path}, line {broken[0]} cannot be read: correct or remove it.")
    for name in ("run", NUMBERS[0]):
        if name not in table:
            raise FloplineError(
                f"{path} has no column `{name}`: a table of results has the columns run and loss."
            )
    out = pd.DataFrame({"run": table["run"].astype(str), "status": KEPT, "line": table["line"]})
    twice = out["run"][out["run"].duplicated()]
    if len(twice):
        raise FloplineError(f"{path} has the run '{twice.iloc[0]}' twice: keep one of its rows.")
    for name in NUMBERS:
        if name not in table:
            continue
        read = parse_plain if name == "loss" else parse_number
        out[name] = [read(cell) for cell in table[name]]
        for line, cell, value in zip(table["line"], table[name], out[name], strict=True):
            if not 0 < value < math.inf:
                reason = _why_no_number(cell) if math.isnan(value) else "which is not above 0"
                raise FloplineError(f"{path}, line {line}: `{name}` is {cell!r}, {reason}.")
    return out
