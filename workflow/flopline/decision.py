"""The decision: every law and estimator side by side at every target, and one recommended line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.agreement import agreement, between, cost_percent, too_wide, unranked
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import surface_of
from flopline.bearing import (
    FURTHEST,
    WITHOUT_WIDTH,
    Span,
    apart,
    barred,
    bounds_of,
    failing_forecasts,
    many_epochs,
    misfits,
    predictions,
    refuted_beside,
    silence,
    span_of,
)
from flopline.choice import (
    BESIDE,
    CAVEAT,
    Choice,
    choose,
    held_out,
    line_name,
    refused,
    rule,
    steps_of,
)
from flopline.clean.magnitudes import USUAL_TOKENS_PER_PARAM
from flopline.documents import (
    SCHEMA_VERSION,
    ChoiceJson,
    ComparisonJson,
    EstimateJson,
    FewRunsJson,
    FitsJson,
    ForecastJson,
    HeadlineJson,
    SilenceJson,
    VerdictJson,
    number_in,
)
from flopline.doubtful_losses import doubts_of_loss, doubts_of_training
from flopline.errors import FloplineError, clause_of
from flopline.family_comparison import Beside, few_runs, loss_law
from flopline.forecast.fitted_ladder import ladder_tables
from flopline.forecast.stated import COLUMNS as FORECAST
from flopline.forecast.stated import columns, holding, to_json
from flopline.forecast.target import TargetForecast, at_targets
from flopline.laws.common.fit_result import ENDS, FAILED, estimate_json, plain
from flopline.laws.parametric.parametric_fit import MIN_LEVELS, RAY, token_spread
from flopline.laws.spec import ESTIMATORS, Says, spec_of, surface_law
from flopline.numbers import factor, flops_label, has_no_width, humanise, significant
from flopline.planner import at_budget, read_line
from flopline.reach import LONG, farther
from flopline.results import FamilyResults
from flopline.schema import QUANTITIES
from flopline.surfaces.chinchilla import LossSurface

STATED: Final = ("a", "b", *QUANTITIES)
"""What every row says, each with the ends of its intervals."""
HELD_OUT: Final = ("wasted_percent", "loss_error_percent")
"""What the ladder says of a line, as means over its steps."""
DEGENERATE: Final = 1e6
"""Condition number of the scaled J'J from which it is told beside the headline: ten times that from
which a fit warns (parametric_fit.ILL_CONDITIONED)."""


def decide(
    results: Mapping[str, FamilyResults],
    targets: Sequence[float],
    labels: Mapping[str, str],
    spans: Mapping[str, Span],
    options: AuditOptions | None = None,
    *,
    comparable: bool = False,
    first: str | None = None,
    runs: pd.DataFrame | None = None,
    loss_split: str = "",
) -> tuple[pd.DataFrame, VerdictJson]:
    """The decision table and its verdict, by `choice.rule`.

    `results`, `labels` and `spans`, what the runs span, are by family, `targets` budgets [FLOPs];
    of the `options` of the audit the price counts. Families are ranked where their losses are
    `comparable`; where they are not, or where `first` names one, that one has the headline, else
    the first that has a line. Of `runs`, with columns family, flops and loss, those of a family
    without a law of its own are set beside the headline's loss law, where losses are comparable.
    `loss_split` is the split whose loss laws state that name none of their own.

    The table has one row per family, target, law and estimator; `main` marks a
    law's main line, held_out_* what the ladder says of it, cost_* what following it would waste if
    the recommended line is right. The verdict holds the headline at the first target, the rule, the
    choice of every family and target, how far the laws agree, how the families compare, and which
    laws could not be fitted.

    Returns the table and the verdict, which is ready for JSON.
    """
    table = pd.DataFrame(
        [
            row
            for family, known in results.items()
            for row in _rows(family, known, spans[family], targets, loss_split)
        ]
    )
    if len(table):
        table = _with_forecasts(table)
    forecast = {family: forecasts_of(known) for family, known in results.items()}
    failing = {family: failing_forecasts(known.findings) for family, known in results.items()}
    price_per_flop = (options or AuditOptions()).price_per_flop
    choices, agreements = [], []
    unanswered: list[tuple[str, float, pd.DataFrame, pd.Series]] = []
    groups = list(table.groupby(["family", "budget_flops"], sort=False).groups.items())
    for (family, budget), rows in groups:
        known = results[family]
        surface = _surface(known)
        if budget in forecast[family]:
            stated = columns(table.loc[rows], forecast[family][budget])
            table.loc[rows, list(FORECAST)] = stated
        lines, span = table.loc[rows], spans[family]
        held, its_failing = predictions(known.findings), failing[family]
        reasons = barred(lines, span, bounds_of(known), held, its_failing, loss_split)
        choice = choose(lines, known.findings, reasons.to_dict())
        if choice.basis in ("order", "only"):
            # Nothing was held out: what the laws and their forms say apart is all there is.
            borne = lines[reasons == ""]
            reasons = reasons.mask(reasons == "", apart(borne, span, misfits(known)))
            if reasons[choice.line]:
                choice = choose(lines, known.findings, reasons.to_dict())
        table.loc[rows, "barred"] = reasons
        if choice.line is None and (lines["status"] != FAILED).any():
            unanswered.append((str(family), float(budget), lines, reasons))
        _add_held_out(table, rows, held_out(known.findings), choice.steps)
        if choice.line is not None:
            table.loc[choice.line, "recommended"] = True
            right = float(table.loc[choice.line, "params"])
            wasted = cost_percent(table.loc[rows, "params"], right, surface, float(budget))
            table.loc[rows, "cost_percent"] = wasted
            table.loc[rows, "cost_flops"] = wasted / 100 * budget
        lines = table.loc[rows].assign(
            cost_money=table["cost_flops"] * (price_per_flop or math.nan)
        )
        choices.append(_choice(family, float(budget), lines, choice))
        counted = any(fit.get("certificate", {}).get("count") for fit in known.fits.values())
        compared = agreement(family, float(budget), lines, choice.line, surface, counted)
        agreements.append(compared)
    silent: list[SilenceJson] = []
    for family, budget, lines, reasons in unanswered:
        some = bool(table.loc[table["family"] == family, "recommended"].any())
        within = some or _some_line_within(lines, results[family], spans[family])
        silent.append(silence(family, budget, lines, reasons, spans[family], within=within))
    if price_per_flop is not None:
        table["cost_money"] = table["cost_flops"] * price_per_flop
    families = _families(table, targets, labels, results, comparable)
    headlines = _headlines(table, targets, results, spans)
    head = _first(headlines, families, first)
    verdict: VerdictJson = {
        "schema_version": SCHEMA_VERSION,
        "headline": head,
        "others": [] if comparable else [h for h in headlines if h is not head],
        "few_runs": _few_runs(results, runs, labels, spans, head) if comparable else [],
        "silent": silent,
        "all_lines_together": [
            {"family": family, **to_json(made)}
            for family, by_budget in forecast.items()
            for made in by_budget.values()
        ],
        "why_not_together": BESIDE if any(forecast.values()) else "",
        "rule": rule(list(table["law"].unique()) if len(table) else []),
        "caveat": CAVEAT,
        "choices": choices,
        "agreement": agreements,
        "families": families,
        "not_fitted": unfitted({f: known.fits for f, known in results.items()}, labels),
    }
    written: VerdictJson = plain(verdict)
    return table, written


def _some_line_within(lines: pd.DataFrame, known: FamilyResults, span: Span) -> bool:
    """Whether the runs bear some law at the compute of the largest; `lines` are those of a target.

    Where no law says its line there, nothing tells that they do not.
    """
    at_largest = []
    for line in lines[lines["main"] & (lines["status"] != FAILED)].to_dict("records"):
        law = str(line["law"])
        if law in known.draws and not known.draws[law].empty:
            made = at_budget(read_line(known.fits[law], known.draws[law]), span.largest_flops)
            ends = {
                f"{name}_{end}": getattr(value, end)
                for name, value in made.values.items()
                for end in ENDS
            }
            points = {name: value.point for name, value in made.values.items()}
            forecast = dict.fromkeys(FORECAST, math.nan)
            at_largest.append(
                {**line, **points, **ends, **forecast, "budget_flops": made.budget_flops}
            )
    if not at_largest:
        return True
    reasons = barred(pd.DataFrame(at_largest), span, bounds_of(known))
    return bool((reasons == "").any())


def _with_forecasts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with room for forecasts, before what holds if the law holds: to be read first."""
    names = list(table)
    at = names.index(STATED[0])
    table = table.reindex(columns=[*names[:at], *FORECAST, *names[at:]])
    return table.astype(dict.fromkeys(FORECAST, float))


