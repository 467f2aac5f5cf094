"""Snakemake's command line, loaded once and forked for every call.

Loading Snakemake takes three quarters of a small dry run, and tests make hundreds of calls.
Nothing is shared between calls: each is a fresh fork of a process that has imported Snakemake
and its plugins and done nothing else. The scripts of its jobs are forked likewise, as those of any
run are (running/job_server.py), but from one process for all calls. Run as a program this module is
the process that forks Snakemake.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND_LINE = "snakemake"


class Engine:
    """A process that answers one call of Snakemake after another, in an environment of its own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.turn = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order: str, **details: object) -> Any:
        """What the process answers to an order: `answer`, `start` or `poll`, see below."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.turn:
            print(json.dumps([order, details]), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())

    def snakemake(
        self, folder: Path, *arguments: str, program: str = COMMAND_LINE
    ) -> subprocess.CompletedProcess[str]:
        """Run `snakemake *arguments`, or a program of ours that loads Snakemake, in `folder`."""
        code, out, errors = self.ask(
            "answer", program=program, folder=str(folder), arguments=arguments
        )
        return subprocess.CompletedProcess([program, *arguments], code, out, errors)

    def start(
        self,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str],
        output: Path,
        elsewhere: bool = False,
    ) -> Started:
        """Start `snakemake *arguments` in `folder`, at the head of a process group of its own.

        Jobs that run `elsewhere`, on a cluster, start the Python of this process there, and the
        run stays in the group of this process.
        """
        pid = self.ask(
            "start",
            folder=str(folder),
            arguments=arguments,
            environment=dict(environment),
            output=str(output),
            elsewhere=elsewhere,
        )
        return Started(self, pid)

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Started:
    """A run that goes on beside its test, to be looked at and disturbed as one of subprocess."""

    def __init__(self, engine: Engine, pid: int) -> None:
        self.engine, self.pid = engine, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, as Popen tells it, or None while it is at work."""
        if self.returncode is None:
            self.returncode = self.engine.ask("poll", pid=self.pid)
        return self.returncode

    def wait(self, seconds: float = 60.0) -> int:
        """How it ended, once it has."""
        begin = time.monotonic()
        while (code := self.poll()) is None:
            past = time.monotonic() - begin
            if past > seconds:
                raise subprocess.TimeoutExpired(COMMAND_LINE, seconds)
            time.sleep(0.02 if past < 10 else 0.2)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


@contextmanager
def engine_in(environment: Mapping[str, str]) -> Iterator[Engine]:
    """One in another environment, loaded and ended for a run of many jobs."""
    engine = Engine(environment)
    try:
        yield engine
    finally:
        engine.stop()


def _answer(python: str, program: str, folder: str, arguments: list[str]) -> tuple[int, str, str]:
    """How a run ended, and all that it printed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            _run(python, program, folder, arguments)
        _, status = os.waitpid(child, 0)
        texts = []
        for stream in (out, errors):
            stream.seek(0)
            texts.append(stream.read().decode())
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def _start(
    python: str,
    folder: str,
    arguments: list[str],
    environment: dict[str, str],
    output: str,
    elsewhere: bool,
) -> int:
    """Start a run that prints to a file; its process."""
    child = os.fork()
    if child == 0:
        if not elsewhere:
            os.setpgid(0, 0)
        os.environ.update(environment)
        for number, file, mode in ((0, os.devnull, "rb"), (1, output, "ab"), (2, output, "ab")):
            with Path(file).open(mode) as stream:
                os.dup2(stream.fileno(), number)
        _run(sys.executable if elsewhere else python, COMMAND_LINE, folder, arguments)
    return child


def _poll(pid: int) -> int | None:
    """How a process that was started ended; nothing while it is at work."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _run(python: str, program: str, folder: str, arguments: list[str]) -> None:
    """Be a run in this fork; whatever ends it, ends this process as it would end Snakemake."""
    os.chdir(folder)
    sys.executable = python
    if program == COMMAND_LINE:
        from snakemake.cli import main

        main(arguments)
    else:
        import runpy

        sys.argv = [program, *arguments]
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    sys.exit()


def _serve() -> None:
    import jsonschema  # noqa: F401 - what every fork then has
    import smart_open  # noqa: F401
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # loads all plugins

    sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
    from running import job_server

    python = job_server.command(job_server.start())
    # Each call loads the workflow of its own checkout.
    del sys.path[0]
    for module in [name for name in sys.modules if name.partition(".")[0] == "running"]:
        del sys.modules[module]
    for line in sys.stdin:
        order, details = json.loads(line)
        if order == "poll":
            answer: object = _poll(**details)
        else:
            answer = {"answer": _answer, "start": _start}[order](python, **details)  # type: ignore[operator]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
