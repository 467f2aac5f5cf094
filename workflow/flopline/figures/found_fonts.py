"""The file of a font, looked up once: Matplotlib asks for it six times for every text it draws."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from matplotlib.font_manager import FontProperties, fontManager

from flopline.hashing import hash_file

FAMILY: Final = "DejaVu Sans"
"""What figures are written in."""
_LOOK_UPS: Final = ("findfont", "_find_fonts_by_props")


@contextmanager
def found_fonts() -> Iterator[None]:
    """Within it, fonts that are asked for again are known, also in another size.

    Matplotlib's settings of fonts must be the same each time. One that looks up otherwise does so.
    """
    with ExitStack() as after:
        for name in _LOOK_UPS:
            if hasattr(fontManager, name) and name not in vars(fontManager):
                setattr(fontManager, name, _remembered(name, getattr(fontManager, name)))
                after.callback(delattr, fontManager, name)
        yield


def _remembered(name: str, look_up: Callable[..., Any]) -> Callable[..., Any]:
    def known(prop: Any, *args: Any, **kwargs: Any) -> Any:
        key = (name, face(prop), args, *kwargs.items())
        if key not in _found:
            _found[key] = look_up(prop, *args, **kwargs)
        return _found[key]

    return known


def fonts_found() -> list[str]:
    """The digest of the font that figures are written in, which the system may have brought."""
    return [_digest(fontManager.findfont(FontProperties(family=FAMILY)))]


@functools.cache
def _digest(path: str) -> str:
    return hash_file(Path(path))


_found: dict[tuple[Any, ...], Any] = {}


def face(prop: Any) -> Any:
    """What a file is chosen by: all but the size, since outlines have every size."""
    if not isinstance(prop, FontProperties):
        return prop
    return (
        tuple(prop.get_family()),
        prop.get_style(),
        prop.get_variant(),
        prop.get_weight(),
        prop.get_stretch(),
        prop.get_file(),
    )