def forecasts_of(known: FamilyResults) -> dict[float, TargetForecast]:
    """What a family's held-out ladder lets one forecast, by target [FLOPs]; empty without one."""
    tables = ladder_tables(known)
    if tables is None:
        return {}
    numbers = known.findings["ladder"]["numbers"]
    return {made.budget_flops: made for made in at_targets(tables, numbers)}


def demand_a_fit(fits: Mapping[str, FitsJson], runs: pd.DataFrame | None = None) -> None:
    """FloplineError where no law could be fitted to any family; `fits` are by family and law.

    `runs`, as `span_of` takes them and with a column family, say what would mend it.
    """
    all_fits = [fit for laws in fits.values() for fit in laws.values()]
    if any(fit["status"] != FAILED for fit in all_fits):
        return
    reasons = dict.fromkeys(clause_of(str(fit["message"])) for fit in all_fits)
    groups = [] if runs is None else [of for family, of in runs.groupby("family") if family in fits]
    missing = dict.fromkeys(filter(None, map(_missing_runs, groups)))
    mend = "; ".join(missing) or "add runs, or choose other `laws` in the study file"
    raise FloplineError(
        f"no law could be fitted, so there is no report ({'; '.join(reasons)}): {mend}."
    )


def _missing_runs(runs: pd.DataFrame) -> str:
    """What would let a law be fitted to the runs of one family, where they themselves tell.

    That is where their losses do not fall with compute, or N and D are one variable; else empty.
    """
    if rise := span_of(runs).rise:
        return (
            f"{rise}; see that the column of the loss holds a loss, which falls as runs grow, and "
            "not an accuracy"
        )
    params, tokens, flops = (runs[c].to_numpy(dtype=float) for c in ("params", "tokens", "flops"))
    if len(runs) < MIN_LEVELS:
        return ""
    ratio = tokens / params
    if flops.max() / flops.min() < 1 + 2 * RAY and not has_no_width(params.min(), params.max()):
        return (
            f"every run has {flops_label(float(np.median(flops)))} FLOPs, so that nothing tells "
            f"what grows with compute; add such runs at {MIN_LEVELS - 1} other budgets or more"
        )
    if has_no_width(params.min(), params.max()):
        alike = f"every run has {humanise(params[0])} params"
    elif has_no_width(tokens.min(), tokens.max()):
        alike = f"every run has {humanise(tokens[0])} tokens"
    elif token_spread(params, tokens) >= RAY:
        return ""
    elif ratio.max() / ratio.min() < 1 + 2 * RAY:
        alike = f"every run has {humanise(float(np.median(ratio)))} tokens per param"
    else:
        alike = "the tokens of every run follow from its params"
    return (
        f"{alike}, so that none trades N against D; at {MIN_LEVELS} or more of these budgets add "
        "runs with a quarter, half, twice and four times the params and as much compute"
    )


