"""What goes on around a run: its lines, its bar, its digests, its locks."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import io
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from snakemake_interface_executor_plugins.settings import ExecMode
from snakemake_interface_logger_plugins.common import LogEvent

from flopline.atomic import write_note
from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.progress import heard, over, part
from running import failures, locks, receipts
from running import steps as planning_of_steps
from running.console import Console, Job
from running.digest import Memory
from running.expected import (
    SECONDS_A_GB,
    TYPICAL_S,
    Expected,
    seconds_by_rule,
    seconds_by_size,
    slowed_by_others,
)
from running.guard import Guard
from running.interpreter import in_a_shell
from running.raw_digests import demand_unchanged
from tests.conftest import ROOT

RESULTS = Path("results/toy")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (RESULTS / "logs").mkdir(parents=True)


def log_of(stage: str) -> Path:
    return RESULTS / "logs" / f"{stage}.log"


def passed(
    view: Console,
    event: LogEvent | None,
    message: str = "",
    level: int = logging.INFO,
    **fields: object,
) -> bool:
    """Whether a record with these fields is shown, too."""
    record = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    record.__dict__.update({"event": event, **fields} if event else fields)
    return view.passes(record)


def job_info(number: int, stage: str) -> dict[str, object]:
    return {"jobid": number, "log": [str(log_of(stage))], "output": []}


def begun(stream: io.StringIO, stages: list[str], **options: object) -> Console:
    view = Console(stream=stream, **options)  # type: ignore[arg-type]
    view._look = lambda: None  # type: ignore[method-assign]
    view.begin()
    passed(view, LogEvent.RUN_INFO, stats={"all": 1, "fit": len(stages), "total": 1 + len(stages)})
    for number, stage in enumerate(stages):
        passed(view, LogEvent.JOB_INFO, **job_info(number, stage))
    return view


def test_finished_stages_are_counted_and_quote_their_log() -> None:
    stream = io.StringIO()
    view = begun(stream, ["ingest.0", "gather"])
    log_of("gather").write_text("gather                       3 of 3 runs kept (0.1 s)\n")
    assert not passed(view, LogEvent.JOB_FINISHED, job_id=1)
    assert not passed(view, LogEvent.JOB_FINISHED, job_id=0)
    assert not passed(view, LogEvent.JOB_FINISHED, job_id=99)  # the rule `all`
    assert stream.getvalue().splitlines() == [
        "[1/2] gather                       3 of 3 runs kept (0.1 s)",
        "[2/2] ingest.0",
    ]


def test_a_long_run_says_how_long_before_it_starts_and_then_by_its_own_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("running.console.slowed_by_others", lambda cores: 1.0)
    view = Console(stream=stream, known=lambda: {"fit": 7.5})
    view._look = lambda: None  # type: ignore[method-assign]
    view.begin()
    passed(view, LogEvent.RESOURCES_INFO, cores=2)
    passed(view, LogEvent.RUN_INFO, stats={"all": 1, "fit": 40, "audit": 18, "total": 59})
    assert stream.getvalue() == ""  # it may turn out that this run goes in steps
    now = time.monotonic()
    passed(view, LogEvent.JOB_INFO, **job_info(0, "fit.ash"))
    # Two cores: 40 * 7.5 s that are known, 18 * 4 s as of the default study.
    assert stream.getvalue() == "[0/58] 58 stages on 2 cores take about 3 minutes or more\n"
    monkeypatch.setattr(time, "monotonic", lambda: now + 75)
    passed(view, LogEvent.JOB_FINISHED, job_id=0)
    # Ten times slower than known: 39 * 75 s, and the audits with them.
    assert stream.getvalue().splitlines()[1:] == ["[1/58] fit.ash", "[1/58] about 30 minutes left"]
    passed(view, LogEvent.JOB_INFO, **job_info(1, "fit.birch"))
    passed(view, LogEvent.JOB_FINISHED, job_id=1)
    assert stream.getvalue().splitlines()[3:] == ["[2/58] fit.birch"]


def test_a_busy_machine_is_reckoned_with_before_a_run_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (5.0, 1.0, 1.0))
    monkeypatch.setattr(Path, "read_text", lambda self, **how: "5.0 1.0 1.0 5/131 5180")
    assert slowed_by_others(2) == 3.0
    assert slowed_by_others(64) == 1.0, "so many cores are not of this machine alone"
    view = Console(stream=stream, known=lambda: {"fit": 7.5})
    view._look = lambda: None  # type: ignore[method-assign]
    view.begin()
    passed(view, LogEvent.RESOURCES_INFO, cores=2)
    passed(view, LogEvent.RUN_INFO, stats={"all": 1, "fit": 80, "total": 81})
    passed(view, LogEvent.JOB_INFO, **job_info(0, "fit.ash"))
    took = "about 15 minutes beside what else this machine does"
    assert stream.getvalue() == f"[0/80] 80 stages on 2 cores take {took}\n"


def test_a_short_run_and_one_on_a_cluster_say_nothing_of_time() -> None:
    stream = io.StringIO()
    begun(stream, ["fit"])
    view = begun(stream, ["fit"])
    passed(view, LogEvent.RESOURCES_INFO, nodes=100)
    passed(view, LogEvent.RUN_INFO, stats={"all": 1, "fit": 4000, "total": 4001})
    passed(view, LogEvent.JOB_INFO, **job_info(1, "fit.ash"))
    passed(view, LogEvent.RESOURCES_INFO, cores=8)
    passed(view, LogEvent.RUN_INFO, stats={"all": 1, "fit": 20, "total": 21})
    passed(view, LogEvent.JOB_INFO, **job_info(2, "fit.ash"))
    assert stream.getvalue() == ""


def test_what_a_killed_process_left_of_a_note_goes_with_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    parts = [tmp_path / f".note.json.{number}.part" for number in (ended.pid, os.getppid(), "x")]
    other = tmp_path / f".another.{ended.pid}.part"
    for path in (*parts, other):
        path.touch()
    memory = Memory(tmp_path / "note.json")
    memory.save()
    assert [path.exists() for path in (*parts, other)] == [False, True, True, True]
    parts[0].touch()
    write_note(tmp_path / "note.json", "{}")
    assert [path.exists() for path in (*parts, other)] == [False, True, True, True]


def test_seconds_of_earlier_runs_are_read_by_rule(tmp_path: Path) -> None:
    assert seconds_by_rule(tmp_path) == {}
    (tmp_path / "benchmarks").mkdir()
    texts = {
        "fit_x.a": "s\tmax_rss\n1.5\t2\n",
        "fit_x.b": "s\n2.5\n",
        "gather": "",
        "report": "s\nx\n",
    }
    for name, text in texts.items():
        (tmp_path / f"benchmarks/{name}.tsv").write_text(text)
    assert seconds_by_rule(tmp_path) == {"fit_x": 2.0}


def test_large_logs_take_longer_to_read_and_to_clean(tmp_path: Path) -> None:
    logs = [tmp_path / f"{name}.jsonl" for name in "ab"]
    for log in logs:
        with log.open("wb") as stream:
            stream.truncate(4_000_000_000)  # no block of it is written
    small, large = (seconds_by_size(map(str, files), 2) for files in ([tmp_path / "none"], logs))
    assert small == {rule: TYPICAL_S[rule] for rule in ("ingest", "clean")}
    assert large["ingest"] - small["ingest"] == pytest.approx(4 * SECONDS_A_GB["ingest"])
    counts = {"ingest": 2, "clean": 2, "gather": 1}
    assert Expected(counts, 2, small).words() == ""
    assert Expected(counts, 1, large).words() == "about 3 minutes"


@pytest.mark.parametrize(
    ("message", "level", "is_shown"),
    [
        ("Select jobs to execute...", logging.INFO, False),
        ("Removing output files of failed job", logging.INFO, False),
        ("Will exit after finishing currently running jobs.", logging.INFO, True),
        ("a warning", logging.WARNING, True),
        ("an error", logging.ERROR, True),
    ],
)
def test_steps_are_kept_back_in_a_run_unless_wanted(
    message: str, level: int, is_shown: bool
) -> None:
    console = begun(io.StringIO(), [])
    assert passed(console, None, message, level) == is_shown
    assert passed(begun(io.StringIO(), [], quiet=False), None, message, level)
    # What Snakemake answers where it runs nothing, and after the last words of a run.
    assert passed(Console(), None, message, level)
    console.stop()
    assert passed(console, None, "Complete log(s): x")
    console.stop("At 1e22 FLOPs train 3B parameters")
    assert not passed(console, None, "Complete log(s): x"), "the decision stands last"
    assert passed(console, None, "a warning", logging.WARNING)


def test_the_answer_to_a_signal_is_shown_once() -> None:
    """Snakemake repeats it whenever a job ends: four times and more in a run of some jobs."""
    view = begun(io.StringIO(), ["a"])
    answer = "Will exit after finishing currently running jobs (scheduler)."
    assert [passed(view, None, answer) for _ in range(3)] == [True, False, False]
    assert passed(view, None, "Terminating processes on user request")


def test_a_failed_run_explains_itself_once() -> None:
    """By the sentences of its jobs; what Snakemake adds points to its own messages, kept back."""
    view = begun(io.StringIO(), ["a"])
    assert passed(view, LogEvent.ERROR, "WorkflowError:\nno executor", exception="WorkflowError")
    view = begun(io.StringIO(), ["a"])
    passed(view, LogEvent.JOB_ERROR, jobid=0)
    assert not passed(view, None, "Look below for error messages", logging.ERROR)
    assert passed(view, LogEvent.ERROR, "WorkflowError:\nanother", exception="WorkflowError")
    view.stop()
    assert not passed(view, LogEvent.ERROR, "WorkflowError:\nAt least one job", exception="W")


def test_job_that_is_tried_again_is_named() -> None:
    stream = io.StringIO()
    view = begun(stream, ["a"])
    passed(view, LogEvent.JOB_ERROR, jobid=0)
    passed(view, LogEvent.JOB_INFO, **job_info(0, "a"))
    passed(view, LogEvent.JOB_FINISHED, job_id=0)
    assert stream.getvalue().splitlines() == ["[0/1] a failed and is tried again", "[1/1] a"]
    assert view.failures() == []


def test_last_words_of_a_run_with_nothing_to_do_and_of_no_other() -> None:
    stream = io.StringIO()
    for begins, event in ((False, None), (True, LogEvent.ERROR), (True, LogEvent.RUN_INFO)):
        view = Console(lambda: "idle", stream=stream)
        if begins:
            view.begin()
        passed(view, event, "x", stats={"fit": 1, "total": 1})
        view.close()
    assert stream.getvalue() == ""
    view = Console(lambda: "idle", stream=stream)
    view.begin()
    view.close()
    assert stream.getvalue() == "idle\n"


SENTENCES = {
    "plan": "Building DAG of jobs...",
    "steps": "Select jobs to execute...",
    "info": "rule fit:",
    "finished": "Finished jobid: 0 (Rule: fit)",
    "failed": "Error in rule fit, jobid: 1",
    "end": "Exiting because a job execution failed. Look below for error messages",
    "last": "WorkflowError:\nAt least one job did not complete successfully.",
}


@pytest.mark.parametrize("words", [SENTENCES, {key: f"äöü {key}" for key in SENTENCES}])
def test_lines_are_the_same_whatever_the_words_of_snakemake(words: dict[str, str]) -> None:
    stream, outputs = io.StringIO(), []
    view = Console(stream=stream, job_ends=outputs.append)
    assert passed(view, None, words["plan"])
    view.begin()
    log_of("b").with_suffix(".error").write_text("no loss\n")
    log_of("b").write_text("no loss\n")
    flags = [
        passed(view, None, words["steps"]),
        passed(view, LogEvent.RUN_INFO, words["steps"], stats={"all": 1, "fit": 2, "total": 3}),
        passed(view, LogEvent.JOB_INFO, words["info"], **job_info(0, "a") | {"output": ["x"]}),
        passed(view, LogEvent.JOB_INFO, words["info"], **job_info(1, "b")),
        passed(view, LogEvent.JOB_FINISHED, words["finished"], job_id=0),
        passed(view, LogEvent.PROGRESS, done=1, total=3),
        passed(view, None, words["end"], logging.INFO),
    ]
    passed(view, LogEvent.JOB_ERROR, words["failed"], logging.ERROR, jobid=1)
    flags.append(passed(view, None, words["end"], logging.ERROR))
    view.stop()
    flags.append(passed(view, LogEvent.ERROR, words["last"], logging.ERROR, exception="E"))
    assert flags == [False] * 9
    assert outputs == [["x"]]
    assert stream.getvalue() == "[1/2] a\n"
    assert view.failures() == ["no loss"]


def test_raw_file_from_the_future_is_one_sentence() -> None:
    late = Path("data/a b/log.jsonl")
    late.parent.mkdir(parents=True)
    late.touch()
    file = {"path": str(late), "sha256": hash_file(late)}
    demand_unchanged([file], Path())
    os.utime(late, (time.time() + 99, time.time() + 99))
    with pytest.raises(FloplineError) as caught:
        demand_unchanged([file], Path())
    assert str(caught.value).startswith(f"{late} has a time stamp in the future")
    assert "`find 'data/a b' -newermt now -exec touch {} +`" in str(caught.value)
    demand_unchanged([file | {"sha256": None}], Path())


def test_lines_without_a_terminal_are_plain_and_grow_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    view = begun(stream, ["fit_parametric.ash"])
    view.jobs[0].began = 0.0
    for second in range(0, 1500):
        now[0] = float(second)
        view._give_signs()
    lines = stream.getvalue().splitlines()
    assert lines[:3] == [
        "[0/1] fit_parametric.ash 10 s, still at work",
        "[0/1] fit_parametric.ash 20 s, still at work",
        "[0/1] fit_parametric.ash 40 s, still at work",
    ]
    assert len(lines) == 8
    assert "\r" not in stream.getvalue()
    assert "\033" not in stream.getvalue()


def test_bar_on_a_terminal_gives_way_to_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    view = begun(stream, ["ingest.0", "ingest.1"])
    log_of("ingest.0").with_suffix(".progress").write_text("0.3 30 of 100 runs")
    view._draw()
    assert stream.getvalue().startswith("[0/2] ingest.0 [###-------] 30 of 100 runs, ")
    assert len(stream.getvalue()) <= 59
    passed(view, LogEvent.JOB_FINISHED, job_id=1)
    assert "\r\033[K[1/2] ingest.1\n" in stream.getvalue()


def test_what_the_library_announces_is_a_bar_on_the_terminal(script: ModuleType) -> None:
    """From `progress` through the stage's file to the console, and gone with the stage."""
    with script.stage(job()) as summary, heard(summary.reached):
        for step in over("abc", "laws"):
            summary.written -= 1
            with part(0.5):
                summary.written -= 1
            if step == "b":
                assert Job(log_of("a.b"), []).state() == "a.b [#####-----] 1 of 3 laws, 0 s"
    assert Job(log_of("a.b"), []).state() == "a.b 0 s"


