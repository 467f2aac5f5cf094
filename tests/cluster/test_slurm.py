"""Studies on a real Slurm: the bytes of a quiet local run, whatever befalls their jobs."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flopline.figures.registry import FIGURES
from flopline.laws.registry import LAWS
from flopline.laws.spec import spec_of
from tests.cluster import stories
from tests.cluster.stories import FIRST_MEM_MB, Story
from tests.cluster.telling import TALLIED, heard, story_of, tally_of
from tests.conftest import ROOT, folder_of_stories

pytestmark = pytest.mark.cluster

Told = Callable[[Callable[..., Story]], Story]


@pytest.fixture(scope="session")
def told_on_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a process of its own, at work since the session began, leaves what became of runs."""
    return folder_of_stories(tmp_path_factory)


@pytest.fixture
def tell(told_on_cluster: Path) -> Told:
    """`tell(story)` waits for the end of a story."""
    return lambda story: story_of(heard(told_on_cluster, story.__name__))


def test_default_study_leaves_the_same_bytes_in_few_jobs(tell: Told) -> None:
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
    tell: Told, story: Callable[..., Story], states: set[str]
) -> None:
    lost = tell(story)
    asked, first, second = (lost.jobs[name] for name in ("asked", "first", "second"))
    assert first["JobState"] in states
    assert second["JobState"] == "COMPLETED"
    assert first["MinMemoryNode"] == f"{FIRST_MEM_MB}M"
    assert second["MinMemoryNode"] == f"{2 * FIRST_MEM_MB}M"
    assert minutes(second["TimeLimit"]) == 2 * minutes(asked["TimeLimit"])
    assert lost.same


def test_job_out_of_memory_was_killed_by_slurm(tell: Told) -> None:
    story = tell(stories.out_of_memory)
    number, lines = story.jobs["first"]["JobId"], story.printed.splitlines()
    assert any(f"[{number}." in line and "exceeded memory limit" in line for line in lines)


def test_cancelled_job_fails_the_run_which_then_goes_on(tell: Told) -> None:
    story = tell(stories.cancelled)
    assert story.jobs["cancelled"]["JobState"] == "CANCELLED"
    assert "flopline: Slurm ended a job: " in story.printed
    assert "CANCELLED AT" in story.printed
    assert story.same


def test_requeued_job_starts_again_by_itself(tell: Told) -> None:
    story = tell(stories.requeued)
    assert story.jobs["only"]["JobState"] == "COMPLETED"
    assert story.jobs["only"]["Restarts"] == "1"
    assert story.same


def test_drained_node_keeps_its_job_and_a_restarted_controller_loses_none(tell: Told) -> None:
    story = tell(stories.drained_and_restarted)
    first, last = story.jobs["first"], story.jobs["last"]
    assert (first["JobState"], last["JobState"]) == ("COMPLETED", "COMPLETED")
    assert first["JobId"] != last["JobId"]
    assert first["NodeList"] != last["NodeList"]
    assert story.same


def test_lost_node_then_interrupted_then_resumed(tell: Told) -> None:
    assert tell(stories.node_lost_then_interrupted).same


def test_killed_with_jobs_in_the_queue_then_resumed(tell: Told) -> None:
    story = tell(stories.killed_with_jobs_in_the_queue)
    assert set(story.jobs) == {"PENDING", "RUNNING"}
    assert story.same


def test_generic_profile_runs_a_study_and_hands_in_a_cancelled_job_again(tell: Told) -> None:
    story = tell(stories.without_the_plugin)
    assert story.jobs["first"]["JobState"] == "CANCELLED"
    assert story.jobs["second"]["JobState"] == "COMPLETED"
    assert story.same


def test_another_checkout_is_served_from_a_cache_filled_on_the_cluster(tell: Told) -> None:
    assert tell(stories.without_the_plugin).again == []


def asked() -> dict[str, tuple[int, int]]:
    """MB and minutes that every rule asks for at first; those of figures all ask for the same."""
    wanted = re.compile(r"mem_mb=grows\((\d+)\),\s+runtime=grows\((\d+)\)")
    limits = {f"fit_{law}": (spec_of(law).mem_mb, spec_of(law).minutes) for law in LAWS}
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for text in re.split(r"^ *rule\b", file.read_text(), flags=re.MULTILINE)[1:]:
            name, numbers = re.match(r" (\w+):", text), wanted.search(text)
            if numbers is not None:
                names = [name[1]] if name else [f"figure_{figure}" for figure in FIGURES]
                limits |= dict.fromkeys(names, (int(numbers[1]), int(numbers[2])))
    return limits


def test_jobs_of_the_default_study_ask_for_half_as_much_again_as_they_use(tell: Told) -> None:
    results = tell(stories.default_study).checkout.folder / "results/tinylm"
    measured = {}
    for file in sorted((results / "benchmarks").glob("*.tsv")):
        with file.open(newline="") as stream:
            (row,) = csv.DictReader(stream, delimiter="\t")
        mem_mb, minutes = asked()[file.name.split(".")[0]]
        measured[file.name] = row
        assert 1.5 * float(row["max_rss"]) <= mem_mb, (file.name, row)
        assert 10 * float(row["cpu_time"]) <= 60 * minutes, (file.name, row)
    assert len(measured) == len(list((results / "logs").glob("*.log")))


def test_every_fault_was_survived_and_no_file_lost(
    told_on_cluster: Path, record_property: Callable[[str, object], None]
) -> None:
    tally = tally_of(heard(told_on_cluster, TALLIED))
    record_property("on the cluster", "; ".join(tally.lines()))
    assert len(tally.injected) == 11
    assert sorted(tally.survived) == sorted(tally.injected)
    assert tally.files > 0
    assert tally.lost == []
