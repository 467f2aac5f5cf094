"""The laws by which the others are judged, whether or not a study fits them."""

from __future__ import annotations

from typing import Final

from flopline.laws.isoflop.isoflop_law import LAW as VALLEYS
from flopline.laws.parametric.parametric_law import LAW as SURFACE

__all__ = ["JUDGES", "SURFACE", "VALLEYS"]

JUDGES: Final = (VALLEYS.name, SURFACE.name)
"""The valleys of all runs show the best size of each budget, the surface prices any other."""
