"""Files at web addresses: broken transfers, redirects, limits, logins and what is kept of a URL."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import HTTPSHandler, build_opener

import pytest

from flopline.errors import FloplineError
from flopline.fetching import transfer
from flopline.fetching.fetch import fetch
from flopline.fetching.snapshots import read_snapshot
from flopline.fetching.transfer import Allowance, Web
from tests.builders.web import Answer, Asked, Site, site

LOG = b"".join(b'{"step": %d, "loss": %d}\n' % (step, 9 - step % 3) for step in range(4000))
SIGNATURE = "sEcReT-signature"


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as running:
        yield running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def quick() -> Web:
    return Web(silence=5.0)


def test_a_file_becomes_a_snapshot_of_its_bytes_without_its_query(
    web: Site, tmp_path: Path
) -> None:
    web.answers["/runs/a.jsonl"] = Answer(LOG)
    folder = tmp_path / "snap"
    renewal = fetch([f"{web.url}/runs/a.jsonl?sig={SIGNATURE}"], folder)
    assert renewal.is_new
    assert (folder / "logs/a.jsonl").read_bytes() == LOG
    assert SIGNATURE in web.asked[0].path
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert SIGNATURE.encode() not in kept
    assert read_snapshot(folder).digest == renewal.snapshot.digest


def test_a_broken_transfer_goes_on_where_it_broke(web: Site, tmp_path: Path) -> None:
    def in_parts(asked: Asked) -> Answer:
        begin = int(asked.headers.get("Range", "bytes=0-")[6:-1])
        part = {"Content-Range": f"bytes {begin}-{len(LOG) - 1}/{len(LOG)}"} if begin else {}
        cut = 30_000 if begin < 60_000 else None
        return Answer(LOG[begin:], 206 if begin else 200, {"ETag": '"v1"', **part}, cut)

    web.answers["/a"] = in_parts
    allowance = Allowance(len(LOG))
    arrived = quick().download(f"{web.url}/a", tmp_path / "a", allowance)
    assert (tmp_path / "a").read_bytes() == LOG
    assert arrived.sha256 == hashlib.sha256(LOG).hexdigest()
    assert [one.headers.get("Range") for one in web.asked] == [
        None, "bytes=30000-", "bytes=60000-",
    ]  # fmt: skip
    assert web.asked[1].headers["If-Range"] == '"v1"'
    assert allowance.taken == len(LOG)


def test_a_file_that_changed_meanwhile_is_brought_anew(web: Site, tmp_path: Path) -> None:
    def changing(asked: Asked) -> Answer:
        if "Range" not in asked.headers:
            return Answer(b"old" * 1000, headers={"ETag": '"old"'}, cut=900)
        return Answer(LOG, headers={"ETag": '"new"'})

    web.answers["/a"] = changing
    quick().download(f"{web.url}/a", tmp_path / "a", Allowance(10**6))
    assert (tmp_path / "a").read_bytes() == LOG


def test_a_transfer_that_never_ends_whole_leaves_no_snapshot(web: Site, tmp_path: Path) -> None:
    web.answers["/a"] = Answer(LOG, cut=1000)
    with pytest.raises(FloplineError, match=r"/a cannot be reached, 1000 of \d+ bytes arrived"):
        fetch([f"{web.url}/a"], tmp_path / "snap")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_busy_is_asked_again_as_late_as_it_says(web: Site, tmp_path: Path) -> None:
    pauses: list[float] = []
    busy = Answer(status=503, headers={"Retry-After": "7"})
    web.answers["/a"] = lambda _: busy if len(web.asked) < 3 else Answer(LOG)
    asking = Web(pauses=(1.0, 2.0, 4.0), sleep=pauses.append)
    asking.download(f"{web.url}/a", tmp_path / "a", Allowance(10**6))
    assert pauses == [7.0, 7.0]
    busy.headers["Retry-After"] = "3600"
    web.asked.clear()
    with pytest.raises(FloplineError, match=r"answers 503 .*: try again later"):
        asking.download(f"{web.url}/a", tmp_path / "a", Allowance(10**6))


def test_a_login_is_not_handed_on_to_another_server(web: Site, tmp_path: Path) -> None:
    with site() as other:
        web.answers["/a"] = Answer(status=302, headers={"Location": f"{other.url}/b"})
        other.answers["/b"] = Answer(LOG)
        asking = Web(headers={"Authorization": f"Bearer {SIGNATURE}"})
        asking.download(f"{web.url}/a", tmp_path / "a", Allowance(10**6))
        assert "Authorization" in web.asked[0].headers
        assert "Authorization" not in other.asked[0].headers


def test_a_refusal_after_a_redirect_names_the_server_that_refused(
    web: Site, tmp_path: Path
) -> None:
    with site() as other:
        web.answers["/a"] = Answer(status=302, headers={"Location": f"{other.url}/b?key=1"})
        other.answers["/b"] = Answer(status=401)
        sentence = (
            f"{web.url}/a sends on to {other.url}/b, which answers 401 .*: fetch that address"
        )
        with pytest.raises(FloplineError, match=sentence):
            fetch([f"{web.url}/a"], tmp_path / "snap")
        host = other.url.removeprefix("http://")
        web.answers["/a"] = Answer(status=302, headers={"Location": f"http://me:pw@{host}/b"})
        with pytest.raises(FloplineError, match=r"127.0.0.1 with a user or a password") as refusal:
            fetch([f"{web.url}/a"], tmp_path / "snap")
        assert "pw" not in str(refusal.value)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_leads_to_the_web_alone(web: Site, tmp_path: Path, target: str) -> None:
    web.answers["/a"] = Answer(status=302, headers={"Location": target})
    with pytest.raises(FloplineError):
        fetch([f"{web.url}/a"], tmp_path / "snap")
    assert not (tmp_path / "snap").exists()


def test_a_redirect_in_a_ring_ends(web: Site, tmp_path: Path) -> None:
    web.answers["/a"] = Answer(status=302, headers={"Location": "/a"})
    with pytest.raises(FloplineError, match="answers 302"):
        fetch([f"{web.url}/a"], tmp_path / "snap")


def test_more_than_allowed_is_refused_with_nothing_kept(web: Site, tmp_path: Path) -> None:
    web.answers["/a"] = Answer(LOG)
    with pytest.raises(FloplineError, match=r"beyond 1e-05 GB in all.*--most-gb"):
        fetch([f"{web.url}/a"], tmp_path / "snap", most_gb=1e-5)
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_is_held(web: Site, tmp_path: Path) -> None:
    web.answers["/a.jsonl"] = Answer(LOG)
    right = hashlib.sha256(LOG).hexdigest()
    fetch([f"{web.url}/a.jsonl#sha256={right}"], tmp_path / "snap")
    with pytest.raises(FloplineError, match=f"has the sha256 {right}, not the one given"):
        fetch([f"{web.url}/a.jsonl#sha256={'0' * 64}"], tmp_path / "other")
    with pytest.raises(FloplineError, match="write #sha256= and 64"):
        fetch([f"{web.url}/a.jsonl#md5=abc"], tmp_path / "other")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/page", "answers a web page and no log"),
        ("/gone", "answers 404 Not Found: nothing is there"),
        ("/closed", "answers 401 .*netrc"),
        ("/folder/", "is the address of a folder"),
    ],
)
def test_what_is_no_log_is_said_in_a_sentence(
    web: Site, tmp_path: Path, path: str, sentence: str
) -> None:
    web.answers["/page"] = Answer(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})
    web.answers["/closed"] = Answer(status=401)
    with pytest.raises(FloplineError, match=sentence):
        fetch([f"{web.url}{path}?key={SIGNATURE}"], tmp_path / "snap")
    with pytest.raises(FloplineError) as mistake:
        fetch([f"{web.url}{path}?key={SIGNATURE}"], tmp_path / "snap")
    assert SIGNATURE not in str(mistake.value)


def test_a_password_stands_in_netrc_and_not_in_the_address(
    web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FloplineError, match="netrc") as mistake:
        fetch([f"{web.url.replace('//', f'//me:{SIGNATURE}@')}/a"], tmp_path / "snap")
    assert SIGNATURE not in str(mistake.value)
    login = tmp_path / "netrc"
    login.write_text(f"machine 127.0.0.1 login me password {SIGNATURE}\n")
    login.chmod(0o600)
    monkeypatch.setenv("NETRC", str(login))
    web.answers["/a"] = Answer(LOG)
    fetch([f"{web.url}/a"], tmp_path / "snap")
    assert web.asked[-1].headers["Authorization"] == transfer.basic("me", SIGNATURE)
    login.write_text(f"machina {SIGNATURE}\n")
    with pytest.raises(FloplineError, match=r"netrc cannot be read, line 1") as mistake:
        fetch([f"{web.url}/a"], tmp_path / "snap")
    assert SIGNATURE not in str(mistake.value)


def test_nobody_there(tmp_path: Path) -> None:
    with site() as closed:
        url = closed.url
    with pytest.raises(FloplineError, match="cannot be reached, nothing listens there"):
        fetch([f"{url}/a"], tmp_path / "snap")


def test_https_asks_for_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj",
         "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with site(tls) as secure:
        secure.answers["/a"] = Answer(LOG)
        with pytest.raises(FloplineError, match=r"its certificate is not trusted .*SSL_CERT_FILE"):
            quick().download(f"{secure.url}/a", tmp_path / "a", Allowance(10**6))
        trusting = ssl.create_default_context(cafile=str(certificate))
        opener = build_opener(transfer._Redirects, HTTPSHandler(context=trusting))
        Web(opener=opener).download(f"{secure.url}/a", tmp_path / "a", Allowance(10**6))
        assert (tmp_path / "a").read_bytes() == LOG
        secure.answers["/down"] = Answer(status=302, headers={"Location": "http://127.0.0.1/x"})
        with pytest.raises(FloplineError, match="which is not safe to follow"):
            Web(opener=opener).download(f"{secure.url}/down", tmp_path / "a", Allowance(10**6))
