"""What the corpus is built from is what was asked for, or nothing is unpacked; apt is a fake."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import corpus
import pytest
import yaml

from tests.conftest import ROOT

DEB = b"a package (made up)"
SHA256 = hashlib.sha256(DEB).hexdigest()
PROMISE = f"'http://deb.debian.org/x_1_all.deb' x_1_all.deb {len(DEB)} SHA256:{SHA256}"

FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
case "$*" in
  *--print-uris*) cat {says}; exit {status};;
  *download*) cp {content} x_1_all.deb;;
  *Version) echo 1;;
esac
"""

Machine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Fakes of apt-get, dpkg and dpkg-deb on the PATH; returns the file of their calls."""

    def made(says: str = PROMISE, content: bytes = DEB, status: int = 0) -> Path:
        tools = tmp_path / "bin"
        tools.mkdir()
        files = {name: tools / name for name in ("calls", "says", "content")}
        files["calls"].touch()
        files["says"].write_text(f"Reading package lists...\n{says}\n")
        files["content"].write_bytes(content)
        for name in ("apt-get", "dpkg", "dpkg-deb"):
            (tools / name).write_text(FAKE.format(**files, status=status))
            (tools / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        return files["calls"]

    return made


def refused(debs: Path, *words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        corpus.fetch({"x": SHA256}, debs)
    assert all(word in str(caught.value) for word in ("corpus.py: ", *words)), caught.value


def test_package_with_the_right_digest_is_unpacked(machine: Machine, tmp_path: Path) -> None:
    calls, debs = machine(), tmp_path / "debs"
    facts = corpus.fetch({"x": SHA256}, debs)
    assert facts == [{"package": "x", "version": "1", "deb_bytes": len(DEB), "deb_sha256": SHA256}]
    said = calls.read_text().splitlines()
    assert [line.split()[0] for line in said] == ["apt-get", "apt-get", "dpkg", "dpkg-deb"]
    for line in said[:2]:
        assert "-oAPT::Get::AllowUnauthenticated=false" in line
        assert "-oAcquire::AllowInsecureRepositories=false" in line
    corpus.fetch({"x": SHA256}, debs)
    assert calls.read_text().count("apt-get") == 2, "what is there is fetched again"


@pytest.mark.parametrize(
    ("says", "content", "words"),
    [
        (PROMISE.replace(SHA256, "0" * 64), DEB, ("has the sha256 000", "config.yaml names")),
        (PROMISE.replace(f" SHA256:{SHA256}", ""), DEB, ("names no sha256", "signed archive")),
        (PROMISE.replace(" SHA256:", " MD5Sum:"), DEB, ("names no sha256",)),
        (PROMISE.replace(f" {len(DEB)} ", " 99999999999 "), DEB, ("99,999,999,999 bytes",)),
        ("", DEB, ("names no sha256",)),
        (PROMISE, b"another", ("came with the sha256", "thrown away")),
    ],
)
def test_anything_else_is_refused_and_never_unpacked(
    machine: Machine, tmp_path: Path, says: str, content: bytes, words: tuple[str, ...]
) -> None:
    calls = machine(says, content)
    refused(tmp_path / "debs", *words)
    assert "dpkg" not in calls.read_text()
    assert list((tmp_path / "debs").iterdir()) == []


def test_package_that_grew_is_refused(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "MOST_BYTES", len(DEB))
    machine(content=DEB + b"more")
    refused(tmp_path / "debs", "has more than", "thrown away")


def test_spoilt_file_of_an_earlier_run_is_fetched_again(machine: Machine, tmp_path: Path) -> None:
    calls, debs = machine(), tmp_path / "debs"
    debs.mkdir()
    (debs / "x_1_all.deb").write_bytes(b"half")
    corpus.fetch({"x": SHA256}, debs)
    assert (debs / "x_1_all.deb").read_bytes() == DEB
    assert "apt-get" in calls.read_text()


def test_unknown_package_is_one_sentence(machine: Machine, tmp_path: Path) -> None:
    machine(status=100)
    refused(tmp_path / "debs", "apt does not find x")


def test_digests_asked_for_are_those_of_the_corpus_that_is_shipped() -> None:
    asked = yaml.safe_load((ROOT / "workflow/tinylm/config.yaml").read_text())["corpus"]
    built = json.loads((ROOT / "data/tinylm/corpus.json").read_text())["packages"]
    assert asked["packages"] == {fact["package"]: fact["deb_sha256"] for fact in built}
    assert set(asked["packages"]) == set(corpus.READERS)
