"""Every figure from one table of runs, for notebooks: fit with the library's defaults and draw.

No script of the workflow imports this module, which needs every fit (docs/caching.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flopline.audit import identifiability as of_identifiability
from flopline.audit import ladder as of_ladder
from flopline.audit import next_run, sensitivity
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.bearing import span_of
from flopline.decision import decide
from flopline.documents import FindingJson, FitJson, FitsJson
from flopline.errors import FloplineError
from flopline.figures.cleaning_figure import cleaning as draw_cleaning
from flopline.figures.contours_figure import contours as draw_contours
from flopline.figures.envelope_figure import envelope as draw_envelope
from flopline.figures.families_figure import families as draw_families
from flopline.figures.isoflop_figure import isoflop as draw_isoflop
from flopline.figures.layout import PAGE
from flopline.figures.losscompute_figure import losscompute as draw_losscompute
from flopline.figures.registry import FIGURES
from flopline.figures.spec import Setting, figure_spec
from flopline.figures.style import save
from flopline.figures.surface_figure import Panel
from flopline.figures.surface_figure import surface as draw_surface
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FitResult, failed_json
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.registry import LAWS
from flopline.laws.spec import Points, spec_of
from flopline.loss_units import NATS
from flopline.option_groups import groups
from flopline.options import StudyOptions
from flopline.results import FamilyResults, StudyResults
from flopline.schema import DROPPED, KEPT
from flopline.study_document import StudyDocument
from flopline.verdict_scale import Verdict

__all__ = [
    "cleaning",
    "contours",
    "envelope",
    "families",
    "figure",
    "identifiability",
    "isoflop",
    "ladder",
    "losscompute",
    "save",
    "stakes",
    "surface",
]

DRAWS: Final = 500
"""Bootstrap resamples behind the intervals: enough to look at; give `draws=2000` to print."""
LADDER_DRAWS: Final = 50
AUDITS: Final = ("ladder", "identifiability", "next_run", "sensitivity")
"""The findings that a figure gets here; those below get no more of them than they show."""
FINDINGS: Final = {
    "ladder": ("ladder",),
    "identifiability": ("identifiability", "next_run"),
    "stakes": ("sensitivity",),
}
SEED: Final = 20221
BEYOND: Final = 10.0
"""The target by default is this many times the compute of the largest run, to one digit."""
RUN_COLUMNS: Final = ("run", "params", "tokens", "flops", "loss")
CURVE_COLUMNS: Final = ("run", "params", "step", "tokens", "flops", "loss")


@dataclass(frozen=True, slots=True)
class _Settings:
    """What every fit here takes beside its table."""

    target: float
    budgets: Sequence[float] | None = None
    draws: int = DRAWS
    seed: int = SEED

    @property
    def options(self) -> StudyOptions:
        """The same as the options of a study."""
        return StudyOptions(
            BootstrapOptions(draws=self.draws, seed=self.seed),
            IsoflopOptions(budgets=None if self.budgets is None else tuple(self.budgets)),
            AuditOptions(ladder_draws=min(LADDER_DRAWS, self.draws)),
        )


def isoflop(
    table: pd.DataFrame,
    *,
    target: float | None = None,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
    **drawing: Any,
) -> Figure:
    """IsoFLOP valleys of a table of finished runs and the laws through their bottoms.

    `table` has one row per run: run, params [weights], tokens, flops, loss [nats per token] and
    maybe family and budget [FLOPs]; of several families `family` names the one to draw. `target`
    is the budget to decide for [FLOPs], by default ten times the largest run's. `budgets` [FLOPs]
    group the runs; without them, and without a column, gaps in their compute do. `drawing` goes
    to `figures.isoflop_figure.isoflop`, such as loss_label. Raises FloplineError for a table that
    lacks a column and where no law can be fitted.
    """
    runs, name = _one(_runs(table), family)
    given = _given(runs, target, budgets, draws, seed)
    fit = _fit("isoflop", runs, given)
    return draw_isoflop(
        fit.to_json(),
        fit.tables["vertices"],
        fit.tables["profiles"],
        draws=fit.draws,
        estimators=fit.tables["estimators"],
        **_common(given, name, drawing),
    )


def envelope(
    curves: pd.DataFrame,
    *,
    target: float | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
    **drawing: Any,
) -> Figure:
    """Training curves with their lower envelope; `curves` has one row per logged loss.

    Its columns are run, params, step, tokens, flops, loss and maybe family and horizon_tokens (the
    length of each schedule). Otherwise as `isoflop`.

    Returns the figure. Raises FloplineError as `isoflop` does, and where several families are there
    and none is named.
    """
    rows, name = _one(_checked(curves, CURVE_COLUMNS, "curves"), family)
    given = _given(rows, target, None, draws, seed)
    fit = _fit("envelope", rows, given)
    return draw_envelope(
        fit.to_json(),
        fit.tables["frontier"],
        fit.tables["curves"],
        draws=fit.draws,
        **_common(given, name, drawing),
    )


def surface(
    table: pd.DataFrame, *, target: float | None = None, mesh: bool = True, **drawing: Any
) -> Figure:
    """Loss over params and tokens in three dimensions, a panel for each family of the table.

    `mesh` draws the fitted law through the runs. Otherwise as `isoflop`.
    """
    panels = []
    for name, runs in _each(_runs(table)):
        given = _given(runs, target, None, 0, SEED)
        fit = _fit("parametric", runs, given)
        panels.append(Panel(_label(name), fit.tables["points"], fit.to_json()))
    return draw_surface(panels, show_surface=mesh, **drawing)


def contours(
    table: pd.DataFrame,
    *,
    target: float | None = None,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
    **drawing: Any,
) -> Figure:
    """Contours of the fitted loss with the efficient frontier, and slices at `budgets` [FLOPs].

    Otherwise as `isoflop`.

    Returns the figure. Raises FloplineError as `isoflop` does.
    """
    runs, name = _one(_runs(table), family)
    given = _given(runs, target, budgets, draws, seed)
    fit = _fit("parametric", runs, given)
    return draw_contours(
        fit.to_json(),
        fit.tables["points"],
        budgets=budgets,
        draws=fit.draws,
        **_common(given, name, drawing),
    )


def losscompute(
    table: pd.DataFrame,
    curves: pd.DataFrame | None = None,
    *,
    target: float | None = None,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
    **drawing: Any,
) -> Figure:
    """Lowest loss over compute by isoFLOP and the surface, and by the envelope given `curves`.

    A law that cannot be fitted is left out. Otherwise as `isoflop`.

    Returns the figure. Raises FloplineError for a table that lacks a column, and where several
    families are there and none is named.
    """
    runs, name = _one(_runs(table), family)
    rows = None
    if curves is not None:
        rows = _one(_checked(curves, CURVE_COLUMNS, "curves"), family)[0]
    given = _given(runs, target, budgets, draws, seed)
    fits, failed = _laws(runs, given, rows)

    return draw_losscompute(
        {law: fit.to_json() for law, fit in fits.items()} | failed,
        {law: fit.draws for law, fit in fits.items()},
        seen={law: fit.tables[spec_of(law).frontier.table] for law, fit in fits.items()},
        **_common(given, name, drawing),
    )


def families(
    table: pd.DataFrame,
    *,
    target: float | None = None,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    **drawing: Any,
) -> Figure:
    """The families of a table side by side, with the compute that the others need for one loss.

    `table` has a column family beside those of `isoflop`, with two or more families in it.

    Returns the figure. Raises FloplineError for a table with fewer than two families.
    """
    runs = _runs(table)
    given = _given(runs, target, budgets, draws, seed)
    parts = dict(_each(runs))
    if len(parts) < 2:
        raise FloplineError(
            "The figure of families compares two or more, but the table's column family "
            + ("holds only one." if "family" in runs else "is missing.")
        )
    labels = {name: _label(name) for name in parts}
    results = {name: FamilyResults.of(_laws(part, given)[0]) for name, part in parts.items()}
    spans = {
        name: (float(part["flops"].min()), float(part["flops"].max()))
        for name, part in parts.items()
    }
    reach = {name: span_of(part) for name, part in parts.items()}
    verdict = decide(results, [given.target], labels, reach, comparable=True)[1]
    return draw_families(
        {name: known.fits for name, known in results.items()},
        {name: known.draws for name, known in results.items()},
        verdict["families"],
        spans,
        labels=labels,
        target_flops=given.target,
        **drawing,
    )


def ladder(table: pd.DataFrame, **options: Any) -> Figure:
    """The held-out ladder: laws fitted to the runs below a budget, held against larger ones.

    Options are those of `isoflop`.
    """
    return figure("ladder", table, **options)


def identifiability(table: pd.DataFrame, **options: Any) -> Figure:
    """What the runs can tell: the floor E, the residuals, and the worth of one more run.

    Options are those of `isoflop`.
    """
    return figure("identifiability", table, **options)


def stakes(table: pd.DataFrame, **options: Any) -> Figure:
    """What N depends on, what a wrong N costs, and the bootstrap draws of every law.

    Options are those of `isoflop`.
    """
    return figure("stakes", table, **options)


def cleaning(
    dropped: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    labels: Mapping[str, str] | None = None,
    last_steps: Mapping[str, float] | None = None,
    **drawing: Any,
) -> Figure:
    """What cleaning kept and what it left out; the tables are those of results/<study>/clean/.

    `labels` maps families to their labels; `last_steps` maps a run to its last step, by default
    the last of its dropped rows.
    """
    _checked(dropped, tuple(DROPPED), "table of dropped rows", filled=False)
    counts = ("run", "family", "status", "reason", "rows_in", "rows_kept", "rows_dropped")
    _checked(runs, counts, "table of runs")
    names = sorted(set(runs["family"].dropna().astype(str)))
    last = dropped.groupby("run")["step"].max().dropna() if last_steps is None else last_steps
    steps = {str(run): float(step) for run, step in last.items()}
    return draw_cleaning(runs, dropped, steps, labels=labels or {n: n for n in names}, **drawing)


def figure(
    name: str,
    table: pd.DataFrame,
    curves: pd.DataFrame | None = None,
    *,
    target: float | None = None,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
    loss_label: str = "Validation loss",
    loss_unit: str = NATS,
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Any figure that `figures/registry.py` lists, by its name, as the workflow draws it.

    The laws, findings and comparisons that it needs are made from `table` and, for the envelope,
    from `curves`. Options are those of `isoflop`. Raises FloplineError for a name that is not
    listed, for a law that cannot be fitted if the figure is of that one, and for a figure of what
    cleaning left, which a table of finished runs does not say.
    """
    if name not in FIGURES:
        raise FloplineError(f"No figure is called '{name}': take one of {', '.join(FIGURES)}.")
    spec = figure_spec(name)
    if spec.needs.curves or spec.needs.dropped:
        raise FloplineError(
            f"The figure '{name}' shows what cleaning left, which a table of runs does not say: "
            f"draw it from a study's results, or by notebook.{name} where there is one."
        )
    runs = _runs(table)
    parts = dict([_one(runs, family)[::-1]] if spec.per_family else _each(runs))
    given = _given(pd.concat(parts.values()), target, budgets, draws, seed)
    rows = {} if curves is None else dict(_each(_checked(curves, CURVE_COLUMNS, "curves")))
    labels = {_label(part): _label(part) for part in parts}
    of_family, fitted, reach = {}, {}, {}
    for part, mine in parts.items():
        fits, failed = _laws(mine, given, rows.get(part))
        for law in spec.laws:
            if law not in fits:
                raise FloplineError(_missing(name, law, failed))
        audits = FINDINGS.get(name, AUDITS) if spec.needs.findings else ()
        findings = _findings(audits, mine, given, fits, failed)
        known = fitted[_label(part)] = FamilyResults.of(fits, findings)
        of_family[_label(part)] = replace(known, fits={**known.fits, **failed})
        reach[_label(part)] = span_of(mine)
    of_all = {"runs": pd.concat([mine.assign(family=_label(part), status=KEPT)
                                 for part, mine in parts.items()])}  # fmt: skip
    if spec.needs.decision:
        of_all["decision"] = decide(fitted, [given.target], labels, reach, comparable=True)[1]
    options: Any = {model.group: model().model_dump() for model in groups()}
    facts: StudyDocument = {
        "families": labels,
        "targets": [given.target],
        "loss_label": loss_label,
        "loss_unit": loss_unit,
        "loss_split": "",
    }
    study: StudyDocument = options | facts
    setting = Setting(
        study, next(iter(labels)) if spec.per_family else "", width, synthetic, formulas=True
    )
    return spec.draw(StudyResults(of_family, of_all), setting)


