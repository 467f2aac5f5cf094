"""Results and settings of figures, as a job of the workflow hands them to FIGURE of a module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flopline.figures.spec import Setting, figure_spec
from flopline.results import FamilyResults, StudyResults

FAMILY, LABEL = "ash", "White ash"


def family_results(
    fits: Mapping[str, Any] | None = None,
    findings: Iterable[Mapping[str, Any]] = (),
    **more: Any,
) -> StudyResults:
    """The results of a study with FAMILY alone: its fits by law, and what its audit found.

    `draws` and `tables` are those of FamilyResults; what else is named concerns all families.
    """
    kinds = {kind: more.pop(kind) for kind in ("draws", "tables") if kind in more}
    results = FamilyResults(fits or {}, findings={f["audit"]: f for f in findings}, **kinds)
    return StudyResults({FAMILY: results}, more)


def setting(target: float = 1e22, **more: Any) -> Setting:
    """Of a study of FAMILY alone; `more` are fields of Setting."""
    study = {
        "families": {FAMILY: LABEL},
        "targets": [target],
        "loss_label": "Validation loss",
    }
    return Setting(**{"study": study, "family": FAMILY} | more)


def caption_of(name: str, fits: Mapping[str, Any] | None = None, **more: Any) -> str:
    """The caption of the figure called `name`, for these results of FAMILY."""
    return figure_spec(name).caption(family_results(fits, **more), setting())


def alt_of(name: str, fits: Mapping[str, Any] | None = None, **more: Any) -> str:
    """Its alternative text."""
    return figure_spec(name).alt(family_results(fits, **more), setting())
