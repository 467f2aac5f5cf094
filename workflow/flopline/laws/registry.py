"""The laws that there are: one line for each, in the order in which readers meet them.

The module of a law's spec is told by its name (see `spec.law`), so that nothing but the start of a
run and the notebook needs this list: a law that is added here concerns no job of another.
"""

from __future__ import annotations

from typing import Final

LAWS: Final = (
    "envelope",
    "isoflop",
    "parametric",
)
