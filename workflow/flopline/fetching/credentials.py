"""What must not stand in a snapshot, a message or a page: passwords and the like."""

from __future__ import annotations

import netrc
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from flopline.errors import FloplineError

_NAMES: Final = re.compile(
    r"(?:^|[._\-/ ])(?:pass(?:word|wd)?|secret\w*|credentials?"
    r"|(?:api|access|private|secret)[_-]?key|(?:api|access|auth|bearer|hf|wandb|hub|refresh|session)[_-]?token|authorization)$",
    re.IGNORECASE,
)
"""Last words of a key whose text is a credential; `tokens` alone are those of a corpus."""

_SHAPES: Final = re.compile(
    r"hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{20,}|sk-[A-Za-z0-9_-]{20,}|glpat-[\w-]{20,}|ya29\.[\w-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|[a-z][a-z0-9+.-]*://[^\s/@:]+:[^\s/@]+@"
)
"""Texts that are credentials wherever they stand, in the forms that their issuers give them."""


def is_credential(name: str, value: object) -> bool:
    """Whether a value of a config is a password, a key or a token by its name or its form."""
    if not isinstance(value, str) or not value:
        return False
    return bool(_NAMES.search(name) or _SHAPES.search(value))


def shown(url: str) -> str:
    """A URL as it may be shown and kept: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def demand_no_password(url: str) -> None:
    """Raise FloplineError where a URL holds a user or a password, which others could read."""
    if "@" in urlsplit(url).netloc:
        raise FloplineError(
            f"{shown(url)} was given with a user or a password, which the shell's history and the "
            "list of processes would show: write them into ~/.netrc and leave them out here."
        )


def basic_login(url: str) -> tuple[str, str] | None:
    """User and password that ~/.netrc (or the file in NETRC) has for the host of a URL."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not path.is_file():
        return None
    try:
        found = netrc.netrc(str(path)).authenticators(urlsplit(url).hostname or "")
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        # The parser quotes what it stumbles at, which may be a password.
        line = getattr(error, "lineno", None)
        raise FloplineError(
            f"{path} cannot be read{f', line {line}' if line else ''}: write `machine HOST login "
            "USER password PASSWORD` and let nobody else read it (chmod 600)."
        ) from None
    return (found[0], found[2]) if found else None
