"""How far a long computation is: whoever computes announces it, whoever listens hears it.

By default nobody listens, and announcing costs next to nothing. A listener hears a share from 0 to
1 that never falls, with words. Computations nest without knowing of each other: what one announces
refines the step of the one that called it, from where that is to the end of the step. So a share
cannot go back, and what was forgotten to be announced is a pause. Only the thread that listens is
heard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeVar

T = TypeVar("T")
Listener = Callable[[float, str], None]
"""Is told the share that is done and what is being done, "ladder, 3 of 9 steps"."""

SPOKEN: Final = 2
"""How many of the words of nested steps are told, from outside: a line has little room."""


@dataclass(slots=True)
class _Hearing:
    """Where a computation is, and where the innermost step that it is in will end."""

    listener: Listener
    share: float = 0.0
    end: float = 1.0
    words: list[str] = field(default_factory=list)

    def reach(self, share: float) -> None:
        """Go on to `share`, never back, and tell if there is anything new or to be said."""
        words = [part for part in self.words if part][:SPOKEN]
        if words or share > self.share:
            self.share = max(self.share, share)
            self.listener(self.share, ", ".join(words))

    def enter(self, depth: int, words: str, end: float, share: float = 0.0) -> None:
        """Be in a step that has `depth` others around it, `share` of the whole being done.

        A loop inside that was left early may not have been closed yet: what it said is forgotten.
        """
        self.words[depth:] = [words]
        self.end = end
        self.reach(share)

    def leave(self, depth: int, end: float) -> None:
        """Be in the step around again, which ends at `end`."""
        del self.words[depth:]
        self.end = end


_HEARD: ContextVar[_Hearing | None] = ContextVar("progress", default=None)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Tell `listener` what is announced inside, by this thread."""
    token = _HEARD.set(_Hearing(listener))
    try:
        yield
    finally:
        _HEARD.reset(token)


def over(
    items: Collection[T], unit: str = "", work: Callable[[T], float] = lambda item: 1.0
) -> Iterator[T]:
    """The `items`, each a step; told as "3 of 9 laws" if `unit` is "laws".

    `work` is that of an item against the others, positive.
    """
    total = f"of {len(items):,} {unit}"
    return _steps(items, lambda done, _: f"{done:,} {total}" if unit else "", work)


def named(names: Collection[str], work: Mapping[str, float]) -> Iterator[str]:
    """The `names`, each a step told by it; `work` is that of some, of all others it is 1."""
    return _steps(names, lambda _, name: name, lambda name: work.get(name, 1.0))


@contextmanager
def part(share: float, words: str = "") -> Iterator[None]:
    """What is done inside counts as `share` of what is left of the step around it."""
    hearing = _HEARD.get()
    if hearing is None:
        yield
        return
    outer, depth = hearing.end, len(hearing.words)
    end = hearing.share + share * (outer - hearing.share)
    try:
        hearing.enter(depth, words, end)
        yield
        hearing.enter(depth, words, end, end)
    finally:
        hearing.leave(depth, outer)


def gauge() -> Callable[[float], None]:
    """A function to tell the share done, from 0 to 1, of what is left of the step around it."""
    hearing = _HEARD.get()
    if hearing is None:
        return lambda share: None
    begin, end = hearing.share, hearing.end
    return lambda share: hearing.reach(min(begin + share * (end - begin), end))


def _steps(
    items: Collection[T], words: Callable[[int, T], str], work: Callable[[T], float]
) -> Iterator[T]:
    hearing = _HEARD.get()
    if hearing is None:
        yield from items
        return
    begin, outer, depth = hearing.share, hearing.end, len(hearing.words)
    edges = list(accumulate(map(work, items)))
    try:
        for done, (item, edge) in enumerate(zip(items, edges, strict=True)):
            end = min(begin + edge / edges[-1] * (outer - begin), outer)
            hearing.enter(depth, words(done, item), end)
            yield item
            hearing.enter(depth, words(done + 1, item), end, end)
    finally:
        hearing.leave(depth, outer)
