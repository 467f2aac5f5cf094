"""One row per run: what the run table says of it laid over what its log says."""

from __future__ import annotations

from typing import Final

import pandas as pd

from flopline.errors import FloplineError
from flopline.facts import completed, laid_over
from flopline.ingesting import FACTS, FILES
from flopline.schema import conform
from flopline.study_document import StudyDocument

BETWEEN_FILES: Final = "\n"
"""Stands between the paths, and between the digests, of a run of several files."""

RUN_FACTS: Final = {
    **FACTS,
    "source": "string",
    "sha256": "string",
    "rows_in": "int64",
    "rounded": "string",
    "misread": "string",
    "converted": "string",
    "known": "bool",
}
"""One row per run; `known` says whether the run table knows it, where there is one."""


def with_facts(
    raw_runs: pd.DataFrame, facts: pd.DataFrame | None, study: StudyDocument
) -> pd.DataFrame:
    """One row per run of `raw_runs` (one per run and file) as RUN_FACTS, by run.

    Raises FloplineError when the run table says two things of one run.
    """
    grouped = conform(raw_runs, FACTS | FILES).groupby("run", sort=True)
    out = grouped.first().reset_index()
    out["rows_in"] = grouped["rows_in"].sum().to_numpy()
    several = grouped.size().to_numpy() > 1
    for name in ("source", "sha256") if several.any() else ():
        joined = grouped[name].agg(lambda values: BETWEEN_FILES.join(values.dropna()))
        out[name] = joined.where(joined != "").to_numpy()
    out["known"] = True
    if facts is not None:
        facts = one_row_each(facts, study)
        known = facts.set_index("run").reindex(out["run"])
        out["known"] = out["run"].isin(facts["run"]).to_numpy()
        table = study["source"]["runs"]["table"]
        for name in [c for c in known if c in FACTS]:
            given = known[name].reset_index(drop=True)
            out[name] = laid_over(given, out[name], out["run"], name, table)
    out = completed(out, study.get("params_convention"))
    # A run whose name, sidecar or own text says its params needs no row in the run table.
    out["known"] |= out["params"].notna()
    return _conform(out)


def without_log(
    runs: pd.DataFrame, facts: pd.DataFrame | None, study: StudyDocument
) -> pd.DataFrame:
    """The runs of the run table that are not among `runs`, as RUN_FACTS with no rows."""
    if facts is None:
        return _conform(runs.iloc[:0])
    facts = one_row_each(facts, study)
    missing = facts[~facts["run"].isin(runs["run"])]
    table = study["source"]["runs"]["table"]
    return _conform(missing.assign(source=table, rows_in=0, known=True))


def one_row_each(facts: pd.DataFrame, study: StudyDocument) -> pd.DataFrame:
    """The run table with a run of several logs, which has a row for each, taken as one."""
    source = study["source"]["runs"]
    twice = facts.duplicated("run", keep=False)
    if not twice.any():
        return facts
    once = facts.drop_duplicates(ignore_index=True)
    unequal = once["run"][once["run"].duplicated()]
    if "log" not in source["columns"]:
        raise FloplineError(
            f"{source['table']}: run '{facts['run'][twice].iloc[0]}' stands there twice: "
            "remove one row."
        )
    if len(unequal):
        rows = once[once["run"] == unequal.iloc[0]]
        name = next(c for c in rows if not rows[c].duplicated().iloc[-1])
        raise FloplineError(
            f"{source['table']}: run '{unequal.iloc[0]}' stands there with several logs and "
            f"different {name}: the pieces of one run share all facts, other runs need other names."
        )
    return once


def _conform(runs: pd.DataFrame) -> pd.DataFrame:
    out = conform(runs, RUN_FACTS)
    return out.sort_values("run", kind="stable", ignore_index=True)
