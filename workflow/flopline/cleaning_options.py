"""The options of the cleaning.

They are not in the cleaning's own room, which loads pandas.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flopline.options import OptionGroup


class RowOptions(OptionGroup):
    """Those that decide about the rows of one run, for which a shard of runs is enough."""

    group: ClassVar[str] = "cleaning"

    overlap_tolerance: float = Field(
        default=0.02,
        gt=0,
        description="a restarted run is set aside when, over the steps that it logged twice, its "
        "loss before and after differs by more than this share at the median",
    )
    spikes: Literal["keep", "drop"] = Field(
        default="keep",
        description="rows whose loss stands far above their neighbours': counted and kept (`keep`) "
        "or dropped (`drop`)",
    )
    spike_threshold: float = Field(
        default=8,
        gt=0,
        description="how far above the running median of 21 rows ln loss must be to count as a "
        "spike, in robust standard deviations of the curve (and 1 % at least)",
    )
    final_window: float = Field(
        default=0,
        ge=0,
        le=0.5,
        description="share of a run's tokens over which its final loss is averaged; 0 takes the "
        "last row, right for a validation loss, while a training loss wants about 0.02",
    )


class CleaningOptions(RowOptions):
    """Which rows are dropped and which runs are set aside."""

    bad_rows: Literal["error", "drop"] = Field(
        default="error",
        description="a line cut off, text for a number, a NaN loss before others that are numbers: "
        "stop with one sentence (`error`), or leave such rows out, counted and listed (`drop`); a "
        "run whose last loss is NaN is set aside by either",
    )
    unfinished: float = Field(
        default=0.98,
        gt=0,
        le=1,
        description="a run that ends before this share of `horizon_tokens` is set aside",
    )
    diverged: float = Field(
        default=0.2,
        gt=0,
        description="a run whose final loss is this share above its own lowest is set aside",
    )
    untrained: float = Field(
        default=0.5,
        gt=0,
        description="a run whose final loss is this share above that of runs of like size and "
        "tokens, or of smaller ones on fewer tokens, is set aside: it hardly trained",
    )
