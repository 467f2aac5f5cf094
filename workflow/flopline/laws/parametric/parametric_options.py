"""The options of the parametric law."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flopline.options import OptionGroup


class ParametricOptions(OptionGroup):
    """What the fit minimises, by which solver, and what is fitted beside it."""

    group: ClassVar[str] = "parametric"

    objective: Literal["log_huber", "linear_huber", "log_lad", "linear_squares", "log_squares"] = (
        Field(
            default="log_huber",
            description="what the law's main fit minimises: `log_huber` (Huber on log loss), "
            "`linear_huber` (on the loss), `log_lad` (absolute log residuals), `linear_squares`, "
            "`log_squares`; the profile of E in the audits is on log loss with the nearest δ",
        )
    )
    huber_delta: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default=1e-3,
        description="δ of a Huber objective, on log loss or in the loss's unit on the loss; `auto` "
        "takes 1.345 robust standard deviations of the residuals of a LAD fit",
    )
    checkpoints_from: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="with `points: checkpoints`, the share of a run's tokens from which its losses "
        "count, as 0.2 to leave out what is logged while the rate warms up",
    )
    solver: Literal["varpro_newton", "hoffmann_grid"] = Field(
        default="varpro_newton",
        description="`hoffmann_grid` runs the literal 4,500 starts of L-BFGS, for comparison; "
        "`log_huber` only",
    )
    variant_draws: int | None = Field(
        default=200,
        ge=0,
        le=100_000,
        description="resamples behind every other objective and form of the law (tied exponents, "
        "Skaling, Kaplan's); `null` fits none",
    )
