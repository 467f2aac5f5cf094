"""Whether jobs are sure to run, known before Snakemake has planned them.

The report depends on the whole study, so that another study than that of the last finished run is
told by reading one note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flopline.atomic import write_note

NOTE: Final = ".study"
"""Below the results of a study: digests of what the last finished run was of."""
TABLES: Final = frozenset(
    {"source", "cleaning", "exclude", "held_out", "families", "file", "loss_split", "loss_unit"}
    | {"params_convention", "flops_convention", "name"}
)
"""The parts of a study by which its runs are read and cleaned."""
PLAIN: Final = frozenset(
    {"--cores", "-c", "--jobs", "-j", "--config", "-C", "--quiet", "-q", "all"}
)
"""Arguments with which Snakemake makes all that there is to make."""


def is_sure_to_run(results: Path, study: Mapping[str, Any], arguments: Sequence[str]) -> bool:
    """Whether a run by these arguments will have jobs, and not a stage that makes tables alone.

    Where that cannot be told it is False.
    """
    if not all(word in PLAIN or word.isdecimal() or "=" in word for word in arguments):
        return False
    with suppress(OSError, ValueError):  # no note, or none of ours
        tables, others = (results / NOTE).read_text(encoding="ascii").split()
        now = _digests(study)
        return tables == now[0] and others != now[1] and (results / "report.html").is_file()
    return False


def note_finished(results: Path, study: Mapping[str, Any]) -> None:
    """Note of which study a finished run was."""
    with suppress(OSError):
        write_note(results / NOTE, " ".join(_digests(study)))


def _digests(study: Mapping[str, Any]) -> list[str]:
    parts: list[dict[str, Any]] = [
        {name: value for name, value in study.items() if (name in TABLES) == of_tables}
        for of_tables in (True, False)
    ]
    return [
        hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()
        for part in parts
    ]
