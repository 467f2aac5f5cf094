"""Snakemake's command line, loaded once and forked for every call: a dry run without its start.

Loading Snakemake takes three quarters of a small dry run, and a rerun matrix has many of those.
Nothing is shared between calls: each is a fresh fork of a process that has imported Snakemake
and its plugins and done nothing else. Run as a program this module is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path


class Planner:
    """A process that answers one call of Snakemake after another."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def snakemake(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `snakemake *arguments` in `folder`; all that it said is in `stdout`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(folder), arguments]), file=self.process.stdin, flush=True)
        code, said = json.loads(self.process.stdout.readline())
        return subprocess.CompletedProcess(["snakemake", *arguments], code, said, "")

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def _answer(folder: str, arguments: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for stream in (1, 2):
                    os.dup2(said.fileno(), stream)
                os.chdir(folder)
                code = _run(arguments)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode()


def _run(arguments: list[str]) -> int:
    from snakemake.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _serve() -> None:
    import jsonschema  # noqa: F401 - what every fork then has
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # loads all plugins

    for line in sys.stdin:
        print(json.dumps(_answer(*json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
