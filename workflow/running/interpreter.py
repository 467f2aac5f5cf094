"""The Python that Snakemake starts its jobs with."""

from __future__ import annotations

import shlex
from pathlib import Path


def in_a_shell(python: str) -> str:
    """The path of a Python as a shell takes it, since Snakemake writes it into a command as it is.

    What is more than a path, as one with arguments, stays.
    """
    return shlex.quote(python) if Path(python).is_file() else python