@pytest.mark.parametrize(
    "text", ["", "1", "a b c", "0.3 ", "nan runs", "inf runs", "30 100 runs", "-1 runs"]
)
def test_progress_that_cannot_be_read_is_the_time_alone(text: str) -> None:
    log_of("a").with_suffix(".progress").write_text(text)
    assert Job(log_of("a"), []).state() == "a 0 s"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("x died with <Signals.SIGKILL: 9>.", ["was killed (SIGKILL)", "out of memory"]),
        ("x returned non-zero exit status 137.", ["was killed (signal 9)", "--cores"]),
        ("x returned non-zero exit status 2.", ["ended with status 2", "report it"]),
        ("", ["ended and gave no reason"]),
    ],
)
def test_job_without_a_sentence_is_told_with_the_end_of_its_log(
    reason: str, words: list[str]
) -> None:
    view = begun(io.StringIO(), ["fit_isoflop.ash"])
    log_of("fit_isoflop.ash").write_text("".join(f"line {i}\n" for i in range(30)))
    if reason:
        passed(view, LogEvent.ERROR, f"RuleException:\nCalledProcessError in file a:\n{reason}")
    passed(view, LogEvent.JOB_ERROR, jobid=0)
    (sentence,) = view.failures()
    assert sentence.startswith("fit_isoflop.ash ")
    assert all(word in sentence for word in [*words, str(log_of("fit_isoflop.ash")), "line 29"])
    assert "line 17\n" not in sentence


