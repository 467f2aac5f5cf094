"""The parametric law for the methods: what was fitted, with the settings that were used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from flopline.documents import FitJson
from flopline.laws.common.methods_text import Settings, quoted
from flopline.laws.parametric.stated_form import form_of
from flopline.numbers import count, number
from flopline.solvers.surface_family import CHINCHILLA, FORMS, REPEATED
from flopline.study_document import StudyDocument

SURFACE: Final = r"$L(N, D) = E + A/N^α + B/D^β|L(N, D) = E + A N^{-\alpha} + B D^{-\beta}$"
OBJECTIVES: Final = {
    "log_huber": "the sum over points of the Huber loss of log residuals",
    "linear_huber": "the sum over points of the Huber loss of residuals",
    "log_lad": "the sum over points of absolute log residuals",
    "linear_squares": "the sum over points of squared residuals",
    "log_squares": "the sum over points of squared log residuals",
}
PHRASES: Final = {form.name: form.phrase for form in (*FORMS.values(), REPEATED)}
"""What stands beside the main form, by the names of the estimators."""


def paragraph(
    s: Settings, fit: FitJson, study: StudyDocument, variants: Sequence[str]
) -> Iterator[str]:
    """The sentences of the law's paragraph; arguments as `laws.spec.LawSpec` says."""
    points = "final losses"
    if study["points"] == "checkpoints":
        share = s["checkpoints_from"]
        after = f" from {share:.3g} of its tokens on" if isinstance(share, float) and share else ""
        points = f"every logged loss of each run{after}"
    counted = "count" in fit.get("certificate", {})
    spent = (
        "the study's own count of FLOPs follow from the condition of Lagrange."
        if counted
        else r"$6ND = C|6ND = C$ follow in closed form."
    )
    form = form_of(fit)
    law = SURFACE if form is CHINCHILLA else form.formula
    yield (
        f"Parametric surface [@hoffmann2022, section 3.3]. {law} was fitted to the {points} "
        f"of all runs at once; N and D that minimise it under {spent}"
    )
    if form is not CHINCHILLA:
        yield (
            f"This form, {form.phrase}, was chosen among those fitted by how well it predicted "
            f"larger runs on the held-out ladder; {CHINCHILLA.title} [@hoffmann2022] stands beside "
            "it."
        )
    objective, delta = s["objective"], s["huber_delta"]
    if objective:
        used = fit.get("certificate", {}).get("huber_delta", delta)
        value = number(used) if isinstance(used, float) else used
        size = f" (δ = {value})" if used and "huber" in str(objective) else ""
        yield f"The objective is {OBJECTIVES.get(str(objective), quoted(objective))}{size}."
    solver = s["solver"]
    if solver == "hoffmann_grid":
        yield "It was minimised by L-BFGS from the 4,500 starts of @hoffmann2022."
    elif solver:
        yield (
            "It was minimised by variable projection [@golub1973] and damped Newton steps to a "
            "vanishing gradient, since optimisers that stop early bias this fit [@besiroglu2024]."
        )
    others, draws = [PHRASES[name] for name in PHRASES if name in variants], s["variant_draws"]
    if others:
        resampled = f", each with {count(draws, 'resample')}" if draws else ""
        yield (
            "Beside it stand other objectives on the same points and other forms "
            f"({'; '.join(others)}){resampled}."
        )
