"""Runs on the cluster, each disturbed in its own way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.studies import write_study
from tests.cluster import slurm
from tests.cluster.conftest import PATIENCE_S, Cluster, digests, finish, printed, snakemake
from tests.cluster.tally import TALLY
from tests.conftest import ROOT
from tests.workflow.conftest import CACHED, DEFAULT, Checkout, filled_once, run_default_study
from tests.workflow.engine import Started

FAMILY = "ash"
DECIDE = "decide"
FIT = f"fit_isoflop.{FAMILY}"
FIGURE = f"figure_ladder.{FAMILY}"  # it waits for no decision, so it is a job of its own
TABLE = "results/toy/decision.csv"
DRAWING = f"results/toy/figures/{FAMILY}/ladder.svg"
FITTED = f"results/toy/fits/{FAMILY}/isoflop.json"
FIRST_MEM_MB = 1000

# Laid before the work of every stage: while a file has the stage's name the job has written half
# an output and hangs, or holds more memory than it asked for.
TRAP = f"""
    order = Path("orders") / name
    if order.exists():
        Path(job.output[0]).write_text("half written")
        Path(f"{{order}}@{{os.environ['SLURM_JOB_ID']}}").write_text(str(os.getpid()))
        if order.read_text() == "hoard":
            hoard = b"x" * {FIRST_MEM_MB * 1_100_000}
        while order.exists():
            time.sleep(0.1)
