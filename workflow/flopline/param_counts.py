"""What a column of sizes counts, as its name says it, and whether a study says otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from flopline.study_document import StudyDocument
from flopline.units import places

_COUNTS: Final = {
    "active": re.compile(r"(?<![a-z])activ(?:e|ated)(?![a-z])"),
    "non_embedding": re.compile(r"(?<![a-z])non[-_ ]?emb(?:ed(?:ding)?s?)?(?![a-z])"),
    "total": re.compile(r"(?<![a-z])total(?![a-z])"),
}
"""The words for what is counted, by params_convention; the first that is there tells it."""

DENSE: Final = ("active", "total")
"""A count and what it may be declared as: of a model without experts all params are active."""

_OF_PARAMS: Final = re.compile(r"param")


def said_by(column: str) -> str:
    """The params_convention that the name of a column says; empty where it says none."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower()
    return next((name for name, word in _COUNTS.items() if word.search(apart)), "")


def column_for(convention: str, columns: Sequence[str]) -> str:
    """The one column of params that says it counts what is declared; empty where none does."""
    alike = [n for n in columns if _OF_PARAMS.search(n.lower()) and said_by(n) == convention]
    return alike[0] if len(alike) == 1 else ""


def misfits(study: StudyDocument) -> Iterator[str]:
    """A sentence on each column of params whose name says another count than the study declares."""
    declared = study["params_convention"]
    for name, place in places(study["source"]):
        said = said_by(place.column)
        if name == "params" and said not in ("", declared) and not place.gives_unit:
            if declared not in _COUNTS or (said, declared) == DENSE:
                continue
            yield (
                f"params_convention is {declared}, and the column '{place.column}' ({place.key}."
                f"{name}) says that it counts {said} params: name the column of {declared} ones, "
                f"set params_convention to {said}, or write {place.line(name, 1)} if it "
                "counts what is declared."
            )
