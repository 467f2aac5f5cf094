"""Files in object stores, `s3://` and `gs://`, by fsspec and its package for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.fetching.credentials import shown
from flopline.fetching.remote_files import RemoteFile, below, is_pattern
from flopline.fetching.snapshots import Source
from flopline.fetching.transfer import Allowance, Downloaded

STORES: Final = {"s3": "s3", "gs": "gcs"}
"""Schemes, and which extra of Flopline reads each."""
LOGINS: Final = {
    "s3": "`aws configure`, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
}
"""How the packages are told who asks."""

_BLOCK: Final = 1 << 20


def source(scheme: str, path: str) -> Source:
    """The source `s3://BUCKET/PATH`, a file, a folder or a pattern."""
    bucket = path.partition("/")[0]
    if not bucket or is_pattern(bucket):
        raise FloplineError(f"{scheme}://{path} names no bucket: write {scheme}://BUCKET/PATH.")
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if scheme == "s3" else ()
    own = next((shown(os.environ[name]) for name in names if os.environ.get(name)), None)
    return Source("store", f"{scheme}://{path}", own)


def store(scheme: str, **settings: Any) -> Any:
    """The file system of a scheme; raises FloplineError where its package is not installed."""
    try:
        import fsspec

        return fsspec.filesystem(
            scheme, skip_instance_cache=True, use_listings_cache=False, **settings
        )
    except ImportError:
        raise FloplineError(
            f"fetching from {scheme}:// needs a package: pip install 'flopline[{STORES[scheme]}]'."
        ) from None
    except Exception as error:
        raise refused(Source("store", f"{scheme}://"), error) from None


def files(of: Source, open_store: Callable[..., Any] = store) -> list[RemoteFile]:
    """The files that a path, a folder or a pattern means, with sizes and versions.

    A bucket of S3 that is open to all is read without a login where there is none.
    """
    scheme, _, path = of.address.partition("://")
    system = open_store(scheme)
    try:
        begin, found = _found(system, path)
    except Exception as error:
        if not _lacks_login(error) or scheme != "s3":
            raise refused(of, error) from None
        system = open_store(scheme, anon=True)
        try:
            begin, found = _found(system, path)
        except Exception:
            raise refused(of, error) from None
    # Consoles keep a folder as an empty object of its name.
    names = [
        name
        for name, info in sorted(found.items())
        if info["type"] != "directory" and not name.endswith("/")
    ]
    if not names:
        raise FloplineError(
            f"{of.address} names no file: correct the path; ** goes through folders."
        )
    return [_remote(of, system, name, name.removeprefix(begin), found[name]) for name in names]


def _found(system: Any, path: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """What a path means, by name, and the folder below which names are kept."""
    if is_pattern(path):
        return below(path), system.glob(path, detail=True)
    path = path.rstrip("/")
    info = system.info(path)
    if info["type"] == "directory":
        folder = f"{path}/"
        return folder, system.find(folder, detail=True)
    return path[: path.rfind("/") + 1], {info["name"]: info}


def _remote(of: Source, system: Any, name: str, path: str, info: dict[str, Any]) -> RemoteFile:
    version = info.get("ETag") or info.get("etag") or info.get("md5Hash")

    def bring(place: Path, allowance: Allowance) -> Downloaded:
        digest, size = hashlib.sha256(), 0
        try:
            with system.open(name, "rb") as stream, place.open("wb") as out:
                while block := stream.read(_BLOCK):
                    allowance.take(len(block), of.address)
                    out.write(block)
                    digest.update(block)
                    size += len(block)
        except FloplineError:
            raise
        except Exception as error:
            raise refused(of, error) from None
        return Downloaded(size, digest.hexdigest(), version)

    return RemoteFile(path, of.address, bring, info.get("size"), version)


def refused(of: Source, error: Exception) -> FloplineError:
    """What a store's package raised, in a sentence with its mend."""
    scheme = of.address.partition("://")[0]
    kinds = _kinds(error)
    words = " ".join(str(one) for one in _with_causes(error))
    login = LOGINS[scheme]
    if _lacks_login(error):
        why = f"nothing says who asks: log in, by {login}"
    elif isinstance(error, PermissionError) or "Forbidden" in words or "InvalidAccessKey" in words:
        why = f"you may not read it: ask its owner, or log in as somebody who may, by {login}"
    elif isinstance(error, FileNotFoundError):
        why = "nothing is there: correct the bucket or the path"
    elif kinds & {"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"}:
        why = "the store cannot be reached: see to the connection (or AWS_ENDPOINT_URL)"
    else:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        why = f"the store answers {reason!r}: see to it and fetch again"
    return FloplineError(f"{of.address} cannot be fetched, {why}.")


def _lacks_login(error: Exception) -> bool:
    lacks = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
    return not lacks.isdisjoint(_kinds(error))


def _kinds(error: Exception) -> set[str]:
    return {type(one).__name__ for one in _with_causes(error)}


def _with_causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
