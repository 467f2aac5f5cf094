"""Lines on the terminal: one for each finished stage, a bar below them, the reasons of failures.

They come from the events of Snakemake's logger (snakemake_interface_logger_plugins) and the fields
of their records, never from the wording of its messages. The console is a filter of that logger and
no plugin: one must be installed and named at every start, and it gets its records in a thread that
nobody waits for.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from snakemake_interface_logger_plugins.common import LogEvent

from running.expected import Expected, slowed_by_others
from running.failures import failure, full_disk, lines_of

FIRST_SIGN_S: Final = 10.0
"""Seconds after which a stage at work says so where there is no terminal."""

MOST_SILENCE_S: Final = 600.0
"""Seconds after which it says so again at the latest; before that the pauses double."""

FIRST_LEFT_S: Final = 60.0
"""Seconds after which a long run says again how long it will take, now by its own stages; later it
does so every `MOST_SILENCE_S`."""

BUSY: Final = 1.5
"""How many times as long a run takes beside other work, from which this is said."""

FRAME_S: Final = 0.5
"""Seconds between two pictures of the bar."""

_OWN: Final = {
    LogEvent.RUN_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
    LogEvent.SHELLCMD,
}
"""Events for which there are lines of ours."""

_STOPPING: Final = ("Will exit after", "Terminating processes")
"""Snakemake's answer to a signal, which has no event: in other words it would not be shown, and
nothing else would change."""


@dataclass(slots=True)
class Job:
    """A stage at work."""

    log: Path
    outputs: list[str]
    began: float = field(default_factory=time.monotonic)
    last_sign_s: float = FIRST_SIGN_S / 2

    @property
    def name(self) -> str:
        """The stage and what of, as `fit_isoflop.dense`."""
        return self.log.stem

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.began

    def state(self) -> str:
        """How far it is, as it notes itself, or else how long it has been at work."""
        try:
            note = self.log.with_suffix(".progress").read_text("utf-8")
            share, _, words = note.partition(" ")
            done = int(10 * float(share))
        except (OSError, ValueError, OverflowError):
            done, words = 0, ""
        if not (words and 0 <= done <= 10):
            return f"{self.name} {self.seconds:.0f} s"
        bar = "#" * done + "-" * (10 - done)
        return f"{self.name} [{bar}] {words}, {self.seconds:.0f} s"


class Console:
    """Prints lines of ours for Snakemake's events, and lets through what is news besides.

    If not `quiet` it lets everything through.

    `job_ends` is called with the outputs of each finished job; the lines of `idle`, if there are
    any, are printed at the end of a run in which there was nothing to do. `known` gives the seconds
    of a job by rule, of earlier runs.
    """

    def __init__(
        self,
        idle: Callable[[], str] = lambda: "",
        job_ends: Callable[[list[str]], None] = lambda outputs: None,
        quiet: bool = True,
        stream: TextIO | None = None,
        known: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.idle, self.job_ends, self.known = idle, job_ends, known
        self.cores: int | None = None
        self.expected: Expected | None = None
        self.next_left = 0.0
        self.quiet, self.stream = quiet, stream or sys.stderr
        self.total = self.done = 0
        self.planned: Mapping[str, int] = {}  # jobs by rule, until the first begins
        self.jobs: dict[int, Job] = {}
        self.failed: dict[str, tuple[Path, str]] = {}
        self.reasons: dict[int, str] = {}
        self.lock = threading.RLock()
        self.drawn = self.begun = self.has_jobs = self.ended = False
        self.has_last_words = False
        self.answers: set[str] = set()  # what it answered to signals
        self.explained = False  # whether anything was shown or noted of why the run fails

    def passes(self, record: logging.LogRecord) -> bool:
        """Note what an event reports; whether Snakemake's own message is shown, too."""
        event = getattr(record, "event", None)
        with self.lock:
            self._erase()
            if event is not None:
                self._note(event, record.__dict__)
            if event is LogEvent.ERROR:
                is_shown = self._is_new(str(record.msg))
                record.msg = full_disk(str(record.msg)) or record.msg
            elif event is None:
                is_shown = self._is_news(str(record.msg), record.levelno)
            else:
                is_shown = event not in _OWN
            return is_shown or not self.quiet

    def begin(self) -> None:
        """A run is being planned, which is more than a look at what would run."""
        self.begun, self.has_jobs, self.ended, self.explained = True, False, False, False
        self.has_last_words = False
        self.answers.clear()
        self.done = 0
        threading.Thread(target=self._look, name="progress", daemon=True).start()

    def stop(self, last_words: str = "") -> None:
        """Draw nothing more, and print the last words if there are any."""
        with self.lock:
            self.ended = True
            self._erase()
            if last_words:
                self._print(last_words)
                self.has_last_words = True

    def close(self) -> None:
        """Stop, with the last words of a run that had nothing to do, which comes to no hook."""
        idle = self.begun and not (self.has_jobs or self.explained)
        self.stop(self.idle() if idle else "")

    def failures(self) -> list[str]:
        """Why each stage failed that did not succeed later: its own sentence, or what is known."""
        return [failure(name, *known) for name, known in sorted(self.failed.items())]

    def _note(self, event: LogEvent, fields: Mapping[str, Any]) -> None:
        if event is LogEvent.RUN_INFO and "stats" in fields:
            counts = {k: v for k, v in fields["stats"].items() if k not in ("all", "total")}
            self.total = sum(counts.values())
            self.has_jobs, self.planned = True, counts
        elif event is LogEvent.RESOURCES_INFO and fields.get("cores"):
            self.cores = int(fields["cores"])
        elif event is LogEvent.JOB_INFO and fields["log"]:
            self._expect()
            job = Job(Path(fields["log"][0]), list(fields["output"]))
            if job.name in self.failed:
                self._print(f"{self._count()} {job.name} failed and is tried again")
            self.jobs[fields["jobid"]] = job
        elif event is LogEvent.JOB_FINISHED and fields["job_id"] in self.jobs:
            job = self.jobs.pop(fields["job_id"])
            self.job_ends(job.outputs)
            self.done += 1
            self.failed.pop(job.name, None)
            line = lines_of(job.log)[-1:] or [job.name]
            self._print(f"{self._count()} {line[0]}")
            self._say_left(job)
        elif event is LogEvent.JOB_ERROR and fields["jobid"] in self.jobs:
            job = self.jobs.pop(fields["jobid"])
            self.failed[job.name] = (job.log, self.reasons.pop(threading.get_ident(), ""))
            self.explained = True

    def _expect(self) -> None:
        """Say, before the first job of a run, how long it will take, if that is long."""
        counts, cores, self.planned = self.planned, self.cores, {}
        if not (self.begun and counts and cores):
            return
        pace = slowed_by_others(cores)
        self.expected = Expected(counts, cores, self.known(), pace)
        self.next_left = time.monotonic() + FIRST_LEFT_S
        if words := self.expected.words():
            on = f"{cores} core{'s' * (cores > 1)}"
            busy = pace >= BUSY
            sort = "beside what else this machine does" if busy else "or more"
            self._print(f"{self._count()} {self.total:,} stages on {on} take {words} {sort}")

    def _say_left(self, ended: Job) -> None:
        """Note how long a stage took, and say from time to time how long the rest will take."""
        if self.expected is None:
            return
        self.expected.finished(ended.name.partition(".")[0], ended.seconds)
        if time.monotonic() >= self.next_left and (words := self.expected.words()):
            self.next_left = time.monotonic() + MOST_SILENCE_S
            self._print(f"{self._count()} {words} left")

    def _is_new(self, error: str) -> bool:
        """Whether an exception is news, and neither a job's nor that by which a failed run ends."""
        # Of a job that failed an event brings the fields, in this thread and right after the
        # exception of its command, which alone holds how the command ended.
        if "CalledProcessError" in error:
            self.reasons[threading.get_ident()] = error
            return False
        is_echo, self.explained = self.ended and self.explained, True
        return not is_echo

    def _is_news(self, message: str, level: int) -> bool:
        """Whether a message without an event is news: in a run those below a warning are steps."""
        if self.has_last_words and level < logging.WARNING:
            return False  # nothing stands after the decision
        if not self.begun or self.ended or level == logging.WARNING:
            return True
        if level > logging.WARNING:  # it points to errors above
            return not self.explained
        # Snakemake says it again each time that a job ends.
        is_answer = message.startswith(_STOPPING) and message not in self.answers
        if is_answer:
            self.answers.add(message)
        self.explained = self.explained or is_answer
        return is_answer

    def _look(self) -> None:
        while not self.ended:
            time.sleep(FRAME_S)
            with self.lock:
                if not self.ended and self.stream.isatty():
                    self._draw()
                elif not self.ended:
                    self._give_signs()

    def _draw(self) -> None:
        self._erase()
        states = ", ".join(job.state() for job in self.jobs.values())
        if states:
            width = shutil.get_terminal_size().columns - 1
            words = self.expected.words() if self.expected else ""
            left = f"{words} left, " if words else ""
            self.stream.write(f"{self._count()} {left}{states}"[:width])
            self.stream.flush()
            self.drawn = True

    def _erase(self) -> None:
        if self.drawn:
            self.stream.write("\r\033[K")
            self.stream.flush()
            self.drawn = False

    def _give_signs(self) -> None:
        for job in self.jobs.values():
            if job.seconds >= min(2 * job.last_sign_s, job.last_sign_s + MOST_SILENCE_S):
                job.last_sign_s = job.seconds
                self._print(f"{self._count()} {job.state()}, still at work")

    def _count(self) -> str:
        return f"[{self.done}/{self.total}]"

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)
