"""A family of runs with its curves and fits, as the audit stage is handed it (synthetic)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from flopline.audit.audit_options import AuditOptions
from flopline.audit.family_audits import FamilyRuns, audit_family
from flopline.audit.finding import Finding
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.envelope.envelope_options import EnvelopeOptions
from flopline.laws.registry import LAWS
from flopline.laws.spec import spec_of
from flopline.options import StudyOptions
from flopline.results import FamilyResults
from tests.builders import fits
from tests.builders.curves import curves_of, finished, with_rates
from tests.builders.designs import GOPHER, isoflop_runs, runs_at, with_budgets
from tests.builders.surfaces import BESIROGLU

TARGETS = [GOPHER]
"""What the family's laws predict [FLOPs]."""
LADDER_DRAWS = 50
"""Resamples behind each step of the ladder."""
OPTIONS = StudyOptions(
    BootstrapOptions(draws=200, seed=1),
    EnvelopeOptions(bins=200, smoothing_steps=0),
    AuditOptions(compare=(), ladder_draws=LADDER_DRAWS, inference_tokens=(1e13,)),
)
"""Those of a study with few draws."""
BUDGETS = np.geomspace(1e19, 1e21, 5)
"""Budgets of its runs [FLOPs]."""


def points(on_a_ray: bool = False) -> pd.DataFrame:
    """Forty runs of five budgets, or at 20 tokens per param of the same sizes."""
    runs = isoflop_runs(BESIROGLU, BUDGETS, 8, width=5.0, noise=0.003, seed=3)
    if on_a_ray:
        return runs_at(BESIROGLU, runs["params"], 20 * runs["params"], noise=0.003, seed=3)
    return with_budgets(runs)


def logs(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and curves as clean/ holds them: rates that rise over 5 % of a run, then fall to 1 %."""
    curves = curves_of(table, BESIROGLU, np.linspace(0.05, 1, 20))
    return finished(table), with_rates(curves, final=0.01)


def evidence(
    on_a_ray: bool = False,
    laws: Sequence[str] = LAWS,
    options: StudyOptions = OPTIONS,
) -> tuple[FamilyRuns, FamilyResults]:
    """All that the audits take of a family to which `laws` were fitted; one run is held out."""
    table = points(on_a_ray)
    runs, curves = logs(table)
    unseen = runs.tail(1).assign(run="large", flops=1e22, params=1e10, tokens=1e22 / 6e10)
    loss = BESIROGLU.loss(unseen["params"], unseen["tokens"])
    unseen = unseen.assign(loss=loss, status="held_out")
    runs = pd.concat([runs, unseen], ignore_index=True)
    taken = {law: fits.taken(law, table, curves) for law in laws}
    made = {
        law: spec_of(law).fitted(
            taken[law],
            TARGETS,
            options.of(spec_of(law).model),
            bootstrap=options.of(BootstrapOptions),
            **spec_of(law).judged,
        )
        for law in laws
    }
    return FamilyRuns("ash", table, runs, curves, taken), FamilyResults.of(made)


def findings(on_a_ray: bool = False, laws: Sequence[str] = LAWS) -> list[Finding]:
    """All audits of that family, in order."""
    return audited(*evidence(on_a_ray, laws))


def audited(
    known: FamilyRuns, results: FamilyResults, options: StudyOptions = OPTIONS
) -> list[Finding]:
    """All audits of what is known of a family."""
    return audit_family(
        known, results, options, TARGETS, params_convention="total", flops_convention="six_nd"
    ).findings
