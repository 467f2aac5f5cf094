"""A limit on how long a user's regular expression may look at one line.

Python's engine tries every way in which a pattern like `(a+)+b` could fit a line, and more of them
with each letter than a run can wait for. It looks for signals as it goes, so that a timer stops it.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final

from flopline.errors import FloplineError

SECONDS: Final = 5.0
"""CPU time that one line, or one name, may take: a usual one takes microseconds."""

_TOGETHER: Final = 500
"""Lines between two settings of the timer."""

Line = tuple[int, str, bool]
"""A line of text with its number, and whether it ends in a line break."""


class _Slow(Exception):
    """Raised by the timer in the middle of a search."""


def in_batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines in batches, each to be looked at within one `limited`."""
    stream = iter(lines)
    while batch := list(islice(stream, _TOGETHER)):
        yield batch


@contextmanager
def limited(key: str, path: object) -> Iterator[list[int]]:
    """Give a place for the number of the line that is looked at, one after another.

    `key` says which regular expression of the study file it is, `path` which file. Raises
    FloplineError where a line takes longer than it may.
    """
    at = [0]
    try:
        with _ticking(at):
            yield at
    except _Slow:
        raise FloplineError(
            f"{path}{f', line {at[0]}' if at[0] else ''}: {key} has looked for more than "
            f"{SECONDS:g} seconds here, since it may fit in too many ways: let no repeat stand "
            r"within another, as in (\d+)*, and begin it with a word that stands there."
        ) from None


def search(pattern: str, text: str, path: str, key: str) -> re.Match[str] | None:
    """Where a pattern is found in the name of a file; errors as `limited`."""
    with limited(f"{key} {pattern!r}", path):
        return re.search(pattern, text)


@contextmanager
def _ticking(at: Sequence[int]) -> Iterator[None]:
    """Raise _Slow within when `at` is the same at one tick of the clock and the next.

    The clock is the CPU time of this process. A thread that is not the main one cannot be stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last: int | None = None

    def tick(*_: object) -> None:
        nonlocal last
        if at[0] == last:
            raise _Slow
        last = at[0]

    former = signal.signal(signal.SIGVTALRM, tick)
    remaining, interval = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, remaining, interval)
        signal.signal(signal.SIGVTALRM, former)
