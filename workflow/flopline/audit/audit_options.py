"""The options of the audits."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from flopline.options import OptionGroup


class AuditOptions(OptionGroup):
    """What the audits ask of the runs, and what stands beside the study."""

    group: ClassVar[str] = "audit"

    ladder_draws: int = Field(
        default=200,
        ge=0,
        le=10_000,
        # A ladder alone may go without intervals, that of a report may not.
        json_schema_extra={"minimum": 20},
        description="resamples behind each step of the held-out ladder",
    )
    next_run_cap: float | None = Field(
        default=None,
        gt=0,
        description="the largest budget in FLOPs that one more run may cost; `null` is that of the "
        "largest run so far",
    )
    price_per_flop: float | None = Field(
        default=None,
        gt=0,
        description="money per FLOP; with it wasted compute is stated in money too",
    )
    warmup_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="a run whose learning rate is still rising after this share of its tokens is "
        "warned about",
    )
    final_lr: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="a run that ends with a learning rate above this share of its peak is "
        "warned about: its schedule is not done",
    )
    inference_tokens: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(),
        description="tokens to be served in the model's life, one or several demands; adds the "
        "size that is cheapest to train and serve",
    )
    compare: tuple[str, ...] = Field(
        default=(
            "hoffmann_2022_envelope",
            "hoffmann_2022_isoflop",
            "hoffmann_2022_parametric",
            "besiroglu_2024",
            "kaplan_2020_compute",
            "muennighoff_2023_base",
            "deepseek_2024",
            "llama3_2024_figure",
            "porian_2024_tuned",
        ),
        json_schema_extra={"uniqueItems": True},
        description="published laws to set beside the study, by their names in "
        "docs/laws.md#published-laws; `[]` takes all that name a size at a budget",
    )
