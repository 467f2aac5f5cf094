"""Files beside logs that say something of their runs, such as the config that Hydra writes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopline.drafting.columns import fact_columns
from flopline.errors import FloplineError
from flopline.facts import read_sidecar
from flopline.logs.json_document import flattened
from flopline.sources import run_name
from flopline.written_numbers import parse_number

NAMES: Final = (
    ".hydra/config.yaml",
    "hparams.yaml",
    "config.yaml",
    "config.yml",
    "config.json",
    "config.toml",
    "result.json",
    "results.json",
    "params.json",
    "hparams.json",
    "args.json",
    "run_config.json",
)
"""What trainers and launchers write beside the logs of a run."""

PLACES: Final = ("", "{stem}/", "../")
"""Where they stand: beside the log, in the folder that is the log, or one folder up."""

WANTED: Final = (
    "params",
    "params_total",
    "params_nonembedding",
    "batch_tokens",
    "horizon_tokens",
    "horizon_steps",
    "flops_per_token",
)
"""Facts that are taken from them without being asked; all others are easily another thing."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file that every log has beside it: `path` as the study names it, and a map of its keys."""

    path: str
    columns: dict[str, str]


def sidecar_for(paths: Sequence[str], root: Path) -> Sidecar | None:
    """The file beside all logs that says most of their runs; None where none says anything."""
    sidecars = []
    for place in PLACES:
        for name in NAMES:
            columns = _columns([_beside(path, place + name, root) for path in paths])
            if columns:
                sidecars.append(Sidecar(place + name, columns))
    return max(sidecars, key=lambda one: ("params" in one.columns, len(one.columns)), default=None)


def partly_beside(paths: Sequence[str], root: Path) -> str:
    """What a file says that stands beside some of the logs alone, in a sentence; else nothing."""
    for name in NAMES:
        files = [_beside(path, name, root) for path in paths]
        there = [file for file in files if file.is_file()]
        columns = _columns(there) if len(there) < len(files) else {}
        if columns:
            keys = ", ".join(f"{ours} ({key})" for ours, key in columns.items())
            return (
                f"{name} beside {len(there)} of {len(files)} logs says {keys}: with one beside "
                "every log, source.runs.sidecar reads it."
            )
    return ""


def facts_of(content: Any) -> dict[str, str]:
    """Which of our facts stand under which key in a config; only numbers count."""
    flat = flattened(content)
    numbers = [
        name
        for name, value in flat.items()
        if not isinstance(value, bool) and parse_number(value) > 0
    ]
    columns = fact_columns([name for name in numbers if name.rpartition(".")[2].lower() != "n"])
    return {ours: key for ours, key in columns.items() if ours in WANTED and isinstance(key, str)}


def _beside(path: str, name: str, root: Path) -> Path:
    placed = name.replace("{stem}", run_name(path))
    return root / os.path.normpath(Path(path).parent / placed)


def _columns(files: Sequence[Path]) -> dict[str, str]:
    """What all of these files say; nothing where one is not there."""
    if not files or not all(file.is_file() for file in files):
        return {}
    common: Mapping[str, str] | None = None
    for file in dict.fromkeys(files):
        try:
            columns = facts_of(read_sidecar(file))
        except (FloplineError, UnicodeDecodeError):
            return {}
        common = columns if common is None else dict(common.items() & columns.items())
    # One file for several logs says nothing of a single run.
    return dict(common or {}) if len(set(files)) == len(files) else {}