@pytest.mark.parametrize(
    "reason", ["x returned non-zero exit status 130.", "x died with <Signals.SIGINT: 2>."]
)
def test_job_ended_by_ctrl_c_is_no_failure_of_the_machine(reason: str) -> None:
    view = begun(io.StringIO(), ["fit_isoflop.ash"])
    passed(view, LogEvent.ERROR, f"RuleException:\nCalledProcessError in file a:\n{reason}")
    passed(view, LogEvent.JOB_ERROR, jobid=0)
    assert view.failures() == ["fit_isoflop.ash was interrupted."]


def test_sentence_of_a_job_is_its_failure_and_a_later_success_takes_it_back() -> None:
    view = begun(io.StringIO(), ["a", "b"])
    for stage, log in (("a", "no loss\n"), ("b", "Traceback\n  deep\n")):
        log_of(stage).write_text(log)
        log_of(stage).with_suffix(".error").write_text("no loss\n")
    passed(view, LogEvent.JOB_ERROR, jobid=0)
    passed(view, LogEvent.JOB_ERROR, jobid=1)
    first, second = view.failures()
    assert first == "no loss"
    assert second == f"no loss\n  The end of {log_of('b')}:\n    Traceback\n      deep"
    passed(view, LogEvent.JOB_INFO, **job_info(1, "b"))
    passed(view, LogEvent.JOB_FINISHED, job_id=1)
    assert view.failures() == ["no loss"]


