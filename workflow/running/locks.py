"""One run of a study at a time: locks that the system drops when their process ends, however."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from flopline.atomic import drop, writing
from flopline.decoders import json_of
from flopline.errors import FloplineError

RUN: Final = ".lock"
"""Held, below results/<study>, by the process that runs a study."""

JOBS: Final = ".jobs.lock"
"""Shared by all jobs of a study at work, so that those of a killed run are seen."""

TURN: Final = ".turn.lock"
"""Held, below .snakemake, by the one run of a folder that begins or ends."""

LEAST_ROOM: Final = 1 << 20
"""Bytes that must be free for a run to begin: Snakemake has no sentence for a full disk."""

_held: list[IO[str]] = []
_turn: list[IO[str]] = []


def hold_run(results: Path, remote: bool, say: Callable[[str], None]) -> None:
    """Take the study's lock until `release_run`, and clear what a killed run left.

    Waits for jobs that a killed run left at work. `remote` says that jobs run on a cluster. On a
    file system without locks nothing is taken and nothing cleared: Snakemake has a lock of its own.
    Raises FloplineError when another run of the study is at work, when jobs of a killed run may
    still stand in a cluster's queue, or when the folder cannot be written.
    """
    release_run()  # of an earlier run of this process
    with writing(results / RUN):
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / RUN).open("a+", encoding="utf-8")
    locked = _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if locked is None:
        return
    former = _holder(lock)
    if not locked:
        raise FloplineError(
            f"another run is at work in {results} ({_process(former)}): let it end, or stop it "
            "there with Ctrl-C, then start again; it goes on unharmed."
        )
    stale = [path for path in Path(".snakemake/locks").glob("*.lock") if _is_of(path, results)]
    if stale and former.get("remote"):
        raise FloplineError(
            f"the last run in {results} was killed ({_process(former)}) and its jobs may still be "
            "in the cluster's queue: cancel them (docs/cluster.md), then clear its lock with "
            f"`snakemake --unlock --config study={results.name}` and start again."
        )
    if former:
        _wait_for_jobs(results, say)
    if stale:
        say(f"The last run in {results} was killed; going on where it stopped.")
    for path in stale:
        path.unlink(missing_ok=True)
    with writing(results / RUN):
        lock.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "remote": remote}, lock)
        lock.flush()
    _held.append(lock)


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
    """Let go of the locks of this process: its run ended by itself, whatever the outcome."""
    for lock in _held:
        lock.truncate(0)
        lock.close()
    _held.clear()


def take_turn(snakemake: Path, say: Callable[[str], None]) -> None:
    """Wait until no other run in this folder begins or ends; the turn is ours until `pass_turn`.

    Snakemake keeps its own locks of all runs in one folder below `snakemake`, which every run makes
    as it begins to plan, writes to at the end of its plan, and removes with all in it as it ends.
    """
    if _turn:
        return
    try:
        lock = (snakemake / TURN).open("a", encoding="utf-8")
    except OSError:
        return
    if _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) is False:
        say("Another run in this folder is beginning or ending: waiting for it.")
        _wait_for(lock)
    _turn.append(lock)
    with suppress(OSError):
        (snakemake / "locks").mkdir(exist_ok=True)


def pass_turn() -> None:
    """Let other runs in this folder begin or end."""
    for lock in _turn:
        lock.close()
    _turn.clear()


def join_jobs(results: Path) -> None:
    """Show, as long as this process lives, that a job of the study is at work."""
    try:
        lock = (results / JOBS).open("a", encoding="utf-8")
    except OSError:
        return
    _lock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    _held.append(lock)


def _wait_for_jobs(results: Path, say: Callable[[str], None]) -> None:
    with (results / JOBS).open("a", encoding="utf-8") as lock:
        if _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) is False:
            pids = " ".join(map(str, pids_at(results / JOBS)))
            which = f" (process {pids.replace(' ', ', ')})" if pids else ""
            end = f", or end it with `kill {pids}`" if pids else ""
            say(f"A job of a run that was killed is still at work{which}: waiting for it{end}.")
            _wait_for(lock)


def _wait_for(lock: IO[str]) -> None:
    """Wait until a lock is ours, or the user interrupts."""
    with suppress(ValueError):  # in a thread, to which no signal comes
        # While it plans, Snakemake only notes Ctrl-C for later.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _lock(lock, fcntl.LOCK_EX)


def _lock(stream: IO[str], how: int) -> bool | None:
    """Whether the lock was got; None on a file system without locks."""
    try:
        fcntl.flock(stream, how)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _holder(lock: IO[str]) -> dict[str, Any]:
    """What the process that holds a lock, or was killed with it, wrote of itself."""
    lock.seek(0)
    try:
        holder = json_of(lock.read())
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _process(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown host')}"


def _is_of(lock: Path, results: Path) -> bool:
    """Whether one of Snakemake's own locks names files of the study."""
    try:
        return any(line.startswith(f"{results}/") for line in lock.open(encoding="utf-8"))
    except OSError:
        return False


def pids_at(path: Path) -> list[int]:
    """The processes of this machine that hold a lock on a file, as Linux lists them."""
    try:
        inode, lines = path.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return []
    pids = re.findall(rf"FLOCK +\w+ +\w+ +(\d+) +[0-9a-f]+:[0-9a-f]+:{inode} ", lines)
    return sorted({int(pid) for pid in pids})