"""


@dataclass(slots=True)
class Story:
    """A run that was disturbed: its jobs by what became of them, and whether it ended as should.

    `again` are the stages that another checkout worked out though a cache held them.
    """

    checkout: Checkout
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    same: bool = False
    printed: str = ""
    again: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Trapped:
    """An attempt at a job that has reached its trap."""

    number: str
    pid: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """A study that ran without faults on one machine, and the digests of all that it left."""

    checkout: Checkout
    files: dict[str, str]

    @classmethod
    def ran(cls, folder: Path) -> Quiet:
        """One family, one law, traps that are not set."""
        checkout = Checkout.fresh(folder)
        write_study(checkout.folder, families=(FAMILY,), laws=["isoflop"])
        (checkout.folder / "orders").mkdir()
        checkout.edit("workflow/scripts/stage.py", "import sys\n", "import os\nimport sys\n")
        clock = "    began = time.perf_counter()\n"
        checkout.edit("workflow/scripts/stage.py", clock, clock + TRAP)
        done = checkout.snakemake(TABLE, DRAWING)
        assert done.returncode == 0, done.stderr
        return cls(checkout, digests(checkout, "toy"))

    def before(self, stage: str, folder: Path, word: str = "hang") -> Story:
        """A copy of it in which a stage is still to be done and will be trapped."""
        story = Story(self.checkout.copy(folder))
        results = story.checkout.folder / "results" / "toy"
        if stage == FIT:
            shutil.rmtree(results / "fits")
        for path in results.glob("decision.*"):
            path.unlink()
        set_trap(story, stage, word)
        return story

    def compare(self, story: Story, *faults: str) -> None:
        """Say whether a story ended well, after the faults it was told of."""
        story.printed = printed(story.checkout)
        story.same = TALLY.compare(digests(story.checkout, "toy"), self.files, *faults)


def inject(fault: str) -> str:
    """Write a fault down."""
    TALLY.injected.append(fault)
    return fault


def set_trap(story: Story, stage: str, word: str = "hang") -> None:
    (story.checkout.folder / "orders" / stage).write_text(word)


def release(story: Story, stage: str) -> None:
    (story.checkout.folder / "orders" / stage).unlink()


def trapped(story: Story, stage: str, but: Trapped | None = None) -> Trapped:
    """Wait till an attempt at a stage, another than `but`, has reached its trap."""
    orders = story.checkout.folder / "orders"

    def attempts() -> list[Trapped]:
        at_work = []
        for path in orders.glob(f"{stage}@*"):
            pid = path.read_text()
            if pid:
                at_work.append(Trapped(path.name.rpartition("@")[2], int(pid)))
        return [attempt for attempt in at_work if attempt != but]

    slurm.wait_for(attempts, f"{stage} trapped in {story.checkout.folder}", PATIENCE_S)
    (one,) = attempts()
    return one


@contextlib.contextmanager
def running(
    story: Story,
    *arguments: str,
    study: str = "toy",
    profile: str = "slurm",
    cache: Path | None = None,
) -> Iterator[Started]:
    run = snakemake(story.checkout, *arguments, study=study, profile=profile, cache=cache)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def resumed(story: Story, *arguments: str) -> None:
    """Start again and run to the end."""
    with running(story, *arguments) as run:
        finish(run, story.checkout)


def on(partition: str) -> tuple[str, ...]:
    """The options that send jobs to a partition, as docs/cluster.md says."""
    return ("--default-resources", f"slurm_partition={partition}", "mem_mb=1000", "runtime=10",
            "turn=1")  # fmt: skip


@contextlib.contextmanager
def node_in(cluster: Cluster, node: str, state: str) -> Iterator[None]:
    """Put a node into a state and back into service afterwards."""
    cluster.control("update", f"NodeName={node}", f"State={state}", "Reason=test")
    try:
        yield
    finally:
        # A node that answers may have come back by itself, which the order then tells.
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)


def cancelled(cluster: Cluster, quiet: Quiet, folder: Path, *options: str) -> Story:
    """A job is cancelled, the run fails and says so, the same command then goes on."""
    story = quiet.before(DECIDE, folder)
    with running(story, TABLE, "--retries", "0", *options) as run:
        job = trapped(story, DECIDE)
        fault = inject("cancelled job")
        subprocess.run(["scancel", job.number], check=True)
        began = time.monotonic()
        assert run.wait(PATIENCE_S) == 1
        TALLY.remarks.append(
            f"a cancelled job ended the run after {time.monotonic() - began:.0f} s"
        )
    story.jobs["cancelled"] = cluster.job(job.number)
    release(story, DECIDE)
    resumed(story, TABLE, *options)
    quiet.compare(story, fault)
    return story


def lost(
    cluster: Cluster, quiet: Quiet, folder: Path, fault: str, word: str = "hang", *options: str
) -> Story:
    """A job is lost while Snakemake watches; its second attempt is the last."""
    story = quiet.before(DECIDE, folder, word)
    with running(story, TABLE, *options) as run:
        job = trapped(story, DECIDE)
        story.jobs["asked"] = cluster.job(job.number)
        inject(fault)
        if fault == "killed process":
            os.kill(job.pid, signal.SIGKILL)
        elif fault == "time limit":
            # Slurm looks at time limits twice a minute; the end is brought forward to now.
            cluster.control("update", f"JobId={job.number}", "EndTime=now")
        cluster.wait_for_state(job.number, "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CANCELLED")
        release(story, DECIDE)
        finish(run, story.checkout)
    story.jobs |= {"first": cluster.job(job.number), "second": cluster.jobs_of(story.checkout)[-1]}
    quiet.compare(story, fault)
    return story


def process_killed(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """The process of a job is killed."""
    return lost(cluster, quiet, folder, "killed process")


def out_of_time(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """A job runs out of its time."""
    return lost(cluster, quiet, folder, "time limit")


def out_of_memory(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """A job holds more memory than it asked for; what the nodes say of it is told, too."""
    story = lost(cluster, quiet, folder, "out of memory", "hoard")
    mark = f"[{story.jobs['first']['JobId']}."
    logs = (slurm.STATE / f"slurmd-{node}.log" for node in slurm.NODES)
    lines = [line for log in logs for line in log.read_text().splitlines() if mark in line]
    story.printed = "\n".join([story.printed, *lines])
    return story


def requeued(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """A running job is put back into the queue, as preemption does."""
    story = quiet.before(DECIDE, folder)
    with running(story, TABLE) as run:
        first = trapped(story, DECIDE)
        fault = inject("requeued job")
        cluster.control("requeue", first.number)
        second = trapped(story, DECIDE, but=first)
        release(story, DECIDE)
        finish(run, story.checkout)
    assert second.number == first.number
    story.jobs["only"] = cluster.job(first.number)
    quiet.compare(story, fault)
    return story


def drained_and_restarted(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """Under a running job its node is drained and the controller restarted."""
    story = quiet.before(FIT, folder)
    with running(story, TABLE, *on("drained")) as run:
        job = trapped(story, FIT)
        node = cluster.job(job.number)["NodeList"]
        faults = inject("drained node"), inject("controller restarted")
        with node_in(cluster, node, "DRAIN"):
            cluster.order("stop controller")
            cluster.order("start controller")
            release(story, FIT)
            finish(run, story.checkout)
    jobs = cluster.jobs_of(story.checkout)
    story.jobs |= {"first": jobs[0], "last": jobs[-1]}
    quiet.compare(story, *faults)
    return story


def node_lost_then_interrupted(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """The node of a job is lost, then Snakemake is interrupted at the keyboard and resumed."""
    story = quiet.before(DECIDE, folder)
    with running(story, TABLE, *on("lost"), "--slurm-no-requeue") as run:
        first = trapped(story, DECIDE)
        faults = inject("lost node"), inject("interrupted")
        with node_in(cluster, cluster.job(first.number)["NodeList"], "DOWN"):
            cluster.wait_for_state(first.number, "NODE_FAIL")
            second = trapped(story, DECIDE, but=first)
            run.send_signal(signal.SIGINT)
            assert run.wait(PATIENCE_S) != 0
    cluster.wait_for_state(second.number, "CANCELLED")
    release(story, DECIDE)
    resumed(story, TABLE)
    quiet.compare(story, *faults)
    return story


def killed_with_jobs_in_the_queue(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """Snakemake is killed outright with a job running and one waiting, and resumed by the docs."""
    story = quiet.before(DECIDE, folder)
    shutil.rmtree(story.checkout.folder / "results/toy/figures")
    set_trap(story, FIGURE)
    with running(story, TABLE, DRAWING, *on("narrow")) as run:

        def both() -> list[dict[str, str]]:
            jobs = cluster.jobs_of(story.checkout)
            states = sorted(job["JobState"] for job in jobs)
            return jobs if states == ["PENDING", "RUNNING"] else []

        slurm.wait_for(both, "one job running, one in the queue", PATIENCE_S)
        jobs = {job["JobState"]: job for job in both()}
        orders = story.checkout.folder / "orders"
        slurm.wait_for(lambda: list(orders.glob("*@*")), "a job trapped", PATIENCE_S)
        fault = inject("Snakemake killed with jobs in the queue")
        run.kill()
        run.wait()
    story.jobs |= jobs
    numbers = [job["JobId"] for job in jobs.values()]
    subprocess.run(["scancel", *numbers], check=True)
    for number in numbers:
        cluster.wait_for_state(number, "CANCELLED")
    release(story, DECIDE)
    release(story, FIGURE)
    unlocked = story.checkout.snakemake("--unlock")
    assert unlocked.returncode == 0, unlocked.stderr
    resumed(story, TABLE, DRAWING)
    quiet.compare(story, fault)
    return story


def without_the_plugin(cluster: Cluster, quiet: Quiet, folder: Path) -> Story:
    """A tiny study from raw logs through the generic profile, a job of which is cancelled.

    It fills a cache, from which another checkout is then served on the same cluster.
    """
    story = Story(quiet.checkout.copy(folder))
    shutil.rmtree(story.checkout.folder / "results")
    other = Story(story.checkout.copy(folder.with_name("served")))
    cache = folder.with_name("cache")
    cache.mkdir()
    set_trap(story, DECIDE)
    with running(
        story, TABLE, DRAWING, "--cache", *CACHED, profile="cluster-generic", cache=cache
    ) as run:
        first = trapped(story, DECIDE)
        fault = inject("cancelled job without the plugin")
        subprocess.run(["scancel", first.number], check=True)
        second = trapped(story, DECIDE, but=first)
        release(story, DECIDE)
        finish(run, story.checkout)
    story.jobs |= {"first": cluster.job(first.number), "second": cluster.job(second.number)}
    with running(other, FITTED, "--cache", *CACHED, profile="cluster-generic", cache=cache) as run:
        finish(run, other.checkout)
    logs = (other.checkout.folder / "results/toy/logs").glob("*.log")
    # A script that runs says so in its log; Snakemake leaves an empty one.
    story.again = [log.stem for log in logs if log.read_text()]
    quiet.compare(story, fault)
    return story


def default_study(cluster: Cluster, folder: Path) -> Story:
    """The default study on Slurm, held against the one that other tests read."""
    story = Story(Checkout.fresh(folder / "default"))
    shutil.copytree(ROOT / "data" / DEFAULT, story.checkout.folder / "data" / DEFAULT)
    with running(story, study=DEFAULT) as run:
        finish(run, story.checkout)
    story.jobs = {job["JobId"]: job for job in cluster.jobs_of(story.checkout)}
    here = Checkout(filled_once(folder.parent, DEFAULT, run_default_study))
    expected = digests(here, DEFAULT)
    assert {"decision.parquet", "report.html"} <= set(expected)
    story.same = TALLY.compare(digests(story.checkout, DEFAULT), expected)
    return story


DISTURBED = (
    without_the_plugin,
    drained_and_restarted,
    node_lost_then_interrupted,
    killed_with_jobs_in_the_queue,
    cancelled,
    process_killed,
    out_of_time,
    out_of_memory,
    requeued,
)