def _missing(name: str, law: str, failed: FitsJson) -> str:
    why = failed[law]["message"] if law in failed else "it takes training curves: give `curves`."
    return f"The figure '{name}' shows the {law} law, which was not fitted: {why}"


def _checked(
    table: pd.DataFrame, columns: Sequence[str], what: str, filled: bool = True
) -> pd.DataFrame:
    missing = [c for c in columns if c not in table]
    if missing:
        raise FloplineError(
            f"The {what} lacks {', '.join(missing)}; its columns are "
            f"{', '.join(map(str, table.columns)) or 'none'}: rename yours, as in "
            f"table.rename(columns={{'yours': '{missing[0]}'}})."
        )
    if filled and table.empty:
        raise FloplineError(f"The {what} has no rows.")
    return table


def _runs(table: pd.DataFrame) -> pd.DataFrame:
    runs = _checked(table, RUN_COLUMNS, "table of runs")
    if "budget" in runs and "budget_flops" not in runs:
        runs = runs.rename(columns={"budget": "budget_flops"})
    return runs.reset_index(drop=True)


def _each(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each family with its runs, in the order of the table; one without a name without a column."""
    if "family" not in runs:
        return [("", runs)]
    names = runs["family"].astype(str)
    return [(name, runs[names == name].reset_index(drop=True)) for name in names.unique()]


def _one(rows: pd.DataFrame, family: str | None) -> tuple[pd.DataFrame, str]:
    """The rows of `family`, or of the only one there is, and its name."""
    parts = dict(_each(rows))
    if family is None and len(parts) == 1:
        name = next(iter(parts))
        return parts[name], name
    if family not in parts:
        asked = "name the one to draw" if family is None else f"'{family}' is none of them"
        raise FloplineError(
            f"The table holds the families {', '.join(parts)}: {asked}, as in "
            f"family='{next(iter(parts))}'."
        )
    return parts[family], family


def _label(name: str) -> str:
    return name or "Runs"


def _given(
    rows: pd.DataFrame,
    target: float | None,
    budgets: Sequence[float] | None,
    draws: int,
    seed: int,
) -> _Settings:
    """What a call of the notebook asked for, with a target a stated factor beyond the runs.

    Returns:
        The settings; without `target`, BEYOND times the largest run's FLOPs in one digit.
    """
    if target is None:
        target = float(f"{BEYOND * float(rows['flops'].max()):.0e}")
    return _Settings(float(target), budgets, draws, seed)


def _common(given: _Settings, name: str, drawing: Mapping[str, Any]) -> dict[str, Any]:
    return {"target_flops": given.target, "family_label": _label(name), **drawing}


def _fit(law: str, rows: pd.DataFrame, given: _Settings) -> FitResult:
    """A law with no more beside its main line than costs nothing, for a look."""
    spec = spec_of(law)
    if spec.points is Points.CURVES and "horizon_tokens" not in rows:
        rows = rows.assign(horizon_tokens=np.nan)
    study = given.options
    own = study.of(spec.model)
    # A fit that is handed no options leaves out what takes long.
    options = None if own == spec.model() else own
    bootstrap = study.of(BootstrapOptions)
    return spec.fitted(rows, [given.target], options, bootstrap=bootstrap, **spec.judged)


def _laws(
    runs: pd.DataFrame, given: _Settings, curves: pd.DataFrame | None = None
) -> tuple[dict[str, FitResult], dict[str, FitJson]]:
    """The laws that can be fitted by name, and those that cannot as failed fits with the reason.

    Those of training curves are fitted where there are `curves`.
    """
    fits: dict[str, FitResult] = {}
    failed: dict[str, FitJson] = {}
    for law in LAWS:
        rows = curves if spec_of(law).points is Points.CURVES else runs
        if rows is None:
            continue
        try:
            fits[law] = _fit(law, rows, given)
        except FloplineError as why:
            failed[law] = failed_json(law, str(why))
    return fits, failed


def _findings(
    audits: Sequence[str],
    runs: pd.DataFrame,
    given: _Settings,
    fits: Mapping[str, FitResult],
    failed: FitsJson,
) -> dict[str, FindingJson]:
    """What these audits find of the runs of one family, each with its tables; why, if nothing.

    Returns:
        One finding per audit, by its name, with the tables beside its sentences.
    """
    law = fits.get("parametric")
    estimators = {n: fit.tables["estimators"] for n, fit in fits.items()}

    def of_next_run() -> Finding:
        assert law is not None
        content = law.to_json()
        return next_run.audit(
            runs,
            surface_of(content),
            content["certificate"]["residual_sd"],
            given.target,
            draws=draws_of(law.draws),
        )

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: of_ladder.audit(runs, given.target, given.options),
        "identifiability": lambda: of_identifiability.audit(
            runs,
            surface_of(law.to_json()) if law is not None else None,
            given.target,
            given.options,
            estimators=estimators,
        ),
        "next_run": of_next_run,
        "sensitivity": lambda: sensitivity.audit(
            runs, given.target, given.options, estimators=estimators
        ),
    }
    findings: dict[str, FindingJson] = {}
    for audit in audits:
        try:
            if law is None:
                raise FloplineError(failed["parametric"]["message"])
            made = makers[audit]()
        except FloplineError as why:
            made = Finding(audit, Verdict.NOT_CHECKED, f"Not made: {why}", {})
        findings[audit] = {**made.to_json(), "tables": made.tables}
    return findings
