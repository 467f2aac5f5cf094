"""A limit on how long a user's regular expression may look at one line.

Python's engine tries every way in which a pattern like `(a+)+b` could fit a line, and more of them
with each letter than a run can wait for. It looks for signals as it goes, so that a timer stops it.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Final, TypeVar

from flopline.errors import FloplineError

SECONDS: Final = 5.0
"""CPU time that one line, or one name, may take: a usual one takes microseconds."""

_TOGETHER: Final = 500
"""Lines between two settings of the timer."""

Line = TypeVar("Line")
Match = TypeVar("Match")


class _Slow(Exception):
    """Raised by the timer in the middle of a search."""


def looked_at(
    lines: Iterable[Line],
    look: Callable[[Line], Match],
    place_of: Callable[[Line], str],
    pattern: str,
) -> Iterator[tuple[Line, Match]]:
    """Each line with what `look` finds in it.

    `place_of` says where a line stands, `pattern` which key of the study file is looked for.
    Raises FloplineError, with that place, where a line takes longer than it may.
    """
    stream = iter(lines)
    while batch := list(islice(stream, _TOGETHER)):
        found: list[tuple[Line, Match]] = []
        try:
            with _ticking(found):
                found.extend((line, look(line)) for line in batch)
        except _Slow:
            raise FloplineError(
                f"{place_of(batch[len(found)])}: {pattern} has looked for more than {SECONDS:g} "
                "seconds at this line, since it may fit it in too many ways: let no repeat stand "
                r"within another, as in (\d+)*, and begin it with a word that stands in the line."
            ) from None
        yield from found


def search(pattern: str, text: str, place: str, key: str) -> re.Match[str] | None:
    """Where a pattern is found in one name; errors as `looked_at`."""
    regex = re.compile(pattern)
    ((_, match),) = looked_at([text], regex.search, lambda _: place, f"{key} {pattern!r}")
    return match


@contextmanager
def _ticking(done: Sized) -> Iterator[None]:
    """Raise _Slow within when `done` did not grow from one tick of the clock to the next.

    The clock is the CPU time of this process. A thread that is not the main one cannot be stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -1

    def tick(*_: object) -> None:
        nonlocal last
        if len(done) == last:
            raise _Slow
        last = len(done)

    former = signal.signal(signal.SIGVTALRM, tick)
    remaining, interval = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, remaining, interval)
        signal.signal(signal.SIGVTALRM, former)
