"""The isoFLOP law for the methods: what was fitted, with the settings that were used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from flopline.documents import FitJson
from flopline.laws.common.methods_text import POWER_LAWS, Settings
from flopline.numbers import count, flops_label
from flopline.study_document import StudyDocument

BUDGETS: Final = {
    "nominal": "by their planned budgets",
    "given": "by the budgets given in the configuration",
    "gaps": "by gaps in their compute",
}


def paragraph(
    s: Settings, fit: FitJson, study: StudyDocument, variants: Sequence[str]
) -> Iterator[str]:
    """The sentences of the law's paragraph; arguments as `laws.spec.LawSpec` says."""
    rule, budgets = fit.get("certificate", {}).get("budgets_found_by"), s["budgets"]
    tolerance, least = s["budget_tolerance"], s["min_sizes"]
    grouped = BUDGETS.get("given" if budgets and rule != "gaps" else str(rule), "by compute")
    listed = f" ({', '.join(map(flops_label, budgets))} FLOPs)" if budgets else ""
    within = f", within {100 * tolerance:.3g} % of compute" if tolerance else ""
    yield (
        "IsoFLOP profiles [@hoffmann2022, section 3.2]. Runs were grouped "
        f"{grouped}{listed}{within}."
    )
    enough = f" with at least {count(least, 'size')}" if least else ""
    yield (
        f"At each budget{enough} a least-squares parabola of the loss in ln N, and another in "
        "ln D, gave the optimum. Power laws through these optima, "
        f"{POWER_LAWS}, were fitted in logs, each optimum weighted by its inverse variance "
        "over the bootstrap."
    )
    quality = s["quality"]
    if quality:
        done = "left out" if quality == "exclude" else "used and flagged"
        yield f"Budgets whose optimum a check doubts were {done}."
    if "corrected" in variants:
        yield (
            "The bias of the parabola on the runs' own grids [@czech2026] was estimated from a "
            "fitted loss surface and taken off in a variant."
        )
