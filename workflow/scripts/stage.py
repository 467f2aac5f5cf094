"""What every script does besides its work: one line of progress, one sentence of error."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flopline.errors import FloplineError


@contextmanager
def stage(job) -> Iterator[list[str]]:
    """Run a job's work; what is appended to the list it yields is said in its progress line.

    On failure the sentence goes to the job's log, to `<log>.error` beside it and to the terminal;
    the traceback of an unexpected error goes to the log only.
    """
    log = Path(job.log[0])
    name = log.stem
    said: list[str] = []
    began = time.perf_counter()
    try:
        yield said
    except FloplineError as mistake:
        log.write_text(f"{mistake}\n", encoding="utf-8")
        _stop(log, str(mistake))
    except Exception as error:
        log.write_text(traceback.format_exc(), encoding="utf-8")
        kind = type(error).__name__
        _stop(log, f"{name} stopped unexpectedly ({kind}: {error}); the details are in {log}.")
    seconds = time.perf_counter() - began
    line = f"{name:<28} {', '.join(said)} ({seconds:.1f} s)"
    log.write_text(line + "\n", encoding="utf-8")
    print(line, file=sys.stderr, flush=True)


def _stop(log: Path, sentence: str) -> None:
    log.with_suffix(".error").write_text(sentence + "\n", encoding="utf-8")
    sys.exit(1)
