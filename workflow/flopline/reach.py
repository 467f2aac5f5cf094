"""How far a budget lies from the runs, in grades: decision, page, planner and terminal share them.

The planner of the page reads the same list (report/planning.py), so that its grades are these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from flopline.documents import ReachJson
from flopline.numbers import factor, flops_label

Side = Literal["within", "beyond", "below"]


@dataclass(frozen=True, slots=True)
class Grade:
    """A stretch of extrapolation: up to `most` times the nearest run's compute, and its name."""

    most: float
    name: str
    recommends: bool = True


WITHIN: Final = Grade(1.0, "within the runs")
SHORT: Final = Grade(3.0, "a short extrapolation")
LONG: Final = Grade(30.0, "a long extrapolation")
EXTREME: Final = Grade(1000.0, "an extreme extrapolation")
OUT_OF_REACH: Final = Grade(math.inf, "out of reach of the runs", recommends=False)
GRADES: Final = (WITHIN, SHORT, LONG, EXTREME, OUT_OF_REACH)
"""Nearest first. They are conventions: docs/decision.md says what each means."""


ROUNDED: Final = 0.005
"""What the last of three digits does not tell: the compute of runs is itself rounded."""


def edge(most: float) -> float:
    """`most` and what rounds to it; to lie within the runs is exact."""
    return most * (1 + ROUNDED * (most > WITHIN.most))


def farther(times: float, most: float) -> bool:
    """Whether a ratio of compute is more than `most`, and not by rounding alone."""
    return times > edge(most)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a budget [FLOPs] lies from runs of `smallest` to `largest` [FLOPs].

    `times` is the larger of its ratios to the nearest run's compute, 1 within the runs.
    """

    side: Side
    times: float
    grade: Grade
    smallest: float
    largest: float

    @classmethod
    def of(cls, flops: float, smallest: float, largest: float) -> Reach:
        """The reach of a budget; `smallest` may be 0 where it is not known."""
        side: Side = "within"
        times = 1.0
        if flops > largest:
            side, times = "beyond", flops / largest
        elif flops < smallest:
            side, times = "below", smallest / flops
        grade = next(grade for grade in GRADES if not farther(times, grade.most))
        return cls(side, times, grade, smallest, largest)

    @property
    def words(self) -> str:
        """As `30× the largest run's compute (1e21 FLOPs), a long extrapolation`."""
        if self.side == "within":
            return f"within the runs, the largest of which has {flops_label(self.largest)} FLOPs"
        if self.side == "beyond":
            where = f"{factor(self.times)} the largest run's compute ({flops_label(self.largest)}"
        else:
            where = f"{factor(self.times)} below the smallest run ({flops_label(self.smallest)}"
        return f"{where} FLOPs), {self.grade.name}"

    def json(self) -> ReachJson:
        """The same as decision.json holds it."""
        return {
            "side": self.side,
            "times": self.times,
            "grade": self.grade.name,
            "words": self.words,
        }


def out_of_reach(reach: Reach) -> str:
    """Why nothing is recommended at a budget, one clause; empty where something may be."""
    if reach.grade.recommends:
        return ""
    where = (
        "times the compute of the largest run"
        if reach.side == "beyond"
        else "times below the smallest run"
    )
    return (
        f"the target lies {reach.times:,.0f} {where}, and more than {EXTREME.most:,.0f} times away "
        "nothing is recommended"
    )
