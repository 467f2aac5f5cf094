"""What every script does besides its work: progress, one line at its end, one sentence of error."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flopline.atomic import drop
from flopline.errors import FloplineError
from running.locks import join_jobs
from running.receipts import differing, drop_receipts, write_receipts

INTERRUPTED = 130


class StageSummary(list[str]):
    """What a stage says in its line of progress, and how far it is until then."""

    def __init__(self, progress: Path) -> None:
        super().__init__()
        self.progress = progress
        self.written = time.monotonic()

    def counted(self, done: int, total: int, unit: str) -> None:
        """Note that `done` of `total` are done."""
        self.reached(done / max(total, 1), f"{done:,} of {total:,} {unit}")

    def reached(self, share: float, words: str) -> None:
        """Note, twice a second at most, what `share` is done and what is being done."""
        now = time.monotonic()
        if now - self.written > 0.5:
            self.written = now
            with suppress(OSError):
                self.progress.write_text(f"{share:.4f} {words}", encoding="utf-8")


@contextmanager
def stage(job) -> Iterator[StageSummary]:
    """Run a job's work; what is appended to the list it yields is said in its progress line.

    Its time and memory go to benchmarks/ beside logs/: Snakemake allows no `benchmark` on rules
    that a shared cache may spare, and looks twice a second at most, so that it misses short jobs.

    Inputs that are not what was written are refused. On failure the sentence goes to the job's log
    and to `<log>.error` beside it; the traceback of an unexpected error goes to the log only. A
    job that is told to stop leaves no file half-written.
    """
    log = Path(job.log[0])
    name, results = log.stem, log.parent.parent
    outputs = [Path(path) for path in job.output]
    summary = StageSummary(log.with_suffix(".progress"))
    began = time.perf_counter()
    signal.signal(signal.SIGTERM, _interrupt)
    drop(log.with_suffix(".error"))
    with suppress(OSError):
        # A crash in compiled code then leaves its place in the log; kept open till the end.
        faulthandler.enable(log.open("w", encoding="utf-8"))
    join_jobs(results)
    drop_receipts(outputs, results)
    # workflow/alone.py asks for errors as they arise: a debugger shows their place.
    for_the_debugger = (Exception,) if "FLOPLINE_RAISE" in os.environ else ()
    try:
        _refuse_damaged(job, results)
        yield summary
    except for_the_debugger:
        raise
    except FloplineError as mistake:
        _stop(log, f"{mistake}\n", str(mistake))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        kind = type(error).__name__
        sentence = (
            f"{name} stopped unexpectedly ({kind}: {error}), which is a mistake in Flopline: "
            f"report it with {log}, or work round it and start again."
        )
        _stop(log, traceback.format_exc(), sentence)
    finally:
        drop(summary.progress)
    write_receipts(outputs, results)
    seconds = time.perf_counter() - began
    with suppress(OSError):
        log.write_text(f"{name:<28} {', '.join(summary)} ({seconds:.1f} s)\n", encoding="utf-8")
        _measure(results / "benchmarks" / f"{name}.tsv", seconds)


def _measure(path: Path, seconds: float) -> None:
    """Write wall and CPU seconds and the peak memory in MB, named as Snakemake names them."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    # Linux counts in kB, macOS in bytes.
    megabytes = use.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    cpu = use.ru_utime + use.ru_stime
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"s\tmax_rss\tcpu_time\n{seconds:.2f}\t{megabytes:.2f}\t{cpu:.2f}\n", encoding="utf-8"
    )


def _refuse_damaged(job, results: Path) -> None:
    for path in differing(map(Path, job.input), results):
        raise FloplineError(
            f"{path} was changed or damaged since it was written: remove it and start again, it is "
            "made anew."
        )


def _interrupt(number, frame) -> None:
    raise KeyboardInterrupt


def _stop(log: Path, details: str, sentence: str) -> None:
    try:
        log.write_text(details, encoding="utf-8")
        log.with_suffix(".error").write_text(sentence + "\n", encoding="utf-8")
    except OSError:
        drop(log.with_suffix(".error"))
        print(f"flopline: {sentence}", file=sys.stderr, flush=True)
    sys.exit(1)
