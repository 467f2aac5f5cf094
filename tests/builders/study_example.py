"""What a study of two families left for its figures: every law's fit, findings, runs, decision."""

from __future__ import annotations

import functools

import pandas as pd
from matplotlib.figure import Figure

from flopline.figures.spec import Setting, figure_spec
from flopline.laws.common.fit_result import FitResult
from flopline.laws.registry import LAWS
from flopline.option_groups import groups
from flopline.results import FamilyResults, StudyResults
from flopline.schema import DROPPED, KEPT, RUNS, conform
from tests.builders import fits
from tests.builders.audit_parts import made_up
from tests.builders.curves import curves_of
from tests.builders.designs import GOPHER
from tests.builders.drawn_figures import (
    EXAMPLES,
    LABELS,
    NAMES,
    TARGETS,
    compared,
    family_runs,
    family_surface,
)

PAIR = NAMES[:2]
"""The families of the study."""


def runs_of(family: str) -> pd.DataFrame:
    """The runs of one family."""
    return family_runs(family_surface(family), PAIR.index(family))


@functools.cache
def every_fit(family: str) -> dict[str, FitResult]:
    """The fit of every law to a family; leave them as they are."""
    runs = runs_of(family)
    curves = curves_of(runs, family_surface(family), 60, late=0.2)
    return {
        law: fits.fit(law, fits.taken(law, runs, curves), TARGETS, draws=60, seed=3) for law in LAWS
    }


@functools.cache
def study_results() -> StudyResults:
    """All that figures may need; leave it as it is."""
    audited = made_up("chinchilla")
    of_families = {}
    for family in PAIR:
        findings = {finding["audit"]: finding for finding in audited["findings"]}
        of_families[family] = FamilyResults.of(every_fit(family), findings)
    counts = {"rows_in": 60, "rows_kept": 60, "rows_dropped": 0}
    runs = [runs_of(f).assign(run=lambda t, f=f: f"{f}-" + t["run"], family=f) for f in PAIR]
    table = pd.concat(runs, ignore_index=True).assign(status=KEPT, reason="", **counts)
    of_all = {
        "runs": conform(table, RUNS),
        "dropped": conform(pd.DataFrame(), DROPPED),
        "decision": {"families": compared(PAIR)["entries"], **audited["verdict"]},
    }
    return StudyResults(of_families, of_all)


def example(name: str, width: str = "page") -> Figure:
    """The figure called `name`: as EXAMPLES has it, else as a job draws it for this study."""
    if name in EXAMPLES:
        return EXAMPLES[name](width)
    return drawn_for_study(name, width)


def drawn_for_study(name: str, width: str = "page") -> Figure:
    """The figure called `name`, of the first family where it is drawn for each."""
    spec = figure_spec(name)
    study = {
        "families": {family: LABELS[family] for family in PAIR},
        "targets": [GOPHER],
        "loss_label": "Validation loss",
        "loss_split": "val",
        "points": "final",
        **{model.group: model().model_dump() for model in groups()},
    }
    family = PAIR[0] if spec.per_family else ""
    return spec.draw(study_results(), Setting(study, family, width, synthetic=True))
