"""Every figure from one table of runs, for notebooks: fit with the library's defaults and draw.

No script of the workflow imports this module, which needs every fit (docs/caching.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from flopline.bearing import span_of
from flopline.decision import decide
from flopline.documents import FitsJson
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
from flopline.loss_units import NATS
from flopline.option_groups import groups
from flopline.quick_fits import (
    AUDITS,
    CURVE_COLUMNS,
    DRAWS,
    SEED,
    Settings,
    checked,
    checked_runs,
    each_family,
    family_label,
    findings_of,
    fit_law,
    fit_laws,
    one_family,
    settings_of,
)
from flopline.results import FamilyResults, StudyResults
from flopline.schema import DROPPED, KEPT
from flopline.study_document import StudyDocument

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

FINDINGS: Final = {
    "ladder": ("ladder",),
    "identifiability": ("identifiability", "next_run"),
    "stakes": ("sensitivity",),
    "regret": (),
}
"""The findings that these figures show; others get all."""


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
    runs, name = one_family(checked_runs(table), family)
    given = settings_of(runs, target, budgets, draws, seed)
    fit = fit_law("isoflop", runs, given)
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
    rows, name = one_family(checked(curves, CURVE_COLUMNS, "curves"), family)
    given = settings_of(rows, target, None, draws, seed)
    fit = fit_law("envelope", rows, given)
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
    for name, runs in each_family(checked_runs(table)):
        given = settings_of(runs, target, None, 0, SEED)
        fit = fit_law("parametric", runs, given)
        panels.append(Panel(family_label(name), fit.tables["points"], fit.to_json()))
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
    runs, name = one_family(checked_runs(table), family)
    given = settings_of(runs, target, budgets, draws, seed)
    fit = fit_law("parametric", runs, given)
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
    runs, name = one_family(checked_runs(table), family)
    rows = None
    if curves is not None:
        rows = one_family(checked(curves, CURVE_COLUMNS, "curves"), family)[0]
    given = settings_of(runs, target, budgets, draws, seed)
    fits, failed = fit_laws(runs, given, rows)

    return draw_losscompute(
        {law: fit.to_json() for law, fit in fits.items()} | failed,
        {law: fit.draws for law, fit in fits.items()},
        runs=runs,
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
    runs = checked_runs(table)
    given = settings_of(runs, target, budgets, draws, seed)
    parts = dict(each_family(runs))
    if len(parts) < 2:
        raise FloplineError(
            "The figure of families compares two or more, but the table's column family "
            + ("holds only one." if "family" in runs else "is missing.")
        )
    labels = {name: family_label(name) for name in parts}
    results = {name: FamilyResults.of(fit_laws(part, given)[0]) for name, part in parts.items()}
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
    checked(dropped, tuple(DROPPED), "table of dropped rows", filled=False)
    counts = ("run", "family", "status", "reason", "rows_in", "rows_kept", "rows_dropped")
    checked(runs, counts, "table of runs")
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
    runs = checked_runs(table)
    parts = dict([one_family(runs, family)[::-1]] if spec.per_family else each_family(runs))
    given = settings_of(pd.concat(parts.values()), target, budgets, draws, seed)
    rows = {} if curves is None else dict(each_family(checked(curves, CURVE_COLUMNS, "curves")))
    labels = {family_label(part): family_label(part) for part in parts}
    of_family, fitted, reach = {}, {}, {}
    for part, mine in parts.items():
        fits, failed = fit_laws(mine, given, rows.get(part))
        for law in spec.laws:
            if law not in fits:
                raise FloplineError(_missing(name, law, failed))
        audits = FINDINGS.get(name, AUDITS) if spec.needs.findings else ()
        findings = findings_of(audits, mine, given, fits, failed)
        known = fitted[family_label(part)] = FamilyResults.of(fits, findings)
        of_family[family_label(part)] = replace(known, fits={**known.fits, **failed})
        reach[family_label(part)] = span_of(mine)
    of_all = {"runs": pd.concat([mine.assign(family=family_label(part), status=KEPT)
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


def _common(given: Settings, name: str, drawing: Mapping[str, Any]) -> dict[str, Any]:
    return {"target_flops": given.target, "family_label": family_label(name), **drawing}
