"""A run that is killed again and again, anywhere, leaves in the end what a quiet one leaves.

It is started as a person starts it, by `make`; at a random moment one of its processes is ended, or
all. Nothing is cleared by hand in between.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from running.locks import pids_at
from tests.builders.studies import FAMILIES, study_of, write_study_file
from tests.builders.surfaces import constants_of
from tests.conftest import ROOT
from tests.workflow.conftest import Checkout
from tests.workflow.contents import content, different

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

KILLS, SEED = 30, 18
RESULTS = "results/toy"

LONGEST_S = 300.0
"""Seconds within which a run that nobody disturbs ends, and whatever is waited for comes."""

KINDS = ("group", "main", "job", "make", "any")
"""What is killed: all processes, one that runs Snakemake, a job's, `make` alone, or any one."""

MAIN = re.compile(r"python\S* workflow/run\.py")

GOES_ON = re.compile(r"another run is at work in \S+ \(process (\d+) on")
"""What a start says while a run that lost its `make` goes on."""

WAITS = re.compile(r"is still at work \(process [\d, ]+\): waiting for it")
"""What is said of a job whose run was killed."""

STUDY = study_of(
    {
        "kind": "simulate",
        "seed": 5,
        "rows": 5,
        "noise": {"run": 0.001, "row": 0.0005},
        "families": {
            "ash": {
                "law": constants_of(FAMILIES["ash"]),
                "design": {"budgets": [1e15, 1e16, 1e17], "sizes": 5, "factor": 5.0},
            }
        },
    },
    laws=["isoflop"],
    bootstrap={"draws": 100},
    audit={"ladder_draws": 20},
)


class Run:
    """One start of `make`, with all processes that come of it."""

    def __init__(self, folder: Path, number: int = 0) -> None:
        self.folder = folder
        self.output = folder.with_name(f"printed.{number}")
        ready = Path(sys.prefix) / "ready"  # this environment, which nothing is installed into
        with self.output.open("w") as stream:
            self.make = subprocess.Popen(
                ["make", "-o", str(ready), "run", "STUDY=toy", f"VENV={sys.prefix}"],
                cwd=folder,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.output.read_text()

    def processes(self) -> dict[int, str]:
        """Command lines of all processes that came of this start, by their number."""
        return dict(processes_of(self.make.pid))

    def jobs(self) -> list[int]:
        return pids_at(self.folder / RESULTS / ".jobs.lock")

    def targets(self, kind: str) -> list[int]:
        """What there is at this moment of a kind of process, one of which is to be killed."""
        if kind == "make":
            return [self.make.pid]
        lines = self.processes()
        if kind == "job":
            return [pid for pid in self.jobs() if pid in lines]
        if kind == "main":
            return [pid for pid, line in lines.items() if MAIN.search(line)]
        return list(lines)


def processes_of(session: int) -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                yield int(folder.name), (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended while we looked
            continue


def kill(run: Run, kind: str, rng: np.random.Generator) -> bool:
    """Kill one process of a kind as soon as there is one, or all; false if the run ends first."""
    while not (targets := run.targets(kind)):
        if run.make.poll() is not None:
            return False
        time.sleep(0.01)
    try:
        if kind == "group":
            os.killpg(run.make.pid, signal.SIGKILL)
        else:
            os.kill(int(rng.choice(sorted(targets))), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def until(reached: Callable[[], object], printed: Callable[[], str] = str) -> None:
    limit = time.monotonic() + LONGEST_S
    while not reached():
        assert time.monotonic() < limit, printed()
        time.sleep(0.02)


def ended(run: Run) -> bool:
    return run.make.poll() is not None


def checkout_of(folder: Path) -> Path:
    Checkout.fresh(folder)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy2(ROOT / name, folder)
    write_study_file(folder, "toy", STUDY)
    return folder


def test_killed_anywhere_again_and_again(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = checkout_of(tmp_path / "repo")
    began = time.monotonic()
    quiet = Run(folder)
    until(lambda: ended(quiet), lambda: quiet.printed)
    assert quiet.make.returncode == 0, quiet.printed
    # Long enough that a start gets on by some jobs before it is killed, and short enough that most
    # are killed.
    span = (time.monotonic() - began) / 3
    undisturbed = content(folder, RESULTS)
    assert len(undisturbed) > 50

    rng, runs, killed = np.random.default_rng(SEED), [quiet], Counter()
    waited = files_that_differ = 0
    try:
        while killed.total() < KILLS:
            for name in ("results", ".snakemake"):
                shutil.rmtree(folder / name)
            runs.append(Run(folder, len(runs)))
            while True:
                run = runs[-1]
                kind, is_killed = "", False
                if killed.total() < KILLS:
                    limit = time.monotonic() + rng.uniform(0, span)
                    while time.monotonic() < limit and not ended(run):
                        time.sleep(0.01)
                    kind = KINDS[killed.total() % len(KINDS)]
                    if is_killed := kill(run, kind, rng):
                        killed[kind] += 1
                until(lambda: ended(run), lambda: run.printed)  # noqa: B023
                assert "Traceback" not in run.printed
                waited += bool(WAITS.search(run.printed))
                if run.make.returncode == 0:
                    break
                if goes_on := GOES_ON.search(run.printed):
                    waited += 1
                    until(lambda: not Path(f"/proc/{goes_on[1]}").exists())
                elif kind == "job" or not is_killed:
                    assert "was killed (SIGKILL)" in run.printed, run.printed
                runs.append(Run(folder, len(runs)))
            until(lambda: not any(one.processes() for one in runs))
            files_that_differ += len(different(content(folder, RESULTS), undisturbed))
            assert [str(path) for path in folder.rglob("*.part")] == []
            assert list(folder.glob(".snakemake/locks/*")) == []
            assert (folder / RESULTS / ".lock").read_text() == ""
    finally:
        for run in runs:
            for pid in run.processes():
                os.kill(pid, signal.SIGKILL)
            run.make.wait()
    assert files_that_differ == 0
    record_property("kills", ", ".join(f"{count} of {kind}" for kind, count in killed.items()))
    record_property("starts", f"{len(runs) - 1}, {waited} of them waited for what a kill had left")
    record_property("files that differ", files_that_differ)
