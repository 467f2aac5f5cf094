"""Which form of the surface a parametric fit is of: read from its JSON, and said in words."""

from __future__ import annotations

from typing import Any, Final

from flopline.documents import FitJson
from flopline.solvers.surface_family import CHINCHILLA, FORMS, Form

PUBLISHED: Final = CHINCHILLA.name
"""The estimator of Chinchilla's form where another one is the law of the study."""


def form_of(fit: FitJson) -> Form[Any]:
    """The form of a fitted surface; Chinchilla's where the fit names none."""
    return FORMS[str(fit.get("settings", {}).get("form", PUBLISHED))]


def estimator_of(fit: FitJson) -> str:
    """What the table of estimators calls the main line of a fitted surface."""
    form = form_of(fit)
    if form is not CHINCHILLA:
        return form.name
    return str(fit.get("settings", {}).get("objective", PUBLISHED))


def form_sentence(form: Form[Any]) -> str:
    """A sentence that names the form of the parametric law, for an audit or a figure."""
    formula = f": {form.formula}" if form.formula else ""
    return f"The parametric law is {form.title}{formula}."
