"""Studies on a real Slurm: the bytes of a quiet local run, whatever befalls their jobs."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster import slurm, stories
from tests.cluster.conftest import PATIENCE_S, Cluster
from tests.cluster.stories import DISTURBED, FIRST_MEM_MB, Quiet, Story
from tests.conftest import ROOT

pytestmark = pytest.mark.cluster

Tell = Callable[[Callable[..., Story]], Story]


@pytest.fixture(scope="module")
def tell(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tell]:
    """Every story happens in a thread of its own, from the start; `tell(story)` waits for its end.

    The traps of one are in its own folder, and the nodes it takes away serve no other.
    """
    folder = tmp_path_factory.mktemp("stories")
    with ThreadPoolExecutor(2 + len(DISTURBED)) as pool:
        quiet = pool.submit(Quiet.ran, folder / "quiet")
        told = {
            stories.default_study: pool.submit(stories.default_study, cluster, folder / "default")
        }
        for story in DISTURBED:
            told[story] = pool.submit(
                lambda story=story: story(cluster, quiet.result(), folder / story.__name__)
            )
        yield lambda story: told[story].result(3 * PATIENCE_S)


def test_default_study_leaves_the_same_bytes_in_few_jobs(tell: Tell) -> None:
    story = tell(stories.default_study)
    assert story.same
    # Groups: the shards, the families' fits, the end.
    assert 3 <= len(story.jobs) <= 8
    for job in story.jobs.values():
        assert job["JobState"] == "COMPLETED"
        # The jobs of a group take turns, so none asks for more than its largest one does.
        assert job["NumCPUs"] == "1"
        assert int(job["MinMemoryNode"].rstrip("M")) <= 2000


def minutes(limit: str) -> int:
    hours, rest, _ = limit.split(":")
    return 60 * int(hours) + int(rest)


@pytest.mark.parametrize(
    ("story", "states"),
    [
        pytest.param(stories.process_killed, {"FAILED"}, id="process killed"),
        pytest.param(stories.out_of_time, {"TIMEOUT"}, id="out of time"),
        # Without cgroups it is Slurm's own polling that kills it.
        pytest.param(
            stories.out_of_memory, {"OUT_OF_MEMORY", "CANCELLED", "FAILED"}, id="out of memory"
        ),
    ],
)
def test_lost_job_is_handed_in_again_with_twice_the_memory_and_time(
    tell: Tell, story: Callable[..., Story], states: set[str]
) -> None:
    lost = tell(story)
    asked, first, second = (lost.jobs[name] for name in ("asked", "first", "second"))
    assert first["JobState"] in states
    assert second["JobState"] == "COMPLETED"
    assert first["MinMemoryNode"] == f"{FIRST_MEM_MB}M"
    assert second["MinMemoryNode"] == f"{2 * FIRST_MEM_MB}M"
    assert minutes(second["TimeLimit"]) == 2 * minutes(asked["TimeLimit"])
    assert lost.same


def test_job_out_of_memory_was_killed_by_slurm(tell: Tell) -> None:
    number = tell(stories.out_of_memory).jobs["first"]["JobId"]
    logs = (slurm.STATE / f"slurmd-{node}.log" for node in slurm.NODES)
    lines = [line for log in logs for line in log.read_text().splitlines()]
    assert any(f"[{number}." in line and "exceeded memory limit" in line for line in lines)


def test_cancelled_job_fails_the_run_which_then_goes_on(tell: Tell) -> None:
    story = tell(stories.cancelled)
    assert story.jobs["cancelled"]["JobState"] == "CANCELLED"
    assert "flopline: Slurm ended a job: " in story.said
    assert "CANCELLED AT" in story.said
    assert story.same


def test_requeued_job_starts_again_by_itself(tell: Tell) -> None:
    story = tell(stories.requeued)
    assert story.jobs["only"]["JobState"] == "COMPLETED"
    assert story.jobs["only"]["Restarts"] == "1"
    assert story.same


def test_drained_node_keeps_its_job_and_a_restarted_controller_loses_none(tell: Tell) -> None:
    story = tell(stories.drained_and_restarted)
    first, last = story.jobs["first"], story.jobs["last"]
    assert (first["JobState"], last["JobState"]) == ("COMPLETED", "COMPLETED")
    assert first["JobId"] != last["JobId"]
    assert first["NodeList"] != last["NodeList"]
    assert story.same


def test_lost_node_then_interrupted_then_resumed(tell: Tell) -> None:
    assert tell(stories.node_lost_then_interrupted).same


def test_killed_with_jobs_in_the_queue_then_resumed(tell: Tell) -> None:
    story = tell(stories.killed_with_jobs_in_the_queue)
    assert set(story.jobs) == {"PENDING", "RUNNING"}
    assert story.same


def test_generic_profile_runs_a_study_and_hands_in_a_cancelled_job_again(tell: Tell) -> None:
    story = tell(stories.without_the_plugin)
    assert story.jobs["first"]["JobState"] == "CANCELLED"
    assert story.jobs["second"]["JobState"] == "COMPLETED"
    assert story.same


def asked() -> dict[str, tuple[int, int]]:
    """MB and minutes that every rule asks for at first."""
    text = "\n".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules = re.findall(
        r"rule (\w+):.*?mem_mb=grows\((\d+)\),\s+runtime=grows\((\d+)\)", text, re.DOTALL
    )
    return {rule: (int(mem_mb), int(minutes)) for rule, mem_mb, minutes in rules}


def test_jobs_of_the_default_study_ask_for_half_as_much_again_as_they_use(tell: Tell) -> None:
    results = tell(stories.default_study).checkout.folder / "results/tinylm"
    measured = {}
    for file in sorted((results / "benchmarks").glob("*.tsv")):
        with file.open(newline="") as stream:
            (row,) = csv.DictReader(stream, delimiter="\t")
        mem_mb, minutes = asked()[file.name.split(".")[0]]
        measured[file.name] = row
        # A job of less than a second may end before it is looked at.
        if row["max_rss"] not in ("-", "NA"):
            assert 1.5 * float(row["max_rss"]) <= mem_mb, (file.name, row)
            assert 10 * float(row["cpu_time"]) <= 60 * minutes, (file.name, row)
    assert len(measured) == len(list((results / "logs").glob("*.log")))
