"""Runs of a tracker as plain files: a history of JSON lines each, and a table of all runs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.fetching.credentials import is_credential
from flopline.fetching.snapshots import LOGS

RUN_TABLE: Final = "runs.csv"
LONGEST_TEXT: Final = 1_000
"""Letters of a text in a config or a summary beyond which it is left out."""
ENDED: Final = ("finished", "crashed", "failed", "killed", "ended")
"""States in which a run logs nothing more."""

_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How trackers write in JSON what is no number of it."""
_EXACT: Final = 2.0**53
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(slots=True)
class TrackedRun:
    """A run of a tracker: what it is called and what is known of it as a whole."""

    id: str
    name: str
    state: str
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class LeftOut:
    """What was not taken along, by why; its sentences name keys, never values."""

    credentials: set[str] = field(default_factory=set)
    long: set[str] = field(default_factory=set)
    media: set[str] = field(default_factory=set)

    def sentences(self) -> list[str]:
        """One for each reason."""
        reasons = {
            "they look like credentials": self.credentials,
            f"they are texts of more than {LONGEST_TEXT:,} letters": self.long,
            "they are media, tables or histograms": self.media,
        }
        return [
            f"Left out, since {why}: {', '.join(sorted(keys)[:5])}{', ...' * (len(keys) > 5)}."
            for why, keys in reasons.items()
            if keys
        ]


def flat(content: Mapping[str, Any], left: LeftOut, begin: str = "") -> dict[str, Any]:
    """Nested values by dotted names: numbers, truth values and short texts, lists as JSON."""
    out: dict[str, Any] = {}
    for key in sorted(content, key=str):
        name, value = f"{begin}{key}", content[key]
        if isinstance(value, Mapping):
            if "_type" in value:
                left.media.add(name)
            else:
                out |= flat(value, left, f"{name}.")
            continue
        value = plain(value)
        if isinstance(value, list | tuple):
            value = json.dumps(value, default=str, sort_keys=True)
        elif not isinstance(value, str | int | float | bool | None):
            value = str(value)
        if is_credential(name, value):
            left.credentials.add(name)
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            left.long.add(name)
        elif value is not None:
            out[name] = value
    return out


def plain(value: Any) -> Any:
    """A value as every way to it gives it: NaN as a number, whole numbers without a point."""
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def write_history(
    place: Path, run_id: str, rows: Iterable[Mapping[str, Any]], left: LeftOut
) -> int:
    """Write a run's logged rows as JSON lines; returns how many there are."""
    path = place / log_of(run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            values = flat(row, left)
            if values:
                stream.write(json.dumps(values, ensure_ascii=False, sort_keys=True) + "\n")
                number += 1
    return number


def log_of(run_id: str) -> str:
    """The path of a run's history within a snapshot, by its id, which outlasts its name."""
    return f"{LOGS}/{_UNSAFE.sub('-', run_id)}.jsonl"


def write_run_table(place: Path, runs: Sequence[TrackedRun], left: LeftOut) -> None:
    """Write a row per run: its name, log, id and state, its config and its summary.

    Runs of one name are told apart by their id. Raises FloplineError where two ids make one file.
    """
    logs = Counter(log_of(run.id) for run in runs)
    twice = [log for log, number in logs.items() if number > 1]
    if twice:
        raise FloplineError(
            f"{logs[twice[0]]} runs would be written to {twice[0]}: rename all but one of them."
        )
    names = Counter(run.name or run.id for run in runs)
    rows = []
    for run in sorted(runs, key=lambda run: run.id):
        name = run.name or run.id
        own = {
            "run": name if names[name] == 1 else f"{name} ({run.id})",
            "log": log_of(run.id),
            "id": run.id,
            "state": run.state,
        }
        config, summary = (flat(part, left) for part in (run.config, run.summary))
        rows.append(
            own
            | {f"config.{key}": value for key, value in config.items()}
            | {f"summary.{key}": value for key, value in summary.items()}
        )
    first = ["run", "log", "id", "state"]
    columns = [*first, *sorted({key for row in rows for key in row} - set(first))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_cell(row.get(column)) for column in columns] for row in rows])
    (place / RUN_TABLE).write_text(out.getvalue(), encoding="utf-8")


def still_running(runs: Sequence[TrackedRun]) -> list[str]:
    """A sentence where runs have not ended, which will give other bytes later."""
    running = sorted(run.name or run.id for run in runs if run.state not in ENDED)
    if not running:
        return []
    return [
        f"Not ended yet, of {len(runs)} runs: {', '.join(running[:5])}"
        f"{', ...' * (len(running) > 5)}; fetch again when they have."
    ]


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
