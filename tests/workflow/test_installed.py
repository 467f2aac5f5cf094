"""The package without a checkout: a built wheel makes a project, plans it, and is a module."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.workflow

OUTER = """
configfile: "config/config.yaml"


rule before:
    output:
        "before.txt",
    shell:
        "touch {output}"


module scaling:
    snakefile:
        "SNAKEFILE"
    config:
        config


use rule * from scaling as scaling_*


rule everything:
    default_target: True
    input:
        rules.scaling_all.input,
        "before.txt",
"""


def ran(folder: Path, library: Path, *command: str) -> str:
    """What a command prints whose only Flopline is the one in `library`."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ran(ROOT, folder, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def library(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel is unpacked, as an installer does."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def project(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    ran(folder, library, "-m", "flopline", "init", "mine")
    return folder / "mine"


def test_the_wheel_holds_what_a_run_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (
        "py.typed",
        "planner.toml",
        "project/Snakefile",
        "project/environment.yml",
        "project/workflow/rules/common.smk",
        "project/workflow/scripts/stage.py",
        "project/workflow/report/style.css",
        "project/workflow/schemas/study.schema.yaml",
        "project/workflow/running/guard.py",
        "project/profiles/slurm/config.yaml",
    ):
        assert f"flopline/{path}" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_installed_it_plans_the_sample_study(project: Path, library: Path) -> None:
    planned = ran(project, library, "-m", "flopline", "run", "--dry-run")
    assert "fit_isoflop" in planned
    assert "report" in planned
    sentence = ran(
        project,
        library,
        "-c",
        "from flopline.places import SNAKEFILE, to_run; print(SNAKEFILE, to_run('x'), sep='\\n')",
    )
    assert sentence.split("\n")[:2] == [f"{library}/flopline/project/Snakefile", "flopline run x"]


def test_another_workflow_uses_it_as_a_module(project: Path, library: Path) -> None:
    snakefile = library / "flopline/project/Snakefile"
    (project / "Snakefile").write_text(OUTER.replace("SNAKEFILE", str(snakefile)))
    planned = ran(project, library, "-m", "snakemake", "--dry-run", "--cores", "1")
    for rule in ("before", "scaling_ingest", "scaling_fit_isoflop", "scaling_report"):
        assert f"\n{rule} " in planned, planned
