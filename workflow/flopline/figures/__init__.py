"""Figures of the three laws: tables in, a Matplotlib Figure out; no file is read here."""

from flopline.figures.envelope import envelope
from flopline.figures.isoflop import isoflop
from flopline.figures.style import save
from flopline.figures.surface import Panel, surface

__all__ = ["Panel", "envelope", "isoflop", "save", "surface"]
