"""What its rows tell of a run: its end, its doubts, its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline import flops as conventions
from flopline.clean.arrays import Floats, Ints, Names, Rows
from flopline.clean.lost_ends import going_on, standing_tokens
from flopline.clean.run_facts import RUN_FACTS
from flopline.clean.stitching import Overlap, Stitched
from flopline.numbers import count, humanise
from flopline.schema import conform
from flopline.study_document import StudyDocument

TALLY: Final = {
    "tokens": "float64",
    "flops": "float64",
    "loss": "float64",
    "lowest": "float64",
    "reached": "float64",
    "declared_per_token": "float64",
    "exact_per_token": "float64",
    "given_over_six_nd": "float64",
    "tokens_from": "string",
    "overlap": "string",
    "doubles": "string",
    "repeats": "string",
    "fall": "string",
    "not_finite": "string",
    "attempts": "string",
    "begun_anew": "string",
    "early_end": "string",
    "late": "string",
    "dropped_for": "string",
    "splits": "string",
    "begins": "string",
    "clock_reset": "string",
    "negative_lr": "string",
    "beyond_int64": "string",
    "spikes": "int64",
    "rows_kept": "int64",
    "rows_dropped": "int64",
}
"""`tokens`, `flops` and `loss` are those of the run's end, `lowest` its lowest loss and `reached`
its most tokens in any split. `overlap`, `doubles`, `fall`, `not_finite`, `attempts` and
`early_end` are sentences on a run that is to be set aside; `late`, `clock_reset`, `negative_lr`
and `beyond_int64` name the first row of that kind, `repeats` the step whose losses differ most,
`begun_anew` where attempts ended that were begun again from their first step.
`splits` are those that have a row, with a BETWEEN between them, and `begins` holds the first losses
of the study's split."""

BETWEEN: Final = "\n"

SHARD_RUNS: Final = RUN_FACTS | TALLY
"""One row per run, as clean_rows leaves it."""

INT64: Final = 2.0**63


@dataclass(frozen=True, slots=True)
class SortedRows:
    """The rows of whole runs in order of time, and what the row rules made of each.

    `given` are the rows as they were logged, `dropped` the table of those that a rule dropped. The
    others are places in `rows`: `kept` by run, split and clock, `spiked` those of spikes, `lost`
    those whose loss is NaN or infinite, `gone` those that were replaced or cannot be used though
    they were logged. `doubles` are by the number of the run; `facts` and `tokens_from` hold one
    value per run.
    """

    rows: Rows
    given: Rows
    kept: Ints
    lost: Ints
    spiked: Ints
    gone: Ints
    stitched: Stitched
    doubles: Mapping[int, Overlap]
    names: Names
    facts: conventions.FactArrays
    dropped: pd.DataFrame
    tokens_from: Sequence[str | None]


def tally(of: SortedRows, study: StudyDocument) -> pd.DataFrame:
    """The TALLY of every run in `of.names.runs`, from its rows."""
    rows, kept, names, dropped = of.rows, of.kept, of.names, of.dropped
    runs = len(names.runs)
    where = names.runs.get_indexer(pd.Index(dropped["run"].astype(object)))
    same = np.diff(rows.run[kept], prepend=-1) == 0
    same &= np.diff(rows.split[kept], prepend=-1) == 0
    tolerance = study["cleaning"]["overlap_tolerance"]
    per_token = conventions.flops_per_token(study["flops_convention"], of.facts)
    nothing = np.full(runs, np.nan)
    return conform(
        pd.DataFrame(
            {
                **_ends(rows, kept, names, study),
                "declared_per_token": nothing if per_token is None else per_token,
                "given_over_six_nd": _given_over_six_nd(of.given, of.facts, runs),
                "exact_per_token": conventions.exact_flops_per_token(of.facts),
                "tokens_from": list(of.tokens_from),
                "overlap": [
                    _disagreement(of.stitched.overlaps.get(i), tolerance) for i in range(runs)
                ],
                "doubles": [_double(of.doubles.get(i), tolerance) for i in range(runs)],
                "repeats": [_repeat(of.doubles.get(i)) for i in range(runs)],
                "attempts": _attempts(rows, kept, of.stitched.attempts, names),
                "begun_anew": [
                    " and ".join(f"{end:,.0f}" for end in of.stitched.begun_anew.get(i, [])) or None
                    for i in range(runs)
                ],
                "early_end": _first_of(
                    _ends_early(rows, kept, of.gone, names, study["loss_split"]),
                    going_on(rows, kept, dropped, names, study["loss_split"]),
                ),
                "late": _late(rows, np.flatnonzero(of.stitched.late), names),
                "fall": _first_of(
                    _falls(rows, kept, same, names), standing_tokens(rows, kept, same, names)
                ),
                "not_finite": _ends_not_finite(rows, kept, of.lost, names, study["loss_split"]),
                "dropped_for": _commonest(where, dropped["reason"], runs),
                "splits": _splits(rows, kept, names),
                "begins": _begins(rows, kept, names, study["loss_split"]),
                "clock_reset": _first(
                    rows, kept[same & (np.diff(rows.wall_s[kept], prepend=np.nan) < 0)], names
                ),
                "negative_lr": _first(rows, kept[rows.lr[kept] < 0], names),
                "beyond_int64": _first(of.given, _beyond_int64(of.given), names),
                "spikes": np.bincount(rows.run[of.spiked], minlength=runs),
                "rows_kept": np.bincount(rows.run[kept], minlength=runs),
                "rows_dropped": np.bincount(where[where >= 0], minlength=runs),
            }
        ),
        TALLY,
    )


