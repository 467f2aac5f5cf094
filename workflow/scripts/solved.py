"""What a job solved before, so that it need not again: see flopline/remembered.py."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flopline.remembered import Solves, machine

FOLDER: Final = ".solves"
"""Below the results of a study; whoever removes it has everything solved anew."""


def solves_of(job) -> Solves:
    """What the last run of a job left, if its code was that of this one and the machine is."""
    log = Path(job.log[0])
    return Solves.read(log.parent.parent / FOLDER / log.stem, [job.params.code, *machine()])
