"""Where the numbers come from: input files, package versions, seeds, settings."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pandas as pd
import yaml

from flopline import __version__
from flopline.documents import InputFileJson, ProvenanceJson
from flopline.numbers import count
from flopline.study_document import StudyDocument

PACKAGES = ("snakemake", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "plotly")


def made_from(provenance: ProvenanceJson) -> list[tuple[str, str]]:
    """What the numbers come from, in a few pairs: commit, version, code, inputs."""
    versions = provenance["versions"]
    known: dict[str, str] = {
        "Commit": provenance.get("commit", ""),
        "Flopline": versions.get("flopline", ""),
        "Code": provenance["code"][:12],
        "Inputs": count(len(provenance["files"]), "file"),
    }
    return [(name, value) for name, value in known.items() if value]


def commit(folder: Path, study_file: str) -> str:
    """The commit that is checked out in `folder`, marked where files differ; empty without one.

    It says so where `study_file`, a path as seen from there, is not in that commit.
    """
    git = shutil.which("git")
    if git is None or not (folder / ".git").exists():
        return ""

    def answer(*arguments: str) -> str:
        asked = [git, "-C", str(folder), *arguments]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - git
        return done.stdout.strip()

    described = answer("describe", "--always", "--dirty=, with changes", "--exclude=*")
    seen_from = os.path.relpath(folder / study_file, folder)
    if described and not answer("ls-tree", "--name-only", "HEAD", "--", seen_from):
        described += f", which does not hold the study file {study_file}"
    return described


def provenance(
    study: StudyDocument, runs: pd.DataFrame, run_table: Mapping[str, str] | None, code: str
) -> ProvenanceJson:
    """What ReportInputs.provenance holds; sizes in bytes are read from the files themselves."""
    digests = {
        path: digest
        for paths, made in zip(runs["source"], runs["sha256"].fillna(""), strict=True)
        for path, digest in zip(paths.split("\n"), made.split("\n"), strict=False)
    }
    if run_table:
        digests[run_table["path"]] = run_table["sha256"]
    files: list[InputFileJson] = [
        {"path": path, "sha256": sha256, "bytes": Path(path).stat().st_size}
        for path, sha256 in sorted(digests.items())
        if isinstance(sha256, str) and sha256
    ]
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "files": files,
        "versions": {"flopline": __version__, "python": platform.python_version(), **versions},
        "seeds": {"bootstrap": study["bootstrap"]["seed"]},
        "config": yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True, width=100),
        "command": f"snakemake --cores all --config study={shlex.quote(study['file'])}",
        "code": code,
    }
