"""Profiles: keys that Snakemake knows, one way of grouping, and what Grid Engine is asked."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

PROFILES = {
    path.parent.name: path
    for path in sorted((ROOT / "profiles").glob("*/config.yaml"))
    if path.parent.name != "default"
}
SHARED = (
    "jobs", "groups", "group-components", "resources", "set-resource-scopes",
    "default-resources", "retries", "keep-going", "latency-wait",
)  # fmt: skip
OF_STORAGE = ("kubernetes", "googlebatch")
"""Executors whose jobs share no files."""


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(PROFILES[name].read_text())
    return content


def test_there_is_a_profile_for_each_scheduler_that_the_docs_name() -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    assert {"slurm", "cluster-generic", "lsf", "sge", *OF_STORAGE} == set(PROFILES)
    assert [name for name in PROFILES if f"profiles/{name}" not in page] == []


@pytest.mark.parametrize("name", PROFILES)
def test_all_profiles_form_the_same_groups(name: str) -> None:
    for key in SHARED:
        assert read(name)[key] == read("slurm")[key], key


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option_that_snakemake_knows(name: str) -> None:
    """Those of a plugin only where it is installed; docs/cluster.md says when all were."""
    from snakemake.cli import get_argument_parser

    executor = read(name)["executor"]
    storage = read(name).get("default-storage-provider", "none")
    plugins = {
        f"{executor}-": f"snakemake_executor_plugin_{executor.replace('-', '_')}",
        f"storage-{storage}-": f"snakemake_storage_plugin_{storage}",
    }
    parser = get_argument_parser([str(PROFILES[name].parent)])
    options = {option.lstrip("-") for option in parser._option_string_actions}
    unknown = set(read(name)) - options
    for begin, plugin in plugins.items():
        if find_spec(plugin) is None:
            unknown = {key for key in unknown if not key.startswith(begin)}
    assert unknown == set()


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_says_where_files_lie_if_jobs_share_none(name: str) -> None:
    profile = read(name)
    assert ("default-storage-prefix" in profile) == (name in OF_STORAGE)
    if name in OF_STORAGE:
        assert "YOUR-BUCKET" in profile["default-storage-prefix"]


QSTAT = """#!/bin/sh
case "$*" in
    "-j "*) [ -n "$STATE" ] ;;
    *) printf 'job-ID prior name user state\\n------\\n 7 0.5 flopline.x me %s\\n' "$STATE" ;;
esac
"""
QACCT = """#!/bin/sh
[ -n "$ENDED" ] || exit 1
printf '=====\\nqname all.q\\nfailed %s\\nexit_status %s\\n' $ENDED
"""


@pytest.mark.parametrize(
    ("state", "ended", "answer"),
    [
        ("r", "", "running"), ("qw", "", "running"), ("Eqw", "", "failed"), ("", "", "running"),
        ("", "0 0", "success"), ("", "0 1", "failed"), ("", "100 0", "failed"),
        ("", "0 137", "failed"),
    ],
)  # fmt: skip
def test_what_grid_engine_says_of_a_job(
    state: str, ended: str, answer: str, tmp_path: Path
) -> None:
    for name, text in (("qstat", QSTAT), ("qacct", QACCT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = ROOT / "profiles/sge/status.sh"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": state, "ENDED": ended}

    def asked() -> str:
        done = subprocess.run(
            [str(script), "7"], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert asked() == answer
    if not state and not ended:
        # It is not waited for without end.
        (tmp_path / "results/.cluster/7.unknown").write_text("\n" * 60)
        assert asked() == "failed"
