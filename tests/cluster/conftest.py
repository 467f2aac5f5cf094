"""A real Slurm cluster and what runs on it leave."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.cluster.tally import TALLY
from tests.conftest import ROOT
from tests.workflow.conftest import Checkout, engine
from tests.workflow.engine import Started

# Written by every job, so different each time and no part of what a study finds.
TIMES = ("logs", "benchmarks")
# A busy machine is no fault: long enough for a job that waits for all others.
PATIENCE_S = 900.0


class Cluster:
    """The running cluster, seen through Slurm's own commands."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self.server = server

    def order(self, words: str) -> None:
        """Have the cluster's server do something, and wait till it is done."""
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(f"{words}\n")
        self.server.stdin.flush()
        assert self.server.stdout.readline() == "done\n"

    def control(self, *words: str) -> str:
        """What scontrol says; a controller that is being restarted is asked again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            done = subprocess.run(["scontrol", *words], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout
            assert "Unable to contact" in done.stderr + done.stdout, done.stderr + done.stdout
            assert time.monotonic() < deadline, "no controller"
            time.sleep(0.5)

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        answer = self.control("--oneliner", "show", "job", number)
        return dict(re.findall(r"(\w+)=(\S*)", answer))

    def jobs_of(self, checkout: Checkout) -> list[dict[str, str]]:
        """All jobs of a checkout so far in their order, finished ones too."""
        answer = self.control("--oneliner", "show", "jobs")
        jobs = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in answer.splitlines()]
        ours = [job for job in jobs if job.get("WorkDir") == str(checkout.folder)]
        return sorted(ours, key=lambda job: int(job["JobId"]))

    def wait_for_state(self, number: str, *states: str) -> None:
        slurm.wait_for(
            lambda: self.job(number)["JobState"] in states,
            f"job {number} {'/'.join(states)}",
            PATIENCE_S,
        )


@contextmanager
def running_cluster(*arguments: str) -> Iterator[Cluster]:
    """A cluster on this machine; `slurm.why_not` says whether one can be started."""
    server = subprocess.Popen(
        [sys.executable, "-m", slurm.__name__, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # An interrupt at the keyboard is for the tests; the server then sees its input end.
        start_new_session=True,
    )
    with server:
        assert server.stdin
        assert server.stdout
        assert server.stdout.readline() == "ready\n", "the cluster did not start"
        yield Cluster(server)
    assert server.returncode == 0
    assert not slurm.CONFIG.exists()
    assert not slurm.STATE.exists()


def snakemake(
    checkout: Checkout, *arguments: str, study: str, profile: str, cache: Path | None
) -> Started:
    """Snakemake as a user would start it on a login node, in the background."""
    return engine().start(
        checkout.folder, *arguments, "--profile", f"profiles/{profile}",
        # No job's output travels between machines here.
        "--latency-wait", "5",
        "--config", f"study={study}",
        environment={} if cache is None else {"SNAKEMAKE_OUTPUT_CACHE": str(cache)},
        output=checkout.folder / "snakemake.log",
        elsewhere=True,
    )  # fmt: skip


def printed(checkout: Checkout) -> str:
    """All that Snakemake said in a checkout on the cluster."""
    return (checkout.folder / "snakemake.log").read_text()


def finish(run: Started, checkout: Checkout) -> None:
    """Wait for the end of a run that must succeed."""
    try:
        code = run.wait(PATIENCE_S)
    finally:
        run.kill()
    assert code == 0, printed(checkout)


def digests(checkout: Checkout, study: str) -> dict[str, str]:
    """sha256 of every file that a study left, times, logs and hidden notes aside."""
    base = checkout.folder / "results" / study
    # What came from a cache as a folder is a link to one.
    paths = [Path(at) / name for at, _, names in os.walk(base, followlinks=True) for name in names]
    files = {path.relative_to(base): path for path in sorted(paths)}
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if name.parts[0] not in TIMES and not any(part.startswith(".") for part in name.parts)
    }


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in TALLY.lines():
        terminalreporter.write_line(line)
