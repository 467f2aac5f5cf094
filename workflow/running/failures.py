"""Why jobs failed, in a sentence each: their own, or what is known of those that left none."""

from __future__ import annotations

import os
import re
from errno import ENOSPC
from pathlib import Path
from typing import Final

TAIL: Final = 12
"""Lines of a log that are shown when its stage failed."""

_ENDED: Final = re.compile(r"died with <Signals\.(\w+): \d+>|non-zero exit status (\d+)")
"""How a command ended, in the words of Python's CalledProcessError: no field holds it."""

_NO_ROOM: Final = re.compile(rf"{re.escape(os.strerror(ENOSPC))}(?:: '[^']+')?(?=\s|$)")
"""A full disk, in the words of the system, with the file that Python names."""


def failure(name: str, log: Path, reason: str) -> str:
    """One sentence of why a stage failed; with the end of its log where that holds more.

    `reason` is the message of the exception that Snakemake got for it, empty for none.
    """
    wrote = lines_of(log)
    sentence = "\n".join(lines_of(log.with_suffix(".error")))
    if sentence and wrote in ([], sentence.splitlines()):
        return sentence
    if not sentence:
        ended = _ENDED.search(reason)
        by, status = (ended[1] or "", int(ended[2] or 0)) if ended else ("", 0)
        if by == "SIGINT" or status == 130:
            return f"{name} was interrupted."
        sentence = f"{name} {_end(by, status)}."
    tail = [f"    {line}" for line in wrote[-TAIL:] or ["(it wrote nothing)"]]
    return "\n".join([sentence, f"  The end of {log}:", *tail])


def full_disk(message: str) -> str:
    """One sentence for a message, or a traceback, of a full disk; empty for any other."""
    full = _NO_ROOM.search(message)
    return f"flopline: {full[0]}: make room and start again." if full else ""


def ended_jobs(logs: Path, since: float) -> list[str]:
    """One sentence for every job that Slurm ended, from the logs below `logs`.

    Logs that were last written before `since` (seconds since 1970) are of earlier runs. A job that
    was cancelled, ran out of time or memory or lost its node leaves no sentence: slurmstepd writes
    into its log why it was ended.
    """
    sentences = []
    for log in sorted(logs.rglob("*.log")):
        if log.stat().st_mtime < since:
            continue
        reasons = [line for line in lines_of(log) if line.startswith("slurmstepd")]
        if reasons:
            reason = reasons[0].rpartition("error: ")[2].strip("* ")
            sentences.append(f"Slurm ended a job: {reason}; more is in {log}.")
    return sentences


def lines_of(file: Path) -> list[str]:
    """The lines of a file; none of one that is not there."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _end(by: str, status: int) -> str:
    """How a job ended that left no sentence, by a signal or a status, and what to do."""
    if by or status > 128:
        return (
            f"was killed ({by or f'signal {status - 128}'}): if not by you, the machine may have "
            "run out of memory; free some, or use fewer --cores, and start again: it goes on from "
            "here"
        )
    how = f"ended with status {status}" if status else "ended"
    return f"{how} and gave no reason: start again, and report it if that does not help"
