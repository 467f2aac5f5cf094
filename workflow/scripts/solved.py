"""What a job solved before, so that it need not again: see flopline/remembered.py."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flopline.remembered import SPARE, Solves, machine

FOLDER: Final = ".solves"
"""Below the results of a study; whoever removes it has everything solved anew."""


def solves_of(job, *more: str, spare: int = SPARE) -> Solves:
    """What the last runs of a job left, if code, machine and what `more` it hangs on are the same.

    `spare` are bytes kept besides what the last run used.
    """
    log = Path(job.log[0])
    salt = [job.params.code, *machine(), *more]
    return Solves.read(log.parent.parent / FOLDER / log.stem, salt, spare)
