"""What `published.toml` holds, as it stands there: names can be checked without NumPy."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

from flopline.errors import FloplineError

FILE: Final = Path(__file__).with_name("published.toml")


def names() -> tuple[str, ...]:
    """Names of the published laws, sorted."""
    return tuple(sorted(entries()))


@cache
def entries() -> dict[str, dict[str, Any]]:
    """The entries by name; FloplineError if the file is not TOML."""
    try:
        return tomllib.loads(FILE.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise FloplineError(f"{FILE.name} is not valid TOML: {error}.") from None
