"""`flopline plan`: N, D and loss at any budget, by the law that the study follows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import click
import numpy as np
import pandas as pd

from flopline.bearing import span_of
from flopline.cli.program import in_a_sentence, study_argument
from flopline.cli.study_at_hand import left_by, loaded
from flopline.documents import SilenceJson
from flopline.errors import FloplineError
from flopline.forecast.one_run import RunForecast, of_runs
from flopline.laws.common.fit_result import Estimate
from flopline.laws.spec import spec_of
from flopline.loss_units import words
from flopline.numbers import flops_label, humanise, significant
from flopline.questions import Question, study_answers
from flopline.results import StudyResults
from flopline.schema import KEPT
from flopline.written_numbers import parse_number

INTERVAL: Final = ("lo95", "hi95")


@click.command("plan")
@click.argument("budget")
@study_argument
@click.option("--family", help="Only this family.")
@click.option("--json", "as_json", is_flag=True, help="Numbers for a program.")
@in_a_sentence
def plan_command(budget: str, study: str, family: str | None, as_json: bool) -> None:
    """How many params and tokens BUDGET (training FLOPs, as 1e22) buys best, and the loss.

    By the law that the study follows, from the results of its last run. Sizes have 95 % intervals
    if the law holds; the loss is a forecast that knows how far laws have missed so far.
    """
    flops = parse_number(budget)
    if not 0 < flops < math.inf:
        raise FloplineError(f"a budget is a number of FLOPs such as 1e22, not {budget!r}.")
    document = loaded(study)
    results = left_by(document)
    families = dict(document["families"])
    if family is not None and family not in families:
        raise FloplineError(
            f"the study has no family {family!r}: its families are {', '.join(families)}."
        )
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
    # Of several targets the choice at the nearest one that has a line.
    choices = sorted(
        (choice for choice in decision["choices"] if choice["law"]),
        key=lambda choice: abs(math.log(flops / choice["budget_flops"])),
    )
    answers = study_answers(known, choices, decision["silent"], spans, [Question(flops=flops)])
    return [
        _plan(row, results, _silence(decision["silent"], str(row["family"]), flops))
        for row in answers.to_dict("records")
    ]


def _plan(
    row: Mapping[Any, Any], results: StudyResults, silence: SilenceJson | None
) -> dict[str, Any]:
    family, flops = str(row["family"]), float(row["target_flops"])
    plan: dict[str, Any] = {"family": family, "law": row["law"], "budget_flops": flops}
    if silence is not None or not row["borne"]:
        return {**plan, "refused": silence["sentence"] if silence else _refusal(row["note"])}
    decided = _decided(results.lines, family, flops)
    for name in ("params", "tokens", "tokens_per_param"):
        plan[name] = _estimate(row if decided is None else decided, name)
    if decided is not None and pd.notna(decided["forecast_loss"]):
        plan["loss"] = _estimate(decided, "forecast_loss")
    else:
        forecast = _forecast(row, results)
        stated = forecast.loss() if forecast else Estimate(float(row["loss"]))
        plan["loss"] = {end: _or_none(getattr(stated, end)) for end in ("point", *INTERVAL)}
    return {**plan, "note": row["note"]}


def _decided(lines: pd.DataFrame, family: str, flops: float) -> Mapping[Any, Any] | None:
    """The recommended row of the decision at this very budget, None where it is no target."""
    at = np.isclose(lines["budget_flops"].to_numpy(dtype=float), flops, rtol=1e-9)
    rows = lines[at & (lines["family"] == family) & lines["recommended"].astype(bool)]
    return rows.to_dict("records")[0] if len(rows) else None


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


def _forecast(row: Mapping[Any, Any], results: StudyResults) -> RunForecast | None:
    wanted = pd.DataFrame(
        {"run": ["planned"], "params": [row["params"]], "tokens": [row["tokens"]]}
    )
    try:
        return of_runs(wanted, results.families[str(row["family"])])[0]
    except FloplineError:
        return None


def _silence(silent: list[SilenceJson], family: str, flops: float) -> SilenceJson | None:
    """What the decision says of a budget that lies beyond what the family's runs can say."""
    mine = [entry for entry in silent if entry["family"] == family]
    beyond = [entry for entry in mine if flops > entry["up_to_flops"]]
    return min(beyond, key=lambda entry: abs(math.log(flops / entry["budget_flops"])), default=None)


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
    lines = [
        f"{head} ({spec_of(plan['law']).label} law):",
        f"  params  {_interval(plan['params'])}",
        f"  tokens  {_interval(plan['tokens'])} ({_interval(plan['tokens_per_param'])} per param)",
        f"  loss    {_interval(plan['loss'], significant)} ({loss})",
        "  Brackets are 95 %: of params and tokens if the law holds, of the loss as a forecast.",
    ]
    return "\n".join([*lines, *([f"  Note: {plan['note']}."] if plan["note"] else [])])


def _interval(estimate: Mapping[str, float | None], show: Any = humanise) -> str:
    point, low, high = (estimate[end] for end in ("point", *INTERVAL))
    if low is None or high is None:
        return f"{show(point)} (no interval)"
    return f"{show(point)} [{show(low)}, {show(high)}]"
