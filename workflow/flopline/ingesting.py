"""From files to raw rows: every format becomes the same three tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from flopline.errors import FloplineError
from flopline.facts import own_facts, wanted_from_log
from flopline.logs.opening import head_of, text_lines
from flopline.logs.readers import read_log
from flopline.logs.reading import (
    AFTER_BRANCH,
    MOST_EXACT,
    NO_LOSS,
    NO_RUN,
    NOT_PARSED,
    TWICE,
    PlainMap,
    Reading,
    column_names,
    columns_in,
    plain_columns,
    scaled,
    with_neighbours,
)
from flopline.loss_conversion import in_study_unit
from flopline.schema import DROPPED, conform
from flopline.sources import LogFile, format_of, patterns_of
from flopline.study_document import StudyDocument
from flopline.tables import column_map, read_table

RAW_CURVES = {
    "run": "string",
    "split": "string",
    "step": "float64",
    "tokens": "float64",
    "flops": "float64",
    "loss": "float64",
    "lr": "float64",
    "wall_s": "float64",
    "piece": "int64",
    "line": "int64",
}
"""One row per logged loss as it stands in the file; `piece` numbers the files of one run."""

FACTS = {
    "run": "string",
    "family": "string",
    "params": "float64",
    "params_total": "float64",
    "params_nonembedding": "float64",
    "horizon_tokens": "float64",
    "horizon_steps": "float64",
    "budget_flops": "float64",
    "unique_tokens": "float64",
    "flops_per_token": "float64",
    "batch_tokens": "float64",
    "width": "float64",
    "depth": "float64",
    "heads": "float64",
    "kv_size": "float64",
    "ffn": "float64",
    "vocab": "float64",
    "seq_len": "float64",
    "seed": "string",
}
"""What a run table can say of a run, besides where its log is."""

APART = 0.02
"""Losses of one step that differ by more than this share are no two readings of one."""

MOST = 0.5
"""Share of the steps of a run, or of the runs of a table, that are most of them."""

NO_NAME = "(no name)"
"""Stands for the run of a row that names none."""

FILES = {
    "piece": "int64",
    "source": "string",
    "sha256": "string",
    "rows_in": "int64",
    "rounded": "string",
    "misread": "string",
    "converted": "string",
}
"""What is known of a file of a run; `rounded` is the place of its first rounded count, `misread`
that of the first row that cannot be read, with what stands there; `converted` says which losses
were turned into the study's unit, and how."""


@dataclass(frozen=True)
class Ingested:
    """Raw rows, rows that could not be read, and one row per run and file with source and facts."""

    curves: pd.DataFrame
    dropped: pd.DataFrame
    runs: pd.DataFrame


def ingest(study: StudyDocument, files: Sequence[LogFile], root: Path) -> Ingested:
    """The files of one shard, each {run, path, sha256}, as one Ingested, by run, file and line.

    Raises FloplineError naming the file when it cannot be read or lacks a mapped column.
    """
    parts = list(ingest_runs(study, files, root))
    curves, dropped, runs = (
        pd.concat([getattr(part, name) for part in parts]) if parts else pd.DataFrame()
        for name in ("curves", "dropped", "runs")
    )
    return Ingested(
        conform(curves, RAW_CURVES), conform(dropped, DROPPED), conform(runs, FACTS | FILES)
    )


def ingest_runs(study: StudyDocument, files: Sequence[LogFile], root: Path) -> Iterator[Ingested]:
    """The same a run at a time, each of all its files; the tables of a table source in one.

    Files that share a run are its pieces, numbered as they come.
    """
    ordered = sorted(files, key=lambda file: file["run"])
    table = study["source"]["kind"] == "table"
    for _, group in groupby(ordered, key=lambda file: file["run"]):
        pieces = list(group)
        read = _table if table else _log
        parts = [read(study, file, number, root) for number, file in enumerate(pieces)]
        if len(parts) > 1:
            parts = list(_branched(pieces, parts))
        if any("split" in file for file in pieces):
            parts = _side_by_side(study, pieces, parts)
        pieced = parts[0] if len(parts) == 1 else _together(parts)
        # Only what holds several runs need be put in the order of runs.
        yield _by_run(pieced) if len(set(pieced.runs["run"])) > 1 else pieced