def test_full_disk_in_a_traceback_is_one_sentence() -> None:
    view = begun(io.StringIO(), [])
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, "", (), None)
    record.msg = "Traceback\n  x\nOSError: [Errno 28] No space left on device: 'a/b'\n"
    record.__dict__["event"] = LogEvent.ERROR
    assert view.passes(record)
    assert record.msg == ("flopline: No space left on device: 'a/b': make room and start again.")


def made(name: str = "fits/ash/a.json", text: str = "abc") -> Path:
    path = RESULTS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    receipts.write_receipts([path], RESULTS)
    return path


def damaged(look_only: bool = False) -> list[Path]:
    """What is damaged, and set aside then."""
    memory = Memory(RESULTS / ".outputs.json")
    paths = receipts.damaged_results(RESULTS, memory)
    memory.save()
    for path in paths if not look_only else []:
        receipts.set_aside(path, RESULTS)
    return paths


def test_whole_files_stay_and_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = made()
    assert damaged() == []
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "hash_file", lambda path: 1 / 0)
        assert damaged() == []
    os.utime(path, (0, 0))
    assert damaged() == []
    path.unlink()
    assert damaged() == []


def flipped(path: Path) -> None:
    path.write_text("abd")


def cut(path: Path) -> None:
    os.truncate(path, 1)


