"""The packages of a lock file, as uv and pip-tools write it: versions, markers and hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flopline.errors import FloplineError


@dataclass(frozen=True)
class Locked:
    """One package at one version."""

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = field(default=())
    """sha256 of each file that may be installed, in hex."""


def locked_packages(lock: Path) -> list[Locked]:
    """The packages of a lock file, in its order.

    Raises FloplineError for a file that cannot be read, and for a line that pins no version.
    """
    try:
        text = lock.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise FloplineError(f"{lock} cannot be read ({error}): name a lock file.") from None
    packages = []
    for line in text.replace("\\\n", " ").splitlines():
        stated = line.partition(" #")[0].strip()
        if not stated or stated.startswith(("#", "-")):
            continue
        requirement, *hashes = stated.split("--hash=")
        packages.append(_pinned(lock, requirement.strip(), [h.strip() for h in hashes]))
    if not packages:
        raise FloplineError(f"{lock} pins no package: write it anew with make lock.")
    return packages


def _pinned(lock: Path, text: str, hashes: list[str]) -> Locked:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        requirement = None
    pins = list(requirement.specifier) if requirement else []
    if requirement is None or len(pins) != 1 or pins[0].operator != "==":
        raise FloplineError(f"{lock}: {text!r} pins no version: write it anew with make lock.")
    return Locked(
        canonicalize_name(requirement.name),
        pins[0].version,
        str(requirement.marker or ""),
        tuple(sorted(h.removeprefix("sha256:") for h in hashes)),
    )
