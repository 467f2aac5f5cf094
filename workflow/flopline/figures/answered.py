"""What figures show where the decision gives no answer at the target: the runs and no crossing."""

from __future__ import annotations

from dataclasses import replace

from flopline.documents import FitJson, SilenceJson
from flopline.figures.spec import Setting
from flopline.laws.common.fit_result import FAILED
from flopline.results import FamilyResults, StudyResults


def answered(results: StudyResults, setting: Setting) -> tuple[StudyResults, Setting]:
    """The same where the decision has a line at the target, or is not asked.

    Where it has none for the family, the figure's target is the compute of the largest run, and the
    fits state what they do there: what is drawn at the target would be a number that page and
    terminal refuse to give.
    """
    silence = _silence(results, setting)
    if silence is None:
        return results, setting
    largest = float(silence["largest_flops"])
    families = {**results.families, setting.family: _stated_at(setting.of(results), largest)}
    return (
        replace(results, families=families),
        replace(setting, refused=silence["sentence"], largest=largest),
    )


def _silence(results: StudyResults, setting: Setting) -> SilenceJson | None:
    verdict = results.of_all.get("decision") or {}
    for entry in verdict.get("silent", ()):
        if entry["family"] == setting.family and entry["budget_flops"] == setting.target:
            silence: SilenceJson = entry
            return silence
    return None


def _stated_at(known: FamilyResults, flops: float) -> FamilyResults:
    from flopline.planner import at_budget, read_line

    fits = {}
    for law, fit in known.fits.items():
        stated: FitJson = {**fit}
        if fit["status"] != FAILED and law in known.draws:
            line = read_line(fit, known.draws[law])
            stated["targets"] = [at_budget(line, flops).to_json()]
        fits[law] = stated
    return replace(known, fits=fits)
