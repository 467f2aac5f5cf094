"""HTTP as fetching needs it: JSON and files, with retries and resumed downloads."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

import flopline
from flopline.decoders import Undecodable, json_of
from flopline.errors import FloplineError
from flopline.fetching.credentials import basic_login, shown

T = TypeVar("T")

PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further attempt."""
LONGEST_PAUSE: Final = 60.0
"""Seconds beyond which a server's Retry-After is not waited for."""
SILENCE: Final = 60.0
"""Seconds without a byte after which a connection counts as broken."""
REDIRECTS: Final = 10
MOST_JSON: Final = 1 << 28
"""Bytes of one JSON answer, beyond which it is refused."""

_BLOCK: Final = 1 << 20
_FOR_NOW: Final = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that a later attempt may not get."""
_BROKEN: Final = (ConnectionError, TimeoutError, http.client.HTTPException)


class Refused(FloplineError):
    """An HTTP answer that no further attempt would change; `status` is its number."""

    def __init__(self, sentence: str, status: int, body: str = "") -> None:
        super().__init__(sentence)
        self.status, self.body = status, body


@dataclass(slots=True)
class Allowance:
    """Bytes that a fetch may still bring."""

    most: int
    taken: int = 0
    _lock: Any = field(default_factory=Lock, repr=False)

    def take(self, size: int, what: str) -> None:
        """Count `size` bytes of `what`; raises FloplineError beyond the most."""
        with self._lock:
            self.taken += size
            too_much = self.taken > self.most
        if too_much:
            raise FloplineError(
                f"{what} goes beyond {self.most / 1e9:g} GB in all, so nothing was kept: name "
                "fewer files, or allow more with --most-gb."
            )


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that arrived: its bytes, its sha256, and what the server calls this version of it."""

    size: int
    sha256: str
    version: str | None


