"""Faults that a scheduler brings: after each of them the tables are those of a quiet run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.cluster.conftest import Cluster, finish, snakemake, tables
from tests.simulate import write_study
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.cluster

FAMILIES = ("ash", "birch", "cedar", "dogwood")
DECISION = "results/toy/decision.csv"
FIRST_MEM_MB = 1000

# Laid before the work of a fit: while a file names the fit's family the job has written half an
# output and hangs, or holds more memory than it asked for.
TRAP = f"""
import os
import time
from pathlib import Path

order = Path("orders") / snakemake.wildcards.family
reached = order.with_suffix(f".{{os.environ.get('SLURM_JOB_ID')}}")
if order.exists():
    Path(snakemake.output.fit).write_text("half a fit")
    reached.write_text(str(os.getpid()))
    if order.read_text() == "hoard":
        hoard = b"x" * {FIRST_MEM_MB * 1_100_000}
        time.sleep(6)
    else:
        while order.exists():
            time.sleep(0.1)
"""


@dataclass(frozen=True, slots=True)
class Quiet:
    """A study that ran without faults on one machine, and its decision."""

    checkout: Checkout
    decision: dict[str, bytes]

    def unfitted(self, folder: Path, *families: str) -> Checkout:
        """A copy of it that has clean runs, but no fit of some families and no decision yet."""
        checkout = self.checkout.copy(folder)
        results = checkout.folder / "results" / "toy"
        for family in families:
            shutil.rmtree(results / "fits" / family)
        for path in results.glob("decision.*"):
            path.unlink()
        (checkout.folder / "orders").mkdir()
        return checkout


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    checkout = Checkout.fresh(tmp_path_factory.mktemp("quiet") / "repo")
    write_study(checkout.folder, families=FAMILIES, laws=["isoflop"])
    checkout.edit("workflow/scripts/fit_isoflop.py", "with stage(", TRAP + "\nwith stage(")
    done = checkout.snakemake(DECISION)
    assert done.returncode == 0, done.stderr
    decision = tables(checkout.folder / "results" / "toy")
    assert len(decision) == 3
    return Quiet(checkout, decision)


@dataclass(frozen=True, slots=True)
class Trapped:
    """A family's fit that has reached its trap."""

    number: str
    pid: int
    order: Path

    def release(self) -> None:
        self.order.unlink()


def set_trap(checkout: Checkout, family: str, word: str = "hang") -> Path:
    order = checkout.folder / "orders" / family
    order.write_text(word)
    return order


