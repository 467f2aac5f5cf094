"""The files of a figure as they were when all that it shows was the same."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from solved import solves_of

from flopline.atomic import replacing
from flopline.figures.first_target import FirstTarget
from flopline.figures.found_fonts import fonts_found
from flopline.figures.seen_parts import SeenParts
from flopline.hashing import hash_file
from flopline.results import View

SPARE = 1 << 19
"""Bytes kept of what a figure was before."""
CURVES = "curves"
"""The folder of the cleaned curves, which are read by their paths."""


def draw_or_find(
    job, study: Mapping[str, Any], view: FirstTarget | None, draw: Callable[[View], None]
) -> None:
    """Have a job's outputs written by `draw`, unless it drew the same before.

    `study` and `view` are what it sees of the study and of its inputs, and nothing else; `draw` is
    given a view that notes which parts it reads, and reads its inputs by that alone, but for the
    cleaned curves.
    """
    solves = solves_of(job, *fonts_found(), spare=SPARE)
    files = {name: Path(path) for name, path in job.output.items()}
    params = {name: value for name, value in job.params.items() if name != "study"}
    curves = [hash_file(path) for path in map(Path, job.input) if path.parent.name == CURVES]
    about = [
        dict(study),
        params,
        dict(job.wildcards.items()),
        [*files],
        [*map(str, job.input)],
        curves,
    ]
    parts = [(path, part) for path, part in solves.noted(about) or ()]
    asked = [about, parts, SeenParts(view).digests(parts)]
    if (kept := solves.known(asked)) is not None:
        for name, path in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as written:
                written.write_bytes(zlib.decompress(kept[name]))
    else:
        seen = SeenParts(view)
        draw(seen)
        parts = list(seen.parts)
        asked = [about, parts, seen.digests(parts)]
        solves.of(asked, lambda: {n: _packed(n, path.read_bytes()) for n, path in files.items()})
    solves.note(about, parts)
    solves.write()


def _packed(name: str, content: bytes) -> Any:
    """An SVG takes a quarter of its room then, in no time; PNG and PDF are packed already."""
    return np.frombuffer(zlib.compress(content, 0 if name in ("png", "pdf") else 1), np.uint8)
