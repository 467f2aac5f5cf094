"""Known holes by an export that is carried in, and the bill of materials."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from supply_chain import bill_of_materials, known_holes
from supply_chain.locked import Locked, locked_packages
from tests.builders.refusals import refused
from tests.conftest import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-audit.lock")
LOCK = """\
# written by a tool
jinja2==3.1.2 \\
    --hash=sha256:bb \\
    --hash=sha256:aa
    # via
    #   flopline
PyYAML==6.0.1 ; python_full_version < '3.13' \\
    --hash=sha256:cc
numpy==2.1.0 --hash=sha256:dd
"""


def entry(name: str, package: str, **more: Any) -> dict[str, Any]:
    """An entry of OSV, made up, about every version of a package unless `more` says which."""
    affected = {k: more.pop(k) for k in ("ranges", "versions") if k in more}
    ecosystem = more.pop("ecosystem", "PyPI")
    return {
        "id": name,
        "modified": "2026-11-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": ecosystem, "name": package}, **affected}],
        **more,
    }


def within(*events: dict[str, str], kind: str = "ECOSYSTEM") -> list[dict[str, Any]]:
    return [{"type": kind, "events": list(events)}]


ENTRIES = [
    entry(
        "GHSA-1",
        "Jinja2",
        aliases=["CVE-1"],
        summary="A made-up\nhole",
        ranges=within({"introduced": "0"}, {"fixed": "3.1.10"}),
    ),
    entry("PYSEC-1", "jinja2", aliases=["CVE-1"], versions=["3.1.2", "3.1.3"]),
    entry("PYSEC-2", "pyyaml", versions=["5.1"], withdrawn=None),
    entry("GHSA-3", "numpy", withdrawn="2026-01-01T00:00:00Z"),
    entry("GHSA-4", "numpy", ecosystem="npm"),
    entry("GHSA-5", "elsewhere", versions=["1"]),
]


def export_of(path: Path, entries: list[dict[str, Any]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for one in entries:
            archive.writestr(f"{one['id']}.json", json.dumps(one))
    return path


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "some.lock"
    path.write_text(LOCK)
    return path


def check(capsys: pytest.CaptureFixture[str], *arguments: Path) -> tuple[int, str]:
    code = known_holes.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_lock_is_read_with_markers_and_hashes(lock: Path) -> None:
    assert locked_packages(lock) == [
        Locked("jinja2", "3.1.2", "", ("aa", "bb")),
        Locked("pyyaml", "6.0.1", 'python_full_version < "3.13"', ("cc",)),
        Locked("numpy", "2.1.0", "", ("dd",)),
    ]
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert len(locked_packages(ROOT / name)) == len(re.findall(r"^\S+==", text, re.MULTILINE))
        assert sum(len(p.hashes) for p in locked_packages(ROOT / name)) == text.count("--hash=")


def test_a_line_that_pins_nothing_is_refused(lock: Path) -> None:
    lock.write_text("numpy>=2\n")
    refused(lambda: locked_packages(lock), "'numpy>=2' pins no version", "make lock")
    lock.write_text("# nothing\n")
    refused(lambda: locked_packages(lock), "pins no package")
    refused(lambda: locked_packages(lock.with_name("none.lock")), "cannot be read")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_each_hole_is_one_sentence_whatever_names_it_goes_by(
    kind: str, lock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = export_of(tmp_path / "all.zip", ENTRIES)
    if kind == "folder":
        with zipfile.ZipFile(export) as archive:
            archive.extractall(tmp_path / "osv")
        export = tmp_path / "osv"
    code, printed = check(capsys, export, lock)
    assert code == 1
    assert printed.splitlines() == [
        "make holes: jinja2 3.1.2 has GHSA-1 (CVE-1, PYSEC-1): A made-up hole; fixed in 3.1.10; "
        f"raise it in pyproject.toml, then make lock ({lock}).",
        f"make holes: 1 known hole in 3 packages, by 5 entries of {export}, the youngest of "
        "2026-11-01.",
    ]


def test_nothing_known_is_said_with_how_old_the_export_is(
    lock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = export_of(tmp_path / "all.zip", ENTRIES[2:])
    code, printed = check(capsys, export, lock)
    assert (code, printed) == (
        0,
        f"make holes: no known holes in 3 packages, by 3 entries of {export}, the youngest of "
        "2026-11-01.\n",
    )


@pytest.mark.parametrize(
    ("ranges", "is_hole"),
    [
        (within({"introduced": "0"}), True),
        (within({"introduced": "3.1.2"}, {"fixed": "3.1.3"}), True),
        (within({"introduced": "3.1.2rc1"}, {"fixed": "3.1.2"}), False),
        (within({"introduced": "0"}, {"last_affected": "3.1.2"}), True),
        (within({"introduced": "0"}, {"last_affected": "3.1.2.post0"}), True),
        (within({"introduced": "0"}, {"last_affected": "3.1.1"}), False),
        (within({"introduced": "0"}, {"fixed": "2.0"}, {"introduced": "3.1"}), True),
        (within({"fixed": "2.0"}, {"introduced": "3.1.10"}, {"introduced": "0"}), False),
        (within({"introduced": "3.1.10"}), False),
        (within({"introduced": "no version"}), True),
        (within({"introduced": "0"}, kind="GIT"), None),
    ],
)
def test_a_range_is_judged_by_versions_and_not_by_letters(
    ranges: list[dict[str, Any]], is_hole: bool | None
) -> None:
    package = Locked("jinja2", "3.1.2")
    more = {"versions": ["9.9"]} if is_hole is None else {}
    found = known_holes.holes_of(package, [entry("GHSA-1", "jinja2", ranges=ranges, **more)])
    assert bool(found) == bool(is_hole)


def test_entries_that_share_a_name_by_a_third_are_one_hole() -> None:
    package = Locked("jinja2", "3.1.2")
    entries = [
        entry("A", "jinja2", aliases=["X"]),
        entry("B", "jinja2", aliases=["Y"]),
        entry("C", "jinja2", aliases=["X", "Y"]),
        entry("D", "jinja2"),
    ]
    names = [hole.names for hole in known_holes.holes_of(package, entries)]
    assert names == [("A", "B", "C", "X", "Y"), ("D",)]


def test_an_export_that_cannot_be_read_is_one_sentence(
    lock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.zip"

    def refusal() -> str:
        code, printed = check(capsys, path, lock)
        assert code == 2
        assert printed.count("\n") == 1
        return printed

    assert "No such file or directory" in refusal()
    path.write_bytes(b"no archive")
    assert "is no export of OSV that can be read" in refusal()
    export_of(path, ENTRIES)
    path.write_bytes(path.read_bytes().replace(b"made-up", b"made-it"))
    assert "Bad CRC-32" in refusal()
    export_of(path, [ENTRIES[4]])
    assert "holds no entry of the ecosystem PyPI" in refusal()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "{")
    assert "a.json is no JSON" in refusal()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "[]")
    assert "a.json is no entry of OSV" in refusal()
    export_of(path, [{"id": "X", "affected": "none"}])
    assert "what it affects is no list" in refusal()
    export_of(path, [{"id": "X", "affected": []}])
    assert "holds no entry of the ecosystem PyPI" in refusal()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(known_holes.MOST_BYTES + 1))
    assert "is larger than" in refusal()


def test_the_bill_of_materials_holds_every_package_and_file_and_is_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    texts = []
    for _ in range(2):
        assert bill_of_materials.main([str(tmp_path / "bill.json"), *LOCKS]) == 0
        texts.append((tmp_path / "bill.json").read_text())
    assert texts[0] == texts[1]
    bill = json.loads(texts[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    required = {c["name"] for c in bill["components"] if c["scope"] == "required"}
    assert required == {package.name for package in locked_packages(ROOT / LOCKS[0])}
    pinned = {(p.name, p.version): p for lock in LOCKS for p in locked_packages(ROOT / lock)}
    assert [(c["name"], c["version"]) for c in bill["components"]] == sorted(pinned)
    for component in bill["components"]:
        hashes = [one["hashes"][0]["content"] for one in component["externalReferences"]]
        assert tuple(hashes) == pinned[component["name"], component["version"]].hashes
    references = [one["ref"] for one in bill["dependencies"]]
    assert len(references) == len(set(references)) == 1 + len(pinned)