def _ends(rows: Rows, kept: Ints, names: Names, study: StudyDocument) -> dict[str, Floats]:
    out = {
        name: np.full(len(names.runs), np.nan)
        for name in ("tokens", "flops", "loss", "lowest", "reached")
    }
    np.fmax.at(out["reached"], rows.run[kept], rows.tokens[kept])
    split = names.splits.get_indexer(pd.Index([study["loss_split"]]))[0]
    of_split = kept[rows.split[kept] == split] if split >= 0 else kept[:0]
    if not of_split.size:
        return out
    last = np.append(np.flatnonzero(np.diff(rows.run[of_split])), of_split.size - 1)
    first = np.append(0, last[:-1] + 1)
    run = rows.run[of_split[last]]
    for name in ("tokens", "flops", "loss"):
        out[name][run] = getattr(rows, name)[of_split[last]]
    out["lowest"][run] = np.minimum.reduceat(rows.loss[of_split], first)
    window = study["cleaning"]["final_window"]
    if window > 0:
        end = out["tokens"][rows.run[of_split]] * (1 - window)
        inside = rows.tokens[of_split] >= end
        total = np.add.reduceat(np.where(inside, rows.loss[of_split], 0.0), first)
        out["loss"][run] = total / np.add.reduceat(inside.astype(float), first)
    return out


def _given_over_six_nd(given: Rows, facts: conventions.FactArrays, runs: int) -> Floats:
    """The FLOPs of each run as a column says them over 6ND of its tokens, at its largest row."""
    out = np.full(runs, np.nan)
    both = np.flatnonzero(np.isfinite(given.flops) & (given.tokens > 0))
    both = both[np.argsort(given.tokens[both], kind="stable")]
    run = given.run[both]
    out[run] = given.flops[both] / (6.0 * facts["params"][run] * given.tokens[both])
    return out


