"""Why a row is dropped: one code each, explained in docs/cleaning.md too."""

from __future__ import annotations

from typing import Final

from flopline.logs.reading import (
    AFTER_BRANCH,
    COMMA_IN_LOSS,
    COMMA_OF_THOUSANDS,
    DOUBTFUL_COMMA,
    DOUBTFUL_POINT,
    NO_LOSS,
    NO_RUN,
    NOT_A_NUMBER,
    NOT_PARSED,
    SECOND,
    TWICE,
)

NOT_FINITE: Final = "loss_not_finite"
NOT_POSITIVE: Final = "loss_not_positive"
NO_STEP: Final = "no_step"
EPOCHS: Final = (
    "epochs by `tokens: {column: epoch, times: TOKENS_OF_AN_EPOCH}` (the same for all runs; where "
    "epochs count from 0 and each row is one, by `column: place`, which counts rows from 1)"
)
"""How a study reads epochs where no step is logged."""
NO_TOKENS: Final = "no_tokens"
DUPLICATE: Final = "duplicate_step"
DUPLICATE_FILE: Final = "duplicate_file"
OUT_OF_PLACE: Final = "out_of_place"
SUPERSEDED: Final = "superseded_by_restart"
SPIKE: Final = "loss_spike"

REASONS: Final = {
    NOT_PARSED: "the line is not a complete record (cut off or not JSON)",
    NOT_A_NUMBER: "a number was expected and something else stands there",
    DOUBTFUL_COMMA: "a comma in a number parts no groups of three digits (if it is a decimal "
    "comma, set `decimal: ','` in source)",
    DOUBTFUL_POINT: "a number has a decimal point, and the study says a decimal comma (take "
    "`decimal: ','` out of source if all its numbers have points; where one column has points and "
    "another commas, write points in both and take it out)",
    COMMA_IN_LOSS: "a loss or learning rate has a comma, and neither has thousands to set apart "
    "(if it is a decimal comma, write a point, or set `decimal: ','` in source where no commas of "
    "its numbers stand between thousands)",
    COMMA_OF_THOUSANDS: "a number has commas between its thousands, and the study says a decimal "
    "comma (write it without them, or take `decimal: ','` out of source and write all fractions "
    "there with points)",
    SECOND: "the line holds more than one record, of which the first is read (let one match of "
    "source.pattern take all of it, with a group for each loss, or put a line break between them)",
    TWICE: "the line gives one name twice, so that it is not told which value counts (two records "
    "may have run together: put a line break between them)",
    NO_RUN: "the row does not say which run it belongs to",
    NO_LOSS: "the row logs no loss",
    NOT_FINITE: "the loss is NaN or infinite",
    NOT_POSITIVE: "the loss is zero or negative (of a log-likelihood, turn the sign of the column "
    "in the file)",
    NO_STEP: "the row has no step, or one that is no whole number",
    NO_TOKENS: "the tokens seen at this row are unknown",
    DUPLICATE: "the same step was logged twice; the first is kept",
    DUPLICATE_FILE: "its file holds byte for byte what another file of the same run holds",
    SUPERSEDED: "the run was restarted from an earlier step and logged this step again",
    AFTER_BRANCH: "the log is shared by several runs, and this run goes on in another from before "
    "here",
    OUT_OF_PLACE: "it was logged after later steps, among which its loss does not fit",
    SPIKE: "the loss stands far above its neighbours (cleaning.spikes: drop)",
}
"""What each reason code of the dropped table means."""

MISTAKES: Final = (
    NOT_PARSED,
    NOT_A_NUMBER,
    DOUBTFUL_COMMA,
    DOUBTFUL_POINT,
    COMMA_IN_LOSS,
    COMMA_OF_THOUSANDS,
    SECOND,
    TWICE,
    NO_RUN,
    NOT_FINITE,
    NOT_POSITIVE,
    NO_STEP,
    NO_TOKENS,
)
"""Reasons that point at a fault in the file; they stop the run unless cleaning.bad_rows is drop."""
