"""Which form of the surface is the parametric law of a study: chosen by the held-out ladder.

The forms are fitted side by side. The one whose sizes waste least compute at the optima seen at
larger budgets wins; where that is a tie, or nothing is known of it, the one that predicts the
losses of larger runs best; what is still tied goes to the published form, or where that has lack of
fit to one that has no warning. A power of what lies above the floor changes the losses that a law
predicts far more than its sizes, so that two forms are often tied in the first and ten times apart
in the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.audit.evidence import FEWEST_STEPS, TIE_LOSS_PERCENT, TIE_PERCENT, tied
from flopline.audit.finding import Finding
from flopline.audit.judges import SURFACE
from flopline.errors import FloplineError, clause_of
from flopline.laws.common.fit_result import CONVERGED, FAILED
from flopline.laws.spec import ESTIMATORS
from flopline.numbers import count, significant
from flopline.results import LawResults
from flopline.solvers.surface_family import CHINCHILLA, FORMS, Form
from flopline.verdict_scale import Verdict

PLACE: Final = {name: place for place, name in enumerate(FORMS)}
"""The order in which forms go before others that they are tied with."""
WASTE: Final = "wasted_percent"
LOSSES: Final = "loss_error_percent"
"""Mean error of the losses of all larger runs, in the ladder's table of steps."""

HELD_OUT, TIE, ORDER, ONLY = "held_out", "tie", "order", "only"


@dataclass(frozen=True, slots=True)
class FormChoice:
    """The form that is the parametric law, by what (`basis`) and why, and all forms in a table."""

    form: Form[Any]
    basis: str
    sentence: str
    table: pd.DataFrame

    def finding(self, verdict: Verdict = Verdict.GOOD) -> Finding:
        """As an audit states it."""
        numbers = {"form": self.form.name, "basis": self.basis}
        return Finding("form", verdict, self.sentence, numbers, {"forms": self.table})


def choose(fit: LawResults, steps: pd.DataFrame | None) -> FormChoice:
    """The form of least error on the `steps` of the ladder, of those that `fit` holds.

    `fit` is the published form's with its table of estimators; `steps` is the ladder's table, None
    where there was no ladder.
    """
    status = _status(fit)
    names = [name for name in FORMS if status.get(name, FAILED) != FAILED]
    if not names:
        message = clause_of(str(fit.content["message"]))
        raise FloplineError(f"no form of the surface could be fitted: {message}.")
    certified = fit.content["certificate"].get("misfit")
    misfit = certified is not None and certified["found"]
    order = sorted(names, key=lambda name: (misfit and status[name] != CONVERGED, PLACE[name]))
    waste, losses = (_by_step(steps, names, column, fit) for column in (WASTE, LOSSES))
    table = _table(names, status, waste, losses)
    if len(order) < 2:
        only = FORMS[order[0]]
        sentence = f"No other form than {only.title} could be fitted, so it is the parametric law."
        return FormChoice(only, ONLY, sentence, table.assign(chosen=table["form"] == only.name))
    left, basis = list(order), ORDER
    for errors, least in ((waste, TIE_PERCENT), (losses, TIE_LOSS_PERCENT)):
        shared = _shared(errors, left)
        if len(left) > 1 and shared is not None:
            alike = tied(shared, left, least)
            # Those that were not held out on these steps cannot be preferred by evidence.
            left, basis = alike, HELD_OUT
    if len(left) > 1 and basis == HELD_OUT:
        basis = TIE
    form = FORMS[left[0]]
    sentence = _sentence(form, basis, left, status, waste, losses)
    return FormChoice(form, basis, sentence, table.assign(chosen=table["form"] == form.name))


def _status(fit: LawResults) -> dict[str, str]:
    """The status of every form on the ladder, fitted to all runs; the main line is Chinchilla's."""
    rows = fit.tables[ESTIMATORS].drop_duplicates("estimator")
    names = [CHINCHILLA.name, *rows["estimator"].iloc[1:].astype(str)]
    known = zip(names, rows["status"].astype(str), strict=True)
    return {name: status for name, status in known if name in FORMS and FORMS[name].on_ladder}


