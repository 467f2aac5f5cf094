"""One call for all sources: their addresses told apart, and a snapshot made of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from flopline.errors import FloplineError
from flopline.fetching import (
    hub_files,
    mlflow_server,
    object_stores,
    trackio_project,
    wandb_project,
    web_files,
)
from flopline.fetching.remote_files import RemoteFile, bring_all
from flopline.fetching.snapshots import Fetched, Renewal, Snapshot, Source, renewed
from flopline.fetching.transfer import Allowance, Web
from flopline.places import command
from flopline.sources import run_name

MOST_GB: Final = 20.0
"""Gigabytes that a fetch may bring unless it is told otherwise."""

FORMS: Final = {
    "wandb:ENTITY/PROJECT": "Weights & Biases",
    "mlflow:EXPERIMENT": "an MLflow tracking server",
    "trackio:PROJECT": "Trackio's local store",
    "hf://datasets/OWNER/NAME": "a data set on the Hugging Face hub",
    "s3://BUCKET/PATH": "S3 and what speaks it",
    "gs://BUCKET/PATH": "Google Cloud Storage",
    "https://HOST/FILE": "a file on the web",
}
"""How sources are written."""

_ADDRESS: Final = re.compile(r"(?P<scheme>[a-z0-9]+):(?://)?(?P<path>.*)", re.DOTALL)
_TRACKERS: Final = ("wandb", "mlflow", "trackio")


def fetch(
    addresses: Sequence[str],
    into: Path,
    server: str | None = None,
    most_gb: float = MOST_GB,
) -> Renewal:
    """Make the folder `into` a snapshot of what lies at `addresses`.

    Of trackers one project is fetched at a time, of files any number. `server` is the address of a
    tracking server.

    Raises FloplineError where an address has no known form, or what it names cannot be had.
    """
    schemes = [_scheme(address) for address in addresses]
    trackers = [scheme for scheme in schemes if scheme in _TRACKERS]
    if trackers and len(addresses) > 1:
        raise FloplineError(
            f"{trackers[0]}: is fetched alone: give each project a folder of its own by --into."
        )
    if server and not set(trackers) & {"wandb", "mlflow"}:
        raise FloplineError("--server is for wandb: and mlflow: alone: leave it out.")
    if trackers:
        return _tracked(trackers[0], addresses[0], into, server)
    allowance = Allowance(round(most_gb * 1e9))
    plans = [_files(scheme, one) for scheme, one in zip(schemes, addresses, strict=True)]

    def fill(place: Path, before: Snapshot | None) -> Fetched:
        fetched, files = Fetched([]), list[RemoteFile]()
        for listed in (plan() for _, plan in plans):
            fetched.sources.append(listed[0])
            files += listed[1]
        fetched.versions = bring_all(place, before, files, allowance)
        return fetched

    return renewed(into, [source for source, _ in plans], fill)


def folder_for(address: str) -> Path:
    """Where a snapshot lies unless it is said: data/NAME, by the last name of its address."""
    _scheme(address)
    parts = urlsplit(address)
    names = [re.sub(r"[^\w.-]+", "-", name).strip("-.") for name in _parts_of(parts.path)]
    plain = [name for name in names if name] or [parts.netloc or "fetched"]
    return Path("data") / (run_name(plain[-1]) or plain[-1])


def _parts_of(path: str) -> list[str]:
    """The names of a path before its first wildcard."""
    parts = unquote(path).split("/")
    return [part for part in parts if part and not any(letter in part for letter in "*?[")]


def _scheme(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    known = {form.partition(":")[0] for form in FORMS} | {"http"}
    if match is None or match["scheme"] not in known:
        if match is None and Path(address).exists():
            raise FloplineError(
                f"{address} is here already: a study reads it as it stands, "
                f"{command()} draft {shlex.quote(address)} writes one."
            )
        if match is None:
            raise FloplineError(
                f"there is no file or folder {address!r} here: correct its name (logs on this "
                f"machine need no fetch: {command()} draft FOLDER), or write the address of logs "
                f"elsewhere as one of {', '.join(FORMS)}."
            )
        raise FloplineError(
            f"{address} is no address that can be fetched: write one of {', '.join(FORMS)}."
        )
    return match["scheme"]


def _path(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    return match["path"] if match else address


def _tracked(tracker: str, address: str, into: Path, server: str | None) -> Renewal:
    path = _path(address)
    if tracker == "mlflow":
        of = mlflow_server.source(path, server)
        web = mlflow_server.web()
        return renewed(into, [of], lambda place, old: mlflow_server.fill(place, old, of, web))
    if tracker == "wandb":
        of = wandb_project.source(path, server)
        api = wandb_project.client(of)
        return renewed(into, [of], lambda place, old: wandb_project.fill(place, old, of, api))
    of = trackio_project.source(path)
    store = trackio_project.store_folder()
    return renewed(into, [of], lambda place, old: trackio_project.fill(place, old, of, store))


Plan = Callable[[], tuple[Source, list[RemoteFile]]]
"""Lists the files of a source when the snapshot's folder is found fit to take them."""


def _files(scheme: str, address: str) -> tuple[Source, Plan]:
    if scheme == "hf":
        of = hub_files.source(_path(address))
        return of, lambda: hub_files.files(of, hub_files.web())
    if scheme in object_stores.STORES:
        of = object_stores.source(scheme, _path(address))
        return of, lambda: (of, object_stores.files(of))
    of = web_files.source(address)
    return of, lambda: (of, web_files.files(address, Web()))
