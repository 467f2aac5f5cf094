"""Sealed forecasts held against the runs once they are there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.errors import FloplineError
from flopline.forecast.one_run import SCORES
from flopline.numbers import count, significant
from flopline.schema import HELD_OUT, KEPT, LEVELS
from flopline.sealed.document import COMPARED, Sealed, SealedRun, run_digests

SCORED: Final = "scored"
"""The status of a forecast that counts; any other says in words why it does not."""
SAME_PERCENT: Final = 2.0
"""How far N and D of a run may lie from those forecast: batches and shapes are rounded."""
NAMED: Final = 3
"""Runs that a sentence names at most."""


def judged(
    sealed: Sequence[Sealed], runs: pd.DataFrame, holds: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """One row for each forecast: what was predicted, what was seen, SCORES, and its `status`.

    `runs` have columns run and loss, and where they are known params, tokens, status and reason;
    `holds` is what the study says of its loss now (document.holds_of). Of several forecasts of one
    run the first sealed counts.
    """
    known = runs.drop_duplicates("run").set_index("run")
    rows, before = [], set()
    for file in sorted(sealed, key=lambda file: (file.date, file.path)):
        for item in file.sealed_runs:
            seen = known.loc[item.run.name] if item.run.name in known.index else None
            status = _status(item, file, seen, holds or file.holds)
            if status == SCORED and item.run.name in before:
                status = "sealed before, in a file that counts"
            before |= {item.run.name} if status == SCORED else set()
            rows.append(_row(file, item, seen, status))
    return pd.DataFrame(rows)


def runs_forecast(
    runs: pd.DataFrame, sealed: Sequence[Sealed], path: str
) -> tuple[pd.DataFrame, list[str]]:
    """The table `runs` of evidence.results_table under the names that `sealed` has, and notes.

    A note tells of each name that is one of these without the blanks around it. Raises
    FloplineError, naming the row of the table `path`, for a run that no file forecasts.
    """
    names = list(dict.fromkeys(item.run.name for file in sealed for item in file.sealed_runs))
    called, notes = [], []
    for line, run in zip(runs["line"], runs["run"], strict=True):
        name = run if run in names else run.strip()
        if name not in names:
            files = " or ".join(Path(file.path).name for file in sealed)
            raise FloplineError(
                f"row {line} of {path}: {run!r} is no run of {files}; it holds: "
                f"{', '.join(names)}. Write the name as it was forecast, or take the row out."
            )
        if name in called:
            raise FloplineError(f"{path} has the run '{name}' twice: keep one of its rows.")
        if name != run:
            notes.append(f"row {line} of {path}: {run!r} was read as the run '{name}'.")
        called.append(name)
    return runs.assign(run=called), notes


def pooled(table: pd.DataFrame) -> str:
    """A line on all forecasts of `judged` that count."""
    scored = table[table["status"] == SCORED]
    if scored.empty:
        return "No forecast can be scored yet."
    inside = ", ".join(
        f"{int(scored[f'inside{level}'].sum())} of {len(scored)} inside {level} %"
        for level in LEVELS
    )
    error, crps = scored["error_percent"], scored["crps_percent"]
    return (
        f"{count(len(scored), 'forecast')}: {inside}; error {_signed(error.mean())} % on average, "
        f"{significant(error.abs().mean(), 2)} % in size; CRPS {significant(crps.mean(), 2)} %, "
        f"95 % interval score {significant(scored['interval_score_percent'].mean(), 2)} %."
    )


def changed_inputs(sealed: Sealed, runs: pd.DataFrame) -> str:
    """A sentence on whether the runs that a file rests on are still the same; `runs` as RUNS.

    Runs that came later are no change.
    """
    now = run_digests(runs)
    gone = [name for name in sealed.runs if name not in now]
    changed = [name for name, digest in sealed.runs.items() if now.get(name, digest) != digest]
    if not gone and not changed:
        return f"The {count(len(sealed.runs), 'run')} it rests on are as they were."
    parts = [
        f"{count(len(names), 'run')} {what} since ({_few(names)})"
        for names, what in ((changed, "changed"), (gone, "gone"))
        if names
    ]
    return f"Of the {count(len(sealed.runs), 'run')} it rests on, {' and '.join(parts)}."


def _row(file: Sealed, item: SealedRun, seen: pd.Series | None, status: str) -> dict[str, Any]:
    loss = item.forecast.loss()
    score = dict.fromkeys(SCORES, math.nan)
    number = math.nan if seen is None else float(seen["loss"])
    if status == SCORED or status.startswith("part of"):
        score = item.forecast.scored(number)
    return {
        "file": file.path,
        "date": file.date,
        "run": item.run.name,
        "family": item.run.family,
        "line": item.forecast.line,
        "params": item.run.params,
        "tokens": item.run.tokens,
        "flops": item.forecast.flops,
        "reach": item.forecast.reach,
        "predicted": loss.point,
        **{f"{end}{n}": getattr(loss, f"{end}{n}") for n in LEVELS for end in ("lo", "hi")},
        "seen": number,
        **score,
        "status": status,
    }


def _status(item: SealedRun, file: Sealed, seen: pd.Series | None, holds: Mapping[str, Any]) -> str:
    if seen is None:
        return "not there yet"
    state = seen.get("status", KEPT)
    if state not in (KEPT, HELD_OUT):
        return f"set aside: {seen.get('reason', '')}"
    if not (math.isfinite(seen["loss"]) and seen["loss"] > 0):
        return "its loss is no positive number"
    if item.run.name in file.runs:
        return "part of the fit, so it is no forecast"
    other = [key for key in COMPARED if holds.get(key) != file.holds.get(key)]
    if other:
        words = [f"{key} {file.holds.get(key)}" for key in other]
        return f"forecast for {' and '.join(words)}, which the study no longer has"
    return next(_misfits(item, seen), SCORED)


def _misfits(item: SealedRun, seen: pd.Series) -> Iterator[str]:
    """What was trained otherwise than it was forecast."""
    for name in ("params", "tokens"):
        value = seen.get(name, math.nan)
        planned = getattr(item.run, name)
        if math.isfinite(value) and abs(value / planned - 1) > SAME_PERCENT / 100:
            yield f"trained with {value:.4g} {name}, forecast for {planned:.4g}"


def _signed(percent: float) -> str:
    return f"{'+' if percent > 0 else ''}{significant(percent, 2)}"


def _few(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])