def _by_step(
    steps: pd.DataFrame | None, names: Sequence[str], column: str, fit: LawResults
) -> pd.DataFrame:
    """One column of the ladder's steps (steps, forms), NaN where nothing is known."""
    if steps is None or steps.empty:
        return pd.DataFrame(columns=list(names), dtype=float)
    mine = steps[(steps["law"] == SURFACE.name) & (steps["status"] != FAILED)]
    main = str(fit.tables[ESTIMATORS]["estimator"].iloc[0])
    called = mine["estimator"].astype(str).replace({main: CHINCHILLA.name})
    wide = mine.assign(form=called).pivot_table(
        index="largest_flops", columns="form", values=column, aggfunc="first", dropna=False
    )
    return wide.reindex(columns=list(names)).astype(float)


def _shared(errors: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame | None:
    """The steps that two or more of `names` share, None with fewer than FEWEST_STEPS.

    A form that was held out on none of the others' steps is left out.
    """
    known = errors[list(names)]
    known = known.loc[:, known.notna().sum() >= FEWEST_STEPS]
    while known.shape[1] >= 2:
        shared = known.dropna()
        if len(shared) >= FEWEST_STEPS:
            return shared
        known = known.drop(columns=known.notna().sum().idxmin())
    return None


def _table(
    names: Sequence[str], status: dict[str, str], waste: pd.DataFrame, losses: pd.DataFrame
) -> pd.DataFrame:
    """One row per form: status, and means over the steps at which all were fitted."""
    rows = []
    for name in names:
        row: dict[str, object] = {
            "form": name,
            "formula": FORMS[name].formula,
            "status": status[name],
        }
        for column, errors in ((WASTE, waste), (LOSSES, losses)):
            shared = _shared(errors, names)
            there = shared is not None and name in shared
            row[f"{column}_steps"] = len(shared) if there and shared is not None else 0
            row[column] = float(shared[name].mean()) if there and shared is not None else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _sentence(
    form: Form[Any],
    basis: str,
    left: Sequence[str],
    status: dict[str, str],
    waste: pd.DataFrame,
    losses: pd.DataFrame,
) -> str:
    """Which form is the law, and by which evidence.

    Returns:
        One sentence for the finding and the page.
    """
    named = ", ".join(
        filter(None, [f"The parametric law of these runs is {form.title}", form.formula])
    )
    others = [name for name in status if name != form.name and status[name] != FAILED]
    parts = []
    for errors, words in (
        (waste, "wastes {mine} % of compute at larger budgets ({others})"),
        (losses, "misses the losses of larger runs by {mine} % ({others})"),
    ):
        shared = _shared(errors, [form.name, *others])
        if shared is None or form.name not in shared:
            continue
        beside = ", ".join(
            f"{FORMS[name].title} {_percent(shared[name].mean())} %"
            for name in shared
            if name != form.name
        )
        mine = _percent(shared[form.name].mean())
        parts.append(words.format(mine=mine, others=beside))
        steps = len(shared)
    if not parts:
        why = _order_reason(form, status)
        return f"{named}: nothing was held out that could tell forms apart, and {why}."
    over = f"on {count(steps, 'step')} of the held-out ladder it {' and '.join(parts)}"
    if basis == HELD_OUT:
        return f"{named}: {over}."
    rest = " and ".join(FORMS[name].title for name in left[1:])
    return f"{named}: {over}. It is tied with {rest}, and {_order_reason(form, status)}."


def _order_reason(form: Form[Any], status: dict[str, str]) -> str:
    """Why a form goes before those that it is tied with."""
    if form is CHINCHILLA:
        return "it is the published one"
    if status.get(CHINCHILLA.name, FAILED) == FAILED:
        return "it comes first of those that could be fitted"
    return f"it has no warning, while {CHINCHILLA.title} does not fit these runs"


def _percent(value: float) -> str:
    return significant(float(np.abs(value)), 2)
