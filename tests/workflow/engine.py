"""Snakemake's command line, loaded once and forked for every call.

Loading Snakemake takes three quarters of a small dry run, and tests make hundreds of calls.
Nothing is shared between calls: each is a fresh fork of a process that has imported Snakemake
and its plugins and done nothing else. The scripts of its jobs are forked likewise (warm.py). Run as
a program this module is that process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Engine:
    """A process that answers one call of Snakemake after another, in an environment of its own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Of a fork nobody knows when it ends, so that it is this process which removes it.
        self.folder = Path(tempfile.mkdtemp())
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.folder / "warm")],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def snakemake(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `snakemake *arguments` in `folder`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(folder), arguments]), file=self.process.stdin, flush=True)
        code, out, errors = json.loads(self.process.stdout.readline())
        return subprocess.CompletedProcess(["snakemake", *arguments], code, out, errors)

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        shutil.rmtree(self.folder)


@contextmanager
def engine_in(environment: Mapping[str, str]) -> Iterator[Engine]:
    """One in another environment, loaded and ended for a run of many jobs."""
    engine = Engine(environment)
    try:
        yield engine
    finally:
        engine.stop()


def _answer(python: str, folder: str, arguments: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            os.chdir(folder)
            from snakemake.cli import main

            sys.executable = python
            # Whatever ends it, ends this process as it would end Snakemake.
            main(arguments)
            sys.exit()
        _, status = os.waitpid(child, 0)
        texts = []
        for stream in (out, errors):
            stream.seek(0)
            texts.append(stream.read().decode())
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def _serve() -> None:
    import jsonschema  # noqa: F401 - what every fork then has
    import smart_open  # noqa: F401
    import snakemake.cli
    import warm  # beside this file

    snakemake.cli.get_argument_parser()  # loads all plugins

    address = sys.argv[1]
    warm.start(address)
    for line in sys.stdin:
        print(json.dumps(_answer(warm.command(address), *json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
