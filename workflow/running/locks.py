"""One run of a study at a time: locks that the system drops when their process ends, however."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from flopline.atomic import drop, writing
from flopline.errors import FloplineError

RUN: Final = ".lock"
"""Held, below results/<study>, by the process that runs a study."""

JOBS: Final = ".jobs.lock"
"""Shared by all jobs of a study at work, so that those of a killed run are seen."""

LEAST_ROOM: Final = 1 << 20
"""Bytes that must be free for a run to begin: Snakemake has no sentence for a full disk."""

_held: list[IO[str]] = []


def hold_run(results: Path, remote: bool, say: Callable[[str], None]) -> None:
    """Take the study's lock for as long as this process lives, and clear what a killed run left.

    Waits for jobs that a killed run left at work. `remote` says that jobs run on a cluster.
    Raises FloplineError when another run of the study is at work, when jobs of a killed run may
    still stand in a cluster's queue, or when the folder cannot be written.
    """
    with writing(results / RUN):
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / RUN).open("a+", encoding="utf-8")
    if not _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
        raise FloplineError(
            f"another run is at work in {results} ({_shown(_holder(lock))}): let it end, or stop "
            "it there with Ctrl-C, then start again; it goes on unharmed."
        )
    _held.append(lock)
    former = _holder(lock)
    stale = [path for path in Path(".snakemake/locks").glob("*.lock") if _is_of(path, results)]
    if stale and former.get("remote"):
        raise FloplineError(
            f"the last run in {results} was killed ({_shown(former)}) and its jobs may still be in "
            "the cluster's queue: cancel them (docs/cluster.md), then clear its lock with "
            f"`snakemake --unlock --config study={results.name}` and start again."
        )
    if former:
        _wait_for_jobs(results, say)
    if stale:
        say(f"The last run in {results} was killed; going on where it stopped.")
    for path in stale:
        path.unlink(missing_ok=True)
    with writing(results / RUN):
        lock.seek(0)
        lock.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "remote": remote}, lock)
        lock.flush()


def require_room(*folders: Path) -> None:
    """Raise FloplineError where a disk is full before anything begins."""
    for folder in folders:
        probe = folder / ".room"
        try:
            with writing(probe):
                probe.write_bytes(bytes(LEAST_ROOM))
        finally:
            drop(probe)


def release_run() -> None:
    """Say that the run came to its end by itself, whatever the outcome."""
    for lock in _held:
        lock.seek(0)
        lock.truncate()
        lock.close()
    _held.clear()


def join_jobs(results: Path) -> None:
    """Tell, as long as this process lives, that a job of the study is at work."""
    try:
        lock = (results / JOBS).open("a", encoding="utf-8")
    except OSError:
        return
    _lock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    _held.append(lock)


def _wait_for_jobs(results: Path, say: Callable[[str], None]) -> None:
    with (results / JOBS).open("a", encoding="utf-8") as lock:
        if not _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            pids = _pids_at(results / JOBS)
            which = f" (process {', '.join(map(str, pids))})" if pids else ""
            end = f", or end it with `kill {' '.join(map(str, pids))}`" if pids else ""
            say(f"A job of a run that was killed is still at work{which}: waiting for it{end}.")
            _lock(lock, fcntl.LOCK_EX)


def _lock(stream: IO[str], how: int) -> bool:
    """Whether the lock was got; a file system without locks lets everybody through."""
    try:
        fcntl.flock(stream, how)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _holder(lock: IO[str]) -> dict[str, Any]:
    lock.seek(0)
    try:
        said = json.load(lock)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _shown(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown host')}"


def _is_of(lock: Path, results: Path) -> bool:
    """Whether one of Snakemake's own locks names files of the study."""
    try:
        return any(line.startswith(f"{results}/") for line in lock.open(encoding="utf-8"))
    except OSError:
        return False


def _pids_at(path: Path) -> list[int]:
    """The processes of this machine that hold a lock on a file, as Linux tells them."""
    try:
        inode, lines = path.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return []
    found = re.findall(rf"FLOCK +\w+ +\w+ +(\d+) +[0-9a-f]+:[0-9a-f]+:{inode} ", lines)
    return sorted({int(pid) for pid in found})
