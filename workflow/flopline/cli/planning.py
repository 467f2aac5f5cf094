"""`flopline plan`: N, D and loss at any budget, by the law that the study follows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import click

from flopline.bearing import silence_at, span_of
from flopline.cli.program import in_a_sentence, study_argument
from flopline.cli.study_at_hand import left_by, loaded
from flopline.decision import forecast_of
from flopline.documents import ChoiceJson, EstimateJson
from flopline.errors import FloplineError
from flopline.following import choice_at, followed, warnings_at
from flopline.laws.spec import spec_of
from flopline.loss_units import words
from flopline.numbers import flops_label, has_no_width, humanise, significant
from flopline.questions import Question, study_answers
from flopline.results import FamilyResults, StudyResults
from flopline.schema import KEPT
from flopline.sealed.study_evidence import of_this_version
from flopline.units import parse_flops

INTERVAL: Final = ("lo95", "hi95")
STATED: Final = ("params", "tokens", "tokens_per_param", "loss")
"""What a plan states."""
NEGATIVE: Final = re.compile(r"-[\d.]")
"""How a number below 0 begins, which is no option."""


class WithNumbers(click.Command):
    """A command that takes -1 for a number, so that it can say what is wrong with it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, but for numbers below 0."""
        ctx.ignore_unknown_options = any(NEGATIVE.match(arg) for arg in args)
        return super().parse_args(ctx, args)


@click.command("plan", cls=WithNumbers)
@click.argument("budget")
@study_argument
@click.option("--family", help="Only this family.")
@click.option("--json", "as_json", is_flag=True, help="Numbers for a program.")
@in_a_sentence
def plan_command(budget: str, study: str, family: str | None, as_json: bool) -> None:
    """How many params and tokens BUDGET (1e22 FLOPs, "500 PF-days") buys best, and the loss.

    By the law that the study follows, from the results of its last run. Sizes have 95 % intervals
    if the law holds; the loss is a forecast that knows how far laws have missed so far.
    """
    flops = parse_flops(budget)
    if not 0 < flops < math.inf:
        raise FloplineError(
            f"a budget is a number of FLOPs such as 1e22 or '500 PF-days', not {budget!r}."
        )
    document = loaded(study)
    results = left_by(document)
    families = dict(document["families"])
    if family is not None and family not in families:
        raise FloplineError(
            f"the study has no family {family!r}: its families are {', '.join(families)}."
        )
    with of_this_version(document):
        plans = planned(results, flops, [family] if family else list(families))
    if as_json:
        click.echo(json.dumps(plans, indent=2))
        return
    loss = f"{document['loss_label']}, {words(document['loss_unit'])}"
    click.echo("\n\n".join(in_words(plan, families[plan["family"]], loss) for plan in plans))


def planned(results: StudyResults, flops: float, families: list[str]) -> list[dict[str, Any]]:
    """What the law of each of these families says at a budget [FLOPs], ready for JSON.

    Without numbers, and with the reason, where the study's runs bear no answer there.
    """
    runs = results.runs[results.runs["status"] == KEPT]
    known = {name: results.families[name] for name in families}
    spans = {name: span_of(runs[runs["family"] == name]) for name in families}
    decision = results.decision
    plans = []
    for family in families:
        choice = choice_at(decision["choices"], family, flops, known[family].fits)
        silent = [entry for entry in decision["silent"] if entry["family"] == family]
        mine = [entry for entry in decision["choices"] if entry["family"] == family]
        with_line = [entry["budget_flops"] for entry in mine if entry["law"] is not None]
        chosen = [] if choice is None else [choice]
        answers = study_answers(
            {family: known[family]}, chosen, silent, spans, [Question(flops=flops)]
        )
        (row,) = answers.to_dict("records")
        plan: dict[str, Any] = {"family": family, "law": row["law"], "budget_flops": flops}
        silence = silence_at(family, flops, silent, with_line, spans[family])
        if choice is None or silence or not row["borne"]:
            plans.append({**plan, "refused": silence or _refusal(row["note"])})
        else:
            numbers = _numbers(known[family], choice, flops)
            warnings = line_warnings(results, choice, flops)
            plans.append({**plan, **numbers, "note": row["note"], "warnings": warnings})
    return plans


def line_warnings(results: StudyResults, choice: ChoiceJson, flops: float) -> str:
    """What must be read beside the line of a choice at a budget; empty where there is nothing."""
    family = choice["family"]
    runs = results.runs[(results.runs["family"] == family) & (results.runs["status"] == KEPT)]
    lines = results.lines
    mine = lines[lines["family"] == family]
    return warnings_at(results.families[family], mine, choice, flops, span_of(runs))


def _numbers(known: FamilyResults, choice: ChoiceJson, flops: float) -> dict[str, Any]:
    """What the line of a choice says at a budget, as the decision states it at its targets."""
    row = followed(known, str(choice["law"]), str(choice["estimator"])).at(flops)
    by_law = {name: _estimate(row, name) for name in STATED}
    forecast = forecast_of(row)
    if forecast is None:
        return {**by_law, "brackets": "if the law holds"}
    made = cast("Mapping[str, EstimateJson]", forecast)
    stated = {name: {end: made[name][end] for end in ("point", *INTERVAL)} for name in STATED}
    return {**stated, "brackets": "forecast", "if_the_law_holds": by_law}


def _estimate(row: Mapping[Any, Any], name: str) -> dict[str, float | None]:
    """A quantity of a row with its 95 % interval."""
    columns = (name, *(f"{name}_{end}" for end in INTERVAL))
    return {
        end: _or_none(row[column])
        for end, column in zip(("point", *INTERVAL), columns, strict=True)
    }


def _or_none(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def _refusal(reason: str) -> str:
    silence = "These runs do not say"
    if reason.startswith(silence):
        return reason
    return f"{silence}: {reason}." if reason else f"{silence}."


def in_words(plan: Mapping[str, Any], label: str, loss: str) -> str:
    """A plan for a terminal; `label` is the family's, `loss` says split and unit of the loss."""
    head = f"At {flops_label(plan['budget_flops'])} FLOPs, {label}"
    if "refused" in plan:
        return f"{head}: {plan['refused']}"
    forecast = plan["brackets"] == "forecast"
    brackets = "95 % forecasts" if forecast else "95 % intervals if the law holds"
    lines = [
        f"{head} ({spec_of(plan['law']).label} law):",
        f"  params  {_interval(plan['params'])}",
        f"  tokens  {_interval(plan['tokens'])} ({_interval(plan['tokens_per_param'])} per param)",
        f"  loss    {_interval(plan['loss'], significant)} ({loss})",
        f"  Brackets are {brackets}.",
    ]
    if forecast:
        by_law = plan["if_the_law_holds"]
        lines.append(
            f"  If the law holds: params {_interval(by_law['params'])}, "
            f"loss {_interval(by_law['loss'], significant)}."
        )
    beside = [("Warning", plan["warnings"]), ("Note", plan["note"])]
    return "\n".join([*lines, *(f"  {what}: {clause}." for what, clause in beside if clause)])


def _interval(estimate: Mapping[str, float | None], show: Any = humanise) -> str:
    point, low, high = (estimate[end] for end in ("point", *INTERVAL))
    if low is None or high is None:
        return f"{show(point)} (no interval)"
    if has_no_width(low, high):
        return f"{show(point)} [no width: the runs lie on the law to the last digits]"
    return f"{show(point)} [{show(low)}, {show(high)}]"
