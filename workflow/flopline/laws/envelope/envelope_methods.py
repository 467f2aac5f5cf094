"""The envelope law for the methods: what was fitted, with the settings that were used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flopline.documents import FitJson
from flopline.laws.common.methods_text import FRONTIER, POWER_LAWS, Settings, quoted
from flopline.laws.envelope.envelope_law import LAW
from flopline.numbers import count, number
from flopline.study_document import StudyDocument


def paragraph(
    s: Settings, fit: FitJson, study: StudyDocument, variants: Sequence[str]
) -> Iterator[str]:
    """The sentences of the law's paragraph; arguments as `laws.spec.LawSpec` says."""
    curves = (
        "Envelope of training curves [@hoffmann2022, section 3.1]. "
        f"Curves of the {s['split'] or LAW.split(study)} loss"
    )
    width, sigma, kernel = s["smoothing_steps"], s["smoothing_sigma_steps"], s["smoothing_kernel"]
    if width:
        yield (
            f"{curves} were smoothed over windows of {number(width)} optimiser steps"
            + (f" (kernel: {quoted(kernel)}" if kernel else "")
            + (f"; standard deviation {number(sigma)} steps)." if kernel and sigma else ".")
        )
    else:
        yield f"{curves} were taken as logged, without smoothing."
    last, only = s["last_fraction"], s["only_schedule_end"]
    if only and last:
        yield f"Only the last {100 * last:.3g} % of each learning-rate schedule entered."
    frontier, bins = s["frontier"], s["bins"]
    if frontier == "hull":
        yield ("The frontier is the lower convex hull of log loss over log compute [@mcleish2025].")
    elif bins:
        rule = fit.get("certificate", {}).get("rule")
        where = f" (counted: {quoted(rule)})" if rule else ""
        yield (
            "The frontier is the run of lowest loss at each of "
            f"{count(int(bins))} log-spaced amounts of compute{where}."
        )
    yield f"Params and tokens on the frontier were regressed on compute in logs, {POWER_LAWS}."
    floor = s["loss_floor"]
    how = f"fixed at {number(floor)}" if isinstance(floor, (int, float)) else "fitted, not below 0"
    yield f"The loss on the frontier follows {FRONTIER} with E {how}."