def trapped(order: Path, besides: str = "") -> Trapped:
    """Wait till a job, another than `besides`, has reached the trap, and tell which one it is."""

    def at_trap() -> list[Path]:
        return [path for path in order.parent.glob(f"{order.name}.*") if path.suffix[1:] != besides]

    slurm.wait_for(at_trap, f"{order.name} trapped", 120)
    (reached,) = at_trap()
    slurm.wait_for(reached.read_text, f"pid of {order.name}")
    return Trapped(reached.suffix[1:], int(reached.read_text()), order)


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A run that was disturbed, at its end."""

    numbers: dict[str, str]
    decision: dict[str, bytes]
    said: str


@contextlib.contextmanager
def node_in(cluster: Cluster, node: str, state: str) -> Iterator[None]:
    """Put a node into a state and back into service afterwards."""
    cluster.control("update", f"NodeName={node}", f"State={state}", "Reason=test")
    try:
        yield
    finally:
        # A node that answers may have come back by itself, which the order then tells.
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)
        slurm.wait_for(slurm.nodes_ready, f"{node} back")


@contextlib.contextmanager
def running(
    checkout: Checkout, *arguments: str, profile: str = "slurm"
) -> Iterator[subprocess.Popen[str]]:
    run = snakemake(checkout, DECISION, *arguments, study="toy", profile=profile)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


@pytest.fixture(scope="module")
def jobs_lost(
    cluster: Cluster, quiet: Quiet, tmp_path_factory: pytest.TempPathFactory
) -> Disturbed:
    """One run in which the first job of every family is lost, each in its own way."""
    checkout = quiet.unfitted(tmp_path_factory.mktemp("lost") / "repo", *FAMILIES)
    orders = [set_trap(checkout, family) for family in FAMILIES[:3]]
    orders.append(set_trap(checkout, FAMILIES[3], "hoard"))
    with running(checkout) as run:
        cancelled, killed, late, hungry = map(trapped, orders)
        # Slurm looks at time limits twice a minute; the end is brought forward to now.
        cluster.control("update", f"JobId={late.number}", "EndTime=now")
        os.kill(killed.pid, signal.SIGKILL)
        subprocess.run(["scancel", cancelled.number], check=True)
        for job, state in ((cancelled, "CANCELLED"), (killed, "FAILED"), (late, "TIMEOUT")):
            cluster.wait_for_state(job.number, state)
            job.release()
        said = finish(run, checkout)
    jobs = zip(FAMILIES, (cancelled, killed, late, hungry), strict=True)
    return Disturbed(
        {family: job.number for family, job in jobs},
        tables(checkout.folder / "results" / "toy"),
        said,
    )


@pytest.mark.parametrize(
    ("family", "states"),
    [
        pytest.param("ash", {"CANCELLED"}, id="cancelled"),
        pytest.param("birch", {"FAILED"}, id="its process killed"),
        pytest.param("cedar", {"TIMEOUT"}, id="out of time"),
        # Without cgroups it is Slurm's own polling that kills it.
        pytest.param("dogwood", {"OUT_OF_MEMORY", "CANCELLED", "FAILED"}, id="out of memory"),
    ],
)
def test_lost_job_is_handed_in_again_with_more(
    cluster: Cluster, quiet: Quiet, jobs_lost: Disturbed, family: str, states: set[str]
) -> None:
    first = cluster.job(jobs_lost.numbers[family])
    assert first["JobState"] in states
    assert first["MinMemoryNode"] == f"{FIRST_MEM_MB}M"
    assert jobs_lost.decision == quiet.decision


def minutes(limit: str) -> int:
    hours, rest, _ = limit.split(":")
    return 60 * int(hours) + int(rest)


def test_every_second_attempt_had_twice_the_memory_and_time(
    cluster: Cluster, jobs_lost: Disturbed
) -> None:
    first = [cluster.job(number) for number in jobs_lost.numbers.values()]
    again = [
        job
        for number in cluster.jobs()
        if (job := cluster.job(number))["JobName"] == first[0]["JobName"]
        and job["Comment"] == first[0]["Comment"]
        and number not in jobs_lost.numbers.values()
    ]
    assert len(again) == len(FAMILIES)
    assert {job["JobState"] for job in again} == {"COMPLETED"}
    assert {job["MinMemoryNode"] for job in again} == {f"{2 * FIRST_MEM_MB}M"}
    # That of the job out of time was cut by the test.
    (limit,) = {minutes(job["TimeLimit"]) for job in first if job["JobState"] != "TIMEOUT"}
    assert {minutes(job["TimeLimit"]) for job in again} == {2 * limit}


def test_job_out_of_memory_was_killed_by_slurm(cluster: Cluster, jobs_lost: Disturbed) -> None:
    logs = (slurm.STATE / f"slurmd-{node}.log" for node in slurm.NODES)
    lines = [line for log in logs for line in log.read_text().splitlines()]
    number = jobs_lost.numbers["dogwood"]
    assert any(f"[{number}." in line and "exceeded memory limit" in line for line in lines)


def test_controller_restarted_and_node_drained_under_running_jobs(
    cluster: Cluster, quiet: Quiet, tmp_path: Path
) -> None:
    checkout = quiet.unfitted(tmp_path / "repo", "ash", "birch")
    orders = [set_trap(checkout, family) for family in ("ash", "birch")]
    with running(checkout) as run:
        jobs = [*map(trapped, orders)]
        drained = cluster.job(jobs[0].number)["NodeList"]
        cluster.order("stop controller")
        cluster.order("start controller")
        with node_in(cluster, drained, "DRAIN"):
            for job in jobs:
                job.release()
            finish(run, checkout)
    assert {cluster.job(job.number)["JobState"] for job in jobs} == {"COMPLETED"}
    assert cluster.job(cluster.jobs()[-1])["NodeList"] != drained
    assert tables(checkout.folder / "results" / "toy") == quiet.decision


def test_node_lost_then_interrupted_then_resumed(
    cluster: Cluster, quiet: Quiet, tmp_path: Path
) -> None:
    checkout = quiet.unfitted(tmp_path / "repo", "ash")
    order = set_trap(checkout, "ash")
    with running(checkout, "--slurm-no-requeue") as run:
        first = trapped(order)
        node = cluster.job(first.number)["NodeList"]
        with node_in(cluster, node, "DOWN"):
            cluster.wait_for_state(first.number, "NODE_FAIL")
            second = trapped(order, besides=first.number)
            run.send_signal(signal.SIGINT)
            assert run.wait(120) != 0
    cluster.wait_for_state(second.number, "CANCELLED")
    second.release()
    with running(checkout) as run:
        finish(run, checkout)
    assert tables(checkout.folder / "results" / "toy") == quiet.decision


def test_without_the_plugin_cancelled_then_snakemake_killed_then_resumed(
    cluster: Cluster, quiet: Quiet, tmp_path: Path
) -> None:
    checkout = quiet.unfitted(tmp_path / "repo", "ash")
    order = set_trap(checkout, "ash")
    with running(checkout, profile="cluster-generic") as run:
        first = trapped(order)
        subprocess.run(["scancel", first.number], check=True)
        second = trapped(order, besides=first.number)
        run.kill()
    subprocess.run(["scancel", second.number], check=True)
    cluster.wait_for_state(second.number, "CANCELLED")
    second.release()
    unlocked = checkout.snakemake("--unlock")
    assert unlocked.returncode == 0, unlocked.stderr
    with running(checkout, profile="cluster-generic") as run:
        finish(run, checkout)
    assert tables(checkout.folder / "results" / "toy") == quiet.decision
