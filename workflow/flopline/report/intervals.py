"""What the intervals of a study hold, and how its laws were resampled, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from flopline.documents import FitsJson, VerdictJson
from flopline.laws.spec import spec_of
from flopline.report.decision_view import IF_THE_LAW_HOLDS
from flopline.report.fit_views import each_fit
from flopline.schema import split_label
from flopline.study_document import StudyDocument

OF_RUNS, OF_RESIDUALS = "runs", "residuals"


def resampled(fits: Mapping[str, FitsJson], families: Mapping[str, str]) -> dict[str, list[str]]:
    """The laws whose intervals come from draws of whole runs, and from draws of residuals."""
    laws: dict[str, list[str]] = {}
    for _, law, fit in each_fit(fits, families):
        kind = OF_RESIDUALS if fit["settings"].get("method") == "wild" else OF_RUNS
        labels = laws.setdefault(kind, [])
        if spec_of(law).label not in labels:
            labels.append(spec_of(law).label)
    return laws


def resampled_words(fits: Mapping[str, FitsJson], families: Mapping[str, str]) -> str:
    """A clause that names what was resampled for which law."""
    by_kind = resampled(fits, families)
    named = [f"{kind} ({', '.join(laws)})" for kind, laws in by_kind.items()]
    return f"resampled {' and '.join(named)}" if named else "no resample"


def interval_note(verdict: VerdictJson) -> str:
    """What the intervals of the recommended lines hold, at all targets and families."""
    head, choices = verdict["headline"], verdict["choices"]
    forecast = [c["forecast"] is not None for c in choices if c.get("law") and "forecast" in c]
    if not forecast and head is not None:
        forecast = [head["brackets"] == "forecast"]
    if forecast and all(forecast):
        return "Intervals are forecasts: they hold what laws have missed when carried this far."
    if any(forecast):
        return (
            "Intervals are forecasts of the lines that the held-out ladder tried, and hold what "
            "laws have missed when carried this far; those of the others hold if the law holds."
        )
    return IF_THE_LAW_HOLDS


def other_splits(study: StudyDocument) -> dict[str, str]:
    """What the losses are called of laws that are fitted to another split than the study's."""
    splits = {law: spec_of(law).split(study) for law in study.get("laws", ())}
    return {law: split_label(s) for law, s in splits.items() if s != study["loss_split"]}