def _branched(files: Sequence[LogFile], parts: Sequence[Ingested]) -> Iterator[Ingested]:
    """The pieces of a run, those that it shares with others up to where its next piece begins.

    Raises FloplineError where a run has no row but those that it shares.
    """
    begins = [float(_clock(part.curves).min()) for part in parts]
    for file, part, begin in zip(files, parts, begins, strict=True):
        if not file.get("shared"):
            yield part
            continue
        later = [other for other in begins if other > begin]
        if not later:
            raise FloplineError(
                f"{file['path']} is the beginning of several runs, and run '{file['run']}' has no "
                "row of its own after it: take its rows out of the run table, or restore its log."
            )
        beyond = (_clock(part.curves) >= min(later)).to_numpy()
        cut = part.curves[beyond].assign(reason=AFTER_BRANCH, source=file["path"])
        dropped = pd.concat([part.dropped, cut[["run", "line", "step", "reason", "source"]]])
        yield Ingested(part.curves[~beyond], dropped, part.runs)


def _side_by_side(
    study: StudyDocument, files: Sequence[LogFile], parts: Sequence[Ingested]
) -> list[Ingested]:
    """The logs of the splits of a run: what one says of a step holds for the others, too.

    Raises FloplineError where none says a fact that the study takes from the log.
    """
    for name, key in (study["source"].get("runs", {}).get("from_log") or {}).items():
        if not any(name in part.runs and part.runs[name].notna().any() for part in parts):
            raise FloplineError(
                f"None of {', '.join(file['path'] for file in files)} says '{key}' "
                f"(source.runs.from_log.{name} in {study['file']}): correct it or take it out."
            )
    together = pd.concat([part.curves for part in parts], ignore_index=True)
    filled = with_neighbours(Reading(together, pd.DataFrame()))
    of_piece = dict(list(filled.groupby("piece")))
    return [
        replace(part, curves=of_piece.get(number, part.curves)) for number, part in enumerate(parts)
    ]


def _clock(curves: pd.DataFrame) -> pd.Series:
    """The steps of rows, or the tokens where none is logged."""
    known = "step" in curves and curves["step"].notna().any()
    clock: pd.Series = curves["step" if known or "tokens" not in curves else "tokens"]
    return clock.astype("float64")


def _together(parts: Sequence[Ingested]) -> Ingested:
    return Ingested(
        pd.concat([p.curves for p in parts]),
        pd.concat([p.dropped for p in parts]),
        pd.concat([p.runs for p in parts]),
    )


def _by_run(raw: Ingested) -> Ingested:
    return Ingested(
        raw.curves.sort_values(["run", "piece", "line"], kind="stable", ignore_index=True),
        raw.dropped.sort_values(["run", "source", "line"], kind="stable", ignore_index=True),
        raw.runs.sort_values(["run", "piece"], kind="stable", ignore_index=True),
    )


def _log(study: StudyDocument, file: LogFile, piece: int, root: Path) -> Ingested:
    source, own = study["source"], file["run"]
    reading = read_log(
        root / file["path"],
        source.get("columns"),
        format_of(source),
        patterns_of(source),
        wanted_from_log(source),
        source.get("optional", ()),
        decimal=source.get("decimal", "."),
        phase=source.get("phase"),
    )
    log_facts = reading.facts
    rows = reading.rows.assign(split=_split(reading.rows["split"], study, file), piece=piece)
    rows, converted = in_study_unit(rows, study, reading.facts.units, file["path"])
    rows = _named(rows, own)
    dropped = _named(_with_whole_steps(reading.dropped).assign(source=file["path"]), own)
    of_file = {"piece": piece, "source": file["path"], "sha256": file["sha256"]}
    counts = {own: reading.rows_in}
    if "run" in reading.rows:
        counts = pd.concat([rows["run"], dropped["run"]]).value_counts(sort=False).to_dict()
    rounded = rows["run"][rows["line"] == reading.rounded].tolist() if reading.rounded else []
    misread = _misread(reading, root / file["path"])
    runs = [
        {
            **(
                own_facts(source, file, run, log_facts, root, study["file"])
                if _may_have_facts(run, n)
                else {}
            ),
            "run": run,
            "rows_in": n,
            **of_file,
            "rounded": f"{file['path']}, line {reading.rounded}" if run in rounded else None,
            "misread": f"{file['path']}, line {misread}" if misread else None,
            "converted": converted,
        }
        for run, n in counts.items()
    ]
    return Ingested(rows, dropped, pd.DataFrame(runs))