def unfitted(fits: Mapping[str, FitsJson], labels: Mapping[str, str]) -> list[str]:
    """A sentence for every law that could not be fitted to a family, with the reason."""
    several = len(fits) > 1
    return [
        f"The {spec_of(law).label} law is not fitted{f' to {labels[family]}' * several}: "
        f"{clause_of(str(fit['message']))}."
        for family, laws in fits.items()
        for law, fit in laws.items()
        if fit["status"] == FAILED
    ]


def _rows(
    family: str, known: FamilyResults, span: Span, targets: Sequence[float], loss_split: str
) -> list[dict[str, object]]:
    """One row per target, law and estimator of a family, targets in their order."""
    rows = []
    for budget in targets:
        for law, lines in known.of_each(ESTIMATORS).items():
            same = [math.isclose(b, budget, rel_tol=1e-9) for b in lines["budget_flops"]]
            for line in lines[same].to_dict("records"):
                about = {
                    "family": family,
                    "law": law,
                    "extrapolation": budget / span.largest_flops,
                    "below_data": span.smallest_flops / budget,
                    "grade": span.reach(budget).grade.name,
                    "loss_split": known.fits[law].get("settings", {}).get("split") or loss_split,
                }
                rows.append(_row(about, known, line, float(budget)))
    return rows


def _row(
    about: Mapping[str, object], known: FamilyResults, line: Mapping[Any, Any], budget: float
) -> dict[str, object]:
    """The row of one line at one target; `about` says its family, its law and how far beyond, or
    below, the runs the target lies.
    """
    law = str(about["law"])
    fit = known.fits[law]
    row: dict[str, object] = {
        "family": about["family"],
        "law": law,
        "estimator": line["estimator"],
        "label": line["label"],
        "main": bool(line["main"]),
        "budget_flops": budget,
        "status": line["status"],
        "message": line["message"],
        "recommended": False,
        "barred": "",
        "refused": spec_of(law).says is Says.SURFACE and refused(known.findings),
        "extrapolation": about["extrapolation"],
        "below_data": about["below_data"],
        "grade": about["grade"],
        "loss_split": about["loss_split"],
        "runs": min(fit["n_runs"], fit["n_points"]),
        "held_out_steps": 0,
        "held_out_wasted_percent": math.nan,
        "held_out_loss_error_percent": math.nan,
        "cost_percent": math.nan,
        "cost_flops": math.nan,
    }
    usable = line["status"] != FAILED
    for name in STATED:
        for column in (name, *(f"{name}_{end}" for end in ENDS)):
            row[column] = float(line[column]) if usable else math.nan
    return row


