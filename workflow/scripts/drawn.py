"""The files of a figure as they were when all that it shows was the same."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from solved import solves_of

from flopline.atomic import replacing
from flopline.figures.first_target import FirstTarget, digests
from flopline.figures.found_fonts import fonts_found

SPARE = 1 << 19
"""Bytes kept of what a figure was before."""


def draw_or_find(
    job, study: Mapping[str, Any], view: FirstTarget | None, draw: Callable[[], None]
) -> None:
    """Have a job's outputs written by `draw`, unless it drew the same before.

    `study` and `view` are what it sees of the study and of its inputs, and nothing else.
    """
    solves = solves_of(job, *fonts_found(), spare=SPARE)
    files = {name: Path(path) for name, path in job.output.items()}
    params = {name: value for name, value in job.params.items() if name != "study"}
    seen = digests(map(Path, job.input), view)
    asked = [seen, dict(study), params, dict(job.wildcards.items()), list(files)]

    def drawn() -> dict[str, Any]:
        draw()
        return {name: _packed(name, path.read_bytes()) for name, path in files.items()}

    kept = solves.of(asked, drawn)
    if solves.found:
        for name, path in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                part.write_bytes(zlib.decompress(kept[name]))
    solves.write()


def _packed(name: str, content: bytes) -> Any:
    """An SVG takes a quarter of its room then, in no time; PNG and PDF are packed already."""
    return np.frombuffer(zlib.compress(content, 0 if name in ("png", "pdf") else 1), np.uint8)
