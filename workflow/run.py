"""Snakemake, in steps: where a stage writes the same bytes as before, the chain stops there.

    python workflow/run.py --cores all [any other argument of snakemake]

Snakemake plans once, so that all that depends on a job which runs will run too. If results exist
that would be made again for that reason only, the stages that make tables of the logs are run one
at a time, and the rest is planned anew after each by the content of what it wrote. Otherwise this
is one bare run of Snakemake. Its command line is loaded once and forked for every step.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from snakemake.cli import main

STOPS = ("ingest", "clean", "gather")
"""Stages, in their order, whose results often come out the same: no digest of code is in them."""

FORCES = {"-f", "--force", "-F", "--forceall", "-R", "--forcerun"}
"""Options with which every step would run the same jobs again."""


def run_in_steps(arguments: list[str]) -> None:
    """Run Snakemake with these arguments; exits as it does."""
    for number, stop in enumerate(() if FORCES & set(arguments) else STOPS, start=1):
        rows = planned(arguments)
        # `ok` means: nothing of its own has changed, it only depends on what runs.
        if not any(status == "ok" and rule not in STOPS[:number] for rule, status in rows):
            break
        if any(rule == stop for rule, _ in rows):
            code = fork([*arguments, "--quiet", "all", "--until", stop])
            if code:
                sys.exit(code)
    main(arguments)


def planned(arguments: list[str]) -> list[tuple[str, str]]:
    """Rule and status of every output that a run would make; none if that is unknown."""
    with tempfile.TemporaryFile("w+") as table, Path(os.devnull).open("w") as nowhere:
        if fork([*arguments, "--summary"], table.fileno(), nowhere.fileno()):
            return []  # the run itself prints what is wrong
        table.seek(0)
        lines = [line.rstrip("\n").split("\t") for line in table]
    if not lines or "plan" not in lines[0]:
        return []  # asked for something else than a run, such as --dry-run or --unlock
    header, *rows = lines
    rule, status, plan = (header.index(name) for name in ("rule", "status", "plan"))
    return [(row[rule], row[status]) for row in rows if row[plan] == "update pending"]


def fork(arguments: list[str], out: int = 1, errors: int = 2) -> int:
    """Exit code of one run in a process of its own, which writes to these descriptors.

    Exits when one of the two got a signal to end: what is left would otherwise run all the same.
    """
    signals: list[int] = []
    children: list[int] = []

    def pass_on(number: int, _: object) -> None:
        signals.append(number)
        # A terminal sends Ctrl-C to both.
        for child in children if number == signal.SIGTERM else []:
            os.kill(child, number)

    # Before the fork: a signal that comes at once must find it.
    former = {end: signal.signal(end, pass_on) for end in (signal.SIGINT, signal.SIGTERM)}
    child = os.fork()
    if child == 0:
        for end, handler in former.items():
            signal.signal(end, handler)
        os.dup2(out, 1)
        os.dup2(errors, 2)
        main(arguments)
        sys.exit()  # or main did: either way the exit handlers run that let go of the lock
    children.append(child)
    if signals:
        os.kill(child, signals[0])
    _, status = os.waitpid(child, 0)
    for end, handler in former.items():
        signal.signal(end, handler)
    code = os.waitstatus_to_exitcode(status)
    if signals:
        sys.exit(code if code > 0 else 128 + signals[0])
    return code


if __name__ == "__main__":
    run_in_steps(sys.argv[1:])
