"""The last results of a function by what they were made of, for as long as a process runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """At most `most` results; of more the one that was made first is dropped."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Hashable, T] = {}

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result that goes by `key`, made where it is not known."""
        if key not in self._known:
            self.keep(key, make())
        return self._known[key]

    def keep(self, key: Hashable, result: T) -> None:
        """Have `result` known by `key`."""
        while len(self._known) >= self._most:
            self._known.pop(next(iter(self._known)))
        self._known[key] = result

    def clear(self) -> None:
        """Keep none of them any longer."""
        self._known.clear()
