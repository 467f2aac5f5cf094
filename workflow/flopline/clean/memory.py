"""Cleaning in memory: what the workflow does shard by shard, in one call."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flopline.clean.gathering import gather, stop_at_mistakes
from flopline.clean.rows import clean_rows
from flopline.clean.run_facts import with_facts
from flopline.ingesting import Ingested
from flopline.schema import CURVES, DROPPED, conform
from flopline.study_document import StudyDocument


@dataclass(frozen=True)
class Cleaned:
    """The three tables of schema.py, with rows_in = rows_kept + rows_dropped for every run."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    dropped: pd.DataFrame
    notes: tuple[str, ...] = ()


def clean(raw: Ingested, facts: pd.DataFrame | None, study: StudyDocument) -> Cleaned:
    """Raw rows, and the run table's facts where there is one, as clean tables.

    `study` has the keys that gather needs. Raises FloplineError at the first faulty row unless
    cleaning.bad_rows is drop, and when no run is left.
    """
    rows = clean_rows(raw, with_facts(raw.runs, facts, study), study)
    stop_at_mistakes(rows.dropped, rows.runs, study)
    runs, notes = gather(rows.runs, facts, study)
    return Cleaned(runs, conform(rows.curves, CURVES), conform(rows.dropped, DROPPED), tuple(notes))
