"""Whether a run goes in steps: asked once its plan is known, before its first job begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

STOPS: Final = ("ingest", "clean", "gather")
"""Stages, in their order, whose results often come out the same: no digest of code is in them."""

_asked: list[tuple[Sequence[str], Callable[[str], None]]] = []


def ask_for_steps(stops: Sequence[str], tell: Callable[[str], None]) -> None:
    """Have the next run of this process begin nothing where one of `stops` is to run alone first.

    `tell` then gets the name of that stage.
    """
    _asked[:] = [(stops, tell)]


def is_a_step_due(workflow: Any) -> bool:
    """Whether a stage is to run alone before the rest is planned anew; whoever asked is told."""
    for stops, tell in _asked:
        if stop := due_stop(workflow, stops):
            tell(stop)
            return True
    return False


def due_stop(workflow: Any, stops: Sequence[str]) -> str:
    """The first of `stops` in a plan by which results would be made again for no other reason.

    Empty where there is none, as in a first run, or where all that runs has changed itself.
    `workflow` is Snakemake's, and its plan is complete.
    """
    jobs = list(workflow.dag.needrun_jobs())
    planned = {job.rule.name for job in jobs}
    if planned.isdisjoint(stops):
        return ""
    following = {job.rule.name for job in jobs if workflow.async_run(_only_follows(job, workflow))}
    for number, stop in enumerate(stops, start=1):
        if following <= set(stops[:number]):
            break
        if stop in planned:
            return stop
    return ""


async def _only_follows(job: Any, workflow: Any) -> bool:
    """Whether a job has results, and runs only because one before it does."""
    reason, notes = workflow.dag.reason(job), workflow.persistence
    # Of what follows Snakemake has asked no more, since it runs anyhow.
    return bool(
        job.output  # a rule that only names what is wanted has none
        and reason.updated_input_run
        and not (reason.forced or reason.missing_output or reason.updated_input)
        and all([await file.exists() for file in job.output])
        and not notes.params_changed(job)
        and not any(notes.input_changed(job))
    )