def emptied(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize("spoil", [flipped, cut, emptied])
def test_damaged_file_is_set_aside(spoil: Callable[[Path], None]) -> None:
    path = made()
    assert damaged() == []
    spoil(path)
    spoilt = path.read_text()
    assert list(receipts.differing([path], RESULTS)) == [path]
    assert damaged(look_only=True) == [path]
    assert path.exists()
    assert damaged() == [path]
    assert not path.exists()
    assert path.with_name("a.json.changed").read_text() == spoilt
    assert damaged() == []


def test_results_without_a_record_are_known_to_be_so() -> None:
    made()
    inside = RESULTS / "audit/ash/tables/a.parquet"
    inside.parent.mkdir(parents=True)
    inside.write_text("a")
    for name in ("decision.csv", "fits/ash/b.json", "figures/x.svg.changed", "report.pdf", ".lock"):
        path = RESULTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a")
    unrecorded = [RESULTS / "audit/ash/tables/a.parquet", RESULTS / "decision.csv",
                  RESULTS / "fits/ash/b.json"]  # fmt: skip
    assert sorted(receipts.unrecorded_results(RESULTS)) == unrecorded
    receipts.write_receipts([inside.parent, *unrecorded[1:]], RESULTS)
    assert receipts.unrecorded_results(RESULTS) == []


def test_what_was_set_aside_is_asked_for_until_it_is_made_again() -> None:
    """A run may end, or stop at another target, before it gets there."""
    path = made()
    assert receipts.to_be_made_again(RESULTS) == []
    flipped(path)
    assert damaged() == [path]
    assert damaged() == []
    assert receipts.to_be_made_again(RESULTS) == [path]
    receipts.drop_receipts([path], RESULTS)  # its job began, and was killed
    assert receipts.to_be_made_again(RESULTS) == [path]
    made()
    assert receipts.to_be_made_again(RESULTS) == []
    path.unlink()
    assert receipts.to_be_made_again(RESULTS) == []


def cached(entry: str, name: str = "fits/ash/a.json") -> tuple[Path, Path]:
    """A result that a job made and Snakemake moved to a shared cache, and its entry."""
    path, place = made(name), Path.cwd() / "cache" / f"{'0' * 64}_{entry}"
    place.parent.mkdir(exist_ok=True)
    path.rename(place)
    path.symlink_to(place)
    receipts.share_receipts([path], RESULTS)
    return path, place


def fetched(path: Path, former: str = "") -> None:
    """As somebody has it who did not make it, or had made another one before."""
    receipts.drop_receipts([path], RESULTS)
    if former:
        receipts.receipt_of(path, RESULTS).write_text(former)
    receipts.share_receipts([path], RESULTS)


@pytest.mark.parametrize("former", ["", "0" * 64])
def test_damaged_entry_of_a_shared_cache_is_seen_by_who_fetches_it(former: str) -> None:
    path, entry = cached("fit.json")
    fetched(path, former)
    assert list(receipts.differing([path], RESULTS)) == []
    flipped(entry)
    fetched(path, former)
    assert list(receipts.differing([path], RESULTS)) == [path]
    assert damaged() == [path]
    # What is fetched next is no longer the damaged entry.
    assert not entry.exists()
    assert sorted(p.name for p in entry.parent.iterdir()) == [f"{entry.name}.changed"]
    assert receipts.to_be_made_again(RESULTS) == [path]


def test_entry_of_a_run_that_was_killed_before_it_left_a_digest_gets_one() -> None:
    path, entry = cached("fit.json")
    (beside,) = entry.parent.glob("*.sha256")
    beside.unlink()
    fetched(path)
    assert beside.read_text() == receipts.digest_of(path)
    fetched(path)
    assert list(receipts.differing([path], RESULTS)) == []


def test_digest_left_of_an_entry_that_was_deleted_accuses_nobody() -> None:
    """Whoever clears a cache may leave it; the job that made the entry anew knows better."""
    path, entry = cached("fit.json")
    beside = entry.with_name(f"{entry.name}.sha256")
    beside.write_text("0" * 64)
    receipts.share_receipts([path], RESULTS)
    assert beside.read_text() == receipts.digest_of(path)
    assert list(receipts.differing([path], RESULTS)) == []


def test_folder_from_a_shared_cache_has_a_digest_too() -> None:
    """Snakemake makes the folder anew, of links, and moves a second one into its entry."""
    folder, entry = RESULTS / "audit/ash/tables", Path.cwd() / "cache" / f"{'0' * 64}_tables"
    entry.mkdir(parents=True)
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (entry / name).write_text(name)
        (folder / name).symlink_to(entry / name)
    receipts.share_receipts([folder], RESULTS)
    (entry / entry.name).mkdir()
    (entry / entry.name / "a").write_text("a")
    assert damaged() == []
    flipped(entry / "b")
    fetched(folder)
    assert damaged() == [folder]
    assert not entry.exists()


def test_link_that_leads_to_no_cache_is_left_alone() -> None:
    path, target = made(), Path("mine.json").absolute()
    path.rename(target)
    path.symlink_to(target)
    receipts.share_receipts([path], RESULTS)
    flipped(target)
    assert damaged() == [path]
    assert target.read_text() == "abd"
    assert not list(Path().glob("*.sha256"))


def test_file_lost_from_an_output_folder_takes_the_folder_with_it() -> None:
    folder = RESULTS / "audit/ash/tables"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).write_text(name)
    receipts.write_receipts([folder], RESULTS)
    (folder / ".snakemake_timestamp").write_text("")
    assert damaged() == []
    (folder / "b").unlink()
    assert damaged() == [folder]
    assert (folder.with_name("tables.changed") / "a").exists()