def _splits(rows: Rows, kept: Ints, names: Names) -> list[str]:
    """The splits of each run of which rows are kept."""
    held: list[list[str]] = [[] for _ in names.runs]
    width = max(len(names.splits), 1)
    for pair in np.unique(rows.run[kept] * width + rows.split[kept]).tolist():
        held[pair // width].append(str(names.splits[pair % width]))
    return [BETWEEN.join(splits) for splits in held]


FIRST: Final = 5
"""Losses that two logs of one training share at least."""


def _begins(rows: Rows, kept: Ints, names: Names, loss_split: str) -> list[str | None]:
    """The first losses of each run, as it logs them."""
    out: list[str | None] = [None] * len(names.runs)
    split = names.splits.get_indexer(pd.Index([loss_split]))[0]
    mine = kept[rows.split[kept] == split]
    if not mine.size:
        return out
    starts = np.flatnonzero(np.diff(rows.run[mine], prepend=-1))
    ends = np.append(starts[1:], mine.size)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start >= FIRST:
            first = mine[start : start + FIRST]
            pairs = zip(rows.clock[first].tolist(), rows.loss[first].tolist(), strict=True)
            out[rows.run[mine[start]]] = " ".join(f"{clock:g}:{loss!r}" for clock, loss in pairs)
    return out


def _disagreement(overlap: Overlap | None, tolerance: float) -> str | None:
    if overlap is None or overlap.median <= np.log1p(tolerance):
        return None
    return (
        f"It was restarted and disagrees with itself: over {count(overlap.rows, 'step')} logged "
        f"twice its loss differs by {np.expm1(overlap.median):.1%} at the median, and most at "
        f"{overlap.at:,}, where it is {overlap.before:.6g} before the restart and "
        f"{overlap.after:.6g} after it (cleaning.overlap_tolerance is {tolerance:g})."
    )


def _double(overlap: Overlap | None, tolerance: float) -> str | None:
    if overlap is None or overlap.median <= np.log1p(tolerance):
        return None
    return (
        f"It says two things of {count(overlap.rows, 'step')} that stand there twice: its losses "
        f"differ by {np.expm1(overlap.median):.1%} at the median, and most at {overlap.at:,}, "
        f"where they are {overlap.before:.6g} and {overlap.after:.6g}, so that it may be several "
        "runs under one name or several splits in one column: name the column that tells them "
        "apart in source.columns, as `run` or as `split`; if they are of the batches of one step, "
        "log their mean (cleaning.overlap_tolerance is "
        f"{tolerance:g})."
    )


def _repeat(overlap: Overlap | None) -> str | None:
    """Where steps stand there twice and the losses differ most, however little."""
    if overlap is None or overlap.before == overlap.after:
        return None
    return f"{overlap.at:,}, {overlap.before:.6g} and {overlap.after:.6g}"


def _first_of(*doubts: list[str | None]) -> list[str | None]:
    """The first sentence on each run."""
    return [next((one for one in of_run if one), None) for of_run in zip(*doubts, strict=True)]


def _falls(rows: Rows, kept: Ints, same: Any, names: Names) -> list[str | None]:
    """The first place of each run where tokens go down although steps go up."""
    out: list[str | None] = [None] * len(names.runs)
    for at in np.flatnonzero(same & (np.diff(rows.tokens[kept], prepend=np.nan) < 0))[::-1]:
        row, before = kept[at], kept[at - 1]
        out[rows.run[row]] = (
            f"Its tokens go down, from {humanise(rows.tokens[before], 6)} to "
            f"{humanise(rows.tokens[row], 6)} at {_place(rows, row, names)}, so that they do not "
            "count what it was trained on: name the column that counts all tokens so far, or, if "
            "they are those of one step, take them out of source.columns and give `batch_tokens` "
            "in source.runs."
        )
    return out


def _ends_not_finite(
    rows: Rows, kept: Ints, lost: Ints, names: Names, loss_split: str
) -> list[str | None]:
    """A sentence on each run that ended in losses that are NaN or infinite.

    Of the loss that the study is about the last one decides; in another split all of them must
    stand at its end, since some trainers write NaN where they did not evaluate.

    Returns one sentence per run of `names`, None for the others.
    """
    out: list[str | None] = [None] * len(names.runs)
    both = np.concatenate([kept, lost])
    both = both[~np.isnan(rows.clock[both]) & np.isin(rows.run[both], rows.run[lost])]
    if not both.size:
        return out
    both = both[np.lexsort((both, rows.clock[both], rows.split[both], rows.run[both]))]
    starts = np.flatnonzero(np.diff(rows.run[both]) | np.diff(rows.split[both])) + 1
    for curve in np.split(both, starts):
        run, split = int(rows.run[curve[0]]), names.splits[rows.split[curve[0]]]
        finite = np.flatnonzero(np.isfinite(rows.loss[curve]))
        first = int(finite[-1]) + 1 if finite.size else 0
        pure = finite.size > 0 and first == finite.size
        if first == curve.size or not (pure or split == loss_split) or out[run]:
            continue
        row = curve[first]
        out[run] = (
            f"It diverged: its {split} loss is NaN or infinite from {_clock(rows, row)} "
            f"({_place(rows, row, names)}) to its end."
        )
    return out


def _attempts(
    rows: Rows, kept: Ints, attempts: Mapping[int, int], names: Names
) -> list[str | None]:
    """A sentence on each run whose log holds several runs from their first step to the last."""
    out: list[str | None] = [None] * len(names.runs)
    for run, number in attempts.items():
        end = kept[rows.run[kept] == run]
        last = int(end[np.argmax(rows.clock[end])]) if end.size else -1
        reached = f" ({_clock(rows, last)})" if end.size else ""
        out[run] = (
            f"Its log holds {number} attempts from the first step to the same last one{reached} or "
            f"beyond: these are {number} runs and no restarts, so put each into a file of its own, "
            "name the column that tells them apart (source.columns.run, several as a list), or say "
            "which phase of a text log counts (source.phase); if its steps begin anew in each "
            "epoch, name a column that counts on."
        )
    return out


def _ends_early(
    rows: Rows, kept: Ints, gone: Ints, names: Names, loss_split: str
) -> list[str | None]:
    """A sentence on each run whose last kept loss lies before one that it logged and lost.

    Returns one sentence per run of `names`, None for the others.
    """
    out: list[str | None] = [None] * len(names.runs)
    split = names.splits.get_indexer(pd.Index([loss_split]))[0]
    of_kept, of_gone = (part[rows.split[part] == split] for part in (kept, gone))
    if not of_gone.size:
        return out
    last = np.full(len(names.runs), np.nan)
    np.fmax.at(last, rows.run[of_kept], rows.clock[of_kept])
    beyond = of_gone[rows.clock[of_gone] > last[rows.run[of_gone]]]
    for run in np.unique(rows.run[beyond]).tolist():
        mine = beyond[rows.run[beyond] == run]
        far = int(mine[np.argmax(rows.clock[mine])])
        end = of_kept[rows.run[of_kept] == run]
        near = int(end[np.argmax(rows.clock[end])])
        out[run] = (
            f"It is unfinished: its last {loss_split} loss stands at {_clock(rows, near)}, before "
            f"{_clock(rows, far)}, which it had logged too ({_place(rows, far, names)}) and which "
            "does not count, since a restart went back behind it or the row cannot be used."
        )
    return out


def _late(rows: Rows, late: Ints, names: Names) -> list[str | None]:
    """For each run its first row that was logged after later steps, with both steps."""
    out: list[str | None] = [None] * len(names.runs)
    late_runs, at = np.unique(rows.run[late], return_index=True)
    for run, row in zip(late_runs.tolist(), late[at].tolist(), strict=True):
        earlier = np.flatnonzero((rows.run[:row] == run) & (rows.split[:row] == rows.split[row]))
        top = int(earlier[np.nanargmax(rows.clock[earlier])])
        out[run] = f"{_place(rows, row, names)} ({_clock(rows, row)} after {_clock(rows, top)})"
    return out


def _beyond_int64(rows: Rows) -> Ints:
    """Rows with a count of 2^63 or more; FLOPs are that large as a rule and are left out."""
    return np.flatnonzero((rows.step >= INT64) | (rows.tokens >= INT64))


def _first(rows: Rows, hits: Ints, names: Names) -> list[str | None]:
    """For each run its first hit as `file, line n`."""
    out: list[str | None] = [None] * len(names.runs)
    hit_runs, at = np.unique(rows.run[hits], return_index=True)
    for run, row in zip(hit_runs.tolist(), hits[at].tolist(), strict=True):
        out[run] = _place(rows, row, names)
    return out


def _place(rows: Rows, row: int, names: Names) -> str:
    return f"{names.files[rows.file[row]]}, line {rows.line[row]}"


def _clock(rows: Rows, row: int) -> str:
    """The step of a row, or its tokens where no step is logged."""
    if np.isnan(rows.step[row]):
        return f"{humanise(rows.tokens[row], 6)} tokens"
    return f"step {rows.step[row]:,.0f}"


def _commonest(where: Ints, reasons: pd.Series, runs: int) -> list[str | None]:
    """The reason for which most rows of each run were dropped."""
    out: list[str | None] = [None] * runs
    counts = pd.DataFrame({"run": where, "reason": reasons.astype(object)}).value_counts()
    table = counts.reset_index().sort_values(["count", "reason"], ascending=[True, False])
    for run, reason in zip(table["run"].tolist(), table["reason"].tolist(), strict=True):
        if run >= 0:
            out[run] = reason
    return out
