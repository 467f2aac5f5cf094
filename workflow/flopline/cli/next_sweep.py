"""`flopline next`: which runs would narrow the answer most."""

from __future__ import annotations

from typing import Final

import click
import pandas as pd

from flopline.cli.planning import line_warnings
from flopline.cli.program import in_a_sentence, study_argument
from flopline.cli.study_at_hand import left_by, loaded
from flopline.documents import ChoiceJson
from flopline.errors import FloplineError
from flopline.next_step import AUDIT, RUN, NextStep, grouped_runs, next_step
from flopline.numbers import flops_label, humanise, significant
from flopline.results import StudyResults
from flopline.schema import KEPT
from flopline.sealed.study_evidence import of_this_version
from flopline.study_document import StudyDocument

LISTED: Final = 5


@click.command("next")
@study_argument
@click.option("--csv", "as_csv", is_flag=True, help="The whole table, for a job script.")
@click.option("--runs", default=LISTED, show_default=True, help="How many runs to list.")
@in_a_sentence
def next_command(study: str, as_csv: bool, runs: int) -> None:
    """What to run next: the run, or the budget, that narrows the best size at the target most.

    By the law that the study follows, as its page says.
    """
    document = loaded(study)
    with of_this_version(document):
        _offer(document, left_by(document), as_csv, runs)


def _offer(document: StudyDocument, results: StudyResults, as_csv: bool, runs: int) -> None:
    """Print what to run next, family by family, or the table of all."""
    offered = []
    for family, label in document["families"].items():
        sentence, step = advised(results, family, float(document["targets"][0]))
        if not as_csv:
            listed = step is not None and step.kind == RUN and not step.offers.empty
            lines = _lines(step.offers.head(runs)) if step and listed else []
            click.echo("\n".join([f"{label}: {sentence}", *lines]))
        if warnings := warned(results, family, float(document["targets"][0])):
            click.echo(f"Warning: {warnings}.", err=as_csv)
        if step is not None and not step.offers.empty:
            offered.append(step.offers.assign(family=family, kind=step.kind))
    if as_csv:
        if not offered:
            raise FloplineError("nothing tells which runs would help: see the study's report.")
        together = pd.concat(offered, ignore_index=True)
        first = ["family", "kind"]
        together = together[[*first, *(c for c in together if c not in first)]]
        together = whole_counts(together)
        click.echo(together.to_csv(index=False), nl=False)


def whole_counts(offers: pd.DataFrame) -> pd.DataFrame:
    """The offers with params and tokens as whole numbers; those of a budget have none."""
    counts = [name for name in ("params", "tokens") if name in offers]
    return offers.assign(**{name: offers[name].round().astype("Int64") for name in counts})


def advised(results: StudyResults, family: str, target_flops: float) -> tuple[str, NextStep | None]:
    """What the page says to run next for a family, and what that is made of if anything.

    Where the decision follows no line at the target it is which runs would tell.
    """
    decision = results.decision
    for silence in decision["silent"]:
        if silence["family"] == family and silence["budget_flops"] == target_flops:
            return silence["needed"], None
    choice = _choice(results, family, target_flops)
    if choice is None:
        return "No law could be used, so that nothing tells which runs would help.", None
    runs = results.runs[(results.runs["family"] == family) & (results.runs["status"] == KEPT)]
    known, law = results.families[family], str(choice["law"])
    findings = known.findings
    step = next_step(runs, findings, law, target_flops, grouped_runs(known, law))
    if step is not None:
        return step.sentence, step
    return findings[AUDIT]["sentence"] if AUDIT in findings else "No audit offers a run.", None


def warned(results: StudyResults, family: str, target_flops: float) -> str:
    """What must be read beside the line that is followed at the target, empty without any."""
    choice = _choice(results, family, target_flops)
    return "" if choice is None else line_warnings(results, choice, target_flops)


def _choice(results: StudyResults, family: str, target_flops: float) -> ChoiceJson | None:
    choices = [c for c in results.decision["choices"] if c["family"] == family and c["law"]]
    return next((c for c in choices if c["budget_flops"] == target_flops), None)


def _lines(table: pd.DataFrame) -> list[str]:
    header = f"  {'params':>8} {'tokens':>8} {'FLOPs':>10}  share of the variance that it removes"
    return [
        header,
        *(
            f"  {humanise(row['params']):>8} {humanise(row['tokens']):>8} "
            f"{flops_label(row['flops']):>10}  {significant(row['removed_percent'], 2)} %"
            for row in table.to_dict("records")
        ),
    ]
