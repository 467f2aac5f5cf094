"""What to run next for the line that is followed: one computation for page and terminal.

For a law through the optima of budgets it is one more budget, for one that reads the surface the
run that its audit found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from flopline.audit.next_budget import FEWEST_BUDGETS, NextBudget, next_budget
from flopline.documents import FindingJson
from flopline.laws.spec import spec_of
from flopline.numbers import count, flops_label, humanise, significant
from flopline.results import FamilyResults

BUDGET: Final = "budget"
RUN: Final = "run"
AUDIT: Final = "next_run"
"""The audit that offers runs."""
MOST_SHARE: Final = 0.5
"""Share of the target's compute that a budget or a run may take to be advised: what costs more than
half of the answer is no way to it."""
LEAST_WORTH_PERCENT: Final = 1.0
"""A run that narrows the interval of the size by less is not advised."""
LEAST_SHARE_PERCENT: Final = 0.01
"""A smaller share of the target's compute is not written out."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """One more budget or one more run: `kind` is BUDGET or RUN, `sentence` what it buys.

    `offers` has a row for what could be run, the most useful first; none where all of it would take
    more than MOST_SHARE of the target's compute or where nothing can be weighed, and `sentence`
    says so.
    """

    kind: str
    sentence: str
    offers: pd.DataFrame


def next_step(
    kept: pd.DataFrame,
    findings: Mapping[str, FindingJson],
    law: str,
    target_flops: float,
    grouped: pd.DataFrame | None = None,
) -> NextStep | None:
    """What narrows the size at the target most by `law`, the one that is followed; None if unknown.

    `kept` are the runs of the family, with budget_flops, `findings` those of its audit; `grouped`
    are the runs with the budget_flops that the fit of a law through optima put them into, which
    stand for those of `kept`.
    """
    if "vertices" in spec_of(law).tables:
        runs = kept if grouped is None else grouped
        more = next_budget(runs, target_flops, MOST_SHARE * target_flops)
        if more is not None:
            return _of_budget(more, target_flops)
        dear = next_budget(runs, target_flops)
        if dear is None:
            return NextStep(BUDGET, _no_budget(runs, target_flops), pd.DataFrame())
        return _too_dear(BUDGET, dear.total_flops, target_flops)
    finding = findings.get(AUDIT)
    runs = None if finding is None else finding.get("tables", {}).get("runs")
    if runs is None or runs.empty:
        return None
    within = runs[runs["flops"].astype(float) <= MOST_SHARE * target_flops]
    if within.empty:
        return _too_dear(RUN, float(runs["flops"].min()), target_flops)
    offers = within.sort_values("removed_percent", ascending=False, kind="stable")
    best = offers.iloc[0]
    narrower = 100 * (1 - math.sqrt(1 - float(best["removed_percent"]) / 100))
    if narrower < LEAST_WORTH_PERCENT:
        sentence = (
            "No single run of sizes like these narrows the interval of this size by as much as "
            f"{LEAST_WORTH_PERCENT:g} %: it takes several, or sizes farther from the best of their "
            "budgets."
        )
        return NextStep(RUN, sentence, offers.reset_index(drop=True))
    sentence = (
        f"{humanise(best['params'])} params on {humanise(best['tokens'])} tokens narrow the "
        f"interval of this size by {significant(narrower, 2)} %. The run takes "
        f"{_share(float(best['flops']), target_flops)} of the compute of the target."
    )
    return NextStep(RUN, sentence, offers.reset_index(drop=True))


def _of_budget(more: NextBudget, target_flops: float) -> NextStep:
    sentence = (
        f"A budget of {flops_label(more.flops)} FLOPs at {count(more.sizes, 'size')} narrows "
        f"the interval of this size by {significant(more.narrower_percent, 2)} %. It takes "
        f"{_share(more.total_flops, target_flops)} of the compute of the target."
    )
    row = {
        "budget_flops": more.flops,
        "sizes": more.sizes,
        "flops": more.total_flops,
        "narrower_percent": more.narrower_percent,
    }
    return NextStep(BUDGET, sentence, pd.DataFrame([row]))


def grouped_runs(family: FamilyResults, law: str) -> pd.DataFrame | None:
    """The runs with the budgets that the fit of a law through optima put them into, if it is one.

    A table of runs need not name its budgets: the fit finds them.
    """
    return family.table(law, "profiles")


def _no_budget(runs: pd.DataFrame, target_flops: float) -> str:
    """Why one more budget cannot be weighed, and what to do without that."""
    budgets = np.sort(runs["budget_flops"].dropna().astype(float).unique())
    if len(budgets) < FEWEST_BUDGETS:
        have = f"there {'is' if len(budgets) == 1 else 'are'} {count(len(budgets), 'budget')}"
        return (
            f"One more budget cannot be weighed: {have}, and a line through fewer than "
            f"{FEWEST_BUDGETS} has no error that is known. Make them {FEWEST_BUDGETS} or more."
        )
    near = budgets[np.abs(np.log(budgets / target_flops)).argmin()]
    return (
        f"No larger budget is advised: the target, {flops_label(target_flops)} FLOPs, is no larger "
        f"than the largest, {flops_label(float(budgets[-1]))}. More sizes about the best one at "
        f"{flops_label(float(near))} FLOPs, the budget nearest to it, narrow this size."
    )


def _too_dear(kind: str, flops: float, target_flops: float) -> NextStep:
    what = (
        "One more budget above the largest" if kind == BUDGET else "The least of the runs offered"
    )
    sentence = (
        f"No more runs are advised. {what} takes {_share(flops, target_flops)} of the compute of "
        f"the target, and more than {100 * MOST_SHARE:.0f} % is no way to it: train the target "
        "itself, and see that its loss lies in the forecast."
    )
    return NextStep(kind, sentence, pd.DataFrame())


def _share(flops: float, of: float) -> str:
    share = 100 * flops / of
    least = LEAST_SHARE_PERCENT
    return f"{humanise(share, 2)} %" if share >= least else f"less than {least} %"
