"""The options of the isoFLOP law."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flopline.options import OptionGroup


class IsoflopOptions(OptionGroup):
    """How runs are grouped into budgets, and which budgets count."""

    group: ClassVar[str] = "isoflop"

    budgets: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        default=None,
        min_length=1,
        description="nominal budgets in FLOPs; `null` takes the runs' `budget_flops`, else groups "
        "them by gaps",
    )
    budget_tolerance: float = Field(
        default=0.15,
        gt=0,
        le=0.6,
        description="how far a run's FLOPs may lie from its budget, as a share",
    )
    min_sizes: int = Field(
        default=4, ge=3, description="a budget with fewer sizes gets no parabola"
    )
    quality: Literal["flag", "exclude"] = Field(
        default="flag",
        description="budgets whose vertex a check doubts (docs/isoflop.md): used and flagged "
        "(`flag`), or left out (`exclude`); the report has the result of both",
    )
