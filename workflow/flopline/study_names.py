"""Names of studies and families as files may be called: what Snakemake and file systems misread.

Each becomes a folder of results. What letters a name may hold is said elsewhere; here stands what
is wrong with names of these letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

FIGURE_ENDINGS: Final = ("svg", "png", "pdf", "json")
"""Endings of the files that stand beside the families' folders of figures."""

MOST_FAMILIES: Final = 200
MOST_TARGETS: Final = 150
"""How many a study may have: there are ten jobs for each family, and of each target 90 kB of a
page that is to stay below 20 MB."""

PERIODS: Final = 20
"""How often a name repeats itself where Snakemake takes it for a rule that feeds itself
(PeriodicityDetector of snakemake/io)."""

_PERIODIC: Final = re.compile(rf"(.+?)\1{{{PERIODS - 1},}}$")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def why_no_folder(name: str) -> str:
    """What keeps a name from being that of a folder of results everywhere; empty for a good one."""
    if match := _PERIODIC.search(name):
        return (
            f"repeats '{match[1]}' {PERIODS} times or more, which Snakemake takes for a loop in "
            "its rules: shorten it"
        )
    if _RESERVED.fullmatch(name):
        return "is a name that Windows keeps for its devices: choose another"
    if name.endswith("."):
        return "ends in a point, which Windows cuts off: take it out"
    return ""


def family_mistakes(families: Sequence[str]) -> Iterator[str]:
    """What is wrong with the names of families, in a sentence each."""
    if len(families) > MOST_FAMILIES:
        yield (
            f"`families` lists {len(families):,}, more than {MOST_FAMILIES:,}: part them into "
            "several studies."
        )
        return
    for name in families:
        if why := why_no_folder(name):
            yield f"the family '{name}' {why}."
        ending = name.rpartition(".")[2]
        if "." in name and ending in FIGURE_ENDINGS:
            yield (
                f"the family '{name}' ends like a figure (.{ending}), among which its folder would "
                "stand: rename it."
            )
    first: dict[str, str] = {}
    for name in families:
        if (other := first.setdefault(name.lower(), name)) != name:
            yield (
                f"the families '{other}' and '{name}' differ in capital letters alone, which many "
                "file systems do not tell apart: rename one."
            )
