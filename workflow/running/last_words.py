"""What a run prints at its end: where the report is and what it decides, or why it failed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from flopline.errors import FloplineError
from running.console import Console
from running.failures import ended_jobs

SLURM_LOGS = Path(".snakemake/slurm_logs")


def decision_lines(results: Path, families: Mapping[str, str], synthetic: bool) -> str:
    """The path of the report and the decision below `results`; nothing before there is one.

    `families` are their labels by name; every line of `synthetic` runs says that they are.
    """
    from flopline.decision_lines import headline_lines
    from flopline.storage import read_json

    if not (results / "decision.json").is_file():
        return ""
    try:
        decision = read_json(results / "decision.json")
    except FloplineError as mistake:
        return f"flopline: {mistake}"
    mark = "[synthetic data] " if synthetic else ""
    lines = [f"{mark}{line}" for line in headline_lines(decision, families)]
    return "\n".join([f"\nReport: {results.resolve() / 'report.html'}", *lines])


def print_failures(console: Console, began: float) -> None:
    """Print why each stage failed in a run that `began` then (seconds since 1970)."""
    console.stop()
    sentences = [*console.failures(), *ended_jobs(SLURM_LOGS, began)]
    for sentence in sentences:
        print(f"\nflopline: {sentence}", file=sys.stderr)
    if sentences:
        print("The same command goes on from here.", file=sys.stderr)