def test_file_made_anew_without_a_digest_is_no_damage() -> None:
    path = made()
    receipts.drop_receipts([path], RESULTS)
    path.write_text("new")
    assert damaged() == []
    assert list(receipts.differing([path, Path("elsewhere")], RESULTS)) == []


@pytest.mark.parametrize("content", [b"", b"12ab", b"\xff" * 64])
def test_digest_that_was_cut_off_accuses_nobody(content: bytes) -> None:
    path = made()
    receipts.receipt_of(path, RESULTS).write_bytes(content)
    assert damaged() == []
    assert list(receipts.differing([path], RESULTS)) == []


def test_python_in_a_folder_with_blanks_and_quotes_is_one_word_of_a_shell(tmp_path: Path) -> None:
    python = tmp_path / "a b'c\"d$HOME\n" / "python"
    python.parent.mkdir()
    python.touch()
    assert shlex.split(in_a_shell(str(python))) == [str(python)]
    debugger = f'{python} -m pdb -c "until 9"'
    assert in_a_shell(debugger) == debugger


HOLD = """
import sys, time
from pathlib import Path
from running.locks import hold_run
hold_run(Path("results/toy"), sys.argv[1] == "remote", print)
print("held", flush=True)
time.sleep(60)
"""


def holder(kind: str) -> subprocess.Popen[str]:
    """Another process that runs the study."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, kind], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def stale_lock() -> Path:
    lock = Path(".snakemake/locks/0.output.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("results/toy/report.html\n")
    return lock


def test_second_run_is_refused_and_named() -> None:
    process = holder("local")
    try:
        with pytest.raises(FloplineError, match=f"another run .* \\(process {process.pid} on "):
            locks.hold_run(RESULTS, False, print)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_lock_of_a_killed_run_is_cleared_where_no_job_can_be_left(kind: str) -> None:
    process = holder(kind)
    process.kill()
    process.wait()
    lock = stale_lock()
    others = lock.with_name("1.output.lock")
    others.write_text("results/toy2/report.html\n")
    sentences: list[str] = []
    try:
        if kind == "remote":
            for _ in range(2):
                with pytest.raises(FloplineError, match="`snakemake --unlock --config study=toy`"):
                    locks.hold_run(RESULTS, False, sentences.append)
                assert lock.exists()
            lock.unlink()
        locks.hold_run(RESULTS, False, sentences.append)
        killed = "The last run in results/toy was killed; going on where it stopped."
        assert sentences == ([killed] if kind == "local" else [])
        assert not lock.exists()
    finally:
        locks.release_run()
    assert (RESULTS / locks.RUN).read_text() == ""
    assert others.exists()


def test_file_system_without_locks_leaves_all_to_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds Snakemake's own lock cannot be told there: it may be a run at work."""

    def refuse(stream: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    lock = stale_lock()
    (RESULTS / locks.RUN).write_text('{"pid": 1, "host": "a", "remote": false}')
    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    locks.hold_run(RESULTS, False, pytest.fail)
    locks.join_jobs(RESULTS)
    locks.release_run()
    assert lock.exists()
    assert "pid" in (RESULTS / locks.RUN).read_text()


def test_a_process_may_run_a_study_twice() -> None:
    """As one does that uses Snakemake by its API."""
    for _ in range(2):
        locks.hold_run(RESULTS, False, pytest.fail)
    locks.release_run()


def workflow_of(**settings: object) -> SimpleNamespace:
    """Snakemake's workflow, in the process that plans a run on this machine."""
    default = {
        "exec_mode": ExecMode.DEFAULT,
        "executor_plugin": "local",
        "dryrun": False,
        "touch": False,
        "non_local_exec": False,
        "dag": SimpleNamespace(forcefiles=set()),
    }
    return SimpleNamespace(**default | settings)


def guarded(
    workflow: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> tuple[bool, list[str], str]:
    """Whether the results were locked, what is forced, and what was printed."""
    Path(".snakemake").mkdir(exist_ok=True)
    begun: list[bool] = []
    guard = Guard(workflow, RESULTS, lambda: begun.append(True))
    assert guard.inputs(None) == guard.inputs(None) == []
    guard.demand()
    held = bool(locks._held)
    assert begun == [True] * held
    locks.release_run()
    return held, sorted(workflow.dag.forcefiles), capsys.readouterr().err


def test_run_is_guarded_when_it_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    path, gone, fine = made(), made("fits/ash/gone.json"), made("fits/ash/b.json")
    later = time.time() + 999
    os.utime(fine, (later, later))
    gone.unlink()
    receipts.receipt_of(gone, RESULTS).rename(receipts.receipt_of(gone, RESULTS).with_name(
        "gone.json.changed"))  # fmt: skip
    flipped(path)
    held, forced, printed = guarded(workflow_of(), capsys)
    assert held
    assert forced == [str(path), str(gone)]
    assert (
        printed
        == f"flopline: {path} was changed or damaged since it was written: it is made again.\n"
    )
    assert not path.exists()
    assert fine.stat().st_mtime < later


ENDING = """
import shutil, sys
from pathlib import Path
from running.locks import pass_turn, take_turn
take_turn(Path(".snakemake"), lambda sentence: print(sentence, flush=True))
shutil.rmtree(".snakemake/locks")
pass_turn()
print("ended", flush=True)
"""


def test_runs_of_two_studies_begin_and_end_one_after_the_other() -> None:
    """One removed the folder to which the other wrote its lock: a traceback of Snakemake."""
    folder = Path(".snakemake")
    folder.mkdir()
    locks.take_turn(folder, pytest.fail)
    with subprocess.Popen(
        [sys.executable, "-c", ENDING], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as other:  # fmt: skip
        assert other.stdout
        assert "Another run in this folder is beginning or ending" in other.stdout.readline()
        (folder / "locks" / "0.input.lock").write_text("results/toy/report.html")
        locks.pass_turn()
        assert other.stdout.readline() == "ended\n"
    assert not (folder / "locks").exists()
    locks.take_turn(folder, pytest.fail)
    assert (folder / "locks").is_dir()
    locks.pass_turn()


def test_a_run_has_its_turn_until_its_first_job_and_again_at_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".snakemake").mkdir()
    guard = Guard(workflow_of(), RESULTS, lambda: None)
    guard.inputs(None)
    assert locks._turn
    guard.demand()
    assert not locks._turn
    guard.end()
    assert locks._turn
    locks.pass_turn()
    locks.release_run()
    Guard(workflow_of(dryrun=True), RESULTS, lambda: None).inputs(None)
    Guard(workflow_of(exec_mode=ExecMode.SUBPROCESS), RESULTS, lambda: None).end()
    assert not locks._turn


@pytest.mark.parametrize("settings", [{"dryrun": True}, {"executor_plugin": None}])
def test_a_look_at_what_would_run_changes_nothing(
    settings: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    path = made()
    flipped(path)
    held, forced, printed = guarded(workflow_of(**settings), capsys)
    assert (held, forced) == (False, [str(path)])
    assert printed.endswith("since it was written: a run would make it again.\n")
    assert path.exists()


@pytest.mark.parametrize(
    "settings",
    [{"exec_mode": ExecMode.REMOTE}, {"exec_mode": ExecMode.SUBPROCESS}, {"touch": True}],
)
def test_jobs_and_whoever_touches_results_take_no_lock(
    settings: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    flipped(made())
    assert guarded(workflow_of(**settings), capsys) == (False, [], "")


def test_run_that_must_not_begin_ends_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    process = holder("local")
    try:
        with pytest.raises(SystemExit, match="another run is at work in results/toy"):
            guarded(workflow_of(), capsys)
    finally:
        process.kill()
        process.wait()


def test_each_plan_of_a_process_is_guarded_and_none_forgotten() -> None:
    """By the API one process may look at a plan first and then run it."""
    Path(".snakemake").mkdir()
    workflow = workflow_of(executor_plugin=None)
    guard = Guard(workflow, RESULTS, lambda: None)
    with pytest.raises(SystemExit, match="nothing guards the results"):
        guard.demand()
    guard.inputs(None)
    workflow.executor_plugin, workflow.dag = "local", SimpleNamespace(forcefiles=set())
    with pytest.raises(SystemExit, match="nothing guards the results"):
        guard.demand()
    guard.inputs(None)
    guard.demand()
    assert locks._held
    locks.release_run()


def test_tail_is_of_bounded_length() -> None:
    log_of("a").write_text("x\n" * 10_000)
    assert len(failures.failure("a", log_of("a"), "").splitlines()) == failures.TAIL + 2


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that wraps every script, without its hold on this process."""
    spec = importlib.util.spec_from_file_location("stage", ROOT / "workflow/scripts/stage.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(module.faulthandler, "enable", lambda stream: stream.close())
    monkeypatch.setattr(module, "join_jobs", lambda results: None)
    return module


def job(*inputs: Path) -> SimpleNamespace:
    return SimpleNamespace(
        log=[str(log_of("a.b"))], input=list(map(str, inputs)), output=["results/toy/out"]
    )


def test_stage_says_how_far_it_is_and_signs_what_it_wrote(script: ModuleType) -> None:
    progress = log_of("a.b").with_suffix(".progress")
    with script.stage(job()) as summary:
        summary.counted(1, 4, "runs")
        assert not progress.exists()
        summary.written -= 1
        summary.counted(2, 4, "runs")
        assert progress.read_text() == "0.5000 2 of 4 runs"
        Path("results/toy/out").write_text("x")
        summary.append("4 runs")
    assert not progress.exists()
    assert log_of("a.b").read_text().startswith("a.b                          4 runs (")
    assert receipts.receipt_of(Path("results/toy/out"), RESULTS).is_file()
    assert damaged() == []


def test_stage_refuses_an_input_that_is_not_what_was_written(script: ModuleType) -> None:
    """Also where its time stamps are those of before, which a start alone would not see."""
    path = made()
    path.write_text("abd")
    with pytest.raises(SystemExit), script.stage(job(path)):
        pytest.fail("its work began")
    error = log_of("a.b").with_suffix(".error").read_text()
    assert error.startswith(f"{path} was changed or damaged since it was written: remove it")


def test_stage_that_fails_signs_nothing(script: ModuleType) -> None:
    made("out")
    with pytest.raises(SystemExit) as stopped, script.stage(job()):
        raise ZeroDivisionError("no")
    assert stopped.value.code == 1
    assert not receipts.receipt_of(Path("results/toy/out"), RESULTS).exists()
    assert "Traceback" in log_of("a.b").read_text()
    assert "(ZeroDivisionError: no)" in log_of("a.b").with_suffix(".error").read_text()


def test_interrupted_stage_is_silent(script: ModuleType) -> None:
    with pytest.raises(SystemExit) as stopped, script.stage(job()):
        raise KeyboardInterrupt
    assert stopped.value.code == script.INTERRUPTED
    assert not log_of("a.b").with_suffix(".error").exists()


@pytest.fixture
def steps() -> ModuleType:
    """The program that goes in steps."""
    spec = importlib.util.spec_from_file_location("run_in_steps", ROOT / "workflow/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 1)])
def test_run_told_to_end_while_a_step_plans_begins_nothing(
    number: int, code: int, steps: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = os.getpid()
    due = iter(["ingest"])

    def main(arguments: list[str]) -> None:
        if os.getpid() == parent:
            # As Snakemake does it for a run that it does not know to be none.
            signal.signal(signal.SIGTERM, lambda *_: None)
            planning_of_steps._asked[0][1](next(due))  # no second run begins
            sys.exit()
        assert arguments[-2:] == ["--until", "ingest"]
        time.sleep(0.3)  # by then the parent waits
        os.kill(parent, number)
        time.sleep(1 if number == signal.SIGINT else 60)
        os._exit(1)

    monkeypatch.setattr(steps, "main", main)
    with pytest.raises(SystemExit) as end:
        steps.run_in_steps([])
    assert end.value.code == code


def workflow_with(**jobs: dict[str, object]) -> SimpleNamespace:
    """One that is to run a job of each of these rules, for the reasons given."""

    class Output:
        def __init__(self, exists: bool) -> None:
            self.there = exists

        async def exists(self) -> bool:
            return self.there

    def made(rule: str, **why: object) -> SimpleNamespace:
        own = {"forced": False, "missing_output": set(), "updated_input": set(), **why}
        reason = SimpleNamespace(updated_input_run={"above"}, **own)
        output = [Output(why.get("exists") is not False)] * (rule != "all")
        return SimpleNamespace(rule=SimpleNamespace(name=rule), reason=reason, output=output)

    return SimpleNamespace(
        dag=SimpleNamespace(
            needrun_jobs=lambda: [made(rule, **why) for rule, why in jobs.items()],
            reason=lambda job: job.reason,
        ),
        persistence=SimpleNamespace(
            params_changed=lambda job: getattr(job.reason, "params", False),
            input_changed=lambda job: [getattr(job.reason, "inputs", False)],
        ),
        async_run=asyncio.run,
    )


def test_a_step_is_due_where_results_would_follow_a_stage_that_may_write_the_same() -> None:
    stops = planning_of_steps.STOPS
    due = planning_of_steps.due_stop
    changed: dict[str, object] = {"params": True}
    assert due(workflow_with(ingest=changed, clean={}, fit={}), stops) == "ingest"
    assert due(workflow_with(ingest=changed, clean={}, fit=changed), stops) == "ingest"
    assert due(workflow_with(gather=changed, fit={}), stops) == "gather"
    assert due(workflow_with(gather=changed, fit={}), stops[:2]) == ""
    assert due(workflow_with(fit=changed, audit={}), stops) == ""
    assert due(workflow_with(), stops) == ""
    for own in (
        {"exists": False},
        {"forced": True},
        {"missing_output": {"a"}},
        {"updated_input": {"a"}},
        {"params": True},
        {"inputs": True},
    ):
        assert due(workflow_with(ingest=changed, clean=changed, gather=own, fit=own), stops) == ""
    first: dict[str, object] = {"exists": False}
    assert due(workflow_with(ingest=first, fit=first, all={}), stops) == ""  # `all` has no results


def test_a_run_for_which_a_step_is_due_is_told_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = workflow_with(ingest={"params": True}, fit={})
    monkeypatch.setattr(planning_of_steps, "_asked", [])
    assert not planning_of_steps.is_a_step_due(workflow)
    due: list[str] = []
    planning_of_steps.ask_for_steps(planning_of_steps.STOPS, due.append)
    assert planning_of_steps.is_a_step_due(workflow)
    assert due == ["ingest"]
    planning_of_steps.ask_for_steps((), due.append)
    assert not planning_of_steps.is_a_step_due(workflow)
