"""Figures: tables in, a Matplotlib Figure out; no file is read here.

The modules of this package draw results that are there already. What fits a bare table of runs and
draws it is `flopline.notebook` (docs/figures.md).
"""

from __future__ import annotations

from flopline.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        name: f"flopline.notebook:{name}"
        for name in (
            *("cleaning", "contours", "envelope", "families", "identifiability", "isoflop"),
            *("ladder", "losscompute", "save", "stakes", "surface"),
        )
    },
)
