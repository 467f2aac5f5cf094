"""What is told of jobs that a scheduler ended."""

import os
from pathlib import Path

from running.failures import ended_jobs


def write(log: Path, text: str, written: float) -> None:
    log.parent.mkdir(exist_ok=True)
    log.write_text(text)
    os.utime(log, (written, written))


def test_ended_jobs_of_this_run_say_why(tmp_path: Path) -> None:
    cancelled = "Building DAG\nslurmstepd: error: *** JOB 11 ON alpha CANCELLED AT 12:00 ***\nx\n"
    late = "slurmstepd: error: *** JOB 9 ON alpha CANCELLED AT 12:00 DUE TO TIME LIMIT ***\n"
    write(tmp_path / "group_a/11.log", cancelled, 200.0)
    write(tmp_path / "group_b/9.log", late, 100.0)
    write(tmp_path / "group_b/12.log", "an error of its own\n", 200.0)
    write(tmp_path / "group_b/7.log", late.replace("9", "7"), 99.0)
    assert ended_jobs(tmp_path, since=100.0) == [
        "Slurm ended a job: JOB 11 ON alpha CANCELLED AT 12:00; "
        f"more is in {tmp_path / 'group_a/11.log'}.",
        "Slurm ended a job: JOB 9 ON alpha CANCELLED AT 12:00 DUE TO TIME LIMIT; "
        f"more is in {tmp_path / 'group_b/9.log'}.",
    ]


def test_no_scheduler_no_word(tmp_path: Path) -> None:
    assert ended_jobs(tmp_path / "absent", since=0.0) == []
