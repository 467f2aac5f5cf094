"""What a run says on the terminal: a line for each finished stage, a bar, the reasons of failures.

Snakemake's own messages are its source: `Console.hears` is a filter of its logger.
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from snakemake_interface_logger_plugins.common import LogEvent

TAIL: Final = 12
"""Lines of a log that are shown when its stage failed."""

FIRST_SIGN_S: Final = 10.0
"""Seconds after which a stage at work says so where there is no terminal."""

MOST_SILENCE_S: Final = 600.0
"""Seconds after which it says so again at the latest; before that the pauses double."""

FRAME_S: Final = 0.5
"""Seconds between two pictures of the bar."""

_SILENT: Final = {
    LogEvent.RUN_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
    LogEvent.SHELLCMD,
}
"""What Snakemake says of its own steps, for which there are lines of ours."""

_CHATTER: Final = re.compile(
    r"Select jobs to execute|Execute \d+ jobs|Using shell: |Conda environments: ignored"
    r"|Group jobs: inactive|Removing output files of failed job|Shutting down, this might"
    r"|Moving output file|Symlinking output file|Exiting because a job execution failed"
    r"|WorkflowError:\nAt least one job did not complete"
)


_NO_ROOM: Final = r"No space left on device(?:: '[^']+')?(?=\s|$)"
"""What Snakemake says, in a traceback, where it finds no room for its own notes."""

_INTERRUPTED: Final = r"died with <Signals\.SIGINT: 2>|non-zero exit status 130\b"
"""How a job ends at Ctrl-C, or when it is told to end."""

_FUTURE: Final = r"has older modification time .* than input (.+?) \(\d"
"""What it says where an input comes from the future."""


@dataclass(slots=True)
class Job:
    """A stage at work."""

    log: Path
    outputs: list[str]
    began: float = field(default_factory=time.monotonic)
    said_s: float = FIRST_SIGN_S / 2

    @property
    def name(self) -> str:
        """The stage and what of, as `fit_isoflop.dense`."""
        return self.log.stem

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.began

    def state(self) -> str:
        """How far it is, as it says itself, or else how long it has been at work."""
        try:
            said, _, words = self.log.with_suffix(".progress").read_text("utf-8").partition(" ")
            done = int(10 * float(said))
        except (OSError, ValueError, OverflowError):
            return f"{self.name} {self.seconds:.0f} s"
        if not (words and 0 <= done <= 10):
            return f"{self.name} {self.seconds:.0f} s"
        bar = "#" * done + "-" * (10 - done)
        return f"{self.name} [{bar}] {words}, {self.seconds:.0f} s"


class Console:
    """Hears what Snakemake logs, lets through what is news, and says the rest in lines of ours.

    If not `quiet` it lets everything through.

    `plans` is called before Snakemake looks at any file, `begins` with the outputs of each job
    before it starts and `ends` after; what `idle` says, if it says anything, is shown when there is
    nothing to do.
    """

    def __init__(
        self,
        plans: Callable[[], None],
        begins: Callable[[list[str]], None],
        idle: Callable[[], str],
        quiet: bool = True,
        stream: TextIO | None = None,
        ends: Callable[[list[str]], None] = lambda outputs: None,
    ) -> None:
        self.plans, self.begins, self.idle, self.quiet = plans, begins, idle, quiet
        self.ends = ends
        self.stream = stream or sys.stderr
        self.total = self.done = 0
        self.jobs: dict[int, Job] = {}
        self.failed: dict[str, tuple[Path, str]] = {}
        self.reasons: dict[int, str] = {}
        self.lock = threading.RLock()
        self.drawn = False
        self.at_work = False

    def hears(self, record: logging.LogRecord) -> bool:
        """Whether a message is to be shown; what it tells is noted."""
        event = getattr(record, "event", None)
        with self.lock:
            self._erase()
            if event is not None:
                self._note(event, record.__dict__)
            text = str(record.msg)
            of_job = event is LogEvent.ERROR and "CalledProcessError" in text
            if of_job:
                self.reasons[threading.get_ident()] = text
            if event is LogEvent.ERROR:
                record.msg = _in_a_sentence(text)
            if text.startswith("Building DAG of jobs"):
                self.plans()
            if text.startswith("Nothing to be done"):
                record.msg = self.idle() or record.msg
            chatter = event in _SILENT or of_job or re.match(_CHATTER, text)
            return not (self.quiet and chatter)

    def _note(self, event: LogEvent, told: Mapping[str, Any]) -> None:
        if event is LogEvent.RUN_INFO and "stats" in told:
            counts = {k: v for k, v in told["stats"].items() if k not in ("all", "total")}
            self.total = sum(counts.values())
            self._watch()
        elif event is LogEvent.JOB_INFO and told["log"]:
            outputs = list(told["output"])
            self.jobs[told["jobid"]] = Job(Path(told["log"][0]), outputs)
            self.begins(outputs)
        elif event is LogEvent.JOB_FINISHED:
            job = self.jobs.pop(told["job_id"], None)
            if job:
                self.ends(job.outputs)
                self.done += 1
                self.failed.pop(job.name, None)
                self._say(f"{self._count()} {_last_line(job)}")
        elif event is LogEvent.JOB_ERROR:
            job = self.jobs.pop(told["jobid"], None)
            if job:
                self.failed[job.name] = (job.log, self.reasons.pop(threading.get_ident(), ""))

    def failures(self) -> list[str]:
        """Why each stage failed that did not succeed later: its own sentence, or what is known."""
        return [_failure(name, *known) for name, known in sorted(self.failed.items())]

    def stop(self) -> None:
        """Say and draw nothing more."""
        with self.lock:
            self.at_work = False
            self._erase()

    def _watch(self) -> None:
        if not self.at_work:
            self.at_work = True
            threading.Thread(target=self._look, name="progress", daemon=True).start()

    def _look(self) -> None:
        while self.at_work:
            time.sleep(FRAME_S)
            with self.lock:
                if self.at_work and self.stream.isatty():
                    self._draw()
                elif self.at_work:
                    self._give_signs()

    def _draw(self) -> None:
        self._erase()
        states = ", ".join(job.state() for job in self.jobs.values())
        if states:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"{self._count()} {states}"[:width])
            self.stream.flush()
            self.drawn = True

    def _erase(self) -> None:
        if self.drawn:
            self.stream.write("\r\033[K")
            self.stream.flush()
            self.drawn = False

    def _give_signs(self) -> None:
        for job in self.jobs.values():
            if job.seconds >= min(2 * job.said_s, job.said_s + MOST_SILENCE_S):
                job.said_s = job.seconds
                self._say(f"{self._count()} {job.state()}, still at work")

    def _count(self) -> str:
        return f"[{self.done}/{self.total}]"

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def _in_a_sentence(text: str) -> str:
    """What Snakemake says at some length of a fault that needs one sentence."""
    if full := re.search(_NO_ROOM, text):
        return f"flopline: {full[0]}: make room and start again."
    if late := re.search(_FUTURE, text):
        folder = shlex.quote(str(Path(late[1]).parent))
        return (
            f"flopline: {late[1]} has a time stamp in the future, as after a clock was set back: "
            f"bring it to now with `find {folder} -newermt now -exec touch {{}} +` and start again."
        )
    return text


def _last_line(job: Job) -> str:
    """The line that a finished stage left in its log, or its name."""
    try:
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else job.name


def _failure(name: str, log: Path, reason: str) -> str:
    """One sentence of why a stage failed; with the end of its log where that says more."""
    try:
        said = log.with_suffix(".error").read_text(encoding="utf-8").strip()
    except OSError:
        if re.search(_INTERRUPTED, reason):
            return f"{name} was interrupted."
        return f"{name} {_end(reason)}.\n{_tail(log)}"
    return said if _is_all(said, log) else f"{said}\n{_tail(log)}"


def _end(reason: str) -> str:
    """How a job ended that left no sentence, and what to do, from what Snakemake says of it."""
    found = re.search(r"died with <Signals\.(\w+): \d+>|non-zero exit status (\d+)", reason)
    status = int(found[2] or 0) if found else 0
    by = found[1] if found and found[1] else f"signal {status - 128}" if status > 128 else ""
    if by:
        return (
            f"was killed ({by}): if not by you, the machine may have run out of memory; free "
            "some, or use fewer --cores, and start again: it goes on from here"
        )
    how = f"ended with status {status}" if status else "ended"
    return f"{how} and said no reason: start again, and report it if that does not help"


def _is_all(said: str, log: Path) -> bool:
    """Whether a log holds no more than the sentence."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").strip() == said
    except OSError:
        return True


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    except OSError:
        lines = []
    shown = "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"
    return f"  The end of {log}:\n{shown}"
