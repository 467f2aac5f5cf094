"""Import paths of the last release that still work in this one, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def moved(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for `package`, of which each name in `homes` has moved to another place.

    A home is a module, or a module and what it holds, as `flopline.notebook:isoflop`. Other names
    raise AttributeError, as they do without it.
    """

    def getter(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, inner = homes[name].partition(":")
        now = f"{module}.{inner}" if inner else module
        warnings.warn(
            f"{package}.{name} has moved to {now}; the old path goes with the next release.",
            DeprecationWarning,
            stacklevel=2,
        )
        found = import_module(module)
        return getattr(found, inner) if inner else found

    return getter
