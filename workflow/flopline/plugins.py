"""Laws, loss surfaces, figures and log formats that installed packages bring by entry points.

A package names them in the groups `flopline.laws`, `flopline.surfaces`, `flopline.figures` and
`flopline.formats` (docs/extending.md); they then stand beside ours everywhere.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from importlib.util import find_spec
from typing import Any, Final

from flopline.errors import FloplineError

KINDS: Final = ("laws", "surfaces", "figures", "formats")
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@cache
def plugins(kind: str) -> dict[str, str]:
    """What installed packages bring of a kind: by name its module, or `module:attribute`.

    Raises FloplineError for a name that two packages use or that is no plain word.
    """
    out: dict[str, str] = {}
    for entry in sorted(entry_points(group=f"flopline.{kind}")):
        if not NAME.fullmatch(entry.name):
            raise FloplineError(
                f"the package {_package(entry)} brings {entry.name!r} of flopline.{kind}, and a "
                "name has lower-case letters, digits and `_` only: rename it there."
            )
        if out.get(entry.name, entry.value) != entry.value:
            raise FloplineError(
                f"two packages bring {entry.name!r} of flopline.{kind} ({out[entry.name]} and "
                f"{entry.value}): uninstall one."
            )
        out[entry.name] = entry.value
    return out


def home_of(kind: str, name: str, ours: str) -> str:
    """The module of a law or figure: `ours` where there is one, else that of a package."""
    try:
        there = find_spec(ours) is not None
    except ModuleNotFoundError:
        there = False
    return ours if there else plugins(kind).get(name, ours)


def brought(kind: str) -> list[Any]:
    """The objects behind `module:attribute` of every entry of a kind, in the order of names.

    Raises FloplineError for one that cannot be loaded.
    """
    out = []
    for name, reference in plugins(kind).items():
        module, _, attribute = reference.partition(":")
        try:
            out.append(getattr(import_module(module), attribute))
        except (ImportError, AttributeError, ValueError) as why:
            raise FloplineError(
                f"flopline.{kind} {name!r} cannot be loaded from {reference} ({why}): mend the "
                "package that brings it, or uninstall it."
            ) from why
    return out


def modules_brought() -> list[str]:
    """The modules of all that packages bring, in their order."""
    references = (value for kind in KINDS for value in plugins(kind).values())
    return sorted({reference.partition(":")[0] for reference in references})


@cache
def distribution_of(package: str) -> str:
    """The installed package that holds the import name `package`; itself where none is known.

    As `packages_distributions` has it, which takes apart the paths of all files of all packages.
    """
    own = re.compile(rf"^{re.escape(package)}(?:/.*)?\.py,", re.MULTILINE)
    for installed in distributions():
        declared = installed.read_text("top_level.txt")
        names = (declared or "").split()
        if package in names or (not names and own.search(installed.read_text("RECORD") or "")):
            return installed.metadata["Name"]
    return package


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value
