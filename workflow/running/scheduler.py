"""What a cluster's scheduler said of the jobs that it ended."""

from __future__ import annotations

from pathlib import Path


def ended_jobs(logs: Path, since: float) -> list[str]:
    """One sentence for every job that Slurm ended, from the logs below `logs`.

    Logs that were last written before `since` (seconds since 1970) are of earlier runs. A job that
    was cancelled, ran out of time or memory or lost its node says nothing itself: slurmstepd
    writes into its log why it was ended.
    """
    told = []
    for log in sorted(logs.rglob("*.log")):
        if log.stat().st_mtime < since:
            continue
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        reasons = [line for line in lines if line.startswith("slurmstepd")]
        if reasons:
            reason = reasons[0].rpartition("error: ")[2].strip("* ")
            told.append(f"Slurm ended a job: {reason}; more is in {log}.")
    return told
