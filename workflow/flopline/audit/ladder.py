"""The held-out ladder: fit the small runs, predict the large ones, budget by budget.

A law can predict losses well and still advise the wrong size, so every step is scored on both:
the losses of larger runs, and the best size at larger budgets, as compute wasted. Two baselines
that fit next to nothing are judged, too, since a law that does not beat them is not worth its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import progress
from flopline.audit.audit_options import AuditOptions
from flopline.audit.baselines import best_runs
from flopline.audit.finding import Finding
from flopline.audit.judges import JUDGES, SURFACE, VALLEYS
from flopline.audit.ladder_fit import LadderFit, Options, Runs
from flopline.audit.ladder_fits import LadderFits, ladder_fits, of_form
from flopline.audit.ladder_predictions import (
    OF_RUNS,
    AllRuns,
    Judge,
    ahead,
    joined,
    optima,
    predicted,
    predicted_runs,
    row_of,
)
from flopline.audit.ladder_scores import compared, ladder_scores
from flopline.audit.prepared_runs import prepared
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.inputs import named
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.stated_form import PUBLISHED
from flopline.laws.spec import LawSpec, Points, spec_of
from flopline.numbers import flops_label, humanise, significant
from flopline.options import StudyOptions
from flopline.remembered import remembered
from flopline.results import LawResults
from flopline.solvers.surface_family import CHINCHILLA, Form
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import Verdict, warned_if

Floats = NDArray[np.float64]

QUANTILES: Final = (0.4, 0.6, 0.8, 0.9)
"""Shares of the runs, by compute, that the steps hold where no budgets are known."""
DRIFTED: Final = 0.05
"""Waste at the target, against the fit of all runs, from which the last step's is warned about."""
WHOLE: Final = 0.1
"""Share of the ladder's time, about, that the fits of all runs take before the first step."""
UNCOVERED: Final = 0.8
"""Share of held-out runs inside the 95 % prediction below which it is warned about."""


def audit(
    points: pd.DataFrame,
    target_flops: float,
    study: StudyOptions | None = None,
    *,
    fitted_to: Mapping[str, pd.DataFrame] | None = None,
    fits: Mapping[str, LawResults] | None = None,
    steps_flops: Sequence[float] | None = None,
    more_targets: Sequence[float] = (),
    family: str = "",
) -> Finding:
    """What the ladder of Chinchilla's form shows, see `build`.

    Returns:
        The finding with its sentences and tables.
    """
    return build(
        points,
        target_flops,
        study,
        fitted_to=fitted_to,
        fits=fits,
        steps_flops=steps_flops,
        more_targets=more_targets,
        family=family,
    ).finding()


def build(
    points: pd.DataFrame,
    target_flops: float,
    study: StudyOptions | None = None,
    *,
    fitted_to: Mapping[str, pd.DataFrame] | None = None,
    fits: Mapping[str, LawResults] | None = None,
    steps_flops: Sequence[float] | None = None,
    more_targets: Sequence[float] = (),
    family: str = "",
) -> Ladder:
    """Fit runs of at most c FLOPs for each c of `steps_flops`, and score what lies above.

    `points` has columns run, params [weights], tokens, flops, loss [nats per token] and maybe
    budget_flops. The JUDGES are fitted at every step, and the laws in `fitted_to`, which says what
    each is fitted to if that is not `points`: other rows of the same runs, or their curves. Each is
    fitted with its options in `study` and as many draws as those of the audit say; of what is in
    `fits` the fit of all runs is taken from there. Runs are grouped into budgets as isoFLOP groups
    them. Without `steps_flops` the steps are the budgets, or shares of the runs.
    Tables: scores (one row per law: means over the steps at which all are fitted), steps (one row
    per law and step: error, bias and coverage of the loss of larger runs and of the best loss at
    larger budgets, waste there, N at the target), optima (N and loss predicted and seen per larger
    budget) and predictions of the surface (one row per step and held-out run). Steps whose fit
    fails say so. Table ahead: what the fits of all runs predict at the target and at
    `more_targets`.

    Raises FloplineError if the surface of all runs cannot be fitted or no step leaves runs on both
    sides.
    """
    study = study or StudyOptions()
    grouping = study.of(IsoflopOptions)
    table = prepared(points, grouping, "the ladder", family)
    flops = table["flops"].to_numpy()
    steps = sorted(steps_flops) if steps_flops else default_steps(table)
    steps = [float(c) for c in steps if flops.min() <= c < flops.max()]
    if not steps:
        raise FloplineError(
            f"the ladder needs a step with runs below and above it, but {named(family)} has runs "
            f"of {flops.min():.3g} to {flops.max():.3g} FLOPs only: name other steps or add runs "
            "at more budgets."
        )
    laws = dict.fromkeys([*JUDGES, *(fitted_to or {})])
    taken = {law: (fitted_to or {}).get(law, points) for law in laws}
    cuts = {law: Cut.of(spec_of(law), rows, grouping, family) for law, rows in taken.items()}
    how = Options(
        target_flops,
        study,
        study.of(AuditOptions).ladder_draws,
        family,
        more_targets=tuple(more_targets),
    )
    with progress.part(WHOLE, "all runs"):
        all_runs = _of_all_runs(table, cuts, how, fits or {})
    mains: dict[str, str] = {}
    for law, estimator in all_runs.laws:
        mains.setdefault(law, estimator)
    budgets = tuple(all_runs.bottoms["budget_flops"].astype(float))
    how = replace(how, budgets_flops=budgets, mains=mains)
    ground = _Ground(table, cuts, how, steps, grouping.budget_tolerance)
    return Ladder(ground, all_runs, _tables_of(ground, all_runs))


