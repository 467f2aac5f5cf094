"""On a cluster with an accounting database, where accounts count and sacct tells states."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import accounting, slurm, stories
from tests.cluster.conftest import PATIENCE_S, Cluster, printed, running_cluster
from tests.cluster.stories import DECIDE, TABLE, Quiet

pytestmark = [pytest.mark.cluster, pytest.mark.accounting]

WITH_ACCOUNT = ("--default-resources", f"slurm_account={accounting.ACCOUNT}", "mem_mb=1000",
                "runtime=10", "turn=1")  # fmt: skip
BY_SACCT = ("--slurm-status-command", "sacct")


@pytest.fixture(scope="module")
def counted() -> Iterator[Cluster]:
    hindrance = slurm.why_not(with_accounting=True)
    if hindrance:
        pytest.skip(f"NO SLURM CLUSTER CAN BE STARTED: {hindrance}")
    with running_cluster("accounting") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    return Quiet.ran(tmp_path_factory.mktemp("quiet") / "repo")


def state_by_sacct(number: str) -> str:
    answer = subprocess.run(
        ["sacct", "-X", "--noheader", "--parsable2", "--format=State", f"--jobs={number}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


def test_profile_as_it_is_needs_only_an_account(
    counted: Cluster, quiet: Quiet, tmp_path: Path
) -> None:
    story = stories.cancelled(counted, quiet, tmp_path / "repo", *WITH_ACCOUNT)
    assert "CANCELLED AT" in story.printed
    assert story.jobs["cancelled"]["Account"] == accounting.ACCOUNT
    assert story.same


def test_lost_job_is_noticed_by_sacct(counted: Cluster, quiet: Quiet, tmp_path: Path) -> None:
    story = stories.lost(
        counted, quiet, tmp_path / "repo", "killed process", "hang", *WITH_ACCOUNT, *BY_SACCT
    )
    assert story.jobs["second"]["JobState"] == "COMPLETED"
    assert story.same


def test_cancelled_job_is_not_noticed_by_sacct_and_the_run_waits_for_ever(
    counted: Cluster, quiet: Quiet, tmp_path: Path
) -> None:
    """The plugin's mistake, for which the profile asks squeue: if this fails it is mended."""
    story = quiet.before(DECIDE, tmp_path / "repo")
    with stories.running(story, TABLE, "--verbose", *WITH_ACCOUNT, *BY_SACCT) as run:
        job = stories.trapped(story, DECIDE)
        subprocess.run(["scancel", job.number], check=True)
        slurm.wait_for(
            lambda: state_by_sacct(job.number).startswith("CANCELLED"), "cancelled", PATIENCE_S
        )
        assert state_by_sacct(job.number) == "CANCELLED by 0"
        asked = printed(story.checkout).count("Status query returned")
        slurm.wait_for(
            lambda: (
                run.poll() is not None
                or printed(story.checkout).count("Status query returned") >= asked + 3
            ),
            "asked three times more",
            PATIENCE_S,
        )
        assert run.poll() is None
