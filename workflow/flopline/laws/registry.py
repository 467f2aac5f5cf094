"""The laws that there are: one line for each.

The module of a law's spec is told by its name (see `spec.law`), so that nothing but the start of a
run and the notebook needs this list.
"""

from __future__ import annotations

from typing import Final

from flopline.plugins import plugins

LAWS: Final = (
    "envelope",
    "isoflop",
    "parametric",
    *plugins("laws"),
)
"""In this order a study fits them that does not choose."""
