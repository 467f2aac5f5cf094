"""Figures: tables in, a Matplotlib Figure out; no file is read here.

In a notebook `from flopline import figures; figures.isoflop(runs)` fits a table of runs and draws
it: the functions of `figures.quick`, which NOTEBOOK names (docs/figures.md). The modules of this
package hold the drawing alone, for results that are there already, as in
`from flopline.figures.isoflop import isoflop`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

NOTEBOOK = (
    "cleaning",
    "contours",
    "envelope",
    "families",
    "identifiability",
    "isoflop",
    "ladder",
    "losscompute",
    "save",
    "stakes",
    "surface",
)
__all__ = list(NOTEBOOK)


class _Package(ModuleType):
    """The package, whose functions are loaded when they are first asked for.

    Loading them here would load every fit, and make every figure of the workflow depend on all of
    them: code digests follow imports (docs/caching.md).
    """

    def __getattr__(self, name: str) -> Any:
        if name in NOTEBOOK:
            return getattr(import_module("flopline.figures.quick"), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        # Python hangs an imported submodule onto its package, where figures/isoflop.py would
        # hide the function of that name.
        if not (name in NOTEBOOK and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *NOTEBOOK})


sys.modules[__name__].__class__ = _Package
