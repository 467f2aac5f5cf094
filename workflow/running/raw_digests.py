"""Digests of raw files, by which a job knows that it read what its run was planned on."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.sources import LogFile, parts_of

CLOCKS_DIFFER_S: Final = 60.0
"""By how much the clock of a file server may be ahead of that of a job."""


def log_digest(path: Path, of_file: Callable[[Path], str] = hash_file) -> str:
    """sha256 of a log in hex: of its file, or of the digests of all files of a folder."""
    digests = [of_file(part) for part in parts_of(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def demand_unchanged(files: Sequence[LogFile], root: Path) -> None:
    """Stop a job whose files are no longer those that the run was planned on, or from the future.

    `files` are {path, sha256, sidecar?, sidecar_sha256?} with paths below `root`; those without
    a digest, which are simulated, are not asked. Raises FloplineError naming the file.
    """
    planned = [(file["path"], file["sha256"]) for file in files]
    planned += [(f["sidecar"], f["sidecar_sha256"]) for f in files if "sidecar" in f]
    for path, digest in planned:
        if digest is None:
            continue
        if log_digest(root / path) != digest:
            raise FloplineError(
                f"{path} changed while the run was at work, as a log that is still being written "
                "does: start again, or work on a copy of it."
            )
        # Snakemake would say so at some length, and only when the job has done its work.
        if (root / path).stat().st_mtime > time.time() + CLOCKS_DIFFER_S:
            folder = shlex.quote(str(Path(path).parent))
            raise FloplineError(
                f"{path} has a time stamp in the future, as after a clock was set back: bring it "
                f"to now with `find {folder} -newermt now -exec touch {{}} +` and start again."
            )
