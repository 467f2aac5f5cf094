"""Snakemake, in steps: where a stage writes the same bytes as before, the chain stops there.

    python workflow/run.py --cores all [any other argument of snakemake]

Snakemake plans once, so that all that depends on a job which runs will run too. If results exist
that would be made again for that reason only, the stages that make tables of the logs are run one
at a time, and the rest is planned anew after each by the content of what it wrote. Otherwise this
is one bare run of Snakemake, which knows by its own plan, before its first job (running/steps.py).
"""

from __future__ import annotations

import gc
import os
import signal
import sys

# Looking for garbage as often as Python does takes a twentieth of a run with nothing to do.
gc.set_threshold(50_000)

from snakemake.cli import main  # noqa: E402

from running.steps import STOPS, ask_for_steps  # noqa: E402

FORCES = {"-f", "--force", "-F", "--forceall", "-R", "--forcerun"}
"""Options with which every step would run the same jobs again."""

ENDS = (signal.SIGINT, signal.SIGTERM)
"""Signals to end."""


def run_in_steps(arguments: list[str]) -> None:
    """Run Snakemake with these arguments; exits as it does."""
    stops = () if FORCES & set(arguments) else STOPS
    handlers = {end: signal.getsignal(end) for end in ENDS}
    while True:
        due: list[str] = []
        ask_for_steps(stops, due.append)
        try:
            main(arguments)
        except SystemExit:
            if not due:
                raise
        ask_for_steps((), due.append)
        for end, handler in handlers.items():
            signal.signal(end, handler)  # what Snakemake set belongs to a run that is over
        if code := fork([*arguments, "--quiet", "all", "--until", due[0]]):
            sys.exit(code)
        stops = stops[stops.index(due[0]) + 1 :]


def fork(arguments: list[str]) -> int:
    """Exit code of one run in a process of its own.

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
    former = {end: signal.signal(end, pass_on) for end in ENDS}
    child = os.fork()
    if child == 0:
        for end, handler in former.items():
            signal.signal(end, handler)
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