def _add_held_out(
    table: pd.DataFrame, rows: Sequence[Any], steps: pd.DataFrame, shared: Sequence[float]
) -> None:
    """What the ladder says of each line, over the shared steps if it has them all, else its own."""
    records = []
    for line in table.loc[rows, ["law", "estimator", "main"]].to_dict("records"):
        mine = steps_of(line, steps)
        same = mine[mine["largest_flops"].isin(shared)] if shared else mine
        mine = same if shared and len(same) == len(shared) else mine
        record = {name: float(mine[name].astype(float).mean()) for name in HELD_OUT}
        records.append({"steps": len(mine), **record})
    for name in ("steps", *HELD_OUT):
        table.loc[rows, f"held_out_{name}"] = [record[name] for record in records]


def _surface(known: FamilyResults) -> LossSurface | None:
    """The surface whose exponents price a wrong size; None where there is none to trust."""
    law = surface_law(known.fits)
    if law is None or refused(known.findings):
        return None
    try:
        return surface_of(known.fits[law])
    except FloplineError:
        return None


def _choice(family: str, budget: float, lines: pd.DataFrame, choice: Choice) -> ChoiceJson:
    """One choice for the verdict: names, the sentence, and what the runner-up would have said."""
    sentence, law, estimator = choice.why, None, None
    if choice.line is not None:
        law, estimator = lines.loc[choice.line, ["law", "estimator"]]
    if choice.runner_up is not None:
        other = lines.loc[choice.runner_up]
        sentence += (
            f" The runner-up, the {line_name(other)} line, says {humanise(other['params'])} "
            f"params on {humanise(other['tokens'])} tokens and a loss of "
            f"{significant(other['loss'])}."
        )
    return {
        "family": family,
        "budget_flops": budget,
        "law": law,
        "estimator": estimator,
        "basis": choice.basis,
        "short": choice.why,
        "sentence": sentence,
        "forecast": None if choice.line is None else forecast_of(lines.loc[choice.line]),
    }


def _families(
    table: pd.DataFrame,
    targets: Sequence[float],
    labels: Mapping[str, str],
    results: Mapping[str, FamilyResults],
    comparable: bool,
) -> list[ComparisonJson]:
    """How the families compare at each target.

    Returns nothing for a target at which too few families have a line.
    """
    if not comparable:
        return [unranked(budget) for budget in targets] if len(labels) > 1 else []
    entries = [
        between(table[table["budget_flops"] == budget], float(budget), labels, results)
        for budget in targets
    ]
    return [entry for entry in entries if entry is not None]


def _headlines(
    table: pd.DataFrame,
    targets: Sequence[float],
    results: Mapping[str, FamilyResults],
    spans: Mapping[str, Span],
) -> list[HeadlineJson]:
    """The recommended line of every family that has one at the first target."""
    at_first = table[table["budget_flops"] == targets[0]]
    return [
        _headline(
            line, at_first[at_first["family"] == line["family"]], results, spans[line["family"]]
        )
        for _, line in at_first[at_first["recommended"]].iterrows()
    ]


def _first(
    headlines: Sequence[HeadlineJson], families: Sequence[ComparisonJson], named: str | None
) -> HeadlineJson | None:
    """The headline of the study: that of the family named, else of the winner, else the first."""
    budget = headlines[0]["budget_flops"] if headlines else None
    winners = [e["winner"] for e in families if e["budget_flops"] == budget]
    for family in (named, *winners):
        for head in headlines:
            if head["family"] == family:
                return head
    return headlines[0] if headlines else None


def _few_runs(
    results: Mapping[str, FamilyResults],
    runs: pd.DataFrame | None,
    labels: Mapping[str, str],
    spans: Mapping[str, Span],
    head: HeadlineJson | None,
) -> list[FewRunsJson]:
    """Families without a law of their own, beside the loss law of the headline.

    Returns nothing where losses are not comparable or there is no headline.
    """
    if head is None or runs is None:
        return []
    form = head["estimator"] if head["label"] else ""
    if loss_law(results[head["family"]], head["law"], form) is None:
        form = ""
    largest = spans[head["family"]].largest_flops
    beside = Beside(head["family"], head["law"], form, largest)
    return list(few_runs(results, runs, labels, beside))