def _split(split: pd.Series, study: StudyDocument, file: LogFile) -> pd.Series | pd.Categorical:
    """The splits of a log's rows: as they say, else as its folder does, else that of the study.

    What a format calls `train` for want of a word is of the folder's split, too.
    """
    other = file.get("split") or study["loss_split"]
    columns = study["source"].get("columns", {})
    told = "split" in columns or isinstance(columns.get("loss"), dict)
    if split.isna().all() or ("split" in file and not told and (split == "train").all()):
        return constant(other, len(split))
    return split.astype("string").fillna(other) if split.isna().any() else split


def _with_whole_steps(dropped: pd.DataFrame) -> pd.DataFrame:
    """Dropped rows with the steps that a table of whole numbers can hold."""
    if dropped.empty or "step" not in dropped:
        return dropped
    steps = pd.to_numeric(dropped["step"], errors="coerce")
    return dropped.assign(step=steps.where((steps % 1 == 0) & (steps.abs() < MOST_EXACT)))


def _misread(reading: Reading, path: Path) -> str:
    """The first line of a log that cannot be read, with what stands there; nothing without one."""
    unread = reading.dropped["line"][reading.dropped["reason"].isin([NOT_PARSED, TWICE])]
    line, cell = reading.misread or (0, "")
    if len(unread) and not 0 < line < unread.iloc[0]:
        line, cell = int(unread.iloc[0]), ""
        if path.is_file() and b"\0" not in head_of(path, 1 << 12):
            cell = _quoted_line(path, set(unread.tolist()), line)
    return f"{line}: {cell}" if cell else ""


def _quoted_line(path: Path, unread: set[int], line: int) -> str:
    """A line of a text log, and how many there are of its shape where none of them can be read."""
    text = next((text.strip() for number, text, _ in text_lines(path) if number == line), "")
    if not text:
        return ""
    quoted = repr(text[:QUOTED])
    if len(unread) < 2:
        return quoted
    shape = _shape(text)
    alike = [number for number, other, _ in text_lines(path) if _shape(other.strip()) == shape]
    if len(alike) < 2 or not unread.issuperset(alike):
        return quoted
    return f"{quoted}; none of the {len(alike):,} lines like it, {shape[:QUOTED]!r}, can be read"


QUOTED: Final = 100
"""How much of a line is quoted."""
_NUMBERS: Final = re.compile(r"[+-]?\d(?:[\d.,_:/]*\d)?(?:[eE][+-]?\d+)?")


def _shape(text: str) -> str:
    """A line without its numbers."""
    return _NUMBERS.sub("#", text)


def _may_have_facts(run: str, rows_in: int) -> bool:
    """Whether facts may be asked of a run: it has a name and its log is not empty."""
    return run != NO_NAME and rows_in > 0


def _named(rows: pd.DataFrame, own: str) -> pd.DataFrame:
    """Rows with the run that each belongs to: its own in a file of several, else the file's."""
    if "run" not in rows:
        return rows.assign(run=constant(own, len(rows)))
    return rows.assign(run=rows["run"].astype("string").fillna(NO_NAME))


def constant(text: str, rows: int) -> pd.Categorical:
    """The same text on every row, held once."""
    return pd.Categorical.from_codes(np.zeros(rows, dtype=np.int8), categories=[text])


def _table(study: StudyDocument, file: LogFile, piece: int, root: Path) -> Ingested:
    """A table of finished runs or checkpoints; without a `run` column each row is its own run."""
    source, path = study["source"], root / file["path"]
    columns, factors = plain_columns(source["columns"])
    if isinstance(columns["loss"], dict):
        raise FloplineError(f"{study['file']}: source.columns.loss must be one column for a table.")
    raw, unparsed = read_table(path, source.get("format"))
    if raw.empty:
        raise FloplineError(f"{path} holds no row: give a header and at least one run.")
    mapped = column_map(raw, columns, path, "source.columns", source.get("decimal", "."))
    rows = scaled(mapped.rows, factors).assign(reason=mapped.fault)
    if "run" not in columns:
        # Named by line, so that adding a row at the end renames nothing.
        called = file.get("called", path.stem)
        rows["run"] = [f"{called}:{line}" for line in rows["line"]]
    if "split" not in columns:
        rows["split"] = study["loss_split"]
    rows["split"] = rows["split"].fillna(study["loss_split"])
    rows, converted = in_study_unit(rows, study, {}, file["path"])
    rows.loc[mapped.given["loss"].isna().to_numpy(), "reason"] = NO_LOSS
    rows.loc[rows["run"].isna(), "reason"] = NO_RUN
    rows["run"] = rows["run"].fillna(NO_NAME)
    _require_one_size(rows, path)
    _require_one_curve(rows[rows["reason"] == ""], raw, columns, path)
    unread = pd.DataFrame({"run": NO_NAME, "line": unparsed, "reason": NOT_PARSED})
    kept = rows[rows["reason"] == ""]
    dropped = pd.concat([_with_whole_steps(rows[rows["reason"] != ""]), unread])
    dropped = dropped.assign(source=file["path"])
    counts = pd.concat([kept["run"], dropped["run"]]).value_counts()
    runs = pd.DataFrame({"run": counts.index.astype("string"), "rows_in": counts.to_numpy()})
    facts = rows.groupby("run", sort=True).first().reset_index()
    runs = runs.merge(facts[[c for c in facts if c in FACTS]], on="run", how="left")
    first = rows[mapped.rounded].drop_duplicates("run").set_index("run")["line"]
    places = f"{file['path']}, line " + first.astype("string")
    runs["rounded"] = places.reindex(runs["run"]).to_numpy()
    if mapped.misread:
        line, cell = mapped.misread
        runs["misread"] = f"{file['path']}, line {line}: {cell}"
    runs = runs.assign(piece=piece, source=file["path"], sha256=file["sha256"], converted=converted)
    return Ingested(kept.assign(piece=piece), dropped, runs)


