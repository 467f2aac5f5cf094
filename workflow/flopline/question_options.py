"""The options of the questions that a study asks beside its targets."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from flopline.options import OptionGroup

Positive = Annotated[float, Field(gt=0)]


class QuestionOptions(OptionGroup):
    """What is asked of the decision's law besides the best run of each target."""

    group: ClassVar[str] = "questions"

    losses: tuple[Positive, ...] = Field(
        default=(),
        description="losses to reach: the least compute for each, with its N and D, also under "
        "each of the four below, which are else answered at the first target",
    )
    params: tuple[Positive, ...] = Field(
        default=(),
        description="sizes that are given: how many tokens each takes, and what it costs",
    )
    tokens_per_param: tuple[Positive, ...] = Field(
        default=(), description="tokens per param that are given"
    )
    most_tokens: tuple[Positive, ...] = Field(
        default=(), description="limits of the data in tokens, none of them repeated"
    )
    most_params: tuple[Positive, ...] = Field(
        default=(), description="limits of the size in params, as of memory"
    )
