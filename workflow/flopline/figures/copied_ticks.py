"""Ticks of an axis as copies of its first one.

Matplotlib makes five artists anew for every tick, and then gives them the looks of the first one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from matplotlib.axis import Axis, Tick, XAxis, YAxis
from matplotlib.text import Text

_PARTS: Final = ("tick1line", "tick2line", "gridline", "label1", "label2")
_STEPS: Final = ("_get_tick", "_copy_tick_props")

T = TypeVar("T")


@contextmanager
def copied_ticks() -> Iterator[None]:
    """Within it, ticks are made so. A Matplotlib that makes them in other steps does so."""
    if not all(hasattr(Axis, name) for name in _STEPS):
        yield
        return
    before = {name: getattr(Axis, name) for name in _STEPS}
    copies: set[int] = set()
    replacing = _made(before["_get_tick"], copies), _alike(before["_copy_tick_props"], copies)
    for name, method in zip(_STEPS, replacing, strict=True):
        setattr(Axis, name, method)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Axis, name, method)


def _made(make: Callable[[Any, bool], Tick], copies: set[int]) -> Callable[[Any, bool], Tick]:
    def tick_of(axis: Any, major: bool) -> Tick:
        first = vars(axis).get("majorTicks" if major else "minorTicks")
        if not first or type(axis) not in (XAxis, YAxis):
            return make(axis, major)
        made = copy_of(first[0])
        copies.add(id(made))
        return made

    return tick_of


def _alike(
    copy_looks: Callable[[Any, Tick, Tick], None], copies: set[int]
) -> Callable[[Any, Tick, Tick], None]:
    def looks(axis: Any, source: Tick, made: Tick) -> None:
        if id(made) in copies:
            copies.discard(id(made))  # it has them
        else:
            copy_looks(axis, source, made)

    return looks


def copy_of(tick: Tick) -> Tick:
    """A tick like this one, to be moved elsewhere; they share what is replaced and not changed."""
    made = copied(tick)
    for name in _PARTS:
        part = copied(getattr(tick, name))
        if isinstance(part, Text):
            part.set_fontproperties(part.get_fontproperties().copy())
        setattr(made, name, part)
    return made


def copied(thing: T) -> T:
    """A thing with the same attributes, which may be set to others."""
    made = object.__new__(type(thing))
    vars(made).update(vars(thing))
    return made
