"""What N at the target depends on: one choice or one part of the runs changed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline import progress
from flopline.audit.changes import Base, parametric_changes
from flopline.audit.estimator_changes import main_params, other_estimators, without_budgets
from flopline.audit.finding import Finding
from flopline.audit.prepared_runs import prepared
from flopline.audit.waste import wasted_at
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import ranked, spec_of
from flopline.numbers import flops_label, humanise, significant
from flopline.options import StudyOptions
from flopline.solvers.surface_family import CHINCHILLA, Form
from flopline.verdict_scale import Verdict, warned_if

DEAR: Final = 0.05
"""Share of compute that a single change may waste before it is warned about."""
BASELINE: Final = 0.05
"""Share of the time, about, before the refits."""


def audit(
    points: pd.DataFrame,
    target_flops: float,
    study: StudyOptions | None = None,
    *,
    estimators: Mapping[str, pd.DataFrame] | None = None,
    vertices: pd.DataFrame | None = None,
    form: Form[Any] = CHINCHILLA,
    family: str = "",
) -> Finding:
    """N at `target_flops` [FLOPs] under other objectives and counts, and without parts of the runs.

    `points` has columns run, params [weights], tokens, flops, loss [nats per token] and maybe
    budget_flops, params_total and params_nonembedding. `study` are its options: the
    parametric law, of `form`, is fitted with its own whole, and runs are grouped into budgets as
    the isoFLOP law groups them; without budgets none is left out. `estimators` are the tables of
    estimators by law, whose rows are measured against the law's own main estimator; `vertices` are
    the isoFLOP fit's, of which each budget in turn is left out. Table changes: one row per refit,
    farthest from its reference first, with its N, the ratio to the reference and the compute
    that it would waste if the reference is right; refits that fail say why.

    Raises FloplineError if the parametric fit of all runs fails.
    """
    study = study or StudyOptions()
    table = prepared(points, study.of(IsoflopOptions), "sensitivity", family)
    with progress.part(BASELINE):
        base = Base.of(table, target_flops, study.of(ParametricOptions), family, form)
    surface, tables = base.surface, estimators or {}
    changes = [*parametric_changes(base), *other_estimators(tables, target_flops)]
    if vertices is not None:
        changes += without_budgets(vertices, target_flops)
    rows = pd.DataFrame([change.row() for change in progress.over(changes, "refits")])
    reference = {law: main_params(tables, law, target_flops) for law in tables}
    reference[PARAMETRIC.name] = float(surface.params_opt(target_flops))
    rows["reference_params"] = rows["law"].map(reference).astype(float)
    rows = rows[rows["reference_params"].notna()].reset_index(drop=True)
    ln_ratio = np.log(rows["params"].astype(float) / rows["reference_params"])
    rows["ratio"] = np.exp(ln_ratio)
    rows["wasted_percent"] = 100 * wasted_at(surface, target_flops, ln_ratio.to_numpy())
    order = ln_ratio.abs().sort_values(ascending=False, kind="stable").index
    best = reference[PARAMETRIC.name]
    return _finding(rows.loc[order].reset_index(drop=True), best, target_flops)


def _finding(rows: pd.DataFrame, best: float, target_flops: float) -> Finding:
    known = rows[rows["params"].notna()]
    mine = known[known["law"] == PARAMETRIC.name]
    failed = len(rows) - len(known)
    numbers = {
        "target_flops": target_flops,
        "params": best,
        "refits": len(rows),
        "refits_failed": failed,
    }
    if mine.empty:
        sentence = "No refit with a changed objective or without a part of the runs succeeds."
        return Finding("sensitivity", Verdict.NOT_CHECKED, sentence, numbers, {"changes": rows})
    worst = known.loc[known["wasted_percent"].idxmax()]
    numbers["worst_wasted_percent"] = float(worst["wasted_percent"])
    ends = (humanise(f(mine["params"])) for f in (min, max))
    sentence = (
        f"Over {len(mine)} refits of the {PARAMETRIC.label} law N at {flops_label(target_flops)} "
        f"FLOPs lies between {' and '.join(ends)} (baseline {humanise(best)})"
    )
    for law in ranked(known["law"].unique()):
        other = known[known["law"] == law]
        if law != PARAMETRIC.name:
            low, high = (
                humanise(f([*other["params"], other["reference_params"].iloc[0]]))
                for f in (min, max)
            )
            sentence += (
                f", over the variants of the {spec_of(law).label} law between {low} and {high}"
            )
    sentence += (
        f"; the change that matters most, {worst['change']}, gives {humanise(worst['params'])} "
        f"instead of {humanise(worst['reference_params'])}, a waste of "
        f"{significant(worst['wasted_percent'], 2)} % if the latter is right"
    )
    sentence += f"; {failed} more refits fail." if failed else "."
    warned = failed or worst["wasted_percent"] > 100 * DEAR
    return Finding("sensitivity", warned_if(warned), sentence, numbers, {"changes": rows})
