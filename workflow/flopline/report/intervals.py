"""What the intervals of a study hold, and how its laws were resampled, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from flopline.documents import FitsJson, VerdictJson
from flopline.laws.spec import spec_of
from flopline.report.fit_views import each_fit

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


def interval_note(
    verdict: VerdictJson, fits: Mapping[str, FitsJson], families: Mapping[str, str]
) -> str:
    """What the intervals in the table of targets hold."""
    return f"Intervals hold if the law holds; they come from {resampled_words(fits, families)}."
