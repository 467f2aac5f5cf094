"""What every script does besides its work: one line of progress, one sentence of error."""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flopline.errors import FloplineError


@contextmanager
def stage(job, *, measure: bool = False) -> Iterator[list[str]]:
    """Run a job's work; what is appended to the list it yields is said in its progress line.

    Its time and memory go to benchmarks/ beside logs/ if told to `measure`: rules that may be
    spared by a shared cache do, since Snakemake allows them no `benchmark` of its own.

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
    if measure:
        _measure(log.parents[1] / "benchmarks" / f"{name}.tsv", seconds)
    print(line, file=sys.stderr, flush=True)


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


def _stop(log: Path, sentence: str) -> None:
    log.with_suffix(".error").write_text(sentence + "\n", encoding="utf-8")
    sys.exit(1)
