"""Where the laws' fits were in the last release; now each law has a folder in `flopline.laws`."""

from __future__ import annotations

from flopline.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "envelope": "flopline.laws.envelope.envelope_fit",
        "isoflop": "flopline.laws.isoflop.isoflop_fit",
        "parametric": "flopline.laws.parametric.parametric_fit",
    },
)