class _Redirects(HTTPRedirectHandler):
    """Follows to http and https alone, never from https down to http, with no login to others."""

    max_redirections = REDIRECTS

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
            raise FloplineError(
                f"{shown(req.full_url)} sends on to {shown(newurl)}, which is not safe to follow: "
                "fetch that address itself if you trust it."
            )
        if "@" in new.netloc:
            raise FloplineError(
                f"{shown(req.full_url)} sends on to an address of {new.hostname} with a user or a "
                "password in it, which is not followed: fetch the address of the file there "
                "itself, with a line for that host in ~/.netrc."
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            request.remove_header("Authorization")
        return request


@dataclass(slots=True)
class Web:
    """A way to ask servers; `mends` says by status what helps against their refusals."""

    headers: Mapping[str, str] = field(default_factory=dict)
    mends: Mapping[int, str] = field(default_factory=dict)
    pauses: tuple[float, ...] = field(default_factory=lambda: PAUSES)
    sleep: Callable[[float], None] = time.sleep
    silence: float = SILENCE
    opener: OpenerDirector = field(default_factory=lambda: build_opener(_Redirects))

    def json(self, url: str, payload: object | None = None) -> Any:
        """The JSON that a URL answers, to a POST of `payload` where it is given.

        Raises FloplineError where the server is not reached, refuses, or answers something else.
        """
        data = None if payload is None else json.dumps(payload).encode()

        def ask() -> bytes:
            with self._open(url, data, {"Content-Type": "application/json"}) as answer:
                body: bytes = answer.read(MOST_JSON + 1)
                return body

        body = self._again(url, ask)
        if len(body) > MOST_JSON:
            raise FloplineError(f"{shown(url)} answers more than {MOST_JSON >> 20} MiB of JSON.")
        try:
            return json_of(body)
        except Undecodable as error:
            raise FloplineError(
                f"{shown(url)} answers something else than JSON ({error}): is this the address of "
                "the server itself, and not of a page of it or of a login?"
            ) from None

    def download(self, url: str, place: Path, allowance: Allowance) -> Downloaded:
        """Bring the file at a URL to `place`; a broken transfer goes on where it broke.

        Raises FloplineError where it cannot be had whole.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        state = _Transfer()

        def attempt() -> Downloaded:
            return self._go_on(url, place, allowance, state)

        return self._again(url, attempt)

    def _go_on(self, url: str, place: Path, allowance: Allowance, state: _Transfer) -> Downloaded:
        headers = {}
        if state.size and state.version:
            headers = {"Range": f"bytes={state.size}-", "If-Range": state.version}
        with self._open(url, None, headers) as answer:
            if not (headers and answer.status == 206 and state.goes_on(answer)):
                if headers and answer.status == 206:
                    raise ConnectionError("the server went on at another place")
                allowance.take(-state.size, shown(url))
                state.begin(answer)
                _demand_a_file(url, answer)
            with place.open("ab" if state.size else "wb") as out:
                while block := answer.read(_BLOCK):
                    allowance.take(len(block), shown(url))
                    out.write(block)
                    state.add(block)
        if state.length is not None and state.size != state.length:
            raise ConnectionError(f"{state.size} of {state.length} bytes arrived")
        return Downloaded(state.size, state.digest.hexdigest(), state.version)

    def _open(self, url: str, data: bytes | None, headers: Mapping[str, str]) -> Any:
        every = {"User-Agent": f"flopline/{flopline.__version__}", **self.headers, **headers}
        if "Authorization" not in every and (login := basic_login(url)) is not None:
            every["Authorization"] = basic(*login)
        # Only http and https come here, and redirects lead nowhere else.
        request = Request(url, data, every)  # noqa: S310
        return self.opener.open(request, timeout=self.silence)

    def _again(self, url: str, attempt: Callable[[], T]) -> T:
        """What an attempt returns; it is made again after what may pass."""
        for pause in (*self.pauses, None):
            try:
                return attempt()
            except HTTPError as error:
                refused = self._refused(url, error)
                if error.code not in _FOR_NOW or pause is None:
                    raise refused from None
                pause = _told_pause(error, pause)
                if pause > LONGEST_PAUSE:
                    raise refused from None
            except (URLError, *_BROKEN) as error:
                lasting = _lasting(error)
                if lasting or pause is None:
                    raise FloplineError(_unreached(url, error, lasting)) from None
            self.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _refused(self, url: str, error: HTTPError) -> Refused:
        try:
            body = error.read(_BLOCK).decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException):
            body = ""
        mend = self.mends.get(error.code) or _MENDS.get(error.code) or "see what it says"
        subject, at = shown(url), error.geturl() or url
        if urlsplit(at).netloc != urlsplit(url).netloc:
            # Logins are not handed on, so that one for the second host must be asked for by name.
            subject += f" sends on to {shown(at)}, which"
            if error.code in (401, 403):
                mend = "fetch that address itself, with a line for its host in ~/.netrc"
        if error.code in _FOR_NOW:
            mend = "try again later"
        return Refused(f"{subject} answers {error.code} {error.reason}: {mend}.", error.code, body)


@dataclass(slots=True)
class _Transfer:
    """How much of a file has arrived, of which version and of how many bytes."""

    size: int = 0
    length: int | None = None
    version: str | None = None
    digest: Any = field(default_factory=hashlib.sha256)

    def begin(self, answer: Any) -> None:
        length = answer.headers.get("Content-Length")
        self.size, self.digest = 0, hashlib.sha256()
        self.length = int(length) if length and length.isdigit() else None
        etag = answer.headers.get("ETag")
        self.version = etag if etag and not etag.startswith("W/") else None

    def goes_on(self, answer: Any) -> bool:
        """Whether an answer of a part begins where the transfer broke."""
        begin = f"bytes {self.size}-"
        return str(answer.headers.get("Content-Range", "")).startswith(begin)

    def add(self, block: bytes) -> None:
        self.size += len(block)
        self.digest.update(block)


_MENDS: Final = {
    401: "log in, by a line for this host in ~/.netrc",
    403: "ask for access, or log in by a line for this host in ~/.netrc",
    404: "nothing is there, correct the address",
    410: "it was removed, correct the address",
}


def basic(user: str, password: str) -> str:
    """The header of a login by user and password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _demand_a_file(url: str, answer: Any) -> None:
    if answer.headers.get_content_type() == "text/html":
        raise FloplineError(
            f"{shown(url)} answers a web page and no log: give the address of the file itself, as "
            "a download link has it (Weights & Biases: wandb:ENTITY/PROJECT)."
        )


def _told_pause(error: HTTPError, pause: float) -> float:
    """Seconds that a server asks to be left alone; ours where it says none."""
    asked = error.headers.get("Retry-After", "") if error.headers else ""
    return max(pause, float(asked)) if asked.isdigit() else pause


def _lasting(error: Exception) -> str:
    """What no further attempt would change, with its mend; nothing where one might."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({reason.verify_message}): set SSL_CERT_FILE to that "
            "of its authority"
        )
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        return "there is no such host: correct its name, or connect to its network"
    if isinstance(reason, ConnectionRefusedError):
        return "nothing listens there: start the server, or correct host and port"
    if isinstance(error, http.client.InvalidURL):
        return "it is no address: correct it"
    return ""


def _unreached(url: str, error: Exception, lasting: str) -> str:
    reason = str(getattr(error, "reason", error)) or type(error).__name__
    why = lasting or f"{reason.rstrip('.')}: see to the connection and start again"
    return f"{shown(url)} cannot be reached, {why}."
