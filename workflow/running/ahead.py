"""Our library, loaded once for jobs that are forked, which have it as if they had loaded it.

To load its part of the library takes a job longer than what small ones do. It takes what was loaded
only if it would load the very same files: it looks in the same folders, and none was touched since.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

OURS: Final = ("flopline", "running")

_USED: Final = (
    *("flopline.audit.family_audits", "flopline.clean", "flopline.decision", "flopline.law"),
    *("flopline.figures.answered", "flopline.figures.style", "flopline.ingesting"),
    *("flopline.outputs.bundle", "flopline.outputs.latex_tables", "flopline.questions"),
    *("flopline.report.interactive", "flopline.report.page", "flopline.report.provenance"),
    *("flopline.remembered", "flopline.results", "running.locks", "running.receipts"),
)
"""What the scripts load, beside laws and figures."""

State = tuple[int, int, int]


class LoadedAhead(MetaPathFinder, Loader):
    """The library as the process that forks jobs has loaded it; `own` are the folders it is in."""

    def __init__(self, own: Sequence[str]) -> None:
        self.own = list(own)
        self.modules: dict[str, ModuleType] = {}
        self.files: dict[str, State | None] = {}

    def load(self) -> None:
        """Load what most jobs use, and put it where no job sees it until it asks.

        Without a library there is nothing; with a broken one a job says what is wrong.
        """
        before = dict(sys.modules)
        with suppress(Exception):
            _load()
        loaded = {name: module for name, module in sys.modules.items() if name not in before}
        self.modules = {name: m for name, m in loaded.items() if name.partition(".")[0] in OURS}
        for name in self.modules:
            del sys.modules[name]
        paths = [module.__file__ for module in self.modules.values() if module.__file__]
        self.files = {path: _state(path) for path in paths}

    def offer(self, folders: Sequence[str]) -> None:
        """Let a job that looks in these folders have what is loaded, once it asks."""
        if self.modules and [os.path.realpath(folder) for folder in folders] == self.own:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """At the first of our modules that is asked for: all of them, or from now on none."""
        if name not in self.modules:
            return None
        sys.meta_path.remove(self)
        if any(_state(file) != state for file, state in self.files.items()):
            return None
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that is there, and all others with it."""
        sys.modules.update(self.modules)
        self.spec = self.modules[spec.name].__spec__
        return self.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has run."""
        module.__spec__ = self.spec


def _load() -> None:
    from flopline.figures.registry import FIGURES
    from flopline.figures.rehearsal import rehearse
    from flopline.figures.spec import figure_spec
    from flopline.laws.registry import LAWS
    from flopline.laws.spec import spec_of

    for module in _USED:
        importlib.import_module(module)
    for law in LAWS:
        spec_of(law)
    for figure in FIGURES:
        figure_spec(figure)
    rehearse()


def _state(path: str) -> State | None:
    """What changes when a file does."""
    try:
        known = os.stat(path)  # noqa: PTH116 - of 200 files in each job
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size, known.st_ino