@dataclass(frozen=True, slots=True)
class _Ground:
    """The runs of a ladder, what each law is fitted to, and its steps [FLOPs].

    `tolerance` [ln C] is that of a budget.
    """

    table: pd.DataFrame
    cuts: Mapping[str, Cut]
    how: Options
    steps: Sequence[float]
    tolerance: float

    def runs(self, c: float) -> Runs:
        """The runs of at most `c` FLOPs."""
        return _runs(self.table, self.cuts, c, self.edge(c))

    def edge(self, c: float) -> float:
        """The largest FLOPs that count as the budget of a step."""
        return c * math.exp(self.tolerance)

    def step_fits(self, number: int, c: float, form: Form[Any] | None) -> LadderFits:
        """Every law fitted below step `number`, or one form of the surface alone."""
        if form is None:
            return ladder_fits(self.runs(c), self.how, number)
        name = (SURFACE.name, form.name)
        return {name: of_form(form, self.runs(c), self.how, number)}

    def at_one_target(self) -> _Ground:
        """The same for the first target alone: no step is asked for another."""
        return replace(self, how=replace(self.how, more_targets=()))


@dataclass(frozen=True, slots=True)
class Ladder:
    """A ladder that was made: its `tables`, and what it takes to make it again."""

    ground: _Ground
    all_runs: AllRuns
    tables: dict[str, pd.DataFrame]

    def finding(self) -> Finding:
        """What it shows, as an audit states it."""
        return _finding(self.tables, self.all_runs)

    def of_form(self, form: Form[Any]) -> Ladder:
        """The same with another form of the surface as the parametric law, which then comes first.

        It is fitted at every step once more, with draws. Chinchilla's form stays, by its own name.
        Who wastes what is still judged by the published surface, as when the form was chosen.
        """
        if form is CHINCHILLA:
            return self
        ground, (law, published) = self.ground, self.all_runs.reference
        own = (law, form.name)
        everything = ground.runs(math.inf)
        mine = of_form(form, everything, ground.how, 0)
        all_runs = replace(self.all_runs, reference=own, laws={own: mine, **self.all_runs.laws})
        again = _tables_of(ground, replace(all_runs, laws={own: mine}), form)
        tables = {}
        for name, table in self.tables.items():
            if "estimator" in table:
                was = (table["law"] == law) & (table["estimator"] == form.name)
                first = (table["law"] == law) & (table["estimator"] == published)
                kept = table.assign(estimator=table["estimator"].mask(first, PUBLISHED))[~was]
                tables[name] = pd.concat([again[name], kept], ignore_index=True)
            else:
                tables[name] = again[name]
        tables["scores"] = ladder_scores(tables["steps"])
        return Ladder(ground, all_runs, tables)


def _tables_of(
    ground: _Ground, all_runs: AllRuns, form: Form[Any] | None = None
) -> dict[str, pd.DataFrame]:
    """The tables of all steps and `ahead`; with a `form` of that alone as the surface."""
    how, largest = ground.how, float(ground.table["flops"].max())
    budgets = list(dict.fromkeys((how.target_flops, *how.more_targets)))
    unseen = [ahead(fit, budgets, largest) for fit in all_runs.laws.values()]
    of_steps = _step_tables(ground.at_one_target(), all_runs.judge, form)
    return {**of_steps, "ahead": pd.concat(unseen, ignore_index=True)}