def _headline(
    best: pd.Series, lines: pd.DataFrame, results: Mapping[str, FamilyResults], span: Span
) -> HeadlineJson:
    """A recommended line with its intervals; `lines` are those of its family and target.

    `warnings` is what must be read beside it: an interval or a condition number that is no answer,
    a target below all runs or farther beyond them than forecasts were tried, another law that runs
    held out refute; empty where there is nothing of that kind.
    """
    known = results[str(best["family"])]
    beside = refuted_beside(best, lines, predictions(known.findings))
    by_law: ForecastJson = {
        "params": _estimate(best, "params"),
        "tokens": _estimate(best, "tokens"),
        "tokens_per_param": _estimate(best, "tokens_per_param"),
        "loss": _estimate(best, "loss"),
    }
    forecast = forecast_of(best)
    return {
        "family": str(best["family"]),
        "law": str(best["law"]),
        "estimator": str(best["estimator"]),
        "label": "" if best["main"] else str(best["label"]),
        "budget_flops": float(best["budget_flops"]),
        "loss_split": str(best["loss_split"]),
        **(forecast or by_law),
        "brackets": "forecast" if forecast else "if the law holds",
        "if_the_law_holds": by_law,
        "reach": span.reach(float(best["budget_flops"])).json(),
        "warnings": "; ".join([*warnings_of(best, known, span), *beside]),
    }


def forecast_of(line: pd.Series | Mapping[Any, Any]) -> ForecastJson | None:
    """What is forecast by a line, None where its forecast lacks the size or the loss.

    The size is the line's own; D and D/N follow N at the line's compute. Their intervals are no
    narrower than those that hold if the law holds.
    """
    size, loss = _estimate(line, "forecast_params"), _estimate(line, "forecast_loss")
    if size["point"] is None or loss["point"] is None:
        return None
    params, tokens, ratio = (float(line[q]) for q in ("params", "tokens", "tokens_per_param"))
    ends = [params / number_in(size, end) for end in ("hi80", "lo80", "hi95", "lo95")]
    return {
        "params": {**size, "point": params},
        "tokens": holding(
            estimate_json(tokens, *(tokens * x for x in ends)), _estimate(line, "tokens")
        ),
        "tokens_per_param": holding(
            estimate_json(ratio, *(ratio * x**2 for x in ends)),
            _estimate(line, "tokens_per_param"),
        ),
        "loss": loss,
    }


def warnings_of(
    line: pd.Series | Mapping[Any, Any], known: FamilyResults, span: Span
) -> Iterator[str]:
    """What must be read beside a line, but for what runs held out say of others, a clause each."""
    certificate = known.fits[str(line["law"])].get("certificate", {})
    yield from filter(None, [too_wide(line), span.odd])
    yield from doubts_of_training(known.findings)
    yield from doubts_of_loss(line, known.fits, known.findings)
    yield from filter(None, [many_epochs(float(line["tokens"]), span.corpus)])
    if has_no_width(float(line["params_lo95"]), float(line["params_hi95"])):
        yield f"the 95 % interval of N that holds if the law holds {WITHOUT_WIDTH}"
    condition = certificate.get("condition") or 0.0
    if condition > DEGENERATE:
        yield (
            f"the parameters trade off all but freely (condition number {condition:.1e}), so other "
            "sizes fit these runs as well"
        )
    low, high = USUAL_TOKENS_PER_PARAM
    if not low <= float(line["tokens_per_param"]) <= high:
        yield (
            f"it has {humanise(line['tokens_per_param'])} tokens per param, where sweeps "
            f"have {low:g} to {high:,.0f}: see that the columns of N and D are not exchanged"
        )
    beyond = float(line["extrapolation"])
    if farther(beyond, LONG.most):
        tried = f", farther than the {FURTHEST:g}× that forecasts were tried over" * (
            farther(beyond, FURTHEST)
        )
        yield (
            f"the target has {factor(beyond)} the compute of the largest run{tried}, and a floor "
            "or a bend of the losses between the two would not show in these runs, so that its "
            "loss is no number to bet on"
        )
    if line["below_data"] > 1:
        yield f"the target lies {factor(line['below_data'])} below the smallest run"


def _estimate(line: pd.Series | Mapping[Any, Any], quantity: str) -> EstimateJson:
    names = (quantity, *(f"{quantity}_{end}" for end in ENDS))
    return estimate_json(*(float(line[name]) for name in names))
