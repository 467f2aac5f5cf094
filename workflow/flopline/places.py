"""Where the files of the workflow lie: around the library in a checkout, in it once installed."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Final

LIBRARY: Final = Path(__file__).resolve().parent
"""The folder of the package `flopline`."""


IN_CHECKOUT: Final = (LIBRARY.parent / "rules").is_dir()
"""Whether the library lies in a checkout, where people run `make`; else it is installed."""
INSTALLED: Final = LIBRARY / "project"
"""Where an installed package has what a checkout has around its library."""
PROJECT: Final = LIBRARY.parents[1] if IN_CHECKOUT else INSTALLED
"""The folder that holds Snakefile, config, profiles, data and workflow."""
WORKFLOW: Final = PROJECT / "workflow"
"""The folder that holds rules, scripts, schemas and the templates of the report."""
SNAKEFILE: Final = PROJECT / "Snakefile"
SCHEMAS: Final = WORKFLOW / "schemas"


FETCHED: Final = "fetched.json"
"""The manifest of a folder of fetched logs."""


def command(folder: Path | None = None) -> str:
    """What a user types for `flopline` in a folder, this one by default: in a checkout make's."""
    made = PROJECT / ".venv/bin/flopline"
    if not IN_CHECKOUT or not made.is_file() or shutil.which("flopline"):
        return "flopline"
    return ".venv/bin/flopline" if _is_project(folder or Path.cwd()) else shlex.quote(str(made))


def to_run(study: str, act: str = "run") -> str:
    """The command that a user types here for `act` (run, forecast, judge) on a study."""
    if not IN_CHECKOUT or not _is_project(Path.cwd()):
        return f"{command()} {act} {study}"
    return f"make STUDY={study}" if act == "run" else f"make {act} STUDY={study}"


def _is_project(folder: Path) -> bool:
    """Whether a folder is that of the checkout, where people run `make`."""
    return folder.resolve() == PROJECT