@remembered(with_parts=True)
def _step_tables(ground: _Ground, judge: Judge, form: Form[Any] | None) -> dict[str, pd.DataFrame]:
    flops, how = ground.table["flops"].to_numpy(), ground.how
    rows, bottoms, predictions, runs = [], [], [], []
    counted_steps = progress.over(ground.steps, "steps", lambda c: float((flops <= c).sum()))
    for number, c in enumerate(counted_steps):
        step_fits = ground.step_fits(number, c, form)
        held, seed = ground.table[flops > c], how.bootstrap(number).seed
        columns = {name: held[name].to_numpy() for name in OF_RUNS}
        seen = judge.seen_beyond(ground.edge(c))
        predictions.append(predicted(step_fits[judge.reference], held, c, seed))
        for fit in step_fits.values():
            bottoms.append(optima(fit, judge, c, seen, seed))
            runs.append(predicted_runs(fit, columns, c))
            rows.append(row_of(fit, judge, c, held, predictions[-1], bottoms[-1]))
    # Rows come step by step; the table is read law by law.
    names = dict.fromkeys([*judge.target_params, *((row["law"], row["estimator"]) for row in rows)])
    place = {name: k for k, name in enumerate(names)}
    rows.sort(key=lambda row: place[row["law"], row["estimator"]])
    by_step = pd.DataFrame(rows)
    return {
        "scores": ladder_scores(by_step),
        "steps": by_step,
        "optima": joined(bottoms),
        "predictions": pd.concat(predictions, ignore_index=True),
        "runs": joined(runs).astype({"run": ground.table["run"].dtype}),
    }


def default_steps(table: pd.DataFrame) -> list[float]:
    """Largest FLOPs of each budget but the last; shares of the runs where budgets are unknown."""
    if table["budget_flops"].notna().all():
        return [float(c) for c in table.groupby("budget_flops")["flops"].max().iloc[:-1]]
    return sorted({float(table["flops"].quantile(q, interpolation="lower")) for q in QUANTILES})


@dataclass(frozen=True, slots=True)
class Cut:
    """What one law is fitted to, and how the part of it that lies below a step is told.

    `budgets` (rows,) is the budget of each row, NaN outside of budgets, None for a law that takes
    every row or curve for itself.
    """

    spec: LawSpec
    rows: pd.DataFrame
    budgets: pd.Series | None

    @classmethod
    def of(cls, spec: LawSpec, rows: pd.DataFrame, grouping: IsoflopOptions, family: str) -> Cut:
        """The rows of a law, grouped into budgets if it is fitted to the ends of runs."""
        if spec.points is not Points.FINAL:
            return cls(spec, rows, None)
        known = prepared(rows, grouping, spec.label, family)
        budget_of = known.drop_duplicates("run").set_index("run")["budget_flops"]
        return cls(spec, rows, rows["run"].astype(str).map(budget_of))

    def below(self, points: pd.DataFrame, c: float, edge: float) -> pd.DataFrame:
        """The rows of at most `c` FLOPs; of budgets all rows or none, of those up to `edge`.

        Of curves those of the runs in `points`, or where these are no ends of runs the rows.
        """
        if self.budgets is not None:
            loose = self.budgets.isna() & (self.rows["flops"] <= c)
            return self.rows[(self.budgets <= edge) | loose]
        if self.spec.points is Points.CURVES and not points["run"].duplicated().any():
            return self.rows[self.rows["run"].astype(str).isin(points["run"])]
        return self.rows[self.rows["flops"] <= c]


def _runs(table: pd.DataFrame, cuts: Mapping[str, Cut], c: float, edge: float) -> Runs:
    """The runs of at most `c` FLOPs, and those of whole budgets of at most `edge`."""
    points, in_budgets = table[table["flops"] <= c], table[table["budget_flops"] <= edge]
    by_law = {law: cut.below(points, c, edge) for law, cut in cuts.items()}
    return Runs(points, in_budgets, by_law)


def _of_all_runs(
    table: pd.DataFrame,
    cuts: Mapping[str, Cut],
    options: Options,
    fits: Mapping[str, LawResults],
) -> AllRuns:
    laws = ladder_fits(_runs(table, cuts, math.inf, math.inf), options, 0, fits)
    first: dict[str, LadderFit] = {}
    for fit in laws.values():
        first.setdefault(fit.law, fit)
    judge, valleys = first[SURFACE.name], first[VALLEYS.name]
    if not isinstance(judge.surface, LossSurface):
        # It judges all others, so that the ladder makes no sense without it.
        raise FloplineError(f"the {SURFACE.label} fit failed: {judge.message}")
    return AllRuns(
        judge.surface,
        (judge.law, judge.estimator),
        options.target_flops,
        _bottoms(valleys, table, judge.surface),
        "" if valleys.fit is not None else valleys.message,
        laws,
    )


