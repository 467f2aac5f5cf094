"""How long a run will take: by what its stages took before, and by what those of this run take."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Final

TYPICAL_S: Final = {
    "simulate": 1.0, "ingest": 1.0, "clean": 1.0, "gather": 1.0, "fit": 2.0, "audit": 5.0,
    "decide": 1.0, "figure": 2.0, "latex": 1.0, "report": 2.0, "review": 1.0,
}  # fmt: skip
"""Seconds of a job of each kind where nothing is known: those of the default study on two cores
(docs/speed.md), from half a second up to whole ones."""

WORTH_S: Final = 120.0
"""Seconds of a run below which nobody needs to be told."""


class Expected:
    """What is left of a run of `counts` jobs by rule on so many cores.

    `known` are seconds of a job by rule, from an earlier run.
    """

    def __init__(self, counts: Mapping[str, int], cores: int, known: Mapping[str, float]) -> None:
        self.left, self.cores, self.known = dict(counts), cores, known
        self.took: dict[str, list[float]] = defaultdict(list)

    def finished(self, rule: str, seconds: float) -> None:
        """Note that a job of this rule has ended."""
        self.left[rule] = max(self.left.get(rule, 0) - 1, 0)
        self.took[rule].append(seconds)

    def seconds(self) -> float:
        """What is left [s], if all cores have work: not less, on a quiet machine."""
        stated = sum(len(took) * self._before(rule) for rule, took in self.took.items())
        pace = sum(map(sum, self.took.values())) / stated if stated else 1.0
        each = (
            count * (fmean(self.took[rule]) if self.took.get(rule) else pace * self._before(rule))
            for rule, count in self.left.items()
        )
        return sum(each) / min(self.cores, max(sum(self.left.values()), 1))

    def words(self) -> str:
        """What is left in words, as `about 25 minutes`; empty where it is not worth a word."""
        seconds = self.seconds()
        if seconds < WORTH_S:
            return ""
        minutes = seconds / 60
        return (
            f"about {minutes:.0f} minutes" if minutes < 100 else f"about {minutes / 60:.0f} hours"
        )

    def _before(self, rule: str) -> float:
        return self.known.get(rule, TYPICAL_S.get(rule.partition("_")[0], 1.0))


def seconds_by_rule(results: Path) -> dict[str, float]:
    """The mean seconds of a job of each rule that has run below `results`."""
    took: dict[str, list[float]] = defaultdict(list)
    for file in results.glob("benchmarks/*.tsv"):
        with suppress(OSError, ValueError, KeyError, StopIteration):
            with file.open(encoding="utf-8") as stream:
                row = next(csv.DictReader(stream, delimiter="\t"))
            seconds = float(row["s"])
            took[file.name.partition(".")[0]].append(seconds)
    return {rule: fmean(all_of) for rule, all_of in took.items()}
