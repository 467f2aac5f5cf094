"""The figures that there are: one line for each, in the order of the page.

The module of a figure is told by its name (see `spec.figure_module`), so that nothing but the start
of a run and the notebook needs this list: a figure that is added here concerns no job of another.
"""

from __future__ import annotations

from typing import Final

from flopline.plugins import plugins

FIGURES: Final = (
    "surface",
    "families",
    "isoflop",
    "envelope",
    "contours",
    "losscompute",
    "misfit",
    "ladder",
    "regret",
    "identifiability",
    "stakes",
    "cleaning",
    *plugins("figures"),
)