def _bottoms(valleys: LadderFit, table: pd.DataFrame, surface: LossSurface) -> pd.DataFrame:
    """The best size and loss of each budget as they are seen, see `Whole`."""
    if valleys.fit is not None:
        vertices = valleys.fit.tables["vertices"]
        names = ["budget_flops", "params", "loss", "params_se_ln", "loss_se_ln"]
        used = vertices.loc[vertices["used"], names].assign(seen="vertex").reset_index(drop=True)
        for quantity in ("params", "loss"):
            # What is seen lies off the law by its own error and by the scatter between budgets.
            between = valleys.fit.content["certificate"]["between_budgets"][quantity]["sd"]
            used[f"{quantity}_se_ln"] = np.hypot(used[f"{quantity}_se_ln"], between)
        return used
    best = best_runs(table)
    # A single run scatters about its law as all runs do.
    fitted = surface.loss(table["params"].to_numpy(), table["tokens"].to_numpy())
    scatter = float(np.log(table["loss"].to_numpy() / fitted).std())
    return pd.DataFrame(
        {
            "budget_flops": best["flops"],
            "params": np.nan,
            "loss": best["loss"],
            "params_se_ln": np.nan,
            "loss_se_ln": scatter,
            "seen": "best run",
        }
    )


def _finding(tables: dict[str, pd.DataFrame], all_runs: AllRuns) -> Finding:
    steps = tables["steps"]
    law, estimator = all_runs.reference
    mine = steps[(steps["law"] == law) & (steps["estimator"] == estimator)]
    fitted = mine[mine["status"] != FAILED]
    against, beating = compared(tables["scores"])
    target_of_all = all_runs.judge.target_params[all_runs.reference]
    numbers = {
        "steps": len(mine),
        "steps_fitted": len(fitted),
        "target_flops": all_runs.target_flops,
        "target_params_of_all": target_of_all,
        "alpha": np.asarray(all_runs.surface.alpha).item(),
        "beta": np.asarray(all_runs.surface.beta).item(),
        "vertices_absent": all_runs.vertices_absent,
        "beats_baselines": beating,
    }
    if fitted.empty:
        sentence = (
            f"No step of the ladder has enough runs for a {SURFACE.label} fit, so nothing was "
            "predicted"
        )
        sentence += f" by it. {against}" if against else "."
        return Finding("ladder", Verdict.NOT_CHECKED, sentence, numbers, tables)
    first, last = fitted.iloc[0], fitted.iloc[-1]
    errors = _span(significant(x, 2) for x in sorted(fitted["loss_error_percent"]))
    trained = _span(map(flops_label, (first["largest_flops"], last["largest_flops"])))
    sizes = [humanise(x) for x in (first["target_params"], last["target_params"])]
    goes = f"goes from {sizes[0]} to {sizes[1]}" if len(fitted) > 1 else f"is {sizes[0]}"
    sentence = (
        f"Fitted to the runs of at most {trained} FLOPs, the {SURFACE.label} law predicts the "
        f"losses of all larger runs within {errors} % on average, while its N at "
        f"{flops_label(all_runs.target_flops)} FLOPs {goes} and is {humanise(target_of_all)} with "
        f"all runs: the {'last ' * (len(fitted) > 1)}step would have wasted "
        f"{significant(last['target_wasted_percent'], 2)} % there."
    )
    if math.isfinite(last["coverage95"]):
        shares = _span(f"{100 * x:.0f}" for x in sorted(fitted["coverage95"].dropna()))
        sentence += f" Of the larger runs {shares} % lie in their 95 % prediction."
    sentence += f" {against}" if against else ""
    drifted = last["target_wasted_percent"] > 100 * DRIFTED
    uncovered = last["coverage95"] < UNCOVERED
    warned = drifted or uncovered or any(not laws for laws in beating.values())
    return Finding("ladder", warned_if(warned), sentence, numbers, tables)


def _span(words: Iterable[str]) -> str:
    """From the first to the last, or that one number alone where they read the same."""
    first, *_, last = [*words] * 2
    return first if first == last else f"{first} to {last}"
