"""Single files at web addresses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urldefrag, urlsplit

from flopline.errors import FloplineError
from flopline.fetching.credentials import demand_no_password, shown
from flopline.fetching.remote_files import RemoteFile
from flopline.fetching.snapshots import Source
from flopline.fetching.transfer import Allowance, Downloaded, Web

_SHA256: Final = re.compile(r"sha256[=:-]([0-9a-fA-F]{64})")


def source(url: str) -> Source:
    """The source of a URL; its query, which may hold a key, is used and not kept."""
    demand_no_password(url)
    if not urlsplit(url).hostname:
        raise FloplineError(f"{shown(url)} names no host: write https://HOST/PATH.")
    return Source("web", shown(url))


def files(url: str, web: Web) -> list[RemoteFile]:
    """The one file at a URL; `#sha256=...` behind it says what its bytes must be."""
    address, fragment = urldefrag(url)
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    if not name:
        raise FloplineError(
            f"{shown(url)} is the address of a folder: a web server does not say what is in it, so "
            "give the address of each file."
        )
    match = _SHA256.fullmatch(fragment)
    if fragment and match is None:
        raise FloplineError(
            f"{shown(url)} has {fragment[:20]!r} behind a #: write #sha256= and 64 hexadecimal "
            "digits, or leave it out."
        )
    expected = match[1].lower() if match else None

    def bring(place: Path, allowance: Allowance) -> Downloaded:
        arrived = web.download(address, place, allowance)
        if expected is not None and arrived.sha256 != expected:
            raise FloplineError(
                f"{shown(url)} has the sha256 {arrived.sha256}, not the one given: it is another "
                "file or was changed, so nothing was kept; see which is right."
            )
        return arrived

    return [RemoteFile(name, shown(url), bring)]
