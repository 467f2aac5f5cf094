"""What guards the results of a study from the planning of a run to its end.

Snakemake asks rules for their inputs when it plans, and the Snakefile gives each rule the input
function `Guard.inputs`. There a run takes its lock, asks for room and sets damaged results aside,
for there alone three things hold. Snakemake knows what it is to do (a run, a dry run, a summary)
and on which machines; while it reads the Snakefile it does not yet. It has not looked at any file;
at `onstart` it has. And it waits for the answer; it does not where it hands events to a plugin of
its logger.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from snakemake_interface_executor_plugins.settings import ExecMode

from flopline.errors import FloplineError
from running.digest import Memory
from running.locks import hold_run, pass_turn, release_run, require_room, take_turn
from running.receipts import (
    FOLDER,
    bring_to_now,
    damaged_results,
    set_aside,
    to_be_made_again,
    unrecorded_results,
)

SNAKEMAKE: Final = Path(".snakemake")
"""The folder of Snakemake's own notes."""


class Guard:
    """Guards the results below one folder, in the process that plans.

    `workflow` is Snakemake's; `begins` is called when a run may begin.
    """

    def __init__(self, workflow: Any, results: Path, begins: Callable[[], None]) -> None:
        self.workflow, self.results, self.begins = workflow, results, begins
        self.guarded: object = None  # the plan for which the results are guarded

    def inputs(self, wildcards: object) -> list[str]:
        """An input function that names no file, and guards the results once for each plan.

        Ends Snakemake with one sentence where a run must not begin.
        """
        if self._is_main() and self.guarded is not self.workflow.dag:
            self.guarded = self.workflow.dag
            try:
                self._act()
            except FloplineError as mistake:
                sys.exit(f"flopline: {mistake}")
            except KeyboardInterrupt:
                sys.exit("flopline: interrupted before the run began.")
        return []

    def demand(self) -> None:
        """End Snakemake with one sentence, before any job begins, if nothing guards the results.

        Snakemake has written its own locks by then, so that other runs in the folder may begin.
        """
        pass_turn()
        if self._is_main() and self.guarded is not self.workflow.dag:
            sys.exit(
                "flopline: Snakemake planned this run without asking its rules for their inputs, "
                "so that nothing guards the results: install its version in requirements.lock."
            )

    def end(self) -> None:
        """Wait until no other run in the folder begins: Snakemake is to remove all of its locks."""
        if self._is_main():
            take_turn(SNAKEMAKE, say)

    def _is_main(self) -> bool:
        """Whether this process plans; those of jobs, here or on a cluster, run under its lock."""
        return bool(self.workflow.exec_mode == ExecMode.DEFAULT)

    def _act(self) -> None:
        # A summary, by which a run in steps is planned, has no executor.
        only_plans = self.workflow.executor_plugin is None or self.workflow.dryrun
        if self.workflow.touch:
            return  # whoever touches results takes them as they are
        if not only_plans:
            hold_run(self.results, self.workflow.non_local_exec, say)
            at_the_end(release_run)
            take_turn(SNAKEMAKE, say)
            at_the_end(pass_turn)
            require_room(self.results, SNAKEMAKE)
            bring_to_now(self.results)
        memory = Memory(self.results / ".outputs.json")
        damaged = damaged_results(self.results, memory)
        memory.save()
        then = "a run would make it again" if only_plans else "it is made again"
        for path in damaged:
            if not only_plans:
                set_aside(path, self.results)
            say(f"{path} was changed or damaged since it was written: {then}.")
        # What a killed job left is made again anyhow.
        unrecorded = unrecorded_results(self.results)
        if unrecorded and not any((SNAKEMAKE / "incomplete").glob("*")):
            many = f" and {len(unrecorded) - 1:,} more results have" if unrecorded[1:] else " has"
            say(
                f"{unrecorded[0]}{many} no record in {self.results / FOLDER}, so that a change by "
                f"hand would not be seen: remove {self.results} to have all of it made again."
            )
        # Alone, Snakemake makes nothing again that all its readers have read.
        again = [*damaged, *to_be_made_again(self.results)]
        self.workflow.dag.forcefiles.update(map(str, again))
        if not only_plans:
            self.begins()


def say(sentence: str) -> None:
    """Print one sentence of ours."""
    print(f"flopline: {sentence}", file=sys.stderr, flush=True)


def at_the_end(function: Callable[[], None]) -> None:
    """Have a function called when Snakemake closes its log, which it does at the end of every run.

    Where it does not come to that, Python calls it at the end of the process.
    """
    from snakemake.logging import logger

    logger.addHandler(_Closing(function))


class _Closing(logging.NullHandler):
    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self.function = function

    def close(self) -> None:
        self.function()
        super().close()
