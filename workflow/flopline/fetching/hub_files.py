"""Files of data sets and models on the Hugging Face hub, at one commit, by its REST API."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flopline.errors import FloplineError
from flopline.fetching.remote_files import RemoteFile, chosen
from flopline.fetching.snapshots import Source
from flopline.fetching.transfer import Allowance, Downloaded, Refused, Web

HUB: Final = "https://huggingface.co"

_ADDRESS: Final = re.compile(
    r"(?P<kind>datasets/|spaces/)?(?P<repo>(?!(?:datasets|spaces)/)[\w.-]+/[\w.-]+)"
    r"(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?"
)


def source(address: str) -> Source:
    """The source `hf://datasets/OWNER/NAME[@REVISION][/PATH]`; raises FloplineError for another."""
    _parts(address)
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    return Source("hub", f"hf://{address.strip('/')}", None if hub == HUB else hub)


def web(**settings: Any) -> Web:
    """A way to ask the hub, with the login of HF_TOKEN or `hf auth login`."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    file = Path(os.environ.get("HF_TOKEN_PATH") or home / "token")
    token = os.environ.get("HF_TOKEN") or (file.read_text().strip() if file.is_file() else "")
    mend = (
        "it is not there, or not for you: correct the name, or log in by `hf auth login` or "
        "HF_TOKEN"
    )
    gated = "ask for access on its page, and log in by `hf auth login` or HF_TOKEN"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Web(headers=headers, mends={401: mend, 403: gated, 404: mend}, **settings)


def files(of: Source, hub: Web) -> tuple[Source, list[RemoteFile]]:
    """The source with its revision turned into a commit, and its files at that commit."""
    kind, repo, revision, pattern = _parts(of.address.removeprefix("hf://"))
    server = of.server or HUB
    api = f"{server}/api/{kind or 'models/'}{repo}/revision/{quote(revision, safe='')}?blobs=true"
    try:
        content = hub.json(api)
    except Refused as refused:
        if kind or refused.status not in (401, 404):
            raise
        # The hub answers a model of that name; people leave out `datasets/`.
        raise FloplineError(
            f"{str(refused).rstrip('.')}; {of.address} is a model, and a data set of that name is "
            f"hf://datasets/{repo}."
        ) from None
    try:
        commit = str(content["sha"])
        listed = {str(file["rfilename"]): file for file in content["siblings"]}
    except (KeyError, TypeError):
        raise FloplineError(
            f"{server} does not answer as the Hugging Face hub: correct HF_ENDPOINT."
        ) from None
    names = chosen(sorted(listed), pattern)
    if not pattern:
        names = {name: as_called for name, as_called in names.items() if name != ".gitattributes"}
    if not names:
        there = ", ".join(sorted(listed)[:5])
        raise FloplineError(
            f"{of.address} names no file of {repo} at {commit[:10]} (it has {there}): correct the "
            "path; ** goes through folders."
        )
    begin = f"{server}/{kind}{repo}/resolve/{commit}"
    remote = [
        _remote(of, hub, f"{begin}/{quote(name)}", as_called, listed[name])
        for name, as_called in names.items()
    ]
    return Source(of.kind, of.address, of.server, commit), remote


def _remote(of: Source, hub: Web, url: str, path: str, content: dict[str, Any]) -> RemoteFile:
    large = content.get("lfs") or {}
    sha256, size = large.get("sha256"), large.get("size", content.get("size"))
    blob = content.get("blobId")

    def bring(place: Path, allowance: Allowance) -> Downloaded:
        arrived = hub.download(url, place, allowance)
        wrong = sha256 is not None and arrived.sha256 != sha256
        if wrong or (sha256 is None and blob is not None and _git_blob(place) != blob):
            raise FloplineError(
                f"{of.address} gave {path} with other bytes than the hub says it has: fetch again."
            )
        return Downloaded(arrived.size, arrived.sha256, sha256 or blob)

    return RemoteFile(path, of.address, bring, size, sha256 or blob)


def _git_blob(path: Path) -> str:
    """What git calls a file's bytes."""
    # By git's own choice; nothing is kept safe by it here.
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _parts(address: str) -> tuple[str, str, str, str]:
    match = _ADDRESS.fullmatch(address.strip("/"))
    if match is None:
        raise FloplineError(
            f"hf://{address} names no repository: write hf://datasets/OWNER/NAME, "
            "hf://datasets/OWNER/NAME@REVISION/PATH or hf://OWNER/MODEL/PATH."
        )
    return match["kind"] or "", match["repo"], match["revision"] or "main", match["path"] or ""
