"""The options of the bootstrap, which every law has in common."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flopline.options import OptionGroup


class BootstrapOptions(OptionGroup):
    """How intervals are made."""

    group: ClassVar[str] = "bootstrap"

    draws: int = Field(
        default=2000,
        ge=0,
        le=100_000,
        # A fit alone may go without intervals, the report of a study may not.
        json_schema_extra={"minimum": 100},
        description="resamples of runs, or of their residuals, behind every interval",
    )
    seed: int = Field(
        default=20221, ge=0, description="the same seed gives the same intervals, to the byte"
    )
    method: Literal["auto", "pairs", "wild"] = Field(
        default="auto",
        description="`pairs` draws runs with replacement, `wild` their residuals about the fit; "
        "`auto` is wild for isoFLOP, pairs for the parametric law (docs/uncertainty.md); the "
        "envelope always draws runs",
    )
