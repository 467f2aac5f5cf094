"""How fast Snakemake lets jobs begin."""

from __future__ import annotations

from typing import Any, Final

DEFAULT: Final = (100, 1)
"""Jobs and seconds of Snakemake's own `--max-jobs-per-timespan`, which is meant for queues."""


def lift_default(workflow: Any) -> None:
    """Let jobs of this machine begin as they can, where nobody asked for another pace.

    For its default Snakemake looks for jobs once more a second after each that began, and at the
    end of a run it waits until the last such second is over. `workflow` is Snakemake's, which has
    planned nothing yet.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if not workflow.non_local_exec and limit and (limit.max_jobs, limit.timespan) == DEFAULT:
        workflow.scheduling_settings.max_jobs_per_timespan = None
