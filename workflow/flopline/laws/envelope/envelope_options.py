"""The options of the envelope law."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, get_args

from pydantic import Field

from flopline.options import OptionGroup

Way = Literal["bins", "hull"]
FRONTIERS: Final[tuple[Way, ...]] = get_args(Way)


class EnvelopeOptions(OptionGroup):
    """How the frontier is found and what enters it."""

    group: ClassVar[str] = "envelope"

    split: str | None = Field(
        default=None, description="split of the curves; `null` is `loss_split`"
    )
    frontier: Way = Field(
        default="bins",
        description="`bins`: the lowest run at each of `bins` FLOP values; `hull`: lower convex "
        "hull in log-log",
    )
    bins: int = Field(
        default=1500,
        ge=50,
        le=100_000,
        description="log-spaced FLOP values (Hoffmann et al. 2022, §3.1)",
    )
    smoothing_steps: float = Field(
        default=10,
        ge=0,
        description="width of the Gaussian window in optimiser steps; 0 smooths nothing",
    )
    only_schedule_end: bool = Field(
        default=False,
        description="keep the last 15 % of every run only (of its `horizon_tokens`): before that "
        "the learning rate is still high and the loss not that of a finished run; needs horizons "
        "dense enough to overlap there, and rows logged there; without it the report says how much "
        "of the frontier lies in mid-schedule",
    )
    loss_floor: float | None = Field(
        default=None,
        ge=0,
        description="pins E of the frontier's loss law E + K C^-c, in the loss's unit; "
        "`null` fits it",
    )
