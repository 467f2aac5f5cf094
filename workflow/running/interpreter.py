"""The Python that Snakemake starts its jobs with."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from running import job_server


def in_a_shell(python: str) -> str:
    """The path of a Python as a shell takes it, since Snakemake writes it into a command as it is.

    What is more than a path, as one with arguments, stays.
    """
    return shlex.quote(python) if Path(python).is_file() else python


def prepare(python: str) -> None:
    """Have the process that `forked` needs load what all jobs do, where it is sure to be needed."""
    words = shlex.split(python)
    if len(words) == 1 and job_server.works_here():
        job_server.prepare(words[0])


def forked(python: str, packages: Collection[str], modules: Collection[str]) -> str:
    """What starts jobs here as this Python does, given as a shell takes it, by forks.

    Jobs find `modules` of ours loaded, and most of what they use of `packages`.
    What is more than a path, as one with arguments, stays, and so does any where forks cannot be.
    """
    words = shlex.split(python)
    if len(words) > 1 or not job_server.works_here():
        return python
    name = job_server.start_prepared(words[0], packages, modules)
    return job_server.command(name, words[0])
