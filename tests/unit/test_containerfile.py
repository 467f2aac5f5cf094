"""The Containerfile, as far as it can be told without a builder."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch

from tests.conftest import ROOT

LINES = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text()).splitlines()
ORDERS = [line.partition(" ")[::2] for line in LINES if line.strip() and line[0] != "#"]


def test_it_begins_with_a_python_that_the_package_allows_and_ends_with_the_command() -> None:
    assert [order for order, _ in ORDERS if order not in ("COPY", "RUN")] == [
        "FROM", "WORKDIR", "ENTRYPOINT", "CMD",
    ]  # fmt: skip
    image = re.fullmatch(r"docker.io/library/python:3\.(\d+)-slim", dict(ORDERS)["FROM"])
    assert image is not None
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert int(image[1]) >= int(package["requires-python"].removeprefix(">=3."))
    assert dict(ORDERS)["ENTRYPOINT"] == f'["{next(iter(package["scripts"]))}"]'


def test_what_it_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".containerignore").read_text().split()
    for order, words in ORDERS:
        if order == "COPY":
            source = words.split()[0]
            assert (ROOT / source).exists(), source
            assert not any(fnmatch(source, pattern) for pattern in ignored), source
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    needed = [
        *package["targets"]["wheel"]["packages"],
        *package["targets"]["wheel"]["force-include"],
    ]
    for path in [*needed, "README.md", "LICENSE"]:
        assert not any(fnmatch(path, pattern) for pattern in ignored), path


def test_it_installs_the_locked_versions_with_their_hashes_and_no_others() -> None:
    runs = [words for order, words in ORDERS if order == "RUN"]
    assert "--require-hashes -r /tmp/requirements.lock" in runs[0]
    assert "--no-deps /tmp/flopline" in runs[1]
    assert all("--no-cache-dir" in run for run in runs)
