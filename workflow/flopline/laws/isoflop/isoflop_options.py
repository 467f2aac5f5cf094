"""The options of the isoFLOP law."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flopline.options import OptionGroup


class IsoflopOptions(OptionGroup):
    """How runs are grouped into budgets, how valleys are read, and what budgets count."""

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
    reading: Literal["auto", "parabola", "window", "cubic", "akima"] = Field(
        default="auto",
        description="how a valley's bottom is found: a `parabola` through all runs of a budget "
        "(Hoffmann et al. 2022), one through the runs near the bottom (`window`), a `cubic`, "
        "`akima`'s interpolant; `auto` is the first of these that fits its runs and costs least at "
        "held-out budgets, within noise (docs/isoflop.md)",
    )
    weights: Literal["random", "variance", "equal"] = Field(
        default="random",
        description="what a budget's vertex weighs in the power laws: the inverse of its own "
        "variance and that between budgets together (`random`), of its own alone (`variance`, "
        "Porian et al. 2024; no interval then holds the scatter between budgets), or all the same "
        "(`equal`, common since Hoffmann et al. 2022)",
    )
    budget_compute: Literal["geometric", "arithmetic", "nominal"] = Field(
        default="geometric",
        description="the compute of a budget: geometric or arithmetic mean of its runs' FLOPs, or "
        "the budget that was planned (`nominal`)",
    )