def _require_one_curve(
    rows: pd.DataFrame, raw: pd.DataFrame, columns: PlainMap, path: Path
) -> None:
    """Raise FloplineError where most steps of a run carry several losses: then it is several runs.

    The sentence offers the columns of `raw` that would tell these apart. Without such a column a
    few runs are left to cleaning, which sets them aside.
    """
    clock = next((name for name in ("step", "tokens", "flops") if name in rows), None)
    if clock is None:
        return
    rows = rows[(rows["loss"] > 0) & rows[clock].notna()]
    if rows.empty:
        return
    where = rows.groupby(["run", "split", clock], dropna=False)["loss"]
    apart = where.max() > where.min() * (1 + APART)
    several = apart.groupby("run").mean() > MOST
    if not several.any():
        return
    named = list(columns_in(columns["run"])) if "run" in columns else []
    keys = _keys(rows, raw, clock, {*column_names(columns), "line"})
    if not keys and several.mean() <= MOST:
        return
    run = several.idxmax()
    at = apart[apart & (apart.index.get_level_values("run") == run)].index[0]
    same = (rows["run"] == run) & (rows["split"] == at[1]) & (rows[clock] == at[2])
    pair = rows[same].sort_values("loss").iloc[[0, -1]].sort_values("line")
    lines, losses = pair["line"].tolist(), pair["loss"].tolist()
    mend = (
        f"name the column that does beside it, as `run: [{', '.join([*named, keys[0]])}]` in "
        f"source.columns (it could be {' or '.join(keys)})"
        if keys
        else "give each run a name of its own, or name the column that says of which data each "
        "loss is (source.columns.split)"
    )
    raise FloplineError(
        f"{path}, lines {lines[0]} and {lines[1]}: run '{run}' has the losses {losses[0]:.6g} and "
        f"{losses[1]:.6g} at one and the same {clock}, and several at most others, so that its "
        f"name does not tell runs apart: {mend}."
    )


def _keys(rows: pd.DataFrame, raw: pd.DataFrame, clock: str, mapped: AbstractSet[str]) -> list[str]:
    """The columns of `raw` that, beside the run, leave each step with one loss."""
    names = []
    for name in [str(c) for c in raw.columns if c not in mapped]:
        values = raw.loc[rows.index, name].astype("string").to_numpy()
        # A measure differs on nearly every row; what names runs comes again and again.
        if not 1 < len(set(values)) <= max(2, len(rows) // 3):
            continue
        where = rows.assign(_key=values).groupby(["run", "split", clock, "_key"], dropna=False)
        loss = where["loss"]
        if not (loss.max() > loss.min() * (1 + APART)).any():
            names.append(name)
    return names


def _require_one_size(rows: pd.DataFrame, path: Path) -> None:
    sizes = rows.groupby("run")["params"].agg(["min", "max", "nunique"])
    several = sizes[sizes["nunique"] > 1]
    if len(several):
        run, first = several.index[0], several.iloc[0]
        mine = rows[rows["run"] == run]
        one, other = (mine.loc[mine["params"] == first[end], "line"] for end in ("min", "max"))
        raise FloplineError(
            f"{path}: run '{run}' has {first['min']:g} params on line {one.iloc[0]} and "
            f"{first['max']:g} on line {other.iloc[0]}: give each run a name of its own "
            "(source.columns.run)."
        )
