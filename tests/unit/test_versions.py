"""Locks and conda name the same versions, all within the ranges of pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import flopline
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RANGES = [Requirement(spec) for spec in PROJECT["project"]["dependencies"]]


def locked(file: str) -> dict[str, str]:
    text = (ROOT / file).read_text()
    return dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", text, re.MULTILINE))


DIRECT = {spec.name: locked("requirements.lock")[spec.name] for spec in RANGES}


def test_locked_versions_are_within_the_ranges_which_have_two_ends() -> None:
    for spec in RANGES:
        assert spec.specifier.contains(DIRECT[spec.name]), spec
        assert {end.operator for end in spec.specifier} == {">=", "<"}, spec


def test_conda_names_the_same_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = dict(spec.split(" =") for spec in environment["dependencies"])
    python = conda.pop("python")
    assert conda == DIRECT
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert tuple(map(int, python.split("."))) >= (3, 11)


def test_locks_hold_the_direct_versions_with_hashes() -> None:
    dev = dict(spec.split("==") for spec in PROJECT["dependency-groups"]["dev"])
    audit = dict(spec.split("==") for spec in PROJECT["dependency-groups"]["audit"])
    for file, wanted in [
        ("requirements.lock", DIRECT),
        ("requirements-dev.lock", DIRECT | dev),
        ("requirements-audit.lock", audit),
    ]:
        there = locked(file)
        assert {name: there.get(name) for name in wanted} == wanted, file
        text = (ROOT / file).read_text()
        blocks = re.split(r"^(?=[a-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
        unhashed = [block.split()[0] for block in blocks if "--hash=sha256:" not in block]
        assert unhashed == [], file


def test_both_locks_agree() -> None:
    def pins(file: str) -> set[str]:
        # Without platform markers: a test tool may need a package where the workflow does not.
        return set(re.findall(r"^[a-z0-9_.-]+==[^\s;\\]+", (ROOT / file).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("echo numpy 2.4.6 CVE-0; exit 1", "requirements.lock has known holes"),
        ("echo no answer >&2; exit 1", "PyPI gave no advisories for the packages of requirements"),
        ("exit 0", None),
    ],
)
def test_audit_ends_with_one_sentence_unless_all_is_well(
    tmp_path: Path, tool: str, said: str | None
) -> None:
    """The tool is a fake, so that nothing is asked of PyPI."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").touch()
    (tmp_path / "audit/bin").mkdir(parents=True)
    (tmp_path / "audit/bin/pip-audit").write_text(f"#!/bin/sh\n{tool}\n")
    (tmp_path / "audit/bin/pip-audit").chmod(0o755)
    (tmp_path / "audit/ready").touch()
    done = subprocess.run(
        ["make", f"VENV={tmp_path}", "audit"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    sentences = [line for line in done.stdout.splitlines() if line.startswith("make audit: ")]
    assert (done.returncode != 0, len(sentences)) == (said is not None, int(said is not None))
    assert said is None or said in sentences[0]


def test_tests_run_on_the_locked_versions() -> None:
    assert {name: metadata.version(name) for name in DIRECT} == DIRECT


def test_package_version_is_the_project_version() -> None:
    assert flopline.__version__ == PROJECT["project"]["version"]
