"""Row rules: raw rows of whole runs become clean curves, dropped rows and one line per run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import flops as conventions
from flopline.clean.arrays import (
    Bools,
    Ints,
    Names,
    Rows,
    curve_table,
    dropped_table,
    in_order_of_time,
    is_integer,
    names_of,
    rows_of,
)
from flopline.clean.reasons import (
    DUPLICATE,
    DUPLICATE_FILE,
    NO_STEP,
    NO_TOKENS,
    NOT_FINITE,
    NOT_POSITIVE,
    OUT_OF_PLACE,
    SPIKE,
    SUPERSEDED,
)
from flopline.clean.spikes import spikes
from flopline.clean.stitching import Stitched, overlaps_of, stitch
from flopline.clean.tally import SortedRows, tally
from flopline.ingesting import Ingested
from flopline.schema import DROPPED, conform
from flopline.study_document import StudyDocument

KEEP: Final = ""
_CODES: Final = (
    KEEP,
    NO_TOKENS,
    NO_STEP,
    NOT_POSITIVE,
    NOT_FINITE,
    SUPERSEDED,
    DUPLICATE_FILE,
    DUPLICATE,
    OUT_OF_PLACE,
    SPIKE,
)

FITS: Final = 0.1
"""A late row is in its place where its loss lies at most this share beyond both neighbours."""

FIRST_FITS: Final = 0.02
"""One that would come first is where its loss lies at most this share below the next."""


@dataclass(frozen=True)
class CleanRows:
    """Clean curves and dropped rows, and for each run what its rows tell (tally.TALLY)."""

    curves: pd.DataFrame
    dropped: pd.DataFrame
    runs: pd.DataFrame


def clean_rows(raw: Ingested, runs: pd.DataFrame, study: StudyDocument) -> CleanRows:
    """Apply every row rule to the rows of whole runs.

    `runs` has one row per run of `raw`, with its facts (facts.with_facts); `study` has the keys
    source, loss_split, flops_convention and cleaning. Kept rows come by run, split and step.
    """
    options = study["cleaning"]
    raw_runs = raw.runs.reset_index(drop=True)
    names = names_of(raw_runs, raw.curves, runs)
    facts = {n: runs[n].to_numpy(dtype=float, na_value=np.nan) for n in conventions.NEEDS}
    given = rows_of(raw.curves, raw_runs, names)
    rows, tokens_from = _with_tokens(given, facts, study["flops_convention"])
    rows = _with_flops(rows, facts, study["flops_convention"])
    rows = in_order_of_time(rows, names, study["source"]["kind"])
    reason = _faults(rows, facts, names, study["source"]["kind"] == "logs")
    # A restart is told by rows that have a clock, whatever their loss.
    clockless = np.isin(reason, [_code(DUPLICATE_FILE), _code(NO_STEP)])
    clock = np.where(clockless, np.nan, rows.clock)
    usable = np.where(reason == 0, rows.loss, np.nan)
    stitched = stitch(rows.run, rows.split, rows.place, rows.line, clock, usable)
    reason[stitched.superseded] = _code(SUPERSEDED)
    kept = _by_curve(rows, reason)
    twice = kept[1:][_same_curve(rows, kept) & (np.diff(rows.clock[kept]) == 0)]
    reason[twice] = _code(DUPLICATE)
    doubles = overlaps_of(rows.run, kept, np.isin(kept, twice), rows.clock, rows.loss)
    kept = _by_curve(rows, reason)
    reason[_out_of_place(rows, kept, stitched.late)] = _code(OUT_OF_PLACE)
    kept = _by_curve(rows, reason)
    segment = _segments(rows, kept, stitched)
    spiked = _spiked(rows, kept, options["spike_threshold"])
    if options["spikes"] == "drop":
        reason[spiked] = _code(SPIKE)
        kept = _by_curve(rows, reason)
    unusable = [_code(r) for r in (SUPERSEDED, NO_TOKENS, NOT_POSITIVE)]
    sorted_rows = SortedRows(
        rows=rows,
        given=given,
        kept=kept,
        lost=np.flatnonzero(reason == _code(NOT_FINITE)),
        spiked=spiked,
        gone=np.flatnonzero(np.isin(reason, unusable)),
        stitched=stitched,
        doubles=doubles,
        names=names,
        facts=facts,
        dropped=_all_dropped(raw.dropped, rows, reason, names),
        tokens_from=tokens_from,
    )
    summary = tally(sorted_rows, study)
    summary.index = runs.index
    return CleanRows(
        curve_table(rows, kept, segment, names),
        sorted_rows.dropped,
        pd.concat([runs, summary], axis=1),
    )


def _code(reason: str) -> int:
    return _CODES.index(reason)


def _with_tokens(
    rows: Rows, facts: conventions.FactArrays, convention: str
) -> tuple[Rows, list[str | None]]:
    """Rows with tokens, and for each run from what they follow where they were not given."""
    tokens = rows.tokens.copy()
    origin: list[str | None] = [None] * len(facts["params"])
    ways = {"batch": rows.step * facts["batch_tokens"][rows.run]}
    if convention == "six_nd":
        ways["flops"] = rows.flops / (6.0 * facts["params"][rows.run])
    for way, values in ways.items():
        use = np.isnan(tokens) & ~np.isnan(values)
        tokens[use] = values[use]
        for code in np.unique(rows.run[use]).tolist():
            origin[code] = origin[code] or way
    clock = np.where(np.isnan(rows.clock), tokens, rows.clock)
    return replace(rows, tokens=tokens, clock=clock), origin


def _with_flops(rows: Rows, facts: conventions.FactArrays, convention: str) -> Rows:
    per_token = conventions.flops_per_token(convention, facts)
    return rows if per_token is None else replace(rows, flops=per_token[rows.run] * rows.tokens)


def _faults(rows: Rows, facts: conventions.FactArrays, names: Names, needs_step: bool) -> Ints:
    """The code of the first fault of each row; later rules stand over earlier ones."""
    reason = np.zeros(len(rows.run), dtype=np.int64)
    reason[~np.isfinite(rows.tokens) & ~np.isnan(facts["params"][rows.run])] = _code(NO_TOKENS)
    no_step = np.isnan(rows.step) if needs_step else np.zeros(len(reason), dtype=bool)
    # A run that logs no step at all has its tokens for a clock; one that mixes both has none.
    stepped = np.isin(rows.run, rows.run[~np.isnan(rows.step)])
    no_step &= stepped | ~np.isfinite(rows.clock)
    reason[no_step | (~np.isnan(rows.step) & ~is_integer(rows.step))] = _code(NO_STEP)
    reason[~(rows.loss > 0)] = _code(NOT_POSITIVE)
    reason[~np.isfinite(rows.loss)] = _code(NOT_FINITE)
    reason[names.copies[rows.file]] = _code(DUPLICATE_FILE)
    return reason


def _by_curve(rows: Rows, reason: Ints) -> Ints:
    """The rows that are kept so far, by run and split, each curve in order of its clock."""
    kept = np.flatnonzero(reason == 0)
    key = rows.run[kept] * (int(rows.split.max(initial=0)) + 1) + rows.split[kept]
    if np.any(np.diff(key) < 0):
        order = np.argsort(key, kind="stable")
        kept, key = kept[order], key[order]
    if np.any((np.diff(key) == 0) & (np.diff(rows.clock[kept]) < 0)):
        kept = kept[np.lexsort((rows.clock[kept], key))]  # late rows in their place
    return kept


def _same_curve(rows: Rows, kept: Ints) -> Bools:
    same: Bools = (np.diff(rows.run[kept]) == 0) & (np.diff(rows.split[kept]) == 0)
    return same


def _out_of_place(rows: Rows, kept: Ints, late: Bools) -> Ints:
    """Of the late rows among `kept` those whose loss lies beyond both neighbours, or below the next
    where they would be the first: a value that was logged without its step."""
    at = np.flatnonzero(late[kept])
    if not at.size:
        return at
    same = _same_curve(rows, kept)
    before = np.append(False, same)[at]
    after = np.append(same, False)[at]
    loss = rows.loss[kept]
    low, high = loss[at - 1], loss[np.minimum(at + 1, kept.size - 1)]
    between = before & after
    least = np.where(between, np.minimum(low, high) * (1 - FITS), high * (1 - FIRST_FITS))
    most = np.where(between, np.maximum(low, high) * (1 + FITS), np.inf)
    return kept[at[after & ((loss[at] < least) | (loss[at] > most))]]


def _segments(rows: Rows, kept: Ints, stitched: Stitched) -> NDArray[np.int32]:
    """The restarts before each row; a late one belongs to the attempt of the row before it."""
    segment = stitched.segment.copy()
    same = _same_curve(rows, kept)
    for at in np.flatnonzero(stitched.late[kept]):
        if at and same[at - 1]:
            segment[kept[at]] = segment[kept[at - 1]]
        elif at < same.size and same[at]:
            segment[kept[at]] = segment[kept[at + 1]]
    return segment


def _spiked(rows: Rows, kept: Ints, threshold: float) -> Ints:
    starts = np.flatnonzero(~_same_curve(rows, kept)) + 1
    curves = np.split(kept, starts) if kept.size else []
    spike_rows = [curve[spikes(rows.loss[curve], threshold)] for curve in curves]
    return np.concatenate([np.zeros(0, dtype=np.int64), *spike_rows])


def _all_dropped(unread: pd.DataFrame, rows: Rows, reason: Ints, names: Names) -> pd.DataFrame:
    """Rows that could not be read and rows that a rule dropped, by run, file and line."""
    gone = np.flatnonzero(reason != 0)
    table = dropped_table(rows, gone, [_CODES[code] for code in reason[gone].tolist()], names)
    both = pd.concat([conform(unread, DROPPED), table], ignore_index=True)
    return both.sort_values(["run", "source", "line"], kind="stable", ignore_index=True)
