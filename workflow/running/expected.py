"""How long a run will take: by what its stages took before, and by what those of this run take."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Final

TYPICAL_S: Final = {
    "simulate": 0.5, "ingest": 0.5, "clean": 0.5, "gather": 0.5, "fit": 1.0, "audit": 4.0,
    "decide": 1.0, "figure": 0.5, "latex": 0.5, "report": 1.5, "review": 1.0,
}  # fmt: skip
"""Seconds of a job of each kind where nothing is known: CPU of those of the default study
(docs/speed.md) with Snakemake's own for each, from a quarter of a second up to halves."""

SECONDS_A_GB: Final = {"ingest": 13.0, "clean": 6.0}
"""What raw files take besides, by their size: JSON lines of 82 bytes a row (docs/speed.md)."""

WORTH_S: Final = 120.0
"""Seconds of a run below which nobody needs to be told."""


class Expected:
    """What is left of a run of `counts` jobs by rule on so many cores.

    `known` are seconds of a job by rule, from an earlier run, and `pace` is how many times as long
    jobs take until some have told it.
    """

    def __init__(
        self, counts: Mapping[str, int], cores: int, known: Mapping[str, float], pace: float = 1.0
    ) -> None:
        self.left, self.cores, self.known, self.pace = dict(counts), cores, known, pace
        self.took: dict[str, list[float]] = defaultdict(list)

    def finished(self, rule: str, seconds: float) -> None:
        """Note that a job of this rule has ended."""
        self.left[rule] = max(self.left.get(rule, 0) - 1, 0)
        self.took[rule].append(seconds)

    def seconds(self) -> float:
        """What is left [s], if all cores have work: not less, on a quiet machine."""
        stated = sum(len(took) * self._before(rule) for rule, took in self.took.items())
        pace = sum(map(sum, self.took.values())) / stated if stated else self.pace
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


def slowed_by_others(cores: int) -> float:
    """How many times as long work on so many cores takes beside what else this machine does.

    What it does is the least of its load of the last minute and of what would run now: other work
    may just have ended, or just begun. 1 where that cannot be told, and where the cores are not of
    this machine alone.
    """
    here = os.cpu_count() or 1
    if cores > here:
        return 1.0
    others = 0.0
    with suppress(OSError, ValueError, IndexError, AttributeError):
        others = os.getloadavg()[0]
        now = Path("/proc/loadavg").read_text(encoding="ascii").split()[3]
        others = min(others, int(now.partition("/")[0]) - 1)
    return max(1.0, (others + cores) / here)


def seconds_by_size(files: Iterable[str], shards: int) -> dict[str, float]:
    """Seconds of a job that reads raw files, and of one that cleans them, by what all hold."""
    held = 0
    for file in files:
        with suppress(OSError):
            held += Path(file).stat().st_size
    each = held / 1e9 / max(shards, 1)
    return {rule: TYPICAL_S[rule] + gb * each for rule, gb in SECONDS_A_GB.items()}


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
