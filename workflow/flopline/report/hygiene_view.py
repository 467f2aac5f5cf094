"""Runs, quarantined runs and dropped rows as tables of the page."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flopline.loss_units import stated_unit, words
from flopline.numbers import count, flops_label, humanise, significant
from flopline.report.html_tables import ColumnSpec, DataTable, data_table
from flopline.schema import DROPPED, HELD_OUT, KEPT, QUARANTINED
from flopline.study_document import StudyDocument


def _integer(x: float) -> str:
    return count(int(x))


RUN_COLUMNS = (
    ColumnSpec("run", "Run"),
    ColumnSpec("family", "Family"),
    ColumnSpec("status", "Status"),
    ColumnSpec("params", "Params", humanise, unit="weights"),
    ColumnSpec("params_total", "Params, total", humanise, unit="weights"),
    ColumnSpec("params_nonembedding", "Params, non-embedding", humanise, unit="weights"),
    ColumnSpec("tokens", "Tokens", humanise, unit="tokens"),
    ColumnSpec("tokens_per_param", "Tokens per param", humanise, unit="tokens per param"),
    ColumnSpec("horizon_tokens", "Schedule, tokens", humanise, unit="tokens"),
    ColumnSpec("flops", "Compute, FLOPs", flops_label, unit="FLOPs"),
    ColumnSpec("budget_flops", "Budget, FLOPs", flops_label, unit="FLOPs"),
    ColumnSpec("loss", "Loss", significant),
    ColumnSpec("loss_source", "Loss read from"),
    ColumnSpec("seed", "Seed"),
    ColumnSpec("rows_in", "Rows read", _integer),
    ColumnSpec("rows_kept", "Rows kept", _integer),
    ColumnSpec("rows_dropped", "Rows dropped", _integer),
    ColumnSpec("source", "Source", style="path"),
)

QUARANTINE_COLUMNS = (
    ColumnSpec("run", "Run"),
    ColumnSpec("family", "Family"),
    ColumnSpec("reason", "Why it was set aside", style="prose"),
    ColumnSpec("rows_in", "Rows read", _integer),
    ColumnSpec("source", "Source", style="path"),
)

DROPPED_COLUMNS = (
    ColumnSpec("run", "Run"),
    ColumnSpec("step", "Step", _integer),
    ColumnSpec("reason", "Reason", style="prose"),
    ColumnSpec("source", "Source", style="path"),
    ColumnSpec("line", "Line", _integer),
)


REASON_COLUMNS = (
    ColumnSpec("reason", "Reason", style="prose"),
    ColumnSpec("rows", "Rows", _integer),
    ColumnSpec("runs", "Runs", _integer),
)


@dataclass(frozen=True, slots=True)
class Hygiene:
    """The tables of the data; one is None where it would be empty."""

    runs: DataTable | None
    quarantined: DataTable | None
    reasons: DataTable | None
    dropped: DataTable | None


def hygiene(runs: pd.DataFrame, dropped: pd.DataFrame, study: StudyDocument) -> Hygiene:
    """The tables of runs, quarantined runs and dropped rows, each sorted by run."""
    labels = study["families"]
    runs = runs.sort_values(["run", "source"], ignore_index=True)
    runs = runs.assign(
        family=[labels.get(family, family) for family in runs["family"]],
        tokens_per_param=runs["tokens"] / runs["params"],
    )
    aside = runs[runs["status"] == QUARANTINED]
    folder = f"results/{study['name']}/clean"
    rows = dropped.sort_values(list(DROPPED), ignore_index=True)
    return Hygiene(
        runs=_table(
            "table-runs",
            f"All {count(len(runs), 'run')}",
            runs,
            _in_unit(words(stated_unit(study))),
            f"{folder}/runs.parquet",
        ),
        quarantined=_table(
            "table-quarantined",
            f"{count(len(aside), 'run')} in quarantine",
            aside,
            QUARANTINE_COLUMNS,
            f"{folder}/runs.parquet",
        ),
        reasons=_table("table-reasons", "Dropped rows by reason", _reasons(rows), REASON_COLUMNS),
        dropped=_table(
            "table-dropped", "Each dropped row", rows, DROPPED_COLUMNS, f"{folder}/dropped.parquet"
        ),
    )


def _in_unit(unit: str) -> tuple[ColumnSpec, ...]:
    """The columns of runs, the loss with its unit."""
    loss = ColumnSpec("loss", f"Loss, {unit}", significant, unit=unit)
    return tuple(loss if spec.name == "loss" else spec for spec in RUN_COLUMNS)


def _reasons(dropped: pd.DataFrame) -> pd.DataFrame:
    grouped = dropped.groupby("reason", sort=True)["run"]
    table = pd.DataFrame({"rows": grouped.size(), "runs": grouped.nunique()}).reset_index()
    return table.sort_values(["rows", "reason"], ascending=[False, True])


def _table(
    table_id: str,
    caption: str,
    frame: pd.DataFrame,
    specs: tuple[ColumnSpec, ...],
    full_copy: str = "",
) -> DataTable | None:
    """A table of the data section.

    Returns None where `frame` has no rows.
    """
    return None if frame.empty else data_table(table_id, caption, frame, specs, full_copy)


def hygiene_sentence(runs: pd.DataFrame) -> str:
    """How many runs and rows were read and kept, and what the kept runs span."""
    kept = runs[runs["status"] == KEPT]
    rows_in, rows_kept, rows_lost = (
        int(runs[c].sum()) for c in ("rows_in", "rows_kept", "rows_dropped")
    )
    held = int((runs["status"] == HELD_OUT).sum())
    apart = f", {held:,} held out" if held else ""
    sentence = (
        f"{count(len(runs), 'run')} read, {len(kept):,} kept{apart}. "
        f"{count(rows_in, 'row')} read = {rows_kept:,} kept + {rows_lost:,} dropped."
    )
    if kept.empty:
        return sentence
    spans = [
        f"{name} from {label(kept[column].min())} to {label(kept[column].max())}{unit}"
        for column, name, label, unit in (
            ("params", "params", humanise, ""),
            ("tokens", "tokens", humanise, ""),
            ("flops", "compute", flops_label, " FLOPs"),
        )
    ]
    return f"{sentence} The kept runs span {', '.join(spans)}."
