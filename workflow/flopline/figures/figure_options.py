"""The options of all figures."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flopline.options import OptionGroup


class FigureOptions(OptionGroup):
    """How figures are drawn for print."""

    group: ClassVar[str] = "figures"

    width: Literal["page", "column"] = Field(
        default="page",
        description="width of every figure for print: `page` (7.2 inches, panels side by side) or "
        "`column` (3.5 inches, panels below one another); sizes of text and marks are the same",
    )
    formats: tuple[Literal["png", "pdf"], ...] = Field(
        default=("png", "pdf"),
        description="what each figure is written as beside the SVG that the page shows, of `png` "
        "and `pdf`; `[]` for the SVG alone, which takes half the time",
    )
    envelope_thirds: bool = Field(
        default=False,
        description="draw the law of each third of the envelope over its points, to see whether it "
        "bends (the test of that stands in the caption either way)",
    )
    fitted_surface: bool = Field(
        default=True, description="draw the fitted law as a mesh through the 3-D points"
    )
