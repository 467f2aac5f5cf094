"""A real Slurm cluster, and studies that run on it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.workflow.conftest import Checkout

# Written by every job, so different each time and no part of what a study finds.
TIMES = ("logs", "benchmarks")


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
        done = subprocess.run(["scontrol", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        told = self.control("--oneliner", "show", "job", number)
        return dict(re.findall(r"(\w+)=(\S*)", told))

    def jobs(self) -> list[str]:
        """Numbers of all jobs so far in their order, finished ones too."""
        told = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%i"],
            capture_output=True,
            text=True,
            check=True,
        )
        return sorted(told.stdout.split(), key=int)

    def wait_for_state(self, number: str, *states: str) -> None:
        slurm.wait_for(
            lambda: self.job(number)["JobState"] in states, f"job {number} {'/'.join(states)}", 120
        )


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    hindrance = slurm.why_not()
    if hindrance:
        pytest.skip(f"no Slurm cluster can be started: {hindrance}")
    server = subprocess.Popen(
        [sys.executable, slurm.__file__],
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
    checkout: Checkout, *arguments: str, study: str, profile: str = "slurm"
) -> subprocess.Popen[str]:
    """Snakemake as a user would start it on a login node, in the background."""
    log = (checkout.folder / "snakemake.log").open("w")
    return subprocess.Popen(
        [
            sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}",
            # No job's output travels between machines here.
            "--latency-wait", "5",
            *arguments, "--config", f"study={study}",
        ],
        cwd=checkout.folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=log,
        stderr=log,
        text=True,
    )  # fmt: skip


def finish(run: subprocess.Popen[str], checkout: Checkout, seconds: float = 400) -> str:
    """Wait for the end of a run that must succeed; what it said."""
    try:
        code = run.wait(seconds)
    finally:
        run.kill()
    said = (checkout.folder / "snakemake.log").read_text()
    assert code == 0, said
    return said


def digests(checkout: Checkout, study: str) -> dict[str, str]:
    """sha256 of every file that a study left, times and logs aside."""
    base = checkout.folder / "results" / study
    return {
        str(path.relative_to(base)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(base.rglob("*"))
        if path.is_file()
        and path.relative_to(base).parts[0] not in TIMES
        and path.name not in (".digests.json", ".snakemake_timestamp")
    }


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("decision.*"))}
