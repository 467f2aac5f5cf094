"""Cleaning a shard with bounded memory: some whole runs at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from flopline.clean.rows import CleanRows, clean_rows
from flopline.ingesting import RAW_CURVES, Ingested
from flopline.schema import conform
from flopline.study_document import StudyDocument


def clean_batches(
    batches: Iterable[pd.DataFrame],
    unread: pd.DataFrame,
    raw_runs: pd.DataFrame,
    runs: pd.DataFrame,
    study: StudyDocument,
) -> Iterator[CleanRows]:
    """clean_rows of each batch of raw curves, then of the runs that have no curve at all.

    A batch holds whole runs. `unread` are the rows that could not be read and `raw_runs` the files
    of the whole shard, `runs` the same by run with their facts (facts.with_facts).

    Returns an iterator with an item for each batch and a last one for those runs.
    """
    todo = set(runs["run"])
    for curves in batches:
        names = set(curves["run"].unique())
        todo -= names
        yield _of(names, curves, unread, raw_runs, runs, study)
    if todo:
        yield _of(todo, None, unread, raw_runs, runs, study)


def _of(
    names: set[str],
    curves: pd.DataFrame | None,
    unread: pd.DataFrame,
    raw_runs: pd.DataFrame,
    runs: pd.DataFrame,
    study: StudyDocument,
) -> CleanRows:
    """clean_rows of the runs `names`; `curves` is None where these have none.

    Returns:
        The cleaned rows, curves and runs of these names.
    """
    unread, raw_runs, runs = (
        table[table["run"].isin(names)].reset_index(drop=True) for table in (unread, raw_runs, runs)
    )
    if curves is None:
        curves = conform(pd.DataFrame(), RAW_CURVES)
    return clean_rows(Ingested(curves, unread, raw_runs), runs, study)
