"""What is forecast of the loss of the runs that answer a study's questions.

An answer is the law's: what its run reaches if the law holds. The forecast moves that loss as the
decision moves the lowest loss of the same compute, and is as wide; where the run is not the best
one, what the draws say of the loss beside the best size is added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from flopline.documents import ChoiceJson
from flopline.following import FollowedLine, followed
from flopline.laws.common.fit_result import ENDS
from flopline.results import FamilyResults

LOSS: Final = "loss"
FORECAST: Final = "forecast_loss"


def with_forecasts(
    answers: pd.DataFrame, results: Mapping[str, FamilyResults], choices: Sequence[ChoiceJson]
) -> pd.DataFrame:
    """The rows of `questions.study_answers` with the columns of FORECAST, before those of LOSS.

    NaN where the runs bear no answer, and of a family without a held-out ladder.
    """
    lines: dict[str, FollowedLine] = {}
    for choice in reversed(choices):  # the first target of a family is the one that answers
        if choice["law"] is not None:
            family = choice["family"]
            lines[family] = followed(results[family], choice["law"], str(choice["estimator"]))
    columns = (FORECAST, *(f"{FORECAST}_{end}" for end in ENDS))
    made = pd.DataFrame(
        [_forecast(row, lines.get(row["family"])) for row in answers.to_dict("records")],
        index=answers.index,
        columns=list(columns),
        dtype=float,
    )
    at = list(answers).index(LOSS) if LOSS in answers else answers.shape[1]
    return pd.concat([answers.iloc[:, :at], made, answers.iloc[:, at:]], axis=1)


def _forecast(row: Mapping[Any, Any], line: FollowedLine | None) -> dict[str, float]:
    flops = row.get("flops", math.nan)
    if line is None or not row["borne"] or not math.isfinite(flops):
        return {}
    best = line.at(flops)
    point = row[LOSS] + best[FORECAST] - best[LOSS]  # as the planner of the page has it
    out = {FORECAST: point}
    for end in ENDS:
        of_answer, of_best = (
            math.log(numbers[f"{LOSS}_{end}"] / numbers[LOSS]) for numbers in (row, best)
        )
        beside = math.sqrt(max(0.0, of_answer**2 - of_best**2))
        ahead = math.log(best[f"{FORECAST}_{end}"] / best[FORECAST])
        out[f"{FORECAST}_{end}"] = point * math.exp(math.copysign(math.hypot(ahead, beside), ahead))
    return out
